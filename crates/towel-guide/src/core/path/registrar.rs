//! What a registrar does about Path: RFC 3327 section 5.3.

use towel_core::contract::{Env, Register, Registered, Reply, Verdict};
use towel_message::{Message, Name, NameAddr, Uri};

use super::{ID, TAG, settings};

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

/// A REGISTER with a Path: refuse it, or keep the list with each binding.
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
    let kept = values.join(&b'\n');
    for contact in at.contacts.iter_mut() {
        if !contact.kept.set(ID, &kept) {
            return Verdict::refuse(400, "Path Header Field Too Long");
        }
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
