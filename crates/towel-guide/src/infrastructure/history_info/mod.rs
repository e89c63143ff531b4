//! Request history: where a request was before it came here, and why it went on (RFC 7044).
//!
//! Each element that sends a request on writes down where to. Voicemail then knows whose box it is
//! that the call was meant for, and a caller knows who was tried.
//!
//! # Security
//! History tells who is reached where. It is written only for those who ask for it, and what our
//! domain wants to keep to itself is made anonymous on its way out (section 10.1).
//!
//! # Interactions
//! Reason says why a target was left; Privacy hides what should not be seen.

mod ends;
pub mod entries;
mod proxy;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use towel_core::contract::{
    Acts, Behaviour, Category, Configured, Env, Extension, FieldDeclaration, FieldParameter,
    FlowKind, FlowReference, Interactions, OptionTag, Proof, ProxyForward, ProxyReceived,
    ProxyReply, ProxyResponse, ProxyTargets, Role, Roles, Row, Rule, Section, Setting,
    SettingFault, Shape, Stage, UacRequest, UacResponse, UasRequest, UasResponse, UriSchemes,
    Verdict, Wake, Where,
};
use towel_message::{Message, Method, Name};

const ID: &str = "history-info";
const TAG: &str = "histinfo";

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Whether a server writes entries where they are asked for.
    pub insert: bool,
    /// Whether requests of our own user agent begin a history.
    pub own: bool,
    /// Whether our own entries ask for privacy.
    pub private: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { insert: true, own: true, private: false }
    }
}

fn settings(env: &Env<'_>) -> Settings {
    env.settings::<Settings>().copied().unwrap_or_default()
}

fn configure(entries: &[(&str, &str)]) -> Result<Configured, SettingFault> {
    let mut settings = Settings::default();
    for (key, value) in entries {
        let flag = match *value {
            "true" | "yes" => true,
            "false" | "no" => false,
            _ => return Err(SettingFault::new(*key, format!("{value} is neither true nor false"))),
        };
        match *key {
            "insert" => settings.insert = flag,
            "own" => settings.own = flag,
            _ => settings.private = flag,
        }
    }
    Ok(Arc::new(settings))
}

/// Whether a request wants its history written: it has one, or its sender knows what that is
/// (sections 9.2 and 9.4). Requests of a dialog have none (section 5).
fn asked(request: &Message<'_>) -> bool {
    request.to_tag().is_none()
        && !matches!(request.method(), Method::Ack | Method::Cancel)
        && (request.has(Name::HistoryInfo)
            || request.has_token(Name::Supported, TAG)
            || request.has_token(Name::Require, TAG))
}

/// The behaviour.
struct HistoryInfo;

impl Behaviour for HistoryInfo {
    fn stages(&self) -> &'static [Stage] {
        &[
            Stage::ProxyTargets,
            Stage::ProxyForward,
            Stage::ProxyReceived,
            Stage::ProxyResponse,
            Stage::ProxyReply,
            Stage::UacRequest,
            Stage::UacResponse,
            Stage::UasRequest,
            Stage::UasResponse,
        ]
    }

    fn proxy_targets(&self, env: &Env<'_>, at: &mut ProxyTargets<'_>) -> Verdict {
        proxy::targets(env, at)
    }

    fn proxy_forward(&self, env: &Env<'_>, at: &mut ProxyForward<'_, '_>) -> Verdict {
        proxy::forward(env, at)
    }

    fn proxy_received(&self, _env: &Env<'_>, at: &mut ProxyReceived<'_>) -> Verdict {
        proxy::received(at)
    }

    fn proxy_response(&self, env: &Env<'_>, at: &mut ProxyResponse<'_, '_>) -> Verdict {
        proxy::response(env, at)
    }

    fn proxy_reply(&self, env: &Env<'_>, at: &mut ProxyReply<'_>) -> Verdict {
        proxy::reply(env, at)
    }

    fn uac_request(&self, env: &Env<'_>, at: &mut UacRequest<'_>) -> Verdict {
        ends::request(env, at)
    }

    fn uac_response(&self, _env: &Env<'_>, at: &mut UacResponse<'_>) -> Verdict {
        ends::answered(at)
    }

    fn uas_request(&self, _env: &Env<'_>, at: &mut UasRequest<'_>) -> Verdict {
        ends::came(at)
    }

    fn uas_response(&self, env: &Env<'_>, at: &mut UasResponse<'_>) -> Verdict {
        ends::respond(env, at)
    }
}

const fn rule(section: &'static str, roles: Roles, text: &'static str, proof: Proof) -> Rule {
    Rule { section, roles, text, proof }
}

const fn parameter(field: &'static str, name: &'static str) -> FieldParameter {
    FieldParameter { field, name, grammar: "RFC 7044 section 5" }
}

/// The declaration.
pub static EXTENSION: Extension = Extension {
    id: ID,
    title: "Request History Information in the Session Initiation Protocol (SIP)",
    documents: &["RFC 7044", "RFC 7131"],
    section: Section::Infrastructure,
    category: Category::Standard,
    overview: "A call to one person may end at another: it is forwarded when busy, or goes to a \
        voicemail box. By then nothing in it says whom it was meant for. So everybody who sends a \
        request on notes where to, and why the place before was not the right one; the notes travel \
        with the request, and back with its response.",
    security: "The history shows who is reached at which addresses. It is written for those who ask, \
        entries of our domain that ask for privacy leave it only anonymous, and nothing is decided by \
        what others wrote.",
    interactions: Interactions {
        forking: "each branch has an entry of its own; a branch sees only those that were over before",
        cancel_and_ack: "neither carries it",
        routing: "it says where a request went and never where it goes",
        stateless_proxies: "they write the entry of the request, and cannot add to responses",
        dialog_usages: "only requests outside of dialogs have a history",
    },
    compatibility: "A hop that does not know it leaves a gap, which is marked with a nought in the \
        index.",
    option_tags: &[OptionTag {
        name: TAG,
        supported_by: Roles::of(&[Role::Uac, Role::Uas, Role::Proxy]),
        required: false,
        proxy_required: false,
        fallback: "",
    }],
    fields: &[FieldDeclaration {
        name: "History-Info",
        compact: None,
        share: 20,
        shape: Shape::List,
        extensible: true,
        uris: UriSchemes::Any,
        grammar: "RFC 7044 section 5",
        rows: &[Row::new(Where::Any, "amdr", "---ooo o--ooo-o")],
    }],
    field_parameters: &[
        parameter("History-Info", "index"),
        parameter("History-Info", "rc"),
        parameter("History-Info", "mp"),
        parameter("History-Info", "np"),
        parameter("Contact", "rc"),
        parameter("Contact", "mp"),
        parameter("Contact", "np"),
    ],
    uac: Acts::Does(
        "Begins the history with where it sends a request to, asks for privacy if it is told to, and \
         shows where the request has been.",
    ),
    uas: Acts::Does(
        "Shows where a request was before, and gives its history back with the response.",
    ),
    proxy: Acts::Does(
        "Writes down each target of a request that asks for it, how it was found, and what came of \
         it; gives all that back with the response; hides what is private from other domains. A \
         redirect server says in each Contact how it was found.",
    ),
    registrar: Acts::Nothing("it sends nothing on"),
    implements: Roles::of(&[Role::Uac, Role::Uas, Role::Proxy]),
    rules: RULES,
    flows: &[
        FlowReference { name: "history-info", kind: FlowKind::Common, roles: Roles::PROXY },
        FlowReference { name: "history-info-phones", kind: FlowKind::Common, roles: Roles::UA },
        FlowReference {
            name: "history-info-sequential",
            kind: FlowKind::Failure,
            roles: Roles::PROXY,
        },
        FlowReference { name: "history-info-forked", kind: FlowKind::Failure, roles: Roles::PROXY },
        FlowReference {
            name: "history-info-redirect",
            kind: FlowKind::Common,
            roles: Roles::PROXY,
        },
        FlowReference { name: "history-info-private", kind: FlowKind::Common, roles: Roles::PROXY },
        FlowReference {
            name: "history-info-not-asked",
            kind: FlowKind::Failure,
            roles: Roles::PROXY,
        },
        FlowReference { name: "history-info-diverted", kind: FlowKind::Failure, roles: Roles::UA },
    ],
    wake: &[Wake::OptionTag(TAG), Wake::Field("History-Info")],
    settings: &[
        Setting {
            key: "insert",
            about: "whether a server writes the history of requests that ask for it",
            default: "true",
        },
        Setting {
            key: "own",
            about: "whether requests of our own user agent begin a history",
            default: "true",
        },
        Setting {
            key: "private",
            about: "whether entries of our own are to be hidden from other domains",
            default: "false",
        },
    ],
    configure: Some(configure),
    behaviour: &HistoryInfo,
    ..Extension::EMPTY
};

static RULES: &[Rule] = &[
    rule(
        "7044 9.1",
        Roles::of(&[Role::Uas, Role::Proxy]),
        "what came stays in its order; a Request-URI that is not in it gets an entry without mechanism",
        Proof::Test("infrastructure::history_info::tests::a_gap_is_marked"),
    ),
    rule(
        "7044 9.2, 10.3",
        Roles::PROXY,
        "each target gets an entry, numbered in the order in which they are tried",
        Proof::Flow("history-info-forked"),
    ),
    rule(
        "7044 9.2, 6.1",
        Roles::UAC,
        "a request outside of dialogs begins with the entry of its Request-URI, index 1",
        Proof::Flow("history-info-phones"),
    ),
    rule(
        "7044 9.3, 10.2",
        Roles::PROXY,
        "a target that failed, or that nothing came of (408), stays with its reasons",
        Proof::Flow("history-info-sequential"),
    ),
    rule(
        "7044 9.3",
        Roles::PROXY,
        "what a response says is put in its place; a fork that answered nothing is not told of",
        Proof::Test("infrastructure::history_info::tests::entries_have_their_places"),
    ),
    rule(
        "7044 9.4",
        Roles::of(&[Role::Uas, Role::Proxy]),
        "a response has all that is known, unless the request did not ask for it",
        Proof::Flow("history-info-not-asked"),
    ),
    rule(
        "7044 10.4",
        Roles::PROXY,
        "rc for a Contact of the user, mp for somebody else, np for the same URI; after a 3xx what its \
         Contact says and nothing else",
        Proof::Test("infrastructure::history_info::tests::the_mechanism_is_told"),
    ),
    rule(
        "7044 7",
        Roles::PROXY,
        "a target that we mapped ourselves before it left has an entry",
        Proof::Test("infrastructure::history_info::tests::a_target_of_our_own_is_told"),
    ),
    rule(
        "7044 8",
        Roles::PROXY,
        "a redirect server says in each Contact how it was found",
        Proof::Flow("history-info-redirect"),
    ),
    rule(
        "7044 10.1.1",
        Roles::UAC,
        "who wants privacy says history beside what Privacy says, unless that is header",
        Proof::Test("infrastructure::history_info::tests::a_caller_asks_for_privacy"),
    ),
    rule(
        "7044 10.1.1",
        Roles::of(&[Role::Uas, Role::Proxy]),
        "an entry of our own that is private says Privacy=history and no more",
        Proof::Test("infrastructure::history_info::tests::entries_of_our_own_can_be_private"),
    ),
    rule(
        "7044 10.1.2",
        Roles::PROXY,
        "on the way out of our domain its entries are anonymous where they are private, Privacy is \
         taken out of all, and history out of Privacy",
        Proof::Flow("history-info-private"),
    ),
    rule(
        "7044 11",
        Roles::UA,
        "gaps are no error, and are told",
        Proof::Test("infrastructure::history_info::tests::gaps_are_told"),
    ),
    rule(
        "7044 12.1, 12.2",
        Roles::UAS,
        "who was called first and last can be found",
        Proof::Test("infrastructure::history_info::tests::a_voicemail_box_is_found"),
    ),
    rule(
        "7044 9.4",
        Roles::PROXY,
        "challenges have the history as well",
        Proof::Excepted("they go out before a request is looked at, and are answered at once"),
    ),
    rule(
        "7044 7",
        Roles::PROXY,
        "the history of requests that did not ask for it",
        Proof::Excepted(
            "it is written for those who ask (histinfo), so that others' messages stay as they are",
        ),
    ),
];
