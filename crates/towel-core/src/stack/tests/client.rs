//! Client transactions.

use super::*;

const PEER: &str = "192.0.2.9:5070";

#[test]
fn an_invite_is_repeated_by_timer_a_until_timer_b() {
    let mut world = World::new();
    world.send("INVITE");
    world.pass(ms(31_999));
    let times: Vec<_> =
        world.lines().iter().map(|line| line.split(' ').next().unwrap().to_owned()).collect();
    assert_eq!(times, ["0", "500", "1500", "3500", "7500", "15500", "31500"]);
    assert!(world.told().is_empty());
    world.pass(ms(1));
    assert_eq!(world.told(), ["failed 42 TimedOut"]);
    assert!(world.stack.is_drained());
}

#[test]
fn another_request_is_repeated_by_timer_e_until_timer_f() {
    let mut world = World::new();
    world.send("OPTIONS");
    world.pass(ms(32_000));
    let times: Vec<_> =
        world.lines().iter().map(|line| line.split(' ').next().unwrap().to_owned()).collect();
    assert_eq!(
        times,
        ["0", "500", "1500", "3500", "7500", "11500", "15500", "19500", "23500", "27500", "31500"]
    );
    assert_eq!(world.told(), ["failed 42 TimedOut"]);
    assert!(world.stack.is_drained());
}

#[test]
fn a_provisional_response_quietens_invite_and_slows_the_others() {
    let mut world = World::new();
    world.send("INVITE");
    let sent = world.sent.remove(0).2;
    world.datagram(PEER, &answer(&sent, 180));
    world.pass(ms(60_000));
    assert!(world.lines().is_empty());
    assert_eq!(world.told(), ["response 180 to 42"]);
    world.datagram(PEER, &answer(&sent, 200));
    world.datagram(PEER, &answer(&sent, 200));
    assert_eq!(world.told(), ["response 200 to 42", "response 200 to 42"]);
    world.datagram(PEER, &answer(&sent, 486));
    assert!(world.told().is_empty() && world.lines().is_empty());
    world.drained();

    world.send("OPTIONS");
    let (start, _, sent) = world.sent.remove(0);
    world.datagram(PEER, &answer(&sent, 100));
    world.pass(ms(10_000));
    let times: Vec<_> = world.sent.drain(..).map(|(at, _, _)| at - start).collect();
    assert_eq!(times, [500, 4500, 8500]);
    world.datagram(PEER, &answer(&sent, 200));
    world.datagram(PEER, &answer(&sent, 200));
    assert_eq!(world.told(), ["response 100 to 42", "response 200 to 42"]);
    world.drained();
    assert!(world.lines().is_empty());
}

#[test]
fn a_failure_of_an_invite_is_acknowledged_each_time() {
    let mut world = World::new();
    world.send("INVITE");
    let sent = world.sent.remove(0).2;
    world.datagram(PEER, &answer(&sent, 486));
    world.pass(ms(20_000));
    world.datagram(PEER, &answer(&sent, 486));
    assert_eq!(world.told(), ["response 486 to 42"]);
    let acks: Vec<_> = world.sent.drain(..).map(|(_, _, text)| text).collect();
    assert_eq!(acks.len(), 2);
    assert_eq!(acks[0], acks[1]);
    assert!(acks[0].starts_with("ACK sip:ford@192.0.2.9:5070 SIP/2.0\r\n"));
    assert_eq!(field(&acks[0], "Via"), field(&sent, "Via"));
    assert_eq!(field(&acks[0], "To"), "<sip:ford@example.com>;tag=b2");
    assert_eq!(field(&acks[0], "CSeq"), "1 ACK");
    world.drained();
}

#[test]
fn a_cancel_waits_for_a_provisional_response() {
    let mut world = World::new();
    let id = world.send("INVITE");
    let sent = world.sent.remove(0).2;
    world.call(|stack, now, out| stack.cancel(now, out, id, Some(b"SIP;cause=200"))).unwrap();
    assert!(world.lines().is_empty());
    world.datagram(PEER, &answer(&sent, 100));
    let cancel = world.sent.remove(0).2;
    assert!(cancel.starts_with("CANCEL sip:ford@192.0.2.9:5070 SIP/2.0\r\n"));
    assert_eq!(field(&cancel, "Via"), field(&sent, "Via"));
    assert_eq!(field(&cancel, "Reason"), "SIP;cause=200");
    world.pass(ms(600));
    assert_eq!(world.lines().len(), 1, "the CANCEL is repeated");
    world.datagram(PEER, &answer(&cancel, 200));
    world.datagram(PEER, &answer(&sent, 487));
    assert_eq!(world.told(), ["response 100 to 42", "response 487 to 42"]);
    assert_eq!(world.lines().len(), 1, "the ACK");
    world.drained();
    assert!(world.lines().is_empty());
}

#[test]
fn a_cancelled_invite_without_a_final_response_ends() {
    let mut world = World::new();
    let id = world.send("INVITE");
    let sent = world.sent.remove(0).2;
    world.datagram(PEER, &answer(&sent, 180));
    world.call(|stack, now, out| stack.cancel(now, out, id, None)).unwrap();
    world.told();
    // Section 9.1: 64*T1 after the CANCEL.
    world.pass(ms(32_000));
    assert_eq!(world.told(), ["failed 42 TimedOut"]);
    world.drained();
}

#[test]
fn a_final_response_before_a_provisional_one_makes_the_cancel_needless() {
    let mut world = World::new();
    let id = world.send("INVITE");
    let sent = world.sent.remove(0).2;
    world.call(|stack, now, out| stack.cancel(now, out, id, None)).unwrap();
    world.datagram(PEER, &answer(&sent, 200));
    assert_eq!(world.told(), ["response 200 to 42"]);
    world.drained();
    assert!(world.lines().is_empty());
}

#[test]
fn forged_and_foreign_responses_reach_nobody() {
    let mut world = World::new();
    world.send("OPTIONS");
    let sent = world.sent.remove(0).2;
    let via = field(&sent, "Via").to_owned();
    let branch = via.split("branch=").nth(1).unwrap().to_owned();
    // A branch that is not ours is stray; RFC 6026 has it dropped, which is the user's to do.
    let forged = answer(&sent, 200).replace(&branch, &format!("{}q", &branch[..branch.len() - 2]));
    world.datagram(PEER, &forged);
    assert_eq!(world.told(), ["stray 200"]);
    // Section 17.1.3: the method in CSeq counts.
    world.datagram(PEER, &answer(&sent, 200).replace("1 OPTIONS", "1 INVITE"));
    // Section 18.1.2: the sent-by has to be ours.
    world.datagram(PEER, &answer(&sent, 200).replace("UDP 192.0.2.1", "UDP 192.0.2.2"));
    world.datagram(PEER, &answer(&sent, 200).replace("UDP 192.0.2.1", "UDP 192.0.2.1:5999"));
    assert!(world.told().is_empty());
    assert_eq!(world.stack.counters().dropped_foreign_via, 2);
    world.datagram(PEER, &answer(&sent, 200));
    assert_eq!(world.told(), ["response 200 to 42"]);
    world.drained();
    // Late: the transaction has gone, and its branch finds no stranger.
    world.send("OPTIONS");
    world.datagram(PEER, &answer(&sent, 200));
    assert!(world.told().is_empty());
    world.drained();
}

#[test]
fn a_malformed_response_reaches_nobody() {
    let mut world = World::new();
    world.send("OPTIONS");
    let sent = world.sent.remove(0).2;
    let right = answer(&sent, 200);
    let length = "Content-Length: 0";
    for wrong in [
        right.replace("SIP/2.0 200", "SIP/7.0 200"),
        right.replace("SIP/2.0 200", "SIP/2.0 4294967301"),
        right.replace("CSeq: 1 ", "CSeq: 9292394834772304023312 "),
        right.replace(length, "Content-Length: 9"),
        right.replace(length, "Content-Length: 0\r\nl: 3"),
        right.replace(length, "Content-Length: -1"),
        right.replace("To:", "X-To:"),
        right.replace("\r\n", "\n"),
    ] {
        world.datagram(PEER, &wrong);
        assert!(world.told().is_empty(), "{wrong}");
    }
    assert_eq!(world.stack.counters().dropped_unreadable, 8);
    world.datagram(PEER, &right.replace("SIP/2.0 200 Answer", "sip/2.0 200 "));
    assert_eq!(world.told(), ["response 200 to 42"]);
    world.drained();
}

#[test]
fn no_way_to_send_is_told_after_the_call() {
    let mut world = World::new();
    let to = Destination::Target {
        transport: Transport::Ws,
        addr: addr("192.0.2.9:80"),
        server_name: None,
    };
    let result = world.stack.client_transaction(world.now, &mut world.out, to, 42, |via, bytes| {
        write("OPTIONS", via, bytes)
    });
    assert!(result.is_ok() && world.user.told.is_empty());
    world.pass(ms(0));
    assert_eq!(world.told(), ["failed 42 Transport"]);
    assert!(world.stack.is_drained());
}

#[test]
fn an_acknowledgement_of_a_2xx_needs_no_transaction() {
    let mut world = World::new();
    let to = Destination::Uri(b"sip:ford@192.0.2.9:5070");
    for _ in 0..2 {
        world
            .call(|stack, now, out| {
                stack.send_stateless(now, out, to, b"seed", |via, bytes| write("ACK", via, bytes))
            })
            .unwrap();
    }
    assert!(world.stack.is_drained());
    assert_eq!(world.sent[0].2, world.sent[1].2);
    assert_eq!(world.sent[0].1.remote, addr("192.0.2.9:5070"));
}

#[test]
fn an_icmp_error_is_a_transport_error() {
    let mut world = World::new();
    world.send("OPTIONS");
    world.handle(Input::Unreachable { listener: UDP, remote: addr("192.0.2.9:5071") });
    assert!(world.told().is_empty());
    world.handle(Input::Unreachable { listener: UDP, remote: addr(PEER) });
    assert_eq!(world.told(), ["failed 42 Transport"]);
    assert!(world.stack.is_drained());
}

#[test]
fn a_flood_of_icmp_errors_looks_only_at_what_went_there() {
    const PEERS: u16 = 8000;
    let mut world = World::new();
    let peer = |port: u16| addr(&format!("192.0.2.9:{}", 10_000 + port));
    for port in 0..PEERS {
        let to =
            Destination::Target { transport: Transport::Udp, addr: peer(port), server_name: None };
        let user = u64::from(port);
        world
            .call(|stack, now, out| {
                stack.client_transaction(now, out, to, user, |via, to| write("OPTIONS", via, to))
            })
            .unwrap();
    }
    let sent = std::mem::take(&mut world.sent);
    // A flood of errors from where nothing went to: two lists in a row are short.
    for _ in 0..1000 {
        world.handle(Input::Unreachable { listener: UDP, remote: addr("192.0.2.77:5060") });
        world.handle(Input::Unreachable { listener: ListenerId(1), remote: peer(7) });
    }
    assert!(world.told().is_empty());
    assert!(world.stack.unanswered.looked < 2000 * 16, "{}", world.stack.unanswered.looked);
    // One for each of them: each is found, and little else is looked at.
    world.stack.unanswered.looked = 0;
    for port in (0..PEERS).step_by(2) {
        world.handle(Input::Unreachable { listener: UDP, remote: peer(port) });
        assert_eq!(world.told(), [format!("failed {port} Transport")]);
    }
    let half = u64::from(PEERS) / 2;
    assert!(world.stack.unanswered.looked < 8 * half, "{}", world.stack.unanswered.looked);
    // Those that were answered are looked at no more.
    for (at, (_, flow, text)) in sent.iter().enumerate() {
        if at % 2 == 1 {
            world.datagram(&flow.remote.to_string(), &answer(text, 200));
        }
    }
    assert_eq!(world.told().len() as u64, half);
    world.stack.unanswered.looked = 0;
    for port in 0..PEERS {
        world.handle(Input::Unreachable { listener: UDP, remote: peer(port) });
    }
    assert!(world.told().is_empty());
    assert_eq!(world.stack.unanswered.looked, 0);
    world.drained();
}
