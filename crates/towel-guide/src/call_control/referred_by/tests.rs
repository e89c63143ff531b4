//! Referred-By at the end that is asked, or called.

use towel_core::contract::{Env, Fields, Registry, Roles, Slots, Tasks, UasRequest, Verdict};
use towel_core::io::Now;

use super::EXTENSION;
use crate::testing::{Here, from, parse, text};

/// Thu, 21 Feb 2002 13:02:03 GMT
const THEN: u64 = 1_014_296_523;

/// What a request gets, nought if it passes, and what the user is told.
fn asked(entries: &[(&str, &str)], method: &str, fields: &str, body: &str) -> (u16, Vec<String>) {
    let mut registry = Registry::assemble(&[&EXTENSION], Roles::UA);
    registry.configure("referred-by", entries).expect("settings");
    let bytes = text(&format!("{method} sip:bob@192.0.2.2 SIP/2.0"), method, fields);
    let length = format!("Content-Length: {}\r\n\r\n{body}", body.len());
    let whole = String::from_utf8_lossy(&bytes).replace("Content-Length: 0\r\n\r\n", &length);
    let mut notes = Vec::new();
    let verdict = parse(whole.as_bytes(), |request| {
        registry.uas_request(
            registry.woken(&request),
            Env::new(Now { unix: THEN + 60, ..Now::default() }, &Here),
            &mut UasRequest {
                request,
                source: from("192.0.2.9:5060"),
                user: None,
                fields: &mut Fields::new(),
                slots: &mut Slots::new(),
                notes: &mut notes,
                dialog: None,
                tasks: &mut Tasks::new(),
                agent: &mut Slots::new(),
                manner: &mut towel_core::contract::Manner::Unsaid,
            },
        )
    });
    match verdict {
        Verdict::Refuse(reply) => (reply.status, notes),
        _ => (0, notes),
    }
}

const BY: &str = "Referred-By: <sip:alice@example.com>;cid=\"t@example.com\"";
const WANT: &[(&str, &str)] = &[("require", "token")];

fn with_token(method: &str, token: &str) -> u16 {
    let body =
        format!("--b\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n--b\r\n{token}\r\n--b--\r\n");
    let fields = format!("{BY}\nContent-Type: multipart/mixed;boundary=b");
    asked(WANT, method, &fields, &body).0
}

fn token(fields: &str) -> String {
    format!("Content-ID: <t@example.com>\r\nContent-Type: message/sipfrag\r\n\r\n{fields}\r\n")
}

#[test]
fn a_name_without_proof_is_told_as_that() {
    let (status, notes) = asked(&[], "INVITE", "b: Alice <sip:alice@example.com>", "");
    assert_eq!(status, 0);
    assert!(notes[0].contains("sip:alice@example.com") && notes[0].contains("nothing proves it"));
    assert_eq!(asked(&[], "INVITE", "", ""), (0, vec![]));
    assert_eq!(asked(&[], "REFER", "Referred-By: <sip:alice@example.com>", ""), (0, vec![]));
}

#[test]
fn there_is_one_and_it_can_be_read() {
    for fields in [
        "Referred-By: <sip:a@example.com>\nReferred-By: <sip:a@example.com>",
        "Referred-By: <sip:a@example.com>\nb: <sip:a@example.com>",
        "Referred-By: <sip:a@example.com",
    ] {
        for method in ["REFER", "INVITE"] {
            assert_eq!(asked(&[], method, fields, "").0, 400, "{method} {fields}");
        }
    }
}

#[test]
fn a_token_that_is_not_there_is_asked_for() {
    let plain = "Referred-By: <sip:alice@example.com>";
    assert_eq!(asked(WANT, "REFER", "", "").0, 429);
    assert_eq!(asked(WANT, "REFER", plain, "").0, 429);
    assert_eq!(asked(WANT, "INVITE", plain, "").0, 429);
    assert_eq!(asked(WANT, "INVITE", "", "").0, 0, "nobody is named");
    // Even where none is wanted: it says that there is one.
    assert_eq!(asked(&[], "INVITE", BY, "").0, 429);
    assert_eq!(with_token("INVITE", "Content-ID: <other@example.com>\r\n\r\n"), 429);
}

#[test]
fn a_token_about_something_else_is_worth_nothing() {
    let good = "Refer-To: <sip:bob@example.com>\r\nReferred-By: <sip:alice@example.com>;cid=\"t@example.com\"\r\n\
                Date: Thu, 21 Feb 2002 13:02:03 GMT";
    assert_eq!(with_token("INVITE", &token(good)), 0);
    assert_eq!(with_token("INVITE", &token(&good.replace("Refer-To", "r"))), 0);
    for (what, with) in [
        ("Date: Thu, 21 Feb 2002 13:02:03 GMT", "X: y"),
        ("21 Feb 2002 13:02", "21 Feb 2002 12:02"),
        ("sip:alice", "sip:zaphod"),
        ("Refer-To: <sip:bob@example.com>", "Refer-To: <sip:bob@example.com;method=OPTIONS>"),
        ("Refer-To", "To"),
        ("Referred-By", "From"),
    ] {
        assert_eq!(with_token("INVITE", &token(&good.replace(what, with))), 429, "{with}");
        // Who is referred passes it on, whatever it says.
        assert_eq!(with_token("REFER", &token(&good.replace(what, with))), 0, "{with}");
    }
    let signed = format!(
        "Content-ID: <t@example.com>\r\nContent-Type: multipart/signed;boundary=d\r\n\r\n--d\r\n\
         Content-Type: message/sipfrag\r\n\r\n{good}\r\n\r\n--d\r\n\
         Content-Type: application/pkcs7-signature\r\n\r\nxyz\r\n--d--"
    );
    assert_eq!(with_token("INVITE", &signed), 0);
    assert_eq!(with_token("INVITE", &signed.replace("sip:alice", "sip:ford")), 429);
    // What is encrypted for others is none of our business.
    let closed = "Content-ID: <t@example.com>\r\nContent-Type: application/pkcs7-mime\r\n\r\nxyz";
    assert_eq!(with_token("INVITE", closed), 0);
}
