//! UPDATE: a change of the session that asks nobody (RFC 3311).
//!
//! Offer and answer may go round once more before a call is answered, or while it lasts, without the
//! three steps of an INVITE. What may be offered when is the user agent's own care, as for every
//! request that carries an offer; here stands what is UPDATE's own.
//!
//! # Security
//! An UPDATE changes where media go, as a re-INVITE does, and is held to the same dialog.
//!
//! # Interactions
//! In an early dialog it needs an answer in a reliable provisional response first.

#[cfg(test)]
mod tests;

use std::time::Duration;

use towel_core::contract::{
    Acts, Behaviour, Category, DialogUse, Env, Extension, FlowKind, FlowReference, Interactions,
    MethodDeclaration, Proof, Reply, Roles, Rule, Section, Stage, UasRequest, UasResponse, Verdict,
    Wake,
};
use towel_core::io::Instant;
use towel_message::Method;

const ID: &str = "update";

/// How long one may be under way: 64*T1, after which its sender has given it up (RFC 3261 section
/// 17.1.2.2).
const LONGEST: Duration = Duration::from_secs(32);

/// An UPDATE of the peer's has no final response; kept with the dialog.
struct UnderWay {
    since: Instant,
}

/// This is that UPDATE; kept with its transaction.
struct Mine;

/// The behaviour.
struct Update;

impl Behaviour for Update {
    fn stages(&self) -> &'static [Stage] {
        &[Stage::UasRequest, Stage::UasResponse]
    }

    /// Section 5.2: one at a time.
    fn uas_request(&self, env: &Env<'_>, at: &mut UasRequest<'_>) -> Verdict {
        if at.request.method() != Method::Update {
            return Verdict::Pass;
        }
        let Some(dialog) = &mut at.dialog else {
            return Verdict::refuse(481, "Call/Transaction Does Not Exist");
        };
        let open = dialog.slots.get::<UnderWay>(ID).map(|other| other.since);
        if open.is_some_and(|since| env.now.at < since + LONGEST) {
            // Between 0 and 10 seconds; the microsecond at which it came is as good as chance.
            let seconds = env.now.at.0 % 11;
            let reply = Reply::new(500, "Another UPDATE Is Being Answered");
            return Verdict::reply(reply.with("Retry-After", seconds.to_string()));
        }
        dialog.slots.set(ID, UnderWay { since: env.now.at });
        at.slots.set(ID, Mine);
        Verdict::Pass
    }

    fn uas_response(&self, _env: &Env<'_>, at: &mut UasResponse<'_>) -> Verdict {
        if at.status >= 200
            && at.slots.get::<Mine>(ID).is_some()
            && let Some(dialog) = &mut at.dialog
        {
            dialog.slots.clear(ID);
        }
        Verdict::Pass
    }
}

const fn rule(section: &'static str, roles: Roles, text: &'static str, proof: Proof) -> Rule {
    Rule { section, roles, text, proof }
}

/// The declaration.
pub static EXTENSION: Extension = Extension {
    id: ID,
    title: "The Session Initiation Protocol (SIP) UPDATE Method",
    documents: &["RFC 3311"],
    section: Section::Infrastructure,
    category: Category::Standard,
    overview: "A call that is still ringing may have to change what it sends and where, for \
        instance when the other end is put on hold or other media are found. UPDATE offers the \
        change and gets the answer at once, without anybody being asked.",
    security: "It changes where media go: whoever can write into the dialog can do that, as with \
        a re-INVITE.",
    interactions: Interactions {
        forking: "it is sent in one early dialog, of which each branch has its own",
        cancel_and_ack: "it cannot be cancelled and is not acknowledged",
        routing: "as any request in the dialog; it may tell a new remote target",
        stateless_proxies: "they pass it on",
        dialog_usages: "it belongs to the INVITE usage; 481, or no response, ends that",
    },
    compatibility: "Who does not say UPDATE in Allow gets a re-INVITE once the call is answered.",
    methods: &[MethodDeclaration {
        name: "UPDATE",
        answered_by: Roles::UAS,
        bodies: "an offer, if any",
        overlaps: "with an INVITE whose offer is answered; not with another UPDATE of the same end",
        dialog: DialogUse::Inside,
        target_refresh: true,
        offer_answer: "RFC 3311 section 5: the offer in it, the answer in its 2xx",
        cancellable: false,
        immediate: true,
        proxies_must_know: false,
        forking: "",
        reverse_request: "",
    }],
    uac: Acts::Does(
        "Says in INVITE that it takes it; sends it in early and confirmed dialogs, with an offer \
        only where none is under way; leaves the session as it was when it is refused.",
    ),
    uas: Acts::Does(
        "Says in reliable provisional responses and in the 2xx that it takes it; answers an offer \
        in the 2xx, and refuses one that crosses ours with 491 and one too many with 500.",
    ),
    proxy: Acts::Nothing("it is a request like others"),
    registrar: Acts::Nothing("it has no sessions"),
    implements: Roles::UA,
    rules: &[
        rule(
            "3311 4",
            Roles::UAC,
            "INVITE says in Allow that UPDATE is taken",
            Proof::Flow("update-from-callee"),
        ),
        rule(
            "3311 4",
            Roles::UAS,
            "a reliable provisional response and the 2xx say so too",
            Proof::Flow("update-from-caller"),
        ),
        rule(
            "3311 5.1",
            Roles::UA,
            "before the call is answered it offers only once an answer came reliably, and nothing \
            is unanswered",
            Proof::Flow("update-early"),
        ),
        rule(
            "3311 5.2",
            Roles::UAS,
            "a second one before the first is answered gets 500 with Retry-After",
            Proof::Test("infrastructure::update::tests::one_at_a_time"),
        ),
        rule(
            "3311 5.2",
            Roles::UAS,
            "an offer that comes while the peer's own is not answered gets 500 with Retry-After",
            Proof::Flow("update-too-early"),
        ),
        rule(
            "3311 5.2",
            Roles::UAS,
            "an offer that comes while ours is not answered gets 491",
            Proof::Flow("update-crossing"),
        ),
        rule("3311 5.2", Roles::UAS, "the answer is in the 2xx", Proof::Flow("update-from-caller")),
        rule(
            "3311 5.3",
            Roles::UAC,
            "a refusal leaves the session as it was",
            Proof::Flow("update-refused"),
        ),
        rule(
            "3311 5.3",
            Roles::UAC,
            "after a 491 it is tried once more when a random time has passed",
            Proof::Excepted(
                "the application is told of the 491, and knows whether it still wants the change",
            ),
        ),
    ],
    flows: &[
        FlowReference { name: "update-early", kind: FlowKind::Common, roles: Roles::UA },
        FlowReference { name: "update-from-caller", kind: FlowKind::Common, roles: Roles::UAS },
        FlowReference { name: "update-from-callee", kind: FlowKind::Common, roles: Roles::UAC },
        FlowReference { name: "update-refused", kind: FlowKind::Failure, roles: Roles::UA },
        FlowReference { name: "update-too-early", kind: FlowKind::Failure, roles: Roles::UAS },
        FlowReference { name: "update-crossing", kind: FlowKind::Failure, roles: Roles::UA },
    ],
    wake: &[Wake::Method("UPDATE")],
    behaviour: &Update,
    ..Extension::EMPTY
};
