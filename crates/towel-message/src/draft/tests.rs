use super::*;
use crate::{Index, Limits};

const REQUEST: &str = "MESSAGE sip:ford@example.com SIP/2.0\r\n\
    X-First:1\r\n\
    v: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKa;rport ,SIP/2.0/UDP b.example\r\n\
    Route: <sip:p1.example;lr>, \"p, 2\" <sip:p2.example;lr> ,<sip:p3.example>\r\n\
    route : <sip:p4.example>\r\n\
    From: <sip:a@b.example>;tag=1\r\n\
    To: <sip:ford@example.com>\r\n\
    Subject:\r\n\
    Call-ID: x\r\nCSeq: 1 MESSAGE\r\nMax-Forwards:  70\r\nContent-Type: text/plain\r\nl: 5\r\n\r\nhello";

fn edited(text: &str, edit: impl FnOnce(&mut Draft<'_>)) -> String {
    let mut index = Index::new();
    let message = Message::parse(text.as_bytes(), &mut index, &Limits::default()).unwrap();
    let mut draft = Draft::new(message);
    edit(&mut draft);
    let mut out = Vec::new();
    draft.write(&mut out);
    String::from_utf8(out).unwrap()
}

/// The request with one piece of its text replaced.
fn with(from: &str, to: &str) -> String {
    assert_eq!(REQUEST.matches(from).count(), 1, "{from}");
    REQUEST.replace(from, to)
}

#[test]
fn nothing_edited_is_nothing_changed() {
    assert_eq!(edited(REQUEST, |_| ()), REQUEST);
    assert_eq!(edited(&format!("\r\n{REQUEST}more"), |_| ()), REQUEST);
}

#[test]
fn the_version_leaves_in_upper_case() {
    let lower = with("SIP/2.0\r\nX", "sip/2.0\r\nX");
    assert_eq!(edited(&lower, |draft| draft.raise_version()), REQUEST);
    assert_eq!(edited(&lower, |_| ()), lower);
    let response = edited("Sip/2.0 200 OK\r\n\r\n", |draft| draft.raise_version());
    assert_eq!(response, "SIP/2.0 200 OK\r\n\r\n");
}

#[test]
fn the_request_uri_and_values() {
    let text = edited(REQUEST, |draft| {
        draft.set_request_uri(b"sip:not-this");
        draft.set_request_uri(b"sip:x");
        draft.set(Name::MaxForwards, b"69");
    });
    let expected = with("sip:ford@example.com SIP", "sip:x SIP").replace("  70", "  69");
    assert_eq!(text, expected);
}

#[test]
fn what_is_pushed_on_top_reads_newest_first() {
    let text = edited(REQUEST, |draft| {
        draft.push_top(Name::Via, b"one");
        draft.push_top("VIA", b"two");
        draft.push_top(Name::RecordRoute, b"<sip:r1>");
        draft.push_top(Name::RecordRoute, b"<sip:r2>");
        draft.push_top("X-Other", b"y");
    });
    let expected = with("v: SIP", "VIA: two\r\nVia: one\r\nv: SIP").replace(
        "Route: <sip:p1",
        "X-Other: y\r\nRecord-Route: <sip:r2>\r\nRecord-Route: <sip:r1>\r\nRoute: <sip:p1",
    );
    assert_eq!(text, expected);
}

#[test]
fn what_is_appended_reads_in_order() {
    let text = edited(REQUEST, |draft| {
        draft.append("A", b"1");
        draft.append(Name::Date, b"2");
        draft.set(Name::Organization, b"3");
    });
    assert_eq!(text, with("l: 5\r\n", "l: 5\r\nA: 1\r\nDate: 2\r\nOrganization: 3\r\n"));
}

/// Takes the route values of these numbers away.
fn without_routes(numbers: &[usize]) -> String {
    edited(REQUEST, |draft| {
        let values: Vec<_> = draft.message().values(Name::Route).collect();
        for number in numbers {
            draft.remove_value(&values[*number]);
        }
    })
}

#[test]
fn values_leave_with_their_commas() {
    let first = "<sip:p1.example;lr>, \"p, 2\" <sip:p2.example;lr> ,<sip:p3.example>";
    for (numbers, left) in [
        (&[0][..], "\"p, 2\" <sip:p2.example;lr> ,<sip:p3.example>"),
        (&[1], "<sip:p1.example;lr>, <sip:p3.example>"),
        (&[2], "<sip:p1.example;lr>, \"p, 2\" <sip:p2.example;lr>"),
        (&[1, 0], "<sip:p3.example>"),
        (&[0, 2], "\"p, 2\" <sip:p2.example;lr>"),
        (&[1, 2, 1], "<sip:p1.example;lr>"),
    ] {
        assert_eq!(without_routes(numbers), with(first, left), "{numbers:?}");
    }
    let line = format!("Route: {first}\r\n");
    assert_eq!(without_routes(&[0, 1, 2]), with(&line, ""));
    assert_eq!(without_routes(&[3]), with("route : <sip:p4.example>\r\n", ""));
    let both = edited(REQUEST, |draft| {
        draft.remove_all(Name::Route);
        draft.push_top(Name::Route, b"<sip:new;lr>");
    });
    let expected =
        with(&line, "Route: <sip:new;lr>\r\n").replace("route : <sip:p4.example>\r\n", "");
    assert_eq!(both, expected);
}

#[test]
fn an_empty_value_is_replaced_once() {
    let text = edited(REQUEST, |draft| {
        draft.set(Name::Subject, b" not this");
        draft.set(Name::Subject, b" towel");
    });
    assert_eq!(text, with("Subject:\r\n", "Subject: towel\r\n"));
}

#[test]
fn the_top_via_is_stamped() {
    let source = "198.51.100.7:4242".parse().unwrap();
    let text = edited(REQUEST, |draft| assert!(draft.stamp_top_via(source)));
    let stamped = "192.0.2.1;branch=z9hG4bKa;rport=4242;received=198.51.100.7 ,SIP";
    assert_eq!(text, with("192.0.2.1;branch=z9hG4bKa;rport ,SIP", stamped));
    // Without rport and from the address that sent-by names, there is nothing to stamp; a received
    // that the client made up goes.
    let plain = with(";rport", "");
    let same = "192.0.2.1:5060".parse().unwrap();
    assert_eq!(edited(&plain, |draft| assert!(!draft.stamp_top_via(same))), plain);
    let lie = with(";rport", ";received=203.0.113.1");
    assert_eq!(edited(&lie, |draft| assert!(draft.stamp_top_via(same))), plain);
}

#[test]
fn another_body() {
    let text = edited(REQUEST, |draft| draft.set_body(Some((b"text/html", b"<p>"))));
    let old = "Content-Type: text/plain\r\nl: 5\r\n\r\nhello";
    assert_eq!(text, with(old, "Content-Type: text/html\r\nContent-Length: 3\r\n\r\n<p>"));
    let text = edited(REQUEST, |draft| draft.set_body(None));
    assert_eq!(text, with(old, "Content-Length: 0\r\n\r\n"));
    let bare = with("l: 5\r\n", "");
    let text = edited(&bare, |draft| draft.ensure_content_length());
    assert_eq!(text, with("l: 5", "Content-Length: 5"));
}

#[test]
fn a_branch_starts_from_what_is_the_same_for_all() {
    let mut index = Index::new();
    let message = Message::parse(REQUEST.as_bytes(), &mut index, &Limits::default()).unwrap();
    let mut draft = Draft::new(message);
    draft.set(Name::MaxForwards, b"69");
    let mark = draft.mark();
    for uri in ["sip:one", "sip:two"] {
        draft.rewind(mark);
        draft.set_request_uri(uri.as_bytes());
        draft.append("X", uri.as_bytes());
        draft.set_body(Some((b"a/b", uri.as_bytes())));
        let mut out = Vec::new();
        draft.write(&mut out);
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains("  69\r\n") && text.matches(uri).count() == 3, "{text}");
    }
}
