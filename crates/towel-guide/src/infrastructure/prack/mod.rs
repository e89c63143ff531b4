//! Reliable provisional responses: 100rel and PRACK (RFC 3262).
//!
//! A telephone that rings says so in a response that may be lost. With this it is sent again until a
//! PRACK says that it has arrived, so that an offer or answer can travel in it.
//!
//! # Security
//! A response that nobody acknowledges is sent seven times within 64*T1, each wait twice the last, to the address that
//! the INVITE came from, and refuses the call then: no more than a 2xx without its ACK.
//!
//! # Interactions
//! Each early dialog of a forked INVITE has numbers of its own.

mod numbers;
#[cfg(test)]
mod tests;
mod uac;
mod uas;

use std::sync::Arc;

use towel_core::contract::{
    Acts, Behaviour, Category, Configured, DialogUse, Env, Extension, FieldDeclaration, FlowKind,
    FlowReference, Interactions, MethodDeclaration, OptionTag, Proof, Roles, Row, Rule, Section,
    Setting, SettingFault, Shape, Stage, UacRequest, UacResponse, UasRequest, UasResponse,
    UriSchemes, Verdict, Wake, Where,
};
use towel_message::{Message, Method, Name};

/// The option tag.
const TAG: &str = "100rel";
/// The id, under which things are kept.
const ID: &str = "prack";
/// Where the numbers of responses that came are kept: one dialog can have both.
const SEEN: &str = "prack seen";

/// When a UAS sends provisional responses reliably.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Respond {
    /// Never: who requires it gets 420.
    Never,
    /// Where the caller supports it.
    #[default]
    Supported,
    /// Always: a caller without it gets 421.
    Demanded,
}

/// What our own user agent does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Settings {
    /// Whether its INVITEs require reliable responses.
    pub require: bool,
    /// When its responses are reliable.
    pub respond: Respond,
}

fn configure(entries: &[(&str, &str)]) -> Result<Configured, SettingFault> {
    let mut settings = Settings::default();
    for (key, value) in entries {
        match (*key, *value) {
            ("require", "yes" | "true") => settings.require = true,
            ("require", "no" | "false") => settings.require = false,
            ("require", _) => return Err(SettingFault::new(*key, "true or false")),
            (_, "never") => settings.respond = Respond::Never,
            (_, "supported") => settings.respond = Respond::Supported,
            (_, "demanded") => settings.respond = Respond::Demanded,
            _ => return Err(SettingFault::new(*key, "never, supported or demanded")),
        }
    }
    Ok(Arc::new(settings))
}

fn settings(env: &Env<'_>) -> Settings {
    env.settings::<Settings>().copied().unwrap_or_default()
}

/// Whether a message has a session description: the body of an INVITE, of its responses and of PRACK
/// is one, or has one among its parts.
fn has_description(message: &Message<'_>) -> bool {
    let kind = message.value(Name::ContentType).unwrap_or_default();
    let starts =
        |with: &[u8]| kind.get(..with.len()).is_some_and(|kind| kind.eq_ignore_ascii_case(with));
    !message.body().is_empty() && (starts(b"application/sdp") || starts(b"multipart/"))
}

/// The behaviour.
struct Prack;

impl Behaviour for Prack {
    fn stages(&self) -> &'static [Stage] {
        &[Stage::UacRequest, Stage::UacResponse, Stage::UasRequest, Stage::UasResponse]
    }

    fn uac_request(&self, env: &Env<'_>, at: &mut UacRequest<'_>) -> Verdict {
        match at.method {
            b"INVITE" => uac::request(settings(env), at),
            _ => Verdict::Pass,
        }
    }

    fn uac_response(&self, _env: &Env<'_>, at: &mut UacResponse<'_>) -> Verdict {
        match at.method {
            b"INVITE" => uac::response(at),
            _ => Verdict::Pass,
        }
    }

    fn uas_request(&self, env: &Env<'_>, at: &mut UasRequest<'_>) -> Verdict {
        match at.request.method() {
            Method::Invite => uas::invited(settings(env), at),
            Method::Prack => uas::acknowledged(at),
            _ => Verdict::Pass,
        }
    }

    fn uas_response(&self, env: &Env<'_>, at: &mut UasResponse<'_>) -> Verdict {
        uas::respond(settings(env), at)
    }
}

const fn rule(section: &'static str, roles: Roles, text: &'static str, proof: Proof) -> Rule {
    Rule { section, roles, text, proof }
}

/// A test of this entry.
macro_rules! tested {
    ($name:literal) => {
        Proof::Test(concat!("infrastructure::prack::tests::", $name))
    };
}

/// The declaration.
pub static EXTENSION: Extension = Extension {
    id: ID,
    title: "Reliability of Provisional Responses in the Session Initiation Protocol (SIP)",
    documents: &["RFC 3262"],
    section: Section::Infrastructure,
    category: Category::Standard,
    overview: "That a telephone rings is told by a message that may get lost on the way, and \
        nobody would notice. Where more depends on it, as when tones or announcements are to be \
        heard before somebody answers, the message is numbered, and sent again until the caller \
        says that it has it.",
    security: "What is never acknowledged is repeated for a bounded time, to where the INVITE \
        came from, and refuses the call; a PRACK counts only within the dialog and with the \
        number that was sent.",
    interactions: Interactions {
        forking: "each branch makes an early dialog with numbers of its own, and each is \
            acknowledged",
        cancel_and_ack: "neither carries it; a PRACK cannot be cancelled",
        routing: "PRACK goes by the route set of the early dialog",
        stateless_proxies: "they pass PRACK on as any request",
        dialog_usages: "it belongs to the INVITE usage, whose failures end it (RFC 5057)",
    },
    compatibility: "Who does not state the tag gets plain provisional responses.",
    option_tags: &[OptionTag {
        name: TAG,
        supported_by: Roles::UA,
        required: true,
        proxy_required: false,
        fallback: "the same INVITE without Require: 100rel",
    }],
    methods: &[MethodDeclaration {
        name: "PRACK",
        answered_by: Roles::UAS,
        bodies: "an answer to the offer in the response, or a new offer once that is answered",
        overlaps: "yes: with the INVITE that it is about, and with other requests",
        dialog: DialogUse::Inside,
        target_refresh: false,
        offer_answer: "RFC 3262 section 5: an answer or an offer in PRACK, the answer to it in \
            the 2xx",
        cancellable: false,
        immediate: true,
        proxies_must_know: false,
        forking: "",
        reverse_request: "",
    }],
    fields: &[
        FieldDeclaration {
            name: "RSeq",
            compact: None,
            share: 5,
            shape: Shape::Single,
            extensible: false,
            uris: UriSchemes::None,
            grammar: "RFC 3262 section 7.1",
            rows: &[Row::new(Where::Codes(&[(100, 199)]), "", "---o-- --------")],
        },
        FieldDeclaration {
            name: "RAck",
            compact: None,
            share: 5,
            shape: Shape::Single,
            extensible: false,
            uris: UriSchemes::None,
            grammar: "RFC 3262 section 7.2",
            rows: &[Row::new(Where::Request, "", "------ -m------")],
        },
    ],
    uac: Acts::Does(
        "Says in each INVITE that it knows them, or that it insists on them; acknowledges each \
        numbered response in order with a PRACK, which has the answer if the response had the \
        offer; passes over copies and what is out of order; asks again without them if they are \
        not known.",
    ),
    uas: Acts::Does(
        "Numbers its provisional responses where the caller knows that, sends one at a time until \
        its PRACK is there, holds a 2xx back while a session description is not acknowledged, and \
        refuses the call with 504 if no PRACK comes.",
    ),
    proxy: Acts::Nothing("it passes on what it does not know; Require does not speak to proxies"),
    registrar: Acts::Nothing("it answers no INVITE"),
    implements: Roles::UA,
    rules: &[
        rule(
            "3262 3",
            Roles::UAS,
            "a response is sent again, at T1 and then at twice the time before, until its PRACK is \
                there",
            Proof::Flow("prack-lost"),
        ),
        rule(
            "3262 3",
            Roles::UAS,
            "where the caller requires it every provisional response is reliable, where it does \
                not know it none is",
            tested!("who_asks_gets_numbers"),
        ),
        rule(
            "3262 3",
            Roles::UAS,
            "who is not willing refuses a requirement with 420",
            Proof::Flow("prack-refused"),
        ),
        rule(
            "3262 3",
            Roles::UAS,
            "the first number is at least 1 and below 2**31, each later one greater by one",
            tested!("numbers_go_up_by_one"),
        ),
        rule(
            "3262 3",
            Roles::UAS,
            "a PRACK that fits nothing is answered with 481, one that fits with a 2xx",
            Proof::Flow("prack-unmatched"),
        ),
        rule(
            "3262 3",
            Roles::UAS,
            "after 64*T1 without a PRACK the INVITE is refused with a 5xx",
            Proof::Flow("prack-never"),
        ),
        rule(
            "3262 3",
            Roles::UAS,
            "a second one is not sent before the first is acknowledged",
            tested!("the_second_waits_for_the_first"),
        ),
        rule(
            "3262 3",
            Roles::UAS,
            "a PRACK that comes after a final response is answered",
            Proof::Excepted(
                "after a 2xx it is; after a failure of the first INVITE there is no dialog left, \
                and it gets 481",
            ),
        ),
        rule(
            "3262 3, 5",
            Roles::UAS,
            "a 2xx waits while a session description in a response is not acknowledged",
            Proof::Flow("prack-lost"),
        ),
        rule(
            "3262 4",
            Roles::UAC,
            "every INVITE says that they are supported, or requires them",
            Proof::Flow("prack-caller"),
        ),
        rule(
            "3262 4",
            Roles::UAC,
            "a reliable response is acknowledged within the dialog that it makes",
            Proof::Flow("prack-caller"),
        ),
        rule(
            "3262 4",
            Roles::UAC,
            "a copy is discarded, and what is out of order neither acknowledged nor used",
            tested!("copies_and_what_is_out_of_order_are_passed_over"),
        ),
        rule(
            "3262 4",
            Roles::UAC,
            "the tag in a 100 is ignored",
            tested!("a_hundred_is_not_acknowledged"),
        ),
        rule(
            "3262 4",
            Roles::UAC,
            "each early dialog has a number of its own",
            Proof::Flow("prack-forked"),
        ),
        rule(
            "3262 5",
            Roles::UAS,
            "where the INVITE has no offer the first reliable response has it",
            Proof::Flow("prack-offer-later"),
        ),
        rule(
            "3262 5",
            Roles::UAC,
            "the offer in a reliable response is answered in the PRACK",
            Proof::Flow("prack-offer-later"),
        ),
    ],
    flows: &[
        FlowReference { name: "prack-call", kind: FlowKind::Common, roles: Roles::UA },
        FlowReference { name: "prack-caller", kind: FlowKind::Common, roles: Roles::UAC },
        FlowReference { name: "prack-forked", kind: FlowKind::Common, roles: Roles::UAC },
        FlowReference { name: "prack-demanded", kind: FlowKind::Failure, roles: Roles::UAS },
        FlowReference { name: "prack-offer-later", kind: FlowKind::Common, roles: Roles::UA },
        FlowReference { name: "prack-lost", kind: FlowKind::Failure, roles: Roles::UAS },
        FlowReference { name: "prack-unmatched", kind: FlowKind::Failure, roles: Roles::UAS },
        FlowReference { name: "prack-never", kind: FlowKind::Failure, roles: Roles::UAS },
        FlowReference { name: "prack-refused", kind: FlowKind::Failure, roles: Roles::UA },
    ],
    wake: &[Wake::Method("INVITE"), Wake::Method("PRACK")],
    settings: &[
        Setting {
            key: "require",
            about: "whether INVITEs of our own user agent require reliable responses",
            default: "false",
        },
        Setting {
            key: "respond",
            about: "when our own user agent answers reliably: never, supported or demanded",
            default: "supported",
        },
    ],
    configure: Some(configure),
    behaviour: &Prack,
    ..Extension::EMPTY
};
