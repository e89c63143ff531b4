//! A small user agent (RFC 3261 sections 8, 10.2, 22): sends one request after another, answers
//! challenges, and hands back what came. For the command line and for tests; it makes no calls.

pub(crate) mod extensions;
pub(crate) mod keyring;
mod request;
mod respond;
#[cfg(test)]
mod tests;
pub mod user_agent;

use std::collections::VecDeque;

use towel_message::{Message, Name};

use crate::contract::{Registry, Slots};
use crate::io::{Input, Instant, Machine, Now, Outbox};
use crate::settings::Settings;
use crate::stack::{
    ClientId, Destination, Failure, Received, Refusal, ServerId, Stack, TransactionUser, ViaStamp,
};

use keyring::{Challenged, Keyring, Way};

pub use keyring::Account;
pub use request::Request;
pub use user_agent::UserAgent;

/// A request of an [`Agent`]'s, in the order of [`Agent::send`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(pub u64);

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A provisional response; more will come.
    Provisional(Vec<u8>),
    /// The final response, after any challenge was answered.
    Final(Vec<u8>),
    /// It came to nothing.
    Failed(Failure),
}

impl Outcome {
    /// The status code: 408 or 503 where there was no response (RFC 3261 section 8.1.3.1).
    pub fn status(&self) -> u16 {
        match self {
            Outcome::Provisional(bytes) | Outcome::Final(bytes) => {
                let digits = bytes.get(8..11).and_then(|digits| std::str::from_utf8(digits).ok());
                digits.and_then(|digits| digits.parse().ok()).unwrap_or(0)
            }
            Outcome::Failed(Failure::TimedOut | Failure::Cancelled) => 408,
            Outcome::Failed(Failure::Transport | Failure::NotLocated(_) | Failure::HeldBack) => 503,
        }
    }
}

/// A request that has been sent.
#[derive(Debug)]
struct Sent {
    id: RequestId,
    request: Request,
    call_id: String,
    from_tag: String,
    number: u32,
    client: Option<ClientId>,
    /// How often a challenge has been answered.
    answered: u32,
    credentials: Vec<(Name, Vec<u8>)>,
    /// What extensions keep with it.
    slots: Slots,
}

#[derive(Debug, Default)]
struct Inner {
    account: Option<Account>,
    keyring: Keyring,
    sent: Vec<Sent>,
    outcomes: VecDeque<(RequestId, Outcome)>,
    /// What others sent to us.
    inbox: VecDeque<Vec<u8>>,
    last: u64,
    /// What takes part in requests and responses, and what it keeps from one to the next.
    registry: Option<Registry>,
    kept: Slots,
    /// What extensions found worth telling.
    notes: VecDeque<(Option<RequestId>, String)>,
    /// INVITEs that ring until their caller gives up.
    ringing: Vec<(ServerId, u64)>,
    /// Whether an INVITE rings; it is refused otherwise.
    rings: bool,
}

/// The user agent.
#[derive(Debug)]
pub struct Agent {
    stack: Stack,
    inner: Inner,
}

/// How often challenges are answered for one request: by several proxies and the server, and once
/// more where a nonce was stale.
const MAX_CHALLENGES: u32 = 5;

impl Agent {
    /// An agent that answers challenges with this account.
    pub fn new(settings: &Settings, seed: [u8; 32], account: Option<Account>) -> Agent {
        Agent { stack: Stack::new(settings, seed), inner: Inner { account, ..Inner::default() } }
    }

    /// The same agent with extensions that take part in what it sends and receives.
    #[must_use]
    pub fn with_extensions(mut self, registry: Registry) -> Agent {
        self.inner.registry = Some(registry);
        self
    }

    /// The same agent, as a phone that rings when it is called.
    #[must_use]
    pub fn that_rings(mut self) -> Agent {
        self.inner.rings = true;
        self
    }

    /// What an extension found worth telling of a response, or of somebody else's request.
    pub fn next_note(&mut self) -> Option<(Option<RequestId>, String)> {
        self.inner.notes.pop_front()
    }

    /// Sends a request. Listeners have to be up ([`Input::Listening`]).
    pub fn send(
        &mut self,
        now: Now,
        out: &mut Outbox,
        mut request: Request,
    ) -> Result<RequestId, Refusal> {
        let mut slots = Slots::new();
        if !self.inner.extend_request(now, &mut request, &mut slots) {
            return Err(Refusal::State);
        }
        self.inner.last += 1;
        let id = RequestId(self.inner.last);
        let rng = self.stack.rng();
        let sent = Sent {
            id,
            call_id: request.call_id.clone().unwrap_or_else(|| rng.text(24)),
            from_tag: rng.text(12),
            number: request.cseq.unwrap_or(1),
            request,
            client: None,
            answered: 0,
            credentials: Vec::new(),
            slots,
        };
        self.inner.start(&mut self.stack, now, out, sent)?;
        self.stack.run_due(now, out, &mut self.inner);
        Ok(id)
    }

    /// Gives up an INVITE that is not answered yet (section 9.1). Its final response still comes.
    pub fn cancel(&mut self, now: Now, out: &mut Outbox, id: RequestId) -> Result<(), Refusal> {
        let sent = self.inner.sent.iter_mut().find(|sent| sent.id == id);
        let (client, hop, mut slots) = sent
            .and_then(|sent| {
                let hop = sent.request.next_hop().to_vec();
                Some((sent.client?, hop, std::mem::take(&mut sent.slots)))
            })
            .ok_or(Refusal::Stale)?;
        let mut cancel = Request { method: "CANCEL".into(), uri: hop, ..Request::default() };
        let _ = self.inner.extend_request(now, &mut cancel, &mut slots);
        if let Some(sent) = self.inner.sent.iter_mut().find(|sent| sent.id == id) {
            sent.slots = slots;
        }
        let reason = cancel.fields.into_iter().find(|(name, _)| name == "Reason");
        self.stack.cancel(now, out, client, reason.as_ref().map(|(_, value)| &value[..]))?;
        self.stack.run_due(now, out, &mut self.inner);
        Ok(())
    }

    /// What has come since this was last asked.
    pub fn next_outcome(&mut self) -> Option<(RequestId, Outcome)> {
        self.inner.outcomes.pop_front()
    }

    /// A request that somebody sent to us and that was answered 200.
    pub fn next_received(&mut self) -> Option<Vec<u8>> {
        self.inner.inbox.pop_front()
    }

    /// How many requests wait for their final response.
    pub fn waiting(&self) -> usize {
        self.inner.sent.len()
    }

    /// The stack below.
    pub fn stack(&self) -> &Stack {
        &self.stack
    }
}

impl Machine for Agent {
    fn handle(&mut self, now: Now, input: Input<'_>, out: &mut Outbox) {
        self.stack.handle(now, input, out, &mut self.inner);
    }

    fn deadline(&self) -> Option<Instant> {
        self.stack.deadline()
    }

    fn is_drained(&self) -> bool {
        self.stack.is_drained() && self.inner.sent.is_empty()
    }
}

impl Inner {
    fn start(
        &mut self,
        stack: &mut Stack,
        now: Now,
        out: &mut Outbox,
        mut sent: Sent,
    ) -> Result<(), Refusal> {
        // Pre-existing route set: the first Route is the next hop, else the Request-URI (8.1.2).
        let hop = sent.request.next_hop().to_vec();
        let write = |via: &ViaStamp<'_>, bytes: &mut Vec<u8>| {
            sent.request.write(
                via,
                &sent.call_id,
                &sent.from_tag,
                sent.number,
                &sent.credentials,
                bytes,
            );
        };
        let client =
            stack.client_transaction(now, out, Destination::Uri(&hop), sent.id.0, write)?;
        sent.client = Some(client);
        self.sent.push(sent);
        Ok(())
    }

    fn take(&mut self, user: u64) -> Option<Sent> {
        let at = self.sent.iter().position(|sent| sent.id.0 == user)?;
        Some(self.sent.remove(at))
    }

    /// The credentials that a challenge asks for; `None` if there is no use in trying (again).
    fn answer(
        &mut self,
        stack: &mut Stack,
        response: &Message<'_>,
        sent: &Sent,
    ) -> Option<Vec<(Name, Vec<u8>)>> {
        let account = self.account.as_ref()?;
        let (challenge, credentials) = match response.status() {
            401 => (Name::WwwAuthenticate, Name::Authorization),
            407 => (Name::ProxyAuthenticate, Name::ProxyAuthorization),
            _ => return None,
        };
        if sent.answered >= MAX_CHALLENGES {
            return None;
        }
        let values = response.fields(challenge).map(|field| field.value);
        let mut kept: Vec<_> = sent.credentials.clone();
        let mut any = false;
        let request = &sent.request;
        let (address, next_hop) = (&request.from[..], request.next_hop());
        let home = request.home || request.route.is_some();
        let sent_to = sent.client.and_then(|client| stack.sent_by_flow(client));
        let challenged = Challenged {
            way: Way::outside(&request.method, home, address, next_hop),
            address,
            next_hop,
            sent_to: sent_to.map(|flow| flow.remote.ip()),
        };
        for mut session in self.keyring.choose(account, &challenged, values) {
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
            let cnonce = stack.rng().text(16);
            kept.push((
                credentials,
                session.answer(request.method.as_bytes(), &request.uri, &request.body.1, &cnonce),
            ));
            any = true;
        }
        any.then_some(kept)
    }
}

impl TransactionUser for Inner {
    fn request(&mut self, stack: &mut Stack, now: Now, out: &mut Outbox, request: Received<'_>) {
        self.answer_request(stack, now, out, &request);
    }

    fn cancelled(
        &mut self,
        stack: &mut Stack,
        now: Now,
        out: &mut Outbox,
        cancel: Received<'_>,
        known: bool,
        invite: Option<(ServerId, u64)>,
    ) {
        self.give_up(stack, now, out, &cancel, known, invite.map(|(id, _)| id));
    }

    fn server_ended(&mut self, _: &mut Stack, _: Now, _: &mut Outbox, id: ServerId, _: u64) {
        self.ringing.retain(|(ringing, _)| *ringing != id);
    }

    fn timer(&mut self, stack: &mut Stack, now: Now, out: &mut Outbox, token: u64) {
        self.rang_enough(stack, now, out, token);
    }

    fn response(
        &mut self,
        stack: &mut Stack,
        now: Now,
        out: &mut Outbox,
        response: Received<'_>,
        _: ClientId,
        user: u64,
    ) {
        let message = response.message;
        // Section 8.1.3.3: more than one Via value means that it went astray.
        if message.values(Name::Via).count() != 1 {
            return;
        }
        let bytes = message.bytes().to_vec();
        let Some(mut sent) = self.take(user) else { return };
        self.read_response(now, &response, &mut sent);
        if message.status() < 200 {
            self.outcomes.push_back((RequestId(user), Outcome::Provisional(bytes)));
            self.sent.push(sent);
            return;
        }
        if let Some(credentials) = self.answer(stack, &message, &sent) {
            // Section 22.2: the same Call-ID and tag, the next CSeq.
            sent.credentials = credentials;
            sent.answered += 1;
            sent.number += 1;
            if self.start(stack, now, out, sent).is_ok() {
                return;
            }
        }
        self.outcomes.push_back((RequestId(user), Outcome::Final(bytes)));
    }

    fn failed(
        &mut self,
        _: &mut Stack,
        _: Now,
        _: &mut Outbox,
        _: ClientId,
        user: u64,
        why: Failure,
    ) {
        if self.take(user).is_some() {
            self.outcomes.push_back((RequestId(user), Outcome::Failed(why)));
        }
    }
}
