//! What is done with who calls.

use std::str::FromStr;
use std::time::Duration;

use crate::{Act, NoStep, Play};

/// What is done with calls of certain callers.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Whose: `user@host`, `*` standing for anything.
    pub from: String,
    /// How long it rings before.
    pub after: Duration,
    /// What is played is heard while it rings: early media in a 183.
    pub early: bool,
    /// [`Act::Answer`], [`Act::Refuse`] or [`Act::Redirect`].
    pub act: Act,
    /// What is said, in place of what is said to all.
    pub play: Option<Play>,
}

impl Default for Rule {
    /// Everybody is answered at once.
    fn default() -> Rule {
        Rule { from: "*".into(), after: Duration::ZERO, early: false, act: Act::Answer, play: None }
    }
}

impl Rule {
    /// Whether it is for this caller: `user@host`.
    pub fn is_for(&self, caller: &str) -> bool {
        matches(self.from.as_bytes(), caller.as_bytes())
    }
}

impl FromStr for Rule {
    type Err = NoStep;

    /// `CALLER=ACT`: `alice@*=busy`, `*@example.com=play tone:440`, `*=answer after 5s`.
    fn from_str(text: &str) -> Result<Rule, NoStep> {
        let (from, act) = text.split_once('=').unwrap_or(("*", text));
        let (act, after) = match act.rsplit_once(" after ") {
            Some((act, after)) => (act, crate::script::time(after)?),
            None => (act, Duration::ZERO),
        };
        let mut rule = Rule { from: from.trim().into(), after, ..Rule::default() };
        match act.trim() {
            "echo" => rule.play = Some(Play::Echo),
            act => match act.parse()? {
                Act::Play(play) => rule.play = Some(play),
                act @ (Act::Answer | Act::Refuse(_) | Act::Redirect(_)) => rule.act = act,
                Act::Hold
                | Act::Resume
                | Act::Dial(_)
                | Act::Transfer(_)
                | Act::Consult(_)
                | Act::HangUp => {
                    return Err(NoStep::of(format!(
                        "`{act}` is nothing to do with who calls: answer, busy, reject STATUS, \
                         redirect URI, echo and play WHAT are"
                    )));
                }
            },
        }
        Ok(rule)
    }
}

/// Whether a text is of this pattern. Each star is tried once at each place at most.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut in_text, mut star) = (0, 0, None);
    while in_text < text.len() {
        match (pattern.get(at), text.get(in_text)) {
            (Some(b'*'), _) => {
                star = Some((at, in_text));
                at += 1;
            }
            (Some(one), Some(other)) if one.eq_ignore_ascii_case(other) => {
                at += 1;
                in_text += 1;
            }
            _ => {
                let Some((at_star, from)) = star else { return false };
                star = Some((at_star, from + 1));
                (at, in_text) = (at_star + 1, from + 1);
            }
        }
    }
    pattern.get(at..).unwrap_or_default().iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_in_words() {
        let busy: Rule = "alice@*=busy".parse().unwrap();
        assert_eq!(busy.act, Act::Refuse(486));
        assert!(busy.is_for("Alice@example.com") && !busy.is_for("malice@example.com"));
        let late: Rule = "*@example.com=play tone:440 after 3s".parse().unwrap();
        assert_eq!((late.play, late.after), (Some(Play::Tone(440.0)), Duration::from_secs(3)));
        let anyone: Rule = "redirect sip:x@y".parse().unwrap();
        assert_eq!(anyone.act, Act::Redirect("sip:x@y".into()));
        assert!(anyone.is_for("") && anyone.is_for("any@one"));
        assert_eq!("echo".parse::<Rule>().unwrap().play, Some(Play::Echo));
        assert!("bob@x=hold".parse::<Rule>().is_err());
    }

    #[test]
    fn patterns() {
        assert!(matches(b"a*b*c", b"axxbyyc") && !matches(b"a*b*c", b"axxbyy"));
        assert!(matches(b"*", b"") && matches(b"", b"") && !matches(b"", b"a"));
        assert!(matches(b"**a", b"ba") && !matches(b"a", b"ab"));
    }
}
