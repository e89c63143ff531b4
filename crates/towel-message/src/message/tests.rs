use super::*;
use crate::check;

const HEAD: &str = "INVITE sip:ford@example.com SIP/2.0\r\n\
    Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n\
    From: <sip:a@b.example>;tag=1\r\nTo: <sip:ford@example.com>\r\n\
    Call-ID: x\r\nCSeq: 1 INVITE\r\n";

fn with_message(text: &str, act: impl FnOnce(Message<'_>)) {
    let mut index = Index::new();
    act(Message::parse(text.as_bytes(), &mut index, &Limits::default()).unwrap());
}

fn texts<'a>(values: impl Iterator<Item = &'a [u8]>) -> Vec<&'a str> {
    values.map(|value| core::str::from_utf8(value).unwrap()).collect()
}

#[test]
fn values_over_all_lines_in_order() {
    let text = format!(
        "{HEAD}Supported: a , b\r\nX-A: 1\r\nk:\r\n c,,\r\n\td\r\nSUPPORTED: \"e,f\";g\r\nx-a: 2\r\n\r\nbody"
    );
    with_message(&text, |message| {
        let values: Vec<_> = message.values(Name::Supported).collect();
        assert_eq!(texts(values.iter().map(|v| v.bytes)), ["a", "b", "c", "d", "\"e,f\";g"]);
        assert!(values.iter().all(|v| message.slice(v.span) == v.bytes));
        let places: Vec<_> = values.iter().map(|v| (v.field, v.position)).collect();
        assert_eq!(places, [(5, 0), (5, 1), (7, 0), (7, 1), (8, 0)]);
        assert!(
            message.has_token(Name::Supported, "C") && !message.has_token(Name::Supported, "f")
        );
        assert!(message.is_repeated(Name::Supported) && !message.is_repeated(Name::To));
        assert_eq!(texts(message.named(b"X-A").map(|f| f.value)), ["1", "2"]);
        assert_eq!(texts(message.named(b"i").map(|f| f.value)), ["x"]);
        assert_eq!(texts(message.others().map(|f| f.name_bytes)), ["X-A", "x-a"]);
        assert_eq!((message.all().count(), message.body()), (10, &b"body"[..]));
        assert_eq!(message.present().count_ones(), 6);
    });
}

#[test]
fn more_header_fields_than_the_index_holds_without_an_allocation() {
    let many: String = (0..150).map(|n| format!("X-{n}: {n}\r\n")).collect();
    let text =
        format!("{HEAD}{many}Route: <sip:p.example;lr>\r\nRoute: <sip:q.example;lr>\r\n\r\n");
    with_message(&text, |message| {
        assert_eq!(check(&message), Ok(()));
        assert_eq!(message.all().count(), 157);
        assert_eq!(message.routes().count(), 2);
        assert_eq!(message.field(154).unwrap().value, b"149");
    });
    // The same index, used again, knows nothing of it.
    let mut index = Index::new();
    index.parse(text.as_bytes(), &Limits::default()).unwrap();
    index.parse(b"SIP/2.0 200 OK\r\n\r\n", &Limits::default()).unwrap();
    assert_eq!((index.len(), index.first(Name::Route)), (0, None));
}

#[test]
fn what_a_peer_chooses_is_bounded() {
    let bounded = |limits: Limits, text: &str| {
        let mut index = Index::new();
        let message = Message::parse(text.as_bytes(), &mut index, &limits).unwrap();
        check(&message).map_err(|fault| fault.status)
    };
    let limits = Limits::default();
    let text = format!("{HEAD}Via: a.example\r\nContent-Length: 4\r\n\r\nbody");
    let plain = text.replace("Via: a.example\r\n", "");
    assert_eq!(bounded(limits, &plain), Ok(()));
    for (limits, status) in [
        (Limits { max_message: 100, ..limits }, 513),
        (Limits { max_head: 100, ..limits }, 513),
        (Limits { max_fields: 3, ..limits }, 513),
        (Limits { max_field_len: 20, ..limits }, 513),
        (Limits { max_uri: 10, ..limits }, 414),
        (Limits { max_body: 3, ..limits }, 413),
        (Limits { max_values: 0, ..limits }, 513),
    ] {
        assert_eq!(bounded(limits, &plain), Err(status), "{limits:?}");
    }
}

#[test]
fn a_response_takes_its_method_from_cseq() {
    let text = HEAD.replacen("INVITE sip:ford@example.com SIP/2.0", "SIP/2.0 486 Busy Here", 1);
    with_message(&format!("{text}\r\n"), |message| {
        assert!(!message.is_request());
        assert_eq!((message.status(), message.reason()), (486, &b"Busy Here"[..]));
        assert_eq!((message.method(), message.request_uri()), (Method::Invite, &b""[..]));
    });
}

#[test]
fn other_bytes_than_those_of_the_index_are_no_danger() {
    let mut index = Index::new();
    index
        .parse(format!("{HEAD}Route: <sip:p>\r\n\r\nbody").as_bytes(), &Limits::default())
        .unwrap();
    for bytes in [&b""[..], b"\r\n", &[b'"'; 300], &[b','; 300], &[0xff; 300]] {
        let message = Message::with_index(bytes, &index);
        let _ = (check(&message), message.routes().count(), message.body(), message.from_tag());
        let mut draft = crate::Draft::new(message);
        draft.push_top(Name::Via, b"x");
        draft.remove_all(Name::Route);
        draft.set_body(None);
        draft.write(&mut Vec::new());
    }
}
