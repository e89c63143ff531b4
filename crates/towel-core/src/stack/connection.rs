//! Connections as the stack uses them: opened, found again, idle, gone (RFC 3261 section 18).

use std::net::SocketAddr;
use std::sync::Arc;

use towel_message::Via;

use super::{ClientId, Due, Pending, Stack, TransactionUser};
use crate::io::{
    CloseReason, ConnectionId, Flow, Level, ListenerId, Now, Outbox, Output, Transport,
};
use crate::locating;
use crate::transport::connections::Connection;

impl Stack {
    /// The listener that stands for us on the way to an address.
    pub(super) fn station_for(
        &self,
        transport: Transport,
        addr: Option<SocketAddr>,
    ) -> Option<ListenerId> {
        let same_family =
            |local: SocketAddr| addr.is_none_or(|addr| addr.is_ipv4() == local.is_ipv4());
        let rank = |station: &&crate::transport::via::Station| {
            let local = station.listener.local;
            let same_scope = addr.is_none_or(|addr| {
                local.ip().is_unspecified() || addr.ip().is_loopback() == local.ip().is_loopback()
            });
            (station.listener.transport != transport, !same_scope)
        };
        let fits = |station: &&crate::transport::via::Station| same_family(station.listener.local);
        let best = self.stations.iter().filter(fits).min_by_key(rank)?;
        // Datagrams leave from a socket of ours; a connection needs none, any name of ours will do.
        (best.listener.transport == transport || transport.reliable()).then_some(best.listener.id)
    }

    /// Whether we could be answered at a transport of this address's family.
    pub(super) fn speaks(&self, transport: Transport, addr: SocketAddr) -> bool {
        self.stations.iter().any(|station| {
            station.listener.transport == transport
                && station.listener.local.is_ipv4() == addr.is_ipv4()
        })
    }

    /// A flow to an address: a connection that is there, or one that is asked for.
    pub(super) fn flow_to(
        &mut self,
        now: Now,
        out: &mut Outbox,
        transport: Transport,
        addr: SocketAddr,
        name: Option<&str>,
    ) -> Option<Flow> {
        if transport.reliable()
            && let Some(id) = self.connections.find(transport, addr, name)
        {
            return self.connections.get(id).map(|connection| connection.flow);
        }
        if let Some(flow) = self.lent_to(transport, addr, name) {
            return Some(flow);
        }
        let listener = self.station_for(transport, Some(addr))?;
        let local = self.station(listener)?.listener.local;
        let mut flow = Flow { transport, listener, local, remote: addr, connection: None };
        match transport {
            Transport::Udp => return Some(flow),
            // Nobody can be reached by WebSocket who has not come to us (RFC 7118 section 3).
            Transport::Ws | Transport::Wss => return None,
            Transport::Tcp | Transport::Tls | Transport::Sctp => {}
        }
        if self.connections.len() >= self.transport.max_connections {
            self.counters.refused_connections += 1;
            self.tell_refused_connection(now, out, addr);
            return None;
        }
        let id = self.connections.next_id();
        flow.connection = Some(id);
        let mut connection = Connection::new(flow, false, now.at);
        connection.peer.server_name = name.map(Arc::from);
        self.connections.insert(id, connection);
        out.outputs.push(Output::Open {
            connection: id,
            transport,
            listener: Some(listener),
            remote: addr,
            server_name: name.map(str::to_owned),
        });
        Some(flow)
    }

    fn tell_refused_connection(&mut self, now: Now, out: &mut Outbox, peer: SocketAddr) {
        let most = self.transport.max_connections;
        self.tell(now, out, Level::Warn, "connection-refused", || {
            format!("there are {most} connections: none with {peer}")
        });
    }

    /// Where a response goes whose topmost Via is all that is known (section 18.2.2).
    pub(super) fn flow_of_via(&self, via: &Via<'_>) -> Option<Flow> {
        let transport = Transport::from_token(via.transport)?;
        let port = via.port.unwrap_or(transport.default_port());
        let maddr = via.maddr().and_then(|host| host.ip()).filter(|_| !transport.reliable());
        let ip = maddr.or(via.received()).or(via.host.ip())?;
        let ports = [via.rport().flatten().filter(|_| maddr.is_none()), Some(port)];
        if transport.reliable() {
            let found = ports
                .into_iter()
                .flatten()
                .find_map(|port| self.connections.find(transport, SocketAddr::new(ip, port), None));
            if let Some(connection) = found.and_then(|id| self.connections.get(id)) {
                return Some(connection.flow);
            }
            let lent = ports
                .into_iter()
                .flatten()
                .find_map(|port| self.lent_to(transport, SocketAddr::new(ip, port), None));
            if lent.is_some() {
                return lent;
            }
        }
        let remote = SocketAddr::new(ip, ports.into_iter().flatten().next()?);
        let listener = self.station_for(transport, Some(remote))?;
        let local = self.station(listener)?.listener.local;
        // A connection that is not there is made by whoever sends.
        let connection = transport.reliable().then_some(ConnectionId(u64::MAX));
        Some(Flow { transport, listener, local, remote, connection })
    }

    /// How the peer of a connection that is open is reached by it.
    pub fn flow_of(&self, id: ConnectionId) -> Option<Flow> {
        let usable = |connection: &&Connection| connection.opened && !connection.broken;
        match self.connections.get(id) {
            Some(connection) => Some(connection).filter(usable).map(|found| found.flow),
            None => self.flow_elsewhere(id),
        }
    }

    /// Whether what is sent on a flow has a way to go.
    pub(super) fn is_usable(&self, flow: &Flow) -> bool {
        match flow.connection {
            // A number that a binding has of a time before this run leads to somebody else.
            Some(id) => match self.connections.get(id) {
                Some(connection) => connection.flow.remote == flow.remote,
                None => self.is_lent(id, flow.remote),
            },
            None => !flow.transport.reliable() && self.station(flow.listener).is_some(),
        }
    }

    /// A connection was used.
    pub(super) fn touch(&mut self, now: Now, flow: &Flow) {
        if let Some(connection) = flow.connection.and_then(|id| self.connections.get_mut(id)) {
            connection.used = now.at;
        }
    }

    pub(super) fn opened(
        &mut self,
        now: Now,
        out: &mut Outbox,
        id: ConnectionId,
        flow: Flow,
        identities: Vec<String>,
    ) {
        let identities = (!identities.is_empty()).then(|| Arc::from(identities));
        if let Some(connection) = self.connections.get_mut(id) {
            connection.opened = true;
            connection.peer.identities = identities;
            connection.used = now.at;
            connection.flow.local = flow.local;
            self.answering.remove(&id);
        } else if id.is_ours() {
            // We have given it up meanwhile.
            return out.outputs.push(Output::Close { connection: id });
        } else {
            self.make_room(now, out);
            if self.connections.len() >= self.transport.max_connections {
                self.counters.refused_connections += 1;
                self.tell_refused_connection(now, out, flow.remote);
                return out.outputs.push(Output::Close { connection: id });
            }
            if self.abuse.has_bans() && self.abuse.is_banned(now.at, &flow) {
                self.counters.dropped_banned += 1;
                return out.outputs.push(Output::Close { connection: id });
            }
            // One that was being agreed on when its listener went.
            if !self.arrived_by(flow.listener) {
                return out.outputs.push(Output::Close { connection: id });
            }
            let flow = Flow { connection: Some(id), ..flow };
            let mut connection = Connection::new(flow, true, now.at);
            connection.proven =
                identities.is_some() || self.abuse.is_exempt(flow.remote.ip().to_canonical());
            let stranger = !connection.proven;
            connection.peer.identities = identities;
            self.connections.insert(id, connection);
            if stranger {
                self.connections.is_strangers(id, now.at);
            }
        }
        self.lend(id);
        self.connection_timers += 1;
        self.wheel.set(now.at + self.transport.idle, Due::Idle(id));
    }

    /// Takes the place of a stack that has failed: what it asked for is not taken for ours, and the
    /// connections that its peers had made stay. Those that we had asked for, and those on which a message
    /// was half here, are closed: where the next one begins is not known.
    pub(crate) fn succeed(&mut self, now: Now, out: &mut Outbox, failed: &Stack) {
        self.locator.number_after(&failed.locator);
        self.connections.number_after(&failed.connections);
        for (id, old) in failed.connections.iter() {
            let whole = old.framer.is_none() && old.partial.is_none() && !old.broken;
            if id.is_ours() || !old.opened || !whole {
                out.outputs.push(Output::Close { connection: id });
                continue;
            }
            let identities = old.peer.identities.as_deref().unwrap_or_default().to_vec();
            self.opened(now, out, id, old.flow, identities);
            if old.proven {
                self.connections.prove(id);
            }
        }
    }

    /// Where nearly all the room for connections is taken the one of a stranger that has been idle for the
    /// longest goes, so that there is always some for who comes next, and users are not crowded out.
    fn make_room(&mut self, now: Now, out: &mut Outbox) {
        let most = self.transport.max_connections;
        if self.connections.len() < most - most / 10 {
            return;
        }
        let Some(id) = self.connections.idlest_stranger() else { return };
        self.counters.closed_crowded += 1;
        self.tell(now, out, Level::Warn, "connections-crowded", || {
            format!(
                "there are nearly {most} connections: those of strangers that are idle are closed"
            )
        });
        self.close(out, id);
    }

    /// Whoever is at the other end of a flow has proved to be a user of ours, or was let in as one.
    pub fn proved(&mut self, flow: &Flow) {
        if let Some(id) = flow.connection {
            self.connections.prove(id);
        }
    }

    pub(super) fn closed<U: TransactionUser + ?Sized>(
        &mut self,
        now: Now,
        out: &mut Outbox,
        user: &mut U,
        id: ConnectionId,
        why: CloseReason,
    ) {
        let Some(mut connection) = self.remove_connection(id) else { return };
        self.lend_no_more(out, id, why);
        if why == CloseReason::Slow {
            let remote = connection.flow.remote;
            self.tell(now, out, Level::Warn, "slow-peer", || {
                format!("{remote} does not take what is sent: its connection is closed")
            });
        }
        if !connection.opened && id.is_ours() {
            // Told here too, since what leaves without a transaction waits for nothing.
            let flow = connection.flow;
            let failed = locating::Failure::Transport;
            self.locator.failed(now.at, flow.transport, flow.remote, failed);
            self.answers_failed(now, out, id);
        }
        // A request on a connection that never was, or that broke, has not arrived for all we know.
        // After an orderly end the peer may still answer by a connection of its own (18.2.2), which
        // is not waited for as long as for one who can be asked again.
        for client in connection.take_waiters() {
            if !self.waits_on(client, id) {
                continue;
            }
            if connection.opened && why == CloseReason::Peer {
                self.hasten_client(now, client);
            } else {
                self.client_transport_failed(now, out, user, client);
            }
        }
        if connection.opened {
            user.closed(self, now, out, id);
        }
    }

    /// Whether a request went out on a connection and nothing has come back.
    pub(super) fn waits_on(&self, client: ClientId, id: ConnectionId) -> bool {
        self.clients.get(client).is_some_and(|client| {
            client.machine.is_unanswered()
                && client.flow.and_then(|flow| flow.connection()) == Some(id)
        })
    }

    /// Closes a connection of our own will. What was sent on it goes out before; what still comes
    /// in by it is nobody's.
    pub(super) fn close(&mut self, out: &mut Outbox, id: ConnectionId) {
        let Some(mut connection) = self.remove_connection(id) else { return };
        self.lend_no_more(out, id, CloseReason::Ours);
        self.answering.remove(&id);
        out.outputs.push(Output::Close { connection: id });
        for client in connection.take_waiters() {
            if self.waits_on(client, id) {
                self.pending.push(Pending::ClientTransport(client));
            }
        }
        if connection.opened {
            self.pending.push(Pending::Closed(id));
        }
    }

    /// A request that came by a connection waits for its final response.
    pub(super) fn owes(&mut self, id: Option<ConnectionId>) {
        if let Some(connection) = id.and_then(|id| self.connections.get_mut(id)) {
            connection.owed += 1;
        }
    }

    /// It has it, or there will be none.
    pub(super) fn settled(&mut self, out: &mut Outbox, id: Option<ConnectionId>) {
        let Some(id) = id else { return };
        let Some(connection) = self.connections.get_mut(id) else { return };
        connection.owed = connection.owed.saturating_sub(1);
        if connection.broken && connection.owed == 0 {
            self.close(out, id);
        }
    }

    /// Nothing more can be read from a connection. Its peer still gets the answers to what it asked
    /// before, unless they take longer than a message may take to come in.
    pub(super) fn close_when_settled(&mut self, now: Now, out: &mut Outbox, id: ConnectionId) {
        match self.connections.get_mut(id).filter(|connection| connection.owed > 0) {
            Some(connection) => {
                connection.broken = true;
                connection.partial = Some(now.at);
                self.connection_timers += 1;
                self.wheel.set(now.at + self.transport.partial, Due::Partial(id));
                self.lend_no_more(out, id, CloseReason::Reset);
            }
            None => self.close(out, id),
        }
    }

    pub(super) fn idle_due(&mut self, now: Now, out: &mut Outbox, id: ConnectionId) {
        let Some(connection) = self.connections.get(id) else { return };
        let ends = connection.used + self.transport.idle;
        if ends > now.at {
            self.connection_timers += 1;
            self.wheel.set(ends, Due::Idle(id));
        } else {
            self.counters.closed_idle += 1;
            self.close(out, id);
        }
    }

    pub(super) fn partial_due(&mut self, now: Now, out: &mut Outbox, id: ConnectionId) {
        let Some(since) = self.connections.get(id).and_then(|connection| connection.partial) else {
            return;
        };
        let ends = since + self.transport.partial;
        if ends > now.at {
            // That one came to its end; another has begun since.
            self.connection_timers += 1;
            self.wheel.set(ends, Due::Partial(id));
        } else {
            self.counters.closed_partial += 1;
            if let Some(flow) = self.connections.get(id).map(|connection| connection.flow) {
                let why = || "a message that was begun and not ended in time".to_owned();
                self.tell_dropped(now, out, &flow, why);
            }
            self.close(out, id);
        }
    }

    /// An ICMP error (section 18.4): a transport error for the requests on their way there.
    pub(super) fn unreachable<U: TransactionUser + ?Sized>(
        &mut self,
        now: Now,
        out: &mut Outbox,
        user: &mut U,
        listener: ListenerId,
        remote: SocketAddr,
    ) {
        for id in self.awaiting(listener, remote) {
            self.client_transport_failed(now, out, user, id);
        }
    }
}
