//! Strangers, garbage, collisions.

use super::*;
use towel_media::rtp::Header;

fn rtp(sequence: u16, payload_type: u8, ssrc: u32) -> Vec<u8> {
    let timestamp = u32::from(sequence) * 160;
    let mut bytes = Vec::new();
    Header { marker: false, payload_type, sequence, timestamp, ssrc }.write(&mut bytes);
    bytes.extend([0x55; 160]);
    bytes
}

#[test]
fn it_sends_to_where_the_peer_sends_from() {
    let mut call = Call::of(Codec::Pcmu, 8000, Weather::default(), 1);
    // Behind a NAT.
    let seen: SocketAddr = "198.51.100.9:9000".parse().unwrap();
    call.ends[1].from = seen;
    call.run(1000);
    assert_eq!(call.ends[0].session.stats().remote, seen);
    assert!(call.ends[0].events.contains(&Event::Latched(seen)));
    // A stranger is not heard after that, nor does it move us.
    for n in 0..100 {
        call.inject((0, Channel::Rtp, address(9), rtp(n, 0, 1)));
        call.run(20);
    }
    let stats = call.ends[0].session.stats();
    assert_eq!((stats.counts.strangers, stats.remote), (100, seen));
    assert!(call.tones().iter().all(|ms| *ms > 2800));
}

#[test]
fn a_stranger_who_was_first_gives_way_to_the_address_in_sdp() {
    let mut call = Call::of(Codec::Pcmu, 8000, Weather { delay: 500, ..Weather::default() }, 1);
    for n in 0..10 {
        call.inject((0, Channel::Rtp, address(9), rtp(n, 0, 1)));
        call.run(20);
    }
    assert_eq!(call.ends[0].session.stats().remote, address(9));
    call.run(1000);
    assert_eq!(call.ends[0].session.stats().remote, address(1));
    call.inject((0, Channel::Rtp, address(9), rtp(11, 0, 1)));
    call.run(1000);
    assert_eq!(call.ends[0].session.stats().counts.strangers, 1);
    assert!(call.tones()[0] > 1000);
}

#[test]
fn garbage_is_counted_and_not_heard() {
    let mut call = Call::of(Codec::Pcmu, 8000, Weather::default(), 1);
    call.run(1000);
    let mut random = Random::new(99);
    let source = call.ends[0].session.stats().remote_ssrc.unwrap();
    for n in 0..500u16 {
        let length = random.word() as usize % 60;
        let noise: Vec<u8> = (0..length).map(|_| random.bits() as u8 & 0x7f).collect();
        call.inject((0, Channel::Rtp, address(1), noise.clone()));
        call.inject((0, Channel::Rtcp, SocketAddr::new(address(1).ip(), 4001), noise));
        call.inject((0, Channel::Rtp, address(1), rtp(n, 33, source)));
        // Sources of one packet each.
        call.inject((0, Channel::Rtp, address(1), rtp(n.wrapping_mul(7919), 0, n.into())));
        call.run(20);
    }
    let stats = call.ends[0].session.stats();
    assert_eq!((stats.counts.wrong_payload_type, stats.counts.malformed), (500, 1000));
    assert!(stats.counts.improbable >= 500);
    assert_eq!((stats.remote_ssrc, stats.loss.lost), (Some(source), 0));
    assert!(call.tones()[0] > 10_800);
}

#[test]
fn a_new_source_takes_over() {
    let mut call = Call::of(Codec::Pcmu, 8000, Weather::default(), 1);
    call.run(1000);
    // The far end is somebody else now, such as music on hold from a server at the same place.
    let other = Session::new(config(77, 8000), stream(Codec::Pcmu, 0), call.now).unwrap();
    call.ends[1].session = other;
    call.run(200);
    call.tones();
    call.run(1000);
    assert!(call.tones()[0] >= 980);
    assert_eq!(call.ends[0].events.iter().filter(|e| matches!(e, Event::Source(_))).count(), 2);
}

#[test]
fn who_has_our_number_makes_us_take_another() {
    let mut call = Call::of(Codec::Pcmu, 8000, Weather::default(), 1);
    call.run(1000);
    let ours = call.ends[0].session.ssrc();
    for n in 0..50 {
        call.inject((0, Channel::Rtp, address(1), rtp(n, 0, call.ends[0].session.ssrc())));
        call.run(20);
    }
    let stats = call.ends[0].session.stats();
    assert_ne!(stats.ssrc, ours);
    assert_eq!((stats.counts.collisions, stats.counts.looped), (1, 49));
    // The peer hears of it, and hears us on.
    assert!(call.ends[1].events.contains(&Event::Goodbye("SSRC collision".into())));
    call.tones();
    call.run(1000);
    assert!(call.tones().iter().all(|ms| *ms > 900));
}
