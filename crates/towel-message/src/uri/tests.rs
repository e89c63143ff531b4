use super::*;

fn parse(text: &str) -> Uri<'_> {
    Uri::parse(text.as_bytes()).unwrap_or_else(|fault| panic!("{text}: {fault}"))
}

fn same(a: &str, b: &str) -> bool {
    let (left, right) = (parse(a), parse(b));
    let one = equivalent(&left, &right);
    assert_eq!(one, equivalent(&right, &left), "{a} {b}");
    one
}

fn key(text: &str) -> String {
    let mut out = Vec::new();
    address_of_record(&parse(text), &mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn user_password_host_port_parameters_headers() {
    let uri = parse("sips:al;ice?x:secret,@Atlanta.example.com:5071;Transport=TCP;%6cr?a=b&c=%20");
    let sip = uri.sip().unwrap();
    assert!(sip.secure);
    assert_eq!(sip.user, Some(&b"al;ice?x"[..]));
    assert_eq!(sip.password, Some(&b"secret,"[..]));
    assert_eq!(sip.host, crate::Host::Name(b"atlanta.EXAMPLE.com"));
    assert_eq!((sip.port, sip.port_or_default()), (Some(5071), 5071));
    assert_eq!(sip.transport(), Some(&b"TCP"[..]));
    assert!(sip.lr());
    assert_eq!(sip.headers.iter().count(), 2);
}

#[test]
fn malformed_sip_uris() {
    for text in [
        "sip:",
        "sip:@h",
        "sip:a@",
        "sip:a b@h",
        "sip:a@h:",
        "sip:a@h:65536",
        "sip:a@h:5o60",
        "sip:a@h;",
        "sip:a@h;;x",
        "sip:a@h;=x",
        "sip:a@h;x=",
        "sip:a@h?",
        "sip:a@h?x",
        "sip:a@h?=y",
        "sip:a%4@h",
        "sip:a%zz@h",
        "sip:a@b@h",
        "sip:a:b:c@h",
        "sip:2001:db8::10",
        "sip:[2001:db8::1",
        "sip:a@[::g]",
        "sip:a@h..x",
        "sip:a@-h",
        "sip:a@1.2.3",
        "sip:a@1.2.3.256",
        "sip:a@h%41",
        "sip:\"a\"@h",
        "sip:a<b@h",
        "<sip:a@h>",
        "1sip:a@h",
        ":a@h",
        "a@h",
        "",
        "tel:",
        "tel:+",
        "tel:x7z",
        "tel:7;=",
        "tel:+1a",
        "im:",
        "urn:a b",
    ] {
        assert!(Uri::parse(text.as_bytes()).is_err(), "{text}");
    }
}

#[test]
fn well_formed_sip_uris() {
    for text in [
        "sip:h",
        "SIP:h",
        "sip:a@h.",
        "sip:+1-201;phone-context=x@h;user=phone",
        "sip:*72#@h",
        "sip:a:@h",
        "sip:[2001:db8::10:5070]",
        "sip:[2001:db8::10]:5070",
        "sip:user@[2001:db8:::192.0.2.1]",
        "sip:user@[::ffff:192.0.2.10]:19823",
        "sip:a@h;p=[]/:&+$-_.!~*'()%41",
        "sip:a@h?Route=%3Csip:x%3E&b=",
        "sip:h_1.example",
        "sip:a@3com.example",
        "tel:+1-201-555-0123;ext=1",
        "tel:7042;phone-context=example.com",
        "im:a@b",
        "soap.beep://192.0.2.103:3002",
    ] {
        parse(text);
    }
}

/// The examples that RFC 3261 section 19.1.4 gives for its rules, in other words.
#[test]
fn comparison_of_sip_uris() {
    for (a, b) in [
        ("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp"),
        ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
        ("sip:carol@chicago.com", "sip:carol@chicago.com;security=on"),
        (
            "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
            "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
        ),
        (
            "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
            "sip:alice@atlanta.com?priority=urgent&subject=project%20x",
        ),
        ("sip:a@[::ffff:192.0.2.128]", "sip:a@[::ffff:c000:280]"),
        ("sip:a@[2001:db8::9:1]", "sip:a@[2001:db8::9:01]"),
        ("sip:a@192.0.2.1", "sip:a@192.00.2.01"),
        ("sip:a@h;lr", "sip:a@h"),
    ] {
        assert!(same(a, b), "{a} {b}");
    }
    for (a, b) in [
        ("SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp"),
        ("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting"),
        ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
        ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off"),
        ("sip:a@h", "sips:a@h"),
        ("sip:a@h", "sip:a:@h"),
        ("sip:a@h", "sip:h"),
        ("sip:a@h;user=phone", "sip:a@h"),
        ("sip:a@h;maddr=1.2.3.4", "sip:a@h"),
        ("sip:a%3Bb@h", "sip:a;b@h"),
        ("sip:%00@h", "sip:%00%00@h"),
        ("sip:a@h", "tel:7"),
    ] {
        assert!(!same(a, b), "{a} {b}");
    }
}

#[test]
fn comparison_of_tel_and_other_uris() {
    assert!(same("tel:+1-(201).555;a=b;ext=1-2", "TEL:+1201555;ext=12;A=B"));
    assert!(same("tel:7;phone-context=+1-2", "tel:7;phone-context=+12"));
    assert!(same("tel:7;phone-context=Example.com", "tel:7;phone-context=example.com"));
    assert!(!same("tel:+7", "tel:7"));
    assert!(!same("tel:7;phone-context=a.b", "tel:7"));
    assert!(!same("tel:+1;x", "tel:+1"));
    assert!(same("im:Fred@Example.com", "IM:Fred@example.COM"));
    assert!(!same("im:Fred@example.com", "im:fred@example.com"));
    assert!(!same("im:fred@example.com", "pres:fred@example.com"));
    assert!(same("urn:service:sos", "URN:service:sos"));
}

#[test]
fn one_key_for_all_spellings_of_an_address_of_record() {
    for text in [
        "sip:arthur@example.com",
        "SIP:%61rthur@EXAMPLE.com;transport=tcp?x=y",
        "sips:arthur:secret@example.com.",
    ] {
        assert_eq!(key(text), "sip:arthur@example.com");
    }
    assert_ne!(key("sip:Arthur@example.com"), key("sip:arthur@example.com"));
    assert_eq!(key("sip:a@[2001:DB8:0::1]:5070"), "sip:a@[2001:db8::1]:5070");
    assert_eq!(key("sip:null-%00-null@example.com"), "sip:null-%00-null@example.com");
    assert_eq!(key("sip:a%2fb%40%7e@h"), "sip:a/b%40~@h");
    assert_eq!(key("tel:+1-201-555"), "tel:+1201555");
    assert_eq!(key("tel:7-0;phone-context=Example.com"), "tel:70;phone-context=example.com");
    assert_eq!(key("PRES:a@Example.com"), "pres:a@example.com");
}

#[test]
fn parameters_and_headers_are_bounded() {
    for (start, one) in [("sip:a@h", ";p"), ("sip:a@h?a=b", "&c=d"), ("tel:7", ";p=v")] {
        // A few are fine; comparing thousands with thousands would be for an attacker only.
        assert!(Uri::parse(format!("{start}{}", one.repeat(100)).as_bytes()).is_ok());
        assert!(Uri::parse(format!("{start}{}", one.repeat(129)).as_bytes()).is_err());
    }
}
