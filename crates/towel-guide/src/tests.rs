//! The Guide as a whole: complete, in order, held against RFC 4485, and printable.

use towel_core::contract::audit::{Breach, audit};
use towel_core::contract::check::Weight;
use towel_core::contract::{Cell, Roles};

use super::*;
use crate::testing::{parse, request, response, text};

#[test]
fn every_entry_is_listed_once() {
    assert_eq!(GUIDE.len(), 76);
    for (at, one) in GUIDE.iter().enumerate() {
        assert!(GUIDE.iter().skip(at + 1).all(|other| other.id != one.id), "{} twice", one.id);
        assert!(!one.roles.is_empty() && !one.documents.is_empty(), "{}", one.id);
        if let Some(extension) = one.extension {
            assert_eq!((extension.id, extension.section), (one.id, one.section));
            for document in extension.documents.iter().take(1) {
                assert!(one.documents.iter().any(|have| document.starts_with(have)), "{}", one.id);
            }
        }
    }
    assert!(GUIDE.is_sorted_by_key(|entry| entry.section as u8));
}

#[test]
fn the_declarations_follow_rfc_4485() {
    let findings = check_guide();
    let must: Vec<String> = findings
        .iter()
        .filter(|finding| finding.asked.weight() == Weight::Must)
        .map(ToString::to_string)
        .collect();
    assert_eq!(must, Vec::<String>::new());
    // What is recommended and not followed is known, and is what the documents themselves chose.
    let should: Vec<String> = findings
        .iter()
        .filter(|finding| finding.asked.weight() == Weight::Should)
        .map(ToString::to_string)
        .collect();
    assert!(
        should.iter().all(|text| {
            text.contains("allows no extension parameters")
                || text.contains("Event is too short or too rare for a compact form")
        }),
        "{should:#?}"
    );
}

#[test]
fn what_a_server_says_of_itself_is_computed() {
    let registry = server();
    assert_eq!(registry.allow(), "CANCEL, OPTIONS, REGISTER");
    assert_eq!(registry.supported(), "path, pref");
    assert_eq!(
        registry.accept(),
        "application/sdp, text/plain, multipart/mixed, multipart/alternative"
    );
    assert_eq!(registry.allow_events(), "");
    assert_eq!(registry.accept_encoding(), "identity");
    request("INVITE", "sip:example.com", "Require: path, x\nProxy-Require: y", |message| {
        use towel_core::contract::Verdict::Refuse;
        let Refuse(reply) = registry.check_require(&message) else { panic!("no 420") };
        assert_eq!((reply.status, reply.fields.get("Unsupported")), (420, Some(&b"x"[..])));
        let Refuse(reply) = registry.check_proxy_require(&message) else { panic!("no 420") };
        assert_eq!(reply.fields.get("Unsupported"), Some(&b"y"[..]));
        let Refuse(reply) = registry.check_method(&message) else { panic!("no 405") };
        assert_eq!(
            (reply.status, reply.fields.get("Allow")),
            (405, Some(registry.allow().as_bytes()))
        );
        let Refuse(reply) = registry.check_event(&message) else { panic!("no 489") };
        assert_eq!(reply.status, 489);
    });
}

#[test]
fn what_a_body_must_be_for_a_server_to_take_it() {
    use towel_core::contract::Verdict::{Discard, Hold, Pass, Refuse};
    let registry = server();
    let verdict = |head: &str, body: &str| {
        let bytes = text("OPTIONS sip:example.com SIP/2.0", "OPTIONS", head);
        let length = format!("Content-Length: {}\r\n\r\n{body}", body.len());
        let whole = String::from_utf8_lossy(&bytes).replace("Content-Length: 0\r\n\r\n", &length);
        parse(whole.as_bytes(), |message| match registry.check_body(&message) {
            Pass => "200".to_owned(),
            Discard | Hold(_) => "nothing".to_owned(),
            Refuse(reply) => {
                let told = ["Accept", "Accept-Encoding", "Accept-Language"]
                    .into_iter()
                    .find(|name| reply.fields.get(name).is_some());
                format!("{} {}", reply.status, told.unwrap_or("-"))
            }
        })
    };
    let sdp = "Content-Type: application/sdp";
    for (more, outcome) in [
        ("", "200"),
        ("Content-Language: en", "200"),
        ("Content-Language: en-GB, EN", "200"),
        ("Content-Language: fr", "415 Accept-Language"),
        ("Content-Language: en, vogon", "415 Accept-Language"),
        ("Content-Encoding: identity", "200"),
        ("e: gzip", "415 Accept-Encoding"),
        ("Content-Disposition: session", "200"),
        ("Content-Disposition: poetry", "415 Accept"),
        ("Content-Disposition: poetry;handling=required", "415 Accept"),
        ("Content-Disposition: poetry;handling=optional", "200"),
        ("Content-Disposition: session\r\nContent-Disposition: session", "400 -"),
        ("c: application/sdp", "400 -"),
    ] {
        let head = if more.is_empty() { sdp.to_owned() } else { format!("{sdp}\r\n{more}") };
        assert_eq!(verdict(&head, "v=0"), outcome, "{more}");
        assert_eq!(verdict(&head, ""), "200", "no body: {more}");
    }
    for (kind, outcome) in [
        ("Application/SDP ; charset=utf-8", "200"),
        ("text/plain", "200"),
        ("text/html", "415 Accept"),
        ("application", "415 Accept"),
        ("", "415 Accept"),
        ("multipart/mixed", "400 -"),
        ("multipart/mixed;boundary=other", "400 -"),
        ("multipart/signed;boundary=b", "415 Accept"),
    ] {
        let body = "--b\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n--b--\r\n";
        assert_eq!(verdict(&format!("Content-Type: {kind}"), body), outcome, "{kind}");
    }
    let parts = |subtype: &str, parts: &[&str]| {
        let mut body = String::new();
        for part in parts {
            body += &format!("--b\r\n{part}\r\n");
        }
        verdict(&format!("Content-Type: multipart/{subtype};boundary=b"), &(body + "--b--\r\n"))
    };
    let known = "Content-Type: application/sdp\r\n\r\nv=0";
    let strange = "Content-Type: text/vogon\r\n\r\nO freddled";
    let passed_over = "Content-Type: text/vogon\r\nContent-Disposition: \
                       render;handling=optional\r\n\r\nO freddled";
    let nested = "Content-Type: multipart/alternative;boundary=\"c d\"\r\n\r\n--c d\r\n\
                  Content-Type: text/vogon\r\n\r\nO\r\n--c d\r\n\
                  Content-Type: application/sdp\r\n\r\nv=0\r\n--c d--";
    for (subtype, list, outcome) in [
        ("mixed", &[known][..], "200"),
        ("mixed", &[known, known], "200"),
        ("mixed", &[known, strange], "415 Accept"),
        ("mixed", &[passed_over, known], "200"),
        ("mixed", &[nested], "200"),
        ("alternative", &[strange, known], "200"),
        ("alternative", &[strange, strange], "415 Accept"),
        ("alternative", &[known, nested], "200"),
        ("mixed", &[""], "200"),
    ] {
        assert_eq!(parts(subtype, list), outcome, "{subtype} {list:?}");
    }
    // Parts in parts without end, and parts without number.
    let mut deep = known.to_owned();
    for level in 0..50 {
        deep = format!(
            "Content-Type: multipart/mixed;boundary=x{level}\r\n\r\n--x{level}\r\n{deep}\r\n--x{level}--"
        );
    }
    assert_eq!(parts("mixed", &[&deep]), "415 Accept");
    assert_eq!(parts("mixed", &[known; 1000]), "415 Accept");
}

#[test]
fn the_table_is_rfc_3261s() {
    let registry = registry(Roles::ALL);
    let fields = &core::sip::EXTENSION.fields;
    assert_eq!(fields.len(), 44, "one for each subsection of section 20");
    let cell = |name: &str, row: usize, method: &str| {
        registry.field(name.as_bytes()).expect(name).rows[row].cell(method.as_bytes())
    };
    assert_eq!(cell("Accept", 1, "OPTIONS"), Cell::Expected);
    assert_eq!(cell("Allow", 3, "BYE"), Cell::Mandatory);
    assert_eq!(cell("Contact", 0, "INVITE"), Cell::Mandatory);
    assert_eq!(cell("Contact", 0, "MESSAGE"), Cell::Forbidden);
    assert_eq!(cell("Content-Length", 0, "INVITE"), Cell::Stream);
    assert_eq!(cell("Content-Type", 0, "BYE"), Cell::WithBody);
    assert_eq!(cell("Min-Expires", 0, "REGISTER"), Cell::Mandatory);
    assert_eq!(cell("Route", 0, "CANCEL"), Cell::Conditional);
    assert_eq!(cell("path", 0, "REGISTER"), Cell::Optional);
}

#[test]
fn the_audit_finds_what_is_out_of_place() {
    let registry = registry(Roles::ALL);
    let found = |message: towel_message::Message<'_>| -> Vec<(&'static str, Breach)> {
        audit(&registry, &message, false).iter().map(|one| (one.field, one.breach)).collect()
    };
    assert_eq!(request("OPTIONS", "sip:x", "", found), []);
    assert_eq!(request("INVITE", "sip:x", "", found), [("Contact", Breach::Missing)]);
    assert_eq!(
        request("REGISTER", "sip:x", "Subject: no\nRecord-Route: <sip:p;lr>", found),
        [("Record-Route", Breach::Forbidden), ("Subject", Breach::Forbidden)]
    );
    assert_eq!(
        response("405 Method Not Allowed", "OPTIONS", "", found),
        [("Allow", Breach::Missing)]
    );
    assert_eq!(
        response("200 OK", "OPTIONS", "Authorization: Digest x=\"y\"", found),
        [("Authorization", Breach::Forbidden)]
    );
    assert_eq!(response("404 Not Found", "REGISTER", "Path: <sip:p;lr>", found).len(), 1);
    assert_eq!(request("FROBNICATE", "sip:x", "Subject: any\nX-New: thing", found), []);
    let long = request("OPTIONS", "sip:x", "", |message| message.bytes().to_vec());
    let without: Vec<u8> =
        String::from_utf8(long).expect("text").replace("Content-Length: 0\r\n", "").into_bytes();
    let missing = crate::testing::parse(&without, |m| audit(&registry, &m, true));
    assert_eq!(missing.len(), 1);
    assert_eq!(missing[0].to_string(), "Content-Length is missing on a stream from OPTIONS");
}

#[test]
fn status_needs_flows_that_pass() {
    let path = entry("path").expect("listed");
    assert_eq!(path.status(&|_| false), Progress::Partial);
    assert_eq!(path.status(&|_| true), Progress::Works);
    assert_eq!(path.status(&|name| name == "path"), Progress::Partial);
    let sip = entry("sip").expect("listed");
    assert_eq!(sip.status(&|_| true), Progress::Works);
    let without = |name: &str| !name.starts_with("ua-");
    assert_eq!(sip.status(&without), Progress::Partial, "no user agent is shown");
    assert_eq!(entry("sctp").map(|one| one.status(&|_| true)), Some(Progress::NotYet));
}

#[test]
fn it_can_be_printed() {
    let table = render::table(&|_| true);
    for one in GUIDE {
        assert!(table.contains(one.id), "{}", one.id);
        let page = render::page(one, &|_| false);
        assert!(page.contains(one.id) && page.lines().all(|line| line.len() < 130), "{page}");
    }
    let json = json::guide(&|_| true);
    assert_eq!(json.matches("\"id\": ").count(), GUIDE.len());
    assert!(json.contains("\"roles\": {\"proxy\": \"works\", \"registrar\": \"works\"}"));
}

#[test]
fn every_declared_flow_is_there_and_every_flow_is_declared() {
    for one in GUIDE {
        for flow in one.flows() {
            let text = flows::flow(flow.name).unwrap_or_else(|| panic!("no flow {}", flow.name));
            assert_eq!(text.entry, one.id, "{}", flow.name);
        }
    }
    for text in flows::FLOWS.iter().filter(|text| !flows::BESIDE.contains(&text.entry)) {
        let declared = entry(text.entry)
            .is_some_and(|entry| entry.flows().iter().any(|flow| flow.name == text.name));
        assert!(declared, "{} is not declared by {}", text.name, text.entry);
    }
}
