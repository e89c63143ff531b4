//! The client side: requests sent, responses matched (RFC 3261 section 17.1.3), the next target
//! tried where one fails (RFC 3263 section 4.3).

use super::{
    ClientId, Destination, Due, Failure, POOLED, Pending, Received, Refusal, Stack,
    TransactionUser, located_by,
};
use crate::hash::Hasher;
use crate::io::{ConnectionId, Flow, ListenerId, Now, Outbox, Transport};
use crate::locating::{self, LocateFault, Located, Target, Targets};
use crate::transaction::client::{Client, Event, Machine, Word, Work, method_of};
use crate::transaction::table::{Action, Timer};
use crate::transaction::token::{LENGTH, Token};
use crate::transport::via::{ViaStamp, write_value};

/// Writes a request again under another Via; says whether it did.
pub(super) type Rewrite<'a> = dyn FnMut(&Stack, &ViaStamp<'_>, &mut Vec<u8>) -> bool + 'a;

/// What is known of the way before the request is written.
struct Way {
    target: Option<Target>,
    flow: Option<Flow>,
    targets: Targets,
    found: Result<Option<locating::LookupId>, LocateFault>,
    transport: Transport,
    listener: ListenerId,
}

impl Stack {
    /// Sends a request in a client transaction. `write` appends the whole request, with the
    /// stamp's Via on top. `user` is the user's own number for it.
    ///
    /// What goes wrong from here on is told by [`TransactionUser::failed`], never before this call
    /// is over. `write` is called twice for a request that turns out too large for UDP.
    pub fn client_transaction(
        &mut self,
        now: Now,
        out: &mut Outbox,
        to: Destination<'_>,
        user: u64,
        mut write: impl FnMut(&ViaStamp<'_>, &mut Vec<u8>),
    ) -> Result<ClientId, Refusal> {
        // What comes in has been held to less.
        if self.clients.len() >= self.settings.max_with_ends() {
            return Err(Refusal::Full);
        }
        let way = self.way(now, out, to, None);
        let Some(way) = way else { return Err(Refusal::Malformed) };
        let work = self.client_work(Vec::new(), way.transport, way.listener);
        let id = self.clients.insert(Client::new(Machine::Once, user, work));
        let token = self.token(id, 0);
        let mut request = self.buffer();
        let by = way.flow.and_then(|flow| flow.connection);
        let place = (way.transport, way.listener, by);
        self.write_stamped(place, &token, &mut request, |_, stamp, to| {
            write(stamp, to);
        });
        let Some(client) = self.clients.get_mut(id) else { return Err(Refusal::Stale) };
        client.machine = Machine::for_request(&request);
        client.method = Word::new(method_of(&request));
        let Some(work) = client.work.as_mut() else { return Err(Refusal::Stale) };
        work.request = request;
        work.targets = way.targets;
        match (way.found, way.target) {
            (Err(fault), _) => {
                self.pending.push(Pending::ClientFailed(id, Failure::NotLocated(fault)))
            }
            (Ok(Some(lookup)), _) => {
                work.lookup = Some(lookup);
                self.lookups.insert(lookup, id);
            }
            (Ok(None), Some(target)) => {
                let mut again = |_: &Stack, stamp: &ViaStamp<'_>, to: &mut Vec<u8>| {
                    write(stamp, to);
                    true
                };
                self.launch(now, out, id, target, way.flow, false, &mut again);
            }
            (Ok(None), None) => self
                .pending
                .push(Pending::ClientFailed(id, Failure::NotLocated(LocateFault::NoSuchName))),
        }
        Ok(id)
    }

    /// Sends a request without a transaction: an ACK for a 2xx, or what a stateless proxy forwards.
    /// The branch follows from `seed` (RFC 3261 section 16.11), so that what comes again leaves with
    /// the same one.
    pub fn send_stateless(
        &mut self,
        now: Now,
        out: &mut Outbox,
        to: Destination<'_>,
        seed: &[u8],
        mut write: impl FnMut(&ViaStamp<'_>, &mut Vec<u8>),
    ) -> Result<(), Refusal> {
        let hash = Hasher::new(self.branch_key).field(seed).finish();
        let Some(way) = self.way(now, out, to, Some(hash)) else { return Err(Refusal::Malformed) };
        let mut request = self.buffer();
        let mut token = *b"s0000000000000000";
        for (place, digit) in token.iter_mut().skip(1).enumerate() {
            let nibble = (hash >> (60 - 4 * place)) as u8 & 15;
            *digit = if nibble < 10 { b'0' + nibble } else { b'a' - 10 + nibble };
        }
        self.write_stamped(
            (way.transport, way.listener, None),
            &token,
            &mut request,
            |_, stamp, to| write(stamp, to),
        );
        match (way.found, way.target) {
            (Ok(None), Some(mut target)) => {
                if way.flow.is_none() && self.is_too_large(now, request.len(), &target) {
                    target.transport = Transport::Tcp;
                    self.counters.moved_to_tcp += 1;
                    let listener = self.station_for(Transport::Tcp, Some(target.addr));
                    let place = (Transport::Tcp, listener.unwrap_or(way.listener), None);
                    request.clear();
                    self.write_stamped(place, &token, &mut request, |_, stamp, to| {
                        write(stamp, to);
                    });
                }
                let request = self.launch_once(now, out, request, target, way.flow);
                self.give_back(request);
            }
            (Ok(Some(lookup)), _) if self.clients.len() < self.settings.max => {
                let mut work = self.client_work(request, way.transport, way.listener);
                work.lookup = Some(lookup);
                let mut client = Client::new(Machine::Once, 0, work);
                client.silent = true;
                let id = self.clients.insert(client);
                self.lookups.insert(lookup, id);
            }
            _ => {
                self.counters.transport_failures += 1;
                self.give_back(request);
            }
        }
        Ok(())
    }

    /// The user wants to hear no more of a request; its transaction goes on absorbing.
    pub fn abandon(&mut self, id: ClientId) {
        if let Some(client) = self.clients.get_mut(id) {
            client.silent = true;
        }
    }

    /// Ends the wait for a final response now, as if it had timed out (RFC 3261 section 16.8).
    pub fn withdraw(&mut self, id: ClientId) {
        if self.clients.get(id).is_some() {
            self.pending.push(Pending::ClientWithdrawn(id));
        }
    }

    /// The user's number for a request.
    pub fn client_user(&self, id: ClientId) -> Option<u64> {
        self.clients.get(id).map(|client| client.user)
    }

    /// The request as it was last sent; no more once the final response has been told.
    pub fn sent(&self, id: ClientId) -> Option<&[u8]> {
        Some(self.clients.get(id)?.work.as_ref()?.request.as_slice())
    }

    /// How it was last sent.
    pub fn sent_by_flow(&self, id: ClientId) -> Option<Flow> {
        self.clients.get(id)?.flow.map(|flow| self.flow(&flow))
    }

    pub(super) fn token(&self, id: ClientId, attempt: u8) -> [u8; LENGTH] {
        let shard = self.place.shard;
        Token { shard, slot: id.slot, generation: id.generation, attempt }.write(self.branch_key)
    }

    fn way(
        &mut self,
        now: Now,
        out: &mut Outbox,
        to: Destination<'_>,
        seed: Option<u64>,
    ) -> Option<Way> {
        let mut way = Way {
            target: None,
            flow: None,
            targets: Targets::default(),
            found: Ok(None),
            transport: Transport::Udp,
            listener: ListenerId::default(),
        };
        match to {
            Destination::Flow(flow) => {
                way.flow = Some(flow);
                way.target = Some(Target {
                    transport: flow.transport,
                    addr: flow.remote,
                    server_name: None,
                });
            }
            Destination::Target { transport, addr, server_name } => {
                way.target =
                    Some(Target { transport, addr, server_name: server_name.map(Into::into) });
            }
            Destination::Uri(uri) => match located_by(uri, false) {
                None => way.found = Err(LocateFault::BadHost),
                Some(destination) => {
                    let destination = locating::Destination { seed, ..destination };
                    way.transport = destination.transport.unwrap_or(if destination.secure {
                        Transport::Tls
                    } else {
                        Transport::Udp
                    });
                    match self.locator.locate(now.at, &destination, out) {
                        Located::Ready(mut targets) => {
                            way.target = targets.take_next();
                            way.targets = targets;
                        }
                        Located::Waiting(lookup) => way.found = Ok(Some(lookup)),
                        Located::Fault(fault) => way.found = Err(fault),
                    }
                }
            },
        }
        if let Some(target) = &way.target {
            way.transport = target.transport;
        }
        way.listener = match way.flow {
            Some(flow) => flow.listener,
            None => {
                self.station_for(way.transport, way.target.as_ref().map(|target| target.addr))?
            }
        };
        Some(way)
    }

    pub(super) fn write_stamped(
        &mut self,
        (transport, listener, connection): (Transport, ListenerId, Option<ConnectionId>),
        token: &[u8],
        request: &mut Vec<u8>,
        write: impl FnOnce(&Stack, &ViaStamp<'_>, &mut Vec<u8>),
    ) {
        let mut value = self.buffer();
        if let Some(station) = self.station(listener).or(self.stations.first()) {
            let branch = write_value(transport, station, self.transport.alias, token, &mut value);
            write(self, &ViaStamp::new(transport, station, &value, branch, connection), request);
        }
        self.give_back(value);
    }

    /// Sends to a target for the first time; what fails is pending. `rewrite` is asked for the
    /// request anew if the way is not the one that it was written for.
    #[expect(clippy::too_many_arguments, reason = "the world, the request and where it goes")]
    pub(super) fn launch(
        &mut self,
        now: Now,
        out: &mut Outbox,
        id: ClientId,
        target: Target,
        flow: Option<Flow>,
        any_size: bool,
        rewrite: &mut Rewrite<'_>,
    ) {
        let Some(length) = self.sent(id).map(<[u8]>::len) else { return };
        let mut target = target;
        let mut fallback = None;
        if !any_size && flow.is_none() && self.is_too_large(now, length, &target) {
            // With UDP to fall back to if nobody listens.
            fallback = Some(target.clone());
            target.transport = Transport::Tcp;
            self.counters.moved_to_tcp += 1;
        }
        let flow = match flow {
            Some(flow) => Some(flow).filter(|flow| self.is_usable(flow)),
            None => {
                self.flow_to(now, out, target.transport, target.addr, target.server_name.as_deref())
            }
        };
        let Some(client) = self.clients.get_mut(id) else { return };
        client.flow = flow.map(Into::into);
        let Some(work) = client.work.as_mut() else { return };
        work.target = Some(target);
        if fallback.is_some() {
            work.fallback = fallback;
        }
        let written = work.written;
        let Some(flow) = flow else {
            self.pending.push(Pending::ClientTransport(id));
            return;
        };
        let (invite, attempt) = (client.machine.is_invite(), client.attempt);
        if written != (flow.transport, flow.listener, attempt) {
            self.write_again(id, flow.transport, flow.listener, attempt, rewrite);
        }
        if !self.may_go(now, id, flow.remote) {
            self.pending.push(Pending::ClientHeldBack(id));
            return;
        }
        let (repeat, end) = if invite { (Timer::A, Timer::B) } else { (Timer::E, Timer::F) };
        self.set_client_timer(now, id, end);
        if !flow.transport.reliable() {
            self.set_client_timer(now, id, repeat);
        }
        if let Some(connection) = flow.connection {
            let clients = &self.clients;
            let live = |id: ClientId| {
                clients.get(id).is_some_and(|client| {
                    client.flow.and_then(|flow| flow.connection()) == Some(connection)
                })
            };
            match self.connections.get_mut(connection) {
                Some(connection) => connection.wait(id, live),
                None => self.lent.entry(connection).or_default().wait(id, live),
            }
        }
        self.await_answer(id);
        self.transmit_request(now, out, id);
    }

    /// Whether a request has to leave UDP for TCP (section 18.1.1): it is large, and nobody has
    /// refused TCP there of late.
    pub(super) fn is_too_large(&self, now: Now, length: usize, target: &Target) -> bool {
        length > self.transport.max_udp_request
            && target.transport == Transport::Udp
            && self.speaks(Transport::Tcp, target.addr)
            && !self.locator.is_blocked(now.at, Transport::Tcp, target.addr)
    }

    /// Sends without a transaction; gives the buffer back.
    pub(super) fn launch_once(
        &mut self,
        now: Now,
        out: &mut Outbox,
        request: Vec<u8>,
        target: Target,
        flow: Option<Flow>,
    ) -> Vec<u8> {
        let flow = match flow {
            Some(flow) => Some(flow).filter(|flow| self.is_usable(flow)),
            None => {
                self.flow_to(now, out, target.transport, target.addr, target.server_name.as_deref())
            }
        };
        match flow {
            Some(flow) => {
                self.counters.requests_sent += 1;
                out.transmit(flow, &request);
                self.touch(now, &flow);
            }
            None => self.counters.transport_failures += 1,
        }
        request
    }

    pub(super) fn transmit_request(&mut self, now: Now, out: &mut Outbox, id: ClientId) {
        let Some(client) = self.clients.get(id) else { return };
        let flow = client.flow.map(|flow| self.flow(&flow));
        match (flow.filter(|flow| self.is_usable(flow)), &client.work) {
            (Some(flow), Some(work)) => {
                self.counters.requests_sent += 1;
                out.transmit(flow, &work.request);
                self.touch(now, &flow);
            }
            _ => self.pending.push(Pending::ClientTransport(id)),
        }
    }

    pub(super) fn set_client_timer(&mut self, now: Now, id: ClientId, timer: Timer) {
        let count = self.clients.len();
        let Some(client) = self.clients.get_mut(id) else { return };
        let interval = if timer == Timer::E && client.machine.is_proceeding() {
            // Section 17.1.2.2: once a provisional response has come, at T2.
            self.settings.t2
        } else {
            self.settings.interval_among(count, timer, client.round.into())
        };
        let due = self.wheel.set(super::due_at(now, timer, interval), Due::Client(id, timer));
        let old = if timer.repeats() {
            client.round = client.round.saturating_add(1);
            std::mem::replace(&mut client.repeat, due)
        } else {
            std::mem::replace(&mut client.end, due)
        };
        self.wheel.clear(old);
    }

    /// Gives a request that nobody has answered no more than T2 from now.
    pub(super) fn hasten_client(&mut self, now: Now, id: ClientId) {
        let Some(client) = self.clients.get_mut(id) else { return };
        let timer = if client.machine.is_invite() { Timer::B } else { Timer::F };
        let due = self.wheel.set(now.at + self.settings.t2, Due::Client(id, timer));
        let old = std::mem::replace(&mut client.end, due);
        self.wheel.clear(old);
    }

    /// The transaction that a response belongs to: by its branch, and its method (17.1.3). `Err`
    /// tells that the branch is ours but the transaction has gone.
    pub(super) fn client_of(&self, branch: &[u8], method: &[u8]) -> Result<Option<ClientId>, ()> {
        let Some(token) = Token::read(branch, self.branch_key) else { return Ok(None) };
        if token.shard != self.place.shard {
            return Err(());
        }
        let mut id = ClientId::new(token.slot, token.generation);
        let client = loop {
            let client = self.clients.get(id).ok_or(())?;
            if client.attempt == token.attempt {
                break client;
            }
            id = client.previous.ok_or(())?;
        };
        if client.method.as_bytes() == method {
            return Ok(Some(id));
        }
        match client.cancel {
            Some(cancel) if method == b"CANCEL" && self.clients.get(cancel).is_some() => {
                Ok(Some(cancel))
            }
            _ => Err(()),
        }
    }

    pub(super) fn client_response<U: TransactionUser + ?Sized>(
        &mut self,
        now: Now,
        out: &mut Outbox,
        user: &mut U,
        id: ClientId,
        response: Received<'_>,
    ) {
        let event = match response.message.status() {
            100..=199 => Event::Provisional,
            200..=299 => Event::Success,
            _ => Event::Failure,
        };
        if let Some(flow) = self.clients.get(id).and_then(|client| client.flow) {
            self.told_by(now, flow.remote, &response);
        }
        if let Some(target) = self.clients.get(id).and_then(Client::target) {
            let (transport, addr) = (target.transport, target.addr);
            if event != Event::Failure || response.message.status() != 503 {
                self.locator.succeeded(transport, addr);
            }
        }
        self.step_client(now, out, user, id, event, Some(response));
    }

    pub(super) fn client_due<U: TransactionUser + ?Sized>(
        &mut self,
        now: Now,
        out: &mut Outbox,
        user: &mut U,
        id: ClientId,
        timer: Timer,
    ) {
        self.step_client(now, out, user, id, Event::Due(timer), None);
    }

    pub(super) fn client_withdrawn<U: TransactionUser + ?Sized>(
        &mut self,
        now: Now,
        out: &mut Outbox,
        user: &mut U,
        id: ClientId,
    ) {
        self.step_client(now, out, user, id, Event::Withdrawn, None);
    }

    pub(super) fn client_failed<U: TransactionUser + ?Sized>(
        &mut self,
        now: Now,
        out: &mut Outbox,
        user: &mut U,
        id: ClientId,
        why: Failure,
    ) {
        let Some(client) = self.clients.get(id) else { return };
        if !client.silent {
            let number = client.user;
            user.failed(self, now, out, id, number, why);
        }
        self.end_client(now, out, user, id);
    }

    /// It was not to be sent where it was to go: somewhere else, or not at all (RFC 7339 section 5.10).
    pub(super) fn client_held_back<U: TransactionUser + ?Sized>(
        &mut self,
        now: Now,
        out: &mut Outbox,
        user: &mut U,
        id: ClientId,
    ) {
        if !self.try_next(now, out, user, id) {
            self.client_failed(now, out, user, id, Failure::HeldBack);
        }
    }

    pub(super) fn client_transport_failed<U: TransactionUser + ?Sized>(
        &mut self,
        now: Now,
        out: &mut Outbox,
        user: &mut U,
        id: ClientId,
    ) {
        let Some(client) = self.clients.get(id) else { return };
        self.counters.transport_failures += 1;
        let unanswered = client.machine.is_unanswered();
        self.tell_lost(now, out, id, "it could not be sent");
        let Some(client) = self.clients.get(id) else { return };
        if let Some(target) = client.target()
            && unanswered
        {
            self.locator.failed(
                now.at,
                target.transport,
                target.addr,
                locating::Failure::Transport,
            );
            if self.try_next(now, out, user, id) {
                return;
            }
        }
        self.step_client(now, out, user, id, Event::Transport, None);
    }

    fn step_client<U: TransactionUser + ?Sized>(
        &mut self,
        now: Now,
        out: &mut Outbox,
        user: &mut U,
        id: ClientId,
        event: Event,
        response: Option<Received<'_>>,
    ) {
        let Some(client) = self.clients.get_mut(id) else { return };
        let reliable = client.is_reliable();
        let unanswered = client.machine.is_unanswered();
        let Some(actions) = client.machine.step(event, reliable) else {
            self.counters.responses_absorbed += u64::from(response.is_some());
            return;
        };
        let (silent, number) = (client.silent, client.user);
        if unanswered && !client.machine.is_unanswered() {
            self.await_no_answer(id);
        }
        for action in actions {
            match *action {
                Action::SendRequest => {
                    self.counters.requests_repeated += 1;
                    self.transmit_request(now, out, id);
                }
                Action::SendAck => self.send_ack(now, out, id, response.as_ref()),
                Action::Set(timer) => self.set_client_timer(now, id, timer),
                Action::Clear(timer) => {
                    if let Some(client) = self.clients.get(id) {
                        self.wheel.clear(if timer.repeats() { client.repeat } else { client.end });
                    }
                }
                Action::Tell => {
                    let Some(response) = response else { continue };
                    if response.message.status() == 503
                        && !silent
                        && self.try_next_after_unavailable(now, out, user, id, &response.message)
                    {
                        return;
                    }
                    if !silent {
                        user.response(self, now, out, response, id, number);
                    }
                }
                Action::TellTimeout => {
                    self.counters.timed_out += 1;
                    if unanswered {
                        self.tell_lost(now, out, id, "there was no answer in time");
                    }
                    let target = self.clients.get(id).and_then(Client::target);
                    if let (Some(target), true, Event::Due(Timer::B | Timer::F)) =
                        (target, unanswered, event)
                    {
                        self.locator.failed(
                            now.at,
                            target.transport,
                            target.addr,
                            locating::Failure::TimedOut,
                        );
                        if self.try_next(now, out, user, id) {
                            return;
                        }
                    }
                    if !silent {
                        user.failed(self, now, out, id, number, Failure::TimedOut);
                    }
                }
                Action::TellTransport => {
                    if !silent {
                        user.failed(self, now, out, id, number, Failure::Transport);
                    }
                }
                Action::SendResponse | Action::Repeat | Action::SendTrying | Action::TellNoAck => {}
            }
        }
        let Some(client) = self.clients.get(id) else { return };
        if client.machine.is_terminated() {
            self.end_client(now, out, user, id);
        } else if unanswered
            && client.is_cancelling()
            && client.machine.is_proceeding()
            && client.cancel.is_none()
        {
            self.send_cancel(now, out, id);
        } else if !client.machine.needs_request() {
            self.compact_client(id);
        }
    }

    /// The final response has come: the request is not sent again, nor anything made of it.
    fn compact_client(&mut self, id: ClientId) {
        let work = self.clients.get_mut(id).and_then(|client| client.work.take());
        if let Some(work) = work {
            self.give_back_work(work);
        }
    }

    pub(super) fn client_work(
        &mut self,
        request: Vec<u8>,
        transport: Transport,
        listener: ListenerId,
    ) -> Box<Work> {
        let work = Work::new(request, transport, listener);
        match self.works.pop() {
            Some(mut used) => {
                *used = work;
                used
            }
            None => Box::new(work),
        }
    }

    pub(super) fn give_back_work(&mut self, mut work: Box<Work>) {
        if let Some(lookup) = work.lookup.take() {
            self.lookups.remove(&lookup);
            self.locator.abandon(lookup);
        }
        self.give_back(std::mem::take(&mut work.request));
        if self.works.len() < POOLED {
            self.works.push(work);
        }
    }

    fn end_client<U: TransactionUser + ?Sized>(
        &mut self,
        now: Now,
        out: &mut Outbox,
        user: &mut U,
        id: ClientId,
    ) {
        let Some(client) = self.clients.get(id) else { return };
        if !client.silent {
            let number = client.user;
            user.client_ended(self, now, out, id, number);
        }
        self.await_no_answer(id);
        let Some(client) = self.clients.remove(id) else { return };
        self.wheel.clear(client.repeat);
        self.wheel.clear(client.end);
        if let Some(work) = client.work {
            self.give_back_work(work);
        }
        self.give_back(client.ack);
    }
}
