//! What the two ends of a call do: RFC 4028 sections 7 and 9.

use towel_core::contract::{
    Reply, Task, UacRequest, UacResponse, UasRequest, UasResponse, Verdict,
};
use towel_message::{Message, Method, Name};

use super::agreed::{self, Agreed, Refresher, hear_minimum, settle};
use super::{ID, LEAST, Settings, TAG, interval};

/// What is kept with a request of ours.
#[derive(Debug, Clone, Copy, Default)]
struct Asked {
    /// The interval in it; nought without one.
    interval: u32,
    /// The largest Min-SE of the 422s to it.
    minimum: u32,
}

fn is_refresh(method: &[u8]) -> bool {
    matches!(method, b"INVITE" | b"UPDATE")
}

/// Sections 7.1 and 7.4: a request that refreshes is about to leave.
pub(super) fn request(settings: Settings, at: &mut UacRequest<'_>) -> Verdict {
    if !is_refresh(at.method) {
        return Verdict::Pass;
    }
    let refused = at.slots.get::<Asked>(ID).map_or(0, |asked| asked.minimum);
    let known = at.dialog.as_ref().map(agreed::of).unwrap_or_default();
    let minimum = refused.max(known.minimum);
    let wanted = if known.interval == 0 { settings.expires } else { known.interval };
    if minimum > 0 {
        at.fields.push("Min-SE", minimum.to_string());
    }
    let mut interval = 0;
    if wanted > 0 {
        interval = wanted.max(minimum).max(LEAST);
        let mut value = interval.to_string();
        // Who refreshes stays who it was.
        if known.interval > 0 {
            let refresher = if known.ours { Refresher::Uac } else { Refresher::Uas };
            value = format!("{value};refresher={}", refresher.text());
        }
        at.fields.push("Session-Expires", value);
    }
    at.slots.set(ID, Asked { interval, minimum: refused });
    Verdict::Pass
}

/// Sections 7.2 and 7.3: its response has come.
pub(super) fn response(at: &mut UacResponse<'_>) -> Verdict {
    if !is_refresh(at.method) {
        return Verdict::Pass;
    }
    let asked = at.slots.get::<Asked>(ID).copied().unwrap_or_default();
    match at.response.status() {
        200..300 => {
            let Some(dialog) = &mut at.dialog else { return Verdict::Pass };
            let value = at.response.value(Name::SessionExpires);
            let (interval, ours) =
                match (value, interval::given(&at.response, Name::SessionExpires)) {
                    (Some(value), Some(seconds)) => {
                        let theirs = Refresher::of(value) == Some(Refresher::Uas);
                        (seconds.max(LEAST), !theirs)
                    }
                    // The peer knows no timers: it is for our own benefit (section 7.2).
                    _ => (asked.interval, true),
                };
            settle(dialog, at.tasks, interval, ours);
        }
        422 => {
            let minimum = interval::given(&at.response, Name::MinSe).unwrap_or(LEAST);
            if let Some(dialog) = &mut at.dialog {
                hear_minimum(dialog, &at.response);
            }
            // Not again where it asks for what it has been given.
            if minimum > asked.minimum {
                at.slots.set(ID, Asked { minimum, ..asked });
                at.tasks.push(ID, Task::Retry);
            }
        }
        _ => {}
    }
    Verdict::Pass
}

/// Section 9: an interval that is too small is refused where the caller can ask again.
pub(super) fn asked(settings: Settings, at: &mut UasRequest<'_>) -> Verdict {
    if !is_refresh(at.request.method().as_bytes()) {
        return Verdict::Pass;
    }
    if let Some(dialog) = &mut at.dialog {
        hear_minimum(dialog, &at.request);
    }
    let small = interval::given(&at.request, Name::SessionExpires)
        .is_some_and(|seconds| seconds < settings.minimum);
    if small && at.request.has_token(Name::Supported, TAG) {
        let reply = Reply::new(422, "Session Interval Too Small");
        return Verdict::reply(reply.with("Min-SE", settings.minimum.to_string()));
    }
    Verdict::Pass
}

/// Section 9: what a 2xx says, by table 2.
fn answer(settings: Settings, request: &Message<'_>, known: Agreed) -> Option<(u32, Refresher)> {
    let supports = request.has_token(Name::Supported, TAG);
    let floor = interval::given(request, Name::MinSe).unwrap_or(0).max(LEAST);
    let value = request.value(Name::SessionExpires);
    let given = interval::given(request, Name::SessionExpires);
    let interval = match given {
        // It may be made shorter, never longer, and is never below 90 seconds.
        Some(given) if settings.expires > 0 => given.min(settings.expires.max(floor)),
        Some(given) => given,
        None if supports && settings.expires > 0 => settings.expires.max(floor),
        None => return None,
    };
    let chosen = value.and_then(Refresher::of);
    let refresher = match (supports, chosen) {
        (false, _) => Refresher::Uas,
        (true, Some(chosen)) => chosen,
        // Who refreshed goes on; at the start it is the caller, as after a proxy (section 8.2).
        (true, None) if known.interval > 0 && known.ours => Refresher::Uas,
        (true, None) => Refresher::Uac,
    };
    Some((interval.max(LEAST), refresher))
}

/// A response of ours is about to leave.
pub(super) fn respond(settings: Settings, at: &mut UasResponse<'_>) -> Verdict {
    let refresh = matches!(at.request.method(), Method::Invite | Method::Update);
    let Some(dialog) = at.dialog.as_mut().filter(|_| refresh && at.status / 100 == 2) else {
        return Verdict::Pass;
    };
    hear_minimum(dialog, &at.request);
    let Some((interval, refresher)) = answer(settings, &at.request, agreed::of(dialog)) else {
        settle(dialog, at.tasks, 0, false);
        return Verdict::Pass;
    };
    at.fields.push("Session-Expires", format!("{interval};refresher={}", refresher.text()));
    if at.request.has_token(Name::Supported, TAG) {
        at.fields.push("Require", TAG);
    }
    settle(dialog, at.tasks, interval, refresher == Refresher::Uas);
    Verdict::Pass
}
