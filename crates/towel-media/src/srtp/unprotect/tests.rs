use super::*;
use crate::rtp::Header;
use crate::srtp::{Protector, Suite};
use proptest::prelude::*;

fn pair(change: impl Fn(&mut CryptoLine)) -> (Protector, Unprotector) {
    let mut line = CryptoLine::new(1, Suite::AesCm128HmacSha1_80, &[42; 30]);
    change(&mut line);
    (Protector::new(&line), Unprotector::new(&line))
}

fn packet(sequence: u16, payload: &[u8]) -> Vec<u8> {
    let header = Header { marker: false, payload_type: 0, sequence, timestamp: 7, ssrc: 0xabcd };
    let mut out = Vec::new();
    header.write(&mut out);
    out.extend_from_slice(payload);
    out
}

fn protected(protector: &mut Protector, sequence: u16) -> Vec<u8> {
    let mut out = packet(sequence, b"towel");
    protector.rtp(&mut out, 0).unwrap();
    out
}

#[test]
fn a_packet_is_hidden_and_found_again() {
    for suite in Suite::ALL {
        for mki in [&[][..], &[0, 0, 7]] {
            let (mut to, mut from) = pair(|line| (line.suite, line.mki) = (suite, mki.to_vec()));
            let mut out = protected(&mut to, 5);
            let tag = if suite == Suite::AesCm128HmacSha1_80 { 10 } else { 4 };
            assert_eq!(out.len(), 12 + 5 + tag + mki.len());
            assert_eq!(out[..12], packet(5, b"")[..]);
            assert_ne!(&out[12..17], b"towel");
            assert_eq!(from.rtp(&mut out).unwrap(), packet(5, b"towel"));
        }
    }
}

#[test]
fn a_replay_and_every_changed_byte_are_refused() {
    let (mut to, mut from) = pair(|line| line.mki = vec![1]);
    let out = protected(&mut to, 5);
    for at in 0..out.len() {
        for bit in 0..8 {
            let mut other = out.clone();
            other[at] ^= 1 << bit;
            assert!(from.rtp(&mut other).is_err(), "byte {at} bit {bit}");
        }
    }
    for length in 0..out.len() {
        assert!(from.rtp(&mut out.clone()[..length]).is_err());
    }
    assert!(from.rtp(&mut out.clone()).is_ok());
    assert_eq!(from.rtp(&mut out.clone()), Err(Fault::Replay));
}

#[test]
fn the_counter_rolls_over_with_loss_and_reordering() {
    let (mut to, mut from) = pair(|_| ());
    let mut packets: Vec<_> = (65500..65536u32 + 60)
        .map(|n| (n, protected(&mut to, n as u16)))
        .filter(|(n, _)| n % 7 != 3)
        .collect();
    // Each block of nine comes backwards, over the wrap too.
    packets.chunks_mut(9).for_each(<[_]>::reverse);
    for (n, mut bytes) in packets {
        let read = from.rtp(&mut bytes).unwrap_or_else(|fault| panic!("{n}: {fault}"));
        assert_eq!(read, packet(n as u16, b"towel"));
    }
    // What is of the time before the wrap is an old one now.
    let (mut again, _) = pair(|_| ());
    assert_eq!(from.rtp(&mut protected(&mut again, 65535)), Err(Fault::Replay));
}

#[test]
fn the_index_is_the_nearest() {
    assert_eq!(estimate(None, 40000), Some(40000));
    assert_eq!(estimate(Some(10), 65535), None);
    assert_eq!(estimate(Some(65530), 3), Some(65539));
    assert_eq!(estimate(Some(65539), 65530), Some(65530));
    assert_eq!(estimate(Some(MAX_SRTP - 1), 0), None);
}

#[test]
fn rtcp_has_its_own_index_and_bit() {
    let (mut to, mut from) = pair(|_| ());
    let plain = [0x80, 201, 0, 1, 0, 0, 0, 9];
    let report = || [&plain[..], &[0x81, 203, 0, 1, 0, 0, 0, 9]].concat();
    let mut sent = Vec::new();
    for n in 0..3u32 {
        let mut out = report();
        to.rtcp(&mut out, 0).unwrap();
        assert_eq!(out[..8], plain);
        assert_ne!(out[8..16], report()[8..]);
        assert_eq!(out[16..20], (1 << 31 | n).to_be_bytes());
        sent.push(out);
    }
    for n in [2, 0, 1] {
        assert_eq!(from.rtcp(&mut sent[n].clone()).unwrap(), report());
        assert_eq!(from.rtcp(&mut sent[n].clone()), Err(Fault::Replay));
    }
    for at in 0..sent[0].len() {
        let mut other = sent[0].clone();
        other[at] ^= 4;
        assert!(pair(|_| ()).1.rtcp(&mut other).is_err());
    }
    // Unencrypted, where that is agreed and where it is not.
    let (mut to, mut from) = pair(|line| line.plain_rtcp = true);
    let mut out = report();
    to.rtcp(&mut out, 0).unwrap();
    assert_eq!((&out[..16], out[16]), (&report()[..], 0));
    assert_eq!(pair(|_| ()).1.rtcp(&mut out.clone()), Err(Fault::Encryption));
    assert!(from.rtcp(&mut out).is_ok());
}

#[test]
fn a_key_ends() {
    let (mut to, mut from) = pair(|line| line.lifetime = Some(3));
    for n in 0..3 {
        assert!(from.rtp(&mut protected(&mut to, n)).is_ok());
    }
    assert!(to.rtp(&mut packet(3, b""), 0).is_err());
    let (mut other, _) = pair(|_| ());
    assert_eq!(from.rtp(&mut protected(&mut other, 4)), Err(Fault::Exhausted));
}

#[test]
fn sources_are_bounded() {
    let (mut to, mut from) = pair(|_| ());
    for ssrc in 0..100u32 {
        let mut out = packet(1, b"x");
        out[8..12].copy_from_slice(&ssrc.to_be_bytes());
        to.rtp(&mut out, 0).unwrap();
        assert!(from.rtp(&mut out).is_ok());
        assert!(from.sources.len() <= SOURCES);
    }
}

proptest! {
    #[test]
    fn any_bytes_are_refused(mut bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
        let (_, mut from) = pair(|_| ());
        prop_assert!(from.rtp(&mut bytes.clone()).is_err());
        prop_assert!(from.rtcp(&mut bytes).is_err());
    }
}
