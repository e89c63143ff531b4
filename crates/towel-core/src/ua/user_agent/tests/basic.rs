use super::*;

#[test]
fn a_call_is_set_up_held_and_ended() {
    let mut pair = Pair::new();
    let invite = Ask::invite("sip:ford@192.0.2.2", "v=0");
    let call = pair.act(ARTHUR, |ua, now, out| ua.call(now, out, invite)).unwrap();
    pair.pass(10);
    let theirs = incoming(&pair.told(FORD));
    pair.act(FORD, |ua, now, out| ua.answer(now, out, theirs, Answer::new(180))).unwrap();
    pair.pass(10);
    let told = pair.told(ARTHUR);
    assert!(matches!(&told[..], [Event::Progress { dialog: Some(_), reliable: false, .. }]));
    let answer = Answer::new(200).sdp("v=0");
    pair.act(FORD, |ua, now, out| ua.answer(now, out, theirs, answer)).unwrap();
    pair.pass(10);
    assert!(established(&pair.told(ARTHUR)).is_some());
    assert!(established(&pair.told(FORD)).is_some());
    assert_eq!(pair.said(ARTHUR), ["INVITE", "ACK"]);
    assert_eq!(pair.said(FORD), ["180 INVITE", "200 INVITE"]);
    pair.act(ARTHUR, |ua, now, out| ua.hang_up(now, out, call)).unwrap();
    pair.pass(10);
    assert_eq!(ending(&pair.told(ARTHUR)), Some(Ending::Local));
    assert_eq!(ending(&pair.told(FORD)), Some(Ending::Bye));
    assert_eq!(pair.said(ARTHUR), ["BYE"]);
    assert_eq!(pair.said(FORD), ["200 BYE"]);
    pair.is_empty();
}

#[test]
fn the_callee_hangs_up() {
    let mut pair = Pair::new();
    let ([_, call], _) = pair.talk();
    pair.act(FORD, |ua, now, out| ua.hang_up(now, out, call)).unwrap();
    pair.pass(10);
    assert_eq!(ending(&pair.told(ARTHUR)), Some(Ending::Bye));
    let bye = pair.sent.iter().find(|(_, text)| text.starts_with("BYE")).unwrap().1.clone();
    assert!(bye.starts_with("BYE sip:arthur@192.0.2.1 SIP/2.0\r\n"), "{bye}");
    assert_eq!(field(&bye, "CSeq"), "1 BYE");
    pair.is_empty();
}

#[test]
fn a_call_is_cancelled_while_it_rings() {
    let mut pair = Pair::new();
    let invite = Ask::invite("sip:ford@192.0.2.2", "v=0");
    let call = pair.act(ARTHUR, |ua, now, out| ua.call(now, out, invite)).unwrap();
    // Not before a provisional response has come (section 9.1).
    pair.act(ARTHUR, |ua, now, out| ua.hang_up(now, out, call)).unwrap();
    assert_eq!(pair.said(ARTHUR), ["INVITE"]);
    pair.pass(10);
    let theirs = incoming(&pair.told(FORD));
    assert!(pair.said(ARTHUR).is_empty());
    pair.act(FORD, |ua, now, out| ua.answer(now, out, theirs, Answer::new(180))).unwrap();
    pair.pass(100);
    assert_eq!(pair.said(ARTHUR), ["CANCEL", "ACK"]);
    assert_eq!(pair.said(FORD), ["180 INVITE", "200 CANCEL", "487 INVITE"]);
    assert_eq!(ending(&pair.told(ARTHUR)), Some(Ending::Local));
    assert_eq!(ending(&pair.told(FORD)), Some(Ending::Cancelled));
    pair.is_empty();
}

#[test]
fn a_2xx_that_crosses_the_cancel_is_acknowledged_and_ended() {
    let mut pair = Pair::new();
    let invite = Ask::invite("sip:ford@192.0.2.2", "v=0");
    let call = pair.act(ARTHUR, |ua, now, out| ua.call(now, out, invite)).unwrap();
    pair.pass(10);
    let theirs = incoming(&pair.told(FORD));
    pair.act(FORD, |ua, now, out| ua.answer(now, out, theirs, Answer::new(180))).unwrap();
    pair.pass(10);
    pair.act(FORD, |ua, now, out| ua.answer(now, out, theirs, Answer::new(200))).unwrap();
    pair.act(ARTHUR, |ua, now, out| ua.hang_up(now, out, call)).unwrap();
    pair.pass(100);
    assert_eq!(pair.said(ARTHUR), ["INVITE", "CANCEL", "ACK", "BYE"]);
    assert_eq!(ending(&pair.told(ARTHUR)), Some(Ending::Local));
    assert_eq!(ending(&pair.told(FORD)), Some(Ending::Bye));
    pair.is_empty();
}

#[test]
fn a_call_is_refused() {
    let mut pair = Pair::new();
    let invite = Ask::invite("sip:ford@192.0.2.2", "v=0");
    pair.act(ARTHUR, |ua, now, out| ua.call(now, out, invite)).unwrap();
    pair.pass(10);
    let theirs = incoming(&pair.told(FORD));
    pair.act(FORD, |ua, now, out| ua.answer(now, out, theirs, Answer::new(486))).unwrap();
    assert_eq!(ending(&pair.told(FORD)), Some(Ending::Local));
    pair.pass(10);
    assert!(matches!(ending(&pair.told(ARTHUR)), Some(Ending::Failed { status: 486, .. })));
    pair.is_empty();
}

#[test]
fn a_lost_ack_is_sent_again_for_each_copy_of_the_2xx() {
    let mut pair = Pair::new();
    let mut acks = 0;
    pair.loses = Box::new(move |_, _, text| {
        acks += u32::from(text.starts_with("ACK"));
        text.starts_with("ACK") && acks < 3
    });
    let invite = Ask::invite("sip:ford@192.0.2.2", "v=0");
    pair.act(ARTHUR, |ua, now, out| ua.call(now, out, invite)).unwrap();
    pair.pass(10);
    let theirs = incoming(&pair.told(FORD));
    pair.act(FORD, |ua, now, out| ua.answer(now, out, theirs, Answer::new(200))).unwrap();
    // A callee may not send a BYE before the ACK is there (section 15).
    pair.act(FORD, |ua, now, out| ua.hang_up(now, out, theirs)).unwrap();
    pair.pass(1_000);
    assert_eq!(pair.said(FORD), ["200 INVITE", "200 INVITE"]);
    pair.pass(10_000);
    assert_eq!(pair.said(ARTHUR), ["INVITE", "ACK", "ACK", "ACK", "200 BYE"]);
    assert_eq!(pair.said(FORD), ["200 INVITE", "BYE"]);
    pair.is_empty();
}

#[test]
fn without_any_ack_the_callee_gives_up_after_64_t1() {
    let mut pair = Pair::new();
    pair.loses = Box::new(move |_, _, text| text.starts_with("ACK"));
    let invite = Ask::invite("sip:ford@192.0.2.2", "v=0");
    pair.act(ARTHUR, |ua, now, out| ua.call(now, out, invite)).unwrap();
    pair.pass(10);
    let theirs = incoming(&pair.told(FORD));
    pair.act(FORD, |ua, now, out| ua.answer(now, out, theirs, Answer::new(200))).unwrap();
    pair.pass(31_900);
    assert_eq!(ending(&pair.told(FORD)), None);
    // At 0, then after 0.5, 1, 2 and every 4 seconds.
    assert_eq!(pair.said(FORD).len(), 11);
    pair.pass(200);
    assert_eq!(ending(&pair.told(FORD)), Some(Ending::NoAck));
    assert_eq!(pair.said(FORD), ["BYE"]);
    assert_eq!(ending(&pair.told(ARTHUR)), Some(Ending::Bye));
    pair.is_empty();
}

#[test]
fn a_peer_that_answers_nothing_costs_a_bounded_time() {
    let mut pair = Pair::new();
    let ([call, _], [dialog, _]) = pair.talk();
    pair.loses = Box::new(|_, _, _| true);
    let change = Ask::invite("", "v=0");
    pair.act(ARTHUR, |ua, now, out| ua.request(now, out, dialog, &change)).unwrap();
    pair.pass(33_000);
    let told = pair.told(ARTHUR);
    assert!(matches!(told[0], Event::Response { came: Came::Failed(Failure::TimedOut), .. }));
    assert_eq!(ending(&told), Some(Ending::Lost { status: 408 }));
    let stale = pair.act(ARTHUR, |ua, now, out| ua.hang_up(now, out, call));
    assert_eq!(stale, Err(Refused::Stale));
    pair.pass(40_000);
    assert_eq!(pair.ends[ARTHUR].sizes(), [0; 5]);
}

#[test]
fn a_reinvite_that_is_let_wait_is_cancelled() {
    let mut pair = Pair::new();
    let ([call, _], [dialog, _]) = pair.talk();
    let change = Ask::invite("", "v=0");
    pair.act(ARTHUR, |ua, now, out| ua.request(now, out, dialog, &change)).unwrap();
    pair.pass(181_000);
    assert!(matches!(
        pair.told(FORD)[..],
        [Event::Reinvite { .. }, Event::ReinviteCancelled { .. }]
    ));
    let told = pair.told(ARTHUR);
    let last = told.last();
    assert!(
        matches!(last, Some(Event::Response { came: Came::Final { status: 487, .. }, .. })),
        "{told:?}"
    );
    pair.act(ARTHUR, |ua, now, out| ua.hang_up(now, out, call)).unwrap();
    pair.is_empty();
}

#[test]
fn a_reinvite_changes_the_session() {
    let mut pair = Pair::new();
    let ([call, _], [dialog, _]) = pair.talk();
    let change = Ask::invite("", "v=0 held");
    pair.act(ARTHUR, |ua, now, out| ua.request(now, out, dialog, &change)).unwrap();
    let again = pair.act(ARTHUR, |ua, now, out| ua.request(now, out, dialog, &change));
    assert_eq!(again, Err(Refused::Pending));
    pair.pass(10);
    let told = pair.told(FORD);
    let Event::Reinvite { request, .. } = told[0] else { panic!("{told:?}") };
    let answer = Answer::new(200).sdp("v=0 held too");
    pair.act(FORD, |ua, now, out| ua.reply(now, out, request, answer)).unwrap();
    pair.pass(10);
    assert!(matches!(pair.told(FORD)[0], Event::Acknowledged { .. }));
    assert!(matches!(
        pair.told(ARTHUR)[0],
        Event::Response { came: Came::Final { status: 200, .. }, .. }
    ));
    pair.act(ARTHUR, |ua, now, out| ua.hang_up(now, out, call)).unwrap();
    pair.is_empty();
}

#[test]
fn two_reinvites_at_once_are_tried_again() {
    let mut pair = Pair::new();
    let ([call, _], dialogs) = pair.talk();
    let change = Ask::invite("", "v=0");
    for end in [ARTHUR, FORD] {
        pair.act(end, |ua, now, out| ua.request(now, out, dialogs[end], &change)).unwrap();
    }
    pair.pass(100);
    pair.sent.clear();
    // The one that does not own the Call-ID comes first: within two seconds.
    pair.pass(2_000);
    let told = pair.told(ARTHUR);
    let Event::Reinvite { request, .. } = told[0] else { panic!("{told:?}") };
    pair.act(ARTHUR, |ua, now, out| ua.reply(now, out, request, Answer::new(200))).unwrap();
    pair.pass(2_000);
    let told = pair.told(FORD);
    let request = told.iter().find_map(|event| match event {
        Event::Reinvite { request, .. } => Some(*request),
        _ => None,
    });
    let request = request.expect("the other one");
    pair.act(FORD, |ua, now, out| ua.reply(now, out, request, Answer::new(200))).unwrap();
    pair.pass(100);
    for (end, told) in [(FORD, told), (ARTHUR, pair.events[ARTHUR].clone())] {
        assert!(
            told.iter().any(|event| matches!(
                event,
                Event::Response { came: Came::Final { status: 200, .. }, .. }
            )),
            "{end} {told:?}"
        );
    }
    pair.act(ARTHUR, |ua, now, out| ua.hang_up(now, out, call)).unwrap();
    pair.is_empty();
}

#[test]
fn a_dialog_that_is_not_known_gets_481() {
    let mut pair = Pair::new();
    pair.inject(
        FORD,
        "INFO sip:ford@192.0.2.2 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKa\r\n\
         From: <sip:a@b>;tag=1\r\nTo: <sip:ford@b>;tag=2\r\nCall-ID: x\r\nCSeq: 1 INFO\r\n\
         Content-Length: 0\r\n\r\n",
    );
    assert_eq!(pair.said(FORD), ["481 INFO"]);
    pair.is_empty();
}

/// Who is called puts a challenge on our BYE, in the realm of our own domain: it is not answered, since he
/// is not our server (as some were brought to do, CVE-2021-41158).
#[test]
fn a_called_party_learns_no_digest() {
    for realm in ["mallory", "example.com"] {
        let mut pair = Pair::new();
        pair.ends[ARTHUR].core.profile.account =
            Some(crate::ua::Account { user: "arthur".into(), password: "tea".into(), realm: None });
        let ([call, _], _) = pair.talk();
        pair.loses = Box::new(|_, end, text| end == ARTHUR && text.starts_with("BYE"));
        pair.act(ARTHUR, |ua, now, out| ua.hang_up(now, out, call)).unwrap();
        let bye =
            pair.sent.iter().rev().find(|(_, text)| text.starts_with("BYE")).unwrap().1.clone();
        let copied: String = ["Via", "From", "To", "Call-ID", "CSeq"]
            .iter()
            .map(|name| format!("{name}: {}\r\n", field(&bye, name)))
            .collect();
        pair.inject(
            ARTHUR,
            &format!(
                "SIP/2.0 407 Proxy Authentication Required\r\n{copied}Proxy-Authenticate: Digest \
                 realm=\"{realm}\", nonce=\"n\", algorithm=MD5, qop=\"auth\"\r\nContent-Length: 0\r\n\r\n"
            ),
        );
        pair.pass(10);
        assert!(pair.sent.iter().all(|(_, text)| !text.contains("Authorization:")), "{realm}");
    }
}
