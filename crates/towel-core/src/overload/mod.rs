//! Overload: which work is refused when there is more of it than one core can do.
//!
//! What collapses a SIP server is not the load but what it does under it: requests grow old in the
//! queue, are answered after their sender has given up and sent them again, and everybody gets a
//! little of nothing (RFC 5390 section 5 tells the ways). So the queue is kept short by refusing
//! early, and what is refused is chosen:
//!
//! - ACK, BYE, CANCEL and PRACK are never refused: each of them ends work that was done, or frees
//!   what is held. Nor are responses, nor what comes again of a request that was let in.
//! - Requests within a dialog and emergency calls are refused last, [`Class::Dialog`].
//! - Anybody can write a To tag: whoever is in a dialog has to prove it
//!   ([`crate::stack::TransactionUser::vouches`]), or what he sends is as all other work.
//! - Requests with credentials are refused before them, [`Class::Known`]: a challenge was spent on
//!   them.
//! - All other work, [`Class::New`], is refused first.
//!
//! The driver tells how long its oldest datagram has waited ([`crate::io::Input::Backlog`]), the
//! [`Controller`] makes of it a pressure, and a request is refused by lot: by a hash of its Call-ID, so
//! that a request that was let in is let in again when it comes back with credentials.

mod controller;
mod glance;
mod neighbours;
#[cfg(test)]
mod tests;

use std::time::Duration;

use towel_message::{Message, Method, Name};

use crate::server::Network;

pub use controller::{Change, Controller, Shed, Verdict};
pub use glance::glance;
pub use neighbours::{Algorithm, Neighbour, Neighbours, Told};

/// What can be set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Whether anything is refused for overload.
    pub enabled: bool,
    /// How long a message may wait to be read, where that lasts.
    pub target: Duration,
    /// For how long the wait of every message must have been beyond the target before any is
    /// refused. Datagrams are thrown away unread where that was not enough for half as long again.
    pub lasting: Duration,
    /// How many messages a second are a load: with fewer nothing is refused however long they wait,
    /// unless they fill a quarter of the socket's buffer.
    pub load: u32,
    /// What Retry-After says, in seconds: on the average, each request is told another time within
    /// half and one and a half of it, so that they do not come back together. Nought: none is sent.
    pub retry_after: u32,
    /// How many requests a second, out of dialog, may be preferred for calling themselves urgent.
    /// Beyond it they are as all others: anybody can write `Priority: emergency`.
    pub urgent: u32,
    /// The namespaces of Resource-Priority whose requests are urgent (RFC 4412 section 12, RFC 7135).
    pub namespaces: Vec<String>,
    /// Servers with which overload is spoken of, in both directions: they are told how much we can take
    /// where they ask for it, and what they tell us is heeded (RFC 7339, RFC 7415).
    pub neighbours: Vec<Network>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            enabled: true,
            target: Duration::from_millis(50),
            lasting: Duration::from_millis(500),
            load: 2000,
            retry_after: 10,
            urgent: 200,
            namespaces: ["esnet", "wps", "ets"].map(Into::into).to_vec(),
            neighbours: Vec::new(),
        }
    }
}

/// How soon a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// First: it asks for new work.
    New,
    /// After all those: it has been answered once already.
    Known,
    /// Last: it belongs to work that was done, or is urgent.
    Dialog,
    /// Never.
    Always,
}

impl Settings {
    /// The class of a request; whether it has it for calling itself urgent is told beside it.
    pub fn class(&self, request: &Message<'_>) -> (Class, bool) {
        match request.method() {
            Method::Ack | Method::Cancel => return (Class::Always, false),
            // Out of a dialog there is nothing to end.
            Method::Bye | Method::Prack if request.to_tag().is_some() => {
                return (Class::Always, false);
            }
            _ => {}
        }
        if request.to_tag().is_some() {
            return (Class::Dialog, false);
        }
        if self.is_urgent(request) {
            return (Class::Dialog, true);
        }
        (Settings::plain(request), false)
    }

    /// The class of a request, whatever it says of a dialog or of being urgent.
    pub fn plain(request: &Message<'_>) -> Class {
        match request.has(Name::Authorization) || request.has(Name::ProxyAuthorization) {
            true => Class::Known,
            false => Class::New,
        }
    }

    /// Whether a request says that it is urgent: by the service that it asks for (RFC 5031), by
    /// Resource-Priority (RFC 4412) or by Priority (RFC 3261 section 20.26).
    fn is_urgent(&self, request: &Message<'_>) -> bool {
        const SOS: &[u8] = b"urn:service:sos";
        let uri = request.request_uri();
        let sos = uri.get(..SOS.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(SOS))
            && matches!(uri.get(SOS.len()), None | Some(b'.'));
        sos || (request.has(Name::Priority)
            && request
                .value(Name::Priority)
                .is_some_and(|value| value.eq_ignore_ascii_case(b"emergency")))
            || (request.has(Name::ResourcePriority)
                && request.values(Name::ResourcePriority).any(|one| self.is_prior(one.bytes)))
    }

    /// Whether a value of Resource-Priority is in one of the namespaces (RFC 4412 section 3.1).
    fn is_prior(&self, value: &[u8]) -> bool {
        let namespace = value.split(|byte| *byte == b'.').next().unwrap_or_default();
        self.namespaces.iter().any(|known| namespace.eq_ignore_ascii_case(known.as_bytes()))
    }
}
