//! Tones in, tones out.

use super::*;
use towel_media::session::Keys;
use towel_media::srtp::{CryptoLine, Suite};

#[test]
fn every_codec_carries_both_tones_at_every_rate() {
    for codec in Codec::ALL {
        for rate in [8000, 16_000, 48_000] {
            let mut call = Call::of(codec, rate, Weather { delay: 30, ..Weather::default() }, 1);
            call.run(4000);
            let tones = call.tones();
            assert!(tones.iter().all(|ms| *ms > 3700), "{codec:?} {rate}: {tones:?}");
            for end in &call.ends {
                let counts = end.session.stats().counts;
                assert_eq!((counts.late, counts.undecodable, counts.underruns), (0, 0, 0));
                assert_eq!(end.session.stats().loss.lost, 0);
            }
        }
    }
}

#[test]
fn tones_come_through_bad_weather() {
    let bad = Weather { loss: 0.05, twice: 0.05, delay: 40, jitter: 60 };
    for codec in Codec::ALL {
        for seed in 1..=3 {
            let mut call = Call::of(codec, 16_000, bad, seed);
            call.run(20_000);
            let tones = call.tones();
            assert!(tones.iter().all(|ms| *ms > 16_500), "{codec:?} seed {seed}: {tones:?}");
            for end in &call.ends {
                let stats = end.session.stats();
                // 1000 packets, of which one in twenty is lost and one in twenty comes twice.
                assert!((900..1010).contains(&stats.counts.received), "{stats:?}");
                assert!(stats.delay <= Duration::from_millis(110), "{stats:?}");
                assert!(stats.delay >= Duration::from_millis(40), "{stats:?}");
                assert!(stats.jitter > Duration::from_millis(10));
            }
        }
    }
}

#[test]
fn clocks_that_drift_apart_do_not_pile_up_delay() {
    let mut call = Call::of(Codec::Pcmu, 8000, Weather::default(), 1);
    call.run(2000);
    // The listener hears one frame less in fifty.
    for n in 0..3000u64 {
        let now = call.now + Duration::from_millis(n * 20);
        let other = &mut call.ends[1];
        let mut out = Outbox::new();
        other.session.poll(now, &mut *other.source, &mut out);
        for (channel, _, bytes) in out.packets() {
            let mut bytes = bytes.to_vec();
            call.ends[0].session.receive(now, channel, address(1), &mut bytes, &mut Outbox::new());
        }
        if n % 50 != 0 {
            call.ends[0].session.play(now, &mut [0; 160]);
        }
    }
    let counts = call.ends[0].session.stats().counts;
    assert!((15..62).contains(&counts.skipped), "{counts:?}");
    assert_eq!(counts.overflowed, 0);
}

#[test]
fn silence_is_told_with_comfort_noise_and_speech_comes_back() {
    struct Speech(Tone, u64);
    impl Source for Speech {
        fn fill(&mut self, frame: &mut [i16]) -> usize {
            self.1 += 1;
            // Two seconds of a tone, two of a faint hum.
            match self.1 / 100 % 2 {
                0 => self.0.fill(frame),
                _ => Tone::new(8000, &[100.0], -65.0).fill(frame),
            }
        }
    }
    let with_noise = |to| {
        let noise = Format { kind: (), send: 13, receive: 13, clock: 8000 };
        Stream { noise: Some(noise), ..stream(Codec::Pcmu, to) }
    };
    let config = |n| Config { dtx: true, ..config(n, 8000) };
    let mut call = Call::new(config, [with_noise(1), with_noise(0)], Weather::default(), 1);
    call.ends[0].source = Box::new(Speech(Tone::new(8000, &[PITCH[0]], -15.0), 0));
    call.run(8000);
    let sent = call.ends[0].session.stats().counts.sent;
    // 400 packets without silence; 200 of tone, ten before each silence, two or so in it.
    assert!((215..235).contains(&sent), "{sent}");
    let tone = call.ends[1].heard.heard();
    assert!((3700..=4000).contains(&tone.tone.as_millis()), "{tone:?}");
    // In the middle of the second silence there is noise of about that level.
    let quiet = &call.ends[1].samples[7 * 8000..7 * 8000 + 4000];
    let level = towel_media::audio::level(quiet);
    assert!((-70.0..-60.0).contains(&level), "{level}");
    assert_eq!(call.ends[1].session.stats().counts.concealed, 0);
}

#[test]
fn digits_arrive_once_each_through_bad_weather() {
    let bad = Weather { loss: 0.1, twice: 0.1, delay: 40, jitter: 30 };
    for codec in [Codec::Pcmu, Codec::Opus] {
        let mut call = Call::of(codec, 16_000, bad, 7);
        call.run(500);
        for digit in "0123456789*#ABCD".chars() {
            call.ends[0].session.dial(digit, Duration::from_millis(120)).unwrap();
        }
        assert!(call.ends[0].session.is_dialling());
        call.run(6000);
        assert!(!call.ends[0].session.is_dialling());
        let began: Vec<u8> = call.ends[1]
            .events
            .iter()
            .filter_map(|e| if let Event::EventBegan(code) = e { Some(*code) } else { None })
            .collect();
        assert_eq!(began, (0..16).collect::<Vec<u8>>(), "{codec:?}");
        let ended = call.ends[1].events.iter().filter(|e| matches!(e, Event::EventEnded(..)));
        assert_eq!(ended.count(), 16);
        // Audio goes on after it.
        call.tones();
        call.run(2000);
        assert!(call.tones()[1] > 1500);
    }
}

#[test]
fn a_digit_does_not_make_the_delay_grow() {
    let mut call = Call::of(Codec::Pcma, 8000, Weather { delay: 20, ..Weather::default() }, 1);
    call.run(1000);
    call.ends[0].session.dial('5', Duration::from_secs(10)).unwrap();
    call.run(12_000);
    let stats = call.ends[1].session.stats();
    assert!(stats.delay <= Duration::from_millis(40), "{stats:?}");
    let lasted = Event::EventEnded(5, Duration::from_secs(10));
    assert!(call.ends[1].events.contains(&lasted), "{:?}", call.ends[1].events);
    call.tones();
    call.run(1000);
    assert!(call.tones()[1] >= 960);
    // What is held is what the delay says, no more.
    assert_eq!(stats.counts.skipped, 0);
}

fn keys(suite: Suite) -> [Keys; 2] {
    let [ford, zaphod] = [1, 2].map(|n| CryptoLine::new(1, suite, &[n * 42; 30]));
    let keys = |ours: &CryptoLine, theirs: &CryptoLine| Keys {
        ours: ours.clone(),
        theirs: theirs.clone(),
    };
    [keys(&ford, &zaphod), keys(&zaphod, &ford)]
}

#[test]
fn a_protected_call_is_heard_and_a_recorded_one_is_not() {
    for suite in Suite::ALL {
        let mut number = 0;
        let streams = keys(suite).map(|keys| {
            number += 1;
            Stream { keys: Some(keys), mux: true, ..stream(Codec::G722, 2 - number) }
        });
        let bad = Weather { loss: 0.02, twice: 0.0, delay: 20, jitter: 30 };
        let mut call = Call::new(|n| config(n, 16_000), streams, bad, 3);
        call.run(3000);
        assert!(call.tones().iter().all(|ms| *ms > 2500));
        let before = call.ends[1].session.stats().counts;
        assert_eq!((before.replayed, before.unauthentic), (0, 0));
        // All that the first end has sent comes again, from elsewhere too.
        let sent: Vec<_> = call.sent.iter().filter(|s| s.0 == 0).map(|s| s.1.clone()).collect();
        for (n, bytes) in sent.iter().enumerate() {
            let from = if n % 2 == 0 { address(0) } else { address(7) };
            let mut bytes = bytes.clone();
            let mut out = Outbox::new();
            call.ends[1].session.receive(call.now, Channel::Rtp, from, &mut bytes, &mut out);
            // And once more with another number.
            let mut bytes = sent[n].clone();
            bytes[2] ^= 0x40;
            call.ends[1].session.receive(call.now, Channel::Rtp, from, &mut bytes, &mut out);
        }
        let after = call.ends[1].session.stats().counts;
        // What the network had lost the first time is new, within the window.
        assert!(after.received - before.received < 10, "{after:?}");
        assert!(after.replayed as usize > sent.len() - 10, "{after:?}");
        assert!(after.unauthentic > 0);
        assert_eq!(call.ends[1].session.stats().remote.ip(), address(0).ip());
    }
}
