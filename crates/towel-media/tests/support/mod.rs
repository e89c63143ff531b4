//! What must hold for any bytes; the fuzz targets and `any_bytes.rs` share it.
#![allow(dead_code, missing_docs, unreachable_pub)]

use std::net::SocketAddr;
use towel_media::Instant;
use towel_media::audio::Silence;
use towel_media::codec::{Codec, ComfortNoise, Decoder};
use towel_media::rtcp::{Block, Compound, Packet, Writer};
use towel_media::rtp;
use towel_media::session::{Channel, Config, Keys, Outbox, Session, Stream};
use towel_media::srtp::{CryptoLine, Protector, Suite, Unprotector};

/// An RTP packet and its payload, by every decoder.
pub fn rtp(bytes: &[u8]) {
    if let Ok(packet) = rtp::Packet::parse(bytes) {
        assert_eq!(packet.payload_at + packet.payload.len() + packet.padding, bytes.len());
        assert!(packet.csrcs().count() < 16);
        assert!(packet.extension().is_none_or(|(_, data)| data.len() <= bytes.len()));
        let mut out = Vec::new();
        for codec in Codec::ALL {
            let mut decoder = Decoder::new(codec, codec.rate_for(16_000)).unwrap();
            out.clear();
            let _ = decoder.decode(packet.payload, &mut out);
            decoder.conceal(320, Some(packet.payload), &mut out);
        }
        let mut noise = ComfortNoise::new(1);
        noise.payload(packet.payload);
        noise.make(100, &mut out);
    }
    conversation(bytes);
}

/// A compound, all of whose parts are visited.
pub fn rtcp(bytes: &[u8]) {
    let Ok(compound) = Compound::parse(bytes) else { return };
    let mut count = 0;
    for packet in compound.packets() {
        count += 1;
        match packet {
            Packet::Report(report) => {
                let blocks: Vec<_> = report.blocks().collect();
                // What is written again reads the same.
                let mut out = Vec::new();
                Writer::new(&mut out).report(report.ssrc, report.sender, &blocks);
                let again = Compound::parse(&out).unwrap().packets().next();
                let Some(Packet::Report(again)) = again else { panic!() };
                assert_eq!((again.ssrc, again.sender), (report.ssrc, report.sender));
                assert_eq!(again.blocks().collect::<Vec<_>>(), blocks);
            }
            Packet::Sdes(items) => assert!(items.count() <= bytes.len()),
            Packet::Bye { sources, reason } => assert!(sources.len() < 32 && reason.len() < 256),
            Packet::Extended(_, blocks) => {
                for block in blocks {
                    if let Block::DlrrBytes(parts) = block {
                        assert!(parts.len() * 12 <= bytes.len());
                    }
                }
            }
            Packet::Other(_) => (),
        }
    }
    assert!(count * 4 <= bytes.len());
}

/// Bytes are never authentic; what was protected is, once.
pub fn srtp(bytes: &[u8]) {
    let line = CryptoLine::new(1, Suite::AesCm128HmacSha1_80, &[42; 30]);
    let mut from = Unprotector::new(&line);
    assert!(from.rtp(&mut bytes.to_vec()).is_err());
    assert!(from.rtcp(&mut bytes.to_vec()).is_err());
    let mut to = Protector::new(&line);
    let mut out = bytes.to_vec();
    if rtp::Packet::header(bytes).is_ok() && to.rtp(&mut out, 0).is_ok() {
        assert_eq!(from.rtp(&mut out.clone()).unwrap(), bytes);
        assert!(from.rtp(&mut out).is_err());
    }
    let mut out = bytes.to_vec();
    if bytes.len() >= 8 && to.rtcp(&mut out, 0).is_ok() {
        assert_eq!(from.rtcp(&mut out.clone()).unwrap(), bytes);
        assert!(from.rtcp(&mut out).is_err());
    }
}

/// A session that is sent these bytes in pieces, by both channels, plain and protected.
pub fn conversation(bytes: &[u8]) {
    let remote = SocketAddr::from(([192, 0, 2, 2], 4000));
    let line = CryptoLine::new(1, Suite::AesCm128HmacSha1_80, &[42; 30]);
    for keys in [None, Some(Keys { ours: line.clone(), theirs: line.clone() })] {
        let stream = Stream { keys, mux: true, ..Stream::of(Codec::Pcmu, 0, remote) };
        let config = Config { rate: 8000, seed: 1, extended_reports: true, ..Config::default() };
        let mut session = Session::new(config, stream, Instant(0)).unwrap();
        let mut out = Outbox::new();
        let mut frame = [0; 160];
        for (n, part) in bytes.chunks(64).enumerate().take(64) {
            let now = Instant(n as u64 * 20_000);
            session.receive(now, Channel::Rtp, remote, &mut part.to_vec(), &mut out);
            session.receive(now, Channel::Rtcp, remote, &mut part.to_vec(), &mut out);
            session.poll(now, &mut Silence, &mut out);
            session.play(now, &mut frame);
            assert!(out.len() < 40);
            out.clear();
            while session.event().is_some() {}
        }
        let _ = session.stats();
    }
}
