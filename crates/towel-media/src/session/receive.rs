//! What arrives: whose it is, whether it is believed, and what is done with it.

use super::{Channel, Event, Outbox, Session, tell};
use crate::Instant;
use crate::dtmf::Signal;
use crate::jitter::Put;
use crate::rtp::{Packet, Source, Verdict, is_rtcp};
use crate::srtp::Fault as SrtpFault;
use core::net::SocketAddr;

/// Sources that are looked at at the same time; the one that was silent the longest gives way.
const SOURCES: usize = 4;
/// Addresses that sent with our SSRC.
const CONFLICTS: usize = 4;

/// The receiving half, up to the jitter buffer.
#[derive(Debug, Default)]
pub(super) struct Receiving {
    /// The newest at the end.
    sources: Vec<(SocketAddr, Source)>,
    active: Option<u32>,
    conflicts: Vec<SocketAddr>,
    /// What was lost of the source that was played and has left.
    pub(super) past: Option<crate::rtp::Loss>,
    /// When RTP was taken last.
    pub(super) heard: Option<Instant>,
}

impl Receiving {
    /// The source that is played.
    pub(super) fn active(&self) -> Option<&Source> {
        let active = self.active?;
        let valid = self.sources.iter().map(|source| &source.1);
        valid.filter(|source| source.sequence.is_valid()).find(|source| source.ssrc == active)
    }

    pub(super) fn active_mut(&mut self) -> Option<&mut Source> {
        let active = self.active?;
        let valid = self.sources.iter_mut().map(|source| &mut source.1);
        valid.filter(|s| s.sequence.is_valid()).find(|source| source.ssrc == active)
    }

    /// The source of an SSRC and address, made if it is new.
    fn source(&mut self, from: SocketAddr, packet: &Packet<'_>) -> Option<&mut Source> {
        let same = |source: &(SocketAddr, Source)| source.0 == from && source.1.ssrc == packet.ssrc;
        if let Some(at) = self.sources.iter().position(same) {
            return self.sources.get_mut(at).map(|source| &mut source.1);
        }
        if self.sources.len() >= SOURCES {
            // Not the one that is played, if there is another.
            let active = self.active;
            let idle = self.sources.iter().position(|source| Some(source.1.ssrc) != active);
            self.sources.remove(idle.unwrap_or(0));
        }
        self.sources.push((from, Source::new(packet.ssrc, packet.sequence)));
        self.sources.last_mut().map(|source| &mut source.1)
    }

    /// Forgets a source that has left; whether it was the one that is played.
    pub(super) fn left(&mut self, ssrc: u32) -> bool {
        let played = self.active().filter(|source| source.ssrc == ssrc);
        self.past = played.map(|source| source.sequence.loss()).or(self.past);
        self.sources.retain(|source| source.1.ssrc != ssrc);
        self.active.take_if(|active| *active == ssrc).is_some()
    }
}

impl Session {
    /// Takes a packet that arrived. SRTP is decrypted in its place. What is not the peer's, or not
    /// what was agreed on, is counted and ignored. Only an SSRC collision puts something into the
    /// outbox.
    pub fn receive(
        &mut self,
        now: Instant,
        channel: Channel,
        from: SocketAddr,
        bytes: &mut [u8],
        out: &mut Outbox,
    ) {
        if self.ended {
            return;
        }
        let rtcp = match channel {
            Channel::Rtp => self.stream.mux && is_rtcp(bytes),
            Channel::Rtcp => true,
        };
        let channel = if rtcp { Channel::Rtcp } else { Channel::Rtp };
        // A protected packet proves by its tag that it is the peer's, wherever it comes from.
        if self.unprotect.is_none() && !self.peer.admits(channel, from) {
            self.counts.strangers += 1;
            return;
        }
        match rtcp {
            true => self.receive_rtcp(now, from, bytes, out),
            false => self.receive_rtp(now, from, bytes, out),
        }
    }

    fn receive_rtp(&mut self, now: Instant, from: SocketAddr, bytes: &mut [u8], out: &mut Outbox) {
        let Ok(header) = Packet::header(bytes) else {
            self.counts.malformed += 1;
            return;
        };
        let number = header.payload_type;
        let known = self.stream.codecs.iter().any(|format| format.receive == number);
        let events = self.stream.events.is_some_and(|events| events.receive == number);
        let noise = self.stream.noise.is_some_and(|noise| noise.receive == number);
        if !known && !events && !noise {
            self.counts.wrong_payload_type += 1;
            return;
        }
        let bytes: &[u8] = match &mut self.unprotect {
            None => bytes,
            Some(unprotect) => match unprotect.rtp(bytes) {
                Ok(bytes) => bytes,
                Err(fault) => return self.refused(fault),
            },
        };
        let Ok(packet) = Packet::parse(bytes) else {
            self.counts.malformed += 1;
            return;
        };
        if packet.ssrc == self.sending.ssrc {
            return self.collided(from, now, out);
        }
        let Some(source) = self.receiving.source(from, &packet) else { return };
        let verdict = source.sequence.update(packet.sequence);
        let Some(sequence) = verdict.sequence() else {
            self.counts.improbable += 1;
            return;
        };
        let clock = self.playing.clock_of(number);
        source.arrived(packet.timestamp, now, clock);
        if self.peer.heard(Channel::Rtp, from) {
            tell(&mut self.events, Event::Latched(from));
        }
        if self.receiving.active != Some(packet.ssrc) {
            self.receiving.active = Some(packet.ssrc);
            self.playing.restart();
            tell(&mut self.events, Event::Source(packet.ssrc));
        } else if let Verdict::Restarted(_) = verdict {
            self.playing.restart();
        }
        self.receiving.heard = Some(now);
        self.counts.received += 1;
        self.counts.received_bytes += packet.payload.len() as u64;
        // On hold: it came, and is not heard.
        if !self.stream.direction.receives() {
            self.counts.unwanted += 1;
            return;
        }
        if events {
            self.receive_event(&packet, now);
        }
        // An event's packet has its place in the order, but no sound.
        let payload = if events { &[] } else { packet.payload };
        let put = self.playing.put(sequence, packet.timestamp, number, payload, now);
        match put {
            Put::Kept => (),
            Put::Duplicate => self.counts.duplicates += 1,
            Put::Late => self.counts.late += 1,
            Put::Overflow => self.counts.overflowed += 1,
        }
    }

    fn receive_event(&mut self, packet: &Packet<'_>, now: Instant) {
        self.counts.events += 1;
        let events = &mut self.events;
        self.dtmf_in.packet(packet.timestamp, packet.payload, now, |signal| told(events, signal));
    }

    /// Ends what is overdue.
    pub(super) fn lapse(&mut self, now: Instant) {
        let events = &mut self.events;
        self.dtmf_in.lapse(now, |signal| told(events, signal));
    }

    /// Counts a packet that SRTP does not take.
    pub(super) fn refused(&mut self, fault: SrtpFault) {
        match fault {
            SrtpFault::Malformed => self.counts.malformed += 1,
            SrtpFault::Replay => self.counts.replayed += 1,
            SrtpFault::Mki
            | SrtpFault::Authentication
            | SrtpFault::Encryption
            | SrtpFault::Exhausted => self.counts.unauthentic += 1,
        }
    }

    /// A packet has our SSRC (RFC 3550 section 8.2): the first time from an address we change ours,
    /// after that it is our own coming back.
    pub(super) fn collided(&mut self, from: SocketAddr, now: Instant, out: &mut Outbox) {
        let conflicts = &mut self.receiving.conflicts;
        if conflicts.contains(&from) || conflicts.len() >= CONFLICTS {
            self.counts.looped += 1;
            return;
        }
        conflicts.push(from);
        self.counts.collisions += 1;
        self.goodbye(now, b"SSRC collision", out);
        self.sending.begin(&mut self.random);
        self.tell(Event::Collision(self.sending.ssrc));
    }
}

fn told(events: &mut std::collections::VecDeque<Event>, signal: Signal) {
    tell(
        events,
        match signal {
            Signal::Began(code) => Event::EventBegan(code),
            Signal::Ended(code, lasted) => Event::EventEnded(code, lasted),
        },
    );
}
