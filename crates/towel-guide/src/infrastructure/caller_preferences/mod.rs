//! Caller preferences (RFC 3841).
//!
//! A caller says what kind of phone it wants to reach, or not to reach, and how the proxies on
//! the way are to go about it. The proxy of the called domain compares that with what the phones
//! said of themselves when they registered (RFC 3840), leaves out those that do not fit, and
//! puts the best first.
//!
//! # Security
//! Comparing costs work, so a request with too many preferences is refused. What a phone can do
//! is never told to the caller: a request that nobody suits gets a 480 and no more.
//!
//! # Interactions
//! This is about forking: it decides who is in the target set, and in which order.

mod matching;
mod proxy;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use towel_core::contract::{
    Acts, Behaviour, Category, Configured, Env, Extension, FieldDeclaration, FlowKind,
    FlowReference, Interactions, Proof, ProxyTargets, Role, Roles, Row, Rule, Section, Setting,
    SettingFault, Shape, Stage, UacRequest, UriSchemes, Verdict, Wake, Where,
};
use towel_message::Params;

use super::capabilities;

/// What the user of our own user agent prefers: header fields and their values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings(Vec<(&'static str, String)>);

fn configure(entries: &[(&str, &str)]) -> Result<Configured, SettingFault> {
    let mut settings = Settings::default();
    for (key, value) in entries {
        let name = match *key {
            "accept" => "Accept-Contact",
            "reject" => "Reject-Contact",
            _ => "Request-Disposition",
        };
        let rest = value.trim().strip_prefix('*').unwrap_or("!");
        let features = rest.is_empty() || Params::new(rest.as_bytes()).check().is_ok();
        let words = value.split(',').all(|word| {
            let word = word.trim();
            !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')
        });
        if !(if *key == "disposition" { words } else { rest != "!" && features }) {
            return Err(SettingFault::new(*key, format!("{value} is no value of {name}")));
        }
        settings.0.push((name, value.trim().to_owned()));
    }
    Ok(Arc::new(settings))
}

/// The behaviour: [`proxy`].
struct CallerPreferences;

impl Behaviour for CallerPreferences {
    fn stages(&self) -> &'static [Stage] {
        &[Stage::ProxyTargets, Stage::UacRequest]
    }
    fn proxy_targets(&self, _env: &Env<'_>, at: &mut ProxyTargets<'_>) -> Verdict {
        proxy::targets(at)
    }

    /// Section 5: what the user asks for. A REGISTER has no preferences (section 9).
    fn uac_request(&self, env: &Env<'_>, at: &mut UacRequest<'_>) -> Verdict {
        if let Some(Settings(fields)) =
            env.settings::<Settings>().filter(|_| at.method != b"REGISTER")
        {
            for (name, value) in fields {
                at.fields.push(name, value);
            }
        }
        Verdict::Pass
    }
}

/// A field of this extension.
const fn field(
    name: &'static str,
    letter: char,
    grammar: &'static str,
    row: &'static [Row],
) -> FieldDeclaration {
    FieldDeclaration {
        name,
        compact: Some(letter),
        // What the authors expected, and why they took letters.
        share: 31,
        shape: Shape::List,
        extensible: true,
        uris: UriSchemes::None,
        grammar,
        rows: row,
    }
}

/// The declaration.
pub static EXTENSION: Extension = Extension {
    id: "caller-preferences",
    title: "Caller Preferences for the Session Initiation Protocol (SIP)",
    documents: &["RFC 3841"],
    section: Section::Infrastructure,
    category: Category::Standard,
    overview: "A caller can ask for a phone with video, or for anything but a voice mailbox, and \
        can ask the proxies to try phones one after the other, or only one, or to send a list \
        of addresses back. The proxy that knows the called person's phones leaves out those that \
        do not fit, sorts the others, and goes about it in the way that was asked for.",
    security: "The number of preferences in one request is limited, because comparing takes \
        work. Capabilities are not revealed to the caller.",
    interactions: Interactions {
        forking: "it filters and orders the target set, and can turn forking off",
        cancel_and_ack: "both may carry the header fields so that stateless proxies route alike",
        routing: "it acts only where the Request-URI is in the proxy's own domain",
        stateless_proxies: "they can pass the header fields on and nothing more",
        dialog_usages: "inside a dialog there is one target and nothing to prefer",
    },
    compatibility: "A proxy without it passes the header fields on and forks as it is used to.",
    fields: &[
        field("Accept-Contact", 'a', "RFC 3841 section 10", &[ROW]),
        field("Reject-Contact", 'j', "RFC 3841 section 10", &[ROW]),
        FieldDeclaration {
            // Closed on purpose: section 9.1.
            extensible: true,
            ..field(
                "Request-Disposition",
                'd',
                "RFC 3841 section 10",
                &[Row::new(Where::Request, "ar", "oooooo oooooooo")],
            )
        },
    ],
    uac: Acts::Does("Adds the header fields that its user asks for."),
    uas: Acts::Does("May compare as if it were a proxy with itself as the only target."),
    proxy: Acts::Does(
        "Where it owns the domain of the Request-URI: leaves out targets that Reject-Contact \
         describes or that a required Accept-Contact does not fit, scores and orders the others \
         within each q, falls back to the whole set if only an implied preference left nobody, \
         answers 480 if an explicit one did, and follows Request-Disposition.",
    ),
    registrar: Acts::Nothing("capabilities keeps what is needed"),
    implements: Roles::of(&[Role::Uac, Role::Proxy]),
    needs: &[capabilities::ID],
    rules: RULES,
    flows: &[
        FlowReference { name: "caller-preferences", kind: FlowKind::Common, roles: Roles::PROXY },
        FlowReference {
            name: "caller-preferences-nobody",
            kind: FlowKind::Failure,
            roles: Roles::PROXY,
        },
        FlowReference {
            name: "caller-preferences-no-cancel",
            kind: FlowKind::Common,
            roles: Roles::PROXY,
        },
        FlowReference {
            name: "caller-preferences-phone",
            kind: FlowKind::Common,
            roles: Roles::UAC,
        },
    ],
    settings: &[
        Setting { key: "accept", about: "our own Accept-Contact, as *;video", default: "[]" },
        Setting { key: "reject", about: "our own Reject-Contact", default: "[]" },
        Setting { key: "disposition", about: "our own Request-Disposition", default: "" },
    ],
    configure: Some(configure),
    wake: &[
        Wake::Field("Accept-Contact"),
        Wake::Field("Reject-Contact"),
        Wake::Field("Request-Disposition"),
        // Implied preferences need no header field, only targets with capabilities (7.2.2).
        Wake::Kept(capabilities::ID),
    ],
    behaviour: &CallerPreferences,
    ..Extension::EMPTY
};

/// RFC 3841 section 9, Figures 2 and 3.
const ROW: Row = Row::new(Where::Request, "ar", "ooooo- oooooooo");

const RULES: &[Rule] = &[
    Rule {
        section: "3841 5",
        roles: Roles::UAC,
        text: "the header fields that the user asks for are added, and none to a REGISTER",
        proof: Proof::Flow("caller-preferences-phone"),
    },
    Rule {
        section: "3841 7.2",
        roles: Roles::PROXY,
        text: "preferences are applied only to bindings of the proxy's own domain",
        proof: Proof::Test("infrastructure::caller_preferences::tests::strangers_are_left_alone"),
    },
    Rule {
        section: "3841 7.2.2",
        roles: Roles::PROXY,
        text: "without explicit preferences the method and the event package imply some",
        proof: Proof::Test("infrastructure::caller_preferences::tests::the_method_is_implied"),
    },
    Rule {
        section: "3841 7.2.3",
        roles: Roles::PROXY,
        text: "a target without capabilities is immune",
        proof: Proof::Test("infrastructure::caller_preferences::tests::the_rfcs_example"),
    },
    Rule {
        section: "3841 7.2.4",
        roles: Roles::PROXY,
        text: "a rejected target goes only if it names every feature of the rejection",
        proof: Proof::Test("infrastructure::caller_preferences::tests::the_rfcs_example"),
    },
    Rule {
        section: "3841 7.2.4",
        roles: Roles::PROXY,
        text: "require drops what does not match, explicit what does not say so",
        proof: Proof::Flow("caller-preferences"),
    },
    Rule {
        section: "3841 7.2.4",
        roles: Roles::PROXY,
        text: "if an explicit preference leaves nobody the answer is 480",
        proof: Proof::Flow("caller-preferences-nobody"),
    },
    Rule {
        section: "3841 9.1",
        roles: Roles::PROXY,
        text: "directives are followed, one of each kind",
        proof: Proof::Test("infrastructure::caller_preferences::tests::directives_are_read"),
    },
    Rule {
        section: "3841 9.1",
        roles: Roles::PROXY,
        text: "who wants no CANCEL gets none after a 2xx, but the one that Timer C sends",
        proof: Proof::Flow("caller-preferences-no-cancel"),
    },
    Rule {
        section: "3841 11",
        roles: Roles::PROXY,
        text: "more than twenty preferences are refused",
        proof: Proof::Test("infrastructure::caller_preferences::tests::too_many_are_refused"),
    },
];
