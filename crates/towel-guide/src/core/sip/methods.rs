//! RFC 3261's methods, with the questions of RFC 4485 section 4.10 answered.

use towel_core::contract::{DialogUse, MethodDeclaration, Role, Roles};

/// What most of them have in common.
const PLAIN: MethodDeclaration = MethodDeclaration {
    name: "",
    answered_by: Roles::UAS,
    bodies: "any that the receiver accepts; none has a meaning of its own",
    overlaps: "any number, in both directions",
    dialog: DialogUse::Either,
    target_refresh: false,
    offer_answer: "",
    cancellable: false,
    immediate: true,
    proxies_must_know: false,
    forking: "",
    reverse_request: "",
};

/// The six.
pub(super) const METHODS: &[MethodDeclaration] = &[
    MethodDeclaration {
        name: "INVITE",
        bodies: "a session description: offer or answer",
        overlaps: "one at a time in a dialog; the other direction's is refused with 491 (14.2)",
        dialog: DialogUse::Creates,
        target_refresh: true,
        offer_answer: "an offer in the request or in the first reliable response (13.2.1)",
        cancellable: true,
        immediate: false,
        proxies_must_know: true,
        forking: "several 2xx can come back, each a dialog (13.2.2.4)",
        ..PLAIN
    },
    MethodDeclaration {
        name: "ACK",
        bodies: "the answer, where the offer came in the 2xx",
        overlaps: "it belongs to its INVITE and has no response",
        dialog: DialogUse::Inside,
        offer_answer: "an answer",
        proxies_must_know: true,
        ..PLAIN
    },
    MethodDeclaration { name: "BYE", dialog: DialogUse::Inside, ..PLAIN },
    MethodDeclaration {
        name: "CANCEL",
        answered_by: Roles::of(&[Role::Uas, Role::Proxy]),
        bodies: "none",
        overlaps: "it belongs to the request that it cancels",
        proxies_must_know: true,
        ..PLAIN
    },
    MethodDeclaration {
        name: "OPTIONS",
        answered_by: Roles::of(&[Role::Uas, Role::Proxy, Role::Registrar]),
        bodies: "the answer may carry a session description of what is possible",
        ..PLAIN
    },
    MethodDeclaration {
        name: "REGISTER",
        answered_by: Roles::REGISTRAR,
        overlaps: "one at a time towards a registrar (10.2)",
        dialog: DialogUse::Outside,
        ..PLAIN
    },
];
