//! The store and the driver: records go in without waiting, tickets come back when they are safe.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use towel_core::auth::credentials;
use towel_core::io::{Record, StoreFault, Ticket};
use towel_net::{Handle, Persist};
use towel_store::{Loaded, Options, Store, StoreError, Sync};

use crate::config::{Config, Durability};

/// The ticket of a record that nobody waits for.
const NOBODY: u64 = u64::MAX;

/// An open store and what was in it.
#[derive(Debug)]
pub struct Opened {
    /// The store.
    pub store: Store,
    /// The users' records, in the order of writing.
    pub users: Vec<Record>,
    /// All other records, in the order of writing.
    pub rest: Vec<Record>,
    /// What opening found.
    pub loaded: Loaded,
    /// Where to tell of what is safe, once there is a driver.
    pub tell: Arc<OnceLock<Handle>>,
}

/// Where the store of a configuration lies.
pub fn folder(config: &Config) -> PathBuf {
    config.data.join("store")
}

/// Opens the store of a configuration; `progress` is told bytes read and bytes in all.
pub fn open(
    config: &Config,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Opened, StoreError> {
    let sync = match config.durability {
        Durability::BeforeAnswer => Sync::EachBatch,
        Durability::Soon | Durability::Memory => Sync::Every(std::time::Duration::from_secs(1)),
    };
    let tell = Arc::new(OnceLock::<Handle>::new());
    let told = Arc::clone(&tell);
    let done = Box::new(move |tickets: &[u64], result: Result<(), &StoreError>| {
        let Some(handle) = told.get() else { return };
        let result = result.map_err(fault);
        for ticket in tickets.iter().filter(|t| **t != NOBODY) {
            handle.stored(Ticket(*ticket), result);
        }
    });
    let (mut users, mut rest) = (Vec::new(), Vec::new());
    let mut each = |record: towel_store::RecordRef<'_>| {
        let list = if record.table == credentials::TABLE { &mut users } else { &mut rest };
        list.push(Record {
            table: record.table,
            key: record.key.to_vec(),
            value: record.value.map(<[u8]>::to_vec),
        });
    };
    let options = Options { sync, ..Options::default() };
    let (store, loaded) = Store::open(&folder(config), options, &mut each, progress, done)?;
    Ok(Opened { store, users, rest, loaded, tell })
}

/// What the core is told of a failure.
fn fault(error: &StoreError) -> StoreFault {
    match error {
        StoreError::Io { error, .. } if error.kind() == std::io::ErrorKind::StorageFull => {
            StoreFault::Full
        }
        StoreError::Closed => StoreFault::Closed,
        _ => StoreFault::Io,
    }
}

/// A record in the store's own form.
pub fn to_store(record: Record) -> towel_store::Record {
    towel_store::Record { table: record.table, key: record.key, value: record.value }
}

/// The driver's way to the store.
#[derive(Debug)]
pub struct ToStore {
    /// The store.
    pub store: Arc<Store>,
    /// Where to tell that a record was refused at once.
    pub handle: Handle,
}

impl Persist for ToStore {
    fn submit(&mut self, ticket: Option<Ticket>, record: Record) {
        let number = ticket.map_or(NOBODY, |t| t.0);
        if let Err(error) = self.store.submit(number, to_store(record))
            && let Some(ticket) = ticket
        {
            self.handle.stored(ticket, Err(fault(&error)));
        }
    }
}
