//! What a proxy does about session timers: RFC 4028 section 8.

use towel_core::contract::{ProxyForward, ProxyResponse, Reply, Verdict};
use towel_message::{Message, Method, Name};

use super::{ID, LEAST, Settings, TAG, interval};

/// Section 8.1: what a stateful proxy remembers for the transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Asked {
    /// The interval in the request that was forwarded.
    interval: u32,
    /// Whether the caller supports timers.
    supported: bool,
}

/// Whether a request refreshes a session: section 8.1 treats the first like all later ones.
fn refreshes(request: &Message<'_>) -> bool {
    matches!(request.method(), Method::Invite | Method::Update)
}

/// Section 8.1: an interval below our minimum is refused where the caller can ask again.
pub(super) fn validate(settings: Settings, request: Message<'_>) -> Verdict {
    if settings.interval == 0 || !refreshes(&request) {
        return Verdict::Pass;
    }
    let small = interval::given(&request, Name::SessionExpires)
        .is_some_and(|asked| asked < settings.minimum);
    if small && request.has_token(Name::Supported, TAG) {
        let reply = Reply::new(422, "Session Interval Too Small");
        return Verdict::reply(reply.with("Min-SE", settings.minimum.to_string()));
    }
    Verdict::Pass
}

/// Section 8.1: a copy of the request is about to leave.
pub(super) fn forward(settings: Settings, at: &mut ProxyForward<'_, '_>) -> Verdict {
    // A stateless proxy must not ask: it could not treat the response.
    let Some(slots) = at.slots.as_deref_mut() else { return Verdict::Pass };
    if settings.interval == 0 || !refreshes(&at.request) {
        return Verdict::Pass;
    }
    let supported = at.request.has_token(Name::Supported, TAG);
    let floor = interval::given(&at.request, Name::MinSe).unwrap_or(LEAST).max(LEAST);
    let field = at.request.first(Name::SessionExpires);
    let interval = match (field, interval::given(&at.request, Name::SessionExpires)) {
        (None, _) => {
            let interval = settings.interval.max(floor);
            at.draft.append(Name::SessionExpires, interval.to_string().as_bytes());
            interval
        }
        // Not for us to mend: whoever answers refuses it.
        (Some(_), None) => return Verdict::Pass,
        (Some(field), Some(asked)) => {
            let floor = if !supported && asked < settings.minimum && floor < settings.minimum {
                at.draft.set(Name::MinSe, settings.minimum.to_string().as_bytes());
                settings.minimum
            } else {
                floor
            };
            let interval = asked.min(settings.interval).max(floor);
            if interval != asked {
                let mut value = interval.to_string().into_bytes();
                value.extend_from_slice(interval::parameters(field.value));
                at.draft.replace_value(&field, &value);
            }
            interval
        }
    };
    slots.set(ID, Asked { interval, supported });
    Verdict::Pass
}

/// Section 8.2: a response is about to go upstream.
pub(super) fn response(at: &mut ProxyResponse<'_, '_>) -> Verdict {
    let Some(asked) = at.slots.as_deref().and_then(|slots| slots.get::<Asked>(ID)).copied() else {
        return Verdict::Pass;
    };
    let agreed = (200..300).contains(&at.response.status());
    if agreed && asked.supported && !at.response.has(Name::SessionExpires) {
        let value = format!("{};refresher=uac", asked.interval);
        at.draft.append(Name::SessionExpires, value.as_bytes());
        if !at.response.has_token(Name::Require, TAG) {
            at.draft.append(Name::Require, TAG.as_bytes());
        }
    }
    Verdict::Pass
}
