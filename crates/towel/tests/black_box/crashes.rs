//! `kill -9` again and again, at moments that nobody chose, under load.
//!
//! Hundreds of REGISTER requests are under way when it comes: new bindings, refreshes and removals.
//! After each restart every address of record is looked up. What it holds must be what was
//! acknowledged last, or what was asked for when the crash came and not answered. The call that was
//! set up before must end by its BYE: the proxy keeps no memory of a dialog (RFC 3261 section
//! 16.11's reasoning holds for what is within a dialog).
//!
//! Three crashes in the ordinary run; `TOWEL_CRASHES=100 cargo test -p towel --test black_box
//! crashes -- --nocapture` for more, `TOWEL_KILL_SEED` to repeat the moments.

use crate::{
    call::Call,
    peer::unique,
    towel::{DOMAIN, Towel},
};
use std::{
    net::UdpSocket,
    time::{Duration, Instant},
};

/// Addresses of record.
const USERS: usize = 1500;
/// Requests under way at one time, each of another user.
const WINDOW: usize = 300;
/// After how long without any answer requests are sent again, as Timer E would.
const AGAIN: Duration = Duration::from_millis(500);

/// A seeded sequence: the numerical recipes' generator, its upper bits.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n
    }
}

/// A phone, and what it knows of its binding. Which REGISTER made the binding is told by its q.
#[derive(Default)]
struct Phone {
    cseq: u32,
    /// What was acknowledged last: the binding's q in thousandths, or none.
    acknowledged: Option<u16>,
    /// What was asked for and is not answered, with the request.
    asked: Option<(Option<u16>, String)>,
}

/// All phones, behind one socket.
struct Phones {
    socket: UdpSocket,
    at: String,
    all: Vec<Phone>,
    /// Those that have asked for something.
    waiting: usize,
    acknowledgements: [u64; 3],
}

impl Phones {
    fn new(server: &Towel) -> Phones {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(AGAIN)).unwrap();
        socket.connect(server.address()).unwrap();
        let all = (0..USERS).map(|_| Phone::default()).collect();
        let at = socket.local_addr().unwrap().to_string();
        Phones { socket, at, all, waiting: 0, acknowledgements: [0; 3] }
    }

    fn request(&self, n: usize, call: &str, cseq: u32, contact: &str) -> String {
        let (at, user) = (&self.at, format!("sip:n{n}@{DOMAIN}"));
        format!(
            "REGISTER sip:{DOMAIN} SIP/2.0\r\nVia: SIP/2.0/UDP {at};branch=z9hG4bK{}\r\n\
             Max-Forwards: 70\r\nFrom: <{user}>;tag=1\r\nTo: <{user}>\r\nCall-ID: {call}\r\n\
             CSeq: {cseq} REGISTER\r\n{contact}Content-Length: 0\r\n\r\n",
            unique("b"),
        )
    }

    fn send(&self, text: &str) {
        // Refused while nobody listens: lost, as on a wire.
        let _ = self.socket.send(text.as_bytes());
    }

    /// Asks for something for a phone that waits for nothing: a binding, a refresh, now and then its
    /// removal.
    fn ask(&mut self, dice: &mut Dice) {
        let mut n = dice.below(USERS);
        while self.all[n].asked.is_some() {
            n = (n + 1) % USERS;
        }
        let phone = &mut self.all[n];
        phone.cseq += 1;
        let removes = phone.acknowledged.is_some() && dice.below(4) == 0;
        let wanted = (!removes).then(|| (phone.cseq % 999 + 1) as u16);
        let contact = match wanted {
            Some(q) => format!("Contact: <sip:n{n}@{}>;q=0.{q:03};expires=3600\r\n", self.at),
            None => format!("Contact: <sip:n{n}@{}>;expires=0\r\n", self.at),
        };
        let cseq = phone.cseq;
        let text = self.request(n, &format!("phone{n}@{}", self.at), cseq, &contact);
        self.send(&text);
        self.all[n].asked = Some((wanted, text));
        self.waiting += 1;
    }

    /// Takes one answer; says whether there was any.
    fn take(&mut self) -> bool {
        let mut bytes = [0; 4096];
        let Ok(len) = self.socket.recv(&mut bytes) else { return false };
        let text = std::str::from_utf8(&bytes[..len]).unwrap();
        let Some((n, cseq)) = numbers(text) else { return true };
        let phone = &mut self.all[n];
        if cseq != phone.cseq || !text.contains(&format!("Call-ID: phone{n}@")) {
            return true;
        }
        let Some((wanted, request)) = phone.asked.take() else { return true };
        self.waiting -= 1;
        assert!(text.starts_with("SIP/2.0 200 "), "{request}\n{text}");
        let kind = match (phone.acknowledged, wanted) {
            (None, _) => 0,
            (Some(_), Some(_)) => 1,
            (Some(_), None) => 2,
        };
        self.acknowledgements[kind] += 1;
        phone.acknowledged = wanted;
        assert_eq!(binding(text, n), wanted, "the 200 tells what holds now:\n{text}");
        true
    }

    /// Keeps the window full until the moment has come.
    fn load(&mut self, dice: &mut Dice, until: Instant) {
        while Instant::now() < until {
            while self.waiting < WINDOW {
                self.ask(dice);
            }
            if !self.take() {
                for (_, text) in self.all.iter().filter_map(|phone| phone.asked.as_ref()) {
                    self.send(text);
                }
            }
        }
    }

    /// Looks up what every address of record holds, and takes it for what there is from now on.
    fn verify(&mut self, round: usize) {
        let (mut next, mut open) = (0, std::collections::BTreeMap::new());
        let end = Instant::now() + Duration::from_secs(60);
        let mut bytes = [0; 4096];
        while next < USERS || !open.is_empty() {
            while next < USERS && open.len() < WINDOW {
                let text = self.request(next, &unique("fetch"), 1, "");
                self.send(&text);
                open.insert(next, text);
                next += 1;
            }
            let Ok(len) = self.socket.recv(&mut bytes) else {
                assert!(Instant::now() < end, "{} look-ups are not answered", open.len());
                open.values().for_each(|text| self.send(text));
                continue;
            };
            let text = std::str::from_utf8(&bytes[..len]).unwrap();
            let Some((n, _)) = numbers(text).filter(|_| text.contains("Call-ID: fetch")) else {
                continue;
            };
            if open.remove(&n).is_none() {
                continue;
            }
            assert!(text.starts_with("SIP/2.0 200 "), "{text}");
            let (held, phone) = (binding(text, n), &mut self.all[n]);
            let asked = phone.asked.take();
            let may_be = held == phone.acknowledged
                || asked.as_ref().is_some_and(|(wanted, _)| held == *wanted);
            assert!(
                may_be,
                "crash {round}: n{n} holds {held:?}; acknowledged was {:?}, asked for {asked:?}",
                phone.acknowledged
            );
            phone.acknowledged = held;
        }
        self.waiting = 0;
    }
}

/// Whom an answer is for, and its CSeq.
fn numbers(text: &str) -> Option<(usize, u32)> {
    let n = text.split("To: <sip:n").nth(1)?.split('@').next()?.parse().ok()?;
    let cseq = text.split("CSeq: ").nth(1)?.split(' ').next()?.parse().ok()?;
    Some((n, cseq))
}

/// The q of the binding that a 200 lists, in thousandths.
fn binding(text: &str, n: usize) -> Option<u16> {
    let contact = text.split("\r\n").find(|l| {
        l.contains(&format!("<sip:n{n}@")) && {
            let name = l.split(':').next().unwrap_or_default();
            name.eq_ignore_ascii_case("contact")
        }
    })?;
    let q = contact.split(";q=0.").nth(1).unwrap_or_else(|| panic!("no q:\n{text}"));
    let digits: String = q.chars().take_while(char::is_ascii_digit).collect();
    Some(format!("{digits:0<3}").parse().unwrap())
}

#[test]
fn nothing_acknowledged_is_lost_or_undone_however_often_it_crashes() {
    let crashes = std::env::var("TOWEL_CRASHES").ok().and_then(|n| n.parse().ok()).unwrap_or(3);
    let seed = std::env::var("TOWEL_KILL_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed: u64 = seed.unwrap_or_else(|| {
        std::time::UNIX_EPOCH.elapsed().map_or(1, |now| u64::from(now.subsec_nanos()))
    });
    eprintln!("TOWEL_KILL_SEED={seed}, {crashes} crashes");
    let mut dice = Dice(seed);
    let mut server = Towel::start(
        &[],
        "[auth]\nregister = false\ncalls = false\n[register]\nknown-users-only = false\n",
    );
    let mut phones = Phones::new(&server);
    let (mut longest, mut in_flight) = (Duration::ZERO, 0);
    for round in 1..=crashes {
        let call = Call::set_up(&server);
        let load = Duration::from_micros(dice.below(600_000) as u64);
        phones.load(&mut dice, Instant::now() + load);
        server.kill();
        // What it had sent before it died is an acknowledgement like any other.
        phones.socket.set_read_timeout(Some(Duration::from_millis(10))).unwrap();
        while phones.take() {}
        phones.socket.set_read_timeout(Some(AGAIN)).unwrap();
        in_flight += phones.waiting;
        let began = Instant::now();
        server.start_again();
        longest = longest.max(began.elapsed());
        phones.verify(round);
        call.end();
    }
    let [new, refreshed, removed] = phones.acknowledgements;
    eprintln!(
        "{crashes} crashes, {in_flight} requests under way when they came; acknowledged {new} new \
         or absent, {refreshed} refreshed, {removed} removed; the longest start took {longest:.2?}"
    );
    assert!(in_flight > 0 && new > 0, "it crashed under load");
}
