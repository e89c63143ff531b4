//! User agent capabilities (RFC 3840).
//!
//! A phone says in its Contact what it can do: audio, video, that it is a voice mailbox, that it
//! does not move. The registrar keeps that with the binding, shows it in its answer and lets
//! callers' preferences (RFC 3841) choose by it.
//!
//! # Security
//! What a phone can do may tell who its owner is; it is shown only in the answer to the owner's
//! own registration, and by the phone itself.
//!
//! # Interactions
//! A fork is narrowed by capabilities only through caller preferences.

pub mod syntax;

use std::sync::Arc;

use towel_core::contract::{
    Acts, Behaviour, Category, Configured, Env, Extension, FieldParameter, FlowKind, FlowReference,
    Interactions, OptionTag, Proof, Register, Role, Roles, Rule, Section, Setting, SettingFault,
    Stage, UacRequest, UasResponse, Verdict, Wake,
};
use towel_message::Params;

/// The id, under which a binding keeps its feature parameters.
pub const ID: &str = "capabilities";

/// What we ourselves can do when we are a user agent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// Feature parameters, each with its semicolon.
    pub parameters: String,
}

fn configure(entries: &[(&str, &str)]) -> Result<Configured, SettingFault> {
    let mut parameters = String::new();
    for (key, value) in entries {
        let one = format!(";{}", value.trim().trim_start_matches(';'));
        let read = Params::new(one.as_bytes());
        let good = read.check().is_ok() && read.iter().all(|param| syntax::is_feature(param.name));
        if !good {
            return Err(SettingFault::new(*key, format!("{value} is no feature parameter")));
        }
        parameters.push_str(&one);
    }
    Ok(Arc::new(Settings { parameters }))
}

/// The behaviour.
struct Capabilities;

impl Behaviour for Capabilities {
    fn stages(&self) -> &'static [Stage] {
        &[Stage::Register, Stage::UacRequest, Stage::UasResponse]
    }

    /// Section 6: the registrar stores the feature parameters of each contact.
    fn register(&self, _env: &Env<'_>, at: &mut Register<'_, '_>) -> Verdict {
        for contact in at.contacts.iter_mut() {
            let mut kept = Vec::new();
            for param in contact.contact.params.iter().filter(|p| syntax::is_feature(p.name)) {
                kept.push(b';');
                kept.extend_from_slice(param.name);
                if let Some(value) = param.value {
                    kept.push(b'=');
                    kept.extend_from_slice(value);
                }
            }
            if !kept.is_empty() && !contact.kept.set(ID, &kept) {
                return Verdict::refuse(400, "Contact Header Field Too Long");
            }
        }
        Verdict::Pass
    }

    /// Section 6: each Contact of the 200 has all the feature parameters of its binding.
    fn list_binding(&self, kept: &[u8], parameters: &mut Vec<u8>) {
        parameters.extend_from_slice(kept);
    }

    /// Section 6: what we can do goes into the Contact that we register.
    fn uac_request(&self, env: &Env<'_>, at: &mut UacRequest<'_>) -> Verdict {
        if let Some(settings) = env.settings::<Settings>() {
            at.contact_parameters.extend_from_slice(settings.parameters.as_bytes());
        }
        Verdict::Pass
    }

    /// Section 8: and into the Contact of the answer to OPTIONS.
    fn uas_response(&self, env: &Env<'_>, at: &mut UasResponse<'_>) -> Verdict {
        if let Some(settings) = env.settings::<Settings>().filter(|_| at.status / 100 == 2) {
            at.contact_parameters.extend_from_slice(settings.parameters.as_bytes());
        }
        Verdict::Pass
    }
}

/// The declaration.
pub static EXTENSION: Extension = Extension {
    id: ID,
    title: "Indicating Capabilities in the Session Initiation Protocol (SIP)",
    documents: &["RFC 3840"],
    section: Section::Infrastructure,
    category: Category::Standard,
    overview: "When a phone registers it can say what it is able to do and what it is: that it \
        has video, that it is a voice mailbox, that it is a mobile device. The registrar keeps \
        this with the phone's address. It helps to pick the right phone for a caller, and a \
        phone that is asked with OPTIONS says the same.",
    security: "Capabilities can identify a person; they go only to the owner and to elements of \
        the owner's domain.",
    interactions: Interactions {
        forking: "none by itself: caller preferences narrow the target set with it",
        cancel_and_ack: "neither has a Contact that matters",
        routing: "none",
        stateless_proxies: "none",
        dialog_usages: "a target refresh may change what a UA says of itself",
    },
    compatibility: "An element without it ignores the parameters of Contact.",
    option_tags: &[OptionTag {
        name: "pref",
        supported_by: Roles::REGISTRAR.and(Roles::UA),
        required: true,
        proxy_required: false,
        fallback: "after a 420 the client registers without Require; its capabilities are then \
            not kept",
    }],
    feature_tags: syntax::BASE,
    field_parameters: &[FieldParameter {
        field: "Contact",
        name: "+",
        grammar: "RFC 3840 section 9 (feature-param)",
    }],
    uac: Acts::Does(
        "Puts its feature parameters into the Contact that it registers or calls with.",
    ),
    uas: Acts::Does("Puts them into the Contact of its answers, to OPTIONS above all."),
    proxy: Acts::Nothing("it uses them through caller preferences"),
    registrar: Acts::Does(
        "Stores the feature parameters of each binding and puts all of them into the Contact of \
         every 200; answers to Require: pref by doing so.",
    ),
    implements: Roles::of(&[Role::Uac, Role::Uas, Role::Registrar]),
    rules: &[
        Rule {
            section: "3840 6",
            roles: Roles::REGISTRAR,
            text: "each Contact of a 200 to REGISTER has all feature parameters of its binding",
            proof: Proof::Flow("capabilities"),
        },
        Rule {
            section: "3840 6",
            roles: Roles::REGISTRAR,
            text: "a refresh without them takes them away",
            proof: Proof::Flow("capabilities-refreshed-without"),
        },
        Rule {
            section: "3840 5",
            roles: Roles::UA,
            text: "base tags stand without plus, all others with",
            proof: Proof::Test(
                "infrastructure::capabilities::syntax::tests::features_are_told_apart",
            ),
        },
        Rule {
            section: "3840 8",
            roles: Roles::UAS,
            text: "the answer to OPTIONS carries what the registration carried",
            proof: Proof::Test("infrastructure::capabilities::tests::options_says_the_same"),
        },
    ],
    flows: &[
        FlowReference { name: "capabilities", kind: FlowKind::Common, roles: Roles::REGISTRAR },
        FlowReference { name: "capabilities-phone", kind: FlowKind::Common, roles: Roles::UAC },
        FlowReference { name: "capabilities-asked", kind: FlowKind::Common, roles: Roles::UAS },
        FlowReference {
            name: "capabilities-refreshed-without",
            kind: FlowKind::Failure,
            roles: Roles::REGISTRAR,
        },
    ],
    wake: &[Wake::Method("REGISTER"), Wake::Method("OPTIONS"), Wake::OptionTag("pref")],
    settings: &[Setting {
        key: "own",
        about: "feature parameters of our own user agent, such as audio or methods=\"INVITE,BYE\"",
        default: "[]",
    }],
    configure: Some(configure),
    behaviour: &Capabilities,
    ..Extension::EMPTY
};

#[cfg(test)]
mod tests {
    use towel_core::contract::{Contacting, Durable, Fields, Registry, Slots};

    use super::*;
    use crate::testing::{env, from, request};

    #[test]
    fn what_a_contact_says_is_kept_and_listed() {
        let registry = Registry::assemble(&[&EXTENSION], Roles::ALL);
        let contact = "Contact: <sip:bob@10.0.0.1>;audio;expires=60;mobility=\"fixed\";q=0.5;\
                       +sip.newparam;other=1";
        request("REGISTER", "sip:example.com", contact, |message| {
            let contact = message.contacts().next().expect("one").expect("good");
            let mut contacts = [Contacting { contact, kept: Durable::new() }];
            let mut at = Register {
                request: message,
                source: from("198.51.100.7:5060"),
                address_of_record: b"sip:bob@example.com",
                contacts: &mut contacts,
                route: &mut Vec::new(),
            };
            assert!(registry.register(registry.woken(&message), env(), &mut at).is_pass());
            let mut listed = Vec::new();
            registry.list_binding(contacts[0].kept.as_bytes(), &mut listed);
            assert_eq!(listed, b";audio;mobility=\"fixed\";+sip.newparam");
        });
    }

    #[test]
    fn options_says_the_same() {
        let mut registry = Registry::assemble(&[&EXTENSION], Roles::ALL);
        registry.configure(ID, &[("own", "audio"), ("own", "actor=\"msg-taker\"")]).expect("good");
        assert!(registry.configure(ID, &[("own", "expires=3")]).is_err());
        request("OPTIONS", "sip:example.com", "", |message| {
            let mut parameters = Vec::new();
            let mut at = UasResponse {
                request: message,
                status: 200,
                fields: &mut Fields::new(),
                contact_parameters: &mut parameters,
                slots: &mut Slots::new(),
                dialog: None,
                tasks: &mut towel_core::contract::Tasks::new(),
                body: &[],
                delivery: &mut towel_core::contract::Delivery::Plain,
                agent: &mut Slots::new(),
            };
            registry.uas_response(registry.woken(&message), env(), &mut at);
            assert_eq!(parameters, b";audio;actor=\"msg-taker\"");
        });
    }
}
