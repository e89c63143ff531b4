//! Anonymous calls refused: 433 (RFC 5079).
//!
//! # Security
//! A 433 says that anonymous calls are not taken here; who would rather not say so sends a 403. It keeps
//! nobody away who claims a wrong name.
//!
//! # Interactions
//! Anonymous is who hides with Privacy (RFC 3323, RFC 3325) or in From. A request without an asserted
//! identity is not.

use std::sync::Arc;

use towel_core::contract::{
    Acts, Behaviour, Category, Configured, DialogEffect, Env, Extension, FlowKind, FlowReference,
    Interactions, Proof, ProxyTargets, Reply, ResponseCode, Role, Roles, Rule, Section, Setting,
    SettingFault, Stage, UacResponse, UasRequest, Verdict, Wake,
};
use towel_message::{Message, Method, Name, Uri};

/// Who refuses anonymous calls.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// As a server: users who do.
    pub users: Vec<String>,
    /// Whether our own user agent does.
    pub own: bool,
    /// Whether it is not told why.
    pub discreet: bool,
}

fn configure(entries: &[(&str, &str)]) -> Result<Configured, SettingFault> {
    let mut settings = Settings::default();
    for (key, value) in entries {
        let flag = match *value {
            "true" | "yes" => Some(true),
            "false" | "no" => Some(false),
            _ => None,
        };
        let flag = || {
            flag.ok_or_else(|| {
                SettingFault::new(*key, format!("{value} is neither true nor false"))
            })
        };
        match *key {
            "own" => settings.own = flag()?,
            "discreet" => settings.discreet = flag()?,
            _ => {
                for user in value.split(',').map(str::trim).filter(|user| !user.is_empty()) {
                    let named = matches!(
                        Uri::parse(user.as_bytes()),
                        Ok(Uri::Sip(uri)) if uri.user.is_some()
                    );
                    if user != "*" && !named {
                        let about = format!("{user} is no address of a user");
                        return Err(SettingFault::new(*key, about));
                    }
                    settings.users.push(user.to_owned());
                }
            }
        }
    }
    Ok(Arc::new(settings))
}

/// Whether the sender hides who it is (section 3).
pub fn is_anonymous(request: &Message<'_>) -> bool {
    let hidden = request
        .fields(Name::Privacy)
        .flat_map(|field| field.value.split(|byte| matches!(byte, b';' | b',')))
        .map(<[u8]>::trim_ascii)
        .any(|one| one.eq_ignore_ascii_case(b"id") || one.eq_ignore_ascii_case(b"user"));
    let nowhere = match request.from_uri() {
        Ok(Uri::Sip(uri)) => {
            let host = match uri.port {
                Some(_) => uri.host_port.rsplitn(2, |byte| *byte == b':').nth(1),
                None => Some(uri.host_port),
            };
            let host = host.unwrap_or_default().to_ascii_lowercase();
            host == b"anonymous.invalid" || host.ends_with(b".anonymous.invalid")
        }
        _ => false,
    };
    let named = request.from().ok().and_then(|from| from.display).is_some_and(|display| {
        let name = display.trim_ascii();
        let name =
            name.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(name);
        name == b"Anonymous" || name == b"anonymous"
    });
    hidden || nowhere || named
}

/// Requests that somebody is disturbed by: outside of dialogs.
fn disturbs(request: &Message<'_>) -> bool {
    request.to_tag().is_none()
        && !matches!(request.method(), Method::Ack | Method::Cancel | Method::Register)
}

fn refusal(settings: &Settings) -> Verdict {
    match settings.discreet {
        true => Verdict::refuse(403, "Forbidden"),
        false => Verdict::reply(Reply::new(433, "Anonymity Disallowed")),
    }
}

/// The behaviour.
struct AnonymousRejection;

impl Behaviour for AnonymousRejection {
    fn stages(&self) -> &'static [Stage] {
        &[Stage::ProxyTargets, Stage::UasRequest, Stage::UacResponse]
    }

    /// Section 3, for a user of ours.
    fn proxy_targets(&self, env: &Env<'_>, at: &mut ProxyTargets<'_>) -> Verdict {
        let Some(settings) = env.settings::<Settings>() else { return Verdict::Pass };
        if settings.users.is_empty() || !disturbs(&at.request) || !is_anonymous(&at.request) {
            return Verdict::Pass;
        }
        let Ok(Uri::Sip(asked)) = at.request.read_uri(at.request_uri) else {
            return Verdict::Pass;
        };
        if !env.element.is_own_domain(asked.host_port) {
            return Verdict::Pass;
        }
        let is = |user: &String| {
            user == "*"
                || match Uri::parse(user.as_bytes()) {
                    Ok(Uri::Sip(user)) => user.user == asked.user && user.host == asked.host,
                    _ => false,
                }
        };
        if settings.users.iter().any(is) { refusal(settings) } else { Verdict::Pass }
    }

    /// The same for our own.
    fn uas_request(&self, env: &Env<'_>, at: &mut UasRequest<'_>) -> Verdict {
        match env.settings::<Settings>() {
            Some(settings)
                if settings.own && disturbs(&at.request) && is_anonymous(&at.request) =>
            {
                refusal(settings)
            }
            _ => Verdict::Pass,
        }
    }

    /// Section 4: the user decides whether to call again with a name.
    fn uac_response(&self, _env: &Env<'_>, at: &mut UacResponse<'_>) -> Verdict {
        if at.response.status() == 433 {
            at.notes.push("no anonymous calls are taken there".to_owned());
        }
        Verdict::Pass
    }
}

const fn rule(section: &'static str, roles: Roles, text: &'static str, proof: Proof) -> Rule {
    Rule { section, roles, text, proof }
}

/// The declaration.
pub static EXTENSION: Extension = Extension {
    id: "anonymous-rejection",
    title: "Rejecting Anonymous Requests in the Session Initiation Protocol (SIP)",
    documents: &["RFC 5079"],
    section: Section::Minor,
    category: Category::Standard,
    overview: "Some people take no calls from those who do not say who they are. Their telephone, or \
        their server for them, refuses such a call and says why, so that an honest caller can call \
        again with a name.",
    security: "It reveals that anonymous calls are refused, unless it is set to say no more than 403. \
        False names are not found out.",
    interactions: Interactions {
        forking: "the server refuses before it forks",
        cancel_and_ack: "neither is refused",
        routing: "none",
        stateless_proxies: "they refuse as others do",
        dialog_usages: "requests of a dialog are not refused; a 433 ends its transaction alone",
    },
    compatibility: "A caller that does not know 433 takes it for a 400.",
    response_codes: &[ResponseCode {
        code: 433,
        phrase: "Anonymity Disallowed",
        effect: DialogEffect::Transaction,
    }],
    uac: Acts::Does("Shows why it was refused, and does not call again by itself."),
    uas: Acts::Does("Refuses anonymous requests outside of dialogs, if it is set to."),
    proxy: Acts::Does("Refuses them for those of its users who want it."),
    registrar: Acts::Nothing("who registers proves who they are"),
    implements: Roles::of(&[Role::Uac, Role::Uas, Role::Proxy]),
    rules: &[
        rule(
            "5079 3",
            Roles::of(&[Role::Uas, Role::Proxy]),
            "anonymous is who says so in From or asks for it with Privacy; who is only not asserted is not",
            Proof::Test("minor::anonymous_rejection::tests::who_is_anonymous"),
        ),
        rule(
            "5079 3, 5",
            Roles::PROXY,
            "a server refuses for its user with 433",
            Proof::Flow("anonymous-rejection-server"),
        ),
        rule(
            "5079 3, 5",
            Roles::UAS,
            "a telephone refuses with 433",
            Proof::Flow("anonymous-rejection"),
        ),
        rule(
            "5079 4",
            Roles::UAC,
            "after a 433 nothing is sent again with a name, unless the user wants it",
            Proof::Flow("anonymous-rejection-caller"),
        ),
        rule(
            "5079 4",
            Roles::UAC,
            "a 433 within a dialog ends neither it nor its usage",
            Proof::Test("minor::anonymous_rejection::tests::a_dialog_survives_it"),
        ),
        rule(
            "5079 7",
            Roles::of(&[Role::Uas, Role::Proxy]),
            "where the reason is nobody's business a 403 is sent",
            Proof::Test("minor::anonymous_rejection::tests::it_can_be_kept_to_oneself"),
        ),
    ],
    flows: &[
        FlowReference { name: "anonymous-rejection", kind: FlowKind::Common, roles: Roles::UAS },
        FlowReference {
            name: "anonymous-rejection-server",
            kind: FlowKind::Common,
            roles: Roles::PROXY,
        },
        FlowReference {
            name: "anonymous-rejection-caller",
            kind: FlowKind::Failure,
            roles: Roles::UAC,
        },
    ],
    wake: &[
        Wake::Method("INVITE"),
        Wake::Method("MESSAGE"),
        Wake::Method("SUBSCRIBE"),
        Wake::Method("REFER"),
        Wake::Status(433),
    ],
    settings: &[
        Setting {
            key: "users",
            about: "users of ours for whom the server refuses anonymous requests; * for all",
            default: "",
        },
        Setting { key: "own", about: "whether our own user agent refuses them", default: "false" },
        Setting {
            key: "discreet",
            about: "whether a 403 is sent, which does not say why",
            default: "false",
        },
    ],
    configure: Some(configure),
    behaviour: &AnonymousRejection,
    ..Extension::EMPTY
};

#[cfg(test)]
mod tests {
    use towel_core::contract::{Directives, Fields, Manner, Registry, Slots, Tasks};
    use towel_core::dialog::{Effect, effect};

    use super::*;
    use crate::testing::{env, from, parse, request, text};

    fn from_is(value: &str, more: &str) -> bool {
        let bytes = String::from_utf8(text("INVITE sip:bob@example.com SIP/2.0", "INVITE", more));
        let bytes = bytes.expect("text").replace("<sip:alice@example.com>", value);
        parse(bytes.as_bytes(), |request| is_anonymous(&request))
    }

    #[test]
    fn who_is_anonymous() {
        for (value, more, anonymous) in [
            ("<sip:alice@example.com>", "", false),
            ("<sip:x@anonymous.invalid>", "", true),
            ("<sip:x@host.Anonymous.Invalid:5060>", "", true),
            ("<sip:anonymous@example.com>", "", false),
            ("Anonymous <sip:x@example.com>", "", true),
            ("\"anonymous\" <sip:x@example.com>", "", true),
            ("\"Anonymous Bosch\" <sip:x@example.com>", "", false),
            ("<sip:alice@example.com>", "Privacy: id", true),
            ("<sip:alice@example.com>", "Privacy: header; USER ;critical", true),
            ("<sip:alice@example.com>", "Privacy: header;session;none", false),
        ] {
            assert_eq!(from_is(value, more), anonymous, "{value} {more}");
        }
    }

    fn asked(settings: &[(&str, &str)], uri: &str, more: &str) -> (u16, u16) {
        let mut registry = Registry::assemble(&[&EXTENSION], Roles::ALL);
        registry.configure("anonymous-rejection", settings).expect("settings");
        let status = |verdict| match verdict {
            Verdict::Refuse(reply) => reply.status,
            _ => 0,
        };
        request("MESSAGE", uri, more, |request| {
            let woken = registry.woken(&request);
            let mut at = ProxyTargets {
                request,
                source: from("192.0.2.9:5060"),
                user: None,
                request_uri: request.request_uri(),
                targets: &mut Vec::new(),
                directives: &mut Directives::default(),
                slots: &mut Slots::new(),
            };
            let proxy = status(registry.proxy_targets(woken, env(), &mut at));
            let mut at = UasRequest {
                request,
                source: from("192.0.2.9:5060"),
                user: None,
                fields: &mut Fields::new(),
                slots: &mut Slots::new(),
                agent: &mut Slots::new(),
                notes: &mut Vec::new(),
                dialog: None,
                tasks: &mut Tasks::new(),
                manner: &mut Manner::Unsaid,
            };
            (proxy, status(registry.uas_request(woken, env(), &mut at)))
        })
    }

    #[test]
    fn it_can_be_kept_to_oneself() {
        let users = ("users", "sip:bob@example.com");
        let id = "Privacy: id";
        assert_eq!(asked(&[users], "sip:bob@example.com", id), (433, 0));
        assert_eq!(asked(&[users], "sip:carol@example.com", id), (0, 0));
        assert_eq!(asked(&[users], "sip:bob@example.com", ""), (0, 0));
        assert_eq!(asked(&[("users", "*"), ("own", "yes")], "sip:x@example.com", id), (433, 433));
        assert_eq!(asked(&[("users", "*")], "sip:x@elsewhere.example", id), (0, 0));
        let quiet = [("own", "yes"), ("discreet", "yes"), users];
        assert_eq!(asked(&quiet, "sip:bob@example.com", id), (403, 403));
        assert!(configure(&[("users", "bob")]).is_err());
        assert!(configure(&[("own", "maybe")]).is_err());
    }

    #[test]
    fn a_dialog_survives_it() {
        assert_eq!(effect(b"INVITE", 433), Effect::Transaction);
        assert_eq!(effect(b"UPDATE", 433), Effect::Transaction);
    }
}
