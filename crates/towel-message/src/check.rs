//! What any element asks of a message before it does anything with it (RFC 3261 sections 8.2.1,
//! 16.3 step 1, 18.3; RFC 4475 tells the hard cases).
//!
//! Only what an element needs in order to route, match and answer is asked for. All else is left to
//! whoever reads it: a proxy does not refuse a request for a malformed Date (section 16.3).

use crate::scan::{cut_at, is_word, offset, trim};
use crate::{Fault, Message, Method, Name, NameAddr, Span, Uri, Via};

/// Header fields that every message has (section 8.1.1), but for Max-Forwards, which RFC 2543
/// requests go without.
const MANDATORY: [Name; 5] = [Name::Via, Name::From, Name::To, Name::CallId, Name::CSeq];

/// Header fields that every element reads, and that a message has once.
const ONCE: [Name; 6] =
    [Name::From, Name::To, Name::CallId, Name::CSeq, Name::MaxForwards, Name::ContentLength];

/// A set of names as bits.
const fn bits(names: &[Name]) -> u128 {
    let (mut all, mut rest) = (0, names);
    while let [name, more @ ..] = rest {
        all |= name.bit();
        rest = more;
    }
    all
}

/// Whether the message is well formed as far as every element needs it. The fault of a request
/// tells what to answer; a response with a fault is dropped.
///
/// Contact is looked at where it makes a binding; elsewhere it is for the far end
/// ([`check_contacts`]), and a proxy passes it on as it came (section 16.3 step 1).
pub fn check(message: &Message<'_>) -> Result<(), Fault> {
    if let Some(fault) = message.index_fault() {
        return Err(fault);
    }
    let (there, more) = message.names();
    if there & bits(&MANDATORY) != bits(&MANDATORY) {
        let missing = MANDATORY.into_iter().find(|name| !message.has(*name));
        return Err(Fault::missing(missing.unwrap_or(Name::Via)));
    }
    if more & bits(&ONCE) != 0
        && let Some(name) = ONCE.into_iter().find(|name| message.is_repeated(*name))
    {
        let at = message.fields(name).nth(1).map_or(0, |f| f.line.start as usize);
        return Err(Fault::repeated(name, at));
    }
    vias(message)?;
    for name in [Name::From, Name::To] {
        if message.has_plain_address(name) {
            continue;
        }
        let (address, uri) = match name {
            Name::From => (message.from()?, message.from_uri()),
            _ => (message.to()?, message.to_uri()),
        };
        address.check_params().map_err(|fault| fault.of(name))?;
        if !address.is_star() {
            uri.map_err(|fault| fault.of(name))?;
        }
        if address.is_star() {
            return Err(Fault::malformed(name, address.span.start as usize));
        }
    }
    call_id(message)?;
    let cseq = message.cseq()?;
    if message.is_request() {
        let method = message.method();
        request_uri(message)?;
        if cseq.method != method {
            return Err(Fault {
                // An unknown method is refused as such (RFC 4475 section 3.1.2.18).
                status: if method.is_known() { 400 } else { 501 },
                field: Some(Name::CSeq),
                reason: if method.is_known() {
                    "CSeq Method Does Not Match the Request"
                } else {
                    "Not Implemented (CSeq Method Does Not Match)"
                },
                at: message.first(Name::CSeq).map_or(0, |f| f.span.start as usize),
            });
        }
        message.max_forwards()?;
        addresses(message, Name::Route)?;
        // It is what this request is about.
        if method == Method::Register {
            check_contacts(message)?;
        }
    }
    Ok(())
}

/// Whether every Contact value is well formed.
pub fn check_contacts(message: &Message<'_>) -> Result<(), Fault> {
    addresses(message, Name::Contact)
}

/// A list of addresses, each well formed and none empty.
fn addresses(message: &Message<'_>, name: Name) -> Result<(), Fault> {
    each_value(message, name, |bytes, span| {
        if message.is_plain_address(name, bytes, span) {
            return Ok(());
        }
        let address = NameAddr::parse_at(bytes, span).map_err(|fault| fault.of(name))?;
        address.check().map_err(|fault| fault.of(name))?;
        // Route is a name-addr always (section 20.34): without brackets a parameter of the URI would
        // read as one of the header field, and a loose router as a strict one.
        // And a strict router's URI becomes the Request-URI (16.6), where no parameter may be twice.
        if name == Name::Route {
            let repeated = |uri: Uri<'_>| uri.sip().is_some_and(|uri| uri.params.has_repeated());
            if !address.bracketed || repeated(address.parse_uri()?) {
                return Err(Fault::malformed(name, span.start as usize));
            }
        }
        star(message, name, &address)
    })
}

/// `*` is a Contact, and only alone (section 10.2.2; whether it may be there is for the registrar).
fn star(message: &Message<'_>, name: Name, address: &NameAddr<'_>) -> Result<(), Fault> {
    if address.is_star() {
        let alone = message.values(name).nth(1).is_none();
        if name != Name::Contact || !alone || !address.params.bytes().is_empty() {
            return Err(Fault::malformed(name, address.span.start as usize));
        }
    }
    Ok(())
}

/// Each value of a list. The grammar of these lists has no empty element: `Via: a, ,b` and `Via: a,`
/// are malformed (RFC 4475 section 3.1.2.1).
fn each_value<'a>(
    message: &Message<'a>,
    name: Name,
    mut check: impl FnMut(&'a [u8], Span) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let mut left = message.index().max_values;
    let mut lines = message.fields(name);
    while let Some((all, span, lone)) = lines.next_lone() {
        let start = span.start as usize;
        if lone && !all.is_empty() {
            left = left.checked_sub(1).ok_or(too_many(name, start))?;
            check(all, span)?;
            continue;
        }
        let mut rest = Some(all);
        while let Some(text) = rest {
            let (element, more) = cut_at(text, b',');
            let value = trim(element);
            let at = start + offset(all, value);
            if value.is_empty() {
                return Err(Fault::malformed(name, start));
            }
            left = left.checked_sub(1).ok_or(too_many(name, at))?;
            check(value, Span::new(at, at + value.len()))?;
            rest = more;
        }
    }
    Ok(())
}

fn too_many(name: Name, at: usize) -> Fault {
    Fault { status: 513, field: Some(name), reason: "Too Many Values", at }
}

fn vias(message: &Message<'_>) -> Result<(), Fault> {
    let mut first = true;
    each_value(message, Name::Via, |bytes, span| {
        let top = std::mem::take(&mut first);
        if top && message.has_plain_via() {
            return Ok(());
        }
        let via = if top { message.top_via() } else { Via::parse_at(bytes, span) };
        via?.check()
    })
}

fn call_id(message: &Message<'_>) -> Result<(), Fault> {
    match message.slot_of(Name::CallId) {
        Some(slot) if is_word(message.slice(slot.value)) => Ok(()),
        Some(slot) => Err(Fault::malformed(Name::CallId, slot.value.start as usize)),
        None => Err(Fault::missing(Name::CallId)),
    }
}

/// A Request-URI of a scheme that is not known here is no fault: that is a 416 of whoever was to
/// understand it (section 8.2.2.1, 16.3 step 2).
fn request_uri(message: &Message<'_>) -> Result<(), Fault> {
    if message.has_plain_uri() {
        return Ok(());
    }
    let at = message.request_uri_span().start as usize;
    let fault = |reason| Fault::new(400, reason, at);
    match message.uri() {
        Err(_) => Err(fault("Malformed Request-URI")),
        // Section 19.1.1: no headers in a Request-URI (RFC 4475 section 3.1.2.11).
        Ok(Uri::Sip(uri)) if !uri.headers.is_empty() => Err(fault("Headers in the Request-URI")),
        Ok(Uri::Sip(uri)) if uri.params.has_repeated() => {
            Err(fault("Repeated Parameter in the Request-URI"))
        }
        Ok(_) => Ok(()),
    }
}
