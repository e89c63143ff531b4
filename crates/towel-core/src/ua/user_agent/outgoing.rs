//! Requests of ours: written, sent, challenged, answered.

use towel_message::{Message, Name, Uri};

use super::event::{Ask, Came, Event, Refused};
use super::offers::{final_carrier, has_description};
use super::state::{Call, Credentials, Leg, Outgoing, Owner};
use super::template::{Template, line};
use super::{Core, World};
use crate::contract::{Slots, Task};
use crate::dialog::machines::usage;
use crate::dialog::{Effect, effect};
use crate::stack::{ClientId, Destination, Failure, Received, Refusal};
use crate::transaction::Id;
use crate::ua::keyring::{Challenged, Way};

/// How often challenges are answered for one request: by several proxies and the server, and once
/// more where a nonce was stale.
const MAX_CHALLENGES: u32 = 5;
/// How often an extension may have one request sent again.
const MAX_RETRIES: u32 = 5;

impl Core {
    /// A request outside of any dialog (RFC 3261 section 8.1.1).
    pub(super) fn outside(&mut self, w: &mut World<'_>, ask: &Ask) -> Result<Outgoing, Refused> {
        let plain = |text: &str| !text.bytes().any(|byte| byte.is_ascii_control());
        let spaced = ask.uri.contains(' ') || ask.call_id.contains(' ');
        if ask.method.is_empty()
            || !plain(&ask.method)
            || !plain(&ask.uri)
            || !plain(&ask.call_id)
            || spaced
        {
            return Err(Refused::Malformed);
        }
        let secure = match Uri::parse(ask.uri.as_bytes()) {
            Ok(Uri::Sip(uri)) => uri.secure,
            Ok(_) => false,
            Err(_) => return Err(Refused::Malformed),
        };
        let rng = w.stack.rng();
        let mut call_id = ask.call_id.as_bytes().to_vec();
        if call_id.is_empty() {
            rng.token(24, &mut call_id);
        }
        let from = if ask.from.is_empty() { &self.profile.address } else { &ask.from };
        let mut from = from.as_bytes().to_vec();
        from.extend_from_slice(b";tag=");
        rng.token(12, &mut from);
        let to = if ask.to.is_empty() { format!("<{}>", ask.uri) } else { ask.to.clone() };
        let uri = ask.uri.as_bytes().to_vec();
        let proxy = ask.route.as_ref().or(self.profile.route.as_ref());
        let (route, next_hop) = match proxy.filter(|_| !ask.direct) {
            Some(proxy) => (loose(proxy), proxy.as_bytes().to_vec()),
            None => (Vec::new(), uri.clone()),
        };
        let mut template = Template {
            method: ask.method.as_str().into(),
            uri,
            route,
            from,
            to: to.into_bytes(),
            call_id,
            number: ask.number.max(1),
            max_forwards: ask.max_forwards.unwrap_or(70),
            secure,
            ..Template::default()
        };
        self.fill(&mut template, ask);
        Ok(Outgoing::new(template, next_hop, Owner::Application))
    }

    /// A request inside a dialog (section 12.2.1.1).
    pub(super) fn inside(&mut self, leg: Id<Leg>, ask: &Ask) -> Result<Outgoing, Refused> {
        let found = self.legs.get_mut(leg).ok_or(Refused::Stale)?;
        let number = found.dialog.next_sequence();
        let way = found.dialog.way();
        let mut template = Template {
            method: ask.method.as_str().into(),
            uri: way.uri,
            route: way.route,
            from: found.dialog.local().to_vec(),
            to: found.dialog.remote().to_vec(),
            call_id: found.dialog.call_id().to_vec(),
            number,
            max_forwards: ask.max_forwards.unwrap_or(70),
            secure: found.dialog.is_secure(),
            ..Template::default()
        };
        let contact = found.contact.to_vec();
        match ask.fields.get("Session-ID") {
            Some(value) => found.session_id = Some(value.into()),
            None => {
                if let Some(value) = &found.session_id {
                    line(&mut template.fields, b"Session-ID", value);
                }
            }
        }
        self.fill(&mut template, ask);
        if template.contact.is_some() {
            template.contact = Some(contact);
        }
        let mut outgoing = Outgoing::new(template, way.next_hop, Owner::Application);
        outgoing.leg = Some(leg);
        Ok(outgoing)
    }

    /// What does not depend on whether there is a dialog.
    fn fill(&self, template: &mut Template, ask: &Ask) {
        // Target refresh requests have a Contact, and those that make a dialog (section 8.1.1.8).
        if has_contact(&template.method) {
            let user = ask.contact.as_ref().unwrap_or(&self.profile.contact);
            template.contact = Some(user.as_bytes().to_vec());
        }
        for (name, value) in ask.fields.iter() {
            line(&mut template.fields, name.as_bytes(), value);
        }
        if let Some(body) = &ask.body {
            template.media_type = body.media_type.as_bytes().to_vec();
            template.body.clone_from(&body.bytes);
        }
        // Section 13.2.1 and 8.1.1.9.
        if template.method.as_ref() == "INVITE" && ask.fields.get("Allow").is_none() {
            line(&mut template.fields, b"Allow", self.allow().as_bytes());
            // RFC 6665 section 4.4.4.
            if !self.registry.allow_events().is_empty() {
                line(
                    &mut template.fields,
                    b"Allow-Events",
                    self.registry.allow_events().as_bytes(),
                );
            }
        }
        let supported = ask.supported.as_deref().unwrap_or(self.registry.supported());
        if !supported.is_empty() {
            line(&mut template.fields, b"Supported", supported.as_bytes());
        }
    }

    /// The value of Allow.
    pub(super) fn allow(&self) -> &str {
        match self.registry.allow() {
            "" => "INVITE, ACK, CANCEL, BYE, OPTIONS",
            allow => allow,
        }
    }

    /// Sends it; from here on what happens is told by events.
    pub(super) fn launch(
        &mut self,
        w: &mut World<'_>,
        outgoing: Outgoing,
    ) -> Result<Id<Outgoing>, Refused> {
        let leg = outgoing.leg;
        let id = self.outgoing.insert(outgoing);
        match self.transmit(w, id) {
            Ok(()) => {
                if let Some(leg) = leg.and_then(|leg| self.legs.get_mut(leg)) {
                    leg.open += 1;
                }
                Ok(id)
            }
            Err(refused) => {
                self.outgoing.remove(id);
                Err(refused)
            }
        }
    }

    /// Lets the extensions add to it, and hands it to a transaction.
    fn transmit(&mut self, w: &mut World<'_>, id: Id<Outgoing>) -> Result<(), Refused> {
        self.extend_request(w, id)?;
        let Some(outgoing) = self.outgoing.get(id) else { return Err(Refused::Stale) };
        let template = &outgoing.template;
        let client = w.stack.client_transaction(
            w.now,
            w.out,
            Destination::Uri(&outgoing.next_hop),
            id.number(),
            |stamp, to| template.write(stamp, to),
        );
        let client = client.map_err(|refusal| match refusal {
            Refusal::Full => Refused::Full,
            _ => Refused::Malformed,
        })?;
        if let Some(outgoing) = self.outgoing.get_mut(id) {
            outgoing.client = Some(client);
        }
        Ok(())
    }

    /// Sends it once more with the next CSeq (sections 8.1.3.5, 14.1, 22.2).
    pub(super) fn transmit_anew(&mut self, w: &mut World<'_>, id: Id<Outgoing>) -> bool {
        let Some(outgoing) = self.outgoing.get_mut(id) else { return false };
        let number = match outgoing.leg.and_then(|leg| self.legs.get_mut(leg)) {
            Some(leg) => leg.dialog.next_sequence(),
            None => outgoing.template.number + 1,
        };
        outgoing.template.number = number;
        outgoing.client = None;
        if let Owner::Subscription(sub) = outgoing.owner {
            let refer = &*outgoing.template.method == "REFER";
            self.number_asking(w, sub, number, refer);
        }
        self.transmit(w, id).is_ok()
    }

    /// A response to a request of ours.
    pub(super) fn take_response(
        &mut self,
        w: &mut World<'_>,
        received: &Received<'_>,
        id: Id<Outgoing>,
    ) {
        let message = &received.message;
        // Section 8.1.3.3: more than one Via value means that it went astray.
        if message.values(Name::Via).count() != 1 {
            return;
        }
        let Some(outgoing) = self.outgoing.get(id) else { return };
        if outgoing.call.is_some() {
            return self.invite_response(w, received, id);
        }
        if outgoing.done {
            // A 2xx to a re-INVITE that is acknowledged already.
            if message.status() / 100 == 2 {
                self.acknowledge_again(w, id, message);
            }
            return;
        }
        let leg = outgoing.leg;
        let mut outcome = self.read_response(w, received, id, leg);
        self.note_allow(leg, message);
        self.subscribe_elsewhere(w, id, &mut outcome.tasks);
        self.hear_session(leg, message);
        let status = message.status();
        if status < 200 {
            if !outcome.discarded {
                self.tell(id, || Came::Provisional(message.bytes().to_vec()));
            }
            return self.do_tasks_with(w, leg, outcome.tasks, message.bytes());
        }
        if self.answer_challenge(w, message, id) || self.retry(w, id, &mut outcome.tasks) {
            return self.do_tasks(w, leg, outcome.tasks);
        }
        if self.outgoing.get(id).is_some_and(|outgoing| &*outgoing.template.method == "INVITE") {
            self.reinvite_answered(w, id, message);
        } else {
            self.request_answered(w, id, status, Some(message));
        }
        self.do_tasks(w, leg, outcome.tasks);
    }

    /// Whether an extension wants the refused request sent again, and it was.
    pub(super) fn retry(
        &mut self,
        w: &mut World<'_>,
        id: Id<Outgoing>,
        tasks: &mut Vec<(&'static str, crate::contract::Task)>,
    ) -> bool {
        let before = tasks.len();
        tasks.retain(|(_, task)| *task != crate::contract::Task::Retry);
        if before == tasks.len() {
            return false;
        }
        let Some(outgoing) = self.outgoing.get_mut(id) else { return false };
        outgoing.retried += 1;
        outgoing.retried <= MAX_RETRIES && self.transmit_anew(w, id)
    }

    /// The final response to a request that is no INVITE, or none (408, 503).
    fn request_answered(
        &mut self,
        w: &mut World<'_>,
        id: Id<Outgoing>,
        status: u16,
        message: Option<&Message<'_>>,
    ) {
        if let Some(message) = message {
            self.tell(id, || Came::Final { response: message.bytes().to_vec(), status });
        }
        let Some(outgoing) = self.outgoing.remove(id) else { return };
        let Some(leg) = outgoing.leg else { return self.tell_owner(w, &outgoing, status, message) };
        let method = &*outgoing.template.method;
        if let Some(found) = self.legs.get_mut(leg) {
            found.open = found.open.saturating_sub(1);
            if let Some(message) = message.filter(|_| status / 100 == 2 && refreshes(method)) {
                found.dialog.refresh_target(message);
            }
            if let Some(carrier) = final_carrier(method, status / 100 == 2) {
                found.offers.pass(carrier, message.is_some_and(has_description), false);
            }
        }
        self.tell_owner(w, &outgoing, status, message);
        if method == "BYE" {
            self.step(w, leg, usage::Event::ByeDone, None);
        } else {
            self.apply_effect(w, leg, method, status);
        }
        self.settle(w, leg);
    }

    /// Tells a subscription, or the peer whose REFER asked for it, what came of a request.
    fn tell_owner(
        &mut self,
        w: &mut World<'_>,
        outgoing: &Outgoing,
        status: u16,
        message: Option<&Message<'_>>,
    ) {
        match outgoing.owner {
            Owner::Subscription(sub) if &*outgoing.template.method == "NOTIFY" => {
                self.notify_answered(w, sub, status);
            }
            Owner::Subscription(sub) => self.asked(w, sub, status, message, outgoing.quiet),
            Owner::Reference(reference) => self.report_request(w, reference, status, message),
            Owner::Application | Owner::Extension(_) | Owner::Ourselves => {}
        }
    }

    /// What extensions have found in the 2xx to a REFER: that it makes no subscription, or where there
    /// is one.
    fn subscribe_elsewhere(
        &mut self,
        w: &mut World<'_>,
        id: Id<Outgoing>,
        tasks: &mut super::stages::Wanted,
    ) {
        let mut places = Vec::new();
        tasks.retain(|(_, task)| {
            match task {
                Task::NoSubscription => {
                    if let Some(outgoing) = self.outgoing.get_mut(id) {
                        outgoing.quiet = true;
                    }
                }
                Task::Subscribe { uri, package } => places.push((uri.clone(), *package)),
                _ => return true,
            }
            false
        });
        let Some(Owner::Subscription(sub)) = self.outgoing.get(id).map(|outgoing| outgoing.owner)
        else {
            return;
        };
        for (uri, package) in places {
            self.follow_elsewhere(w, sub, id, &uri, package);
        }
    }

    /// What a failure ends besides its transaction (RFC 5057).
    pub(super) fn apply_effect(
        &mut self,
        w: &mut World<'_>,
        leg: Id<Leg>,
        method: &str,
        status: u16,
    ) {
        let lost = super::Ending::Lost { status };
        match effect(method.as_bytes(), status) {
            Effect::Transaction => {}
            Effect::Usage if matches!(method, "SUBSCRIBE" | "NOTIFY" | "REFER") => {}
            // RFC 3261 section 12.2.1.2: a peer that is there no more is told all the same.
            Effect::Usage if matches!(status, 408 | 481) && method != "BYE" => {
                self.step(w, leg, usage::Event::HangUp, Some(lost));
            }
            Effect::Usage => {
                self.step(w, leg, usage::Event::Lost, Some(lost));
            }
            Effect::Dialog => {
                if let Some(found) = self.legs.get_mut(leg) {
                    found.dialog.subscriptions.clear();
                }
                self.end_subscriptions(w, leg, status);
                self.step(w, leg, usage::Event::Lost, Some(lost));
            }
        }
    }

    /// A request of ours has come to nothing.
    pub(super) fn take_failure(&mut self, w: &mut World<'_>, id: Id<Outgoing>, why: Failure) {
        let Some(outgoing) = self.outgoing.get(id) else { return };
        if outgoing.done {
            return;
        }
        if outgoing.call.is_some() {
            return self.invite_failed(w, id, why);
        }
        let came = Came::Failed(why);
        let status = came.status();
        let invite = &*outgoing.template.method == "INVITE";
        self.tell(id, || came);
        if invite {
            self.reinvite_failed(w, id, status);
        } else {
            self.request_answered(w, id, status, None);
        }
    }

    /// Tells the application of its own requests.
    pub(super) fn tell(&mut self, id: Id<Outgoing>, came: impl FnOnce() -> Came) {
        let Some(outgoing) = self.outgoing.get(id) else { return };
        if outgoing.owner == Owner::Application {
            let event = Event::Response { dialog: outgoing.leg, request: id, came: came() };
            self.events.push_back(event);
        }
    }

    /// Answers a challenge with our account, once for each realm (section 22); says whether the
    /// request has been sent again.
    pub(super) fn answer_challenge(
        &mut self,
        w: &mut World<'_>,
        response: &Message<'_>,
        id: Id<Outgoing>,
    ) -> bool {
        let (challenge, credentials) = match response.status() {
            401 => (Name::WwwAuthenticate, Name::Authorization),
            407 => (Name::ProxyAuthenticate, Name::ProxyAuthorization),
            _ => return false,
        };
        let keyring = &mut self.keyring;
        let (Some(account), Some(outgoing)) = (&self.profile.account, self.outgoing.get_mut(id))
        else {
            return false;
        };
        if outgoing.answered >= MAX_CHALLENGES {
            return false;
        }
        outgoing.answered += 1;
        let values = response.fields(challenge).map(|field| field.value);
        let address = self.profile.address.as_bytes();
        let way = match outgoing.leg {
            Some(_) => Way::Away,
            // A route outside of any dialog is one of our own settings.
            None => {
                let (template, next_hop) = (&outgoing.template, &outgoing.next_hop);
                Way::outside(&template.method, !template.route.is_empty(), address, next_hop)
            }
        };
        let sent_to = outgoing.client.and_then(|client| w.stack.sent_by_flow(client));
        let challenged = Challenged {
            way,
            address,
            next_hop: &outgoing.next_hop,
            sent_to: sent_to.map(|flow| flow.remote.ip()),
        };
        let sessions = keyring.choose(account, &challenged, values);
        let template = &mut outgoing.template;
        let mut kept: Credentials = std::mem::take(&mut template.credentials);
        let mut any = false;
        for mut session in sessions {
            let realm = session.realm().to_vec();
            let same = |(name, value): &(Name, Vec<u8>)| {
                *name == credentials
                    && crate::auth::field::realm_of(value).as_deref() == Some(&realm[..])
            };
            // Section 22.1: the same credentials are not tried again unless only the nonce was old.
            if kept.iter().any(same) && !session.stale() {
                continue;
            }
            kept.retain(|entry| !same(entry));
            let cnonce = w.stack.rng().text(16);
            let value =
                session.answer(template.method.as_bytes(), &template.uri, &template.body, &cnonce);
            kept.push((credentials, value));
            any = true;
        }
        template.credentials = kept;
        any && self.transmit_anew(w, id)
    }

    /// A client transaction is over: no further 2xx can come.
    pub(super) fn client_over(&mut self, w: &mut World<'_>, client: ClientId, id: Id<Outgoing>) {
        let Some(outgoing) = self.outgoing.get(id) else { return };
        if outgoing.client != Some(client) || !outgoing.done {
            return;
        }
        let (call, leg) = (outgoing.call, outgoing.leg);
        self.outgoing.remove(id);
        if let Some(call) = call {
            self.inviting_over(w, call);
        }
        if let Some(leg) = leg {
            if let Some(found) = self.legs.get_mut(leg) {
                found.open = found.open.saturating_sub(1);
            }
            self.settle(w, leg);
        }
    }

    /// Notes what the peer says of itself: methods, option tags, and what it can.
    pub(super) fn note_allow(&mut self, leg: Option<Id<Leg>>, message: &Message<'_>) {
        let Some(leg) = leg.and_then(|leg| self.legs.get_mut(leg)) else { return };
        let joined = |name| {
            let mut fields = message.fields(name);
            let mut all = fields.next()?.value.to_vec();
            for field in fields {
                all.push(b',');
                all.extend_from_slice(field.value);
            }
            Some(all.into())
        };
        if let Some(allows) = joined(Name::Allow) {
            leg.allows = Some(allows);
        }
        if let Some(supports) = joined(Name::Supported) {
            leg.supports = Some(supports);
        }
        if let Some(Ok(contact)) = message.contacts().next() {
            leg.features = super::referral::features(&contact).into_bytes().into();
        }
    }
}

impl Outgoing {
    pub(super) fn new(template: Template, next_hop: Vec<u8>, owner: Owner) -> Outgoing {
        Outgoing {
            owner,
            call: None::<Id<Call>>,
            leg: None,
            template,
            next_hop,
            client: None,
            answered: 0,
            retried: 0,
            slots: Slots::new(),
            acks: Vec::new(),
            done: false,
            wait: None,
            glared: 0,
            quiet: false,
        }
    }
}

/// Whether requests of this method say where we are: target refresh requests, and those that make a
/// dialog.
fn has_contact(method: &str) -> bool {
    matches!(
        method,
        "INVITE" | "UPDATE" | "SUBSCRIBE" | "NOTIFY" | "REFER" | "OPTIONS" | "REGISTER"
    )
}

/// Target refresh requests (RFC 5057 section 5.4).
pub(super) fn refreshes(method: &str) -> bool {
    matches!(method, "INVITE" | "UPDATE" | "SUBSCRIBE" | "NOTIFY" | "REFER")
}

/// A Route value that names a loose router.
fn loose(proxy: &str) -> Vec<u8> {
    let known = Uri::parse(proxy.as_bytes()).is_ok_and(|uri| uri.sip().is_some_and(|sip| sip.lr()));
    if known { format!("<{proxy}>") } else { format!("<{proxy};lr>") }.into_bytes()
}
