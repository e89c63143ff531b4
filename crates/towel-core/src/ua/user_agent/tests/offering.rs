//! Offers and answers where they may travel (RFC 3261 section 13.2.1, RFC 6337 section 2.2).

use super::*;

const SDP: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
                   m=audio 4000 RTP/AVP 0\r\n";

fn call(pair: &mut Pair, invite: Ask) -> (CallHandle, CallHandle) {
    let call = pair.act(ARTHUR, |ua, now, out| ua.call(now, out, invite)).unwrap();
    pair.pass(10);
    (call, incoming(&pair.told(FORD)))
}

#[test]
fn a_2xx_must_have_what_the_invite_asks_for() {
    let mut pair = Pair::describing();
    let (_, theirs) = call(&mut pair, Ask::invite("sip:ford@192.0.2.2", SDP));
    let bare = pair.act(FORD, |ua, now, out| ua.answer(now, out, theirs, Answer::new(200)));
    assert_eq!(bare, Err(Refused::OfferAnswer));
    let answer = Answer::new(200).sdp(SDP);
    pair.act(FORD, |ua, now, out| ua.answer(now, out, theirs, answer)).unwrap();
    pair.pass(100);
    assert!(established(&pair.told(ARTHUR)).is_some());
    pair.act(FORD, |ua, now, out| ua.hang_up(now, out, theirs)).unwrap();
    pair.is_empty();
}

#[test]
fn the_offer_in_the_2xx_is_answered_in_the_ack() {
    let mut pair = Pair::describing();
    let (ours, theirs) = call(&mut pair, Ask::new("INVITE", "sip:ford@192.0.2.2"));
    let offer = Answer::new(200).sdp(SDP);
    pair.act(FORD, |ua, now, out| ua.answer(now, out, theirs, offer)).unwrap();
    pair.pass(10);
    let told = pair.told(ARTHUR);
    let dialog = established(&told).unwrap();
    assert!(told.iter().any(|event| matches!(event, Event::AnswerWanted { .. })), "{told:?}");
    // The ACK waits for the answer, and the 2xx that is repeated meanwhile changes nothing.
    pair.pass(1_000);
    assert!(pair.said(ARTHUR).iter().all(|sent| sent != "ACK"));
    pair.act(ARTHUR, |ua, now, out| ua.supply(now, out, dialog, Content::sdp(SDP))).unwrap();
    let ack = pair.sent.last().unwrap().1.clone();
    assert!(ack.starts_with("ACK") && ack.ends_with(SDP), "{ack}");
    pair.pass(10);
    assert!(established(&pair.told(FORD)).is_some());
    pair.act(ARTHUR, |ua, now, out| ua.hang_up(now, out, ours)).unwrap();
    pair.is_empty();
}

#[test]
fn an_answer_that_nobody_gives_ends_the_call() {
    let mut pair = Pair::describing();
    let (_, theirs) = call(&mut pair, Ask::new("INVITE", "sip:ford@192.0.2.2"));
    let offer = Answer::new(200).sdp(SDP);
    pair.act(FORD, |ua, now, out| ua.answer(now, out, theirs, offer)).unwrap();
    pair.pass(40_000);
    assert_eq!(ending(&pair.told(ARTHUR)), Some(Ending::Unfit));
    pair.is_empty();
}

#[test]
fn an_offer_that_cannot_be_read_is_refused_with_a_warning() {
    let mut pair = Pair::describing();
    let invite = Ask::invite("sip:ford@192.0.2.2", "v=0\r\nm=audio nowhere\r\n");
    pair.act(ARTHUR, |ua, now, out| ua.call(now, out, invite)).unwrap();
    pair.pass(100);
    let refusal = pair.sent.iter().find(|(by, _)| *by == FORD).unwrap().1.clone();
    assert!(refusal.starts_with("SIP/2.0 400 "), "{refusal}");
    assert!(field(&refusal, "Warning").starts_with("399 towel \""), "{refusal}");
    assert!(matches!(ending(&pair.told(ARTHUR)), Some(Ending::Failed { status: 400, .. })));
    pair.is_empty();
}

#[test]
fn a_2xx_without_its_answer_is_acknowledged_and_ended() {
    let mut pair = Pair::describing();
    pair.ends[FORD].core.profile.offers = false;
    let (_, theirs) = call(&mut pair, Ask::invite("sip:ford@192.0.2.2", SDP));
    pair.act(FORD, |ua, now, out| ua.answer(now, out, theirs, Answer::new(200))).unwrap();
    pair.pass(100);
    assert_eq!(pair.said(ARTHUR), ["INVITE", "ACK", "BYE"]);
    assert_eq!(ending(&pair.told(ARTHUR)), Some(Ending::Unfit));
    assert_eq!(ending(&pair.told(FORD)), Some(Ending::Bye));
    pair.is_empty();
}

#[test]
fn a_refused_change_leaves_the_session_as_it_was() {
    let mut pair = Pair::describing();
    let (ours, theirs) = call(&mut pair, Ask::invite("sip:ford@192.0.2.2", SDP));
    let answer = Answer::new(200).sdp(SDP);
    pair.act(FORD, |ua, now, out| ua.answer(now, out, theirs, answer)).unwrap();
    pair.pass(10);
    let dialog = established(&pair.told(ARTHUR)).unwrap();
    pair.told(FORD);
    for _ in 0..2 {
        let change = Ask::invite("", SDP);
        pair.act(ARTHUR, |ua, now, out| ua.request(now, out, dialog, &change)).unwrap();
        pair.pass(10);
        let told = pair.told(FORD);
        let Event::Reinvite { request, .. } = told[0] else { panic!("{told:?}") };
        pair.act(FORD, |ua, now, out| ua.reply(now, out, request, Answer::new(488))).unwrap();
        pair.pass(10);
        let told = pair.told(ARTHUR);
        assert!(
            matches!(told[0], Event::Response { came: Came::Final { status: 488, .. }, .. }),
            "{told:?}"
        );
    }
    pair.act(ARTHUR, |ua, now, out| ua.hang_up(now, out, ours)).unwrap();
    pair.is_empty();
}
