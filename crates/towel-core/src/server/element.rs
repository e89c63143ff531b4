//! The element: what it is made of, and who may change it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use towel_message::Host;

use super::{Domains, Settings};
use crate::auth::{Authenticator, Credentials};
use crate::contract::{Candidate, Env, Fields, Registry};
use crate::hash::Key;
use crate::io::{Listener, Now, Outbox, Record};
use crate::proxy::core::{Around, Proxy};
use crate::proxy::{Marks, Prepared, Way, route};
use crate::registrar::{Registrar, Served};
use crate::shards::{Errand, Place};
use crate::stack::Received;

/// The transaction user that is proxy, registrar and redirect server.
pub struct Server {
    pub(super) settings: crate::settings::Settings,
    pub(super) listeners: Vec<Listener>,
    former: Vec<Listener>,
    pub(super) domains: Domains,
    pub(super) marks: Marks,
    pub(super) registry: Registry,
    pub(super) users: Credentials,
    pub(super) authenticator: Authenticator,
    pub(super) registrar: Registrar,
    pub(super) registering: super::register::Registering,
    pub(super) proxy: Proxy,
    pub(super) draining: bool,
    pub(super) merged: super::merged::Merged,
    pub(super) place: Place,
    /// Which shards look for a user of ours.
    searching: Arc<[AtomicBool]>,
    // Reused.
    pub(super) prepared: Prepared,
    pub(super) targets: Vec<Candidate>,
    pub(super) ways: Vec<Way>,
    /// Room for the URIs of targets to come.
    pub(super) uris: Vec<Vec<u8>>,
    /// Room for the header fields of an answer.
    pub(super) room: Fields,
    /// The address of record that was looked for last.
    pub(super) address: Vec<u8>,
    /// The address of record whose bindings they are, as a hash.
    pub(super) sought: Option<u64>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server")
            .field("domains", &self.domains)
            .field("contexts", &self.proxy.len())
            .finish_non_exhaustive()
    }
}

/// The domains and users of the element, as the registrar asks for them.
pub(super) struct Inhabited<'a> {
    pub(super) domains: &'a Domains,
    pub(super) users: &'a Credentials,
    pub(super) settings: &'a Settings,
}

impl Served for Inhabited<'_> {
    fn canonical(&self, host: &Host<'_>, port: Option<u16>) -> Option<&str> {
        self.domains.canonical(host, port)
    }

    fn has_user(&self, user: &[u8], domain: &str) -> bool {
        // Where nobody is known by name everybody may come.
        !self.settings.known_users_only
            || self.users.is_empty()
            || self.users.get(user, realm(self.settings, self.domains, domain).as_bytes()).is_some()
    }
}

/// The realm of a domain's challenges.
pub(super) fn realm<'a>(settings: &'a Settings, domains: &'a Domains, domain: &'a str) -> &'a str {
    match &settings.realm {
        Some(realm) => realm,
        // With no domain configured all our addresses are one place.
        None if settings.domains.is_empty() => "towel",
        None if domain.is_empty() => domains.first(),
        None => domain,
    }
}

impl Server {
    /// An element with these extensions. `random` are 32 bytes and a key that nobody else knows.
    pub fn new(
        settings: crate::settings::Settings,
        registry: Registry,
        nonce_key: [u8; 32],
        key: Key,
    ) -> Self {
        Self::one_of(settings, registry, nonce_key, key, Place::ONE, None)
    }

    /// One of the elements of a server, beside the first of them, with the same keys.
    pub(super) fn one_of(
        settings: crate::settings::Settings,
        registry: Registry,
        nonce_key: [u8; 32],
        key: Key,
        place: Place,
        first: Option<&Server>,
    ) -> Self {
        let mark = match settings.server.secret {
            Some(secret) => mark_key(secret),
            None => Key(key.0.rotate_left(17) ^ 0x746f_7765_6c00, key.1),
        };
        let marks = Marks::new(mark, Key(key.0.rotate_left(29) ^ 0x666c_6f77, key.1));
        Self {
            domains: Domains::new(&settings.server, &[]),
            listeners: Vec::new(),
            former: Vec::new(),
            marks,
            registry,
            users: Credentials::new(key),
            authenticator: match first {
                Some(first) => first.authenticator.beside(nonce_key, place),
                None => Authenticator::one_of(settings.auth.clone(), nonce_key, place),
            },
            registrar: match first {
                Some(first) => first.registrar.beside(),
                None => Registrar::one_of(settings.registrar.clone(), key, place),
            },
            registering: super::register::Registering::default(),
            proxy: Proxy::default(),
            draining: false,
            merged: match first {
                Some(first) => first.merged.beside(),
                None => super::merged::Merged::one_of(key, place),
            },
            searching: match first {
                Some(first) => Arc::clone(&first.searching),
                None => (0..place.of).map(|_| AtomicBool::new(false)).collect(),
            },
            place,
            prepared: Prepared::default(),
            targets: Vec::new(),
            ways: Vec::new(),
            uris: Vec::new(),
            room: Fields::new(),
            address: Vec::new(),
            sought: None,
            settings,
        }
    }

    /// Numbers what is to be stored from behind what another element has handed over, so that what is told
    /// of that is not taken for ours.
    pub(super) fn number_after(&mut self, other: &Server) {
        self.registering.last = self.registering.last.max(other.registering.last);
    }

    /// A listener is up.
    pub fn listening(&mut self, listener: Listener) {
        self.listeners.retain(|old| old.id != listener.id);
        self.listeners.push(listener);
        self.name_domains();
    }

    /// A listener is gone.
    pub fn listener_gone(&mut self, id: crate::io::ListenerId) {
        self.listeners.retain(|old| old.id != id);
        self.name_domains();
    }

    /// Listeners that are gone, or are known by another name, and are still named in what is under
    /// way.
    pub fn set_former(&mut self, former: Vec<Listener>) {
        self.former = former;
        self.name_domains();
    }

    fn name_domains(&mut self) {
        self.domains = Domains::new(&self.settings.server, &self.listeners)
            .with_former(&self.settings.server, &self.former);
    }

    /// Takes over new settings; what is under way goes on.
    pub fn reload(&mut self, settings: &crate::settings::Settings) {
        self.authenticator.reload(settings.auth.clone());
        self.registrar.reload(settings.registrar.clone());
        if let Some(secret) = settings.server.secret {
            self.marks = self.marks.with_key(mark_key(secret));
        }
        self.settings = settings.clone();
        self.name_domains();
    }

    /// Takes in records: bindings and users that the store held, or a user that was changed since.
    pub fn load(&mut self, now: Now, out: &mut Outbox, records: &[Record]) {
        for record in records {
            if record.table != crate::auth::credentials::TABLE {
                self.registrar.load(record, now, out);
            } else if record.value.is_some() {
                self.users.load(record);
            } else if let Some((realm, name)) =
                std::str::from_utf8(&record.key).ok().and_then(|key| key.split_once('\0'))
            {
                self.users.remove(name, realm);
            }
        }
    }

    /// Has other shards told whether this one looks for a user of ours.
    pub(super) fn tell_search(&self, searching: bool) {
        if self.place.has_others()
            && let Some(place) = self.searching.get(usize::from(self.place.shard))
        {
            place.store(searching, Ordering::SeqCst);
        }
    }

    /// Tells those shards that look for users of ours that an address of record has other bindings.
    pub(super) fn tell_searching_shards(&self, out: &mut Outbox, address: u64) {
        for shard in self.place.others() {
            let place = self.searching.get(usize::from(shard));
            if place.is_some_and(|place| place.load(Ordering::SeqCst)) {
                out.to_shard(shard, Errand::Registered { address }, b"");
            }
        }
    }

    /// Takes nothing new from now on.
    pub fn drain(&mut self) {
        self.draining = true;
    }

    /// The users.
    pub fn users(&self) -> &Credentials {
        &self.users
    }

    /// The users, to change.
    pub fn users_mut(&mut self) -> &mut Credentials {
        &mut self.users
    }

    /// The registrar.
    pub fn registrar(&self) -> &Registrar {
        &self.registrar
    }

    /// The registrar, to change.
    pub fn registrar_mut(&mut self) -> &mut Registrar {
        &mut self.registrar
    }

    /// The extensions.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Other settings of the extensions, or other extensions.
    pub fn set_registry(&mut self, registry: Registry) {
        self.registry = registry;
    }

    /// What the element is responsible for.
    pub fn domains(&self) -> &Domains {
        &self.domains
    }

    /// How many requests are under way in the proxy.
    pub fn contexts(&self) -> usize {
        self.proxy.len()
    }

    /// Whether nothing is under way.
    pub fn is_drained(&self) -> bool {
        self.proxy.len() == 0 && self.registering.is_empty() && self.registrar.waiting() == 0
    }

    /// Whether a request is for the server itself.
    pub(super) fn is_itself(&mut self, received: &Received<'_>) -> bool {
        route::preprocess(
            &received.message,
            &received.flow,
            &self.domains,
            &self.marks,
            &mut self.prepared,
        );
        super::decide::is_for_itself(&received.message, &self.prepared, &self.domains)
    }

    pub(super) fn parts(&mut self, now: Now) -> (&mut Proxy, Around<'_>) {
        let around = Around {
            settings: &self.settings.proxy,
            domains: &self.domains,
            marks: &self.marks,
            registry: &self.registry,
            limits: &self.settings.transport.limits,
            now,
        };
        (&mut self.proxy, around)
    }

    pub(super) fn env(&self, now: Now) -> Env<'_> {
        Env::new(now, &self.domains)
    }
}

fn mark_key(secret: [u8; 16]) -> Key {
    let [a, b] = [0, 8].map(|at| {
        secret.iter().skip(at).take(8).fold(0u64, |word, byte| word << 8 | u64::from(*byte))
    });
    Key(a, b)
}
