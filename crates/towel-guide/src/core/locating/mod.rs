//! Locating SIP servers (RFC 3263).
//!
//! From a SIP URI to addresses: the transport from NAPTR records, the servers from SRV records
//! with their priorities and weights, the addresses from A and AAAA records; and the next server
//! when one does not answer or answers 503.
//!
//! The core does this for every request that leaves (`towel_core::locating`); this entry is its
//! declaration.
//!
//! # Security
//! What DNS says is not to be believed where TLS is asked for: the certificate is checked
//! against the domain that was looked up first.
//!
//! # Interactions
//! Each branch of a fork is located by itself; CANCEL and the ACK to a failure go where the
//! INVITE went.

use towel_core::contract::{
    Acts, Category, Extension, FlowKind, FlowReference, Interactions, Proof, Role, Roles, Rule,
    Section,
};

const WHO: Roles = Roles::of(&[Role::Uac, Role::Proxy]);

/// The declaration.
pub static EXTENSION: Extension = Extension {
    id: "locating",
    title: "Locating Servers with the Session Initiation Protocol (SIP)",
    documents: &["RFC 3263", "RFC 2782", "RFC 3403", "RFC 6157", "RFC 7984"],
    section: Section::Core,
    category: Category::Standard,
    overview: "A call is for a user at a domain, and a domain may have many servers. The domain \
        name system tells which transports the domain speaks, which servers speak them, in \
        which order they are to be asked, and at which addresses. The sender asks the first; \
        if that one is silent or too busy, it asks the next.",
    security: "TLS checks the certificate against the domain of the URI, not against names that \
        came from DNS.",
    interactions: Interactions {
        forking: "each branch is located by itself",
        cancel_and_ack: "a CANCEL and the ACK to a failure go to the address of their INVITE",
        routing: "the topmost Route, if there is one, is what is located",
        stateless_proxies: "a stateless proxy chooses so that retransmissions choose alike",
        dialog_usages: "none",
    },
    compatibility: "A domain without NAPTR or SRV records is found by its addresses.",
    uac: Acts::Does("Locates the next hop of every request and moves on when a server fails."),
    uas: Acts::Nothing("responses go where Via says; section 5 serves them when that fails"),
    proxy: Acts::Does("As a client, for each branch."),
    registrar: Acts::Nothing("it sends no requests"),
    implements: WHO,
    rules: &[
        Rule {
            section: "3263 4.1",
            roles: WHO,
            text: "an address, a port or a transport in the URI settles what DNS is not asked for",
            proof: Proof::Test("towel_core::locating"),
        },
        Rule {
            section: "3263 4.1",
            roles: WHO,
            text: "NAPTR tells the transport; sips takes only those with TLS",
            proof: Proof::Test("towel_core::locating"),
        },
        Rule {
            section: "3263 4.2",
            roles: WHO,
            text: "SRV servers are tried by priority, and by weight within one",
            proof: Proof::Flow("locating"),
        },
        Rule {
            section: "3263 4.3",
            roles: WHO,
            text: "a 503, a time-out or a transport error moves on to the next server",
            proof: Proof::Flow("locating-failover"),
        },
    ],
    flows: &[
        FlowReference { name: "locating", kind: FlowKind::Common, roles: Roles::PROXY },
        FlowReference { name: "locating-failover", kind: FlowKind::Failure, roles: Roles::PROXY },
        FlowReference { name: "locating-dead-host", kind: FlowKind::Failure, roles: Roles::PROXY },
        FlowReference { name: "locating-nothing", kind: FlowKind::Failure, roles: Roles::PROXY },
        FlowReference { name: "locating-phone", kind: FlowKind::Failure, roles: Roles::UAC },
    ],
    ..Extension::EMPTY
};
