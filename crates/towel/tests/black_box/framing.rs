//! RFC 3261 section 18.3 and RFC 5626 section 3.5.1 over TCP.

use crate::{
    peer::{Stream, unique},
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

#[test]
fn every_place_to_cut_a_message() {
    let mut stream = Stream::new(&SERVER);
    let length = options(&stream, "", "0123456789").len();
    for cut in 1..length {
        let text = options(&stream, "", "0123456789");
        let cut = cut.min(text.len() - 1);
        stream.send(&text[..cut]);
        stream.send(&text[cut..]);
        assert_eq!(stream.final_response().status(), 200, "cut at {cut}");
    }
}

#[test]
fn answers_come_in_the_order_of_the_questions() {
    let mut stream = Stream::new(&SERVER);
    let many: Vec<String> = (0..50).map(|at| options(&stream, "", &"x".repeat(at * 7))).collect();
    stream.send(many.concat());
    for text in many {
        let asked = crate::peer::Message::parse(text.as_bytes());
        assert_eq!(stream.final_response().field("Call-ID"), asked.field("Call-ID"));
    }
}

#[test]
fn a_bad_message_that_ends_where_it_says_is_followed_by_the_next() {
    for (from, to) in [
        ("CSeq: ", "CSeq: x"),
        ("From: ", "Frim: "),
        ("Max-Forwards: 70", "Max-Forwards: 700"),
        (" SIP/2.0\r\n", "\r\n"),
        (" SIP/2.0\r\n", " SIP/7.0\r\n"),
        ("Call-ID: ", "Call-ID: \0"),
    ] {
        let mut stream = Stream::new(&SERVER);
        let bad = options(&stream, "", "body").replacen(from, to, 1);
        stream.send(format!("{bad}{}", options(&stream, "", "")));
        assert!([400, 505].contains(&stream.final_response().status()), "{to}");
        assert_eq!(stream.final_response().status(), 200, "{to}");
    }
}

#[test]
fn two_content_lengths_are_none_rfc_4475_3_3_9() {
    for more in ["Content-Length: 5\r\n", "l: 0\r\n", "Content-Length: 0\r\n"] {
        let mut stream = Stream::new(&SERVER);
        let text = options(&stream, more, "");
        stream.send(format!("{text}{}", options(&stream, "", "")));
        assert_eq!(stream.final_response().status(), 400);
        assert!(stream.is_closed());
    }
}

#[test]
fn a_name_that_only_looks_like_content_length_is_another() {
    let mut stream = Stream::new(&SERVER);
    let more = "X-Content-Length: 99\r\nSubject: x\r\n Content-Length: 99\r\nll: 99\r\n";
    stream.send(format!("{}{}", options(&stream, more, "abc"), options(&stream, "", "")));
    assert_eq!(stream.final_response().status(), 200);
    assert_eq!(stream.final_response().status(), 200);
}

#[test]
fn an_answer_that_is_owed_outlives_a_broken_stream() {
    // The answer to a REGISTER waits for the disk; what follows cannot be cut into messages.
    let who = unique("u");
    let uri = format!("sip:{who}@{DOMAIN}");
    let more = format!("Contact: <sip:{who}@192.0.2.1>\r\n");
    for rest in ["GARBAGE\r\n\r\n", "OPTIONS sip:x SIP/2.0\r\nContent-Length: x\r\n\r\n"] {
        let mut stream = Stream::new(&SERVER);
        let request = stream.request("REGISTER", &uri, &more, "");
        stream.send(format!("{request}{rest}"));
        assert_eq!(stream.next().map(|answer| answer.status()), Some(200), "{rest}");
        assert!(stream.is_closed());
    }
}

#[test]
fn half_a_message_and_an_end_harm_nobody() {
    let whole = options(&Stream::new(&SERVER), "", "body");
    for length in [1, 30, whole.len() - 5, whole.len() - 1] {
        let mut stream = Stream::new(&SERVER);
        stream.send(&whole[..length]);
        drop(stream);
    }
    let mut stream = Stream::new(&SERVER);
    stream.send(options(&stream, "", ""));
    assert_eq!(stream.final_response().status(), 200);
}

#[test]
fn lines_that_end_without_cr_get_400_7() {
    let mut stream = Stream::new(&SERVER);
    stream.send(options(&stream, "", "").replace('\r', ""));
    assert_eq!(stream.final_response().status(), 400);
    assert!(stream.is_closed());
}
