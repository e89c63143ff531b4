//! What is heard: from the jitter buffer through a decoder to frames of the caller's length.

use super::{Config, Format, Session, Stream};
use crate::Instant;
use crate::audio::Resampler;
use crate::codec::{ComfortNoise, Decoder, Fault};
use crate::jitter::{Buffer, Next, Put};
use std::collections::VecDeque;

/// The playing half.
#[derive(Debug)]
pub(super) struct Playing {
    pub(super) buffer: Buffer,
    decoders: Vec<Decoding>,
    /// Which of them was used last.
    current: usize,
    events: Option<u8>,
    noise_number: Option<u8>,
    noise: ComfortNoise,
    fill: Fill,
    decoded: Vec<i16>,
    resampled: Vec<i16>,
    ready: VecDeque<i16>,
}

/// A decoder for a payload type, with its way to the caller's rate.
#[derive(Debug)]
struct Decoding {
    format: Format,
    rate: u32,
    decoder: Decoder,
    resampler: Resampler,
}

/// What is heard while nothing is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fill {
    Silence,
    Noise,
    /// The last sound goes on, for so many ms more.
    Fading(u32),
}

/// How long a sound goes on by itself, in ms; decoders are silent by then.
const FADING: u32 = 120;
/// Steps in which time goes by while nothing is there, in ms.
const STEP: u32 = 10;

impl Playing {
    pub(super) fn new(config: &Config, stream: &Stream, seed: u64) -> Result<Self, Fault> {
        let decoders = decoders(config, stream)?;
        let clock = decoders.first().ok_or(Fault::Payload)?.format.clock;
        Ok(Self {
            buffer: Buffer::new(clock, config.jitter),
            decoders,
            current: 0,
            events: stream.events.map(|events| events.receive),
            noise_number: stream.noise.map(|noise| noise.receive),
            noise: ComfortNoise::new(seed),
            fill: Fill::Silence,
            decoded: Vec::new(),
            resampled: Vec::new(),
            ready: VecDeque::with_capacity(config.rate as usize / 5),
        })
    }

    /// Goes on as another stream says. The same formats keep their decoders.
    pub(super) fn change(
        &mut self,
        config: &Config,
        old: &Stream,
        new: &Stream,
    ) -> Result<(), Fault> {
        let numbers = |stream: &Stream| -> Vec<_> {
            stream.codecs.iter().map(|format| (format.kind, format.receive)).collect()
        };
        if numbers(old) != numbers(new) {
            self.decoders = decoders(config, new)?;
            self.current = 0;
            self.restart();
        }
        self.events = new.events.map(|events| events.receive);
        self.noise_number = new.noise.map(|noise| noise.receive);
        if !new.direction.receives() {
            self.restart();
            self.ready.clear();
        }
        Ok(())
    }

    /// The clock rate of what is played.
    pub(super) fn clock(&self) -> u32 {
        self.decoders.get(self.current).map_or(8000, |decoding| decoding.format.clock)
    }

    /// The clock rate of a payload type; events and noise have that of the audio.
    pub(super) fn clock_of(&self, number: u8) -> u32 {
        let of = self.decoders.iter().find(|decoding| decoding.format.receive == number);
        of.map_or(self.clock(), |decoding| decoding.format.clock)
    }

    /// Another source begins.
    pub(super) fn restart(&mut self) {
        self.buffer.reset(self.clock());
        self.noise.stop();
        self.fill = Fill::Silence;
    }

    pub(super) fn put(
        &mut self,
        sequence: u64,
        timestamp: u32,
        number: u8,
        payload: &[u8],
        now: Instant,
    ) -> Put {
        let at = self.decoders.iter().position(|decoding| decoding.format.receive == number);
        if let Some(at) = at.filter(|at| *at != self.current) {
            let clock = self.clock();
            self.current = at;
            // What is held has another clock.
            if self.clock() != clock {
                self.restart();
            }
        }
        self.buffer.put(sequence, timestamp, number, payload, now)
    }
}

fn decoders(config: &Config, stream: &Stream) -> Result<Vec<Decoding>, Fault> {
    let decoder = |format: &Format| {
        let rate = format.kind.rate_for(config.rate);
        let resampler = Resampler::new(rate, config.rate).map_err(|_| Fault::Rate(rate))?;
        Ok(Decoding { format: *format, rate, decoder: Decoder::new(format.kind, rate)?, resampler })
    };
    stream.codecs.iter().map(decoder).collect()
}

impl Session {
    /// Fills a frame with what is to be heard next, of any length, at the session's rate. The caller calls
    /// at the pace of who listens: a frame of 20 ms each 20 ms.
    pub fn play(&mut self, now: Instant, frame: &mut [i16]) {
        if !self.stream.direction.receives() || self.ended {
            frame.fill(0);
            return;
        }
        // Each turn makes samples or takes a packet, of which there are few.
        let mut turns = 256 + frame.len();
        while self.playing.ready.len() < frame.len() && turns > 0 {
            turns -= 1;
            self.make(now);
        }
        let ready = &mut self.playing.ready;
        frame.iter_mut().for_each(|sample| *sample = ready.pop_front().unwrap_or(0));
    }

    /// Takes the next thing out of the jitter buffer.
    fn make(&mut self, now: Instant) {
        let playing = &mut self.playing;
        let Some(current) = playing.decoders.get_mut(playing.current) else { return };
        let (clock, rate) = (current.format.clock, current.rate);
        let samples = |units: u32| (u64::from(units) * u64::from(rate) / u64::from(clock)) as usize;
        let units = |samples: usize| (samples as u64 * u64::from(clock) / u64::from(rate)) as u32;
        playing.decoded.clear();
        let mut heard = true;
        let (went_by, is_frame) = match playing.buffer.next(now) {
            Next::Packet(number, payload) | Next::Skipped(number, payload)
                if Some(number) == playing.noise_number =>
            {
                playing.noise.payload(payload);
                playing.fill = Fill::Noise;
                (0, false)
            }
            Next::Packet(number, _) | Next::Skipped(number, _)
                if Some(number) == playing.events =>
            {
                playing.fill = Fill::Silence;
                self.bursts.received();
                (0, false)
            }
            next @ (Next::Packet(number, payload) | Next::Skipped(number, payload)) => {
                heard = matches!(next, Next::Packet(..));
                self.counts.skipped += u64::from(!heard);
                let right = current.format.receive == number;
                if !right || current.decoder.decode(payload, &mut playing.decoded).is_err() {
                    self.counts.undecodable += 1;
                    playing.decoded.clear();
                }
                match heard {
                    true => self.bursts.received(),
                    false => self.bursts.discarded(),
                }
                playing.fill = Fill::Fading(FADING);
                (units(playing.decoded.len()), true)
            }
            Next::Lost(lost, after) => {
                let right = after.filter(|(number, _)| *number == current.format.receive);
                let after = right.map(|(_, payload)| payload);
                current.decoder.conceal(samples(lost), after, &mut playing.decoded);
                self.counts.concealed += playing.decoded.len() as u64;
                self.bursts.lost();
                (lost, false)
            }
            Next::Pause(pause) => {
                let step = pause.min(clock / 1000 * STEP);
                match playing.fill {
                    Fill::Noise => playing.noise.make(samples(step), &mut playing.decoded),
                    _ => playing.decoded.resize(samples(step), 0),
                }
                (step, false)
            }
            Next::Empty => {
                let step = samples(clock / 1000 * STEP);
                match playing.fill {
                    Fill::Noise => playing.noise.make(step, &mut playing.decoded),
                    Fill::Fading(left) if left >= STEP => {
                        self.counts.underruns += u64::from(left == FADING);
                        playing.fill = Fill::Fading(left - STEP);
                        current.decoder.conceal(step, None, &mut playing.decoded);
                        self.counts.concealed += step as u64;
                    }
                    _ => playing.decoded.resize(step, 0),
                }
                (0, false)
            }
        };
        if heard {
            playing.buffer.played(went_by, is_frame);
            playing.resampled.clear();
            current.resampler.run(&playing.decoded, &mut playing.resampled);
            playing.ready.extend(&playing.resampled);
        }
    }
}
