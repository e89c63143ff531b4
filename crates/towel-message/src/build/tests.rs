use super::*;
use crate::{Index, Limits, check};

fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = Vec::new();
    write(&mut out);
    let mut index = Index::new();
    let message = Message::parse(&out, &mut index, &Limits::default()).unwrap();
    assert_eq!(check(&message), Ok(()), "{}", String::from_utf8_lossy(&out));
    assert_eq!(message.bytes().len(), out.len());
    String::from_utf8(out).unwrap()
}

fn invite() -> Vec<u8> {
    RequestBuilder::new(Method::Invite, b"sip:ford@example.com")
        .via(b"SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1;rport, SIP/2.0/UDP b.example")
        .via(b"SIP/2.0/TCP c.example")
        .max_forwards(70)
        .from(b"<sip:arthur@example.com>;tag=a")
        .to(b"<sip:ford@example.com>")
        .call_id(b"42")
        .cseq(42)
        .contact(b"<sip:arthur@192.0.2.1>")
        .field(Name::Route, b"<sip:p.example;lr>")
        .field("Timestamp", b"54")
        .field(Name::RecordRoute, b"<sip:r.example;lr>")
        .body(b"application/sdp", b"v=0")
        .to_bytes()
}

fn with_invite(act: impl FnOnce(&Message<'_>)) {
    let bytes = invite();
    let mut index = Index::new();
    act(&Message::parse(&bytes, &mut index, &Limits::default()).unwrap());
}

#[test]
fn a_response_copies_what_it_must() {
    with_invite(|request| {
        let response = ResponseBuilder::to(request, 180, "Ringing")
            .to_tag(b"f")
            .record_route()
            .source("198.51.100.1:5099".parse().unwrap())
            .field(Name::Contact, b"<sip:ford@192.0.2.2>")
            .body(b"text/plain", b"hi");
        assert_eq!(
            text(|out| response.write(out)),
            "SIP/2.0 180 Ringing\r\n\
             Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1;rport=5099;received=198.51.100.1, SIP/2.0/UDP b.example\r\n\
             Via: SIP/2.0/TCP c.example\r\n\
             Record-Route: <sip:r.example;lr>\r\n\
             From: <sip:arthur@example.com>;tag=a\r\n\
             To: <sip:ford@example.com>;tag=f\r\n\
             Call-ID: 42\r\n\
             CSeq: 42 INVITE\r\n\
             Contact: <sip:ford@192.0.2.2>\r\n\
             Content-Type: text/plain\r\n\
             Content-Length: 2\r\n\r\nhi"
        );
    });
}

#[test]
fn a_100_has_the_timestamp_and_no_tag() {
    with_invite(|request| {
        let trying =
            text(|out| ResponseBuilder::to(request, 100, "Trying").to_tag(b"f").write(out));
        assert!(trying.contains("\r\nTimestamp: 54\r\n") && !trying.contains("tag=f"));
        assert!(!trying.contains("Record-Route"));
    });
}

#[test]
fn a_fault_is_answered_with_what_there_is() {
    let bytes =
        b"INVITE sip:x SIP/2.0\r\nv: SIP/2.0/UDP a.example;branch=1\r\nt: \"open\r\ni: 7\r\n\r\n";
    let mut index = Index::new();
    let request = Message::parse(bytes, &mut index, &Limits::default()).unwrap();
    let fault = check(&request).unwrap_err();
    let mut out = Vec::new();
    ResponseBuilder::to_fault(&request, &fault).to_tag(b"f").write(&mut out);
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "SIP/2.0 400 Missing From Header Field\r\n\
         Via: SIP/2.0/UDP a.example;branch=1\r\nTo: \"open;tag=f\r\nCall-ID: 7\r\n\
         Content-Length: 0\r\n\r\n"
    );
}

#[test]
fn ack_and_cancel_belong_to_the_transaction() {
    with_invite(|invite| {
        let mut bytes = Vec::new();
        ResponseBuilder::to(invite, 486, "Busy Here").to_tag(b"f").write(&mut bytes);
        let mut index = Index::new();
        let response = Message::parse(&bytes, &mut index, &Limits::default()).unwrap();
        let rest = |method: &str, tag: &str| {
            format!(
                "{method} sip:ford@example.com SIP/2.0\r\n\
                 Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1;rport\r\n\
                 Route: <sip:p.example;lr>\r\nMax-Forwards: 70\r\n\
                 From: <sip:arthur@example.com>;tag=a\r\nTo: <sip:ford@example.com>{tag}\r\n\
                 Call-ID: 42\r\nCSeq: 42 {method}\r\nContent-Length: 0\r\n\r\n"
            )
        };
        assert_eq!(text(|out| ack_for_non_2xx(invite, &response, out)), rest("ACK", ";tag=f"));
        assert_eq!(text(|out| cancel_for(invite, out)), rest("CANCEL", ""));
    });
}

#[test]
fn a_lone_line_end_is_not_repeated() {
    let bytes = b"OPTIONS sip:a.example SIP/2.0\r\nVia: SIP/2.0/UDP a.example;branch=z9hG4bK1\r\n\
        From: <sip:b@a.example>;tag=1\r\nTo: \"x\rX: y\" <sip:a.example>\r\n\
        Call-ID: 7\rX-Injected: 1\r\nCSeq: 1 OPTIONS\r\n\r\n";
    let mut index = Index::new();
    let request = Message::parse(bytes, &mut index, &Limits::default()).unwrap();
    let fault = check(&request).unwrap_err();
    let mut out = Vec::new();
    ResponseBuilder::to_fault(&request, &fault).to_tag(b"f").write(&mut out);
    let text = String::from_utf8(out).unwrap();
    assert!(text.contains("\r\nCall-ID: 7 X-Injected: 1\r\n"), "{text:?}");
    assert!(!text.replace("\r\n", "").contains(['\r', '\n']), "{text:?}");
}

#[test]
fn what_is_answered_has_all_that_an_answer_needs() {
    let answer = |to: &str, before: &str| {
        let text = format!(
            "OPTIONS sip:b@b.example SIP/2.0\r\n{before}v: SIP/2.0/UDP a.example\r\nf: <sip:a@a.example>;tag=1\r\n\
             {to}i: 1\r\nCSeq: 1 OPTIONS\r\n\r\n"
        );
        let mut index = Index::new();
        let request =
            Message::parse(text.as_bytes(), &mut index, &Limits::default()).expect("a request");
        let fault = check(&request).expect_err("a fault");
        let mut out = Vec::new();
        ResponseBuilder::to_fault(&request, &fault).to_tag(b"x").write(&mut out);
        String::from_utf8(out).expect("text")
    };
    // A To that cannot be read has a tag all the same, but never a second one.
    for (to, tags) in [
        ("\"Open <sip:b@b.example>", 1),
        ("< sip:b@b.example >", 1),
        ("<sip:b@b.example> junk", 1),
        ("< sip:b@b.example >; TAG = y", 0),
        ("<sip:b@b.example>;;tag=y", 0),
        ("", 0),
    ] {
        let response = answer(&format!("To: {to}\r\n"), "");
        assert!(response.starts_with("SIP/2.0 400 Malformed To"), "{response}");
        assert_eq!(response.matches(";tag=x\r\n").count(), tags, "{response}");
    }
    // Behind more header fields than are looked at stands what is needed.
    let response = answer("To: <sip:b@b.example>\r\n", &"X: y\r\n".repeat(300));
    assert!(response.starts_with("SIP/2.0 513"), "{response}");
    for line in ["Via: SIP/2.0/UDP a.example", "From: <sip:a@a.example>;tag=1", "Call-ID: 1"] {
        assert_eq!(response.matches(line).count(), 1, "{line}: {response}");
    }
    assert!(response.contains("To: <sip:b@b.example>;tag=x\r\n"), "{response}");
    assert!(response.contains("CSeq: 1 OPTIONS\r\n"), "{response}");
    let vias =
        format!("v: SIP/2.0/UDP z.example\r\n{}", "v: SIP/2.0/UDP y.example\r\n".repeat(300));
    assert!(answer("To: <sip:b@b.example>\r\n", &vias).contains("Call-ID: 1\r\n"));
}
