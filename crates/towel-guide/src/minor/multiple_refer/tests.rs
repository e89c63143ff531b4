//! A REFER to many.

use towel_core::ua::user_agent::Ask;

#[test]
fn the_list_is_flat_and_has_each_once() {
    let targets = [
        "sip:bill@example.com?method=BYE",
        "sip:joe@example.org",
        "sip:bill@example.com?method=BYE",
    ];
    let ask = Ask::refer_to_many("sip:conf@example.com", &targets);
    let body = ask.body.expect("a list");
    assert_eq!(body.media_type, "application/resource-lists+xml");
    let text = String::from_utf8(body.bytes).expect("text");
    assert_eq!(text.matches("<entry ").count(), 2);
    assert_eq!(text.matches("<list>").count(), 1);
    assert!(text.contains("uri=\"sip:joe@example.org\""));
    let cid = ask.fields.get("Content-ID").expect("a Content-ID");
    let refer_to = ask.fields.get("Refer-To").expect("Refer-To");
    let inner = |value: &[u8]| {
        value.strip_prefix(b"<").and_then(|v| v.strip_suffix(b">")).map(<[u8]>::to_vec)
    };
    assert_eq!(inner(refer_to).unwrap(), [b"cid:", &inner(cid).unwrap()[..]].concat());
    assert_eq!(ask.fields.get("Refer-Sub"), Some(&b"false"[..]));
}

#[test]
fn what_xml_could_misread_is_escaped() {
    let ask = Ask::refer_to_many("sip:conf@example.com", &["sip:a@example.com?x=\"<1>\"&y=2"]);
    let text = String::from_utf8(ask.body.expect("a list").bytes).expect("text");
    assert!(text.contains("uri=\"sip:a@example.com?x=&quot;&lt;1&gt;&quot;&amp;y=2\""), "{text}");
}
