//! The marks in our Record-Route URIs: passes for the later requests of a dialog, by which a proxy
//! that remembers no dialogs knows what was let through before (RFC 3261 section 16.6 step 4 leaves
//! it free to put what it needs there).
//!
//! The two ends get different ones. The end that answers takes its route set from the request
//! (section 12.1.1) and with it a pass to the Contact of the one who asked. In the response the
//! proxy puts another in the place of its value (section 16.7 step 8): a pass to the Contact of the
//! one who answered, for the one who asked (section 12.1.2). Neither end gets to see the other's,
//! and so nobody can bring a pass to a place that it named itself.

use towel_message::{Draft, Host, Message, Name, NameAddr, SipUri, Span, Uri, uri};

use super::mark::{Marks, low, write_hex};
use crate::hash::Hasher;
use crate::hex::{digits, read_hex};
use crate::io::ConnectionId;
use crate::server::Domains;

const ASKED: u8 = 1;
const FLOW: u8 = 5;
const ANSWERED: u8 = 7;

/// The user part of our Record-Route URIs begins so in a request,
const ASKED_LEAD: [u8; 3] = *b"rr-";
/// and so in a response.
const ANSWERED_LEAD: [u8; 3] = *b"ra-";
/// How many characters there are for the dialog, and as many for the place that the pass leads to.
const DIGITS: usize = 12;
const LENGTH: usize = 3 + 2 * DIGITS;
/// A flow token: a lead, the side, the connection and the proof that we wrote it.
const FLOW_LEAD: u8 = b'-';
const FLOW_DIGITS: usize = 12;
const FLOW_PROOF_DIGITS: usize = 12;

/// Which end of a dialog a connection leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// To the one who opened it.
    Opener,
    /// To the other.
    Other,
}

impl Side {
    fn letter(self) -> u8 {
        match self {
            Side::Opener => b'a',
            Side::Other => b'b',
        }
    }
}

/// A pass that belongs to the dialog of the request that brought it.
#[derive(Clone, Copy, Debug)]
pub struct Pass {
    /// Whether the one who opened the dialog brings what was given to the other end, who must have
    /// told it.
    told: bool,
    /// What the place that it leads to is hashed with.
    hasher: Hasher,
    place: u64,
}

impl Pass {
    /// Whether it was made for this Request-URI and what is left of the Route.
    pub fn leads_to<'a>(&self, uri: &Uri<'_>, routes: impl Iterator<Item = &'a [u8]>) -> bool {
        let mut place = Place::new(self.hasher);
        for route in routes {
            place.by_way_of(route);
        }
        !self.told && place.at(uri) == self.place
    }

    /// Whether the one who opened the dialog brings what was given to the other end.
    pub fn is_told(&self) -> bool {
        self.told
    }
}

/// Where a pass leads: a URI, and the foreign elements on the way there.
struct Place {
    hasher: Hasher,
    way: u64,
}

impl Place {
    fn new(hasher: Hasher) -> Self {
        Self { hasher, way: 0 }
    }

    /// Takes in an element on the way. Their order does not count: one end reads it backwards.
    fn by_way_of(&mut self, route: &[u8]) {
        let mut hasher = self.hasher;
        hasher.bytes(b"r");
        match sip_uri(route) {
            Some(uri) => add_whereabouts(&mut hasher, &uri),
            None => {
                hasher.field(route);
            }
        }
        self.way = self.way.wrapping_add(hasher.finish());
    }

    fn at(&self, uri: &Uri<'_>) -> u64 {
        let mut hasher = self.hasher;
        hasher.bytes(b"u");
        match uri {
            Uri::Sip(uri) => add_whereabouts(&mut hasher, uri),
            other => {
                hasher.field(other.bytes());
            }
        }
        low(hasher.finish().wrapping_add(self.way), DIGITS)
    }
}

/// Takes in what decides where a request with this URI goes and who is meant there.
fn add_whereabouts(hasher: &mut Hasher, uri: &SipUri<'_>) {
    let user = uri.user.unwrap_or_default();
    if user.contains(&b'%') {
        // Escaped or not, it is the same user (section 19.1.4).
        let mut plain = Vec::with_capacity(user.len());
        uri::unescape(user, &mut plain);
        hasher.field(&plain);
    } else {
        hasher.field(user);
    }
    add_host(hasher, &uri.host);
    let port = uri.port.unwrap_or(if uri.secure { 5061 } else { 5060 });
    hasher.bytes(&port.to_le_bytes());
    if let Some(host) = uri.param("maddr") {
        hasher.folded(host.unwrap_or_default());
    }
}

fn add_host(hasher: &mut Hasher, host: &Host<'_>) {
    match host {
        Host::Name(name) => hasher.folded(name),
        Host::V4(address) => hasher.field(&address.octets()),
        Host::V6(address) => hasher.field(&address.octets()),
    };
}

/// Whether two URIs mean the same place, whoever is meant there.
pub(crate) fn same_place(a: &SipUri<'_>, b: &SipUri<'_>) -> bool {
    let port = |uri: &SipUri<'_>| uri.port.unwrap_or(if uri.secure { 5061 } else { 5060 });
    let host = match (&a.host, &b.host) {
        (Host::Name(a), Host::Name(b)) => a.eq_ignore_ascii_case(b),
        (a, b) => a == b,
    };
    host && port(a) == port(b) && a.param("maddr").is_none() && b.param("maddr").is_none()
}

/// Whether two URIs mean the same user at the same place.
pub(crate) fn same_user(a: &SipUri<'_>, b: &SipUri<'_>) -> bool {
    let (a, b) = (a.user.unwrap_or_default(), b.user.unwrap_or_default());
    uri::unescaped_eq(a, b, |_| false, false)
}

/// The URI of a value in angle brackets or without.
fn sip_uri(value: &[u8]) -> Option<SipUri<'_>> {
    let address = NameAddr::parse(value).ok()?;
    match Uri::parse(address.uri) {
        Ok(Uri::Sip(uri)) => Some(uri),
        _ => None,
    }
}

/// The user part of a Record-Route value if it has the form of ours, and where it begins.
fn user_of(value: &[u8]) -> Option<(usize, &[u8])> {
    let plain = [&b"<sip:"[..], b"<sips:"].into_iter().find(|lead| value.starts_with(lead));
    let (at, user) = match plain {
        Some(lead) => (lead.len(), value.get(lead.len()..)?.split(|byte| *byte == b'@').next()?),
        None => {
            let user = sip_uri(value)?.user?;
            (value.windows(user.len().max(1)).position(|part| part == user)?, user)
        }
    };
    parts(user).map(|_| (at, user))
}

/// The lead, the two numbers and the flow tokens of a user part.
fn parts(user: &[u8]) -> Option<([u8; 3], u64, u64, &[u8])> {
    let (lead, rest) = user.split_first_chunk::<3>()?;
    if *lead != ASKED_LEAD && *lead != ANSWERED_LEAD {
        return None;
    }
    let (dialog, rest) = rest.split_at_checked(DIGITS)?;
    let (place, tokens) = rest.split_at_checked(DIGITS)?;
    if tokens.first().is_some_and(|lead| *lead != FLOW_LEAD) {
        return None;
    }
    Some((*lead, read_hex(dialog, DIGITS)?, read_hex(place, DIGITS)?, tokens))
}

impl Marks {
    /// What stands for a dialog in the passes of the end that answers, until more is hashed.
    fn asked(&self, message: &Message<'_>, opener: &[u8]) -> Hasher {
        let mut hasher = self.hasher(ASKED);
        hasher.field(message.call_id().unwrap_or_default()).field(opener);
        hasher
    }

    /// The same in the passes of the end that asked.
    fn answered(&self, message: &Message<'_>, opener: &[u8], other: &[u8]) -> Hasher {
        let mut hasher = self.hasher(ANSWERED);
        hasher.field(message.call_id().unwrap_or_default()).field(opener).field(other);
        hasher
    }

    /// Writes the user part of the Record-Route URIs that a request gets: bound to the dialog by its
    /// Call-ID and the tag of the one who opens it, and to where that one wants to be reached.
    pub fn write_route(&self, request: &Message<'_>, domains: &Domains, out: &mut Vec<u8>) {
        let hasher = self.asked(request, request.from_tag().unwrap_or_default());
        let mut place = Place::new(hasher);
        for value in request.values(Name::RecordRoute) {
            if !is_own(value.bytes, domains) {
                place.by_way_of(value.bytes);
            }
        }
        out.extend_from_slice(&text(ASKED_LEAD, hasher, contact(request, &place)));
    }

    /// Puts into our Record-Route values of a response the passes of the one who asked, which lead to
    /// the one who answers. A response that makes no dialog takes it nowhere.
    pub(crate) fn answer_route<'m>(
        &self,
        response: &Message<'m>,
        domains: &Domains,
        draft: &mut Draft<'m>,
    ) {
        let opener = response.from_tag().unwrap_or_default();
        if response.status() >= 300 {
            self.hide_passes(response, opener, draft);
        }
        if !response.has(Name::RecordRoute) {
            return;
        }
        let dialog = low(self.asked(response, opener).finish(), DIGITS);
        let hasher = self.answered(response, opener, response.to_tag().unwrap_or_default());
        let mut place = Place::new(hasher);
        // From the one who answers back to us: those are on the way there.
        for value in response.values(Name::RecordRoute) {
            let ours = user_of(value.bytes).filter(|(_, user)| {
                parts(user).is_some_and(|(lead, of, ..)| lead == ASKED_LEAD && of == dialog)
            });
            let Some((at, _)) = ours else {
                if !is_own(value.bytes, domains) {
                    place.by_way_of(value.bytes);
                }
                continue;
            };
            let makes = (101..300).contains(&response.status());
            let to = if makes { contact(response, &place) } else { None };
            let at = value.span.start as usize + at;
            draft.replace(Span::new(at, at + LENGTH), &text(ANSWERED_LEAD, hasher, to));
        }
    }

    /// Takes our passes out of a refusal that has the request in its body, as `message/sipfrag` or
    /// however: they are not for the one who asked.
    fn hide_passes<'m>(&self, response: &Message<'m>, opener: &[u8], draft: &mut Draft<'m>) {
        let mut dialog = None;
        for (at, part) in response.body().windows(LENGTH).enumerate() {
            let Some(digits) = part.strip_prefix(&ASKED_LEAD) else { continue };
            let dialog =
                *dialog.get_or_insert_with(|| low(self.asked(response, opener).finish(), DIGITS));
            if digits.get(..DIGITS).and_then(|digits| read_hex(digits, DIGITS)) == Some(dialog) {
                let at = response.body_span().start as usize + at + ASKED_LEAD.len();
                draft.replace(Span::new(at, at + LENGTH - ASKED_LEAD.len()), &[b'0'; 2 * DIGITS]);
            }
        }
    }

    /// Reads the user part of a Record-Route URI of ours: `None` if we did not make it for the dialog
    /// which `request` is of. With it comes the connection by which the end that the request is for
    /// came to us, if it tells that.
    pub fn read_route(
        &self,
        request: &Message<'_>,
        user: &[u8],
    ) -> Option<(Pass, Option<ConnectionId>)> {
        let (lead, dialog, place, tokens) = parts(user)?;
        // Whoever set up one call could begin others with its pass, under whatever name, if a request
        // outside of any dialog could carry it.
        let to = request.to_tag()?;
        let from = request.from_tag().unwrap_or_default();
        let is = |hasher: &Hasher| low(hasher.finish(), DIGITS) == dialog;
        // The one who opened the dialog is From in its own requests and To in the other's.
        let (hasher, side, told) = if lead == ANSWERED_LEAD {
            (Some(self.answered(request, from, to)).filter(is)?, Side::Other, false)
        } else if let Some(hasher) = Some(self.asked(request, to)).filter(is) {
            (hasher, Side::Opener, false)
        } else {
            (Some(self.asked(request, from)).filter(is)?, Side::Other, true)
        };
        let opener = if side == Side::Opener { to } else { from };
        let connection = self.flow(request, opener, side, tokens);
        Some((Pass { told, hasher, place }, connection))
    }

    /// Whether `user` has the form of the user part of our Record-Route URIs, whatever the dialog
    /// that it was made for. That proves nothing.
    pub fn looks_like_route(user: &[u8]) -> bool {
        parts(user).is_some()
    }

    /// Writes, behind the pass in a Record-Route URI, by which connection an end of the dialog came
    /// to us: a flow token as in RFC 5626 section 5.2. It is found again only by the run of the
    /// program that has the connection, and only in this dialog.
    pub fn write_flow(
        &self,
        message: &Message<'_>,
        side: Side,
        connection: ConnectionId,
        out: &mut Vec<u8>,
    ) {
        if connection.is_ours() || connection.0 >> (4 * FLOW_DIGITS) != 0 {
            return;
        }
        let tag = message.from_tag().unwrap_or_default();
        out.extend_from_slice(&[FLOW_LEAD, side.letter()]);
        write_hex(connection.0, FLOW_DIGITS, out);
        write_hex(self.flow_hash(message, tag, side, connection), FLOW_PROOF_DIGITS, out);
    }

    fn flow(
        &self,
        message: &Message<'_>,
        opener: &[u8],
        side: Side,
        tokens: &[u8],
    ) -> Option<ConnectionId> {
        if tokens.is_empty() {
            return None;
        }
        tokens.split(|byte| *byte == FLOW_LEAD).find_map(|token| {
            let (letter, digits) = token.split_first()?;
            let (id, proof) = digits.split_at_checked(FLOW_DIGITS)?;
            let id = ConnectionId(read_hex(id, FLOW_DIGITS)?);
            let hash = low(self.flow_hash(message, opener, side, id), FLOW_PROOF_DIGITS);
            (*letter == side.letter() && read_hex(proof, FLOW_PROOF_DIGITS) == Some(hash))
                .then_some(id)
        })
    }

    fn flow_hash(&self, message: &Message<'_>, tag: &[u8], side: Side, id: ConnectionId) -> u64 {
        let mut hasher = Hasher::new(self.flows);
        hasher.bytes(&[FLOW, side.letter()]).bytes(&id.0.to_le_bytes());
        hasher.field(message.call_id().unwrap_or_default()).field(tag).finish()
    }
}

/// Whether a Route or Record-Route value leads to us and nowhere else.
pub(super) fn is_own(value: &[u8], domains: &Domains) -> bool {
    sip_uri(value).is_some_and(|uri| domains.owns_uri(&uri) && uri.param("maddr").is_none())
}

/// The place of a message's Contact.
fn contact(message: &Message<'_>, place: &Place) -> Option<u64> {
    let value = message.values(Name::Contact).next()?;
    let address = message.address_of(Name::Contact, &value).ok()?;
    Some(place.at(&message.uri_of(&address).ok()?))
}

/// A pass. Where it leads nowhere there are noughts: a chance of one in 2^48 that a hash is that.
fn text(lead: [u8; 3], hasher: Hasher, place: Option<u64>) -> [u8; LENGTH] {
    let mut text = [b'0'; LENGTH];
    let (front, rest) = text.split_at_mut(lead.len());
    front.copy_from_slice(&lead);
    for (room, value) in rest.chunks_exact_mut(DIGITS).zip([hasher.finish(), place.unwrap_or(0)]) {
        room.copy_from_slice(digits(value).split_at(16 - DIGITS).1);
    }
    text
}
