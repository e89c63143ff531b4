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
        assert_eq!(class(&request(&format!("{method} sip:b@b"), inside)).0, Class::Always);
    }
    // Without a dialog there is nothing that they could end.
    assert_eq!(of("BYE sip:b@b", out, ""), (Class::New, false));
    assert_eq!(of("PRACK sip:b@b", out, ""), (Class::New, false));
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
    dropped: [u64; 4],
    thrown: u64,
    /// What the kernel throws away.
    shed: Shed,
    /// Whether requests may be dropped.
    again: bool,
    rng: Rng,
    changes: Vec<Change>,
    longest: u64,
    told: u64,
    read: u64,
    /// How long it takes to serve a request, in microseconds, and to refuse one.
    serve: u64,
    refuse: u64,
    /// When requests were first refused, and when the kernel first threw some away.
    first: [Option<u64>; 2],
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
            dropped: [0; 4],
            thrown: 0,
            shed: Shed::default(),
            again: true,
            rng: Rng::from_number(1),
            changes: Vec::new(),
            longest: 0,
            told: 0,
            read: 0,
            serve: SERVE,
            refuse: REFUSE,
            first: [None; 2],
        }
    }

    /// So many new requests come at once.
    fn burst(&mut self, count: usize) {
        let room = ROOM - self.queue.len();
        self.queue.extend(std::iter::repeat_n((self.now, Class::New), count.min(room)));
    }

    /// The process is stopped for so long, and so many requests come at even times meanwhile.
    fn pause(&mut self, time: u64, count: u64) {
        let new = |nth| (self.now + nth * time / count, Class::New);
        self.queue.extend((0..count).map(new));
        self.now += time;
    }

    /// Works off what waits, as a driver does: batches of 16, and it tells of whole ones alone.
    fn run_off(&mut self) {
        while !self.queue.is_empty() {
            self.run(0.001, [0.0; 4]);
        }
    }

    /// Runs for so long with `rate` requests a second of each class.
    fn run(&mut self, seconds: f64, rate: [f64; 4]) {
        let end = self.now + (seconds * 1e6) as u64;
        let all: f64 = rate.iter().sum();
        let mut next = self.now as f64;
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
                let shed = match class {
                    Class::New => self.shed.new,
                    Class::Known => self.shed.known,
                    _ => 0,
                };
                if self.rng.below(1000) < u64::from(shed) {
                    self.thrown += 1;
                } else if self.queue.len() < ROOM {
                    self.queue.push_back((next as u64, class));
                }
                next += 1e6 / all;
            }
            let now = Instant(self.now);
            if self.now - self.told > 4000 || self.now < 4000 {
                self.told = self.now;
                let waited = self.queue.front().map_or(0, |(at, _)| self.now - at);
                let waited = Duration::from_micros(if self.queue.len() < 16 { 0 } else { waited });
                let fill = (self.queue.len() * 100 / ROOM) as u8;
                self.controller.waited(&self.settings, now, waited, fill, self.read);
            }
            self.changes.extend(self.controller.due(&self.settings, now, self.read));
            self.shed = self.controller.shed();
            self.controller.sheds(self.shed);
            if self.shed.is_any() {
                self.first[1].get_or_insert(self.now);
            }
            match self.queue.pop_front() {
                None => self.now += 10,
                Some((at, class)) => {
                    self.read += 1;
                    self.longest = self.longest.max(self.now - at);
                    let lot = self.rng.next_u64() as u32;
                    let verdict = if self.controller.is_pressed() {
                        let class = (class, false);
                        self.controller.judge(&self.settings, now, class, lot, self.again)
                    } else {
                        Verdict::Serve
                    };
                    let (count, cost) = match verdict {
                        Verdict::Serve => (&mut self.served, self.serve),
                        Verdict::Refuse => (&mut self.refused, self.refuse),
                        Verdict::Drop => (&mut self.dropped, self.refuse / 2),
                    };
                    count[class as usize] += 1;
                    if verdict == Verdict::Refuse {
                        self.first[0].get_or_insert(self.now);
                    }
                    self.now += cost;
                }
            }
        }
    }

    fn forget(&mut self) {
        (self.served, self.refused, self.dropped) = ([0; 4], [0; 4], [0; 4]);
        (self.thrown, self.longest) = (0, 0);
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
fn up_to_twenty_times_the_peak_the_goodput_stays_and_the_wait_is_short() {
    for (serve, refuse) in [(SERVE, REFUSE), (300, 30)] {
        let peak = 1e6 / serve as f64;
        for times in [1.5, 2.0, 5.0, 20.0] {
            let mut bench = Bench { serve, refuse, ..Bench::new() };
            bench.run(3.0, [times * peak, 0.0, 0.0, 0.0]);
            bench.forget();
            bench.run(4.0, [times * peak, 0.0, 0.0, 0.0]);
            let goodput = bench.served[0] as f64 / 4.0 / peak;
            assert!(goodput > 0.95, "{serve}, {times}: {goodput}, {:?}", bench.controller);
            assert!(bench.longest < 150_000, "{serve}, {times}: {}", bench.longest);
            assert_eq!(bench.changes, [Change::Began]);
        }
    }
}

/// A machine that others keep from its work lets a few messages wait for long: that is no overload.
#[test]
fn a_pause_refuses_nobody() {
    for serve in [SERVE, 1000] {
        for time in [50, 80, 200, 500, 1000, 5000] {
            for count in [1, 2, 15, 16, 17, 40, 100, 200] {
                let mut bench = Bench { serve, ..Bench::new() };
                for _ in 0..10 {
                    bench.run(0.1, [100.0, 0.0, 0.0, 0.0]);
                    bench.pause(time * 1000, count);
                    bench.run(0.3, [100.0, 0.0, 0.0, 0.0]);
                }
                let of = format!("{count} in {time} ms at {serve} us each");
                assert_eq!((bench.refused, bench.thrown), ([0; 4], 0), "{of}");
                assert!(bench.changes.is_empty(), "{of}");
            }
        }
    }
}

/// Nor are pauses one after the other, as of a machine that gets every second slice of time.
#[test]
fn a_machine_that_is_shared_refuses_nobody() {
    for serve in [SERVE, 1000] {
        let mut bench = Bench { serve, ..Bench::new() };
        for _ in 0..200 {
            bench.pause(60_000, 20);
            bench.run(0.03, [100.0, 0.0, 0.0, 0.0]);
        }
        assert_eq!((bench.refused, bench.thrown), ([0; 4], 0), "{serve}");
    }
}

/// What came at once is worked off, unless that alone lasts.
#[test]
fn a_great_burst_is_worked_off() {
    for serve in [SERVE, 90] {
        let mut bench = Bench { serve, ..Bench::new() };
        bench.burst(5000);
        bench.run_off();
        bench.run(1.0, [100.0, 0.0, 0.0, 0.0]);
        assert_eq!((bench.refused, bench.thrown), ([0; 4], 0), "{serve}");
    }
    for serve in [300, 1000] {
        let mut bench = Bench { serve, refuse: serve / 10, ..Bench::new() };
        bench.burst(5000);
        bench.run_off();
        assert!(bench.first[0].is_none_or(|at| at > 500_000), "{:?}", bench.first);
        assert_eq!(bench.thrown, 0);
        // Once it is short nobody is refused any more.
        bench.run(0.3, [100.0, 0.0, 0.0, 0.0]);
        bench.forget();
        bench.run(1.0, [100.0, 0.0, 0.0, 0.0]);
        assert_eq!((bench.refused, bench.dropped, bench.thrown), ([0; 4], [0; 4], 0), "{serve}");
        assert_eq!(bench.controller.pressure(), 0.0);
    }
}

#[test]
fn overload_that_lasts_is_held_off_in_time() {
    for (serve, refuse) in [(SERVE, REFUSE), (300, 30), (1000, 100)] {
        let peak = 1e6 / serve as f64;
        let mut bench = Bench { serve, refuse, ..Bench::new() };
        bench.run(10.0, [10.0 * peak, 0.0, 0.0, 0.0]);
        let goodput = bench.served[0] as f64 / 10.0 / peak;
        assert!(goodput >= 0.9, "{serve}: {goodput}");
        // What a full buffer would lose is chosen at once, but not answered so soon.
        let [answered, thrown] = bench.first.map(Option::unwrap);
        assert!((500_000..1_000_000).contains(&answered), "{serve}: {answered}");
        assert!(thrown < 700_000, "{serve}: {thrown}");
        // And when it is over it is over for all.
        bench.run_off();
        bench.run(0.4, [100.0, 0.0, 0.0, 0.0]);
        assert_eq!(
            (bench.controller.pressure(), bench.controller.shed()),
            (0.0, Shed::default()),
            "{serve}"
        );
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
    assert_eq!(bench.controller.shed(), Shed::default());
}

#[test]
fn only_so_many_are_urgent() {
    let mut controller = Controller::default();
    let settings = Settings { urgent: 3, ..Settings::default() };
    controller.pressure_for_test(1.0);
    let mut refused = |at| {
        let urgent = (Class::Dialog, true);
        let judge = |_: &_| controller.judge(&settings, at, urgent, 0, false) != Verdict::Serve;
        (0..10).filter(judge).count()
    };
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

/// A buffer that runs over is held open for what belongs to calls long before anything is refused.
#[test]
fn a_full_buffer_is_emptied_by_choice_in_the_first_moments() {
    for (serve, refuse) in [(SERVE, REFUSE), (300, 30)] {
        let peak = 1e6 / serve as f64;
        let mut bench = Bench { serve, refuse, ..Bench::new() };
        bench.run(1.0, [10.0 * peak, 0.0, 0.0, 0.0]);
        let goodput = bench.served[0] as f64 / peak;
        assert!(goodput > 0.85, "{serve}: {goodput}");
    }
}
