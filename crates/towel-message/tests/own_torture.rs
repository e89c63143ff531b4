//! Torture messages of our own: every case of RFC 5118, and one thing wrong (or odd, and right) at a
//! time with an otherwise plain request.

use towel_message::{Draft, Index, Limits, Message, check};

fn outcome(bytes: &[u8]) -> String {
    let mut index = Index::new();
    let message = match Message::parse(bytes, &mut index, &Limits::default()) {
        Ok(message) => message,
        Err(_) => return "unanswerable".to_owned(),
    };
    let mut written = Vec::new();
    Draft::new(message).write(&mut written);
    assert_eq!(written, message.bytes());
    match check(&message) {
        Ok(()) => "accept".to_owned(),
        Err(_) if !message.is_request() => "drop".to_owned(),
        Err(fault) => {
            let field = fault.field.map_or("-", |field| field.as_str());
            // The reason names the field, whoever reads it.
            assert!(field == "-" || fault.reason.contains(field), "{fault}");
            format!("{} {field}", fault.status)
        }
    }
}

#[test]
fn the_cases_of_rfc_5118() {
    let mut count = 0;
    for case in include_str!("torture/rfc5118.txt").split("\n== ").skip(1) {
        let (title, text) = case.split_once('\n').unwrap();
        let (name, expected) = title.split_once(" | ").unwrap();
        // The text of a case ends in the line end before the next one; a message without a body in
        // an empty line.
        let text = text.trim_end_matches('\n');
        let end = if text.contains("\n\n") { "\n" } else { "\n\n" };
        let message = format!("{text}{end}").replace('\n', "\r\n");
        assert_eq!(outcome(message.as_bytes()), expected, "{name}");
        count += 1;
    }
    assert_eq!(count, 13);
}

/// A plain request, with its lines changed: a line whose name is the same is replaced, by nothing if
/// the new one has no value; any other is added.
fn request(changes: &[&str]) -> Vec<u8> {
    let mut lines = vec![
        "OPTIONS sip:ford@example.com SIP/2.0",
        "Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK42",
        "Max-Forwards: 70",
        "From: \"Arthur\" <sip:arthur@example.com>;tag=tea",
        "To: <sip:ford@example.com>",
        "Call-ID: 42@towel",
        "CSeq: 42 OPTIONS",
        "Content-Length: 0",
    ];
    let name = |line: &str| line.split(':').next().unwrap_or("").trim_end().to_owned();
    for change in changes {
        if let Some(removed) = change.strip_prefix('-') {
            lines.retain(|line| name(line) != removed);
        } else if let Some(added) = change.strip_prefix('+') {
            lines.push(added);
        } else if let Some(start) = change.strip_prefix('!') {
            lines[0] = start;
        } else {
            let at = lines.iter().position(|line| name(line) == name(change));
            match at {
                Some(at) => lines[at] = change,
                None => lines.push(change),
            }
        }
    }
    format!("{}\r\n\r\n", lines.join("\r\n")).into_bytes()
}

#[track_caller]
fn all(expected: &str, cases: &[&str]) {
    let wrong: Vec<_> = cases
        .iter()
        .map(|case| (case, outcome(&request(&[case]))))
        .filter(|(_, outcome)| outcome != expected)
        .collect();
    assert!(wrong.is_empty(), "expected {expected}: {wrong:#?}");
}

#[test]
fn the_request_line() {
    all(
        "accept",
        &[
            "!OPTIONS sip:ford@example.com sip/2.0",
            "!OPTIONS sip:example.com SIP/2.0",
            "!OPTIONS sips:ford@[::1]:5061;transport=tcp;lr SIP/2.0",
            "!OPTIONS tel:+1-201-555-0123 SIP/2.0",
            "!OPTIONS urn:service:sos SIP/2.0",
            "!OPTIONS http://example.com/?a=b#c SIP/2.0",
            "!OPTIONS nobodyKnows:anything SIP/2.0",
            "!OPTIONS sip:ford;day=thu?day@example.com SIP/2.0",
        ],
    );
    all(
        "400 -",
        &[
            "!OPTIONS sip:ford@example.com",
            "!OPTIONS sip:ford@example.com  SIP/2.0",
            "!OPTIONS  sip:ford@example.com SIP/2.0",
            "!OPTIONS sip:ford@example.com SIP/2.0 ",
            "!OPTIONS\tsip:ford@example.com\tSIP/2.0",
            "!OPTIONS SIP/2.0",
            "!OPTIONS  SIP/2.0",
            "!OPTIONS",
            "!OPTIONS sip:ford@example.com HTTP/1.1",
            "!OPTIONS sip:ford@example.com SIP/two",
            "!OPTIONS sip:ford@example.com SIP/2.",
            "!OPT<IONS sip:ford@example.com SIP/2.0",
            "!OPTIONS <sip:ford@example.com> SIP/2.0",
            "!OPTIONS \"Ford\" <sip:ford@example.com> SIP/2.0",
            "!OPTIONS sip:ford@example.com; lr SIP/2.0",
            "!OPTIONS sip:ford@ SIP/2.0",
            "!OPTIONS sip:@example.com SIP/2.0",
            "!OPTIONS sip: SIP/2.0",
            "!OPTIONS ford@example.com SIP/2.0",
            "!OPTIONS example.com SIP/2.0",
            "!OPTIONS sip:ford@example.com:99999 SIP/2.0",
            "!OPTIONS sip:ford@example.com: SIP/2.0",
            "!OPTIONS sip:ford@exam ple.com SIP/2.0",
            "!OPTIONS sip:ford@example..com SIP/2.0",
            "!OPTIONS sip:ford@256.0.0.1 SIP/2.0",
            "!OPTIONS sip:fo%rd@example.com SIP/2.0",
            "!OPTIONS sip:fo\"rd@example.com SIP/2.0",
            "!OPTIONS sip:f{o}rd@example.com SIP/2.0",
            "!OPTIONS sip:ford@example.com?Subject=x SIP/2.0",
            "!OPTIONS sip:ford@example.com;; SIP/2.0",
            "!OPTIONS sip:ford@example.com;lr;LR SIP/2.0",
            "!OPTIONS sip:a@b@example.com SIP/2.0",
        ],
    );
    all(
        "505 -",
        &[
            "!OPTIONS sip:ford@example.com SIP/7.0",
            "!OPTIONS sip:ford@example.com SIP/1.0",
            "!OPTIONS sip:ford@example.com SIP/2.1",
            "!OPTIONS sip:ford@example.com SIP/20.0",
        ],
    );
    let long = format!("!OPTIONS sip:{}@example.com SIP/2.0", "x".repeat(5000));
    all("414 -", &[&long]);
    all("unanswerable", &["!", "!(*) is no SIP", "!\u{0}\u{1}\u{2}"]);
}

#[test]
fn mandatory_fields() {
    for name in ["Via", "From", "To", "Call-ID", "CSeq"] {
        assert_eq!(outcome(&request(&[&format!("-{name}")])), format!("400 {name}"));
    }
    all("accept", &["-Max-Forwards", "-Content-Length"]);
    for line in ["f: <sip:a@b.example>;tag=1", "FROM: <sip:a@b.example>;tag=1"] {
        assert_eq!(outcome(&request(&[&format!("+{line}")])), "400 From");
    }
    for (line, name) in [
        ("+t: <sip:a@b.example>", "To"),
        ("+i: other", "Call-ID"),
        ("+cseq: 42 OPTIONS", "CSeq"),
        ("+Max-Forwards: 70", "Max-Forwards"),
        ("+l: 0", "Content-Length"),
    ] {
        assert_eq!(outcome(&request(&[line])), format!("400 {name}"));
    }
    all(
        "accept",
        &["+Via: SIP/2.0/TCP b.example", "+v: SIP/2.0/X c.example,SIP/2.0/UDP d.example"],
    );
}

#[test]
fn via() {
    all(
        "accept",
        &[
            "Via: SIP/2.0/UDP 192.0.2.1",
            "Via: SIP / 2.0 / UDP 192.0.2.1 : 5060 ; branch = z9hG4bK1 ; rport ; x",
            "Via:SIP/2.0/TLS-SCTP host.example.com;branch=z9hG4bK-.!%*_+`'~",
            "Via: SIP/2.0/WS df7jal23ls0d.invalid;branch=z9hG4bK1",
            "Via: SIP/2.0/UDP a.example;received=[2001:db8::1];branch=1",
            "Via: SIP/2.0/UDP a.example;rport=5060;received=192.0.2.9;branch=z9hG4bK1",
            "Via: SIP/2.0/UDP a.example;maddr=224.2.0.1;ttl=16;branch=z9hG4bK1",
            "Via: SIP/2.0/UDP a.example;x=\"y;,z\";branch=z9hG4bK1",
            "Via: SIP/2.0/UDP\r\n a.example\r\n\t;branch=z9hG4bK1",
        ],
    );
    all(
        "400 Via",
        &[
            "Via:",
            "Via: SIP/2.0/UDP",
            "Via: SIP/2.0 192.0.2.1;branch=z9hG4bK1",
            "Via: SIP/2.0/ 192.0.2.1;branch=z9hG4bK1",
            "Via: 192.0.2.1",
            "Via: SIP/2.0/UDP192.0.2.1;branch=z9hG4bK1",
            "Via: SIP/2.0/UDP ;branch=z9hG4bK1",
            "Via: SIP/2.0/UDP 192.0.2.1:port;branch=z9hG4bK1",
            "Via: SIP/2.0/UDP 192.0.2.1:65536;branch=z9hG4bK1",
            "Via: SIP/2.0/UDP 192.0.2.1:;branch=z9hG4bK1",
            "Via: SIP/2.0/UDP 192.0.2.1 branch=z9hG4bK1",
            "Via: SIP/2.0/UDP 192.0.2.1;branch=",
            "Via: SIP/2.0/UDP 192.0.2.1;branch",
            "Via: SIP/2.0/UDP 192.0.2.1;branch=a;branch=b",
            "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1;",
            "Via: SIP/2.0/UDP 192.0.2.1;;branch=z9hG4bK1",
            "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1,",
            "Via: ,SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1",
            "Via: SIP/2.0/UDP 192.0.2.1;ttl=256;branch=z9hG4bK1",
            "Via: SIP/2.0/UDP 192.0.2.1;x=\"open;branch=z9hG4bK1",
            "+Via: SIP/2.0/UDP",
        ],
    );
}

#[test]
fn from_and_to() {
    all(
        "accept",
        &[
            "To: sip:ford@example.com",
            "To: sip:ford@example.com;tag=x",
            "To: Ford<sip:ford@example.com>",
            "To: Ford Prefect <sip:ford@example.com>",
            "To: \"Ford, \\\"<Prefect>\\\"\"<sip:ford@example.com>",
            "To: \"\"<sip:ford@example.com>",
            "To: <sip:ford@example.com;transport=tcp?Subject=x>",
            "To: <tel:+1-201-555-0123>",
            "To: isbn:2983792873",
            "To: <sip:ford@example.com> ; x = \"y\" ; z",
            "To: \"F\u{f6}rd\" <sip:ford@example.com>",
            "To: F\u{f6}rd <sip:ford@example.com>",
            "To: <sip:*72#@example.com>",
        ],
    );
    all(
        "400 To",
        &[
            "To:",
            "To: ford",
            "To: ford@example.com",
            "To: <>",
            "To: <sip:>",
            "To: *",
            "To: \"Ford <sip:ford@example.com>",
            "To: Ford\" <sip:ford@example.com>",
            "To: <sip:ford@example.com",
            "To: sip:ford@example.com>",
            "To: < sip:ford@example.com >",
            "To: Prefect, Ford <sip:ford@example.com>",
            "To: <sip:a@b.example> <sip:c@d.example>",
            "To: <sip:a@b.example>, <sip:c@d.example>",
            "To: sip:a@b.example, sip:c@d.example",
            "To: \"Ford\" sip:ford@example.com",
            "To: sip:ford@example.com?Subject=x",
            "To: <sip:ford@example.com>;tag=",
            "To: <sip:ford@example.com>;tag",
            "To: <sip:ford@example.com>;tag=a;tag=b",
            "To: <sip:ford@example.com>;tag=a b",
            "To: <sip:ford@example.com>;",
            "To: <sip:ford@example.com>;;x",
            "To: <sip:ford@example.com>;=x",
            "To: <sip:ford@exam ple.com>",
            "To: <sip:fo rd@example.com>",
            "To: <sip:ford@example.com:x>",
            "To: <sip:fo%4@example.com>",
        ],
    );
    all("400 From", &["From: <sip:arthur@example.com>;tag=\"open", "From: arthur;tag=1"]);
    // A peer of RFC 2543 sends no tag.
    all("accept", &["From: sip:arthur@example.com"]);
}

#[test]
fn cseq_call_id_and_numbers() {
    all("accept", &["CSeq: 0 OPTIONS", "CSeq: 2147483647 OPTIONS", "CSeq: 0042\r\n OPTIONS"]);
    all(
        "400 CSeq",
        &[
            "CSeq:",
            "CSeq: 42",
            "CSeq: OPTIONS",
            "CSeq: OPTIONS 42",
            "CSeq: 42OPTIONS",
            "CSeq: -1 OPTIONS",
            "CSeq: +1 OPTIONS",
            "CSeq: 1.0 OPTIONS",
            "CSeq: 0x2A OPTIONS",
            "CSeq: 2147483648 OPTIONS",
            "CSeq: 4294967338 OPTIONS",
            "CSeq: 36893488147419103232 OPTIONS",
            "CSeq: 42 INVITE",
            "CSeq: 42 options",
            "CSeq: 42 OPTIONS x",
            "CSeq: 42, OPTIONS",
        ],
    );
    assert_eq!(outcome(&request(&["!TOWEL sip:a@b.example SIP/2.0"])), "501 CSeq");
    assert_eq!(outcome(&request(&["!TOWEL sip:a@b.example SIP/2.0", "CSeq: 1 TOWEL"])), "accept");
    all("accept", &["Call-ID: x", "Call-ID: <>:\\/\"[]?{}=@a", "Call-ID:\r\n x"]);
    all("400 Call-ID", &["Call-ID:", "Call-ID: a b", "Call-ID: a@b\r\n c"]);
    all("accept", &["Max-Forwards: 0", "Max-Forwards: 255", "Max-Forwards: 0068"]);
    all(
        "400 Max-Forwards",
        &[
            "Max-Forwards:",
            "Max-Forwards: 256",
            "Max-Forwards: -1",
            "Max-Forwards: ten",
            "Max-Forwards: 7 0",
        ],
    );
    all("accept", &["Content-Length:0", "Content-Length : 00", "Content-Length:\r\n 0"]);
    all(
        "400 Content-Length",
        &[
            "Content-Length:",
            "Content-Length: -1",
            "Content-Length: +0",
            "Content-Length: five",
            "Content-Length: 0x0",
            "Content-Length: 0, 0",
            "Content-Length: 1",
            "Content-Length: 18446744073709551616",
        ],
    );
}

#[test]
fn what_is_not_needed_is_not_looked_at() {
    all(
        "accept",
        &[
            "Date: Fri, 01 Jan 2010 16:00:00 EST",
            "Expires: soon",
            "Expires: 99999999999999999999999",
            "Contact: ;;;",
            "Warning: 1812 overture",
            "Content-Type: ///",
            "Authorization: NoOneKnows opaque",
            "Retry-After: -1",
            "X: ;;,,;;,;",
            "X:",
            "X-\u{7e}!.%*_+`': \u{feff}\u{5927}",
            "Subject: \"open",
            "Record-Route: x",
            "+Subject: one\r\nSubject: two",
        ],
    );
}

#[test]
fn routes_and_contacts_of_a_register() {
    all(
        "accept",
        &["Route: <sip:a.example;lr>, \"x\" <sip:b.example>;y", "Route: <sip:a.example>"],
    );
    all(
        "400 Route",
        &[
            "Route:",
            "Route: sip:a.example",
            "Route: <sip:a.example",
            "Route: <sip:a.example>,",
            "Route: <sip:a.example;transport=udp;transport=tcp>",
            "Route: *",
        ],
    );
    let register = |contact: &str| {
        outcome(&request(&["!REGISTER sip:example.com SIP/2.0", "CSeq: 1 REGISTER", contact]))
    };
    for contact in [
        "Contact: *",
        "m: <sip:a@192.0.2.1>;q=1.0;expires=60, sip:b@192.0.2.2;expires=0",
        "Contact: <sip:a@192.0.2.1?Route=%3Csip:b%3E>",
        "Contact: <mailto:a@b.example>",
        "Contact: <sip:a@192.0.2.1>;expires=280297596632815",
        "Contact: <sip:a@192.0.2.1>;+sip.instance=\"<urn:uuid:0>\";reg-id=1",
    ] {
        assert_eq!(register(contact), "accept", "{contact}");
    }
    for contact in [
        "Contact:",
        "Contact: *, <sip:a@192.0.2.1>",
        "Contact: *;expires=0",
        "Contact: sip:a@192.0.2.1?Route=%3Csip:b%3E",
        "Contact: \"Joe\" <sip:joe@example.org>;;;;",
        "Contact: <sip:a@192.0.2.1>,",
        "Contact: <sip:a@192.0.2.1",
        "Contact: nobody",
    ] {
        assert_eq!(register(contact), "400 Contact", "{contact}");
    }
    for method in ["INVITE", "SUBSCRIBE", "REFER", "MESSAGE"] {
        let start = format!("!{method} sip:ford@example.com SIP/2.0");
        let cseq = format!("CSeq: 1 {method}");
        let bad = outcome(&request(&[&start, &cseq, "Contact: <sip:joe@example.org>;;"]));
        // Section 16.3: for whoever it is for; a proxy passes it on.
        assert_eq!(bad, "accept", "{method}");
    }
}

#[test]
fn lines_and_bytes() {
    all(
        "400 -",
        &[
            "+No colon",
            "+: no name",
            "+Two words: x",
            "+X\r\n : folded before the colon",
            "+X: bare\rCR",
            "+X: bare\nLF: x",
            "+X: nul\0",
        ],
    );
    all("accept", &["+X: \"quoted \\\0 nul\"", "+X: folded\r\n \r\n\tagain", "+X :y", "+X\t :y"]);
    // A continuation of the start line is none.
    assert_eq!(outcome(&request(&["!OPTIONS sip:a@b.example SIP/2.0\r\n ;x"])), "400 -");
    let plain = request(&[]);
    let text = String::from_utf8(plain.clone()).unwrap();
    assert_eq!(outcome(&plain), "accept");
    assert_eq!(outcome(format!("\r\n\r\n{text}").as_bytes()), "accept");
    assert_eq!(outcome(format!("{text}and more").as_bytes()), "accept");
    assert_eq!(outcome(text.trim_end().as_bytes()), "400 -");
    assert_eq!(outcome(text.replace('\r', "").as_bytes()), "400 -");
    assert_eq!(outcome(b""), "unanswerable");
    assert_eq!(outcome(b"\r\n\r\n"), "unanswerable");
    let many = "X: y\r\n".repeat(300);
    assert_eq!(outcome(&request(&[&format!("+{}", many.trim_end())])), "513 -");
    let long = format!("+X: {}", "y".repeat(17_000));
    assert_eq!(outcome(&request(&[&long])), "513 -");
}

#[test]
fn responses() {
    let response = |start: &str| {
        let request = String::from_utf8(request(&[])).unwrap();
        outcome(request.replacen("OPTIONS sip:ford@example.com SIP/2.0", start, 1).as_bytes())
    };
    for start in ["SIP/2.0 200 OK", "SIP/2.0 200 ", "SIP/2.0 200", "sip/2.0 699 \u{43d}\u{43e}"] {
        assert_eq!(response(start), "accept", "{start}");
    }
    for start in [
        "SIP/2.0 4294967301 x",
        "SIP/2.0 99 x",
        "SIP/2.0 700 x",
        "SIP/2.0 x",
        "SIP/2.0  200 OK",
        "SIP/3.0 200 OK",
        "SIP/2.0 200OK",
        "SIP/2.0",
    ] {
        assert_eq!(response(start), "drop", "{start}");
    }
}

/// A name of more octets than are counted must not be read as the shorter one that it begins with:
/// other servers would see another header field than we.
#[test]
fn a_name_longer_than_any_is_no_name_of_another_field() {
    let limits = Limits { max_head: 1 << 21, max_field_len: 1 << 20, ..Limits::default() };
    for extra in ["", " folded\r\n"] {
        for more in [0, 1, 3] {
            let name = format!("Via{}", "a".repeat((1 << 16) - 3 + more));
            let line = format!("{name}: SIP/2.0/UDP 192.0.2.66;branch=z9hG4bKx");
            let text = request(&[&line, "Subject: x"]);
            let text = String::from_utf8(text).unwrap();
            // The second time an odd line stands before it, so that all is read with care.
            let text =
                text.replacen("Max-Forwards: 70\r\n", &format!("Max-Forwards: 70\r\n{extra}"), 1);
            let mut index = Index::new();
            let message = Message::parse(text.as_bytes(), &mut index, &limits).unwrap();
            assert_eq!(check(&message).map_err(|fault| fault.status), Err(513));
            for field in message.all() {
                let line = format!("\r\n{}:", String::from_utf8_lossy(field.name_bytes));
                assert!(text.contains(&line), "{:?}", field.name);
            }
        }
    }
}
