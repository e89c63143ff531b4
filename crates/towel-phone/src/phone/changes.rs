//! Changes of the session while a call is up: ours, and the peer's (RFC 3261 section 14, RFC 3311).

use std::time::Duration;

use towel_core::io::{Now, Outbox};
use towel_core::ua::user_agent::{
    Answer, Ask, Came, Content, DialogHandle, IncomingHandle, Refused,
};

use super::clock::Due;
use super::held::{Change, sdp, unfit};
use super::{Phone, Purpose};
use crate::News;

/// How often a change is tried again that crosses one of the peer's.
const MOST_CROSSED: u32 = 8;

impl Phone {
    /// Puts the peer on hold, or takes it off hold. Whether the offer is on its way.
    pub(super) fn change(
        &mut self,
        now: Now,
        out: &mut Outbox,
        number: u32,
        hold: bool,
    ) -> super::script::Done {
        use super::script::Done;
        let Some(held) = self.calls.get_mut(&number) else {
            return Done::Not("it is over".into());
        };
        let Some(dialog) = held.dialog else { return Done::Not("the call is not up".into()) };
        if held.change.is_some_and(|change| change.request.is_some()) || held.terms.waits() {
            return Done::Later;
        }
        let before = held.terms.holds();
        held.terms.hold(hold);
        let offer = match held.terms.offer() {
            Ok(offer) => offer,
            Err(why) => {
                held.terms.hold(before);
                return Done::Not(why.to_string());
            }
        };
        // A crossing is waited out here, since the peer's change in between makes another offer of ours.
        let ask = Ask { once: true, body: Some(Content::sdp(offer)), ..Ask::new("INVITE", "") };
        match self.ua.request(now, out, dialog, &ask) {
            Ok(request) => {
                self.requests.insert(request.number(), (number, Purpose::Change));
                let crossed = held.change.map_or(0, |change| change.crossed);
                held.change = Some(Change { hold, request: Some(request), crossed });
                Done::Yes
            }
            Err(refused) => {
                held.terms.refused();
                held.terms.hold(before);
                match refused {
                    Refused::Pending | Refused::OfferAnswer => Done::Later,
                    refused => Done::Not(refused.to_string()),
                }
            }
        }
    }

    /// The answer to a change of ours.
    pub(super) fn change_answered(&mut self, now: Now, out: &mut Outbox, number: u32, came: Came) {
        let Some(held) = self.calls.get_mut(&number) else { return };
        let Some(change) = held.change.take() else { return };
        let status = came.status();
        if let Came::Final { response, status } = &came
            && status / 100 == 2
        {
            match sdp(response) {
                Some(sdp) => self.answered(now, out, number, &sdp),
                None => {
                    let why = "the peer gave no answer to our offer".into();
                    return self.give_up(now, out, number, why);
                }
            }
            self.news.push_back(match change.hold {
                true => News::Held(number),
                false => News::Resumed(number),
            });
            let consult = self.calls.get_mut(&number).and_then(|held| held.consult.take());
            if let Some(to) = consult {
                self.call_for(now, out, number, &to);
            }
            return;
        }
        held.terms.refused();
        held.terms.hold(!change.hold);
        if status == 491 && change.crossed < MOST_CROSSED {
            // Section 14.1: whose Call-ID it is waits longer than the other, each by chance.
            let ours = held.dialog.and_then(|dialog| self.ua.dialog(dialog));
            let tens = match ours.is_some_and(towel_core::dialog::Dialog::is_initiator) {
                true => 210 + self.rng.below(191),
                false => self.rng.below(201),
            };
            let crossed = change.crossed + 1;
            held.change = Some(Change { request: None, crossed, ..change });
            self.clock.set(number, Due::Again, now.at + Duration::from_millis(10 * tens));
            return;
        }
        held.consult = None;
        let what = if change.hold { "hold" } else { "resume" };
        self.news.push_back(News::Refused(number, what.into(), status));
    }

    /// A change that crossed another is tried again.
    pub(super) fn change_again(&mut self, now: Now, out: &mut Outbox, number: u32) {
        use super::script::Done;
        let Some(held) = self.calls.get(&number) else { return };
        let Some(change) = held.change.filter(|change| change.request.is_none()) else { return };
        match self.change(now, out, number, change.hold) {
            Done::Yes => {}
            Done::Later if change.crossed < MOST_CROSSED => {
                if let Some(held) = self.calls.get_mut(&number) {
                    held.change = Some(Change { crossed: change.crossed + 1, ..change });
                }
                let wait = Duration::from_millis(100 + self.rng.below(400));
                self.clock.set(number, Due::Again, now.at + wait);
            }
            Done::Later | Done::Not(_) => {
                if let Some(held) = self.calls.get_mut(&number) {
                    (held.change, held.consult) = (None, None);
                }
                let what = if change.hold { "hold" } else { "resume" };
                self.news.push_back(News::Refused(number, what.into(), 491));
            }
        }
    }

    /// The peer wants to change the session, by re-INVITE or UPDATE.
    pub(super) fn offered(
        &mut self,
        now: Now,
        out: &mut Outbox,
        dialog: DialogHandle,
        request: IncomingHandle,
        message: &[u8],
    ) {
        let number = self.number_in(dialog);
        let found = number.and_then(|number| Some((number, self.calls.get_mut(&number)?)));
        let Some((number, held)) = found else {
            let _ = self.ua.reply(now, out, request, Answer::new(481));
            return;
        };
        let terms = held.terms_in(dialog);
        let made = match sdp(message) {
            Some(offer) => terms.answer(&offer).map(|(answer, accord)| (answer, Some(accord))),
            None if message.starts_with(b"INVITE ") => terms.offer().map(|offer| (offer, None)),
            // An UPDATE without an offer refreshes, and no more (RFC 3311 section 5.2).
            None => {
                let _ = self.ua.reply(now, out, request, Answer::new(200));
                return;
            }
        };
        let (answer, accord) = match made {
            Ok((sdp, accord)) => (Answer::new(200).sdp(sdp), accord),
            // The session that there was goes on (RFC 3261 section 14.2, RFC 3311 section 5.2).
            Err(why) => (unfit(&why), None),
        };
        let sent = self.ua.reply(now, out, request, answer);
        if let (Some(accord), Ok(())) = (accord, sent) {
            let direction = accord.stream.direction;
            self.speak(number, accord);
            self.news.push_back(News::Changed(number, direction));
        }
    }

    /// An offer in a PRACK, which is answered whatever it is: who refused it would leave the response
    /// unacknowledged (RFC 6337 section 3.1.2.3).
    pub(super) fn offered_in_prack(
        &mut self,
        now: Now,
        out: &mut Outbox,
        dialog: DialogHandle,
        request: IncomingHandle,
        message: &[u8],
    ) {
        let number = self.number_in(dialog);
        let found = number.and_then(|number| Some((number, self.calls.get_mut(&number)?)));
        let (Some((number, held)), Some(offer)) = (found, sdp(message)) else {
            let _ = self.ua.reply(now, out, request, Answer::new(481));
            return;
        };
        let terms = held.terms_in(dialog);
        // It may be the answer to an offer of ours in the response.
        if terms.waits() {
            let _ = self.ua.reply(now, out, request, Answer::new(200));
            return self.answered(now, out, number, &offer);
        }
        match terms.answer_anyhow(&offer) {
            Ok((sdp, accord)) => {
                if self.ua.reply(now, out, request, Answer::new(200).sdp(sdp)).is_err() {
                    return;
                }
                match accord {
                    Some(accord) => self.speak(number, accord),
                    None => {
                        if let Some(held) = self.calls.get(&number) {
                            held.line.quiet();
                        }
                    }
                }
            }
            Err(why) => {
                let _ = self.ua.reply(now, out, request, unfit(&why));
            }
        }
    }

    /// The ACK of a re-INVITE of the peer's came, with the answer if the offer was ours.
    pub(super) fn acknowledged(
        &mut self,
        now: Now,
        out: &mut Outbox,
        dialog: DialogHandle,
        message: &[u8],
    ) {
        let Some(number) = self.number_in(dialog) else { return };
        match sdp(message) {
            Some(sdp) => self.answered(now, out, number, &sdp),
            None => {
                let held = self.calls.get_mut(&number);
                if let Some(held) = held.filter(|held| held.change.is_none()) {
                    // An offer of ours that nobody answered is none any more.
                    held.terms.refused();
                }
            }
        }
    }

    /// The answer to the peer's offer goes in an ACK or in an extension's request.
    pub(super) fn answer_wanted(
        &mut self,
        now: Now,
        out: &mut Outbox,
        dialog: DialogHandle,
        message: &[u8],
    ) {
        let number = self.number_in(dialog);
        let held = number.and_then(|number| self.calls.get_mut(&number));
        let made = held.zip(sdp(message)).map(|(held, sdp)| held.terms_in(dialog).answer(&sdp));
        match (number, made) {
            (Some(number), Some(Ok((answer, accord)))) => {
                if self.ua.supply(now, out, dialog, Content::sdp(answer)).is_ok() {
                    self.speak(number, accord);
                }
            }
            _ => {
                let _ = self.ua.end(now, out, dialog);
            }
        }
    }
}
