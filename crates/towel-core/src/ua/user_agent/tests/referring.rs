//! Subscriptions and REFERs of two user agents: what flows do not reach, and that nothing is left under
//! loss whatever both ends do.

use super::*;
use crate::contract::{DialogUse, EventPackage, Extension, MethodDeclaration};

const METHOD: MethodDeclaration = MethodDeclaration {
    name: "",
    answered_by: Roles::UAS,
    bodies: "",
    overlaps: "yes",
    dialog: DialogUse::Creates,
    target_refresh: true,
    offer_answer: "",
    cancellable: false,
    immediate: true,
    proxies_must_know: false,
    forking: "",
    reverse_request: "",
};

const fn package(name: &'static str) -> EventPackage {
    EventPackage { name, template: false, bodies: &[], default_expiry: 60, served_by: Roles::UAS }
}

static EVENTS: Extension = Extension {
    id: "events",
    methods: &[
        MethodDeclaration { name: "SUBSCRIBE", ..METHOD },
        MethodDeclaration { name: "NOTIFY", ..METHOD },
        MethodDeclaration { name: "REFER", ..METHOD },
    ],
    packages: &[package("weather"), package("refer")],
    ..Extension::EMPTY
};

fn pair() -> Pair {
    let registry = || Registry::assemble(&[&EVENTS], Roles::UA);
    Pair::with(registry(), registry())
}

fn weather(text: &str) -> Option<Content> {
    Some(Content { media_type: "text/plain".into(), bytes: text.into() })
}

/// Arthur subscribes to the weather for so many seconds, and ford admits it.
fn subscribed(pair: &mut Pair, seconds: u32) -> [SubscriptionHandle; 2] {
    let ask = Ask::new("SUBSCRIBE", "sip:ford@192.0.2.2")
        .with("Event", "weather;id=7")
        .with("Expires", seconds.to_string());
    let ours = pair.act(ARTHUR, |ua, now, out| ua.subscribe(now, out, None, &ask)).unwrap();
    pair.pass(10);
    let request = pair.told(FORD).into_iter().find_map(|event| match event {
        Event::Subscribing { request, .. } => Some(request),
        _ => None,
    });
    let request = request.expect("somebody subscribes");
    let theirs =
        pair.act(FORD, |ua, now, out| ua.admit(now, out, request, 600, true, weather("rain")));
    pair.pass(10);
    [ours, theirs.unwrap()]
}

/// What was told of a subscription: the words of its states and the bodies, and the status of its end.
fn news(events: &[Event]) -> Vec<String> {
    let news = events.iter().filter_map(|event| match event {
        Event::Notified { state, message, .. } => {
            let body = message.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
            Some(format!("{} {}", state.word, String::from_utf8_lossy(body)))
        }
        Event::Unsubscribed { status, .. } => Some(format!("over {status}")),
        _ => None,
    });
    news.collect()
}

#[test]
fn a_subscription_is_told_refreshed_and_ended() {
    let mut pair = pair();
    let [ours, theirs] = subscribed(&mut pair, 600);
    assert_eq!(news(&pair.told(ARTHUR)), ["active rain"]);
    for text in ["sun", "snow"] {
        pair.act(FORD, |ua, now, out| ua.notify(now, out, theirs, weather(text), None)).unwrap();
    }
    pair.pass(10);
    // One NOTIFY at a time.
    assert_eq!(news(&pair.told(ARTHUR)), ["active sun", "active snow"]);
    pair.said(ARTHUR);
    pair.pass(460_000);
    assert!(pair.said(ARTHUR).contains(&"SUBSCRIBE".to_string()), "refreshed in time");
    assert_eq!(news(&pair.told(ARTHUR)), ["active snow"]);
    assert_eq!(news(&pair.told(FORD)), Vec::<String>::new());
    pair.act(ARTHUR, |ua, now, out| ua.unsubscribe(now, out, ours)).unwrap();
    pair.pass(10);
    assert_eq!(news(&pair.told(ARTHUR)), ["terminated snow", "over 0"]);
    assert_eq!(news(&pair.told(FORD)), ["over 0"]);
    pair.is_empty();
}

#[test]
fn each_end_may_end_it() {
    let mut pair = pair();
    let [_, theirs] = subscribed(&mut pair, 600);
    let end = |ua: &mut UserAgent, now, out: &mut Outbox| {
        ua.notify(now, out, theirs, weather("dark"), Some("noresource"))
    };
    pair.act(FORD, end).unwrap();
    pair.pass(10);
    assert_eq!(news(&pair.told(ARTHUR)), ["active rain", "terminated dark", "over 0"]);
    pair.is_empty();
    // Or its time does, where nobody is there to refresh it.
    subscribed(&mut pair, 60);
    pair.loses = Box::new(|_, end, _| end == ARTHUR);
    pair.pass(100_000);
    assert_eq!(news(&pair.told(FORD)), ["over 408"]);
    pair.is_empty();
}

#[test]
fn a_subscription_that_is_refused_or_not_told_of_is_over() {
    let mut pair = pair();
    for (package, status) in [("weather", 403), ("tides", 489)] {
        let ask = Ask::new("SUBSCRIBE", "sip:ford@192.0.2.2").with("Event", package);
        pair.act(ARTHUR, |ua, now, out| ua.subscribe(now, out, None, &ask)).unwrap();
        pair.pass(10);
        for event in pair.told(FORD) {
            if let Event::Subscribing { request, .. } = event {
                let refuse = |ua: &mut UserAgent, now, out: &mut Outbox| {
                    ua.reply(now, out, request, Answer::new(403))
                };
                pair.act(FORD, refuse).unwrap();
            }
        }
        pair.pass(10);
        assert_eq!(news(&pair.told(ARTHUR)), [format!("over {status}")]);
    }
    // NOTIFY never comes: Timer N.
    pair.loses = Box::new(|_, _, text| text.starts_with("NOTIFY"));
    subscribed(&mut pair, 600);
    pair.pass(40_000);
    assert_eq!(news(&pair.told(ARTHUR)), ["over 408"]);
    pair.loses = Box::new(|_, _, _| false);
    pair.is_empty();
}

#[test]
fn a_notify_that_was_overtaken_is_sent_again() {
    let mut pair = pair();
    let [_, theirs] = subscribed(&mut pair, 600);
    pair.told(ARTHUR);
    // It is as if a later request had come before it.
    let id = pair.ends[ARTHUR].core.legs.ids().next().expect("a dialog");
    let dialog = &mut pair.ends[ARTHUR].core.legs.get_mut(id).expect("it lives").dialog;
    let next = dialog.remote_sequence().unwrap_or(0) + 1;
    dialog.take_request(next);
    pair.said(ARTHUR);
    pair.act(FORD, |ua, now, out| ua.notify(now, out, theirs, weather("hail"), None)).unwrap();
    pair.pass(10);
    assert_eq!(pair.said(ARTHUR), ["500 NOTIFY", "200 NOTIFY"]);
    assert_eq!(news(&pair.told(ARTHUR)), ["active hail"]);
    pair.act(FORD, |ua, now, out| ua.notify(now, out, theirs, None, Some("noresource"))).unwrap();
    pair.is_empty();
}

#[test]
fn beyond_the_limit_nobody_is_admitted() {
    let mut pair = pair();
    pair.ends[FORD].core.profile.max_subscriptions = 1;
    subscribed(&mut pair, 600);
    let refer = Ask::refer("sip:ford@192.0.2.2", "<sip:zaphod@192.0.2.1>");
    for _ in 0..2 {
        pair.act(ARTHUR, |ua, now, out| ua.refer(now, out, None, &refer)).unwrap();
    }
    pair.pass(10);
    for event in pair.told(FORD) {
        if let Event::Referred { request, .. } = event {
            let full = pair.act(FORD, |ua, now, out| ua.accept_refer(now, out, request));
            assert_eq!(full, Err(Refused::Full));
        }
    }
    pair.pass(10);
    let refused = pair.told(ARTHUR).into_iter().filter(|event| {
        matches!(event, Event::Refer { reported: Reported::Refused { status: 503, .. }, .. })
    });
    assert_eq!(refused.count(), 2);
    pair.pass(2_000_000);
}

#[test]
fn what_is_accepted_and_forgotten_by_its_application_is_not_kept_for_ever() {
    let mut pair = pair();
    let refer = Ask::refer("sip:ford@192.0.2.2", "<sip:zaphod@192.0.2.1>");
    pair.act(ARTHUR, |ua, now, out| ua.refer(now, out, None, &refer)).unwrap();
    pair.pass(10);
    for event in pair.told(FORD) {
        if let Event::Referred { request, .. } = event {
            pair.act(FORD, |ua, now, out| ua.accept_refer(now, out, request)).unwrap();
        }
    }
    pair.pass(10);
    assert_eq!(pair.ends[FORD].subscriptions(), [1, 1]);
    pair.pass(300_000);
    assert_eq!(pair.ends[FORD].subscriptions(), [0, 1]);
    let told = pair.told(ARTHUR);
    let unknown = |event: &Event| matches!(event, Event::Refer { reported: Reported::Unknown, .. });
    assert!(told.iter().any(unknown), "{told:?}");
    pair.pass(300_000);
    pair.is_empty();
}

/// Both ends call, transfer, refer, accept, follow and give up at random.
/// Gives how many references came to their end with word of it.
fn play(seed: u64, loss: u64) -> usize {
    let mut ended = 0;
    let mut rng = Rng::from_number(seed);
    let mut pair = pair();
    let (mut fate, mut delay) = (Rng::from_number(!seed), Rng::from_number(seed ^ 77));
    pair.loses = Box::new(move |_, _, _| fate.below(100) < loss);
    pair.takes = Box::new(move |_| 500 + delay.below(400_000));
    let mut calls: [Vec<CallHandle>; 2] = [Vec::new(), Vec::new()];
    let mut subs: [Vec<SubscriptionHandle>; 2] = [Vec::new(), Vec::new()];
    let mut references: [Vec<(ReferenceHandle, Vec<u8>)>; 2] = [Vec::new(), Vec::new()];
    for _ in 0..80 {
        let end = rng.below(2) as usize;
        for event in pair.told(end) {
            match event {
                Event::Incoming { call, .. } => {
                    calls[end].push(call);
                    let answer = Answer::new([180, 200, 200, 486][rng.below(4) as usize]);
                    let _ = pair.act(end, |ua, now, out| ua.answer(now, out, call, answer));
                }
                Event::Referred { request, message, .. } if rng.below(4) > 0 => {
                    let accepted = pair.act(end, |ua, now, out| ua.accept_refer(now, out, request));
                    references[end].extend(accepted.ok().map(|one| (one, message)));
                }
                Event::Referred { request, .. } | Event::Subscribing { request, .. } => {
                    let _ =
                        pair.act(end, |ua, now, out| ua.reply(now, out, request, Answer::new(603)));
                }
                Event::Refer { refer, reported, .. } => {
                    ended += usize::from(matches!(reported, Reported::Final { .. }));
                    subs[end].push(refer);
                }
                _ => {}
            }
        }
        let at = |rng: &mut Rng, length: usize| rng.below(length.max(1) as u64) as usize;
        let call = calls[end].get(at(&mut rng, calls[end].len())).copied();
        let other = calls[end].get(at(&mut rng, calls[end].len())).copied();
        let uri = format!("sip:x@192.0.2.{}", 2 - end);
        match rng.below(8) {
            0 | 1 => {
                let invite = Ask::invite(&uri, "v=0");
                let made = pair.act(end, |ua, now, out| ua.call(now, out, invite));
                calls[end].extend(made.ok());
            }
            2 => {
                let transfer = match (rng.below(2), other) {
                    (0, Some(other)) => Transfer::attended(other),
                    _ => Transfer::blind(&uri),
                };
                if let Some(call) = call {
                    let _ = pair.act(end, |ua, now, out| ua.transfer(now, out, call, transfer));
                }
            }
            3 => {
                let refer = Ask::refer(&uri, &format!("<{uri}>"));
                let _ = pair.act(end, |ua, now, out| ua.refer(now, out, None, &refer));
            }
            4 => {
                if let Some((reference, refer)) = references[end].pop() {
                    let ask = Referral::of(&refer).expect("it can be read").ask(None);
                    let made = pair.act(end, |ua, now, out| ua.follow(now, out, reference, ask));
                    calls[end].extend(made.ok().flatten());
                }
            }
            5 => {
                if let Some(sub) = subs[end].pop() {
                    let _ = pair.act(end, |ua, now, out| ua.unsubscribe(now, out, sub));
                }
            }
            6 => {
                if let Some(call) = call {
                    let _ = pair.act(end, |ua, now, out| ua.hang_up(now, out, call));
                }
            }
            _ => pair.pass(rng.below(3_000)),
        }
        pair.pass(rng.below(800));
    }
    pair.loses = Box::new(|_, _, _| false);
    // What was accepted and not followed is declined, what still rings refused, what is up ended.
    for _ in 0..3 {
        for end in [ARTHUR, FORD] {
            for event in pair.told(end) {
                match event {
                    Event::Incoming { call, .. } => calls[end].push(call),
                    Event::Referred { request, .. } | Event::Subscribing { request, .. } => {
                        let _ = pair
                            .act(end, |ua, now, out| ua.reply(now, out, request, Answer::new(603)));
                    }
                    _ => {}
                }
            }
            for (reference, _) in std::mem::take(&mut references[end]) {
                let _ =
                    pair.act(end, |ua, now, out| ua.report(now, out, reference, 603, "Decline"));
            }
            for call in calls[end].clone() {
                let _ = pair.act(end, |ua, now, out| ua.hang_up(now, out, call));
            }
        }
        pair.pass(300_000);
    }
    for end in [ARTHUR, FORD] {
        assert_eq!(pair.ends[end].sizes(), [0; 5], "seed {seed} end {end}");
        assert_eq!(pair.ends[end].subscriptions(), [0; 2], "seed {seed} end {end}");
        assert!(pair.ends[end].core.origins.is_empty(), "seed {seed} end {end}");
    }
    ended
}

#[test]
fn nothing_is_left_of_transfers_at_random() {
    let ended: usize = (0..40).map(|seed| play(seed, 0) + play(seed, 20)).sum();
    assert!(ended > 20, "only {ended} references came to an end");
}
