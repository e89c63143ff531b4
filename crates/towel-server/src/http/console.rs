//! The console: one page, made here, that refreshes itself. No script.

use axum::extract::{Path, State as Take};
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::{BanRow, OverloadRow, State, api::away};
use crate::log::stamp;
use crate::trace::{Wanted, ladder};

const STYLE: &str = ":root{color-scheme:light dark}\
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem;color:#222;background:#fff}\
h1{font-size:1.4rem;margin:0}h2{font-size:1.05rem;margin:1.6rem 0 .4rem}table{border-collapse:collapse;width:100%}\
td,th{text-align:left;padding:.2rem .8rem .2rem 0;border-bottom:1px solid #8883;vertical-align:top}\
th{font-weight:600;white-space:nowrap}td{overflow-wrap:anywhere}td.w{white-space:nowrap}.n{color:#6b6b6b}code,pre{font:13px/1.35 ui-monospace,monospace}pre{overflow-x:auto}\
@media(prefers-color-scheme:dark){body{color:#ddd;background:#181818}a{color:#8bf}a:visited{color:#b9f}.n{color:#a0a0a0}}\
@media(max-width:44rem){body{margin:1rem auto}tr.h{display:none}\
table,tbody,tr,td,td.w{display:block;white-space:normal}td{border:0;padding:0 0 0 8rem;min-height:1.5em}\
tr{border-bottom:1px solid #8885;padding:.4rem 0}\
td::before{content:attr(data-l);float:left;margin-left:-8rem;width:7.5rem;color:#888}}";

fn page(title: &str, refresh: bool, body: Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width,initial-scale=1";
                @if refresh { meta http-equiv="refresh" content="5"; }
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body { (body) }
        }
    }
}

/// A moment as a person reads it: to the second, in UTC.
fn moment(micros: u64) -> String {
    let text = stamp(std::time::UNIX_EPOCH + std::time::Duration::from_micros(micros));
    text.split('.').next().unwrap_or(&text).replace('T', " ")
}

/// Seconds as a person says them.
fn span(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86400),
    }
}

pub(super) async fn home(Take(state): Take<State>) -> Response {
    let gathered = away(&state, |ask| {
        let about = ask.about();
        let bindings = ask.bindings(None, 0, 50)?;
        let users = ask.users(0, 50)?;
        let calls = ask.calls(30)?;
        let guard = (ask.overload()?, ask.bans()?);
        Ok::<_, super::Gone>((about, bindings, users, calls, guard))
    })
    .await;
    let Ok(Ok((about, bindings, users, calls, (overload, bans)))) = gathered else {
        return (StatusCode::SERVICE_UNAVAILABLE, "not answering\n").into_response();
    };
    let more = |shown: usize, total: usize, path: &str| {
        html! { @if total > shown { p.n { (total - shown) " more: " a href=(path) { (path) } } } }
    };
    let body = html! {
        h1 { "towel " span.n { (about.version) } }
        p.n {
            "up " (span(about.uptime)) ", data in " code { (about.data) } ", "
            a href="/metrics" { "metrics" } ", " a href="/api/bindings" { "bindings as JSON" }
        }
        p {
            "listening: " @for l in &about.listeners { code { (l) } " " }
            br; "domains: " @for d in &about.domains { code { (d) } " " }
        }
        (load(&overload))
        (refusing(&overload, &bans))
        h2 { (bindings.total) (if bindings.total == 1 { " binding" } else { " bindings" }) }
        @if !bindings.bindings.is_empty() {
            table {
                tr.h { th { "address of record" } th { "contact" } th { "ends in" } th { "q" } th { "flow" } }
                @for b in &bindings.bindings {
                    tr {
                        td data-l="who" { (b.address_of_record) } td data-l="contact" { code { (b.contact) } }
                        td.w data-l="ends in" { (span(b.expires)) } td data-l="q" { (b.q) }
                        td data-l="flow" { (b.flow) }
                    }
                }
            }
        }
        (more(bindings.bindings.len(), bindings.total, "/api/bindings?offset=50"))
        h2 { (users.total) (if users.total == 1 { " user" } else { " users" }) }
        @if !users.users.is_empty() {
            table {
                tr.h { th { "user" } th { "realm" } th { "defined in" } }
                @for u in &users.users {
                    tr {
                        td data-l="user" { (u.user) } td data-l="realm" { (u.realm) }
                        td data-l="defined in" { (match u.source { crate::users::Source::Store => "store", crate::users::Source::Configuration => "configuration" }) }
                    }
                }
            }
        }
        (more(users.users.len(), users.total, "/api/users?offset=50"))
        h2 { "Recent calls " span.n { "(UTC)" } }
        @if !about.tracing {
            p.n { "Messages are not being kept. Switch it on with " code { "towel trace --on" } "." }
        }
        @if !calls.is_empty() {
            table {
                tr.h { th { "began" } th { "request" } th { "from" } th { "to" } th { "messages" } th {} }
                @for c in &calls {
                    tr {
                        td.w data-l="began" { (moment(c.began)) } td.w data-l="request" { (c.method) }
                        td data-l="from" { (c.from) } td data-l="to" { (c.to) }
                        td data-l="messages" { (c.messages) }
                        td data-l="" { a href=(format!("/calls/{}", escape(&c.call_id))) { "ladder" } }
                    }
                }
            }
        }
    };
    Html(page("towel", true, body).into_string()).into_response()
}

/// How much of what there is room for is taken: what one wants to know first when something is wrong.
fn load(now: &OverloadRow) -> Markup {
    let (taken, most) = (now.transactions, now.most_transactions);
    html! {
        p.n {
            "messages wait " (now.wait) " ms, "
            (taken) " of " (most) " transactions under way or lingering, "
            (now.connections) (if now.connections == 1 { " connection" } else { " connections" })
            @if now.set_aside > 0 { ", " (now.set_aside) " requests set aside for what goes on" }
        }
    }
}

/// What is refused and to whom, where there is anything to tell.
fn refusing(overload: &OverloadRow, bans: &[BanRow]) -> Markup {
    let turned_away: u64 = overload.classes.iter().map(|row| row.refused + row.dropped).sum();
    html! {
        @if overload.overloaded {
            h2 {
                "Overload: more requests come than can be served"
                @if let Some(seconds) = overload.seconds { ", for " (span(seconds)) }
            }
        } @else if turned_away > 0 {
            h2 { "Overload is over" }
        }
        @if overload.overloaded || turned_away > 0 {
            table {
                tr.h { th { "requests" } th { "let in" } th { "answered 503" } th { "dropped" } }
                @for row in &overload.classes {
                    tr {
                        td data-l="requests" { (row.class) }
                        td data-l="let in" { (tenths(row.admitted_permille)) " %" }
                        td data-l="answered 503" { (row.refused) } td data-l="dropped" { (row.dropped) }
                    }
                }
            }
            @if overload.unread_permille > 0 {
                p.n { (tenths(overload.unread_permille)) " % of new requests are dropped unread by the kernel." }
            }
        }
        @if !overload.neighbours.is_empty() {
            h2 { "Neighbours to be spared " span.n { "(RFC 7339)" } }
            table {
                tr.h { th { "address" } th { "asked for" } th { "holds for" } th { "sent" } th { "held back" } }
                @for row in &overload.neighbours {
                    tr {
                        td data-l="address" { (row.address) }
                        td data-l="asked for" {
                            (row.value) (if row.algorithm == "rate" { " a second" } else { " % less" })
                        }
                        td data-l="holds for" { (row.milliseconds) " ms" }
                        td data-l="sent" { (row.sent) } td data-l="held back" { (row.held_back) }
                    }
                }
            }
        }
        @if !bans.is_empty() {
            h2 { (bans.len()) " banned" }
            table {
                tr.h { th { "address" } th { "for" } th { "why" } }
                @for ban in bans.iter().take(50) {
                    tr {
                        td data-l="address" {
                            (ban.address) @if let Some(port) = ban.port { " " (ban.transport) " " (port) }
                        }
                        td.w data-l="for" { (span(ban.seconds)) } td data-l="why" { (ban.why) }
                    }
                }
            }
            (more_bans(bans.len()))
        }
    }
}

fn more_bans(count: usize) -> Markup {
    html! { @if count > 50 { p.n { (count - 50) " more: " a href="/api/bans" { "/api/bans" } } } }
}

/// Thousandths as per cent.
fn tenths(permille: u64) -> String {
    format!("{}.{}", permille / 10, permille % 10)
}

pub(super) async fn call(Take(state): Take<State>, Path(call_id): Path<String>) -> Response {
    let wanted = Wanted::CallId(call_id.clone());
    let Ok(Ok(passed)) = away(&state, |ask| ask.trace(wanted)).await else {
        return (StatusCode::SERVICE_UNAVAILABLE, "not answering\n").into_response();
    };
    let body = html! {
        h1 { "Call " code { (call_id) } }
        p { a href="/" { "back" } }
        @if passed.is_empty() {
            p { "No message of it is kept any more." }
        } @else {
            pre { (ladder(&passed, true)) }
        }
    };
    Html(page("towel: a call", false, body).into_string()).into_response()
}

/// Percent-encodes a Call-ID for a path.
fn escape(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}
