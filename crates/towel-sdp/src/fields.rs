//! The fields that are no attributes: `o=`, `c=`, `m=`, `b=`, `t=`.

use crate::cursor::{is_token, number};
use crate::{Cursor, Fault};
use core::net::IpAddr;

/// `o=` (RFC 8866 section 5.2). Identifier and version are kept as their digits, which have no
/// greatest number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin<'d> {
    /// The user name, `-` for none.
    pub username: &'d str,
    /// The session identifier, digits.
    pub session_id: &'d str,
    /// The version of the description, digits.
    pub version: &'d str,
    /// The network type, `IN`.
    pub nettype: &'d str,
    /// The address type, `IP4` or `IP6`.
    pub addrtype: &'d str,
    /// The address of who made the session.
    pub address: &'d str,
}

impl<'d> Origin<'d> {
    /// Reads the value of an `o=`.
    pub fn read(mut cursor: Cursor<'d>) -> Result<Self, Fault> {
        let username = cursor.word("the user name of o=")?;
        let mut digits = |part| {
            let place = cursor.at_word();
            let word = cursor.word(part)?;
            match word.bytes().all(|b| b.is_ascii_digit()) {
                true => Ok(word),
                false => Err(place.malformed(part)),
            }
        };
        let session_id = digits("the session identifier of o=")?;
        let version = digits("the version of o=")?;
        Ok(Self {
            username,
            session_id,
            version,
            nettype: cursor.token("the network type of o=")?,
            addrtype: cursor.token("the address type of o=")?,
            address: cursor.word("the address of o=")?,
        })
    }

    /// The version as a number, where it is one of 64 bits.
    pub fn version_number(&self) -> Option<u64> {
        number(self.version)
    }

    /// Whether the other is the same but for the version (RFC 3264 section 8).
    pub fn same_session(&self, other: &Self) -> bool {
        Self { version: "", ..*self } == Self { version: "", ..*other }
    }
}

/// `c=` (RFC 8866 section 5.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connection<'d> {
    /// The network type, `IN`.
    pub nettype: &'d str,
    /// The address type, `IP4` or `IP6`.
    pub addrtype: &'d str,
    /// The address, without what follows its `/`.
    pub address: &'d str,
    /// What follows the first `/` of a multicast address: a time to live, a count, or both.
    pub suffix: Option<&'d str>,
}

impl<'d> Connection<'d> {
    /// Reads the value of a `c=`.
    pub fn read(mut cursor: Cursor<'d>) -> Result<Self, Fault> {
        let nettype = cursor.token("the network type of c=")?;
        let addrtype = cursor.token("the address type of c=")?;
        let place = cursor.at_word();
        let whole = cursor.word("the address of c=")?;
        let (address, suffix) = match whole.split_once('/') {
            Some((address, suffix)) => (address, Some(suffix)),
            None => (whole, None),
        };
        if address.is_empty() {
            return Err(place.malformed("the address of c="));
        }
        Ok(Self { nettype, addrtype, address, suffix })
    }

    /// The address, where it is one and no name.
    pub fn ip(&self) -> Option<IpAddr> {
        self.address.parse().ok()
    }

    /// Whether nothing may be sent there: 0.0.0.0, the old way of holding (RFC 3264 section 8.4),
    /// and its like in IPv6.
    pub fn is_unspecified(&self) -> bool {
        self.ip().is_some_and(|ip| ip.is_unspecified())
    }

    /// Whether the address is a multicast group's.
    pub fn is_multicast(&self) -> bool {
        self.ip().is_some_and(|ip| ip.is_multicast())
    }
}

/// `m=` (RFC 8866 section 5.14).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MediaLine<'d> {
    /// The media type: `audio`, `video`, `image` ...
    pub media: &'d str,
    /// The port. 0 means that the stream is not wanted (RFC 3264 section 5.1).
    pub port: u16,
    /// The number of ports after the `/`.
    pub count: Option<u32>,
    /// The transport, as `RTP/AVP`.
    pub proto: &'d str,
    formats: &'d [u8],
}

impl<'d> MediaLine<'d> {
    /// Reads the value of an `m=`.
    pub fn read(mut cursor: Cursor<'d>) -> Result<Self, Fault> {
        let media = cursor.token("the media type of m=")?;
        let place = cursor.at_word();
        let ports = cursor.word("the port of m=")?;
        let (port, count) = match ports.split_once('/') {
            Some((port, count)) => {
                (port, Some(number(count).ok_or(place.malformed("the number of ports of m="))?))
            }
            None => (ports, None),
        };
        let port = number(port).ok_or(place.malformed("the port of m="))?;
        let place = cursor.at_word();
        let proto = cursor.word("the transport of m=")?;
        if !proto.split('/').all(is_token) {
            return Err(place.malformed("the transport of m="));
        }
        let formats = cursor.rest();
        let mut look = cursor;
        look.word("a format of m=")?;
        while look.next_word("a format of m=")?.is_some() {}
        Ok(Self { media, port, count, proto, formats })
    }

    /// The formats, the preferred one first.
    pub fn formats(&self) -> impl Iterator<Item = &'d str> + Clone + use<'d> {
        let words = self.formats.split(|b| matches!(b, b' ' | b'\t'));
        words.filter_map(|w| core::str::from_utf8(w).ok().filter(|w| !w.is_empty()))
    }

    /// Whether the formats are payload types of RTP.
    pub fn is_rtp(&self) -> bool {
        is_rtp(self.proto)
    }
}

/// Whether a transport carries RTP, so that its formats are payload types.
pub(crate) fn is_rtp(proto: &str) -> bool {
    proto.split('/').any(|part| part.eq_ignore_ascii_case("RTP"))
}

/// `b=` (RFC 8866 section 5.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bandwidth<'d> {
    /// `CT`, `AS`, `TIAS` (RFC 3890), `RS` and `RR` (RFC 3556) ...
    pub kind: &'d str,
    /// In kilobits a second for `CT` and `AS`, in bits a second for the others named.
    pub value: u64,
}

impl<'d> Bandwidth<'d> {
    /// Reads the value of a `b=`.
    pub fn read(mut cursor: Cursor<'d>) -> Result<Self, Fault> {
        let place = cursor.at_word();
        let word = cursor.word("b=")?;
        let parts = word.split_once(':').filter(|(kind, _)| is_token(kind));
        let read = parts.and_then(|(kind, value)| Some(Self { kind, value: number(value)? }));
        read.ok_or(place.malformed("b="))
    }
}

/// `t=` (RFC 8866 section 5.9): seconds since 1900, or 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// When the session begins; 0 for any time.
    pub start: u64,
    /// When it ends; 0 for never.
    pub stop: u64,
}

impl Timing {
    /// Reads the value of a `t=`.
    pub fn read(mut cursor: Cursor<'_>) -> Result<Self, Fault> {
        let start = cursor.number("the start of t=")?;
        Ok(Self { start, stop: cursor.number("the stop of t=")? })
    }
}
