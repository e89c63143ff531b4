//! Via (RFC 3261 section 20.42, RFC 3581).

use crate::host::{host_port, lenient_ip};
use crate::params::{One, read_one};
use crate::scan::{
    Class, after, between, is_token, number, offset, run, skip_lws, split, trim, trim_end,
    trim_start,
};
use crate::stops::Stops;
use crate::{Fault, Host, Name, Param, Params, Span};
use std::net::IpAddr;

/// One Via value.
#[derive(Clone, Copy, Debug)]
pub struct Via<'a> {
    /// The transport as it was written.
    pub transport: &'a [u8],
    /// The host of sent-by.
    pub host: Host<'a>,
    /// The port of sent-by.
    pub port: Option<u16>,
    /// sent-by as it was written.
    pub sent_by: &'a [u8],
    /// The parameters.
    pub params: Params<'a>,
    /// The whole value.
    pub bytes: &'a [u8],
    /// Where it stands in its message.
    pub span: Span,
    pub(crate) known: Known<'a>,
}

/// The parameters that every element reads, found in one pass over them all.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Known<'a> {
    branch: Option<&'a [u8]>,
    /// Whether these are there, with a value: they are rare, and read when they are asked for.
    received: bool,
    maddr: bool,
    ttl: bool,
    rport: Option<Option<u16>>,
    /// Where `rport` ends in the parameters.
    rport_end: u32,
    /// All of them are generic-params, none is there twice, and those above have values; else
    /// [`Via::check`] looks closer.
    sound: bool,
}

/// What [`Via::stamp`] did to a message: for [`crate::Index::stamped`].
#[derive(Clone, Copy, Debug)]
pub struct Stamped {
    pub(crate) span: Span,
    pub(crate) len: usize,
    pub(crate) stamp: Option<Stamp>,
}

impl Stamp {
    /// Where something of the value `value` stands after the port was inserted.
    pub(crate) fn moved(&self, value: Span, span: Span) -> Span {
        match self.port {
            Some((at, by, _)) if span.start >= value.start + at as u32 => span.shifted(by as u32),
            _ => span,
        }
    }
}

/// Where those stand.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KnownAt {
    branch: Option<Span>,
    received: bool,
    maddr: bool,
    ttl: bool,
    rport: Option<Option<u16>>,
    rport_end: u32,
    sound: bool,
}

impl KnownAt {
    /// Whether [`Via::check`] finds nothing, as can be told without reading anything again.
    pub(crate) fn is_plain(&self, bytes: &[u8]) -> bool {
        let quoted = |branch: Span| bytes.get(branch.start as usize) == Some(&b'"');
        self.sound && !self.maddr && !self.ttl && !self.branch.is_some_and(quoted)
    }
}

/// What was written into a Via: all places count from the start of the value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stamp {
    /// Where the port was inserted, how many bytes with its `=`, and the port.
    pub(crate) port: Option<(usize, usize, u16)>,
    /// Whether the address was written.
    pub(crate) received: bool,
    /// How long the value is now.
    pub(crate) len: usize,
}

/// Parameters of other names among which a repeated one is looked for at once.
const OTHERS: usize = 4;

impl<'a> Known<'a> {
    /// Reads the parameters, whose first semicolon stands at a place.
    fn read(stops: &mut Stops<'a>, at: usize, params: Params<'a>) -> Self {
        let bytes = params.bytes();
        let mut known = Self { sound: true, ..Self::default() };
        let mut others: [&[u8]; OTHERS] = [b""; OTHERS];
        let mut count = 0;
        let mut at = at;
        loop {
            match read_one(stops, at) {
                One::Param(param, next) => {
                    at = next;
                    let sound = known.take(param, bytes).unwrap_or_else(|| {
                        let before = others.get(..count).unwrap_or(&[]);
                        let again = before.iter().any(|n| n.eq_ignore_ascii_case(param.name));
                        let room = others.get_mut(count).map(|place| *place = param.name);
                        count += 1;
                        room.is_some() && !again
                    });
                    if !sound {
                        break;
                    }
                }
                One::End => return known,
                One::Malformed => break,
            }
        }
        // Not as it should be: found as whoever reads one of them would, the first of each name.
        Self {
            branch: params.value("branch"),
            received: params.value("received").is_some(),
            maddr: params.value("maddr").is_some(),
            ttl: params.value("ttl").is_some(),
            rport: params.get("rport").map(|p| p.value.and_then(number)),
            rport_end: 0,
            sound: false,
        }
    }

    /// Takes a parameter in if it is one of these; says whether it is sound.
    #[inline]
    fn take(&mut self, param: Param<'a>, params: &[u8]) -> Option<bool> {
        let name = param.name;
        let is = |text: &[u8]| name == text || name.eq_ignore_ascii_case(text);
        let there = match (name.len(), name.first()? | 0x20) {
            (6, b'b') if is(b"branch") => {
                let again = self.branch.is_some();
                self.branch = param.value;
                return Some(!again && param.value.is_some());
            }
            (5, b'r') if is(b"rport") => {
                let number = param.value.map(number);
                self.rport_end = (offset(params, name) + name.len()) as u32;
                let again = self.rport.replace(number.flatten()).is_some();
                return Some(!again && number != Some(None));
            }
            (8, b'r') if is(b"received") => &mut self.received,
            (5, b'm') if is(b"maddr") => &mut self.maddr,
            (3, b't') if is(b"ttl") => &mut self.ttl,
            _ => return None,
        };
        let again = core::mem::replace(there, param.value.is_some());
        Some(!again && param.value.is_some())
    }

    pub(crate) fn places(&self, span: impl Fn(&[u8]) -> Span) -> KnownAt {
        KnownAt {
            branch: self.branch.map(&span),
            received: self.received,
            maddr: self.maddr,
            ttl: self.ttl,
            rport: self.rport,
            rport_end: self.rport_end,
            sound: self.sound,
        }
    }

    /// Those of a value that was stamped: what stands behind the port has moved.
    pub(crate) fn stamped(at: &KnownAt, value: Span, stamp: &Stamp) -> KnownAt {
        KnownAt {
            branch: at.branch.map(|span| stamp.moved(value, span)),
            received: stamp.received,
            rport: stamp.port.map_or(at.rport, |(.., port)| Some(Some(port))),
            ..*at
        }
    }

    pub(crate) fn at(at: &KnownAt, bytes: &'a [u8]) -> Self {
        Self {
            branch: at.branch.map(|span| span.of(bytes)),
            received: at.received,
            maddr: at.maddr,
            ttl: at.ttl,
            rport: at.rport,
            rport_end: at.rport_end,
            sound: at.sound,
        }
    }
}

/// The start of a branch of RFC 3261 (section 8.1.1.7).
pub(crate) const COOKIE: &[u8] = b"z9hG4bK";

impl<'a> Via<'a> {
    /// Reads one value.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Fault> {
        Self::parse_at(bytes, Span::new(0, bytes.len()))
    }

    /// Reads one value that stands at `span` of a message.
    pub fn parse_at(bytes: &'a [u8], span: Span) -> Result<Self, Fault> {
        match Self::read_plain(bytes, span) {
            Some(via) => Ok(via),
            None => Self::read_with_care(bytes, span),
        }
    }

    /// The form that almost every Via has: `SIP/2.0/`, a transport, one space, sent-by, parameters.
    #[inline]
    fn read_plain(bytes: &'a [u8], span: Span) -> Option<Self> {
        if bytes.first_chunk::<8>()? != b"SIP/2.0/" {
            return None;
        }
        let mut stops = Stops::new(bytes);
        let space = stops.skip(8, Class::TOKEN);
        let start = skip_lws(bytes, space);
        let host_end = stops.skip(start, Class::HOST);
        if space == 8 || start == space || host_end == start {
            return None;
        }
        let host = Host::of_name_bytes(between(bytes, start, host_end))?;
        let mut end = host_end;
        let mut port = None;
        if bytes.get(end) == Some(&b':') {
            end = stops.skip(end + 1, Class::HOST);
            port = Some(number(between(bytes, host_end + 1, end))?);
        }
        let params = after(bytes, end);
        if !matches!(params.first(), None | Some(b';')) {
            return None;
        }
        let params = Params::new(params);
        Some(Self {
            transport: between(bytes, 8, space),
            host,
            port,
            sent_by: between(bytes, start, end),
            params,
            bytes,
            span,
            known: Known::read(&mut stops, end, params),
        })
    }

    fn read_with_care(bytes: &'a [u8], span: Span) -> Result<Self, Fault> {
        let fault =
            |at: &[u8]| Fault::malformed(Name::Via, span.start as usize + offset(bytes, at));
        // sent-protocol: three tokens with slashes between, and white space around the slashes.
        let mut rest = bytes;
        let mut parts: [&[u8]; 2] = [b"", b""];
        for part in &mut parts {
            let slash = rest.iter().position(|b| *b == b'/').ok_or(fault(rest))?;
            *part = trim(split(rest, slash).0);
            rest = after(rest, slash + 1);
        }
        let [protocol, version] = parts;
        rest = trim_start(rest);
        let (transport, tail) = split(rest, run(rest, crate::scan::is_token_char));
        let sent = trim_start(tail);
        let spaced = sent.len() < tail.len();
        if !is_token(protocol) || !is_token(version) || transport.is_empty() || !spaced {
            return Err(fault(rest));
        }
        let end = sent.iter().position(|b| *b == b';').unwrap_or(sent.len());
        let (sent_by, params) = split(sent, end);
        let sent_by = trim_end(sent_by);
        let (host, port) = host_port(sent_by).ok_or(fault(sent))?;
        let params = Params::new(params);
        let mut stops = Stops::new(params.bytes());
        let known = Known::read(&mut stops, skip_lws(params.bytes(), 0), params);
        Ok(Self { transport, host, port, sent_by, params, bytes, span, known })
    }

    /// The protocol name; `SIP` in practice.
    pub fn protocol(&self) -> &'a [u8] {
        trim(self.bytes.split(|byte| *byte == b'/').next().unwrap_or_default())
    }

    /// The protocol version; `2.0` in practice.
    pub fn version(&self) -> &'a [u8] {
        trim(self.bytes.split(|byte| *byte == b'/').nth(1).unwrap_or_default())
    }

    /// The branch.
    pub fn branch(&self) -> Option<&'a [u8]> {
        self.known.branch
    }

    /// The branch, if it is one of RFC 3261: the magic cookie (compared without regard to case, as
    /// all tokens) and something after it. Any other is matched by the rules for RFC 2543 peers
    /// (section 17.2.3).
    pub fn unique_branch(&self) -> Option<&'a [u8]> {
        let branch = self.branch()?;
        let (cookie, id) = split(branch, COOKIE.len());
        (cookie.eq_ignore_ascii_case(COOKIE) && !id.is_empty()).then_some(branch)
    }

    fn rare(&self, there: bool, name: &str) -> Option<&'a [u8]> {
        if there { self.params.value(name) } else { None }
    }

    /// The address in `received`, with or without brackets.
    pub fn received(&self) -> Option<IpAddr> {
        lenient_ip(self.rare(self.known.received, "received")?)
    }

    /// Whether `rport` is there, and its value if it has one (RFC 3581 section 3).
    pub fn rport(&self) -> Option<Option<u16>> {
        self.known.rport
    }

    /// `maddr`.
    pub fn maddr(&self) -> Option<Host<'a>> {
        Host::parse(self.rare(self.known.maddr, "maddr")?)
    }

    /// `ttl`.
    pub fn ttl(&self) -> Option<u8> {
        number(self.rare(self.known.ttl, "ttl")?)
    }

    /// Whether the transport is this one, without regard to case.
    pub fn is_transport(&self, token: &str) -> bool {
        self.transport.eq_ignore_ascii_case(token.as_bytes())
    }

    /// Whether the parameters are well formed too.
    pub fn check(&self) -> Result<(), Fault> {
        let fault = || Fault::malformed(Name::Via, self.span.start as usize);
        if !self.known.sound {
            self.params.check().map_err(|_| fault())?;
            let valueless = ["branch", "received", "maddr", "ttl"]
                .iter()
                .any(|name| self.params.get(name).is_some_and(|param| param.value.is_none()));
            let port = self.params.value("rport");
            if valueless || port.is_some_and(|port| number::<u16>(port).is_none()) {
                return Err(fault());
            }
        }
        let Known { branch, maddr, ttl, .. } = self.known;
        let right = branch.is_none_or(|value| !value.starts_with(b"\""))
            && (!maddr || self.maddr().is_some())
            && (!ttl || self.ttl().is_some());
        if right { Ok(()) } else { Err(fault()) }
    }

    /// Appends the value with `received` and `rport` set as a server sets them (RFC 3261 section
    /// 18.2.1, RFC 3581 section 4): `received` if the source is not what sent-by says or `rport` was
    /// asked for, the port only where it was asked for.
    pub fn write_received(&self, source: core::net::SocketAddr, out: &mut Vec<u8>) {
        if self.write_received_plain(source, out).is_none() {
            self.write_received_with_care(source, out);
        }
    }

    /// The usual case: nothing stands there yet, at most an `rport` without a value. What was
    /// written differs from what was there by an insertion and by what stands behind the rest.
    /// Returns the two places in the value as it is written, and what was inserted.
    #[inline]
    fn write_received_plain(
        &self,
        source: core::net::SocketAddr,
        out: &mut Vec<u8>,
    ) -> Option<Stamp> {
        let Known { received: false, rport, rport_end, sound: true, .. } = self.known else {
            return None;
        };
        let ip = unmapped(source.ip());
        let same = self.host.ip().is_some_and(|host| unmapped(host) == ip);
        let start = out.len();
        let mut port = None;
        match rport {
            None => out.extend_from_slice(trim_end(self.bytes)),
            Some(None) => {
                let at = offset(self.bytes, self.params.bytes()) + rport_end as usize;
                let (before, behind) = split(self.bytes, at);
                out.extend_from_slice(before);
                out.push(b'=');
                crate::scan::push_number(out, u64::from(source.port()));
                port = Some((at, out.len() - start - at, source.port()));
                out.extend_from_slice(trim_end(behind));
            }
            Some(Some(_)) => return None,
        }
        let received = rport.is_some() || !same;
        if received {
            out.extend_from_slice(b";received=");
            crate::host::push_ip(out, ip);
        }
        Some(Stamp { port, received, len: out.len() - start })
    }

    fn write_received_with_care(&self, source: core::net::SocketAddr, out: &mut Vec<u8>) {
        let ip = unmapped(source.ip());
        let asked = self.known.rport.is_some();
        let same = self.host.ip().is_some_and(|host| unmapped(host) == ip);
        let head = offset(self.bytes, self.params.bytes()).min(self.bytes.len());
        out.extend_from_slice(trim_end(split(self.bytes, head).0));
        for param in self.params {
            if param.name.eq_ignore_ascii_case(b"received") {
                continue;
            }
            out.push(b';');
            out.extend_from_slice(param.name);
            if param.name.eq_ignore_ascii_case(b"rport") {
                out.push(b'=');
                crate::scan::push_number(out, u64::from(source.port()));
            } else if let Some(value) = param.value {
                out.push(b'=');
                out.extend_from_slice(value);
            }
        }
        if asked || !same {
            out.extend_from_slice(b";received=");
            crate::host::push_ip(out, ip);
        }
    }

    /// Appends the message with its topmost Via, which this is, stamped; and has the index fit it.
    pub fn stamp(
        &self,
        source: core::net::SocketAddr,
        message: &[u8],
        out: &mut Vec<u8>,
    ) -> Stamped {
        let span = self.span.range();
        out.extend_from_slice(message.get(..span.start).unwrap_or_default());
        let start = out.len();
        let stamp = self.write_received_plain(source, out);
        if stamp.is_none() {
            self.write_received_with_care(source, out);
        }
        let len = out.len() - start;
        out.extend_from_slice(message.get(span.end..).unwrap_or_default());
        Stamped { span: self.span, len, stamp }
    }

    /// Whether [`Via::write_received`] would change anything.
    pub fn needs_received(&self, source: core::net::SocketAddr) -> bool {
        let ip = unmapped(source.ip());
        let same = self.host.ip().is_some_and(|host| unmapped(host) == ip);
        let Known { rport, received, .. } = self.known;
        match rport {
            // It was written before, by ourselves or to the same effect.
            Some(Some(port)) if port == source.port() => self.received().map(unmapped) != Some(ip),
            Some(_) => true,
            None => !same || received,
        }
    }
}

/// An IPv4 address that an IPv6 socket shows mapped is the IPv4 address.
fn unmapped(ip: IpAddr) -> IpAddr {
    ip.to_canonical()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// The quick reader takes only what the careful one reads in the same way.
        #[test]
        fn both_readers_agree(
            head in r"(SIP/2\.0/|sip/2\.0/|SIP / 2.0 /|SIP/2.0)(UDP|TCP|tls|)( |  |\t|)",
            host in r"(h|a\.b|192\.0\.2\.1|1\.2\.3|1\.2\.3\.4\.|\[::1\]|-a|a-|a\.\.b|)(:5060|:|:x|:70000| : 1|)",
            params in r"( ?; ?(branch|received|rport|maddr|TTL|alias|x|)( ?= ?(z9hG4bKa|1|::1|h|\x22a;b\x22|\x22|<|)|)){0,6}[ ,]?",
        ) {
            let text = format!("{head}{host}{params}");
            let bytes = text.as_bytes();
            let span = Span::new(7, 7 + bytes.len());
            if let Some(quick) = Via::read_plain(bytes, span) {
                let careful = Via::read_with_care(bytes, span);
                prop_assert_eq!(format!("{:?}", Ok::<_, Fault>(quick)), format!("{careful:?}"));
            }
            if let Ok(via) = Via::parse(bytes) {
                // Nothing that is known differs from what a reader of the parameters finds.
                prop_assert_eq!(via.branch(), via.params.value("branch"));
                prop_assert_eq!(via.rport().is_some(), via.params.has("rport"));
                prop_assert_eq!(via.maddr().is_some(),
                    via.params.value("maddr").is_some_and(|v| Host::parse(v).is_some()));
                if via.check().is_ok() {
                    prop_assert!(via.params.check().is_ok());
                }
            }
        }

        /// A stamped Via is what a careful writer makes of it, and what is kept of it is what a
        /// reader of the stamped message finds.
        #[test]
        fn stamping_is_the_same_by_either_way(
            host in r"(h|192\.0\.2\.1)(:5060|)",
            params in r"( ?; ?(branch|received|rport|maddr|ttl|alias)( ?= ?(z9hG4bKa|1|h)|)){0,5} ?",
        ) {
            let source: core::net::SocketAddr = "192.0.2.1:5062".parse().unwrap();
            let text = format!(
                "OPTIONS sip:a SIP/2.0\r\nVia: SIP/2.0/UDP {host}{params}\r\nTo: <sip:a>\r\n\r\n"
            );
            let mut index = crate::Index::new();
            let limits = crate::Limits::default();
            let message = crate::Message::parse(text.as_bytes(), &mut index, &limits).unwrap();
            let Ok(via) = message.top_via() else { return Ok(()) };
            let mut careful = Vec::new();
            via.write_received_with_care(source, &mut careful);
            let mut quick = Vec::new();
            if via.write_received_plain(source, &mut quick).is_some() {
                let plain = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(' ', "");
                prop_assert_eq!(plain(&quick), plain(&careful));
            }
            let mut bytes = Vec::new();
            let done = via.stamp(source, message.bytes(), &mut bytes);
            index.stamped(&done);
            let kept = crate::Message::with_index(&bytes, &index);
            let mut fresh = crate::Index::new();
            let read = crate::Message::parse(&bytes, &mut fresh, &limits).unwrap();
            prop_assert_eq!(kept.value(Name::To), read.value(Name::To));
            let same = |via: Result<Via<'_>, Fault>| format!("{via:?}").replace("sound: false", "sound: true");
            prop_assert_eq!(same(kept.top_via()), same(read.top_via()));
        }
    }
}
