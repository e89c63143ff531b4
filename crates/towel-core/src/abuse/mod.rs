//! Abuse: too many requests from one place, scanners, and guesses at passwords.
//!
//! **What a stranger may bring about.** The source address of a datagram is whatever its sender
//! wrote there, so nothing that comes by UDP may cost somebody else more than a little:
//!
//! - What came by TCP or TLS came from where it says: its address is banned as a whole, longer each time.
//! - What came by UDP bans its address and port alone, for the shortest time, and never where a user
//!   of ours has proved the password from that address ([`Guard::succeeded`]), or a dialog that was
//!   set up through us goes on from there ([`Guard::behaved`]): whoever wants to have a registered
//!   phone banned cannot. A peer that does neither, a trunk say, belongs among those that are exempt.
//! - A wrong password proves where it came from, by UDP as well, if its nonce was sent there
//!   ([`Offence::Failed`]).
//! - An address from which users log in is never banned as a whole, whatever one of the phones
//!   behind it does: one badly set phone must not take an office down.
//!
//! **Passwords** are guessed at with patience on our side ([`Guard::may_try`]); the user's name is never
//! locked.
//!
//! **Scanners** that say what they are get no answer at all, so that nothing is learned, not even that
//! there is a server; those that do not are known by what they get: who gathers too many refusals and
//! too few requests that go through is banned.
//!
//! All memory is of fixed size. In good times nothing is looked up but what limits are set for.

#[cfg(test)]
mod password_tests;
mod passwords;
mod table;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hashbrown::HashTable;
use towel_message::Method;

use crate::hash::{Hasher, Key};
use crate::io::{Flow, Instant};
use crate::server::Network;
use crate::shards::{Current, Place as ShardPlace};
use passwords::Passwords;
pub use passwords::Place;
use table::Table;

/// What can be set. Rates are requests a second; nought is no limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// From one address (of IPv6: one /64, which is what one subscriber has at least).
    pub rate_address: u32,
    /// From one network: /24, of IPv6 /56.
    pub rate_network: u32,
    /// REGISTER from one address.
    pub rate_register: u32,
    /// INVITE from one address.
    pub rate_invite: u32,
    /// Of other methods from one address, by their names.
    pub rate_methods: Vec<(String, u32)>,
    /// Requests that one user has proved to be his by digest, from wherever: those of a dialog carry no
    /// credentials, and are not counted.
    pub rate_user: u32,
    /// For how many seconds' worth requests may come at once.
    pub burst: u32,
    /// Whether what is too much is dropped; it is answered 503 otherwise.
    pub silent: bool,
    /// How the User-Agent of scanners begins.
    pub scanners: Vec<String>,
    /// After so many refusals within a minute a source is banned; nought: never.
    pub strikes: u32,
    /// For how long at first.
    pub ban: Duration,
    /// For how long at most.
    pub longest_ban: Duration,
    /// After so many wrong passwords for a user from one place the next have to wait; nought: never.
    pub failures: u32,
    /// The same for all users together from one address, those aside who have come from there; they are
    /// forgotten within ten minutes. Nought: no limit.
    pub failures_address: u32,
    /// The same for one user from all places together from which the user has not come yet.
    pub failures_user: u32,
    /// Where none of this holds.
    pub exempt: Vec<Network>,
    /// How many sources and users are remembered, in each of the tables.
    pub entries: usize,
    /// How many may be banned at a time.
    pub bans: usize,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            rate_address: 0,
            rate_network: 0,
            rate_register: 0,
            rate_invite: 0,
            rate_methods: Vec::new(),
            rate_user: 0,
            burst: 5,
            silent: false,
            scanners: SCANNERS.map(Into::into).to_vec(),
            strikes: 0,
            ban: Duration::from_secs(60),
            longest_ban: Duration::from_secs(3600),
            failures: 5,
            failures_address: 50,
            failures_user: 200,
            exempt: Vec::new(),
            entries: 1 << 16,
            bans: 10_000,
        }
    }
}

/// What is in use for sweeping the Internet and for nothing else.
const SCANNERS: [&str; 9] = [
    "friendly-scanner",
    "friendly-request",
    "sipvicious",
    "sipcli",
    "sip-scan",
    "sipsscuser",
    "sundayddr",
    "iWar",
    "pplsip",
];

/// What a source did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offence {
    /// It asked for what is not there, or what it may not have.
    Refused,
    /// It gave a wrong password. `there`: its nonce was sent to the address that it came from, which is
    /// not forged then.
    Failed {
        /// See above.
        there: bool,
    },
    /// It sent what is not well formed.
    Malformed,
    /// It says that it is a scanner.
    Scanner,
}

impl Offence {
    /// How much it counts.
    fn weight(self) -> u32 {
        match self {
            Offence::Refused | Offence::Failed { .. } | Offence::Malformed => STRIKE,
            Offence::Scanner => u32::MAX,
        }
    }

    /// What [`Offence::word`] says.
    pub const WORDS: [&'static str; 4] =
        ["requests refused", "wrong passwords", "malformed messages", "a scanner's User-Agent"];

    /// A word for a log.
    pub fn word(self) -> &'static str {
        match self {
            Offence::Refused => Offence::WORDS[0],
            Offence::Failed { .. } => Offence::WORDS[1],
            Offence::Malformed => Offence::WORDS[2],
            Offence::Scanner => Offence::WORDS[3],
        }
    }
}

/// The weight of one refusal, so that what is forgotten with time can be told in parts of one.
const STRIKE: u32 = 1000;
/// As many refusals as are allowed are forgotten in this time.
const WINDOW: Duration = Duration::from_secs(60);
/// For how long an address from which a user came is known.
const KNOWN: Duration = Duration::from_secs(24 * 3600);
/// How often what has ended is swept out.
const SWEEP: Duration = Duration::from_secs(10);

/// Who is banned, until when, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ban {
    /// The address; of IPv6 the first of its /64.
    pub address: IpAddr,
    /// The port; `None`: all of them.
    pub port: Option<u16>,
    /// Whether it is a port of TCP and not of UDP.
    pub stream: bool,
    /// Until when.
    pub until: Instant,
    /// What for.
    pub why: &'static str,
    hash: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Strikes {
    weight: u32,
    /// How often it was banned.
    bans: u8,
    /// Microseconds.
    last: u64,
}

/// What is remembered of abuse. Shards of one server remember it together.
#[derive(Debug)]
pub struct Guard {
    settings: Settings,
    key: Key,
    shard: ShardPlace,
    tables: Current<Tables>,
    bans: Arc<Bans>,
}

/// What is remembered of sources and users.
#[derive(Debug)]
struct Tables {
    /// Theoretical arrival times (the generic cell rate algorithm of ITU-T I.371): one number is a
    /// whole token bucket.
    rates: Table<u64>,
    strikes: Table<Strikes>,
    passwords: Passwords,
    /// When any user last came from an address.
    known: Table<u64>,
}

impl Tables {
    fn new(entries: usize, shard: ShardPlace) -> Tables {
        Tables {
            rates: Table::new(entries, shard),
            strikes: Table::new(entries, shard),
            passwords: Passwords::new(entries, shard),
            known: Table::new(entries, shard),
        }
    }
}

/// Who is banned. In good times nobody is, and then no lock is taken.
#[derive(Debug, Default)]
struct Bans {
    count: AtomicUsize,
    /// When those that have ended were last swept out.
    swept: AtomicU64,
    table: Mutex<HashTable<Ban>>,
}

impl Bans {
    fn all(&self) -> MutexGuard<'_, HashTable<Ban>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, change: impl FnOnce(&mut HashTable<Ban>) -> T) -> T {
        let mut all = self.all();
        let done = change(&mut all);
        self.count.store(all.len(), Ordering::Relaxed);
        done
    }
}

impl Guard {
    /// One that remembers nothing yet.
    pub fn new(settings: &Settings, key: Key) -> Guard {
        Guard::one_of(settings, key, ShardPlace::ONE)
    }

    /// The first of some that remember together.
    pub(crate) fn one_of(settings: &Settings, key: Key, shard: ShardPlace) -> Guard {
        Guard {
            tables: Current::new(Tables::new(settings.entries, shard)),
            bans: Arc::default(),
            settings: settings.clone(),
            key,
            shard,
        }
    }

    /// Another of them.
    pub(crate) fn beside(&self) -> Guard {
        Guard {
            tables: self.tables.beside(),
            bans: Arc::clone(&self.bans),
            settings: self.settings.clone(),
            ..*self
        }
    }

    /// New settings. What is remembered stays, but for where the memory has another size.
    pub fn reload(&mut self, settings: &Settings) {
        if settings.entries != self.settings.entries {
            self.tables.renew(|| Tables::new(settings.entries, self.shard));
        }
        self.settings = settings.clone();
    }

    /// Whether anybody is banned: all that is asked of each message in good times.
    pub fn has_bans(&self) -> bool {
        self.bans.count.load(Ordering::Relaxed) > 0
    }

    /// Whether any limit is set that holds for requests as they come.
    pub fn has_rates(&self) -> bool {
        let s = &self.settings;
        (s.rate_address | s.rate_network | s.rate_register | s.rate_invite) > 0
            || !s.rate_methods.is_empty()
    }

    /// Whether any source has given cause for suspicion.
    pub fn has_strikes(&self) -> bool {
        !self.tables.strikes.is_empty()
    }

    /// Whether what is too much is dropped without an answer.
    pub fn is_silent(&self) -> bool {
        self.settings.silent
    }

    fn hash(&self, kind: u8, host: u128, more: &[u8]) -> u64 {
        let mut hasher = Hasher::new(self.key);
        hasher.bytes(&host.to_le_bytes()).bytes(&[kind]).bytes(more);
        hasher.finish()
    }

    /// Whether nothing of this holds for an address.
    pub fn is_exempt(&self, address: IpAddr) -> bool {
        self.settings.exempt.iter().any(|network| network.holds(address))
    }

    /// Whether everything from there is dropped.
    pub fn is_banned(&self, now: Instant, flow: &Flow) -> bool {
        if now.since(Instant(self.bans.swept.load(Ordering::Relaxed))) >= SWEEP {
            self.bans.swept.store(now.0, Ordering::Relaxed);
            self.bans.change(|all| all.retain(|ban| ban.until > now));
        }
        let address = flow.remote.ip().to_canonical();
        let hash = self.hash(b'b', host(address), b"");
        let (port, stream) = (flow.remote.port(), flow.transport.reliable());
        let holds = |ban: &Ban| {
            host(ban.address) == host(address)
                && ban.port.is_none_or(|banned| banned == port && ban.stream == stream)
                && ban.until > now
        };
        self.bans.all().iter_hash(hash).any(holds)
    }

    /// Whether a request is one too many from where it came.
    pub fn is_too_much(&self, now: Instant, flow: &Flow, method: Method<'_>) -> bool {
        let address = flow.remote.ip().to_canonical();
        if self.is_exempt(address) {
            return false;
        }
        let s = &self.settings;
        let host = host(address);
        let network = match address {
            IpAddr::V4(_) => host >> 8,
            IpAddr::V6(_) => host >> 72,
        };
        let by_method = match method {
            Method::Register => (s.rate_register, b'r', host),
            Method::Invite => (s.rate_invite, b'i', host),
            _ => {
                let named = |(name, _): &&(String, u32)| name.as_bytes() == method.as_bytes();
                (s.rate_methods.iter().find(named).map_or(0, |(_, rate)| *rate), b'm', host)
            }
        };
        let name = if by_method.1 == b'm' { method.as_bytes() } else { b"" };
        // Each is asked: what one refuses has come all the same.
        let limits = [
            (s.rate_address, b'a', host, &b""[..]),
            (s.rate_network, b'n', network, b""),
            (by_method.0, by_method.1, by_method.2, name),
        ];
        limits.into_iter().fold(false, |over, (rate, kind, place, more)| {
            (rate > 0 && !self.take(now, self.hash(kind, place, more), rate)) || over
        })
    }

    /// Whether a request is one too many of a user.
    pub fn is_too_much_of(&self, now: Instant, user: &[u8]) -> bool {
        let rate = self.settings.rate_user;
        rate > 0 && !self.take(now, self.hash(b'u', 0, user), rate)
    }

    /// Takes one from a bucket; says whether there was one.
    fn take(&self, now: Instant, key: u64, rate: u32) -> bool {
        let interval = 1_000_000 / u64::from(rate.clamp(1, 1_000_000));
        let burst = u64::from(self.settings.burst.max(1)) * 1_000_000;
        let take = |due: &mut u64| {
            let next = (*due).max(now.0) + interval;
            let fits = next - now.0 <= burst.max(interval);
            if fits {
                *due = next;
            }
            fits
        };
        self.tables.rates.at(key, |due| *due, take)
    }

    /// Whether a User-Agent is that of a scanner.
    pub fn is_scanner(&self, agent: &[u8]) -> bool {
        self.settings.scanners.iter().any(|name| {
            agent.get(..name.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(name.as_bytes()))
        })
    }

    /// Whether some user of ours has come from there lately.
    fn is_known(&self, now: Instant, address: IpAddr) -> bool {
        let known = self.tables.known.get(self.host_key(address));
        known.is_some_and(|at| now.since(Instant(at)) < KNOWN)
    }

    /// Notes what a source did. Gives the ban that it brought about.
    pub fn offended(&self, now: Instant, flow: &Flow, what: Offence) -> Option<Ban> {
        let address = flow.remote.ip().to_canonical();
        if self.settings.strikes == 0 || self.is_exempt(address) {
            return None;
        }
        let known = self.is_known(now, address);
        let stream = flow.transport.reliable();
        let proven = stream || what == (Offence::Failed { there: true });
        if known && !proven {
            return None;
        }
        let port = (known || !proven).then_some(flow.remote.port());
        let key = self.hash(b's', host(address), &port.unwrap_or(0).to_le_bytes());
        let most = self.settings.strikes.saturating_mul(STRIKE);
        let count = |strikes: &mut Strikes| {
            let since = now.since(Instant(strikes.last));
            let forgotten = since.as_micros() * u128::from(most) / WINDOW.as_micros();
            let forgotten = u32::try_from(forgotten).unwrap_or(u32::MAX);
            strikes.weight = strikes.weight.saturating_sub(forgotten);
            if since > self.settings.longest_ban * 4 {
                strikes.bans = 0;
            }
            strikes.last = now.0;
            strikes.weight = strikes.weight.saturating_add(what.weight());
            if strikes.weight < most {
                return None;
            }
            strikes.weight = 0;
            let times = if port.is_some() { 0 } else { u32::from(strikes.bans).min(20) };
            strikes.bans = strikes.bans.saturating_add(1);
            Some(times)
        };
        let times = self.tables.strikes.at(key, |strikes| strikes.last, count)?;
        let time = (self.settings.ban * 2u32.pow(times)).min(self.settings.longest_ban);
        self.ban(now, address, port.map(|port| (port, stream)), time, what.word())
    }

    /// Bans an address, or one port of it; beside the port stands whether it is one of TCP.
    pub fn ban(
        &self,
        now: Instant,
        address: IpAddr,
        port: Option<(u16, bool)>,
        time: Duration,
        why: &'static str,
    ) -> Option<Ban> {
        let address = first_of(address.to_canonical());
        let hash = self.hash(b'b', host(address), b"");
        let (port, stream) = (port.map(|port| port.0), port.is_some_and(|port| port.1));
        let ban = Ban { address, port, stream, until: now + time, why, hash };
        let same = |ban: &Ban| (ban.address, ban.port, ban.stream) == (address, port, stream);
        self.bans.change(|all| {
            if let Some(old) = all.find_mut(hash, same) {
                old.until = old.until.max(ban.until);
                return Some(ban);
            }
            if all.len() >= self.settings.bans {
                all.retain(|ban| ban.until > now);
                if all.len() >= self.settings.bans {
                    return None;
                }
            }
            all.insert_unique(hash, ban.clone(), |ban| ban.hash);
            Some(ban)
        })
    }

    /// Who is banned.
    pub fn bans(&self, now: Instant) -> Vec<Ban> {
        self.bans.all().iter().filter(|ban| ban.until > now).cloned().collect()
    }

    /// Lifts the bans of an address; gives how many there were.
    pub fn lift(&self, address: IpAddr) -> usize {
        let of = host(address.to_canonical());
        self.bans.change(|all| {
            let before = all.len();
            all.retain(|ban| host(ban.address) != of);
            before - all.len()
        })
    }

    /// A request from there went through: that outweighs one that did not. `proven`: it was within a
    /// dialog that was set up through us, so that what we send there arrives.
    pub fn behaved(&self, now: Instant, flow: &Flow, proven: bool) {
        let strikes = &self.tables.strikes;
        if strikes.is_empty() {
            return;
        }
        let address = flow.remote.ip().to_canonical();
        if proven {
            let key = self.host_key(address);
            self.tables.known.at(key, |at| *at, |at| *at = now.0);
        }
        for port in [0, flow.remote.port()] {
            let key = self.hash(b's', host(address), &port.to_le_bytes());
            if strikes.get(key).is_some_and(|strikes| strikes.weight > 0) {
                let forgive = |known: &mut Strikes| {
                    known.weight = known.weight.saturating_sub(STRIKE);
                };
                strikes.at(key, |strikes| strikes.last, forgive);
            }
        }
    }
}

/// What stands for one host: its address, of IPv6 its /64.
fn host(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits() >> 64 << 64,
    }
}

/// The first address of a host.
fn first_of(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(_) => IpAddr::V6(host(address).into()),
    }
}
