//! The one thread that writes: gathers what waits into a batch, writes it, syncs once, tells.

use crate::{
    Options, Record, RecordRef, StoreError, Sync,
    batch::{self, MAX_BATCH},
    compact, folder,
    open::Done,
    scan::scan,
    segment::Segment,
};
use std::{
    path::{Path, PathBuf},
    sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel},
    time::{Duration, Instant},
};

/// Where a blocking call waits for its outcome.
pub(crate) type Tell = Sender<Result<(), StoreError>>;

/// What the writer is asked for.
pub(crate) enum Job {
    Put {
        ticket: u64,
        record: Record,
    },
    PutAll {
        records: Vec<Record>,
        tell: Tell,
    },
    Compact {
        tell: Tell,
    },
    /// Give all records, as they stand on the disk.
    Read {
        give: SyncSender<Vec<Record>>,
        tell: Tell,
    },
    /// Write what waits, and end.
    Close {
        tell: Tell,
    },
}

/// Records gathered in one batch before it is closed, so that the first ones do not wait for a
/// queue that never empties.
const BATCH_BYTES: usize = 4 << 20;
/// Records handed over at once when all are read again.
const READ_AT_ONCE: usize = 1024;

pub(crate) struct Writer {
    dir: PathBuf,
    options: Options,
    segment: Segment,
    batch: u64,
    /// Bytes in finished segments since the living were last written afresh, and after that.
    sealed: u64,
    live: u64,
    unsynced: Option<Instant>,
    compaction: Option<Receiver<Result<u64, StoreError>>>,
    /// What `sealed` was when it began.
    compacting: u64,
    /// Not before then is it tried again after it failed.
    compact_after: Option<Instant>,
    waiting_for_compaction: Vec<Tell>,
    done: Done,
}

impl Writer {
    pub(crate) fn start(
        dir: &Path,
        options: Options,
        segment: u64,
        batch: u64,
        (sealed, live): (u64, u64),
        done: Done,
    ) -> Result<Writer, StoreError> {
        let segment = new_segment(dir, segment, &options)?;
        Ok(Writer {
            dir: dir.to_path_buf(),
            options,
            segment,
            batch,
            sealed,
            live,
            unsynced: None,
            compaction: None,
            compacting: 0,
            compact_after: None,
            waiting_for_compaction: Vec::new(),
            done,
        })
    }

    /// Writes the batch in `bytes`, and syncs it if a record only counts then.
    fn write(&mut self, bytes: &mut [u8]) -> Result<(), StoreError> {
        let end = self.segment.end;
        if end > 0 && end + bytes.len() as u64 > self.options.segment_bytes {
            self.next_segment()?;
        }
        batch::seal(bytes, self.batch);
        let each = self.options.sync == Sync::EachBatch;
        if let Err(fault) = self.segment.append(bytes, each) {
            // What was half written must not stand before the next batch. If even that cannot
            // be undone, a segment of its own keeps later batches readable.
            if !self.segment.take_back() {
                self.next_segment()?;
            }
            return Err(fault);
        }
        self.batch += 1;
        if !each {
            self.unsynced.get_or_insert_with(Instant::now);
        }
        Ok(())
    }

    fn next_segment(&mut self) -> Result<(), StoreError> {
        self.sync()?;
        let next = new_segment(&self.dir, self.segment.number + 1, &self.options)?;
        self.sealed += self.segment.end;
        self.segment = next;
        Ok(())
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        self.unsynced = None;
        self.segment.sync()
    }

    /// Until when the queue may be waited on.
    fn patience(&self) -> Duration {
        let idle = Duration::from_millis(if self.compaction.is_some() { 5 } else { 1000 });
        match (self.options.sync, self.unsynced) {
            (Sync::Every(period), Some(since)) => period.saturating_sub(since.elapsed()).min(idle),
            _ => idle,
        }
    }

    fn due(&mut self) {
        if let (Sync::Every(period), Some(since)) = (self.options.sync, self.unsynced)
            && since.elapsed() >= period
            && let Err(e) = self.sync()
        {
            (self.done)(&[], Err(&e));
        }
        if let Some(outcome) = self.compaction.as_ref().and_then(|c| c.try_recv().ok()) {
            self.compacted(outcome);
        }
        let dead = self.sealed.saturating_sub(self.live);
        if dead > self.options.slack_bytes.max(self.live)
            && self.compaction.is_none()
            && self.compact_after.is_none_or(|at| Instant::now() >= at)
        {
            self.compact();
        }
    }

    fn compacted(&mut self, outcome: Result<u64, StoreError>) {
        self.compaction = None;
        match outcome {
            Ok(live) => {
                self.live = live;
                self.sealed += live;
                for tell in self.waiting_for_compaction.drain(..) {
                    let _ = tell.send(Ok(()));
                }
            }
            Err(e) => self.compaction_failed(e),
        }
    }

    /// Reads all segments again, while nothing is written.
    fn read(&mut self, give: &SyncSender<Vec<Record>>) -> Result<(), StoreError> {
        if let Some(outcome) = self.compaction.as_ref().and_then(|c| c.recv().ok()) {
            self.compacted(outcome);
        }
        let mut some = Vec::new();
        for (_, path) in folder::segments(&self.dir)? {
            let found = scan(&path, &mut |record, _| {
                if record.table != compact::OWN_TABLE {
                    some.push(record.to_owned());
                }
                if some.len() == READ_AT_ONCE {
                    // Whoever asked may want no more.
                    let _ = give.send(core::mem::take(&mut some));
                }
            })?;
            if !found.damage.is_empty() {
                return Err(StoreError::Damaged { damage: found.damage, readable: found.records });
            }
        }
        let _ = give.send(some);
        Ok(())
    }

    /// The older segments still stand: nothing is lost but room.
    fn compaction_failed(&mut self, why: StoreError) {
        self.sealed += core::mem::take(&mut self.compacting);
        self.compact_after = Some(Instant::now() + self.options.compact_again);
        let why = StoreError::Compaction(Box::new(why));
        (self.done)(&[], Err(&why));
        for tell in self.waiting_for_compaction.drain(..) {
            let error = std::io::Error::other(why.to_string());
            let _ = tell.send(Err(StoreError::io("compact", &self.dir, error)));
        }
    }

    /// Begins to write the living afresh on a thread of its own; batches go on meanwhile.
    fn compact(&mut self) {
        if self.segment.end > 0
            && let Err(e) = self.next_segment()
        {
            return self.compaction_failed(e);
        }
        let (tell, told) = channel();
        let (dir, below) = (self.dir.clone(), self.segment.number);
        // What lives of it is added when the outcome is known; until then nothing more is dead.
        self.compacting = core::mem::take(&mut self.sealed);
        let begun = std::thread::Builder::new().name("store-compact".into()).spawn(move || {
            let _ = tell.send(compact::compact(&dir, below));
        });
        match begun {
            Ok(_) => self.compaction = Some(told),
            Err(e) => self.compaction_failed(StoreError::io("compact", &self.dir, e)),
        }
    }
}

#[cfg_attr(not(test), expect(unused_variables, reason = "tests have disks that fail"))]
fn new_segment(dir: &Path, number: u64, options: &Options) -> Result<Segment, StoreError> {
    let segment = Segment::create(dir, number)?;
    #[cfg(test)]
    let segment = segment.with(options.faults.clone());
    Ok(segment)
}

/// Runs until every sender is gone and the queue is empty.
pub(crate) fn run(mut writer: Writer, inbox: &Receiver<Job>) {
    let mut bytes = Vec::new();
    let mut tickets: Vec<u64> = Vec::new();
    let mut tells: Vec<Tell> = Vec::new();
    let mut closed = None;
    loop {
        let mut next = match inbox.recv_timeout(writer.patience()) {
            Ok(job) => Some(job),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => break,
        };
        batch::begin(&mut bytes);
        let (mut compact, mut close, mut read) = (None, None, None);
        while let Some(job) = next.take() {
            match job {
                Job::Put { ticket, record } => {
                    batch::push(&mut bytes, RecordRef::from(&record));
                    tickets.push(ticket);
                }
                Job::PutAll { records, tell } => {
                    put_all(&mut writer, &mut bytes, &records, tell, &mut tells);
                }
                Job::Compact { tell } => {
                    compact = Some(tell);
                    break;
                }
                Job::Read { give, tell } => {
                    read = Some((give, tell));
                    break;
                }
                Job::Close { tell } => {
                    close = Some(tell);
                    break;
                }
            }
            if bytes.len() < BATCH_BYTES {
                next = inbox.try_recv().ok();
            }
        }
        if bytes.len() > batch::HEAD {
            let outcome = writer.write(&mut bytes);
            (writer.done)(&tickets, outcome.as_ref().copied());
            let failed = outcome.err().map(|e| e.to_string());
            for tell in tells.drain(..) {
                let _ = tell.send(match &failed {
                    None => Ok(()),
                    Some(why) => Err(StoreError::Io {
                        doing: "write to",
                        path: writer.segment.path.clone(),
                        error: std::io::Error::other(why.clone()),
                    }),
                });
            }
            tickets.clear();
        }
        writer.due();
        if let Some((give, tell)) = read {
            let outcome = writer.read(&give);
            drop(give);
            let _ = tell.send(outcome);
        }
        if let Some(tell) = close {
            // Its end is told when all is done, below.
            closed = Some(tell);
            break;
        }
        if let Some(tell) = compact {
            writer.waiting_for_compaction.push(tell);
            if writer.compaction.is_none() {
                writer.compact();
            }
        }
    }
    if let Err(e) = writer.sync() {
        (writer.done)(&[], Err(&e));
    }
    if let Some(outcome) = writer.compaction.take() {
        let _ = outcome.recv();
    }
    // Nothing is open any more when whoever waits is told.
    drop(writer);
    if let Some(tell) = closed {
        let _ = tell.send(Ok(()));
    }
}

/// Adds many records to the batch, or writes them in batches of their own where they are too
/// many for one.
fn put_all(
    writer: &mut Writer,
    bytes: &mut Vec<u8>,
    records: &[Record],
    tell: Tell,
    tells: &mut Vec<Tell>,
) {
    let size: usize = records.iter().map(|r| RecordRef::from(r).size()).sum();
    if bytes.len() + size <= MAX_BATCH / 2 {
        for r in records {
            batch::push(bytes, RecordRef::from(r));
        }
        tells.push(tell);
        return;
    }
    let mut own = Vec::new();
    batch::begin(&mut own);
    let mut outcome = Ok(());
    for (i, r) in records.iter().enumerate() {
        batch::push(&mut own, RecordRef::from(r));
        if own.len() >= BATCH_BYTES || i + 1 == records.len() {
            outcome = writer.write(&mut own);
            if outcome.is_err() {
                break;
            }
            batch::begin(&mut own);
        }
    }
    let _ = tell.send(outcome);
}
