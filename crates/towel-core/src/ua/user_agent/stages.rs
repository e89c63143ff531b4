//! Where extensions take part, and what they have done when a stage is over.

use towel_message::Message;

use super::event::{Answer, Content, Ending, Event, Refused};
use super::others::Others;
use super::state::{Due, Incoming, Leg, Outgoing, Owner};
use super::template::{Template, line};
use super::{Ask, Core, World};
use crate::contract::{
    Carry, Delivery, DialogEnded, DialogTimer, Element, Env, Fields, Given, InDialog, Manner,
    Outline, Reply, Slots, Stage, Task, Tasks, UacRequest, UacResponse, UasRequest, UasResponse,
    Verdict, Woken,
};
use crate::dialog::Subscription;
use crate::dialog::machines::{dialog, usage};
use crate::stack::Received;
use crate::transaction::Id;
use crate::ua::extensions::Nobody;

/// How deep what extensions have done may lead to more of it.
const MOST_DEEP: u8 = 8;
/// How many timers extensions may have in one dialog.
const MOST_TIMERS: usize = 32;
/// How many subscriptions a dialog may have.
const MOST_SUBSCRIPTIONS: usize = 16;

/// Tasks, and whose each is.
pub(super) type Wanted = Vec<(&'static str, Task)>;

/// What came of the stage of a UAC that has a response.
#[derive(Default)]
pub(super) struct Reading {
    pub(super) discarded: bool,
    pub(super) reliable: bool,
    pub(super) tasks: Wanted,
}

/// What came of the stage of a UAS that has a request.
#[derive(Default)]
pub(super) struct Asking {
    pub(super) refusal: Option<Reply>,
    /// Nobody is called yet; with the provisional response that says so.
    pub(super) hold: Option<Option<Reply>>,
    /// How a call is to be answered.
    pub(super) manner: Manner,
    pub(super) tasks: Wanted,
}

/// What came of the stage of a UAS that is about to respond.
#[derive(Default)]
pub(super) struct Responding {
    pub(super) fields: Fields,
    pub(super) contact_parameters: Vec<u8>,
    pub(super) delivery: Delivery,
    pub(super) discarded: bool,
    pub(super) tasks: Wanted,
}

impl Responding {
    /// It waits without being asked about.
    pub(super) fn held() -> Responding {
        Responding { delivery: Delivery::Hold, ..Responding::default() }
    }
}

/// The dialog as an extension sees it. `invite` is the CSeq number of the peer's INVITE under way.
fn view<'a>(leg: &'a mut Leg, invite: Option<u32>) -> InDialog<'a> {
    let Leg { dialog, usage, allows, .. } = leg;
    // The slots are taken out of the dialog so that the rest of it can be looked at beside them.
    let (facts, slots) = dialog.facts_and_slots();
    InDialog {
        call_id: facts.call_id,
        local_tag: facts.local_tag,
        remote_tag: facts.remote_tag,
        initiator: facts.initiator,
        confirmed: facts.state == dialog::State::Confirmed,
        session: usage.is_some_and(|state| state != usage::State::Over),
        invite,
        peer_allows: allows.as_deref(),
        slots,
    }
}

impl Core {
    fn invite_number(&self, leg: Option<Id<Leg>>) -> Option<u32> {
        let id = self.legs.get(leg?)?.invite?;
        Some(self.incoming.get(id)?.number)
    }

    /// Lets extensions add to a request that is about to be sent, or not let it go.
    pub(super) fn extend_request(
        &mut self,
        w: &mut World<'_>,
        id: Id<Outgoing>,
    ) -> Result<(), Refused> {
        let Some(outgoing) = self.outgoing.get_mut(id) else { return Err(Refused::Stale) };
        let woken = self.registry.woken_for_own_request();
        outgoing.template.added.clear();
        outgoing.template.contact_parameters.clear();
        if woken.is_empty() {
            return Ok(());
        }
        let leg = outgoing.leg;
        let own = match outgoing.owner {
            Owner::Extension(id) => Some(id),
            _ => None,
        };
        let (mut fields, mut tasks) = (Fields::new(), Tasks::new());
        let template = &mut outgoing.template;
        let dialog = leg.and_then(|leg| self.legs.get_mut(leg)).map(|leg| view(leg, None));
        let verdict = self.registry.uac_request(
            woken,
            Env::new(w.now, &Nobody),
            &mut UacRequest {
                method: template.method.as_bytes(),
                request_uri: &mut template.uri,
                fields: &mut fields,
                contact_parameters: &mut template.contact_parameters,
                next_hop: &outgoing.next_hop,
                slots: &mut outgoing.slots,
                agent: &mut self.kept,
                dialog,
                tasks: &mut tasks,
                body: &template.body,
                own,
                given: Given(&template.fields),
            },
        );
        if let Verdict::Refuse(reply) = verdict {
            return Err(Refused::Forbidden(reply.reason));
        }
        for (name, value) in fields.iter() {
            if !name.eq_ignore_ascii_case("Route") {
                line(&mut template.added, name.as_bytes(), value);
            } else if leg.is_none() {
                // A route set for requests outside of dialogs comes after an outbound proxy; without
                // one its first value is the next hop (RFC 3261 section 8.1.2).
                if template.route.is_empty() {
                    let first = value.split(|byte| *byte == b',').next().unwrap_or_default();
                    if let Ok(first) = towel_message::NameAddr::parse(first.trim_ascii()) {
                        outgoing.next_hop = first.uri.to_vec();
                    }
                } else {
                    template.route.extend_from_slice(b", ");
                }
                template.route.extend_from_slice(value);
            }
        }
        self.do_tasks(w, leg, tasks.take());
        Ok(())
    }

    /// Lets those extensions add to the ACK of a 2xx that ask for it ([`crate::contract::Wake::Method`]).
    pub(super) fn extend_ack(
        &mut self,
        w: &mut World<'_>,
        id: Id<Outgoing>,
        leg: Id<Leg>,
        template: &mut Template,
    ) {
        let woken = self.registry.woken_for_method(b"ACK");
        if !self.registry.acts(Stage::UacRequest, woken) {
            return;
        }
        let Some(outgoing) = self.outgoing.get_mut(id) else { return };
        let mut fields = Fields::new();
        let _ = self.registry.uac_request(
            woken,
            Env::new(w.now, &Nobody),
            &mut UacRequest {
                method: b"ACK",
                request_uri: &mut template.uri.clone(),
                fields: &mut fields,
                contact_parameters: &mut Vec::new(),
                next_hop: &outgoing.next_hop,
                slots: &mut outgoing.slots,
                agent: &mut self.kept,
                dialog: self.legs.get_mut(leg).map(|leg| view(leg, None)),
                tasks: &mut Tasks::new(),
                body: &[],
                own: None,
                given: Given(&outgoing.template.fields),
            },
        );
        for (name, value) in fields.iter() {
            line(&mut template.added, name.as_bytes(), value);
        }
    }

    /// Lets extensions read a response.
    pub(super) fn read_response(
        &mut self,
        w: &mut World<'_>,
        received: &Received<'_>,
        id: Id<Outgoing>,
        leg: Option<Id<Leg>>,
    ) -> Reading {
        let Some(outgoing) = self.outgoing.get_mut(id) else { return Reading::default() };
        let own = match outgoing.owner {
            Owner::Extension(id) => Some(id),
            _ => None,
        };
        let woken = self.registry.woken_with(self.registry.woken(&received.message), own);
        if woken.is_empty() {
            return Reading::default();
        }
        let (mut notes, mut tasks, mut reliable) = (Vec::new(), Tasks::new(), false);
        let method = received.message.method();
        let verdict = self.registry.uac_response(
            woken,
            Env::new(w.now, &Nobody),
            &mut UacResponse {
                response: received.message,
                method: method.as_bytes(),
                notes: &mut notes,
                slots: &mut outgoing.slots,
                agent: &mut self.kept,
                source: received.flow,
                dialog: leg.and_then(|leg| self.legs.get_mut(leg)).map(|leg| view(leg, None)),
                tasks: &mut tasks,
                own,
                reliable: &mut reliable,
            },
        );
        self.note(notes);
        let discarded = matches!(verdict, Verdict::Discard);
        Reading { discarded, reliable, tasks: tasks.take() }
    }

    /// Lets extensions read a request.
    pub(super) fn read_request(
        &mut self,
        w: &mut World<'_>,
        received: &Received<'_>,
        id: Id<Incoming>,
        leg: Option<Id<Leg>>,
    ) -> Asking {
        let Some(incoming) = self.incoming.get_mut(id) else { return Asking::default() };
        let mut fields = std::mem::take(&mut incoming.fields);
        let mut slots = std::mem::take(&mut incoming.slots);
        let asking = self.ask_extensions(w, received, leg, &mut fields, &mut slots);
        if let Some(incoming) = self.incoming.get_mut(id) {
            incoming.fields = fields;
            incoming.slots = slots;
        }
        asking
    }

    /// The same for a CANCEL, which nobody can refuse.
    pub(super) fn read_cancel(
        &mut self,
        w: &mut World<'_>,
        received: &Received<'_>,
        leg: Option<Id<Leg>>,
        fields: &mut Fields,
        slots: &mut Slots,
    ) -> Wanted {
        self.ask_extensions(w, received, leg, fields, slots).tasks
    }

    fn ask_extensions(
        &mut self,
        w: &mut World<'_>,
        received: &Received<'_>,
        leg: Option<Id<Leg>>,
        fields: &mut Fields,
        slots: &mut Slots,
    ) -> Asking {
        let woken = self.registry.woken(&received.message);
        if woken.is_empty() {
            return Asking::default();
        }
        let invite = self.invite_number(leg);
        let (mut notes, mut tasks) = (Vec::new(), Tasks::new());
        let mut manner = Manner::Unsaid;
        let legs = &mut self.legs;
        let others;
        // Other dialogs are of no interest in one.
        let (element, dialog): (&dyn Element, _) = match leg {
            Some(leg) => (&Nobody, legs.get_mut(leg).map(|leg| view(leg, invite))),
            None => {
                others = Others { legs, gone: &self.gone, now: w.now.at };
                (&others, None)
            }
        };
        let verdict = self.registry.uas_request(
            woken,
            Env::new(w.now, element),
            &mut UasRequest {
                request: received.message,
                source: received.flow,
                user: None,
                fields,
                slots,
                notes: &mut notes,
                dialog,
                tasks: &mut tasks,
                agent: &mut self.kept,
                manner: &mut manner,
            },
        );
        self.note(notes);
        let (refusal, hold) = match verdict {
            Verdict::Refuse(reply) => (Some(*reply), None),
            Verdict::Hold(reply) => (None, Some(reply.map(|reply| *reply))),
            Verdict::Pass | Verdict::Discard => (None, None),
        };
        Asking { refusal, hold, manner, tasks: tasks.take() }
    }

    /// Lets extensions add to a response of ours, and say how it is sent.
    pub(super) fn extend_response(
        &mut self,
        w: &mut World<'_>,
        id: Id<Incoming>,
        request: &Message<'_>,
        leg: Option<Id<Leg>>,
        answer: &Answer,
    ) -> Responding {
        let invite = self.invite_number(leg);
        let woken = self.registry.woken(request);
        let woken = self.registry.woken_for_reply(woken, answer.status);
        let Some(incoming) = self.incoming.get_mut(id) else { return Responding::default() };
        let mut responding =
            Responding { fields: incoming.fields.clone(), ..Responding::default() };
        if woken.is_empty() {
            return responding;
        }
        let mut tasks = Tasks::new();
        let verdict = self.registry.uas_response(
            woken,
            Env::new(w.now, &Nobody),
            &mut UasResponse {
                request: *request,
                status: answer.status,
                fields: &mut responding.fields,
                contact_parameters: &mut responding.contact_parameters,
                slots: &mut incoming.slots,
                dialog: leg.and_then(|leg| self.legs.get_mut(leg)).map(|leg| view(leg, invite)),
                tasks: &mut tasks,
                body: answer.body.as_ref().map_or(&[], |body| &body.bytes),
                delivery: &mut responding.delivery,
                agent: &mut self.kept,
            },
        );
        responding.discarded = matches!(verdict, Verdict::Discard);
        responding.tasks = tasks.take();
        responding
    }

    /// A timer of an extension's is due.
    pub(super) fn extension_due(
        &mut self,
        w: &mut World<'_>,
        leg: Id<Leg>,
        id: &'static str,
        tag: u32,
    ) {
        let invite = self.invite_number(Some(leg));
        let Some(found) = self.legs.get_mut(leg) else { return };
        found.timers.retain(|(owner, which, _)| (*owner, *which) != (id, tag));
        let (mut notes, mut tasks) = (Vec::new(), Tasks::new());
        self.registry.dialog_timer(
            id,
            Env::new(w.now, &Nobody),
            &mut DialogTimer {
                dialog: view(found, invite),
                tag,
                tasks: &mut tasks,
                notes: &mut notes,
                agent: &mut self.kept,
            },
        );
        self.note(notes);
        self.do_tasks(w, Some(leg), tasks.take());
    }

    fn note(&mut self, notes: Vec<String>) {
        for note in notes {
            // What nobody fetches is not to fill the memory.
            if self.events.len() < self.profile.max_events {
                self.events.push_back(Event::Note(note));
            }
        }
    }

    /// Does what extensions have asked for, here or in other dialogs.
    pub(super) fn do_tasks(&mut self, w: &mut World<'_>, leg: Option<Id<Leg>>, tasks: Wanted) {
        self.do_tasks_with(w, leg, tasks, &[]);
    }

    /// The same for tasks that follow from a message that came: whoever answers an offer in it is shown
    /// it.
    pub(super) fn do_tasks_with(
        &mut self,
        w: &mut World<'_>,
        leg: Option<Id<Leg>>,
        tasks: Wanted,
        message: &[u8],
    ) {
        if tasks.is_empty() || self.depth >= MOST_DEEP {
            return;
        }
        self.depth += 1;
        for (id, task) in tasks {
            match (task, leg) {
                (Task::In { dialog, task }, _) => {
                    let found =
                        self.legs.find(&dialog.call_id, &dialog.local_tag, &dialog.remote_tag);
                    if let Some(found) = found {
                        self.do_task(w, found, id, *task, &[]);
                    }
                }
                (task, Some(leg)) => self.do_task(w, leg, id, task, message),
                (_, None) => {}
            }
        }
        self.depth -= 1;
    }

    /// Does those of the tasks first that are for other dialogs.
    pub(super) fn do_elsewhere(&mut self, w: &mut World<'_>, tasks: &mut Wanted) {
        let (others, here) = std::mem::take(tasks)
            .into_iter()
            .partition(|(_, task)| matches!(task, Task::In { .. }));
        *tasks = here;
        self.do_tasks(w, None, others);
    }

    fn do_task(
        &mut self,
        w: &mut World<'_>,
        leg: Id<Leg>,
        id: &'static str,
        task: Task,
        message: &[u8],
    ) {
        match task {
            Task::Timer { tag, after } => self.set_for(w, leg, id, tag, Some(after)),
            Task::Clear { tag } => self.set_for(w, leg, id, tag, None),
            Task::Send(outline) => {
                let method = outline.method;
                match self.send_outline(w, leg, id, outline, None, message) {
                    // A dialog that is over by now wants nothing more.
                    Ok(()) | Err(Refused::Stale) => {}
                    Err(why) => self.note(vec![format!("{id}: no {method} is sent: {why}")]),
                }
            }
            Task::Arrived => self.arrived(w, leg),
            Task::Admit => self.call_after_all(leg),
            Task::Refuse { status } => {
                let invite = self.legs.get(leg).and_then(|leg| leg.invite);
                if let Some(invite) = invite {
                    let _ = self.respond(w, invite, Answer::new(status));
                }
            }
            Task::Subscribed { package, id } => {
                let one = Subscription { package: package.into(), id: id.into() };
                if let Some(found) = self.legs.get_mut(leg)
                    && found.dialog.subscriptions.len() < MOST_SUBSCRIPTIONS
                    && !found.dialog.subscriptions.contains(&one)
                {
                    found.dialog.subscriptions.push(one);
                }
            }
            Task::Unsubscribed { package, id } => {
                if let Some(found) = self.legs.get_mut(leg) {
                    let is = |one: &Subscription| *one.package == *package && *one.id == *id;
                    found.dialog.subscriptions.retain(|one| !is(one));
                }
                self.settle(w, leg);
            }
            // Where they count they have been seen to; and one dialog speaks of no third one.
            Task::Retry
            | Task::In { .. }
            | Task::Relate { .. }
            | Task::NoSubscription
            | Task::EventsAt(_)
            | Task::Subscribe { .. } => {}
            Task::HangUp { reason } => {
                if let Some(found) = self.legs.get_mut(leg) {
                    found.bye_reason = reason;
                }
                self.step(w, leg, usage::Event::HangUp, Some(Ending::Local));
            }
        }
    }

    /// A dialog is gone: those who kept something with it are told.
    pub(super) fn tell_dialog_ended(&mut self, w: &mut World<'_>, mut leg: Leg) {
        let woken = self.registry.woken_by_slots(Woken::NONE, &leg.dialog.slots);
        if !self.registry.acts(Stage::DialogEnded, woken) {
            return;
        }
        let mut tasks = Tasks::new();
        let _ = self.registry.dialog_ended(
            woken,
            Env::new(w.now, &Nobody),
            &mut DialogEnded {
                dialog: view(&mut leg, None),
                agent: &mut self.kept,
                tasks: &mut tasks,
            },
        );
        self.do_tasks(w, None, tasks.take());
    }

    fn set_for(
        &mut self,
        w: &mut World<'_>,
        leg: Id<Leg>,
        id: &'static str,
        tag: u32,
        after: Option<std::time::Duration>,
    ) {
        let Some(found) = self.legs.get_mut(leg) else { return };
        let same = |(owner, which, _): &(&'static str, u32, _)| (*owner, *which) == (id, tag);
        let old = found.timers.iter().position(same).map(|at| found.timers.swap_remove(at).2);
        let room = found.timers.len() < MOST_TIMERS;
        self.clear(w, old);
        if let Some(after) = after.filter(|_| room) {
            let timer = self.set(w, after, Due::Extension(leg, id, tag));
            if let Some(found) = self.legs.get_mut(leg) {
                found.timers.push((id, tag, timer));
            }
        }
    }

    /// Sends a request of an extension's, or asks the application for its body first.
    pub(super) fn send_outline(
        &mut self,
        w: &mut World<'_>,
        leg: Id<Leg>,
        id: &'static str,
        outline: Outline,
        answer: Option<Content>,
        message: &[u8],
    ) -> Result<(), Refused> {
        let found = self.legs.get_mut(leg).ok_or(Refused::Stale)?;
        let mut ask = Ask::new(outline.method, "");
        for (name, value) in &outline.fields {
            ask.fields.push(name, value);
        }
        ask.body = match (&outline.body, answer) {
            (Carry::Nothing, _) => None,
            (Carry::Body { media_type, bytes }, _) => {
                Some(Content { media_type: (*media_type).into(), bytes: bytes.clone() })
            }
            (Carry::Session, _) if found.offers.sent.is_empty() => None,
            (Carry::Session, _) => Some(Content::sdp(found.offers.sent.clone())),
            (Carry::Answer, Some(answer)) => Some(answer),
            (Carry::Answer, None) => {
                let method = outline.method.to_owned();
                found.unanswered = Some((id, outline));
                let message = message.to_vec();
                self.events.push_back(Event::AnswerWanted { dialog: leg, method, message });
                return Ok(());
            }
        };
        self.request_inside(w, leg, &ask, Owner::Extension(id)).map(|_| ())
    }

    /// The Reason that extensions have a CANCEL carry (RFC 3326).
    pub(super) fn reason_of_cancel(
        &mut self,
        w: &mut World<'_>,
        call: Id<super::state::Call>,
    ) -> Option<Vec<u8>> {
        let woken = self.registry.woken_for_own_request();
        let id = self.calls.get(call)?.outgoing?;
        let outgoing = self.outgoing.get_mut(id)?;
        let mut fields = Fields::new();
        let mut uri = outgoing.template.uri.clone();
        let _ = self.registry.uac_request(
            woken,
            Env::new(w.now, &Nobody),
            &mut UacRequest {
                method: b"CANCEL",
                request_uri: &mut uri,
                fields: &mut fields,
                contact_parameters: &mut Vec::new(),
                next_hop: &outgoing.next_hop,
                slots: &mut outgoing.slots,
                agent: &mut self.kept,
                dialog: None,
                tasks: &mut Tasks::new(),
                body: &[],
                own: None,
                given: Given::default(),
            },
        );
        fields.get("Reason").map(<[u8]>::to_vec)
    }
}
