//! REFER: asking somebody to call somebody (RFC 3515 with RFC 7614 and RFC 7647), and call transfer (RFC
//! 5589).
//!
//! Dialogs, subscriptions, NOTIFYs and the calls themselves are the user agent's
//! (`towel_core::ua::user_agent`); here is what a REFER and its NOTIFYs must look like.
//!
//! # Security
//! Who is referred makes calls that somebody else chooses. The application is asked for each; the status
//! line is all that is told of how it went.
//!
//! # Interactions
//! `norefersub` suppresses the subscription, `target-dialog` lets a REFER be about a call without being in
//! its dialog, `replaces` makes a transfer attended, `referred-by` says who asked.

mod rules;
#[cfg(test)]
mod tests;

use towel_core::contract::{
    Acts, Behaviour, Category, DialogUse, Env, EventPackage, Extension, FieldDeclaration,
    Interactions, MethodDeclaration, OptionTag, Reply, Roles, Row, SUCCESS, Section, Shape, Stage,
    Task, UacRequest, UacResponse, UasRequest, UriSchemes, Verdict, Wake, Where,
};
use towel_core::ua::user_agent::sipfrag;
use towel_message::{Message, Method, Name, NameAddr, Uri};

const ID: &str = "refer";
/// The event package, and those option tags by which a REFER makes no subscription (RFC 7614).
const PACKAGE: &str = "refer";
const EXPLICIT: &str = "explicitsub";
const NONE: &str = "nosub";

/// What is kept with a REFER of ours: that it wants an explicit subscription.
#[derive(Debug, Clone, Copy)]
struct Explicit;

/// Requests that a REFER may ask for: those that stand for themselves. The others belong to a dialog, or
/// to another request.
const ASKED: [&[u8]; 7] =
    [b"INVITE", b"OPTIONS", b"MESSAGE", b"SUBSCRIBE", b"PUBLISH", b"REGISTER", b"REFER"];

/// What is wrong with Refer-To (RFC 3515 section 2.4.2).
fn wrong(request: &Message<'_>) -> Option<Reply> {
    let Some(value) = request.value(Name::ReferTo) else {
        return Some(Reply::new(400, "Missing Refer-To Header Field"));
    };
    if request.is_repeated(Name::ReferTo) {
        return Some(Reply::new(400, "Repeated Refer-To Header Field"));
    }
    let Ok(refer_to) = NameAddr::parse(value) else {
        return Some(Reply::new(400, "Malformed Refer-To Header Field"));
    };
    match refer_to.parse_uri() {
        Ok(Uri::Sip(uri)) => {
            let method = uri.method();
            let asked = method.is_none_or(|method| ASKED.contains(&method.as_bytes()));
            (!asked).then(|| Reply::new(403, "Method in Refer-To Is Not Followed"))
        }
        Ok(Uri::Tel(_)) => None,
        // RFC 3515 section 2.4.2; not with a 416, which would end the dialog (RFC 5057).
        Ok(Uri::Other(_)) => Some(Reply::new(403, "Refer-To Scheme Is Not Supported")),
        Err(_) => Some(Reply::new(400, "Malformed Refer-To Header Field")),
    }
}

/// What is wrong with the body of a NOTIFY (RFC 3515 section 2.4.5). One without any may end a
/// subscription.
fn wrong_news(notify: &Message<'_>) -> Option<Reply> {
    let state = notify.value(Name::SubscriptionState).unwrap_or_default();
    let over = state.get(..10).is_some_and(|word| word.eq_ignore_ascii_case(b"terminated"));
    if notify.body().is_empty() {
        return (!over).then(|| Reply::new(400, "Missing Body"));
    }
    let kind = notify.content_type();
    if !kind.is_some_and(|kind| kind.is_ok_and(|kind| kind.is("message/sipfrag"))) {
        return Some(Reply::new(415, "Unsupported Media Type").with("Accept", "message/sipfrag"));
    }
    sipfrag::status(notify.body())
        .is_none()
        .then(|| Reply::new(400, "Fragment without a Status Line"))
}

/// The behaviour.
struct Refer;

impl Behaviour for Refer {
    fn stages(&self) -> &'static [Stage] {
        &[Stage::UacRequest, Stage::UacResponse, Stage::UasRequest]
    }

    /// RFC 7614 section 4.1.
    fn uac_request(&self, _env: &Env<'_>, at: &mut UacRequest<'_>) -> Verdict {
        if at.method != b"REFER" {
            return Verdict::Pass;
        }
        let requires = |tag: &str| {
            at.given.all("Require").any(|value| {
                let mut tags = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
                tags.any(|one| one.eq_ignore_ascii_case(tag.as_bytes()))
            })
        };
        match requires(EXPLICIT) {
            true => at.slots.set(ID, Explicit),
            false => at.slots.clear(ID),
        }
        Verdict::Pass
    }

    /// RFC 7614 section 4.2: where what comes of it can be subscribed to.
    fn uac_response(&self, _env: &Env<'_>, at: &mut UacResponse<'_>) -> Verdict {
        let explicit = at.slots.get::<Explicit>(ID).is_some();
        if at.method != b"REFER" || at.response.status() / 100 != 2 || !explicit {
            return Verdict::Pass;
        }
        let place = at.response.value(Name::ReferEventsAt);
        let place = place.and_then(|value| NameAddr::parse(value).ok()).filter(|one| one.bracketed);
        let place = place.filter(|one| one.parse_uri().is_ok_and(|uri| uri.sip().is_some()));
        match place {
            Some(place) => {
                let uri = place.uri.to_vec();
                at.tasks.push(ID, Task::Subscribe { uri, package: PACKAGE });
            }
            None => at.notes.push("the REFER was accepted without a word of where to ask".into()),
        }
        Verdict::Pass
    }

    fn uas_request(&self, _env: &Env<'_>, at: &mut UasRequest<'_>) -> Verdict {
        let fault = match at.request.method() {
            Method::Refer => wrong(&at.request),
            Method::Notify if is_ours(&at.request) => wrong_news(&at.request),
            _ => return Verdict::Pass,
        };
        if let Some(reply) = fault {
            return Verdict::reply(reply);
        }
        if at.request.method() == Method::Refer {
            // RFC 7614 sections 4.3 and 5.3.
            if at.request.has_token(Name::Require, NONE) {
                at.tasks.push(ID, Task::NoSubscription);
            } else if at.request.has_token(Name::Require, EXPLICIT) {
                at.tasks.push(ID, Task::NoSubscription);
                at.tasks.push(ID, Task::EventsAt("Refer-Events-At"));
            }
        }
        Verdict::Pass
    }
}

/// Whether a NOTIFY is one of this package.
fn is_ours(notify: &Message<'_>) -> bool {
    let event = notify.value(Name::Event).unwrap_or_default();
    let package = event.split(|byte| *byte == b';').next().unwrap_or_default();
    package.trim_ascii() == PACKAGE.as_bytes()
}

const fn tag(name: &'static str, fallback: &'static str) -> OptionTag {
    OptionTag { name, supported_by: Roles::UA, required: true, proxy_required: false, fallback }
}

/// The declaration.
pub static EXTENSION: Extension = Extension {
    id: ID,
    title: "The REFER method of the Session Initiation Protocol (SIP), and call transfer",
    documents: &["RFC 3515", "RFC 7614", "RFC 7647", "RFC 3420", "RFC 5589"],
    section: Section::CallControl,
    category: Category::Standard,
    overview: "Somebody in a call wants the other one to talk to a third. It asks the other one's \
        telephone to call the third, and is told how that goes: that it is being tried, that it \
        rings, that it was answered. Then it hangs up. If the third one does not answer, the two \
        are still connected.",
    security: "Who follows a REFER calls whom somebody else chose: its user is asked, or a rule that \
        was set up. What is told of the call is a status line, and no more of the messages.",
    interactions: Interactions {
        forking: "a REFER outside of dialogs may be accepted by several; each tells how it goes, in a \
            dialog of its own",
        cancel_and_ack: "REFER cannot be cancelled; who ends the subscription does not end the call \
            that was asked for",
        routing: "in a dialog REFER and NOTIFY go by its route set; outside of one NOTIFY makes it",
        stateless_proxies: "they pass it on",
        dialog_usages: "in the dialog of a call it adds a subscription, which outlives the call's end \
            and ends by itself",
    },
    compatibility: "Who does not know REFER says 405 or 501; an attended transfer is tried the other \
        way round then.",
    option_tags: &[
        tag(EXPLICIT, "the same REFER without it, which makes a subscription"),
        tag(NONE, "the same REFER without it, whose subscription may be ended"),
    ],
    methods: &[MethodDeclaration {
        name: "REFER",
        answered_by: Roles::UAS,
        bodies: "none has a meaning of its own; parts that other header fields speak of",
        overlaps: "any number; in one dialog each has an id (RFC 3515 section 2.4.6)",
        dialog: DialogUse::Creates,
        target_refresh: true,
        offer_answer: "",
        cancellable: false,
        immediate: true,
        proxies_must_know: false,
        forking: "one 2xx comes back; each who accepted it sends NOTIFYs, which make a dialog each",
        reverse_request: "NOTIFY",
    }],
    fields: &[
        FieldDeclaration {
            name: "Refer-To",
            compact: Some('r'),
            // Of the messages of its own method all have it.
            share: 100,
            shape: Shape::Single,
            extensible: true,
            uris: UriSchemes::Any,
            grammar: "RFC 3515 section 2.1",
            rows: &[Row::new(Where::Request, "", "------ -------m")],
        },
        FieldDeclaration {
            name: "Refer-Events-At",
            compact: None,
            share: 1,
            shape: Shape::Single,
            extensible: true,
            uris: UriSchemes::Only(&["sip", "sips"], "a SUBSCRIBE goes there"),
            grammar: "RFC 7614 section 4.8",
            rows: &[Row::new(SUCCESS, "", "------ -------o")],
        },
    ],
    packages: &[EventPackage {
        name: PACKAGE,
        template: false,
        bodies: &["message/sipfrag"],
        default_expiry: 180,
        served_by: Roles::UAS,
    }],
    uac: Acts::Does(
        "Sends a REFER in a dialog or outside of any, takes NOTIFYs before and after its 2xx, one set \
        for each who accepted it, tells its user how it goes, and hangs up when the new call is up. \
        For an attended transfer it names the dialog to be replaced.",
    ),
    uas: Acts::Does(
        "Refuses what it cannot follow, asks its user, answers 200, calls, and tells by NOTIFY that \
        it is tried, that it rings and how it ended; or gives a URI where that can be subscribed to.",
    ),
    proxy: Acts::Nothing("it passes REFER on as it does OPTIONS"),
    registrar: Acts::Nothing("it answers 405"),
    implements: Roles::UA,
    needs: &["event-notification"],
    rules: rules::RULES,
    flows: rules::FLOWS,
    wake: &[Wake::Method("REFER"), Wake::Package(PACKAGE)],
    behaviour: &Refer,
    ..Extension::EMPTY
};
