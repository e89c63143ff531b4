//! SUBSCRIBE and NOTIFY (RFC 6665): asking to be told of something, and telling.
//!
//! Subscriptions at both ends are the user agent's (`towel_core::ua::user_agent`); the packages are
//! declared by their own entries.
//!
//! # Security
//! Who subscribes gets to know something of somebody: the application is asked for each. A NOTIFY that
//! belongs to no subscription of ours is refused before anybody sees it.
//!
//! # Interactions
//! A subscription is a usage of its dialog (RFC 5057), which lives until its last usage is over.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use towel_core::contract::{
    Acts, Behaviour, Category, Configured, DialogEffect, DialogUse, Env, Extension,
    FieldDeclaration, FlowKind, FlowReference, Interactions, MethodDeclaration, Proof, Reply,
    ResponseCode, Roles, Row, Rule, SUCCESS, Section, Setting, SettingFault, Shape, Stage,
    UasRequest, UriSchemes, Verdict, Wake, Where,
};
use towel_message::{Method, Name};

/// An hour: a shorter wish than this may be refused (section 4.2.1.1).
const HOUR: u32 = 3600;

/// The shortest time that our own user agent is subscribed to for, in seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Minimum(pub u32);

fn configure(entries: &[(&str, &str)]) -> Result<Configured, SettingFault> {
    let mut minimum = Minimum::default();
    for (key, value) in entries {
        let seconds = value.parse().ok().filter(|seconds| *seconds <= HOUR);
        minimum = Minimum(seconds.ok_or_else(|| SettingFault::new(*key, "0 to 3600 seconds"))?);
    }
    Ok(Arc::new(minimum))
}

/// The behaviour.
struct EventNotification;

impl Behaviour for EventNotification {
    fn stages(&self) -> &'static [Stage] {
        &[Stage::UasRequest]
    }

    fn uas_request(&self, env: &Env<'_>, at: &mut UasRequest<'_>) -> Verdict {
        let subscribe = match at.request.method() {
            Method::Subscribe => true,
            Method::Notify => false,
            _ => return Verdict::Pass,
        };
        // Section 8.2.1: exactly one.
        if at.request.is_repeated(Name::Event) {
            return Verdict::refuse(400, "Repeated Event Header Field");
        }
        let minimum = env.settings::<Minimum>().copied().unwrap_or_default().0;
        let brief = |seconds: u32| seconds > 0 && seconds < HOUR && seconds < minimum;
        if subscribe && at.request.expires().is_some_and(brief) {
            let reply = Reply::new(423, "Interval Too Brief");
            return Verdict::reply(reply.with("Min-Expires", minimum.to_string()));
        }
        Verdict::Pass
    }
}

const fn rule(section: &'static str, roles: Roles, text: &'static str, proof: Proof) -> Rule {
    Rule { section, roles, text, proof }
}

/// What both methods have in common.
const METHOD: MethodDeclaration = MethodDeclaration {
    name: "",
    answered_by: Roles::UAS,
    bodies: "what the package says",
    overlaps: "any number; NOTIFYs of one subscription are sent one after the other",
    dialog: DialogUse::Creates,
    target_refresh: true,
    offer_answer: "",
    cancellable: false,
    immediate: true,
    proxies_must_know: false,
    forking: "one 2xx comes back; each who accepted it sends NOTIFYs, which make a dialog each",
    reverse_request: "NOTIFY",
};

const fn field(
    name: &'static str,
    grammar: &'static str,
    rows: &'static [Row],
) -> FieldDeclaration {
    FieldDeclaration {
        name,
        compact: None,
        share: 5,
        shape: Shape::Single,
        extensible: true,
        uris: UriSchemes::None,
        grammar,
        rows,
    }
}

/// The declaration.
pub static EXTENSION: Extension = Extension {
    id: "event-notification",
    title: "Event notification with the Session Initiation Protocol (SIP)",
    documents: &["RFC 6665", "RFC 5057"],
    section: Section::Core,
    category: Category::Standard,
    overview: "A telephone asks to be told when something changes: whether somebody is there, \
        whether there are messages, how a call goes. It is told at once how things stand, then each \
        time that they change, and it asks again before its time is over.",
    security: "Who is told something is decided for each subscription; what is told without having \
        been asked for is refused.",
    interactions: Interactions {
        forking: "each who accepts a SUBSCRIBE tells on its own, in a dialog of its own",
        cancel_and_ack: "neither method can be cancelled",
        routing: "NOTIFY makes the dialog at the subscriber, and its route set is that of NOTIFY",
        stateless_proxies: "they pass both on",
        dialog_usages: "a subscription is a usage; dialogs are shared with calls for REFER alone",
    },
    compatibility: "Who does not know a package says 489 and which it knows.",
    methods: &[
        MethodDeclaration { name: "SUBSCRIBE", ..METHOD },
        MethodDeclaration { name: "NOTIFY", reverse_request: "none: it is one", ..METHOD },
    ],
    fields: &[
        FieldDeclaration {
            compact: Some('o'),
            share: 100,
            ..field(
                "Event",
                "RFC 6665 section 8.2.1",
                &[Row::new(Where::Request, "", "------ ---mmm--")],
            )
        },
        FieldDeclaration {
            compact: Some('u'),
            share: 100,
            shape: Shape::List,
            extensible: false,
            ..field(
                "Allow-Events",
                "RFC 6665 section 8.2.2",
                &[
                    Row::new(Where::Request, "", "oo-ooo oooooooo"),
                    Row::new(SUCCESS, "", "-o-ooo oooooooo"),
                    Row::new(Where::Codes(&[(489, 489)]), "", "------ ---mmm--"),
                ],
            )
        },
        field(
            "Subscription-State",
            "RFC 6665 section 8.2.3",
            &[Row::new(Where::Request, "", "------ ----m---")],
        ),
    ],
    response_codes: &[ResponseCode { code: 489, phrase: "Bad Event", effect: DialogEffect::Usage }],
    uac: Acts::Does(
        "Subscribes, outside of dialogs or in one, takes NOTIFYs before and after the 2xx and from \
        each who accepted it, refreshes, and ends it with Expires: 0; tells its user each state.",
    ),
    uas: Acts::Does(
        "Refuses unknown packages with 489 and times that are too short with 423, asks the \
        application, answers 200 and tells at once; refreshes, shortens and ends subscriptions.",
    ),
    proxy: Acts::Nothing("it passes both on as any request"),
    registrar: Acts::Nothing("it serves no package"),
    // What is common to all packages; what each of them wants of an event server is its own entry's.
    partly: Roles::UA,
    rules: &[
        rule(
            "6665 4.1.2.4",
            Roles::UAC,
            "64*T1 without a NOTIFY end a subscription that was asked for",
            Proof::Test("dialog::machines::tests::the_whole_matrix"),
        ),
        rule(
            "6665 4.1.3",
            Roles::UAC,
            "a NOTIFY that fits no subscription gets 481",
            Proof::Flow("events-stray-notify"),
        ),
        rule(
            "6665 4.2.1.1",
            Roles::UAS,
            "a package that is not known gets 489 with Allow-Events",
            Proof::Flow("events-unknown-package"),
        ),
        rule(
            "6665 4.2.1.1",
            Roles::UAS,
            "only a time that is above nought, below an hour and below the minimum gets 423",
            Proof::Test("core::event_notification::tests::only_what_is_too_brief_is_refused"),
        ),
        rule(
            "6665 4.2.1.2",
            Roles::UAS,
            "each 2xx is followed by a NOTIFY at once",
            Proof::Flow("events-refreshed"),
        ),
        rule(
            "6665 4.2.1.4",
            Roles::UAS,
            "a refresh may be shortened and is never made longer; Expires: 0 ends it, for timeout",
            Proof::Flow("events-refreshed"),
        ),
        rule(
            "6665 4.2.2",
            Roles::UAS,
            "active and pending say for how long; terminated says why",
            Proof::Flow("events-refreshed"),
        ),
        rule(
            "6665 4.4.4",
            Roles::UA,
            "Allow-Events stands in INVITE, in its 2xx, and in the answer to OPTIONS",
            Proof::Flow("events-refreshed"),
        ),
        rule("6665 4.5.1", Roles::UAS, "the Contact of a notifier is a GRUU", Proof::ToDo),
        rule("6446, 5839", Roles::UA, "rates and conditions of NOTIFYs", Proof::ToDo),
    ],
    flows: &[
        FlowReference { name: "events-refreshed", kind: FlowKind::Common, roles: Roles::UAS },
        FlowReference {
            name: "events-unknown-package",
            kind: FlowKind::Failure,
            roles: Roles::UAS,
        },
        FlowReference { name: "events-stray-notify", kind: FlowKind::Failure, roles: Roles::UAC },
    ],
    wake: &[Wake::Method("SUBSCRIBE"), Wake::Method("NOTIFY")],
    settings: &[Setting {
        key: "minimum",
        about: "the shortest time, in seconds, that our own user agent is subscribed to for; up to 3600",
        default: "0",
    }],
    configure: Some(configure),
    behaviour: &EventNotification,
    ..Extension::EMPTY
};
