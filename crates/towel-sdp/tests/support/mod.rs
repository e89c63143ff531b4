//! What the property tests and the fuzz target do to bytes. Shared by path with `/fuzz`.

#![allow(dead_code, unreachable_pub, reason = "each user takes what it needs")]

use towel_sdp::attribute::{Candidate, Crypto, Current, Fingerprint, Group, Mid, Ptime, Rtcp};
use towel_sdp::offer_answer::{
    Codec, Formats, Identity, Negotiation, Plan, Refused, State, Stream, judge, streams,
};
use towel_sdp::{Bandwidth, Description, Draft, Fmtp, Limits, RtpMap, Setup, Timing};

/// An address of ours.
pub fn address(n: u8) -> std::net::IpAddr {
    std::net::IpAddr::from([192, 0, 2, n])
}

/// A party that said nothing yet.
pub fn party(n: u8) -> Negotiation {
    let username = String::from("towel");
    let identity = Identity { username, session_id: 42, version: 1, address: address(n) };
    Negotiation::new(identity, Limits::default())
}

/// A phone that takes all that phones take.
pub fn phone(n: u8) -> Plan {
    let audio = [Codec::pcmu(), Codec::pcma(), Codec::g722(), Codec::telephone_event(8000, 101)];
    let video = Formats::Rtp(vec![Codec::new("H264", 90000, 97)]);
    let fax = Formats::Named(vec![String::from("t38")]);
    Plan::new(address(n))
        .with(Stream::audio(4000, audio))
        .with(Stream::new("video", "RTP/AVP", 4002, video))
        .with(Stream::new("image", "udptl", 4004, fax))
}

/// Reads bytes as a description, asks for all of it, and answers it.
pub fn all(bytes: &[u8]) {
    let Ok(description) = Description::parse(bytes, &Limits::default()) else { return };
    let mut out = Vec::new();
    description.write(&mut out);
    assert_eq!(out, bytes);
    out.clear();
    Draft::new(&description).write(&mut out);
    assert_eq!(out, bytes);
    let faults = description.check();
    for fault in &faults {
        assert!(fault.at <= bytes.len() && fault.line <= description.lines().count());
        let _ = fault.to_string();
    }
    read(&description);
    let broken = faults.iter().any(towel_sdp::Fault::is_broken);
    let _ = judge::answer(&description, &description);
    assert_eq!(judge::next(&description, &description), []);
    let _ = streams(&description, &description);
    offered(bytes, &description, broken);
    answered(bytes);
}

fn read(description: &Description<'_>) {
    let _ = description.origin();
    let session = description.session();
    let sections = description.media().map(|media| media.section());
    for section in std::iter::once(session).chain(sections) {
        let _ = section.first(b'b').map(|line| Bandwidth::read(line.cursor()));
        let _ = section.first(b't').map(|line| Timing::read(line.cursor()));
        let _ = (section.get::<Rtcp<'_>>(), section.get::<Mid<'_>>(), section.get::<Setup>());
        let _ = (section.get::<Crypto<'_>>(), section.get::<Current<'_>>());
        let _ = (section.get::<Ptime>(), section.get::<Candidate<'_>>(), section.direction());
        let _ = section.get::<Group<'_>>().map(|group| group.ids().count());
        let _ = section.get::<Fingerprint<'_>>().map(|print| print.bytes().count());
        let _ = section.every::<RtpMap<'_>>().filter_map(Result::ok).count();
        let _ = section.get::<Fmtp<'_>>().map(|fmtp| fmtp.params().count());
    }
    for media in description.media() {
        let _ = (media.connection(), media.direction());
        if let Ok(line) = media.line() {
            assert!(line.formats().next().is_some());
            for format in line.formats() {
                let _ = (media.encoding(format), media.fmtp(format));
            }
        }
    }
}

/// An offer that can be worked with is answered, and its offerer can work with the answer.
fn offered(bytes: &[u8], offer: &Description<'_>, broken: bool) {
    let mut us = party(1);
    let received = us.receive_offer(bytes);
    assert_eq!(received.is_err(), broken, "{received:?}");
    if broken {
        assert_eq!(us.state(), State::None);
        return;
    }
    let plan = phone(1);
    let accepted = us.acceptable(&plan).unwrap();
    let answer = us.answer(&plan).unwrap();
    let read = Description::parse(&answer, &Limits::default()).unwrap();
    let text = String::from_utf8_lossy(&answer);
    assert_eq!(read.check(), [], "{text}");
    assert_eq!(judge::answer(offer, &read), [], "{text}");
    assert_eq!(us.streams().len(), accepted, "{text}");
    // What comes next from us is a new offer of at least as many lines.
    let next = us.offer(&plan).unwrap();
    let next = Description::parse(&next, &Limits::default()).unwrap();
    assert!(next.media_count() >= offer.media_count());
    assert!(next.broken().is_none());
}

/// An answer to our offer is taken or refused, and never leaves the offer open.
fn answered(bytes: &[u8]) {
    let mut us = party(1);
    us.offer(&phone(1)).unwrap();
    let _ = us.receive_preview(bytes);
    let _ = us.early_streams();
    match us.receive_answer(bytes) {
        Ok(_) => assert_eq!(us.state(), State::Agreed),
        Err(Refused::Peer(fault)) => assert!(fault.is_broken() && us.state() == State::None),
        Err(other) => panic!("{other}"),
    }
}
