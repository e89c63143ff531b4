//! Requests with one thing wrong with them, or odd and right, sent to the server itself and through it
//! to a phone, over UDP and over TCP: RFC 3261 sections 7, 8.2, 16.3, 18.3, 19.1, 20 and 21.4, and what
//! RFC 4475 and RFC 5118 teach about them.

use crate::{
    peer::{Message, Peer, Stream, answer, unique},
    towel::{DOMAIN, Towel},
};
use std::sync::LazyLock;

static SERVER: LazyLock<Towel> = LazyLock::new(|| {
    Towel::start(
        &[],
        "[auth]\nregister = false\ncalls = false\n[register]\nknown-users-only = false\n",
    )
});

/// A plain request with lines changed: `Name: value` replaces the line of that name or is added, `-Name`
/// takes it out, `+line` adds one, `!line` is another Request-Line.
fn request(method: &str, uri: &str, via: &str, changes: &[&str], body: &[u8]) -> Vec<u8> {
    let mut lines: Vec<Vec<u8>> = [
        format!("{method} {uri} SIP/2.0"),
        format!("Via: SIP/2.0/{via};branch=z9hG4bK{}", unique("t")),
        "Max-Forwards: 70".to_owned(),
        format!("From: <sip:peer@elsewhere.test>;tag={}", unique("f")),
        "To: <sip:somebody@elsewhere.test>".to_owned(),
        format!("Call-ID: {}", unique("c")),
        format!("CSeq: 1 {method}"),
        format!("Content-Length: {}", body.len()),
    ]
    .map(String::into_bytes)
    .to_vec();
    let is = |line: &[u8], name: &str| line.starts_with(format!("{name}:").as_bytes());
    for change in changes {
        if let Some(name) = change.strip_prefix('-') {
            lines.retain(|line| !is(line, name));
        } else if let Some(line) = change.strip_prefix('+') {
            lines.push(line.as_bytes().to_vec());
        } else if let Some(line) = change.strip_prefix('!') {
            lines[0] = line.as_bytes().to_vec();
        } else {
            let name = change.split(':').next().unwrap_or_default();
            match lines.iter_mut().find(|line| is(line, name)) {
                Some(line) => *line = change.as_bytes().to_vec(),
                None => lines.push(change.as_bytes().to_vec()),
            }
        }
    }
    let mut bytes = lines.join(&b"\r\n"[..]);
    bytes.extend_from_slice(b"\r\n\r\n");
    bytes.extend_from_slice(body);
    bytes
}

/// What every answer of ours must be like (section 8.2.6).
fn assert_answers(request: &[u8], response: &Message) {
    let request = Message::parse(request);
    for name in ["Call-ID", "CSeq", "From"] {
        let (asked, told) = (request.all(name), response.all(name));
        assert_eq!(asked.first(), told.first(), "{name} of\n{}\n{}", request.text, response.text);
    }
    let length = response.field("Content-Length").parse();
    assert_eq!(length, Ok(response.body.len()), "{}", response.text);
    if request.has("To") && !request.field("To").is_empty() {
        let tag = response.field("To").to_ascii_lowercase().contains("tag");
        assert!(tag, "no To tag:\n{}", response.text);
    }
    let reason = response.start.splitn(3, ' ').nth(2).unwrap_or_default();
    assert!(!reason.is_empty(), "{}", response.text);
}

fn over_udp(peer: &Peer, method: &str, uri: &str, changes: &[&str], body: &[u8]) -> Message {
    let bytes = request(method, uri, &format!("UDP {}", peer.at()), changes, body);
    peer.send_bytes(&bytes);
    let response = peer.final_response();
    assert_answers(&bytes, &response);
    response
}

fn over_tcp(
    stream: &mut Stream,
    method: &str,
    uri: &str,
    changes: &[&str],
    body: &[u8],
) -> Message {
    let bytes = request(method, uri, &format!("TCP {}", stream.at()), changes, body);
    stream.send(&bytes);
    let response = stream.final_response();
    assert_answers(&bytes, &response);
    response
}

/// The status of a request to the server itself, the same by UDP and by TCP.
fn status(method: &str, uri: &str, changes: &[&str], body: &[u8]) -> u16 {
    let peer = Peer::new(&SERVER);
    let by_udp = over_udp(&peer, method, uri, changes, body).status();
    let mut stream = Stream::new(&SERVER);
    let by_tcp = over_tcp(&mut stream, method, uri, changes, body).status();
    assert_eq!(by_udp, by_tcp, "{method} {uri} {changes:?}");
    by_udp
}

#[track_caller]
fn all(expected: u16, changes: &[&str]) {
    let wrong: Vec<_> = changes
        .iter()
        .map(|change| (change, status("OPTIONS", &format!("sip:{DOMAIN}"), &[change], b"")))
        .filter(|(_, status)| *status != expected)
        .collect();
    assert!(wrong.is_empty(), "{expected} expected: {wrong:?}");
}

#[test]
fn the_request_line_7_1() {
    let line = |rest: &str| format!("!OPTIONS {rest}");
    let domain = |rest: &str| line(&format!("sip:{DOMAIN}{rest}"));
    all(200, &[&domain(" sip/2.0"), &domain(";x=y SIP/2.0"), &domain(";lr SIP/2.0")]);
    all(505, &[&domain(" SIP/3.0"), &domain(" SIP/1.0"), &domain(" SIP/2.1")]);
    all(416, &[&line("nobodyKnows:this SIP/2.0"), &line("soap.beep://192.0.2.1:3 SIP/2.0")]);
    all(
        400,
        &[
            &domain("  SIP/2.0"),
            &domain(" SIP/2.0 "),
            &domain(" SIP/2"),
            &domain(" HTTP/1.1"),
            &domain(""),
            &domain("; lr SIP/2.0"),
            &domain("?Route=%3Csip:x%3E SIP/2.0"),
            &domain(":x SIP/2.0"),
            &domain(":70000 SIP/2.0"),
            &line(&format!(" sip:{DOMAIN} SIP/2.0")),
            &line(&format!("<sip:{DOMAIN}> SIP/2.0")),
            &line("sip:bob@[2001:db8::1 SIP/2.0"),
            &line("sip:2001:db8::10 SIP/2.0"),
            &line("sip:b%zzb@x.test SIP/2.0"),
            &line("sip: SIP/2.0"),
        ],
    );
    let long = line(&format!("sip:{}@{DOMAIN} SIP/2.0", "x".repeat(9000)));
    all(414, &[&long]);
}

#[test]
fn methods_8_2_1() {
    let itself = format!("sip:{DOMAIN}");
    for (method, expected) in
        [("INVITE", 405), ("BYE", 405), ("MESSAGE", 405), ("SUBSCRIBE", 405), ("TOWEL", 501)]
    {
        let peer = Peer::new(&SERVER);
        let done = over_udp(&peer, method, &itself, &[], b"");
        assert_eq!(done.status(), expected, "{}", done.text);
        assert!(done.field("Allow").contains("OPTIONS"), "{}", done.text);
        if method == "INVITE" {
            let ack =
                answer(&done, "", "", "").replacen("SIP/2.0 ", &format!("ACK {itself} SIP/2.0"), 1);
            peer.send(&ack.replace("1 INVITE", "1 ACK"));
        }
    }
    assert_eq!(status("TOWEL", &itself, &["CSeq: 1 INVITE"], b""), 501);
    assert_eq!(status("OPTIONS", &itself, &["CSeq: 1 INVITE"], b""), 400);
    // RFC 4475 section 3.1.1.2: any token is a method.
    assert_eq!(status("!odd-Method0_*+`.%'~", &itself, &[], b""), 501);
}

#[test]
fn fields_that_every_element_needs_8_1_1() {
    all(
        400,
        &[
            "-From",
            "-Call-ID",
            "-CSeq",
            "-To",
            "+From: <sip:x@elsewhere.test>;tag=2",
            "+To: <sip:x@elsewhere.test>",
            "+i: other",
            "+CSeq: 1 OPTIONS",
            "+Max-Forwards: 70",
            "CSeq: 2147483648 OPTIONS",
            "CSeq: 36893488147419103232 OPTIONS",
            "CSeq: -1 OPTIONS",
            "CSeq: OPTIONS",
            "CSeq: 1",
            "Max-Forwards: 256",
            "Max-Forwards: -1",
            "Max-Forwards: many",
            "From: \"open <sip:x@elsewhere.test>;tag=1",
            "To: \"Mr. J. User <sip:j.user@elsewhere.test>",
            "To: \"Watson, Thomas\" < sip:t.watson@elsewhere.test >",
            "To: Watson, Thomas <sip:t.watson@elsewhere.test>",
            "To: <sip:a@[::1>",
            "Call-ID: two words",
            "+Via: garbage",
            "+Via:",
            "+No colon here",
            "+X: nul\0",
            "+X: a\rb",
            "Route: <sip:x",
        ],
    );
    all(
        200,
        &[
            "Max-Forwards: 0",
            "Max-Forwards: 255",
            "Max-Forwards: 0068",
            "-Max-Forwards",
            "CSeq: 0 OPTIONS",
            "CSeq: 2147483647 OPTIONS",
            "CSeq: 0009\r\n OPTIONS",
            "From: caller<sip:x@elsewhere.test>;tag=1",
            "From: \"quoted \\\" and \\\0\" <sip:x@elsewhere.test>;tag=1",
            "To: isbn:2983792873",
            "To: <sip:a@[2001:db8::1]:5060>",
            "Call-ID: word%ZK-!.*_+'@word`~)(><:\\/\"][?}{",
            "+X:",
            "+X:\r\n folded\r\n\tagain",
            "+UnknownHeaderWithUnusualValue: ;;,,;;,;",
            "+Date: Fri, 01 Jan 2010 16:00:00 EST",
            "+Expires: 99999999999999999999999999",
            "+Contact: ;;;",
            "+Warning: 1812 overture \"In Progress\"",
            "+Subject: \"open",
            "+X: \u{feff}\u{5927}\u{505c}\u{96fb}",
            "+Via: SIP/2.0/UNKNOWN t4.example.com;branch=z9hG4bKasd0f3en",
        ],
    );
    let parameters = (0..100).map(|n| format!(";p{n}=v")).collect::<String>();
    all(200, &[&format!("To: <sip:x@elsewhere.test>{parameters}")]);
    all(200, &[&format!("+X: {}", "y".repeat(8000))]);
    all(513, &[&format!("+{}X: y", "X: y\r\n".repeat(400))]);
}

#[test]
fn what_is_not_supported_is_listed_8_2_2_3_and_16_3() {
    let (peer, itself) = (Peer::new(&SERVER), format!("sip:{DOMAIN}"));
    let ask = |uri: &str, changes: &[&str]| over_udp(&peer, "OPTIONS", uri, changes, b"");
    let done = ask(&itself, &["Require: a, b", "Proxy-Require: c", "+Require: d"]);
    assert_eq!((done.status(), done.field("Unsupported")), (420, "a, b, d, c"));
    let user = unique("u");
    peer.bind(&user);
    let done = ask(&format!("sip:{user}@{DOMAIN}"), &["Require: a", "Proxy-Require: c"]);
    assert_eq!((done.status(), done.field("Unsupported")), (420, "c"));
}

#[test]
fn bodies_8_2_3() {
    let itself = format!("sip:{DOMAIN}");
    let mixed = "Content-Type: multipart/mixed;boundary=b";
    let body = "--b\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n--b--\r\n";
    let peer = Peer::new(&SERVER);
    for (changes, told) in [
        (&["Content-Type: application/unknownformat"][..], "Accept"),
        (&["c: application/unknownformat"], "Accept"),
        (&["Content-Type: application/sdp", "Content-Encoding: gzip"], "Accept-Encoding"),
        (&["Content-Type: application/sdp", "Content-Language: vogon"], "Accept-Language"),
        (&["Content-Type: application/sdp", "Content-Disposition: poetry"], "Accept"),
    ] {
        let done = over_udp(&peer, "OPTIONS", &itself, changes, b"body");
        assert_eq!(done.status(), 415, "{changes:?}");
        assert!(!done.field(told).is_empty(), "{}", done.text);
    }
    assert_eq!(status("OPTIONS", &itself, &[mixed], body.as_bytes()), 200);
    let whole: Vec<u8> = (0..=255).collect();
    assert_eq!(status("OPTIONS", &itself, &["Content-Type: application/sdp"], &whole), 200);
    let optional = ["Content-Type: x/y", "Content-Disposition: render;handling=optional"];
    assert_eq!(status("OPTIONS", &itself, &optional, b"body"), 200);
}

#[test]
fn a_datagram_and_its_content_length_18_3() {
    let (peer, itself) = (Peer::new(&SERVER), format!("sip:{DOMAIN}"));
    let ask = |changes: &[&str]| over_udp(&peer, "OPTIONS", &itself, changes, b"body").status();
    for bad in ["5", "9999", "-999", "x", "", "4 4", "4, 4", "0x4", "4294967300"] {
        assert_eq!(ask(&[&format!("Content-Length: {bad}")]), 400, "{bad}");
    }
    assert_eq!(ask(&["+l: 4"]), 400);
    for good in ["4", "3", "0", "004"] {
        assert_eq!(ask(&[&format!("Content-Length: {good}")]), 200, "{good}");
    }
    assert_eq!(ask(&["-Content-Length"]), 200);
    // What nobody can answer is no reason to fall over.
    let junk = ["\0", "\r\n", "OPTIONS", "SIP/2.0 200 OK\r\n\r\n", "x x SIP/2.0\r\nVia: x\r\n\r\n"];
    for text in junk {
        peer.send(text);
    }
    peer.send_bytes(&[0xff; 3000]);
    assert_eq!(ask(&[]), 200);
}

/// RFC 3261 section 16.6: what is not ours to look at leaves as it came.
#[test]
fn a_proxy_passes_on_what_it_does_not_understand() {
    let (phone, peer, user) = (Peer::new(&SERVER), Peer::new(&SERVER), unique("u"));
    phone.bind(&user);
    let uri = format!("sip:{user}@{DOMAIN}");
    let odd = [
        "+UnknownHeaderWithUnusualValue: ;;,,;;,;",
        "+NewFangledHeader:   newfangled value\r\n continued newfangled value",
        "+Date: Fri, 01 Jan 2010 16:00:00 EST",
        "+Require: nothingSupportsThis",
        "+Expires: 1000000000000000000000000",
        "+Contact: <sip:cal%6Cer@host5.example.net;%6C%72;n%61me=v%61lue%25%34%31>",
        "+X-\u{7e}!.%*_+`': \u{feff}\u{5927}\u{505c}\u{96fb}",
        "+s :",
        "+Content-Type: application/unknownformat",
        "+Record-Route: x",
        "To: \"BEL:\\\u{7} NUL:\\\0 DEL:\\\u{7f}\" <sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*@elsewhere.test>",
    ];
    for method in ["OPTIONS", "INVITE", "!odd-Method0_*+`.%'~"] {
        let body = [0, 13, 10, 13, 10, 255, b'x'];
        let bytes = request(method, &uri, &format!("UDP {}", peer.at()), &odd, &body);
        peer.send_bytes(&bytes);
        let arrived = phone.next();
        assert_eq!(arrived.method(), method);
        for change in odd {
            let line = change.trim_start_matches('+');
            assert!(
                arrived.text.contains(&format!("\r\n{line}\r\n")),
                "{line} in\n{}",
                arrived.text
            );
        }
        assert!(arrived.text.ends_with(&*String::from_utf8_lossy(&body)), "{}", arrived.text);
        // RFC 4475 sections 3.1.1.12 and 3.1.1.13.
        for start in ["200 = 2**3 * 5**2 \u{43d}\u{43e}", "200 "] {
            phone.send(&answer(&arrived, start, "t", ""));
            if method == "INVITE" || start != "200 " {
                assert_eq!(peer.next_but(&[]).start, format!("SIP/2.0 {start}"));
            }
        }
    }
}

/// RFC 4475 sections 3.1.2.5, 3.1.2.19 and 18.3: a response that is malformed is dropped.
#[test]
fn malformed_responses_go_nowhere() {
    let (phone, peer, user) = (Peer::new(&SERVER), Peer::new(&SERVER), unique("u"));
    phone.bind(&user);
    let uri = format!("sip:{user}@{DOMAIN}");
    peer.send_bytes(&request("OPTIONS", &uri, &format!("UDP {}", peer.at()), &[], b""));
    let arrived = phone.next();
    let good = answer(&arrived, "200 OK", "t", "");
    for bad in [
        good.replacen("200 OK", "4294967301 better not break the receiver", 1),
        good.replacen("200 OK", "700 x", 1),
        good.replacen("200 OK", "99 x", 1),
        good.replacen("SIP/2.0 200", "SIP/3.0 200", 1),
        good.replacen("1 OPTIONS", "9292394834772304023312 OPTIONS", 1),
        good.replacen("1 OPTIONS", "1 INVITE", 1),
        good.replacen("from: ", "x: ", 1),
        good.replacen("call-id: ", "x: ", 1),
        good.replacen("Content-Length: 0", "Content-Length: 10", 1),
        good.replacen("Content-Length: 0", "Content-Length: -1", 1),
        good.replacen("z9hG4bK", "z9hG4bKx", 1),
        good.replace("\r\n", "\n"),
    ] {
        phone.send(&bad);
    }
    peer.hears_nothing();
    phone.send(&good);
    assert_eq!(peer.next().status(), 200);
}
