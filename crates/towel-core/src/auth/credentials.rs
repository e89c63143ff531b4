//! Who may what: users and the hashes of their passwords.
//!
//! A password is never kept: only H(A1) for each algorithm (RFC 7616 section 3.6), for the name as
//! it is and for `name@realm`, which many phones send as their user name.

use super::digest::{Algorithm, Hex, ha1};
use crate::hash::{Hasher, Key};
use crate::io::Record;
use crate::paged::Paged;
use std::sync::Arc;

/// The store's table of users.
pub const TABLE: u8 = 2;

/// The first octet of a stored value: its version.
const VERSION: u8 = 1;
/// Octets of the hashes of one form of the name.
const HASHES: usize = 16 + 32 + 32;

/// H(A1) under every algorithm.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Secret {
    md5: [u8; 16],
    sha256: [u8; 32],
    sha512_256: [u8; 32],
}

impl core::fmt::Debug for Secret {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        // As good as a password: not for a log.
        f.write_str("Secret")
    }
}

impl Secret {
    fn new(username: &[u8], realm: &[u8], password: &[u8]) -> Self {
        let octets = |algorithm| ha1(algorithm, username, realm, password);
        Self {
            md5: octets_of(&octets(Algorithm::Md5)),
            sha256: octets_of(&octets(Algorithm::Sha256)),
            sha512_256: octets_of(&octets(Algorithm::Sha512_256)),
        }
    }

    fn ha1(&self, algorithm: Algorithm) -> Hex {
        match algorithm {
            Algorithm::Md5 => Hex::of(&self.md5),
            Algorithm::Sha256 => Hex::of(&self.sha256),
            Algorithm::Sha512_256 => Hex::of(&self.sha512_256),
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.md5);
        out.extend_from_slice(&self.sha256);
        out.extend_from_slice(&self.sha512_256);
    }

    fn read(octets: &[u8]) -> Option<(Self, &[u8])> {
        let (md5, rest) = octets.split_first_chunk()?;
        let (sha256, rest) = rest.split_first_chunk()?;
        let (sha512_256, rest) = rest.split_first_chunk()?;
        Some((Self { md5: *md5, sha256: *sha256, sha512_256: *sha512_256 }, rest))
    }
}

fn octets_of<const N: usize>(hex: &Hex) -> [u8; N] {
    let mut octets = [0; N];
    let value = |c: u8| if c.is_ascii_digit() { c - b'0' } else { c.wrapping_sub(b'a' - 10) };
    for (octet, pair) in octets.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
        if let [high, low] = pair {
            *octet = (value(*high) << 4) | value(*low);
        }
    }
    octets
}

/// One user in one realm. A clone is the same one, and takes no memory of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User(Arc<Known>);

#[derive(Debug, PartialEq, Eq)]
struct Known {
    name: Arc<str>,
    realm: Arc<str>,
    secret: Secret,
    secret_with_realm: Secret,
}

impl User {
    /// A user with a password, of which only hashes are kept.
    #[must_use]
    pub fn new(name: &str, realm: &str, password: &str) -> Self {
        let (n, r, p) = (name.as_bytes(), realm.as_bytes(), password.as_bytes());
        Self(Arc::new(Known {
            name: name.into(),
            realm: realm.into(),
            secret: Secret::new(n, r, p),
            secret_with_realm: Secret::new(format!("{name}@{realm}").as_bytes(), r, p),
        }))
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The same, for who keeps it for longer.
    pub(super) fn shared_name(&self) -> Arc<str> {
        Arc::clone(&self.0.name)
    }

    /// The realm in which the name means something.
    #[must_use]
    pub fn realm(&self) -> &str {
        &self.0.realm
    }

    /// The realm and the name, as a key that shares them with the user.
    #[must_use]
    pub fn key(&self) -> (Arc<str>, Arc<str>) {
        (Arc::clone(&self.0.realm), Arc::clone(&self.0.name))
    }

    /// What the store keeps of it.
    #[must_use]
    pub fn record(&self) -> Record {
        let mut value = Vec::with_capacity(1 + 2 * HASHES);
        value.push(VERSION);
        self.0.secret.write(&mut value);
        self.0.secret_with_realm.write(&mut value);
        Record { table: TABLE, key: key(self.name(), self.realm()), value: Some(value) }
    }

    /// What takes a user out of the store.
    #[must_use]
    pub fn removal(name: &str, realm: &str) -> Record {
        Record { table: TABLE, key: key(name, realm), value: None }
    }

    /// Reads what [`User::record`] made; none where it is damaged or of another table.
    #[must_use]
    pub fn from_record(record: &Record) -> Option<Self> {
        if record.table != TABLE {
            return None;
        }
        let (&version, value) = record.value.as_deref()?.split_first()?;
        let (secret, rest) = Secret::read(value)?;
        let (secret_with_realm, rest) = Secret::read(rest)?;
        let key = core::str::from_utf8(&record.key).ok()?;
        let (realm, name) = key.split_once('\0')?;
        (version == VERSION && rest.is_empty()).then(|| {
            let (name, realm) = (name.into(), realm.into());
            Self(Arc::new(Known { name, realm, secret, secret_with_realm }))
        })
    }
}

fn key(name: &str, realm: &str) -> Vec<u8> {
    [realm.as_bytes(), b"\0", name.as_bytes()].concat()
}

/// All users.
#[derive(Debug, Clone)]
pub struct Credentials {
    users: Vec<User>,
    index: Paged<u32>,
    key: Key,
    /// Stands in for the users that there are not.
    nobody: Secret,
}

impl Credentials {
    /// No users yet. The key keeps strangers from aiming at one bucket of the table.
    #[must_use]
    pub fn new(key: Key) -> Self {
        // What nobody can know, so that no password fits.
        let secret = [key.0.to_be_bytes(), key.1.to_be_bytes()].concat();
        let nobody = Secret::new(b"", &secret, &secret);
        Self { users: Vec::new(), index: Paged::default(), key, nobody }
    }

    /// How many users there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.users.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }

    /// All users, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &User> {
        self.users.iter()
    }

    /// Adds a user, or takes the place of the one of the same name and realm.
    pub fn insert(&mut self, user: User) {
        if let Some(at) = self.position(user.name().as_bytes(), user.realm().as_bytes()) {
            if let Some(known) = self.users.get_mut(at as usize) {
                *known = user;
            }
            return;
        }
        let Ok(at) = u32::try_from(self.users.len()) else { return };
        let hash = hash(self.key, user.name().as_bytes(), user.realm().as_bytes());
        self.users.push(user);
        let (users, key) = (&self.users, self.key);
        self.index.insert_unique(hash, at, |&at| hash_at(users, key, at));
    }

    /// Removes a user; whether there was one.
    pub fn remove(&mut self, name: &str, realm: &str) -> bool {
        let Some(at) = self.position(name.as_bytes(), realm.as_bytes()) else { return false };
        let wanted = hash(self.key, name.as_bytes(), realm.as_bytes());
        self.index.remove(wanted, |&known| known == at);
        // The last one moves into the gap.
        let last = u32::try_from(self.users.len() - 1).unwrap_or(u32::MAX);
        let moved = hash_at(&self.users, self.key, last);
        if last != at
            && let Some(place) = self.index.find_mut(moved, |&known| known == last)
        {
            *place = at;
        }
        self.users.swap_remove(at as usize);
        true
    }

    /// The user of a name in a realm.
    #[must_use]
    pub fn get(&self, name: &[u8], realm: &[u8]) -> Option<&User> {
        self.position(name, realm).and_then(|at| self.users.get(at as usize))
    }

    /// Takes in a stored record; whether it was a sound one of this table.
    pub fn load(&mut self, record: &Record) -> bool {
        let user = User::from_record(record);
        let sound = user.is_some();
        user.into_iter().for_each(|user| self.insert(user));
        sound
    }

    /// The user whom a `username` parameter means and the H(A1) that fits it. For a name that
    /// nobody has there is an H(A1) as well, which fits no password: the work that follows is the
    /// same (RFC 7616 section 5.6 on what an attacker may learn).
    pub(super) fn secret(
        &self,
        username: &[u8],
        realm: &[u8],
        algorithm: Algorithm,
    ) -> (Option<&User>, Hex) {
        let plain = self.get(username, realm);
        // The hash was made over the realm as it is written, so the name must end in just that.
        let with_realm = username
            .strip_suffix(realm)
            .and_then(|name| name.strip_suffix(b"@"))
            .and_then(|name| self.get(name, realm));
        match (plain, with_realm) {
            (Some(user), _) => (Some(user), user.0.secret.ha1(algorithm)),
            (None, Some(user)) => (Some(user), user.0.secret_with_realm.ha1(algorithm)),
            (None, None) => (None, self.nobody.ha1(algorithm)),
        }
    }

    fn position(&self, name: &[u8], realm: &[u8]) -> Option<u32> {
        let fits = |&at: &u32| {
            let user = self.users.get(at as usize);
            user.is_some_and(|u| u.name().as_bytes() == name && u.realm().as_bytes() == realm)
        };
        self.index.find(hash(self.key, name, realm), fits).copied()
    }
}

fn hash(key: Key, name: &[u8], realm: &[u8]) -> u64 {
    Hasher::new(key).field(name).field(realm).finish()
}

fn hash_at(users: &[User], key: Key, at: u32) -> u64 {
    users
        .get(at as usize)
        .map_or(0, |user| hash(key, user.name().as_bytes(), user.realm().as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_come_and_go() {
        let mut users = Credentials::new(Key(1, 2));
        for n in 0..100 {
            users.insert(User::new(&format!("u{n}"), "example.com", "x"));
        }
        users.insert(User::new("u1", "example.org", "y"));
        users.insert(User::new("u1", "example.com", "changed"));
        assert_eq!(users.len(), 101);
        for n in (0..100).step_by(3) {
            assert!(users.remove(&format!("u{n}"), "example.com"));
        }
        assert!(!users.remove("u0", "example.com"));
        for n in 0..100 {
            let found = users.get(format!("u{n}").as_bytes(), b"example.com");
            assert_eq!(found.is_some(), n % 3 != 0, "{n}");
        }
        let md5 = |realm: &str| users.secret(b"u1", realm.as_bytes(), Algorithm::Md5).1;
        assert_eq!(md5("example.com"), ha1(Algorithm::Md5, b"u1", b"example.com", b"changed"));
        assert_eq!(md5("example.org"), ha1(Algorithm::Md5, b"u1", b"example.org", b"y"));
    }

    #[test]
    fn the_name_with_its_realm_is_the_same_user() {
        let mut users = Credentials::new(Key(1, 2));
        users.insert(User::new("bob", "biloxi.com", "p"));
        for algorithm in Algorithm::ALL {
            let (user, secret) = users.secret(b"bob@biloxi.com", b"biloxi.com", algorithm);
            assert_eq!(user.map(User::name), Some("bob"));
            assert_eq!(secret, ha1(algorithm, b"bob@biloxi.com", b"biloxi.com", b"p"));
        }
        assert!(users.secret(b"bob@atlanta.com", b"biloxi.com", Algorithm::Md5).0.is_none());
        assert!(users.secret(b"@biloxi.com", b"biloxi.com", Algorithm::Md5).0.is_none());
    }

    #[test]
    fn records_can_be_read_back() {
        let user = User::new("bob", "biloxi.com", "p");
        assert_eq!(User::from_record(&user.record()), Some(user.clone()));
        let mut users = Credentials::new(Key(1, 2));
        assert!(users.load(&user.record()));
        assert!(!users.load(&User::removal("bob", "biloxi.com")));
        let mut damaged = user.record();
        damaged.value.as_mut().unwrap().pop();
        assert!(!users.load(&damaged));
        damaged.table = 9;
        assert!(!users.load(&damaged));
    }
}
