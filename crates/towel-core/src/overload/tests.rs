use std::time::Duration;

use towel_message::{Index, Limits, Message};

use super::*;
use crate::io::Instant;
use crate::rng::Rng;

fn class(request: &str) -> (Class, bool) {
    let mut index = Index::default();
    let message = Message::parse(request.as_bytes(), &mut index, &Limits::default()).unwrap();
    Settings::default().class(&message)
}

fn request(line: &str, fields: &str) -> String {
    format!(
        "{line} SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\n\
         Call-ID: 1\r\nCSeq: 1 {}\r\n{fields}\r\n",
        line.split(' ').next().unwrap()
    )
}

#[test]
fn classes() {
    let out = "To: <sip:b@b>\r\n";
    let inside = "To: <sip:b@b>;tag=2\r\n";
    let of = |line, to: &str, more: &str| class(&request(line, &format!("{to}{more}")));
    assert_eq!(of("INVITE sip:b@b", out, ""), (Class::New, false));
    assert_eq!(of("REGISTER sip:b", out, ""), (Class::New, false));
    assert_eq!(of("REGISTER sip:b", out, "Authorization: Digest x\r\n"), (Class::Known, false));
    assert_eq!(of("INVITE sip:b@b", out, "Proxy-Authorization: Digest x\r\n").0, Class::Known);
    assert_eq!(of("INVITE sip:b@b", inside, ""), (Class::Dialog, false));
    for method in ["ACK", "BYE", "CANCEL", "PRACK"] {
        assert_eq!(class(&request(&format!("{method} sip:b@b"), out)).0, Class::Always);
    }
    assert_eq!(of("INVITE urn:service:sos", out, ""), (Class::Dialog, true));
    assert_eq!(of("INVITE URN:Service:SOS.fire", out, ""), (Class::Dialog, true));
    assert_eq!(of("INVITE urn:service:sosse", out, ""), (Class::New, false));
    assert_eq!(of("INVITE sip:b@b", out, "Priority: Emergency\r\n"), (Class::Dialog, true));
    assert_eq!(of("INVITE sip:b@b", out, "Priority: urgent\r\n"), (Class::New, false));
    let prior = "Resource-Priority: dsn.flash, ESNET.0\r\n";
    assert_eq!(of("INVITE sip:b@b", out, prior), (Class::Dialog, true));
    assert_eq!(of("INVITE sip:b@b", out, "Resource-Priority: dsn.flash\r\n").0, Class::New);
}

/// A server of one core beside a queue, in virtual time: what it serves and how long things wait
/// follows from what the controller decides alone.
struct Bench {
    controller: Controller,
    settings: Settings,
    now: u64,
    /// Arrival times of what waits.
    queue: std::collections::VecDeque<(u64, Class)>,
    served: [u64; 4],
    refused: [u64; 4],
    thrown: u64,
    rng: Rng,
    changes: Vec<Change>,
    longest: u64,
}

const SERVE: u64 = 30;
const REFUSE: u64 = 3;
const ROOM: usize = 6000;

impl Bench {
    fn new() -> Bench {
        Bench {
            controller: Controller::default(),
            settings: Settings::default(),
            now: 0,
            queue: Default::default(),
            served: [0; 4],
            refused: [0; 4],
            thrown: 0,
            rng: Rng::from_number(1),
            changes: Vec::new(),
            longest: 0,
        }
    }

    /// Runs for so long with `rate` requests a second of each class.
    fn run(&mut self, seconds: f64, rate: [f64; 4]) {
        let end = self.now + (seconds * 1e6) as u64;
        let all: f64 = rate.iter().sum();
        let mut next = self.now as f64;
        let mut told = 0;
        while self.now < end {
            while all > 0.0 && next <= self.now as f64 {
                let mut pick = self.rng.below(1 << 30) as f64 / (1u64 << 30) as f64 * all;
                let class = [Class::New, Class::Known, Class::Dialog, Class::Always]
                    .into_iter()
                    .zip(rate)
                    .find(|(_, rate)| {
                        pick -= rate;
                        pick < 0.0
                    })
                    .map_or(Class::New, |(class, _)| class);
                let shed = u64::from(self.controller.shed());
                if class == Class::New && self.rng.below(1000) < shed {
                    self.thrown += 1;
                } else if self.queue.len() < ROOM {
                    self.queue.push_back((next as u64, class));
                }
                next += 1e6 / all;
            }
            let now = Instant(self.now);
            if self.now - told > 4000 {
                told = self.now;
                let waited = self.queue.front().map_or(0, |(at, _)| self.now - at);
                let waited = Duration::from_micros(if self.queue.len() < 16 { 0 } else { waited });
                let fill = (self.queue.len() * 100 / ROOM) as u8;
                self.controller.waited(&self.settings, now, waited, fill);
            }
            self.changes.extend(self.controller.due(&self.settings, now));
            match self.queue.pop_front() {
                None => self.now += 10,
                Some((at, class)) => {
                    self.longest = self.longest.max(self.now - at);
                    let lot = self.rng.next_u64() as u32;
                    let refused = self.controller.is_pressed()
                        && self.controller.refuses(&self.settings, now, class, false, lot);
                    let count = if refused { &mut self.refused } else { &mut self.served };
                    count[class as usize] += 1;
                    self.now += if refused { REFUSE } else { SERVE };
                }
            }
        }
    }

    fn forget(&mut self) {
        (self.served, self.refused, self.thrown, self.longest) = ([0; 4], [0; 4], 0, 0);
    }
}

const PEAK: f64 = 1e6 / SERVE as f64;

#[test]
fn below_the_peak_nothing_is_refused() {
    let mut bench = Bench::new();
    bench.run(5.0, [0.95 * PEAK, 0.0, 0.0, 0.0]);
    assert_eq!(bench.refused, [0; 4]);
    assert!(bench.changes.is_empty());
    assert!(!bench.controller.is_overloaded());
}

#[test]
fn a_burst_passes() {
    let mut bench = Bench::new();
    for _ in 0..20 {
        bench.run(0.02, [2.0 * PEAK, 0.0, 0.0, 0.0]);
        bench.run(0.08, [0.2 * PEAK, 0.0, 0.0, 0.0]);
    }
    assert_eq!(bench.refused, [0; 4]);
}

#[test]
fn at_twenty_times_the_peak_the_goodput_stays_and_the_wait_is_short() {
    for times in [1.5, 3.0, 10.0, 20.0] {
        let mut bench = Bench::new();
        bench.run(3.0, [times * PEAK, 0.0, 0.0, 0.0]);
        bench.forget();
        bench.run(5.0, [times * PEAK, 0.0, 0.0, 0.0]);
        let goodput = bench.served[0] as f64 / 5.0 / PEAK;
        assert!(goodput > 0.85, "{times}: {goodput}, {:?}", bench.controller);
        assert!(bench.longest < 150_000, "{times}: {}", bench.longest);
        assert_eq!(bench.changes, [Change::Began]);
    }
}

#[test]
fn dialogs_are_served_whatever_new_work_there_is() {
    let mut bench = Bench::new();
    bench.run(3.0, [10.0 * PEAK, 0.0, 0.2 * PEAK, 0.1 * PEAK]);
    bench.forget();
    bench.run(5.0, [10.0 * PEAK, 0.0, 0.2 * PEAK, 0.1 * PEAK]);
    assert_eq!((bench.refused[2], bench.refused[3]), (0, 0));
    assert!(bench.served[0] as f64 / 5.0 > 0.5 * PEAK, "{:?}", bench.served);
}

#[test]
fn known_work_is_refused_where_there_is_no_other() {
    let mut bench = Bench::new();
    bench.run(3.0, [0.0, 3.0 * PEAK, 0.1 * PEAK, 0.0]);
    bench.forget();
    bench.run(5.0, [0.0, 3.0 * PEAK, 0.1 * PEAK, 0.0]);
    assert!(bench.refused[1] > 0);
    assert_eq!(bench.refused[2], 0);
    assert!(bench.longest < 150_000, "{}", bench.longest);
}

#[test]
fn it_is_told_when_it_ends() {
    let mut bench = Bench::new();
    bench.run(3.0, [5.0 * PEAK, 0.0, 0.0, 0.0]);
    bench.run(10.0, [0.5 * PEAK, 0.0, 0.0, 0.0]);
    assert!(matches!(
        bench.changes[..],
        [Change::Began, Change::Ended { refused, .. }] if refused > 0
    ));
    assert!(!bench.controller.is_overloaded());
    assert_eq!(bench.controller.deadline(), None);
    assert_eq!(bench.controller.shed(), 0);
}

#[test]
fn only_so_many_are_urgent() {
    let mut controller = Controller::default();
    let settings = Settings { urgent: 3, ..Settings::default() };
    controller.pressure_for_test(1.0);
    let mut refused =
        |at| (0..10).filter(|_| controller.refuses(&settings, at, Class::Dialog, true, 0)).count();
    assert_eq!(refused(Instant(5_000_000)), 7);
    assert_eq!(refused(Instant(5_500_000)), 10);
    assert_eq!(refused(Instant(6_000_000)), 7);
}

#[test]
fn switched_off_it_does_nothing() {
    let mut bench = Bench::new();
    bench.settings.enabled = false;
    bench.run(1.0, [5.0 * PEAK, 0.0, 0.0, 0.0]);
    assert_eq!(bench.refused, [0; 4]);
    assert_eq!(bench.controller.deadline(), None);
}
