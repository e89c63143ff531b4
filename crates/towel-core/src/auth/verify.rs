//! The side that challenges: RFC 3261 sections 22.1 to 22.4, RFC 7616 sections 3.3 to 3.6.

use std::sync::Arc;

use super::Settings;
use super::credentials::Credentials;
use super::digest::{Algorithm, Exchange, Qop};
use super::field::{DigestParams, Malformed, extended, quote, realm_of};
use super::nonce::{Count, Mint, Window};
use crate::io::Now;
use crate::shards::{Current, Place};
use towel_message::{Message, Method, Name, uri};

/// How many values for our realm are looked at in one request: each costs three hashes.
const MAX_TRIED: usize = 4;

/// In which role we ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// As UAS, registrar or redirect server (RFC 3261 section 22.2).
    Server,
    /// As proxy (RFC 3261 section 22.3).
    Proxy,
}

impl Kind {
    /// The header field that carries the credentials.
    #[must_use]
    pub fn credentials(self) -> Name {
        match self {
            Self::Server => Name::Authorization,
            Self::Proxy => Name::ProxyAuthorization,
        }
    }

    /// The header field that carries a challenge.
    #[must_use]
    pub fn challenge(self) -> Name {
        match self {
            Self::Server => Name::WwwAuthenticate,
            Self::Proxy => Name::ProxyAuthenticate,
        }
    }

    /// The header field that carries [`Accepted::info`] (RFC 7616 sections 3.5 and 3.8).
    #[must_use]
    pub fn info(self) -> Name {
        match self {
            Self::Server => Name::AuthenticationInfo,
            Self::Proxy => Name::ProxyAuthenticationInfo,
        }
    }

    /// The status code of a challenge.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::Server => 401,
            Self::Proxy => 407,
        }
    }

    /// The reason phrase of a challenge.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Server => "Unauthorized",
            Self::Proxy => "Proxy Authentication Required",
        }
    }
}

/// A request that proved whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// The user's name in the realm.
    pub user: Arc<str>,
    /// Where the nonce was sent that it was proved with: what [`Authenticator::challenge`] was told.
    pub place: u64,
    /// The value of an Authentication-Info header field for the 2xx without a body, where that
    /// is switched on.
    pub info: Option<String>,
}

/// What came out of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The request is of this user.
    Accepted(Accepted),
    /// Ask for credentials, with [`Authenticator::challenge`].
    Challenge {
        /// Whether the credentials were right but for their nonce: the client need not ask its
        /// user again.
        stale: bool,
    },
    /// The credentials are malformed: a status code and reason phrase.
    Refuse(u16, &'static str),
    /// ACK and CANCEL, which must not be challenged (RFC 3261 section 22.1).
    Exempt,
}

impl Outcome {
    fn rank(&self) -> u8 {
        match self {
            Self::Challenge { stale: false } => 0,
            Self::Refuse(..) => 1,
            Self::Challenge { stale: true } => 2,
            Self::Accepted(_) | Self::Exempt => 3,
        }
    }
}

/// What the one who asks for credentials knows of the world: which URIs are ours, and who has tried how
/// often. A closure that tells URIs is one that never loses patience.
pub trait Gate {
    /// Whether we would take requests for a URI: the `uri` parameter may differ from the Request-URI,
    /// which a proxy on the way may have rewritten, if it is ours (RFC 8760 section 2.6, item 6).
    fn is_ours(&self, uri: &[u8]) -> bool;

    /// Whether credentials that name this user are looked at, which came with a nonce that was sent to
    /// this place. As long as not it is as if they were wrong.
    fn may_try(&mut self, place: u64, user: &[u8]) -> bool {
        let _ = (place, user);
        true
    }

    /// The digest was wrong.
    fn failed(&mut self, place: u64, user: &[u8]) {
        let _ = (place, user);
    }
}

impl<F: Fn(&[u8]) -> bool> Gate for F {
    fn is_ours(&self, uri: &[u8]) -> bool {
        self(uri)
    }
}

/// What of a request a digest covers.
#[derive(Debug, Clone, Copy)]
struct Request<'a> {
    method: &'a [u8],
    uri: &'a [u8],
    body: &'a [u8],
}

/// The one who asks for credentials and looks at them.
#[derive(Debug)]
pub struct Authenticator {
    settings: Settings,
    mint: Mint,
    window: Current<Window>,
    place: Place,
    /// Whether it is remembered which nonce counts were used.
    counting: bool,
    /// The value of a challenge being written.
    scratch: Vec<u8>,
}

impl Authenticator {
    /// An authenticator whose nonces are made with `key`, which must be random.
    #[must_use]
    pub fn new(settings: Settings, key: [u8; 32]) -> Self {
        Self::one_of(settings, key, Place::ONE)
    }

    /// The first of some that know each other's nonces.
    pub(crate) fn one_of(settings: Settings, key: [u8; 32], place: Place) -> Self {
        let window = Current::new(Window::shared(settings.nonces_remembered, place));
        let mint = Mint::one_of(key, place);
        Self { settings, mint, window, place, counting: true, scratch: Vec::new() }
    }

    /// Another of them, with the same key.
    pub(crate) fn beside(&self, key: [u8; 32], place: Place) -> Self {
        let (settings, window) = (self.settings.clone(), self.window.beside());
        let mint = Mint::one_of(key, place);
        Self { settings, mint, window, place, counting: true, scratch: Vec::new() }
    }

    /// New settings. The nonces given out stay good, unless the new lifetime ends them.
    pub fn reload(&mut self, settings: Settings) {
        if settings.nonces_remembered != self.settings.nonces_remembered {
            // What was used under the old key must not be good again under an empty window.
            self.mint = self.mint.renewed();
            self.window.renew(|| Window::shared(settings.nonces_remembered, self.place));
        }
        self.settings = settings;
    }

    /// Whether a nonce count is good only once. A stateless proxy cannot have that: it sees a
    /// retransmission as the request that it is, and must do with it what it did before (RFC 3261
    /// section 16.11).
    pub fn set_counting(&mut self, counting: bool) {
        self.counting = counting;
    }

    /// Looks at the credentials of a request for `realm`.
    pub fn verify(
        &mut self,
        message: &Message<'_>,
        kind: Kind,
        realm: &str,
        users: &Credentials,
        now: Now,
        gate: &mut impl Gate,
    ) -> Outcome {
        let method = message.method();
        if matches!(method, Method::Ack | Method::Cancel) {
            return Outcome::Exempt;
        }
        let request =
            Request { method: method.as_bytes(), uri: message.request_uri(), body: message.body() };
        // One value a line: these are not comma-separated lists (RFC 3261 section 7.3.1).
        let values = message.fields(kind.credentials()).map(|field| field.value);
        self.judge(values, &request, realm, users, now, gate)
    }

    fn judge<'a>(
        &mut self,
        values: impl Iterator<Item = &'a [u8]>,
        request: &Request<'_>,
        realm: &str,
        users: &Credentials,
        now: Now,
        gate: &mut impl Gate,
    ) -> Outcome {
        let mut best = Outcome::Challenge { stale: false };
        let mut tried = 0;
        for value in values {
            let outcome = match DigestParams::parse(value) {
                // Basic must not be accepted, other schemes are not known (RFC 8760 section 2.6).
                Err(Malformed::OtherScheme) => continue,
                Err(_) if realm_of(value).is_some_and(|r| r != realm.as_bytes()) => continue,
                Err(_) => MALFORMED,
                Ok(params) => match params.get("realm") {
                    // Another server's (RFC 3261 section 22.3: it is not ours to consume).
                    Some(given) if given != realm.as_bytes() => continue,
                    Some(_) => {
                        self.weigh(&params, request, realm, users, now, gate).unwrap_or(MALFORMED)
                    }
                    None => MALFORMED,
                },
            };
            tried += 1;
            if outcome.rank() > best.rank() {
                best = outcome;
            }
            if tried == MAX_TRIED || matches!(best, Outcome::Accepted(_)) {
                break;
            }
        }
        best
    }

    /// Weighs credentials of our realm. Whether the user is known or not makes no difference to
    /// what is done, nor to the answer.
    fn weigh(
        &mut self,
        params: &DigestParams<'_>,
        request: &Request<'_>,
        realm: &str,
        users: &Credentials,
        now: Now,
        gate: &mut impl Gate,
    ) -> Result<Outcome, Malformed> {
        let again = Ok(Outcome::Challenge { stale: false });
        let nonce = params.require("nonce")?;
        let response = params.require("response")?;
        let uri = params.require("uri")?;
        let decoded;
        let username = match (params.get("username"), params.get("username*")) {
            (Some(name), None) => name,
            (None, Some(name)) => {
                decoded = extended(name).ok_or(Malformed::Syntax)?;
                &decoded
            }
            (None, None) => return Err(Malformed::Missing),
            // RFC 7616 section 3.4: both is an error.
            (Some(_), Some(_)) => return Err(Malformed::Repeated),
        };
        // RFC 8760 section 2.7: empty values stand for a challenge not received yet.
        if nonce.is_empty() || response.is_empty() {
            return again;
        }
        let algorithm = match params.get("algorithm") {
            None => Some((Algorithm::Md5, false)),
            Some(token) => Algorithm::from_token(token),
        };
        let offered =
            |(a, session): &(Algorithm, bool)| !session && self.settings.algorithms.contains(a);
        let Some((algorithm, session)) = algorithm.filter(offered) else { return again };
        let qop = match params.get("qop") {
            None if !self.settings.without_qop => return again,
            None => None,
            Some(token) => Some(Qop::from_token(token).ok_or(Malformed::Syntax)?),
        };
        if qop == Some(Qop::AuthInt) && !self.settings.integrity {
            return again;
        }
        let (count, cnonce) = match qop {
            Some(_) => (params.require("nc")?, params.require("cnonce")?),
            None => (&b""[..], &b""[..]),
        };
        let number = if qop.is_some() { nonce_count(count).ok_or(Malformed::Syntax)? } else { 0 };
        if !same_resource(uri, request.uri) && !gate.is_ours(uri) {
            return Err(Malformed::Syntax);
        }

        // Whoever has not received this nonce of ours cannot be told by it, and a guess counts against
        // nobody: so there is none (RFC 7616 section 3.3: the nonce is invalid).
        let stale = Ok(Outcome::Challenge { stale: true });
        let Some((id, place)) = self.mint.recognise(realm.as_bytes(), nonce) else { return stale };
        let lifetime = u64::from(self.settings.nonce_lifetime);
        let age = seconds(now).abs_diff(id.made());
        if age > lifetime.max(TELLING) {
            return stale;
        }
        // The two forms of a name are one user.
        let name = username
            .strip_suffix(realm.as_bytes())
            .and_then(|name| name.strip_suffix(b"@"))
            .unwrap_or(username);
        if !gate.may_try(place, name) {
            return again;
        }

        let exchange = Exchange {
            algorithm,
            session,
            method: request.method,
            uri,
            nonce,
            count,
            cnonce,
            qop,
            body: request.body,
        };
        let (user, secret) = users.secret(username, realm.as_bytes(), algorithm);
        let right = exchange.digest(&secret).matches(response);
        let Some(user) = user.filter(|_| right) else {
            gate.failed(place, name);
            return again;
        };

        // From here on the sender knows the password; what may be amiss is the nonce alone.
        if age > lifetime {
            return stale;
        }
        let spent = match qop {
            _ if !self.counting => Count::Fresh,
            None => self.window.exhaust(id),
            Some(_) if self.settings.replay_window => self.window.spend(id, number),
            Some(_) => Count::Fresh,
        };
        if spent == Count::Replayed {
            return stale;
        }
        let info = self.settings.authentication_info.then(|| {
            let proof = Exchange { method: b"", body: b"", ..exchange }.digest(&secret);
            info(&exchange, proof.as_str())
        });
        Ok(Outcome::Accepted(Accepted { user: user.shared_name(), place, info }))
    }

    /// Makes the challenges, one for each algorithm, the most wanted first; `each` gets the value
    /// of one [`Kind::challenge`] header field at a time (RFC 8760 section 2.3). `agent` is the
    /// request's User-Agent: one that is known to fail at the sight of another algorithm is
    /// offered MD5 alone. `place` says where the challenge is sent; the nonce carries it.
    pub fn challenge(
        &mut self,
        realm: &str,
        agent: &[u8],
        place: u64,
        stale: bool,
        now: Now,
        mut each: impl FnMut(&[u8]),
    ) {
        let nonce = self.mint.make(realm.as_bytes(), place, seconds(now));
        let mut value = core::mem::take(&mut self.scratch);
        for algorithm in self.settings.offered_to(agent) {
            value.clear();
            value.extend_from_slice(b"Digest realm=");
            quote(realm.as_bytes(), &mut value);
            value.extend_from_slice(b", nonce=\"");
            value.extend_from_slice(&nonce);
            // RFC 7616 section 3.3: qop in quotation marks, stale and algorithm without.
            let qop = if self.settings.integrity { "auth,auth-int" } else { "auth" };
            for part in ["\", qop=\"", qop, "\", algorithm=", algorithm.token()] {
                value.extend_from_slice(part.as_bytes());
            }
            if stale {
                value.extend_from_slice(b", stale=true");
            }
            each(&value);
        }
        self.scratch = value;
    }
}

const MALFORMED: Outcome = Outcome::Refuse(400, "Malformed Credentials");

/// For how many seconds a nonce tells at least who has received it, be it too old to be good.
const TELLING: u64 = 24 * 3600;

/// The clock that nonces go by: one that is never set. Were it the wall clock, then after it was put
/// back by more than their lifetime nobody could prove anything until it has caught up.
fn seconds(now: Now) -> u64 {
    now.at.0 / 1_000_000
}

/// Eight hexadecimal digits (RFC 7616 section 3.4), and more than nought.
fn nonce_count(text: &[u8]) -> Option<u32> {
    if text.len() != 8 || !text.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u32::from_str_radix(core::str::from_utf8(text).ok()?, 16).ok().filter(|n| *n > 0)
}

/// Whether the `uri` parameter and the Request-URI mean the same (RFC 7616 section 3.4.6).
fn same_resource(given: &[u8], request_uri: &[u8]) -> bool {
    uri::contacts_equivalent(given, request_uri)
}

/// The value of an Authentication-Info header field (RFC 7616 section 3.5).
fn info(exchange: &Exchange<'_>, proof: &str) -> String {
    let Some(qop) = exchange.qop else { return format!("rspauth=\"{proof}\"") };
    let mut cnonce = Vec::new();
    quote(exchange.cnonce, &mut cnonce);
    let (cnonce, count) =
        (String::from_utf8_lossy(&cnonce), String::from_utf8_lossy(exchange.count));
    format!("qop={}, rspauth=\"{proof}\", cnonce={cnonce}, nc={count}", qop.token())
}

#[cfg(test)]
mod tests;
