//! One stream of audio: RTP and RTCP of a call, from what was negotiated to what is heard.
//!
//! The caller owns the sockets and the clock:
//!
//! - each packet that arrives goes into [`Session::receive`] (one socket where RTP and RTCP share
//!   the port, otherwise two);
//! - when [`Session::timeout`] says so, [`Session::poll`] takes what is to be said from a
//!   [`Source`](crate::audio::Source) and puts what is to be sent into an [`Outbox`];
//! - whenever audio is to be heard, [`Session::play`] fills a frame, at the caller's pace;
//! - what happened is told by [`Session::event`] and [`Session::stats`];
//! - another offer and answer goes into [`Session::renegotiate`]; [`Session::end`] says goodbye.

mod outbox;
mod peer;
mod play;
mod receive;
mod report;
mod send;
mod stats;
mod stream;

pub use outbox::{Channel, Outbox};
pub use stats::{Counts, PeerView, Stats};
pub use stream::{Format, Keys, Stream, StreamFault};

use crate::codec::Fault as CodecFault;
use crate::dtmf::{self, Refused};
use crate::rtcp::{Bursts, Interval};
use crate::srtp::{Protector, Unprotector};
use crate::{Instant, NtpTime, Random, jitter};
use core::net::SocketAddr;
use core::time::Duration;
use peer::Peer;
use std::collections::VecDeque;

/// What does not change during a call.
#[derive(Clone, Debug)]
pub struct Config {
    /// The rate of all audio that goes in and out, in Hz: 8000, 16000 or 48000.
    pub rate: u32,
    /// The canonical name for RTCP (RFC 3550 section 6.5.1); better nothing that tells of a
    /// person (RFC 7022).
    pub cname: String,
    /// What all random choices follow from: 64 bits that nobody guesses.
    pub seed: u64,
    /// The wall clock at the moment `Instant(0)`, since 1970.
    pub unix: Duration,
    /// Within what the jitter buffer's delay moves.
    pub jitter: jitter::Bounds,
    /// Sends comfort noise instead of silence where the peer takes it (RFC 3389).
    pub dtx: bool,
    /// Sends extended reports (RFC 3611).
    pub extended_reports: bool,
    /// The least time between two reports (RFC 3550 section 6.2).
    pub report_every: Duration,
}

impl Default for Config {
    /// Audio at 16000 Hz, reports about every five seconds, no comfort noise. Name and seed are
    /// the caller's.
    fn default() -> Self {
        Self {
            rate: 16_000,
            cname: String::new(),
            seed: 0,
            unix: Duration::ZERO,
            jitter: jitter::Bounds::default(),
            dtx: false,
            extended_reports: false,
            report_every: Duration::from_secs(5),
        }
    }
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// RTP is sent to where it comes from (RFC 4961).
    Latched(SocketAddr),
    /// The peer's audio comes from this source from now on.
    Source(u32),
    /// A digit or another telephone event began; its code.
    EventBegan(u8),
    /// It ended and lasted so long.
    EventEnded(u8, Duration),
    /// Somebody else had our SSRC; we have this one now (RFC 3550 section 8.2).
    Collision(u32),
    /// The peer's source has left (RFC 3550 section 6.6), for this reason.
    Goodbye(String),
    /// Our SRTP key is used up, so nothing more is sent: a new offer with a new key is due.
    KeyExhausted,
}

/// How many events wait for [`Session::event`]; the oldest are dropped.
const EVENTS: usize = 64;

/// One stream of audio.
#[derive(Debug)]
pub struct Session {
    config: Config,
    stream: Stream,
    random: Random,
    peer: Peer,
    protect: Option<Protector>,
    unprotect: Option<Unprotector>,
    sending: send::Sending,
    receiving: receive::Receiving,
    playing: play::Playing,
    dtmf_in: dtmf::Receiver,
    bursts: Bursts,
    reports: report::Reports,
    interval: Interval,
    counts: Counts,
    events: VecDeque<Event>,
    ended: bool,
}

impl Session {
    /// A session of what was negotiated. It begins to send at once, if it may.
    pub fn new(config: Config, stream: Stream, now: Instant) -> Result<Self, CodecFault> {
        if ![8000, 16_000, 48_000].contains(&config.rate) {
            return Err(CodecFault::Rate(config.rate));
        }
        let mut random = Random::new(config.seed);
        let bandwidth = 80_000;
        let interval = Interval::new(bandwidth, config.report_every, now, &mut random);
        let playing = play::Playing::new(&config, &stream, random.bits())?;
        Ok(Self {
            peer: Peer::new(&stream),
            protect: stream.keys.as_ref().map(|keys| Protector::new(&keys.ours)),
            unprotect: stream.keys.as_ref().map(|keys| Unprotector::new(&keys.theirs)),
            sending: send::Sending::new(&config, &stream, &mut random, now)?,
            receiving: receive::Receiving::default(),
            playing,
            dtmf_in: dtmf::Receiver::new(stream.events.map_or(8000, |events| events.clock)),
            bursts: Bursts::default(),
            reports: report::Reports::default(),
            interval,
            counts: Counts::default(),
            events: VecDeque::with_capacity(EVENTS),
            ended: false,
            config,
            stream,
            random,
        })
    }

    /// Goes on by another offer and answer: hold and resume, another codec, address or key. What
    /// stays the same is not disturbed.
    pub fn renegotiate(&mut self, stream: Stream, now: Instant) -> Result<(), CodecFault> {
        self.sending.change(&self.config, &self.stream, &stream, &mut self.random, now)?;
        self.playing.change(&self.config, &self.stream, &stream)?;
        if stream.keys != self.stream.keys {
            let same = |ours: bool| {
                let (old, new) = (self.stream.keys.as_ref()?, stream.keys.as_ref()?);
                Some(if ours { old.ours == new.ours } else { old.theirs == new.theirs })
            };
            // A direction whose key stays goes on counting with it (RFC 3711 section 9.1).
            if same(true) != Some(true) {
                self.protect = stream.keys.as_ref().map(|keys| Protector::new(&keys.ours));
            }
            if same(false) != Some(true) {
                self.unprotect = stream.keys.as_ref().map(|keys| Unprotector::new(&keys.theirs));
            }
        }
        if stream.remote != self.stream.remote || stream.remote_rtcp != self.stream.remote_rtcp {
            self.peer = Peer::new(&stream);
        }
        if stream.events.map(|events| events.clock) != self.stream.events.map(|e| e.clock) {
            self.dtmf_in = dtmf::Receiver::new(stream.events.map_or(8000, |events| events.clock));
        }
        self.stream = stream;
        Ok(())
    }

    /// What is negotiated now.
    pub fn stream(&self) -> &Stream {
        &self.stream
    }

    /// The rate of all audio that goes in and out, in Hz.
    pub fn rate(&self) -> u32 {
        self.config.rate
    }

    /// Our SSRC.
    pub fn ssrc(&self) -> u32 {
        self.sending.ssrc
    }

    /// Sends a digit `0` to `9`, `*`, `#`, `A` to `D` by RFC 4733, after those that wait.
    pub fn dial(&mut self, digit: char, lasting: Duration) -> Result<(), Refused> {
        let code = dtmf::code(digit).ok_or(Refused::NoDigit(digit))?;
        if !self.stream.takes_event(code) {
            return Err(Refused::NotTaken(digit));
        }
        self.sending.dtmf.queue(code, lasting)
    }

    /// Whether digits are being sent or wait.
    pub fn is_dialling(&self) -> bool {
        self.sending.dtmf.is_busy()
    }

    /// The next thing that happened.
    pub fn event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    fn tell(&mut self, event: Event) {
        tell(&mut self.events, event);
    }

    /// The wall clock at a moment.
    fn ntp(&self, now: Instant) -> NtpTime {
        NtpTime::of_unix(self.config.unix + Duration::from_micros(now.0))
    }
}

/// Notes an event; the oldest gives way.
fn tell(events: &mut VecDeque<Event>, event: Event) {
    if events.len() >= EVENTS {
        events.pop_front();
    }
    events.push_back(event);
}
