//! SIP itself (RFC 3261): the base that all other declarations build on.
//!
//! The protocol's work is done by the core; this entry declares what it consists of, so that
//! `Allow` and `Accept` can be computed and every message be held against Tables 2 and 3.
//!
//! # Security
//! Section 26: digest between a user and a domain, TLS between domains.
//!
//! # Interactions
//! It is what the others interact with.

mod codes;
mod fields;
mod methods;
mod proofs;

use towel_core::contract::{
    Acts, BodyType, Category, Extension, FieldParameter, Interactions, Role, Roles, Section,
    UriParameter,
};

const PARAMETERS: &str = "RFC 3261 section 25.1";

const fn of(field: &'static str, name: &'static str) -> FieldParameter {
    FieldParameter { field, name, grammar: PARAMETERS }
}

/// What neighbours tell each other of overload; it is no entry of the Guide, which is older.
const fn overload(name: &'static str) -> FieldParameter {
    FieldParameter { field: "Via", name, grammar: "RFC 7339 section 9" }
}

const fn uri(name: &'static str) -> UriParameter {
    UriParameter { name, grammar: "RFC 3261 section 19.1.1" }
}

/// The declaration.
pub static EXTENSION: Extension = Extension {
    id: "sip",
    title: "The Session Initiation Protocol (SIP)",
    documents: &[
        "RFC 3261", "RFC 5393", "RFC 5621", "RFC 5954", "RFC 6026", "RFC 7616", "RFC 8760",
    ],
    section: Section::Core,
    category: Category::Standard,
    overview: "A telephone tells a registrar where it is. Whoever wants to call its owner sends \
        a request to the owner's domain; a proxy there looks up the telephone and passes the \
        request on, to several telephones if there are several. They ring, one is answered, and \
        the two ends agree on a session. When one of them hangs up it tells the other.",
    security: "Users prove who they are with digest; TLS protects each hop and tells one domain \
        from another.",
    interactions: Interactions {
        forking: "section 16: one request, many branches, one best response",
        cancel_and_ack: "sections 9 and 13: both belong to another request",
        routing: "section 16.12: Route leads a request, Record-Route asks to stay on the way",
        stateless_proxies: "section 16.11: a proxy may keep nothing and then does not fork",
        dialog_usages: "section 12, with RFC 5057 for dialogs that several usages share",
    },
    compatibility: "Peers of RFC 2543 are understood: branches without the cookie, tags that are \
        missing, strict routes.",
    methods: methods::METHODS,
    fields: fields::FIELDS,
    field_parameters: &[
        of("Contact", "expires"),
        of("Contact", "q"),
        of("Content-Disposition", "handling"),
        of("From", "tag"),
        of("To", "tag"),
        of("Retry-After", "duration"),
        of("Via", "branch"),
        of("Via", "maddr"),
        of("Via", "received"),
        of("Via", "ttl"),
        overload("oc"),
        overload("oc-algo"),
        overload("oc-seq"),
        overload("oc-validity"),
    ],
    uri_parameters: &[
        uri("lr"),
        uri("maddr"),
        uri("method"),
        uri("transport"),
        uri("ttl"),
        uri("user"),
    ],
    response_codes: codes::RESPONSE_CODES,
    warn_codes: codes::WARN_CODES,
    bodies: &[
        BodyType {
            media_type: "application/sdp",
            disposition: "session",
            optional: false,
            reason: "a session without its description is none",
            // A proxy that answers OPTIONS itself is no party to a session and takes one for what
            // section 20.1 says is the default.
            accepted_by: Roles::of(&[Role::Uas, Role::Proxy]),
        },
        BodyType {
            media_type: "text/plain",
            disposition: "render",
            optional: true,
            reason: "who asks what a server can do may add a word that nobody reads",
            accepted_by: Roles::of(&[Role::Proxy, Role::Registrar]),
        },
    ],
    dispositions: &["render", "session", "icon", "alert"],
    uac: Acts::Does(
        "Sections 8.1, 9.1, 10.2, 11, 12, 13.2, 14.1 and 15.1: sends and cancels, keeps a dialog for \
         each branch that rings, acknowledges, changes and ends sessions. A redirection is told to \
         its user and not followed.",
    ),
    uas: Acts::Does(
        "Sections 8.2, 9.2, 11.2, 12, 13.3, 14.2 and 15.1: rings, answers until it is acknowledged, \
         keeps the order of requests, refuses changes that cross.",
    ),
    proxy: Acts::Does(
        "Section 16: validates, reads the route, finds targets, forwards to them, chooses the \
         best response, cancels what is left over.",
    ),
    registrar: Acts::Does("Section 10.3: keeps bindings between addresses-of-record and contacts."),
    implements: Roles::ALL,
    rules: proofs::RULES,
    flows: proofs::FLOWS,
    ..Extension::EMPTY
};
