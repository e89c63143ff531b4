//! Asserted identity within trusted networks (RFC 3325, as RFC 5876 extends it).
//!
//! Elements that trust each other form a Trust Domain. The one that authenticated the user says
//! so in P-Asserted-Identity, and the others believe it. What comes in from outside is not
//! believed; what the user wants kept private does not go outside.
//!
//! # Security
//! The assertion is worth what the hop-by-hop protection inside the Trust Domain is worth: an
//! element is told to trust addresses, and had better be reached over TLS or a closed network.
//!
//! # Interactions
//! CANCEL and ACK carry no assertion; each branch of a fork is judged by where it goes.

mod proxy;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::Arc;

use towel_core::contract::{
    Acts, Behaviour, Category, Configured, Env, Extension, FieldDeclaration, FlowKind,
    FlowReference, Interactions, Proof, ProxyForward, ProxyResponse, Role, Roles, Row, Rule,
    Section, Setting, SettingFault, Shape, Stage, UacRequest, UacResponse, UasRequest, UriSchemes,
    Verdict, Wake, Where,
};
use towel_core::io::Flow;
use towel_message::{Message, Name, NameAddr, Uri};

const ID: &str = "asserted-identity";

/// A range of addresses, or a host name, that is trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trusted {
    /// Addresses that share the first bits with this one.
    Network(IpAddr, u8),
    /// A host, by the name that a URI gives it.
    Host(String),
}

impl Trusted {
    fn parse(text: &str) -> Option<Self> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse::<u8>().ok()?)),
            None => (text, None),
        };
        let address = address.trim_start_matches('[').trim_end_matches(']');
        match address.parse::<IpAddr>() {
            Ok(ip) => {
                let most = if ip.is_ipv4() { 32 } else { 128 };
                let bits = bits.unwrap_or(most);
                (bits <= most).then_some(Self::Network(ip, bits))
            }
            Err(_) if bits.is_none() && !text.is_empty() => {
                Some(Self::Host(text.trim_end_matches('.').to_ascii_lowercase()))
            }
            Err(_) => None,
        }
    }

    fn holds(&self, ip: IpAddr) -> bool {
        fn same<const N: usize>(a: [u8; N], b: [u8; N], bits: u8) -> bool {
            let mut left = bits;
            a.iter().zip(b).all(|(a, b)| {
                let now = left.min(8);
                left -= now;
                let mask = 0xff_u8.checked_shl(u32::from(8 - now)).unwrap_or(0);
                (a ^ b) & mask == 0
            })
        }
        match (self, ip) {
            (Self::Network(IpAddr::V4(a), bits), IpAddr::V4(b)) => {
                same(a.octets(), b.octets(), *bits)
            }
            (Self::Network(IpAddr::V6(a), bits), IpAddr::V6(b)) => {
                same(a.octets(), b.octets(), *bits)
            }
            _ => false,
        }
    }
}

/// The Trust Domain and its specification, as far as it is a matter of choice.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// The elements that are trusted besides ourselves.
    pub trusted: Vec<Trusted>,
    /// Whether the phones of our own users count as trusted when a request goes to them.
    pub trust_users: bool,
    /// Whether we assert the identity of users that we authenticated.
    pub assert: bool,
    /// Whether the assertion is removed on the way out also when nobody asked for privacy.
    pub remove_outside: bool,
    /// By which identity the user of our own user agent wants to be known.
    pub preferred: Option<String>,
}

impl Settings {
    fn trusts(&self, ip: IpAddr) -> bool {
        self.trusted.iter().any(|one| one.holds(ip))
    }

    fn trusts_host(&self, host: &[u8]) -> bool {
        let ip = towel_message::Host::parse(host).and_then(|host| host.ip());
        match ip {
            Some(ip) => self.trusts(ip),
            None => self.trusted.iter().any(|one| match one {
                Trusted::Host(name) => name.as_bytes().eq_ignore_ascii_case(host),
                Trusted::Network(..) => false,
            }),
        }
    }
}

fn configure(entries: &[(&str, &str)]) -> Result<Configured, SettingFault> {
    let mut settings = Settings::default();
    for (key, value) in entries {
        if *key == "trusted" {
            let one = Trusted::parse(value).ok_or_else(|| {
                SettingFault::new(*key, format!("{value} is no address, network or host name"))
            })?;
            settings.trusted.push(one);
            continue;
        }
        if *key == "preferred" {
            if NameAddr::parse(value.as_bytes()).is_err() {
                return Err(SettingFault::new(*key, format!("{value} is no address")));
            }
            settings.preferred = Some((*value).to_owned());
            continue;
        }
        let flag = match *value {
            "true" | "yes" => true,
            "false" | "no" => false,
            _ => return Err(SettingFault::new(*key, "write true or false")),
        };
        match *key {
            "trust_users" => settings.trust_users = flag,
            "assert" => settings.assert = flag,
            _ => settings.remove_outside = flag,
        }
    }
    Ok(Arc::new(settings))
}

/// The behaviour.
struct AssertedIdentity;

impl Behaviour for AssertedIdentity {
    fn stages(&self) -> &'static [Stage] {
        &[
            Stage::ProxyForward,
            Stage::ProxyResponse,
            Stage::UacRequest,
            Stage::UacResponse,
            Stage::UasRequest,
        ]
    }
    fn proxy_forward(&self, env: &Env<'_>, at: &mut ProxyForward<'_, '_>) -> Verdict {
        proxy::forward(env, at)
    }
    fn proxy_response(&self, env: &Env<'_>, at: &mut ProxyResponse<'_, '_>) -> Verdict {
        proxy::response(env, at)
    }
    /// Section 6: which of its identities the user wants to be known by, told to a proxy that is
    /// trusted and to nobody else. RFC 5876 section 3.2 says which requests have none.
    fn uac_request(&self, env: &Env<'_>, at: &mut UacRequest<'_>) -> Verdict {
        let Some(known) = env.settings::<Settings>() else { return Verdict::Pass };
        if let Some(preferred) = known.preferred.as_deref()
            && !matches!(at.method, b"ACK" | b"CANCEL" | b"REGISTER")
            && proxy::trusts_hop(known, at.next_hop)
        {
            at.fields.push("P-Preferred-Identity", preferred);
        }
        Verdict::Pass
    }
    fn uac_response(&self, env: &Env<'_>, at: &mut UacResponse<'_>) -> Verdict {
        believe(env, &at.response, &at.source, at.notes);
        Verdict::Pass
    }
    fn uas_request(&self, env: &Env<'_>, at: &mut UasRequest<'_>) -> Verdict {
        believe(env, &at.request, &at.source, at.notes);
        Verdict::Pass
    }
}

/// Section 8: a user agent uses an identity only if it trusts the element that sent it.
fn believe(env: &Env<'_>, message: &Message<'_>, source: &Flow, notes: &mut Vec<String>) {
    if env.settings::<Settings>().is_some_and(|known| known.trusts(source.remote.ip())) {
        for value in expected(message) {
            let text = String::from_utf8_lossy(value);
            notes.push(format!("the network says that this is {text}"));
        }
    }
}

/// The values of P-Asserted-Identity that count: one SIP or SIPS URI and one tel URI (RFC 3325
/// section 9.1). RFC 5876 section 4.5 has every other ignored, and never forwarded.
fn expected<'m>(message: &Message<'m>) -> Vec<&'m [u8]> {
    let (mut sip, mut tel) = (false, false);
    let mut counts = |value: &towel_message::Value<'m>| {
        let address = NameAddr::parse(value.bytes).ok();
        let seen = match address.as_ref().and_then(|address| address.parse_uri().ok()) {
            Some(Uri::Sip(_)) => &mut sip,
            Some(Uri::Tel(_)) => &mut tel,
            _ => return false,
        };
        !std::mem::replace(seen, true)
    };
    let values = message.values(Name::PAssertedIdentity).filter(|value| counts(value));
    values.map(|value| value.bytes).collect()
}

/// RFC 3325 section 9 and RFC 5876 section 3: which URIs.
const IDENTITIES: UriSchemes =
    UriSchemes::Only(&["sip", "sips", "tel"], "one identity of each kind; others are tolerated");

/// A field of this extension. Privacy, whose `id` it adds, is RFC 3323's.
const fn field(
    name: &'static str,
    grammar: &'static str,
    rows: &'static [Row],
) -> FieldDeclaration {
    FieldDeclaration {
        name,
        compact: None,
        share: 10,
        shape: Shape::List,
        // A value is one address and nothing else (sections 9.1 and 9.2).
        extensible: false,
        uris: IDENTITIES,
        grammar,
        rows,
    }
}

/// The declaration.
pub static EXTENSION: Extension = Extension {
    id: ID,
    title: "Asserting Identity within Trusted Networks of the Session Initiation Protocol (SIP)",
    documents: &["RFC 3325", "RFC 5876"],
    section: Section::Core,
    category: Category::Informational,
    overview: "A proxy that has checked who the caller is writes the caller's address into the \
        message. Proxies of the same network believe it, and the called phone can show it. A \
        caller who wants to stay unknown says so, and the address is taken out before the \
        message leaves the network. Whatever an outsider writes into that place is thrown away.",
    security: "The assertion is not signed: it is worth what the connections between trusted \
        elements are worth.",
    interactions: Interactions {
        forking: "each branch is judged by where it goes",
        cancel_and_ack: "neither carries an identity (RFC 5876 section 3.2)",
        routing: "the next hop decides, whether it is a Route or the target",
        stateless_proxies: "nothing is remembered",
        dialog_usages: "an identity holds for its own message",
    },
    compatibility: "An element without it passes the header field on, so it is taken out before \
        one that is not trusted where privacy was asked for.",
    fields: &[
        field(
            "P-Asserted-Identity",
            "RFC 3325 section 9.1",
            // RFC 5876 section 3.2 widened RFC 3325's cells to every request but ACK and CANCEL;
            // in a REGISTER a proxy vouches for who registers.
            &[Row::new(Where::Any, "adr", "-o-ooo oooooooo")],
        ),
        field(
            "P-Preferred-Identity",
            "RFC 3325 section 9.2",
            &[Row::new(Where::Request, "adr", "-o-ooo oooooooo")],
        ),
    ],
    uac: Acts::Does("Says which of its identities it prefers; shows what a trusted network says."),
    uas: Acts::Does("Believes the header field only from where it trusts."),
    proxy: Acts::Does(
        "Takes out what an untrusted sender asserted and every preferred identity; asserts the \
         user it authenticated, by the preferred name if that is the same user; on the way to an \
         element that it does not trust takes the assertion out if the message asks for it with \
         Privacy, and leaves it in if Privacy says none.",
    ),
    registrar: Acts::Nothing("it is about messages that are forwarded"),
    implements: Roles::of(&[Role::Uac, Role::Uas, Role::Proxy]),
    rules: RULES,
    flows: &[
        FlowReference { name: "asserted-identity-phone", kind: FlowKind::Common, roles: Roles::UA },
        FlowReference {
            name: "asserted-identity-stranger",
            kind: FlowKind::Failure,
            roles: Roles::UA,
        },
        FlowReference { name: "asserted-identity", kind: FlowKind::Common, roles: Roles::PROXY },
        FlowReference {
            name: "asserted-identity-private",
            kind: FlowKind::Failure,
            roles: Roles::PROXY,
        },
    ],
    // A request of an authenticated user carries nothing of this extension until we add it.
    wake: &[Wake::Always],
    settings: &[
        Setting {
            key: "trusted",
            about: "addresses, networks and host names of the Trust Domain",
            default: "[]",
        },
        Setting { key: "trust_users", about: "our users' phones are trusted", default: "false" },
        Setting { key: "assert", about: "assert users that we authenticated", default: "false" },
        Setting {
            key: "remove_outside",
            about: "take assertions out towards untrusted elements in any case",
            default: "false",
        },
        Setting {
            key: "preferred",
            about: "P-Preferred-Identity of our own user agent, towards trusted elements",
            default: "",
        },
    ],
    configure: Some(configure),
    behaviour: &AssertedIdentity,
    ..Extension::EMPTY
};

const RULES: &[Rule] = &[
    Rule {
        section: "3325 6",
        roles: Roles::UAC,
        text: "a user agent may say by which identity it wants to be known",
        proof: Proof::Flow("asserted-identity-phone"),
    },
    Rule {
        section: "3325 8",
        roles: Roles::UA,
        text: "a user agent shows an identity only if it trusts the sender",
        proof: Proof::Flow("asserted-identity-stranger"),
    },
    Rule {
        section: "3325 5",
        roles: Roles::PROXY,
        text: "an identity from an untrusted sender is replaced or removed",
        proof: Proof::Test("core::asserted_identity::tests::strangers_assert_nothing"),
    },
    Rule {
        section: "3325 5",
        roles: Roles::PROXY,
        text: "an authenticated user is asserted with one SIP or SIPS URI",
        proof: Proof::Flow("asserted-identity"),
    },
    Rule {
        section: "3325 6",
        roles: Roles::UAC,
        text: "and says so to a proxy that it trusts alone",
        proof: Proof::Test("core::asserted_identity::tests::who_is_not_trusted_is_told_nothing"),
    },
    Rule {
        section: "5876 4.5",
        roles: Roles::PROXY,
        text: "an identity too many, or of another scheme, is not forwarded",
        proof: Proof::Test(
            "core::asserted_identity::tests::one_identity_of_each_kind_is_forwarded",
        ),
    },
    Rule {
        section: "3325 6",
        roles: Roles::PROXY,
        text: "a preferred identity is a hint, and never forwarded",
        proof: Proof::Test("core::asserted_identity::tests::a_preferred_name_is_a_hint"),
    },
    Rule {
        section: "3325 7",
        roles: Roles::PROXY,
        text: "with Privacy id no identity goes to an element that is not trusted",
        proof: Proof::Flow("asserted-identity-private"),
    },
    Rule {
        section: "3325 7",
        roles: Roles::PROXY,
        text: "with Privacy none the identity stays",
        proof: Proof::Test("core::asserted_identity::tests::privacy_decides_at_the_boundary"),
    },
];
