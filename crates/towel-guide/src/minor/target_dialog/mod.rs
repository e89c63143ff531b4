//! Target-Dialog: a request outside of a dialog that shows that its sender knows one (RFC 4538).
//!
//! # Security
//! Only who was on the way of a dialog knows its identifiers; with `sips` nobody else can have heard
//! them. `demand` refuses a REFER outside of dialogs that does not show it.
//!
//! # Interactions
//! A REFER for a transfer goes outside of the call's dialog with it (RFC 5589 section 5), and the user
//! agent tells the application which call it is about.

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

use crate::call_control::Named;

const ID: &str = "target-dialog";

/// Whether a REFER outside of dialogs has to name one of ours.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Demand(pub bool);

fn configure(entries: &[(&str, &str)]) -> Result<Configured, SettingFault> {
    let mut demand = Demand::default();
    for (key, value) in entries {
        demand = match *value {
            "yes" | "true" => Demand(true),
            "no" | "false" => Demand(false),
            _ => return Err(SettingFault::new(*key, "true or false")),
        };
    }
    Ok(Arc::new(demand))
}

/// The behaviour.
struct TargetDialog;

impl Behaviour for TargetDialog {
    fn stages(&self) -> &'static [Stage] {
        &[Stage::UasRequest]
    }

    /// Section 4: what fits nothing is ignored.
    fn uas_request(&self, env: &Env<'_>, at: &mut UasRequest<'_>) -> Verdict {
        let makes_dialog =
            matches!(at.request.method(), Method::Invite | Method::Refer | Method::Subscribe);
        if at.dialog.is_some() || !makes_dialog {
            return Verdict::Pass;
        }
        let value = at.request.value(Name::TargetDialog);
        let named = value
            .filter(|_| !at.request.is_repeated(Name::TargetDialog))
            .and_then(|value| Named::read(value, "local-tag", "remote-tag"));
        let known = named.filter(|named| {
            let other = env.element.other_dialog(named.call_id, named.local, named.remote);
            other.is_some_and(|other| other.standing != Standing::Over)
        });
        if let Some(named) = known {
            let (call_id, local_tag, remote_tag) =
                (named.call_id.to_vec(), named.local.to_vec(), named.remote.to_vec());
            at.tasks
                .push(ID, Task::Relate { how: Relation::About, call_id, local_tag, remote_tag });
            return Verdict::Pass;
        }
        let demand = env.settings::<Demand>().copied().unwrap_or_default();
        if demand.0 && at.request.method() == Method::Refer {
            return Verdict::refuse(403, "Forbidden");
        }
        Verdict::Pass
    }
}

const fn rule(section: &'static str, roles: Roles, text: &'static str, proof: Proof) -> Rule {
    Rule { section, roles, text, proof }
}

const fn parameter(name: &'static str) -> FieldParameter {
    FieldParameter { field: "Target-Dialog", name, grammar: "RFC 4538 section 7" }
}

/// The declaration.
pub static EXTENSION: Extension = Extension {
    id: ID,
    title: "Request authorization by knowledge of a dialog of the Session Initiation Protocol (SIP)",
    documents: &["RFC 4538"],
    section: Section::Minor,
    category: Category::Standard,
    overview: "A stranger who asks a telephone for something may be refused what the other end of a \
        call is granted. With this header field a request that does not belong to the call shows \
        that its sender knows it.",
    security: "The identifiers of a dialog are known to its ends and to the proxies between them, \
        and to whoever listens, unless each hop is under TLS.",
    interactions: Interactions {
        forking: "the request goes to the Contact of the peer, which does not fork",
        cancel_and_ack: "neither carries it",
        routing: "the request has a way of its own, not that of the dialog that it names",
        stateless_proxies: "they pass it on",
        dialog_usages: "it lets a request have a dialog of its own where it would share one",
    },
    compatibility: "It is sent to who states the tag; to others the request goes in the dialog.",
    option_tags: &[OptionTag {
        name: "tdialog",
        supported_by: Roles::UA,
        required: true,
        proxy_required: false,
        fallback: "the same request in the dialog",
    }],
    fields: &[FieldDeclaration {
        name: "Target-Dialog",
        compact: None,
        share: 1,
        shape: Shape::Single,
        extensible: true,
        uris: UriSchemes::None,
        grammar: "RFC 4538 section 7",
        rows: &[Row::new(Where::Request, "", "---o-- ---o---o")],
    }],
    field_parameters: &[parameter("local-tag"), parameter("remote-tag")],
    uac: Acts::Does(
        "Sends a REFER outside of the dialog with it, and with Require, where the peer's Contact \
        is a GRUU and it said that it supports that; else in the dialog.",
    ),
    uas: Acts::Does(
        "Tells the application which dialog of ours a request is about, and ignores what fits \
        none; may demand it of a REFER.",
    ),
    proxy: Acts::Nothing("it passes Target-Dialog on as it came"),
    registrar: Acts::Nothing("it has no dialogs"),
    implements: Roles::UA,
    rules: &[
        rule(
            "4538 3",
            Roles::UAC,
            "it is sent where the peer said in the dialog that it supports it, and the request in \
                the dialog otherwise",
            Proof::Flow("target-dialog-transfer"),
        ),
        rule(
            "4538 3",
            Roles::UAC,
            "Call-ID and tags are those of the dialog, as the recipient has them",
            Proof::Flow("target-dialog-transfer"),
        ),
        rule(
            "4538 3",
            Roles::UAC,
            "Require has the option tag",
            Proof::Flow("target-dialog-transfer"),
        ),
        rule(
            "4538 4",
            Roles::UAS,
            "a request that names a dialog of ours may be granted what the peer would be",
            Proof::Flow("target-dialog-demanded"),
        ),
        rule(
            "4538 4",
            Roles::UAS,
            "one that names none, or lacks a tag, is taken as if it had none",
            Proof::Test("minor::target_dialog::tests::what_names_no_dialog_is_ignored"),
        ),
        rule(
            "4538 6",
            Roles::UA,
            "the tag stands in Supported of requests and responses that make dialogs",
            Proof::Flow("target-dialog-demanded"),
        ),
    ],
    flows: &[
        FlowReference { name: "target-dialog-transfer", kind: FlowKind::Common, roles: Roles::UAC },
        FlowReference { name: "target-dialog-demanded", kind: FlowKind::Common, roles: Roles::UAS },
        FlowReference { name: "target-dialog-unknown", kind: FlowKind::Failure, roles: Roles::UAS },
    ],
    wake: &[Wake::Field("Target-Dialog"), Wake::Method("REFER")],
    settings: &[Setting {
        key: "demand",
        about: "whether our own user agent refuses a REFER outside of dialogs that names none of its \
            own",
        default: "false",
    }],
    configure: Some(configure),
    behaviour: &TargetDialog,
    ..Extension::EMPTY
};
