//! A call that has begun allocates nothing more: not for a packet, a report, or a frame of audio.

use std::net::SocketAddr;
use std::time::Duration;
use towel_counting::Counting;
use towel_media::Instant;
use towel_media::audio::Tone;
use towel_media::codec::Codec;
use towel_media::session::{Config, Keys, Outbox, Session, Stream};
use towel_media::srtp::{CryptoLine, Suite};

#[global_allocator]
static COUNTING: Counting = Counting::when(|| true);

#[test]
fn a_running_call_allocates_nothing() {
    for codec in Codec::ALL {
        let line = CryptoLine::new(1, Suite::AesCm128HmacSha1_80, &[42; 30]);
        let session = |seed, remote: SocketAddr| {
            let keys = Some(Keys { ours: line.clone(), theirs: line.clone() });
            let stream = Stream { mux: true, keys, ..Stream::of(codec, 96, remote) };
            let config = Config { seed, extended_reports: true, ..Config::default() };
            Session::new(config, stream, Instant(0)).unwrap()
        };
        let [ford, zaphod] = [1, 2].map(|n| SocketAddr::from(([192, 0, 2, n], 4000)));
        let mut ends = [session(1, zaphod), session(2, ford)];
        let mut tone = Tone::new(16_000, &[440.0], -15.0);
        let (mut out, mut other) = (Outbox::new(), Outbox::new());
        let (mut packet, mut frame) = ([0; 1500], [0; 320]);
        let mut pass = |from: u64, to: u64| {
            for tick in from..to {
                let now = Instant(0) + Duration::from_millis(20 * tick);
                for (at, remote) in [ford, zaphod].into_iter().enumerate() {
                    ends[at].poll(now, &mut tone, &mut out);
                    for (channel, _, bytes) in out.packets() {
                        let packet = &mut packet[..bytes.len()];
                        packet.copy_from_slice(bytes);
                        ends[1 - at].receive(now, channel, remote, packet, &mut other);
                    }
                    out.clear();
                    ends[at].play(now, &mut frame);
                    while ends[at].event().is_some() {}
                }
            }
        };
        pass(0, 1500);
        let before = COUNTING.made();
        pass(1500, 3000);
        assert_eq!(COUNTING.made(), before, "{codec:?}");
    }
}
