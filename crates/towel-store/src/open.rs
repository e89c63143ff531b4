//! Opening a store and handing records to it.

use crate::{
    Record, RecordRef, StoreError,
    batch::MAX_RECORD,
    compact::{self, OWN_TABLE},
    folder,
    scan::scan,
    writer::{self, Job, Writer},
};
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    sync::mpsc::{self, SyncSender},
    thread::JoinHandle,
    time::Duration,
};

/// When a record counts as stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sync {
    /// Once `fdatasync` has returned: it survives a power failure.
    EachBatch,
    /// Once it is written, the disk being told at most this often: it survives `kill -9` of the
    /// process, and a power failure but for the last moments.
    Every(Duration),
}

/// How a store is to work.
#[derive(Debug, Clone)]
pub struct Options {
    /// When a record counts as stored.
    pub sync: Sync,
    /// A segment beyond this many bytes is closed and the next begun.
    pub segment_bytes: u64,
    /// Records that may wait for the writer; [`Store::submit`] refuses more.
    pub queue: usize,
    /// Dead weight in bytes that is borne before the living records are written afresh.
    pub slack_bytes: u64,
    /// How long after it failed writing afresh is tried again.
    pub compact_again: Duration,
    #[cfg(test)]
    pub(crate) faults: crate::segment::Faults,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            sync: Sync::EachBatch,
            segment_bytes: 64 << 20,
            queue: 1 << 16,
            slack_bytes: 64 << 20,
            compact_again: Duration::from_secs(60),
            #[cfg(test)]
            faults: Default::default(),
        }
    }
}

/// What opening found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Loaded {
    /// Records read, superseded ones among them.
    pub records: u64,
    /// Bytes of a last write that a crash tore, which nobody was told was stored. They are cut
    /// off.
    pub torn: u64,
    /// Segments read.
    pub segments: usize,
}

/// Called on the writer's thread with the tickets of a batch and how it ended.
pub type Done = Box<dyn Fn(&[u64], Result<(), &StoreError>) + Send>;

/// An open store. Dropping it writes what waits and closes it.
pub struct Store {
    jobs: Option<SyncSender<Job>>,
    thread: Option<JoinHandle<()>>,
    lock: File,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").finish_non_exhaustive()
    }
}

impl Store {
    /// Opens the store in `dir`, making it if there is none. Every record is given to `each` in
    /// the order of writing (a later one of the same key replaces an earlier one); `progress` is
    /// told bytes read and bytes in all.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] if acknowledged bytes cannot be read: nothing is changed then.
    pub fn open(
        dir: &Path,
        options: Options,
        each: &mut dyn FnMut(RecordRef<'_>),
        progress: &mut dyn FnMut(u64, u64),
        done: Done,
    ) -> Result<(Store, Loaded), StoreError> {
        make_private_folder(dir)?;
        let lock = folder::lock(dir)?;
        compact::remove_unfinished(dir);
        let live = compact::remove_superseded(dir)?;
        let segments = folder::segments(dir)?;
        let total =
            segments.iter().filter_map(|(_, p)| fs::metadata(p).ok()).map(|m| m.len()).sum();
        let mut loaded = Loaded { segments: segments.len(), ..Loaded::default() };
        let mut damage = Vec::new();
        let mut read = 0;
        let mut last_batch = 0;
        let mut torn: Option<(PathBuf, u64)> = None;
        for (i, (_, path)) in segments.iter().enumerate() {
            let found = scan(path, &mut |record, at| {
                if record.table != OWN_TABLE {
                    each(record);
                }
                // Telling of every record would cost more than reading it.
                if loaded_step(at) {
                    progress(read + at, total);
                }
            })?;
            loaded.records += found.records;
            last_batch = last_batch.max(found.last_batch);
            let tail = found.tail();
            damage.extend(found.damage);
            if tail > 0 {
                if i + 1 == segments.len() {
                    torn = Some((path.clone(), found.good_end));
                    loaded.torn = tail;
                } else {
                    damage.push(crate::Damage {
                        file: path.clone(),
                        at: found.good_end,
                        lost: tail,
                        why: "the end of a finished segment cannot be read",
                    });
                }
            }
            read += found.size;
            progress(read, total);
        }
        if !damage.is_empty() {
            return Err(StoreError::Damaged { damage, readable: loaded.records });
        }
        if let Some((path, end)) = torn {
            File::options()
                .write(true)
                .open(&path)
                .and_then(|f| f.set_len(end).and_then(|()| f.sync_all()))
                .map_err(|e| StoreError::io("cut the torn end of", &path, e))?;
        }
        let next = segments.last().map_or(1, |(n, _)| n + 1);
        let writer =
            Writer::start(dir, options.clone(), next, last_batch + 1, (total, live), done)?;
        let (jobs, inbox) = mpsc::sync_channel(options.queue);
        let thread = std::thread::Builder::new()
            .name("store".into())
            .spawn(move || writer::run(writer, &inbox))
            .map_err(|e| StoreError::io("start the writer of", dir, e))?;
        Ok((Store { jobs: Some(jobs), thread: Some(thread), lock }, loaded))
    }

    /// Hands a record over without waiting; `done` is told of `ticket` later. Refused at once if
    /// the queue is full, so that a slow disk cannot make memory grow.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`], or [`StoreError::Closed`] if the queue is full or closed.
    pub fn submit(&self, ticket: u64, record: Record) -> Result<(), StoreError> {
        let size = RecordRef::from(&record).size();
        if size > MAX_RECORD {
            return Err(StoreError::TooLarge(size));
        }
        let jobs = self.jobs.as_ref().ok_or(StoreError::Closed)?;
        jobs.try_send(Job::Put { ticket, record }).map_err(|_| StoreError::Closed)
    }

    /// Stores records and waits until they are.
    ///
    /// # Errors
    /// What the writer met.
    pub fn put(&self, records: Vec<Record>) -> Result<(), StoreError> {
        for r in &records {
            let size = RecordRef::from(r).size();
            if size > MAX_RECORD {
                return Err(StoreError::TooLarge(size));
            }
        }
        let jobs = self.jobs.as_ref().ok_or(StoreError::Closed)?;
        if records.is_empty() {
            return Ok(());
        }
        let (tell, told) = mpsc::channel();
        jobs.send(Job::PutAll { records, tell }).map_err(|_| StoreError::Closed)?;
        told.recv().map_err(|_| StoreError::Closed)?
    }

    /// Reads all records again, in the order of writing, with everything that was handed over before.
    ///
    /// # Errors
    /// What the writer met.
    pub fn read(&self, each: &mut dyn FnMut(Vec<Record>)) -> Result<(), StoreError> {
        let jobs = self.jobs.as_ref().ok_or(StoreError::Closed)?;
        let (tell, told) = mpsc::channel();
        let (give, given) = mpsc::sync_channel(4);
        jobs.send(Job::Read { give, tell }).map_err(|_| StoreError::Closed)?;
        given.iter().for_each(each);
        told.recv().map_err(|_| StoreError::Closed)?
    }

    /// Writes the living records afresh now, and waits for it.
    ///
    /// # Errors
    /// What the writer met.
    pub fn compact(&self) -> Result<(), StoreError> {
        let jobs = self.jobs.as_ref().ok_or(StoreError::Closed)?;
        let (tell, told) = mpsc::channel();
        jobs.send(Job::Compact { tell }).map_err(|_| StoreError::Closed)?;
        told.recv().map_err(|_| StoreError::Closed)?
    }

    /// Writes what waits and closes the store, so that another process can open it; whatever is
    /// handed over from now on is refused with [`StoreError::Closed`]. Waits until it is done.
    pub fn close(&self) {
        let Some(jobs) = &self.jobs else { return };
        let (tell, told) = mpsc::channel();
        if jobs.send(Job::Close { tell }).is_ok() {
            let _ = told.recv();
        }
        // Not unlocked it is free when this process ends.
        let _ = self.lock.unlock();
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            // A writer that panicked has nothing left to save; the log holds what it holds.
            let _ = thread.join();
        }
    }
}

fn loaded_step(at: u64) -> bool {
    at & 0xF_FFFF < 0x400
}

/// Credentials lie in it, so it is the owner's alone.
fn make_private_folder(dir: &Path) -> Result<(), StoreError> {
    let mut make = fs::DirBuilder::new();
    make.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut make, 0o700);
    make.create(dir).map_err(|e| StoreError::io("make the folder", dir, e))
}
