//! Actions on the non-INVITE transaction (RFC 4320, for the reasons in RFC 4321).
//!
//! A request other than INVITE is to be answered at once. A server that cannot answer before
//! the client gives up says nothing at all, for the client's own timer has said it already; and
//! a response that comes too late is not passed on.
//!
//! That a 100 does not go out early over UDP and that late responses find no transaction are
//! matters of the transaction layer; this entry keeps the 408 from leaving.
//!
//! # Security
//! Late and forged responses are not relayed, and a request to a black hole makes no storm.
//!
//! # Interactions
//! INVITE is not touched.

use towel_core::contract::{
    Acts, Behaviour, Category, Env, Extension, FlowKind, FlowReference, Interactions, Proof,
    ProxyReply, ProxyResponse, Role, Roles, Rule, Section, Stage, UasResponse, Verdict, Wake,
};

/// The behaviour: no 408 to anything but INVITE.
struct NoTimeoutResponse;

/// RFC 4320 section 4.2: a 408 to a non-INVITE request is not sent.
fn judge(status: u16, method: &[u8]) -> Verdict {
    if status == 408 && method != b"INVITE" { Verdict::Discard } else { Verdict::Pass }
}

impl Behaviour for NoTimeoutResponse {
    fn stages(&self) -> &'static [Stage] {
        &[Stage::UasResponse, Stage::ProxyResponse, Stage::ProxyReply]
    }
    fn uas_response(&self, _env: &Env<'_>, at: &mut UasResponse<'_>) -> Verdict {
        judge(at.status, at.request.method().as_bytes())
    }
    fn proxy_response(&self, _env: &Env<'_>, at: &mut ProxyResponse<'_, '_>) -> Verdict {
        judge(at.response.status(), at.method)
    }
    fn proxy_reply(&self, _env: &Env<'_>, at: &mut ProxyReply<'_>) -> Verdict {
        judge(at.status, at.request.method().as_bytes())
    }
}

const WHO: Roles = Roles::of(&[Role::Uac, Role::Uas, Role::Proxy]);
const SERVERS: Roles = Roles::of(&[Role::Uas, Role::Proxy]);

/// The declaration.
pub static EXTENSION: Extension = Extension {
    id: "non-invite-fixes",
    title: "Mending the Non-INVITE Transaction of the Session Initiation Protocol (SIP)",
    documents: &["RFC 4320", "RFC 4321"],
    section: Section::Core,
    category: Category::Standard,
    overview: "A request that does not set up a call has to be answered within half a minute. \
        Along a chain of proxies everyone's clock runs out at about the same time, and a report \
        that time is up always comes too late to be of use. So nobody sends such a report, and \
        answers that come late are dropped.",
    security: "A request sent to where nobody answers no longer makes every proxy on the way \
        send a response, and responses that match nothing are not relayed.",
    interactions: Interactions {
        forking: "a branch that timed out counts in the choice of the best response, and if it \
            is all there is nothing is sent",
        cancel_and_ack: "neither is touched",
        routing: "none",
        stateless_proxies: "a stateless proxy passes on what it gets",
        dialog_usages: "a time-out ends the usage as before; the client's own timer tells it",
    },
    compatibility: "Peers without it send a 408, which a proxy with it does not pass on.",
    uac: Acts::Does("Takes its own timer as the answer."),
    uas: Acts::Does("Sends a 100 only when the client's retransmissions have slowed, no 408."),
    proxy: Acts::Does("As a server, and passes on neither a 408 nor what comes too late."),
    registrar: Acts::Does("As any server."),
    implements: WHO,
    rules: &[
        Rule {
            section: "4320 4.1",
            roles: SERVERS,
            text: "over UDP no 100 to a non-INVITE before Timer E would have reached T2",
            proof: Proof::Flow("non-invite-no-early-100"),
        },
        Rule {
            section: "4320 4.2",
            roles: SERVERS,
            text: "no 408 is sent or passed on to a non-INVITE request",
            proof: Proof::Flow("non-invite-timeout"),
        },
        Rule {
            section: "4320 4.2",
            roles: Roles::PROXY,
            text: "a late response to a non-INVITE request is not passed on",
            proof: Proof::Flow("non-invite-late-response"),
        },
    ],
    flows: &[
        FlowReference {
            name: "non-invite-no-early-100",
            kind: FlowKind::Common,
            roles: Roles::PROXY,
        },
        FlowReference { name: "non-invite-timeout", kind: FlowKind::Failure, roles: Roles::PROXY },
        FlowReference { name: "non-invite-phone", kind: FlowKind::Failure, roles: Roles::UA },
        FlowReference {
            name: "non-invite-late-response",
            kind: FlowKind::Failure,
            roles: Roles::PROXY,
        },
    ],
    wake: &[Wake::Status(408)],
    behaviour: &NoTimeoutResponse,
    ..Extension::EMPTY
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_invite_gets_a_408() {
        assert!(matches!(judge(408, b"OPTIONS"), Verdict::Discard));
        assert!(judge(408, b"INVITE").is_pass());
        assert!(judge(404, b"OPTIONS").is_pass());
    }
}
