//! What is done in a call when its time comes.

use std::time::Duration;

use towel_core::io::{Now, Outbox};
use towel_core::ua::user_agent::{Answer, Transfer};

use super::Phone;
use super::clock::Due;
use crate::{Act, News};

/// How soon what cannot be done now is tried again.
const SOON: Duration = Duration::from_millis(100);

/// Whether something was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Done {
    /// It was, or is on its way.
    Yes,
    /// It cannot be now: something else is under way.
    Later,
    /// It cannot be; why.
    Not(String),
}

impl Phone {
    /// The call is up: the first step is waited for.
    pub(super) fn begin_script(&mut self, now: Now, number: u32) {
        self.await_step(now, number, 0);
    }

    fn await_step(&mut self, now: Now, number: u32, step: usize) {
        let Some(held) = self.calls.get_mut(&number) else { return };
        held.step = step;
        if let Some(step) = self.setup.script.get(step) {
            let (least, most) = step.after;
            let spread = most.saturating_sub(least).as_micros();
            let spread = u64::try_from(spread).unwrap_or(u64::MAX).saturating_add(1);
            let after = least + Duration::from_micros(self.rng.below(spread));
            self.clock.set(number, Due::Step, now.at + after);
        }
    }

    /// Does what is due for a call.
    pub(super) fn due(&mut self, now: Now, out: &mut Outbox, number: u32, due: Due) {
        let Some(held) = self.calls.get_mut(&number) else { return };
        let call = held.call;
        match due {
            Due::Answer => {
                let act = held.rule.act.clone();
                let _ = self.act(now, out, number, &act);
            }
            Due::HangUp => {
                let _ = self.ua.hang_up(now, out, call);
            }
            Due::GiveUp => {
                held.unanswered = true;
                let _ = self.ua.hang_up(now, out, call);
            }
            Due::Again => self.change_again(now, out, number),
            Due::Step => self.step(now, out, number),
        }
    }

    fn step(&mut self, now: Now, out: &mut Outbox, number: u32) {
        let Some(held) = self.calls.get(&number) else { return };
        let at = held.step;
        let Some(act) = self.setup.script.get(at).map(|step| step.act.clone()) else { return };
        match self.act(now, out, number, &act) {
            Done::Later => return self.clock.set(number, Due::Step, now.at + SOON),
            Done::Not(why) => self.news.push_back(News::Refused(number, why, 0)),
            Done::Yes => {}
        }
        self.await_step(now, number, at + 1);
    }

    /// Does something with a call.
    pub(super) fn act(&mut self, now: Now, out: &mut Outbox, number: u32, act: &Act) -> Done {
        let Some(held) = self.calls.get_mut(&number) else {
            return Done::Not(format!("there is no call {number}"));
        };
        let call = held.call;
        let refuse = |refused: towel_core::ua::user_agent::Refused| Done::Not(refused.to_string());
        match act {
            Act::Answer if held.up.is_none() && held.to.is_none() => {
                self.pick_up(now, out, number);
                Done::Yes
            }
            Act::Refuse(status) if held.up.is_none() => {
                let answer = Answer::new(*status);
                self.ua.answer(now, out, call, answer).map_or_else(refuse, |()| Done::Yes)
            }
            Act::Redirect(uri) if held.up.is_none() => {
                let answer = Answer::new(302).with("Contact", format!("<{uri}>"));
                self.ua.answer(now, out, call, answer).map_or_else(refuse, |()| Done::Yes)
            }
            Act::Answer | Act::Refuse(_) | Act::Redirect(_) => {
                Done::Not("it is answered already".into())
            }
            // A change that waits for its turn comes first.
            Act::Hold | Act::Resume if held.change.is_some() => Done::Later,
            Act::Hold => self.change(now, out, number, true),
            Act::Resume => self.change(now, out, number, false),
            Act::Transfer(to) => self.transfer(now, out, number, Transfer::blind(to)),
            Act::Consult(to) => self.consult(now, out, number, to),
            Act::Dial(keys) => {
                self.dial(now, out, number, keys);
                Done::Yes
            }
            Act::Play(play) => held.line.play(play).map_or_else(Done::Not, |()| Done::Yes),
            Act::HangUp => self.ua.hang_up(now, out, call).map_or_else(refuse, |()| Done::Yes),
        }
    }
}
