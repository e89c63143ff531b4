//! What a proxy does about Path: RFC 3327 sections 5.2 and 5.4.

use towel_core::contract::{Env, ProxyForward, ProxyTargets, Reply, Verdict, state};
use towel_message::{Method, Name};

use super::{ID, TAG, settings};

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

/// Section 5.4: the kept list becomes Route, before what the request already carries.
pub(super) fn targets(at: &mut ProxyTargets<'_>) -> Verdict {
    for target in at.targets.iter_mut() {
        let Some(kept) = state::find(&target.kept, ID) else { continue };
        let routes: Vec<_> = kept.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
        // A registrar that keeps the way to a binding itself has put it there already.
        if target.routes != routes {
            target.routes.extend(routes);
        }
    }
    Verdict::Pass
}
