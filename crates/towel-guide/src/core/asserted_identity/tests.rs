//! The Trust Domain's boundary from both sides.

use towel_core::contract::{
    Fields, ProxyForward, ProxyResponse, Registry, Roles, Slots, UacRequest,
};
use towel_message::{Draft, Name};

use super::{EXTENSION, ID, Trusted};
use crate::testing::{env, from, parse, request, response};

const FRIEND: &str = "10.0.0.9:5060";
const STRANGER: &str = "198.51.100.7:5060";

fn registry(more: &[(&str, &str)]) -> Registry {
    let mut registry = Registry::assemble(&[&EXTENSION], Roles::ALL);
    let mut entries = vec![("trusted", "10.0.0.0/24"), ("trusted", "peer.example.net")];
    entries.extend(more);
    registry.configure(ID, &entries).expect("settings");
    registry
}

/// What P-Asserted-Identity and P-Preferred-Identity are after forwarding.
fn forwarded(
    registry: &Registry,
    source: &str,
    user: Option<&str>,
    next_hop: &str,
    more: &str,
) -> (Vec<String>, usize) {
    request("INVITE", "sip:bob@example.com", more, |message| {
        let mut draft = Draft::new(message);
        registry.proxy_forward(
            registry.woken(&message),
            env(),
            &mut ProxyForward {
                request: message,
                source: from(source),
                user: user.map(str::as_bytes),
                draft: &mut draft,
                next_hop: next_hop.as_bytes(),
                registered: false,
                slots: None,
                target: &towel_core::contract::Candidate::default(),
                branch: 0,
            },
        );
        let mut out = Vec::new();
        draft.write(&mut out);
        parse(&out, |sent| {
            let text =
                |value: towel_message::Value<'_>| String::from_utf8_lossy(value.bytes).into_owned();
            let asserted = sent.values(Name::PAssertedIdentity).map(text).collect();
            (asserted, sent.values(Name::PPreferredIdentity).count())
        })
    })
}

const ALICE: Option<&str> = Some("sip:alice@example.com");
const LIE: &str = "P-Asserted-Identity: <sip:boss@example.com>";

#[test]
fn strangers_assert_nothing() {
    let on = registry(&[("assert", "true")]);
    assert!(forwarded(&on, STRANGER, None, "sip:10.0.0.8", LIE).0.is_empty());
    let (asserted, _) = forwarded(&on, STRANGER, ALICE, "sip:10.0.0.8", LIE);
    assert_eq!(asserted, ["<sip:alice@example.com>"]);
    let (asserted, _) = forwarded(&on, FRIEND, None, "sip:peer.example.net:5070;lr", LIE);
    assert_eq!(asserted, ["<sip:boss@example.com>"]);
}

#[test]
fn nothing_is_asserted_unless_configured() {
    let off = registry(&[]);
    assert!(forwarded(&off, STRANGER, ALICE, "sip:10.0.0.8", "").0.is_empty());
}

#[test]
fn a_preferred_name_is_a_hint() {
    let on = registry(&[("assert", "true")]);
    let own = "P-Preferred-Identity: \"Alice\" <sip:alice@example.com>";
    let (asserted, preferred) = forwarded(&on, STRANGER, ALICE, "sip:10.0.0.8", own);
    assert_eq!((asserted, preferred), (vec!["\"Alice\" <sip:alice@example.com>".into()], 0));
    let other = "P-Preferred-Identity: \"Boss\" <sip:boss@example.com>";
    let (asserted, preferred) = forwarded(&on, STRANGER, ALICE, "sip:10.0.0.8", other);
    assert_eq!((asserted, preferred), (vec!["<sip:alice@example.com>".into()], 0));
    assert_eq!(forwarded(&registry(&[]), STRANGER, None, "sip:10.0.0.8", other).1, 0);
}

#[test]
fn privacy_decides_at_the_boundary() {
    let on = registry(&[("assert", "true")]);
    let outside = "sip:elsewhere.example.org";
    for (privacy, count) in
        [("Privacy: id", 0), ("Privacy: none", 1), ("", 1), ("Privacy: header;id", 0)]
    {
        let more = format!("{LIE}\n{privacy}");
        assert_eq!(forwarded(&on, FRIEND, None, outside, &more).0.len(), count, "{privacy}");
        assert_eq!(forwarded(&on, STRANGER, ALICE, outside, privacy).0.len(), count, "{privacy}");
        assert_eq!(forwarded(&on, FRIEND, None, "sip:10.0.0.8", &more).0.len(), 1, "{privacy}");
    }
    let close = registry(&[("remove_outside", "true")]);
    assert!(forwarded(&close, FRIEND, None, outside, LIE).0.is_empty());
}

#[test]
fn responses_are_believed_from_friends_only() {
    for (source, upstream, more, count) in [
        (STRANGER, FRIEND, "", 0),
        (FRIEND, STRANGER, "", 1),
        (FRIEND, STRANGER, "Privacy: id", 0),
        (FRIEND, FRIEND, "Privacy: id", 1),
    ] {
        let registry = registry(&[]);
        let left = response("200 OK", "INVITE", &format!("{LIE}\n{more}"), |message| {
            let mut draft = Draft::new(message);
            registry.proxy_response(
                registry.woken(&message),
                env(),
                &mut ProxyResponse {
                    response: message,
                    method: b"INVITE",
                    source: from(source),
                    upstream: Some(from(upstream)),
                    draft: &mut draft,
                    slots: None,
                },
            );
            let mut out = Vec::new();
            draft.write(&mut out);
            parse(&out, |sent| sent.values(Name::PAssertedIdentity).count())
        });
        assert_eq!(left, count, "{source} {upstream} {more}");
    }
}

#[test]
fn networks_are_read_and_matched() {
    let holds = |network: &str, ip: &str| {
        Trusted::parse(network).expect(network).holds(ip.parse().expect(ip))
    };
    assert!(holds("10.0.0.0/24", "10.0.0.255") && !holds("10.0.0.0/24", "10.0.1.0"));
    assert!(
        holds("2001:db8::/33", "2001:db8:7fff::1") && !holds("2001:db8::/33", "2001:db8:8000::")
    );
    assert!(holds("0.0.0.0/0", "203.0.113.1") && !holds("0.0.0.0/0", "::1"));
    assert!(holds("192.0.2.7", "192.0.2.7") && !holds("192.0.2.7", "192.0.2.8"));
    assert_eq!(Trusted::parse("10.0.0.0/33"), None);
    assert_eq!(Trusted::parse("name/8"), None);
}

#[test]
fn one_identity_of_each_kind_is_forwarded() {
    let three = "P-Asserted-Identity: <sip:a@example.com>, <tel:+431>, <sips:b@example.com>\n\
                 P-Asserted-Identity: <http://example.com/>, <tel:+432>";
    let (asserted, _) = forwarded(&registry(&[]), FRIEND, None, "sip:10.0.0.8", three);
    assert_eq!(asserted, ["<sip:a@example.com>", "<tel:+431>"]);
}

#[test]
fn who_is_not_trusted_is_told_nothing() {
    let registry = registry(&[("preferred", "<sip:alice@example.com>")]);
    for (next_hop, told) in [
        ("sip:10.0.0.8", true),
        ("sip:peer.example.net:5070;transport=tcp", true),
        ("sip:198.51.100.7", false),
        ("sip:example.org", false),
    ] {
        let mut fields = Fields::new();
        let mut at = UacRequest {
            method: b"MESSAGE",
            request_uri: &mut b"sip:bob@example.com".to_vec(),
            fields: &mut fields,
            contact_parameters: &mut Vec::new(),
            next_hop: next_hop.as_bytes(),
            slots: &mut Slots::new(),
            agent: &mut Slots::new(),
            dialog: None,
            tasks: &mut towel_core::contract::Tasks::new(),
            body: &[],
            own: None,
            given: towel_core::contract::Given::default(),
        };
        registry.uac_request(registry.woken_for_own_request(), env(), &mut at);
        assert_eq!(fields.get("P-Preferred-Identity").is_some(), told, "{next_hop}");
    }
}
