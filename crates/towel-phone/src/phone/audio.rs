//! The audio of calls.

use std::path::{Path, PathBuf};

use towel_core::io::{Now, Outbox};

use super::Phone;
use crate::media::{Begin, Told};
use crate::{Accord, News};

/// `name.wav` for the first call, `name-2.wav` for the second.
fn numbered(path: &Path, number: u32) -> PathBuf {
    if number < 2 {
        return path.to_owned();
    }
    let part =
        |part: Option<&std::ffi::OsStr>| part.unwrap_or_default().to_string_lossy().into_owned();
    let (stem, end) = (part(path.file_stem()), part(path.extension()));
    path.with_file_name(if end.is_empty() {
        format!("{stem}-{number}")
    } else {
        format!("{stem}-{number}.{end}")
    })
}

impl Phone {
    /// Audio begins, or goes on by what is agreed now.
    pub(super) fn speak(&mut self, number: u32, accord: Accord) {
        let seed = self.rng.next_u64();
        let Some(held) = self.calls.get_mut(&number) else { return };
        let Accord { stream, extended_reports } = accord;
        if held.line.is_running() {
            return held.line.change(stream);
        }
        let codec = stream.codecs.first().map_or("none", |format| format.kind.name());
        let news = News::Audio {
            call: number,
            codec,
            to: stream.remote,
            protected: stream.keys.is_some(),
            early: held.up.is_none() && held.to.is_some(),
        };
        let play = held.rule.play.as_ref().unwrap_or(&self.setup.play);
        let (noise, rate) = (play.is_silent(), self.media.config().rate);
        let begun = play.open(rate).and_then(|(mouth, mut ear)| {
            if let Some(path) = &self.setup.record {
                ear.record(&numbered(path, number), rate)?;
            }
            held.line.begin(Begin { stream, mouth, ear, seed, noise, extended_reports })
        });
        match begun {
            Ok(()) => self.news.push_back(news),
            Err(fault) => held.fault = Some(fault),
        }
    }

    /// Something happened to the audio of a call.
    pub(super) fn hear(&mut self, now: Now, out: &mut Outbox, told: Told) {
        match told {
            Told::Digit(line, digit) => {
                if let Some(number) = self.lines.get(&line) {
                    self.news.push_back(News::Digit(*number, digit));
                }
            }
            Told::KeyExhausted(line) => {
                if let Some(number) = self.lines.get(&line).copied() {
                    let why = "the key of the audio is used up".into();
                    self.give_up(now, out, number, why);
                }
            }
            Told::Ended(line, stats, fault) => self.silenced(line, stats, fault),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recordings_of_several_calls() {
        assert_eq!(numbered(Path::new("/x/a.wav"), 1), Path::new("/x/a.wav"));
        assert_eq!(numbered(Path::new("/x/a.wav"), 2), Path::new("/x/a-2.wav"));
        assert_eq!(numbered(Path::new("a"), 3), Path::new("a-3"));
    }
}
