//! Calls between two sessions over a network that loses, repeats, delays and reorders packets, on a
//! virtual clock and from fixed seeds.

mod calls;
mod changes;
mod hostile;
mod reports;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;
use towel_media::audio::{Detector, Source, Tone};
use towel_media::codec::Codec;
use towel_media::session::{Channel, Config, Event, Format, Outbox, Session, Stream};
use towel_media::{Instant, Random};

/// How bad a network is; chances from 0 to 1.
#[derive(Clone, Copy, Debug, Default)]
struct Weather {
    loss: f64,
    twice: f64,
    /// The delay in ms, and by how much it differs.
    delay: u64,
    jitter: u64,
}

/// A packet under way: to whom (0 or 1), by which channel, from where.
type Packet = (usize, Channel, SocketAddr, Vec<u8>);

/// One end of a call.
struct End {
    session: Session,
    source: Box<dyn Source>,
    heard: Detector,
    events: Vec<Event>,
    /// All that was heard.
    samples: Vec<i16>,
    out: Outbox,
    /// Where its packets are seen to come from.
    from: SocketAddr,
}

/// Two ends and the network between them.
struct Call {
    ends: [End; 2],
    now: Instant,
    weather: Weather,
    random: Random,
    under_way: BTreeMap<(u64, u64), Packet>,
    count: u64,
    /// Every packet that was sent, whether it arrives or not.
    sent: Vec<(usize, Vec<u8>)>,
}

fn address(end: usize) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1 + end as u8], 4000))
}

/// A stream of a codec as the other end's peer has it, with telephone events.
fn stream(codec: Codec, to: usize) -> Stream {
    let number = match codec {
        Codec::Pcmu => 0,
        Codec::Pcma => 8,
        Codec::G722 => 9,
        Codec::Opus => 96,
    };
    let events = Format { kind: (), send: 101, receive: 101, clock: codec.clock() };
    Stream { events: Some(events), ..Stream::of(codec, number, address(to)) }
}

fn config(seed: u64, rate: u32) -> Config {
    let unix = Duration::from_secs(1_700_000_000 + seed);
    Config { rate, cname: format!("end{seed}"), seed, unix, ..Config::default() }
}

/// The pitch of each end's tone.
const PITCH: [f64; 2] = [440.0, 700.0];

impl Call {
    fn new(
        config: impl Fn(u64) -> Config,
        streams: [Stream; 2],
        weather: Weather,
        seed: u64,
    ) -> Self {
        let mut n = 0;
        let ends = streams.map(|stream| {
            n += 1;
            let config = config(n);
            let rate = config.rate;
            let end = n as usize - 1;
            End {
                session: Session::new(config, stream, Instant(0)).unwrap(),
                source: Box::new(Tone::new(rate, &[PITCH[end]], -15.0)),
                heard: Detector::new(rate, PITCH[1 - end]),
                events: Vec::new(),
                samples: Vec::new(),
                out: Outbox::new(),
                from: address(end),
            }
        });
        let random = Random::new(seed);
        let under_way = BTreeMap::new();
        Self { ends, now: Instant(0), weather, random, under_way, count: 0, sent: Vec::new() }
    }

    /// A call with one codec.
    fn of(codec: Codec, rate: u32, weather: Weather, seed: u64) -> Self {
        Self::new(|n| config(n, rate), [stream(codec, 1), stream(codec, 0)], weather, seed)
    }

    /// Puts a packet on its way at once.
    fn inject(&mut self, packet: Packet) {
        self.count += 1;
        self.under_way.insert((self.now.0, self.count), packet);
    }

    /// Lets so many ms go by.
    fn run(&mut self, ms: u64) {
        let end = self.now + Duration::from_millis(ms);
        while self.now < end {
            self.step();
            self.now = self.now + Duration::from_millis(5);
        }
    }

    fn step(&mut self) {
        let now = self.now;
        while let Some(entry) = self.under_way.first_entry().filter(|e| e.key().0 <= now.0) {
            let (to, channel, from, mut bytes) = entry.remove();
            let end = &mut self.ends[to];
            end.session.receive(now, channel, from, &mut bytes, &mut end.out);
        }
        for at in 0..2 {
            let end = &mut self.ends[at];
            if end.session.timeout().is_some_and(|due| due <= now) {
                end.session.poll(now, &mut *end.source, &mut end.out);
            }
            if now.0.is_multiple_of(20_000) {
                let mut frame = vec![0; end.samples_per_frame()];
                end.session.play(now, &mut frame);
                end.heard.hear(&frame);
                end.samples.extend(frame);
            }
            end.events.extend(std::iter::from_fn(|| end.session.event()));
            let from = end.from;
            let out: Vec<_> = end.out.packets().map(|(c, _, bytes)| (c, bytes.to_vec())).collect();
            end.out.clear();
            for (channel, bytes) in out {
                self.send(at, channel, from, bytes);
            }
        }
    }

    fn send(&mut self, by: usize, channel: Channel, from: SocketAddr, bytes: Vec<u8>) {
        self.sent.push((by, bytes.clone()));
        let weather = self.weather;
        if self.random.fraction() < weather.loss {
            return;
        }
        let copies = if self.random.fraction() < weather.twice { 2 } else { 1 };
        for _ in 0..copies {
            let delay = weather.delay * 1000
                + (self.random.fraction() * weather.jitter as f64 * 1000.0) as u64;
            self.count += 1;
            let key = (self.now.0 + delay, self.count);
            self.under_way.insert(key, (1 - by, channel, from, bytes.clone()));
        }
    }

    /// How long each end has heard the other's tone, and forgets it.
    fn tones(&mut self) -> [u128; 2] {
        let mut at = 0;
        [0, 1].map(|end| {
            at += 1;
            let rate = self.ends[end].samples_per_frame() as u32 * 50;
            let fresh = Detector::new(rate, PITCH[2 - at]);
            let heard = std::mem::replace(&mut self.ends[end].heard, fresh);
            heard.heard().tone.as_millis()
        })
    }
}

impl End {
    fn samples_per_frame(&self) -> usize {
        self.heard_rate() / 50
    }

    fn heard_rate(&self) -> usize {
        self.session.rate() as usize
    }
}
