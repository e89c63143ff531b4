//! RTCP: what we report, and what the peer does.

use super::{Channel, Event, Outbox, PeerView, Session, tell};
use crate::Instant;
use crate::rtcp::{
    Block, Compound, Dlrr, Packet, Population, Report, ReportBlock, SenderInfo, VoipMetrics,
    Writer, item,
};
use crate::time::{of_short, to_short};
use core::net::SocketAddr;
use core::time::Duration;

/// Who sent within this time is a sender: two of the shortest intervals (RFC 3550 section 6.4).
const SENDER: Duration = Duration::from_secs(10);

/// What is known by reports.
#[derive(Debug, Default)]
pub(super) struct Reports {
    /// The peer's last SR: whose, the middle of its time, when it came.
    last_sr: Option<(u32, u32, Instant)>,
    /// The same of the receiver's time in its XR.
    last_rrt: Option<(u32, u32, Instant)>,
    pub(super) round_trip: Option<Duration>,
    pub(super) peer: Option<PeerView>,
    /// The peer's VoIP metrics of what we send.
    pub(super) metrics: Option<VoipMetrics>,
}

impl Session {
    fn population(&self, now: Instant) -> Population {
        let lately = |at: Option<Instant>| at.is_some_and(|at| now.since(at) <= SENDER);
        let we_sent = lately(self.sending.last);
        let peer_sent = lately(self.receiving.heard);
        let known = self.receiving.active().is_some() || self.counts.reports_received > 0;
        Population {
            members: 1 + u32::from(known),
            senders: u32::from(we_sent) + u32::from(peer_sent),
            we_sent,
        }
    }

    pub(super) fn report_if_due(&mut self, now: Instant, out: &mut Outbox) {
        let who = self.population(now);
        if !self.ended && self.interval.expired(who, now, &mut self.random) {
            self.send_report(now, None, out);
        }
    }

    /// Says goodbye for our SSRC.
    pub(super) fn goodbye(&mut self, now: Instant, reason: &[u8], out: &mut Outbox) {
        if !self.stream.unreachable && !self.ended {
            self.send_report(now, Some(reason), out);
        }
    }

    /// Ends the session: a BYE is sent, and nothing after it (RFC 3550 section 6.3.7; a session of
    /// two need not wait).
    pub fn end(&mut self, now: Instant, out: &mut Outbox) {
        self.goodbye(now, b"", out);
        self.ended = true;
    }

    fn send_report(&mut self, now: Instant, bye: Option<&[u8]>, out: &mut Outbox) {
        let start = out.bytes.len();
        let ssrc = self.sending.ssrc;
        let sent = self.sending.last.filter(|at| now.since(*at) <= SENDER);
        let sender = sent.map(|_| SenderInfo {
            ntp: self.ntp(now),
            rtp: self.timestamp_at(now),
            packets: self.sending.packets,
            octets: self.sending.octets,
        });
        let block = self.block(now);
        let blocks = block.as_slice();
        let mut writer = Writer::new(&mut out.bytes);
        writer.report(ssrc, sender, blocks);
        // Every compound has a CNAME (section 6.1).
        writer.sdes(ssrc, &[(item::CNAME, self.config.cname.as_bytes())]);
        if self.config.extended_reports {
            let last = self.reports.last_rrt.map(|(ssrc, last_rr, at)| Dlrr {
                ssrc,
                last_rr,
                delay: to_short(now.since(at)),
            });
            let mut extended = [Block::Other(0); 3];
            let [time, dlrr, metrics] = &mut extended;
            if sender.is_none() {
                *time = Block::ReceiverTime(self.ntp(now));
            }
            if let Some(last) = &last {
                *dlrr = Block::Dlrr(core::slice::from_ref(last));
            }
            if let Some(source) = block {
                *metrics = Block::VoipMetrics(self.metrics(source.ssrc));
            }
            Writer::new(&mut out.bytes).extended(ssrc, &extended);
        }
        if let Some(reason) = bye {
            Writer::new(&mut out.bytes).bye(&[ssrc], reason);
        }
        if let Some(protect) = &mut self.protect
            && protect.rtcp(&mut out.bytes, start).is_err()
        {
            out.bytes.truncate(start);
            self.ended = true;
            self.tell(Event::KeyExhausted);
            return;
        }
        self.interval.saw(out.bytes.len().saturating_sub(start));
        self.counts.reports_sent += 1;
        let channel = if self.stream.mux { Channel::Rtp } else { Channel::Rtcp };
        out.push(channel, self.peer.address(Channel::Rtcp), start);
    }

    /// The RTP timestamp of this moment, which may be between two packets.
    fn timestamp_at(&self, now: Instant) -> u32 {
        let clock = u64::from(self.sending.clock());
        let units = |time: Duration| (time.as_micros() as u64 * clock / 1_000_000) as u32;
        let (next, timestamp) = (self.sending.next, self.sending.timestamp);
        timestamp.wrapping_add(units(now.since(next))).wrapping_sub(units(next.since(now)))
    }

    /// What we say of the peer's source.
    fn block(&mut self, now: Instant) -> Option<ReportBlock> {
        let source = self.receiving.active_mut()?;
        let loss = source.sequence.loss();
        let fraction_lost = source.sequence.fraction();
        let last = self.reports.last_sr.filter(|last| last.0 == source.ssrc);
        Some(ReportBlock {
            ssrc: source.ssrc,
            fraction_lost,
            lost: loss.lost.clamp(-(1 << 23), (1 << 23) - 1) as i32,
            extended_max: loss.extended_max,
            jitter: source.jitter(),
            last_sr: last.map_or(0, |last| last.1),
            delay: last.map_or(0, |last| to_short(now.since(last.2))),
        })
    }

    /// The VoIP metrics of what we hear (RFC 3611 section 4.7). Levels, R factor and MOS are not
    /// measured here.
    fn metrics(&self, ssrc: u32) -> VoipMetrics {
        let ms = |time: Duration| u16::try_from(time.as_millis()).unwrap_or(u16::MAX);
        let packet = self.stream.ptime.as_millis() as u64;
        let lasting = |packets: u64| u16::try_from(packets * packet).unwrap_or(u16::MAX);
        let bursts = self.bursts.metrics();
        let loss = self.receiving.active().map(|source| source.sequence.loss()).unwrap_or_default();
        let rate = |part: u64| (part * 256).checked_div(loss.expected).unwrap_or(0).min(255) as u8;
        let buffer = &self.playing.buffer;
        VoipMetrics {
            ssrc,
            loss_rate: rate(u64::try_from(loss.lost).unwrap_or(0)),
            discard_rate: rate(self.counts.late + self.counts.skipped),
            burst_density: bursts.burst_density,
            gap_density: bursts.gap_density,
            burst_duration: lasting(bursts.burst_packets),
            gap_duration: lasting(bursts.gap_packets),
            round_trip: self.reports.round_trip.map_or(0, ms),
            end_system: ms(buffer.delay() + self.stream.ptime),
            // Enhanced concealment, an adaptive buffer; its rate is not told.
            receiver: 0b1011_0000,
            buffer: ms(buffer.delay()),
            buffer_maximum: ms(buffer.deepest()),
            buffer_limit: ms(self.config.jitter.most),
            ..VoipMetrics::default()
        }
    }

    pub(super) fn receive_rtcp(
        &mut self,
        now: Instant,
        from: SocketAddr,
        bytes: &mut [u8],
        out: &mut Outbox,
    ) {
        let bytes: &[u8] = match &mut self.unprotect {
            None => bytes,
            Some(unprotect) => match unprotect.rtcp(bytes) {
                Ok(bytes) => bytes,
                Err(fault) => return self.refused(fault),
            },
        };
        let Ok(compound) = Compound::parse(bytes) else {
            self.counts.malformed += 1;
            return;
        };
        let ours = self.sending.ssrc;
        let reporter = compound.packets().find_map(|packet| match packet {
            Packet::Report(report) => Some(report.ssrc),
            _ => None,
        });
        if reporter == Some(ours) {
            return self.collided(from, now, out);
        }
        self.peer.heard(Channel::Rtcp, from);
        self.counts.reports_received += 1;
        self.interval.saw(bytes.len());
        for packet in compound.packets() {
            match packet {
                Packet::Report(report) => self.reported(&report, now),
                Packet::Bye { sources, reason } => self.left(sources, reason, now),
                Packet::Extended(ssrc, blocks) => {
                    for block in blocks {
                        self.extended(ssrc, &block, now);
                    }
                }
                Packet::Sdes(_) | Packet::Other(_) => (),
            }
        }
    }

    fn reported(&mut self, report: &Report<'_>, now: Instant) {
        if let Some(sender) = report.sender {
            self.reports.last_sr = Some((report.ssrc, sender.ntp.middle(), now));
        }
        let Some(block) = report.blocks().find(|block| block.ssrc == self.sending.ssrc) else {
            return;
        };
        let clock = u64::from(self.sending.clock());
        self.reports.peer = Some(PeerView {
            fraction_lost: block.fraction_lost,
            lost: block.lost,
            jitter: Duration::from_micros(u64::from(block.jitter) * 1_000_000 / clock),
        });
        self.measured(block.last_sr, block.delay, now);
    }

    /// A round trip (RFC 3550 section 6.4.1): our time came back, after so much of it there.
    fn measured(&mut self, sent: u32, delay: u32, now: Instant) {
        let way = self.ntp(now).middle().wrapping_sub(sent).wrapping_sub(delay);
        // The peer's clock may be a little coarse, but nobody is a minute away.
        let way = if way as i32 >= -655 { (way as i32).max(0) as u32 } else { u32::MAX };
        if sent != 0 && way < 60 << 16 {
            self.reports.round_trip = Some(of_short(way));
        }
    }

    fn extended(&mut self, ssrc: u32, block: &Block<'_>, now: Instant) {
        match block {
            Block::ReceiverTime(time) => {
                self.reports.last_rrt = Some((ssrc, time.middle(), now));
            }
            Block::DlrrBytes(parts) => {
                let ours = self.sending.ssrc;
                if let Some(part) = parts.iter().map(Dlrr::read).find(|part| part.ssrc == ours) {
                    self.measured(part.last_rr, part.delay, now);
                }
            }
            Block::VoipMetrics(metrics) if metrics.ssrc == self.sending.ssrc => {
                self.reports.metrics = Some(*metrics);
            }
            _ => (),
        }
    }

    fn left(&mut self, sources: &[[u8; 4]], reason: &[u8], now: Instant) {
        for ssrc in sources.iter().take(31).map(|bytes| u32::from_be_bytes(*bytes)) {
            if self.receiving.left(ssrc) {
                let reason = String::from_utf8_lossy(reason).into_owned();
                tell(&mut self.events, Event::Goodbye(reason));
            }
        }
        let members = self.population(now).members;
        self.interval.left(members, now);
    }
}
