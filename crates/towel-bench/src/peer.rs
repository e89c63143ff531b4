//! The phones at both ends: what they say, written as phones in use write it.

use std::io::Write as _;

use towel_core::auth::client::Session;
use towel_message::{Index, Limits, Message, Name};

use crate::rig::DOMAIN;

/// The port that callers send from.
pub const CALLER: u16 = 40_000;
/// The port that registered users are at.
pub const CALLEE: u16 = 40_001;

const COMMON: &str = "Max-Forwards: 70\r\nUser-Agent: phone 1.0\r\n";
const ABLE: &str = "Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE, PRACK, INFO, REFER, NOTIFY\r\n\
                    Supported: replaces, timer, outbound\r\n";
const SDP: &str = "v=0\r\no=- 3727 3727 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
                   m=audio 40000 RTP/AVP 0 8 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n\
                   a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=ptime:20\r\n\
                   a=sendrecv\r\n";
const TEXT: &str = "A hundred characters of plain text or a few more, which is about what people say \
                    to each other at once.";

/// Writes a REGISTER of user `user`, the `cseq`th of it, with credentials if there are some.
pub fn register(to: &mut Vec<u8>, user: usize, cseq: u32, session: Option<&mut Session>) {
    to.clear();
    let _ = write!(
        to,
        "REGISTER sip:{DOMAIN} SIP/2.0\r\n\
         Via: SIP/2.0/UDP 127.0.0.1:{CALLEE};branch=z9hG4bKr{user}.{cseq};rport\r\n{COMMON}\
         From: <sip:u{user}@{DOMAIN}>;tag=r{user}\r\nTo: <sip:u{user}@{DOMAIN}>\r\n\
         Call-ID: r{user}-1@bench\r\nCSeq: {cseq} REGISTER\r\n\
         Contact: <sip:u{user}@127.0.0.1:{CALLEE}>\r\nExpires: 3600\r\n"
    );
    if let Some(session) = session {
        let uri = format!("sip:{DOMAIN}");
        let value = session.answer(b"REGISTER", uri.as_bytes(), b"", "0a4f113b");
        to.extend_from_slice(b"Authorization: ");
        to.extend_from_slice(&value);
        to.extend_from_slice(b"\r\n");
    }
    to.extend_from_slice(b"Content-Length: 0\r\n\r\n");
}

/// Writes the INVITE of call `call` to user `user`.
pub fn invite(to: &mut Vec<u8>, call: u32, user: usize) {
    to.clear();
    let length = SDP.len();
    let _ = write!(
        to,
        "INVITE sip:u{user}@{DOMAIN} SIP/2.0\r\n\
         Via: SIP/2.0/UDP 127.0.0.1:{CALLER};branch=z9hG4bKi1.2.{call};rport\r\n{COMMON}\
         From: \"Caller {call}\" <sip:c{call}@{DOMAIN}>;tag=f{call}\r\nTo: <sip:u{user}@{DOMAIN}>\r\n\
         Call-ID: c{call}-2-1@bench\r\nCSeq: 1 INVITE\r\n\
         Contact: <sip:c{call}@127.0.0.1:{CALLER}>\r\n{ABLE}\
         Content-Type: application/sdp\r\nContent-Length: {length}\r\n\r\n{SDP}"
    );
}

/// Writes a request within the dialog that the 200 made.
pub fn in_dialog(to: &mut Vec<u8>, call: u32, method: &str, cseq: u32, dialog: &Dialog) {
    to.clear();
    let (target, first) = (&dialog.target, method.chars().next().unwrap_or('x'));
    let _ = write!(
        to,
        "{method} {target} SIP/2.0\r\n\
         Via: SIP/2.0/UDP 127.0.0.1:{CALLER};branch=z9hG4bK{first}1.2.{call};rport\r\n{COMMON}\
         From: \"Caller {call}\" <sip:c{call}@{DOMAIN}>;tag=f{call}\r\nCall-ID: c{call}-2-1@bench\r\n\
         CSeq: {cseq} {method}\r\n"
    );
    for route in &dialog.routes {
        let _ = write!(to, "Route: {route}\r\n");
    }
    let _ = write!(to, "To: {}\r\nContent-Length: 0\r\n\r\n", dialog.to);
}

/// Writes an OPTIONS or a MESSAGE to user `user`.
pub fn single(to: &mut Vec<u8>, method: &str, number: u32, user: usize) {
    to.clear();
    let (more, body) = match method {
        "MESSAGE" => ("Content-Type: text/plain\r\n", TEXT),
        _ => ("Accept: application/sdp\r\n", ""),
    };
    let length = body.len();
    let _ = write!(
        to,
        "{method} sip:u{user}@{DOMAIN} SIP/2.0\r\n\
         Via: SIP/2.0/UDP 127.0.0.1:{CALLER};branch=z9hG4bKo1.2.{number};rport\r\n{COMMON}\
         From: <sip:c{number}@{DOMAIN}>;tag=f{number}\r\nTo: <sip:u{user}@{DOMAIN}>\r\n\
         Call-ID: o{number}-2-1@bench\r\nCSeq: 1 {method}\r\n\
         {more}Content-Length: {length}\r\n\r\n{body}"
    );
}

/// Writes the answer of the called user to a request.
pub fn answer(to: &mut Vec<u8>, request: &[u8], status: u16, call: u32, user: usize) {
    let Ok((index, limits)) = indexed(request) else { return };
    let _ = limits;
    let message = Message::with_index(request, &index);
    to.clear();
    let reason = if status == 180 { "Ringing" } else { "OK" };
    let _ = write!(to, "SIP/2.0 {status} {reason}\r\n");
    let mut copy = |name: Name, more: &str| {
        for field in message.fields(name) {
            let _ = write!(to, "{name}: ");
            to.extend_from_slice(field.value);
            to.extend_from_slice(more.as_bytes());
            to.extend_from_slice(b"\r\n");
        }
    };
    copy(Name::Via, "");
    copy(Name::RecordRoute, "");
    copy(Name::From, "");
    let tag = format!(";tag=t{call}");
    copy(Name::To, if message.to_tag().is_some() { "" } else { &tag });
    copy(Name::CallId, "");
    copy(Name::CSeq, "");
    if message.method().as_bytes() == b"INVITE" {
        let _ = write!(to, "Contact: <sip:u{user}@127.0.0.1:{CALLEE}>\r\n");
        if status == 200 {
            let length = SDP.len();
            let _ = write!(
                to,
                "{ABLE}Content-Type: application/sdp\r\nContent-Length: {length}\r\n\r\n{SDP}"
            );
            return;
        }
    }
    let _ = write!(to, "Content-Length: 0\r\n\r\n");
}

/// What a caller keeps of a dialog.
#[derive(Debug, Default)]
pub struct Dialog {
    target: String,
    routes: Vec<String>,
    to: String,
}

impl Dialog {
    /// Takes what a 2xx says of the dialog.
    pub fn of(response: &[u8]) -> Option<Dialog> {
        let (index, _) = indexed(response).ok()?;
        let message = Message::with_index(response, &index);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let target = text(message.contacts().next()?.ok()?.uri);
        let mut routes: Vec<String> =
            message.values(Name::RecordRoute).map(|value| text(value.bytes)).collect();
        routes.reverse();
        Some(Dialog { target, routes, to: text(message.value(Name::To)?) })
    }
}

/// Takes up the first challenge of a 401 that can be answered.
pub fn challenged(response: &[u8], user: usize) -> Option<Session> {
    let (index, _) = indexed(response).ok()?;
    let message = Message::with_index(response, &index);
    let challenges = message.fields(Name::WwwAuthenticate).map(|field| field.value);
    Session::choose(challenges, &format!("u{user}"), &format!("pw{user}")).pop()
}

/// The status of a response.
pub fn status(response: &[u8]) -> u16 {
    indexed(response).map_or(0, |(index, _)| Message::with_index(response, &index).status())
}

fn indexed(bytes: &[u8]) -> Result<(Index, Limits), towel_message::ParseError> {
    let (mut index, limits) = (Index::new(), Limits::default());
    index.parse(bytes, &limits)?;
    Ok((index, limits))
}
