//! What is easier to say of one function than of a whole call; calls are told by flows.

use towel_message::{Index, Limits, Message, Name};

use super::*;
use crate::contract::Roles;
use crate::ua::user_agent::Content;

fn across(names: &[&str]) -> B2bua {
    let settings = Settings {
        next_hop: "sip:inside.example.com:5070;transport=tcp".into(),
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        ..Settings::default()
    };
    let registry = Registry::assemble(&[], Roles::UA);
    B2bua::new(&crate::settings::Settings::default(), settings, registry, [1; 32])
}

fn reading<R>(text: &str, read: impl FnOnce(&Message<'_>) -> R) -> R {
    let mut index = Index::new();
    read(&Message::parse(text.as_bytes(), &mut index, &Limits::default()).unwrap())
}

fn invite(uri: &str, more: &str) -> String {
    format!(
        "INVITE {uri} SIP/2.0\r\nFrom: \"A, B\" <sip:a;x@h>;y=1;tag=z;w\r\nTo: sip:b@h;q=2\r\n{more}\r\n"
    )
}

#[test]
fn what_names_us_goes_to_the_next_hop_and_all_else_keeps_its_name() {
    let across = across(&["Front.example.com"]);
    let target = |uri: &str| reading(&invite(uri, ""), |message| across.target(message));
    let own = ("sip:bob@inside.example.com:5070;transport=tcp".to_owned(), None);
    assert_eq!(target("sip:bob@front.EXAMPLE.com"), own);
    let hop = Some("sip:inside.example.com:5070;transport=tcp".to_owned());
    for uri in ["sip:bob@front.example.com:5061", "sip:bob@example.com", "tel:+1234"] {
        assert_eq!(target(uri), (uri.to_owned(), hop.clone()), "{uri}");
    }
}

#[test]
fn a_party_loses_its_tag_and_nothing_else() {
    reading(&invite("sip:b@h", ""), |message| {
        assert_eq!(fields::party(message, Name::From), "\"A, B\" <sip:a;x@h>;y=1;w");
        assert_eq!(fields::party(message, Name::To), "<sip:b@h>;q=2");
    });
}

#[test]
fn what_each_leg_has_of_its_own_stays_there() {
    let mut across = across(&[]);
    let more = "v: SIP/2.0/UDP h;branch=z9hG4bKx\r\nRoute: <sip:r>\r\ni: secret\r\nm: <sip:c>\r\n\
        Session-Expires: 90\r\nSubject: tea\r\nX-Tea: 1\r\nX-Tea: 2\r\nServer: s\r\nRequire: 100rel, replaces\r\n";
    let kept = |across: &B2bua| {
        reading(&invite("sip:b@h", more), |message| {
            let fields = across.carried(message);
            let lines = fields.iter().map(|(n, v)| format!("{n}: {}", String::from_utf8_lossy(v)));
            lines.collect::<Vec<_>>().join("|")
        })
    };
    assert_eq!(kept(&across), "Subject: tea|X-Tea: 1|X-Tea: 2|Server: s|Require: replaces");
    across.settings.hide = true;
    assert_eq!(kept(&across), "Subject: tea|X-Tea: 1|X-Tea: 2|Require: replaces");
}

#[test]
fn what_nobody_knows_may_not_be_required() {
    let across = across(&[]);
    let missing = |tags: &str| {
        let more = format!("Require: {tags}\r\n");
        reading(&invite("sip:b@h", &more), |message| across.unsupported(message))
    };
    assert_eq!(missing("replaces, Precondition"), None);
    assert_eq!(missing("replaces, tea, milk"), Some("tea, milk".into()));
}

#[test]
fn a_body_is_what_it_was() {
    let more = "Content-Type: application/sdp;x=1\r\nContent-Length: 5\r\n\r\nv=0\n\0";
    let text = invite("sip:b@h", more);
    let text = text.trim_end_matches("\r\n");
    let found = reading(text, fields::body).unwrap();
    assert_eq!(
        found,
        Content { media_type: "application/sdp;x=1".into(), bytes: b"v=0\n\0".into() }
    );
    assert!(fields::is_description(&found));
}

#[test]
fn a_refer_to_without_a_call_of_ours_stays_as_it_is() {
    let across = across(&[]);
    for value in
        ["<sip:c@h>", "<sip:c@h?Replaces=x%3Bto-tag%3D1%3Bfrom-tag%3D2>", "<sip:c@h?Replaces=%"]
    {
        assert_eq!(across.refer_to(value.as_bytes()), None, "{value}");
    }
}
