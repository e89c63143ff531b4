//! What a REGISTER says of one contact (RFC 3261 sections 10.2.1, 10.3 step 7, 20.10).

use std::ops::Range;

use smallvec::SmallVec;

use super::register::Refusal;
use towel_message::{Message, Name, NameAddr, scan};

/// What stands for an interval that cannot be read (RFC 3261 section 10.2).
const MALFORMED_EXPIRES: u32 = 3_600;

/// What the Contact header field asks for.
#[derive(Debug)]
pub(super) enum Wish<'a> {
    /// Nothing: the bindings are to be told.
    Fetch,
    /// All bindings are to go.
    RemoveAll,
    /// Each contact in turn.
    Update(SmallVec<[Asked<'a>; 2]>),
}

/// One contact and the interval asked for it.
#[derive(Debug)]
pub(super) struct Asked<'a> {
    /// The URI.
    pub(super) uri: &'a [u8],
    /// Where the whole value stands in the text: in angle brackets, without its `expires`.
    pub(super) contact: Range<usize>,
    /// Where the URI stands in it.
    pub(super) uri_at: usize,
    /// Preference in thousandths.
    pub(super) q: u16,
    /// The interval asked for; none leaves it to us.
    pub(super) expires: Option<u32>,
}

impl<'a> Wish<'a> {
    /// Reads what is asked for; `text` is where the contacts are written.
    pub(super) fn read(
        message: &Message<'a>,
        max_length: usize,
        text: &mut Vec<u8>,
    ) -> Result<Self, Refusal> {
        text.clear();
        if !message.has(Name::Contact) {
            return Ok(Self::Fetch);
        }
        let header = message.value(Name::Expires).map(seconds);
        let mut asked = SmallVec::new();
        let (mut stars, mut bare) = (0, true);
        for contact in message.contacts() {
            let contact = contact.map_err(Refusal::fault)?;
            if contact.is_star() {
                stars += 1;
                bare &= contact.params.bytes().is_empty();
            } else {
                asked.push(Asked::read(&contact, header, max_length, text)?);
            }
        }
        match (stars, asked.is_empty()) {
            // Only alone, only once and only with an Expires header field of nought
            // (RFC 3261 sections 10.2.2 and 10.3, step 6).
            (1, true) if bare && header == Some(0) => Ok(Self::RemoveAll),
            (1, true) if header != Some(0) => Err(Refusal::new(400, "Contact * Without Expires 0")),
            (0, false) => Ok(Self::Update(asked)),
            (0, true) => Err(Refusal::new(400, "Malformed Contact")),
            _ => Err(Refusal::new(400, "Contact * Beside Others")),
        }
    }
}

impl<'a> Asked<'a> {
    fn read(
        contact: &NameAddr<'a>,
        header: Option<u32>,
        max_length: usize,
        text: &mut Vec<u8>,
    ) -> Result<Self, Refusal> {
        contact.check().map_err(|fault| Refusal::fault(fault.of(Name::Contact)))?;
        let q = match contact.q() {
            None => 1_000,
            Some(q) => q.ok_or(Refusal::new(400, "Malformed Contact q"))?,
        };
        let expires = contact.param("expires").map(|value| seconds(value.unwrap_or_default()));
        let start = text.len();
        if let Some(display) = contact.display {
            scan::unfold(display, text);
            text.push(b' ');
        }
        text.push(b'<');
        let uri_at = text.len() - start;
        text.extend_from_slice(contact.uri);
        text.push(b'>');
        for param in contact.params.iter().filter(|p| !p.name.eq_ignore_ascii_case(b"expires")) {
            text.push(b';');
            text.extend_from_slice(param.name);
            if let Some(value) = param.value {
                text.push(b'=');
                scan::unfold(value, text);
            }
        }
        let place = start..text.len();
        if place.len() > max_length {
            return Err(Refusal::new(400, "Contact Too Long"));
        }
        Ok(Self { uri: contact.uri, contact: place, uri_at, q, expires: expires.or(header) })
    }
}

/// A number of seconds. One beyond what can be said counts as the greatest that can, and what is
/// no number as an hour (RFC 3261 section 10.2).
fn seconds(text: &[u8]) -> u32 {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return MALFORMED_EXPIRES;
    }
    let value = text.iter().fold(0_u64, |sum, digit| {
        sum.saturating_mul(10).saturating_add(u64::from(digit.wrapping_sub(b'0')))
    });
    u32::try_from(value).unwrap_or(u32::MAX)
}

/// The values of a way to a contact, each to be one Route value.
pub(crate) fn hops(route: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(route);
    let values = std::iter::from_fn(move || {
        let (value, more) = scan::cut_at(rest?, b',');
        rest = more;
        Some(value.trim_ascii())
    });
    values.filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::{hops, seconds};

    #[test]
    fn a_way_has_hops() {
        let values: Vec<_> = hops(b"<sip:p1;lr>, <sip:a,b@p2;lr>").collect();
        assert_eq!(values, [&b"<sip:p1;lr>"[..], b"<sip:a,b@p2;lr>"]);
        assert_eq!(hops(b"").count(), 0);
    }

    #[test]
    fn seconds_of_every_kind() {
        for (text, value) in [
            ("0", 0),
            ("0000000060", 60),
            ("4294967295", u32::MAX),
            ("4294967296", u32::MAX),
            ("99999999999999999999999", u32::MAX),
            ("", 3_600),
            ("-1", 3_600),
            ("1h", 3_600),
            ("60;x", 3_600),
        ] {
            assert_eq!(seconds(text.as_bytes()), value, "{text}");
        }
    }
}
