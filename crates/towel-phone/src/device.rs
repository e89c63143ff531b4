//! The sound device of this machine: its microphone and its loudspeaker.

use std::sync::mpsc::{Receiver, Sender, channel};

use cpal::traits::{DeviceTrait as _, HostTrait as _, StreamTrait as _};
use cpal::{Sample as _, SampleFormat, SupportedStreamConfig};
use towel_media::audio::{Echo, Resampler, Sink as _, Source};

/// What the microphone hears. The device is closed when it is dropped.
pub(crate) struct Microphone {
    heard: Echo,
    /// Its thread waits until this is gone.
    _open: Sender<()>,
}

impl Source for Microphone {
    fn fill(&mut self, frame: &mut [i16]) -> usize {
        self.heard.fill(frame)
    }
}

/// Opens the device at this rate: what the microphone hears, and where the loudspeaker takes from.
///
/// # Errors
/// In words for a person, if there is none.
pub(crate) fn open(rate: u32) -> Result<(Microphone, Echo), String> {
    let (heard, said) = (Echo::new(rate), Echo::new(rate));
    let (open, closed) = channel();
    let (tell, told) = channel();
    let ends = (heard.clone(), said.clone());
    // A stream stays on the thread that made it.
    let thread = std::thread::Builder::new().name("sound".into());
    let spawned = thread.spawn(move || serve(rate, ends, &tell, &closed));
    spawned.map_err(|e| format!("sound device: {e}"))?;
    told.recv().map_err(|_| "the sound device has broken down".to_owned())??;
    Ok((Microphone { heard, _open: open }, said))
}

fn serve(
    rate: u32,
    (heard, said): (Echo, Echo),
    tell: &Sender<Result<(), String>>,
    closed: &Receiver<()>,
) {
    let streams = input(rate, heard).and_then(|input| Ok((input, output(rate, said)?)));
    let kept = match streams {
        Ok(streams) => {
            let _ = tell.send(Ok(()));
            streams
        }
        Err(why) => {
            let _ = tell.send(Err(why));
            return;
        }
    };
    // Until the other end is dropped.
    let _ = closed.recv();
    drop(kept);
}

/// A device whose thread has trouble is silent; there is nobody to tell.
fn trouble(_: cpal::StreamError) {}

fn input(rate: u32, mut heard: Echo) -> Result<cpal::Stream, String> {
    let device = cpal::default_host().default_input_device();
    let device = device.ok_or("there is no microphone: give a WAV file or tone:HERTZ")?;
    let config = device.default_input_config().map_err(|e| format!("microphone: {e}"))?;
    let (channels, own, format) = facts(&config)?;
    let mut resampler =
        Resampler::new(own, rate).map_err(|_| format!("microphone: {own} Hz cannot be used"))?;
    let (mut mono, mut ready) = (Vec::new(), Vec::new());
    let mut take = move |frames: &mut dyn Iterator<Item = i16>| {
        mono.clear();
        mono.extend(frames);
        ready.clear();
        resampler.run(&mono, &mut ready);
        heard.take(&ready);
    };
    let stream = match format {
        SampleFormat::I16 => device.build_input_stream(
            &config.config(),
            move |data: &[i16], _: &_| take(&mut data.iter().step_by(channels).copied()),
            trouble,
            None,
        ),
        _ => device.build_input_stream(
            &config.config(),
            move |data: &[f32], _: &_| {
                take(&mut data.iter().step_by(channels).map(|one| one.to_sample::<i16>()));
            },
            trouble,
            None,
        ),
    };
    let stream = stream.map_err(|e| format!("microphone: {e}"))?;
    stream.play().map_err(|e| format!("microphone: {e}"))?;
    Ok(stream)
}

fn output(rate: u32, mut said: Echo) -> Result<cpal::Stream, String> {
    let device = cpal::default_host().default_output_device();
    let device = device.ok_or("there is no loudspeaker: write a WAV file with --record")?;
    let config = device.default_output_config().map_err(|e| format!("loudspeaker: {e}"))?;
    let (channels, own, format) = facts(&config)?;
    let mut resampler =
        Resampler::new(rate, own).map_err(|_| format!("loudspeaker: {own} Hz cannot be used"))?;
    let (mut frame, mut ready) = (Vec::new(), std::collections::VecDeque::new());
    let mut made = Vec::new();
    // What the resampler keeps back makes up for itself.
    let mut next = move || {
        if ready.is_empty() {
            frame.resize(rate as usize / 100, 0);
            said.fill(&mut frame);
            made.clear();
            resampler.run(&frame, &mut made);
            ready.extend(&made);
        }
        ready.pop_front().unwrap_or(0i16)
    };
    let stream = match format {
        SampleFormat::I16 => device.build_output_stream(
            &config.config(),
            move |data: &mut [i16], _: &_| {
                data.chunks_mut(channels).for_each(|frame| frame.fill(next()));
            },
            trouble,
            None,
        ),
        _ => device.build_output_stream(
            &config.config(),
            move |data: &mut [f32], _: &_| {
                data.chunks_mut(channels).for_each(|frame| frame.fill(next().to_sample()));
            },
            trouble,
            None,
        ),
    };
    let stream = stream.map_err(|e| format!("loudspeaker: {e}"))?;
    stream.play().map_err(|e| format!("loudspeaker: {e}"))?;
    Ok(stream)
}

fn facts(config: &SupportedStreamConfig) -> Result<(usize, u32, SampleFormat), String> {
    let format = config.sample_format();
    match format {
        SampleFormat::I16 | SampleFormat::F32 => {}
        other => return Err(format!("sound device: samples of {other} cannot be used")),
    }
    Ok((usize::from(config.channels()).max(1), config.sample_rate().0, format))
}
