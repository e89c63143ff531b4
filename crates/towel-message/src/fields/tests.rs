use super::*;

#[test]
fn digest_credentials() {
    let text = b"Digest username=\"a\\\"b, c\" ,realm=\"x\",\r\n nonce = \"n\", uri=\"sip:x;y=z\",\
                 response=\"0123\", qop=auth, nc=0000000a, algorithm=SHA-256";
    let credentials = Credentials::parse(text).unwrap();
    assert!(credentials.is_digest());
    let params = credentials.params;
    assert_eq!(params.get("USERNAME"), Some(&b"a\\\"b, c"[..]));
    let mut name = Vec::new();
    assert!(params.text("username", &mut name));
    assert_eq!(name, b"a\"b, c");
    assert_eq!(params.get("nonce"), Some(&b"n"[..]));
    assert_eq!(params.get("qop"), Some(&b"auth"[..]));
    assert_eq!(params.nonce_count(), Some(10));
    assert_eq!(params.get("cnonce"), None);
}

#[test]
fn malformed_credentials_are_told() {
    for text in
        ["Digest username=\"a", "Digest =x", "Digest a=1,a=2", "Digest a", "Digest a=,b=1", "", "="]
    {
        assert!(Credentials::parse(text.as_bytes()).is_err(), "{text}");
    }
    let many: String = (0..130).map(|n| format!(", p{n}=x")).collect();
    assert!(Credentials::parse(format!("Digest a=b{many}").as_bytes()).is_err());
    let other = Credentials::parse(b"Bearer abc.def==").unwrap();
    assert_eq!((other.is_digest(), other.params.bytes()), (false, &b"abc.def=="[..]));
}

#[test]
fn a_challenge_lists_its_qop() {
    let challenge = Credentials::parse(b"Digest realm=\"r\", qop=\"auth,auth-int\", stale=TRUE");
    let params = challenge.unwrap().params;
    assert!(
        params.has("qop", "AUTH-INT") && !params.has("qop", "au") && params.has("stale", "true")
    );
}

#[test]
fn media_types() {
    let kind = MediaType::parse(b"Multipart / Mixed ; boundary=\"a;b\"").unwrap();
    assert!(kind.is("multipart/mixed") && !kind.is("multipart/alternative"));
    assert_eq!(kind.params.value("boundary"), Some(&b"\"a;b\""[..]));
    let range = MediaType::parse(b"text/*;q=0.3").unwrap();
    assert!(range.takes("text/plain") && !range.takes("application/sdp"));
    assert_eq!(range.q(), 300);
    for text in ["", "text", "text/", "/plain", "text/plain;", "text plain"] {
        assert!(MediaType::parse(text.as_bytes()).is_err(), "{text}");
    }
    let disposition = Disposition::parse(b"Session ;handling=Optional").unwrap();
    assert!(disposition.is("session") && disposition.is_optional());
    assert!(!Disposition::parse(b"render").unwrap().is_optional());
}

#[test]
fn retry_after_and_timestamp() {
    let retry = RetryAfter::parse(b"18000 (in a (long) meeting\\)) ;duration=3600").unwrap();
    assert_eq!((retry.seconds, retry.duration()), (18000, Some(3600)));
    assert_eq!(retry.comment, Some(&b"(in a (long) meeting\\))"[..]));
    assert_eq!(RetryAfter::parse(b"949302838503028349304023988").unwrap().seconds, u32::MAX);
    assert!(RetryAfter::parse(b"soon").is_err() && RetryAfter::parse(b"1 (").is_err());
    let stamp = Timestamp::parse(b"54.21 .5").unwrap();
    assert_eq!((stamp.time, stamp.delay), (&b"54.21"[..], Some(&b".5"[..])));
    for text in ["", ".", "x", "5 y", "1.2.3"] {
        assert!(Timestamp::parse(text.as_bytes()).is_err(), "{text}");
    }
}

#[test]
fn warnings_reasons_products() {
    let warning = Warning::parse(b"307 isi.edu:5060 \"Not, understood\"").unwrap();
    assert_eq!((warning.code, warning.agent), (307, &b"isi.edu:5060"[..]));
    assert!(Warning::parse(b"1812 overture \"In Progress\"").is_err());
    let reason = Reason::parse(b"Q.850 ;cause=16 ;text=\"Terminated\"").unwrap();
    assert_eq!((reason.protocol, reason.cause()), (&b"Q.850"[..], Some(16)));
    let all: Vec<_> = products(b"HomeServer/v2 (a(b)) Other").collect();
    assert_eq!(
        all,
        [
            Product::Name(b"HomeServer", Some(b"v2")),
            Product::Comment(b"(a(b))"),
            Product::Name(b"Other", None)
        ]
    );
    assert_eq!(mime_version(b"1.0"), Some((1, 0)));
}

#[test]
fn infos_and_preferences() {
    let info = Info::parse(b"<http://www.example.com/alice/photo.jpg> ;purpose=icon").unwrap();
    assert_eq!(info.purpose(), Some(&b"icon"[..]));
    assert!(Info::parse(b"http://x").is_err() && Info::parse(b"<x y:z>").is_err());
    let preference = Preference::parse(b"*;methods=\"BYE,INVITE\";require").unwrap();
    assert!(preference.require() && !preference.explicit());
    assert!(Preference::parse(b"x").is_err());
}
