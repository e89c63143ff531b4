//! What is said in a call, and what becomes of what is heard.

use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::path::{Path, PathBuf};

use towel_media::audio::{Echo, Player, Recorder, Silence, Sink, Source, Tone};

/// The rate of all audio here, in Hz.
pub const RATE: u32 = 16_000;
/// How much is recorded at most: four hours.
const MOST: u64 = RATE as u64 * 4 * 3600;

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
}

impl Play {
    /// What is said, and what has to hear for it.
    ///
    /// # Errors
    /// In words for a person, if a file cannot be played.
    pub fn open(&self) -> Result<(Box<dyn Source + Send>, Ear), String> {
        Ok(match self {
            Play::Silence => (Box::new(Silence), Ear::default()),
            Play::Tone(hertz) => (Box::new(Tone::new(RATE, &[*hertz], -12.0)), Ear::default()),
            Play::File(path) => {
                let file = File::open(path).map_err(|e| format!("{}: {e}", path.display()))?;
                let player = Player::new(BufReader::new(file), RATE, false);
                let player = player.map_err(|e| format!("{}: {e}", path.display()))?;
                (Box::new(player), Ear::default())
            }
            Play::Echo => {
                let echo = Echo::new(RATE);
                (Box::new(echo.clone()), Ear { echo: Some(echo), recorder: None })
            }
        })
    }
}

/// What becomes of what is heard.
#[derive(Default)]
pub struct Ear {
    echo: Option<Echo>,
    recorder: Option<(PathBuf, Recorder<BufWriter<File>>)>,
}

impl Ear {
    /// Has it written to a WAV file as well.
    ///
    /// # Errors
    /// In words for a person, if the file cannot be written.
    pub fn record(&mut self, path: &Path) -> Result<(), String> {
        let fault = |e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
        let file = File::create(path).map_err(|e| fault(&e))?;
        let recorder = Recorder::new(BufWriter::new(file), RATE, MOST).map_err(|e| fault(&e))?;
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
