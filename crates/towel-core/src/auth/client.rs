//! The side that answers challenges: RFC 3261 sections 22.2 and 22.3, RFC 8760 section 2.4.

use super::digest::{Algorithm, Exchange, Hex, Qop, ha1};
use super::field::{DigestParams, quote};

/// One authentication session (RFC 7616 section 3.6): a challenge that we can answer, with the
/// secret for it. It can go on answering for later requests, counting, until a new challenge comes.
#[derive(Debug, Clone)]
pub struct Session {
    realm: Vec<u8>,
    nonce: Vec<u8>,
    opaque: Option<Vec<u8>>,
    algorithm: Algorithm,
    variant: bool,
    named: bool,
    qop: Option<Qop>,
    username: String,
    secret: Hex,
    count: u32,
    stale: bool,
}

impl Session {
    /// Takes up one challenge; none where it is not of a kind that we understand, which a client
    /// must then ignore.
    #[must_use]
    pub fn new(challenge: &[u8], username: &str, password: &str) -> Option<Self> {
        let params = DigestParams::parse(challenge).ok()?;
        let (algorithm, variant) = match params.get("algorithm") {
            None => (Algorithm::Md5, false),
            Some(token) => Algorithm::from_token(token)?,
        };
        let qop = match params.get("qop") {
            None => None,
            // "auth" is enough, and it survives what a proxy may do to a body; the other is used
            // where a server insists.
            Some(offered) => {
                let known = |qop: &Qop| {
                    let mut tokens = offered.split(|c| matches!(c, b',' | b' ' | b'\t'));
                    tokens.any(|token| Qop::from_token(token) == Some(*qop))
                };
                Some([Qop::Auth, Qop::AuthInt].into_iter().find(known)?)
            }
        };
        // RFC 3261 section 22.4, item 8: the session variant needs a cnonce, and that needs qop.
        if variant && qop.is_none() {
            return None;
        }
        let realm = params.get("realm")?;
        Some(Self {
            realm: realm.to_vec(),
            nonce: params.get("nonce")?.to_vec(),
            opaque: params.get("opaque").map(<[u8]>::to_vec),
            algorithm,
            variant,
            named: params.get("algorithm").is_some(),
            qop,
            username: username.to_owned(),
            secret: ha1(algorithm, username.as_bytes(), realm, password.as_bytes()),
            count: 0,
            stale: params.get("stale").is_some_and(|s| s.eq_ignore_ascii_case(b"true")),
        })
    }

    /// Takes up the challenges of one response: for each realm the topmost that we understand,
    /// which the server likes best (RFC 8760 section 2.4).
    #[must_use]
    pub fn choose<'a>(
        challenges: impl Iterator<Item = &'a [u8]>,
        username: &str,
        password: &str,
    ) -> Vec<Self> {
        let mut chosen: Vec<Self> = Vec::new();
        for session in challenges.filter_map(|c| Self::new(c, username, password)) {
            if chosen.iter().all(|known| known.realm != session.realm) {
                chosen.push(session);
            }
        }
        chosen
    }

    /// The realm that it is good for.
    #[must_use]
    pub fn realm(&self) -> &[u8] {
        &self.realm
    }

    /// The algorithm that it uses.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Whether the server said that only the nonce was too old. Otherwise credentials that were
    /// just refused must not be sent again (RFC 3261 section 22.1).
    #[must_use]
    pub fn stale(&self) -> bool {
        self.stale
    }

    /// The value of the Authorization or Proxy-Authorization header field for the next request.
    /// `cnonce` has to be new and random each time.
    pub fn answer(&mut self, method: &[u8], uri: &[u8], body: &[u8], cnonce: &str) -> Vec<u8> {
        self.count = self.count.wrapping_add(1);
        let count = format!("{:08x}", self.count);
        let digest = Exchange {
            algorithm: self.algorithm,
            session: self.variant,
            method,
            uri,
            nonce: &self.nonce,
            count: count.as_bytes(),
            cnonce: cnonce.as_bytes(),
            qop: self.qop,
            body,
        }
        .digest(&self.secret);
        let mut value = b"Digest username=".to_vec();
        quote(self.username.as_bytes(), &mut value);
        let quoted = [("realm", &self.realm[..]), ("nonce", &self.nonce), ("uri", uri)];
        let opaque = self.opaque.as_deref().map(|opaque| ("opaque", opaque));
        for (name, text) in quoted.into_iter().chain(opaque) {
            value.extend_from_slice(format!(", {name}=").as_bytes());
            quote(text, &mut value);
        }
        value.extend_from_slice(format!(", response=\"{}\"", digest.as_str()).as_bytes());
        if self.named {
            let variant = if self.variant { "-sess" } else { "" };
            let text = format!(", algorithm={}{variant}", self.algorithm.token());
            value.extend_from_slice(text.as_bytes());
        }
        if let Some(qop) = self.qop {
            value.extend_from_slice(
                format!(", qop={}, nc={count}, cnonce=", qop.token()).as_bytes(),
            );
            quote(cnonce.as_bytes(), &mut value);
        }
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_2617() {
        let challenge = b"Digest realm=\"testrealm@host.com\", qop=\"auth-int, auth\", \
            nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", opaque=\"5ccc069c403ebaf9f0171e9517f40e41\"";
        let mut session = Session::new(challenge, "Mufasa", "Circle Of Life").unwrap();
        let value = session.answer(b"GET", b"/dir/index.html", b"", "0a4f113b");
        let text = String::from_utf8(value).unwrap();
        assert!(text.contains("response=\"6629fae49393a05397450978507c4ef1\""), "{text}");
        assert!(text.contains("qop=auth, nc=00000001, cnonce=\"0a4f113b\""), "{text}");
        assert!(text.contains("opaque=\"5ccc069c403ebaf9f0171e9517f40e41\""), "{text}");
        assert!(!text.contains("algorithm"), "{text}");
        let next = session.answer(b"GET", b"/dir/index.html", b"", "0a4f113b");
        assert!(String::from_utf8(next).unwrap().contains("nc=00000002"));
    }

    #[test]
    fn the_topmost_challenge_that_is_understood() {
        let challenges: [&[u8]; 5] = [
            b"Digest realm=\"a\", nonce=\"1\", algorithm=SHA-3, qop=\"auth\"",
            b"Basic realm=\"a\"",
            b"Digest realm=\"a\", nonce=\"2\", algorithm=SHA-256, qop=\"auth\"",
            b"Digest realm=\"b\", nonce=\"3\"",
            b"Digest realm=\"a\", nonce=\"4\", algorithm=MD5, qop=\"auth\", stale=TRUE",
        ];
        let chosen = Session::choose(challenges.into_iter(), "u", "p");
        let seen: Vec<_> = chosen.iter().map(|s| (s.realm(), s.algorithm(), s.stale())).collect();
        assert_eq!(
            seen,
            [(&b"a"[..], Algorithm::Sha256, false), (&b"b"[..], Algorithm::Md5, false)]
        );
        assert!(
            Session::new(b"Digest realm=\"a\", nonce=\"1\", qop=\"auth-conf\"", "u", "p").is_none()
        );
        assert!(
            Session::new(b"Digest realm=\"a\", nonce=\"1\", algorithm=MD5-sess", "u", "p")
                .is_none()
        );
    }
}
