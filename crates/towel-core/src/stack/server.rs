//! The server side: requests matched (RFC 3261 section 17.2.3), responses sent.

use std::net::SocketAddr;

use towel_message::build::{ResponseOptions, ResponseWriter};
use towel_message::{Index, Message, Name, Via};

use super::{Due, Pending, Received, Refusal, ServerId, Stack, TransactionUser, ends_dialog};
use crate::io::{Flow, Now, Outbox};
use crate::time::TimerId;
use crate::transaction::machines::{invite_server, non_invite_server};
use crate::transaction::server::{Event, Identity, Machine, Question, Server};
use crate::transaction::table::{Action, Timer};

impl Stack {
    /// Whether one more request can be taken in. One that ends a dialog has room where others have none.
    pub(super) fn has_room_for(&self, request: &Message<'_>) -> bool {
        let most = match ends_dialog(request) {
            true => self.settings.max_with_ends(),
            false => self.settings.max,
        };
        self.servers.len().max(self.clients.len()) < most
    }

    /// Makes a server transaction for a request. `user` is the user's own number for it.
    pub fn server_transaction(
        &mut self,
        now: Now,
        request: &Received<'_>,
        user: u64,
    ) -> Result<ServerId, Refusal> {
        let (message, via) = (request.message, request.via);
        if !self.has_room_for(&message) {
            return Err(Refusal::Full);
        }
        let method = message.method().as_bytes();
        // What was just looked for and not found is what it is found by later.
        let proof = match self.asked.take() {
            Some(proof) => proof,
            None => {
                let identity = self.identity_by(&message, &via);
                Question::new(identity, message, via, method).proof
            }
        };
        let machine = if method == b"INVITE" {
            Machine::Invite(invite_server::State::Proceeding)
        } else {
            Machine::Other(non_invite_server::State::Trying)
        };
        let mut bytes = self.buffer();
        bytes.extend_from_slice(message.bytes());
        let reply = response_flow(&via, request.flow);
        let server = Server {
            machine,
            compact: false,
            unique: via.unique_branch().is_some(),
            round: 0,
            port: via.port.unwrap_or(request.flow.transport.default_port()),
            user,
            source: request.flow.into(),
            elsewhere: (reply != request.flow).then(|| Box::new(reply.into())),
            request: bytes,
            response: Vec::new(),
            proof,
            repeat: TimerId::NONE,
            end: TimerId::NONE,
            silent: false,
        };
        let id = self.servers.insert(server);
        self.owes(request.flow.connection);
        let entry = (proof.hash(), id.slot);
        self.matches.insert_unique(spread(entry.0), entry, |entry| spread(entry.0));
        if machine.is_invite() {
            if self.settings.trying_after.is_some() {
                self.set_server_timer(now, id, Timer::Trying);
            }
        } else {
            self.set_server_timer(now, id, Timer::Trying);
            self.set_server_timer(now, id, Timer::Unanswered);
        }
        Ok(id)
    }

    /// The user's number for a transaction.
    pub fn server_user(&self, id: ServerId) -> Option<u64> {
        self.servers.get(id).map(|server| server.user)
    }

    /// Gives a transaction another number.
    pub fn set_server_user(&mut self, id: ServerId, user: u64) {
        if let Some(server) = self.servers.get_mut(id) {
            server.user = user;
        }
    }

    /// The request that a transaction was made for, as it was told; no more once the final response
    /// has been given and the call in which that was done is over.
    pub fn request(&self, id: ServerId) -> Option<&[u8]> {
        let server = self.servers.get(id).filter(|server| !server.compact)?;
        Some(server.request.as_slice())
    }

    /// The response that was sent last; of a final one no more once the call in which it was given
    /// is over.
    pub fn response(&self, id: ServerId) -> Option<&[u8]> {
        let server = self.servers.get(id).filter(|server| !server.response.is_empty())?;
        Some(server.response.as_slice())
    }

    /// Where that request came from.
    pub fn source(&self, id: ServerId) -> Option<Flow> {
        self.servers.get(id).map(|server| self.flow(&server.source))
    }

    /// Whether a transaction is there and has had no final response.
    pub fn is_open(&self, id: ServerId) -> bool {
        self.servers.get(id).is_some_and(|server| server.machine.is_open())
    }

    /// Sends a response. `write` appends the whole of it; the topmost Via in it is that of the
    /// request as it was told.
    ///
    /// What RFC 4320 forbids for requests other than INVITE is not sent: provisional responses
    /// but 100, 100 too early on an unreliable transport, and 408, which ends the transaction
    /// in silence instead.
    pub fn respond(
        &mut self,
        now: Now,
        out: &mut Outbox,
        id: ServerId,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), Refusal> {
        let Some(server) = self.servers.get(id) else { return Err(Refusal::Stale) };
        let (machine, reliable) = (server.machine, server.is_reliable());
        let source = server.source.remote;
        let mut response = self.buffer();
        write(&mut response);
        self.tell_upstream(now, source, &mut response);
        let Some(status) = status_of(&response) else {
            self.give_back(response);
            return Err(Refusal::Malformed);
        };
        let early =
            matches!(machine, Machine::Other(non_invite_server::State::Trying)) && !reliable;
        if !machine.is_invite() && status < 200 && (status != 100 || early) {
            self.counters.responses_refused += 1;
            self.give_back(response);
            return Ok(());
        }
        let event = match status {
            100..=199 => Event::Provisional,
            200..=299 => Event::Success,
            408 if !machine.is_invite() => Event::Dropped,
            _ => Event::Failure,
        };
        self.step_server(now, out, id, event, Some(response))
    }

    /// Sends a response that is made here: with the fields that RFC 3261 section 8.2.6 has copied,
    /// and a To tag that follows from the request alone. `edit` adds to it and ends it.
    pub fn reply(
        &mut self,
        now: Now,
        out: &mut Outbox,
        id: ServerId,
        status: u16,
        reason: &str,
        edit: impl FnOnce(ResponseWriter<'_>),
    ) -> Result<(), Refusal> {
        self.reply_tagged(now, out, id, (status, reason), None, edit)
    }

    /// The same with another To tag: that of one of several early dialogs.
    pub fn reply_tagged(
        &mut self,
        now: Now,
        out: &mut Outbox,
        id: ServerId,
        (status, reason): (u16, &str),
        tag: Option<Vec<u8>>,
        edit: impl FnOnce(ResponseWriter<'_>),
    ) -> Result<(), Refusal> {
        let Some(server) = self.servers.get_mut(id) else { return Err(Refusal::Stale) };
        if server.compact {
            return Err(Refusal::State);
        }
        let request = std::mem::take(&mut server.request);
        let mut index = self.index();
        let mut written = Err(Refusal::Malformed);
        if let Ok(message) = Message::parse(&request, &mut index, &self.transport.limits) {
            let own = self.to_tag(&message);
            let options = ResponseOptions {
                to_tag: Some(tag.as_deref().unwrap_or(&own)),
                record_route: makes_dialog(&message, status),
                source: None,
            };
            written = self.respond(now, out, id, |to| {
                edit(ResponseWriter::start(to, &message, status, reason, options));
            });
        }
        self.give_back_index(index);
        match self.servers.get_mut(id) {
            Some(server) => server.request = request,
            None => self.give_back(request),
        }
        written
    }

    /// Answers a request without a transaction (RFC 3261 section 8.2.7). The To tag is the same
    /// each time that the request comes.
    pub fn respond_stateless(
        &mut self,
        now: Now,
        out: &mut Outbox,
        request: &Received<'_>,
        status: u16,
        reason: &str,
        edit: impl FnOnce(ResponseWriter<'_>),
    ) {
        let via = request.via;
        // An ACK is never answered (section 17).
        if request.message.method().as_bytes() == b"ACK" {
            return;
        }
        let tag = self.to_tag(&request.message);
        let record_route = makes_dialog(&request.message, status);
        // The topmost Via of what came in was stamped as it was read.
        let options = ResponseOptions { to_tag: Some(&tag), record_route, source: None };
        let mut response = self.buffer();
        edit(ResponseWriter::start(&mut response, &request.message, status, reason, options));
        self.tell_upstream(now, request.flow.remote, &mut response);
        self.send_response(now, out, response_flow(&via, request.flow), &response, &via);
        self.give_back(response);
    }

    /// Sends a response by what its topmost Via says, without a transaction (RFC 3261 sections
    /// 16.11 and 18.2.2): `write` appends the whole of it, our own Via taken off.
    pub fn forward_response(
        &mut self,
        now: Now,
        out: &mut Outbox,
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        let mut response = self.buffer();
        write(&mut response);
        self.tell_upstream_of(now, &mut response);
        let mut index = self.index();
        if let Ok(message) = Message::parse(&response, &mut index, &self.transport.limits)
            && let Ok(via) = message.top_via()
        {
            match self.flow_of_via(&via) {
                Some(flow) => self.send_response(now, out, flow, &response, &via),
                None => self.seek_via(now, out, &response, &via),
            }
        }
        self.give_back_index(index);
        self.give_back(response);
    }

    /// The user will not answer (any more): the transaction ends in silence if it still waits.
    pub fn drop_server(&mut self, now: Now, out: &mut Outbox, id: ServerId) {
        let _ = self.step_server(now, out, id, Event::Dropped, None);
    }

    /// The To tag that this element gives in its responses to a request: the same for an INVITE and
    /// its CANCEL (RFC 3261 section 9.2), and the same without state.
    #[cfg_attr(not(test), expect(clippy::indexing_slicing, reason = "five bits and 32 letters"))]
    pub fn to_tag(&self, request: &Message<'_>) -> [u8; 13] {
        const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
        let identity = self.known_identity(request).unwrap_or_else(|| {
            Identity::new(self.match_key, *request, request.top_via().ok().as_ref())
        });
        let mut bits = identity.told();
        let mut tag = [0; 13];
        for letter in &mut tag {
            *letter = LETTERS[(bits & 31) as usize];
            bits >>= 5;
        }
        tag
    }

    fn identity_by(&self, request: &Message<'_>, via: &Via<'_>) -> Identity {
        let known = self.known_identity(request);
        known.unwrap_or_else(|| Identity::new(self.match_key, *request, Some(via)))
    }

    /// What was noted of a request while it is handled.
    fn known_identity(&self, request: &Message<'_>) -> Option<Identity> {
        let (known, identity) = self.identity?;
        (known == place(request)).then_some(identity)
    }

    /// The transaction that a request belongs to (section 17.2.3), asked for under `method`.
    pub(super) fn matching(
        &mut self,
        message: Message<'_>,
        via: Via<'_>,
        method: &[u8],
    ) -> Option<ServerId> {
        let mut index = self.index();
        let identity = self.identity_by(&message, &via);
        self.identity = Some((place(&message), identity));
        let question = Question::new(identity, message, via, method);
        self.asked = Some(question.proof);
        let found = self.find(&question, &mut index);
        self.give_back_index(index);
        found
    }

    fn find(&self, question: &Question<'_>, index: &mut Index) -> Option<ServerId> {
        let wanted = question.proof.hash();
        let is = |&(hash, slot): &(u32, u32)| {
            let server = self.servers.at(slot).and_then(|id| self.servers.get(id));
            hash == wanted
                && server.is_some_and(|server| question.is(server, index, &self.transport.limits))
        };
        self.matches.find(spread(wanted), is).and_then(|&(_, slot)| self.servers.at(slot))
    }

    /// The transaction that a CANCEL is for (section 9.2): the methods that may be meant are few.
    pub(super) fn cancelled_by(&mut self, message: Message<'_>, via: Via<'_>) -> Option<ServerId> {
        const METHODS: [&[u8]; 12] = [
            b"INVITE",
            b"REGISTER",
            b"OPTIONS",
            b"BYE",
            b"MESSAGE",
            b"SUBSCRIBE",
            b"NOTIFY",
            b"PUBLISH",
            b"INFO",
            b"REFER",
            b"UPDATE",
            b"PRACK",
        ];
        METHODS.into_iter().find_map(|method| self.matching(message, via, method))
    }

    /// Whether a CANCEL came from where its request did. It cannot be challenged, so it is taken
    /// from nowhere else (section 22.1): the branch is known to everybody further down.
    pub(super) fn may_cancel(&self, id: ServerId, source: &Flow) -> bool {
        let address = source.remote.ip().to_canonical();
        self.servers
            .get(id)
            .is_some_and(|server| server.source.remote.ip().to_canonical() == address)
    }

    /// The request came again.
    pub(super) fn server_repeated(&mut self, now: Now, out: &mut Outbox, id: ServerId) {
        self.counters.requests_absorbed += 1;
        let _ = self.step_server(now, out, id, Event::Request, None);
    }

    /// An ACK came; says whether it is for the user.
    pub(super) fn server_acknowledged(&mut self, now: Now, out: &mut Outbox, id: ServerId) -> bool {
        let accepted = self.servers.get(id).is_some_and(|server| server.machine.is_accepted());
        let _ = self.step_server(now, out, id, Event::Ack, None);
        // Confirmed, it answers nothing any more.
        if let Some(server) = self.servers.get_mut(id).filter(|server| server.compact && !accepted)
        {
            let response = std::mem::take(&mut server.response);
            self.give_back(response);
        }
        accepted
    }

    /// Answers a CANCEL that matched: 200 in a transaction of its own.
    pub(super) fn accept_cancel(&mut self, now: Now, out: &mut Outbox, cancel: &Received<'_>) {
        match self.server_transaction(now, cancel, 0) {
            Ok(id) => {
                if let Some(server) = self.servers.get_mut(id) {
                    server.silent = true;
                }
                let _ = self.reply(now, out, id, 200, "OK", |writer| writer.end());
            }
            Err(_) => self.respond_stateless(now, out, cancel, 200, "OK", |writer| writer.end()),
        }
    }

    pub(super) fn is_invite_open(&self, id: ServerId) -> Option<u64> {
        let server = self.servers.get(id)?;
        (server.machine.is_invite() && server.machine.is_open()).then_some(server.user)
    }

    pub(super) fn server_due<U: TransactionUser + ?Sized>(
        &mut self,
        now: Now,
        out: &mut Outbox,
        user: &mut U,
        id: ServerId,
        timer: Timer,
    ) {
        let Some(server) = self.servers.get(id) else { return };
        let (number, silent) = (server.user, server.silent);
        let _ = self.step_server(now, out, id, Event::Due(timer), None);
        if timer == Timer::H {
            self.counters.unacknowledged += 1;
            self.tell_server(now, out, id, "unacknowledged", "no ACK came for the final response");
            if !silent {
                user.unacknowledged(self, now, out, id, number);
            }
        }
        // The step has put its end among what is pending.
    }

    pub(super) fn server_transport_failed<U: TransactionUser + ?Sized>(
        &mut self,
        now: Now,
        out: &mut Outbox,
        user: &mut U,
        id: ServerId,
    ) {
        let Some(server) = self.servers.get(id) else { return };
        let (number, silent) = (server.user, server.silent);
        let told = self.step_server(now, out, id, Event::Transport, None).is_ok();
        if told {
            self.tell_server(now, out, id, "response-lost", "a response could not be sent");
        }
        if told && !silent {
            user.response_undeliverable(self, now, out, id, number);
        }
    }

    pub(super) fn end_server<U: TransactionUser + ?Sized>(
        &mut self,
        now: Now,
        out: &mut Outbox,
        user: &mut U,
        id: ServerId,
    ) {
        let Some(server) = self.servers.get(id) else { return };
        if !server.silent {
            let number = server.user;
            user.server_ended(self, now, out, id, number);
        }
        let Some(server) = self.servers.remove(id) else { return };
        self.wheel.clear(server.repeat);
        self.wheel.clear(server.end);
        let hash = spread(server.proof.hash());
        self.matches.remove(hash, |&(_, slot)| slot == id.slot);
        self.give_back(server.request);
        self.give_back(server.response);
    }

    fn step_server(
        &mut self,
        now: Now,
        out: &mut Outbox,
        id: ServerId,
        event: Event,
        response: Option<Vec<u8>>,
    ) -> Result<(), Refusal> {
        let mut response = response;
        let Some(server) = self.servers.get_mut(id) else { return Err(Refusal::Stale) };
        let reliable = server.is_reliable();
        let opened = server.machine.is_open();
        let Some(actions) = server.machine.step(event, reliable) else {
            if let Some(response) = response {
                self.counters.responses_refused += 1;
                self.give_back(response);
            }
            return Err(Refusal::State);
        };
        let ended = server.machine.is_terminated();
        for action in actions {
            match *action {
                Action::SendResponse => {
                    if let Some(response) = response.take()
                        && let Some(server) = self.servers.get_mut(id)
                    {
                        let old = std::mem::replace(&mut server.response, response);
                        self.give_back(old);
                        self.transmit_response(now, out, id);
                    }
                }
                Action::Repeat => {
                    if self.servers.get(id).is_some_and(|server| !server.response.is_empty()) {
                        self.counters.responses_repeated += 1;
                        self.transmit_response(now, out, id);
                    }
                }
                Action::SendTrying => self.send_trying(now, out, id),
                Action::Set(timer) => self.set_server_timer(now, id, timer),
                Action::Clear(timer) => {
                    if let Some(server) = self.servers.get(id) {
                        self.wheel.clear(if timer.repeats() { server.repeat } else { server.end });
                    }
                }
                // Told by whoever made the step: they have the user at hand.
                Action::Tell | Action::TellTransport | Action::TellNoAck | Action::TellTimeout => {}
                Action::SendRequest | Action::SendAck => {}
            }
        }
        if let Some(response) = response {
            self.give_back(response);
        }
        let settled = self.servers.get(id).filter(|server| opened && !server.machine.is_open());
        let settled = settled.map(|server| server.source.connection());
        if let Some(connection) = settled {
            self.settled(out, connection);
        }
        if ended {
            self.pending.push(Pending::ServerEnded(id));
        } else if settled.is_some() {
            self.pending.push(Pending::ServerOver(id));
        }
        Ok(())
    }

    /// The final response has been given: what is kept for as long as repetitions may come is what
    /// they are matched by and what they are answered with.
    pub(super) fn compact_server(&mut self, id: ServerId) {
        let Some(server) = self.servers.get_mut(id) else { return };
        // The rules for old peers need the whole request.
        if server.compact || !server.unique {
            return;
        }
        // Only the user sends a 2xx to an INVITE again (RFC 6026).
        let repeats = !server.machine.is_accepted();
        let request = std::mem::take(&mut server.request);
        let response = std::mem::take(&mut server.response);
        let kept = if repeats { self.kept(&response) } else { Vec::new() };
        if let Some(server) = self.servers.get_mut(id) {
            server.compact = true;
            server.response = kept;
        }
        self.give_back(request);
        self.give_back(response);
    }

    fn set_server_timer(&mut self, now: Now, id: ServerId, timer: Timer) {
        let count = self.servers.len();
        let Some(server) = self.servers.get_mut(id) else { return };
        let interval = match (timer, server.machine) {
            (Timer::Trying, Machine::Invite(_)) => self.settings.trying_after.unwrap_or_default(),
            _ => self.settings.interval_among(count, timer, server.round.into()),
        };
        let due = self.wheel.set(super::due_at(now, timer, interval), Due::Server(id, timer));
        let old = if timer.repeats() {
            server.round = server.round.saturating_add(u8::from(timer != Timer::Trying));
            std::mem::replace(&mut server.repeat, due)
        } else {
            std::mem::replace(&mut server.end, due)
        };
        self.wheel.clear(old);
    }

    fn send_trying(&mut self, now: Now, out: &mut Outbox, id: ServerId) {
        let mut response = self.buffer();
        let mut index = self.index();
        if let Some(server) = self.servers.get_mut(id)
            && let Ok(message) = Message::parse(&server.request, &mut index, &self.transport.limits)
        {
            ResponseWriter::start(
                &mut response,
                &message,
                100,
                "Trying",
                ResponseOptions::default(),
            )
            .end();
            let source = server.source.remote;
            self.tell_upstream(now, source, &mut response);
            if let Some(server) = self.servers.get_mut(id) {
                std::mem::swap(&mut server.response, &mut response);
            }
            self.transmit_response(now, out, id);
        }
        self.give_back_index(index);
        self.give_back(response);
    }

    fn transmit_response(&mut self, now: Now, out: &mut Outbox, id: ServerId) {
        let Some(server) = self.servers.get(id) else { return };
        let flow = self.flow(server.reply());
        if self.is_usable(&flow) {
            self.counters.responses_sent += 1;
            out.transmit(flow, &server.response);
            self.touch(now, &flow);
            // Others wait for a connection to be made; this one may be given to the same.
            if !self.answering.is_empty() {
                self.follow_response(id, &flow);
            }
            return;
        }
        // Section 18.2.2: the connection is gone, so another is made to where the request came
        // from, at the port of sent-by.
        let addr = SocketAddr::new(server.source.remote.ip(), server.port);
        let again = self.flow_to(now, out, flow.transport, addr, None);
        match (again, self.servers.get_mut(id)) {
            (Some(flow), Some(server)) => {
                server.elsewhere = Some(Box::new(flow.into()));
                self.counters.responses_sent += 1;
                out.transmit(flow, &server.response);
                self.follow_response(id, &flow);
            }
            _ => {
                self.counters.transport_failures += 1;
                self.pending.push(Pending::ServerTransport(id));
            }
        }
    }

    fn follow_response(&mut self, id: ServerId, flow: &Flow) {
        let Some(server) = self.servers.get_mut(id) else { return };
        let response = std::mem::take(&mut server.response);
        let mut index = self.index();
        if let Ok(message) = Message::parse(&response, &mut index, &self.transport.limits)
            && let Ok(via) = message.top_via()
        {
            self.follow(flow, Some(id), &response, &via);
        }
        self.give_back_index(index);
        if let Some(server) = self.servers.get_mut(id) {
            server.response = response;
        }
    }

    fn send_response(
        &mut self,
        now: Now,
        out: &mut Outbox,
        flow: Flow,
        response: &[u8],
        via: &Via<'_>,
    ) {
        let flow = if self.is_usable(&flow) {
            Some(flow)
        } else {
            let port = via.port.unwrap_or(flow.transport.default_port());
            self.flow_to(now, out, flow.transport, SocketAddr::new(flow.remote.ip(), port), None)
        };
        match flow {
            Some(flow) => {
                self.counters.responses_sent += 1;
                out.transmit(flow, response);
                self.touch(now, &flow);
                self.follow(&flow, None, response, via);
            }
            None => self.counters.transport_failures += 1,
        }
    }
}

/// Where the bytes of a message are, which tells it from all others of the same moment.
fn place(message: &Message<'_>) -> (usize, usize) {
    let bytes = message.bytes().as_ptr_range();
    (bytes.start as usize, bytes.end as usize)
}

/// Half of a hash as a whole one.
fn spread(half: u32) -> u64 {
    u64::from(half).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// Where the response to a request goes (RFC 3261 section 18.2.2, RFC 3581 section 4).
pub(super) fn response_flow(via: &Via<'_>, source: Flow) -> Flow {
    if source.transport.reliable() {
        return source;
    }
    // Nobody can be reached at port 0.
    let port = match via.port {
        Some(0) => source.remote.port(),
        port => port.unwrap_or(source.transport.default_port()),
    };
    // A maddr that is a name would have to be looked up; no multicast group is named so.
    if let Some(ip) = via.maddr().and_then(|host| host.ip()) {
        return Flow { remote: SocketAddr::new(ip, port), ..source };
    }
    let port = if via.rport().is_some() { source.remote.port() } else { port };
    Flow { remote: SocketAddr::new(source.remote.ip(), port), ..source }
}

/// The status code of what somebody wrote.
fn status_of(response: &[u8]) -> Option<u16> {
    let digits = response.strip_prefix(b"SIP/2.0 ")?.first_chunk::<3>()?;
    let mut status = 0;
    for digit in digits {
        status = status * 10 + u16::from(digit.checked_sub(b'0').filter(|digit| *digit < 10)?);
    }
    (100..=699).contains(&status).then_some(status)
}

/// Whether a response makes a dialog and so carries Record-Route (RFC 3261 section 12.1.1).
fn makes_dialog(request: &Message<'_>, status: u16) -> bool {
    let method = request.method().as_bytes();
    let makes = matches!(method, b"INVITE" | b"SUBSCRIBE" | b"REFER" | b"NOTIFY");
    makes && (101..=299).contains(&status) && request.has(Name::RecordRoute)
}
