//! What is heard and said in calls, and what is done in them, in words of the command line.

use std::ops::RangeInclusive;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::{Args, ValueEnum};
use towel_media::codec::Codec;
use towel_phone::{Keys, MediaConfig, Play, Srtp, Step, Wants, script};

use crate::options::misused;

/// What both have in common.
#[derive(Debug, Args)]
pub(super) struct Sound {
    /// What is said: a WAV file, tone:HERTZ, echo, silence, or device [default: silence]
    #[arg(long, value_name = "WHAT")]
    play: Option<String>,
    /// WAV file to write what is heard to; later calls have their number in its name
    #[arg(long, value_name = "FILE")]
    pub(super) record: Option<PathBuf>,
    /// Codecs, the preferred first
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "opus,g722,pcma,pcmu")]
    codec: Vec<String>,
    /// Whether audio is protected by SRTP: off, offered (and a call made again without it if the peer has
    /// none), or required
    #[arg(long, value_enum, default_value_t = Protection::Off)]
    srtp: Protection,
    /// Hang up so many seconds after the call is up
    #[arg(long, value_name = "N")]
    pub(super) seconds: Option<u64>,
    /// A step in each call that is up, e.g. "after 2s hold", resume, "dtmf 12#", "play tone:440",
    /// "transfer URI" (blind), "attended URI" (hold, call, put through), hangup; "after 1s..5s hangup" is
    /// some time between
    #[arg(long = "do", value_name = "STEP")]
    steps: Vec<String>,
    /// File with steps, a line each
    #[arg(long, value_name = "FILE", conflicts_with = "steps")]
    script: Option<PathBuf>,
    /// Keys go by INFO (application/dtmf-relay), not as telephone events
    #[arg(long)]
    info: bool,
    /// Ports for audio, e.g. 20000-29999 [default: any that are free]
    #[arg(long, value_name = "LOW-HIGH", value_parser = ports, help_heading = "Many calls")]
    ports: Option<RangeInclusive<u16>>,
    /// Threads for audio
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64), help_heading = "Many calls")]
    media_threads: u16,
    /// Lose so many percent of what arrives, SIP and audio: for trials
    #[arg(long, value_name = "PERCENT", help_heading = "Many calls")]
    pub(super) lose: Option<f64>,
    /// What is lost follows from this number
    #[arg(
        long,
        value_name = "N",
        default_value_t = 1,
        requires = "lose",
        help_heading = "Many calls"
    )]
    pub(super) seed: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Protection {
    Off,
    Offer,
    Require,
}

/// Two ports with a dash between them.
fn ports(text: &str) -> Result<RangeInclusive<u16>, String> {
    let range = text.split_once('-').and_then(|(low, high)| {
        let (low, high) = (low.trim().parse::<u16>().ok()?, high.trim().parse::<u16>().ok()?);
        (low >= 1024 && high > low).then_some(low..=high)
    });
    range.ok_or_else(|| "write two ports from 1024 on, as 20000-29999".into())
}

impl Sound {
    pub(super) fn play(&self) -> Result<Play> {
        let play = match self.play.as_deref().map(str::parse) {
            None => Play::Silence,
            Some(Ok(play)) => play,
            Some(Err(why)) => misused!("{why}"),
        };
        // A file that cannot be played is told of before anybody is called.
        play.open(self.rate()).map_err(anyhow::Error::msg)?;
        Ok(play)
    }

    fn codecs(&self) -> Result<Vec<Codec>> {
        let mut codecs = Vec::new();
        for name in &self.codec {
            let Some(codec) = Codec::ALL.into_iter().find(|c| c.name().eq_ignore_ascii_case(name))
            else {
                misused!("`{name}` is no codec; there are opus, g722, pcma and pcmu");
            };
            if !codecs.contains(&codec) {
                codecs.push(codec);
            }
        }
        Ok(codecs)
    }

    pub(super) fn wants(&self) -> Result<Wants> {
        let srtp = match self.srtp {
            Protection::Off => Srtp::Off,
            Protection::Offer => Srtp::Offer,
            Protection::Require => Srtp::Require,
        };
        Ok(Wants { codecs: self.codecs()?, srtp, ..Wants::default() })
    }

    pub(super) fn keys(&self) -> Keys {
        if self.info { Keys::Info } else { Keys::Events }
    }

    /// The rate of all audio: where there is but G.711, its own.
    fn rate(&self) -> u32 {
        let narrow = |codecs: Vec<Codec>| {
            codecs.iter().all(|codec| matches!(codec, Codec::Pcma | Codec::Pcmu))
        };
        if self.codecs().is_ok_and(narrow) { 8000 } else { towel_phone::RATE }
    }

    pub(super) fn media(&self) -> Result<MediaConfig> {
        if let Some(percent) = self.lose.filter(|percent| !(0.0..=100.0).contains(percent)) {
            misused!("`{percent}` percent cannot be lost");
        }
        Ok(MediaConfig {
            threads: usize::from(self.media_threads),
            ports: self.ports.clone(),
            rate: self.rate(),
            lose: self.lose.map(|percent| (percent / 100.0, self.seed)),
        })
    }

    pub(super) fn steps(&self) -> Result<Vec<Step>> {
        if let Some(path) = &self.script {
            let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
            return match script::steps(&text) {
                Ok(steps) => Ok(steps),
                Err((line, why)) => misused!("{}:{line}: {why}", path.display()),
            };
        }
        let mut steps = Vec::new();
        for step in &self.steps {
            match step.parse() {
                Ok(step) => steps.push(step),
                Err(why) => misused!("--do: {why}"),
            }
        }
        Ok(steps)
    }
}
