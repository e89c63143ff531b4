//! Answer-Mode: a caller asks the called telephone to answer by itself, or to have its user do it
//! (RFC 5373).
//!
//! # Security
//! A telephone that answers by itself can become a microphone in somebody's room. So it does only for
//! callers who are known by an identity that can be believed and are set up for it, and then it only
//! listens: until the user says so, nothing of the room is sent (section 7.4).
//!
//! # Interactions
//! Who calls is known by P-Asserted-Identity from a proxy that is trusted (RFC 3325).

#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::Arc;

use towel_core::contract::{
    Acts, Behaviour, Category, Configured, Env, Extension, FieldDeclaration, FieldParameter,
    FlowKind, FlowReference, Interactions, Manner, OptionTag, Proof, Roles, Row, Rule, Section,
    Setting, SettingFault, Shape, Stage, UacRequest, UacResponse, UasRequest, UasResponse,
    UriSchemes, Verdict, Wake, Where,
};
use towel_message::{Message, Method, Name, NameAddr, Params};

const ID: &str = "answer-mode";

/// Who may ask for what, and what we ask for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// Addresses whose Answer-Mode: Auto is followed; `*` is everybody who is known.
    pub auto: Vec<String>,
    /// Addresses whose Priv-Answer-Mode: Auto is followed.
    pub privileged: Vec<String>,
    /// Proxies whose word on who calls is believed.
    pub trusted: Vec<IpAddr>,
    /// Whether who answers manually can do so at all.
    pub manual: bool,
    /// Whether the caller is told how its call was answered.
    pub tell: bool,
    /// What our own calls ask for.
    pub own: Option<String>,
    /// Whether they ask as the privileged.
    pub own_privileged: bool,
}

fn configure(entries: &[(&str, &str)]) -> Result<Configured, SettingFault> {
    let mut settings = Settings { manual: true, ..Settings::default() };
    for (key, value) in entries {
        let items = || value.split(',').map(str::trim).filter(|item| !item.is_empty());
        let fault = |about: &str| SettingFault::new(*key, format!("{value} {about}"));
        let flag = || match *value {
            "true" | "yes" => Ok(true),
            "false" | "no" => Ok(false),
            _ => Err(fault("is neither true nor false")),
        };
        match *key {
            "auto" => settings.auto.extend(items().map(str::to_owned)),
            "privileged" if items().any(|item| item == "*") => {
                return Err(fault("would have everybody privileged: name who is"));
            }
            "privileged" => settings.privileged.extend(items().map(str::to_owned)),
            "trusted" => {
                for item in items() {
                    settings.trusted.push(item.parse().map_err(|_| fault("is no address"))?);
                }
            }
            "manual" => settings.manual = flag()?,
            "tell" => settings.tell = flag()?,
            "own-privileged" => settings.own_privileged = flag()?,
            _ if Asked::read(value.as_bytes()).is_none() => {
                return Err(fault("is neither Auto nor Manual"));
            }
            _ => settings.own = Some((*value).to_owned()),
        }
    }
    Ok(Arc::new(settings))
}

/// What a caller asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Asked {
    auto: bool,
    /// Rather be refused than be answered in another way.
    require: bool,
}

impl Asked {
    /// Section 2: values that are not known are ignored, and compared in any case.
    fn read(value: &[u8]) -> Option<Asked> {
        let end = value.iter().position(|byte| *byte == b';').unwrap_or(value.len());
        let (mode, params) = value.split_at_checked(end)?;
        let mode = mode.trim_ascii();
        let auto = mode.eq_ignore_ascii_case(b"auto");
        let known = auto || mode.eq_ignore_ascii_case(b"manual");
        known.then(|| Asked { auto, require: Params::new(params).has("require") })
    }

    fn of(request: &Message<'_>, name: Name) -> Option<Asked> {
        Asked::read(request.value(name)?)
    }
}

/// Who calls, as far as it can be believed: section 7.3 wants it known.
fn identity(settings: &Settings, at: &UasRequest<'_>) -> Option<Vec<u8>> {
    let source = at.source.remote.ip().to_canonical();
    if !settings.trusted.iter().any(|address| address.to_canonical() == source) {
        return None;
    }
    let first = at.request.values(Name::PAssertedIdentity).next()?;
    Some(NameAddr::parse(first.bytes).ok()?.uri.to_vec())
}

fn holds(list: &[String], identity: Option<&[u8]>) -> bool {
    let Some(identity) = identity else { return false };
    list.iter().any(|one| one == "*" || one.as_bytes() == identity)
}

/// What is kept with an INVITE: how it is answered, and which header field asked.
struct Chosen {
    manner: Manner,
    privileged: bool,
}

/// The behaviour.
struct AnswerMode;

impl Behaviour for AnswerMode {
    fn stages(&self) -> &'static [Stage] {
        &[Stage::UacRequest, Stage::UacResponse, Stage::UasRequest, Stage::UasResponse]
    }

    /// Section 4.3.3.
    fn uac_request(&self, env: &Env<'_>, at: &mut UacRequest<'_>) -> Verdict {
        let Some(settings) = env.settings::<Settings>() else { return Verdict::Pass };
        let given = at.given.get("Answer-Mode").or(at.given.get("Priv-Answer-Mode")).is_some();
        if at.method == b"INVITE"
            && at.dialog.is_none()
            && !given
            && let Some(own) = &settings.own
        {
            let name = if settings.own_privileged { "Priv-Answer-Mode" } else { "Answer-Mode" };
            at.fields.push(name, own);
        }
        Verdict::Pass
    }

    /// Section 5.2.
    fn uac_response(&self, _env: &Env<'_>, at: &mut UacResponse<'_>) -> Verdict {
        let value = at.response.value(Name::AnswerMode);
        let value = value.or(at.response.value(Name::PrivAnswerMode));
        if at.method == b"INVITE"
            && at.response.status() == 200
            && let Some(asked) = value.and_then(Asked::read)
        {
            let how = if asked.auto { "automatically" } else { "by its user" };
            at.notes.push(format!("answered {how}"));
        }
        Verdict::Pass
    }

    /// Sections 4.1, 4.5.1 and 7.4.
    fn uas_request(&self, env: &Env<'_>, at: &mut UasRequest<'_>) -> Verdict {
        if at.request.method() != Method::Invite || at.request.to_tag().is_some() {
            return Verdict::Pass;
        }
        let usual = Settings { manual: true, ..Settings::default() };
        let settings = env.settings::<Settings>().unwrap_or(&usual);
        let plain = Asked::of(&at.request, Name::AnswerMode);
        let privileged = Asked::of(&at.request, Name::PrivAnswerMode);
        let who = identity(settings, at);
        // Who is privileged is judged by that alone; who is not, by what it asks of everybody.
        let as_privileged = privileged
            .is_some_and(|asked| !asked.auto || holds(&settings.privileged, who.as_deref()));
        let asked = match (as_privileged, plain) {
            (true, _) => privileged,
            (false, None) => privileged,
            (false, plain) => plain,
        };
        let Some(asked) = asked else { return Verdict::Pass };
        let allowed = as_privileged || (plain.is_some() && holds(&settings.auto, who.as_deref()));
        let manner = if asked.auto && allowed { Manner::Auto } else { Manner::Manual };
        match (asked.auto, manner) {
            (true, Manner::Manual) if asked.require || !settings.manual => {
                return Verdict::refuse(403, "automatic answer forbidden");
            }
            (false, _) if !settings.manual && asked.require => {
                return Verdict::refuse(403, "manual answer forbidden");
            }
            _ => {}
        }
        *at.manner = manner;
        at.slots.set(ID, Chosen { manner, privileged: as_privileged });
        Verdict::Pass
    }

    /// Section 5.1: only where it is set up.
    fn uas_response(&self, env: &Env<'_>, at: &mut UasResponse<'_>) -> Verdict {
        let tells = env.settings::<Settings>().is_some_and(|settings| settings.tell);
        if !tells || at.status != 200 || at.request.method() != Method::Invite {
            return Verdict::Pass;
        }
        if let Some(chosen) = at.slots.get::<Chosen>(ID) {
            let name = if chosen.privileged { "Priv-Answer-Mode" } else { "Answer-Mode" };
            let how = if chosen.manner == Manner::Auto { "Auto" } else { "Manual" };
            at.fields.push(name, how);
        }
        Verdict::Pass
    }
}

const fn rule(section: &'static str, roles: Roles, text: &'static str, proof: Proof) -> Rule {
    Rule { section, roles, text, proof }
}

const fn field(name: &'static str) -> FieldDeclaration {
    FieldDeclaration {
        name,
        compact: None,
        share: 2,
        shape: Shape::Single,
        extensible: true,
        uris: UriSchemes::None,
        grammar: "RFC 5373 section 2",
        rows: ROWS,
    }
}

/// Section 3: the first INVITE and its 200.
const ROWS: &[Row] = &[
    Row::new(Where::Request, "", "---o-- --------"),
    Row::new(Where::Codes(&[(200, 200)]), "", "---o-- --------"),
];

/// The declaration.
pub static EXTENSION: Extension = Extension {
    id: ID,
    title: "Requesting Answering Modes for the Session Initiation Protocol (SIP)",
    documents: &["RFC 5373"],
    section: Section::Minor,
    category: Category::Standard,
    overview: "A push-to-talk radio answers by itself, so that a message is heard at once; a test of \
        a line had better be answered by a machine than wake somebody. The caller says in its INVITE \
        which way it would like, and whether no answer at all is better than one of the other kind.",
    security: "Only callers whose identity a trusted proxy vouches for, and who are set up for it, are \
        answered automatically; and then nothing of the room is sent before its user says so.",
    interactions: Interactions {
        forking: "several telephones that answer at once make several sessions: see section 4.4.2",
        cancel_and_ack: "neither carries it",
        routing: "none; Accept-Contact can ask for telephones that know it",
        stateless_proxies: "they pass it on",
        dialog_usages: "it belongs to the first INVITE alone",
    },
    compatibility: "A telephone without it rings as for any call, unless the caller requires it.",
    option_tags: &[OptionTag {
        name: "answermode",
        supported_by: Roles::UA,
        required: true,
        proxy_required: false,
        fallback: "The caller may call again without Require, and is answered as the called user likes.",
    }],
    fields: &[field("Answer-Mode"), field("Priv-Answer-Mode")],
    field_parameters: &[
        FieldParameter { field: "Answer-Mode", name: "require", grammar: "RFC 5373 section 2" },
        FieldParameter {
            field: "Priv-Answer-Mode",
            name: "require",
            grammar: "RFC 5373 section 2",
        },
    ],
    uac: Acts::Does("Asks for the mode that is set or asked for; shows how its call was answered."),
    uas: Acts::Does(
        "Decides by who calls whether to answer automatically, tells the application so, refuses with \
         403 what may only be answered in a way that it is not; tells the caller if it is set to.",
    ),
    proxy: Acts::Nothing("it passes both on: it would need its user's agreement to change them"),
    registrar: Acts::Nothing("the feature is kept as any other"),
    implements: Roles::UA,
    rules: &[
        rule(
            "5373 4.3.3",
            Roles::UAC,
            "a first INVITE asks for a mode, with or without require",
            Proof::Flow("answer-mode-caller"),
        ),
        rule(
            "5373 4.3.1",
            Roles::UAC,
            "every request says that it is supported",
            Proof::Flow("answer-mode-caller"),
        ),
        rule(
            "5373 4.5.1",
            Roles::UAS,
            "Auto of an authorised caller is answered without the user, any other by the user",
            Proof::Flow("answer-mode"),
        ),
        rule(
            "5373 4.5.1, 4.2",
            Roles::UAS,
            "what requires a mode that it does not get is refused with 403",
            Proof::Flow("answer-mode-forbidden"),
        ),
        rule(
            "5373 4.1",
            Roles::UAS,
            "Priv-Answer-Mode has a list of its own; who is not on it is judged by Answer-Mode",
            Proof::Test("minor::answer_mode::tests::the_privileged_are_others"),
        ),
        rule(
            "5373 4.1, 7.3",
            Roles::UAS,
            "nobody is privileged who was not named, and nobody authorised who is not known for certain",
            Proof::Test("minor::answer_mode::tests::who_is_not_known_is_answered_by_the_user"),
        ),
        rule(
            "5373 2",
            Roles::UAS,
            "values that are not known are ignored",
            Proof::Test("minor::answer_mode::tests::what_is_not_known_is_ignored"),
        ),
        rule(
            "5373 5.1",
            Roles::UAS,
            "the caller is told how it was answered only where that is set up",
            Proof::Flow("answer-mode"),
        ),
        rule(
            "5373 7.4",
            Roles::UAS,
            "what is answered automatically sends nothing",
            Proof::Flow("answer-mode"),
        ),
        rule(
            "5373 4.4.1",
            Roles::PROXY,
            "a proxy changes neither",
            Proof::Excepted("ours never does, so there is nothing to show"),
        ),
    ],
    flows: &[
        FlowReference { name: "answer-mode", kind: FlowKind::Common, roles: Roles::UAS },
        FlowReference { name: "answer-mode-caller", kind: FlowKind::Common, roles: Roles::UAC },
        FlowReference { name: "answer-mode-forbidden", kind: FlowKind::Failure, roles: Roles::UA },
    ],
    wake: &[Wake::Field("Answer-Mode"), Wake::Field("Priv-Answer-Mode")],
    settings: &[
        Setting {
            key: "auto",
            about: "callers whose Answer-Mode: Auto our own user agent follows; * for all who are known",
            default: "",
        },
        Setting {
            key: "privileged",
            about: "callers whose Priv-Answer-Mode: Auto it follows",
            default: "",
        },
        Setting {
            key: "trusted",
            about: "addresses of proxies whose P-Asserted-Identity says who calls",
            default: "",
        },
        Setting { key: "manual", about: "whether there is a user who can answer", default: "true" },
        Setting {
            key: "tell",
            about: "whether callers are told how they were answered",
            default: "false",
        },
        Setting { key: "own", about: "what our own calls ask for", default: "" },
        Setting {
            key: "own-privileged",
            about: "whether they ask with Priv-Answer-Mode",
            default: "false",
        },
    ],
    configure: Some(configure),
    behaviour: &AnswerMode,
    ..Extension::EMPTY
};
