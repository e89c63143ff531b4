//! What was read of a message once, and is asked for again: kept as places, not as values, so that
//! the index borrows nothing. Every element looks many times at the same few header fields.

use core::cell::Cell;
use std::net::{Ipv4Addr, Ipv6Addr};

use crate::name_addr;
use crate::scan::offset;
use crate::stops::Stops;
use crate::{CSeq, Host, Method, NameAddr, Params, SipUri, Span, Uri, Via, uri};

/// Where the parts of something stand that was read from the bytes of a message.
pub(crate) trait Places<'a>: Sized {
    /// The places.
    type At: Copy;
    /// Notes the places in `bytes`; none where they cannot be told by places alone.
    fn places(&self, bytes: &'a [u8]) -> Option<Self::At>;
    /// What stands at these places.
    fn at(at: &Self::At, bytes: &'a [u8]) -> Self;
}

/// What is kept.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kept {
    pub(crate) via: Cell<Option<ViaAt>>,
    pub(crate) from: Cell<Option<NameAddrAt>>,
    pub(crate) to: Cell<Option<NameAddrAt>>,
    pub(crate) uri: Cell<Option<SipUriAt>>,
    /// The first of each that was found to be well formed, with its URI.
    pub(crate) contact: Cell<Option<(NameAddrAt, SipUriAt)>>,
    pub(crate) route: Cell<Option<(NameAddrAt, SipUriAt)>>,
    pub(crate) from_uri: Cell<Option<SipUriAt>>,
    pub(crate) to_uri: Cell<Option<SipUriAt>>,
    pub(crate) cseq: Cell<Option<CSeqAt>>,
    /// Bit n: the header field n is known to have no comma.
    pub(crate) lone: Cell<u64>,
}

impl Kept {
    pub(crate) fn forget(&mut self) {
        self.via.set(None);
        self.from.set(None);
        self.to.set(None);
        self.uri.set(None);
        self.contact.set(None);
        self.route.set(None);
        self.from_uri.set(None);
        self.to_uri.set(None);
        self.cseq.set(None);
        self.lone.set(0);
    }

    /// Notes that the header field at a position has no comma.
    #[inline]
    pub(crate) fn note_lone(&mut self, position: usize) {
        if position < 64 {
            *self.lone.get_mut() |= 1 << position;
        }
    }

    /// Whether the value of the header field at a position has no comma.
    #[inline]
    pub(crate) fn is_lone(&self, position: usize, value: &[u8]) -> bool {
        let bit = if position < 64 { 1u64 << position } else { 0 };
        if self.lone.get() & bit != 0 {
            return true;
        }
        let lone = memchr::memchr(b',', value).is_none();
        if lone {
            self.lone.set(self.lone.get() | bit);
        }
        lone
    }
}

/// Reads what is kept, or reads it anew and keeps it.
#[inline]
pub(crate) fn keep<'a, T: Places<'a>, E>(
    cell: &Cell<Option<T::At>>,
    bytes: &'a [u8],
    read: impl FnOnce() -> Result<T, E>,
) -> Result<T, E> {
    if let Some(at) = cell.get() {
        return Ok(T::at(&at, bytes));
    }
    let value = read()?;
    cell.set(value.places(bytes));
    Ok(value)
}

/// Where a part of the message stands. A message is shorter than 4 GiB, or has no index.
#[inline]
fn span(bytes: &[u8], part: &[u8]) -> Span {
    Span { start: offset(bytes, part) as u32, len: part.len() as u32 }
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum HostAt {
    Name(Span),
    V4(Ipv4Addr),
    V6(Ipv6Addr),
}

impl HostAt {
    fn new(bytes: &[u8], host: &Host<'_>) -> Self {
        match *host {
            Host::Name(name) => Self::Name(span(bytes, name)),
            Host::V4(ip) => Self::V4(ip),
            Host::V6(ip) => Self::V6(ip),
        }
    }

    fn of<'a>(&self, bytes: &'a [u8]) -> Host<'a> {
        match *self {
            Self::Name(name) => Host::Name(name.of(bytes)),
            Self::V4(ip) => Host::V4(ip),
            Self::V6(ip) => Host::V6(ip),
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct NameAddrAt {
    display: Option<Span>,
    uri: Span,
    params: Span,
    tag: Option<Span>,
    span: Span,
    bracketed: bool,
    sound: bool,
    read: bool,
}

impl NameAddrAt {
    /// The places of an address of the usual form that stands at `place`, and those of its URI where
    /// that has the usual form as well; with them, how many parameters the URI has.
    #[inline]
    pub(crate) fn read(value: &[u8], place: Span) -> Option<(Self, Option<(SipUriAt, usize)>)> {
        let plain = name_addr::Plain::read(value)?;
        let within = |start: usize, end: usize| Span {
            start: place.start + start as u32,
            len: (end - start) as u32,
        };
        let (start, end) = plain.uri;
        let at = Self {
            display: (plain.name > 0).then(|| within(0, plain.name)),
            uri: within(start, end),
            params: within(plain.params.0, plain.params.1),
            tag: plain.tag.map(|tag| {
                let at = offset(value, tag);
                within(at, at + tag.len())
            }),
            span: place,
            bracketed: true,
            sound: plain.sound,
            read: plain.sip.is_some(),
        };
        let uri = plain.sip.map(|sip| (SipUriAt::new(&sip, start, place.start), sip.count));
        Some((at, uri))
    }

    /// Whether nothing is wrong with it but perhaps its URI.
    pub(crate) fn is_sound(&self) -> bool {
        self.sound && self.bracketed
    }

    /// Where the value stands.
    pub(crate) fn span(&self) -> Span {
        self.span
    }

    pub(crate) fn tag<'a>(&self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        self.tag.map(|tag| tag.of(bytes))
    }
}

impl<'a> Places<'a> for NameAddr<'a> {
    type At = NameAddrAt;

    fn places(&self, bytes: &'a [u8]) -> Option<NameAddrAt> {
        Some(NameAddrAt {
            display: self.display.map(|name| span(bytes, name)),
            uri: span(bytes, self.uri),
            params: span(bytes, self.params.bytes()),
            tag: self.tag.map(|tag| span(bytes, tag)),
            span: self.span,
            bracketed: self.bracketed,
            sound: self.sound,
            read: self.read,
        })
    }

    fn at(at: &NameAddrAt, bytes: &'a [u8]) -> Self {
        NameAddr {
            display: at.display.map(|name| name.of(bytes)),
            uri: at.uri.of(bytes),
            bracketed: at.bracketed,
            params: Params::new(at.params.of(bytes)),
            bytes: at.span.of(bytes),
            span: at.span,
            tag: at.tag.map(|tag| tag.of(bytes)),
            sound: at.sound,
            read: at.read,
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct SipUriAt {
    secure: bool,
    user: Option<Span>,
    host: HostAt,
    port: Option<u16>,
    host_port: Span,
    params: Span,
    all: Span,
}

impl SipUriAt {
    /// The places of a sip URI that starts at `start` of what it was read from, which stands at `place`.
    #[inline]
    fn new(plain: &uri::Plain<'_>, start: usize, place: u32) -> Self {
        let within =
            |from: usize, to: usize| Span { start: place + from as u32, len: (to - from) as u32 };
        let (user, from) = (start + SIP.len(), plain.host_start);
        Self {
            secure: false,
            user: plain.user.map(|end| within(user, end)),
            host: match plain.host {
                Host::Name(name) => HostAt::Name(within(from, from + name.len())),
                Host::V4(ip) => HostAt::V4(ip),
                Host::V6(ip) => HostAt::V6(ip),
            },
            port: plain.port,
            host_port: within(from, plain.params),
            params: within(plain.params, plain.end),
            all: within(start, plain.end),
        }
    }

    /// The places of a sip URI of the usual form.
    #[inline]
    pub(crate) fn read(uri: &[u8], place: Span) -> Option<Self> {
        let scheme = uri.first_chunk::<4>()?;
        if !scheme.eq_ignore_ascii_case(SIP) {
            return None;
        }
        let plain = uri::Plain::read(&mut Stops::new(uri), SIP.len())?;
        (plain.end == uri.len()).then(|| Self::new(&plain, 0, place.start))
    }

    /// Whether it has parameters.
    pub(crate) fn has_params(&self) -> bool {
        !self.params.is_empty()
    }
}

/// What a URI of the usual form starts with.
const SIP: &[u8; 4] = b"sip:";

impl<'a> Places<'a> for Uri<'a> {
    type At = SipUriAt;

    fn places(&self, bytes: &'a [u8]) -> Option<SipUriAt> {
        let Uri::Sip(uri) = self else { return None };
        (uri.password.is_none() && uri.headers.is_empty()).then(|| SipUriAt {
            secure: uri.secure,
            user: uri.user.map(|user| span(bytes, user)),
            host: HostAt::new(bytes, &uri.host),
            port: uri.port,
            host_port: span(bytes, uri.host_port),
            params: span(bytes, uri.params.bytes()),
            all: span(bytes, uri.bytes),
        })
    }

    fn at(at: &SipUriAt, bytes: &'a [u8]) -> Self {
        Uri::Sip(SipUri::from_parts(
            at.secure,
            at.user.map(|user| user.of(bytes)),
            (at.host.of(bytes), at.port, at.host_port.of(bytes)),
            at.params.of(bytes),
            at.all.of(bytes),
        ))
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct CSeqAt {
    number: u32,
    /// None where it has to be read where it stands.
    known: Option<Method<'static>>,
    method: Span,
}

impl<'a> Places<'a> for CSeq<'a> {
    type At = CSeqAt;

    fn places(&self, bytes: &'a [u8]) -> Option<CSeqAt> {
        // A method that is known is no part of the message.
        let method = self.written;
        Some(CSeqAt {
            number: self.number,
            known: self.method.known(),
            method: span(bytes, method),
        })
    }

    fn at(at: &CSeqAt, bytes: &'a [u8]) -> Self {
        let written = at.method.of(bytes);
        let method = at.known.unwrap_or(Method::Other(written));
        CSeq { number: at.number, method, written }
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct ViaAt {
    transport: Span,
    host: HostAt,
    port: Option<u16>,
    sent_by: Span,
    params: Span,
    span: Span,
    known: crate::via::KnownAt,
}

impl ViaAt {
    /// Whether nothing can be wrong with its parameters.
    pub(crate) fn is_plain(&self, bytes: &[u8]) -> bool {
        self.known.is_plain(bytes)
    }

    /// The same value after it was stamped.
    pub(crate) fn stamped(self, stamp: &crate::via::Stamp) -> Self {
        let Span { start, .. } = self.span;
        let len = start.saturating_add(stamp.len as u32).saturating_sub(self.params.start);
        let params = Span { len, ..self.params };
        Self {
            params,
            span: Span { start, len: stamp.len as u32 },
            known: crate::via::Known::stamped(&self.known, self.span, stamp),
            ..self
        }
    }
}

impl<'a> Places<'a> for Via<'a> {
    type At = ViaAt;

    fn places(&self, bytes: &'a [u8]) -> Option<ViaAt> {
        Some(ViaAt {
            transport: span(bytes, self.transport),
            host: HostAt::new(bytes, &self.host),
            port: self.port,
            sent_by: span(bytes, self.sent_by),
            params: span(bytes, self.params.bytes()),
            span: self.span,
            known: self.known.places(|part| span(bytes, part)),
        })
    }

    fn at(at: &ViaAt, bytes: &'a [u8]) -> Self {
        Via {
            transport: at.transport.of(bytes),
            host: at.host.of(bytes),
            port: at.port,
            sent_by: at.sent_by.of(bytes),
            params: Params::new(at.params.of(bytes)),
            bytes: at.span.of(bytes),
            span: at.span,
            known: crate::via::Known::at(&at.known, bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What never fits together makes no place beyond the message, and nothing overflows.
    #[test]
    fn a_stamp_that_does_not_fit_leaves_an_empty_place() {
        let bytes = b"SIP/2.0/UDP h;received=192.0.2.1;rport";
        let via = Via::parse(bytes).unwrap();
        let at = via.places(bytes).unwrap();
        let stamp = crate::via::Stamp { port: None, received: true, len: 2 };
        let stamped = at.stamped(&stamp);
        assert_eq!(stamped.params.len, 0);
        assert!(Via::at(&stamped, bytes).received().is_none());
    }
}
