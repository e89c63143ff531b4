//! Making messages.

use crate::scan::push_number;
use crate::{Fault, FieldName, Message, Method, Name};
use std::net::SocketAddr;

/// Writes a response straight into a buffer: for the paths where nothing may be allocated.
#[derive(Debug)]
pub struct ResponseWriter<'o> {
    out: &'o mut Vec<u8>,
}

/// What goes into the response besides what every response has.
#[derive(Clone, Copy, Debug, Default)]
pub struct ResponseOptions<'a> {
    /// The tag for To, where the request has none.
    pub to_tag: Option<&'a [u8]>,
    /// Copy Record-Route (RFC 3261 section 12.1.1: responses that make a dialog).
    pub record_route: bool,
    /// Where the request came from: `received` and `rport` are set in the top Via, if the message's
    /// own bytes do not have them yet.
    pub source: Option<SocketAddr>,
}

impl<'o> ResponseWriter<'o> {
    /// Writes the Status-Line and what RFC 3261 section 8.2.6 has copied from the request: Via, From,
    /// To, Call-ID, CSeq, and Timestamp in a 100. What the request lacks is left out.
    pub fn start(
        out: &'o mut Vec<u8>,
        request: &Message<'_>,
        status: u16,
        reason: &str,
        options: ResponseOptions<'_>,
    ) -> Self {
        out.extend_from_slice(b"SIP/2.0 ");
        push_number(out, u64::from(status));
        out.push(b' ');
        out.extend_from_slice(reason.as_bytes());
        out.extend_from_slice(b"\r\n");
        let copied = out.len();
        out.reserve(request.fields_span().len as usize + 64);
        let mut writer = Self { out };
        writer.vias(request, options.source);
        if options.record_route {
            writer.copy(request, Name::RecordRoute);
        }
        writer.copy_first(request, Name::From);
        writer.to(request, status, options.to_tag);
        writer.copy_first(request, Name::CallId);
        writer.copy_first(request, Name::CSeq);
        if status == 100 {
            writer.copy_first(request, Name::Timestamp);
        }
        if request.index_fault().is_some() {
            writer.clean(copied);
        }
        writer
    }

    /// What a malformed request had for line ends is none in our response: somebody may read a lone
    /// CR or LF as one, and a header field after it.
    fn clean(&mut self, from: usize) {
        let mut at = from;
        while let Some(octet) = self.out.get(at).copied() {
            if octet == b'\r' && self.out.get(at + 1) == Some(&b'\n') {
                at += 2;
                continue;
            }
            if let Some(place) = self.out.get_mut(at).filter(|_| matches!(octet, b'\r' | b'\n' | 0))
            {
                *place = b' ';
            }
            at += 1;
        }
    }

    fn vias(&mut self, request: &Message<'_>, source: Option<SocketAddr>) {
        let stamp = source.and_then(|source| {
            let via = request.top_via().ok()?;
            via.needs_received(source).then_some((via, source))
        });
        if stamp.is_none() && !request.is_repeated(Name::Via) {
            return self.copy_first(request, Name::Via);
        }
        for field in request.fields(Name::Via) {
            self.out.extend_from_slice(b"Via: ");
            match stamp {
                Some((via, source)) if field.span.range().contains(&(via.span.start as usize)) => {
                    let from = (via.span.start - field.span.start) as usize;
                    let to = from + via.span.len as usize;
                    self.out.extend_from_slice(field.value.get(..from).unwrap_or(&[]));
                    via.write_received(source, self.out);
                    self.out.extend_from_slice(field.value.get(to..).unwrap_or(&[]));
                }
                _ => self.out.extend_from_slice(field.value),
            }
            self.out.extend_from_slice(b"\r\n");
        }
    }

    fn to(&mut self, request: &Message<'_>, status: u16, tag: Option<&[u8]>) {
        let Some(value) = request.value(Name::To) else { return };
        self.out.extend_from_slice(b"To: ");
        self.out.extend_from_slice(value);
        // A 100 may go without a tag (section 8.2.6.2). A malformed To gets one as well, for whoever
        // reads more into it than we do, unless there is something in it that looks like one.
        let untagged = match request.to() {
            Ok(to) => to.tag.is_none() && to.params.get("tag").is_none(),
            Err(_) => !value.is_empty() && !seems_tagged(value),
        };
        if let Some(tag) = tag.filter(|_| untagged && status != 100) {
            self.out.extend_from_slice(b";tag=");
            self.out.extend_from_slice(tag);
        }
        self.out.extend_from_slice(b"\r\n");
    }

    /// Copies every header field of a name.
    pub fn copy(&mut self, request: &Message<'_>, name: Name) {
        for field in request.fields(name) {
            self.field(name, field.value);
        }
    }

    fn copy_first(&mut self, request: &Message<'_>, name: Name) {
        if let Some(value) = request.value(name) {
            self.field(name, value);
        }
    }

    /// Writes a header field.
    pub fn field<'n>(&mut self, name: impl Into<FieldName<'n>>, value: &[u8]) {
        write_field(self.out, name.into(), value);
    }

    /// Ends the response without a body.
    pub fn end(self) {
        self.out.extend_from_slice(b"Content-Length: 0\r\n\r\n");
    }

    /// Ends the response with a body.
    pub fn body(mut self, kind: &[u8], body: &[u8]) {
        self.field(Name::ContentType, kind);
        write_end(self.out, body);
    }
}

/// Whether `tag` follows a semicolon anywhere.
fn seems_tagged(value: &[u8]) -> bool {
    value.split(|byte| *byte == b';').skip(1).any(|parameter| {
        let start = parameter.trim_ascii_start().get(..3);
        start.is_some_and(|start| start.eq_ignore_ascii_case(b"tag"))
    })
}

fn write_field(out: &mut Vec<u8>, name: FieldName<'_>, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

fn write_end(out: &mut Vec<u8>, body: &[u8]) {
    out.extend_from_slice(b"Content-Length: ");
    push_number(out, body.len() as u64);
    out.extend_from_slice(b"\r\n\r\n");
    out.extend_from_slice(body);
}

/// A response in the making.
#[derive(Clone, Debug)]
pub struct ResponseBuilder<'m> {
    request: Message<'m>,
    status: u16,
    reason: String,
    to_tag: Option<Vec<u8>>,
    record_route: bool,
    source: Option<SocketAddr>,
    fields: Vec<u8>,
    body: Option<(Vec<u8>, Vec<u8>)>,
}

impl<'m> ResponseBuilder<'m> {
    /// A response to a request.
    pub fn to(request: &Message<'m>, status: u16, reason: &str) -> Self {
        Self {
            request: *request,
            status,
            reason: reason.to_owned(),
            to_tag: None,
            record_route: false,
            source: None,
            fields: Vec::new(),
            body: None,
        }
    }

    /// The response that a fault asks for.
    pub fn to_fault(request: &Message<'m>, fault: &Fault) -> Self {
        Self::to(request, fault.status, fault.reason)
    }

    /// The tag for To, used where the request has none.
    #[must_use]
    pub fn to_tag(mut self, tag: &[u8]) -> Self {
        self.to_tag = Some(tag.to_vec());
        self
    }

    /// Copies Record-Route from the request.
    #[must_use]
    pub fn record_route(mut self) -> Self {
        self.record_route = true;
        self
    }

    /// Sets `received` and `rport` in the top Via for this source.
    #[must_use]
    pub fn source(mut self, source: SocketAddr) -> Self {
        self.source = Some(source);
        self
    }

    /// Adds a header field.
    #[must_use]
    pub fn field<'n>(mut self, name: impl Into<FieldName<'n>>, value: &[u8]) -> Self {
        write_field(&mut self.fields, name.into(), value);
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, kind: &[u8], body: &[u8]) -> Self {
        self.body = Some((kind.to_vec(), body.to_vec()));
        self
    }

    /// Appends the response to `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        let options = ResponseOptions {
            to_tag: self.to_tag.as_deref(),
            record_route: self.record_route,
            source: self.source,
        };
        let writer = ResponseWriter::start(out, &self.request, self.status, &self.reason, options);
        writer.out.extend_from_slice(&self.fields);
        match &self.body {
            Some((kind, body)) => writer.body(kind, body),
            None => writer.end(),
        }
    }
}

/// A request in the making. Header fields are written in the order of the calls.
#[derive(Clone, Debug)]
pub struct RequestBuilder {
    text: Vec<u8>,
    method: Vec<u8>,
    body: Option<(Vec<u8>, Vec<u8>)>,
}

impl RequestBuilder {
    /// A request with a method and a Request-URI.
    pub fn new(method: Method<'_>, uri: &[u8]) -> Self {
        let mut text = Vec::with_capacity(512);
        text.extend_from_slice(method.as_bytes());
        text.push(b' ');
        text.extend_from_slice(uri);
        text.extend_from_slice(b" SIP/2.0\r\n");
        Self { text, method: method.as_bytes().to_vec(), body: None }
    }

    /// Adds a header field.
    #[must_use]
    pub fn field<'n>(mut self, name: impl Into<FieldName<'n>>, value: &[u8]) -> Self {
        write_field(&mut self.text, name.into(), value);
        self
    }

    /// Adds a Via value.
    #[must_use]
    pub fn via(self, value: &[u8]) -> Self {
        self.field(Name::Via, value)
    }

    /// Adds From.
    #[must_use]
    pub fn from(self, value: &[u8]) -> Self {
        self.field(Name::From, value)
    }

    /// Adds To.
    #[must_use]
    pub fn to(self, value: &[u8]) -> Self {
        self.field(Name::To, value)
    }

    /// Adds Call-ID.
    #[must_use]
    pub fn call_id(self, value: &[u8]) -> Self {
        self.field(Name::CallId, value)
    }

    /// Adds CSeq with the request's method.
    #[must_use]
    pub fn cseq(mut self, number: u32) -> Self {
        self.text.extend_from_slice(b"CSeq: ");
        push_number(&mut self.text, u64::from(number));
        self.text.push(b' ');
        self.text.extend_from_slice(&self.method);
        self.text.extend_from_slice(b"\r\n");
        self
    }

    /// Adds Max-Forwards.
    #[must_use]
    pub fn max_forwards(mut self, hops: u8) -> Self {
        self.text.extend_from_slice(b"Max-Forwards: ");
        push_number(&mut self.text, u64::from(hops));
        self.text.extend_from_slice(b"\r\n");
        self
    }

    /// Adds Contact.
    #[must_use]
    pub fn contact(self, value: &[u8]) -> Self {
        self.field(Name::Contact, value)
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, kind: &[u8], body: &[u8]) -> Self {
        self.body = Some((kind.to_vec(), body.to_vec()));
        self
    }

    /// Appends the request to `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.text);
        match &self.body {
            Some((kind, body)) => {
                write_field(out, Name::ContentType.into(), kind);
                write_end(out, body);
            }
            None => write_end(out, b""),
        }
    }

    /// The request as bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out);
        out
    }
}

/// Appends the ACK for a final response other than 2xx (RFC 3261 section 17.1.1.3): the Request-URI,
/// top Via, From, Call-ID, CSeq number and Route of the INVITE as it was sent, To of the response.
pub fn ack_for_non_2xx(invite: &Message<'_>, response: &Message<'_>, out: &mut Vec<u8>) {
    let to = response.value(Name::To).or(invite.value(Name::To));
    derived(invite, b"ACK", to, out);
}

/// Appends the CANCEL of a request as it was sent (RFC 3261 section 9.1).
pub fn cancel_for(request: &Message<'_>, out: &mut Vec<u8>) {
    derived(request, b"CANCEL", request.value(Name::To), out);
}

fn derived(request: &Message<'_>, method: &[u8], to: Option<&[u8]>, out: &mut Vec<u8>) {
    out.extend_from_slice(method);
    out.push(b' ');
    out.extend_from_slice(request.request_uri());
    out.extend_from_slice(b" SIP/2.0\r\n");
    if let Some(via) = request.values(Name::Via).next() {
        write_field(out, Name::Via.into(), via.bytes);
    }
    for route in request.fields(Name::Route) {
        write_field(out, Name::Route.into(), route.value);
    }
    write_field(out, Name::MaxForwards.into(), b"70");
    for (name, value) in [
        (Name::From, request.value(Name::From)),
        (Name::To, to),
        (Name::CallId, request.value(Name::CallId)),
    ] {
        if let Some(value) = value {
            write_field(out, name.into(), value);
        }
    }
    out.extend_from_slice(b"CSeq: ");
    push_number(out, request.cseq().map_or(0, |cseq| u64::from(cseq.number)));
    out.push(b' ');
    out.extend_from_slice(method);
    out.extend_from_slice(b"\r\n");
    write_end(out, b"");
}

#[cfg(test)]
mod tests;
