//! A message as it came: its bytes and their index.

use core::cell::Cell;

use crate::index::Slot;
use crate::kept::{NameAddrAt, Places, SipUriAt, keep};
use crate::scan::{self, cut_at, trim};
use crate::{CSeq, Fault, Index, Limits, Method, Name, NameAddr, ParseError, Span, Uri, Via};

/// A received message: the caller's bytes and where things stand in them. `Copy`, and every view
/// made from it borrows the bytes.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    bytes: &'a [u8],
    index: &'a Index,
}

/// One header field of a message.
#[derive(Clone, Copy, Debug)]
pub struct Field<'a> {
    /// The name, where it is known here.
    pub name: Option<Name>,
    /// The name as it was written.
    pub name_bytes: &'a [u8],
    /// The value, without white space around it; continuation lines are in it as they came.
    pub value: &'a [u8],
    /// Where the value stands.
    pub span: Span,
    /// Where the whole header field stands, its line ends included.
    pub line: Span,
    /// Which header field of the message it is, counted from 0.
    pub position: usize,
}

/// One value of a header field that is a list.
#[derive(Clone, Copy, Debug)]
pub struct Value<'a> {
    /// The value, without white space around it.
    pub bytes: &'a [u8],
    /// Where it stands.
    pub span: Span,
    /// The header field that it stands in, counted from 0.
    pub field: usize,
    /// Which value of that header field it is, counted from 0.
    pub position: usize,
}

/// Without the line ends that may stand before a start line (RFC 3261 section 7.5).
pub(crate) fn without_leading_crlf(bytes: &[u8]) -> &[u8] {
    scan::after(bytes, scan::run(bytes, |b| b == b'\r' || b == b'\n'))
}

impl<'a> Message<'a> {
    /// Reads a whole message. Line ends before it are passed over, and bytes after its body are no
    /// part of it.
    ///
    /// An error means that there is nothing that could be answered; all else that is wrong is told
    /// by [`crate::check`].
    pub fn parse(
        bytes: &'a [u8],
        index: &'a mut Index,
        limits: &Limits,
    ) -> Result<Self, ParseError> {
        let bytes = without_leading_crlf(bytes);
        index.parse(bytes, limits)?;
        Ok(Self::with_index(bytes, index))
    }

    /// A message from bytes and an index that was made of these very bytes. With other bytes its
    /// views read as empty or as nonsense, but nothing fails.
    pub fn with_index(bytes: &'a [u8], index: &'a Index) -> Self {
        let bytes = bytes.get(..index.body.end() as usize).unwrap_or(bytes);
        Self { bytes, index }
    }

    /// The bytes of the message, from its start line to the end of its body.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The index.
    pub fn index(&self) -> &'a Index {
        self.index
    }

    /// The bytes in a span.
    pub fn slice(&self, span: Span) -> &'a [u8] {
        span.of(self.bytes)
    }

    /// The first thing that the index pass found wrong.
    pub fn index_fault(&self) -> Option<Fault> {
        self.index.fault
    }

    /// Whether it is a request.
    pub fn is_request(&self) -> bool {
        self.index.line.is_request
    }

    /// The method: of the Request-Line, or of the CSeq for a response.
    pub fn method(&self) -> Method<'a> {
        if self.is_request() {
            let line = &self.index.line;
            return line.known.unwrap_or_else(|| Method::Other(self.slice(line.method)));
        }
        self.cseq().map_or(Method::Other(b""), |cseq| cseq.method)
    }

    /// The Request-URI as it was written; empty in a response.
    pub fn request_uri(&self) -> &'a [u8] {
        self.slice(self.index.line.uri)
    }

    /// Where the Request-URI stands.
    pub fn request_uri_span(&self) -> Span {
        self.index.line.uri
    }

    /// The status code; 0 in a request.
    pub fn status(&self) -> u16 {
        self.index.line.status
    }

    /// The reason phrase.
    pub fn reason(&self) -> &'a [u8] {
        self.slice(self.index.line.reason)
    }

    /// The SIP-Version as it was written.
    pub fn version(&self) -> &'a [u8] {
        self.slice(self.index.line.version)
    }

    /// The body.
    pub fn body(&self) -> &'a [u8] {
        self.slice(self.index.body)
    }

    /// Where the body stands; everything before it is the head, the empty line included.
    pub fn body_span(&self) -> Span {
        self.index.body
    }

    /// Where the header fields stand, without the empty line after them.
    pub fn fields_span(&self) -> Span {
        let end = match self.index.len().checked_sub(1).and_then(|last| self.index.slot(last)) {
            Some(slot) => slot.end,
            None => self.index.line.end,
        };
        Span::new(self.index.line.end as usize, end as usize)
    }

    /// The set of known names that are there, as bits ([`Name::bit`]).
    pub fn present(&self) -> u128 {
        self.index.present.bits()
    }

    /// The sets of known names that are there, and that are there in more than one line.
    pub(crate) fn names(&self) -> (u128, u128) {
        (self.index.present.bits(), self.index.repeated.bits())
    }

    /// Whether a header field is there.
    pub fn has(&self, name: Name) -> bool {
        self.index.present.has(name as u8)
    }

    /// Whether a header field is there in more than one line.
    pub fn is_repeated(&self, name: Name) -> bool {
        self.index.repeated.has(name as u8)
    }

    /// The header field at a position.
    pub fn field(&self, position: usize) -> Option<Field<'a>> {
        let slot = self.index.slot(position)?;
        Some(self.make_field(slot, position))
    }

    fn make_field(&self, slot: &Slot, position: usize) -> Field<'a> {
        Field {
            name: slot.name(),
            name_bytes: self.slice(slot.name_span()),
            value: self.slice(slot.value),
            span: slot.value,
            line: slot.line(),
            position,
        }
    }

    /// The header fields of a name, in order.
    pub fn fields(&self, name: Name) -> Fields<'a> {
        match self.index.first(name) {
            Some(at) => Fields { message: *self, at, only: Some(name as u8) },
            None => Fields { message: *self, at: usize::MAX, only: None },
        }
    }

    /// Every header field, in order.
    pub fn all(&self) -> Fields<'a> {
        Fields { message: *self, at: 0, only: None }
    }

    /// The header fields whose names are not known here.
    pub fn others(&self) -> Fields<'a> {
        Fields { message: *self, at: 0, only: Some(Slot::UNKNOWN) }
    }

    /// The header fields of any name, without regard to case; a known one in either form.
    pub fn named<'n>(&self, name: &'n [u8]) -> impl Iterator<Item = Field<'a>> + use<'a, 'n> {
        let known = Name::from_bytes(name);
        let fields = known.map_or_else(|| self.others(), |known| self.fields(known));
        fields.filter(move |f| known.is_some() || f.name_bytes.eq_ignore_ascii_case(name))
    }

    /// The first header field of a name.
    pub fn first(&self, name: Name) -> Option<Field<'a>> {
        self.fields(name).next()
    }

    /// The value of the first header field of a name.
    #[inline]
    pub fn value(&self, name: Name) -> Option<&'a [u8]> {
        self.slot_of(name).map(|slot| self.slice(slot.value))
    }

    /// The first slot of a name.
    #[inline]
    pub(crate) fn slot_of(&self, name: Name) -> Option<&'a Slot> {
        let index = self.index;
        let slot = index.slot(index.first(name)?)?;
        if slot.id == name as u8 {
            return Some(slot);
        }
        // Beyond 255 the exact place is not kept.
        self.fields(name).next_slot().map(|(slot, _)| slot)
    }

    /// The values of a list over all its lines, in order. Empty elements are passed over. Bounded by
    /// [`Limits::max_values`].
    pub fn values(&self, name: Name) -> Values<'a> {
        Values {
            fields: self.fields(name),
            rest: None,
            field: 0,
            start: 0,
            position: 0,
            left: self.index.max_values,
        }
    }

    /// Whether a list has a member, compared without regard to case (option tags, methods in
    /// Allow, tokens of any kind); parameters after a member do not count.
    pub fn has_token(&self, name: Name, token: &str) -> bool {
        self.values(name).any(|value| {
            let text = value.bytes.split(|b| *b == b';').next().unwrap_or(&[]);
            trim(text).eq_ignore_ascii_case(token.as_bytes())
        })
    }

    /// The first Via value.
    pub fn top_via(&self) -> Result<Via<'a>, Fault> {
        keep(&self.index.kept.via, self.bytes, || {
            let value = self.values(Name::Via).next().ok_or(Fault::missing(Name::Via))?;
            Via::parse_at(value.bytes, value.span)
        })
    }

    /// Whether the first Via value was read, and is well formed.
    pub(crate) fn has_plain_via(&self) -> bool {
        self.index.kept.via.get().is_some_and(|via| via.is_plain(self.bytes))
    }

    /// All Via values.
    pub fn vias(&self) -> impl Iterator<Item = Result<Via<'a>, Fault>> + use<'a> {
        self.values(Name::Via).map(|value| Via::parse_at(value.bytes, value.span))
    }

    /// From.
    pub fn from(&self) -> Result<NameAddr<'a>, Fault> {
        let kept = &self.index.kept;
        self.address(Name::From, &kept.from, &kept.from_uri)
    }

    /// To.
    pub fn to(&self) -> Result<NameAddr<'a>, Fault> {
        let kept = &self.index.kept;
        self.address(Name::To, &kept.to, &kept.to_uri)
    }

    /// From or To, read once.
    fn address(
        &self,
        name: Name,
        kept: &Cell<Option<NameAddrAt>>,
        uri: &Cell<Option<SipUriAt>>,
    ) -> Result<NameAddr<'a>, Fault> {
        match self.note_address(name, kept, uri) {
            Some(at) => Ok(NameAddr::at(&at, self.bytes)),
            None => keep(kept, self.bytes, || self.name_addr(name)),
        }
    }

    /// Keeps where the parts of From or To stand, where it has the usual form.
    #[inline]
    fn note_address(
        &self,
        name: Name,
        kept: &Cell<Option<NameAddrAt>>,
        uri: &Cell<Option<SipUriAt>>,
    ) -> Option<NameAddrAt> {
        if let Some(at) = kept.get() {
            return Some(at);
        }
        let slot = self.slot_of(name)?;
        let (at, parts) = NameAddrAt::read(self.slice(slot.value), slot.value)?;
        kept.set(Some(at));
        if let Some((parts, _)) = parts {
            uri.set(Some(parts));
        }
        Some(at)
    }

    /// Whether From, or To, is well formed, as far as can be told by its having the usual form.
    pub(crate) fn has_plain_address(&self, name: Name) -> bool {
        let all = &self.index.kept;
        let (kept, uri) = match name {
            Name::From => (&all.from, &all.from_uri),
            _ => (&all.to, &all.to_uri),
        };
        let sound = self.note_address(name, kept, uri).is_some_and(|at| at.is_sound());
        sound && uri.get().is_some()
    }

    /// What is kept of the first value of a list of addresses.
    fn kept_of(&self, name: Name) -> Option<&'a Cell<Option<(NameAddrAt, SipUriAt)>>> {
        match name {
            Name::Contact => Some(&self.index.kept.contact),
            Name::Route => Some(&self.index.kept.route),
            _ => None,
        }
    }

    /// Whether the Request-URI is a sip one without parameters and headers, in the usual form.
    pub(crate) fn has_plain_uri(&self) -> bool {
        self.note_uri().is_some_and(|uri| !uri.has_params())
    }

    /// Keeps where the parts of the Request-URI stand, where it has the usual form.
    #[inline]
    fn note_uri(&self) -> Option<SipUriAt> {
        let kept = &self.index.kept.uri;
        if kept.get().is_none() {
            kept.set(SipUriAt::read(self.request_uri(), self.index.line.uri));
        }
        kept.get()
    }

    /// Whether a value of Contact or Route is well formed, as far as can be told by its having the
    /// usual form; the first that is, is kept.
    pub(crate) fn is_plain_address(&self, name: Name, value: &[u8], place: Span) -> bool {
        let Some((at, Some((uri, params)))) = NameAddrAt::read(value, place) else { return false };
        if !at.is_sound() || params > 1 {
            return false;
        }
        if let Some(kept) = self.kept_of(name).filter(|kept| kept.get().is_none()) {
            kept.set(Some((at, uri)));
        }
        true
    }

    /// Reads a value of a list of addresses of this message: at once where it was read before.
    pub fn address_of(&self, name: Name, value: &Value<'a>) -> Result<NameAddr<'a>, Fault> {
        if let Some(kept) = self.kept_of(name) {
            if kept.get().is_none() {
                self.is_plain_address(name, value.bytes, value.span);
            }
            if let Some((at, _)) = kept.get().filter(|(at, _)| at.span() == value.span) {
                return Ok(NameAddr::at(&at, self.bytes));
            }
        }
        NameAddr::parse_at(value.bytes, value.span).map_err(|fault| fault.of(name))
    }

    /// The URI of an address of this message, read: at once where it was read before.
    pub fn uri_of(&self, address: &NameAddr<'a>) -> Result<Uri<'a>, Fault> {
        for kept in [&self.index.kept.contact, &self.index.kept.route] {
            if let Some((at, uri)) = kept.get().filter(|(at, _)| at.span() == address.span) {
                debug_assert!(at.is_sound());
                return Ok(Uri::at(&uri, self.bytes));
            }
        }
        address.parse_uri()
    }

    /// The Request-URI, read. Of a response there is none, which reads as a malformed one.
    pub fn uri(&self) -> Result<Uri<'a>, Fault> {
        match self.note_uri() {
            Some(uri) => Ok(Uri::at(&uri, self.bytes)),
            None => {
                let read = || Uri::parse(self.request_uri());
                keep(&self.index.kept.uri, self.bytes, read)
            }
        }
    }

    /// A URI, read: at once where it is the very text of the Request-URI.
    pub fn read_uri<'u>(&self, uri: &'u [u8]) -> Result<Uri<'u>, Fault>
    where
        'a: 'u,
    {
        if uri == self.request_uri() { self.uri() } else { Uri::parse(uri) }
    }

    /// The URI in From, read.
    pub fn from_uri(&self) -> Result<Uri<'a>, Fault> {
        let kept = &self.index.kept;
        self.note_address(Name::From, &kept.from, &kept.from_uri);
        keep(&kept.from_uri, self.bytes, || self.from()?.parse_uri())
    }

    /// The URI in To, read.
    pub fn to_uri(&self) -> Result<Uri<'a>, Fault> {
        let kept = &self.index.kept;
        self.note_address(Name::To, &kept.to, &kept.to_uri);
        keep(&kept.to_uri, self.bytes, || self.to()?.parse_uri())
    }

    /// A header field that is one name-addr or addr-spec.
    pub fn name_addr(&self, name: Name) -> Result<NameAddr<'a>, Fault> {
        let field = self.first(name).ok_or(Fault::missing(name))?;
        NameAddr::parse_at(field.value, field.span).map_err(|fault| fault.of(name))
    }

    /// A list of name-addr or addr-spec.
    pub fn name_addrs(
        &self,
        name: Name,
    ) -> impl Iterator<Item = Result<NameAddr<'a>, Fault>> + use<'a> {
        let message = *self;
        self.values(name).map(move |value| message.address_of(name, &value))
    }

    /// Contact; the `*` of a REGISTER is an element whose URI is `*`.
    pub fn contacts(&self) -> impl Iterator<Item = Result<NameAddr<'a>, Fault>> + use<'a> {
        self.name_addrs(Name::Contact)
    }

    /// Route.
    pub fn routes(&self) -> impl Iterator<Item = Result<NameAddr<'a>, Fault>> + use<'a> {
        self.name_addrs(Name::Route)
    }

    /// Record-Route.
    pub fn record_routes(&self) -> impl Iterator<Item = Result<NameAddr<'a>, Fault>> + use<'a> {
        self.name_addrs(Name::RecordRoute)
    }

    /// The tag of From.
    pub fn from_tag(&self) -> Option<&'a [u8]> {
        match self.index.kept.from.get() {
            Some(from) => from.tag(self.bytes),
            None => self.from().ok()?.tag(),
        }
    }

    /// The tag of To.
    pub fn to_tag(&self) -> Option<&'a [u8]> {
        match self.index.kept.to.get() {
            Some(to) => to.tag(self.bytes),
            None => self.to().ok()?.tag(),
        }
    }

    /// CSeq.
    pub fn cseq(&self) -> Result<CSeq<'a>, Fault> {
        keep(&self.index.kept.cseq, self.bytes, || {
            let slot = self.slot_of(Name::CSeq).ok_or(Fault::missing(Name::CSeq))?;
            let value = self.slice(slot.value);
            if let Some(known) = self.index.line.known
                && let Some(cseq) =
                    CSeq::of_request(value, known, self.slice(self.index.line.method))
            {
                return Ok(cseq);
            }
            CSeq::parse(value).map_err(|fault| fault.shifted(slot.value.start as usize))
        })
    }

    /// Call-ID.
    pub fn call_id(&self) -> Option<&'a [u8]> {
        self.value(Name::CallId).filter(|value| !value.is_empty())
    }

    /// Max-Forwards (RFC 3261 section 20.22: 0 to 255).
    pub fn max_forwards(&self) -> Result<Option<u32>, Fault> {
        let Some(slot) = self.slot_of(Name::MaxForwards) else { return Ok(None) };
        match scan::number::<u8>(self.slice(slot.value)) {
            Some(value) => Ok(Some(u32::from(value))),
            None => Err(Fault::malformed(Name::MaxForwards, slot.value.start as usize)),
        }
    }

    /// Expires, where it is a number of seconds. One that is malformed or too large reads as
    /// absent, which means the default of whoever reads it (RFC 3261 section 20.19, RFC 4475
    /// section 3.1.2.4).
    pub fn expires(&self) -> Option<u32> {
        scan::number(self.value(Name::Expires)?)
    }

    /// Content-Length, where it is there once and is a number.
    pub fn content_length(&self) -> Option<u32> {
        self.index.content_length
    }
}

/// Header fields of a message, in order.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'a> {
    message: Message<'a>,
    at: usize,
    only: Option<u8>,
}

impl<'a> Fields<'a> {
    /// The place of the next one, and which it is.
    #[inline]
    fn next_slot(&mut self) -> Option<(&'a Slot, usize)> {
        loop {
            let position = self.at;
            let slot = self.message.index.slot(position)?;
            self.at += 1;
            let Some(id) = self.only else { return Some((slot, position)) };
            if id == slot.id {
                // Of most names there is one line: then the lines after it need no look.
                if id != Slot::UNKNOWN && !self.message.index.repeated.has(id) {
                    self.at = usize::MAX;
                }
                return Some((slot, position));
            }
        }
    }
}

impl<'a> Fields<'a> {
    /// The value of the next one, where it stands, and whether no comma is in it.
    #[inline]
    pub(crate) fn next_lone(&mut self) -> Option<(&'a [u8], Span, bool)> {
        let (slot, position) = self.next_slot()?;
        let value = self.message.slice(slot.value);
        Some((value, slot.value, self.message.index.kept.is_lone(position, value)))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;

    fn next(&mut self) -> Option<Field<'a>> {
        let (slot, position) = self.next_slot()?;
        Some(self.message.make_field(slot, position))
    }
}

/// Values of a list, in order, over all its lines.
#[derive(Clone, Copy, Debug)]
pub struct Values<'a> {
    fields: Fields<'a>,
    rest: Option<&'a [u8]>,
    field: usize,
    /// Where `rest` stands in the message.
    start: usize,
    position: usize,
    left: usize,
}

impl<'a> Iterator for Values<'a> {
    type Item = Value<'a>;

    #[inline]
    fn next(&mut self) -> Option<Value<'a>> {
        // Nothing more, or nothing at all, is what is mostly there.
        if self.rest.is_none() && self.fields.at == usize::MAX { None } else { self.next_there() }
    }
}

impl<'a> Values<'a> {
    fn next_there(&mut self) -> Option<Value<'a>> {
        loop {
            let rest = match self.rest.take() {
                Some(rest) => rest,
                None => {
                    let (slot, position) = self.fields.next_slot()?;
                    let message = self.fields.message;
                    let value = message.slice(slot.value);
                    // Of most lists a line has one value.
                    if message.index.kept.is_lone(position, value) {
                        if value.is_empty() {
                            continue;
                        }
                        self.left = self.left.checked_sub(1)?;
                        let span = slot.value;
                        return Some(Value { bytes: value, span, field: position, position: 0 });
                    }
                    self.field = position;
                    self.start = slot.value.start as usize;
                    self.position = 0;
                    value
                }
            };
            let (element, more) = cut_at(rest, b',');
            let bytes = trim(element);
            let at = self.start + scan::offset(rest, bytes);
            self.rest = more;
            self.start += more.map_or(rest.len(), |more| scan::offset(rest, more));
            if bytes.is_empty() {
                continue;
            }
            self.left = self.left.checked_sub(1)?;
            let position = self.position;
            self.position += 1;
            let span = Span::new(at, at + bytes.len());
            return Some(Value { bytes, span, field: self.field, position });
        }
    }
}

#[cfg(test)]
mod tests;
