//! Many calls over a loopback that loses some of everything, with holds and resumes and hang-ups at
//! random from both ends: at the end nothing is left of them, no call, dialog, timer, port or byte.
//!
//! Some hundreds of calls by default. The whole soak is
//!
//! ```text
//! TOWEL_SOAK=10000 cargo test --release -p towel-phone --test soak -- --nocapture
//! ```

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use towel_counting::Counting;
use towel_media::codec::Codec;
use towel_phone::{Handset, HandsetSetup, News, Role, Step, Tally};

#[global_allocator]
static ALLOCATOR: Counting = Counting::when(|| true);

/// Of everything that arrives, SIP and audio, so much is lost.
const LOSS: f64 = 0.05;
/// How many bytes may be held at the end more than after the first half: the room of tables that have
/// grown, since as many calls are up at a time in both.
const GROWN: i64 = 1024 * 1024;

fn number(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().map_or(usual, |value| value.parse().expect("a number"))
}

fn steps(steps: &[&str]) -> Vec<Step> {
    steps.iter().map(|step| step.parse().unwrap()).collect()
}

/// A phone on loopback that loses, with a T1 by which a soak does not last for ever.
fn phone(name: &str, seed: u64, t1: Duration) -> HandsetSetup {
    Handset::of(&format!("sip:{name}@127.0.0.1"))
        .unwrap()
        .listen("127.0.0.1:0".parse().unwrap())
        .lose(LOSS, seed)
        .media(|media| media.rate = 8000)
        .settings(|settings, _| {
            settings.transaction.t1 = t1;
            settings.transaction.t2 = t1 * 8;
        })
        .with(|setup| {
            setup.wants.codecs = vec![Codec::Pcma, Codec::Pcmu];
            setup.wants.srtp = towel_phone::Srtp::Offer;
        })
}

/// What a phone has told.
#[derive(Default)]
struct Heard {
    tally: Mutex<Tally>,
    notes: Mutex<BTreeMap<String, u64>>,
    over: AtomicU64,
}

impl Heard {
    fn hear(&self, news: &News) {
        self.tally.lock().unwrap().hear(news);
        match news {
            News::Over(_) => {
                self.over.fetch_add(1, Ordering::AcqRel);
            }
            News::Refused(_, what, status) => {
                *self.notes.lock().unwrap().entry(format!("{what} {status}")).or_default() += 1;
            }
            News::Note(note) => {
                *self.notes.lock().unwrap().entry(note.clone()).or_default() += 1;
            }
            _ => {}
        }
    }

    fn over(&self) -> u64 {
        self.over.load(Ordering::Acquire)
    }
}

/// Makes so many calls, a few hundred at a time, and waits until nothing is left of them.
fn batch(ford: &Handset, zaphod: &Handset, heard: &[Arc<Heard>; 2], calls: u64, rate: u64) {
    let concurrent = number("TOWEL_SOAK_AT_A_TIME", (calls / 3).clamp(20, 400));
    let whom = zaphod.address();
    let whom = format!("sip:zaphod@{whom}");
    let pause = Duration::from_micros(1_000_000 / rate);
    let before = heard[0].over();
    // Bounded by far more than it takes.
    let patience = Instant::now() + Duration::from_secs(120 + 10 * calls / rate);
    let mut begun = 0;
    let drain = |phone: &Handset, heard: &Heard| {
        while let Some(news) = phone.next_within(Duration::ZERO) {
            heard.hear(&news);
        }
    };
    while heard[0].over() - before < calls || !ford.is_drained() || !zaphod.is_drained() {
        assert!(
            Instant::now() < patience,
            "of {begun} calls {} are over",
            heard[0].over() - before
        );
        if begun < calls && begun - (heard[0].over() - before) < concurrent {
            ford.call(&whom);
            begun += 1;
        }
        drain(ford, &heard[0]);
        drain(zaphod, &heard[1]);
        std::thread::sleep(pause);
    }
    // What is told last.
    std::thread::sleep(Duration::from_millis(200));
    drain(ford, &heard[0]);
    drain(zaphod, &heard[1]);
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// The resident memory, in KiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn nothing_is_left_of_many_calls_that_lose_and_change_and_end_by_chance() {
    // Two halves, which are compared.
    let half = number("TOWEL_SOAK", 240).div_ceil(2);
    let rate = number("TOWEL_SOAK_RATE", 60);
    let t1 = Duration::from_millis(number("TOWEL_SOAK_T1", 100));
    // What a process keeps for good once it has had a runtime for the DNS: the pipe of its signals.
    drop(phone("nobody", 0, t1).start().unwrap());
    std::thread::sleep(Duration::from_millis(500));
    let before = descriptors();
    let heard = [Arc::new(Heard::default()), Arc::new(Heard::default())];
    let zaphod = phone("zaphod", 1, t1)
        .with(|setup| {
            setup.most = 10_000;
            setup.role = Role::Callee { rules: vec!["*=answer".parse().unwrap()], calls: None };
            setup.script =
                steps(&["after 100ms..2s hold", "after 50ms..500ms resume", "after 0s..3s hangup"]);
        })
        .start()
        .unwrap();
    let ford = phone("ford", 2, t1)
        .with(|setup| {
            setup.script = steps(&[
                "after 50ms..2s hold",
                "after 50ms..500ms resume",
                "dtmf 5",
                "after 0s..3s hangup",
            ]);
        })
        .start()
        .unwrap();
    let began = Instant::now();
    batch(&ford, &zaphod, &heard, half, rate);
    let (bytes, memory) = (ALLOCATOR.held(), resident());
    batch(&ford, &zaphod, &heard, half, rate);
    let (bytes_after, memory_after) = (ALLOCATOR.held(), resident());
    let seconds = began.elapsed().as_secs_f64();

    let tallies = heard.each_ref().map(|heard| heard.tally.lock().unwrap().clone());
    for ((name, phone), (tally, heard)) in
        [("ford", &ford), ("zaphod", &zaphod)].into_iter().zip(tallies.iter().zip(&heard))
    {
        println!(
            "{name}: {} calls, {} up, ended {:?}, {} holds and resumes, {} changes by the other, {} \
             keys, {} of {} packets lost, faults: {:?}, refused or noted: {:?}",
            tally.begun,
            tally.up,
            tally.ends,
            tally.changes,
            tally.changed,
            tally.digits,
            tally.lost,
            tally.counts.received + tally.lost,
            tally.fault,
            heard.notes.lock().unwrap(),
        );
        assert_eq!(phone.kept(), (0, 0), "{name}: calls, dialogs, requests, timers, ports");
        assert!(phone.is_drained(), "{name}: transactions");
        assert_eq!(tally.begun, tally.over, "{name}");
        assert_eq!(tally.fault, None, "{name}");
    }
    let all = 2 * half;
    println!(
        "{all} calls in {seconds:.0} s, {} at a time at most; held: {bytes} bytes after the first half, \
         {bytes_after} after all; resident {memory} and {memory_after} KiB",
        tallies[0].most,
    );
    assert_eq!(tallies[0].over, all);
    // Seven copies of an INVITE, or of a 2xx, are not all lost once in a billion times.
    assert_eq!(tallies[0].up, all, "{:?}", tallies[0].ends);
    assert!(tallies[0].changes > 0 && tallies[1].changes > 0 && tallies[1].digits > 0);
    assert!(tallies.iter().all(|tally| tally.lost > 0), "nothing was lost");
    assert!(bytes_after < bytes + GROWN, "{bytes} bytes became {bytes_after}");
    drop((ford, zaphod));
    // The thread that asks the DNS ends a moment after the driver.
    for _ in 0..100 {
        if descriptors() <= before {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(descriptors() <= before, "{before} file descriptors became {}", descriptors());
}
