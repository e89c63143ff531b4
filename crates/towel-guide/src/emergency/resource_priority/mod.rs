//! Resource-Priority: calls that come before others where there is not room for all (RFC 4412, and the
//! namespace of emergency services, RFC 7135).
//!
//! A request says how important it is, in the words of one or more priority schemes (namespaces). Who
//! understands one of them serves it before others: a telephone ends a less important call for it, or
//! has it wait for the next free line. Under overload a server prefers such requests by the
//! namespaces of its overload settings.
//!
//! # Security
//! Priority takes something away from others. Who may claim which is set up, and who may not is refused.
//!
//! # Interactions
//! A call that is ended for another one says so with Reason (RFC 4411).

mod ends;
mod lines;
pub mod namespaces;
#[cfg(test)]
mod tests;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use namespaces::{Order, Value};
use towel_core::contract::{
    Acts, Behaviour, Category, Configured, DialogEffect, DialogEnded, DialogTimer, Env, Extension,
    FieldDeclaration, FlowKind, FlowReference, Interactions, OptionTag, Proof, ProxyPreprocess,
    Reply, ResponseCode, Role, Roles, Row, Rule, Section, Setting, SettingFault, Shape, Stage,
    UacRequest, UacResponse, UasRequest, UasResponse, UriSchemes, Verdict, Wake, Where,
};
use towel_message::{Method, Name};

const ID: &str = "resource-priority";
const TAG: &str = "resource-priority";

/// Who is served how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// All values that are understood, in one order.
    pub order: Order,
    /// Who may claim what: an address and the highest value of its namespace. Empty: everybody
    /// everything.
    pub allow: Vec<(String, Value)>,
    /// Whether Accept-Resource-Priority is sent.
    pub tell: bool,
    /// Whether anything of this was configured. Where nothing was, no answer to OPTIONS is burdened with
    /// all that is registered, which section 4.4 leaves to the configuration.
    pub chosen: bool,
    /// What requests of our own user agent say, unless they are told otherwise.
    pub own: String,
    /// What it may say instead after a 417.
    pub authorized: Vec<Value>,
    /// Whether they insist on being understood.
    pub require: bool,
    /// How many calls it has at a time; nought: as many as come.
    pub lines: usize,
    /// How many calls wait at a time for a line.
    pub queue: usize,
    /// And for how long.
    pub wait: Duration,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            order: Order::default(),
            allow: Vec::new(),
            tell: true,
            chosen: false,
            own: String::new(),
            authorized: Vec::new(),
            require: false,
            lines: 0,
            queue: 4,
            wait: Duration::from_secs(60),
        }
    }
}

impl Settings {
    /// Section 4.6.4: whether somebody may claim a value. What is allowed of one namespace says nothing
    /// of another.
    fn allows(&self, user: Option<&[u8]>, value: Value) -> bool {
        self.allow.is_empty()
            || self.allow.iter().any(|(address, most)| {
                user.is_some_and(|user| user == address.as_bytes())
                    && most.namespace == value.namespace
                    && most.level >= value.level
            })
    }
}

fn settings<'a>(env: &Env<'a>) -> &'a Settings {
    static USUAL: OnceLock<Settings> = OnceLock::new();
    env.settings::<Settings>().unwrap_or_else(|| USUAL.get_or_init(Settings::default))
}

fn value(key: &str, text: &str) -> Result<Value, SettingFault> {
    let unknown = || SettingFault::new(key, format!("{text} is no value of a known namespace"));
    Value::parse(text.as_bytes()).ok_or_else(unknown)
}

fn configure(entries: &[(&str, &str)]) -> Result<Configured, SettingFault> {
    let mut settings = Settings { chosen: !entries.is_empty(), ..Settings::default() };
    let mut steps = Vec::new();
    let items = |text: &str| -> Vec<String> {
        text.split(',').map(|item| item.trim().to_owned()).filter(|item| !item.is_empty()).collect()
    };
    for (key, text) in entries {
        let number = || {
            text.parse::<usize>()
                .map_err(|_| SettingFault::new(*key, format!("{text} is no number")))
        };
        let flag = || match *text {
            "true" | "yes" => Ok(true),
            "false" | "no" => Ok(false),
            _ => Err(SettingFault::new(*key, format!("{text} is neither true nor false"))),
        };
        match *key {
            "order" => steps.extend(items(text)),
            "allow" => {
                for item in items(text) {
                    let form = || SettingFault::new(*key, format!("{item} is not ADDRESS VALUE"));
                    let (address, most) = item.rsplit_once(' ').ok_or_else(form)?;
                    settings.allow.push((address.trim().to_owned(), value(key, most)?));
                }
            }
            "own" => {
                for item in items(text) {
                    value(key, &item)?;
                }
                settings.own = items(text).join(", ");
            }
            "authorized" => {
                for item in items(text) {
                    settings.authorized.push(value(key, &item)?);
                }
            }
            "tell" => settings.tell = flag()?,
            "require" => settings.require = flag()?,
            "lines" => settings.lines = number()?,
            "queue" => settings.queue = number()?,
            _ => settings.wait = Duration::from_secs(number()? as u64),
        }
    }
    if !steps.is_empty() {
        settings.order = Order::parse(steps.iter().map(String::as_str))?;
    }
    Ok(Arc::new(settings))
}

/// The behaviour.
struct ResourcePriority;

impl Behaviour for ResourcePriority {
    fn stages(&self) -> &'static [Stage] {
        &[
            Stage::ProxyPreprocess,
            Stage::UacRequest,
            Stage::UacResponse,
            Stage::UasRequest,
            Stage::UasResponse,
            Stage::DialogTimer,
            Stage::DialogEnded,
        ]
    }

    /// Sections 4.2, 4.6 and 4.7.3: a proxy lets nobody claim what is not theirs. By then the sender is
    /// known. What it does not know goes on as it came.
    fn proxy_preprocess(&self, env: &Env<'_>, at: &mut ProxyPreprocess<'_>) -> Verdict {
        let settings = settings(env);
        let first = at.request.to_tag().is_none();
        let speaks = at.request.has(Name::ResourcePriority) || at.request.has(Name::ProxyRequire);
        if !first || !speaks || matches!(at.request.method(), Method::Ack | Method::Cancel) {
            return Verdict::Pass;
        }
        let highest = settings.order.highest(namespaces::of(&at.request));
        match highest {
            Some((_, value)) if !settings.allows(at.user, value) => {
                Verdict::reply(Reply::new(403, "Priority Not Authorized"))
            }
            None if at.request.has_token(Name::ProxyRequire, TAG) => {
                Verdict::reply(ends::unknown(settings))
            }
            _ => Verdict::Pass,
        }
    }

    fn uac_request(&self, env: &Env<'_>, at: &mut UacRequest<'_>) -> Verdict {
        ends::request(env, at)
    }

    fn uac_response(&self, env: &Env<'_>, at: &mut UacResponse<'_>) -> Verdict {
        ends::answered(env, at)
    }

    fn uas_request(&self, env: &Env<'_>, at: &mut UasRequest<'_>) -> Verdict {
        ends::came(env, at)
    }

    fn uas_response(&self, env: &Env<'_>, at: &mut UasResponse<'_>) -> Verdict {
        ends::respond(env, at)
    }

    fn dialog_timer(&self, _env: &Env<'_>, at: &mut DialogTimer<'_>) {
        ends::due(at);
    }

    fn dialog_ended(&self, env: &Env<'_>, at: &mut DialogEnded<'_>) -> Verdict {
        ends::ended(env, at)
    }
}

const fn rule(section: &'static str, roles: Roles, text: &'static str, proof: Proof) -> Rule {
    Rule { section, roles, text, proof }
}

const fn flow(name: &'static str, kind: FlowKind, roles: Roles) -> FlowReference {
    FlowReference { name, kind, roles }
}

/// The declaration.
pub static EXTENSION: Extension = Extension {
    id: ID,
    title: "Communications Resource Priority for the Session Initiation Protocol (SIP)",
    documents: &["RFC 4412", "RFC 7135"],
    section: Section::Emergency,
    category: Category::Standard,
    overview: "When there are more calls than lines, some calls matter more than others: those of \
        people who put out fires, say. Such a call carries its importance in the words of an agreed \
        scheme. A telephone or gateway that knows the scheme ends a lesser call for it, or lets it \
        wait at the head of the queue.",
    security: "Importance is believed of those who are set up for it; others are refused with 403. Who \
        is who has to be proven by the usual means.",
    interactions: Interactions {
        forking: "none; Require lets only those branches succeed that understand it",
        cancel_and_ack: "ACK carries it as the INVITE did",
        routing: "none",
        stateless_proxies: "they check it as others do",
        dialog_usages: "a session that is ended for a higher one is ended by BYE with a Reason; other \
            usages of its dialog stay",
    },
    compatibility: "Who does not know it, or none of the schemes, serves the request like any other, \
        unless it requires otherwise.",
    option_tags: &[OptionTag {
        name: TAG,
        supported_by: Roles::of(&[Role::Uac, Role::Uas, Role::Proxy]),
        required: true,
        proxy_required: false,
        fallback: "The user may try again without Require; a 417 is answered with a value that the \
            other side accepts, if one is allowed.",
    }],
    fields: &[
        FieldDeclaration {
            name: "Resource-Priority",
            compact: None,
            share: 5,
            shape: Shape::List,
            extensible: false,
            uris: UriSchemes::None,
            grammar: "RFC 4412 section 3.1",
            rows: &[Row::new(Where::Request, "amdr", "oooooo oooooooo")],
        },
        FieldDeclaration {
            name: "Accept-Resource-Priority",
            compact: None,
            share: 2,
            shape: Shape::List,
            extensible: false,
            uris: UriSchemes::None,
            grammar: "RFC 4412 section 3.2",
            rows: &[Row::new(Where::Codes(&[(200, 200), (417, 417)]), "amdr", "-ooooo oooooooo")],
        },
    ],
    response_codes: &[ResponseCode {
        code: 417,
        phrase: "Unknown Resource-Priority",
        effect: DialogEffect::Transaction,
    }],
    uac: Acts::Does(
        "Says in each request how important it is, where that is set up or asked for; after a 417 \
         chooses a value that is accepted; shows that a call waits.",
    ),
    uas: Acts::Does(
        "Refuses who may not claim what they do, and with 417 what it must understand and does not. \
         Where it has no line left it ends a session of lower priority, or has the call wait (182, \
         408), as the namespace has it.",
    ),
    proxy: Acts::Does("Refuses who may not claim what they do; passes on what it does not know."),
    registrar: Acts::Nothing("it serves all alike"),
    implements: Roles::of(&[Role::Uac, Role::Uas, Role::Proxy]),
    needs: &["preemption-reason"],
    rules: RULES,
    flows: &[
        flow("resource-priority", FlowKind::Common, Roles::UA),
        flow("resource-priority-preempts", FlowKind::Common, Roles::UAS),
        flow("resource-priority-busy", FlowKind::Failure, Roles::UAS),
        flow("resource-priority-queue", FlowKind::Common, Roles::UAS),
        flow("resource-priority-tired", FlowKind::Failure, Roles::UAS),
        flow("resource-priority-unknown", FlowKind::Failure, Roles::UA),
        flow("resource-priority-proxy", FlowKind::Common, Roles::PROXY),
        flow("resource-priority-forbidden", FlowKind::Failure, Roles::PROXY),
    ],
    wake: &[
        Wake::Field("Resource-Priority"),
        Wake::OptionTag(TAG),
        Wake::Method("INVITE"),
        Wake::Method("ACK"),
        Wake::Method("OPTIONS"),
        Wake::Status(417),
        Wake::Status(182),
    ],
    settings: &[
        Setting {
            key: "order",
            about: "the values that are known, the highest first: namespaces or values, = for equal",
            default: "esnet, ets, wps, drsn, dsn, q735",
        },
        Setting {
            key: "allow",
            about: "who may claim what at most, as ADDRESS VALUE; none: everybody everything",
            default: "",
        },
        Setting { key: "tell", about: "whether others are told what is known", default: "true" },
        Setting { key: "own", about: "what requests of our own user agent say", default: "" },
        Setting {
            key: "authorized",
            about: "what our own user agent may say instead after a 417",
            default: "",
        },
        Setting {
            key: "require",
            about: "whether requests of our own user agent insist on being understood",
            default: "false",
        },
        Setting {
            key: "lines",
            about: "how many calls our own user agent has at a time; 0: no limit",
            default: "0",
        },
        Setting { key: "queue", about: "how many calls wait there for a line", default: "4" },
        Setting { key: "wait", about: "for how many seconds at most", default: "60" },
    ],
    configure: Some(configure),
    behaviour: &ResourcePriority,
    ..Extension::EMPTY
};

static RULES: &[Rule] = &[
    rule(
        "4412 3.1",
        Roles::of(&[Role::Uas]),
        "values are compared in any case; a namespace that is there twice is refused",
        Proof::Test("emergency::resource_priority::tests::values_are_read"),
    ),
    rule(
        "4412 3.1, 4.7.1",
        Roles::UAC,
        "it is sent where the user asks for it or it is set for all requests, with several values",
        Proof::Flow("resource-priority"),
    ),
    rule("4412 4.2", Roles::UAC, "ACK has it as the INVITE did", Proof::Flow("resource-priority")),
    rule(
        "4412 4.4",
        Roles::UAS,
        "OPTIONS is told all that is known",
        Proof::Flow("resource-priority-unknown"),
    ),
    rule(
        "4412 4.6.2",
        Roles::of(&[Role::Uas, Role::Proxy]),
        "what nobody knows here stays as it is and is served as usual; where it must be understood there \
         is a 417",
        Proof::Flow("resource-priority-unknown"),
    ),
    rule(
        "4412 4.6.4",
        Roles::of(&[Role::Uas, Role::Proxy]),
        "who may not claim it gets 403",
        Proof::Flow("resource-priority-forbidden"),
    ),
    rule(
        "4412 4.7.1",
        Roles::UAC,
        "after a 417 it takes an authorised value that is accepted",
        Proof::Flow("resource-priority-unknown"),
    ),
    rule(
        "4412 4.5.1, 4.7.2.1",
        Roles::UAS,
        "a session of lower priority is ended by a BYE that says why",
        Proof::Flow("resource-priority-preempts"),
    ),
    rule(
        "4412 4.6.6",
        Roles::UAS,
        "where none is lower the caller hears that it is busy",
        Proof::Flow("resource-priority-busy"),
    ),
    rule(
        "4412 4.5.2, 4.7.2.2",
        Roles::UAS,
        "calls wait with a 182, the highest first and then the oldest",
        Proof::Flow("resource-priority-queue"),
    ),
    rule(
        "4412 4.6.6",
        Roles::UAS,
        "who has waited for too long gets 408",
        Proof::Flow("resource-priority-tired"),
    ),
    rule(
        "4412 8.1, 8.3",
        Roles::of(&[Role::Uas, Role::Proxy]),
        "there is one order of all values, and none that turns a namespace round",
        Proof::Test("emergency::resource_priority::tests::an_order_keeps_that_of_its_namespaces"),
    ),
    rule(
        "4412 10, 7135 3.2",
        Roles::of(&[Role::Uas, Role::Proxy]),
        "the registered namespaces are known, with their order and algorithm",
        Proof::Test(
            "emergency::resource_priority::tests::the_namespaces_are_those_of_the_documents",
        ),
    ),
    rule(
        "4412 10.3",
        Roles::UAS,
        "drsn.flash-override-override displaces its like",
        Proof::Test("emergency::resource_priority::lines::tests::who_is_higher_takes_the_line"),
    ),
    rule(
        "4412 11.1",
        Roles::UA,
        "S/MIME for such requests",
        Proof::Excepted("it belongs to the entry on S/MIME, which is not built"),
    ),
    rule(
        "4412 4.7.3",
        Roles::PROXY,
        "queues at a proxy",
        Proof::Excepted(
            "a proxy need not look at it; under overload requests of known namespaces are preferred",
        ),
    ),
];
