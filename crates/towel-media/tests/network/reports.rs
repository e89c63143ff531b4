//! RTCP.

use super::*;
use towel_media::rtcp::{Compound, Packet};

#[test]
fn both_ends_learn_the_round_trip_and_the_loss() {
    for (extended, mux) in [(false, false), (true, true)] {
        let weather = Weather { loss: 0.1, delay: 80, ..Weather::default() };
        let config = |n| Config { extended_reports: extended, ..config(n, 8000) };
        let streams = [1, 0].map(|to| Stream { mux, ..stream(Codec::Pcmu, to) });
        let mut call = Call::new(config, streams, weather, 4);
        call.run(60_000);
        for end in &call.ends {
            let stats = end.session.stats();
            let trip = stats.round_trip.unwrap().as_millis();
            assert!((155..=175).contains(&trip), "{trip}");
            let peer = stats.peer.unwrap();
            assert!((5..60).contains(&peer.fraction_lost) && peer.lost > 150, "{peer:?}");
            assert!((8..30).contains(&stats.counts.reports_sent), "{:?}", stats.counts);
            let metrics = stats.metrics;
            assert_eq!(metrics.is_some(), extended);
            if let Some(metrics) = metrics {
                assert!((15..40).contains(&metrics.loss_rate), "{metrics:?}");
                assert!((155..=175).contains(&metrics.round_trip));
            }
        }
    }
}

#[test]
fn one_who_only_listens_learns_the_round_trip_by_extended_reports() {
    use towel_sdp::Direction::{RecvOnly, SendOnly};
    let weather = Weather { delay: 50, ..Weather::default() };
    let config = |n| Config { extended_reports: true, ..config(n, 8000) };
    let directed = |direction, to| Stream { direction, ..stream(Codec::Pcmu, to) };
    let streams = [directed(SendOnly, 1), directed(RecvOnly, 0)];
    let mut call = Call::new(config, streams, weather, 4);
    call.run(30_000);
    for end in &call.ends {
        let trip = end.session.stats().round_trip.unwrap().as_millis();
        assert!((95..=110).contains(&trip), "{trip}");
    }
}

#[test]
fn every_compound_is_sound_and_begins_with_a_report_and_a_name() {
    let mut call = Call::of(Codec::Pcmu, 8000, Weather::default(), 4);
    call.run(30_000);
    let compounds: Vec<_> =
        call.sent.iter().filter(|(_, bytes)| towel_media::rtp::is_rtcp(bytes)).collect();
    assert!(compounds.len() > 8);
    for (by, bytes) in compounds {
        let packets: Vec<_> = Compound::parse(bytes).unwrap().packets().collect();
        let [Packet::Report(report), Packet::Sdes(mut items)] = packets[..] else { panic!() };
        let name = format!("end{}", by + 1);
        assert_eq!(items.next().unwrap(), (report.ssrc, 1, name.as_bytes()));
    }
}
