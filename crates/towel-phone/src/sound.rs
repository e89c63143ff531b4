//! What is said in a call, and what becomes of what is heard.

use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::path::{Path, PathBuf};

use towel_media::audio::{Echo, Player, Recorder, Silence, Sink, Source, Tone};

/// The usual rate of audio, in Hz.
pub const RATE: u32 = 16_000;
/// How long is recorded at most, in seconds.
const MOST: u64 = 4 * 3600;

/// What is said.
#[derive(Clone, Debug, PartialEq)]
pub enum Play {
    /// Nothing.
    Silence,
    /// A tone of so many Hz.
    Tone(f64),
    /// A WAV file, once.
    File(PathBuf),
    /// What is heard.
    Echo,
    /// What this machine's microphone hears; its loudspeaker says what is heard.
    #[cfg(feature = "sound")]
    Device,
}

/// What cannot be played.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unplayable(String);

impl std::fmt::Display for Unplayable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unplayable {}

impl std::str::FromStr for Play {
    type Err = Unplayable;

    /// `silence`, `echo`, `tone:HERTZ`, `device`, and else the name of a WAV file.
    fn from_str(text: &str) -> Result<Play, Unplayable> {
        if let Some(hertz) = text.strip_prefix("tone:") {
            return match hertz.parse() {
                Ok(hertz) if (20.0..=7000.0).contains(&hertz) => Ok(Play::Tone(hertz)),
                _ => Err(Unplayable(format!("`{hertz}` is no pitch: 20 to 7000 Hz can be played"))),
            };
        }
        Ok(match text {
            "silence" => Play::Silence,
            "echo" => Play::Echo,
            #[cfg(feature = "sound")]
            "device" => Play::Device,
            #[cfg(not(feature = "sound"))]
            "device" => {
                let why =
                    "this towel was built without sound devices: build it with --features sound";
                return Err(Unplayable(why.into()));
            }
            path => Play::File(path.into()),
        })
    }
}

impl Play {
    /// What is said at this rate, and what has to hear for it.
    ///
    /// # Errors
    /// In words for a person, if a file cannot be played or there is no device.
    pub fn open(&self, rate: u32) -> Result<(Box<dyn Source + Send>, Ear), String> {
        Ok(match self {
            Play::Silence => (Box::new(Silence), Ear::default()),
            Play::Tone(hertz) => (Box::new(Tone::new(rate, &[*hertz], -12.0)), Ear::default()),
            Play::File(path) => {
                let file = File::open(path).map_err(|e| format!("{}: {e}", path.display()))?;
                let player = Player::new(BufReader::new(file), rate, false);
                let player = player.map_err(|e| format!("{}: {e}", path.display()))?;
                (Box::new(player), Ear::default())
            }
            Play::Echo => {
                let echo = Echo::new(rate);
                (Box::new(echo.clone()), Ear { echo: Some(echo), recorder: None })
            }
            #[cfg(feature = "sound")]
            Play::Device => {
                let (microphone, loudspeaker) = crate::device::open(rate)?;
                (Box::new(microphone), Ear { echo: Some(loudspeaker), recorder: None })
            }
        })
    }

    /// Whether it says nothing, so that comfort noise may stand for it (RFC 3389).
    pub(crate) fn is_silent(&self) -> bool {
        *self == Play::Silence
    }
}

/// What becomes of what is heard.
#[derive(Default)]
pub struct Ear {
    /// Where it is said again.
    pub(crate) echo: Option<Echo>,
    recorder: Option<(PathBuf, Recorder<BufWriter<File>>)>,
}

impl Ear {
    /// Has it written to a WAV file of this rate as well.
    ///
    /// # Errors
    /// In words for a person, if the file cannot be written.
    pub fn record(&mut self, path: &Path, rate: u32) -> Result<(), String> {
        let fault = |e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
        let file = File::create(path).map_err(|e| fault(&e))?;
        let most = MOST * u64::from(rate);
        let recorder = Recorder::new(BufWriter::new(file), rate, most).map_err(|e| fault(&e))?;
        self.recorder = Some((path.to_owned(), recorder));
        Ok(())
    }

    /// Takes what was heard.
    pub fn hear(&mut self, frame: &[i16]) {
        if let Some(echo) = &mut self.echo {
            echo.take(frame);
        }
        if let Some((_, recorder)) = &mut self.recorder {
            recorder.take(frame);
        }
    }

    /// Closes the file.
    ///
    /// # Errors
    /// In words for a person, if not all could be written.
    pub fn finish(self) -> Result<(), String> {
        match self.recorder {
            Some((path, recorder)) => {
                recorder.finish().map_err(|e| format!("{}: {e}", path.display()))
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_for_what_is_said() {
        assert_eq!("tone:440".parse(), Ok(Play::Tone(440.0)));
        assert_eq!("echo".parse(), Ok(Play::Echo));
        assert_eq!("silence".parse(), Ok(Play::Silence));
        assert_eq!("a.wav".parse(), Ok(Play::File("a.wav".into())));
        assert!("tone:9".parse::<Play>().unwrap_err().to_string().contains("20 to 7000"));
        assert!(Play::File("/does/not/exist.wav".into()).open(8000).is_err());
    }
}
