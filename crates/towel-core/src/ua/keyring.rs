//! Whose challenges a user agent answers (RFC 3261 section 22.1: the realm alone defines the protection
//! domain).
//!
//! A digest over a nonce that somebody else has chosen is worth something to him: he can try passwords at
//! leisure until one fits. Whoever is called can put a 407 on any request that reaches him, with
//! whatever realm and the weakest algorithm. So a challenge is answered only
//!
//! - for a realm of the account: the one that it was given, one that the registrar has asked for, or one that
//!   is called like the domain of our own address or the host of our proxy; where our own address has no name
//!   but an IP address, the first that our server asks for;
//! - on the way to our own servers: the registrar, the proxy that is set for all requests, the domain of our
//!   own address, and, within dialogs, the address at which one of those was met;
//! - with no weaker algorithm than the registrar has asked for (RFC 8760 section 3 on being talked down).
//!
//! What is left is a peer behind our own proxy who names our own realm and algorithm: nothing tells his
//! challenge from the proxy's.

use std::net::IpAddr;

use towel_message::{NameAddr, Uri};

use crate::auth::Algorithm;
use crate::auth::client::Session;

/// A user's name and password.
#[derive(Clone, Debug, Default)]
pub struct Account {
    /// The name.
    pub user: String,
    /// The password.
    pub password: String,
    /// The realm in which they mean something; learnt from the registrar if `None`.
    pub realm: Option<String>,
}

/// Where a challenged request was going.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// To our registrar, and no further.
    Registrar,
    /// To our own proxy or domain.
    Home,
    /// Wherever somebody else said.
    Away,
}

/// A challenged request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Challenged<'a> {
    pub(crate) way: Way,
    /// Our own address, a name-addr.
    pub(crate) address: &'a [u8],
    /// The URI of the next hop.
    pub(crate) next_hop: &'a [u8],
    /// Where it was sent.
    pub(crate) sent_to: Option<IpAddr>,
}

/// How many realms, and how many servers, are remembered.
const MOST: usize = 8;

/// What was learnt of whose challenges are to be answered.
#[derive(Clone, Debug, Default)]
pub(crate) struct Keyring {
    /// Realms, and whether MD5 is too weak for them.
    realms: Vec<(Vec<u8>, bool)>,
    servers: Vec<IpAddr>,
}

impl Way {
    /// That of a request outside of any dialog. `home` says that its next hop is our own server by
    /// our own settings.
    pub(crate) fn outside(method: &str, home: bool, address: &[u8], next_hop: &[u8]) -> Way {
        match method {
            "REGISTER" => Way::Registrar,
            _ if home || same_host(&domain_of(address), &host_of(next_hop)) => Way::Home,
            _ => Way::Away,
        }
    }
}

impl Keyring {
    /// Takes up those of the challenges that are to be answered.
    pub(crate) fn choose<'a>(
        &mut self,
        account: &Account,
        challenged: &Challenged<'_>,
        challenges: impl Iterator<Item = &'a [u8]>,
    ) -> Vec<Session> {
        let ours = |ip: &IpAddr| self.servers.contains(ip);
        if challenged.way == Way::Away && !challenged.sent_to.as_ref().is_some_and(ours) {
            return Vec::new();
        }
        let mut sessions = Session::choose(challenges, &account.user, &account.password);
        sessions.retain(|session| self.takes(account, challenged, session));
        for session in &sessions {
            self.learn(challenged, session);
        }
        sessions
    }

    fn takes(&self, account: &Account, challenged: &Challenged<'_>, session: &Session) -> bool {
        let realm = session.realm();
        let known = self.realms.iter().find(|(known, _)| known == realm);
        let registrar = challenged.way == Way::Registrar;
        let fits = match &account.realm {
            Some(set) => set.as_bytes() == realm,
            None => {
                registrar
                    || known.is_some()
                    || same_host(realm, &domain_of(challenged.address))
                    || (challenged.way == Way::Home
                        && (same_host(realm, &host_of(challenged.next_hop))
                            || (self.realms.is_empty() && is_nameless(challenged.address))))
            }
        };
        let weak = session.algorithm() == Algorithm::Md5;
        fits && (registrar || !weak || !known.is_some_and(|(_, too_weak)| *too_weak))
    }

    fn learn(&mut self, challenged: &Challenged<'_>, session: &Session) {
        if challenged.way == Way::Away {
            return;
        }
        let strong = session.algorithm() != Algorithm::Md5;
        match self.realms.iter_mut().find(|(known, _)| known == session.realm()) {
            // The registrar may have been given other settings; others may only ask for more.
            Some((_, too_weak)) if challenged.way == Way::Registrar => *too_weak = strong,
            Some((_, too_weak)) => *too_weak |= strong,
            None => push(&mut self.realms, (session.realm().to_vec(), strong)),
        }
        if let Some(ip) = challenged.sent_to.filter(|ip| !self.servers.contains(ip)) {
            push(&mut self.servers, ip);
        }
    }
}

/// Adds one; the oldest makes room.
fn push<T>(all: &mut Vec<T>, one: T) {
    if all.len() >= MOST {
        all.remove(0);
    }
    all.push(one);
}

fn host_of(uri: &[u8]) -> Vec<u8> {
    match Uri::parse(uri) {
        Ok(Uri::Sip(uri)) => {
            let port = uri.port.map_or(0, |port| port.to_string().len() + 1);
            let end = uri.host_port.len().saturating_sub(port);
            uri.host_port.get(..end).unwrap_or_default().to_vec()
        }
        _ => Vec::new(),
    }
}

fn domain_of(address: &[u8]) -> Vec<u8> {
    NameAddr::parse(address).map_or_else(|_| Vec::new(), |address| host_of(address.uri))
}

/// Whether an address has no domain that a realm could be called by.
fn is_nameless(address: &[u8]) -> bool {
    let domain = domain_of(address);
    let text = std::str::from_utf8(&domain).unwrap_or_default();
    text.trim_matches(['[', ']']).parse::<IpAddr>().is_ok()
}

fn same_host(a: &[u8], b: &[u8]) -> bool {
    !a.is_empty() && a.eq_ignore_ascii_case(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARTHUR: &[u8] = b"Arthur <sip:arthur@example.com>;tag=1";

    fn challenged(way: Way, sent_to: &str) -> Challenged<'static> {
        let sent_to = sent_to.parse().ok();
        Challenged { way, address: ARTHUR, next_hop: b"sip:proxy.example.com:5070;lr", sent_to }
    }

    fn answered(
        ring: &mut Keyring,
        realm: Option<&str>,
        challenged: Challenged<'_>,
        challenges: &[(&str, &str)],
    ) -> Vec<String> {
        let account =
            Account { user: "arthur".into(), password: "tea".into(), realm: realm.map(Into::into) };
        let values: Vec<String> = challenges
            .iter()
            .map(|(realm, algorithm)| {
                format!(
                    "Digest realm=\"{realm}\", nonce=\"n\", qop=\"auth\", algorithm={algorithm}"
                )
            })
            .collect();
        let chosen = ring.choose(&account, &challenged, values.iter().map(|v| v.as_bytes()));
        chosen.iter().map(|s| String::from_utf8_lossy(s.realm()).into_owned()).collect()
    }

    #[test]
    fn only_the_realms_of_the_account() {
        let ring = &mut Keyring::default();
        let home = challenged(Way::Home, "192.0.2.1");
        let all = [("example.com", "MD5"), ("mallory", "MD5"), ("PROXY.example.com", "MD5")];
        assert_eq!(answered(ring, None, home, &all), ["example.com", "PROXY.example.com"]);
        assert_eq!(answered(ring, Some("mallory"), home, &all), ["mallory"]);
        // What the registrar calls itself is learnt.
        assert!(answered(ring, None, home, &[("pbx", "MD5")]).is_empty());
        let registrar = challenged(Way::Registrar, "192.0.2.1");
        assert_eq!(answered(ring, None, registrar, &[("pbx", "MD5")]), ["pbx"]);
        assert_eq!(answered(ring, None, home, &[("pbx", "MD5")]), ["pbx"]);
    }

    /// The server of a small house has no domain, and its realm is no name that could be guessed.
    #[test]
    fn without_a_domain_the_first_realm_is_ours() {
        let ring = &mut Keyring::default();
        let home =
            Challenged { address: b"<sip:arthur@192.0.2.1>", ..challenged(Way::Home, "192.0.2.1") };
        assert!(answered(ring, Some("pbx"), home, &[("towel", "MD5")]).is_empty());
        assert_eq!(answered(ring, None, home, &[("towel", "MD5")]), ["towel"]);
        assert!(answered(ring, None, home, &[("mallory", "MD5")]).is_empty());
        assert_eq!(answered(ring, None, home, &[("towel", "MD5")]), ["towel"]);
    }

    #[test]
    fn only_where_our_own_servers_are() {
        let ring = &mut Keyring::default();
        let ours = [("example.com", "SHA-256")];
        let (near, far) =
            (challenged(Way::Away, "192.0.2.1"), challenged(Way::Away, "198.51.100.6"));
        assert!(answered(ring, None, near, &ours).is_empty());
        assert_eq!(answered(ring, None, challenged(Way::Home, "192.0.2.1"), &ours).len(), 1);
        // In a dialog that goes by the same server, and in none that does not.
        assert_eq!(answered(ring, None, near, &ours).len(), 1);
        assert!(answered(ring, None, far, &ours).is_empty());
        assert_eq!(Way::outside("MESSAGE", false, ARTHUR, b"sip:example.com"), Way::Home);
        assert_eq!(Way::outside("MESSAGE", false, ARTHUR, b"sip:ford@192.0.2.9:5062"), Way::Away);
        assert_eq!(Way::outside("MESSAGE", true, ARTHUR, b"sip:192.0.2.9"), Way::Home);
        assert_eq!(Way::outside("REGISTER", false, ARTHUR, b"sip:192.0.2.9"), Way::Registrar);
    }

    #[test]
    fn nobody_talks_us_down_to_a_weaker_algorithm() {
        let ring = &mut Keyring::default();
        let (registrar, home) =
            (challenged(Way::Registrar, "192.0.2.1"), challenged(Way::Home, "192.0.2.1"));
        answered(ring, None, registrar, &[("example.com", "SHA-256"), ("example.com", "MD5")]);
        assert!(answered(ring, None, home, &[("example.com", "MD5")]).is_empty());
        assert_eq!(answered(ring, None, home, &[("example.com", "SHA-512-256")]).len(), 1);
        // But the registrar itself may.
        assert_eq!(answered(ring, None, registrar, &[("example.com", "MD5")]).len(), 1);
        assert_eq!(answered(ring, None, home, &[("example.com", "MD5")]).len(), 1);
    }
}
