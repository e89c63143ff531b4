//! What a UAC and a UAS do (RFC 7044 sections 6 and 11).

use towel_core::contract::{Env, UacRequest, UacResponse, UasRequest, UasResponse, Verdict};
use towel_message::{Message, Name};

use super::entries::{Entry, History, Index, as_sip};
use super::{asked, settings};

/// Requests that make their own history: those outside of dialogs, but for the one that only a
/// registrar reads.
const OWN: [&[u8]; 6] = [b"INVITE", b"MESSAGE", b"OPTIONS", b"SUBSCRIBE", b"REFER", b"PUBLISH"];

/// Sections 6.1, 9.2 and 10.1.1.
pub(super) fn request(env: &Env<'_>, at: &mut UacRequest<'_>) -> Verdict {
    let settings = settings(env);
    if at.dialog.is_some() || !settings.own || !OWN.contains(&at.method) {
        return Verdict::Pass;
    }
    if at.given.get("History-Info").is_none() {
        let host = at.next_hop.split(|byte| *byte == b'@').next_back().unwrap_or_default();
        let host = host.split(|byte| matches!(byte, b';' | b'>')).next().unwrap_or_default();
        let host = host.strip_prefix(b"sip:").unwrap_or(host);
        let target = as_sip(at.request_uri, &String::from_utf8_lossy(host));
        at.fields.push("History-Info", Entry::new(&target, Index::first(), "").value());
    }
    if settings.private {
        return keep_private(at);
    }
    Verdict::Pass
}

/// Section 10.1.1: `history` stands beside what Privacy says, unless that is `header`.
fn keep_private(at: &mut UacRequest<'_>) -> Verdict {
    let has = |value: &[u8], name: &str| {
        let mut all = value.split(|byte| matches!(byte, b';' | b','));
        all.any(|one| one.trim_ascii().eq_ignore_ascii_case(name.as_bytes()))
    };
    let covers = |value: &[u8]| has(value, "history") || has(value, "header");
    if let Some(given) = at.given.get("Privacy") {
        if !covers(given) {
            return Verdict::refuse(400, "Privacy has to name history as well");
        }
        return Verdict::Pass;
    }
    match at.fields.get("Privacy").map(<[u8]>::to_vec) {
        Some(said) if covers(&said) => {}
        Some(mut said) => {
            said.extend_from_slice(b";history");
            at.fields.replace("Privacy", said);
        }
        None => at.fields.push("Privacy", "history"),
    }
    Verdict::Pass
}

/// What the history is worth telling somebody: where the request was before it came here.
fn tell(message: &Message<'_>, notes: &mut Vec<String>, all: bool) {
    let history = History::of(message);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mapped: Vec<Index> = history.iter().filter_map(|entry| entry.reference("mp")).collect();
    // The last one of a response says no more than its status does.
    let count = history.iter().count().saturating_sub(usize::from(!all));
    let mut places = Vec::new();
    for entry in history.iter().take(count) {
        let reasons = entry.headers("Reason");
        if reasons.is_empty() && !(all && mapped.contains(&entry.index)) {
            continue;
        }
        let reasons: Vec<String> = reasons.iter().map(|reason| text(reason)).collect();
        let why = match reasons.is_empty() {
            true => "sent on".to_owned(),
            false => reasons.join(", "),
        };
        places.push(format!("{} ({why})", text(entry.target())));
    }
    if places.is_empty() {
        return;
    }
    if history.has_gaps() {
        places.push("not all of it is known".to_owned());
    }
    notes.push(format!("history: {}", places.join("; ")));
}

/// Section 11: an application may want to know how the request came here.
pub(super) fn came(at: &mut UasRequest<'_>) -> Verdict {
    if at.request.to_tag().is_none() && at.request.has(Name::HistoryInfo) {
        tell(&at.request, at.notes, true);
    }
    Verdict::Pass
}

/// And where a request of ours has been.
pub(super) fn answered(at: &mut UacResponse<'_>) -> Verdict {
    if at.response.status() >= 200 && at.response.has(Name::HistoryInfo) {
        tell(&at.response, at.notes, false);
    }
    Verdict::Pass
}

/// Section 9.4.
pub(super) fn respond(env: &Env<'_>, at: &mut UasResponse<'_>) -> Verdict {
    if at.status <= 100 || !asked(&at.request) || at.fields.get("History-Info").is_some() {
        return Verdict::Pass;
    }
    let mut history = History::received(&at.request, env.element.domain());
    if settings(env).private
        && let Some(last) = history.last_mut()
    {
        last.add_header("Privacy", b"history");
    }
    for entry in history.iter() {
        at.fields.push("History-Info", entry.value());
    }
    Verdict::Pass
}
