//! Hold, another codec, another address.

use super::*;
use towel_sdp::Direction;

fn with(call: &mut Call, change: impl Fn(&mut Stream, usize)) {
    for end in 0..2 {
        let mut stream = call.ends[end].session.stream().clone();
        change(&mut stream, end);
        call.ends[end].session.renegotiate(stream, call.now).unwrap();
    }
}

#[test]
fn hold_stops_one_way_or_both_and_resume_brings_it_back() {
    let mut call = Call::of(Codec::Pcmu, 8000, Weather { delay: 20, ..Weather::default() }, 1);
    call.run(1000);
    // The first end puts the second on hold with music.
    with(&mut call, |stream, end| {
        stream.direction = [Direction::SendOnly, Direction::RecvOnly][end];
    });
    call.run(200);
    call.tones();
    call.run(2000);
    let tones = call.tones();
    assert!(tones[0] == 0 && tones[1] > 1900, "{tones:?}");
    with(&mut call, |stream, _| stream.direction = Direction::Inactive);
    call.run(200);
    let sent = call.ends.each_ref().map(|end| end.session.stats().counts.sent);
    call.tones();
    call.run(12_000);
    assert_eq!(call.tones(), [0, 0]);
    let counts = call.ends.each_ref().map(|end| end.session.stats().counts);
    assert_eq!([counts[0].sent, counts[1].sent], sent);
    // RTCP goes on.
    assert!(counts.iter().all(|counts| counts.reports_received >= 2), "{counts:?}");
    with(&mut call, |stream, _| stream.direction = Direction::SendRecv);
    call.run(200);
    call.tones();
    call.run(2000);
    assert!(call.tones().iter().all(|ms| *ms > 1900));
    // The time on hold is no loss.
    assert!(call.ends.iter().all(|end| end.session.stats().loss.lost == 0));
}

#[test]
fn codecs_change_in_the_middle() {
    let mut call = Call::of(Codec::Pcmu, 16_000, Weather { delay: 20, ..Weather::default() }, 1);
    for codec in [Codec::Opus, Codec::G722, Codec::Pcma, Codec::Opus, Codec::Pcmu] {
        call.run(1000);
        with(&mut call, |old, end| *old = stream(codec, 1 - end));
        call.run(500);
        call.tones();
        call.run(1000);
        let tones = call.tones();
        assert!(tones.iter().all(|ms| *ms > 950), "{codec:?} {tones:?}");
        assert!(call.ends.iter().all(|end| end.session.stats().codec == codec.name()));
    }
}

#[test]
fn a_peer_may_change_among_the_formats_by_itself() {
    let both = |first: Codec, second: Codec, to| {
        let mut all = stream(first, to);
        all.codecs.extend(stream(second, to).codecs);
        all
    };
    let streams = [both(Codec::Pcma, Codec::G722, 1), both(Codec::G722, Codec::Pcma, 0)];
    let mut call = Call::new(|n| config(n, 16_000), streams, Weather::default(), 1);
    call.run(2000);
    let tones = call.tones();
    assert!(tones.iter().all(|ms| *ms > 1800), "{tones:?}");
    assert_eq!(call.ends[0].session.stats().codec, "PCMA");
    assert_eq!(call.ends[1].session.stats().codec, "G722");
}

#[test]
fn no_address_is_no_packet() {
    let mut call = Call::of(Codec::Pcmu, 8000, Weather::default(), 1);
    with(&mut call, |stream, _| stream.unreachable = true);
    call.run(10_000);
    assert!(call.sent.is_empty() && call.ends[0].session.timeout().is_none());
}

#[test]
fn the_end_is_a_goodbye_and_silence() {
    let mut call = Call::of(Codec::Pcmu, 8000, Weather::default(), 1);
    call.run(1000);
    let mut out = Outbox::new();
    call.ends[0].session.end(call.now, &mut out);
    let (channel, to, bytes) = out.packets().next().unwrap();
    assert_eq!((channel, to.port()), (Channel::Rtcp, 4001));
    call.inject((1, channel, address(0), bytes.to_vec()));
    let sent = call.ends[0].session.stats().counts;
    call.run(1000);
    assert_eq!(call.ends[0].session.stats().counts, sent);
    assert!(call.ends[0].session.timeout().is_none());
    assert!(call.ends[1].events.contains(&Event::Goodbye(String::new())));
}
