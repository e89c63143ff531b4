//! Feature tags in Refer-To: what the one to be called can (RFC 4508).
//!
//! # Security
//! They are hearsay: a hint for the user, and nothing is decided by them.
//!
//! # Interactions
//! The user agent gives those of the target's last Contact when it transfers a call to it, and reads
//! those of a REFER for the application.

#[cfg(test)]
mod tests;

use towel_core::contract::{
    Acts, Behaviour, Category, Env, Extension, FlowKind, FlowReference, Interactions, Proof, Roles,
    Rule, Section, Stage, UasRequest, Verdict, Wake,
};
use towel_message::{Method, Name, NameAddr};

/// The behaviour.
struct ReferFeatureTags;

impl Behaviour for ReferFeatureTags {
    fn stages(&self) -> &'static [Stage] {
        &[Stage::UasRequest]
    }

    /// Section 5: what they say is told as a hint.
    fn uas_request(&self, _env: &Env<'_>, at: &mut UasRequest<'_>) -> Verdict {
        if at.request.method() != Method::Refer {
            return Verdict::Pass;
        }
        let refer_to =
            at.request.value(Name::ReferTo).and_then(|value| NameAddr::parse(value).ok());
        let features = refer_to.map(|refer_to| towel_core::ua::user_agent::features(&refer_to));
        if let Some(features) = features.filter(|features| !features.is_empty()) {
            let features = features.trim_start_matches(';').replace(';', ", ");
            at.notes.push(format!("whom it refers to is said to be: {features}"));
        }
        Verdict::Pass
    }
}

const fn rule(section: &'static str, roles: Roles, text: &'static str, proof: Proof) -> Rule {
    Rule { section, roles, text, proof }
}

/// The declaration.
pub static EXTENSION: Extension = Extension {
    id: "refer-feature-tags",
    title: "Conveying feature tags with REFER in the Session Initiation Protocol (SIP)",
    documents: &["RFC 4508"],
    section: Section::Minor,
    category: Category::Standard,
    overview: "Who tells a telephone to call somebody may know what it will meet there: a conference, \
        a mailbox, a screen. It says so beside the address, so that the telephone can get ready \
        for it.",
    security: "What is said of somebody else is hearsay, and private perhaps; it is a hint, and only \
        what the one to be called said of itself in a dialog is passed on.",
    interactions: Interactions {
        forking: "none",
        cancel_and_ack: "neither carries it",
        routing: "they are parameters of the header field, and change no way",
        stateless_proxies: "they pass it on",
        dialog_usages: "none",
    },
    compatibility: "Who does not know them passes over them, as over any parameter of Refer-To.",
    uac: Acts::Does(
        "When it transfers a call to the peer of another, says what that peer's last Contact said; \
        it makes up nothing.",
    ),
    uas: Acts::Does("Tells its user what they say, as a hint."),
    proxy: Acts::Nothing("it passes Refer-To on as it came"),
    registrar: Acts::Nothing("it is not referred"),
    implements: Roles::UA,
    needs: &["refer", "capabilities"],
    rules: &[
        rule(
            "4508 5",
            Roles::UAC,
            "no feature tag is made up or guessed; those of the target's most recent Contact are \
                included",
            Proof::Flow("refer-feature-tags"),
        ),
        rule(
            "4508 5",
            Roles::UAS,
            "they are taken as a hint",
            Proof::Flow("refer-feature-tags-hint"),
        ),
        rule(
            "4508 3",
            Roles::UAS,
            "parameters that are no feature tags are none",
            Proof::Test("minor::refer_feature_tags::tests::only_feature_tags_are_told"),
        ),
    ],
    flows: &[
        FlowReference { name: "refer-feature-tags", kind: FlowKind::Common, roles: Roles::UAC },
        FlowReference {
            name: "refer-feature-tags-hint",
            kind: FlowKind::Failure,
            roles: Roles::UAS,
        },
    ],
    wake: &[Wake::Field("Refer-To")],
    behaviour: &ReferFeatureTags,
    ..Extension::EMPTY
};
