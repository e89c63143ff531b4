//! One dialog.

use towel_message::{Message, Name, NameAddr, Uri};

use super::machines::dialog::{Event, State, step};
use crate::contract::Slots;

/// Why a message makes no dialog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoDialog {
    /// A header field that a dialog is made of is missing or cannot be read.
    Field(Name),
    /// The message has no tag where one is needed.
    Tag,
}

impl std::fmt::Display for NoDialog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            NoDialog::Field(name) => write!(f, "{} is missing or malformed", name.as_str()),
            NoDialog::Tag => f.write_str("there is no tag"),
        }
    }
}

/// What the CSeq of a request says (RFC 3261 section 12.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// It follows what came before.
    Next,
    /// Its number is not above that of an earlier request: a 500.
    Late,
}

/// A subscription in a dialog (RFC 6665): a usage of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// The event package.
    pub package: Box<str>,
    /// The id parameter of Event; empty without one.
    pub id: Box<str>,
}

/// How a request in a dialog is addressed (RFC 3261 section 12.2.1.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    /// The Request-URI.
    pub uri: Vec<u8>,
    /// The values of Route, with commas between them; empty: no Route.
    pub route: Vec<u8>,
    /// The URI of the next hop.
    pub next_hop: Vec<u8>,
}

/// A dialog, as one of its ends knows it.
#[derive(Debug)]
pub struct Dialog {
    call_id: Box<[u8]>,
    /// Our address with our tag, as it stands in From of our requests.
    local: Box<[u8]>,
    local_tag: Box<[u8]>,
    /// The peer's address with its tag, as it stands in To of our requests.
    remote: Box<[u8]>,
    remote_tag: Box<[u8]>,
    target: Box<[u8]>,
    routes: Vec<Box<[u8]>>,
    secure: bool,
    initiator: bool,
    local_seq: u32,
    remote_seq: Option<u32>,
    state: State,
    /// Subscriptions that share it.
    pub subscriptions: Vec<Subscription>,
    /// What extensions keep with it.
    pub slots: Slots,
}

/// What stays the same in a dialog.
pub(crate) struct Facts<'a> {
    pub(crate) call_id: &'a [u8],
    pub(crate) local_tag: &'a [u8],
    pub(crate) remote_tag: &'a [u8],
    pub(crate) initiator: bool,
    pub(crate) state: State,
}

/// How many proxies a route set may name: more is a loop or an attack.
const MOST_ROUTES: usize = 64;

impl Dialog {
    /// The dialog that a response with a To tag makes at the UAC (section 12.1.2). `secure` tells that
    /// the request went over TLS to a sips URI, `confirmed` that the response is a 2xx.
    pub fn of_response(
        response: &Message<'_>,
        secure: bool,
        confirmed: bool,
    ) -> Result<Dialog, NoDialog> {
        let field = |name| response.value(name).ok_or(NoDialog::Field(name));
        let remote_tag = response.to_tag().ok_or(NoDialog::Tag)?;
        let local_tag = response.from_tag().ok_or(NoDialog::Tag)?;
        let sequence = response.cseq().map_err(|_| NoDialog::Field(Name::CSeq))?.number;
        Ok(Dialog {
            call_id: field(Name::CallId)?.into(),
            local: field(Name::From)?.into(),
            local_tag: local_tag.into(),
            remote: field(Name::To)?.into(),
            remote_tag: remote_tag.into(),
            target: contact(response)?,
            routes: record_routes(response, true)?,
            secure,
            initiator: true,
            local_seq: sequence,
            remote_seq: None,
            state: if confirmed { State::Confirmed } else { State::Early },
            subscriptions: Vec::new(),
            slots: Slots::new(),
        })
    }

    /// The dialog that a request makes at the UAS when it is answered with this To tag (section
    /// 12.1.1). `secure` tells that the request came over TLS to a sips URI.
    pub fn of_request(
        request: &Message<'_>,
        tag: &[u8],
        secure: bool,
        confirmed: bool,
    ) -> Result<Dialog, NoDialog> {
        let field = |name| request.value(name).ok_or(NoDialog::Field(name));
        let sequence = request.cseq().map_err(|_| NoDialog::Field(Name::CSeq))?.number;
        let to = field(Name::To)?;
        Ok(Dialog {
            call_id: field(Name::CallId)?.into(),
            local: [to, b";tag=", tag].concat().into(),
            local_tag: tag.into(),
            remote: field(Name::From)?.into(),
            // A peer of RFC 2543 has none (section 12.1.1).
            remote_tag: request.from_tag().unwrap_or_default().into(),
            target: contact(request)?,
            routes: record_routes(request, false)?,
            secure,
            initiator: false,
            local_seq: 0,
            remote_seq: Some(sequence),
            state: if confirmed { State::Confirmed } else { State::Early },
            subscriptions: Vec::new(),
            slots: Slots::new(),
        })
    }

    /// The dialog that a NOTIFY makes at the subscriber (RFC 6665 section 4.4.1), whose SUBSCRIBE or
    /// REFER had this CSeq number: the route set is that of the NOTIFY. `secure` tells that the request
    /// went over TLS to a sips URI.
    pub fn of_notify(notify: &Message<'_>, number: u32, secure: bool) -> Result<Dialog, NoDialog> {
        let field = |name| notify.value(name).ok_or(NoDialog::Field(name));
        Ok(Dialog {
            call_id: field(Name::CallId)?.into(),
            local: field(Name::To)?.into(),
            local_tag: notify.to_tag().ok_or(NoDialog::Tag)?.into(),
            remote: field(Name::From)?.into(),
            remote_tag: notify.from_tag().ok_or(NoDialog::Tag)?.into(),
            target: contact(notify)?,
            routes: record_routes(notify, false)?,
            secure,
            initiator: true,
            local_seq: number,
            remote_seq: None,
            state: State::Confirmed,
            subscriptions: Vec::new(),
            slots: Slots::new(),
        })
    }

    /// The Call-ID.
    pub fn call_id(&self) -> &[u8] {
        &self.call_id
    }

    /// Our tag.
    pub fn local_tag(&self) -> &[u8] {
        &self.local_tag
    }

    /// The peer's tag; empty for a peer of RFC 2543.
    pub fn remote_tag(&self) -> &[u8] {
        &self.remote_tag
    }

    /// Our address with our tag.
    pub fn local(&self) -> &[u8] {
        &self.local
    }

    /// The peer's address with its tag.
    pub fn remote(&self) -> &[u8] {
        &self.remote
    }

    /// The remote target: where the peer is reached.
    pub fn target(&self) -> &[u8] {
        &self.target
    }

    /// The route set, the first hop first, each value with its angle brackets.
    pub fn routes(&self) -> impl Iterator<Item = &[u8]> {
        self.routes.iter().map(|route| &route[..])
    }

    /// Whether it was made over TLS for a sips URI.
    pub fn is_secure(&self) -> bool {
        self.secure
    }

    /// Whether we sent the request that made it: the owner of its Call-ID (section 14.1).
    pub fn is_initiator(&self) -> bool {
        self.initiator
    }

    /// Where it stands.
    pub fn state(&self) -> State {
        self.state
    }

    /// What does not change, beside what extensions keep, to change.
    pub(crate) fn facts_and_slots(&mut self) -> (Facts<'_>, &mut Slots) {
        let facts = Facts {
            call_id: &self.call_id,
            local_tag: &self.local_tag,
            remote_tag: &self.remote_tag,
            initiator: self.initiator,
            state: self.state,
        };
        (facts, &mut self.slots)
    }

    /// The number of our last request.
    pub fn local_sequence(&self) -> u32 {
        self.local_seq
    }

    /// The number of the peer's last request.
    pub fn remote_sequence(&self) -> Option<u32> {
        self.remote_seq
    }

    /// The number for our next request (section 12.2.1.1).
    pub fn next_sequence(&mut self) -> u32 {
        // A number has 31 bits (section 8.1.1.5); at one request a second it takes 68 years.
        self.local_seq = (self.local_seq + 1) & 0x7fff_ffff;
        self.local_seq
    }

    /// A request of ours went out with this number: the retry of one that made the dialog.
    pub fn raise_sequence(&mut self, number: u32) {
        self.local_seq = self.local_seq.max(number);
    }

    /// A request of the peer's has come (section 12.2.2). ACK and CANCEL have the number of another
    /// request and are not asked about here.
    pub fn take_request(&mut self, number: u32) -> Order {
        if self.remote_seq.is_some_and(|last| number <= last) {
            return Order::Late;
        }
        self.remote_seq = Some(number);
        Order::Next
    }

    /// A 2xx has come for an early dialog of ours: the route set is that of the 2xx (section
    /// 13.2.2.4), and so is the remote target.
    pub fn confirm(&mut self, response: &Message<'_>) -> Result<(), NoDialog> {
        let Some((state, actions)) = step(self.state, Event::Confirm) else { return Ok(()) };
        if !actions.is_empty() {
            let (target, routes) = (contact(response)?, record_routes(response, true)?);
            (self.target, self.routes) = (target, routes);
        }
        self.state = state;
        Ok(())
    }

    /// We have sent a 2xx: the early dialog is confirmed.
    pub fn confirm_answered(&mut self) {
        if let Some((state, _)) = step(self.state, Event::Confirm) {
            self.state = state;
        }
    }

    /// Its last usage is over.
    pub fn end(&mut self) {
        if let Some((state, _)) = step(self.state, Event::LastUsageOver) {
            self.state = state;
        }
    }

    /// Takes the remote target from a target refresh request that is answered with a 2xx, or from
    /// the 2xx to one of ours (section 12.2, RFC 6141 sections 4.6 and 4.7). Without a Contact it
    /// stays.
    pub fn refresh_target(&mut self, message: &Message<'_>) {
        if let Ok(target) = contact(message) {
            self.target = target;
        }
    }

    /// How the next request is addressed.
    pub fn way(&self) -> Way {
        let first = self.routes.first().and_then(|first| NameAddr::parse(first).ok());
        let Some(first) = first else {
            let uri = self.target.to_vec();
            return Way { next_hop: uri.clone(), uri, route: Vec::new() };
        };
        let loose = Uri::parse(first.uri).is_ok_and(|uri| uri.sip().is_some_and(|sip| sip.lr()));
        if loose {
            let route = self.routes.join(&b", "[..]);
            return Way { uri: self.target.to_vec(), route, next_hop: first.uri.to_vec() };
        }
        // A strict router wants its own URI as the Request-URI, and the target last in Route; what a
        // Request-URI must not have goes (section 19.1.1: the method parameter and the headers).
        let uri = as_request_uri(first.uri);
        let mut route = Vec::new();
        for value in self.routes.iter().skip(1) {
            route.extend_from_slice(value);
            route.extend_from_slice(b", ");
        }
        route.push(b'<');
        route.extend_from_slice(&self.target);
        route.push(b'>');
        Way { next_hop: uri.clone(), uri, route }
    }
}

/// A URI without what a Request-URI must not have (section 19.1.1): the method parameter and the
/// headers.
pub(crate) fn as_request_uri(uri: &[u8]) -> Vec<u8> {
    let Ok(Uri::Sip(sip)) = Uri::parse(uri) else { return uri.to_vec() };
    if sip.headers.is_empty() && sip.method().is_none() {
        return uri.to_vec();
    }
    let tail = sip.params.bytes().len() + sip.headers.bytes().len();
    let mut clean = uri.get(..uri.len().saturating_sub(tail)).unwrap_or_default().to_vec();
    for (name, value) in sip.params.iter() {
        if name.eq_ignore_ascii_case(b"method") {
            continue;
        }
        clean.push(b';');
        clean.extend_from_slice(name);
        if let Some(value) = value {
            clean.push(b'=');
            clean.extend_from_slice(value);
        }
    }
    clean
}

/// The URI of the one Contact that a message which makes or refreshes a dialog has (section 8.1.1.8,
/// 12.1): a sip or sips URI.
fn contact(message: &Message<'_>) -> Result<Box<[u8]>, NoDialog> {
    let wrong = NoDialog::Field(Name::Contact);
    let contact = message.contacts().next().and_then(Result::ok).ok_or(wrong)?;
    match Uri::parse(contact.uri) {
        Ok(Uri::Sip(_)) => Ok(as_request_uri(contact.uri).into()),
        _ => Err(wrong),
    }
}

fn record_routes(message: &Message<'_>, reversed: bool) -> Result<Vec<Box<[u8]>>, NoDialog> {
    let wrong = NoDialog::Field(Name::RecordRoute);
    let mut routes = Vec::new();
    for value in message.record_routes() {
        let value = value.map_err(|_| wrong)?;
        if !value.bracketed || value.parse_uri().is_err() || routes.len() >= MOST_ROUTES {
            return Err(wrong);
        }
        routes.push(value.bytes.trim_ascii().into());
    }
    if reversed {
        routes.reverse();
    }
    Ok(routes)
}
