//! The worked example of RFC 3841 section 7.2.5, and what lies beside it.

use towel_core::contract::{
    Candidate, Directives, Durable, ProxyTargets, Registry, Roles, Slots, Verdict,
};

use super::EXTENSION;
use crate::infrastructure::capabilities;
use crate::testing::{env, from, request};

fn target(uri: &str, q: u16, features: &str) -> Candidate {
    let mut kept = Durable::new();
    if !features.is_empty() {
        kept.set(capabilities::ID, features.as_bytes());
    }
    Candidate {
        uri: uri.into(),
        q,
        registered: true,
        kept: kept.as_bytes().to_vec(),
        ..Candidate::default()
    }
}

fn run(
    method: &str,
    more: &str,
    mut targets: Vec<Candidate>,
) -> (Verdict, Vec<Candidate>, Directives) {
    let registry = Registry::assemble(&[&capabilities::EXTENSION, &EXTENSION], Roles::ALL);
    let mut directives = Directives::default();
    let verdict = request(method, "sip:user@example.com", more, |message| {
        registry.proxy_targets(
            registry.woken(&message),
            env(),
            &mut ProxyTargets {
                request: message,
                source: from("198.51.100.7:5060"),
                user: None,
                targets: &mut targets,
                directives: &mut directives,
                slots: &mut Slots::new(),
                request_uri: b"",
            },
        )
    });
    (verdict, targets, directives)
}

fn uris(targets: &[Candidate]) -> Vec<&str> {
    targets.iter().map(|one| std::str::from_utf8(&one.uri).unwrap_or_default()).collect()
}

fn five() -> Vec<Candidate> {
    vec![
        target("u1", 200, ";audio;video;methods=\"INVITE,BYE\""),
        target("u2", 200, ";audio=\"FALSE\";methods=\"INVITE\";actor=\"msg-taker\""),
        target("u3", 300, ";audio;actor=\"msg-taker\";methods=\"INVITE\";video"),
        target("u4", 200, ";audio;methods=\"INVITE,OPTIONS\""),
        target("u5", 500, ""),
    ]
}

#[test]
fn the_rfcs_example() {
    let more = "Reject-Contact: *;actor=\"msg-taker\";video\n\
                Accept-Contact: *;audio;require\n\
                a: *;video;explicit\n\
                Accept-Contact: *;methods=\"BYE\";class=\"business\";q=1.0";
    let (verdict, targets, _) = run("INVITE", more, five());
    assert!(verdict.is_pass());
    assert_eq!(uris(&targets), ["u5", "u1", "u4"]);
    let groups: Vec<_> = targets.iter().map(|one| one.group).collect();
    assert_eq!(groups, [1, 2, 3]);
}

#[test]
fn an_explicit_preference_that_leaves_nobody_is_a_480() {
    let mut targets = five();
    targets.pop();
    let (verdict, ..) =
        run("INVITE", "Accept-Contact: *;language=\"eo\";require;explicit", targets);
    assert!(matches!(verdict, Verdict::Refuse(reply) if reply.status == 480));
}

#[test]
fn the_method_is_implied() {
    let (_, targets, _) = run("OPTIONS", "", five());
    assert_eq!(uris(&targets), ["u5", "u4"]);
    assert!(targets.iter().all(|one| one.group == 0), "an implied preference does not serialise");
    let mut without = five();
    without.pop();
    let (verdict, targets, _) = run("MESSAGE", "", without);
    assert!(verdict.is_pass());
    assert_eq!(targets.len(), 4, "nobody left: the whole set is tried");
}

#[test]
fn strangers_are_left_alone() {
    let mut targets = vec![target("u1", 1000, ";audio=\"FALSE\"")];
    targets[0].registered = false;
    let (verdict, targets, directives) =
        run("INVITE", "Accept-Contact: *;audio;require\nRequest-Disposition: redirect", targets);
    assert!(verdict.is_pass());
    assert_eq!((targets.len(), directives), (1, Directives::default()));
}

#[test]
fn directives_are_read() {
    let (_, targets, directives) = run(
        "INVITE",
        "Request-Disposition: no-fork, NO-CANCEL, sequential\nd: parallel, queue",
        five(),
    );
    assert_eq!(uris(&targets), ["u5"]);
    assert_eq!(directives.cancel, Some(false));
    assert_eq!(directives.parallel, Some(false));
    assert_eq!(directives.queue, Some(true));
    assert_eq!((directives.recurse, directives.redirect), (None, None));
}

#[test]
fn a_redirect_gives_the_order_by_q() {
    let (_, targets, _) = run("INVITE", "Request-Disposition: redirect", five());
    assert_eq!(uris(&targets)[0], "u5");
    assert!(targets.windows(2).all(|pair| pair[0].q > pair[1].q));
}

#[test]
fn too_many_are_refused() {
    let more = "Accept-Contact: *;audio\n".repeat(21);
    let (verdict, ..) = run("INVITE", &more, five());
    assert!(matches!(verdict, Verdict::Refuse(reply) if reply.status == 403));
}
