//! What is to be done: the steps of a load, and with whom.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use towel_core::io::Transport;

use crate::pace::Arrivals;
use crate::people::People;

/// One kind of unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Work {
    /// INVITE, 180, 200, ACK, BYE, 200: a caller and a registered callee.
    Call,
    /// A REGISTER with its answer; the challenge in between belongs to it.
    Register,
    /// OPTIONS to a registered user, who answers it.
    Options,
    /// MESSAGE to a registered user, who answers it.
    Message,
}

impl Work {
    /// All of them.
    pub const ALL: [Work; 4] = [Work::Call, Work::Register, Work::Options, Work::Message];

    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Work::Call => "call",
            Work::Register => "register",
            Work::Options => "options",
            Work::Message => "message",
        }
    }

    /// Which work a word means.
    pub fn from_word(word: &str) -> Option<Work> {
        Work::ALL.into_iter().find(|work| work.word() == word)
    }
}

/// What is done how often, by weight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mix(pub Vec<(Work, u32)>);

impl Mix {
    /// Reads `call`, or `call=7 message=2`: words with weights, 1 where none is given.
    ///
    /// # Errors
    /// What is wrong, for a person.
    pub fn parse(words: &[String]) -> Result<Mix, String> {
        let mut all: Vec<(Work, u32)> = Vec::new();
        for part in words.iter().flat_map(|word| word.split(',')).filter(|part| !part.is_empty()) {
            let (word, weight) = part.split_once('=').unwrap_or((part, "1"));
            let Some(work) = Work::from_word(word) else {
                return Err(format!("`{word}` is none of call, register, options, message"));
            };
            let weight = weight.parse().ok().filter(|weight| (1..=1_000_000).contains(weight));
            let Some(weight) = weight else {
                return Err(format!("`{part}`: a weight is a whole number from 1 to 1000000"));
            };
            if all.iter().any(|(known, _)| *known == work) {
                return Err(format!("`{word}` is there twice"));
            }
            all.push((work, weight));
        }
        if all.is_empty() { Err("there is nothing to do".into()) } else { Ok(Mix(all)) }
    }

    /// The work that a number below [`Mix::total`] falls to.
    pub(crate) fn pick(&self, mut number: u64) -> Work {
        for (work, weight) in &self.0 {
            if number < u64::from(*weight) {
                return *work;
            }
            number -= u64::from(*weight);
        }
        self.0.first().map_or(Work::Call, |(work, _)| *work)
    }

    /// The sum of the weights.
    pub(crate) fn total(&self) -> u64 {
        self.0.iter().map(|(_, weight)| u64::from(*weight)).sum()
    }

    /// Whether anything but registering is in it, so that callees must be there.
    pub fn needs_callees(&self) -> bool {
        self.0.iter().any(|(work, _)| *work != Work::Register)
    }

    /// As it is written on a command line.
    pub fn text(&self) -> String {
        match &self.0[..] {
            [(work, _)] => work.word().into(),
            all => {
                let parts = all.iter().map(|(work, weight)| format!("{}={weight}", work.word()));
                parts.collect::<Vec<_>>().join(" ")
            }
        }
    }
}

/// What decides when a unit begins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// The clock alone: so many units a second, whatever becomes of them. A unit's latency counts
    /// from when it was due, not from when it was sent, so that a server that stalls is charged for
    /// every caller who would have waited (no coordinated omission).
    Open {
        /// Units a second.
        rate: f64,
        /// How they follow each other.
        arrivals: Arrivals,
        /// For how long the rate grows to its height.
        ramp: Duration,
    },
    /// The server: as soon as one unit ends the next begins, with so many under way. What a server
    /// can do at most; its latencies are those of a full queue.
    Closed {
        /// Units under way.
        window: usize,
    },
}

/// When a step has done enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amount {
    /// After so long.
    Time(Duration),
    /// After so many units.
    Count(u64),
}

/// What a step is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Something that the others need and that has to succeed: the callees' registrations.
    Prepare,
    /// Calls that stay up until [`Purpose::HangUp`].
    BringUp,
    /// What is measured.
    Measure,
    /// The end of the calls that stayed up.
    HangUp,
}

/// One step of a load.
#[derive(Clone, Debug)]
pub struct Step {
    /// For a person.
    pub name: String,
    /// What it is for.
    pub purpose: Purpose,
    /// What is done.
    pub mix: Mix,
    /// How fast.
    pub pace: Pace,
    /// How long what is done is left out of the figures.
    pub warm_up: Duration,
    /// How much, after the warm-up.
    pub amount: Amount,
    /// How long a call stays up.
    pub hold: Duration,
}

/// What a REGISTER does about digest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Nonces {
    /// Answers a challenge once and goes on with its nonce, counting.
    #[default]
    Keep,
    /// Forgets it, so that each registration is a 401 and a 200.
    Forget,
}

/// Everything that a load needs to begin.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where everything is sent, whatever a Route or a Contact says.
    pub server: SocketAddr,
    /// UDP or TCP.
    pub transport: Transport,
    /// This end's address.
    pub local: IpAddr,
    /// The first of this end's UDP ports, callers' before callees'; 0 for any.
    pub first_port: u16,
    /// Sockets (UDP) or connections (TCP) of the callers, and as many of the callees.
    pub sockets: usize,
    /// Who registers and is called.
    pub users: People,
    /// Who calls.
    pub callers: People,
    /// What is done, in order.
    pub steps: Vec<Step>,
    /// Seconds for which a registration is asked for.
    pub expires: u32,
    /// Digest.
    pub nonces: Nonces,
    /// For how long a transaction waits for its answer; RFC 3261 section 17 has 64*T1, 32 seconds.
    pub timeout: Duration,
    /// For how long what is under way at the end of a step is waited for.
    pub patience: Duration,
    /// The most units under way, calls that stay up among them. What is due beyond that is not
    /// begun, and counted.
    pub most: usize,
    /// For what is random.
    pub seed: u64,
    /// Tells this run's Call-IDs from those of others.
    pub run: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mix(words: &[&str]) -> Result<Mix, String> {
        Mix::parse(&words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn mixes() {
        assert_eq!(mix(&["call"]).unwrap().text(), "call");
        let three = mix(&["call=7,message=2", "options"]).unwrap();
        assert_eq!((three.total(), three.text()), (10, "call=7 message=2 options=1".into()));
        let all: Vec<Work> = (0..10).map(|n| three.pick(n)).collect();
        assert_eq!(all.iter().filter(|w| **w == Work::Call).count(), 7);
        assert_eq!(all.iter().filter(|w| **w == Work::Options).count(), 1);
        assert!(!mix(&["register"]).unwrap().needs_callees() && three.needs_callees());
        for bad in [&["dance"][..], &["call=0"], &["call", "call=2"], &[], &["call=x"]] {
            assert!(mix(bad).is_err(), "{bad:?}");
        }
    }
}
