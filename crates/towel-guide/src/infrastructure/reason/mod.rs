//! The Reason header field: why a request is sent (RFC 3326; RFC 6432 for responses).
//!
//! A proxy that forks a call cancels the other branches when one is answered. With Reason the
//! telephones that stop ringing learn that the call was answered elsewhere, and do not count it
//! as missed.
//!
//! # Security
//! The reason is a hint for people and logs; nothing is decided by it.
//!
//! # Interactions
//! A caller's reason for its CANCEL is copied into every CANCEL that the proxy makes.

use std::sync::Arc;

use towel_core::contract::{
    Acts, Behaviour, CancelCause, Category, Configured, Env, Extension, FieldDeclaration,
    FieldParameter, FlowKind, FlowReference, Interactions, Proof, ProxyCancel, Role, Roles, Row,
    Rule, Section, Setting, SettingFault, Shape, Stage, UacRequest, UacResponse, UasRequest,
    UriSchemes, Verdict, Wake, Where,
};
use towel_message::{Name, Params};

/// What our own user agent says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// The reason in its CANCEL and BYE.
    pub own: Option<String>,
}

fn configure(entries: &[(&str, &str)]) -> Result<Configured, SettingFault> {
    let mut settings = Settings::default();
    for (key, value) in entries {
        let (protocol, params) = value.split_at(value.find(';').unwrap_or(value.len()));
        let good = !protocol.trim().is_empty()
            && protocol.trim().bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.')
            && Params::new(params.as_bytes()).check().is_ok();
        if !good {
            return Err(SettingFault::new(*key, format!("{value} is no reason")));
        }
        settings.own = Some((*value).to_owned());
    }
    Ok(Arc::new(settings))
}

/// The behaviour.
struct Reason;

/// The reason that a status gives.
fn cause(status: u16) -> &'static str {
    match status {
        200 => "SIP;cause=200;text=\"Call completed elsewhere\"",
        408 => "SIP;cause=408;text=\"Request Timeout\"",
        600 => "SIP;cause=600;text=\"Busy Everywhere\"",
        603 => "SIP;cause=603;text=\"Decline\"",
        604 => "SIP;cause=604;text=\"Does Not Exist Anywhere\"",
        606 => "SIP;cause=606;text=\"Not Acceptable\"",
        607 => "SIP;cause=607;text=\"Unwanted\"",
        608 => "SIP;cause=608;text=\"Rejected\"",
        _ => "SIP;cause=600",
    }
}

impl Behaviour for Reason {
    fn stages(&self) -> &'static [Stage] {
        &[Stage::ProxyCancel, Stage::UacRequest, Stage::UacResponse, Stage::UasRequest]
    }

    /// RFC 3326 sections 2 and 3.1.
    fn proxy_cancel(&self, _env: &Env<'_>, at: &mut ProxyCancel<'_>) -> Verdict {
        let status = match at.cause {
            CancelCause::Caller => {
                let given = at.cancel.iter().flat_map(|cancel| cancel.fields(Name::Reason));
                for field in given {
                    at.fields.push("Reason", field.value);
                }
                return Verdict::Pass;
            }
            CancelCause::CompletedElsewhere => 200,
            CancelCause::Declined(status) => status,
            CancelCause::TimedOut => 408,
        };
        at.fields.push("Reason", cause(status));
        Verdict::Pass
    }

    /// Section 2: a UAC may say why it gives up or hangs up.
    fn uac_request(&self, env: &Env<'_>, at: &mut UacRequest<'_>) -> Verdict {
        let own = env.settings::<Settings>().and_then(|settings| settings.own.as_deref());
        if let (Some(own), b"CANCEL" | b"BYE") = (own, at.method) {
            at.fields.push("Reason", own);
        }
        Verdict::Pass
    }

    /// Section 2: a UAS shows why it is to stop.
    fn uas_request(&self, _env: &Env<'_>, at: &mut UasRequest<'_>) -> Verdict {
        if matches!(at.request.method().as_bytes(), b"CANCEL" | b"BYE") {
            for value in at.request.values(Name::Reason) {
                at.notes.push(format!("reason: {}", String::from_utf8_lossy(value.bytes)));
            }
        }
        Verdict::Pass
    }

    /// RFC 6432: a response may say what the telephone network's reason was.
    fn uac_response(&self, _env: &Env<'_>, at: &mut UacResponse<'_>) -> Verdict {
        for value in at.response.values(Name::Reason) {
            at.notes.push(format!("reason: {}", String::from_utf8_lossy(value.bytes)));
        }
        Verdict::Pass
    }
}

/// The declaration.
pub static EXTENSION: Extension = Extension {
    id: "reason",
    title: "Telling the Reason of a Request in the Session Initiation Protocol (SIP)",
    documents: &["RFC 3326", "RFC 6432"],
    section: Section::Infrastructure,
    category: Category::Standard,
    overview: "When a telephone is told to stop ringing, or a call ends, it helps to know why: \
        answered by another telephone, refused, timed out, or a code of the telephone network. \
        The request that says stop carries the reason, as a code with a text.",
    security: "The reason comes from the peer and is shown or logged; no decision rests on it.",
    interactions: Interactions {
        forking: "this is where it is needed most: branches learn why they are cancelled",
        cancel_and_ack: "CANCEL carries it; ACK may and has no need to",
        routing: "none",
        stateless_proxies: "they make no CANCEL and pass the header field on",
        dialog_usages: "none",
    },
    compatibility: "A peer without it ignores the header field.",
    fields: &[FieldDeclaration {
        name: "Reason",
        compact: None,
        share: 5,
        shape: Shape::List,
        extensible: true,
        uris: UriSchemes::None,
        grammar: "RFC 3326 section 2",
        rows: &[
            // Any request within a dialog, and any CANCEL: INVITE, OPTIONS and the others may be
            // within one, REGISTER and PUBLISH are not.
            Row::new(Where::Request, "ar", "ooooo- ooooo-oo"),
            // RFC 6432 section 3 lets any response carry it.
            Row::new(Where::Response, "ar", "-ooooo oooooooo"),
        ],
    }],
    field_parameters: &[
        FieldParameter { field: "Reason", name: "cause", grammar: "RFC 3326 section 2" },
        FieldParameter { field: "Reason", name: "text", grammar: "RFC 3326 section 2" },
    ],
    uac: Acts::Does(
        "Shows the reason that a response gives; gives its CANCEL or BYE the one that it is \
        told to give.",
    ),
    uas: Acts::Does("Shows the reason of a CANCEL or BYE."),
    proxy: Acts::Does(
        "Gives each CANCEL that it makes a reason: 200 when another branch was answered, the \
         6xx when one refused for all, 408 when Timer C ran out; copies the caller's reason when \
         the caller cancelled.",
    ),
    registrar: Acts::Nothing("it makes no CANCEL or BYE"),
    implements: Roles::of(&[Role::Uac, Role::Uas, Role::Proxy]),
    rules: &[
        Rule {
            section: "3326 2",
            roles: Roles::PROXY,
            text: "a CANCEL made because of a CANCEL with a Reason copies it",
            proof: Proof::Flow("reason-caller-cancels"),
        },
        Rule {
            section: "3326 3.1",
            roles: Roles::PROXY,
            text: "a branch cancelled because another was answered learns of it: cause 200",
            proof: Proof::Flow("reason-answered-elsewhere"),
        },
        Rule {
            section: "3326 2",
            roles: Roles::of(&[Role::Uac, Role::Proxy]),
            text: "of several values no two have the same protocol",
            proof: Proof::Test("infrastructure::reason::tests::one_value_for_each_cause"),
        },
        Rule {
            section: "3326 2",
            roles: Roles::UAC,
            text: "a CANCEL or BYE may carry one",
            proof: Proof::Flow("reason-phones"),
        },
        Rule {
            section: "3326 2",
            roles: Roles::UAS,
            text: "who stops ringing is shown why",
            proof: Proof::Flow("reason-phones"),
        },
    ],
    flows: &[
        FlowReference { name: "reason-phones", kind: FlowKind::Common, roles: Roles::UA },
        FlowReference { name: "reason-response", kind: FlowKind::Failure, roles: Roles::UAC },
        FlowReference {
            name: "reason-answered-elsewhere",
            kind: FlowKind::Common,
            roles: Roles::PROXY,
        },
        FlowReference {
            name: "reason-caller-cancels",
            kind: FlowKind::Failure,
            roles: Roles::PROXY,
        },
    ],
    wake: &[Wake::Method("CANCEL"), Wake::Field("Reason")],
    settings: &[Setting {
        key: "own",
        about: "the reason in a CANCEL or BYE of our own user agent",
        default: "",
    }],
    configure: Some(configure),
    behaviour: &Reason,
    ..Extension::EMPTY
};

#[cfg(test)]
mod tests {
    use towel_core::contract::Fields;
    use towel_message::{Index, Limits, Message};

    use super::*;
    use crate::testing::{env, request, text};

    fn reasons(cause: CancelCause, cancel: Option<&str>) -> Vec<String> {
        let mut fields = Fields::new();
        let cancel_bytes =
            cancel.map(|more| text("CANCEL sip:bob@example.com SIP/2.0", "CANCEL", more));
        request("INVITE", "sip:bob@example.com", "", |invite| {
            let mut run = |cancel| {
                let mut at = ProxyCancel { request: invite, cancel, cause, fields: &mut fields };
                Reason.proxy_cancel(&env(), &mut at)
            };
            match &cancel_bytes {
                None => run(None),
                Some(bytes) => {
                    let mut index = Index::new();
                    let cancel = Message::parse(bytes, &mut index, &Limits::default());
                    run(Some(cancel.expect("a message")))
                }
            }
        });
        fields.iter().map(|(_, value)| String::from_utf8_lossy(value).into_owned()).collect()
    }

    #[test]
    fn one_value_for_each_cause() {
        let elsewhere = reasons(CancelCause::CompletedElsewhere, None);
        assert_eq!(elsewhere, ["SIP;cause=200;text=\"Call completed elsewhere\""]);
        assert_eq!(reasons(CancelCause::Declined(603), None), ["SIP;cause=603;text=\"Decline\""]);
        assert_eq!(reasons(CancelCause::TimedOut, None).len(), 1);
    }

    #[test]
    fn the_callers_reason_is_copied() {
        let given = "Reason: Q.850;cause=16;text=\"Terminated\"";
        assert_eq!(
            reasons(CancelCause::Caller, Some(given)),
            ["Q.850;cause=16;text=\"Terminated\""]
        );
        assert!(reasons(CancelCause::Caller, Some("")).is_empty());
    }
}
