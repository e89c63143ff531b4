//! The tel URI in SIP (RFC 3966, with RFC 3261 section 19.1.6).
//!
//! A caller dials a number and its phone puts a tel URI into the request. The proxy turns it
//! into a SIP URI of its own domain, with the number as the user, and goes on as with any other;
//! numbers that belong to nobody here can be handed to a gateway.
//!
//! # Security
//! A number is looked up only in our own domain, or goes to the gateway that is configured:
//! a tel URI never makes this proxy send somewhere that the caller chose.
//!
//! # Interactions
//! The change is made before targets are found, so that branches, CANCEL and ACK all see it.

mod resolve;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use towel_core::contract::{
    Acts, Behaviour, Category, Configured, Env, Extension, FlowKind, FlowReference, Interactions,
    Proof, ProxyPreprocess, ProxyTargets, Role, Roles, Rule, Section, Setting, SettingFault, Stage,
    Verdict, Wake,
};

/// What is done with numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Turn a tel URI into a SIP URI of our domain; otherwise it is refused with 416.
    pub resolve: bool,
    /// Host of a gateway for a binding that is a tel URI.
    pub gateway: Option<String>,
    /// Fewest digits that a number has; a shorter one is answered 484.
    pub fewest: usize,
}

impl Settings {
    const DEFAULT: Self = Self { resolve: true, gateway: None, fewest: 1 };
}

fn configure(entries: &[(&str, &str)]) -> Result<Configured, SettingFault> {
    let mut settings = Settings::DEFAULT;
    for (key, value) in entries {
        match *key {
            "resolve" => {
                settings.resolve = match *value {
                    "true" | "yes" => true,
                    "false" | "no" => false,
                    _ => return Err(SettingFault::new(*key, "write true or false")),
                }
            }
            "fewest_digits" => {
                settings.fewest = value
                    .parse()
                    .ok()
                    .filter(|count| (1..=40).contains(count))
                    .ok_or_else(|| SettingFault::new(*key, "write a number from 1 to 40"))?;
            }
            _ => {
                let uri = format!("sip:{value}");
                if !matches!(towel_message::Uri::parse(uri.as_bytes()), Ok(towel_message::Uri::Sip(sip)) if sip.user.is_none())
                {
                    return Err(SettingFault::new(*key, format!("{value} is no host")));
                }
                settings.gateway = Some((*value).to_owned());
            }
        }
    }
    Ok(Arc::new(settings))
}

/// The behaviour.
struct Tel;

impl Behaviour for Tel {
    fn stages(&self) -> &'static [Stage] {
        &[Stage::ProxyPreprocess, Stage::ProxyTargets]
    }
    fn proxy_preprocess(&self, env: &Env<'_>, at: &mut ProxyPreprocess<'_>) -> Verdict {
        resolve::request(env, at)
    }
    fn proxy_targets(&self, env: &Env<'_>, at: &mut ProxyTargets<'_>) -> Verdict {
        resolve::targets(env, at)
    }
}

/// The declaration.
pub static EXTENSION: Extension = Extension {
    id: "tel",
    title: "Telephone Numbers in the Session Initiation Protocol (SIP): the tel URI",
    documents: &["RFC 3966", "RFC 4694", "RFC 4904", "RFC 3261 section 19.1.6"],
    section: Section::Family,
    category: Category::Standard,
    overview: "A telephone number can be written as an address of its own, without saying which \
        server is responsible for it. A phone that is asked to call such an address sends it to \
        its proxy, and the proxy looks for the number among its own users. Visual separators, \
        such as dashes, make no difference.",
    security: "The proxy looks numbers up in its own domain only; calls that cost money go to a \
        gateway that was configured and nowhere else.",
    interactions: Interactions {
        forking: "a number stands for a user, whose bindings fork as usual",
        cancel_and_ack: "both have the Request-URI of their INVITE and are changed alike",
        routing: "a Route leads a request with a tel URI as it leads any other",
        stateless_proxies: "the change needs no state",
        dialog_usages: "inside a dialog the Request-URI is the peer's Contact, no number",
    },
    compatibility: "An element that does not know the scheme answers 416, and the caller can try \
        a SIP URI instead.",
    uac: Acts::Does("Sends a tel URI to its proxy, through Route or its outbound proxy."),
    uas: Acts::Does("Takes a tel URI in From, To and the Request-URI as it does any other."),
    proxy: Acts::Does(
        "Turns a tel URI in the Request-URI into a SIP URI of its domain with user=phone and \
         goes on; answers 484 to a number with too few digits and 416 where numbers are not \
         configured; sends a binding that is a tel URI to the gateway.",
    ),
    registrar: Acts::Does("Takes a tel URI as a Contact, as section 10.2.1 of RFC 3261 allows."),
    implements: Roles::ALL,
    rules: RULES,
    flows: &[
        FlowReference {
            name: "tel",
            kind: FlowKind::Common,
            roles: Roles::of(&[Role::Proxy, Role::Registrar]),
        },
        FlowReference { name: "tel-unknown", kind: FlowKind::Failure, roles: Roles::PROXY },
        FlowReference { name: "tel-phone", kind: FlowKind::Common, roles: Roles::UAC },
        FlowReference { name: "tel-called", kind: FlowKind::Common, roles: Roles::UAS },
    ],
    wake: &[Wake::UriScheme("tel"), Wake::Always],
    settings: &[
        Setting { key: "resolve", about: "look numbers up in our domain", default: "true" },
        Setting { key: "gateway", about: "host for bindings that are numbers", default: "" },
        Setting { key: "fewest_digits", about: "shorter numbers get 484", default: "1" },
    ],
    configure: Some(configure),
    behaviour: &Tel,
    ..Extension::EMPTY
};

const RULES: &[Rule] = &[
    Rule {
        section: "3261 8.1.2",
        roles: Roles::UAC,
        text: "a request to a number goes to the outbound proxy",
        proof: Proof::Flow("tel-phone"),
    },
    Rule {
        section: "3261 8.2.2.1",
        roles: Roles::UAS,
        text: "a number in the Request-URI, From or To is taken; another scheme gets 416",
        proof: Proof::Flow("tel-called"),
    },
    Rule {
        section: "3966 5.1.1",
        roles: Roles::PROXY,
        text: "visual separators make no difference",
        proof: Proof::Test("family::tel::tests::numbers_become_users"),
    },
    Rule {
        section: "3261 19.1.6",
        roles: Roles::PROXY,
        text: "the number with its parameters becomes the user, and user=phone is added",
        proof: Proof::Flow("tel"),
    },
    Rule {
        section: "3966 5.1.5",
        roles: Roles::PROXY,
        text: "a local number keeps its phone-context, unless that is our own domain",
        proof: Proof::Test("family::tel::tests::local_numbers_keep_their_context"),
    },
    Rule {
        section: "3966 5.4",
        roles: Roles::PROXY,
        text: "a number with a mandatory parameter that is not understood is not used",
        proof: Proof::Test("family::tel::tests::what_cannot_be_resolved"),
    },
    Rule {
        section: "4694 4; 4904 6.2",
        roles: Roles::PROXY,
        text: "what says the way to a number does not hide whose it is, and reaches the gateway",
        proof: Proof::Test("family::tel::tests::ways_are_no_part_of_a_number"),
    },
    Rule {
        section: "3966 5.1.5",
        roles: Roles::PROXY,
        text: "a local number without phone-context is malformed",
        proof: Proof::Test("family::tel::tests::what_cannot_be_resolved"),
    },
];
