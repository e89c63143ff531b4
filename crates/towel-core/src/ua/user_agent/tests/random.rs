//! Calls at random under loss and reordering: whatever both ends do, nothing is left at the end.

use super::*;

fn play(seed: u64, loss: u64) {
    let mut rng = Rng::from_number(seed);
    let mut pair = Pair::new();
    let (mut fate, mut delay) = (Rng::from_number(!seed), Rng::from_number(seed ^ 77));
    pair.loses = Box::new(move |_, _, _| fate.below(100) < loss);
    pair.takes = Box::new(move |_| 500 + delay.below(400_000));
    let mut calls: [Vec<CallHandle>; 2] = [Vec::new(), Vec::new()];
    let mut dialogs: [Vec<DialogHandle>; 2] = [Vec::new(), Vec::new()];
    let mut asked: [Vec<IncomingHandle>; 2] = [Vec::new(), Vec::new()];
    for _ in 0..60 {
        let end = rng.below(2) as usize;
        for event in pair.told(end) {
            match event {
                Event::Incoming { call, .. } => calls[end].push(call),
                Event::Established { dialog, .. } => dialogs[end].push(dialog),
                Event::Reinvite { request, .. } | Event::Request { request, .. } => {
                    asked[end].push(request);
                }
                _ => {}
            }
        }
        let any = |rng: &mut Rng, length: usize| rng.below(length.max(1) as u64) as usize;
        let at = any(&mut rng, calls[end].len());
        let call = calls[end].get(at).copied();
        let at = any(&mut rng, dialogs[end].len());
        let dialog = dialogs[end].get(at).copied();
        // What cannot be done at the time is refused, and that is all.
        match rng.below(9) {
            0 => {
                let invite = Ask::invite(&format!("sip:x@192.0.2.{}", 2 - end), "v=0");
                if let Ok(call) = pair.act(end, |ua, now, out| ua.call(now, out, invite)) {
                    calls[end].push(call);
                }
            }
            1 | 2 => {
                let status = [180, 183, 200, 200, 486][any(&mut rng, 5)];
                let answer = Answer::new(status);
                if let Some(call) = call {
                    let _ = pair.act(end, |ua, now, out| ua.answer(now, out, call, answer));
                }
            }
            3 => {
                if let Some(call) = call {
                    let _ = pair.act(end, |ua, now, out| ua.hang_up(now, out, call));
                }
            }
            4 => {
                if let Some(dialog) = dialog {
                    let change = Ask::invite("", "v=0");
                    let _ = pair.act(end, |ua, now, out| ua.request(now, out, dialog, &change));
                }
            }
            5 => {
                if let Some(request) = asked[end].pop() {
                    let answer = Answer::new([200, 200, 488, 180][any(&mut rng, 4)]);
                    let _ = pair.act(end, |ua, now, out| ua.reply(now, out, request, answer));
                }
            }
            _ => {
                let millis = rng.below(3_000);
                pair.pass(millis);
            }
        }
    }
    // Everybody hangs up, and what was asked is answered.
    for end in [ARTHUR, FORD] {
        for call in std::mem::take(&mut calls[end]) {
            let _ = pair.act(end, |ua, now, out| ua.hang_up(now, out, call));
        }
    }
    for _ in 0..20 {
        pair.pass(30_000);
        for end in [ARTHUR, FORD] {
            for event in pair.told(end) {
                match event {
                    Event::Incoming { call, .. } => {
                        let _ = pair.act(end, |ua, now, out| ua.hang_up(now, out, call));
                    }
                    Event::Established { call, .. } => {
                        let _ = pair.act(end, |ua, now, out| ua.hang_up(now, out, call));
                    }
                    Event::Reinvite { request, .. } => {
                        let answer = Answer::new(200);
                        let _ = pair.act(end, |ua, now, out| ua.reply(now, out, request, answer));
                    }
                    _ => {}
                }
            }
            for request in std::mem::take(&mut asked[end]) {
                let answer = Answer::new(500);
                let _ = pair.act(end, |ua, now, out| ua.reply(now, out, request, answer));
            }
        }
    }
    pair.pass(300_000);
    for end in [ARTHUR, FORD] {
        assert_eq!(pair.ends[end].sizes(), [0; 5], "seed {seed}, end {end}");
        assert!(pair.ends[end].is_drained(), "seed {seed}, end {end}");
    }
}

#[test]
fn nothing_is_left_without_loss() {
    for seed in 0..60 {
        play(seed, 0);
    }
}

#[test]
fn nothing_is_left_under_loss() {
    for seed in 100..160 {
        play(seed, 20);
    }
}

#[test]
fn many_calls_at_once() {
    let mut pair = Pair::new();
    const MANY: usize = 2_000;
    let mut calls = Vec::new();
    for _ in 0..MANY {
        let invite = Ask::invite("sip:ford@192.0.2.2", "v=0");
        calls.push(pair.act(ARTHUR, |ua, now, out| ua.call(now, out, invite)).unwrap());
    }
    pair.pass(100);
    let theirs: Vec<CallHandle> = pair
        .told(FORD)
        .iter()
        .filter_map(|event| match event {
            Event::Incoming { call, .. } => Some(*call),
            _ => None,
        })
        .collect();
    assert_eq!(theirs.len(), MANY);
    for call in theirs {
        pair.act(FORD, |ua, now, out| ua.answer(now, out, call, Answer::new(200))).unwrap();
    }
    pair.pass(100);
    assert_eq!(pair.ends[ARTHUR].sizes()[..2], [MANY, MANY]);
    for call in calls {
        pair.act(ARTHUR, |ua, now, out| ua.hang_up(now, out, call)).unwrap();
    }
    pair.is_empty();
}
