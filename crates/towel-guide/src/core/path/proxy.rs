//! What a proxy does about Path: RFC 3327 section 5.2.

use towel_core::contract::{Env, ProxyForward, Reply, Verdict};
use towel_message::{Method, Name};

use super::{TAG, settings};

/// Section 5.2: a REGISTER is about to be forwarded.
pub(super) fn forward(env: &Env<'_>, at: &mut ProxyForward<'_, '_>) -> Verdict {
    let settings = settings(env);
    if at.request.method() != Method::Register || !settings.insert {
        return Verdict::Pass;
    }
    if !at.request.has_token(Name::Supported, TAG) && !at.request.has_token(Name::Require, TAG) {
        if settings.demand {
            return Verdict::reply(Reply::new(421, "Extension Required").with("Require", TAG));
        }
        return Verdict::Pass;
    }
    let mut value = b"<".to_vec();
    env.element.own_uri(&at.source, &mut value);
    value.extend_from_slice(b";lr>");
    at.draft.push_top(Name::Path, &value);
    if settings.demand && !at.request.has_token(Name::Require, TAG) {
        at.draft.append(Name::Require, TAG.as_bytes());
    }
    Verdict::Pass
}
