//! Numbers that can and cannot be resolved.

use towel_core::contract::{
    Candidate, Directives, ProxyPreprocess, ProxyTargets, Registry, Roles, Slots, Verdict,
};

use super::EXTENSION;
use crate::testing::{env, from, request};

fn registry(entries: &[(&str, &str)]) -> Registry {
    let mut registry = Registry::assemble(&[&EXTENSION], Roles::ALL);
    registry.configure("tel", entries).expect("settings");
    registry
}

fn resolved(registry: &Registry, uri: &str) -> Result<String, u16> {
    request("INVITE", uri, "", |message| {
        let mut request_uri = message.request_uri().to_vec();
        let verdict = registry.proxy_preprocess(
            registry.woken(&message),
            env(),
            &mut ProxyPreprocess {
                request: message,
                request_uri: &mut request_uri,
                source: from("198.51.100.7:5060"),
                user: None,
            },
        );
        match verdict {
            Verdict::Refuse(reply) => Err(reply.status),
            _ => Ok(String::from_utf8_lossy(&request_uri).into_owned()),
        }
    })
}

#[test]
fn numbers_become_users() {
    let registry = registry(&[]);
    let same = Ok("sip:+12015550123@example.com;user=phone".to_owned());
    assert_eq!(resolved(&registry, "tel:+1-201-555-0123"), same);
    assert_eq!(resolved(&registry, "TEL:+1(201)555.0123"), same);
    assert_eq!(resolved(&registry, "sip:bob@example.com"), Ok("sip:bob@example.com".into()));
    assert!(registry.knows_scheme(b"Tel"));
}

#[test]
fn local_numbers_keep_their_context() {
    let registry = registry(&[]);
    assert_eq!(
        resolved(&registry, "tel:7042;phone-context=example.com").as_deref(),
        Ok("sip:7042@example.com;user=phone")
    );
    assert_eq!(
        resolved(&registry, "tel:863-1234;phone-context=+1-914-555").as_deref(),
        Ok("sip:8631234;phone-context=+1-914-555@example.com;user=phone")
    );
}

#[test]
fn what_cannot_be_resolved() {
    assert_eq!(resolved(&registry(&[]), "tel:7042"), Err(400));
    assert_eq!(resolved(&registry(&[]), "tel:+x"), Err(400));
    assert_eq!(resolved(&registry(&[("fewest_digits", "4")]), "tel:+123"), Err(484));
    assert_eq!(resolved(&registry(&[("resolve", "no")]), "tel:+123"), Err(416));
    assert_eq!(resolved(&registry(&[]), "tel:+123;M-charge=no"), Err(404));
    assert_eq!(resolved(&registry(&[]), "tel:+123;ext=1;EXT=2"), Err(400));
}

#[test]
fn ways_are_no_part_of_a_number() {
    let registry = registry(&[]);
    let ported = "tel:+1-201-555-0123;npdi;rn=+1-201-555-0000;tgrp=t1;trunk-context=example.net";
    let same = Ok("sip:+12015550123@example.com;user=phone".to_owned());
    assert_eq!(resolved(&registry, ported), same);
    // Others stay, the extension and the context before the rest (section 3).
    assert_eq!(
        resolved(&registry, "tel:863;a=b;phone-context=+1-914;ext=7").as_deref(),
        Ok("sip:863;ext=7;phone-context=+1-914;a=b@example.com;user=phone")
    );
}

#[test]
fn a_binding_that_is_a_number_goes_to_the_gateway() {
    let run = |entries: &[(&str, &str)], number: &str| {
        let registry = registry(entries);
        let uri = number.as_bytes().to_vec();
        let mut targets = vec![Candidate { uri, registered: true, ..Candidate::default() }];
        let verdict = request("INVITE", "sip:bob@example.com", "", |message| {
            registry.proxy_targets(
                registry.woken(&message),
                env(),
                &mut ProxyTargets {
                    request: message,
                    source: from("198.51.100.7:5060"),
                    user: None,
                    targets: &mut targets,
                    directives: &mut Directives::default(),
                    slots: &mut Slots::new(),
                    request_uri: b"",
                },
            )
        });
        (verdict, targets)
    };
    let gateway = [("gateway", "gw.example.com:5070")];
    let (verdict, targets) = run(&gateway, "tel:+1-201;npdi");
    assert!(verdict.is_pass());
    assert_eq!(targets[0].uri, b"sip:+1201;npdi@gw.example.com:5070;user=phone");
    for (entries, number) in [(&[][..], "tel:+1-201"), (&gateway, "tel:+1-201;m-charge=no")] {
        let (verdict, _) = run(entries, number);
        assert!(matches!(verdict, Verdict::Refuse(reply) if reply.status == 404));
    }
}
