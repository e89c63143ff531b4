use super::*;
use towel_sdp::Direction;

fn wants(codecs: &[Codec]) -> Wants {
    Wants { codecs: codecs.to_vec(), ..Wants::default() }
}

fn terms(n: u8, wants: &Wants) -> Terms {
    Terms::new(IpAddr::from([192, 0, 2, n]), 4000 + 2 * u16::from(n), wants, 42)
}

fn text(sdp: &[u8]) -> &str {
    std::str::from_utf8(sdp).unwrap()
}

#[test]
fn two_ends_agree_and_change_it() {
    let mut ford = terms(1, &Wants::default());
    let mut zaphod = terms(2, &wants(&[Codec::Pcmu, Codec::Pcma]));
    let offer = ford.offer().unwrap();
    assert!(ford.waits());
    let (answer, theirs) = zaphod.answer(&offer).unwrap();
    let ours = ford.take_answer(&answer).unwrap();
    assert!(!ford.waits());
    assert_eq!(ours.stream.remote, "192.0.2.2:4004".parse().unwrap());
    assert_eq!(theirs.stream.remote, "192.0.2.1:4002".parse().unwrap());
    let kinds = (ours.stream.codecs[0].kind, theirs.stream.codecs[0].kind);
    assert_eq!(kinds, (Codec::Pcma, Codec::Pcma));
    assert!(ours.stream.mux && theirs.stream.mux);
    assert!(ours.extended_reports && theirs.extended_reports);
    assert_eq!(ours.stream.noise.map(|noise| noise.send), Some(13));
    let again = zaphod.offer().unwrap();
    let (answer, _) = ford.answer(&again).unwrap();
    assert_eq!(zaphod.take_answer(&answer).unwrap().stream.remote, theirs.stream.remote);
}

#[test]
fn what_nobody_here_can_do_is_refused_and_says_why() {
    let mut zaphod = terms(2, &wants(&[Codec::Pcma]));
    let offer = terms(1, &wants(&[Codec::Opus])).offer().unwrap();
    // Telephone events alone are no audio.
    let codes =
        |unfit: Result<_, Unfit>| unfit.map(|_: (Vec<u8>, Accord)| ()).unwrap_err().warning();
    assert_eq!(codes(zaphod.answer(&offer)), 305);
    assert_eq!(codes(zaphod.answer(b"v=nonsense")), 399);
    let fine = terms(1, &wants(&[Codec::Pcma])).offer().unwrap();
    let other = text(&fine).replace("RTP/AVP", "UDP/TLS/RTP/SAVPF");
    assert_eq!(codes(zaphod.answer(other.as_bytes())), 302);
    let video = text(&fine).replace("m=audio", "m=video");
    assert_eq!(codes(zaphod.answer(video.as_bytes())), 304);
    let (_, accord) = zaphod.answer(&fine).unwrap();
    assert_eq!(accord.stream.codecs[0].kind, Codec::Pcma);
    // What held goes on after an offer that cannot be met.
    assert!(zaphod.answer(&offer).is_err());
    let mut again = zaphod.clone();
    assert!(again.offer().is_ok() && zaphod.answer(&fine).is_ok());
    // Where it may not be refused its streams are.
    let (answer, none) = zaphod.answer_anyhow(&offer).unwrap();
    assert!(none.is_none() && text(&answer).contains("m=audio 0 "), "{}", text(&answer));
}

#[test]
fn hold_and_resume() {
    let (mut ford, mut zaphod) = (terms(1, &Wants::default()), terms(2, &Wants::default()));
    let (answer, _) = zaphod.answer(&ford.offer().unwrap()).unwrap();
    ford.take_answer(&answer).unwrap();
    ford.hold(true);
    assert!(ford.holds());
    let offer = ford.offer().unwrap();
    assert!(text(&offer).contains("a=sendonly"), "{}", text(&offer));
    let (answer, theirs) = zaphod.answer(&offer).unwrap();
    let ours = ford.take_answer(&answer).unwrap();
    assert_eq!(theirs.stream.direction, Direction::RecvOnly);
    assert_eq!(ours.stream.direction, Direction::SendOnly);
    // Refused, the hold goes on.
    ford.hold(false);
    ford.offer().unwrap();
    ford.refused();
    assert!(!ford.waits());
    let offer = ford.offer().unwrap();
    let (_, theirs) = zaphod.answer(&offer).unwrap();
    assert_eq!(theirs.stream.direction, Direction::SendRecv);
}

fn secret(srtp: Srtp) -> Wants {
    Wants { srtp, ..Wants::default() }
}

#[test]
fn keys_are_agreed_on_and_stay() {
    let (mut ford, mut zaphod) = (terms(1, &secret(Srtp::Require)), terms(2, &secret(Srtp::Offer)));
    let offer = ford.offer().unwrap();
    assert!(text(&offer).contains("RTP/SAVP") && text(&offer).matches("a=crypto:").count() == 2);
    let (answer, theirs) = zaphod.answer(&offer).unwrap();
    assert_eq!(text(&answer).matches("a=crypto:").count(), 1);
    let ours = ford.take_answer(&answer).unwrap();
    let (ours, theirs) = (ours.stream.keys.unwrap(), theirs.stream.keys.unwrap());
    assert_eq!((&ours.ours, &ours.theirs), (&theirs.theirs, &theirs.ours));
    assert_ne!(ours.ours.key, ours.theirs.key);
    // Another offer from either end changes no key.
    for turn in 0..2 {
        let (one, other) =
            if turn == 0 { (&mut ford, &mut zaphod) } else { (&mut zaphod, &mut ford) };
        let (answer, at_other) = other.answer(&one.offer().unwrap()).unwrap();
        let at_one = one.take_answer(&answer).unwrap();
        let (at_one, at_other) = (at_one.stream.keys.unwrap(), at_other.stream.keys.unwrap());
        let fords = if turn == 0 { at_one } else { at_other };
        assert_eq!(fords, ours);
    }
}

#[test]
fn who_insists_on_keys_takes_nothing_else_and_who_offers_them_does() {
    let plain = terms(1, &Wants::default()).offer().unwrap();
    let refusal = terms(2, &secret(Srtp::Require)).answer(&plain).unwrap_err();
    assert_eq!(refusal, Unfit::Transport("RTP/AVP".into()));
    let (_, accord) = terms(2, &secret(Srtp::Offer)).answer(&plain).unwrap();
    assert_eq!(accord.stream.keys, None);
    let protected = terms(1, &secret(Srtp::Require)).offer().unwrap();
    let refusal = terms(2, &Wants::default()).answer(&protected).unwrap_err();
    assert_eq!(refusal, Unfit::Transport("RTP/SAVP".into()));
    let bare: Vec<_> =
        text(&protected).lines().filter(|line| !line.starts_with("a=crypto")).collect();
    let bare = bare.join("\r\n") + "\r\n";
    let refusal = terms(2, &secret(Srtp::Offer)).answer(bare.as_bytes()).unwrap_err();
    assert_eq!(refusal.warning(), 306);
}

#[test]
fn what_is_shown_early_is_the_answer() {
    let (mut ford, mut zaphod) = (terms(1, &Wants::default()), terms(2, &Wants::default()));
    let offer = ford.offer().unwrap();
    let (shown, early) = zaphod.preview(&offer).unwrap();
    assert_eq!(ford.take_preview(&shown).unwrap().stream.remote.port(), 4004);
    assert!(ford.waits());
    let (answer, accord) = zaphod.answer(&offer).unwrap();
    assert_eq!((&answer, &accord), (&shown, &early));
    assert_eq!(ford.take_answer(&answer).unwrap().stream.remote.port(), 4004);
}
