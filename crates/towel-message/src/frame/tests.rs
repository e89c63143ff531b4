use super::*;

fn message(body: &str) -> String {
    format!("MESSAGE sip:a@b.example SIP/2.0\r\nX: y\r\nl: {}\r\n\r\n{body}", body.len())
}

/// All that comes out of a stream, however it is cut.
fn framed(stream: &str) -> Vec<String> {
    framed_within(stream, Limits::default())
}

fn framed_within(stream: &str, limits: Limits) -> Vec<String> {
    let mut results: Vec<Vec<String>> = Vec::new();
    for piece in [1, 2, 3, 7, 50, usize::MAX] {
        let mut all = Vec::new();
        let mut framer = StreamFramer::new(limits);
        for part in stream.as_bytes().chunks(piece.min(stream.len().max(1))) {
            framer.feed(part, |one| {
                all.push(match one {
                    Framed::Message(bytes) => String::from_utf8_lossy(bytes).into_owned(),
                    Framed::Ping => "ping".to_owned(),
                    Framed::Pong => "pong".to_owned(),
                    Framed::Broken { fault, .. } => format!("{fault}"),
                });
            });
        }
        results.push(all);
    }
    for other in &results {
        assert_eq!(*other, results[0]);
    }
    results.swap_remove(0)
}

#[test]
fn messages_one_after_the_other() {
    let (one, two) = (message("hello"), message(""));
    assert_eq!(framed(&format!("{one}{two}{one}")), [&*one, &*two, &*one]);
    assert!(framed(&one[..one.len() - 1]).is_empty());
}

#[test]
fn keepalives_between_messages() {
    let one = message("\r\n\r\n");
    let stream = format!("\r\n\r\n{one}\r\n{one}\r\n\r\n\r\n\r\n");
    let expected = ["pong", "ping", &*one, "pong", &*one, "pong", "ping", "pong", "ping"];
    assert_eq!(framed(&stream), expected);
}

#[test]
fn content_length_in_every_spelling() {
    for line in
        ["Content-Length:5", "l :\t5", "CONTENT-LENGTH: 005 ", "l:\r\n 5", "L: 5\r\nCall-ID: l"]
    {
        let one = format!("MESSAGE sip:a@b.example SIP/2.0\r\n{line}\r\n\r\nhello");
        assert_eq!(framed(&format!("{one}{one}")), [&*one, &*one], "{line}");
    }
}

#[test]
fn what_cannot_be_framed_breaks_the_stream() {
    let one = message("");
    for (line, status) in [
        ("X: y", "400 Missing Content-Length"),
        ("Content-Length: -1", "400 Malformed Content-Length"),
        ("Content-Length: five", "400 Malformed Content-Length"),
        ("Content-Length:", "400 Malformed Content-Length"),
        ("Content-Length: 99999999999", "400 Malformed Content-Length"),
        ("Content-Length: 5\r\nl: 5", "400 Repeated Content-Length"),
        ("Content-Length: 4000000000", "413 Request Entity Too Large"),
        ("l: 131073", "413 Request Entity Too Large"),
    ] {
        let stream = format!("{one}MESSAGE sip:a@b.example SIP/2.0\r\n{line}\r\n\r\n{one}");
        let all = framed(&stream);
        assert_eq!(all.len(), 2, "{line}");
        assert!(all[1].starts_with(status), "{line}: {}", all[1]);
    }
}

#[test]
fn a_head_without_end_is_bounded() {
    let limits = Limits { max_head: 200, ..Limits::default() };
    let endless = "X: y\r\n".repeat(100);
    let all = framed_within(&endless, limits);
    assert!(all.len() == 1 && all[0].starts_with("513"), "{all:?}");
    // Random bytes without a line end are bounded in the same way.
    assert_eq!(framed_within(&"x".repeat(300), limits).len(), 1);
}

#[test]
fn nothing_is_held_between_messages() {
    let mut framer = StreamFramer::new(Limits::default());
    let one = message("hello");
    let (start, end) = one.as_bytes().split_at(20);
    framer.feed(start, |_| panic!());
    assert_eq!((framer.held(), framer.is_idle()), (20, false));
    let mut count = 0;
    framer.feed(end, |_| count += 1);
    assert_eq!((count, framer.held(), framer.buffer.capacity()), (1, 0, 0));
}

#[test]
fn a_websocket_message_is_one_message() {
    assert_eq!(websocket(b"\r\n\r\n"), Framed::Ping);
    assert_eq!(websocket(b"INVITE"), Framed::Message(b"INVITE"));
}

#[test]
fn a_head_that_ends_in_bare_line_feeds_is_told_and_not_waited_for() {
    let one = "MESSAGE sip:a@b.example SIP/2.0\nl: 5\n";
    for (end, at) in [("\n", 36), ("\r\n", 36), ("X: y\r\n\n", 42)] {
        let expected = format!("400 Line End without CR (at byte {at})");
        assert_eq!(framed(&format!("{one}{end}")), [&*expected], "{end:?}");
    }
    // In a body it is nobody's business.
    let body = message("\n\n\n\r\n");
    assert_eq!(framed(&format!("{body}{body}")), [&*body, &*body]);
}
