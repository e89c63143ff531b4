//! What a SIP phone needs for its audio: RTP and RTCP (RFC 3550, 3551, 3611, 4961, 5761), SRTP by
//! SDES (RFC 3711, 4568), G.711, G.722 and Opus (RFC 7587), comfort noise (RFC 3389), telephone
//! events (RFC 4733), a jitter buffer, and tones, WAV files and a tone detector at its ends.
//!
//! Nothing here opens a socket, reads a clock or draws a random number: packets and the time come
//! in, packets and audio come out, and every random choice follows from a seed. No packet makes it
//! panic, and everything that a peer can make grow is bounded.
//!
//! [`session::Session`] puts it all together for one stream. Its parts can be used alone:
//!
//! - [`rtp`]: packets, and what is known of their source. [`rtcp`]: packets, reports, and when they
//!   are due. [`srtp`]: keys from SDP, protecting and unprotecting.
//! - [`codec`]: encoders and decoders. [`jitter`]: the buffer before them. [`dtmf`]: telephone
//!   events.
//! - [`audio`]: where audio comes from and goes, tones, WAV, resampling, hearing a tone.
//!
//! ```
//! use std::time::Duration;
//! use towel_media::audio::{Detector, Tone};
//! use towel_media::codec::Codec;
//! use towel_media::Instant;
//! use towel_media::session::{Config, Outbox, Session, Stream};
//!
//! let (ford, zaphod) = ("192.0.2.1:4000".parse().unwrap(), "192.0.2.2:5000".parse().unwrap());
//! let config = |seed| Config { rate: 8000, cname: "guide".into(), seed, ..Config::default() };
//! let start = Instant(0);
//! let mut caller = Session::new(config(1), Stream::of(Codec::Pcma, 8, zaphod), start).unwrap();
//! let mut callee = Session::new(config(2), Stream::of(Codec::Pcma, 8, ford), start).unwrap();
//!
//! let (mut tone, mut out) = (Tone::new(8000, &[440.0], -20.0), Outbox::new());
//! let mut heard = Detector::new(8000, 440.0);
//! for tick in 0..100 {
//!     let now = start + Duration::from_millis(20 * tick);
//!     caller.poll(now, &mut tone, &mut out);
//!     // A driver sends these by its sockets; here they are there at once.
//!     for (channel, _, packet) in out.packets() {
//!         let mut packet = packet.to_vec();
//!         callee.receive(now, channel, ford, &mut packet, &mut Outbox::new());
//!     }
//!     out.clear();
//!     let mut frame = [0; 160];
//!     callee.play(now, &mut frame);
//!     heard.hear(&frame);
//! }
//! assert!(heard.heard().longest > Duration::from_millis(1800));
//! ```

#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

pub mod audio;
pub mod codec;
pub mod dtmf;
pub mod jitter;
mod random;
pub mod rtcp;
pub mod rtp;
pub mod session;
pub mod srtp;
mod time;

pub use random::Random;
pub use time::{Instant, NtpTime};
