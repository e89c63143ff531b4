//! INFO: words between applications in a call (RFC 6086, and the older usage of RFC 2976).
//!
//! What an INFO means is said by its Info Package; each end says in Recv-Info which it takes. INFO
//! without a package is the older usage, in which the ends have to know what they do.
//!
//! # Security
//! What an INFO says is the application's to believe; a package that was not asked for is refused
//! before anybody sees it.
//!
//! # Interactions
//! Each early dialog has packages of its own; a re-INVITE may change them, and one that fails leaves
//! them as they were.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use towel_core::contract::{
    Acts, Behaviour, Category, Configured, DialogEffect, DialogUse, Env, Extension,
    FieldDeclaration, FlowKind, FlowReference, InDialog, Interactions, MethodDeclaration, Proof,
    Reply, ResponseCode, Roles, Row, Rule, SUCCESS, Section, Setting, SettingFault, Shape, Stage,
    UacRequest, UacResponse, UasRequest, UasResponse, UriSchemes, Verdict, Wake, Where,
};
use towel_message::{Message, Method, Name};

const ID: &str = "info";

/// What our own user agent takes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// The Info Packages, as Recv-Info lists them.
    pub packages: String,
}

fn configure(entries: &[(&str, &str)]) -> Result<Configured, SettingFault> {
    let mut names = Vec::new();
    for (key, value) in entries {
        for name in value.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            let token = |byte: u8| byte.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&byte);
            if !name.bytes().all(token) {
                return Err(SettingFault::new(*key, format!("{name} is no name of a package")));
            }
            names.push(name);
        }
    }
    Ok(Arc::new(Settings { packages: names.join(", ") }))
}

/// The packages that we take.
fn ours<'a>(env: &Env<'a>) -> &'a str {
    env.settings::<Settings>().map_or("", |settings| settings.packages.as_str())
}

/// What is kept with a dialog.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Said {
    /// Whether the peer was told what we take.
    told: bool,
    /// What the peer takes: nothing before it said so.
    theirs: String,
    /// What it took before the INVITE that has no final response yet.
    before: Option<String>,
}

fn said(dialog: &InDialog<'_>) -> Said {
    dialog.slots.get::<Said>(ID).cloned().unwrap_or_default()
}

/// The packages that a message says are taken; `None` if it does not speak of them.
fn list(message: &Message<'_>) -> Option<String> {
    message.has(Name::RecvInfo).then(|| {
        let names = message.values(Name::RecvInfo).map(|value| value.bytes.trim_ascii());
        names.map(String::from_utf8_lossy).collect::<Vec<_>>().join(",")
    })
}

/// Section 5.2.4: the peer's set is a new one, or after a refusal that of before.
fn learn(dialog: &mut InDialog<'_>, invite: bool, status: u16, theirs: Option<String>, told: bool) {
    let mut said = said(dialog);
    if status >= 300 {
        if let Some(before) = said.before.take().filter(|_| invite) {
            said.theirs = before;
        }
    } else {
        said.told |= told;
        if let Some(theirs) = theirs {
            let old = std::mem::replace(&mut said.theirs, theirs);
            said.before = said.before.or(invite.then_some(old));
        }
        if status >= 200 && invite {
            said.before = None;
        }
    }
    dialog.slots.set(ID, said);
}

/// The name of a package without its parameters, which section 7.2 leaves out of the comparison.
fn name(value: &[u8]) -> &[u8] {
    value.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii()
}

/// Whether this package is among ours; names are the same byte by byte (section 7.2).
fn takes(list: &str, package: &[u8]) -> bool {
    list.split(',').any(|one| one.trim().as_bytes() == name(package))
}

/// The behaviour.
struct Info;

impl Behaviour for Info {
    fn stages(&self) -> &'static [Stage] {
        &[Stage::UacRequest, Stage::UacResponse, Stage::UasRequest, Stage::UasResponse]
    }

    /// Section 5.2.3: an INVITE says what we take, be it nothing. Section 4.2.1: no INFO outside of a
    /// call, and none of a package that the peer did not say it takes.
    fn uac_request(&self, env: &Env<'_>, at: &mut UacRequest<'_>) -> Verdict {
        match at.method {
            b"INVITE" => at.fields.push("Recv-Info", ours(env)),
            b"INFO" => return may_send(at),
            _ => {}
        }
        Verdict::Pass
    }

    /// A dialog that our INVITE has made knows what we take, and says what the peer takes.
    fn uac_response(&self, _env: &Env<'_>, at: &mut UacResponse<'_>) -> Verdict {
        let (status, invite) = (at.response.status(), at.method == b"INVITE");
        if let Some(dialog) = &mut at.dialog
            && status > 100
            && (invite || (matches!(at.method, b"UPDATE" | b"PRACK") && status >= 200))
        {
            learn(dialog, invite, status, list(&at.response), invite);
        }
        Verdict::Pass
    }

    /// Section 4.2.2.
    fn uas_request(&self, env: &Env<'_>, at: &mut UasRequest<'_>) -> Verdict {
        if at.request.method() != Method::Info {
            return Verdict::Pass;
        }
        let Some(dialog) = at.dialog.as_ref().filter(|dialog| dialog.session) else {
            // Section 4.2.1: there is none outside of an INVITE usage.
            return Verdict::refuse(481, "Call/Transaction Does Not Exist");
        };
        // One that names none is the older usage, which the application knows or not.
        let Some(package) = at.request.value(Name::InfoPackage) else { return Verdict::Pass };
        // In a dialog of ours its INFO may be here before any response to the INVITE is, which said it.
        let told = dialog.initiator || said(dialog).told;
        if told && takes(ours(env), package) {
            return Verdict::Pass;
        }
        Verdict::reply(Reply::new(469, "Bad Info Package").with("Recv-Info", ours(env)))
    }

    /// Section 5.2.3: who says what it takes is told what we take, and nobody else.
    fn uas_response(&self, env: &Env<'_>, at: &mut UasResponse<'_>) -> Verdict {
        let invite = at.request.method() == Method::Invite;
        let speaks = match at.request.method() {
            Method::Invite => at.status > 100,
            Method::Prack | Method::Update => at.status >= 200,
            _ => false,
        };
        if let Some(dialog) = &mut at.dialog
            && speaks
            && at.request.has(Name::RecvInfo)
        {
            if at.status < 300 {
                at.fields.push("Recv-Info", ours(env));
            }
            learn(dialog, invite, at.status, list(&at.request), true);
        }
        Verdict::Pass
    }
}

/// Whether an INFO may go.
fn may_send(at: &UacRequest<'_>) -> Verdict {
    let Some(dialog) = at.dialog.as_ref().filter(|dialog| dialog.session) else {
        return Verdict::refuse(481, "INFO belongs in a call");
    };
    if at.given.get("Recv-Info").is_some() {
        return Verdict::refuse(400, "an INFO has no Recv-Info");
    }
    match at.given.get("Info-Package") {
        Some(package) if !takes(&said(dialog).theirs, package) => {
            Verdict::refuse(469, "the peer does not take this Info Package")
        }
        // Without one it is the older usage, which asks for nothing.
        _ => Verdict::Pass,
    }
}

const fn rule(section: &'static str, roles: Roles, text: &'static str, proof: Proof) -> Rule {
    Rule { section, roles, text, proof }
}

/// The declaration.
pub static EXTENSION: Extension = Extension {
    id: ID,
    title: "Session Initiation Protocol (SIP) INFO Method and Package Framework",
    documents: &["RFC 6086", "RFC 2976"],
    section: Section::Infrastructure,
    category: Category::Standard,
    overview: "Applications at the ends of a call may have something to say to each other that is \
        neither about the call nor part of its sound: a key that was pressed, a code of the \
        telephone network. They say it in an INFO, and each end tells beforehand which kinds it \
        understands.",
    security: "An INFO of a kind that was not asked for is refused; what the others say is for the \
        application to judge.",
    interactions: Interactions {
        forking: "each early dialog has its own set of packages",
        cancel_and_ack: "neither carries it",
        routing: "as any request in the dialog",
        stateless_proxies: "they pass it on",
        dialog_usages: "it belongs to the INVITE usage; a 469 ends nothing but its transaction",
    },
    compatibility: "Who says nothing in Recv-Info is sent no packages; INFO without one goes as \
        before.",
    methods: &[MethodDeclaration {
        name: "INFO",
        answered_by: Roles::UAS,
        bodies: "what the package says, marked by Content-Disposition: Info-Package; in the older \
            usage whatever the ends know",
        overlaps: "yes, in either direction",
        dialog: DialogUse::Inside,
        target_refresh: false,
        offer_answer: "",
        cancellable: false,
        immediate: true,
        proxies_must_know: false,
        forking: "",
        reverse_request: "",
    }],
    fields: &[
        FieldDeclaration {
            name: "Info-Package",
            compact: None,
            share: 2,
            shape: Shape::Single,
            extensible: true,
            uris: UriSchemes::None,
            grammar: "RFC 6086 section 13",
            // Mandatory in the table, and a note has it left out of the older usage.
            rows: &[Row::new(Where::Request, "", "------ ------c-")],
        },
        FieldDeclaration {
            name: "Recv-Info",
            compact: None,
            share: 20,
            shape: Shape::List,
            extensible: true,
            uris: UriSchemes::None,
            grammar: "RFC 6086 section 13",
            rows: &[
                // The same: who knows only the older usage has none.
                Row::new(Where::Request, "", "---c-o -oo-----"),
                Row::new(SUCCESS, "", "---c-- -cc-----"),
                Row::new(Where::Codes(&[(100, 199)]), "", "---c-- --------"),
                Row::new(Where::Codes(&[(469, 469)]), "", "------ ------c-"),
                Row::new(Where::Response, "", "---o-- -oo-----"),
            ],
        },
    ],
    response_codes: &[ResponseCode {
        code: 469,
        phrase: "Bad Info Package",
        effect: DialogEffect::Transaction,
    }],
    dispositions: &["info-package"],
    uac: Acts::Does(
        "Says in each INVITE which packages it takes; sends what it is told to send, if the peer \
        said that it takes it.",
    ),
    uas: Acts::Does(
        "Says which packages it takes where it is told so, refuses others with 469, and hands what \
        it takes, and INFO of the older usage, to the application.",
    ),
    proxy: Acts::Nothing("it passes INFO on as any request"),
    registrar: Acts::Nothing("it has no sessions"),
    implements: Roles::UA,
    rules: &[
        rule(
            "6086 5.2.3",
            Roles::UAC,
            "an INVITE says which packages are taken, or that none is",
            Proof::Flow("info-caller"),
        ),
        rule(
            "6086 5.2.3",
            Roles::UAS,
            "who said so is told, in 18x and 2xx; nobody else is",
            Proof::Test("infrastructure::info::tests::who_says_so_is_told"),
        ),
        rule(
            "6086 4.2.2",
            Roles::UAS,
            "a package that was not asked for gets 469 with those that are, and the call goes on",
            Proof::Flow("info-unknown-package"),
        ),
        rule(
            "6086 4.2.2, 7.2",
            Roles::UAS,
            "a package is known by its name, byte by byte and without parameters",
            Proof::Test("infrastructure::info::tests::a_package_is_its_name"),
        ),
        rule(
            "6086 4.2.1",
            Roles::UAS,
            "there is no INFO outside of an INVITE usage",
            Proof::Test("infrastructure::info::tests::outside_of_a_call_there_is_none"),
        ),
        rule(
            "6086 2, 5.2.2",
            Roles::UAS,
            "INFO without a package is taken as before",
            Proof::Flow("info-older"),
        ),
        rule(
            "6086 4.2.1",
            Roles::UAC,
            "INFO of a package goes only to who said in this dialog that it takes it",
            Proof::Flow("info-held-back"),
        ),
        rule(
            "6086 5.2.2",
            Roles::UAC,
            "what the peer said last holds, be it nothing",
            Proof::Test("infrastructure::info::tests::what_was_said_last_holds"),
        ),
        rule(
            "6086 5.2.4",
            Roles::UA,
            "a refused INVITE leaves the packages as they were",
            Proof::Test("infrastructure::info::tests::a_refusal_leaves_them_as_they_were"),
        ),
    ],
    flows: &[
        FlowReference { name: "info-package", kind: FlowKind::Common, roles: Roles::UAS },
        FlowReference { name: "info-older", kind: FlowKind::Common, roles: Roles::UAS },
        FlowReference { name: "info-caller", kind: FlowKind::Common, roles: Roles::UAC },
        FlowReference { name: "info-unknown-package", kind: FlowKind::Failure, roles: Roles::UAS },
        FlowReference { name: "info-held-back", kind: FlowKind::Failure, roles: Roles::UA },
    ],
    wake: &[Wake::Method("INFO"), Wake::Method("INVITE"), Wake::Field("Recv-Info")],
    settings: &[Setting {
        key: "packages",
        about: "the Info Packages that our own user agent takes, with commas between them",
        default: "",
    }],
    configure: Some(configure),
    behaviour: &Info,
    ..Extension::EMPTY
};
