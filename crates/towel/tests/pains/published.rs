//! The cases of `published.txt`, each by UDP and by TCP to the running program: it must answer as is
//! written there, and go on.

use crate::{
    peer::{Message, Peer, Stream, answer, unique},
    towel::{DOMAIN, Towel},
};
use std::time::Duration;

/// The text with its escapes and repetitions undone.
fn unescaped(text: &[u8]) -> Vec<u8> {
    let (mut out, mut rest) = (Vec::new(), text);
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        match first {
            b'\\' => {
                let (&what, after) = rest.split_first().expect("something after \\");
                rest = after;
                out.push(match what {
                    b'0' => 0,
                    b'r' => b'\r',
                    b'n' => b'\n',
                    b't' => b'\t',
                    b'x' => {
                        let (hex, after) = rest.split_at(2);
                        rest = after;
                        u8::from_str_radix(std::str::from_utf8(hex).unwrap(), 16).unwrap()
                    }
                    other => other,
                });
            }
            b'{' => {
                let mut depth = 1;
                let end = rest.iter().position(|byte| {
                    depth += i32::from(*byte == b'{') - i32::from(*byte == b'}');
                    depth == 0
                });
                let (inner, after) = rest.split_at(end.expect("a } for each {"));
                rest = &after[1..];
                let star = inner.iter().position(|byte| *byte == b'*').expect("{N*text}");
                let times = std::str::from_utf8(&inner[..star]).unwrap().parse().unwrap();
                let once = unescaped(&inner[star + 1..]);
                (0..times).for_each(|_| out.extend_from_slice(&once));
            }
            other => out.push(other),
        }
    }
    out
}

/// The message of a case, from `via`, to `target`.
fn message(changes: &str, via: &str, target: &str) -> Vec<u8> {
    if let Some(whole) = changes.strip_prefix("={").and_then(|rest| rest.strip_suffix('}')) {
        return unescaped(whole.as_bytes());
    }
    let mut lines: Vec<Vec<u8>> = [
        format!("OPTIONS {target} SIP/2.0"),
        format!("Via: SIP/2.0/{via};branch=z9hG4bK{}", unique("p")),
        "Max-Forwards: 70".to_owned(),
        format!("From: <sip:alice@{DOMAIN}>;tag={}", unique("f")),
        "To: <sip:somebody@elsewhere.test>".to_owned(),
        format!("Call-ID: {}", unique("c")),
        "CSeq: 1 OPTIONS".to_owned(),
    ]
    .map(String::into_bytes)
    .to_vec();
    let (mut body, mut counted) = (Vec::new(), true);
    for change in changes.split(" ~ ") {
        let name = change.split(':').next().unwrap_or_default();
        counted &= !matches!(name, "Content-Length" | "-Content-Length");
        let is = |line: &Vec<u8>| line.starts_with(format!("{name}:").as_bytes());
        let line = unescaped(change.as_bytes());
        match change.as_bytes()[0] {
            b'-' => lines.retain(|line| !line.starts_with(format!("{}:", &name[1..]).as_bytes())),
            b'+' => lines.push(line[1..].to_vec()),
            b'!' => {
                lines[0] = unescaped(
                    change[1..]
                        .replacen('@', target, usize::from(change.contains(" @")))
                        .as_bytes(),
                );
            }
            b'|' => body.extend_from_slice(&line[1..]),
            _ => match lines.iter_mut().find(|known| is(known)) {
                Some(known) => *known = line,
                None => lines.push(line),
            },
        }
    }
    if counted {
        lines.push(format!("Content-Length: {}", body.len()).into_bytes());
    }
    [lines.join(&b"\r\n"[..]), body].join(&b"\r\n\r\n"[..])
}

/// What it got by UDP: the status, or 0 for nothing before the answer to a plain question after it.
fn by_datagram(server: &Towel, changes: &str, target: &str, waits: bool) -> u16 {
    let peer = Peer::new(server);
    peer.send_bytes(&message(changes, &format!("UDP {}", peer.at()), target));
    let question = peer.request("OPTIONS", &format!("sip:{DOMAIN}"), "");
    let id = Message::parse(question.as_bytes()).field("Call-ID").to_owned();
    peer.send(&question);
    let (mut status, mut answered) = (0, false);
    while !answered || (status == 0 && waits) {
        let Some(response) = peer.heard(Duration::from_secs(8)) else {
            assert!(answered, "the server is silent after {changes}");
            return 0;
        };
        match response.status() {
            100..200 => {}
            // Only one that asks nobody answers the question with 200.
            _ if response.field("Call-ID") == id => answered = true,
            other => status = other,
        }
    }
    status
}

/// What it got by TCP, and whether the connection was closed then.
fn by_stream(server: &Towel, changes: &str, target: &str) -> (u16, bool) {
    let mut stream = Stream::new(server);
    let bytes = message(changes, &format!("TCP {}", stream.at()), target);
    stream.send(bytes);
    let question = stream.request("OPTIONS", &format!("sip:{DOMAIN}"), "", "");
    let id = Message::parse(question.as_bytes()).field("Call-ID").to_owned();
    stream.send(question);
    let (mut status, mut answered) = (0, false);
    loop {
        match stream.next() {
            None => return (status, !answered),
            Some(response) if response.field("Call-ID") == id => {
                answered = true;
                // What has no end of its own has spoilt the question.
                if response.status() != 200 {
                    return (response.status(), false);
                }
            }
            Some(response) if response.status() >= 200 => status = response.status(),
            Some(_) => {}
        }
        // Nothing more can come of a message that came before an answered one, but by way of a phone.
        if answered && (status != 0 || target.starts_with("sip:towel")) {
            return (status, false);
        }
    }
}

/// What a case says: by UDP, by TCP, and whether the connection is closed.
fn expected(text: &str) -> (u16, u16, bool) {
    let closed = text.ends_with('x');
    let text = text.trim_end_matches('x');
    let (udp, tcp) = text.split_once('/').unwrap_or((text, text));
    (udp.parse().expect(text), tcp.parse().expect(text), closed)
}

/// Answers everything with 200 until the test ends.
fn phone(server: &Towel, user: &str) {
    let peer = Peer::new(server);
    peer.bind(user);
    std::thread::spawn(move || {
        while let Some(request) = peer.heard(Duration::from_secs(60)) {
            if request.status() == 0 && request.method() != "ACK" {
                peer.send(&answer(&request, "200 OK", "phone", ""));
            }
        }
    });
}

#[test]
fn published_faults_do_no_harm_here() {
    let open = Towel::start(
        &[],
        "[auth]\nregister = false\ncalls = false\n[register]\nknown-users-only = false\n",
    );
    let closed = Towel::start(&["alice", "bob"], "");
    phone(&open, "phone");
    let (mut server, mut target) = (&open, format!("sip:{DOMAIN}"));
    let (mut about, mut count, mut wrong) = ("", 0, Vec::new());
    for line in include_str!("published.txt").lines() {
        match line {
            "[itself]" => (server, target) = (&open, format!("sip:{DOMAIN}")),
            "[phone]" => (server, target) = (&open, format!("sip:phone@{DOMAIN}")),
            "[closed]" => (server, target) = (&closed, format!("sip:bob@{DOMAIN}")),
            _ if line.starts_with("## ") => about = line,
            _ if line.is_empty() || line.starts_with("# ") || line.starts_with('#') => {}
            _ => {
                let (outcome, changes) = line.split_once("  ").expect(line);
                let (udp, tcp, is_closed) = expected(outcome);
                let got = by_datagram(server, changes, &target, udp != 0);
                let (status, shut) = by_stream(server, changes, &target);
                if (got, status, shut) != (udp, tcp, is_closed) {
                    wrong.push(format!(
                        "{about}\n{line}\n    got {got} by UDP, {status}{} by TCP",
                        if shut { " and the end" } else { "" }
                    ));
                }
                count += 1;
            }
        }
    }
    eprintln!("{count} cases");
    assert!(count > 200, "{count}");
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
}
