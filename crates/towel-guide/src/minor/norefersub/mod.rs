//! Refer-Sub: a REFER without a subscription (RFC 4488).
//!
//! # Security
//! Who takes Refer-Sub out of a REFER, or puts it in, makes its sender hear more or less of what comes of
//! it, and nothing else.
//!
//! # Interactions
//! Without a subscription a REFER outside of dialogs makes none. RFC 7614 does the same with option tags
//! that are required, so that the recipient has no choice.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use towel_core::contract::{
    Acts, Behaviour, Category, Configured, Env, Extension, FieldDeclaration, FlowKind,
    FlowReference, Interactions, OptionTag, Proof, Roles, Row, Rule, SUCCESS, Section, Setting,
    SettingFault, Shape, Stage, Task, UacRequest, UacResponse, UasRequest, UasResponse, UriSchemes,
    Verdict, Wake, Where,
};
use towel_message::{Method, Name};

const ID: &str = "norefersub";

/// What our own user agent does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Whether it asks for it where a REFER cannot fork: in a dialog.
    pub ask: bool,
    /// Whether it does without a subscription if it is asked to.
    pub grant: bool,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { ask: false, grant: true }
    }
}

fn configure(entries: &[(&str, &str)]) -> Result<Configured, SettingFault> {
    let mut settings = Settings::default();
    for (key, value) in entries {
        let value = match *value {
            "yes" | "true" => true,
            "no" | "false" => false,
            _ => return Err(SettingFault::new(*key, "true or false")),
        };
        match *key {
            "ask" => settings.ask = value,
            _ => settings.grant = value,
        }
    }
    Ok(Arc::new(settings))
}

/// Reads Refer-Sub.
fn wanted(value: &[u8]) -> Option<bool> {
    let word = value.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    match () {
        () if word.eq_ignore_ascii_case(b"true") => Some(true),
        () if word.eq_ignore_ascii_case(b"false") => Some(false),
        () => None,
    }
}

/// What is kept with a REFER: that it is, or will be, one without a subscription.
#[derive(Debug, Clone, Copy)]
struct Without;

/// The behaviour.
struct NoReferSub;

impl Behaviour for NoReferSub {
    fn stages(&self) -> &'static [Stage] {
        &[Stage::UacRequest, Stage::UacResponse, Stage::UasRequest, Stage::UasResponse]
    }

    /// Section 4: only where it is certain that it does not fork, as in a dialog.
    fn uac_request(&self, env: &Env<'_>, at: &mut UacRequest<'_>) -> Verdict {
        if at.method != b"REFER" {
            return Verdict::Pass;
        }
        at.slots.clear(ID);
        let settings = env.settings::<Settings>().copied().unwrap_or_default();
        match at.given.get("Refer-Sub") {
            Some(value) if wanted(value) == Some(false) => at.slots.set(ID, Without),
            None if settings.ask && at.dialog.is_some() => {
                at.fields.push("Refer-Sub", "false");
                at.slots.set(ID, Without);
            }
            _ => {}
        }
        Verdict::Pass
    }

    fn uac_response(&self, _env: &Env<'_>, at: &mut UacResponse<'_>) -> Verdict {
        let granted = at.method == b"REFER"
            && at.response.status() / 100 == 2
            && at.slots.get::<Without>(ID).is_some()
            && at.response.value(Name::ReferSub).and_then(wanted) == Some(false);
        if granted {
            at.tasks.push(ID, Task::NoSubscription);
        }
        Verdict::Pass
    }

    fn uas_request(&self, env: &Env<'_>, at: &mut UasRequest<'_>) -> Verdict {
        let Some(value) = at.request.value(Name::ReferSub) else { return Verdict::Pass };
        if at.request.method() != Method::Refer {
            return Verdict::Pass;
        }
        let Some(subscribes) = wanted(value).filter(|_| !at.request.is_repeated(Name::ReferSub))
        else {
            return Verdict::refuse(400, "Malformed Refer-Sub Header Field");
        };
        let settings = env.settings::<Settings>().copied().unwrap_or_default();
        if !subscribes && settings.grant {
            at.slots.set(ID, Without);
            at.tasks.push(ID, Task::NoSubscription);
        }
        Verdict::Pass
    }

    /// Section 4: who does without says so.
    fn uas_response(&self, _env: &Env<'_>, at: &mut UasResponse<'_>) -> Verdict {
        let refer = at.request.method() == Method::Refer;
        if refer && at.status / 100 == 2 && at.slots.get::<Without>(ID).is_some() {
            at.fields.push("Refer-Sub", "false");
        }
        Verdict::Pass
    }
}

const fn rule(section: &'static str, roles: Roles, text: &'static str, proof: Proof) -> Rule {
    Rule { section, roles, text, proof }
}

/// The declaration.
pub static EXTENSION: Extension = Extension {
    id: ID,
    title: "Suppressing the implicit subscription of REFER in the Session Initiation Protocol (SIP)",
    documents: &["RFC 4488"],
    section: Section::Minor,
    category: Category::Standard,
    overview: "Who asks a telephone to call somebody is told how that goes. Who does not care says so, \
        and both ends are spared the messages.",
    security: "It makes less be told; who changes it on its way makes one end hear less or more than \
        it wanted.",
    interactions: Interactions {
        forking: "it is asked for only where the REFER cannot fork, since further recipients would \
            not be heard of",
        cancel_and_ack: "neither carries it",
        routing: "it changes nothing",
        stateless_proxies: "they pass it on",
        dialog_usages: "the REFER makes no usage, and outside of dialogs no dialog",
    },
    compatibility: "Who does not know it subscribes its sender, as without it.",
    option_tags: &[OptionTag {
        name: "norefersub",
        supported_by: Roles::UA,
        required: true,
        proxy_required: false,
        fallback: "the same REFER without Require, which makes a subscription",
    }],
    fields: &[FieldDeclaration {
        name: "Refer-Sub",
        compact: None,
        share: 1,
        shape: Shape::Single,
        extensible: true,
        uris: UriSchemes::None,
        grammar: "RFC 4488 section 4",
        rows: &[
            Row::new(Where::Request, "", "------ -------o"),
            Row::new(SUCCESS, "", "------ -------o"),
        ],
    }],
    uac: Acts::Does(
        "Asks for it where it is told to, in a dialog; takes it for granted only if the 2xx says so.",
    ),
    uas: Acts::Does(
        "Does without a subscription if it is asked to and may, and says so in the 2xx.",
    ),
    proxy: Acts::Nothing("it passes Refer-Sub on as it came"),
    registrar: Acts::Nothing("it is not referred"),
    implements: Roles::UA,
    rules: &[
        rule(
            "4488 4",
            Roles::UAC,
            "it is asked for only where the REFER is certain not to fork",
            Proof::Test("minor::norefersub::tests::it_is_asked_for_only_in_a_dialog"),
        ),
        rule(
            "4488 4",
            Roles::UAS,
            "who grants it says so in the 2xx, and makes no subscription and no dialog",
            Proof::Flow("norefersub-granted"),
        ),
        rule(
            "4488 4",
            Roles::UAC,
            "a 2xx that does not say so makes a subscription",
            Proof::Flow("norefersub-not-granted"),
        ),
        rule(
            "4488 4",
            Roles::UAC,
            "a 2xx that says so makes none",
            Proof::Flow("norefersub-asked"),
        ),
        rule(
            "4488 4",
            Roles::UAS,
            "who does not support it refuses a requirement with 420",
            Proof::Test("minor::norefersub::tests::who_requires_it_is_understood"),
        ),
    ],
    flows: &[
        FlowReference { name: "norefersub-granted", kind: FlowKind::Common, roles: Roles::UAS },
        FlowReference { name: "norefersub-asked", kind: FlowKind::Common, roles: Roles::UAC },
        FlowReference {
            name: "norefersub-not-granted",
            kind: FlowKind::Failure,
            roles: Roles::UAC,
        },
    ],
    wake: &[Wake::Method("REFER")],
    settings: &[
        Setting {
            key: "ask",
            about: "whether our own user agent wants to hear nothing of what comes of a REFER in a \
                dialog",
            default: "false",
        },
        Setting {
            key: "grant",
            about: "whether our own user agent follows a REFER without telling how it goes, if asked to",
            default: "true",
        },
    ],
    configure: Some(configure),
    behaviour: &NoReferSub,
    ..Extension::EMPTY
};
