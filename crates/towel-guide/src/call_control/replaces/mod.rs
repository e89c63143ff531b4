//! Replaces: a call that takes the place of another (RFC 3891).
//!
//! The INVITE names a dialog of the one who gets it. If it is accepted, that one ends.
//!
//! # Security
//! Who knows a dialog's identifiers can end it. `from = "party"` wants more: that the caller is the peer
//! who is replaced, by its From or Referred-By, which prove as much as the network before us makes of
//! them.
//!
//! # Interactions
//! What comes of it is the user agent's: the dialog that is replaced is ended when the INVITE is answered
//! with a 2xx, and left alone when it is refused.

#[cfg(test)]
pub(crate) mod tests;

use std::sync::Arc;

use towel_core::contract::{
    Acts, Behaviour, Category, Configured, Env, Extension, FieldDeclaration, FieldParameter,
    FlowKind, FlowReference, Interactions, OptionTag, OtherDialog, Proof, Relation, Roles, Row,
    Rule, Section, Setting, SettingFault, Shape, Stage, Standing, Task, UasRequest, UriSchemes,
    Verdict, Wake, Where,
};
use towel_message::{Message, Method, Name, NameAddr, Uri};

use super::Named;

const ID: &str = "replaces";

/// Who may replace a dialog.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum From {
    /// Whoever knows its identifiers.
    #[default]
    Anybody,
    /// Who calls with the address of the peer, or is referred by it.
    Party,
}

fn configure(entries: &[(&str, &str)]) -> Result<Configured, SettingFault> {
    let mut from = From::default();
    for (key, value) in entries {
        from = match *value {
            "anybody" => From::Anybody,
            "party" => From::Party,
            _ => return Err(SettingFault::new(*key, "anybody or party")),
        };
    }
    Ok(Arc::new(from))
}

/// Whether the INVITE comes from the peer of a dialog, or on its behalf (section 3), as far as its header
/// fields say.
pub(super) fn is_party(request: &Message<'_>, other: &OtherDialog<'_>) -> bool {
    let Some(peer) = NameAddr::parse(other.remote).ok().and_then(|peer| peer.parse_uri().ok())
    else {
        return false;
    };
    let same = |value: Option<&[u8]>| {
        let address = value.and_then(|value| NameAddr::parse(value).ok());
        let uri = address.and_then(|address| Uri::parse(address.uri).ok());
        uri.is_some_and(|uri| towel_message::uri::equivalent(&uri, &peer))
    };
    same(request.value(Name::From)) || same(request.value(Name::ReferredBy))
}

/// The behaviour.
struct Replaces;

impl Behaviour for Replaces {
    fn stages(&self) -> &'static [Stage] {
        &[Stage::UasRequest]
    }

    /// Section 3.
    fn uas_request(&self, env: &Env<'_>, at: &mut UasRequest<'_>) -> Verdict {
        let request = at.request;
        let Some(value) = request.value(Name::Replaces) else { return Verdict::Pass };
        if matches!(request.method(), Method::Ack | Method::Cancel) {
            return Verdict::Pass;
        }
        if request.method() != Method::Invite || at.dialog.is_some() {
            return Verdict::refuse(400, "Replaces Has No Place Here");
        }
        if request.is_repeated(Name::Replaces) {
            return Verdict::refuse(400, "Repeated Replaces Header Field");
        }
        if request.has(Name::Join) {
            return Verdict::refuse(400, "Replaces Contradicts Join");
        }
        let Some(named) = Named::read(value, "to-tag", "from-tag") else {
            return Verdict::refuse(400, "Malformed Replaces Header Field");
        };
        let found = env.element.other_dialog(named.call_id, named.local, named.remote);
        let Some(other) = found.filter(|other| other.session) else {
            return Verdict::refuse(481, "Call/Transaction Does Not Exist");
        };
        match other.standing {
            Standing::Over => return Verdict::refuse(603, "Decline"),
            Standing::Early if !other.initiator => {
                return Verdict::refuse(481, "Call/Transaction Does Not Exist");
            }
            Standing::Confirmed if named.params.has("early-only") => {
                return Verdict::refuse(486, "Busy Here");
            }
            Standing::Early | Standing::Confirmed => {}
        }
        let from = env.settings::<From>().copied().unwrap_or_default();
        if from == From::Party && !is_party(&request, &other) {
            return Verdict::refuse(403, "Forbidden");
        }
        let (call_id, local_tag, remote_tag) =
            (named.call_id.to_vec(), named.local.to_vec(), named.remote.to_vec());
        let how = Relation::Replaces;
        at.tasks.push(ID, Task::Relate { how, call_id, local_tag, remote_tag });
        Verdict::Pass
    }
}

const fn rule(section: &'static str, roles: Roles, text: &'static str, proof: Proof) -> Rule {
    Rule { section, roles, text, proof }
}

/// A test of this entry.
macro_rules! tested {
    ($name:literal) => {
        Proof::Test(concat!("call_control::replaces::tests::", $name))
    };
}

/// The declaration.
pub static EXTENSION: Extension = Extension {
    id: ID,
    title: "Replacing a dialog of the Session Initiation Protocol (SIP) by another",
    documents: &["RFC 3891"],
    section: Section::CallControl,
    category: Category::Standard,
    overview: "Somebody who is in a call gets another one, which says that it takes the place of the \
        first. The telephone does not ring; it goes on with the new one and hangs up the old one. \
        That is how a call is handed over, or picked up by a colleague.",
    security: "Whoever knows the identifiers of a call can take somebody's place in it; a setting \
        lets only those do it who call with the address of the one who is replaced, or are \
        referred by it.",
    interactions: Interactions {
        forking: "it names one dialog; the INVITE may reach telephones that do not have it, which \
            refuse it",
        cancel_and_ack: "neither carries it; an early dialog that is replaced ends with a CANCEL",
        routing: "the INVITE goes to the Contact of the one who has the dialog",
        stateless_proxies: "they pass it on",
        dialog_usages: "it ends an INVITE usage; subscriptions in the same dialog go on",
    },
    compatibility: "Who must not take the INVITE for an ordinary call is asked with Require.",
    option_tags: &[OptionTag {
        name: "replaces",
        supported_by: Roles::UA,
        required: true,
        proxy_required: false,
        fallback: "the old call is ended and a new one made without Replaces (RFC 5589 section 7.7)",
    }],
    fields: &[FieldDeclaration {
        name: "Replaces",
        compact: None,
        share: 1,
        shape: Shape::Single,
        extensible: true,
        uris: UriSchemes::None,
        grammar: "RFC 3891 section 6.1",
        rows: &[Row::new(Where::Request, "", "---o-- --------")],
    }],
    field_parameters: &[
        FieldParameter { field: "Replaces", name: "to-tag", grammar: "RFC 3891 section 6.1" },
        FieldParameter { field: "Replaces", name: "from-tag", grammar: "RFC 3891 section 6.1" },
        FieldParameter { field: "Replaces", name: "early-only", grammar: "RFC 3891 section 6.1" },
    ],
    uac: Acts::Does(
        "Calls with the Replaces that a REFER gave it; when it refers somebody, names the dialog \
        by Call-ID and tags as the one who has it knows them.",
    ),
    uas: Acts::Does(
        "Looks for the dialog, refuses what cannot take its place, and ends it when the INVITE \
        is answered with a 2xx: with a BYE, or with a CANCEL while it is early.",
    ),
    proxy: Acts::Nothing("it passes Replaces on as it came"),
    registrar: Acts::Nothing("it has no dialogs"),
    implements: Roles::UA,
    rules: &[
        rule(
            "3891 3",
            Roles::UAS,
            "the tags are compared as if they stood in a request of the dialog",
            tested!("each_dialog_gets_the_answer_that_it_deserves"),
        ),
        rule(
            "3891 3",
            Roles::UAS,
            "more than one, or one in another request than an INVITE, gets 400",
            tested!("what_cannot_be_meant_gets_a_400"),
        ),
        rule(
            "3891 3",
            Roles::UAS,
            "one beside a contradiction, such as Join, gets 400",
            tested!("what_cannot_be_meant_gets_a_400"),
        ),
        rule("3891 3", Roles::UAS, "no match gets 481", Proof::Flow("replaces-unknown")),
        rule(
            "3891 3",
            Roles::UAS,
            "a dialog that no INVITE made gets 481",
            tested!("each_dialog_gets_the_answer_that_it_deserves"),
        ),
        rule("3891 3", Roles::UAS, "a dialog that is over gets 603", Proof::Flow("replaces-over")),
        rule(
            "3891 3",
            Roles::UAS,
            "who initiates it is authorized: by its identity, or by a Referred-By of the one who is \
                replaced",
            tested!("where_it_matters_who_it_is"),
        ),
        rule(
            "3891 3",
            Roles::UAS,
            "that Referred-By points to a valid authenticated identity body",
            Proof::Excepted("signatures of S/MIME are not looked at"),
        ),
        rule(
            "3891 3",
            Roles::UAS,
            "where the INVITE cannot be accepted the dialog stays as it is",
            Proof::Flow("replaces-refused"),
        ),
        rule(
            "3891 3",
            Roles::UAS,
            "early-only for a dialog that is confirmed gets 486",
            Proof::Flow("replaces-early-only"),
        ),
        rule(
            "3891 3",
            Roles::UAS,
            "a confirmed dialog is ended with a BYE after the 2xx",
            Proof::Flow("replaces-call"),
        ),
        rule(
            "3891 3",
            Roles::UAS,
            "an early dialog of ours is ended with a CANCEL after the 2xx",
            Proof::Flow("replaces-pickup"),
        ),
        rule(
            "3891 3",
            Roles::UAS,
            "an early dialog of somebody else's gets 481 and stays",
            Proof::Flow("replaces-ringing"),
        ),
        rule(
            "3891 4",
            Roles::UAC,
            "Call-ID and tags are those of the dialog, each tag once",
            Proof::Flow("replaces-asked"),
        ),
        rule(
            "3891 6.1",
            Roles::UA,
            "a tag of nought stands for none as well",
            Proof::Test("ua::user_agent::others::tests::a_tag_of_nought_is_none_as_well"),
        ),
        rule(
            "3891 6.2",
            Roles::UA,
            "the option tag stands in Supported",
            Proof::Flow("replaces-asked"),
        ),
    ],
    flows: &[
        FlowReference { name: "replaces-call", kind: FlowKind::Common, roles: Roles::UAS },
        FlowReference { name: "replaces-pickup", kind: FlowKind::Common, roles: Roles::UAS },
        FlowReference { name: "replaces-asked", kind: FlowKind::Common, roles: Roles::UAC },
        FlowReference { name: "replaces-unknown", kind: FlowKind::Failure, roles: Roles::UAS },
        FlowReference { name: "replaces-over", kind: FlowKind::Failure, roles: Roles::UAS },
        FlowReference { name: "replaces-refused", kind: FlowKind::Failure, roles: Roles::UAS },
        FlowReference { name: "replaces-early-only", kind: FlowKind::Failure, roles: Roles::UAS },
        FlowReference { name: "replaces-ringing", kind: FlowKind::Failure, roles: Roles::UAS },
    ],
    wake: &[Wake::Field("Replaces")],
    settings: &[Setting {
        key: "from",
        about: "who may replace a call of our own user agent: anybody who knows its identifiers, or \
            party, who has the address of the one who is replaced or is referred by it",
        default: "anybody",
    }],
    configure: Some(configure),
    behaviour: &Replaces,
    ..Extension::EMPTY
};
