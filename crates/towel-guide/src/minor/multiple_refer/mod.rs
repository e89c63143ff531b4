//! A REFER to many at once: a list of URIs in its body (RFC 5368).
//!
//! # Security
//! Who follows such a list multiplies requests, and has to know that those on it agree (RFC 5363). Our
//! user agent does not: it refuses the demand with 420.
//!
//! # Interactions
//! There is no word of how each of many requests went, so no subscription is asked for (RFC 4488).

#[cfg(test)]
mod tests;

use towel_core::contract::{
    Acts, BodyType, Category, Extension, FlowKind, FlowReference, Interactions, OptionTag, Proof,
    Roles, Rule, Section,
};

const fn rule(section: &'static str, roles: Roles, text: &'static str, proof: Proof) -> Rule {
    Rule { section, roles, text, proof }
}

/// The declaration.
pub static EXTENSION: Extension = Extension {
    id: "multiple-refer",
    title: "Referring to multiple resources in the Session Initiation Protocol (SIP)",
    documents: &["RFC 5368"],
    section: Section::Minor,
    category: Category::Standard,
    overview: "Who wants a conference to call ten people, or to let go of them, sends one REFER with a \
        list of ten addresses instead of ten of them.",
    security: "One request makes many: who follows a list has to know its sender, and that those on it \
        want to be called.",
    interactions: Interactions {
        forking: "it goes to one element, that of the application that follows lists",
        cancel_and_ack: "neither carries it",
        routing: "none",
        stateless_proxies: "they pass it on",
        dialog_usages: "it is asked to make no subscription",
    },
    compatibility: "The tag is required, for who does not know lists would take Refer-To for the \
        address of one.",
    option_tags: &[OptionTag {
        name: "multiple-refer",
        supported_by: Roles::NONE,
        required: true,
        proxy_required: false,
        fallback: "a REFER for each on the list",
    }],
    bodies: &[BodyType {
        media_type: "application/resource-lists+xml",
        disposition: "recipient-list",
        optional: false,
        reason: "the list is what the request is about",
        accepted_by: Roles::NONE,
    }],
    dispositions: &["recipient-list", "recipient-list-history"],
    uac: Acts::Does(
        "Puts the list into the body, each URI once, points to it from Refer-To by its Content-ID, \
        requires multiple-refer and norefersub, and asks for no subscription.",
    ),
    uas: Acts::Nothing("it follows no lists so far, and refuses the requirement with 420"),
    proxy: Acts::Nothing("it passes the list on"),
    registrar: Acts::Nothing("it is not referred"),
    implements: Roles::UAC,
    needs: &["refer", "norefersub"],
    rules: &[
        rule(
            "5368 4, 7",
            Roles::UAC,
            "Require has the option tag, and Refer-To points to the list by its Content-ID",
            Proof::Flow("multiple-refer"),
        ),
        rule(
            "5368 5",
            Roles::UAC,
            "no subscription is asked for: norefersub is required, and Refer-Sub is false",
            Proof::Flow("multiple-refer"),
        ),
        rule(
            "5368 7",
            Roles::UAC,
            "the list is flat, of the default format, and has each URI once",
            Proof::Test("minor::multiple_refer::tests::the_list_is_flat_and_has_each_once"),
        ),
        rule("5368 8", Roles::UAS, "each URI of the list is contacted once", Proof::ToDo),
        rule(
            "5368 8, 10",
            Roles::UAS,
            "lists are followed only in an application that knows them, and for who is authorized",
            Proof::Flow("multiple-refer-refused"),
        ),
    ],
    flows: &[
        FlowReference { name: "multiple-refer", kind: FlowKind::Common, roles: Roles::UAC },
        FlowReference { name: "multiple-refer-refused", kind: FlowKind::Failure, roles: Roles::UA },
    ],
    ..Extension::EMPTY
};
