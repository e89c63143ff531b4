//! What the property tests and the fuzz targets do to bytes: everything that can be done to them.
//! Shared by path with `/fuzz`.

#![allow(dead_code, unreachable_pub, reason = "each user takes what it needs")]

use std::net::SocketAddr;
use towel_message::frame::{Framed, StreamFramer};
use towel_message::{
    Draft, Index, Limits, Message, Name, NameAddr, Uri, Via, build, check, check_contacts, date,
    fields, scan, uri,
};

/// Reads bytes as a message and asks for all of it.
pub fn message(bytes: &[u8]) {
    let mut index = Index::new();
    let Ok(message) = Message::parse(bytes, &mut index, &Limits::default()) else { return };
    let fine = check(&message).is_ok();
    let _ = check_contacts(&message);
    let _ = (message.method(), message.reason(), message.version(), message.status());
    let _ = (message.cseq(), message.max_forwards(), message.expires(), message.call_id());
    for field in message.all() {
        assert_eq!(message.slice(field.span), field.value);
        assert!(message.slice(field.line).starts_with(field.name_bytes));
    }
    for name in Name::ALL {
        assert_eq!(message.has(*name), message.fields(*name).next().is_some());
        for value in message.values(*name) {
            assert_eq!(message.slice(value.span), value.bytes);
        }
        for address in message.name_addrs(*name).flatten() {
            let _ = (address.check(), address.q(), address.expires(), address.tag());
        }
    }
    headers(bytes);
    let source: SocketAddr = "192.0.2.9:5099".parse().unwrap();
    for via in message.vias().flatten() {
        let _ = (via.check(), via.received(), via.maddr(), via.ttl(), via.unique_branch());
        let mut out = Vec::new();
        via.write_received(source, &mut out);
        if fine {
            let stamped = Via::parse(&out).unwrap();
            assert_eq!(stamped.branch(), via.branch());
        }
    }
    if let Some(Ok(parts)) = message.parts() {
        for part in parts {
            let _ = (part.find("application/sdp"), part.is_optional(), part.fields().count());
        }
    }
    drafts(&message, fine, source);
    answers(&message, fine, source);
}

/// A draft without edits is the message; one with edits is still a message, if it was one.
fn drafts(message: &Message<'_>, fine: bool, source: SocketAddr) {
    let mut draft = Draft::new(*message);
    let mut out = Vec::new();
    draft.write(&mut out);
    assert_eq!(out, message.bytes());
    let mark = draft.mark();
    draft.stamp_top_via(source);
    draft.push_top(Name::Via, b"SIP/2.0/UDP proxy.example.com;branch=z9hG4bKp");
    draft.push_top(Name::RecordRoute, b"<sip:proxy.example.com;lr>");
    draft.append("X-Towel", b"42");
    if message.is_request() {
        draft.set_request_uri(b"sip:ford@192.0.2.7");
    }
    if let Some(route) = message.values(Name::Route).next() {
        draft.remove_value(&route);
    }
    draft.set(Name::MaxForwards, b"69");
    out.clear();
    draft.write(&mut out);
    let mut index = Index::new();
    let edited = Message::parse(&out, &mut index, &Limits::default());
    if fine {
        let edited = edited.unwrap();
        assert_eq!(check(&edited), Ok(()), "{}", String::from_utf8_lossy(&out));
        assert_eq!(edited.body(), message.body());
        assert_eq!(edited.top_via().unwrap().branch(), Some(&b"z9hG4bKp"[..]));
        let before = message.values(Name::Route).count();
        assert_eq!(edited.values(Name::Route).count(), before.saturating_sub(1));
        assert_eq!(edited.max_forwards(), Ok(Some(69)));
    }
    draft.rewind(mark);
    out.clear();
    draft.write(&mut out);
    assert_eq!(out, message.bytes());
}

/// A response to a well-formed request is well formed; to any other it is at least no panic.
fn answers(message: &Message<'_>, fine: bool, source: SocketAddr) {
    if !message.is_request() {
        return;
    }
    let mut out = Vec::new();
    build::ResponseBuilder::to(message, 400, "Bad Request")
        .to_tag(b"t42")
        .source(source)
        .record_route()
        .write(&mut out);
    let mut index = Index::new();
    let response = Message::parse(&out, &mut index, &Limits::default()).unwrap();
    if fine {
        assert_eq!(check(&response), Ok(()), "{}", String::from_utf8_lossy(&out));
        assert!(response.to_tag().is_some());
        let mut ack = Vec::new();
        build::ack_for_non_2xx(message, &response, &mut ack);
        build::cancel_for(message, &mut ack);
    }
}

/// Reads bytes as the value of every kind of header field.
pub fn headers(bytes: &[u8]) {
    let value = scan::trim(bytes);
    if let Ok(via) = Via::parse(value) {
        let _ = via.check();
    }
    if let Ok(address) = NameAddr::parse(value) {
        let _ = address.check();
    }
    let _ = date::parse(value);
    let mut out = Vec::new();
    scan::unfold(value, &mut out);
    scan::unquote(value, &mut out);
    fields(value);
}

fn fields(value: &[u8]) {
    if let Ok(credentials) = fields::Credentials::parse(value) {
        let _ = (credentials.params.nonce_count(), credentials.params.has("qop", "auth"));
        let mut out = Vec::new();
        for (name, _) in credentials.params.iter() {
            let _ = credentials.params.text(&String::from_utf8_lossy(name), &mut out);
        }
    }
    let _ = fields::MediaType::parse(value).map(|kind| (kind.q(), kind.takes("text/plain")));
    let _ = fields::Disposition::parse(value).map(|d| d.is_optional());
    let _ = fields::Weighted::parse(value).q();
    let _ = fields::Info::parse(value).map(|info| info.purpose().is_some());
    let _ = fields::RetryAfter::parse(value).map(|retry| retry.duration());
    let _ = (fields::Timestamp::parse(value), fields::Warning::parse(value));
    let _ = fields::Reason::parse(value).map(|reason| (reason.cause(), reason.text().is_some()));
    let _ = fields::Preference::parse(value).map(|p| (p.require(), p.explicit()));
    let _ = (fields::products(value).count(), fields::mime_version(value));
}

/// Reads bytes as two URIs, one after the first line end, and compares them both ways.
pub fn uris(bytes: &[u8]) {
    let mut lines = bytes.splitn(2, |b| *b == b'\n');
    let (Some(one), two) = (lines.next(), lines.next()) else { return };
    let two = two.unwrap_or(one);
    let mut key = Vec::new();
    let (Ok(a), Ok(b)) = (Uri::parse(one), Uri::parse(two)) else { return };
    assert!(uri::equivalent(&a, &a), "{}", String::from_utf8_lossy(one));
    assert_eq!(uri::equivalent(&a, &b), uri::equivalent(&b, &a));
    for uri in [&a, &b] {
        key.clear();
        uri::address_of_record(uri, &mut key);
        let again = Uri::parse(&key).expect("the key of a URI is a URI");
        let mut twice = Vec::new();
        uri::address_of_record(&again, &mut twice);
        assert_eq!(key, twice, "the key of a key is the key");
    }
}

/// Whatever way a stream is cut into pieces, the same comes out of it.
pub fn framing(bytes: &[u8], cuts: &[usize]) {
    fn kind(framed: &Framed<'_>) -> Option<(u8, Vec<u8>)> {
        match framed {
            Framed::Message(bytes) => Some((0, bytes.to_vec())),
            Framed::Ping => Some((1, Vec::new())),
            Framed::Pong => Some((2, Vec::new())),
            // How much of the head was there depends on the pieces.
            Framed::Broken { .. } => Some((3, Vec::new())),
        }
    }
    let limits = Limits { max_head: 512, max_body: 512, max_message: 1024, ..Limits::default() };
    let mut whole = Vec::new();
    StreamFramer::new(limits).feed(bytes, |framed| whole.extend(kind(&framed)));
    let (mut pieces, mut pushed) = (Vec::new(), Vec::new());
    let mut framer = StreamFramer::new(limits);
    let mut other = StreamFramer::new(limits);
    let mut rest = bytes;
    let mut cuts = cuts.iter().copied().chain(std::iter::repeat(7));
    while !rest.is_empty() {
        let (piece, more) = rest.split_at(cuts.next().unwrap_or(1).clamp(1, rest.len()));
        framer.feed(piece, |framed| pieces.extend(kind(&framed)));
        other.push(piece);
        while let Some(framed) = other.next() {
            pushed.extend(kind(&framed));
        }
        rest = more;
    }
    assert_eq!(whole, pieces);
    assert_eq!(whole, pushed);
}
