//! What comes in: framed, read, stamped, and handed to its transaction or upwards.

use std::net::SocketAddr;

use towel_message::build::{ResponseOptions, ResponseWriter};
use towel_message::frame::{Framed, StreamFramer};
use towel_message::{Fault, Message, Name, check};

use super::telling::fault as told;
use super::{Due, Received, Stack, TransactionUser, no_names};
use crate::io::{ConnectionId, Flow, Level, ListenerId, Now, Outbox, Transport};
use crate::overload::Verdict;
use crate::transport::stun;

impl Stack {
    pub(super) fn datagram<U: TransactionUser + ?Sized>(
        &mut self,
        now: Now,
        out: &mut Outbox,
        user: &mut U,
        listener: ListenerId,
        remote: SocketAddr,
        bytes: &[u8],
    ) {
        let Some(station) = self.station(listener) else { return };
        let flow = Flow {
            transport: station.listener.transport,
            listener,
            local: station.listener.local,
            remote,
            connection: None,
        };
        if bytes.iter().all(|byte| matches!(byte, b'\r' | b'\n' | b' ' | 0)) {
            self.counters.keepalives += 1;
            return;
        }
        if stun::is_stun(bytes) {
            self.counters.keepalives += 1;
            if let Some(response) = stun::binding_response(bytes, remote) {
                out.transmit(flow, &response);
            }
            return;
        }
        self.read(now, out, user, flow, &[], bytes);
    }

    pub(super) fn stream<U: TransactionUser + ?Sized>(
        &mut self,
        now: Now,
        out: &mut Outbox,
        user: &mut U,
        id: ConnectionId,
        bytes: &[u8],
    ) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        if connection.broken {
            return;
        }
        connection.used = now.at;
        let flow = connection.flow;
        let names = connection.peer.identities.clone().unwrap_or_else(no_names);
        if matches!(flow.transport, Transport::Ws | Transport::Wss) {
            match towel_message::frame::websocket(bytes) {
                Framed::Message(bytes) => self.read(now, out, user, flow, &names, bytes),
                Framed::Ping => {
                    self.counters.keepalives += 1;
                    out.transmit(flow, b"\r\n");
                }
                Framed::Pong | Framed::Broken { .. } => self.counters.keepalives += 1,
            }
            return;
        }
        let kept = connection.framer.take().or_else(|| self.framer.take());
        let mut framer = kept.unwrap_or_else(|| Box::new(StreamFramer::new(self.transport.limits)));
        framer.feed(bytes, |framed| match framed {
            Framed::Message(bytes) if self.puts_off(now, &flow, bytes) => {}
            Framed::Message(bytes) => {
                self.read(now, out, user, flow, &names, bytes);
                self.put_off.fate = None;
            }
            Framed::Ping => {
                // RFC 5626 section 4.4.1.
                self.counters.keepalives += 1;
                out.transmit(flow, b"\r\n");
            }
            Framed::Pong => {}
            Framed::Broken { head, fault } => self.broken(now, out, id, flow, head, &fault),
        });
        let fresh = framer.is_fresh();
        let live = self.connections.get_mut(id).filter(|connection| !connection.broken);
        let Some(connection) = live else {
            self.framer = fresh.then_some(framer);
            return;
        };
        let was = connection.partial;
        connection.partial = if framer.is_idle() { None } else { was.or(Some(now.at)) };
        let begun = was.is_none() && connection.partial.is_some();
        if fresh {
            self.framer = Some(framer);
        } else {
            connection.framer = Some(framer);
        }
        if begun {
            self.connection_timers += 1;
            self.wheel.set(now.at + self.transport.partial, Due::Partial(id));
        }
    }

    /// A stream that cannot be cut into messages any more: answered if there is enough to answer,
    /// and closed (section 18.3).
    fn broken(
        &mut self,
        now: Now,
        out: &mut Outbox,
        id: ConnectionId,
        flow: Flow,
        head: &[u8],
        fault: &Fault,
    ) {
        self.counters.framing_faults += 1;
        self.tell_dropped(now, out, &flow, || told("a stream that cannot be cut up", fault));
        let mut index = self.index();
        if let Ok(message) = Message::parse(head, &mut index, &self.transport.limits)
            && message.is_request()
            && message.method().as_bytes() != b"ACK"
            && message.top_via().is_ok()
        {
            let tag = self.to_tag(&message);
            let options = ResponseOptions {
                to_tag: Some(&tag),
                record_route: false,
                source: Some(flow.remote),
            };
            let mut response = Vec::new();
            ResponseWriter::start(&mut response, &message, fault.status, fault.reason, options)
                .end();
            self.counters.responses_sent += 1;
            out.transmit(flow, &response);
        }
        self.give_back_index(index);
        self.close_when_settled(now, out, id);
    }

    /// Reads one message.
    pub(super) fn read<U: TransactionUser + ?Sized>(
        &mut self,
        now: Now,
        out: &mut Outbox,
        user: &mut U,
        flow: Flow,
        names: &[String],
        bytes: &[u8],
    ) {
        if self.abuse.has_bans() && self.is_banned(now, out, &flow) {
            return;
        }
        let mut index = self.index();
        let mut stamped = None;
        match Message::parse(bytes, &mut index, &self.transport.limits) {
            Ok(message) => match message.top_via() {
                Err(fault) => {
                    self.counters.dropped_no_via += 1;
                    self.tell_dropped(now, out, &flow, || told("a message", &fault));
                }
                Ok(via) if self.is_of_another_shard(out, &flow, message, via) => {}
                Ok(via) if self.handed_over && !self.is_of_ours(message, via) => {
                    out.pass_on(flow, bytes);
                }
                Ok(via) => {
                    let received = Received { message, via, flow, identities: names };
                    if !message.is_request() {
                        self.read_response(now, out, user, received);
                    } else if via.needs_received(flow.remote) && via.check().is_ok() {
                        // A malformed one stays as it came, and is told to be malformed.
                        let mut bytes = self.buffer();
                        let done = via.stamp(flow.remote, message.bytes(), &mut bytes);
                        stamped = Some((done, bytes));
                    } else {
                        self.take_request(now, out, user, received);
                    }
                }
            },
            Err(error) => {
                self.counters.dropped_garbage += 1;
                self.tell_dropped(now, out, &flow, || error.to_string());
            }
        }
        if let Some((done, bytes)) = stamped {
            // So that everybody above sees it as it has to be sent on and answered (sections 18.2.1
            // and RFC 3581 section 4).
            index.stamped(&done);
            let message = Message::with_index(&bytes, &index);
            match message.top_via() {
                Ok(via) => {
                    let request = Received { message, via, flow, identities: names };
                    self.take_request(now, out, user, request);
                }
                Err(fault) => {
                    self.counters.dropped_unreadable += 1;
                    self.tell_dropped(now, out, &flow, || told("a request", &fault));
                }
            }
            self.give_back(bytes);
        }
        self.give_back_index(index);
    }

    fn take_request<U: TransactionUser + ?Sized>(
        &mut self,
        now: Now,
        out: &mut Outbox,
        user: &mut U,
        request: Received<'_>,
    ) {
        self.counters.requests_received += u64::from(self.handed.is_none());
        self.match_request(now, out, user, request);
        (self.asked, self.identity) = (None, None);
    }

    fn match_request<U: TransactionUser + ?Sized>(
        &mut self,
        now: Now,
        out: &mut Outbox,
        user: &mut U,
        request: Received<'_>,
    ) {
        let (message, via) = (request.message, request.via);
        if request.flow.transport.secure()
            && let Some(id) = request.flow.connection
            && via.params.has("alias")
        {
            self.alias(id, via.port.unwrap_or(request.flow.transport.default_port()));
        }
        let method = message.method();
        let method = method.as_bytes();
        if method == b"ACK" {
            let found = self.matching(message, via, b"INVITE");
            self.asked = None;
            let told = match found {
                Some(id) => self.server_acknowledged(now, out, id),
                None => true,
            };
            if told {
                let matched = found.and_then(|id| Some((id, self.server_user(id)?)));
                user.ack(self, now, out, request, matched);
            }
            return;
        }
        if let Some(id) = self.matching(message, via, method) {
            return self.server_repeated(now, out, id);
        }
        if method == b"CANCEL" {
            let found = self.cancelled_by(message, via);
            self.asked = None;
            if found.is_none() && self.asks_next_shard(out, &request) {
                return;
            }
            if found.is_some_and(|id| !self.may_cancel(id, &request.flow)) {
                let reason = "Call/Transaction Does Not Exist";
                let end = |writer: ResponseWriter<'_>| writer.end();
                return self.respond_stateless(now, out, &request, 481, reason, end);
            }
            let invite = found.and_then(|id| Some((id, self.is_invite_open(id)?)));
            if found.is_some() {
                self.accept_cancel(now, out, &request);
            }
            return user.cancelled(self, now, out, request, found.is_some(), invite);
        }
        if self.abuse.has_rates() && self.is_too_much(now, out, &request) {
            return;
        }
        if self.overload.is_pressed() || self.put_off.fate.is_some() {
            match self.judge_for_overload(now, &*user, &request) {
                Verdict::Serve => {}
                Verdict::Refuse => return self.refuse_for_overload(now, out, &request),
                Verdict::Drop => {
                    self.counters.dropped_overload += 1;
                    return;
                }
            }
        }
        if !self.has_room_for(&request.message) {
            self.counters.refused_table_full += 1;
            let most = self.settings.max;
            self.tell(now, out, Level::Warn, "table-full", || {
                let from = request.flow.remote;
                format!("{most} transactions are under way: a request from {from} gets 503")
            });
            let seconds = self.settings.retry_after.to_string();
            return self.respond_stateless(
                now,
                out,
                &request,
                503,
                "Too Many Transactions",
                |mut writer| {
                    writer.field(Name::RetryAfter, seconds.as_bytes());
                    writer.end();
                },
            );
        }
        user.request(self, now, out, request);
    }

    fn read_response<U: TransactionUser + ?Sized>(
        &mut self,
        now: Now,
        out: &mut Outbox,
        user: &mut U,
        response: Received<'_>,
    ) {
        self.counters.responses_received += 1;
        let (message, via) = (response.message, response.via);
        // Section 18.1.2: sent-by has to be what we put there.
        let transport = Transport::from_token(via.transport).unwrap_or(response.flow.transport);
        let ours = self.all_stations().any(|station| {
            station.sent_by.eq_ignore_ascii_case(via.sent_by)
                || station.is(host_of(via.sent_by, via.port), via.port, transport)
        });
        if !ours {
            self.counters.dropped_foreign_via += 1;
            let why = || "a response whose topmost Via is not ours".to_owned();
            return self.tell_dropped(now, out, &response.flow, why);
        }
        // A response that is not well formed is dropped (section 18.3, RFC 4475 section 3.1.2.5):
        // passed on it could be read, or cut out of a stream, in another way than here.
        if let Err(fault) = check(&message) {
            self.counters.dropped_unreadable += 1;
            let why = || told("a response", &fault);
            return self.tell_dropped(now, out, &response.flow, why);
        }
        let method = message.method();
        match self.client_of(via.branch().unwrap_or_default(), method.as_bytes()) {
            Ok(Some(id)) => self.client_response(now, out, user, id, response),
            Ok(None) => {
                self.counters.stray_responses += 1;
                let why = || "a response to no request that is under way".to_owned();
                self.tell_dropped(now, out, &response.flow, why);
                user.stray_response(self, now, out, response);
            }
            Err(()) => {
                self.counters.stray_responses += 1;
                let why = || "a response whose branch has nothing to do with its CSeq".to_owned();
                self.tell_dropped(now, out, &response.flow, why);
            }
        }
    }
}

/// A sent-by without its port.
pub(super) fn host_of(host_port: &[u8], port: Option<u16>) -> &[u8] {
    if port.is_none() {
        return host_port;
    }
    let colon = host_port.iter().rposition(|byte| *byte == b':');
    colon.and_then(|colon| host_port.get(..colon)).unwrap_or(host_port).trim_ascii_end()
}
