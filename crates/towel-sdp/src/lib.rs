//! SDP (RFC 8866) as its bytes, and offer/answer (RFC 3264) as a table of states.
//!
//! A [`Description`] is the bytes that came, and where their lines are: written again it is the
//! same. Values are read when asked for and borrow the bytes: the fields ([`Origin`],
//! [`Connection`], [`MediaLine`], [`Bandwidth`], [`Timing`]) and the attributes ([`attribute`]).
//! [`Description::check`] tells all that is wrong, with line and byte, and whether it can be worked
//! with all the same. A [`Builder`] writes a description, a [`Draft`] changes lines of one.
//!
//! [`offer_answer`] makes offers and answers from what a user agent wants, judges the peer's, and
//! says what is agreed. Nothing here reads a clock, a socket, a file or a random number, and no
//! input makes it panic.
//!
//! Read and written: RFC 8866, and the attributes of RFC 3312 and 5027, 3605, 4145, 4568, 5761,
//! 5888, 8122; `a=candidate` is kept as text. Not done: the answerer does no grouping (RFC 5888 lets
//! it leave `a=group` out) and joins no multicast, and keys for `a=crypto` and `a=fingerprint` are
//! the caller's, who hands them over as attributes of a stream.
//!
//! ```
//! use towel_sdp::offer_answer::{Codec, Identity, Negotiation, Plan, Stream};
//! use towel_sdp::Limits;
//!
//! let us = |n: u8| std::net::IpAddr::from([192, 0, 2, n]);
//! let who = |n| Identity { username: "-".into(), session_id: 42, version: 1, address: us(n) };
//! let mut ford = Negotiation::new(who(1), Limits::default());
//! let mut zaphod = Negotiation::new(who(2), Limits::default());
//! let fords = Plan::new(us(1)).with(Stream::audio(4000, [Codec::opus(96), Codec::pcma()]));
//! let zaphods = Plan::new(us(2)).with(Stream::audio(5000, [Codec::pcmu(), Codec::pcma()]));
//!
//! let offer = ford.offer(&fords).unwrap();
//! zaphod.receive_offer(&offer).unwrap();
//! let answer = zaphod.answer(&zaphods).unwrap();
//! ford.receive_answer(&answer).unwrap();
//!
//! let stream = &ford.streams()[0];
//! assert_eq!((stream.formats[0].name.as_str(), stream.remote_port), ("PCMA", 5000));
//! ```

#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

pub mod attribute;
mod build;
mod check;
mod cursor;
mod description;
mod direction;
mod draft;
mod fault;
mod fields;
mod limits;
pub mod offer_answer;
mod payload;
pub mod preconditions;

pub use attribute::{Attribute, Fmtp, RtpMap, Setup, Typed};
pub use build::{BuildFault, Builder};
pub use cursor::{Cursor, is_token};
pub use description::{Description, Line, Media, Section};
pub use direction::Direction;
pub use draft::Draft;
pub use fault::{Fault, Severity, What};
pub use fields::{Bandwidth, Connection, MediaLine, Origin, Timing};
pub use limits::Limits;
pub use payload::{Encoding, is_dynamic, static_encoding};
