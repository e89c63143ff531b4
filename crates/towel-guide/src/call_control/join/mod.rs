//! Join: a call that is added to another (RFC 3911).
//!
//! # Security
//! Who is added hears all. Nobody is unless `accept` says so; `from = "party"` wants the caller to be the
//! peer, or to be referred by it.
//!
//! # Interactions
//! The application gets to know which call the new one joins, and does the mixing. A user agent that mixes
//! nothing answers 488.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use towel_core::contract::{
    Acts, Behaviour, Category, Configured, Env, Extension, FieldDeclaration, FieldParameter,
    FlowKind, FlowReference, Interactions, OptionTag, Proof, Relation, Roles, Row, Rule, Section,
    Setting, SettingFault, Shape, Stage, Standing, Task, UasRequest, UriSchemes, Verdict, Wake,
    Where,
};
use towel_message::{Method, Name};

use super::Named;
use super::replaces::is_party;

const ID: &str = "join";

/// What our own user agent does with a Join.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Settings {
    /// Whether it mixes.
    pub accept: bool,
    /// Whether the caller has to be the peer, or referred by it.
    pub party: bool,
}

fn configure(entries: &[(&str, &str)]) -> Result<Configured, SettingFault> {
    let mut settings = Settings::default();
    for (key, value) in entries {
        match (*key, *value) {
            ("accept", "yes" | "true") => settings.accept = true,
            ("accept", "no" | "false") => settings.accept = false,
            ("accept", _) => return Err(SettingFault::new(*key, "true or false")),
            (_, "anybody") => settings.party = false,
            (_, "party") => settings.party = true,
            _ => return Err(SettingFault::new(*key, "anybody or party")),
        }
    }
    Ok(Arc::new(settings))
}

/// The behaviour.
struct Join;

impl Behaviour for Join {
    fn stages(&self) -> &'static [Stage] {
        &[Stage::UasRequest]
    }

    /// Section 4.
    fn uas_request(&self, env: &Env<'_>, at: &mut UasRequest<'_>) -> Verdict {
        let request = at.request;
        let Some(value) = request.value(Name::Join) else { return Verdict::Pass };
        if matches!(request.method(), Method::Ack | Method::Cancel) {
            return Verdict::Pass;
        }
        if request.method() != Method::Invite || at.dialog.is_some() {
            return Verdict::refuse(400, "Join Has No Place Here");
        }
        if request.is_repeated(Name::Join) {
            return Verdict::refuse(400, "Repeated Join Header Field");
        }
        if request.has(Name::Replaces) {
            return Verdict::refuse(400, "Join Contradicts Replaces");
        }
        let Some(named) = Named::read(value, "to-tag", "from-tag") else {
            return Verdict::refuse(400, "Malformed Join Header Field");
        };
        let found = env.element.other_dialog(named.call_id, named.local, named.remote);
        let Some(other) = found.filter(|other| other.session) else {
            return Verdict::refuse(481, "Call/Transaction Does Not Exist");
        };
        if other.standing == Standing::Over {
            return Verdict::refuse(603, "Decline");
        }
        let settings = env.settings::<Settings>().copied().unwrap_or_default();
        if settings.party && !is_party(&request, &other) {
            return Verdict::refuse(403, "Forbidden");
        }
        if !settings.accept {
            return Verdict::refuse(488, "Not Acceptable Here");
        }
        let (call_id, local_tag, remote_tag) =
            (named.call_id.to_vec(), named.local.to_vec(), named.remote.to_vec());
        at.tasks.push(ID, Task::Relate { how: Relation::Joins, call_id, local_tag, remote_tag });
        Verdict::Pass
    }
}

const fn rule(section: &'static str, roles: Roles, text: &'static str, proof: Proof) -> Rule {
    Rule { section, roles, text, proof }
}

/// A test of this entry.
macro_rules! tested {
    ($name:literal) => {
        Proof::Test(concat!("call_control::join::tests::", $name))
    };
}

const fn parameter(name: &'static str) -> FieldParameter {
    FieldParameter { field: "Join", name, grammar: "RFC 3911 section 7.1" }
}

/// The declaration.
pub static EXTENSION: Extension = Extension {
    id: ID,
    title: "Joining a conversation of the Session Initiation Protocol (SIP)",
    documents: &["RFC 3911"],
    section: Section::CallControl,
    category: Category::Standard,
    overview: "Somebody calls a telephone that is in a call already, and says that he wants to be \
        added to it. The telephone mixes the three, or says that it cannot.",
    security: "Whoever joins hears all and is heard; nobody is let in unless that is set up, and it \
        can be kept for those who call with the address of the one who is there, or are referred \
        by it.",
    interactions: Interactions {
        forking: "it names one dialog; telephones that do not have it refuse the INVITE",
        cancel_and_ack: "neither carries it",
        routing: "the INVITE goes to the Contact of the one who has the dialog",
        stateless_proxies: "they pass it on",
        dialog_usages: "the dialogs that are mixed stay dialogs of their own",
    },
    compatibility: "Who must not take the INVITE for an ordinary call is asked with Require.",
    option_tags: &[OptionTag {
        name: "join",
        supported_by: Roles::UA,
        required: true,
        proxy_required: false,
        fallback: "there is none: who is not joined has not joined",
    }],
    fields: &[FieldDeclaration {
        name: "Join",
        compact: None,
        share: 1,
        shape: Shape::Single,
        extensible: true,
        uris: UriSchemes::None,
        grammar: "RFC 3911 section 7.1",
        rows: &[Row::new(Where::Request, "", "---o-- --------")],
    }],
    field_parameters: &[parameter("to-tag"), parameter("from-tag")],
    uac: Acts::Does("Calls with the Join that its user, or a REFER, gave it."),
    uas: Acts::Does(
        "Looks for the dialog, early or not, and refuses with 481, 603 or 400 what names none that \
        lives; with 488 if it mixes nothing; else tells the application which call is joined.",
    ),
    proxy: Acts::Nothing("it passes Join on as it came"),
    registrar: Acts::Nothing("it has no dialogs"),
    implements: Roles::UAS,
    partly: Roles::UAC,
    rules: &[
        rule(
            "3911 4",
            Roles::UAS,
            "the tags are compared as if they stood in a request of the dialog",
            tested!("each_dialog_gets_the_answer_that_it_deserves"),
        ),
        rule(
            "3911 4",
            Roles::UAS,
            "more than one, one in another request than an INVITE, or one beside Replaces gets 400",
            tested!("what_cannot_be_meant_gets_a_400"),
        ),
        rule(
            "3911 4",
            Roles::UAS,
            "no match, and a dialog that no INVITE made, gets 481",
            Proof::Flow("join-unknown"),
        ),
        rule(
            "3911 4",
            Roles::UAS,
            "for a URI of a conference an unmatched one is ignored",
            Proof::Excepted("a telephone has no such URI"),
        ),
        rule(
            "3911 4",
            Roles::UAS,
            "a dialog that is over gets 603",
            tested!("each_dialog_gets_the_answer_that_it_deserves"),
        ),
        rule(
            "3911 4",
            Roles::UAS,
            "who initiates it is authorized",
            tested!("where_it_matters_who_it_is"),
        ),
        rule(
            "3911 4",
            Roles::UAS,
            "its Referred-By points to a valid authenticated identity body",
            Proof::Excepted("signatures of S/MIME are not looked at"),
        ),
        rule(
            "3911 4",
            Roles::UAS,
            "who cannot do it answers 488, and the dialog stays as it is",
            Proof::Flow("join-refused"),
        ),
        rule(
            "3911 4",
            Roles::UAS,
            "a confirmed or an early dialog can be joined, and goes on",
            Proof::Flow("join-call"),
        ),
        rule(
            "3911 5",
            Roles::UAC,
            "an INVITE that follows a redirection has the same Join",
            Proof::Excepted("redirections are told to the user and not followed"),
        ),
    ],
    flows: &[
        FlowReference { name: "join-call", kind: FlowKind::Common, roles: Roles::UAS },
        FlowReference { name: "join-refused", kind: FlowKind::Failure, roles: Roles::UAS },
        FlowReference { name: "join-unknown", kind: FlowKind::Failure, roles: Roles::UAS },
    ],
    wake: &[Wake::Field("Join")],
    settings: &[
        Setting {
            key: "accept",
            about: "whether our own user agent mixes calls, and lets others join one",
            default: "false",
        },
        Setting {
            key: "from",
            about: "who may join a call of our own user agent: anybody who knows its identifiers, or \
                party, who has the address of its peer or is referred by it",
            default: "anybody",
        },
    ],
    configure: Some(configure),
    behaviour: &Join,
    ..Extension::EMPTY
};
