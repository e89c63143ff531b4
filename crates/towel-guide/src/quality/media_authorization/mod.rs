//! P-Media-Authorization: what a telephone shows the network to get the quality that its call was
//! promised (RFC 3313).
//!
//! A proxy gives each end a token, which the end puts into its reservation of resources; the network
//! then knows that the reservation belongs to a call that was admitted. What a token says is between
//! the proxy and the network: here it is set up, as the bytes of a Policy-Element.
//!
//! # Security
//! Who has a token can use up what is paid for by somebody else. It is sent over protected or trusted
//! ways alone, and taken out of what leaves by others.
//!
//! # Interactions
//! Tokens go with offers and answers, which reliable provisional responses carry (RFC 3262).

#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::Arc;

use towel_core::contract::{
    Acts, Behaviour, Category, Configured, Env, Extension, FieldDeclaration, FlowKind,
    FlowReference, Interactions, Proof, ProxyForward, ProxyResponse, Role, Roles, Row, Rule,
    Section, Setting, SettingFault, Shape, Stage, UacResponse, UasRequest, UriSchemes, Verdict,
    Wake, Where,
};
use towel_message::{Draft, Message, Name, Uri};

const ID: &str = "media-authorization";

/// What a proxy does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// The tokens for our users, in hexadecimal digits; none without.
    pub tokens: Vec<String>,
    /// Elements to which a token may go without protection of its own.
    pub trusted: Vec<IpAddr>,
}

fn configure(entries: &[(&str, &str)]) -> Result<Configured, SettingFault> {
    let mut settings = Settings::default();
    for (key, value) in entries {
        for item in value.split(',').map(str::trim).filter(|item| !item.is_empty()) {
            match *key {
                "trusted" => {
                    let fault = |_| SettingFault::new(*key, format!("{item} is no address"));
                    settings.trusted.push(item.parse().map_err(fault)?);
                }
                _ if decode(item.as_bytes()).is_none() => {
                    let about = format!("{item} is not made of pairs of hexadecimal digits");
                    return Err(SettingFault::new(*key, about));
                }
                _ => settings.tokens.push(item.to_owned()),
            }
        }
    }
    Ok(Arc::new(settings))
}

/// The bytes of a token: a Policy-Element (RFC 2750) without its length (section 5.2.1).
pub fn decode(token: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    if token.is_empty() || !token.len().is_multiple_of(2) {
        return None;
    }
    let pair = |pair: &[u8]| Some(digit(*pair.first()?)? << 4 | digit(*pair.get(1)?)?);
    token.chunks(2).map(pair).collect()
}

/// The tokens of a message, as bytes; what is none is left out.
pub fn tokens(message: &Message<'_>) -> Vec<Vec<u8>> {
    let values = message.values(Name::PMediaAuthorization);
    values.filter_map(|value| decode(value.bytes.trim_ascii())).collect()
}

/// The tokens of a dialog that count: those of the last message that had any (section 5.2.1).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tokens(pub Vec<Vec<u8>>);

/// Whether a message may change what the network is asked for: it has a session description.
fn describes(message: &Message<'_>) -> bool {
    let kind = message.content_type().and_then(Result::ok);
    !message.body().is_empty() && kind.is_some_and(|kind| kind.is("application/sdp"))
}

/// Whether a URI leads there over TLS.
fn is_protected(settings: &Settings, uri: &[u8]) -> bool {
    let Ok(Uri::Sip(sip)) = Uri::parse(uri) else { return false };
    let tls = sip.transport().is_some_and(|token| {
        token.eq_ignore_ascii_case(b"tls") || token.eq_ignore_ascii_case(b"wss")
    });
    let ip = sip.host.ip().map(|ip| ip.to_canonical());
    sip.secure || tls || ip.is_some_and(|ip| settings.trusted.contains(&ip))
}

/// What is kept with a transaction: whether its responses go to a user of ours.
struct Ours;

fn add(settings: &Settings, draft: &mut Draft<'_>) {
    if !settings.tokens.is_empty() {
        draft.append(Name::PMediaAuthorization, settings.tokens.join(", ").as_bytes());
    }
}

/// The behaviour.
struct MediaAuthorization;

impl Behaviour for MediaAuthorization {
    fn stages(&self) -> &'static [Stage] {
        &[Stage::ProxyForward, Stage::ProxyResponse, Stage::UacResponse, Stage::UasRequest]
    }

    /// Sections 5.2.4 and 8.
    fn proxy_forward(&self, env: &Env<'_>, at: &mut ProxyForward<'_, '_>) -> Verdict {
        let usual = Settings::default();
        let settings = env.settings::<Settings>().unwrap_or(&usual);
        if settings.tokens.is_empty() && !at.request.has(Name::PMediaAuthorization) {
            return Verdict::Pass;
        }
        let protected = is_protected(settings, at.next_hop);
        if at.request.has(Name::PMediaAuthorization) && !protected {
            at.draft.remove_all(Name::PMediaAuthorization);
        }
        if settings.tokens.is_empty() || at.request.method().as_bytes() == b"CANCEL" {
            return Verdict::Pass;
        }
        if at.user.is_some()
            && let Some(slots) = at.slots.as_deref_mut()
        {
            slots.set(ID, Ours);
        }
        if at.registered && protected && describes(&at.request) {
            add(settings, at.draft);
        }
        Verdict::Pass
    }

    /// Sections 5.2.3 and 8.
    fn proxy_response(&self, env: &Env<'_>, at: &mut ProxyResponse<'_, '_>) -> Verdict {
        let usual = Settings::default();
        let settings = env.settings::<Settings>().unwrap_or(&usual);
        if settings.tokens.is_empty() && !at.response.has(Name::PMediaAuthorization) {
            return Verdict::Pass;
        }
        let protected = at.upstream.is_some_and(|flow| {
            flow.transport.secure() || settings.trusted.contains(&flow.remote.ip().to_canonical())
        });
        if at.response.has(Name::PMediaAuthorization) && !protected {
            at.draft.remove_all(Name::PMediaAuthorization);
        }
        let ours = at.slots.as_deref().is_some_and(|slots| slots.get::<Ours>(ID).is_some());
        let answers = matches!(at.method, b"INVITE" | b"UPDATE" | b"PRACK");
        let good = (101..300).contains(&at.response.status());
        if ours && protected && answers && good && describes(&at.response) {
            add(settings, at.draft);
        }
        Verdict::Pass
    }

    /// Section 5.2.1: the tokens of the last response that had any.
    fn uac_response(&self, _env: &Env<'_>, at: &mut UacResponse<'_>) -> Verdict {
        if let Some(dialog) = &mut at.dialog
            && at.response.has(Name::PMediaAuthorization)
        {
            dialog.slots.set(ID, Tokens(tokens(&at.response)));
            at.notes.push("resources are authorized for this call".to_owned());
        }
        Verdict::Pass
    }

    /// Section 5.2.2: the same of requests.
    fn uas_request(&self, _env: &Env<'_>, at: &mut UasRequest<'_>) -> Verdict {
        if !at.request.has(Name::PMediaAuthorization) {
            return Verdict::Pass;
        }
        if let Some(dialog) = &mut at.dialog {
            dialog.slots.set(ID, Tokens(tokens(&at.request)));
        }
        at.notes.push("resources are authorized for this call".to_owned());
        Verdict::Pass
    }
}

const fn rule(section: &'static str, roles: Roles, text: &'static str, proof: Proof) -> Rule {
    Rule { section, roles, text, proof }
}

/// The declaration.
pub static EXTENSION: Extension = Extension {
    id: ID,
    title: "Media Authorization by Private Extensions to the Session Initiation Protocol (SIP)",
    documents: &["RFC 3313"],
    section: Section::QualityOfService,
    category: Category::Informational,
    overview: "Where the network gives good quality only to calls that were admitted, a telephone has \
        to show that its call was. Its proxy, which admitted the call, hands it a token for that.",
    security: "A token is worth money: it goes over TLS or to elements that are trusted by address, and \
        is taken out of everything else.",
    interactions: Interactions {
        forking: "each dialog gets the token with its own responses",
        cancel_and_ack: "ACK may carry an answer, and with it a token; CANCEL has none",
        routing: "none",
        stateless_proxies: "they give tokens with requests alone",
        dialog_usages: "it belongs to the session",
    },
    compatibility: "A telephone that does not know it gets what everybody gets.",
    fields: &[FieldDeclaration {
        name: "P-Media-Authorization",
        compact: None,
        share: 1,
        shape: Shape::List,
        extensible: false,
        uris: UriSchemes::None,
        grammar: "RFC 3313 section 5.1",
        rows: &[
            Row::new(Where::Request, "ad", "o--o-- -oo-----"),
            Row::new(Where::Codes(&[(200, 299)]), "ad", "---o-- -oo-----"),
            Row::new(Where::Codes(&[(101, 199)]), "ad", "---o-- --------"),
        ],
    }],
    uac: Acts::Does("Keeps the tokens of the last message that had any, for whoever reserves."),
    uas: Acts::Does("Keeps the tokens of the last message that had any, for whoever reserves."),
    proxy: Acts::Does(
        "Gives its users the tokens that it is set up with, in offers to them and answers for them, \
         where the way is protected; takes tokens out where it is not.",
    ),
    registrar: Acts::Nothing("it has no sessions"),
    implements: Roles::UA,
    partly: Roles::PROXY,
    rules: &[
        rule(
            "3313 5.1",
            Roles::UA,
            "a token is pairs of hexadecimal digits, and stands for bytes",
            Proof::Test("quality::media_authorization::tests::tokens_are_bytes"),
        ),
        rule(
            "3313 5.2.1, 5.2.2",
            Roles::UA,
            "the tokens of the last message that had any count, all of them",
            Proof::Test("quality::media_authorization::tests::the_last_tokens_count"),
        ),
        rule(
            "3313 5.2.3, 5.2.4",
            Roles::PROXY,
            "offers to our users and answers for them have the token",
            Proof::Flow("media-authorization"),
        ),
        rule(
            "3313 8",
            Roles::PROXY,
            "no token goes where it could be read or changed",
            Proof::Flow("media-authorization-unprotected"),
        ),
        rule(
            "3313 5.2.3, 5.2.4",
            Roles::PROXY,
            "a policy decision point makes a token for each session",
            Proof::ToDo,
        ),
    ],
    flows: &[
        FlowReference { name: "media-authorization", kind: FlowKind::Common, roles: Roles::PROXY },
        FlowReference {
            name: "media-authorization-unprotected",
            kind: FlowKind::Failure,
            roles: Roles::PROXY,
        },
        FlowReference {
            name: "media-authorization-phone",
            kind: FlowKind::Common,
            roles: Roles::of(&[Role::Uac, Role::Uas]),
        },
    ],
    wake: &[Wake::Field("P-Media-Authorization"), Wake::Method("INVITE"), Wake::Method("UPDATE")],
    settings: &[
        Setting {
            key: "tokens",
            about: "what a proxy gives its users, in hexadecimal digits",
            default: "",
        },
        Setting {
            key: "trusted",
            about: "addresses to which a token may go without TLS",
            default: "",
        },
    ],
    configure: Some(configure),
    behaviour: &MediaAuthorization,
    ..Extension::EMPTY
};
