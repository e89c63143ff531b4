//! A back-to-back user agent (RFC 3261 section 6): two user agents that face away from each other,
//! and whatever comes to one of them goes on from the other.
//!
//! Both legs of all calls are calls of one [`UserAgent`], with dialogs, transactions and timers of
//! their own: Call-ID, tags, CSeq, Via, Contact and Route of one leg are never seen on the other. What a
//! person or a phone says to the other (From and To without their tags, bodies byte by byte, header
//! fields that are not about the dialog or the way) goes on as it came.
//!
//! # What goes where
//!
//! * INVITE, its provisional responses and its final one, forked ones in early dialogs of their own;
//!   CANCEL, BYE, and why.
//! * Every request in a dialog: re-INVITE with and without an offer, UPDATE, INFO, MESSAGE, OPTIONS,
//!   REFER with its NOTIFYs, methods that nobody here knows; and their responses, a 491 among them.
//! * MESSAGE, OPTIONS and other requests outside of dialogs that make none.
//!
//! # What does not
//!
//! * Reliable provisional responses (RFC 3262) are acknowledged on each leg. They are asked for behind
//!   where the caller takes them, so that an offer in one always finds its answer.
//! * Session timers (RFC 4028) are agreed on and kept on each leg, so that a peer that has vanished is
//!   found and the other one let go.
//! * A re-INVITE or UPDATE that only refreshes the session for a timer of ours stays on its leg.
//! * SUBSCRIBE and REFER outside of a dialog make dialogs of their own, which are not relayed: 405.
//!   REGISTER is refused as well.
//!
//! # Who may use it
//!
//! Whoever is in [`Settings::peers`] may start something, and all of it goes to the one next hop, so it
//! is no relay for anybody. Session-ID (RFC 7989) is carried across and given to who has none.

mod bridge;
mod calls;
mod fields;
mod inside;
mod leaving;
mod outside;
pub mod session_id;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::time::Duration;

use crate::contract::Registry;
use crate::io::{ConnectionId, Flow, Input, Instant, Machine, Now, Outbox};
use crate::rng::Rng;
use crate::server::Network;
use crate::transaction::Id;
use crate::transaction::slab::Slab;
use crate::ua::user_agent::{
    CallHandle, Content, DialogHandle, Event, IncomingHandle, Profile, RequestHandle, UserAgent,
};

use bridge::{Bridge, Side};
pub(crate) use calls::with;
pub(crate) use fields::{body as body_of, is_description};

/// What can be set.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where everything goes: a sip or sips URI. A Request-URI that names ourselves gets its host and
    /// port; any other stays, and the next hop is its Route.
    pub next_hop: String,
    /// Who may start anything: networks. The next hop may not unless it is in one of them.
    pub peers: Vec<Network>,
    /// Names of ours beside the addresses that we listen on.
    pub names: Vec<String>,
    /// The most calls at a time; more get 503.
    pub max_calls: usize,
    /// How long a call may ring.
    pub ringing: Duration,
    /// Whether what tells of the machines on the other side (User-Agent, Server, Organization,
    /// Warning, Call-Info, Error-Info) is left out.
    pub hide: bool,
    /// Whether ends that have no Session-ID are given one.
    pub session_ids: bool,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            next_hop: String::new(),
            peers: Vec::new(),
            names: Vec::new(),
            max_calls: 10_000,
            ringing: Duration::from_secs(180),
            hide: false,
            session_ids: true,
        }
    }
}

/// What it has done since it was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Calls that came.
    pub calls: u64,
    /// Of these, answered.
    pub answered: u64,
    /// Requests that were refused because whoever sent them may not.
    pub refused: u64,
    /// Calls that were refused because there are as many as there may be.
    pub full: u64,
}

/// A request of ours that stands for one of a peer's.
#[derive(Clone, Debug)]
struct Standing {
    /// The one that it stands for.
    request: IncomingHandle,
    /// Where that came, in a dialog.
    dialog: Option<DialogHandle>,
    /// It stands for a PRACK with an offer: an UPDATE in its place.
    prack: bool,
    /// The session description in it.
    brought: Option<Content>,
    /// Who sent it (RFC 7989).
    uuid: Option<session_id::Uuid>,
}

impl Standing {
    /// For a request that is in no dialog and brings no offer.
    fn of(request: IncomingHandle) -> Standing {
        Standing { request, dialog: None, prack: false, brought: None, uuid: None }
    }
}

/// The machine.
#[derive(Debug)]
pub struct B2bua {
    agent: UserAgent,
    settings: Settings,
    /// `host:port` of each listener, and our names.
    own: Vec<Vec<u8>>,
    rng: Rng,
    bridges: Slab<Bridge>,
    calls: HashMap<CallHandle, (Id<Bridge>, Side)>,
    dialogs: HashMap<DialogHandle, (Id<Bridge>, Side)>,
    standing: HashMap<RequestHandle, Standing>,
    counters: Counters,
}

impl B2bua {
    /// One with these extensions for its legs. `agent` are the settings of the stack below.
    pub fn new(
        agent: &crate::settings::Settings,
        settings: Settings,
        registry: Registry,
        seed: [u8; 32],
    ) -> B2bua {
        let mut rng = Rng::new(seed);
        let mut below = [0; 32];
        for chunk in below.chunks_exact_mut(8) {
            chunk.copy_from_slice(&rng.next_u64().to_le_bytes());
        }
        let profile = Profile {
            leg: true,
            max_calls: settings.max_calls.saturating_mul(2).saturating_add(16),
            max_dialogs: settings.max_calls.saturating_mul(8).saturating_add(64),
            ringing: settings.ringing,
            ..Profile::default()
        };
        B2bua {
            agent: UserAgent::new(agent, profile, registry, below),
            own: settings.names.iter().map(|name| name.to_ascii_lowercase().into()).collect(),
            settings,
            rng,
            bridges: Slab::new(),
            calls: HashMap::new(),
            dialogs: HashMap::new(),
            standing: HashMap::new(),
            counters: Counters::default(),
        }
    }

    /// What it has done.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// How many calls there are.
    pub fn len(&self) -> usize {
        self.bridges.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.bridges.len() == 0
    }

    /// The user agent whose calls both legs are.
    pub fn agent(&self) -> &UserAgent {
        &self.agent
    }

    /// Ends every call, with a BYE, CANCEL or refusal to both ends, and takes no more.
    pub fn end_all(&mut self, now: Now, out: &mut Outbox) {
        self.settings.max_calls = 0;
        let calls: Vec<CallHandle> = self
            .bridges
            .ids()
            .filter_map(|id| self.bridges.get(id))
            .flat_map(|bridge| bridge.calls.into_iter().flatten())
            .collect();
        for call in calls {
            let _ = self.agent.hang_up(now, out, call);
        }
        self.settle_events(now, out);
    }

    fn settle_events(&mut self, now: Now, out: &mut Outbox) {
        while let Some(event) = self.agent.next_event() {
            self.happened(now, out, event);
        }
    }

    fn happened(&mut self, now: Now, out: &mut Outbox, event: Event) {
        match event {
            Event::Incoming { call, request, .. } => self.called(now, out, call, &request),
            Event::Progress { call, dialog, reliable, response } => {
                self.progress(now, out, call, dialog, reliable, &response);
            }
            Event::Established { call, dialog, message } => {
                self.established(now, out, call, dialog, &message);
            }
            Event::AnswerWanted { dialog, method, .. } => self.wanted(dialog, &method),
            Event::Reinvite { dialog, request, message } => {
                self.relay(now, out, dialog, request, &message);
            }
            Event::Acknowledged { dialog, message } => {
                self.acknowledged(now, out, dialog, &message);
            }
            Event::ReinviteCancelled { request, .. } => self.cancelled_inside(now, out, request),
            Event::Request { dialog: Some(dialog), request, message } => {
                self.relay(now, out, dialog, request, &message);
            }
            Event::Request { dialog: None, request, message } => {
                self.outside(now, out, request, &message);
            }
            Event::Response { dialog, request, came } => {
                self.responded(now, out, dialog, request, &came);
            }
            Event::ForkEnded { dialog, .. } => self.forget_dialog(dialog),
            Event::Parting { call, message } => self.parting(call, &message),
            Event::Ended { call, why, .. } => self.ended(now, out, call, why),
            // Further 2xx are ended below us, notes are for people at phones, and what a leg would do about
            // a REFER or a subscription is relayed as the request that it is.
            _ => {}
        }
    }

    /// We are reached there from now on.
    fn listening(&mut self, listener: &crate::io::Listener) {
        let (host, port) = match &listener.advertised {
            Some((host, port)) => (host.clone(), *port),
            None => match listener.local.ip() {
                std::net::IpAddr::V6(ip) => (format!("[{ip}]"), listener.local.port()),
                ip => (ip.to_string(), listener.local.port()),
            },
        };
        let host = host.to_ascii_lowercase();
        self.own.push(format!("{host}:{port}").into());
        // What is not written is the usual port.
        if port == listener.transport.default_port() {
            self.own.push(host.into());
        }
        self.own.sort_unstable();
        self.own.dedup();
    }

    /// Whether somebody at this address may start anything.
    fn may(&mut self, source: Option<std::net::SocketAddr>) -> bool {
        let may = source.is_some_and(|source| {
            self.settings.peers.iter().any(|network| network.holds(source.ip()))
        });
        self.counters.refused += u64::from(!may);
        may
    }
}

impl Machine for B2bua {
    fn handle(&mut self, now: Now, input: Input<'_>, out: &mut Outbox) {
        if let Input::Listening(listener) = &input {
            self.listening(listener);
        }
        self.agent.handle(now, input, out);
        self.settle_events(now, out);
    }

    fn deadline(&self) -> Option<Instant> {
        self.agent.deadline()
    }

    fn is_drained(&self) -> bool {
        self.agent.is_drained()
            && self.bridges.len() == 0
            && self.calls.is_empty()
            && self.dialogs.is_empty()
            && self.standing.is_empty()
    }

    fn is_quiet(&self) -> bool {
        self.agent.is_quiet()
    }

    fn flow_of(&self, connection: ConnectionId) -> Option<Flow> {
        self.agent.flow_of(connection)
    }
}
