//! sip and sips URIs (RFC 3261 section 19.1.1).

use super::escape::{is_escaped_text, unescaped_eq};
use crate::host::host_port;
use crate::scan::{
    Class, after, is_hnv_char, is_param_char, is_password_char, is_user_char, split,
};
use crate::stops::Stops;
use crate::{Fault, Host, Method};

/// A sip or sips URI.
#[derive(Clone, Copy, Debug)]
pub struct SipUri<'a> {
    /// Whether the scheme is sips.
    pub secure: bool,
    /// The user part, escapes as they are.
    pub user: Option<&'a [u8]>,
    /// The password, escapes as they are.
    pub password: Option<&'a [u8]>,
    /// The host.
    pub host: Host<'a>,
    /// The port.
    pub port: Option<u16>,
    /// The host and port as they were written.
    pub host_port: &'a [u8],
    /// The URI parameters.
    pub params: UriParams<'a>,
    /// The headers.
    pub headers: UriHeaders<'a>,
    /// The whole URI.
    pub bytes: &'a [u8],
}

/// Where the parts of a URI of the usual form stand in the bytes that it was read from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plain<'a> {
    /// The end of the user part, where there is one.
    pub(crate) user: Option<usize>,
    pub(crate) host: Host<'a>,
    pub(crate) host_start: usize,
    pub(crate) port: Option<u16>,
    /// The end of host and port: the parameters start here.
    pub(crate) params: usize,
    /// How many parameters there are.
    pub(crate) count: usize,
    pub(crate) end: usize,
}

impl<'a> Plain<'a> {
    /// Reads what follows the scheme, up to the end or to a closing bracket.
    #[inline(always)]
    pub(crate) fn read(stops: &mut Stops<'a>, start: usize) -> Option<Self> {
        let at = stops.skip(start, Class::USER);
        let (user, host_start) = match stops.get(at) {
            Some(b'@') if at > start => (Some(at), at + 1),
            // A port may follow, or a password.
            Some(b':') if !stops.has(at, stops.bytes().len(), b'@') => (None, start),
            None | Some(b'>') => (None, start),
            Some(_) => return None,
        };
        let host_end = stops.skip(host_start, Class::HOST);
        let mut params = host_end;
        let mut port = None;
        if stops.get(params) == Some(b':') {
            params = stops.skip(params + 1, Class::HOST);
            port = Some(crate::scan::number(stops.between(host_end + 1, params))?);
        }
        // Each parameter, with one pass over them all.
        let mut end = params;
        let mut count = 0;
        while stops.get(end) == Some(b';') {
            if count == crate::limits::MAX_PARAMS {
                return None;
            }
            let name = stops.skip(end + 1, Class::PARAM);
            if name == end + 1 {
                return None;
            }
            end = name;
            if stops.get(name) == Some(b'=') {
                end = stops.skip(name + 1, Class::PARAM);
                if end == name + 1 {
                    return None;
                }
            }
            count += 1;
        }
        let host = Host::of_name_bytes(stops.between(host_start, host_end))?;
        Some(Self { user, host, host_start, port, params, count, end })
    }
}

/// The parameters of a URI: everything from the first semicolon on, without the headers.
#[derive(Clone, Copy, Debug, Default)]
pub struct UriParams<'a> {
    bytes: &'a [u8],
}

/// The headers of a URI: everything from the question mark on.
#[derive(Clone, Copy, Debug, Default)]
pub struct UriHeaders<'a> {
    bytes: &'a [u8],
}

impl<'a> SipUri<'a> {
    /// Reads a sip or sips URI.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Fault> {
        match super::Uri::parse(bytes)? {
            super::Uri::Sip(uri) => Ok(uri),
            _ => Err(Fault::new(416, "Unsupported URI Scheme", 0)),
        }
    }

    /// A URI of the parts of one that was read before, without password and headers.
    pub(crate) fn from_parts(
        secure: bool,
        user: Option<&'a [u8]>,
        (host, port, host_port): (Host<'a>, Option<u16>, &'a [u8]),
        params: &'a [u8],
        bytes: &'a [u8],
    ) -> Self {
        Self {
            secure,
            user,
            password: None,
            host,
            port,
            host_port,
            params: UriParams { bytes: params },
            headers: UriHeaders::default(),
            bytes,
        }
    }

    pub(crate) fn parse_rest(bytes: &'a [u8], rest: &'a [u8], secure: bool) -> Result<Self, Fault> {
        match Self::read_plain(bytes, rest, secure) {
            Some(uri) => Ok(uri),
            None => Self::read_with_care(bytes, rest, secure),
        }
    }

    /// The form that almost every URI has: no password, no escapes, no headers, no IPv6 address.
    #[inline]
    fn read_plain(bytes: &'a [u8], rest: &'a [u8], secure: bool) -> Option<Self> {
        let mut stops = Stops::new(bytes);
        let start = bytes.len().saturating_sub(rest.len());
        let plain = Plain::read(&mut stops, start)?;
        if plain.end != bytes.len() {
            return None;
        }
        Some(Self {
            secure,
            user: plain.user.map(|end| stops.between(start, end)),
            password: None,
            host: plain.host,
            port: plain.port,
            host_port: stops.between(plain.host_start, plain.params),
            params: UriParams { bytes: stops.between(plain.params, plain.end) },
            headers: UriHeaders::default(),
            bytes,
        })
    }

    fn read_with_care(bytes: &'a [u8], rest: &'a [u8], secure: bool) -> Result<Self, Fault> {
        let fault = |at: &[u8]| Fault::new(400, "Malformed URI", crate::scan::offset(bytes, at));
        // A user part may hold ';' and '?', but no '@' that is not escaped; neither may parameters
        // and headers. So the first '@' ends the user information.
        let (user, password, rest) = match rest.iter().position(|b| *b == b'@') {
            Some(at) => {
                let (info, rest) = (split(rest, at).0, after(rest, at + 1));
                match info.iter().position(|b| *b == b':') {
                    Some(at) => (Some(split(info, at).0), Some(after(info, at + 1)), rest),
                    None => (Some(info), None, rest),
                }
            }
            None => (None, None, rest),
        };
        if user.is_some_and(|u| u.is_empty() || !is_escaped_text(u, is_user_char)) {
            return Err(fault(user.unwrap_or(bytes)));
        }
        if password.is_some_and(|p| !is_escaped_text(p, is_password_char)) {
            return Err(fault(password.unwrap_or(bytes)));
        }
        let end = rest.iter().position(|b| matches!(b, b';' | b'?')).unwrap_or(rest.len());
        let (place, rest) = split(rest, end);
        if place.iter().any(|b| crate::scan::is_lws(*b)) {
            return Err(fault(place));
        }
        let (host, port) = host_port(place).ok_or(fault(place))?;
        let question = rest.iter().position(|b| *b == b'?').unwrap_or(rest.len());
        let (params, headers) = split(rest, question);
        let uri = Self {
            secure,
            user,
            password,
            host,
            port,
            host_port: place,
            params: UriParams { bytes: params },
            headers: UriHeaders { bytes: headers },
            bytes,
        };
        if !uri.params.are_well_formed() {
            return Err(fault(params));
        }
        if !uri.headers.are_well_formed() {
            return Err(fault(headers));
        }
        Ok(uri)
    }

    /// A parameter: `Some(None)` where it is there without a value.
    pub fn param(&self, name: &str) -> Option<Option<&'a [u8]>> {
        self.params.get(name)
    }

    /// Whether the `lr` parameter is there: the mark of a loose router. With any value, as old
    /// elements wrote `lr=on`.
    pub fn lr(&self) -> bool {
        self.params.get("lr").is_some()
    }

    /// The `transport` parameter.
    pub fn transport(&self) -> Option<&'a [u8]> {
        self.params.get("transport").flatten()
    }

    /// The `maddr` parameter.
    pub fn maddr(&self) -> Option<Host<'a>> {
        Host::parse(self.params.get("maddr").flatten()?)
    }

    /// The `ttl` parameter.
    pub fn ttl(&self) -> Option<u8> {
        crate::scan::number(self.params.get("ttl").flatten()?)
    }

    /// The `user` parameter (`phone`, `ip`, or another).
    pub fn user_param(&self) -> Option<&'a [u8]> {
        self.params.get("user").flatten()
    }

    /// The `method` parameter.
    pub fn method(&self) -> Option<Method<'a>> {
        self.params.get("method").flatten().map(Method::from_bytes)
    }

    /// The port, or the default of the scheme.
    pub fn port_or_default(&self) -> u16 {
        self.port.unwrap_or(if self.secure { 5061 } else { 5060 })
    }
}

impl<'a> UriParams<'a> {
    /// The bytes, first semicolon included.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Parameters in order: name and value, escapes as they are.
    pub fn iter(&self) -> impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)> + use<'a> {
        elements(self.bytes, b';')
    }

    /// The first parameter of a name: `Some(None)` where it is there without a value.
    pub fn get(&self, name: &str) -> Option<Option<&'a [u8]>> {
        self.iter()
            .find(|(n, _)| {
                // Most names are written plainly; an escaped letter is equal to the letter.
                n.eq_ignore_ascii_case(name.as_bytes())
                    || (n.contains(&b'%') && unescaped_eq(n, name.as_bytes(), |_| false, true))
            })
            .map(|(_, value)| value)
    }

    fn are_well_formed(&self) -> bool {
        let right = after(self.bytes, 1).split(|b| *b == b';').enumerate().all(|(count, param)| {
            let equals = param.iter().position(|b| *b == b'=').unwrap_or(param.len());
            let (name, value) = split(param, equals);
            let value = value.strip_prefix(b"=");
            !name.is_empty()
                && count < crate::limits::MAX_PARAMS
                && is_escaped_text(name, is_param_char)
                && value.is_none_or(|v| !v.is_empty() && is_escaped_text(v, is_param_char))
        });
        self.bytes.is_empty() || right
    }

    /// Whether a parameter is there twice, which section 19.1.1 forbids.
    pub fn has_repeated(&self) -> bool {
        !self.bytes.is_empty()
            && self.iter().enumerate().any(|(count, (name, _))| {
                self.iter()
                    .take(count)
                    .any(|(before, _)| unescaped_eq(before, name, |_| false, true))
            })
    }
}

impl<'a> UriHeaders<'a> {
    /// The bytes, question mark included.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Headers in order: name and value, escapes as they are.
    pub fn iter(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        elements(self.bytes, b'&').map(|(name, value)| (name, value.unwrap_or(&[])))
    }

    fn are_well_formed(&self) -> bool {
        self.bytes.is_empty()
            || after(self.bytes, 1).split(|b| *b == b'&').enumerate().all(|(count, header)| {
                let Some(equals) = header.iter().position(|b| *b == b'=') else { return false };
                let (name, value) = (split(header, equals).0, after(header, equals + 1));
                // '=' and ';' are not in the grammar of a header's value, but are written there.
                count < crate::limits::MAX_PARAMS
                    && !name.is_empty()
                    && is_escaped_text(name, is_hnv_char)
                    && is_escaped_text(value, |b| is_hnv_char(b) || matches!(b, b'=' | b';' | b'@'))
            })
    }
}

/// Elements after a first delimiter, each `name` or `name=value`.
fn elements(bytes: &[u8], separator: u8) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> + use<'_> {
    after(bytes, 1).split(move |b| *b == separator).filter(|e| !e.is_empty()).map(|element| {
        match element.iter().position(|b| *b == b'=') {
            Some(at) => (split(element, at).0, Some(after(element, at + 1))),
            None => (element, None),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// The quick reader takes only what the careful one reads in the same way.
        #[test]
        fn both_readers_agree(
            user in r"(|a|a;b|a%41|\+1-2|a:b|a:|a b|é|a@b)(@|)",
            host in r"(h|a\.b|192\.0\.2\.1|1\.2\.3|\[::1\]|-a|a-|a\.\.b|a_b|)(:5060|:|:x|:70000|)",
            params in r"(;(lr|transport|x%41|é|)(=(tcp|a%42|[a]|\x22a\x22|)|)){0,4}(\?a=b|\?|)",
        ) {
            let text = format!("sip:{user}{host}{params}");
            let bytes = text.as_bytes();
            let rest = after(bytes, 4);
            if let Some(quick) = SipUri::read_plain(bytes, rest, false) {
                let careful = SipUri::read_with_care(bytes, rest, false);
                prop_assert_eq!(format!("{:?}", Ok::<_, Fault>(quick)), format!("{careful:?}"));
            }
        }
    }
}
