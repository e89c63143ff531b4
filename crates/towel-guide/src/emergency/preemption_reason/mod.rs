//! Reasons for preemption: why a call was ended for another one (RFC 4411).
//!
//! # Security
//! Which kind of preemption it was may be more than an end should know: the last proxy can make one
//! word of all of them.
//!
//! # Interactions
//! It is a protocol of the Reason header field (RFC 3326), and is said where Resource-Priority ends a
//! session (RFC 4412).

use std::sync::Arc;

use towel_core::contract::{
    Acts, Behaviour, Category, Configured, Env, Extension, FlowKind, FlowReference, Interactions,
    Proof, ProxyForward, Role, Roles, Rule, Section, Setting, SettingFault, Stage, UasRequest,
    Verdict, Wake,
};
use towel_message::{Message, Method, Name, Params};

/// The causes of the protocol `Preemption` (section 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// A user agent had no line left.
    Ua,
    /// The network took back what was reserved.
    Reserved,
    /// No more is said than that.
    Generic,
    /// It happened in a network that is none of IP.
    NonIp,
}

impl Cause {
    /// All of them.
    pub const ALL: [Cause; 4] = [Cause::Ua, Cause::Reserved, Cause::Generic, Cause::NonIp];

    /// The number.
    pub const fn code(self) -> u8 {
        match self {
            Cause::Ua => 1,
            Cause::Reserved => 2,
            Cause::Generic => 3,
            Cause::NonIp => 4,
        }
    }

    /// The usual text.
    pub const fn text(self) -> &'static str {
        match self {
            Cause::Ua => "UA Preemption",
            Cause::Reserved => "Reserved Resources Preempted",
            Cause::Generic => "Generic Preemption",
            Cause::NonIp => "Non-IP Preemption",
        }
    }

    /// The value of Reason.
    pub fn reason(self) -> String {
        format!("preemption ;cause={} ;text=\"{}\"", self.code(), self.text())
    }

    /// Reads a value of Reason; `None` if it is of another protocol, [`Cause::Generic`] if its cause is
    /// not known.
    pub fn read(value: &[u8]) -> Option<Cause> {
        let end = value.iter().position(|byte| *byte == b';').unwrap_or(value.len());
        let (protocol, params) = value.split_at_checked(end)?;
        if !protocol.trim_ascii().eq_ignore_ascii_case(b"preemption") {
            return None;
        }
        let code = Params::new(params).value("cause").and_then(towel_message::scan::number);
        let known = Cause::ALL.into_iter().find(|cause| code == Some(u32::from(cause.code())));
        Some(known.unwrap_or(Cause::Generic))
    }

    /// Why a request says that its session was preempted.
    pub fn of(request: &Message<'_>) -> Option<Cause> {
        request.values(Name::Reason).find_map(|value| Cause::read(value.bytes))
    }
}

/// What a proxy does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Settings {
    /// Whether the last proxy leaves no more of it than that it was preemption.
    pub generalize: bool,
}

fn configure(entries: &[(&str, &str)]) -> Result<Configured, SettingFault> {
    let mut settings = Settings::default();
    for (key, value) in entries {
        settings.generalize = match *value {
            "true" | "yes" => true,
            "false" | "no" => false,
            _ => return Err(SettingFault::new(*key, format!("{value} is neither true nor false"))),
        };
    }
    Ok(Arc::new(settings))
}

/// The behaviour.
struct PreemptionReason;

impl Behaviour for PreemptionReason {
    fn stages(&self) -> &'static [Stage] {
        &[Stage::ProxyForward, Stage::UasRequest]
    }

    /// Section 5.3: only the last proxy may make one of all causes, and it passes on what happened where
    /// it does not.
    fn proxy_forward(&self, env: &Env<'_>, at: &mut ProxyForward<'_, '_>) -> Verdict {
        let generalize = env.settings::<Settings>().is_some_and(|settings| settings.generalize);
        let last = at.next_hop == at.target.uri;
        if !generalize || !last || at.request.method() != Method::Bye {
            return Verdict::Pass;
        }
        let values: Vec<Vec<u8>> = at
            .request
            .values(Name::Reason)
            .map(|value| match Cause::read(value.bytes) {
                Some(_) => Cause::Generic.reason().into_bytes(),
                None => value.bytes.trim_ascii().to_vec(),
            })
            .collect();
        at.draft.remove_all(Name::Reason);
        at.draft.append(Name::Reason, &values.join(&b", "[..]));
        Verdict::Pass
    }

    /// Section 2: who is hung up on is told that it was for another call.
    fn uas_request(&self, _env: &Env<'_>, at: &mut UasRequest<'_>) -> Verdict {
        if at.request.method() == Method::Bye
            && let Some(cause) = Cause::of(&at.request)
        {
            at.notes.push(format!("preempted: {}", cause.text()));
        }
        Verdict::Pass
    }
}

const fn rule(section: &'static str, roles: Roles, text: &'static str, proof: Proof) -> Rule {
    Rule { section, roles, text, proof }
}

/// The declaration.
pub static EXTENSION: Extension = Extension {
    id: "preemption-reason",
    title: "Telling of Preemption in the Session Initiation Protocol (SIP) Reason Header",
    documents: &["RFC 4411"],
    section: Section::Emergency,
    category: Category::Standard,
    overview: "A call that ends because a more important one needs its place has not been hung up on. \
        The request that ends it says so, and where it happened: at a telephone, in the network, or \
        beyond a gateway.",
    security: "It is a hint for people and statistics. Which kind it was can be kept from the ends.",
    interactions: Interactions {
        forking: "none",
        cancel_and_ack: "none",
        routing: "none",
        stateless_proxies: "they act as others do",
        dialog_usages: "it ends the session as any BYE does",
    },
    compatibility: "A peer that does not know the protocol Preemption ignores its value.",
    uac: Acts::Does("Gives the BYE of a session that it preempts cause 1."),
    uas: Acts::Does("Shows that a session was preempted, and where."),
    proxy: Acts::Does(
        "Passes the cause on; if it is set to, the last one leaves only that it was preemption.",
    ),
    registrar: Acts::Nothing("it ends no sessions"),
    implements: Roles::of(&[Role::Uac, Role::Uas, Role::Proxy]),
    needs: &["reason"],
    rules: &[
        rule(
            "4411 5.1",
            Roles::UAC,
            "a user agent that preempts a session says cause 1",
            Proof::Flow("preemption-reason"),
        ),
        rule(
            "4411 2, 5",
            Roles::UAS,
            "who is preempted is told; an unknown cause is a generic one",
            Proof::Test("emergency::preemption_reason::tests::causes_are_read"),
        ),
        rule(
            "4411 5.3",
            Roles::PROXY,
            "cause 3 is never the first indication, and made of the others at the last proxy alone",
            Proof::Flow("preemption-reason-generic"),
        ),
        rule(
            "4411 5.2, 5.4",
            Roles::UAC,
            "causes 2 and 4 come from the network and from gateways",
            Proof::Excepted("there is no reservation and no gateway here that could preempt"),
        ),
    ],
    flows: &[
        FlowReference { name: "preemption-reason", kind: FlowKind::Common, roles: Roles::UA },
        FlowReference {
            name: "preemption-reason-generic",
            kind: FlowKind::Common,
            roles: Roles::PROXY,
        },
        FlowReference {
            name: "preemption-reason-passes",
            kind: FlowKind::Failure,
            roles: Roles::of(&[Role::Uas, Role::Proxy]),
        },
    ],
    wake: &[Wake::Field("Reason")],
    settings: &[Setting {
        key: "generalize",
        about: "whether the last proxy tells an end no more than that it was preempted",
        default: "false",
    }],
    configure: Some(configure),
    behaviour: &PreemptionReason,
    ..Extension::EMPTY
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_read() {
        for cause in Cause::ALL {
            assert_eq!(Cause::read(cause.reason().as_bytes()), Some(cause));
        }
        assert_eq!(Cause::read(b"Preemption;cause=2;text=\"x\""), Some(Cause::Reserved));
        assert_eq!(Cause::read(b"preemption;cause=9"), Some(Cause::Generic));
        assert_eq!(Cause::read(b"preemption"), Some(Cause::Generic));
        assert_eq!(Cause::read(b"SIP;cause=1"), None);
    }
}
