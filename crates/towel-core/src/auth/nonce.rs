//! Nonces that need no memory: the time, a counter and where it was sent, under a keyed hash (RFC 7616
//! section 3.3).

use super::digest::digits_of;
use crate::hash::{Hasher, Key};
use crate::shards::{Place, Stripes};
use sha2::{Digest as _, Sha256};

/// Octets of the hash that a nonce carries.
const MAC: usize = 12;
/// Length of a nonce on the wire.
pub const NONCE_LENGTH: usize = 2 * (8 + 8 + MAC);

/// Identity of a nonce that we made: seconds in the upper half, a counter in the lower one, so that
/// a later nonce has a greater identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NonceId(pub u64);

impl NonceId {
    /// The second in which it was made.
    #[must_use]
    pub fn made(self) -> u64 {
        self.0 >> 32
    }
}

/// Makes nonces and knows its own again.
pub struct Mint {
    key: [u8; 32],
    last: u64,
    /// Mints of one key that count in steps over each other give no nonce twice.
    shard: Place,
}

impl core::fmt::Debug for Mint {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        // The key is not for a log.
        f.debug_struct("Mint").field("last", &self.last).finish_non_exhaustive()
    }
}

impl Mint {
    /// A mint whose nonces only a holder of the same key can make.
    #[must_use]
    pub fn new(key: [u8; 32]) -> Self {
        Self::one_of(key, Place::ONE)
    }

    /// One of some with the same key, whose nonces all of them know.
    pub(crate) fn one_of(key: [u8; 32], shard: Place) -> Self {
        Self { key, last: 0, shard }
    }

    /// A mint that knows none of the nonces made before.
    #[must_use]
    pub fn renewed(&self) -> Self {
        Self { key: Sha256::digest(self.key).into(), ..*self }
    }

    /// A nonce never given before, for one realm; `second` is now, on the clock by which its age
    /// will be told, `place` where it is sent, which only its holder and we can know.
    pub fn make(&mut self, realm: &[u8], place: u64, second: u64) -> [u8; NONCE_LENGTH] {
        // A clock that stands still or goes back must not repeat a nonce.
        let next = self.last.saturating_add(u64::from(self.shard.of));
        self.last = ((second & 0xffff_ffff) << 32).max(next);
        self.written(realm, self.last.saturating_add(u64::from(self.shard.shard)), place)
    }

    /// The identity of `nonce` and the place that it was sent to, where this mint made it for this
    /// realm.
    #[must_use]
    pub fn recognise(&self, realm: &[u8], nonce: &[u8]) -> Option<(NonceId, u64)> {
        if nonce.len() != NONCE_LENGTH {
            return None;
        }
        let (id, rest) = word(nonce)?;
        let (place, _) = word(rest)?;
        let ours = self.written(realm, id, place);
        let difference = ours.iter().zip(nonce).fold(0, |sum, (a, b)| sum | (a ^ b));
        (core::hint::black_box(difference) == 0).then_some((NonceId(id), place))
    }

    fn written(&self, realm: &[u8], id: u64, place: u64) -> [u8; NONCE_LENGTH] {
        // A nonce is made for every stranger who asks, and whoever forged one would still have to
        // know a password: a short keyed hash is enough.
        let key =
            |at: usize| self.key.iter().skip(at).take(8).fold(0, |k, o| k << 8 | u64::from(*o));
        let mut hasher = Hasher::new(Key(key(0), key(8)));
        let (first, second) =
            hasher.bytes(&id.to_be_bytes()).bytes(&place.to_be_bytes()).bytes(realm).finish_twice();
        let mut nonce = [0; NONCE_LENGTH];
        let mac = first.to_be_bytes().into_iter().chain(second.to_be_bytes()).take(MAC);
        let octets = id.to_be_bytes().into_iter().chain(place.to_be_bytes()).chain(mac);
        for (pair, octet) in nonce.chunks_exact_mut(2).zip(octets) {
            pair.copy_from_slice(&digits_of(octet));
        }
        nonce
    }
}

/// The number that sixteen hexadecimal digits stand for, and what follows them.
fn word(text: &[u8]) -> Option<(u64, &[u8])> {
    let (digits, rest) = text.split_first_chunk::<16>()?;
    // `from_str_radix` takes a sign; a nonce of ours has none.
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let number = u64::from_str_radix(core::str::from_utf8(digits).ok()?, 16).ok()?;
    Some((number, rest))
}

/// What the window says of a nonce count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Count {
    /// Not seen before; it is now.
    Fresh,
    /// Seen before, or too old to tell.
    Replayed,
}

/// How many nonces share one place of the window.
const WAYS: usize = 8;
/// How far behind the highest count another may arrive: requests overtake each other on UDP.
const BEHIND: u32 = 64;

#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    id: u64,
    highest: u32,
    /// Bit n: `highest - n` was used.
    used: u64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Set {
    seen: [Seen; WAYS],
    /// The greatest identity that had to make room: what is not above it and not in here may have
    /// been used before.
    forgotten: u64,
}

/// The nonce counts already used, in memory of a fixed size. Only counts that came with the right
/// digest get in, so a stranger cannot push anything out. Shards share it.
#[derive(Debug)]
pub struct Window {
    stripes: Stripes<Box<[Set]>>,
    /// How many sets there are in all, less one: a mask.
    mask: usize,
}

impl Window {
    /// A window for about `nonces` nonces in use at a time.
    #[must_use]
    pub fn new(nonces: usize) -> Self {
        Self::shared(nonces, Place::ONE)
    }

    /// The same for shards that share it.
    pub(crate) fn shared(nonces: usize, place: Place) -> Self {
        let sets = (nonces / WAYS).clamp(1, 1 << 24).next_power_of_two();
        let stripes = Stripes::<()>::wanted(place).min(sets);
        let make = || vec![Set::default(); sets / stripes].into_boxed_slice();
        Self { stripes: Stripes::new(stripes, make), mask: sets - 1 }
    }

    /// Uses `count` of a nonce, once.
    pub fn spend(&self, id: NonceId, count: u32) -> Count {
        self.at(id, |seen| seen.spend(count))
    }

    /// Uses up a nonce as a whole: for the form without counts, which could be replayed for ever.
    pub fn exhaust(&self, id: NonceId) -> Count {
        self.at(id, |seen| {
            let fresh = seen.used == 0;
            (seen.highest, seen.used) = (u32::MAX, u64::MAX);
            if fresh { Count::Fresh } else { Count::Replayed }
        })
    }

    fn at(&self, id: NonceId, spend: impl FnOnce(&mut Seen) -> Count) -> Count {
        // Identities count upwards, so their low bits spread by themselves; the seconds are mixed in.
        let place = (id.0 ^ (id.0 >> 32).wrapping_mul(0x9e37_79b9)) as usize;
        let place = place & self.mask;
        let mut sets = self.stripes.at(|| place as u64);
        let Some(set) = sets.get_mut(place / self.stripes.len()) else { return Count::Replayed };
        if let Some(seen) = set.seen.iter_mut().find(|seen| seen.id == id.0) {
            return spend(seen);
        }
        if id.0 <= set.forgotten {
            return Count::Replayed;
        }
        let Some(oldest) = set.seen.iter_mut().min_by_key(|seen| seen.id) else {
            return Count::Replayed;
        };
        // An identity older than all that stand here is the one that has to go.
        if id.0 < oldest.id {
            return Count::Replayed;
        }
        set.forgotten = set.forgotten.max(oldest.id);
        *oldest = Seen { id: id.0, ..Seen::default() };
        spend(oldest)
    }
}

impl Seen {
    fn spend(&mut self, count: u32) -> Count {
        if self.used == 0 {
            (self.highest, self.used) = (count, 1);
            return Count::Fresh;
        }
        if count > self.highest {
            let ahead = count - self.highest;
            self.used = self.used.checked_shl(ahead).unwrap_or(0) | 1;
            self.highest = count;
            return Count::Fresh;
        }
        let behind = self.highest - count;
        if behind >= BEHIND || self.used & (1 << behind) != 0 {
            return Count::Replayed;
        }
        self.used |= 1 << behind;
        Count::Fresh
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn a_nonce_is_known_again_in_its_own_realm_only() {
        let mut mint = Mint::new([7; 32]);
        let nonce = mint.make(b"example.com", 0x5eed, 1_000);
        let (id, place) = mint.recognise(b"example.com", &nonce).unwrap();
        assert_eq!((id.made(), place), (1_000, 0x5eed));
        assert_eq!(mint.recognise(b"example.org", &nonce), None);
        assert_eq!(Mint::new([8; 32]).recognise(b"example.com", &nonce), None);
        for at in 0..nonce.len() {
            let mut forged = nonce;
            forged[at] = if forged[at] == b'0' { b'1' } else { b'0' };
            assert_eq!(mint.recognise(b"example.com", &forged), None);
        }
        assert_eq!(mint.recognise(b"example.com", &nonce[..NONCE_LENGTH - 1]), None);
        assert_eq!(mint.recognise(b"example.com", b""), None);
        let letters = "\u{e4}".repeat(NONCE_LENGTH / 2);
        assert_eq!(mint.recognise(b"example.com", letters.as_bytes()), None);
    }

    #[test]
    fn nonces_differ_even_when_the_clock_stands_or_goes_back() {
        let mut mint = Mint::new([1; 32]);
        let made: HashSet<_> = [5, 5, 5, 4, 6, 6].map(|t| mint.make(b"r", 1, t)).into();
        assert_eq!(made.len(), 6);
    }

    #[test]
    fn mints_of_one_key_know_each_others_nonces_and_repeat_none() {
        let place = |shard| Place { shard, of: 3 };
        let mut mints = [0, 1, 2].map(|shard| Mint::one_of([1; 32], place(shard)));
        let mut made = HashSet::new();
        for second in [5, 5, 4, 6] {
            for mint in &mut mints {
                assert!(made.insert(mint.make(b"r", 1, second)));
            }
        }
        let known = |nonce| mints.iter().all(|mint| mint.recognise(b"r", nonce).is_some());
        assert!(made.iter().all(|nonce| known(nonce)));
    }

    #[test]
    fn a_shared_window_uses_all_its_room() {
        let window = Window::shared(1024, Place { shard: 0, of: 4 });
        let ids = || (0..512_u64).map(|n| NonceId((9 << 32) + n));
        for id in ids() {
            assert_eq!(window.spend(id, 1), Count::Fresh);
        }
        for id in ids() {
            assert_eq!(window.spend(id, 1), Count::Replayed);
            assert_eq!(window.spend(id, 2), Count::Fresh);
        }
    }

    #[test]
    fn a_count_is_good_once_in_any_order_within_the_window() {
        let window = Window::new(64);
        let id = NonceId(1 << 32);
        for count in [1, 2, 5, 4, 3, 70] {
            assert_eq!(window.spend(id, count), Count::Fresh, "{count}");
        }
        for count in [1, 2, 3, 4, 5, 70, 0, 6] {
            assert_eq!(window.spend(id, count), Count::Replayed, "{count}");
        }
        assert_eq!(window.spend(id, 7), Count::Fresh);
        assert_eq!(window.spend(id, u32::MAX), Count::Fresh);
        assert_eq!(window.spend(id, 71), Count::Replayed);
    }

    #[test]
    fn a_nonce_without_counts_is_good_once() {
        let window = Window::new(64);
        assert_eq!(window.exhaust(NonceId(9)), Count::Fresh);
        assert_eq!(window.exhaust(NonceId(9)), Count::Replayed);
        assert_eq!(window.spend(NonceId(9), 7), Count::Replayed);
        assert_eq!(window.spend(NonceId(8), 1), Count::Fresh);
        assert_eq!(window.exhaust(NonceId(8)), Count::Replayed);
    }

    /// However many nonces come and go, no pair of nonce and count passes twice.
    #[test]
    fn what_was_pushed_out_never_passes_again() {
        let window = Window::new(16);
        let mut passed = HashSet::new();
        for round in 0..50_u64 {
            for n in 0..200_u64 {
                let id = NonceId(1 + (n * 7 + round * 13) % 400);
                let count = (n % 3) as u32 + 1;
                if window.spend(id, count) == Count::Fresh {
                    assert!(passed.insert((id, count)));
                }
            }
        }
        assert!(!passed.is_empty());
        // A nonce made later than all of them is good at once.
        assert_eq!(window.spend(NonceId(1 << 40), 1), Count::Fresh);
    }
}
