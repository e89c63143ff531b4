//! What phones do: each looks at what came and does what its act has it do.

use super::scenario::{Call, SECOND, What};
use super::world::{Calling, Claim, Plan, World};
use crate::agent::{Arrived, Kind, Made, Way};
use crate::flow::{FieldLine, Template};
use crate::pattern::Vars;
use crate::rng::SimRng;
use crate::text::uri_of;

/// How often a caller follows a redirection.
const MOST_HOPS: u32 = 3;

fn with(fields: impl IntoIterator<Item = (&'static str, String)>) -> Template {
    let fields = fields.into_iter().map(|(name, value)| FieldLine::Set(name.into(), value));
    Template { fields: fields.collect(), ..Template::default() }
}

/// How long a REGISTER that removes all bindings may be on its way, a server that stands still on it
/// included: whose binding it takes cannot be told from outside until then.
const SWEEPING: u64 = 300 * SECOND;

impl World<'_> {
    fn uri(&self, phone: usize) -> String {
        let plan = &self.scenario.phones[phone];
        format!("sip:u{}@{}", plan.user, self.scenario.servers[plan.home].domain())
    }

    pub(super) fn carry_out(&mut self, plan: Plan) {
        match plan {
            Plan::Act(at) => self.act(at),
            Plan::Reply { phone, request, status, act } => {
                self.answer(phone, &request, status, act);
            }
            Plan::Hang { phone, dialog, copies, call } => {
                self.hang_up(phone, dialog, copies, &call);
            }
            Plan::Talk { phone, dialog, method, call } => {
                if !self.calls.get(&call).is_none_or(|c| c.hung_up) {
                    self.talk(phone, dialog, method);
                }
            }
            Plan::GiveUp { phone, invite } => {
                self.drive(phone, |agent, out| {
                    let _ = agent.give_up(Some(&invite), &Template::default(), &Vars::new(), out);
                });
            }
            Plan::Again { phone, invite, times } => {
                self.drive(phone, |agent, out| {
                    let _ = agent.repeat(Some(&invite), out);
                });
                if times > 1 {
                    let again = Plan::Again { phone, invite, times: times - 1 };
                    self.plan(self.net.now() + SECOND / 2, again);
                }
            }
            plan => self.mend(plan),
        }
    }

    fn drive<R>(
        &mut self,
        phone: usize,
        act: impl FnOnce(&mut crate::agent::Agent, &mut towel_core::io::Outbox) -> R,
    ) -> Option<R> {
        let node = self.phones[phone]?;
        self.net.drive(node, |agent, now, out| {
            agent.set_time(now);
            act(agent, out)
        })
    }

    fn act(&mut self, at: usize) {
        let act = &self.scenario.acts[at];
        let number = act.number;
        match &act.what {
            What::Call(call) => {
                let uri = self.uri(call.to);
                self.call(at, call, &uri, 0);
            }
            What::Request(from, to, method, extra) => {
                let plan = &self.scenario.phones[*from];
                let uri = match to {
                    Some(to) => self.uri(*to),
                    None => format!("sip:{}", self.scenario.servers[plan.home].domain()),
                };
                let mut template = with(extra.map(|(name, value)| (name, value.into())));
                match *method {
                    "MESSAGE" => template.body = Some(("text/plain".into(), "hello".into())),
                    "SUBSCRIBE" | "PUBLISH" => {
                        let event = FieldLine::Set("Event".into(), "presence".into());
                        template.fields.push(event);
                    }
                    _ => {}
                }
                self.send(*from, method, Some(&uri), template, format!("x{number}"));
            }
            What::Register(phone, expires) => self.register(*phone, *expires),
            What::Fault(fault) => self.break_something(fault),
            What::Attack(times) => {
                let plan = Plan::Attack { times: *times, dice: act.dice };
                self.plan(self.net.now(), plan);
            }
        }
    }

    /// Sends a request outside of any dialog; gives its Call-ID.
    fn send(
        &mut self,
        phone: usize,
        method: &str,
        uri: Option<&str>,
        mut template: Template,
        name: String,
    ) -> Option<String> {
        for server in self.scenario.phones[phone].route.into_iter().flatten() {
            let value = format!("<sip:192.0.2.{};lr>", server + 1);
            template.fields.push(FieldLine::Add("Route".into(), value));
        }
        self.drive(phone, |agent, out| {
            let made = agent.request_from(method, uri, Way::default(), &template, &Vars::new());
            let Made { text, target } = made.ok()?;
            let call = text.first("Call-ID").map(Into::into);
            agent.send(text, target, Some(name), out);
            call
        })?
    }

    fn call(&mut self, act: usize, call: &Call, uri: &str, hops: u32) {
        let template = with(call.extra.map(|(name, value)| (name, value.into())));
        self.named += 1;
        let invite = format!("call{}", self.named);
        let sent = self.send(call.from, "INVITE", Some(uri), template, invite.clone());
        let Some(id) = sent else { return };
        let now = self.net.now();
        let state = Calling {
            act,
            caller: call.from,
            invite: invite.clone(),
            hops,
            dialogs: Vec::new(),
            callees: Vec::new(),
            hung_up: false,
            acked: call.acks,
        };
        self.calls.insert(id, state);
        let phone = call.from;
        if let Some(patience) = call.patience {
            self.plan(now + patience, Plan::GiveUp { phone, invite: invite.clone() });
        }
        if call.stubborn > 0 {
            let again = Plan::Again { phone, invite, times: call.stubborn };
            self.plan(now + SECOND / 2, again);
        }
    }

    fn register(&mut self, phone: usize, expires: Option<u32>) {
        let mut template = with([("Expires", expires.unwrap_or(0).to_string())]);
        if expires.is_none() {
            template.fields.push(FieldLine::Set("Contact".into(), "*".into()));
            // All phones of that user are gone with it.
            let user = self.scenario.phones[phone].user;
            let home = self.scenario.phones[phone].home;
            self.swept.insert((home, user), self.net.now());
            for (at, other) in self.scenario.phones.iter().enumerate() {
                if at != phone && (other.user, other.home) == (user, home) {
                    self.claims[at] = Claim::Unknown;
                    // What is under way may be overtaken.
                    self.registering[at].values_mut().for_each(|wanted| *wanted = None);
                }
            }
        }
        self.claims[phone] = Claim::Unknown;
        self.send(phone, "REGISTER", None, template, "register".into());
        let alone = self.registering[phone].is_empty();
        let cseq = self.drive(phone, |agent, _| agent.last_cseq()).unwrap_or_default();
        self.registering[phone].insert(cseq, expires.filter(|_| alone));
    }

    /// The phone looks at what came.
    pub(super) fn look(&mut self, phone: usize) {
        let Some(node) = self.phones[phone] else { return };
        while let Some(agent) = self.net.agent(node) {
            if agent.inbox().is_empty() {
                return;
            }
            let arrived = agent.take(0);
            let dialog = agent.dialog();
            match arrived.kind {
                Kind::Request => self.asked(phone, &arrived),
                Kind::Response => self.told(phone, &arrived, dialog),
                Kind::Timeout | Kind::Failure => {
                    self.unregistered(phone, &arrived, false);
                }
            }
        }
    }

    fn asked(&mut self, phone: usize, arrived: &Arrived) {
        let method = arrived.text.method().to_string();
        if method == "ACK" || method == "CANCEL" {
            return;
        }
        self.named += 1;
        let request = format!("r{}", self.named);
        let Some(node) = self.phones[phone] else { return };
        if let Some(agent) = self.net.agent(node) {
            agent.name(arrived, &request);
        }
        let now = self.net.now();
        let id = arrived.text.first("Call-ID").unwrap_or_default().to_string();
        let known = self.calls.get(&id).map(|call| call.act);
        let reply = |status, act| Plan::Reply { phone, request: request.clone(), status, act };
        let Some(act) = known else {
            let inside = arrived.text.tag("To").is_some();
            self.plan(now, reply(if inside { 481 } else { 200 }, usize::MAX));
            return;
        };
        if method == "BYE" {
            if let Some(call) = self.calls.get_mut(&id) {
                call.hung_up = true;
            }
            self.plan(now, reply(200, act));
            return;
        }
        let act_dice = self.scenario.acts[act].dice;
        let What::Call(call) = &self.scenario.acts[act].what else { return };
        if method != "INVITE" || arrived.text.tag("To").is_some() {
            let refused = method == "INVITE" && act_dice.is_multiple_of(7);
            self.plan(now, reply(if refused { 488 } else { 200 }, act));
            return;
        }
        if call.rings {
            self.plan(now, reply(180, act));
        }
        let (mut status, mut after) = (call.status, call.after);
        if phone != call.to {
            let mut dice = SimRng::new(act_dice ^ phone as u64);
            status = [200, 486, 480, 603, 503][dice.below(5) as usize];
            after = dice.below(20 * SECOND);
        }
        self.plan(now + after, reply(status, act));
    }

    fn answer(&mut self, phone: usize, request: &str, status: u16, act: usize) {
        let mut template = Template::default();
        if status == 302
            && let Some(What::Call(call)) = self.scenario.acts.get(act).map(|act| &act.what)
        {
            let other = (call.to + 1) % self.scenario.phones.len();
            template = with([("Contact", format!("<{}>", self.uri(other)))]);
        }
        let done = self.drive(phone, |agent, out| {
            if !agent.may_answer(request) {
                return None;
            }
            agent.reply(status, None, Some(request), &template, &Vars::new(), out).ok()?;
            Some((agent.call_begun_by(request)?, agent.dialog()?))
        });
        if let Some(Some((id, dialog))) = done
            && (200..300).contains(&status)
            && let Some(call) = self.calls.get_mut(&id)
            && !call.callees.contains(&(phone, dialog))
        {
            call.callees.push((phone, dialog));
        }
    }

    fn told(&mut self, phone: usize, arrived: &Arrived, dialog: Option<usize>) {
        let (method, status) = (arrived.text.method().to_string(), arrived.text.status());
        if status < 200 {
            return;
        }
        match method.as_str() {
            "REGISTER" => self.unregistered(phone, arrived, (200..300).contains(&status)),
            "INVITE" => {
                let id = arrived.text.first("Call-ID").unwrap_or_default().to_string();
                let Some(state) = self.calls.get(&id).cloned() else { return };
                let What::Call(call) = &self.scenario.acts[state.act].what else { return };
                let ours = arrived.name.as_deref() == Some(&state.invite);
                match status {
                    200..300 => self.taken_up(phone, &id, dialog, &state, call, ours),
                    300..400 if ours && state.hops < MOST_HOPS => {
                        if let Some(contact) = arrived.text.values("Contact").first() {
                            let uri = uri_of(contact).to_string();
                            self.call(state.act, call, &uri, state.hops + 1);
                        }
                    }
                    _ => {}
                }
            }
            _ => {}
        }
    }

    fn taken_up(
        &mut self,
        phone: usize,
        id: &str,
        dialog: Option<usize>,
        state: &Calling,
        call: &Call,
        ours: bool,
    ) {
        let acks = call.acks || !ours;
        if acks {
            self.drive(phone, |agent, out| {
                let _ = agent.acknowledge(&Template::default(), &Vars::new(), out);
            });
        }
        let Some(dialog) = dialog.filter(|_| ours) else { return };
        self.answered += 1;
        let now = self.net.now();
        let first = state.dialogs.is_empty();
        if let Some(state) = self.calls.get_mut(id) {
            state.dialogs.push(dialog);
        }
        let call_id = id.to_string();
        if !first {
            // A second phone took it up too (RFC 3261 section 13.2.2.4).
            self.plan(now, Plan::Hang { phone, dialog, copies: 1, call: call_id });
            return;
        }
        for (after, by_caller, method) in call.talk.iter().copied() {
            let (phone, dialog) = if by_caller {
                (phone, dialog)
            } else {
                let Some(callee) = state.callees.first().copied() else { continue };
                callee
            };
            let call = call_id.clone();
            self.plan(now + after, Plan::Talk { phone, dialog, method, call });
        }
        if let Some((after, by_caller, copies)) = call.hang {
            let (phone, dialog) = match state.callees.first() {
                Some(callee) if !by_caller => *callee,
                _ => (phone, dialog),
            };
            self.plan(now + after, Plan::Hang { phone, dialog, copies, call: call_id });
        }
    }

    fn talk(&mut self, phone: usize, dialog: usize, method: &str) {
        let (method, template) = match method {
            // A CSeq that was there before.
            "WRONG" => ("INFO", with([("CSeq", "1 INFO".to_string())])),
            method => (method, Template::default()),
        };
        self.drive(phone, |agent, out| {
            agent.enter(dialog);
            let way = Way::default();
            if let Ok(Made { text, target }) =
                agent.request_from(method, None, way, &template, &Vars::new())
            {
                agent.send(text, target, Some("talk".into()), out);
            }
        });
    }

    pub(super) fn hang_up(&mut self, phone: usize, dialog: usize, copies: u8, call: &str) {
        if let Some(call) = self.calls.get_mut(call) {
            call.hung_up = true;
        }
        self.named += 1;
        let name = format!("bye{}", self.named);
        self.drive(phone, |agent, out| {
            agent.enter(dialog);
            let made =
                agent.request_from("BYE", None, Way::default(), &Template::default(), &Vars::new());
            let Ok(Made { text, target }) = made else { return };
            agent.send(text, target, Some(name.clone()), out);
            for _ in 1..copies {
                let _ = agent.repeat(Some(&name), out);
            }
        });
    }

    /// What an answer, or the lack of one, says of a registration.
    fn unregistered(&mut self, phone: usize, arrived: &Arrived, accepted: bool) {
        if arrived.text.method() != "REGISTER" {
            return;
        }
        let cseq = arrived.text.cseq();
        // A challenge that was answered made it a request of another number.
        let Some(entry) = self.registering[phone].range(..=cseq).next_back().map(|e| *e.0) else {
            return;
        };
        if entry != cseq && self.registering[phone].len() > 1 {
            // Which of them the challenged one was cannot be told by its new number.
            self.registering[phone].values_mut().for_each(|wanted| *wanted = None);
        }
        let Some(wanted) = self.registering[phone].remove(&entry) else { return };
        let overtaken = self.told[phone] > cseq;
        self.told[phone] = self.told[phone].max(cseq);
        if !self.registering[phone].is_empty() {
            return;
        }
        if overtaken {
            // The answer to an earlier request came last: it says nothing of what holds now.
            self.claims[phone] = Claim::Unknown;
            return;
        }
        let now = self.net.now();
        let spec = &self.scenario.phones[phone];
        if self.swept.get(&(spec.home, spec.user)).is_some_and(|at| now < at + SWEEPING) {
            self.claims[phone] = Claim::Unknown;
            return;
        }
        let Some(node) = self.phones[phone] else { return };
        let contact = self.net.agent(node).map(|a| format!("<{}>", a.contact()));
        let granted = arrived
            .text
            .values("Contact")
            .into_iter()
            .find(|value| contact.as_ref().is_some_and(|own| value.starts_with(own.as_str())))
            .and_then(|value| crate::text::param(value, "expires")?.parse::<u64>().ok());
        self.claims[phone] = match (accepted, wanted, granted) {
            (true, Some(0), None) => Claim::Gone(now),
            (true, Some(seconds), Some(granted)) if seconds > 0 => {
                Claim::There(now + granted * SECOND)
            }
            _ => Claim::Unknown,
        };
    }
}
