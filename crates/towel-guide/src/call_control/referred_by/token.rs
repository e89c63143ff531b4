//! The Referred-By token: a fragment of the REFER in a part of the body, signed perhaps (RFC 3892 section
//! 4, RFC 3893).

use towel_message::body::Part;
use towel_message::{Message, Method, Name, NameAddr, Uri};

/// What Referred-By points to.
pub(super) enum Token<'a> {
    /// Nothing.
    None,
    /// A part that is not there.
    Lost,
    /// Something that we have no key for.
    Closed,
    /// A fragment that can be read.
    Open(Part<'a>),
}

impl<'a> Token<'a> {
    /// Finds the token of a request.
    pub(super) fn of(request: &Message<'a>, by: &NameAddr<'_>) -> Token<'a> {
        let Some(cid) = by.params.value("cid") else { return Token::None };
        let cid = cid.trim_ascii();
        let cid = cid.strip_prefix(b"\"").and_then(|cid| cid.strip_suffix(b"\"")).unwrap_or(cid);
        let Some(Ok(mut parts)) = request.parts() else { return Token::Lost };
        let Some(part) = parts.find(|part| part.id() == Some(cid)) else { return Token::Lost };
        match fragment(part) {
            Some(fragment) => Token::Open(fragment),
            None => Token::Closed,
        }
    }
}

/// The fragment that a token is, or that is the first of its signed parts.
fn fragment(part: Part<'_>) -> Option<Part<'_>> {
    let is = |part: &Part<'_>| part.content_type().is_ok_and(|kind| kind.is("message/sipfrag"));
    if is(&part) {
        return Some(part);
    }
    part.parts()?.ok()?.find(is)
}

/// A header field of a fragment, by its long or compact name.
fn field<'a>(fragment: &Part<'a>, name: Name) -> Option<&'a [u8]> {
    // The lines of a fragment are those of a part's head.
    let lines = Part { head: fragment.content, content: b"" };
    lines.fields().find(|(have, _)| Name::from_bytes(have) == Some(name)).map(|(_, value)| value)
}

/// Whether a fragment has what it must have, is fresh, and speaks of this request and this referrer.
pub(super) fn is_about(
    fragment: &Part<'_>,
    request: &Message<'_>,
    by: &NameAddr<'_>,
    now: u64,
    age: u64,
) -> bool {
    let refer_to = field(fragment, Name::ReferTo).and_then(|value| NameAddr::parse(value).ok());
    let referrer = field(fragment, Name::ReferredBy).and_then(|value| NameAddr::parse(value).ok());
    let date = field(fragment, Name::Date).and_then(towel_message::date::parse);
    let (Some(refer_to), Some(referrer), Some(date)) = (refer_to, referrer, date) else {
        return false;
    };
    let fresh = now.saturating_sub(date) <= age && date.saturating_sub(now) <= age;
    // Section 4.1: the method; the URI may have become another one on the way.
    let method = match refer_to.parse_uri() {
        Ok(Uri::Sip(uri)) => uri.method().unwrap_or(Method::Invite) == request.method(),
        _ => false,
    };
    let same = match (referrer.parse_uri(), by.parse_uri()) {
        (Ok(one), Ok(other)) => towel_message::uri::equivalent(&one, &other),
        _ => false,
    };
    fresh && method && same
}
