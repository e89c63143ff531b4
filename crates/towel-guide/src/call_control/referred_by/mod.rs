//! Referred-By: who asked for a request (RFC 3892), with the token that proves it (RFC 3893).
//!
//! # Security
//! Without a token it is hearsay: a note to the user that says so. A token is looked at as far as it can be
//! read: what it must have, whether it is about this request, whether it is fresh. Its signature (S/MIME)
//! is not checked, so `require = "token"` keeps out the careless and not the malicious.
//!
//! # Interactions
//! The user agent adds it to the REFER of a transfer, and copies it with its token into the request that a
//! REFER asks for.

#[cfg(test)]
mod tests;
mod token;

use std::sync::Arc;

use towel_core::contract::{
    Acts, Behaviour, BodyType, Category, Configured, DialogEffect, Env, Extension,
    FieldDeclaration, FieldParameter, FlowKind, FlowReference, Interactions, Proof, ResponseCode,
    Roles, Row, Rule, Section, Setting, SettingFault, Shape, Stage, UasRequest, UriSchemes,
    Verdict, Wake, Where,
};
use towel_message::{Method, Name, NameAddr};

use token::Token;

/// What our own user agent wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Whether a REFER, and what one asked for, has to have a token.
    pub token: bool,
    /// How old a token may be, in seconds.
    pub age: u64,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { token: false, age: 600 }
    }
}

fn configure(entries: &[(&str, &str)]) -> Result<Configured, SettingFault> {
    let mut settings = Settings::default();
    for (key, value) in entries {
        match (*key, *value) {
            ("require", "nothing") => settings.token = false,
            ("require", "token") => settings.token = true,
            ("require", _) => return Err(SettingFault::new(*key, "nothing or token")),
            (_, text) => {
                settings.age = text.parse().map_err(|_| SettingFault::new(*key, "seconds"))?;
            }
        }
    }
    Ok(Arc::new(settings))
}

fn refuse() -> Verdict {
    Verdict::refuse(429, "Provide Referrer Identity")
}

/// The behaviour.
struct ReferredBy;

impl Behaviour for ReferredBy {
    fn stages(&self) -> &'static [Stage] {
        &[Stage::UasRequest]
    }

    fn uas_request(&self, env: &Env<'_>, at: &mut UasRequest<'_>) -> Verdict {
        let request = at.request;
        let refer = request.method() == Method::Refer;
        if matches!(request.method(), Method::Ack | Method::Cancel) {
            return Verdict::Pass;
        }
        let settings = env.settings::<Settings>().copied().unwrap_or_default();
        let Some(value) = request.value(Name::ReferredBy) else {
            // Section 2.2; a request that names nobody is no more than any other (2.3).
            return if refer && settings.token { refuse() } else { Verdict::Pass };
        };
        if request.is_repeated(Name::ReferredBy) {
            return Verdict::refuse(400, "Repeated Referred-By Header Field");
        }
        let Some(by) = NameAddr::parse(value).ok().filter(|by| by.parse_uri().is_ok()) else {
            return Verdict::refuse(400, "Malformed Referred-By Header Field");
        };
        match Token::of(&request, &by) {
            // Section 2.1: what it points to is there.
            Token::Lost => return refuse(),
            Token::None if settings.token => return refuse(),
            // Section 2.2: that it cannot be read is no reason to refuse it.
            Token::None | Token::Closed => {}
            Token::Open(part) => {
                // Section 2.3: one that cannot be true is worth nothing. A referee passes it on.
                if !refer && !token::is_about(&part, &request, &by, env.now.unix, settings.age) {
                    return refuse();
                }
            }
        }
        if !refer {
            let who = String::from_utf8_lossy(by.uri);
            // Section 2.3: the user is told that it is suspect.
            at.notes.push(format!("referred by {who}, as the caller says: nothing proves it"));
        }
        Verdict::Pass
    }
}

const fn rule(section: &'static str, roles: Roles, text: &'static str, proof: Proof) -> Rule {
    Rule { section, roles, text, proof }
}

/// A test of this entry.
macro_rules! tested {
    ($name:literal) => {
        Proof::Test(concat!("call_control::referred_by::tests::", $name))
    };
}

const fn body(media_type: &'static str) -> BodyType {
    BodyType { media_type, disposition: "aib", optional: true, reason: "", accepted_by: Roles::UAS }
}

/// The declaration.
pub static EXTENSION: Extension = Extension {
    id: "referred-by",
    title: "Saying who referred somebody in the Session Initiation Protocol (SIP)",
    documents: &["RFC 3892", "RFC 3893"],
    section: Section::CallControl,
    category: Category::Standard,
    overview: "A telephone that is called by somebody whom another one told to call gets to know who \
        that was. A signed token can go with it, from the one who refers through the one who is \
        referred to the one who is called, so that nobody on the way can make it up.",
    security: "The name alone proves nothing, and the user is told so. The token is carried unchanged \
        and held against the request; its signature is not checked here.",
    interactions: Interactions {
        forking: "none",
        cancel_and_ack: "it means nothing in them",
        routing: "none",
        stateless_proxies: "they pass it on, and must not change it",
        dialog_usages: "none",
    },
    compatibility: "Who does not know it passes over it; who wants it answers 429.",
    fields: &[FieldDeclaration {
        name: "Referred-By",
        compact: Some('b'),
        // Of REFERs and of the requests that they ask for.
        share: 50,
        shape: Shape::Single,
        extensible: true,
        uris: UriSchemes::Any,
        grammar: "RFC 3892 section 3",
        rows: &[Row::new(Where::Request, "", "-o-ooo oooooooo")],
    }],
    field_parameters: &[FieldParameter {
        field: "Referred-By",
        name: "cid",
        grammar: "RFC 3892 section 3",
    }],
    response_codes: &[ResponseCode {
        code: 429,
        phrase: "Provide Referrer Identity",
        effect: DialogEffect::Transaction,
    }],
    bodies: &[
        body("multipart/signed"),
        body("application/pkcs7-signature"),
        body("application/pkcs7-mime"),
    ],
    dispositions: &["aib", "attachment"],
    uac: Acts::Does(
        "Names itself in the REFER of a transfer; copies the Referred-By of a REFER, and the part of \
        its body that is the token, into the request that it asks for.",
    ),
    uas: Acts::Does(
        "Tells its user who is said to have referred the caller; refuses with 429 what has no token \
        where one is wanted, one that is lost, and one that is about something else or old.",
    ),
    proxy: Acts::Nothing("it passes Referred-By on as it came"),
    registrar: Acts::Nothing("it is not referred"),
    implements: Roles::UAC,
    partly: Roles::UAS,
    needs: &["refer"],
    rules: &[
        rule(
            "3892 2.1",
            Roles::UAC,
            "a REFER has at most one Referred-By",
            Proof::Flow("transfer-named"),
        ),
        rule(
            "3892 2.1",
            Roles::UAC,
            "a token is the part of the body that cid names",
            tested!("a_token_that_is_not_there_is_asked_for"),
        ),
        rule(
            "3892 2.2",
            Roles::UAC,
            "Referred-By and its token are copied unchanged into the request that is asked for",
            Proof::Flow("referred-by-token"),
        ),
        rule(
            "3892 2.2",
            Roles::UAS,
            "a REFER without a token may be refused with 429",
            Proof::Flow("referred-by-wanted"),
        ),
        rule(
            "3892 2.3",
            Roles::UAS,
            "who tells the user of a Referred-By without a token says that it is suspect",
            Proof::Flow("transfer-named"),
        ),
        rule(
            "3892 2.3",
            Roles::UAS,
            "a request with an invalid token gets 429",
            tested!("a_token_about_something_else_is_worth_nothing"),
        ),
        rule(
            "3892 4",
            Roles::UAS,
            "a token has Refer-To, Referred-By and Date",
            tested!("a_token_about_something_else_is_worth_nothing"),
        ),
        rule(
            "3892 4.1, 3893 4",
            Roles::UAS,
            "a token whose signature is invalid is invalid",
            Proof::ToDo,
        ),
        rule("3892 4.1", Roles::UAS, "the signer is the one whom Referred-By names", Proof::ToDo),
        rule(
            "3892 2.1, 3893",
            Roles::UAC,
            "a token of its own is signed",
            Proof::Excepted("it signs none; the application may give it one"),
        ),
    ],
    flows: &[
        FlowReference { name: "transfer-named", kind: FlowKind::Common, roles: Roles::UA },
        FlowReference { name: "referred-by-token", kind: FlowKind::Common, roles: Roles::UAC },
        FlowReference { name: "referred-by-wanted", kind: FlowKind::Failure, roles: Roles::UAS },
    ],
    wake: &[Wake::Field("Referred-By"), Wake::Method("REFER")],
    settings: &[
        Setting {
            key: "require",
            about: "what a REFER, and a request that names a referrer, must have: nothing, or a token",
            default: "nothing",
        },
        Setting { key: "age", about: "how old a token may be, in seconds", default: "600" },
    ],
    configure: Some(configure),
    behaviour: &ReferredBy,
    ..Extension::EMPTY
};
