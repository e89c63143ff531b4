//! The proxy core: response contexts and what happens to them.

use towel_message::{Edits, Index, Limits, Message, Method, Name};

use super::breadth::Breadth;
use super::context::{self, Branch, Context, Progress, Way, Work};
use super::contexts::Contexts;
use super::copying::Copying;
use super::mark::Marks;
use super::record_route;
use super::route::{Hop, Prepared, next_hop};
use super::settings::Settings;
use super::timing::{gives_up, patience, ring};
use crate::contract::{
    CancelCause, Candidate, Directives, Env, Fields, ProxyCancel, ProxyReceived, ProxyReply,
    Registry, Slots, Stage, Woken,
};
use crate::io::{Flow, Now, Outbox};
use crate::server::{Domains, phrase};
use crate::stack::{
    ClientId, Destination, Failure, Received, Refusal, ServerId, Stack, ends_dialog,
};
use crate::transaction::slab::Id;

/// What the proxy works with and does not own.
#[derive(Clone, Copy)]
pub(crate) struct Around<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) domains: &'a Domains,
    pub(crate) marks: &'a Marks,
    pub(crate) registry: &'a Registry,
    pub(crate) limits: &'a Limits,
    pub(crate) now: Now,
}

impl<'a> Around<'a> {
    pub(crate) fn env(&self) -> Env<'a> {
        Env::new(self.now, self.domains)
    }
}

/// What sections 16.3 to 16.5 made of a request.
pub(crate) struct Plan<'a> {
    pub(crate) prepared: &'a mut Prepared,
    pub(crate) targets: &'a mut Vec<Candidate>,
    /// The ways of those targets that are bindings.
    pub(crate) ways: &'a mut Vec<Way>,
    pub(crate) directives: Directives,
    pub(crate) woken: Woken,
    pub(crate) slots: Slots,
    /// Whether the Request-URI is a resource of ours.
    pub(crate) ours: bool,
    /// The address of record that it is, as a hash.
    pub(crate) address: Option<u64>,
}

/// The stateful proxy.
#[derive(Debug, Default)]
pub(crate) struct Proxy {
    pub(super) contexts: Contexts,
    #[expect(clippy::vec_box, reason = "a context holds its work in a box, to be small after it")]
    pub(super) spare: Vec<Box<Work>>,
    pub(super) seeking: super::seeking::Seeking,
    pub(super) edits: Edits,
    pub(super) hop: Hop,
    pub(super) values: record_route::Values,
    pub(super) fields: Fields,
    pub(super) buffer: Vec<u8>,
}

pub(crate) type ContextId = Id<Context>;

impl Proxy {
    /// How many requests are under way.
    pub(crate) fn len(&self) -> usize {
        self.contexts.len()
    }

    /// Takes a request on (section 16.6): a response context, a server transaction, and the first
    /// branches. False if there is no room for it.
    pub(crate) fn begin(
        &mut self,
        around: &Around<'_>,
        stack: &mut Stack,
        out: &mut Outbox,
        received: &Received<'_>,
        plan: Plan<'_>,
    ) -> Result<(), Refusal> {
        let message = received.message;
        let most = around.settings.max_contexts;
        let most = if ends_dialog(&message) { most + most.div_ceil(16) } else { most };
        if self.contexts.len() >= most {
            return Err(Refusal::Full);
        }
        let server = stack.server_transaction(around.now, received, 0)?;
        let mut work = self.spare.pop().unwrap_or_default();
        std::mem::swap(&mut work.prepared, plan.prepared);
        std::mem::swap(&mut work.targets, plan.targets);
        std::mem::swap(&mut work.ways, plan.ways);
        work.directives = plan.directives;
        work.woken = plan.woken;
        work.slots = plan.slots;
        work.ours = plan.ours;
        work.mark = Some(around.marks.branch(&message, &received.flow));
        context::arrange(&mut work.targets, around.settings.forking, &work.directives);
        if work.directives.fork == Some(false) {
            work.targets.truncate(1);
        }
        let breadth = message.value(Name::MaxBreadth).and_then(towel_message::scan::number);
        let invite = message.method() == Method::Invite;
        let mut context = Context::new(server, received.flow, invite);
        context.breadth = Breadth::new(breadth, around.settings.max_breadth);
        context.give_up = gives_up(around, stack, &message, invite, work.targets.len());
        let id = self.contexts.insert(context);
        stack.set_server_user(server, id.number());
        if let Some(address) = plan.address.filter(|_| invite) {
            self.seek(id, address);
        }
        self.advance_with(around, stack, out, id, work, &message);
        Ok(())
    }

    /// The server transaction of a context and where its request came from.
    pub(crate) fn server_of(&self, id: ContextId) -> Option<(ServerId, Flow)> {
        self.contexts.get(id).map(|context| (context.server, context.source))
    }

    pub(super) fn find(&self, number: u64) -> Option<ContextId> {
        let id = Id::new(number as u32, (number >> 32) as u32);
        Some(id).filter(|id| self.contexts.has(*id))
    }

    pub(crate) fn take_work(&mut self, id: ContextId) -> Option<Box<Work>> {
        self.contexts.get_mut(id)?.work.take()
    }

    pub(super) fn put_work(&mut self, id: ContextId, work: Box<Work>) {
        match self.contexts.get_mut(id) {
            Some(context) if context.answered.is_none() => context.work = Some(work),
            _ => self.spare_work(work),
        }
    }

    fn spare_work(&mut self, mut work: Box<Work>) {
        if self.spare.len() < 256 {
            work.reset();
            self.spare.push(work);
        }
    }

    /// Begins what branches may be begun now, or gives the final response if there is nothing more
    /// to wait for.
    pub(super) fn advance(
        &mut self,
        around: &Around<'_>,
        stack: &mut Stack,
        out: &mut Outbox,
        id: ContextId,
    ) {
        let Some(work) = self.take_work(id) else { return };
        let more = self.contexts.get(id).is_some_and(|context| context.next(&work).is_some());
        if !more {
            self.finish_if_over(around, stack, out, id, work);
            return;
        }
        // A later group: the request is read again from the server transaction.
        let bytes = self
            .contexts
            .get(id)
            .and_then(|context| stack.request(context.server))
            .map(<[u8]>::to_vec);
        let mut index = Box::new(Index::new());
        match bytes.as_deref().map(|bytes| Message::parse(bytes, &mut index, around.limits)) {
            Some(Ok(message)) => self.advance_with(around, stack, out, id, work, &message),
            _ => self.put_work(id, work),
        }
    }

    fn advance_with(
        &mut self,
        around: &Around<'_>,
        stack: &mut Stack,
        out: &mut Outbox,
        id: ContextId,
        mut work: Box<Work>,
        message: &Message<'_>,
    ) {
        while let Some(at) = self.contexts.get(id).and_then(|context| context.next(&work)) {
            work.begun += 1;
            self.begin_branch(around, stack, out, id, &mut work, message, at, false);
        }
        self.finish_if_over(around, stack, out, id, work);
    }

    fn finish_if_over(
        &mut self,
        around: &Around<'_>,
        stack: &mut Stack,
        out: &mut Outbox,
        id: ContextId,
        work: Box<Work>,
    ) {
        let over = self
            .contexts
            .get(id)
            .is_some_and(|context| context.pending() == 0 && context.answered.is_none());
        self.put_work(id, work);
        if over {
            self.finish(around, stack, out, id);
        } else {
            self.set_timer(around, stack, id);
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the world, the context and what is sent")]
    fn begin_branch(
        &mut self,
        around: &Around<'_>,
        stack: &mut Stack,
        out: &mut Outbox,
        id: ContextId,
        work: &mut Work,
        message: &Message<'_>,
        at: usize,
        by_flow: bool,
    ) {
        let Some(context) = self.contexts.get_mut(id) else { return };
        let Some(target) = work.targets.get(at) else { return };
        let way = Way::of(&work.ways, target).filter(|_| target.routes.is_empty());
        let alone = work.prepared.routes(message).next().is_none();
        let by_flow = by_flow || way.is_some_and(|way| alone && way.by_flow(stack, &target.uri));
        let share = context.breadth.take(Context::companions(work, at));
        let source = context.source;
        next_hop(message, &work.prepared, &target.uri, &target.routes, &mut self.hop);
        let copy = Copying {
            around,
            message,
            source,
            prepared: &work.prepared,
            target,
            branch: at,
            hop: &self.hop,
            breadth: Some(share),
            mark: work.mark.as_ref().map(|mark| mark.as_bytes()).unwrap_or_default(),
            user: work.prepared.user.as_deref(),
            woken: work.woken,
        };
        let (edits, values, slots) = (&mut self.edits, &mut self.values, &mut work.slots);
        let uri = copy.destination(way.is_some_and(|way| way.tls));
        let to = match way {
            Some(way) if by_flow => Destination::Flow(way.flow),
            _ => copy.towards(&uri),
        };
        let client = stack.client_transaction(around.now, out, to, id.number(), |stamp, to| {
            copy.write(stamp, edits, values, Some(&mut *slots), to);
        });
        let now = around.now.at;
        let invite = context.invite;
        match client {
            Ok(client) => context.branches.push(Branch {
                client,
                progress: Progress::Calling,
                breadth: share,
                target: u32::try_from(at).unwrap_or(u32::MAX),
                timer_c: now + around.settings.timer_c,
                cancelled: false,
                alive: true,
                by_flow,
                ring: ring(around, stack, context.give_up.filter(|_| !invite), work, target.group),
            }),
            Err(_) => {
                // As if it had answered 503 (section 16.9).
                context.breadth.give_back(share);
                if work.is_better(503) {
                    work.best = Some(context::Best {
                        status: 503,
                        bytes: Vec::new(),
                        branch: usize::MAX,
                        source: None,
                    });
                }
            }
        }
        if !invite && context.branches.len() > 1 {
            context.give_up.get_or_insert(now + patience(stack));
        }
    }

    /// A branch came to nothing: as if `status` had come on it.
    pub(super) fn branch_failed(
        &mut self,
        around: &Around<'_>,
        stack: &mut Stack,
        out: &mut Outbox,
        id: ContextId,
        client: ClientId,
        status: u16,
    ) {
        let Some(context) = self.contexts.get_mut(id) else { return };
        let Some(at) = context.branches.iter().position(|branch| branch.client == client) else {
            return;
        };
        if !context.done(at) || context.answered.is_some() {
            return;
        }
        if let Some(work) = context.work.as_mut()
            && work.is_better(status)
        {
            work.best = Some(context::Best { status, bytes: Vec::new(), branch: at, source: None });
        }
        self.tell_received(around, id, at, status, None);
        self.advance(around, stack, out, id);
    }

    /// Tells extensions what came of a branch: those whom the request has woken, while there is no final
    /// response, and then those who keep something for the 2xx that may still come.
    pub(super) fn tell_received(
        &mut self,
        around: &Around<'_>,
        id: ContextId,
        at: usize,
        status: u16,
        response: Option<Message<'_>>,
    ) {
        let Some(context) = self.contexts.get_mut(id) else { return };
        let Some(branch) = context.branches.get(at).map(|branch| branch.target as usize) else {
            return;
        };
        let (woken, slots) = match context.work.as_mut() {
            Some(work) => (work.woken, &mut work.slots),
            None => {
                let kept = &mut context.kept;
                (around.registry.woken_by_slots(Woken::NONE, kept), kept)
            }
        };
        if !around.registry.acts(Stage::ProxyReceived, woken) {
            return;
        }
        let mut stage = ProxyReceived { response, status, branch, slots };
        let _ = around.registry.proxy_received(woken, around.env(), &mut stage);
    }

    /// A binding whose URI leads nowhere may still be reached by the connection that it registered
    /// on, as a client behind a NAT is. Says whether that is tried.
    fn retry_by_flow(
        &mut self,
        around: &Around<'_>,
        stack: &mut Stack,
        out: &mut Outbox,
        id: ContextId,
        client: ClientId,
    ) -> bool {
        let Some(context) = self.contexts.get_mut(id) else { return false };
        let failed = context.branches.iter().position(|branch| branch.client == client);
        let Some(at) = failed.filter(|_| context.stopped.is_none() && context.answered.is_none())
        else {
            return false;
        };
        let Some(branch) = context.branches.get(at) else { return false };
        let (target, by_flow) = (branch.target as usize, branch.by_flow);
        let Some(mut work) = self.take_work(id) else { return false };
        let connected = work.targets.get(target).is_some_and(|target| {
            target.routes.is_empty()
                && Way::of(&work.ways, target).is_some_and(|way| way.flow.connection.is_some())
        });
        let server = self.contexts.get(id).map(|context| context.server);
        let bytes = server.and_then(|server| stack.request(server)).map(<[u8]>::to_vec);
        let mut index = Box::new(Index::new());
        let message =
            bytes.as_deref().and_then(|b| Message::parse(b, &mut index, around.limits).ok());
        let (true, false, Some(message)) = (connected, by_flow, message) else {
            self.put_work(id, work);
            return false;
        };
        if let Some(context) = self.contexts.get_mut(id) {
            context.done(at);
        }
        self.begin_branch(around, stack, out, id, &mut work, &message, target, true);
        self.finish_if_over(around, stack, out, id, work);
        true
    }

    /// A request of ours has come to nothing.
    pub(crate) fn failed(
        &mut self,
        around: &Around<'_>,
        stack: &mut Stack,
        out: &mut Outbox,
        client: ClientId,
        number: u64,
        why: Failure,
    ) {
        let Some(id) = self.find(number) else { return };
        if matches!(why, Failure::Transport | Failure::NotLocated(_))
            && self.retry_by_flow(around, stack, out, id, client)
        {
            return;
        }
        if why == Failure::HeldBack
            && let Some(work) = self.contexts.get_mut(id).and_then(|context| context.work.as_mut())
        {
            work.held_back = true;
        }
        let status = match why {
            Failure::TimedOut => 408,
            Failure::Transport | Failure::NotLocated(_) | Failure::HeldBack => 503,
            Failure::Cancelled => 487,
        };
        self.branch_failed(around, stack, out, id, client, status);
    }

    /// The caller has cancelled (section 16.10).
    pub(crate) fn cancelled(
        &mut self,
        around: &Around<'_>,
        stack: &mut Stack,
        out: &mut Outbox,
        number: u64,
        cancel: &Message<'_>,
    ) {
        let Some(id) = self.find(number) else { return };
        if let Some(context) = self.contexts.get_mut(id) {
            context.stopped.get_or_insert(CancelCause::Caller);
        }
        self.cancel_pending(around, stack, out, id, CancelCause::Caller, Some(cancel));
        self.advance(around, stack, out, id);
    }

    /// Cancels every branch that has had no final response (section 16.7 step 10). A branch that
    /// has not even had a provisional one is cancelled when that comes (section 9.1): the
    /// transaction sees to it.
    pub(super) fn cancel_pending(
        &mut self,
        around: &Around<'_>,
        stack: &mut Stack,
        out: &mut Outbox,
        id: ContextId,
        cause: CancelCause,
        cancel: Option<&Message<'_>>,
    ) {
        let Some(context) = self.contexts.get(id) else { return };
        // Only an INVITE is ever cancelled (section 9.1).
        if !context.invite {
            return;
        }
        for at in 0..context.branches.len() {
            self.cancel_branch(around, stack, out, id, at, cause, cancel);
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the world, the branch and why")]
    pub(super) fn cancel_branch(
        &mut self,
        around: &Around<'_>,
        stack: &mut Stack,
        out: &mut Outbox,
        id: ContextId,
        at: usize,
        cause: CancelCause,
        cancel: Option<&Message<'_>>,
    ) {
        let Some(context) = self.contexts.get_mut(id) else { return };
        let server = context.server;
        let Some(branch) = context.branches.get_mut(at) else { return };
        if branch.cancelled || branch.progress == Progress::Done {
            return;
        }
        branch.cancelled = true;
        let client = branch.client;
        self.fields.clear();
        let mut index = Index::new();
        let woken = around.registry.woken_for_method(b"CANCEL");
        if !woken.is_empty()
            && let Some(Ok(request)) =
                stack.request(server).map(|bytes| Message::parse(bytes, &mut index, around.limits))
        {
            let mut woken = woken;
            woken.join(&around.registry.woken(cancel.unwrap_or(&request)));
            let mut stage =
                ProxyCancel { request, cancel: cancel.copied(), cause, fields: &mut self.fields };
            let _ = around.registry.proxy_cancel(woken, around.env(), &mut stage);
        }
        // One header field for all the values that there are (RFC 3326 section 2).
        let reasons = self.fields.iter().filter(|(name, _)| name.eq_ignore_ascii_case("Reason"));
        let reason = reasons.map(|(_, value)| value.to_vec()).reduce(|mut all, value| {
            all.extend_from_slice(b", ");
            all.extend_from_slice(&value);
            all
        });
        let _ = stack.cancel(around.now, out, client, reason.as_deref());
    }

    /// A client transaction is over.
    pub(crate) fn client_ended(
        &mut self,
        around: &Around<'_>,
        stack: &mut Stack,
        out: &mut Outbox,
        client: ClientId,
        number: u64,
    ) {
        let Some(id) = self.find(number) else { return };
        // All that came on it could not be passed on: as if nothing had come.
        self.branch_failed(around, stack, out, id, client, 408);
        if let Some(over) = self.contexts.over_mut(id) {
            over.client_ended(client);
        } else if let Some(context) = self.contexts.get_mut(id)
            && let Some(branch) = context.branches.iter_mut().find(|branch| branch.client == client)
        {
            branch.alive = false;
            self.contexts.settle(id);
        }
        self.drop_if_over(stack, id);
    }

    /// A server transaction is over.
    pub(crate) fn server_ended(&mut self, stack: &mut Stack, number: u64) {
        let Some(id) = self.find(number) else { return };
        if let Some(over) = self.contexts.over_mut(id) {
            over.server_ended();
        } else if let Some(context) = self.contexts.get_mut(id) {
            context.served = false;
        }
        self.drop_if_over(stack, id);
    }

    fn drop_if_over(&mut self, stack: &mut Stack, id: ContextId) {
        if !self.contexts.is_done(id) {
            return;
        }
        self.clear_timer(stack, id);
        self.found(id);
        if let Some(work) = self.contexts.remove(id) {
            self.spare_work(work);
        }
    }

    /// Sends a final response that we make ourselves.
    #[expect(clippy::too_many_arguments, reason = "the world, and what is answered how")]
    pub(super) fn reply(
        &mut self,
        around: &Around<'_>,
        stack: &mut Stack,
        out: &mut Outbox,
        server: ServerId,
        source: Flow,
        status: u16,
        woken: Woken,
        slots: Option<&mut Slots>,
    ) {
        self.fields.clear();
        let mut body = None;
        let woken = around.registry.woken_for_reply(woken, status);
        if !woken.is_empty()
            && let Some(bytes) = stack.request(server)
        {
            let mut index = Index::new();
            if let Ok(request) = Message::parse(bytes, &mut index, around.limits) {
                let mut stage = ProxyReply {
                    request,
                    source,
                    status,
                    fields: &mut self.fields,
                    body: &mut body,
                    slots,
                };
                let _ = around.registry.proxy_reply(woken, around.env(), &mut stage);
            }
        }
        let fields = &self.fields;
        let _ = stack.reply(around.now, out, server, status, phrase(status), |mut writer| {
            for (name, value) in fields.iter() {
                writer.field(name, value);
            }
            match body {
                Some(body) => writer.body(body.media_type.as_bytes(), &body.bytes),
                None => writer.end(),
            }
        });
    }
}
