//! The messages of RFC 4475, each with the outcome of `torture/rfc4475.txt`. Their bytes are read
//! from the folder that TOWEL_TORTURE_DIR names; without it the test says that it did nothing,
//! unless TOWEL_REQUIRE_PEERS=1 asks for everything.

use std::path::PathBuf;
use towel_message::{Draft, Index, Limits, Message, Method, Name, Uri, check, uri};

const TABLE: &str = include_str!("torture/rfc4475.txt");

fn folder() -> Option<PathBuf> {
    if let Some(folder) = std::env::var_os("TOWEL_TORTURE_DIR") {
        return Some(folder.into());
    }
    assert_ne!(
        std::env::var("TOWEL_REQUIRE_PEERS").as_deref(),
        Ok("1"),
        "TOWEL_REQUIRE_PEERS=1, but TOWEL_TORTURE_DIR is not set"
    );
    println!("skipped: TOWEL_TORTURE_DIR is not set");
    None
}

/// Name, outcome and whether there is more to assert.
fn table() -> Vec<(&'static str, &'static str, bool)> {
    let rows = TABLE.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    rows.map(|line| {
        let mut cells = line.split('|').map(str::trim);
        let (name, _, outcome) =
            (cells.next().unwrap(), cells.next().unwrap(), cells.next().unwrap());
        let more = outcome.ends_with('+');
        (name, outcome.trim_end_matches('+').trim(), more)
    })
    .collect()
}

#[test]
fn every_message_has_its_outcome() {
    let rows = table();
    assert_eq!(rows.len(), 49);
    let Some(folder) = folder() else { return };
    let mut wrong = Vec::new();
    let mut files = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let Some(name) = name.strip_prefix("4475-").and_then(|n| n.strip_suffix(".dat")) else {
            continue;
        };
        // `test` is no message of the RFC's text; it is in its archive.
        files += usize::from(name != "test");
        assert!(
            name == "test" || rows.iter().any(|row| row.0 == name),
            "{name} is not in the table"
        );
    }
    assert_eq!(files, 49);
    for (name, expected, more) in rows {
        let bytes = std::fs::read(folder.join(format!("4475-{name}.dat"))).unwrap();
        let mut index = Index::new();
        let message = Message::parse(&bytes, &mut index, &Limits::default()).unwrap();
        let outcome = match check(&message) {
            Ok(()) => "accept".to_owned(),
            Err(_) if !message.is_request() => "drop".to_owned(),
            Err(fault) => {
                format!("{} {}", fault.status, fault.field.map_or("-", |field| field.as_str()))
            }
        };
        if outcome != expected {
            wrong.push(format!("{name}: {outcome}, not {expected}: {:?}", check(&message)));
        }
        let mut written = Vec::new();
        Draft::new(message).write(&mut written);
        assert_eq!(written, message.bytes(), "{name}: written as it came");
        if more {
            details(name, &message);
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn request_uri<'a>(message: &Message<'a>) -> Uri<'a> {
    Uri::parse(message.request_uri()).unwrap()
}

fn details(name: &str, message: &Message<'_>) {
    match name {
        "wsinv" => {
            assert_eq!(message.max_forwards(), Ok(Some(68)));
            assert_eq!(message.cseq().unwrap().number, 9);
            assert_eq!(message.to_tag(), Some(&b"1918181833n"[..]));
            assert_eq!(message.from_tag(), Some(&b"98asjd8"[..]));
            assert_eq!(text(message.from().unwrap().display.unwrap()), r#""J Rosenberg \\\"""#);
            let vias: Vec<_> = message.vias().map(Result::unwrap).collect();
            assert_eq!(vias.len(), 3);
            assert!(vias[0].is_transport("UDP") && vias[0].unique_branch().is_none());
            assert_eq!(text(vias[1].sent_by), "spindle.example.com");
            assert_eq!(vias[1].unique_branch(), Some(&b"z9hG4bK9ikj8"[..]));
            assert_eq!(vias[2].unique_branch(), Some(&b"z9hG4bK30239"[..]));
            let contact = message.contacts().next().unwrap().unwrap();
            assert_eq!(contact.q(), Some(Some(330)));
            assert!(contact.params.has("secondparam"));
            assert_eq!(message.value(Name::Subject), Some(&b""[..]));
            assert_eq!(message.others().count(), 2);
            let route = message.routes().next().unwrap().unwrap();
            assert!(route.parse_uri().unwrap().sip().unwrap().lr());
            assert_eq!(message.body().len(), 150);
        }
        "intmeth" => {
            assert!(matches!(message.method(), Method::Other(m) if m.starts_with(b"!interesting")));
            let uri = request_uri(message);
            let uri = uri.sip().unwrap();
            assert!(
                uri.user.unwrap().starts_with(b"1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*")
            );
            assert!(uri.password.unwrap().starts_with(b"&it+has=1,weird!"));
            assert_eq!(message.others().count(), 1);
            assert!(message.from().unwrap().display.unwrap().starts_with(b"token1~`"));
        }
        "esc01" => {
            let to = message.to().unwrap();
            let plain = Uri::parse(b"sip:user@example.com").unwrap();
            assert!(uri::equivalent(&to.parse_uri().unwrap(), &plain));
            let contact = message.contacts().next().unwrap().unwrap();
            let contact = contact.parse_uri().unwrap();
            let contact = contact.sip().unwrap();
            assert!(contact.lr());
            assert_eq!(contact.param("name"), Some(Some(&b"v%61lue%25%34%31"[..])));
        }
        "escnull" => {
            let contacts: Vec<_> = message.contacts().map(|c| c.unwrap().uri).collect();
            assert!(!uri::contacts_equivalent(contacts[0], contacts[1]));
            let mut aor = Vec::new();
            uri::address_of_record(&message.to().unwrap().parse_uri().unwrap(), &mut aor);
            assert_eq!(text(&aor), "sip:null-%00-null@example.com");
        }
        "esc02" => {
            assert_eq!(message.contacts().count(), 2);
            assert_eq!(message.method(), Method::Other(b"RE%47IST%45R"));
        }
        "lwsdisp" => assert_eq!(message.from().unwrap().display, Some(&b"caller"[..])),
        "longreq" => {
            assert_eq!(message.vias().filter(Result::is_ok).count(), 34);
            assert_eq!(message.body().len(), 150);
        }
        "dblreq" => {
            assert_eq!(message.body(), b"");
            assert!(!message.bytes().windows(6).any(|w| w == b"INVITE"));
        }
        "semiuri" => {
            let uri = request_uri(message);
            assert_eq!(uri.sip().unwrap().user, Some(&b"user;par=u%40example.net"[..]));
            assert_eq!(text(uri.sip().unwrap().host_port), "example.com");
            assert_eq!(message.values(Name::Accept).count(), 6);
        }
        "transports" => {
            let all: Vec<_> = message.vias().map(|via| text(via.unwrap().transport)).collect();
            assert_eq!(all, ["UDP", "SCTP", "TLS", "UNKNOWN", "TCP"]);
        }
        "mpart01" => {
            assert_eq!(message.body().len(), 553);
            assert_eq!(message.top_via().unwrap().rport(), Some(None));
        }
        "unreason" => assert!(message.reason().starts_with(b"= 2**3 * 5**2 ")),
        "noreason" => assert_eq!((message.status(), message.reason()), (100, &b""[..])),
        "badbranch" => {
            let via = message.top_via().unwrap();
            assert_eq!((via.branch(), via.unique_branch()), (Some(&b"z9hG4bK"[..]), None));
        }
        "unkscm" => assert_eq!(request_uri(message).scheme(), b"nobodyKnowsThisScheme"),
        "novelsc" => assert_eq!(request_uri(message).scheme(), b"soap.beep"),
        "unksm2" => assert!(message.to().unwrap().parse_uri().unwrap().sip().is_none()),
        "bext01" => {
            assert!(message.has_token(Name::Require, "NOTHINGSUPPORTSTHISEITHER"));
            assert_eq!(message.values(Name::ProxyRequire).count(), 2);
        }
        "invut" => {
            assert_eq!(message.value(Name::ContentType), Some(&b"application/unknownformat"[..]))
        }
        "bcast" => {
            let second = message.vias().nth(1).unwrap().unwrap();
            assert_eq!(second.host.ip().unwrap().to_string(), "255.255.255.255");
        }
        "zeromf" => assert_eq!(message.max_forwards(), Ok(Some(0))),
        "cparam01" => {
            let contact = message.contacts().next().unwrap().unwrap();
            assert!(contact.params.has("unknownparam"));
            assert_eq!(text(contact.uri), "sip:+19725552222@gw1.example.net");
        }
        "cparam02" => {
            let contact = message.contacts().next().unwrap().unwrap();
            assert!(!contact.params.has("unknownparam"));
            assert!(contact.parse_uri().unwrap().sip().unwrap().param("unknownparam").is_some());
        }
        "regescrt" => {
            let contact = message.contacts().next().unwrap().unwrap();
            let uri = contact.parse_uri().unwrap();
            let header = uri.sip().unwrap().headers.iter().next().unwrap();
            assert_eq!(header, (&b"Route"[..], &b"%3Csip:sip.example.com%3E"[..]));
        }
        "sdp01" => assert!(!message.has_token(Name::Accept, "application/sdp")),
        "inv2543" => {
            assert_eq!(message.from_tag(), None);
            assert!(message.top_via().unwrap().branch().is_none());
            assert_eq!((message.content_length(), message.max_forwards()), (None, Ok(None)));
            assert!(message.body().starts_with(b"v=0"));
        }
        other => panic!("nothing more is told of {other}"),
    }
}
