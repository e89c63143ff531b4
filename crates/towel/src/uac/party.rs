//! Who is meant, in words of the command line.

use anyhow::{Context as _, Result};

use crate::options::misused;

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
            misused!("`{text}` is not user@host");
        }
        let rest = rest.split([';', '?']).next().unwrap_or(rest);
        let (user, place) = match rest.rsplit_once('@') {
            Some((user, place)) => (Some(user.to_owned()), place),
            None => (None, rest),
        };
        let (host, port) = match place.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
                let Ok(port) = port.parse() else { misused!("`{port}` is not a port") };
                (host, Some(port))
            }
            _ => (place, None),
        };
        if host.is_empty() {
            misused!("`{text}` has no host");
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

/// A random token: a Call-ID.
pub(crate) fn token() -> Result<String> {
    towel_server::secret::token().context("the system gives no random bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_names_nobody_is_wrong_usage() {
        for text in ["a b@c", "a@", "a@b:x", ""] {
            let error = Party::parse(text).unwrap_err();
            assert!(error.downcast_ref::<crate::options::Usage>().is_some(), "{text}: {error}");
        }
    }

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
