//! The store and the driver: records go in without waiting, tickets come back when they are safe.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use towel_core::auth::credentials;
use towel_core::io::{Record, StoreFault, Ticket};
use towel_store::{Loaded, Options, Store, StoreError, Sync};

use crate::config::{Config, Durability};

/// The store's table of what the program itself notes.
const PROGRAM: u8 = 3;

/// The record of a clean stop. Once it is safe, all that was handed over before is.
pub fn stopped(unix: u64) -> towel_store::Record {
    let value = Some(unix.to_be_bytes().to_vec());
    towel_store::Record { table: PROGRAM, key: b"stopped".to_vec(), value }
}

/// Told what became of a ticket.
pub type Tell = Box<dyn Fn(Ticket, Result<(), StoreFault>) + Send + std::marker::Sync>;

/// Told how each write went.
pub type Report = Box<dyn Fn(Result<(), &StoreError>) + Send + std::marker::Sync>;

/// The ticket of a record that nobody waits for.
const NOBODY: u64 = u64::MAX;

/// An open store and what was in it.
pub struct Opened {
    /// The store.
    pub store: Store,
    /// The users' records, in the order of writing.
    pub users: Vec<Record>,
    /// What opening found.
    pub loaded: Loaded,
    /// Where to tell of what is safe, once there is a driver.
    pub tell: Arc<OnceLock<Tell>>,
    /// Where to tell how writing goes, for the log.
    pub report: Arc<OnceLock<Report>>,
}

/// Where the store of a configuration lies.
pub fn folder(config: &Config) -> PathBuf {
    config.data.join("store")
}

/// Records handed on at once while the store is read.
const CHUNK: usize = 1024;

/// Opens the store of a configuration. All records but the users' go to `take` while they are
/// read, in the order of writing and a handful at a time; `progress` is told bytes read and bytes
/// in all.
pub fn open(
    config: &Config,
    take: &mut dyn FnMut(Vec<Record>),
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Opened, StoreError> {
    let sync = match config.durability {
        Durability::BeforeAnswer => Sync::EachBatch,
        Durability::Soon | Durability::Memory => Sync::Every(std::time::Duration::from_secs(1)),
    };
    let tell = Arc::new(OnceLock::<Tell>::new());
    let report = Arc::new(OnceLock::<Report>::new());
    let (told, reported) = (Arc::clone(&tell), Arc::clone(&report));
    let done = Box::new(move |tickets: &[u64], result: Result<(), &StoreError>| {
        if let Some(report) = reported.get() {
            report(result);
        }
        let Some(tell) = told.get() else { return };
        let result = result.map_err(fault);
        for ticket in tickets.iter().filter(|t| **t != NOBODY) {
            tell(Ticket(*ticket), result);
        }
    });
    let (mut users, mut rest) = (Vec::new(), Vec::with_capacity(CHUNK));
    let mut each = |record: towel_store::RecordRef<'_>| {
        if record.table == PROGRAM {
            return;
        }
        let list = if record.table == credentials::TABLE { &mut users } else { &mut rest };
        list.push(Record {
            table: record.table,
            key: record.key.to_vec(),
            value: record.value.map(<[u8]>::to_vec),
        });
        if rest.len() == CHUNK {
            take(std::mem::replace(&mut rest, Vec::with_capacity(CHUNK)));
        }
    };
    let options = Options { sync, ..Options::default() };
    let (store, loaded) = Store::open(&folder(config), options, &mut each, progress, done)?;
    take(rest);
    Ok(Opened { store, users, loaded, tell, report })
}

fn is_full(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::StorageFull | ErrorKind::FileTooLarge | ErrorKind::QuotaExceeded)
}

/// What the core is told of a failure.
fn fault(error: &StoreError) -> StoreFault {
    match error {
        StoreError::Io { error, .. } if is_full(error.kind()) => StoreFault::Full,
        StoreError::Closed => StoreFault::Closed,
        _ => StoreFault::Io,
    }
}

/// A record in the store's own form.
pub fn to_store(record: Record) -> towel_store::Record {
    towel_store::Record { table: record.table, key: record.key, value: record.value }
}

/// Hands a record to the store without waiting; a refusal is told at once.
pub fn submit(
    store: &Store,
    ticket: Option<Ticket>,
    record: Record,
) -> Result<(), (Option<Ticket>, StoreFault)> {
    let number = ticket.map_or(NOBODY, |t| t.0);
    store.submit(number, to_store(record)).map_err(|error| (ticket, fault(&error)))
}
