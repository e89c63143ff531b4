//! What brought other SIP programs down, or let somebody in, as far as it has been published: each case
//! is sent to a running server, which must answer as the RFC says or be silent, and go on.

use crate::{
    peer::{Message, Peer, Stream, answer, unique},
    towel::{DOMAIN, Towel},
};
use std::{sync::LazyLock, time::Duration};

static SERVER: LazyLock<Towel> = LazyLock::new(|| {
    Towel::start(
        &[],
        "[auth]\nregister = false\ncalls = false\n[register]\nknown-users-only = false\n",
    )
});

/// One that asks everybody who they are.
static CLOSED: LazyLock<Towel> = LazyLock::new(|| Towel::start(&["alice", "bob"], ""));

/// Sends it, and sees that the server is alive and answers a plain question by the same socket. Gives the
/// status of what came in between, 0 for nothing.
fn survives(peer: &Peer, bytes: &[u8]) -> u16 {
    peer.send_bytes(bytes);
    let question = peer.request("OPTIONS", &format!("sip:{DOMAIN}"), "");
    let id = Message::parse(question.as_bytes()).field("Call-ID").to_owned();
    peer.send(&question);
    let mut status = 0;
    loop {
        let response = peer.final_response();
        if response.field("Call-ID") == id {
            assert_eq!(response.status(), 200, "{}", response.text);
            return status;
        }
        status = response.status();
    }
}

fn options(peer: &Peer, more: &str) -> String {
    peer.request("OPTIONS", &format!("sip:{DOMAIN}"), more)
}

/// A method of kilobytes in CSeq with a Via of RFC 2543's time (CVE-2017-9372), CSeq values of any kind.
#[test]
fn cseq_of_every_size_with_and_without_a_branch() {
    let peer = Peer::new(&SERVER);
    for method in ["A".repeat(4_000), "A".repeat(15_000), "%s%n%x".repeat(20)] {
        let text = peer.request(&method, &format!("sip:{DOMAIN}"), "");
        let via = Message::parse(text.as_bytes()).field("Via").to_owned();
        assert_eq!(survives(&peer, text.as_bytes()), 501);
        let old = text.replace(&via, via.split(';').next().unwrap_or_default());
        assert_eq!(survives(&peer, old.as_bytes()), 501);
    }
    for value in ["abcdefg", "115211521152 OPTIONS", "", " ", "1", "-1 OPTIONS", "1 1 OPTIONS", "9"]
    {
        assert_eq!(survives(&peer, options(&peer, &format!("CSeq: {value}\r\n")).as_bytes()), 400);
    }
}

/// An empty To tag, To twice (CVE-2018-14767), a Via that is none (CVE-2018-16657), one without end.
#[test]
fn to_tags_and_vias_that_are_none() {
    let peer = Peer::new(&SERVER);
    let to = "To: <sip:a@b.test>;tag=\r\n";
    assert_eq!(survives(&peer, options(&peer, to).as_bytes()), 400);
    assert_eq!(
        survives(&peer, options(&peer, &format!("{to}To: <sip:c@d.test>\r\n")).as_bytes()),
        400
    );
    assert_eq!(
        survives(&peer, options(&peer, "From: <sip:>;sip:;x@b.test;tag=1\r\n").as_bytes()),
        400
    );
    assert_eq!(survives(&peer, options(&peer, "From: <sip:@b.test>;tag=1\r\n").as_bytes()), 400);
    let plain = options(&peer, "");
    let via = Message::parse(plain.as_bytes()).field("Via").to_owned();
    for (bad, expected) in [
        (";;", 400),
        (",", 400),
        (";branch=", 400),
        (";branch=z9hG4bK1;branch=z9hG4bK2", 400),
        (";i=", 400),
        (";received=", 400),
        (";rport=99999999", 400),
        (";x=\"", 400),
        ("\0", 400),
    ] {
        let text = options(&peer, "").replacen("Via: ", "Via: VIA", 1);
        let start = text.find("Via: VIA").unwrap_or_default();
        let end = start + text[start..].find("\r\n").unwrap_or_default();
        let text = format!("{}Via: {via}{bad}{}", &text[..start], &text[end..]);
        assert_eq!(survives(&peer, text.as_bytes()), expected, "{bad:?}");
    }
    for via in [
        "",
        "/",
        "SIP/2.0/UDP",
        "SIP/2.0/UDP ;branch=x",
        "SIP",
        "SIP/2.0/UDP [",
        "SIP/2.0/UDP :5060",
    ] {
        let text = plain.replacen("Via: ", &format!("Via: {via}\r\nX: "), 1);
        assert_eq!(survives(&peer, text.as_bytes()), 0, "{via:?}");
    }
}

/// Every header field that RFC 3261 knows, with values that have felled somebody: a lone slash
/// (CVE-2021-33056), nothing at all, a percent sign, quotes and brackets that do not end, folds with NUL.
#[test]
fn every_field_with_every_odd_value() {
    const NAMES: [&str; 46] = [
        "Accept",
        "Accept-Encoding",
        "Accept-Language",
        "Alert-Info",
        "Allow",
        "Authentication-Info",
        "Authorization",
        "Call-ID",
        "Call-Info",
        "Contact",
        "Content-Disposition",
        "Content-Encoding",
        "Content-Language",
        "Content-Length",
        "Content-Type",
        "CSeq",
        "Date",
        "Error-Info",
        "Expires",
        "From",
        "In-Reply-To",
        "Max-Forwards",
        "Min-Expires",
        "MIME-Version",
        "Organization",
        "Priority",
        "Proxy-Authenticate",
        "Proxy-Authorization",
        "Proxy-Require",
        "Record-Route",
        "Reply-To",
        "Require",
        "Retry-After",
        "Route",
        "Server",
        "Subject",
        "Supported",
        "Timestamp",
        "To",
        "Unsupported",
        "User-Agent",
        "Via",
        "Warning",
        "WWW-Authenticate",
        "Identity",
        "Path",
    ];
    const VALUES: [&str; 20] = [
        "",
        "/",
        "%",
        "<",
        ">",
        "\"",
        "\\",
        ";",
        ",",
        "=",
        "<>",
        "<sip:>",
        "<sip:%>",
        "*",
        "\"\" <\0>",
        "a\r\n \0b",
        "-1",
        "99999999999999999999",
        "x=\"\\",
        "Digest username=\"a\", =",
    ];
    let (peer, user) = (Peer::new(&SERVER), unique("u"));
    peer.bind(&user);
    let uris = [format!("sip:{DOMAIN}"), format!("sip:{user}@{DOMAIN}")];
    for method in ["OPTIONS", "REGISTER"] {
        for name in NAMES {
            for (value, uri) in
                VALUES.iter().flat_map(|value| uris.iter().map(move |uri| (value, uri)))
            {
                // In the place of what must be there, or besides it.
                peer.send(&peer.request(method, uri, &format!("{name}: {value}\r\n")));
            }
            survives(&peer, b"");
        }
    }
    let mut stream = Stream::new(&SERVER);
    for name in NAMES.into_iter().filter(|name| !matches!(*name, "Content-Length" | "Via")) {
        for value in VALUES {
            let text = stream.request("OPTIONS", &uris[0], "", "");
            stream.send(text.replacen(
                "Max-Forwards",
                &format!("{name}: {value}\r\nMax-Forwards"),
                1,
            ));
            let status = stream.final_response().status();
            assert!([200, 400, 420].contains(&status), "{name}: {value:?}: {status}");
        }
    }
}

/// Bodies of several parts that are none, or empty (CVE-2017-9359, CVE-2022-21723), a body whose type
/// nobody tells, session descriptions that felled their readers: to us they are bodies.
#[test]
fn bodies_that_are_not_what_they_say() {
    let peer = Peer::new(&SERVER);
    for (kind, body, expected) in [
        ("multipart/mixed;boundary=b", "--b\r\n--b\r\n--b--", 200),
        ("multipart/mixed;boundary=b", "--b\r\n\r\n--b--", 200),
        ("multipart/mixed;boundary=b", "--b", 200),
        ("multipart/mixed;boundary=b", "--b--", 200),
        ("multipart/mixed;boundary=b", "b", 400),
        ("multipart/mixed;boundary=\"\"", "----", 400),
        ("multipart/mixed;boundary=", "----", 415),
        ("multipart/mixed", "--\r\n\r\n----", 400),
        ("multipart/mixed;boundary=b", "--b\r\nContent-Type", 200),
        ("multipart/mixed;boundary=b", "--b\r\n:\r\n\r\n\r\n--b--", 200),
        ("application/sdp", "v=0\r\nm=audio 17000 RTP/AVP 4294967296\r\n", 200),
        ("application/sdp", "v=0\r\na=fmtp\0:101 0-16\r\nc=IN IP4 ;;\r\nm=\r\n", 200),
        ("", "v=0", 415),
    ] {
        let more = format!("Content-Type: {kind}\r\n");
        let text = peer.request_with_body("OPTIONS", &format!("sip:{DOMAIN}"), &more, body);
        assert_eq!(survives(&peer, text.as_bytes()), expected, "{kind} {body:?}");
    }
    let bare = peer.request_with_body("OPTIONS", &format!("sip:{DOMAIN}"), "", "v=0");
    assert_eq!(survives(&peer, bare.as_bytes()), 200);
}

/// A Content-Length that is negative or overflows, on a stream and in a datagram; data without end behind
/// it or without any.
#[test]
fn lengths_that_overflow() {
    let peer = Peer::new(&SERVER);
    for length in [
        "-1",
        "-2147483648",
        "2147483648",
        "4294967295",
        "4294967296",
        "18446744073709551615",
        "1e9",
    ] {
        let more = format!("Content-Length: {length}\r\n");
        assert_eq!(survives(&peer, options(&peer, &more).as_bytes()), 400, "{length}");
        let mut stream = Stream::new(&SERVER);
        let text = stream.request("OPTIONS", &format!("sip:{DOMAIN}"), "", "");
        stream.send(text.replace("Content-Length: 0", &format!("Content-Length: {length}")));
        assert!([400, 413, 513].contains(&stream.final_response().status()), "{length}");
        assert!(stream.is_closed(), "{length}");
    }
    let mut stream = Stream::new(&SERVER);
    for _ in 0..400 {
        stream.send([b'A'; 1000]);
    }
    assert!(stream.is_closed(), "what has no end is cut off");
}

/// A name is read as RFC 3261 has it, with blanks before the colon and nothing else: `To\u{1}:` is not To
/// (CVE-2016-9938), and `To :` is (CVE-2020-28361).
#[test]
fn names_of_header_fields_cannot_be_disguised() {
    let peer = Peer::new(&CLOSED);
    let ask = |more: &str| peer.ask(&peer.request("MESSAGE", &format!("sip:bob@{DOMAIN}"), more));
    let claim = format!("From: <sip:alice@{DOMAIN}>;tag=1\r\n");
    assert_eq!(ask(&claim).status(), 407);
    for odd in ['\u{1}', '\u{b}', '\u{7f}', '\u{a0}'] {
        let disguised = format!("{claim}To{odd}: <sip:bob@{DOMAIN}>;tag=2\r\n");
        assert_eq!(ask(&disguised).status(), 400, "{odd:?}");
    }
    for spelled in ["From :", "FROM\t:", "f:", "F \t:"] {
        let text = peer.request("MESSAGE", &format!("sip:bob@{DOMAIN}"), "");
        let start = text.find("From: ").unwrap_or_default();
        let end = start + text[start..].find("\r\n").unwrap_or_default();
        let one = format!("{}{spelled} <sip:alice@{DOMAIN}>;tag=1{}", &text[..start], &text[end..]);
        assert_eq!(peer.ask(&one).status(), 407, "{spelled}");
        let two =
            format!("{}{spelled} <sip:alice@{DOMAIN}>;tag=1{}", &text[..end + 2], &text[end..]);
        assert_eq!(peer.ask(&two).status(), 400, "{spelled} as a second one");
    }
}

/// What is taken out of a request is taken out however it is spelled: here the Route that led to us.
#[test]
fn what_a_proxy_takes_out_is_out_however_it_is_spelled() {
    let (phone, peer, user) = (Peer::new(&SERVER), Peer::new(&SERVER), unique("u"));
    phone.bind(&user);
    for spelled in ["Route:", "Route :", "ROUTE\t:", "route \t :", "Route:\r\n"] {
        let more = format!("{spelled} <sip:{};lr>\r\n", SERVER.address());
        peer.send(&peer.request("MESSAGE", &format!("sip:{user}@{DOMAIN}"), &more));
        let arrived = phone.next();
        assert!(!arrived.text.to_ascii_lowercase().contains("route"), "{}", arrived.text);
        phone.send(&answer(&arrived, "200 OK", "t", ""));
        assert_eq!(peer.final_response().status(), 200);
    }
}

/// MESSAGE and SUBSCRIBE in the name of a user of ours are no more believed than INVITE is
/// (CVE-2021-37624, CVE-2021-41157), and a challenge from anywhere is not answered (CVE-2021-41158).
#[test]
fn nobody_speaks_in_the_name_of_a_user() {
    let peer = Peer::new(&CLOSED);
    for method in
        ["INVITE", "MESSAGE", "SUBSCRIBE", "NOTIFY", "PUBLISH", "REFER", "OPTIONS", "TOWEL"]
    {
        let claim = format!("From: <sip:alice@{DOMAIN}>;tag={}\r\n", unique("f"));
        let done = peer.ask(&peer.request(method, &format!("sip:bob@{DOMAIN}"), &claim));
        assert_eq!(done.status(), 407, "{method}: {}", done.text);
        if method == "INVITE" {
            let ack = answer(&done, "", "", "").replacen(
                "SIP/2.0 ",
                &format!("ACK sip:bob@{DOMAIN} SIP/2.0"),
                1,
            );
            peer.send(&ack.replace("INVITE", "ACK"));
        }
    }
    // Broken credentials (CVE-2023-28098) are as good as none.
    for credentials in [
        "Digest",
        "Digest ",
        "Digest =",
        "Digest username",
        "Digest username=",
        "Basic",
        "\"",
        "Digest ,,,",
    ] {
        let claim =
            format!("From: <sip:alice@{DOMAIN}>;tag=1\r\nProxy-Authorization: {credentials}\r\n");
        let done = peer.ask(&peer.request("MESSAGE", &format!("sip:bob@{DOMAIN}"), &claim));
        assert!([400, 407].contains(&done.status()), "{credentials}: {}", done.text);
    }
}

/// A STUN message whose attributes say that they are longer than they are (CVE-2023-22741), among SIP.
#[test]
fn stun_that_lies_about_its_length() {
    let peer = Peer::new(&SERVER);
    let mut stun = vec![0, 1, 0, 8, 0x21, 0x12, 0xa4, 0x42];
    stun.extend([7; 12]);
    for attribute in [[0x80, 0x22, 0xff, 0xff, 1, 2, 3, 4], [0, 6, 0, 0, 0, 6, 0, 9]] {
        let message = [&stun[..], &attribute].concat();
        for cut in 0..=message.len() {
            let fresh = Peer::new(&SERVER);
            fresh.send_bytes(&message[..cut]);
        }
    }
    assert_eq!(survives(&peer, b""), 0);
}

/// Connections that say nothing take nobody else's place (CVE-2016 of PJSIP: some 60 were the end).
#[test]
fn connections_that_say_nothing_harm_nobody() {
    let silent: Vec<Stream> = (0..200).map(|_| Stream::new(&SERVER)).collect();
    let mut stream = Stream::new(&SERVER);
    stream.send(stream.request("OPTIONS", &format!("sip:{DOMAIN}"), "", ""));
    assert_eq!(stream.final_response().status(), 200);
    drop(silent);
}

/// Call-IDs, users and numbers of 4 kB; formats; a whole datagram of one line.
#[test]
fn long_values_everywhere() {
    let (peer, long) = (Peer::new(&SERVER), "A".repeat(4096));
    for more in [
        format!("Call-ID: {long}\r\n"),
        format!("From: \"{long}\" <sip:{long}@b.test>;tag={long}\r\n"),
        format!("To: <sip:{long}@b.test;{long}={long}?{long}={long}>\r\n"),
        format!("User-Agent: {}\r\n", "%s%n".repeat(1000)),
        format!("X-{long}: {long}\r\n"),
        format!("Supported: {}a\r\n", "a,".repeat(2000)),
        format!("Contact: {}<sip:a@b>\r\n", "<sip:a@b>,".repeat(1000)),
        format!("Subject: {}\r\n", "\r\n ".repeat(2000)),
    ] {
        assert_eq!(survives(&peer, options(&peer, &more).as_bytes()), 200, "{}", &more[..20]);
    }
    let huge = "x".repeat(60_000);
    assert_eq!(survives(&peer, huge.as_bytes()), 0);
    assert_eq!(survives(&peer, format!("OPTIONS {huge} SIP/2.0").as_bytes()), 0);
    let parentheses = format!("User-Agent: {}\r\n", "(".repeat(10_000));
    assert_eq!(survives(&peer, options(&peer, &parentheses).as_bytes()), 200);
    std::thread::sleep(Duration::from_millis(1));
}
