//! Path: registering contacts that lie behind proxies (RFC 3327).
//!
//! A phone registers through an edge proxy, and calls for it have to come back through that
//! proxy: it may hold the only way through a firewall. The proxy writes its own URI into the
//! Path header field of the REGISTER; the registrar keeps the list with the binding and shows
//! it in its answer; the home proxy puts the list into Route when it forwards to the binding.
//!
//! # Security
//! Whoever is in the list gets the user's calls. The registrar takes a Path only from a client
//! that says it knows of the extension, so that the client can see the list in the answer.
//!
//! # Interactions
//! Each binding has its own list, so forks go different ways. CANCEL and ACK follow the request
//! they are about.

mod proxy;
mod registrar;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use towel_core::contract::{
    Acts, Behaviour, Category, Configured, Env, Extension, FieldDeclaration, FlowKind,
    FlowReference, Interactions, OptionTag, Proof, ProxyForward, Register, Registered, Role, Roles,
    Row, Rule, SUCCESS, Section, Setting, SettingFault, Shape, Stage, UriSchemes, Verdict, Wake,
    Where,
};

/// The option tag.
const TAG: &str = "path";
const ID: &str = "path";

/// How this element goes about Path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// As a proxy, put ourselves into the Path of each REGISTER that we forward.
    pub insert: bool,
    /// As a proxy, refuse with 421 what we could not insert ourselves into, and demand with
    /// Require that the registrar keeps what we insert.
    pub demand: bool,
    /// As a registrar, refuse with 420 a Path that came without `Supported: path`.
    pub strict: bool,
}

impl Settings {
    /// What holds when nothing is configured.
    const DEFAULT: Self = Self { insert: false, demand: false, strict: true };
}

fn configure(entries: &[(&str, &str)]) -> Result<Configured, SettingFault> {
    let mut settings = Settings::DEFAULT;
    for (key, value) in entries {
        let flag = match *value {
            "true" | "yes" => true,
            "false" | "no" => false,
            _ => return Err(SettingFault::new(*key, "write true or false")),
        };
        match *key {
            "insert" => settings.insert = flag,
            "demand" => settings.demand = flag,
            _ => settings.strict = flag,
        }
    }
    Ok(Arc::new(settings))
}

/// The behaviour: [`proxy`] and [`registrar`].
struct Path;

impl Behaviour for Path {
    fn stages(&self) -> &'static [Stage] {
        &[Stage::ProxyForward, Stage::Register, Stage::Registered]
    }
    fn proxy_forward(&self, env: &Env<'_>, at: &mut ProxyForward<'_, '_>) -> Verdict {
        proxy::forward(env, at)
    }
    fn register(&self, env: &Env<'_>, at: &mut Register<'_, '_>) -> Verdict {
        registrar::register(env, at)
    }
    fn registered(&self, _env: &Env<'_>, at: &mut Registered<'_>) -> Verdict {
        registrar::registered(at)
    }
}

fn settings(env: &Env<'_>) -> Settings {
    env.settings::<Settings>().copied().unwrap_or(Settings::DEFAULT)
}

/// The declaration.
pub static EXTENSION: Extension = Extension {
    id: ID,
    title: "Registering Non-Adjacent Contacts with the Session Initiation Protocol (SIP)",
    documents: &["RFC 3327"],
    section: Section::Core,
    category: Category::Standard,
    overview: "A phone registers through a proxy near it. The proxy adds its own address to the \
        Path header field of the request, and so does any further proxy that wants to see calls \
        for that phone. The registrar keeps the list beside the phone's contact address and \
        repeats it in its answer, where the phone can look at it. When a call comes for the \
        phone, the home proxy writes the list into the Route header field, and the call takes \
        the same way back.",
    security: "A proxy that puts itself into a Path receives the user's calls, so only a client \
        that knows of the extension, and can see the list in the answer, gets one stored.",
    interactions: Interactions {
        forking: "each binding has its own list: the branches of a fork take different ways",
        cancel_and_ack: "neither carries Path; both follow the Route of the INVITE they are about",
        routing: "the list goes before what Route already holds",
        stateless_proxies: "inserting needs no state",
        dialog_usages: "REGISTER creates no dialog",
    },
    compatibility: "A registrar without the extension keeps no list; a proxy that cannot do \
        without demands it with Require. A proxy adds nothing for a client without it.",
    option_tags: &[OptionTag {
        name: TAG,
        supported_by: Roles::ALL,
        required: true,
        proxy_required: false,
        fallback: "after a 420 the client registers without the proxy that demanded the tag, or \
            not at all: without a Path its calls would not come back",
    }],
    fields: &[FieldDeclaration {
        name: "Path",
        compact: None,
        share: 5,
        shape: Shape::List,
        extensible: true,
        uris: UriSchemes::Only(&["sip", "sips"], "its values become Route values"),
        grammar: "RFC 3327 section 4",
        rows: &[
            Row::new(Where::Request, "ar", "-----o --------"),
            Row::new(SUCCESS, "", "-----o --------"),
        ],
    }],
    uac: Acts::Does(
        "Says that it supports path in its REGISTER and can look at the list in the answer.",
    ),
    uas: Acts::Nothing("Path is about REGISTER, which a registrar answers"),
    proxy: Acts::Does(
        "Where configured, adds itself on top of Path in a REGISTER that it forwards, if the \
         client supports that; demands it of the registrar, or refuses with 421, where it cannot \
         do without. Routes requests for a binding along the list kept with it.",
    ),
    registrar: Acts::Does(
        "Refuses with 420 a Path from a client that does not support it; keeps the list in its \
         order with each binding; repeats it in the 200.",
    ),
    implements: Roles::of(&[Role::Proxy, Role::Registrar]),
    partly: Roles::UAC,
    rules: RULES,
    flows: &[
        FlowReference {
            name: "path",
            kind: FlowKind::Common,
            roles: Roles::of(&[Role::Proxy, Role::Registrar]),
        },
        FlowReference {
            name: "path-insert",
            kind: FlowKind::Common,
            roles: Roles::of(&[Role::Proxy, Role::Registrar]),
        },
        FlowReference {
            name: "path-unsupported",
            kind: FlowKind::Failure,
            roles: Roles::REGISTRAR,
        },
    ],
    wake: &[Wake::Field("Path"), Wake::Method("REGISTER")],
    settings: &[
        Setting { key: "insert", about: "add ourselves to Path when forwarding", default: "false" },
        Setting {
            key: "demand",
            about: "refuse or Require where Path is needed",
            default: "false",
        },
        Setting { key: "strict", about: "420 for Path without Supported: path", default: "true" },
    ],
    configure: Some(configure),
    behaviour: &Path,
    ..Extension::EMPTY
};

const RULES: &[Rule] = &[
    Rule {
        section: "3327 5.2",
        roles: Roles::PROXY,
        text: "a proxy that wants to be on the way writes its URI, with lr, on top of Path",
        proof: Proof::Flow("path-insert"),
    },
    Rule {
        section: "3327 5.2",
        roles: Roles::PROXY,
        text: "nothing is added for a client that does not support the extension",
        proof: Proof::Test("core::path::tests::nothing_for_a_client_without_it"),
    },
    Rule {
        section: "3327 5.2",
        roles: Roles::PROXY,
        text: "a proxy that needs it adds Require, or answers 421 if the client lacks it",
        proof: Proof::Test("core::path::tests::a_demand_is_made_or_refused"),
    },
    Rule {
        section: "3327 5.3",
        roles: Roles::REGISTRAR,
        text: "the list is kept in order with each binding and repeated in the 200",
        proof: Proof::Flow("path"),
    },
    Rule {
        section: "3327 5.3",
        roles: Roles::REGISTRAR,
        text: "a Path without support in the client is refused with 420 that names path",
        proof: Proof::Flow("path-unsupported"),
    },
    Rule {
        section: "3327 5.4",
        roles: Roles::PROXY,
        text: "the list goes into Route before the values that are there",
        proof: Proof::Flow("path"),
    },
];
