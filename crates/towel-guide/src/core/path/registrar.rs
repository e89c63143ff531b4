//! What a registrar does about Path: RFC 3327 section 5.3.

use towel_core::contract::{Env, Register, Registered, Reply, Verdict};
use towel_message::{Message, Name, NameAddr, Uri, scan};

use super::{TAG, settings};

/// The values of Path, each a `name-addr` with a SIP or SIPS URI; `None` if one is not.
fn values<'a>(request: &Message<'a>) -> Option<Vec<&'a [u8]>> {
    request
        .values(Name::Path)
        .map(|value| {
            let address = NameAddr::parse(value.bytes).ok()?;
            let sip = matches!(address.parse_uri().ok()?, Uri::Sip(_));
            (sip && address.bracketed).then_some(value.bytes)
        })
        .collect()
}

/// A REGISTER with a Path: refuse it, or have the list kept with each binding. The home proxy then
/// follows it (section 5.4), as it follows any way that is kept with a binding.
pub(super) fn register(env: &Env<'_>, at: &mut Register<'_, '_>) -> Verdict {
    if !at.request.has(Name::Path) {
        return Verdict::Pass;
    }
    let supported =
        at.request.has_token(Name::Supported, TAG) || at.request.has_token(Name::Require, TAG);
    if settings(env).strict && !supported {
        return Verdict::reply(Reply::new(420, "Bad Extension").with("Unsupported", TAG));
    }
    let Some(values) = values(&at.request) else {
        return Verdict::refuse(400, "Malformed Path Header Field");
    };
    for value in values {
        if !at.route.is_empty() {
            at.route.push(b',');
        }
        scan::unfold(value, at.route);
    }
    Verdict::Pass
}

/// The 200 repeats the list.
pub(super) fn registered(at: &mut Registered<'_>) -> Verdict {
    if let Some(values) = values(&at.request).filter(|values| !values.is_empty()) {
        at.fields.push("Path", values.join(&b", "[..]));
    }
    Verdict::Pass
}
