//! The store and the driver: records go in without waiting, tickets come back when they are safe.

use std::collections::HashSet;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use towel_core::auth::credentials;
use towel_core::io::{Outbox, Output, Record, StoreFault, Ticket};
use towel_core::registrar::{self, Registrar};
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

/// The addresses of record whose bindings had all ended when the store was read.
#[derive(Debug, Default)]
pub struct Ended(HashSet<Vec<u8>>);

impl Ended {
    /// Takes what the core wants removed of the records that it was just given.
    pub fn note(&mut self, out: &mut Outbox) {
        for output in out.outputs.drain(..) {
            match output {
                Output::Store { record, .. } => self.take(record),
                Output::Journal(journal) => journal.submit(|_, record| self.take(record)),
                _ => {}
            }
        }
        out.clear();
    }

    fn take(&mut self, record: Record) {
        if let Record { table: registrar::TABLE, key, value: None } = record {
            self.0.insert(key);
        }
    }

    /// What takes them out of the store, but for those that a later record brought back.
    pub fn records(self, registrar: &Registrar) -> Vec<towel_store::Record> {
        let is_gone = |key: &Vec<u8>| registrar.location(key).get(key).next().is_none();
        let gone = self.0.into_iter().filter(is_gone);
        gone.map(|key| towel_store::Record { table: registrar::TABLE, key, value: None }).collect()
    }
}

/// A record of the store for the core; none if it is of the users, who are in the memory of other threads
/// too, or of the program.
pub fn of_core(record: towel_store::Record) -> Option<Record> {
    let towel_store::Record { table, key, value } = record;
    (table != PROGRAM && table != credentials::TABLE).then_some(Record { table, key, value })
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use towel_core::io::{ConnectionId, Flow, Instant, ListenerId, Now, Transport};
    use towel_core::registrar::{Request, Served, Settings};
    use towel_message::{Host, Index, Limits, Message};

    use super::*;

    struct Town;

    impl Served for Town {
        fn canonical(&self, _: &Host<'_>, _: Option<u16>) -> Option<&str> {
            Some("example.org")
        }
    }

    fn at(second: u64) -> Now {
        Now { unix: second, at: Instant(0) + Duration::from_secs(second) }
    }

    /// The record that a REGISTER leaves in the store.
    fn registered(user: &str, expires: u32, second: u64) -> Record {
        let settings =
            Settings { durability: towel_core::registrar::Durability::Soon, ..Settings::default() };
        let mut registrar = Registrar::new(settings, towel_core::hash::Key(1, 2));
        let text = format!(
            "REGISTER sip:example.org SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.4;branch=z9hG4bK1\r\n\
             From: <sip:{user}@example.org>;tag=1\r\nTo: <sip:{user}@example.org>\r\nCall-ID: a\r\n\
             CSeq: 1 REGISTER\r\nContact: <sip:{user}@192.0.2.4>;expires={expires}\r\n\r\n"
        );
        let mut index = Index::new();
        let message = Message::parse(text.as_bytes(), &mut index, &Limits::default()).unwrap();
        let address = "192.0.2.4:5060".parse().unwrap();
        let flow = Flow {
            transport: Transport::Udp,
            listener: ListenerId(0),
            local: address,
            remote: address,
            connection: None::<ConnectionId>,
        };
        let mut out = Outbox::new();
        let request = Request { message, flow, user: None, kept: &[], route: b"" };
        let _ = registrar.register(&request, &Town, at(second), Ticket(1), &mut out);
        let stored = out.outputs.drain(..).find_map(|output| match output {
            Output::Store { record, .. } => Some(record),
            _ => None,
        });
        stored.unwrap()
    }

    #[test]
    fn what_ended_while_nobody_ran_is_taken_out_unless_it_came_again() {
        let (first, now) = (1_000_000, at(1_001_000));
        let mut registrar = Registrar::new(Settings::default(), towel_core::hash::Key(3, 4));
        let (mut ended, mut out) = (Ended::default(), Outbox::new());
        for record in [
            registered("gone", 100, first),
            registered("back", 100, first),
            registered("there", 3_600, first),
            registered("back", 3_600, first + 500),
        ] {
            assert!(registrar.load(&record, now, &mut out));
            ended.note(&mut out);
        }
        let records = ended.records(&registrar);
        let key = b"sip:gone@example.org".to_vec();
        assert_eq!(records, [towel_store::Record { table: registrar::TABLE, key, value: None }]);
    }
}
