//! Calls of ours: one, or as many as there are to be.

use std::time::Duration;

use towel_core::io::{Instant, Now, Outbox};
use towel_core::ua::user_agent::{Ask, CallHandle, DialogHandle};

use super::Phone;
use super::clock::Due;
use super::held::{Held, sdp};
use crate::{Line, News, Role, Srtp, Terms, Unfit, Wants};

/// How long the far end may ring where nothing else is said.
pub(super) const PATIENCE: Duration = Duration::from_secs(180);
/// How much of a schedule that was missed is made up for.
const BEHIND: Duration = Duration::from_millis(200);

impl Phone {
    /// Ports for a call's audio, and what is wanted there.
    pub(super) fn line(&mut self, wants: &Wants) -> Result<(Line, Terms), String> {
        let line = self.media.open(self.setup.address).map_err(|e| e.to_string())?;
        let session = self.rng.next_u64();
        let terms = Terms::new(self.setup.address, line.port(), wants, session);
        Ok((line, terms))
    }

    /// Calls somebody. Gives the call's number.
    pub(super) fn call(
        &mut self,
        now: Now,
        out: &mut Outbox,
        to: &str,
        patience: Option<Duration>,
    ) -> u32 {
        self.counted += 1;
        let number = self.counted;
        self.news.push_back(News::Calling(number));
        match self.invite(now, out, to, &self.setup.wants.clone()) {
            Ok((call, line, terms)) => {
                let mut held = Held::new(call, line, terms, now.at);
                held.to = Some(to.to_owned());
                self.clock.set(number, Due::GiveUp, now.at + patience.unwrap_or(PATIENCE));
                self.keep(number, held);
            }
            Err(fault) => self.never(number, fault),
        }
        number
    }

    fn invite(
        &mut self,
        now: Now,
        out: &mut Outbox,
        to: &str,
        wants: &Wants,
    ) -> Result<(CallHandle, Line, Terms), String> {
        let (line, mut terms) = self.line(wants)?;
        let offer = terms.offer().map_err(|e| e.to_string())?;
        let call = self.ua.call(now, out, Ask::invite(to, offer)).map_err(|e| e.to_string())?;
        Ok((call, line, terms))
    }

    pub(super) fn keep(&mut self, number: u32, held: Held) {
        self.numbers.insert(held.call.number(), number);
        self.lines.insert(held.line.id(), number);
        self.calls.insert(number, held);
    }

    /// Calls again without keys whom keys did not suit (RFC 4568 section 7.1.1 knows no other way).
    pub(super) fn call_plainly(&mut self, now: Now, out: &mut Outbox, number: u32) -> bool {
        if self.setup.wants.srtp != Srtp::Offer || self.leaving {
            return false;
        }
        let Some(held) = self.calls.get(&number).filter(|held| !held.plain) else { return false };
        let Some(to) = held.to.clone() else { return false };
        let wants = Wants { srtp: Srtp::Off, ..self.setup.wants.clone() };
        let Ok((call, line, terms)) = self.invite(now, out, &to, &wants) else { return false };
        let Some(held) = self.calls.get_mut(&number) else { return false };
        self.numbers.remove(&held.call.number());
        self.lines.remove(&held.line.id());
        (held.call, held.line, held.terms, held.plain) = (call, line, terms, true);
        held.forks.clear();
        self.numbers.insert(call.number(), number);
        self.lines.insert(held.line.id(), number);
        let note = "the peer takes no keys: called again without".to_owned();
        self.news.push_back(News::Note(note));
        true
    }

    /// Begins the calls that are due.
    pub(super) fn pace(&mut self, now: Now, out: &mut Outbox) {
        while let Some(at) = self.pace_due().filter(|at| *at <= now.at) {
            let Role::Caller { to, patience, crowd } = &self.setup.role else { return };
            let step = Duration::from_secs_f64(1.0 / crowd.rate.max(0.001));
            let (to, patience) = (to.clone(), *patience);
            let earliest = Instant(now.at.0.saturating_sub(BEHIND.as_micros() as u64));
            self.next_call = Some((at + step).max(earliest));
            self.call(now, out, &to, Some(patience));
        }
    }

    /// When the next call begins.
    pub(super) fn pace_due(&self) -> Option<Instant> {
        let Role::Caller { crowd, .. } = &self.setup.role else { return None };
        let room = self.calls.len() < crowd.concurrent && self.counted < crowd.calls;
        self.next_call.filter(|_| room && !self.leaving)
    }

    /// A provisional response came.
    pub(super) fn progress(
        &mut self,
        now: Now,
        out: &mut Outbox,
        call: CallHandle,
        (dialog, reliable): (Option<DialogHandle>, bool),
        response: Vec<u8>,
    ) {
        let Some(number) = self.number_of(call) else { return };
        let Some(held) = self.calls.get_mut(&number) else { return };
        if let (Some(sdp), Some(dialog)) = (sdp(&response), dialog) {
            if !held.forks.iter().any(|(other, _)| *other == dialog) {
                held.forks.push((dialog, held.terms.clone()));
            }
            let terms = held.terms_in(dialog);
            // Without reliability it is but a sight of the answer (RFC 6337 section 3.1.1).
            let accord = match reliable {
                _ if !terms.waits() => None,
                true => Some(terms.take_answer(&sdp)),
                false => Some(terms.take_preview(&sdp)),
            };
            match accord {
                Some(Ok(accord)) => self.speak(number, accord),
                Some(Err(why)) if reliable => self.give_up(now, out, number, why.to_string()),
                // The answer itself may be a better one.
                Some(Err(_)) | None => {}
            }
        }
        self.news.push_back(News::Progress(number, response));
    }

    /// The call is up: a 2xx came to ours, or the ACK to our 2xx.
    pub(super) fn established(
        &mut self,
        now: Now,
        out: &mut Outbox,
        call: CallHandle,
        dialog: DialogHandle,
        message: &[u8],
    ) {
        let Some(number) = self.number_of(call) else { return };
        let Some(held) = self.calls.get_mut(&number) else { return };
        held.up = Some(now.at);
        held.dialog = Some(dialog);
        if let Some(at) = held.forks.iter().position(|(other, _)| *other == dialog) {
            held.terms = held.forks.swap_remove(at).1;
        }
        held.forks.clear();
        let waits = held.terms.waits();
        self.clock.clear(number, Due::GiveUp);
        if let Some(lasts) = self.setup.lasts {
            self.clock.set(number, Due::HangUp, now.at + lasts);
        }
        self.news.push_back(News::Up(number));
        match sdp(message) {
            Some(sdp) => self.answered(now, out, number, &sdp),
            None if waits => {
                let why = "the peer gave no answer to our offer".into();
                self.give_up(now, out, number, why);
            }
            None => {}
        }
        // A call for the sake of another one goes by what is done with that.
        match self.calls.get(&number).is_some_and(|held| held.consults.is_some()) {
            true => self.consulted(now, out, number),
            false => self.begin_script(now, number),
        }
    }

    /// The answer to our offer.
    pub(super) fn answered(&mut self, now: Now, out: &mut Outbox, number: u32, sdp: &[u8]) {
        let Some(held) = self.calls.get_mut(&number) else { return };
        if !held.terms.waits() {
            return;
        }
        match held.terms.take_answer(sdp) {
            Ok(accord) => self.speak(number, accord),
            // A stream that was there is refused: the call goes on without it.
            Err(Unfit::NoAudio) if held.line.is_running() => held.line.quiet(),
            Err(why) => self.give_up(now, out, number, why.to_string()),
        }
    }

    pub(super) fn give_up(&mut self, now: Now, out: &mut Outbox, number: u32, fault: String) {
        let Some(held) = self.calls.get_mut(&number) else { return };
        held.fault = Some(fault);
        let call = held.call;
        let _ = self.ua.hang_up(now, out, call);
    }
}
