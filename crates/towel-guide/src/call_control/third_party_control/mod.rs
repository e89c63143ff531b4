//! Third party call control (RFC 3725): somebody else has two talk with each other.
//!
//! The protocol is that of any call, so the declaration says nothing of header fields; what the controller
//! does is [`towel_core::third_party`].
//!
//! # Security
//! Whoever may tell a controller whom to call may make both of them ring: the application asks who that
//! is. The ends see the controller's name in From and its Contact.
//!
//! # Interactions
//! The legs have 100rel, UPDATE and session timers of their own; Session-ID (RFC 7989) names the two ends to
//! each other.

use towel_core::contract::{
    Acts, Category, Extension, FlowKind, FlowReference, Interactions, Proof, Role, Roles, Rule,
    Section,
};

/// A controller is an application server.
const CONTROLLER: Roles = Roles::of(&[Role::Application]);

const fn common(name: &'static str) -> FlowReference {
    FlowReference { name, kind: FlowKind::Common, roles: CONTROLLER }
}

const fn failure(name: &'static str) -> FlowReference {
    FlowReference { name, kind: FlowKind::Failure, roles: CONTROLLER }
}

const fn rule(section: &'static str, text: &'static str, flow: &'static str) -> Rule {
    Rule { section, roles: CONTROLLER, text, proof: Proof::Flow(flow) }
}

/// The declaration.
pub static EXTENSION: Extension = Extension {
    id: "third-party-control",
    title: "Best Current Practices for Third Party Call Control (3pcc) in the Session Initiation \
        Protocol (SIP)",
    documents: &["RFC 3725"],
    section: Section::CallControl,
    category: Category::BestPractice,
    overview: "Somebody clicks a link, and two telephones ring, one after the other. A controller \
        calls both and gives each the description of the other's media, so that they talk with each \
        other and not with it. It stays in the call, and can connect either of them with a third.",
    security: "Who may tell the controller whom to call is for its application to ask. The ends \
        judge by the controller's identity, which is what they see.",
    interactions: Interactions {
        forking: "of several branches that answer the first is kept, on each leg",
        cancel_and_ack: "an ACK carries the answer to an offer in a 2xx, and waits for it",
        routing: "none; each leg has a route set of its own",
        stateless_proxies: "none",
        dialog_usages: "one INVITE usage on each leg",
    },
    compatibility: "An end is called as by anybody. By flow I it waits for its ACK until the other \
        has answered; by flow IV it is called without media first, which some refuse.",
    uac: Acts::Nothing("an end that is called is a user agent like any other"),
    uas: Acts::Nothing("an end that is called is a user agent like any other"),
    proxy: Acts::Nothing("it sees calls"),
    registrar: Acts::Nothing("it sees no calls"),
    implements: CONTROLLER,
    rules: &[
        rule("3725 4.1, 5", "flow I connects with an end that answers at once", "3pcc-flow-1"),
        rule(
            "3725 4.2, 5",
            "flow II, which is not recommended, is there for who asks for it, and its rounds are counted",
            "3pcc-flow-2-never",
        ),
        rule(
            "3725 4.3",
            "media lines are put in the places that an end has them in, and back in the answer",
            "3pcc-flow-3",
        ),
        rule("3725 4.3", "two that have no media in common are let go", "3pcc-flow-3-nothing"),
        rule(
            "3725 4.4, 5",
            "flow IV is what is used where nothing else is asked for",
            "3pcc-flow-4",
        ),
        rule(
            "3725 4.4",
            "the origin of a description for an end is one and the same, and its version goes up by one",
            "3pcc-flow-4",
        ),
        rule(
            "3725 6",
            "a second end that fails has the first sent a BYE with the status in Reason",
            "3pcc-busy",
        ),
        rule(
            "3725 6",
            "a change that cannot be passed on yet is refused with 491",
            "3pcc-change-too-early",
        ),
        rule("3725 7", "a BYE of one has a BYE sent to the other", "3pcc-flow-4"),
        rule("3725 7", "a re-INVITE of one goes to the other", "3pcc-change-too-early"),
        rule("3725 7", "the one who stays can be connected with a third", "3pcc-replace"),
        rule(
            "3725 8",
            "an answer to an offer in a reliable 183 goes in its PRACK",
            "3pcc-early-second",
        ),
        rule(
            "3725 8",
            "an end that has not answered yet hears of the other by UPDATE",
            "3pcc-early-first",
        ),
        rule("3725 10.2", "one waits in silence while the other hears a machine", "3pcc-announce"),
        rule(
            "7989 7",
            "the first is called with a temporary UUID, the second with that of the first",
            "3pcc-flow-4",
        ),
        Rule {
            section: "3725 9.1",
            roles: CONTROLLER,
            text: "a controller may itself demand preconditions",
            proof: Proof::Excepted("that of either end pass through; it demands none of its own"),
        },
    ],
    flows: &[
        common("3pcc-flow-1"),
        failure("3pcc-flow-1-busy"),
        common("3pcc-flow-2"),
        failure("3pcc-flow-2-never"),
        common("3pcc-flow-3"),
        failure("3pcc-flow-3-nothing"),
        common("3pcc-flow-4"),
        failure("3pcc-busy"),
        failure("3pcc-first-refuses"),
        failure("3pcc-change-too-early"),
        failure("3pcc-glare"),
        common("3pcc-early-second"),
        common("3pcc-early-first"),
        common("3pcc-replace"),
        common("3pcc-announce"),
    ],
    ..Extension::EMPTY
};
