//! What the stack tells the element, and what is forwarded from there.

use towel_message::{Method, Uri, check};

use super::Mode;
use super::admit::{self, Proof};
use super::decide::{Course, is_for_itself};
use super::element::Server;
use crate::contract::{Directives, Reply, Slots, Woken};
use crate::io::{Level, Now, Outbox};
use crate::proxy::core::Plan;
use crate::proxy::{Way, route};
use crate::stack::{ClientId, Failure, Received, ServerId, Stack, TransactionUser, ViaStamp};

impl Server {
    #[expect(clippy::too_many_arguments, reason = "the world, and what was decided")]
    pub(super) fn forward(
        &mut self,
        stack: &mut Stack,
        now: Now,
        out: &mut Outbox,
        received: &Received<'_>,
        woken: Woken,
        ours: bool,
        directives: Directives,
        slots: Slots,
    ) {
        let (mut prepared, mut candidates) =
            (std::mem::take(&mut self.prepared), std::mem::take(&mut self.targets));
        let mut ways = std::mem::take(&mut self.ways);
        let stateless = self.settings.server.mode == Mode::Stateless;
        let sought = self.sought;
        let (proxy, around) = self.parts(now);
        let mut refused = false;
        if stateless {
            // One target, and the same each time (section 16.11): that which stands first.
            if let Some(target) = candidates.first() {
                let way = Way::of(&ways, target);
                proxy.forward_stateless(
                    &around, stack, out, received, &prepared, target, way, woken,
                );
            }
        } else {
            let plan = Plan {
                prepared: &mut prepared,
                targets: &mut candidates,
                ways: &mut ways,
                directives,
                woken,
                slots,
                ours,
                address: sought,
            };
            refused = proxy.begin(&around, stack, out, received, plan).is_err();
        }
        self.recycle(&mut candidates);
        ways.clear();
        (self.prepared, self.targets, self.ways) = (prepared, candidates, ways);
        if refused {
            let reason = "since the proxy has no room";
            stack.tell_refused(now, out, Level::Warn, received, 503, reason);
            let seconds = self.settings.transaction.retry_after.to_string();
            let reply = Reply::new(503, "Too Many Requests Under Way").with("Retry-After", seconds);
            stack.respond_stateless(
                now,
                out,
                received,
                reply.status,
                reply.reason,
                |mut writer| {
                    for (name, value) in reply.fields.iter() {
                        writer.field(name, value);
                    }
                    writer.end();
                },
            );
        }
    }

    /// Finds the one target of a request that is forwarded without state and cannot be refused: an
    /// ACK for a 2xx, or a CANCEL. False if it may not or cannot go anywhere.
    pub(super) fn route_stateless(
        &mut self,
        now: Now,
        stack: &Stack,
        received: &Received<'_>,
        known: bool,
    ) -> bool {
        let message = received.message;
        if check(&message).is_err() || message.max_forwards() == Ok(Some(0)) {
            return false;
        }
        route::preprocess(&message, &received.flow, &self.domains, &self.marks, &mut self.prepared);
        let visits = self.marks.visits(&message, &received.flow);
        if is_for_itself(&message, &self.prepared, &self.domains) || visits.looped {
            return false;
        }
        let ours =
            matches!(&message.read_uri(&self.prepared.uri), Ok(Uri::Sip(uri)) if self.is_ours(uri));
        let leads_away = self.prepared.leads_away(&message, &self.domains);
        let foreign = (!ours || leads_away) && !self.is_for_device(&message, now);
        let proof = admit::proof(
            &message,
            &received.flow,
            &self.prepared,
            visits,
            foreign,
            &self.domains,
            &self.settings.server,
        );
        if foreign && proof != Proof::None && !known {
            return false;
        }
        let found =
            self.find_targets(now, stack, &message, ours).is_none() && !self.targets.is_empty();
        self.follow_routes();
        self.leave_out_unreachable(&message);
        found && !self.targets.is_empty()
    }

    pub(super) fn forward_first(
        &mut self,
        stack: &mut Stack,
        now: Now,
        out: &mut Outbox,
        received: &Received<'_>,
    ) {
        let woken = self.registry.woken(&received.message);
        let (prepared, candidates) =
            (std::mem::take(&mut self.prepared), std::mem::take(&mut self.targets));
        let ways = std::mem::take(&mut self.ways);
        let (proxy, around) = self.parts(now);
        if let Some(target) = candidates.first() {
            let way = Way::of(&ways, target);
            proxy.forward_stateless(&around, stack, out, received, &prepared, target, way, woken);
        }
        (self.prepared, self.targets, self.ways) = (prepared, candidates, ways);
    }
}

impl TransactionUser for Server {
    fn request(&mut self, stack: &mut Stack, now: Now, out: &mut Outbox, received: Received<'_>) {
        let message = received.message;
        if let Err(fault) = check(&message) {
            return self.refuse_malformed(stack, now, out, &received, &fault);
        }
        let woken = self.registry.woken(&message);
        if message.method() == Method::Register && self.takes_register(&received) {
            return self.register(stack, now, out, &received, woken);
        }
        match self.decide(stack, now, out, &received, woken) {
            Course::Reply(reply) => self.send_reply(stack, now, out, &received, reply, woken),
            Course::Challenge { kind, stale } => {
                let (_, realm) = self.sender_realm(&message);
                self.challenge(stack, now, out, &received, kind, &realm, stale);
            }
            Course::Forward { ours, directives, slots } => {
                if stack.abuse().has_strikes() {
                    stack.behaved(now, &received, self.prepared.passes);
                }
                self.forward(stack, now, out, &received, woken, ours, directives, slots);
            }
        }
    }

    /// By the pass in the Record-Route value that brings it here.
    fn vouches(&self, request: &Received<'_>) -> bool {
        crate::proxy::is_of_dialog(&request.message, &self.domains, &self.marks)
    }

    fn ack(
        &mut self,
        stack: &mut Stack,
        now: Now,
        out: &mut Outbox,
        ack: Received<'_>,
        matched: Option<(ServerId, u64)>,
    ) {
        // For a response that we made without a transaction (section 8.2.7).
        if ack.message.to_tag() == Some(&stack.to_tag(&ack.message)[..]) {
            return;
        }
        if self.route_stateless(now, stack, &ack, matched.is_some()) {
            self.forward_first(stack, now, out, &ack);
        }
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
        if let Some((_, number)) = invite {
            let (proxy, around) = self.parts(now);
            proxy.cancelled(&around, stack, out, number, &cancel.message);
        }
        if known {
            return;
        }
        if let Err(fault) = check(&cancel.message) {
            return self.refuse_malformed(stack, now, out, &cancel, &fault);
        }
        // Section 16.10: it may belong to what was forwarded without state.
        if self.settings.server.mode != Mode::Redirect
            && self.route_stateless(now, stack, &cancel, false)
        {
            self.forward_first(stack, now, out, &cancel);
            return;
        }
        stack.respond_stateless(
            now,
            out,
            &cancel,
            481,
            "Call/Transaction Does Not Exist",
            |writer| writer.end(),
        );
    }

    fn response(
        &mut self,
        stack: &mut Stack,
        now: Now,
        out: &mut Outbox,
        response: Received<'_>,
        id: ClientId,
        user: u64,
    ) {
        let (proxy, around) = self.parts(now);
        proxy.response(&around, stack, out, &response, id, user);
    }

    fn stray_response(
        &mut self,
        stack: &mut Stack,
        now: Now,
        out: &mut Outbox,
        response: Received<'_>,
    ) {
        let stateless = self.settings.server.mode == Mode::Stateless;
        let (proxy, around) = self.parts(now);
        proxy.stray(&around, stack, out, &response, stateless);
    }

    fn failed(
        &mut self,
        stack: &mut Stack,
        now: Now,
        out: &mut Outbox,
        id: ClientId,
        user: u64,
        why: Failure,
    ) {
        let (proxy, around) = self.parts(now);
        proxy.failed(&around, stack, out, id, user, why);
    }

    fn rewrite(
        &mut self,
        stack: &Stack,
        now: Now,
        id: ClientId,
        user: u64,
        stamp: &ViaStamp<'_>,
        to: &mut Vec<u8>,
    ) -> bool {
        let (proxy, around) = self.parts(now);
        proxy.rewrite(&around, stack, id, user, stamp, to)
    }

    fn client_ended(
        &mut self,
        stack: &mut Stack,
        now: Now,
        out: &mut Outbox,
        id: ClientId,
        user: u64,
    ) {
        let (proxy, around) = self.parts(now);
        proxy.client_ended(&around, stack, out, id, user);
    }

    fn server_ended(
        &mut self,
        stack: &mut Stack,
        _now: Now,
        _out: &mut Outbox,
        _id: ServerId,
        user: u64,
    ) {
        self.proxy.server_ended(stack, user);
    }

    fn timer(&mut self, stack: &mut Stack, now: Now, out: &mut Outbox, token: u64) {
        if token == super::register::TIMER {
            return self.expire(stack, now, out);
        }
        let (proxy, around) = self.parts(now);
        proxy.timer(&around, stack, out, token);
    }
}
