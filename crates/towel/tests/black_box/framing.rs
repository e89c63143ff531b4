//! RFC 3261 section 18.3 and RFC 5626 section 3.5.1 over TCP.

use crate::{
    peer::Stream,
    towel::{DOMAIN, Towel},
};
use std::{sync::LazyLock, time::Duration};

static SERVER: LazyLock<Towel> =
    LazyLock::new(|| Towel::start(&[], "[auth]\nregister = false\ncalls = false\n"));

fn options(stream: &Stream, more: &str, body: &str) -> String {
    let more = if body.is_empty() {
        more.to_owned()
    } else {
        format!("Content-Type: application/sdp\r\n{more}")
    };
    stream.request("OPTIONS", &format!("sip:{DOMAIN}"), &more, body)
}

#[test]
fn a_message_in_single_bytes() {
    let mut stream = Stream::new(&SERVER);
    for byte in options(&stream, "", "hello").bytes() {
        stream.send([byte]);
        std::thread::sleep(Duration::from_micros(300));
    }
    assert_eq!(stream.final_response().status(), 200);
}

#[test]
fn many_messages_in_one_segment() {
    let mut stream = Stream::new(&SERVER);
    let many: String = (0..20).map(|_| options(&stream, "", "body")).collect();
    stream.send(many);
    for _ in 0..20 {
        assert_eq!(stream.final_response().status(), 200);
    }
}

#[test]
fn a_message_cut_within_its_body_and_within_its_end_of_line() {
    let mut stream = Stream::new(&SERVER);
    let text = options(&stream, "", "0123456789");
    let end_of_head = text.find("\r\n\r\n").unwrap();
    for cut in [end_of_head + 1, end_of_head + 3, text.len() - 4] {
        let text = options(&stream, "", "0123456789");
        let cut = cut.min(text.len() - 1);
        stream.send(&text[..cut]);
        std::thread::sleep(Duration::from_millis(30));
        stream.send(&text[cut..]);
        assert_eq!(stream.final_response().status(), 200);
    }
}

#[test]
fn empty_lines_before_a_message_are_passed_over_7_5() {
    let mut stream = Stream::new(&SERVER);
    let text = options(&stream, "", "");
    stream.send(format!("\r\n{text}"));
    assert_eq!(stream.final_response().status(), 200);
}

#[test]
fn a_double_line_end_is_answered_with_a_single_one() {
    let mut stream = Stream::new(&SERVER);
    stream.send("\r\n\r\n");
    assert_eq!(stream.raw(), b"\r\n");
    let text = options(&stream, "", "");
    stream.send(text);
    assert_eq!(stream.final_response().status(), 200);
}

#[test]
fn without_content_length_400_and_the_end() {
    let mut stream = Stream::new(&SERVER);
    let text = options(&stream, "", "").replace("Content-Length: 0\r\n", "");
    stream.send(text);
    assert_eq!(stream.final_response().status(), 400);
}

#[test]
fn a_content_length_that_is_no_number_gets_400() {
    for bad in ["-1", "ten", "99999999999999999999"] {
        let mut stream = Stream::new(&SERVER);
        let text = options(&stream, "", "")
            .replace("Content-Length: 0", &format!("Content-Length: {bad}"));
        stream.send(text);
        let done = stream.final_response();
        assert!([400, 413, 513].contains(&done.status()), "{bad}: {}", done.text);
        assert!(stream.is_closed(), "where the next message begins cannot be known");
    }
}

#[test]
fn one_header_field_may_fill_what_a_datagram_holds_18_1_1() {
    let mut stream = Stream::new(&SERVER);
    for length in [9_000, 64_000] {
        stream.send(options(&stream, &format!("Subject: {}\r\n", "x".repeat(length)), ""));
        assert_eq!(stream.final_response().status(), 200);
    }
}

#[test]
fn too_large_a_message_is_refused_and_the_connection_closed() {
    let mut stream = Stream::new(&SERVER);
    let text = options(&stream, "", "").replace("Content-Length: 0", "Content-Length: 90000000");
    stream.send(text);
    let done = stream.final_response();
    assert!([413, 513].contains(&done.status()), "{}", done.text);
    assert!(stream.is_closed());
}

#[test]
fn an_endless_header_is_cut_off() {
    let mut stream = Stream::new(&SERVER);
    stream.send("OPTIONS sip:x SIP/2.0\r\n");
    for _ in 0..3000 {
        stream.send(format!("X: {}\r\n", "y".repeat(100)));
    }
    assert!(stream.is_closed());
}

#[test]
fn garbage_is_no_reason_to_fall_over() {
    let mut stream = Stream::new(&SERVER);
    stream.send([0u8, 255, 1, 2, 3, b'\r', b'\n', b'\r', b'\n']);
    stream.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(stream.is_closed());
    let mut stream = Stream::new(&SERVER);
    let text = options(&stream, "", "");
    stream.send(text);
    assert_eq!(stream.final_response().status(), 200);
}

#[test]
fn compact_and_folded_content_length_counts() {
    let mut stream = Stream::new(&SERVER);
    let text = options(&stream, "", "12345").replace("Content-Length: 5", "l:\r\n  5");
    stream.send(format!("{text}{}", options(&stream, "", "")));
    assert_eq!(stream.final_response().status(), 200);
    assert_eq!(stream.final_response().status(), 200);
}
