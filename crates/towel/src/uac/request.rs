//! A request in the making.

use anyhow::{Context as _, Result, bail};
use towel_core::auth::client::Session;
use towel_sim::text::Text;

use super::Wire;

/// Who is meant: `alice@example.org:5070`, with or without `sip:`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Party {
    pub(crate) user: Option<String>,
    pub(crate) host: String,
    pub(crate) port: Option<u16>,
    pub(crate) secure: bool,
}

impl Party {
    /// Reads one.
    pub(crate) fn parse(text: &str) -> Result<Party> {
        let (secure, rest) = match (text.strip_prefix("sips:"), text.strip_prefix("sip:")) {
            (Some(rest), _) => (true, rest),
            (None, Some(rest)) => (false, rest),
            (None, None) => (false, text),
        };
        if rest.is_empty()
            || rest.contains(|c: char| c.is_whitespace() || c.is_control() || "<>\"".contains(c))
        {
            bail!("`{text}` is not user@host");
        }
        let rest = rest.split([';', '?']).next().unwrap_or(rest);
        let (user, place) = match rest.rsplit_once('@') {
            Some((user, place)) => (Some(user.to_owned()), place),
            None => (None, rest),
        };
        let (host, port) = match place.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
                let port = port.parse().with_context(|| format!("`{port}` is not a port"))?;
                (host, Some(port))
            }
            _ => (place, None),
        };
        if host.is_empty() {
            bail!("`{text}` has no host");
        }
        Ok(Party { user, host: host.to_owned(), port, secure })
    }

    /// Its URI. An address of record has no port (RFC 3261 section 10.3 step 5).
    pub(crate) fn uri(&self, with_port: bool) -> String {
        let scheme = if self.secure { "sips" } else { "sip" };
        let user = self.user.as_ref().map(|user| format!("{user}@")).unwrap_or_default();
        let port = self.port.filter(|_| with_port).map(|p| format!(":{p}")).unwrap_or_default();
        format!("{scheme}:{user}{}{port}", self.host)
    }
}

/// A request that can be sent again with another CSeq.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: &'static str,
    pub(crate) uri: String,
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) contact: Option<String>,
    pub(crate) expires: Option<u32>,
    /// Content-Type and body.
    pub(crate) body: Option<(&'static str, Vec<u8>)>,
    call_id: String,
    tag: String,
    cseq: u32,
    authorization: Vec<(&'static str, String)>,
}

impl Request {
    /// A request with a Call-ID and tag of its own.
    pub(crate) fn new(method: &'static str, uri: String, from: String, to: String) -> Result<Self> {
        Ok(Request {
            method,
            uri,
            from,
            to,
            contact: None,
            expires: None,
            body: None,
            call_id: token()?,
            tag: token()?,
            cseq: 1,
            authorization: Vec::new(),
        })
    }

    /// The Call-ID.
    pub(crate) fn call_id(&self) -> &str {
        &self.call_id
    }

    /// Counts the CSeq on (RFC 3261 sections 8.1.3.5 and 10.2).
    pub(crate) fn next(&mut self) {
        self.cseq += 1;
    }

    /// Answers challenges.
    pub(crate) fn authorize(&mut self, challenge: &str, sessions: &mut [Session]) -> Result<()> {
        let name =
            if challenge == "WWW-Authenticate" { "Authorization" } else { "Proxy-Authorization" };
        self.authorization.retain(|(known, _)| *known != name);
        let body = self.body.as_ref().map(|(_, body)| body.as_slice()).unwrap_or_default();
        for session in sessions {
            let value =
                session.answer(self.method.as_bytes(), self.uri.as_bytes(), body, &token()?);
            self.authorization.push((name, String::from_utf8_lossy(&value).into_owned()));
        }
        Ok(())
    }

    /// The bytes (RFC 3261 section 8.1.1).
    pub(crate) fn write(&self, wire: &Wire, branch: &str) -> Vec<u8> {
        let mut text =
            Text { start: format!("{} {} SIP/2.0", self.method, self.uri), ..Text::default() };
        let via = wire.transport().via();
        text.add("Via", format!("SIP/2.0/{via} {};branch={branch};rport", wire.local()));
        text.add("Max-Forwards", "70");
        text.add("From", format!("<{}>;tag={}", self.from, self.tag));
        text.add("To", format!("<{}>", self.to));
        text.add("Call-ID", self.call_id.clone());
        text.add("CSeq", format!("{} {}", self.cseq, self.method));
        if let Some(contact) = &self.contact {
            text.add("Contact", contact.clone());
        }
        if let Some(expires) = self.expires {
            text.add("Expires", expires.to_string());
        }
        if self.method == "OPTIONS" {
            text.add("Accept", "application/sdp");
        }
        for (name, value) in &self.authorization {
            text.add(name, value.clone());
        }
        text.add("User-Agent", concat!("towel/", env!("CARGO_PKG_VERSION")));
        if let Some((kind, body)) = &self.body {
            text.add("Content-Type", *kind);
            text.body.clone_from(body);
        }
        text.add("Content-Length", text.body.len().to_string());
        text.write()
    }
}

/// A random token: a tag, a Call-ID, a cnonce.
pub(crate) fn token() -> Result<String> {
    towel_server::secret::token().context("the system gives no random bytes")
}

/// A branch (RFC 3261 section 8.1.1.7).
pub(crate) fn branch() -> Result<String> {
    Ok(format!("z9hG4bK{}", token()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parties() {
        let alice = Party::parse("sip:alice@example.org:5070;x=y").unwrap();
        assert_eq!(alice.uri(true), "sip:alice@example.org:5070");
        assert_eq!(alice.uri(false), "sip:alice@example.org");
        assert_eq!(Party::parse("[::1]:7").unwrap().port, Some(7));
        assert_eq!(Party::parse("sips:a@[::1]").unwrap().uri(true), "sips:a@[::1]");
        assert!(Party::parse("a b@c").is_err());
        assert!(Party::parse("a@").is_err());
        assert!(Party::parse("a@b:x").is_err());
    }
}
