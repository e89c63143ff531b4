//! What a proxy and a redirect server do (RFC 7044 sections 7, 8 and 9).

use towel_core::contract::{
    Element, Env, ProxyForward, ProxyReceived, ProxyReply, ProxyResponse, ProxyTargets, Slots,
    Verdict,
};
use towel_message::{Draft, Message, Name, Uri};

use super::entries::{Entry, History, Index, as_sip, same};
use super::{ID, asked, settings};

/// What is kept with a transaction: the cache of section 9.1, and what was sent since.
#[derive(Debug, Clone)]
struct Known {
    history: History,
    /// The URI that is mapped to targets, and its entry.
    uri: Vec<u8>,
    parent: Index,
    /// The entries of branches that nothing has come of yet.
    pending: Vec<(usize, Entry)>,
    /// Whether responses go to somebody of ours.
    inside: bool,
}

/// Whether the host of a URI is ours.
fn is_own(element: &dyn Element, uri: &[u8]) -> bool {
    let Ok(Uri::Sip(sip)) = Uri::parse(uri) else { return false };
    let end = match sip.port {
        Some(_) => sip.host_port.iter().rposition(|byte| *byte == b':'),
        None => None,
    };
    element
        .is_own_domain(sip.host_port.get(..end.unwrap_or(sip.host_port.len())).unwrap_or_default())
}

fn user(uri: &[u8]) -> Option<Vec<u8>> {
    match Uri::parse(uri) {
        Ok(Uri::Sip(sip)) => sip.user.map(<[u8]>::to_vec),
        _ => None,
    }
}

/// Section 9.1. A request of a user of ours, or from one, comes from inside.
fn begin(env: &Env<'_>, request: &Message<'_>, user: Option<&[u8]>) -> Known {
    let history = History::received(request, env.element.domain());
    let parent = history.last().map_or_else(Index::first, |last| last.index.clone());
    let from = request.from().is_ok_and(|from| is_own(env.element, from.uri));
    Known {
        history,
        uri: request.request_uri().to_vec(),
        parent,
        pending: Vec::new(),
        inside: user.is_some() || from,
    }
}

/// Whether the request is written for a strict router: then its URI is ours and says nothing.
fn is_route(uri: &[u8]) -> bool {
    matches!(Uri::parse(uri), Ok(Uri::Sip(sip)) if sip.lr())
}

/// The targets are known: the cache is begun, and the targets say how they were found where a redirect
/// server tells them (section 8).
pub(super) fn targets(env: &Env<'_>, at: &mut ProxyTargets<'_>) -> Verdict {
    if !asked(&at.request) || !settings(env).insert {
        return Verdict::Pass;
    }
    if at.slots.get::<Known>(ID).is_none() {
        let mut known = begin(env, &at.request, at.user);
        if is_route(&known.uri) {
            known.uri = at.request_uri.to_vec();
        } else if !at.request_uri.is_empty() && !same(&known.uri, at.request_uri) {
            // Section 7: retargeted by ourselves before it leaves.
            let before = as_sip(&known.uri, env.element.domain());
            let kept = user(&before) == user(at.request_uri) && is_own(env.element, at.request_uri);
            let how = format!(";{}={}", if kept { "rc" } else { "mp" }, known.parent);
            let index = known.parent.branch(1);
            known.history.insert(Entry::new(at.request_uri, index.clone(), &how));
            known.parent = index;
            known.uri = at.request_uri.to_vec();
        }
        at.slots.set(ID, known);
    }
    let Some(known) = at.slots.get::<Known>(ID) else { return Verdict::Pass };
    for target in at.targets.iter_mut() {
        let how = match (target.registered, same(&target.uri, &known.uri)) {
            (_, true) => continue,
            (true, _) => "rc",
            (false, _) => "mp",
        };
        target.parameters.extend_from_slice(format!(";{how}={}", known.parent).as_bytes());
    }
    Verdict::Pass
}

/// Section 10.4: how the target was found.
fn mechanism(known: &Known, at: &ProxyForward<'_, '_>) -> String {
    if let Some(redirection) = &at.target.redirection {
        // Only the redirect server knows, and says so in its Contact.
        let params = towel_message::Params::new(&redirection.parameters);
        for name in ["mp", "rc"] {
            if let Some(index) = params.value(name).and_then(Index::parse) {
                return format!(";{name}={index}");
            }
        }
        return String::new();
    }
    let name = match (same(&at.target.uri, &known.uri), at.target.registered) {
        (true, _) => "np",
        (false, true) => "rc",
        (false, false) => "mp",
    };
    format!(";{name}={}", known.parent)
}

/// Section 9.2.
pub(super) fn forward(env: &Env<'_>, at: &mut ProxyForward<'_, '_>) -> Verdict {
    if !asked(&at.request) || !settings(env).insert {
        return Verdict::Pass;
    }
    let kept = at.slots.as_deref().and_then(|slots| slots.get::<Known>(ID)).cloned();
    let mut known = kept.unwrap_or_else(|| begin(env, &at.request, at.user));
    let number = u32::try_from(at.branch).map_or(u32::MAX, |branch| branch.saturating_add(1));
    let how = mechanism(&known, at);
    let target = as_sip(&at.target.uri, env.element.domain());
    let mut entry = Entry::new(&target, known.parent.branch(number), &how);
    if settings(env).private {
        entry.add_header("Privacy", b"history");
    }
    if let Some(slots) = at.slots.as_deref_mut() {
        known.pending.retain(|(branch, _)| *branch != at.branch);
        known.pending.push((at.branch, entry.clone()));
        slots.set(ID, known.clone());
    }
    known.history.insert(entry);
    let outside = !at.registered && !is_own(env.element, &at.target.uri);
    write(env, &at.request, at.draft, known.history, outside);
    Verdict::Pass
}

/// Puts the entries into a message in the place of those that are there; `outside` says whether it
/// leaves what we are responsible for.
fn write(
    env: &Env<'_>,
    message: &Message<'_>,
    draft: &mut Draft<'_>,
    mut history: History,
    outside: bool,
) {
    if outside {
        let (all, rest) = privacy(message);
        history.uncover(all, |uri| is_own(env.element, uri));
        match rest {
            Some(rest) if rest.is_empty() => draft.remove_all(Name::Privacy),
            Some(rest) => draft.set(Name::Privacy, &rest),
            None => {}
        }
    }
    draft.remove_all(Name::HistoryInfo);
    for entry in history.iter() {
        draft.append(Name::HistoryInfo, &entry.value());
    }
}

/// Whether a message asks for all entries to be hidden, and what is left of its Privacy when they are:
/// `None` where it stays as it is (section 10.1.2).
fn privacy(message: &Message<'_>) -> (bool, Option<Vec<u8>>) {
    let values: Vec<&[u8]> = message
        .fields(Name::Privacy)
        .flat_map(|field| field.value.split(|byte| matches!(byte, b';' | b',')))
        .map(<[u8]>::trim_ascii)
        .collect();
    let has = |name: &str| values.iter().any(|one| one.eq_ignore_ascii_case(name.as_bytes()));
    let history = has("history");
    let rest = history.then(|| {
        let rest: Vec<&[u8]> =
            values.iter().copied().filter(|one| !one.eq_ignore_ascii_case(b"history")).collect();
        rest.join(&b';')
    });
    (history || has("header"), rest)
}

/// Section 9.3.
pub(super) fn received(at: &mut ProxyReceived<'_>) -> Verdict {
    let Some(known) = at.slots.get_mut::<Known>(ID) else { return Verdict::Pass };
    let entry = known.pending.iter().find(|(branch, _)| *branch == at.branch);
    let Some(entry) = entry.map(|(_, entry)| entry.clone()) else { return Verdict::Pass };
    let index = entry.index.clone();
    known.history.insert(entry);
    if at.status >= 300 {
        known.history.add_reason(&index, format!("SIP;cause={}", at.status).as_bytes());
    }
    if let Some(response) = &at.response {
        if at.status >= 300 {
            for reason in response.values(Name::Reason) {
                known.history.add_reason(&index, reason.bytes.trim_ascii());
            }
        }
        for entry in History::of(response).iter() {
            known.history.insert(entry.clone());
        }
    }
    Verdict::Pass
}

/// Section 9.4, for what comes from elsewhere.
pub(super) fn response(env: &Env<'_>, at: &mut ProxyResponse<'_, '_>) -> Verdict {
    let Some(slots) = at.slots.as_deref() else { return Verdict::Pass };
    match slots.get::<Known>(ID) {
        Some(known) if at.response.status() > 100 => {
            write(env, &at.response, at.draft, known.history.clone(), !known.inside);
        }
        _ => {}
    }
    Verdict::Pass
}

/// The same for a response of our own.
pub(super) fn reply(env: &Env<'_>, at: &mut ProxyReply<'_>) -> Verdict {
    let said = at.fields.get("History-Info").is_some();
    if at.status <= 100 || said || !asked(&at.request) || !settings(env).insert {
        return Verdict::Pass;
    }
    let slots: Option<&Slots> = at.slots.as_deref();
    let kept = slots.and_then(|slots| slots.get::<Known>(ID)).cloned();
    let mut known = kept.unwrap_or_else(|| begin(env, &at.request, None));
    if !known.inside {
        known.history.uncover(privacy(&at.request).0, |uri| is_own(env.element, uri));
    }
    for entry in known.history.iter() {
        at.fields.push("History-Info", entry.value());
    }
    Verdict::Pass
}
