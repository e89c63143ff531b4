//! What we send: audio frame by frame, comfort noise, telephone events.

use super::{Channel, Config, Event, Format, Outbox, Session, Stream};
use crate::audio::{Resampler, Source, level};
use crate::codec::{Codec, Encoder, Fault, noise_payload};
use crate::dtmf;
use crate::rtp::Header;
use crate::{Instant, Random};
use core::time::Duration;

/// Who is later than this skips frames instead of sending them all at once.
const LATEST: Duration = Duration::from_millis(200);
/// What is below this is silence, in dB below the loudest square wave.
const SILENCE: f64 = -55.0;
/// So long it is silent before comfort noise is sent, in ms; and so often that is sent again.
const HANGOVER: u32 = 200;
const AGAIN: u32 = 1000;

/// The sending half.
#[derive(Debug)]
pub(super) struct Sending {
    pub(super) ssrc: u32,
    pub(super) dtmf: dtmf::Sender,
    /// Packets and bytes of payload sent with this SSRC.
    pub(super) packets: u32,
    pub(super) octets: u32,
    /// When RTP was sent last.
    pub(super) last: Option<Instant>,
    pub(super) next: Instant,
    format: Format,
    encoder: Encoder,
    resampler: Resampler,
    sequence: u16,
    pub(super) timestamp: u32,
    ptime: u32,
    /// The next packet begins a talkspurt.
    marker: bool,
    /// How long it has been silent, and since the last comfort noise, in ms.
    silent: u32,
    since_noise: u32,
    frame: Vec<i16>,
    resampled: Vec<i16>,
    payload: Vec<u8>,
}

impl Sending {
    pub(super) fn new(
        config: &Config,
        stream: &Stream,
        random: &mut Random,
        now: Instant,
    ) -> Result<Self, Fault> {
        let format = *stream.codecs.first().ok_or(Fault::Payload)?;
        let (encoder, resampler) = encoder(config, format.kind)?;
        let mut this = Self {
            ssrc: 0,
            dtmf: dtmf::Sender::new(stream.events.map_or(8000, |events| events.clock)),
            packets: 0,
            octets: 0,
            last: None,
            next: now,
            format,
            encoder,
            resampler,
            sequence: 0,
            timestamp: 0,
            ptime: stream.ptime_for(format.kind),
            marker: true,
            silent: 0,
            since_noise: 0,
            frame: Vec::new(),
            resampled: Vec::new(),
            payload: Vec::new(),
        };
        this.begin(random);
        Ok(this)
    }

    /// Begins as another source (RFC 3550 section 5.1).
    pub(super) fn begin(&mut self, random: &mut Random) {
        self.ssrc = random.word();
        // RFC 4568 section 6.4: in the lower half, so that a lost beginning does not confuse.
        self.sequence = (random.word() >> 17) as u16;
        self.timestamp = random.word();
        (self.packets, self.octets, self.last, self.marker) = (0, 0, None, true);
    }

    pub(super) fn codec(&self) -> Codec {
        self.format.kind
    }

    /// The clock rate of what is sent.
    pub(super) fn clock(&self) -> u32 {
        self.format.clock
    }

    /// Goes on as another stream says.
    pub(super) fn change(
        &mut self,
        config: &Config,
        old: &Stream,
        new: &Stream,
        random: &mut Random,
        now: Instant,
    ) -> Result<(), Fault> {
        let format = *new.codecs.first().ok_or(Fault::Payload)?;
        if format.kind != self.format.kind {
            (self.encoder, self.resampler) = encoder(config, format.kind)?;
            self.marker = true;
        }
        if format.clock != self.format.clock {
            // One source has one clock rate (RFC 7160 section 4).
            self.begin(random);
        }
        self.format = format;
        self.ptime = new.ptime_for(format.kind);
        let clock = |stream: &Stream| stream.events.map(|events| events.clock);
        match clock(new) {
            Some(rate) if clock(old) != Some(rate) => self.dtmf = dtmf::Sender::new(rate),
            None => self.dtmf.clear(),
            Some(_) => (),
        }
        if new.sends() && !old.sends() {
            self.marker = true;
            // While on hold the time went on.
            let held = now.since(self.next).as_micros() * u128::from(self.clock()) / 1_000_000;
            self.timestamp = self.timestamp.wrapping_add(held as u32);
            self.next = self.next.max(now);
        }
        Ok(())
    }
}

fn encoder(config: &Config, codec: Codec) -> Result<(Encoder, Resampler), Fault> {
    let rate = codec.rate_for(config.rate);
    let resampler = Resampler::new(config.rate, rate).map_err(|_| Fault::Rate(rate))?;
    Ok((Encoder::new(codec, rate)?, resampler))
}

impl Session {
    /// When [`Session::poll`] is to be called.
    pub fn timeout(&self) -> Option<Instant> {
        if self.ended || self.stream.unreachable {
            return None;
        }
        let report = self.interval.next();
        Some(if self.stream.sends() { report.min(self.sending.next) } else { report })
    }

    /// Puts what is due into the outbox. Audio is taken from the source as it is needed; a source
    /// that has ended is silence. While nothing is to be sent (hold) the source is not asked.
    pub fn poll(&mut self, now: Instant, source: &mut dyn Source, out: &mut Outbox) {
        self.lapse(now);
        if self.ended || self.stream.unreachable {
            return;
        }
        if self.stream.sends() {
            self.catch_up(now);
            while self.sending.next <= now && !self.ended {
                self.send_frame(now, source, out);
            }
        }
        self.report_if_due(now, out);
    }

    /// Who was asleep does not send all that was missed.
    fn catch_up(&mut self, now: Instant) {
        let behind = now.since(self.sending.next);
        if behind <= LATEST {
            return;
        }
        let frames = behind.as_millis() / u128::from(self.sending.ptime);
        let frames = u32::try_from(frames).unwrap_or(u32::MAX);
        let sending = &mut self.sending;
        let units = sending.clock() / 1000 * sending.ptime;
        sending.timestamp = sending.timestamp.wrapping_add(units.wrapping_mul(frames));
        sending.next = sending.next + Duration::from_millis(u64::from(sending.ptime)) * frames;
        sending.marker = true;
    }

    fn send_frame(&mut self, now: Instant, source: &mut dyn Source, out: &mut Outbox) {
        let sending = &mut self.sending;
        let length = (self.config.rate / 1000 * sending.ptime) as usize;
        let mut frame = core::mem::take(&mut sending.frame);
        frame.resize(length, 0);
        let filled = source.fill(&mut frame).min(length);
        frame.iter_mut().skip(filled).for_each(|sample| *sample = 0);

        let timestamp = sending.timestamp;
        let units = sending.clock() / 1000 * sending.ptime;
        sending.timestamp = timestamp.wrapping_add(units);
        sending.next = sending.next + Duration::from_millis(u64::from(sending.ptime));
        // The encoder hears everything, so that its memory does not tear.
        sending.resampled.clear();
        let mut resampled = core::mem::take(&mut sending.resampled);
        sending.resampler.run(&frame, &mut resampled);

        if !self.send_event(timestamp, units, now, out) {
            let quiet = self.config.dtx && level(&frame) < SILENCE;
            match self.stream.noise.filter(|_| quiet) {
                Some(noise) if self.sending.silent >= HANGOVER => {
                    self.send_noise(noise.send, timestamp, level(&frame), now, out);
                }
                _ => self.send_audio(timestamp, &resampled, quiet, now, out),
            }
        }
        (self.sending.frame, self.sending.resampled) = (frame, resampled);
    }

    /// Sends the packets of a telephone event; whether audio keeps silent.
    fn send_event(&mut self, timestamp: u32, units: u32, now: Instant, out: &mut Outbox) -> bool {
        let Some(events) = self.stream.events else { return false };
        let clock = self.sending.clock();
        // Where both clocks are the same, so are the units (RFC 4733 section 2.1).
        let scaled = |units: u32| u64::from(units) * u64::from(events.clock) / u64::from(clock);
        let packets = self.sending.dtmf.step(timestamp, scaled(units) as u32);
        for packet in packets.into_iter().flatten() {
            let header = (packet.marker, events.send, packet.timestamp);
            self.send_rtp(header, &packet.event.bytes(), now, out);
        }
        if self.sending.dtmf.is_sounding() {
            self.sending.marker = true;
            return true;
        }
        false
    }

    fn send_noise(
        &mut self,
        number: u8,
        timestamp: u32,
        level: f64,
        now: Instant,
        out: &mut Outbox,
    ) {
        let sending = &mut self.sending;
        // The next word begins a talkspurt.
        sending.marker = true;
        let due = sending.since_noise >= AGAIN;
        sending.since_noise = if due { 0 } else { sending.since_noise };
        sending.since_noise = sending.since_noise.saturating_add(sending.ptime);
        if due {
            self.send_rtp((false, number, timestamp), &noise_payload(level), now, out);
        }
    }

    fn send_audio(
        &mut self,
        timestamp: u32,
        samples: &[i16],
        quiet: bool,
        now: Instant,
        out: &mut Outbox,
    ) {
        let sending = &mut self.sending;
        let ptime = sending.ptime;
        sending.silent = if quiet { sending.silent.saturating_add(ptime) } else { 0 };
        // The first comfort noise is due at once.
        sending.since_noise = AGAIN;
        let header = (core::mem::take(&mut sending.marker), sending.format.send, timestamp);
        let mut payload = core::mem::take(&mut sending.payload);
        payload.clear();
        if sending.encoder.encode(samples, &mut payload).is_ok() && !payload.is_empty() {
            self.send_rtp(header, &payload, now, out);
        }
        self.sending.payload = payload;
    }

    /// Sends a packet of this marker, payload type and timestamp.
    fn send_rtp(
        &mut self,
        (marker, payload_type, timestamp): (bool, u8, u32),
        payload: &[u8],
        now: Instant,
        out: &mut Outbox,
    ) {
        let sending = &mut self.sending;
        let (ssrc, sequence) = (sending.ssrc, sending.sequence);
        let start = out.bytes.len();
        Header { marker, payload_type, sequence, timestamp, ssrc }.write(&mut out.bytes);
        out.bytes.extend_from_slice(payload);
        if let Some(protect) = &mut self.protect
            && protect.rtp(&mut out.bytes, start).is_err()
        {
            out.bytes.truncate(start);
            self.protect = None;
            self.ended = true;
            self.tell(Event::KeyExhausted);
            return;
        }
        sending.sequence = sequence.wrapping_add(1);
        sending.packets = sending.packets.wrapping_add(1);
        sending.octets = sending.octets.wrapping_add(payload.len() as u32);
        sending.last = Some(now);
        self.counts.sent += 1;
        self.counts.sent_bytes += payload.len() as u64;
        out.push(Channel::Rtp, self.peer.address(Channel::Rtp), start);
    }
}
