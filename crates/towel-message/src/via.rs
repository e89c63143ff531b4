//! Via (RFC 3261 section 20.42, RFC 3581).

use crate::host::{host_port, lenient_ip};
use crate::scan::{after, is_token, number, offset, run, split, trim, trim_end, trim_start};
use crate::{Fault, Host, Name, Params, Span};
use std::net::IpAddr;

/// One Via value.
#[derive(Clone, Copy, Debug)]
pub struct Via<'a> {
    /// The protocol name; `SIP` in practice.
    pub protocol: &'a [u8],
    /// The protocol version; `2.0` in practice.
    pub version: &'a [u8],
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
        Ok(Self { protocol, version, transport, host, port, sent_by, params, bytes, span })
    }

    /// The branch.
    pub fn branch(&self) -> Option<&'a [u8]> {
        self.params.value("branch")
    }

    /// The branch, if it is one of RFC 3261: the magic cookie (compared without regard to case, as
    /// all tokens) and something after it. Any other is matched by the rules for RFC 2543 peers
    /// (section 17.2.3).
    pub fn unique_branch(&self) -> Option<&'a [u8]> {
        let branch = self.branch()?;
        let (cookie, id) = split(branch, COOKIE.len());
        (cookie.eq_ignore_ascii_case(COOKIE) && !id.is_empty()).then_some(branch)
    }

    /// The address in `received`, with or without brackets.
    pub fn received(&self) -> Option<IpAddr> {
        lenient_ip(self.params.value("received")?)
    }

    /// Whether `rport` is there, and its value if it has one (RFC 3581 section 3).
    pub fn rport(&self) -> Option<Option<u16>> {
        self.params.get("rport").map(|p| p.value.and_then(number))
    }

    /// `maddr`.
    pub fn maddr(&self) -> Option<Host<'a>> {
        Host::parse(self.params.value("maddr")?)
    }

    /// `ttl`.
    pub fn ttl(&self) -> Option<u8> {
        number(self.params.value("ttl")?)
    }

    /// Whether the transport is this one, without regard to case.
    pub fn is_transport(&self, token: &str) -> bool {
        self.transport.eq_ignore_ascii_case(token.as_bytes())
    }

    /// Whether the parameters are well formed too.
    pub fn check(&self) -> Result<(), Fault> {
        let fault = || Fault::malformed(Name::Via, self.span.start as usize);
        self.params.check().map_err(|_| fault())?;
        for param in self.params {
            let Some(value) = param.value else {
                if ["branch", "received", "maddr", "ttl"]
                    .iter()
                    .any(|n| param.name.eq_ignore_ascii_case(n.as_bytes()))
                {
                    return Err(fault());
                }
                continue;
            };
            let named = |name: &str| param.name.eq_ignore_ascii_case(name.as_bytes());
            let right = if named("ttl") {
                number::<u8>(value).is_some()
            } else if named("rport") {
                number::<u16>(value).is_some()
            } else if named("maddr") {
                Host::parse(value).is_some()
            } else {
                !named("branch") || !value.starts_with(b"\"")
            };
            if !right {
                return Err(fault());
            }
        }
        Ok(())
    }

    /// Appends the value with `received` and `rport` set as a server sets them (RFC 3261 section
    /// 18.2.1, RFC 3581 section 4): `received` if the source is not what sent-by says or `rport` was
    /// asked for, the port only where it was asked for.
    pub fn write_received(&self, source: core::net::SocketAddr, out: &mut Vec<u8>) {
        let ip = unmapped(source.ip());
        let asked = self.rport().is_some();
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
            use std::io::Write;
            // Writing to a Vec does not fail.
            let _ = write!(out, ";received={ip}");
        }
    }

    /// Whether [`Via::write_received`] would change anything.
    pub fn needs_received(&self, source: core::net::SocketAddr) -> bool {
        let same = self.host.ip().is_some_and(|host| unmapped(host) == unmapped(source.ip()));
        self.rport().is_some() || !same || self.params.has("received")
    }
}

/// An IPv4 address that an IPv6 socket shows mapped is the IPv4 address.
fn unmapped(ip: IpAddr) -> IpAddr {
    ip.to_canonical()
}
