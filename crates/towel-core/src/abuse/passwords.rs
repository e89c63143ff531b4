//! Patience with those who guess at passwords, which no forged address and no third party can use up.
//!
//! **Who is counted.** Credentials come with a nonce of ours, and the nonce carries the [`Place`] to
//! which it was sent: whoever uses it has received it there, whatever address stands upon the datagram
//! that brings it back. A wrong password counts against that place. Credentials with a nonce that is
//! not ours count against nobody; they are not looked at and get a new one (RFC 7616 section 3.3: the
//! nonce is invalid, so the challenge says `stale`). Where the nonce was sent decides nothing else: the
//! requests of one phone may come by several addresses, as the same section warns.
//!
//! **What is counted**, for a user and a place whose password was wrong:
//!
//! - At one place, which is one port of one host: after some failures the next attempts wait, longer
//!   each time, up to a minute. A phone with an old password so hinders itself.
//! - At one host, for that user: ports cost nothing, so a host has an allowance that is more than what
//!   one bad phone uses, and more again where the user has logged in from that host before.
//! - At one host, whoever the user: one password tried with many names.
//! - Of one user, from all the world: one name tried from many hosts.
//!
//! A place from which the user has proved the password within a day is counted by itself alone, and its
//! host by the first two alone. So no guessing, from wherever, keeps a user from going on where the user
//! has been; a new place of a user who is being guessed at from everywhere may have to try again.

use std::time::Duration;

use super::{Guard, KNOWN, ShardPlace, host, table::Table};
use crate::io::{Flow, Instant};

/// How much more patience there is with a host than with one of its ports, where the user is not known.
const PORTS: u32 = 4;
/// The same where the user has come from that host before.
const PATIENCE: u32 = 10;
/// As many failures as are allowed are forgotten in this time.
const FORGOTTEN: Duration = Duration::from_secs(600);
/// The longest wait for the next password at one place.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Where a nonce was sent: a host and a port of it, as keyed hashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Place {
    host: u32,
    port: u32,
}

impl Place {
    /// One where nothing is counted.
    const EXEMPT: Place = Place { host: 0, port: 0 };

    /// As a nonce carries it.
    pub fn bits(self) -> u64 {
        u64::from(self.host) << 32 | u64::from(self.port)
    }

    /// What [`Place::bits`] gave.
    pub fn from_bits(bits: u64) -> Place {
        Place { host: (bits >> 32) as u32, port: bits as u32 }
    }
}

/// Failures at one place.
#[derive(Clone, Copy, Debug, Default)]
struct Failures {
    count: u32,
    last: u64,
    /// Attempts are not looked at before.
    until: u64,
}

/// Where a user has come from at one host: when last, and by which ports.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    at: u64,
    ports: [u32; 4],
}

/// What is remembered of passwords, right and wrong.
#[derive(Debug)]
pub(super) struct Passwords {
    places: Table<Failures>,
    /// Theoretical arrival times, as those of the rates.
    debts: Table<u64>,
    known: Table<Known>,
}

impl Passwords {
    pub(super) fn new(entries: usize, shard: ShardPlace) -> Passwords {
        Passwords {
            places: Table::new(entries, shard),
            debts: Table::new(entries, shard),
            known: Table::new(entries, shard),
        }
    }
}

/// What of a user and a place is known.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// The password was proved there.
    Place,
    /// It was proved at another port of the host.
    Host,
    Stranger,
}

impl Guard {
    /// Where the sender of a message gets our answers.
    pub fn place(&self, flow: &Flow) -> Place {
        let address = flow.remote.ip().to_canonical();
        if self.is_exempt(address) {
            return Place::EXEMPT;
        }
        let port = [&flow.remote.port().to_le_bytes()[..], &[flow.transport.reliable().into()]];
        let of = self.host_key(address);
        Place { host: host_of(of), port: self.hash(b'p', of.into(), &port.concat()) as u32 }
    }

    /// Whether a place is at the address that a message came from: then the address was not forged.
    pub fn is_there(&self, place: Place, flow: &Flow) -> bool {
        place.host == host_of(self.host_key(flow.remote.ip().to_canonical()))
    }

    /// Whether any password was wrong.
    pub fn has_failures(&self) -> bool {
        !self.tables.passwords.places.is_empty()
    }

    fn standing(&self, now: Instant, place: Place, user: &[u8]) -> Standing {
        let known = self.tables.passwords.known.get(self.hash(b'k', place.host.into(), user));
        match known.filter(|known| now.since(Instant(known.at)) < KNOWN) {
            Some(known) if known.ports.contains(&place.port) => Standing::Place,
            Some(_) => Standing::Host,
            None => Standing::Stranger,
        }
    }

    /// The allowances that failures at a place are paid from: the key of each, and how many there are.
    fn allowances(&self, standing: Standing, place: Place, user: &[u8]) -> [Option<(u64, u32)>; 3] {
        let s = &self.settings;
        let here = |times: u32| {
            Some((self.hash(b'h', place.host.into(), user), s.failures.saturating_mul(times)))
        };
        let all = |most: u32, key: u64| (most > 0).then_some((key, most));
        match standing {
            Standing::Place => [None; 3],
            Standing::Host => [here(PATIENCE), None, None],
            Standing::Stranger => [
                here(PORTS),
                all(s.failures_address, self.hash(b'a', place.host.into(), b"")),
                all(s.failures_user, self.hash(b'w', 0, user)),
            ],
        }
    }

    /// Whether credentials that name a user, with a nonce that was sent to a place, are looked at now.
    pub fn may_try(&self, now: Instant, place: Place, user: &[u8]) -> bool {
        if self.settings.failures == 0 || place == Place::EXEMPT || !self.has_failures() {
            return true;
        }
        let failures = self.tables.passwords.places.get(self.place_key(place, user));
        if failures.is_some_and(|failures| failures.until > now.0) {
            return false;
        }
        let allowances = self.allowances(self.standing(now, place, user), place, user);
        allowances.into_iter().flatten().all(|(key, most)| {
            let due = self.tables.passwords.debts.get(key).unwrap_or_default();
            due.saturating_sub(now.0) + interval(most) <= FORGOTTEN.as_micros() as u64
        })
    }

    /// The password for a user was wrong, with a nonce that was sent to a place.
    pub fn failed(&self, now: Instant, place: Place, user: &[u8]) {
        if self.settings.failures == 0 || place == Place::EXEMPT {
            return;
        }
        let most = self.settings.failures;
        let key = self.place_key(place, user);
        let count = |here: &mut Failures| {
            if now.since(Instant(here.last)) > FORGOTTEN {
                here.count = 0;
            }
            here.last = now.0;
            here.count = here.count.saturating_add(1);
            if here.count >= most {
                let wait = Duration::from_secs(1 << (here.count - most).min(6)).min(LONGEST_WAIT);
                here.until = (now + wait).0;
            }
        };
        self.tables.passwords.places.at(key, |failures| failures.last, count);
        for (key, most) in
            self.allowances(self.standing(now, place, user), place, user).into_iter().flatten()
        {
            let owe = |due: &mut u64| *due = (*due).max(now.0) + interval(most);
            self.tables.passwords.debts.at(key, |due| *due, owe);
        }
    }

    /// A user has proved the password, by a message that came by this flow, with a nonce that was sent
    /// to this place.
    pub fn succeeded(&self, now: Instant, flow: &Flow, place: Place, user: &[u8]) {
        let address = self.host_key(flow.remote.ip().to_canonical());
        // What is exempt needs not to be known, and an address that may be forged must not become so.
        if flow.transport.reliable() || host_of(address) == place.host {
            self.tables.known.at(address, |at| *at, |at| *at = now.0);
        }
        if place != Place::EXEMPT {
            let key = self.hash(b'k', place.host.into(), user);
            let note = |known: &mut Known| {
                known.at = now.0;
                if !known.ports.contains(&place.port) {
                    known.ports.rotate_right(1);
                    known.ports[0] = place.port;
                }
            };
            self.tables.passwords.known.at(key, |known| known.at, note);
            if self.has_failures() {
                let (key, places) = (self.place_key(place, user), &self.tables.passwords.places);
                if places.get(key).is_some() {
                    let forget = |known: &mut Failures| *known = Failures::default();
                    places.at(key, |failures| failures.last, forget);
                }
            }
        }
        self.behaved(now, flow, false);
    }

    /// The key of an address, whoever uses it.
    pub(super) fn host_key(&self, address: std::net::IpAddr) -> u64 {
        self.hash(b'k', host(address), b"")
    }

    fn place_key(&self, place: Place, user: &[u8]) -> u64 {
        self.hash(b'f', place.bits().into(), user)
    }
}

/// What a place keeps of a host's key; never that of the place that is exempt.
fn host_of(key: u64) -> u32 {
    (key >> 32) as u32 | 1
}

/// How long a failure is remembered where so many are allowed, in microseconds.
fn interval(most: u32) -> u64 {
    FORGOTTEN.as_micros() as u64 / u64::from(most.max(1))
}
