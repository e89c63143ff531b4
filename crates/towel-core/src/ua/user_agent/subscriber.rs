//! Subscriptions of ours: SUBSCRIBE, REFER and the NOTIFYs that follow them (RFC 6665 section 4.1, RFC
//! 3515 section 2.4.4).

use std::time::Duration;

use towel_message::{Message, Name, NameAddr, Params};

use super::event::{Event, Refused, Reported, SubscriptionHandle, SubscriptionState};
use super::state::{Due, Incoming, Leg, Origin, Owner, Referring, Side, Subscribed};
use super::{Answer, Ask, Core, World, sipfrag};
use crate::dialog::Dialog;
use crate::dialog::machines::subscriber::{Action, Event as Step, State, step};
use crate::hash::Hasher;
use crate::transaction::Id;

/// The package whose subscriptions REFERs make.
pub(super) const REFER: &str = "refer";
/// For how long is subscribed where nothing is said.
const HOUR: u32 = 3600;

/// The Event header field: the package and the id parameter, empty without one.
pub(super) fn event<'a>(message: &Message<'a>) -> Option<(&'a [u8], &'a [u8])> {
    let value = message.value(Name::Event)?;
    let at = value.iter().position(|byte| *byte == b';').unwrap_or(value.len());
    let (package, parameters) = value.split_at_checked(at)?;
    Some((package.trim_ascii(), Params::new(parameters).value("id").unwrap_or_default()))
}

/// Reads Subscription-State.
fn state(value: &[u8]) -> Option<SubscriptionState> {
    let at = value.iter().position(|byte| *byte == b';').unwrap_or(value.len());
    let (word, parameters) = value.split_at_checked(at)?;
    let parameters = Params::new(parameters);
    let text =
        |name| parameters.value(name).map(|value| String::from_utf8_lossy(value).to_string());
    let number = |name| text(name).and_then(|text| text.parse().ok());
    let word = std::str::from_utf8(word.trim_ascii()).ok()?.to_ascii_lowercase();
    (!word.is_empty()).then(|| SubscriptionState {
        word,
        expires: number("expires"),
        reason: text("reason").unwrap_or_default(),
        retry_after: number("retry-after"),
    })
}

/// Whether a failure of a request in a subscription ends it (RFC 6665 sections 4.1.2.2 and 4.2.2).
pub(super) fn ends(status: u16) -> bool {
    matches!(status, 404 | 405 | 410 | 416 | 480..=485 | 489 | 501 | 604)
}

impl Core {
    /// Sends a REFER, in a dialog or outside of any.
    pub(super) fn refer(
        &mut self,
        w: &mut World<'_>,
        dialog: Option<Id<Leg>>,
        ask: &Ask,
    ) -> Result<SubscriptionHandle, Refused> {
        let sub = self.new_reference(None)?;
        match self.send_refer(w, sub, dialog, ask) {
            Ok(()) => Ok(sub),
            Err(refused) => {
                self.subs.remove(sub);
                Err(refused)
            }
        }
    }

    /// A REFER that is not sent yet.
    pub(super) fn new_reference(
        &mut self,
        transfer: Option<(Id<super::state::Call>, super::Transfer)>,
    ) -> Result<Id<Subscribed>, Refused> {
        if self.subs.len() >= self.profile.max_subscriptions {
            return Err(Refused::Full);
        }
        let referring = Referring { transfer, ..Referring::default() };
        let side = Side::Subscriber(State::Waiting);
        let sub = Subscribed { referring: Some(referring), ..Subscribed::new(side, REFER) };
        Ok(self.subs.insert(sub))
    }

    pub(super) fn send_refer(
        &mut self,
        w: &mut World<'_>,
        sub: Id<Subscribed>,
        dialog: Option<Id<Leg>>,
        ask: &Ask,
    ) -> Result<(), Refused> {
        let ask = Ask { method: "REFER".into(), ..ask.clone() };
        // RFC 3515 section 2.4.6: only for the first one in a dialog may the id be left out.
        let first = dialog.is_none_or(|leg| {
            let subscribed = self.legs.get(leg).map_or(&[][..], |leg| &leg.subscribed);
            subscribed
                .iter()
                .all(|one| self.subs.get(*one).is_none_or(|one| one.referring.is_none()))
        });
        self.launch_asking(w, sub, dialog, &ask)?;
        if let Some(found) = self.subs.get_mut(sub) {
            found.bare = first;
        }
        Ok(())
    }

    /// Subscribes to something (RFC 6665 section 4.1.2.1).
    pub(super) fn subscribe(
        &mut self,
        w: &mut World<'_>,
        dialog: Option<Id<Leg>>,
        ask: &Ask,
    ) -> Result<SubscriptionHandle, Refused> {
        if self.subs.len() >= self.profile.max_subscriptions {
            return Err(Refused::Full);
        }
        let text = |name| ask.fields.get(name).and_then(|value| std::str::from_utf8(value).ok());
        let event = text("Event").ok_or(Refused::Malformed)?;
        let (package, parameters) = event.split_at(event.find(';').unwrap_or(event.len()));
        let id = Params::new(parameters.as_bytes()).value("id").unwrap_or_default();
        let seconds = text("Expires").and_then(|text| text.trim().parse().ok()).unwrap_or(HOUR);
        let mut ask = Ask { method: "SUBSCRIBE".into(), ..ask.clone() };
        if text("Expires").is_none() {
            ask.fields.push("Expires", seconds.to_string());
        }
        let mut fields = crate::contract::Fields::new();
        for (name, value) in
            ask.fields.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("Expires"))
        {
            fields.push(name, value);
        }
        let sub = self.subs.insert(Subscribed {
            id: String::from_utf8_lossy(id).into(),
            fields,
            seconds,
            ..Subscribed::new(Side::Subscriber(State::Waiting), package.trim())
        });
        if let Err(refused) = self.launch_asking(w, sub, dialog, &ask) {
            self.subs.remove(sub);
            return Err(refused);
        }
        Ok(sub)
    }

    /// Sends the request that asks for a subscription.
    fn launch_asking(
        &mut self,
        w: &mut World<'_>,
        sub: Id<Subscribed>,
        dialog: Option<Id<Leg>>,
        ask: &Ask,
    ) -> Result<(), Refused> {
        let owner = Owner::Subscription(sub);
        let id = match dialog {
            Some(leg) => {
                let id = self.request_inside(w, leg, ask, owner)?;
                if let Some(found) = self.legs.get_mut(leg) {
                    found.subscribed.push(sub);
                }
                id
            }
            None => {
                let mut outgoing = self.outside(w, ask)?;
                outgoing.owner = owner;
                self.launch(w, outgoing)?
            }
        };
        let Some(outgoing) = self.outgoing.get_mut(id) else { return Ok(()) };
        outgoing.quiet = ask.quiet;
        let template = &outgoing.template;
        let number = template.number;
        let tag = NameAddr::parse(&template.from).ok().and_then(|from| from.tag());
        let origin = Origin {
            call_id: template.call_id.as_slice().into(),
            tag: tag.unwrap_or_default().into(),
            number,
            contact: template.contact.clone().unwrap_or_default().into(),
            secure: template.secure,
        };
        let key = self.origin_key(&origin.call_id, &origin.tag);
        if let Some(found) = self.subs.get_mut(sub) {
            found.leg = dialog;
            if dialog.is_none() {
                found.origin = Some(origin);
                self.origins.insert(key, sub);
            }
        }
        self.number_asking(w, sub, number, ask.method == "REFER");
        Ok(())
    }

    /// What comes of a REFER is told at a URI of its own, in a dialog of its own (RFC 7614 section 4.4).
    pub(super) fn follow_elsewhere(
        &mut self,
        w: &mut World<'_>,
        sub: Id<Subscribed>,
        refer: Id<super::state::Outgoing>,
        uri: &[u8],
        package: &str,
    ) {
        let Ok(uri) = std::str::from_utf8(uri) else { return };
        let Some(found) = self.subs.get_mut(sub) else { return };
        // Only once.
        if found.referring.as_ref().is_none_or(|referring| referring.accepted) {
            return;
        }
        let old = found.leg.take();
        if let Some(origin) = found.origin.take() {
            let key = self.origin_key(&origin.call_id, &origin.tag);
            self.origins.remove(&key);
        }
        if let Some(old) = old.and_then(|leg| self.legs.get_mut(leg)) {
            old.subscribed.retain(|one| *one != sub);
        }
        let seconds = (self.profile.ringing + self.t1 * 128).as_secs();
        let ask =
            Ask::new("SUBSCRIBE", uri).with("Event", package).with("Expires", seconds.to_string());
        if self.launch_asking(w, sub, None, &ask).is_err() {
            return;
        }
        if let Some(found) = self.subs.get_mut(sub) {
            found.id = Box::default();
            found.bare = true;
        }
        // It makes one elsewhere: more will be told.
        if let Some(outgoing) = self.outgoing.get_mut(refer) {
            outgoing.quiet = false;
        }
    }

    fn origin_key(&self, call_id: &[u8], tag: &[u8]) -> u64 {
        Hasher::new(self.key).field(call_id).field(tag).finish()
    }

    /// A REFER or SUBSCRIBE leaves with this CSeq number: for the first time, or again.
    pub(super) fn number_asking(
        &mut self,
        w: &mut World<'_>,
        sub: Id<Subscribed>,
        number: u32,
        refer: bool,
    ) {
        let Some(found) = self.subs.get_mut(sub) else { return };
        if !matches!(found.side, Side::Subscriber(_)) {
            return;
        }
        if let Some(origin) = &mut found.origin {
            origin.number = number;
        }
        if refer {
            found.id = number.to_string().into();
        }
        self.wait_for_notify(w, sub);
    }

    /// Timer N (RFC 6665 sections 4.1.2.2 and 4.1.2.4).
    fn wait_for_notify(&mut self, w: &mut World<'_>, sub: Id<Subscribed>) {
        let after = self.t1 * 64;
        let timer = self.set(w, after, Due::Silence(sub));
        let old = self.subs.get_mut(sub).and_then(|found| found.wait.replace(timer));
        self.clear(w, old);
    }

    /// Timer N is due: who has not said anything will not, and no further notifier is taken on.
    pub(super) fn silent(&mut self, w: &mut World<'_>, sub: Id<Subscribed>) {
        let Some(found) = self.subs.get_mut(sub) else { return };
        found.wait = None;
        let origin = found.origin.take();
        let never = matches!(found.side, Side::Subscriber(State::Waiting));
        // A refresh that brings no NOTIFY ends it as well: the timer is cleared by each.
        let refreshed = origin.is_none() && found.leg.is_some();
        if let Some(origin) = origin {
            let key = self.origin_key(&origin.call_id, &origin.tag);
            self.origins.remove(&key);
        }
        if never || refreshed {
            self.step_subscriber(w, sub, Step::Silence, 408);
        }
    }

    /// A NOTIFY in no dialog that we know: it makes the one that our SUBSCRIBE or REFER asked for, and
    /// another one for each further notifier (RFC 6665 sections 4.1.4 and 4.4.1).
    pub(super) fn leg_of_notify(
        &mut self,
        w: &mut World<'_>,
        message: &Message<'_>,
    ) -> Option<Id<Leg>> {
        let (package, id) = event(message)?;
        let key = self.origin_key(message.call_id()?, message.to_tag()?);
        let sub = *self.origins.get(&key)?;
        let found = self.subs.get(sub)?;
        let origin = found.origin.clone()?;
        let same = *origin.call_id == *message.call_id()? && *origin.tag == *message.to_tag()?;
        if !same || !fits(found, package, id) || self.legs.len() >= self.profile.max_dialogs {
            return None;
        }
        let dialog = Dialog::of_notify(message, origin.number, origin.secure).ok()?;
        let leg = self.legs.insert(Leg { contact: origin.contact.clone(), ..Leg::of(dialog) });
        let first = self.subs.get(sub)?.leg.is_none();
        let sub = if first { sub } else { self.forked(w, sub)? };
        self.subs.get_mut(sub)?.leg = Some(leg);
        self.legs.get_mut(leg)?.subscribed.push(sub);
        Some(leg)
    }

    /// A subscription beside another, at another notifier.
    fn forked(&mut self, w: &mut World<'_>, sub: Id<Subscribed>) -> Option<Id<Subscribed>> {
        if self.subs.len() >= self.profile.max_subscriptions {
            return None;
        }
        let found = self.subs.get(sub)?;
        let other = Subscribed {
            id: found.id.clone(),
            bare: found.bare,
            referring: found.referring.as_ref().map(|_| Referring::default()),
            fields: found.fields.clone(),
            seconds: found.seconds,
            ..Subscribed::new(Side::Subscriber(State::Waiting), &found.package)
        };
        let other = self.subs.insert(other);
        self.wait_for_notify(w, other);
        Some(other)
    }

    /// The subscription of a dialog that a NOTIFY or SUBSCRIBE speaks of.
    pub(super) fn find_subscription(
        &self,
        leg: Id<Leg>,
        package: &[u8],
        id: &[u8],
        ours: bool,
    ) -> Option<Id<Subscribed>> {
        let all = self.legs.get(leg)?.subscribed.iter().copied();
        let mut fitting = all.filter(|one| {
            self.subs.get(*one).is_some_and(|one| {
                matches!(one.side, Side::Subscriber(_)) == ours && fits(one, package, id)
            })
        });
        fitting.next()
    }

    /// A NOTIFY (RFC 6665 section 4.1.3).
    pub(super) fn notified(
        &mut self,
        w: &mut World<'_>,
        message: &Message<'_>,
        request: Id<Incoming>,
        leg: Option<Id<Leg>>,
    ) {
        let Some((package, id)) = event(message) else {
            let answer = Answer::new(489).with("Allow-Events", self.registry.allow_events());
            let _ = self.respond(w, request, answer);
            return;
        };
        let found = leg.and_then(|leg| self.find_subscription(leg, package, id, true));
        let Some(sub) = found else {
            let reason = "Subscription Does Not Exist".into();
            let _ = self.respond(w, request, Answer { reason, ..Answer::new(481) });
            return;
        };
        let Some(state) = message.value(Name::SubscriptionState).and_then(state) else {
            let reason = "Missing or Malformed Subscription-State Header Field".into();
            let _ = self.respond(w, request, Answer { reason, ..Answer::new(400) });
            return;
        };
        let _ = self.respond(w, request, Answer::new(200));
        let origin = self.subs.get(sub).is_some_and(|found| found.origin.is_some());
        if !origin && let Some(found) = self.subs.get_mut(sub) {
            let wait = found.wait.take();
            self.clear(w, wait);
        }
        let over = state.word == "terminated";
        if let Some(seconds) = state.expires.filter(|_| !over) {
            self.lasts(w, sub, seconds);
        }
        let event = match state.word.as_str() {
            "terminated" => Step::SaidOver,
            "pending" => Step::SaidPending,
            _ => Step::SaidActive,
        };
        let referring = self.subs.get(sub).is_some_and(|found| found.referring.is_some());
        if referring {
            self.reported(w, sub, message, over);
        } else {
            let message = message.bytes().to_vec();
            self.events.push_back(Event::Notified { subscription: sub, state, message });
        }
        self.step_subscriber(w, sub, event, 0);
    }

    /// What the peer says of the REFER that it took on.
    fn reported(
        &mut self,
        w: &mut World<'_>,
        sub: Id<Subscribed>,
        message: &Message<'_>,
        over: bool,
    ) {
        let said = sipfrag::status(message.body());
        let Some(referring) = self.subs.get_mut(sub).and_then(|found| found.referring.as_mut())
        else {
            return;
        };
        let status = said.unwrap_or(referring.status);
        referring.status = status;
        let call = referring.transfer.as_ref().map(|(call, _)| *call);
        let fragment = message.body().to_vec();
        let reported = match (over, status) {
            (true, 200..) => Reported::Final { status, fragment },
            (true, _) => Reported::Unknown,
            (false, _) => Reported::Progress { status, fragment },
        };
        self.events.push_back(Event::Refer { refer: sub, call, reported });
        if status / 100 == 2 {
            self.transferred(w, sub);
        }
    }

    /// How long it lasts, by the word of its notifier.
    fn lasts(&mut self, w: &mut World<'_>, sub: Id<Subscribed>, seconds: u32) {
        let Some(found) = self.subs.get(sub) else { return };
        // What comes of a REFER is waited for and not refreshed; the last NOTIFY may take its time.
        let after = match found.referring {
            Some(_) => Duration::from_secs(seconds.into()) + self.t1 * 64,
            None => Duration::from_secs(seconds.into()) * 3 / 4,
        };
        let timer = self.set(w, after, Due::Expiry(sub));
        let until = w.now.at + Duration::from_secs(seconds.into());
        let old = self.subs.get_mut(sub).and_then(|found| {
            found.until = until;
            found.expiry.replace(timer)
        });
        self.clear(w, old);
    }

    /// It is to be refreshed, or has come to its end.
    pub(super) fn expired(&mut self, w: &mut World<'_>, sub: Id<Subscribed>) {
        let Some(found) = self.subs.get_mut(sub) else { return };
        found.expiry = None;
        match found.side {
            Side::Notifier(_) => self.time_over(w, sub),
            Side::Subscriber(_) => {
                let seconds = found.seconds;
                let again = found.referring.is_none() && self.resubscribe(w, sub, seconds).is_ok();
                if !again {
                    self.step_subscriber(w, sub, Step::Silence, 0);
                }
            }
        }
    }

    /// Asks for more time, or none: a SUBSCRIBE in the dialog (RFC 6665 sections 4.1.2.2, 4.1.2.3).
    pub(super) fn resubscribe(
        &mut self,
        w: &mut World<'_>,
        sub: Id<Subscribed>,
        seconds: u32,
    ) -> Result<(), Refused> {
        let found = self.subs.get(sub).ok_or(Refused::Stale)?;
        let known = matches!(found.side, Side::Subscriber(State::Pending | State::Active));
        let leg = found.leg.filter(|_| known).ok_or(Refused::State)?;
        let mut ask = Ask::new("SUBSCRIBE", "");
        if found.referring.is_some() {
            let event = match found.bare {
                true => REFER.to_owned(),
                false => format!("{REFER};id={}", found.id),
            };
            ask.fields.push("Event", event);
        } else {
            ask.fields = found.fields.clone();
        }
        ask.fields.push("Expires", seconds.to_string());
        self.request_inside(w, leg, &ask, Owner::Subscription(sub))?;
        self.wait_for_notify(w, sub);
        Ok(())
    }

    /// The final response to a REFER or SUBSCRIBE of ours, or none.
    pub(super) fn asked(
        &mut self,
        w: &mut World<'_>,
        sub: Id<Subscribed>,
        status: u16,
        message: Option<&Message<'_>>,
        quiet: bool,
    ) {
        let Some(found) = self.subs.get_mut(sub) else { return };
        let response = message.map(|message| message.bytes().to_vec());
        let waiting = matches!(found.side, Side::Subscriber(State::Waiting));
        if status / 100 == 2 {
            let Some(referring) = &mut found.referring else {
                // Section 4.1.2.1: what it lasts is in the response, and later in each NOTIFY.
                if let Some(seconds) =
                    message.and_then(Message::expires).filter(|seconds| *seconds > 0)
                {
                    self.lasts(w, sub, seconds);
                }
                return;
            };
            if std::mem::replace(&mut referring.accepted, true) {
                return;
            }
            let call = referring.transfer.as_ref().map(|(call, _)| *call);
            let response = response.unwrap_or_default();
            let reported = Reported::Accepted { response, followed: !quiet };
            self.events.push_back(Event::Refer { refer: sub, call, reported });
            self.refer_taken(w, sub, !quiet);
            if quiet {
                self.drop_subscription(w, sub);
            }
            return;
        }
        if waiting {
            if let Some(referring) = &found.referring {
                let accepted = referring.accepted;
                let call = referring.transfer.as_ref().map(|(call, _)| *call);
                if !accepted && self.refer_otherwise(w, sub, status) {
                    return;
                }
                // It may be that it was accepted, and a subscription elsewhere is not (RFC 7614).
                let reported = match accepted {
                    true => Reported::Unknown,
                    false => Reported::Refused { status, response },
                };
                self.events.push_back(Event::Refer { refer: sub, call, reported });
                return self.drop_subscription(w, sub);
            }
            self.step_subscriber(w, sub, Step::Refused, status);
        } else if ends(status) {
            self.step_subscriber(w, sub, Step::Gone, status);
        }
    }

    pub(super) fn step_subscriber(
        &mut self,
        w: &mut World<'_>,
        sub: Id<Subscribed>,
        event: Step,
        status: u16,
    ) {
        let Some(found) = self.subs.get_mut(sub) else { return };
        let Side::Subscriber(state) = found.side else { return };
        let Some((next, actions)) = step(state, event) else { return };
        found.side = Side::Subscriber(next);
        if !actions.contains(&Action::End) {
            return;
        }
        match &found.referring {
            // The NOTIFY has told it.
            Some(_) if event == Step::SaidOver => {}
            Some(referring) => {
                let call = referring.transfer.as_ref().map(|(call, _)| *call);
                let unanswered = !referring.accepted && referring.status == 0;
                let reported = match unanswered && event == Step::Silence {
                    true => Reported::Refused { status: 408, response: None },
                    false => Reported::Unknown,
                };
                self.events.push_back(Event::Refer { refer: sub, call, reported });
            }
            None => self.events.push_back(Event::Unsubscribed { subscription: sub, status }),
        }
        self.drop_subscription(w, sub);
    }

    /// Forgets a subscription at either end.
    pub(super) fn drop_subscription(&mut self, w: &mut World<'_>, sub: Id<Subscribed>) {
        let Some(found) = self.subs.remove(sub) else { return };
        self.clear(w, found.wait);
        self.clear(w, found.expiry);
        if let Some(origin) = found.origin {
            let key = self.origin_key(&origin.call_id, &origin.tag);
            self.origins.remove(&key);
        }
        if let Some(reference) = found.reference.and_then(|id| self.references.get_mut(id)) {
            reference.told.retain(|one| *one != sub);
        }
        if let Some(leg) = found.leg {
            if let Some(found) = self.legs.get_mut(leg) {
                found.subscribed.retain(|one| *one != sub);
            }
            self.settle(w, leg);
        }
    }

    /// The dialog is over with all that is in it (RFC 5057 section 5.1).
    pub(super) fn end_subscriptions(&mut self, w: &mut World<'_>, leg: Id<Leg>, status: u16) {
        let all = self.legs.get(leg).map(|leg| leg.subscribed.clone()).unwrap_or_default();
        for sub in all {
            match self.subs.get(sub).map(|found| &found.side) {
                Some(Side::Subscriber(State::Waiting)) => {
                    self.step_subscriber(w, sub, Step::Silence, status);
                }
                Some(Side::Subscriber(_)) => self.step_subscriber(w, sub, Step::Gone, status),
                Some(Side::Notifier(_)) => self.notifier_gone(w, sub, status),
                None => {}
            }
        }
    }
}

/// Whether an Event header field is that of this subscription (RFC 6665 section 8.2.1).
fn fits(sub: &Subscribed, package: &[u8], id: &[u8]) -> bool {
    *sub.package.as_bytes() == *package
        && (*sub.id.as_bytes() == *id || (sub.bare && id.is_empty()))
}
