//! Symmetric response routing: rport (RFC 3581).
//!
//! A client behind an address translator does not know the port that the world sees. It leaves
//! an empty `rport` in its Via; the server fills in the port that the request came from, and
//! sends the response there, from where the request arrived.
//!
//! The rules are part of how RFC 3261 section 18.2 treats Via, so the transport of the core
//! carries them out for every message; this entry is their declaration.
//!
//! # Security
//! A response goes to where the request came from and nowhere else.
//!
//! # Interactions
//! The parameter belongs to one hop.

use towel_core::contract::{
    Acts, Category, Extension, FieldParameter, FlowKind, FlowReference, Interactions, Proof, Role,
    Roles, Rule, Section,
};

const WHO: Roles = Roles::of(&[Role::Uac, Role::Uas, Role::Proxy]);

/// The declaration.
pub static EXTENSION: Extension = Extension {
    id: "symmetric-response",
    title: "Symmetric Response Routing for the Session Initiation Protocol (SIP)",
    documents: &["RFC 3581"],
    section: Section::Core,
    category: Category::Standard,
    overview: "A telephone at home sits behind a router that gives its packets another address \
        and port. The telephone asks, with an empty parameter in the topmost Via header field \
        value, that the answer come back to the very port its request came from. The server \
        writes that port and address into the value and sends the answer there, which the \
        router lets through.",
    security: "Nobody can have a response sent to a third party: the address and port are those \
        that the request came from.",
    interactions: Interactions {
        forking: "each branch has a Via value of its own",
        cancel_and_ack: "both carry the Via of the request they are about, rport included",
        routing: "it concerns responses; Route and Record-Route are untouched",
        stateless_proxies: "the Via value that comes back holds all that is needed",
        dialog_usages: "none",
    },
    compatibility: "A server without it ignores the parameter and answers to the port in sent-by.",
    field_parameters: &[FieldParameter {
        field: "Via",
        name: "rport",
        grammar: "RFC 3581 section 5",
    }],
    uac: Acts::Does("Puts an empty rport into its Via and takes responses where it sends from."),
    uas: Acts::Does("Fills in rport and received, and answers there from where it was asked."),
    proxy: Acts::Does("As a server towards the caller, and as a client towards the callee."),
    registrar: Acts::Does("As any server."),
    implements: WHO,
    rules: &[
        Rule {
            section: "3581 3",
            roles: Roles::of(&[Role::Uac, Role::Proxy]),
            text: "the request's topmost Via may carry rport without a value",
            proof: Proof::Flow("symmetric-response-phone"),
        },
        Rule {
            section: "3581 4",
            roles: Roles::of(&[Role::Uas, Role::Proxy]),
            text: "rport gets the source port and received the source address, even if it is equal",
            proof: Proof::Flow("symmetric-response"),
        },
        Rule {
            section: "3581 4",
            roles: Roles::of(&[Role::Uas, Role::Proxy]),
            text: "over UDP the response goes to received and rport, from where the request came in",
            proof: Proof::Flow("symmetric-response"),
        },
    ],
    flows: &[
        FlowReference {
            name: "symmetric-response",
            kind: FlowKind::Common,
            roles: Roles::of(&[Role::Uas, Role::Proxy]),
        },
        FlowReference {
            name: "symmetric-response-phone",
            kind: FlowKind::Common,
            roles: Roles::of(&[Role::Uac, Role::Proxy]),
        },
        FlowReference {
            name: "symmetric-response-without",
            kind: FlowKind::Failure,
            roles: Roles::of(&[Role::Uas, Role::Proxy]),
        },
    ],
    ..Extension::EMPTY
};
