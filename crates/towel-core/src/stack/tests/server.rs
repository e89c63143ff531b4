//! Server transactions.

use super::*;

const PEER: &str = "192.0.2.9:5070";

#[test]
fn an_invite_gets_100_within_200_ms_and_its_final_response_until_the_ack() {
    let mut world = World::new();
    world.user.keep = true;
    world.datagram(PEER, &request("INVITE", "z9hG4bK1"));
    assert_eq!(world.told(), ["request INVITE"]);
    world.pass(ms(1000));
    assert_eq!(world.lines(), ["50 SIP/2.0 100 Trying"]);
    world.datagram(PEER, &request("INVITE", "z9hG4bK1"));
    assert_eq!(world.lines(), ["1000 SIP/2.0 100 Trying"]);
    let id = world.user.servers[0];
    world
        .call(|stack, now, out| stack.reply(now, out, id, 486, "Busy Here", |writer| writer.end()))
        .unwrap();
    world.pass(ms(8000));
    let sent = world.lines();
    let times: Vec<_> = sent.iter().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(times, ["1000", "1500", "2500", "4500", "8500"]);
    let tag = field(&answer("", 0), "To").len();
    assert!(tag > 0);
    world.datagram(PEER, &request("ACK", "z9hG4bK1"));
    world.datagram(PEER, &request("ACK", "z9hG4bK1"));
    world.pass(ms(4000));
    assert!(world.lines().is_empty() && world.told().is_empty());
    world.drained();
}

#[test]
fn a_branch_that_comes_again_with_another_call_id_is_another_request() {
    let mut world = World::new();
    world.user.answer = Some(200);
    world.datagram(PEER, &request("OPTIONS", "z9hG4bK1"));
    world.datagram(PEER, &request("OPTIONS", "z9hG4bK1"));
    world.datagram(PEER, &request("OPTIONS", "z9hG4bK1").replace("towel", "fish"));
    assert_eq!(world.told(), ["request OPTIONS", "request OPTIONS"]);
    let calls: Vec<_> =
        world.sent.drain(..).map(|(_, _, text)| field(&text, "Call-ID").to_owned()).collect();
    assert_eq!(calls, ["towel", "towel", "fish"]);
    world.drained();
}

#[test]
fn a_provisional_response_from_the_user_takes_the_place_of_the_100() {
    let mut world = World::new();
    world.user.answer = Some(180);
    world.datagram(PEER, &request("INVITE", "z9hG4bK1"));
    world.pass(ms(1000));
    world.datagram(PEER, &request("INVITE", "z9hG4bK1"));
    assert_eq!(world.lines(), ["0 SIP/2.0 180 Answer", "1000 SIP/2.0 180 Answer"]);
    let id = world.user.servers[0];
    world.call(|stack, now, out| stack.drop_server(now, out, id));
    assert!(world.stack.is_drained());
}

#[test]
fn after_a_2xx_invites_are_absorbed_and_acks_go_up() {
    let mut world = World::new();
    world.user.answer = Some(200);
    world.datagram(PEER, &request("INVITE", "z9hG4bK1"));
    world.datagram(PEER, &request("INVITE", "z9hG4bK1"));
    assert_eq!(world.lines(), ["0 SIP/2.0 200 Answer"]);
    world.told();
    // RFC 6026: the user sends the 2xx again.
    let id = world.user.servers[0];
    let ok = answer(&request("INVITE", "z9hG4bK1"), 200);
    world
        .call(|stack, now, out| {
            stack.respond(now, out, id, |to| to.extend_from_slice(ok.as_bytes()))
        })
        .unwrap();
    assert_eq!(world.lines().len(), 1);
    assert_eq!(world.stack.request(id), None);
    let refused =
        world.call(|stack, now, out| stack.reply(now, out, id, 486, "No", |writer| writer.end()));
    assert_eq!(refused, Err(Refusal::State));
    world.datagram(PEER, &request("ACK", "z9hG4bK1"));
    assert_eq!(world.told(), ["ack matched"]);
    // As a rule it has a branch of its own.
    world.datagram(PEER, &request("ACK", "z9hG4bK2"));
    assert_eq!(world.told(), ["ack unmatched"]);
    world.drained();
    assert!(world.lines().is_empty());
}

#[test]
fn without_an_ack_the_user_is_told() {
    let mut world = World::new();
    world.user.answer = Some(404);
    world.datagram(PEER, &request("INVITE", "z9hG4bK1"));
    world.pass(ms(32_000));
    assert_eq!(world.told(), ["request INVITE", "unacknowledged"]);
    // 0, 0.5, 1.5, 3.5, then every 4 s until 31.5.
    assert_eq!(world.lines().len(), 11);
    world.drained();
}

#[test]
fn over_tcp_nothing_is_repeated_but_the_wait_for_the_ack_is_the_same() {
    let mut world = World::new();
    world.user.answer = Some(404);
    let connection = world.accept(1, 1, PEER);
    world.stream(connection, &request("INVITE", "z9hG4bK1").replace("UDP", "TCP"));
    world.pass(ms(20_000));
    assert_eq!(world.lines(), ["0 SIP/2.0 404 Answer"]);
    world.stream(connection, &request("ACK", "z9hG4bK1").replace("UDP", "TCP"));
    assert!(world.stack.is_drained());
}

#[test]
fn a_repeated_request_gets_the_same_answer_and_no_second_transaction() {
    let mut world = World::new();
    world.user.answer = Some(200);
    for _ in 0..3 {
        world.datagram(PEER, &request("OPTIONS", "z9hG4bK1"));
    }
    let texts: Vec<_> = world.sent.drain(..).map(|(_, _, text)| text).collect();
    assert_eq!(texts.len(), 3);
    assert!(texts.windows(2).all(|pair| pair[0] == pair[1]));
    assert_eq!(world.told(), ["request OPTIONS"]);
    // The branch is compared without regard to case; another sent-by is another client.
    world.datagram(PEER, &request("OPTIONS", "Z9HG4BK1"));
    assert!(world.told().is_empty());
    world.datagram(PEER, &request("OPTIONS", "z9hG4bK1").replace("9:5070", "9:5071"));
    assert_eq!(world.told(), ["request OPTIONS"]);
    world.drained();
}

#[test]
fn a_request_other_than_invite_gets_100_when_timer_e_would_be_t2_and_never_408() {
    let mut world = World::new();
    world.user.keep = true;
    world.datagram(PEER, &request("MESSAGE", "z9hG4bK1"));
    let id = world.user.servers[0];
    // RFC 4320 section 4.1: no 100 before that on UDP, no other provisional response at all.
    for status in [100, 180] {
        world
            .call(|stack, now, out| stack.reply(now, out, id, status, "No", |writer| writer.end()))
            .unwrap();
    }
    world.pass(ms(10_000));
    assert_eq!(world.lines(), ["3500 SIP/2.0 100 Trying"]);
    // Section 4.2.
    world
        .call(|stack, now, out| {
            stack.reply(now, out, id, 408, "Request Timeout", |writer| writer.end())
        })
        .unwrap();
    assert!(world.lines().is_empty());
    assert!(world.stack.is_drained());
}

#[test]
fn a_request_that_is_never_answered_leaves_nothing_behind() {
    let mut world = World::new();
    world.user.keep = true;
    world.datagram(PEER, &request("MESSAGE", "z9hG4bK1"));
    world.drained();
    let id = world.user.servers[0];
    let late =
        world.call(|stack, now, out| stack.reply(now, out, id, 200, "OK", |writer| writer.end()));
    assert_eq!(late, Err(Refusal::Stale));
    assert_eq!(world.lines(), ["3500 SIP/2.0 100 Trying"]);
}

#[test]
fn a_cancel_is_answered_and_ends_the_invite_with_the_same_tag() {
    let mut world = World::new();
    world.user.keep = true;
    world.datagram(PEER, &request("INVITE", "z9hG4bK1"));
    world.datagram(PEER, &request("CANCEL", "z9hG4bK1"));
    assert_eq!(world.told(), ["request INVITE", "cancelled known=true invite=true"]);
    let sent: Vec<_> = world.sent.drain(..).map(|(_, _, text)| text).collect();
    assert!(sent[0].starts_with("SIP/2.0 200") && field(&sent[0], "CSeq") == "7 CANCEL");
    assert!(sent[1].starts_with("SIP/2.0 487") && field(&sent[1], "CSeq") == "7 INVITE");
    assert_eq!(field(&sent[0], "To"), field(&sent[1], "To"));
    // The CANCEL again: the same 200; after the final response it changes nothing.
    world.datagram(PEER, &request("CANCEL", "z9hG4bK1"));
    assert_eq!(world.lines(), ["0 SIP/2.0 200 OK"]);
    world.datagram(PEER, &request("ACK", "z9hG4bK1"));
    world.drained();
}

#[test]
fn a_cancel_from_elsewhere_cancels_nothing() {
    let mut world = World::new();
    world.user.keep = true;
    world.datagram(PEER, &request("INVITE", "z9hG4bK1"));
    // Whoever was called has read the branch in Via.
    world.datagram("203.0.113.66:5060", &request("CANCEL", "z9hG4bK1"));
    assert_eq!(world.told(), ["request INVITE"]);
    assert_eq!(world.lines(), ["0 SIP/2.0 481 Call/Transaction Does Not Exist"]);
}

#[test]
fn a_cancel_for_nothing_is_told_as_such() {
    let mut world = World::new();
    world.datagram(PEER, &request("CANCEL", "z9hG4bK1"));
    assert_eq!(world.told(), ["cancelled known=false invite=false"]);
    assert_eq!(world.lines(), ["0 SIP/2.0 481 Call/Transaction Does Not Exist"]);
    // One for another request is answered and has no effect (section 9.2).
    world.user.keep = true;
    world.datagram(PEER, &request("MESSAGE", "z9hG4bK2"));
    world.datagram(PEER, &request("CANCEL", "z9hG4bK2"));
    assert_eq!(world.lines(), ["0 SIP/2.0 200 OK"]);
    assert_eq!(world.told(), ["request MESSAGE", "cancelled known=true invite=false"]);
    world.drained();
}

#[test]
fn peers_of_rfc_2543_are_matched_by_their_dialog() {
    let mut world = World::new();
    world.user.answer = Some(486);
    // Branches that say little: none at all, or the same each time.
    for via in ["", ";branch=1"] {
        let text = |method: &str| {
            request(method, "x").replace(";branch=x", via).replace("towel", &format!("old{via}"))
        };
        world.datagram(PEER, &text("INVITE"));
        world.datagram(PEER, &text("INVITE"));
        assert_eq!(world.told(), ["request INVITE"]);
        let sent = world.sent.pop().unwrap().2;
        world.lines();
        // Another CSeq is another transaction.
        world.datagram(PEER, &text("INVITE").replace("CSeq: 7", "CSeq: 8"));
        assert_eq!(world.told(), ["request INVITE"]);
        world.lines();
        // An ACK with another To tag is for another response.
        let to = field(&sent, "To").to_owned();
        world.datagram(PEER, &text("ACK"));
        assert_eq!(world.told(), ["ack unmatched"]);
        world.datagram(PEER, &text("ACK").replace("<sip:ford@example.com>", &to));
        assert!(world.told().is_empty());
    }
    world.drained();
}

#[test]
fn a_full_table_answers_503() {
    let mut settings = Settings::default();
    settings.transaction.max = 2;
    let mut world = World::with(&settings);
    world.user.keep = true;
    for number in 0..3 {
        world.datagram(PEER, &request("MESSAGE", &format!("z9hG4bK{number}")));
    }
    assert_eq!(world.told().len(), 2);
    assert!(world.sent[0].2.contains("503") && field(&world.sent[0].2, "Retry-After") == "5");
    assert_eq!(world.stack.counters().refused_table_full, 1);
    // An ACK is never answered.
    world.datagram(PEER, &request("ACK", "z9hG4bK9"));
    assert_eq!(world.sent.len(), 1);
    world.drained();
}

/// A call that cannot be hung up would go on holding what there is too little of.
#[test]
fn a_full_table_has_room_for_what_frees_it() {
    let mut settings = Settings::default();
    settings.transaction.max = 32;
    let mut world = World::with(&settings);
    world.user.keep = true;
    let within = |method: &str, number: usize| {
        request(method, &format!("z9hG4bK{method}{number}"))
            .replace("com>\r\nCall", "com>;tag=x\r\nCall")
    };
    let told = |world: &mut World, text: &str| {
        world.datagram(PEER, text);
        world.told().len()
    };
    for number in 0..32 {
        assert_eq!(told(&mut world, &request("MESSAGE", &format!("z9hG4bK{number}"))), 1);
    }
    assert_eq!(told(&mut world, &within("INFO", 1)), 0);
    assert_eq!(told(&mut world, &request("BYE", "z9hG4bKstray")), 0);
    // There is an end to that, too.
    let heard: Vec<usize> = (0..4).map(|n| told(&mut world, &within("BYE", n))).collect();
    assert_eq!(heard, [1, 1, 0, 0]);
    assert_eq!(world.stack.counters().refused_table_full, 4);
    world.drained();
}

/// As many INVITEs a second from an address as are allowed, and all else goes on.
#[test]
fn invites_have_a_rate_of_their_own() {
    let mut settings = Settings::default();
    (settings.abuse.rate_invite, settings.abuse.burst) = (2, 1);
    let mut world = World::with(&settings);
    let mut heard = |from: &str, method: &str| {
        (0..5)
            .filter(|number| {
                let branch = format!("z9hG4bK{from}{number}");
                world.datagram(from, &request(method, &branch));
                !world.told().is_empty()
            })
            .count()
    };
    assert_eq!(heard(PEER, "INVITE"), 2);
    assert_eq!(heard("192.0.2.77:5060", "INVITE"), 2);
    assert_eq!(heard(PEER, "OPTIONS"), 5);
    world.pass(ms(1000));
    assert_eq!(world.stack.counters().refused_rate, 6);
}

#[test]
fn what_is_dropped_is_told_but_not_without_end() {
    let events = |world: &mut World| {
        let mut all = Vec::new();
        for output in world.wanted.drain(..) {
            if let Output::Event(event) = output {
                all.push((event.level, event.kind, event.text));
            }
        }
        all
    };
    let mut settings = Settings::default();
    settings.transaction.max = 0;
    let mut world = World::with(&settings);
    world.datagram(PEER, "nonsense");
    assert!(events(&mut world).is_empty(), "nobody wants to know");
    // Then the text is not even made up.
    world.call(|stack, now, out| stack.tell(now, out, Level::Warn, "test", || unreachable!()));

    settings.telling.level = Level::Debug;
    let mut world = World::with(&settings);
    world.pass(ms(2000));
    world.datagram(PEER, "nonsense");
    let told = events(&mut world);
    assert_eq!((told.len(), told[0].0, told[0].1), (1, Level::Debug, "dropped"));
    let why = "a message: Missing Via Header Field (Via, byte 0)";
    assert_eq!(told[0].2, format!("{why}, from {PEER} over UDP"));
    for _ in 0..100 {
        world.datagram(PEER, "nonsense");
    }
    assert_eq!(events(&mut world).len(), 19);
    // What is graver is told all the same.
    world.datagram(PEER, &request("MESSAGE", "z9hG4bK1"));
    let told = events(&mut world);
    assert_eq!((told.len(), told[0].0, told[0].1), (1, Level::Warn, "table-full"));
    world.pass(ms(1000));
    let told = events(&mut world);
    assert_eq!((told.len(), told[0].1), (1, "not-shown"));
    assert_eq!(told[0].2, "81 more lines of this level are not shown");
}

#[test]
fn in_a_crowd_what_is_over_lingers_less() {
    let mut settings = Settings::default();
    settings.transaction.crowded = 1;
    let mut world = World::with(&settings);
    world.user.answer = Some(200);
    for number in 0..3 {
        world.datagram(PEER, &request("MESSAGE", &format!("z9hG4bK{number}")));
    }
    world.pass(ms(5000));
    assert_eq!(world.stack.sizes().0, 1, "the first one came before the crowd");
    world.datagram(PEER, &request("MESSAGE", "z9hG4bK0"));
    assert_eq!(world.lines().len(), 4);
    world.drained();
}

#[test]
fn what_is_forgotten_together_leaves_room_for_messages_in_between() {
    let mut world = World::new();
    world.user.answer = Some(200);
    for n in 0..1000 {
        world.datagram(PEER, &request("OPTIONS", &format!("z9hG4bK{n}")));
    }
    let end = world.stack.deadline().unwrap();
    world.now.at = end + Duration::from_secs(60);
    let mut turns = 0;
    while !world.stack.is_drained() {
        let before = world.stack.servers.len();
        world.handle(Input::Tick);
        let forgotten = before - world.stack.servers.len();
        assert!(forgotten <= super::super::DUE, "{forgotten}");
        // Until all is done it is to be called again at once.
        assert!(world.stack.is_drained() || world.stack.deadline().unwrap() <= world.now.at);
        turns += 1;
    }
    // Some turns more are those in which the wheel moves its lists.
    let least = 1000usize.div_ceil(super::super::DUE);
    assert!((least..least + 12).contains(&turns), "{turns}");
}
