//! Subscriptions of peers: admitted, told by NOTIFY, refreshed, ended (RFC 6665 section 4.2).

use std::time::Duration;

use towel_message::Message;

use super::event::{Content, Event, Refused, SubscriptionHandle};
use super::state::{
    Due, Incoming, Leg, Notice, NoticeStanding, Owner, Reference, Side, Subscribed,
};
use super::subscriber::{REFER, ends, event};
use super::{Answer, Ask, Core, World};
use crate::dialog::Dialog;
use crate::dialog::machines::notifier::{Action, Event as Step, State, step};
use crate::transaction::Id;

/// How often a NOTIFY is sent again that came out of order at the peer.
const MOST_AGAIN: u8 = 4;
/// The most that a subscription may last without a refresh, in seconds.
const LONGEST: u32 = 86_400;

impl Core {
    /// A SUBSCRIBE that is not refused by what its header fields say.
    pub(super) fn subscribed(
        &mut self,
        w: &mut World<'_>,
        message: &Message<'_>,
        id: Id<Incoming>,
        leg: Option<Id<Leg>>,
    ) {
        let Some((package, event_id)) = event(message) else {
            let answer = Answer::new(489).with("Allow-Events", self.registry.allow_events());
            let _ = self.respond(w, id, answer);
            return;
        };
        let found = leg.and_then(|leg| self.find_subscription(leg, package, event_id, false));
        if let Some(sub) = found {
            return self.refreshed(w, sub, message, id);
        }
        if package == REFER.as_bytes() {
            return self.reference_subscribed(w, message, id);
        }
        // RFC 6665 section 4.5.2: dialogs are not shared but for REFER.
        if leg.is_some() {
            let reason = "Dialog Sharing Is Not Supported".into();
            let _ = self.respond(w, id, Answer { reason, ..Answer::new(403) });
            return;
        }
        let message = message.bytes().to_vec();
        self.events.push_back(Event::Subscribing { request: id, dialog: leg, message });
    }

    /// More time is asked for, or none (section 4.2.1.4).
    fn refreshed(
        &mut self,
        w: &mut World<'_>,
        sub: Id<Subscribed>,
        message: &Message<'_>,
        id: Id<Incoming>,
    ) {
        let Some(found) = self.subs.get(sub) else { return };
        let most = found.seconds.max(1);
        let seconds = message.expires().unwrap_or(most).min(most);
        let notice = found.notice.clone();
        let answer = Answer::new(200).with("Expires", seconds.to_string());
        if self.respond(w, id, answer).is_err() {
            return;
        }
        if seconds == 0 {
            return self.time_over(w, sub);
        }
        self.runs(w, sub, seconds);
        self.notify(w, sub, notice);
    }

    /// Takes a subscription on: answers the request, and says at once how things stand (section
    /// 4.2.1.2).
    pub(super) fn admit(
        &mut self,
        w: &mut World<'_>,
        id: Id<Incoming>,
        seconds: u32,
        notice: Notice,
        reference: Option<Id<Reference>>,
    ) -> Result<SubscriptionHandle, Refused> {
        let incoming = self.incoming.get(id).ok_or(Refused::Stale)?;
        if incoming.status >= 200 {
            return Err(Refused::State);
        }
        if self.subs.len() >= self.profile.max_subscriptions {
            let _ = self.respond(w, id, Answer::new(503).with("Retry-After", "5"));
            return Err(Refused::Full);
        }
        let (package, event_id, implicit, asked) = self.wanted(id)?;
        let seconds = asked.map_or(seconds, |asked| asked.min(seconds)).min(LONGEST);
        let leg = match self.leg_for(w, id) {
            Ok(leg) => leg,
            Err(refused) => {
                let status = if refused == Refused::Full { 503 } else { 400 };
                let _ = self.respond(w, id, Answer::new(status));
                return Err(refused);
            }
        };
        let mut sub = Subscribed {
            id: event_id.into(),
            leg: Some(leg),
            reference,
            seconds,
            ..Subscribed::new(Side::Notifier(State::Idle), &package)
        };
        if implicit && let Some(found) = self.legs.get_mut(leg) {
            // RFC 3515 section 2.4.6: the first one in a dialog goes without the id.
            sub.bare = found.references == 0;
            found.references += 1;
        }
        let sub = self.subs.insert(sub);
        if let Some(found) = self.legs.get_mut(leg) {
            found.subscribed.push(sub);
        }
        let mut answer = Answer::new(200);
        if !implicit {
            answer = answer.with("Expires", seconds.to_string());
        }
        if let Err(refused) = self.respond(w, id, answer) {
            self.drop_subscription(w, sub);
            return Err(refused);
        }
        if seconds == 0 {
            // A single look (section 4.4.3).
            let standing = NoticeStanding::Terminated("timeout".into());
            self.notify(w, sub, Notice { standing, ..notice });
        } else {
            self.runs(w, sub, seconds);
            self.notify(w, sub, notice);
        }
        Ok(sub)
    }

    /// What a request subscribes to: package and id, whether a REFER does, and for how long it asks.
    fn wanted(&self, id: Id<Incoming>) -> Result<(String, String, bool, Option<u32>), Refused> {
        let incoming = self.incoming.get(id).ok_or(Refused::Stale)?;
        if &*incoming.method == "REFER" {
            return Ok((REFER.into(), incoming.number.to_string(), true, None));
        }
        super::reading(&incoming.request, |message| {
            let (package, event_id) = event(message)?;
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            Some((text(package), text(event_id), false, message.expires()))
        })
        .flatten()
        .ok_or(Refused::Malformed)
    }

    /// The dialog that a request is in, or the one that its 2xx makes.
    fn leg_for(&mut self, w: &mut World<'_>, id: Id<Incoming>) -> Result<Id<Leg>, Refused> {
        let incoming = self.incoming.get(id).ok_or(Refused::Stale)?;
        if let Some(leg) = incoming.leg {
            return Ok(leg);
        }
        if self.legs.len() >= self.profile.max_dialogs {
            return Err(Refused::Full);
        }
        let secure = incoming.flow.transport.secure();
        let made = super::reading(&incoming.request, |request| {
            let tag = w.stack.to_tag(request);
            let sips = request.uri().is_ok_and(|uri| uri.sip().is_some_and(|uri| uri.secure));
            let dialog = Dialog::of_request(request, &tag, secure && sips, true).ok()?;
            Some((dialog, super::responding::called_user(request)))
        });
        let (dialog, contact) = made.flatten().ok_or(Refused::Malformed)?;
        let leg = self.legs.insert(Leg { contact: contact.into(), open: 1, ..Leg::of(dialog) });
        if let Some(incoming) = self.incoming.get_mut(id) {
            incoming.leg = Some(leg);
        }
        Ok(leg)
    }

    /// It lasts so long from now on.
    fn runs(&mut self, w: &mut World<'_>, sub: Id<Subscribed>, seconds: u32) {
        let after = Duration::from_secs(seconds.into());
        let timer = self.set(w, after, Due::Expiry(sub));
        let until = w.now.at + after;
        let old = self.subs.get_mut(sub).and_then(|found| {
            found.until = until;
            found.expiry.replace(timer)
        });
        self.clear(w, old);
    }

    /// Nobody has refreshed it, or it was given up.
    pub(super) fn time_over(&mut self, w: &mut World<'_>, sub: Id<Subscribed>) {
        let Some(found) = self.subs.get(sub) else { return };
        let standing = NoticeStanding::Terminated("timeout".into());
        let notice = Notice { standing, body: found.notice.body.clone() };
        self.notify(w, sub, notice);
    }

    /// Tells how things stand.
    pub(super) fn notify(&mut self, w: &mut World<'_>, sub: Id<Subscribed>, notice: Notice) {
        let Some(found) = self.subs.get_mut(sub) else { return };
        let Side::Notifier(state) = found.side else { return };
        if matches!(state, State::Closing | State::Ending | State::Over) {
            return;
        }
        let over = matches!(notice.standing, NoticeStanding::Terminated(_));
        found.notice = notice;
        let mut timer = None;
        if over {
            timer = found.expiry.take();
        }
        self.clear(w, timer);
        self.step_notifier(w, sub, if over { Step::Finish } else { Step::News }, 0);
    }

    fn step_notifier(&mut self, w: &mut World<'_>, sub: Id<Subscribed>, event: Step, status: u16) {
        let Some(found) = self.subs.get_mut(sub) else { return };
        let Side::Notifier(state) = found.side else { return };
        let Some((next, actions)) = step(state, event) else { return };
        found.side = Side::Notifier(next);
        for action in actions {
            match action {
                Action::Send => self.send_notify(w, sub),
                Action::End => {
                    let told = self.subs.get(sub).is_some_and(|found| &*found.package != REFER);
                    if told {
                        self.events.push_back(Event::Unsubscribed { subscription: sub, status });
                    }
                    self.drop_subscription(w, sub);
                }
            }
        }
    }

    fn send_notify(&mut self, w: &mut World<'_>, sub: Id<Subscribed>) {
        let Some(found) = self.subs.get(sub) else { return };
        let Some(leg) = found.leg else { return };
        let mut ask = Ask::new("NOTIFY", "");
        let event = match found.id.is_empty() || found.bare {
            true => found.package.to_string(),
            false => format!("{};id={}", found.package, found.id),
        };
        ask.fields.push("Event", event);
        let left = found.until.since(w.now.at).as_secs();
        let state = match &found.notice.standing {
            NoticeStanding::Pending => format!("pending;expires={left}"),
            NoticeStanding::Active => format!("active;expires={left}"),
            NoticeStanding::Terminated(reason) => format!("terminated;reason={reason}"),
        };
        ask.fields.push("Subscription-State", state);
        ask.body.clone_from(&found.notice.body);
        if self.request_inside(w, leg, &ask, Owner::Subscription(sub)).is_err() {
            self.step_notifier(w, sub, Step::Gone, 503);
        }
    }

    /// The final response to a NOTIFY of ours, or none (section 4.2.2).
    pub(super) fn notify_answered(&mut self, w: &mut World<'_>, sub: Id<Subscribed>, status: u16) {
        let Some(found) = self.subs.get_mut(sub) else { return };
        let event = match status {
            // It was overtaken on its way (RFC 3261 section 12.2.2).
            500 if found.again < MOST_AGAIN => {
                found.again += 1;
                Step::Failed
            }
            // A time-out is one of those.
            408 => Step::Gone,
            _ if ends(status) => Step::Gone,
            _ => {
                found.again = 0;
                Step::Told
            }
        };
        self.step_notifier(w, sub, event, if event == Step::Gone { status } else { 0 });
    }

    pub(super) fn notifier_gone(&mut self, w: &mut World<'_>, sub: Id<Subscribed>, status: u16) {
        self.step_notifier(w, sub, Step::Gone, status);
    }

    /// What an application says of something that is subscribed to.
    pub(super) fn tell_subscriber(
        &mut self,
        w: &mut World<'_>,
        sub: Id<Subscribed>,
        standing: NoticeStanding,
        body: Option<Content>,
    ) -> Result<(), Refused> {
        let found = self.subs.get(sub).ok_or(Refused::Stale)?;
        if !matches!(found.side, Side::Notifier(_)) {
            return Err(Refused::State);
        }
        self.notify(w, sub, Notice { standing, body });
        Ok(())
    }
}
