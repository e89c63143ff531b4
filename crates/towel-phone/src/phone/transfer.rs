//! Calls that are transferred (RFC 5589), by us and by peers; calls that take another's place (RFC 3891).

use towel_core::io::{Now, Outbox};
use towel_core::ua::user_agent::{
    Answer, CallHandle, Content, DialogHandle, IncomingHandle, Referral, Reported,
    SubscriptionHandle, Transfer,
};

use super::Phone;
use super::clock::Due;
use super::held::Held;
use super::script::Done;
use crate::{News, Wants};

impl Phone {
    /// Has the peer of a call call somebody else.
    pub(super) fn transfer(
        &mut self,
        now: Now,
        out: &mut Outbox,
        number: u32,
        transfer: Transfer,
    ) -> Done {
        let Some(held) = self.calls.get(&number) else { return Done::Not("it is over".into()) };
        match self.ua.transfer(now, out, held.call, transfer) {
            Ok(refer) => {
                self.transfers.insert(refer.number(), number);
                Done::Yes
            }
            Err(refused) => Done::Not(refused.to_string()),
        }
    }

    /// Puts the peer on hold and calls somebody else, to whom the call is transferred once that is up.
    pub(super) fn consult(&mut self, now: Now, out: &mut Outbox, number: u32, to: &str) -> Done {
        let Some(held) = self.calls.get(&number) else { return Done::Not("it is over".into()) };
        if held.up.is_none() {
            return Done::Not("the call is not up".into());
        }
        if held.terms.holds() && held.change.is_none() {
            self.call_for(now, out, number, to);
            return Done::Yes;
        }
        // Some refuse a REFER while the hold is under way, so that comes first.
        let held = self.change(now, out, number, true);
        if let (Done::Yes, Some(first)) = (&held, self.calls.get_mut(&number)) {
            first.consult = Some(to.to_owned());
        }
        held
    }

    /// Calls whom a call is to be transferred to.
    pub(super) fn call_for(&mut self, now: Now, out: &mut Outbox, number: u32, to: &str) {
        let other = self.call(now, out, to, None);
        if let Some(held) = self.calls.get_mut(&other) {
            held.consults = Some(number);
        }
    }

    /// A call that is up takes over the one for whose sake it was made.
    pub(super) fn consulted(&mut self, now: Now, out: &mut Outbox, number: u32) {
        let Some(held) = self.calls.get_mut(&number) else { return };
        let (Some(first), call) = (held.consults.take(), held.call) else { return };
        if let Done::Not(why) = self.transfer(now, out, first, Transfer::attended(call)) {
            self.news.push_back(News::Refused(first, format!("transfer: {why}"), 0));
        }
    }

    /// What is known of a transfer of ours.
    pub(super) fn reported(&mut self, refer: SubscriptionHandle, reported: Reported) {
        let Some(number) = self.transfers.get(&refer.number()).copied() else { return };
        let (news, over) = match reported {
            Reported::Accepted { followed, .. } => (News::Transferring(number, 100), !followed),
            Reported::Progress { status, .. } => (News::Transferring(number, status), false),
            Reported::Final { status, .. } if status / 100 == 2 => {
                (News::Transferred(number), true)
            }
            Reported::Final { status, .. } | Reported::Refused { status, .. } => {
                (News::Refused(number, "transfer".into(), status), true)
            }
            Reported::Unknown => {
                (News::Refused(number, "transfer: its end is not known".into(), 0), true)
            }
        };
        if over {
            self.transfers.remove(&refer.number());
        }
        self.news.push_back(news);
    }

    /// The peer asks us to call somebody else.
    pub(super) fn referred(
        &mut self,
        now: Now,
        out: &mut Outbox,
        (dialog, request): (Option<DialogHandle>, IncomingHandle),
        message: &[u8],
    ) {
        // Whoever is in no call with us does not say whom we call.
        let number = dialog.and_then(|dialog| self.number_in(dialog)).filter(|_| !self.leaving);
        let referral = Referral::of(message).filter(|referral| referral.method == "INVITE");
        let (Some(number), Some(referral)) = (number, referral) else {
            let _ = self.ua.reply(now, out, request, Answer::new(603));
            return;
        };
        let wants: Wants = self.setup.wants.clone();
        let made = self.line(&wants).and_then(|(line, mut terms)| {
            let offer = terms.offer().map_err(|e| e.to_string())?;
            Ok((line, terms, offer))
        });
        let Ok((line, terms, offer)) = made else {
            let _ = self.ua.reply(now, out, request, Answer::new(500));
            return;
        };
        let Ok(reference) = self.ua.accept_refer(now, out, request) else { return };
        let ask = referral.ask(Some(Content::sdp(offer)));
        let Ok(Some(call)) = self.ua.follow(now, out, reference, ask) else { return };
        self.counted += 1;
        let other = self.counted;
        self.news.push_back(News::Referred { call: number, to: referral.uri.clone(), by: other });
        let mut held = Held::new(call, line, terms, now.at);
        // Made again without keys it would not be what was asked for any more.
        (held.to, held.plain) = (Some(referral.uri), true);
        self.clock.set(other, Due::GiveUp, now.at + super::calling::PATIENCE);
        self.keep(other, held);
    }

    /// The call whose place another is to take, by its number.
    pub(super) fn replaced(&self, call: CallHandle) -> Option<u32> {
        self.number_of(self.ua.replaces(call)?)
    }
}
