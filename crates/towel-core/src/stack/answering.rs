//! Responses whose way back is gone (RFC 3261 section 18.2.2): a connection to where the request
//! came from, at the port of sent-by; and if none can be made there, one to whom sent-by names
//! (RFC 3263 section 5).
//!
//! One look-up a response, and few of its targets. What is followed here has left the usual way
//! already, so each keeps a copy of its bytes, and their number is bounded.

use std::net::SocketAddr;

use towel_message::Via;

use super::inbound::host_of;
use super::{Pending, ServerId, Stack};
use crate::io::{ConnectionId, Flow, Now, Outbox, Transport};
use crate::locating::{Destination, LocateFault, Located, Targets};

/// How many responses are followed at one time. Others have the first step alone.
const MOST: usize = 4096;
/// How many targets of sent-by one response is tried at.
const TRIES: usize = 4;

/// A response on its way by a connection that is not open yet, or waiting for DNS.
#[derive(Debug)]
pub(super) struct Answering {
    /// The transaction that it is of; none for one without.
    server: Option<ServerId>,
    response: Vec<u8>,
    then: Then,
}

/// What to do if it does not get there.
#[derive(Debug)]
enum Then {
    Seek(SentBy),
    Try(Targets, usize),
}

/// The sent-by of a Via.
#[derive(Debug)]
struct SentBy {
    transport: Transport,
    host: Vec<u8>,
    port: Option<u16>,
}

impl SentBy {
    fn of(via: &Via<'_>) -> Option<SentBy> {
        let transport = Transport::from_token(via.transport)?;
        Some(SentBy { transport, host: host_of(via.sent_by, via.port).to_vec(), port: via.port })
    }
}

impl Stack {
    /// A response was given to a connection: if that is not open yet, what becomes of it is
    /// followed.
    pub(super) fn follow(
        &mut self,
        flow: &Flow,
        server: Option<ServerId>,
        response: &[u8],
        via: &Via<'_>,
    ) {
        let Some(id) = flow.connection else { return };
        if self.connections.get(id).is_none_or(|c| c.opened) || self.answering_count() >= MOST {
            return;
        }
        let Some(sent_by) = SentBy::of(via) else { return };
        // Where sent-by is the address that is tried already there is nothing to be looked up.
        let port = sent_by.port.unwrap_or(sent_by.transport.default_port());
        if via.host.ip().map(|ip| SocketAddr::new(ip, port)) == Some(flow.remote) {
            return self.follow_on(id, server, response.to_vec(), Then::Try(Targets::default(), 0));
        }
        self.follow_on(id, server, response.to_vec(), Then::Seek(sent_by));
    }

    fn follow_on(
        &mut self,
        id: ConnectionId,
        server: Option<ServerId>,
        response: Vec<u8>,
        then: Then,
    ) {
        self.answering.entry(id).or_default().push(Answering { server, response, then });
    }

    fn answering_count(&self) -> usize {
        self.answering.values().map(Vec::len).sum::<usize>() + self.seeking.len()
    }

    /// A connection that was to be made is none.
    pub(super) fn answers_failed(&mut self, now: Now, out: &mut Outbox, id: ConnectionId) {
        for answering in self.answering.remove(&id).unwrap_or_default() {
            match answering.then {
                Then::Seek(sent_by) => {
                    self.seek(now, out, answering.server, answering.response, &sent_by);
                }
                Then::Try(targets, tries) => {
                    self.answer_next(
                        now,
                        out,
                        answering.server,
                        answering.response,
                        targets,
                        tries,
                    );
                }
            }
        }
    }

    /// Asks where a response may go that only has its Via.
    pub(super) fn seek_via(&mut self, now: Now, out: &mut Outbox, response: &[u8], via: &Via<'_>) {
        match SentBy::of(via).filter(|_| self.answering_count() < MOST) {
            Some(sent_by) => self.seek(now, out, None, response.to_vec(), &sent_by),
            None => self.counters.transport_failures += 1,
        }
    }

    fn seek(
        &mut self,
        now: Now,
        out: &mut Outbox,
        server: Option<ServerId>,
        response: Vec<u8>,
        sent_by: &SentBy,
    ) {
        let to = Destination::response(sent_by.transport, &sent_by.host, sent_by.port);
        match self.locator.locate(now.at, &to, out) {
            Located::Ready(targets) => self.answer_next(now, out, server, response, targets, TRIES),
            Located::Fault(_) => self.answer_lost(server),
            Located::Waiting(lookup) => {
                let then = Then::Try(Targets::default(), TRIES);
                self.seeking.insert(lookup, Answering { server, response, then });
            }
        }
    }

    /// DNS has said where sent-by is, if a response waited for that.
    pub(super) fn sought(
        &mut self,
        now: Now,
        out: &mut Outbox,
        lookup: crate::locating::LookupId,
        result: Result<Targets, LocateFault>,
    ) {
        let Some(Answering { server, response, .. }) = self.seeking.remove(&lookup) else { return };
        match result {
            Ok(targets) => self.answer_next(now, out, server, response, targets, TRIES),
            Err(_) => self.answer_lost(server),
        }
    }

    /// The next target of sent-by, if there is one.
    fn answer_next(
        &mut self,
        now: Now,
        out: &mut Outbox,
        server: Option<ServerId>,
        response: Vec<u8>,
        mut targets: Targets,
        tries: usize,
    ) {
        // The transaction may have come to its end meanwhile: nobody waits for that any more.
        if server.is_some_and(|server| self.servers.get(server).is_none()) {
            return;
        }
        for left in (0..tries).rev() {
            let Some(target) = targets.take_next() else { break };
            let name = target.server_name.as_deref();
            let Some(flow) = self.flow_to(now, out, target.transport, target.addr, name) else {
                continue;
            };
            if let Some(server) = server.and_then(|server| self.servers.get_mut(server)) {
                server.elsewhere = Some(Box::new(flow.into()));
            }
            self.counters.responses_sent += 1;
            out.transmit(flow, &response);
            self.touch(now, &flow);
            if let Some(id) = flow.connection
                && self.connections.get(id).is_some_and(|connection| !connection.opened)
            {
                self.follow_on(id, server, response, Then::Try(targets, left));
            }
            return;
        }
        self.answer_lost(server);
    }

    fn answer_lost(&mut self, server: Option<ServerId>) {
        self.counters.transport_failures += 1;
        if let Some(server) = server {
            self.pending.push(Pending::ServerTransport(server));
        }
    }
}
