//! Route information preprocessing (RFC 3261 section 16.4) and where a request goes next
//! (section 16.6 step 6).

use towel_message::{Message, Name, NameAddr, SipUri, Uri, Value};

use super::mark::Marks;
use super::pass::{Pass, is_own};
use crate::io::{ConnectionId, Flow, Transport};
use crate::server::Domains;

/// What the preprocessing made of a request: edits that are carried out when it is forwarded.
#[derive(Clone, Debug, Default)]
pub struct Prepared {
    /// The Request-URI as it stands now.
    pub uri: Vec<u8>,
    /// How many Route values at the front were ours and are gone.
    pub popped: usize,
    /// Whether the last Route value has become the Request-URI.
    pub last_taken: bool,
    /// The pass in a Record-Route value that we made for this very dialog and that brought the
    /// request here.
    pub pass: Option<Pass>,
    /// Whether the pass leads to where the request is to go.
    pub passes: bool,
    /// Whether it goes to a device that a user of ours is registered with.
    pub registered: bool,
    /// The connection by which the end that it is for came to us, if that Record-Route tells it.
    pub connection: Option<ConnectionId>,
    /// The credentials that were verified and end here, by the position of their header fields.
    pub spent: Vec<usize>,
    /// The address-of-record that the sender proved to be.
    pub user: Option<Vec<u8>>,
}

impl Prepared {
    fn reset(&mut self, uri: &[u8]) {
        self.uri.clear();
        self.uri.extend_from_slice(uri);
        (self.popped, self.last_taken) = (0, false);
        (self.pass, self.passes, self.registered) = (None, false, false);
        self.connection = None;
        self.spent.clear();
        self.user = None;
    }

    /// Whether the Route value at `position` (counted over all lines) is still there.
    pub fn keeps(&self, position: usize, count: usize) -> bool {
        position >= self.popped && !(self.last_taken && position + 1 == count)
    }

    /// The Route values that are left.
    pub fn routes<'a>(&self, message: &Message<'a>) -> impl Iterator<Item = Value<'a>> + use<'a> {
        let count = if self.last_taken { message.values(Name::Route).count() } else { usize::MAX };
        let (popped, last_taken) = (self.popped, self.last_taken);
        message
            .values(Name::Route)
            .enumerate()
            .filter(move |(at, _)| *at >= popped && !(last_taken && at + 1 == count))
            .map(|(_, value)| value)
    }

    /// Whether the Route values that are left lead to somebody else. Who writes them decides where
    /// the request goes, whatever its Request-URI.
    pub fn leads_away(&self, message: &Message<'_>, domains: &Domains) -> bool {
        self.routes(message).any(|value| {
            let address = NameAddr::parse(value.bytes).ok();
            let uri = address.and_then(|address| Uri::parse(address.uri).ok());
            !matches!(uri, Some(Uri::Sip(uri)) if domains.owns_uri(&uri) && uri.maddr().is_none())
        })
    }

    /// Finds out whether the pass, if there is one, leads to where the request is to go.
    fn look_at_pass(&mut self, message: &Message<'_>, domains: &Domains) {
        let Some(pass) = &self.pass else { return };
        let foreign = self.routes(message).filter(|value| !is_own(value.bytes, domains));
        let passes = message
            .read_uri(&self.uri)
            .is_ok_and(|uri| pass.leads_to(&uri, foreign.map(|value| value.bytes)));
        self.passes = passes;
    }
}

/// Reads the route of a request and takes ourselves out of it.
pub fn preprocess(
    message: &Message<'_>,
    source: &Flow,
    domains: &Domains,
    marks: &Marks,
    prepared: &mut Prepared,
) {
    prepared.reset(message.request_uri());
    undo_strict_router(message, domains, marks, prepared);
    strip_maddr(message, source, domains, prepared);
    if !message.has(Name::Route) {
        return;
    }
    // The first value that is ours goes (section 16.4). A second one goes with it if it is the
    // other half of a double Record-Route, whose two values mean one visit (RFC 5658 section 5).
    let count = if prepared.last_taken { message.values(Name::Route).count() } else { usize::MAX };
    for (at, value) in message.values(Name::Route).enumerate().take(2) {
        if prepared.last_taken && at + 1 == count {
            break;
        }
        let Some((owned, found)) = own_route(message, &value, domains, marks) else { break };
        if !owned || (at > 0 && found.is_none()) {
            break;
        }
        prepared.popped += 1;
        let Some((pass, connection)) = found else { break };
        prepared.pass.get_or_insert(pass);
        prepared.connection = prepared.connection.or(connection);
    }
    prepared.look_at_pass(message, domains);
}

/// Whether a request has come by a Record-Route value that we made for its very dialog.
pub(crate) fn is_of_dialog(message: &Message<'_>, domains: &Domains, marks: &Marks) -> bool {
    let by_route = message
        .values(Name::Route)
        .take(2)
        .any(|value| matches!(own_route(message, &value, domains, marks), Some((_, Some(_)))));
    by_route
        || matches!(message.uri(), Ok(Uri::Sip(uri))
            if domains.owns_uri(&uri) && own_pass(message, &uri, marks).is_some())
}

type Found = (Pass, Option<ConnectionId>);

/// Whether a Route value points at us, and what it says if we made it for this dialog.
fn own_route<'a>(
    message: &Message<'a>,
    value: &Value<'a>,
    domains: &Domains,
    marks: &Marks,
) -> Option<(bool, Option<Found>)> {
    let address = message.address_of(Name::Route, value).ok()?;
    let Ok(Uri::Sip(uri)) = message.uri_of(&address) else { return None };
    let owned = domains.owns_uri(&uri);
    Some((owned, if owned { own_pass(message, &uri, marks) } else { None }))
}

fn own_pass(message: &Message<'_>, uri: &SipUri<'_>, marks: &Marks) -> Option<Found> {
    marks.read_route(message, uri.user?)
}

/// A strict router has put a Record-Route value of ours into the Request-URI, and what was there
/// at the end of the Route.
fn undo_strict_router(
    message: &Message<'_>,
    domains: &Domains,
    marks: &Marks,
    prepared: &mut Prepared,
) {
    if !message.has(Name::Route) {
        return;
    }
    let Ok(Uri::Sip(uri)) = message.uri() else { return };
    if !domains.owns_uri(&uri) {
        return;
    }
    let pass = own_pass(message, &uri, marks);
    // Without the mark of this dialog it may still be a value that we placed: in another dialog, or
    // before a change of key. One with lr, and with nobody named in it or what looks like a mark,
    // can be nothing else. It opens no relay.
    if pass.is_none() && (!uri.lr() || uri.user.is_some_and(|user| !Marks::looks_like_route(user)))
    {
        return;
    }
    let Some(last) = message.values(Name::Route).last() else { return };
    let Ok(address) = NameAddr::parse(last.bytes) else { return };
    prepared.uri.clear();
    prepared.uri.extend_from_slice(address.uri);
    prepared.last_taken = true;
    prepared.pass = pass.map(|(pass, _)| pass);
}

/// A maddr that means us, on the port and transport that the request came by, is taken off with
/// the port and transport that only served to get here.
fn strip_maddr(message: &Message<'_>, source: &Flow, domains: &Domains, prepared: &mut Prepared) {
    let Ok(Uri::Sip(uri)) = message.read_uri(&prepared.uri) else { return };
    let Some(maddr) = uri.maddr() else { return };
    if !domains.owns(&maddr, uri.port) {
        return;
    }
    let transport = match uri.transport() {
        Some(token) => Transport::from_token(token),
        None if uri.secure => Some(Transport::Tls),
        None => Some(Transport::Udp),
    };
    let transport = match transport {
        Some(Transport::Tcp) if uri.secure => Some(Transport::Tls),
        other => other,
    };
    let Some(transport) = transport else { return };
    if transport != source.transport
        || uri.port.unwrap_or(transport.default_port()) != source.local.port()
    {
        return;
    }
    let mut stripped = Vec::with_capacity(prepared.uri.len());
    write_without(&prepared.uri, &["maddr", "transport"], true, &mut stripped);
    prepared.uri = stripped;
}

/// Writes a SIP URI without some of its parameters, and without its port if `port` says so.
pub(crate) fn write_without(uri: &[u8], names: &[&str], port: bool, out: &mut Vec<u8>) {
    let (main, headers) = match uri.iter().position(|b| *b == b'?') {
        Some(at) => uri.split_at(at),
        None => (uri, &[][..]),
    };
    // A semicolon may stand in the user part; the parameters begin after the host.
    let host = main.iter().rposition(|b| *b == b'@').map_or(0, |at| at + 1);
    let (user, rest) = main.split_at(host);
    out.extend_from_slice(user);
    for (at, part) in rest.split(|b| *b == b';').enumerate() {
        if at == 0 {
            out.extend_from_slice(if port { without_port(part) } else { part });
            continue;
        }
        let name = part.split(|b| *b == b'=').next().unwrap_or_default();
        if !names.iter().any(|drop| name.eq_ignore_ascii_case(drop.as_bytes())) {
            out.push(b';');
            out.extend_from_slice(part);
        }
    }
    out.extend_from_slice(headers);
}

/// `sip:host:port` or `host:port` without its port.
fn without_port(host: &[u8]) -> &[u8] {
    match host.iter().rposition(|b| *b == b':') {
        Some(at)
            if host
                .get(at + 1..)
                .is_some_and(|p| !p.is_empty() && p.iter().all(u8::is_ascii_digit)) =>
        {
            host.get(..at).unwrap_or(host)
        }
        _ => host,
    }
}

/// Where a copy of a request goes next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hop {
    /// The URI to locate: of the first Route value, or the Request-URI.
    pub uri: Vec<u8>,
    /// Whether the first Route value belongs to a strict router: it becomes the Request-URI, and
    /// that goes to the end of the Route (section 16.6 step 6).
    pub strict: bool,
    /// Whether the Request-URI is a sips URI: the next hop then is reached as if its URI were one
    /// (section 16.6 step 7).
    pub secure: bool,
}

/// Finds the next hop of the copy whose Request-URI is `target` and whose Route begins with
/// `pushed`.
pub fn next_hop(
    message: &Message<'_>,
    prepared: &Prepared,
    target: &[u8],
    pushed: &[Vec<u8>],
    hop: &mut Hop,
) {
    hop.uri.clear();
    hop.strict = false;
    hop.secure = is_sips(target);
    let first = pushed
        .first()
        .map(|route| route.as_slice())
        .or_else(|| prepared.routes(message).next().map(|value| value.bytes));
    let Some(address) = first.and_then(|value| NameAddr::parse(value).ok()) else {
        hop.uri.extend_from_slice(target);
        return;
    };
    hop.strict = matches!(Uri::parse(address.uri), Ok(Uri::Sip(uri)) if !uri.lr());
    hop.uri.extend_from_slice(address.uri);
}

/// Whether a URI is a sips URI.
pub fn is_sips(uri: &[u8]) -> bool {
    uri.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"sips:"))
}
