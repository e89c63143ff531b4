//! Writing of descriptions.

use crate::payload::Encoding;
use crate::{Direction, Origin};
use core::fmt::{self, Write as _};
use core::net::IpAddr;

/// Writes a description line by line, each ended as RFC 8866 wants it.
///
/// A value that would break out of its line is not written: [`Builder::finish`] tells of it.
/// The order of the lines is the caller's; that of RFC 8866 section 5 is `v o s i u e p c b t r z
/// k a`, then for each medium `m i c b k a`.
#[derive(Clone, Debug, Default)]
pub struct Builder {
    out: String,
    fault: Option<BuildFault>,
}

/// A value that cannot stand in a line: it is empty, or holds a line end or a NUL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildFault {
    /// The letter of the line.
    pub letter: char,
    /// The value.
    pub value: String,
}

impl fmt::Display for BuildFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} cannot be the value of {}=", self.value, self.letter)
    }
}

impl core::error::Error for BuildFault {}

impl Builder {
    /// Begins with `v=`, `o=` and `s=-` (RFC 8866 section 5.3: a name for those that have none).
    pub fn new(origin: &Origin<'_>) -> Self {
        let mut builder = Self::default();
        builder.line('v', "0");
        let Origin { username, session_id, version, nettype, addrtype, address } = origin;
        let words = [username, session_id, version, nettype, addrtype, address];
        let value = format!("{username} {session_id} {version} {nettype} {addrtype} {address}");
        if words.iter().any(|w| w.is_empty() || w.bytes().any(|b| b.is_ascii_whitespace())) {
            builder.refuse('o', &value);
        }
        builder.line('o', &value);
        builder.line('s', "-");
        builder
    }

    fn refuse(&mut self, letter: char, value: &str) {
        self.fault.get_or_insert_with(|| BuildFault { letter, value: value.to_owned() });
    }

    /// A line.
    pub fn line(&mut self, letter: char, value: &str) -> &mut Self {
        if value.is_empty() || value.contains(['\r', '\n', '\0']) {
            self.refuse(letter, value);
        } else {
            let _ = write!(self.out, "{letter}={value}\r\n");
        }
        self
    }

    /// `c=` with an address.
    pub fn connection(&mut self, address: IpAddr) -> &mut Self {
        self.line('c', &format!("IN {} {address}", addrtype(address)))
    }

    /// `t=0 0`: a session without bounds in time.
    pub fn unbounded(&mut self) -> &mut Self {
        self.line('t', "0 0")
    }

    /// `m=`.
    pub fn media<'f>(
        &mut self,
        media: &str,
        port: u16,
        proto: &str,
        formats: impl IntoIterator<Item = &'f str>,
    ) -> &mut Self {
        let formats: Vec<&str> = formats.into_iter().collect();
        let value = format!("{media} {port} {proto} {}", formats.join(" "));
        let mut words = [media, proto].into_iter().chain(formats.iter().copied());
        if formats.is_empty()
            || words.any(|w| w.is_empty() || w.bytes().any(|b| b.is_ascii_whitespace()))
        {
            self.refuse('m', &value);
            return self;
        }
        self.line('m', &value)
    }

    /// An attribute without a value.
    pub fn flag(&mut self, name: &str) -> &mut Self {
        self.line('a', name)
    }

    /// An attribute with its value.
    pub fn attribute(&mut self, name: &str, value: &str) -> &mut Self {
        self.line('a', &format!("{name}:{value}"))
    }

    /// `a=rtpmap`.
    pub fn rtpmap(&mut self, payload: &str, encoding: &Encoding<'_>) -> &mut Self {
        let Encoding { name, clock, channels } = encoding;
        let channels = if *channels > 1 { format!("/{channels}") } else { String::new() };
        self.attribute("rtpmap", &format!("{payload} {name}/{clock}{channels}"))
    }

    /// The attribute of a direction.
    pub fn direction(&mut self, direction: Direction) -> &mut Self {
        self.flag(direction.name())
    }

    /// The description.
    pub fn finish(self) -> Result<Vec<u8>, BuildFault> {
        match self.fault {
            Some(fault) => Err(fault),
            None => Ok(self.out.into_bytes()),
        }
    }
}

/// `IP4` or `IP6`.
pub(crate) const fn addrtype(address: IpAddr) -> &'static str {
    match address {
        IpAddr::V4(_) => "IP4",
        IpAddr::V6(_) => "IP6",
    }
}
