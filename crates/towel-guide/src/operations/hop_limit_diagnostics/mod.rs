//! Diagnostic responses for hop limit errors (draft-ietf-sip-hop-limit-diagnostics).
//!
//! A request that ran out of hops, or went in a circle, is answered with the request itself as
//! it arrived: the Via values tell where it went. With Max-Forwards 0, 1, 2 ... a client can
//! walk the way hop by hop, as traceroute does.
//!
//! The draft never became an RFC. The fragment is RFC 3420's `message/sipfrag`; the same
//! diagnostic serves 482, and 440 of RFC 5393.
//!
//! # Security
//! Credentials are left out, and so is the body; what remains the sender wrote itself, or the
//! proxies on its way did.
//!
//! # Interactions
//! A fork that runs out of hops answers on that branch, and the best response may be another.

mod fragment;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use towel_core::contract::{
    Acts, Behaviour, Body, BodyType, Category, Configured, Env, Extension, FlowKind, FlowReference,
    Interactions, Proof, ProxyReply, Role, Roles, Rule, Section, Setting, SettingFault, Stage,
    UacResponse, Verdict, Wake,
};
use towel_message::Name;

/// The media type of the diagnostic.
const SIPFRAG: &str = "message/sipfrag";

/// The statuses that carry it.
const STATUSES: [u16; 3] = [483, 482, 440];

/// How large the diagnostic may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Most bytes of the body; nought turns it off.
    pub most: usize,
}

impl Settings {
    /// With the response's own header fields this stays below the 1300 bytes up to which UDP
    /// may be used (RFC 3261 section 18.1.1), for requests of the usual size.
    const DEFAULT: Self = Self { most: 800 };
}

fn configure(entries: &[(&str, &str)]) -> Result<Configured, SettingFault> {
    let mut settings = Settings::DEFAULT;
    for (key, value) in entries {
        settings.most = value
            .parse()
            .ok()
            .filter(|most| *most <= 65_536)
            .ok_or_else(|| SettingFault::new(*key, "write a number of bytes up to 65536"))?;
    }
    Ok(Arc::new(settings))
}

/// The behaviour.
struct Diagnostics;

impl Behaviour for Diagnostics {
    fn stages(&self) -> &'static [Stage] {
        &[Stage::ProxyReply, Stage::UacResponse]
    }

    fn proxy_reply(&self, env: &Env<'_>, at: &mut ProxyReply<'_>) -> Verdict {
        let settings = env.settings::<Settings>().copied().unwrap_or(Settings::DEFAULT);
        if settings.most > 0 && at.body.is_none() && STATUSES.contains(&at.status) {
            let bytes = fragment::of(&at.request, settings.most);
            *at.body = Some(Body { media_type: SIPFRAG, bytes });
        }
        Verdict::Pass
    }

    /// A UAC shows where the request had been.
    fn uac_response(&self, _env: &Env<'_>, at: &mut UacResponse<'_>) -> Verdict {
        let is_fragment = at
            .response
            .value(Name::ContentType)
            .and_then(|value| value.split(|byte| *byte == b';').next())
            .is_some_and(|value| value.trim_ascii().eq_ignore_ascii_case(SIPFRAG.as_bytes()));
        if STATUSES.contains(&at.response.status()) && is_fragment {
            // The way as it was gone: the value at the bottom is that of who sent the request.
            for (number, via) in fragment::vias(at.response.body()).iter().rev().enumerate() {
                let did = if number == 0 { "set out from" } else { "went through" };
                at.notes.push(format!("{did} {via}"));
            }
        }
        Verdict::Pass
    }
}

const WHO: Roles = Roles::of(&[Role::Uac, Role::Proxy]);

/// The declaration.
pub static EXTENSION: Extension = Extension {
    id: "hop-limit-diagnostics",
    title: "Diagnostics for Hop Limit Errors in the Session Initiation Protocol (SIP)",
    documents: &["draft-ietf-sip-hop-limit-diagnostics-03", "RFC 3420", "RFC 5393"],
    section: Section::Operations,
    category: Category::Standard,
    overview: "A request that travels in circles is stopped when its hop count is used up, and \
        until now nobody learned where it had been. The proxy that stops it sends back the \
        request as it arrived, with the list of all proxies it passed. Somebody who looks for a \
        fault can also ask for it on purpose, one hop further each time.",
    security: "Credentials and bodies are left out. Who sees the answer learns the names of \
        proxies, which the Via of any response tells as well.",
    interactions: Interactions {
        forking: "a branch that is stopped answers for itself; another branch's answer may win",
        cancel_and_ack: "an ACK is never answered; a CANCEL that is stopped is answered alike",
        routing: "Route and Record-Route are among what is sent back",
        stateless_proxies: "a stateless proxy can answer so as well",
        dialog_usages: "482 and 483 inside a dialog end it, with or without the diagnostic",
    },
    compatibility: "A client without it ignores the body of a 483; a proxy passes it on.",
    bodies: &[BodyType {
        media_type: SIPFRAG,
        disposition: "render",
        optional: true,
        reason: "",
        accepted_by: Roles::UA,
    }],
    uac: Acts::Does("Shows the Via values of the fragment; lives without one."),
    uas: Acts::Nothing("a UAS does not count hops"),
    proxy: Acts::Does(
        "Answers 483, 482 and 440 with the request line and the header fields as they arrived, \
         without credentials and body, cut to size from what tells least; forwards such a body \
         untouched.",
    ),
    registrar: Acts::Nothing("it is about forwarding"),
    implements: WHO,
    rules: &[
        Rule {
            section: "hop-limit-diagnostics; 3420 2",
            roles: Roles::PROXY,
            text: "483, 482 and 440 carry the request as it was received as message/sipfrag",
            proof: Proof::Flow("hop-limit-diagnostics"),
        },
        Rule {
            section: "hop-limit-diagnostics",
            roles: Roles::PROXY,
            text: "credentials and the body are left out",
            proof: Proof::Test("operations::hop_limit_diagnostics::tests::no_secrets"),
        },
        Rule {
            section: "hop-limit-diagnostics; 3261 18.1.1",
            roles: Roles::PROXY,
            text: "it is cut to size, the Via values last",
            proof: Proof::Test("operations::hop_limit_diagnostics::tests::cut_to_size"),
        },
        Rule {
            section: "hop-limit-diagnostics",
            roles: Roles::UAC,
            text: "a UAC shows the hops, and takes a missing body for no error",
            proof: Proof::Test("operations::hop_limit_diagnostics::tests::a_client_shows_the_hops"),
        },
    ],
    flows: &[
        FlowReference { name: "hop-limit-phone", kind: FlowKind::Common, roles: Roles::UAC },
        FlowReference { name: "hop-limit-trace", kind: FlowKind::Common, roles: Roles::PROXY },
        FlowReference {
            name: "hop-limit-diagnostics",
            kind: FlowKind::Failure,
            roles: Roles::PROXY,
        },
    ],
    wake: &[Wake::Status(483), Wake::Status(482), Wake::Status(440)],
    settings: &[Setting {
        key: "most_bytes",
        about: "size of the diagnostic; 0 for none",
        default: "800",
    }],
    configure: Some(configure),
    behaviour: &Diagnostics,
    ..Extension::EMPTY
};
