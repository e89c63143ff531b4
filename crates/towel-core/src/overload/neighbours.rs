//! Downstream neighbours that say how much they can take (RFC 7339, RFC 7415), and what is held back
//! from them for it.
//!
//! Both algorithms have two kinds of requests: those that ask for new work are held back first, and
//! those of dialogs, urgent ones and what ends work only where that is not enough (RFC 7339 section
//! 5.10.1, RFC 7415 section 3.5.2).

use std::net::SocketAddr;
use std::time::Duration;

use hashbrown::HashMap;
use towel_message::Params;

use crate::io::Instant;

/// So many neighbours are kept at most; what one more says is not heeded until another's has expired.
const MOST: usize = 1024;
/// What a neighbour says holds for so long if it does not say (RFC 7339 section 4.3).
const VALIDITY: Duration = Duration::from_millis(500);
/// Longer than that nobody is believed: a neighbour that went away must not be avoided for days.
const LONGEST: Duration = Duration::from_secs(60);
/// For so long the share of requests that may be held back is counted before it is used anew (RFC 7339
/// section 7.2: 5 to 10 seconds).
const SAMPLE: Duration = Duration::from_secs(5);
/// That share as long as nothing has been counted (RFC 7339 section 7.2).
const FIRST_SHARE: f32 = 0.8;
/// A sequence number that lies so many seconds behind the last one is a new beginning, not a response
/// that was overtaken (RFC 7339 section 4.4).
const RESTARTED: u64 = 30;

/// How a neighbour is spared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// A percentage of the requests is held back (RFC 7339 section 7).
    Loss,
    /// No more than so many requests a second go to it (RFC 7415).
    Rate,
}

impl Algorithm {
    /// The first that is known of those that an `oc-algo` lists.
    pub fn chosen(list: &[u8]) -> Option<Algorithm> {
        list.split(|byte| matches!(byte, b'"' | b',' | b' ')).find_map(|name| match name {
            name if name.eq_ignore_ascii_case(b"loss") => Some(Algorithm::Loss),
            name if name.eq_ignore_ascii_case(b"rate") => Some(Algorithm::Rate),
            _ => None,
        })
    }

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Algorithm::Loss => "loss",
            Algorithm::Rate => "rate",
        }
    }
}

/// What a response says in its topmost Via (RFC 7339 section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// The algorithm.
    pub algorithm: Algorithm,
    /// `oc`: per cent, or requests a second.
    pub value: u32,
    /// For how long that holds; nought: nothing is held back.
    pub validity: Duration,
    /// `oc-seq`, before and behind the point.
    pub sequence: (u64, u64),
}

impl Told {
    /// Reads the parameters of our Via in a response. None if they say nothing that could be followed:
    /// no value (the neighbour knows nothing of this), no `oc-seq`, or an algorithm that was not
    /// offered.
    pub fn read(params: &Params<'_>) -> Option<Told> {
        let number = |value: &[u8]| std::str::from_utf8(value).ok()?.parse::<u64>().ok();
        let value = number(params.value("oc")?)?;
        let algorithm = match params.value("oc-algo") {
            Some(list) => Algorithm::chosen(list)?,
            None => Algorithm::Loss,
        };
        let validity = match params.value("oc-validity") {
            Some(text) => Duration::from_millis(number(text)?).min(LONGEST),
            None => VALIDITY,
        };
        let sequence = match params.value("oc-seq") {
            Some(text) => {
                let mut parts = text.splitn(2, |byte| *byte == b'.');
                let whole = number(parts.next()?)?;
                // As many as five digits, so that .1 is .10000.
                let part = parts.next().unwrap_or_default();
                let digits = part.iter().take(5).filter(|byte| byte.is_ascii_digit());
                let padded = digits.chain(std::iter::repeat(&b'0')).take(5);
                (whole, padded.fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0')))
            }
            // RFC 7339 section 6 has a response without one, where nothing is asked for.
            None if validity.is_zero() => (u64::MAX, 0),
            None => return None,
        };
        if algorithm == Algorithm::Loss && value > 100 {
            return None;
        }
        let value = u32::try_from(value).unwrap_or(u32::MAX);
        Some(Told { algorithm, value, validity, sequence })
    }
}

/// A neighbour that wants to be spared.
#[derive(Clone, Debug)]
pub struct Neighbour {
    /// What it said last.
    pub told: Told,
    /// Until when that holds.
    pub until: Instant,
    /// How many requests were held back from it.
    pub held_back: u64,
    /// How many were sent while it was to be spared.
    pub sent: u64,
    /// The share of requests that ask for new work.
    share: f32,
    /// Those, and all, since the share was set.
    counted: (u32, u32),
    since: Instant,
    /// RFC 7415 section 3.5.1: the bucket, in microseconds, and when it was last filled.
    bucket: (f64, Instant),
}

/// All of them. See the module.
#[derive(Clone, Debug, Default)]
pub struct Neighbours {
    table: HashMap<SocketAddr, Neighbour>,
}

impl Neighbours {
    /// Whether anybody is spared, or was of late.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Those that are spared now.
    pub fn all(&self, now: Instant) -> impl Iterator<Item = (&SocketAddr, &Neighbour)> {
        self.table.iter().filter(move |(_, neighbour)| neighbour.until > now)
    }

    /// A response from there has said so (RFC 7339 section 5.4).
    pub fn told(&mut self, now: Instant, from: SocketAddr, told: Told) {
        if let Some(known) = self.table.get_mut(&from) {
            let (was, is) = (known.told.sequence, told.sequence);
            let restarted = is.0.saturating_add(RESTARTED) < was.0;
            let ended = told.validity.is_zero() && is.0 == u64::MAX;
            if is <= was && !restarted && !ended {
                return;
            }
            if told.validity.is_zero() {
                self.table.remove(&from);
                return;
            }
            if known.told.algorithm != told.algorithm {
                known.bucket = (0.0, now);
            }
            (known.told, known.until) = (told, now + told.validity);
            return;
        }
        if told.validity.is_zero() {
            return;
        }
        if self.table.len() >= MOST {
            self.table.retain(|_, neighbour| neighbour.until > now);
            if self.table.len() >= MOST {
                return;
            }
        }
        self.table.insert(
            from,
            Neighbour {
                told,
                until: now + told.validity,
                held_back: 0,
                sent: 0,
                share: FIRST_SHARE,
                counted: (0, 0),
                since: now,
                bucket: (0.0, now),
            },
        );
    }

    /// Whether a neighbour is to be spared at all now; forgets those whose word has expired.
    pub fn is_spared(&mut self, now: Instant, to: SocketAddr) -> bool {
        match self.table.get(&to) {
            None => false,
            Some(neighbour) if neighbour.until > now => true,
            Some(_) => {
                self.table.remove(&to);
                false
            }
        }
    }

    /// Whether a request may be sent there. `first`: it asks for new work. `lot` is evenly spread.
    pub fn admits(&mut self, now: Instant, to: SocketAddr, first: bool, lot: u32) -> bool {
        let Some(neighbour) = self.table.get_mut(&to).filter(|known| known.until > now) else {
            return true;
        };
        let admitted = match neighbour.told.algorithm {
            Algorithm::Loss => neighbour.is_let_through(now, first, lot),
            Algorithm::Rate => neighbour.fits(now, first),
        };
        let count = if admitted { &mut neighbour.sent } else { &mut neighbour.held_back };
        *count += 1;
        admitted
    }
}

impl Neighbour {
    /// RFC 7339 section 7.2.
    fn is_let_through(&mut self, now: Instant, first: bool, lot: u32) -> bool {
        self.counted.0 += u32::from(first);
        self.counted.1 += 1;
        if now.since(self.since) >= SAMPLE {
            self.share = self.counted.0 as f32 / self.counted.1.max(1) as f32;
            (self.counted, self.since) = ((0, 0), now);
        }
        let wanted = self.told.value as f32 / 100.0;
        let reduced = match first {
            true if self.share > 0.0 => (wanted / self.share).min(1.0),
            true => 1.0,
            // The rest of the requests is touched where the first kind is not enough.
            false if wanted > self.share => (wanted - self.share) / (1.0 - self.share),
            false => 0.0,
        };
        lot as f32 >= reduced * u32::MAX as f32
    }

    /// RFC 7415 section 3.5.2, with its values for the two thresholds.
    fn fits(&mut self, now: Instant, first: bool) -> bool {
        if self.told.value == 0 {
            return false;
        }
        let distance = 1e6 / f64::from(self.told.value);
        let (most_urgent, most_first) = (10.0 * distance, 5.0 * distance);
        let (filled, at) = self.bucket;
        let now_in = filled - now.since(at).as_micros() as f64;
        let fits = now_in <= if first { most_first } else { most_urgent };
        if fits {
            self.bucket = (now_in.max(0.0) + distance, now);
        }
        fits
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    const AT: Instant = Instant(1_000_000);

    fn there() -> SocketAddr {
        "192.0.2.7:5060".parse().unwrap()
    }

    fn told(text: &str) -> Option<Told> {
        Told::read(&Params::new(text.as_bytes()))
    }

    fn spared(text: &str) -> Neighbours {
        let mut all = Neighbours::default();
        all.told(AT, there(), told(text).unwrap());
        all
    }

    #[test]
    fn what_is_told() {
        let full = told(r#";branch=x;oc=20;oc-algo="loss";oc-validity=700;oc-seq=1282321615.78"#);
        assert_eq!(
            full,
            Some(Told {
                algorithm: Algorithm::Loss,
                value: 20,
                validity: Duration::from_millis(700),
                sequence: (1_282_321_615, 78_000),
            })
        );
        let rate = told(r#";oc=150;oc-algo="rate";oc-seq=1.0"#).unwrap();
        assert_eq!((rate.algorithm, rate.validity), (Algorithm::Rate, VALIDITY));
        assert!(told(r#";oc=0;oc-algo="loss";oc-validity=0"#).is_some());
        for nothing in [
            ";oc;oc-algo=\"loss,rate\"",
            ";oc=20;oc-algo=\"loss\"",
            ";oc=120;oc-algo=\"loss\";oc-seq=1.1",
            ";oc=20;oc-algo=\"A\";oc-seq=1.1",
            ";oc=x;oc-seq=1.1",
            ";oc-validity=500;oc-seq=1.1",
        ] {
            assert_eq!(told(nothing), None, "{nothing}");
        }
        let long = told(";oc=100;oc-validity=99999999999;oc-seq=1.1").unwrap();
        assert_eq!(long.validity, LONGEST);
    }

    /// Of so many requests, a third of them new work, the shares that are sent: new, and all.
    fn sent(all: &mut Neighbours, count: u64, apart: u64) -> (f32, f32) {
        let mut rng = Rng::from_number(3);
        let mut sent = [0u32; 2];
        for nth in 0..count {
            let first = nth % 3 == 0;
            let lot = rng.next_u64() as u32;
            let admitted = all.admits(AT + Duration::from_micros(nth * apart), there(), first, lot);
            if let Some(count) = sent.get_mut(usize::from(first)) {
                *count += u32::from(admitted);
            }
        }
        let third = count as f32 / 3.0;
        (sent[1] as f32 / third, (sent[0] + sent[1]) as f32 / count as f32)
    }

    #[test]
    fn loss_holds_new_work_back_first() {
        let mut all = spared(r#";oc=20;oc-algo="loss";oc-validity=60000;oc-seq=1.1"#);
        // Until the mix is known too little is held back, never anything of the others.
        sent(&mut all, 6000, 1000);
        let (new, whole) = sent(&mut all, 6000, 1);
        assert!((0.78..0.82).contains(&whole), "{whole}");
        assert!((0.35..0.45).contains(&new), "{new}");
        let mut all = spared(r#";oc=100;oc-validity=60000;oc-seq=1.1"#);
        assert_eq!(sent(&mut all, 300, 1), (0.0, 0.0));
    }

    #[test]
    fn a_rate_is_kept_and_others_go_before_new_work() {
        let mut all = spared(r#";oc=100;oc-algo="rate";oc-validity=60000;oc-seq=1.1"#);
        // A thousand a second are offered.
        let (new, whole) = sent(&mut all, 10_000, 1000);
        assert!((0.095..0.105).contains(&whole), "{whole}");
        assert!(new < 0.01, "{new}");
        // Where there is no more than that, all goes.
        let mut all = spared(r#";oc=100;oc-algo="rate";oc-validity=60000;oc-seq=1.1"#);
        assert_eq!(sent(&mut all, 300, 10_000).1, 1.0);
        let mut none = spared(r#";oc=0;oc-algo="rate";oc-validity=500;oc-seq=1.1"#);
        assert_eq!(sent(&mut none, 30, 1), (0.0, 0.0));
    }

    #[test]
    fn it_ends_by_word_or_by_time() {
        let later = AT + Duration::from_millis(600);
        let mut all = spared(r#";oc=100;oc-seq=7.1"#);
        assert!(!all.admits(AT, there(), true, 0));
        assert!(all.is_spared(AT, there()));
        assert!(all.admits(later, there(), true, 0));
        assert!(!all.is_spared(later, there()) && all.is_empty());
        let mut all = spared(r#";oc=100;oc-seq=7.1"#);
        all.told(AT, there(), told(";oc=0;oc-validity=0;oc-seq=7.2").unwrap());
        assert!(all.admits(AT, there(), true, 0) && all.is_empty());
    }

    #[test]
    fn what_was_overtaken_changes_nothing() {
        let mut all = spared(r#";oc=100;oc-seq=700.5"#);
        for old in [";oc=0;oc-seq=700.5", ";oc=0;oc-seq=700.4", ";oc=0;oc-validity=0;oc-seq=699.9"]
        {
            all.told(AT, there(), told(old).unwrap());
            assert!(!all.admits(AT, there(), true, 0), "{old}");
        }
        // It began to count anew.
        all.told(AT, there(), told(";oc=0;oc-seq=3.1").unwrap());
        assert!(all.admits(AT, there(), true, 0));
    }

    #[test]
    fn the_table_is_bounded() {
        let mut all = Neighbours::default();
        let word = told(";oc=10;oc-seq=1.1").unwrap();
        for port in 0..5000 {
            all.told(AT, SocketAddr::new(there().ip(), 1000 + port), word);
        }
        assert_eq!(all.all(AT).count(), MOST);
        all.told(AT + Duration::from_secs(1), there(), word);
        assert!(all.is_spared(AT + Duration::from_secs(1), there()));
    }
}
