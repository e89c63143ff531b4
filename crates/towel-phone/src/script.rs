//! What is done in a call, and when: steps in words.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::Play;

/// Something that is done with a call.
#[derive(Clone, Debug, PartialEq)]
pub enum Act {
    /// It is answered.
    Answer,
    /// It is refused with this status.
    Refuse(u16),
    /// It is sent to this URI (RFC 3261 section 21.3.3).
    Redirect(String),
    /// The peer is put on hold.
    Hold,
    /// It is taken off hold.
    Resume,
    /// These keys are pressed.
    Dial(String),
    /// Something else is said from now on.
    Play(Play),
    /// The peer is told to call this URI in our place: a blind transfer.
    Transfer(String),
    /// The peer is put on hold, this URI is called, and once that is answered the two are put through to
    /// each other: an attended transfer.
    Consult(String),
    /// It is hung up.
    HangUp,
}

/// An act, and how long after the one before it: some time from the first to the second.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// How long after the step before, or after the call was up: at least and at most.
    pub after: (Duration, Duration),
    /// What is done.
    pub act: Act,
}

/// Words that are no step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoStep(String);

impl NoStep {
    pub(crate) fn of(why: String) -> NoStep {
        NoStep(why)
    }
}

impl fmt::Display for NoStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NoStep {}

/// The keys that a telephone has (RFC 4733 section 3.2).
pub(crate) const KEYS: &str = "0123456789*#ABCDabcd";

/// A time in words: `2s`, `250ms`, `1m`, or a number of seconds.
///
/// # Errors
/// If it is none.
pub fn time(text: &str) -> Result<Duration, NoStep> {
    let none = || NoStep(format!("`{text}` is no time: write 2s, 250ms or 1m"));
    let (number, unit) = match text.find(|c: char| !c.is_ascii_digit() && c != '.') {
        Some(at) => text.split_at(at),
        None => (text, "s"),
    };
    let number: f64 = number.parse().map_err(|_| none())?;
    let seconds = match unit {
        "ms" => number / 1000.0,
        "s" => number,
        "m" => number * 60.0,
        _ => return Err(none()),
    };
    Duration::try_from_secs_f64(seconds).map_err(|_| none())
}

impl FromStr for Act {
    type Err = NoStep;

    fn from_str(text: &str) -> Result<Act, NoStep> {
        let (word, rest) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
        let rest = rest.trim();
        let with = |what: &str| match rest {
            "" => Err(NoStep(format!("`{word}` wants {what}"))),
            rest => Ok(rest.to_owned()),
        };
        let act = match word {
            "answer" => Act::Answer,
            "busy" => Act::Refuse(486),
            "reject" if rest.is_empty() => Act::Refuse(603),
            "reject" => match rest.parse() {
                Ok(status @ 400..=699) => return Ok(Act::Refuse(status)),
                _ => return Err(NoStep(format!("`{rest}` is no refusal: 400 to 699 are"))),
            },
            "redirect" => return Ok(Act::Redirect(with("a URI")?)),
            "hold" => Act::Hold,
            "resume" => Act::Resume,
            "hangup" => Act::HangUp,
            "dtmf" => {
                let keys = with("keys: 0 to 9, *, #, A to D")?;
                if let Some(key) = keys.chars().find(|key| !KEYS.contains(*key)) {
                    return Err(NoStep(format!("`{key}` is no key: 0 to 9, *, #, A to D are")));
                }
                return Ok(Act::Dial(keys.to_ascii_uppercase()));
            }
            "transfer" => return Ok(Act::Transfer(with("a URI")?)),
            "attended" => return Ok(Act::Consult(with("a URI")?)),
            "play" => {
                let play = with("a WAV file, tone:HERTZ, echo or silence")?;
                return Ok(Act::Play(play.parse().map_err(|e| NoStep(format!("{e}")))?));
            }
            other => {
                return Err(NoStep(format!(
                    "`{other}` cannot be done in a call: hold, resume, dtmf KEYS, play WHAT, \
                     transfer URI, attended URI and hangup can"
                )));
            }
        };
        match rest {
            "" => Ok(act),
            rest => Err(NoStep(format!("`{word}` wants nothing more, and there is `{rest}`"))),
        }
    }
}

impl FromStr for Step {
    type Err = NoStep;

    /// `hold`, `after 2s hold`, `after 1s..5s hangup`.
    fn from_str(text: &str) -> Result<Step, NoStep> {
        let text = text.trim();
        let Some(rest) = text.strip_prefix("after ") else {
            return Ok(Step { after: (Duration::ZERO, Duration::ZERO), act: text.parse()? });
        };
        let rest = rest.trim_start();
        let none = || NoStep(format!("`{text}` says after how long, but not what is done then"));
        let (times, act) = rest.split_once(' ').ok_or_else(none)?;
        let after = match times.split_once("..") {
            Some((least, most)) => (time(least)?, time(most)?),
            None => (time(times)?, time(times)?),
        };
        if after.0 > after.1 {
            return Err(NoStep(format!("`{times}`: the shorter time comes first")));
        }
        Ok(Step { after, act: act.parse()? })
    }
}

/// The steps of a text, a line each; `#` begins a comment.
///
/// # Errors
/// The number of the line, and what is wrong there.
pub fn steps(text: &str) -> Result<Vec<Step>, (usize, NoStep)> {
    let lines = text.lines().zip(1..);
    // A key may be `#`: a comment has a line of its own.
    let lines = lines.filter(|(line, _)| !line.trim().is_empty() && !line.trim().starts_with('#'));
    lines.map(|(line, number)| line.parse().map_err(|fault| (number, fault))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_in_words() {
        let script =
            "# a call\n\nafter 2s hold\nafter 250ms..1m resume\ndtmf 12#a\n play tone:440\nhangup";
        let steps = steps(script).unwrap();
        let second = Duration::from_secs(1);
        assert_eq!(steps[0], Step { after: (2 * second, 2 * second), act: Act::Hold });
        assert_eq!(steps[1].after, (second / 4, 60 * second));
        let acts: Vec<_> = steps[2..].iter().map(|step| step.act.clone()).collect();
        assert_eq!(acts, [Act::Dial("12#A".into()), Act::Play(Play::Tone(440.0)), Act::HangUp]);
        assert_eq!("reject 480".parse(), Ok(Act::Refuse(480)));
        assert_eq!("reject".parse(), Ok(Act::Refuse(603)));
        assert_eq!("redirect sip:x@y".parse(), Ok(Act::Redirect("sip:x@y".into())));
    }

    #[test]
    fn what_is_no_step_is_told_with_its_line() {
        for (text, why) in [
            ("dance", "cannot be done"),
            ("after 2s", "not what"),
            ("after soon hold", "no time"),
            ("after 3s..1s hold", "shorter"),
            ("dtmf 1x", "`x` is no key"),
            ("dtmf", "wants keys"),
            ("reject 200", "no refusal"),
            ("hold it", "nothing more"),
            ("play tone:1", "no pitch"),
        ] {
            let (line, fault) = steps(&format!("hold\n{text}")).unwrap_err();
            assert_eq!(line, 2);
            assert!(fault.to_string().contains(why), "{text}: {fault}");
        }
    }
}
