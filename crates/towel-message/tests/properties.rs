//! Properties of all messages, and of all bytes.

mod support;

use proptest::prelude::*;

/// Pieces of messages: lines that are right, lines that are nearly right.
fn line() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "Via: SIP/2.0/UDP 192.0.2.1:5062;branch=z9hG4bK42;rport\r\n",
        "v : SIP / 2.0 / TCP host.example.com ; branch=z9hG4bKx , SIP/2.0/UDP [2001:db8::1]\r\n",
        "Via: SIP/2.0/UDP 192.0.2.15;;,;,,\r\n",
        "From: \"Arthur \\\" Dent\" <sip:arthur@example.com>;tag=tea\r\n",
        "f:\r\n sip:arthur@example.com\r\n ;tag=x\r\n",
        "From: \"open <sip:a@b.example>;tag=1\r\n",
        "To: <sip:ford@example.com;transport=tcp>\r\n",
        "t: Ford<tel:+1-201-555-0123>\r\n",
        "To: sip:a@b.example?x\r\n",
        "Call-ID: 42@towel\r\n",
        "i: 42 43\r\n",
        "CSeq: 42 INVITE\r\n",
        "CSeq: 4294967296 INVITE\r\n",
        "Max-Forwards: 70\r\n",
        "Max-Forwards: 256\r\n",
        "Route: <sip:p1.example.com;lr>, <sip:p2.example.com>\r\n",
        "Route: <sip:p3.example.com;lr>\r\n",
        "Record-Route: <sip:p3.example.com;lr>\r\n",
        "Contact: *\r\n",
        "m: <sip:a@192.0.2.4;x=,>;q=0.5;expires=60, sip:b@192.0.2.5;q=1\r\n",
        "Content-Length: 0\r\n",
        "l: 3\r\n",
        "Content-Type: text/plain\r\n",
        "X-Unknown: ;;,,\"\r\n",
        "Subject:\r\n",
        "Expires: 99999999999999\r\n",
        "Bad line\r\n",
        "Bare: line\n",
        "\r\n",
        "abc",
    ])
}

fn message_like() -> impl Strategy<Value = Vec<u8>> {
    let start = prop::sample::select(vec![
        "INVITE sip:ford@example.com SIP/2.0\r\n",
        "INVITE sip:ford@example.com;x=%41 SIP/2.0\r\n",
        "SIP/2.0 200 OK\r\n",
        "SIP/2.0 180\r\n",
        "INVITE  sip:x SIP/3.0 \r\n",
    ]);
    (start, prop::collection::vec(line(), 0..16), prop::collection::vec(any::<(u16, u8)>(), 0..3))
        .prop_map(|(start, lines, changes)| {
            let mut bytes = start.as_bytes().to_vec();
            bytes.extend(lines.concat().as_bytes());
            for (at, byte) in changes {
                let len = bytes.len();
                bytes[usize::from(at) % len] = byte;
            }
            bytes
        })
}

/// A message that is right, in many spellings.
fn right() -> impl Strategy<Value = Vec<u8>> {
    let choose = |set: &[&'static str]| prop::sample::select(set.to_vec());
    let fields = (
        choose(&[
            "Via: SIP/2.0/UDP a.example.com;branch=z9hG4bKa\r\n",
            "v:SIP/2.0/TCP [2001:db8::1]:5070;branch=z9hG4bKb;received=192.0.2.1\r\n",
            "Via : SIP / 2.0 / UDP 192.0.2.1 : 5060 ;rport\r\n",
            "Via: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKc,\r\n SIP/2.0/WS x.invalid\r\n",
        ]),
        choose(&["f: A B<sip:a@b.example>;tag=1\r\n", "From: sip:a@b.example;tag=2\r\n"]),
        choose(&[
            "To: \"x, \\\"y\" <sip:c@d.example;lr?h=v>\r\n",
            "t\t:\r\n tel:7;phone-context=e\r\n",
        ]),
        choose(&["i: a@b\r\n", "Call-ID:\r\n\tz\r\n"]),
        choose(&["CSeq: 0 INVITE\r\n", "cseq: 2147483647\r\n  INVITE\r\n"]),
        choose(&["", "Max-Forwards: 0070\r\n"]),
        choose(&[
            "",
            "Route: <sip:p.example;lr>,<sip:q.example;lr>\r\n",
            "Route: <sip:p.example;lr>\r\nRoute: \"q, \" <sip:q.example;lr>;x\r\n",
        ]),
        choose(&["Date: never\r\n", "X:,\r\n", "", "Contact: sip:a@b;x\r\n"]),
    );
    (fields, any::<bool>(), prop::collection::vec(any::<u8>(), 0..40)).prop_map(
        |((a, b, c, d, e, f, g, h), length, body)| {
            let mut text = format!("INVITE sip:x@y.example SIP/2.0\r\n{h}{a}{g}{b}{c}{d}{f}{e}");
            if length {
                text += &format!("l: {}\r\n", body.len());
            }
            text += "\r\n";
            let mut bytes = text.into_bytes();
            bytes.extend(body);
            bytes
        },
    )
}

fn uri() -> impl Strategy<Value = String> {
    prop_oneof![
        "(sip|sips|SIP):([a-cA%41]{1,3}(:p)?@)?(h|H|[a-b]\\.example|192\\.0\\.2\\.1|\\[2001:db8::1\\])(:50(60|61))?(;(lr|transport=(tcp|UDP)|user=phone|x=%61|X=a|y)){0,3}(\\?(a=b&c=d|C=d&A=b|a=c))?",
        "tel:(\\+1(-|\\.)?20[12]|7[a#*]1)(;(ext=1-2|phone-context=(\\+1-2|e\\.example)|p=v)){0,2}",
        "(im|pres|urn|mailto|x-y):[a-b%]{1,3}(@[a-bA]{1,2})?",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1024, failure_persistence: None, ..Default::default() })]

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        support::message(&bytes);
        support::headers(&bytes);
        support::uris(&bytes);
    }

    #[test]
    fn nearly_messages_hold(bytes in message_like()) {
        support::message(&bytes);
    }

    #[test]
    fn right_messages_are_taken(bytes in right()) {
        let mut index = towel_message::Index::new();
        let limits = towel_message::Limits::default();
        let message = towel_message::Message::parse(&bytes, &mut index, &limits).unwrap();
        prop_assert_eq!(towel_message::check(&message), Ok(()));
        support::message(&bytes);
    }

    #[test]
    fn comparison_is_symmetric_and_keys_are_stable(a in uri(), b in uri()) {
        support::uris(format!("{a}\n{b}").as_bytes());
    }

    #[test]
    fn framing_does_not_depend_on_the_pieces(
        messages in prop::collection::vec(message_like(), 0..4),
        cuts in prop::collection::vec(1usize..40, 0..60),
    ) {
        support::framing(&messages.concat(), &cuts);
    }
}

/// What the fuzz targets start from holds in every run of the tests, without their tool.
#[test]
fn the_fuzz_corpus_holds() {
    let corpus = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    let mut count = 0;
    for target in ["message", "headers", "uri", "framing"] {
        for entry in std::fs::read_dir(corpus.join(target)).unwrap() {
            let bytes = std::fs::read(entry.unwrap().path()).unwrap();
            match target {
                "message" => support::message(&bytes),
                "headers" => support::headers(&bytes),
                "uri" => support::uris(&bytes),
                _ => support::framing(bytes.get(8..).unwrap_or(&[]), &[5, 9, 1, 255]),
            }
            count += 1;
        }
    }
    assert!(count >= 20, "{count}");
}
