//! Session timers: a call whose ends are gone comes to an end (RFC 4028).
//!
//! The ends of a call agree on an interval and on who of them refreshes it, by re-INVITE or
//! UPDATE. When no refresh comes, the call is over, and whoever keeps state of it can let go. A
//! proxy may ask for an interval of its own, or shorten what was asked.
//!
//! # Security
//! A small interval makes work. So none below the minimum is taken, a proxy never raises Min-SE
//! in a request whose sender supports timers (it could lock that sender out), and what a peer
//! asks for is read as a bounded number.
//!
//! # Interactions
//! All branches of a forked INVITE carry the same interval; each 2xx makes a session of its own.

mod agreed;
mod ends;
mod interval;
mod proxy;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod ua_tests;

use std::sync::Arc;

use towel_core::contract::{
    Acts, Behaviour, Category, Configured, DialogEffect, DialogTimer, Env, Extension,
    FieldDeclaration, FieldParameter, FlowKind, FlowReference, Interactions, OptionTag, Proof,
    ProxyForward, ProxyResponse, ProxyValidate, ResponseCode, Role, Roles, Row, Rule, SUCCESS,
    Section, Setting, SettingFault, Shape, Stage, UacRequest, UacResponse, UasRequest, UasResponse,
    UriSchemes, Verdict, Wake, Where,
};

/// The smallest interval that there is, in seconds (RFC 4028 section 4).
pub const LEAST: u32 = 90;

/// The option tag.
const TAG: &str = "timer";
/// The name under which a proxy keeps what it asked for.
const ID: &str = "session-timer";

/// What a proxy asks of the calls that it forwards, and a user agent of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// The longest session interval, in seconds; nought leaves timers to the ends.
    pub interval: u32,
    /// The shortest, in seconds.
    pub minimum: u32,
    /// The interval that our own user agent asks for, in seconds; nought has it ask for none.
    pub expires: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self { interval: 0, minimum: LEAST, expires: 0 }
    }
}

fn settings(env: &Env<'_>) -> Settings {
    env.settings::<Settings>().copied().unwrap_or_default()
}

fn configure(entries: &[(&str, &str)]) -> Result<Configured, SettingFault> {
    let mut settings = Settings::default();
    for (key, value) in entries {
        let seconds = value
            .parse()
            .map_err(|_| SettingFault::new(*key, format!("{value} is no number of seconds")))?;
        match *key {
            "minimum" if seconds < LEAST => {
                let about = format!("{value} is too short: RFC 4028 allows none below {LEAST}");
                return Err(SettingFault::new(*key, about));
            }
            "minimum" => settings.minimum = seconds,
            "expires" => settings.expires = seconds,
            _ => settings.interval = seconds,
        }
    }
    if settings.interval != 0 && settings.interval < settings.minimum {
        let about =
            format!("{} is below the minimum of {} seconds", settings.interval, settings.minimum);
        return Err(SettingFault::new("interval", about));
    }
    if settings.expires != 0 && settings.expires < settings.minimum {
        let about =
            format!("{} is below the minimum of {} seconds", settings.expires, settings.minimum);
        return Err(SettingFault::new("expires", about));
    }
    Ok(Arc::new(settings))
}

/// The behaviour.
struct SessionTimer;

impl Behaviour for SessionTimer {
    fn stages(&self) -> &'static [Stage] {
        &[
            Stage::ProxyValidate,
            Stage::ProxyForward,
            Stage::ProxyResponse,
            Stage::UacRequest,
            Stage::UacResponse,
            Stage::UasRequest,
            Stage::UasResponse,
            Stage::DialogTimer,
        ]
    }

    fn uac_request(&self, env: &Env<'_>, at: &mut UacRequest<'_>) -> Verdict {
        ends::request(settings(env), at)
    }

    fn uac_response(&self, _env: &Env<'_>, at: &mut UacResponse<'_>) -> Verdict {
        ends::response(at)
    }

    fn uas_request(&self, env: &Env<'_>, at: &mut UasRequest<'_>) -> Verdict {
        ends::asked(settings(env), at)
    }

    fn uas_response(&self, env: &Env<'_>, at: &mut UasResponse<'_>) -> Verdict {
        ends::respond(settings(env), at)
    }

    fn dialog_timer(&self, _env: &Env<'_>, at: &mut DialogTimer<'_>) {
        agreed::due(at);
    }

    fn proxy_validate(&self, env: &Env<'_>, at: &mut ProxyValidate<'_>) -> Verdict {
        proxy::validate(settings(env), at.request)
    }

    fn proxy_forward(&self, env: &Env<'_>, at: &mut ProxyForward<'_, '_>) -> Verdict {
        proxy::forward(settings(env), at)
    }

    fn proxy_response(&self, _env: &Env<'_>, at: &mut ProxyResponse<'_, '_>) -> Verdict {
        proxy::response(at)
    }
}

/// INVITE and UPDATE: the requests that refresh a session.
const REFRESHING: &str = "---o-- --o-----";

/// The declaration.
pub static EXTENSION: Extension = Extension {
    id: ID,
    title: "Session Timers in the Session Initiation Protocol (SIP)",
    documents: &["RFC 4028"],
    section: Section::Infrastructure,
    category: Category::Standard,
    overview: "A call whose telephone was unplugged would live forever in everything that counts \
        calls. The ends agree that one of them says in good time that it is still there; when \
        that stops, the call is over. A server on the way can ask for it too.",
    security: "Small intervals cost work: a minimum holds, and a 422 tells it. A proxy leaves \
        Min-SE alone where the caller supports timers.",
    interactions: Interactions {
        forking: "all branches carry the same interval; each 2xx is a session with a timer of \
            its own",
        cancel_and_ack: "neither carries it",
        routing: "a proxy that asks for timers stays on the route, or no refresh would reach it",
        stateless_proxies: "they ask for no timer, since they could not tell the response's \
            sender from one who knows it",
        dialog_usages: "it belongs to the INVITE usage, which its expiry ends",
    },
    compatibility: "If one end alone knows timers that end refreshes; if neither does there is \
        no timer.",
    option_tags: &[OptionTag {
        name: TAG,
        // Not where a proxy takes part: section 8.1 has it read the tag and never state it.
        supported_by: Roles::UA,
        required: true,
        proxy_required: false,
        fallback: "a request without Require: timer, and no session expiry",
    }],
    fields: &[
        FieldDeclaration {
            name: "Session-Expires",
            compact: Some('x'),
            share: 40,
            shape: Shape::Single,
            extensible: true,
            uris: UriSchemes::None,
            grammar: "RFC 4028 section 4",
            rows: &[
                Row::new(Where::Request, "amr", REFRESHING),
                Row::new(SUCCESS, "ar", REFRESHING),
            ],
        },
        FieldDeclaration {
            name: "Min-SE",
            compact: None,
            share: 20,
            shape: Shape::Single,
            extensible: true,
            uris: UriSchemes::None,
            grammar: "RFC 4028 section 5",
            rows: &[
                Row::new(Where::Request, "amr", REFRESHING),
                Row::new(Where::Codes(&[(422, 422)]), "", "---m-- --m-----"),
            ],
        },
    ],
    field_parameters: &[FieldParameter {
        field: "Session-Expires",
        name: "refresher",
        grammar: "RFC 4028 section 4",
    }],
    response_codes: &[ResponseCode {
        code: 422,
        phrase: "Session Interval Too Small",
        effect: DialogEffect::Transaction,
    }],
    uac: Acts::Does("Asks for an interval, refreshes in time, hangs up when no refresh comes."),
    uas: Acts::Does("Settles the interval and who refreshes; refuses one too small with 422."),
    proxy: Acts::Does(
        "If it is set to: asks for a timer where nobody did, shortens one that is too long, \
         refuses one too short with 422 or raises it where the caller knows no timers, and tells \
         a caller that does when the callee does not.",
    ),
    registrar: Acts::Nothing("it has no sessions"),
    implements: Roles::of(&[Role::Uac, Role::Uas, Role::Proxy]),
    rules: &[
        Rule {
            section: "4028 8.1",
            roles: Roles::PROXY,
            text: "a timer is asked for where the request has none, never below its Min-SE, and \
                without naming who refreshes",
            proof: Proof::Flow("session-timer-proxy-asks"),
        },
        Rule {
            section: "4028 8.1",
            roles: Roles::PROXY,
            text: "an interval is shortened at most to Min-SE, and never lengthened beyond it",
            proof: Proof::Test("infrastructure::session_timer::tests::an_interval_is_shortened"),
        },
        Rule {
            section: "4028 8.1",
            roles: Roles::PROXY,
            text: "an interval too small is refused with 422 and our Min-SE",
            proof: Proof::Flow("session-timer-too-small"),
        },
        Rule {
            section: "4028 8.1",
            roles: Roles::PROXY,
            text: "for a caller without timers Min-SE and Session-Expires are raised instead; for \
                one with them Min-SE stays as it is",
            proof: Proof::Test("infrastructure::session_timer::tests::min_se_is_raised"),
        },
        Rule {
            section: "4028 8.2",
            roles: Roles::PROXY,
            text: "a 2xx without a timer gets the interval, refresher=uac and Require: timer for a \
                caller with timers, and nothing for one without",
            proof: Proof::Flow("session-timer-proxy-asks"),
        },
        Rule {
            section: "4028 8.2",
            roles: Roles::PROXY,
            text: "the interval in a 2xx is left as it came",
            proof: Proof::Test("infrastructure::session_timer::tests::what_was_agreed_stays"),
        },
        Rule {
            section: "4028 7.1",
            roles: Roles::UAC,
            text: "every request that refreshes says that timers are known",
            proof: Proof::Flow("session-timer-refresh"),
        },
        Rule {
            section: "4028 7.2",
            roles: Roles::UAC,
            text: "the interval and the refresher of the 2xx hold; without them we refresh for ourselves",
            proof: Proof::Test(
                "infrastructure::session_timer::ua_tests::what_the_answer_says_holds",
            ),
        },
        Rule {
            section: "4028 7.3, 7.4",
            roles: Roles::UAC,
            text: "after a 422 it asks again with the largest Min-SE, and not below it",
            proof: Proof::Flow("session-timer-retry"),
        },
        Rule {
            section: "4028 7.4",
            roles: Roles::UAC,
            text: "a refresh names the interval and who refreshes, and is an UPDATE without an offer where the peer takes that",
            proof: Proof::Flow("session-timer-refresh"),
        },
        Rule {
            section: "4028 7.4",
            roles: Roles::UA,
            text: "a refresh by INVITE has the session description that was sent last",
            proof: Proof::Flow("session-timer-callee"),
        },
        Rule {
            section: "4028 9",
            roles: Roles::UAS,
            text: "who refreshes is what table 2 says",
            proof: Proof::Test(
                "infrastructure::session_timer::ua_tests::who_answers_settles_who_refreshes",
            ),
        },
        Rule {
            section: "4028 9",
            roles: Roles::UAS,
            text: "an interval is made shorter, not below Min-SE or 90 seconds, and never longer",
            proof: Proof::Test(
                "infrastructure::session_timer::ua_tests::an_interval_is_made_shorter_and_never_longer",
            ),
        },
        Rule {
            section: "4028 9",
            roles: Roles::UAS,
            text: "one that is too small is refused with 422 and our minimum",
            proof: Proof::Flow("session-timer-refused"),
        },
        Rule {
            section: "4028 10",
            roles: Roles::UA,
            text: "who refreshes does so when half the interval is over",
            proof: Proof::Flow("session-timer-refresh"),
        },
        Rule {
            section: "4028 10",
            roles: Roles::UA,
            text: "when no refresh comes there is a BYE, 32 seconds or a third of the interval before the end",
            proof: Proof::Flow("session-timer-no-refresh"),
        },
    ],
    flows: &[
        FlowReference { name: "session-timer-phones", kind: FlowKind::Common, roles: Roles::UA },
        FlowReference { name: "session-timer-refresh", kind: FlowKind::Common, roles: Roles::UAC },
        FlowReference { name: "session-timer-callee", kind: FlowKind::Common, roles: Roles::UAS },
        FlowReference {
            name: "session-timer-no-refresh",
            kind: FlowKind::Failure,
            roles: Roles::UAS,
        },
        FlowReference { name: "session-timer-retry", kind: FlowKind::Failure, roles: Roles::UAC },
        FlowReference { name: "session-timer-refused", kind: FlowKind::Failure, roles: Roles::UAS },
        FlowReference {
            name: "session-timer-proxy-asks",
            kind: FlowKind::Common,
            roles: Roles::PROXY,
        },
        FlowReference {
            name: "session-timer-too-small",
            kind: FlowKind::Failure,
            roles: Roles::PROXY,
        },
    ],
    wake: &[Wake::Method("INVITE"), Wake::Method("UPDATE")],
    settings: &[
        Setting {
            key: "interval",
            about: "as a proxy, the longest session interval, in seconds; 0 leaves it to the ends",
            default: "0",
        },
        Setting {
            key: "minimum",
            about: "the shortest session interval, in seconds",
            default: "90",
        },
        Setting {
            key: "expires",
            about: "the interval that our own user agent asks for, in seconds; 0 has it ask for none",
            default: "0",
        },
    ],
    configure: Some(configure),
    behaviour: &SessionTimer,
    ..Extension::EMPTY
};
