//! The segment that is being written.

use crate::{StoreError, folder};
use std::{
    fs::{self, File},
    io::{self, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

/// A file that only grows, and that must still stand in its folder when what was written to it is
/// said to be safe: a file without a name takes every write, and is gone with the process.
pub(crate) struct Segment {
    file: File,
    pub(crate) path: PathBuf,
    pub(crate) number: u64,
    /// End of the last batch that was written whole.
    pub(crate) end: u64,
    #[cfg(test)]
    faults: Faults,
}

impl Segment {
    /// Makes it, and makes its name durable.
    pub(crate) fn create(dir: &Path, number: u64) -> Result<Segment, StoreError> {
        let path = folder::segment(dir, number);
        let mut open = File::options();
        open.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut open, 0o600);
        let file = open.open(&path).map_err(|e| StoreError::io("make", &path, e))?;
        if let Err(e) = folder::sync_folder(dir) {
            // Or the next attempt would find it there, and fail for that.
            let _ = fs::remove_file(&path);
            return Err(e);
        }
        Ok(Segment {
            file,
            path,
            number,
            end: 0,
            #[cfg(test)]
            faults: Faults::default(),
        })
    }

    /// Appends a batch, and syncs it where that is wanted.
    pub(crate) fn append(&mut self, batch: &[u8], sync: bool) -> Result<(), StoreError> {
        let written = self.write(batch).map_err(|e| StoreError::io("write to", &self.path, e));
        written.and_then(|()| if sync { self.sync() } else { self.is_there() })?;
        self.end += batch.len() as u64;
        Ok(())
    }

    fn write(&mut self, batch: &[u8]) -> io::Result<()> {
        #[cfg(test)]
        self.faults.meet()?;
        self.file.write_all(batch)
    }

    /// Makes safe what was written.
    pub(crate) fn sync(&mut self) -> Result<(), StoreError> {
        self.file.sync_data().map_err(|e| StoreError::io("sync", &self.path, e))?;
        #[cfg(test)]
        self.faults.synced(&self.path, &self.file);
        self.is_there()
    }

    /// Takes back what was written of a batch that failed; says whether it could.
    pub(crate) fn take_back(&mut self) -> bool {
        self.file.set_len(self.end).and_then(|()| self.file.seek(SeekFrom::Start(self.end))).is_ok()
    }

    /// Is the file still what its name stands for? One system call beside those of a batch.
    #[cfg(unix)]
    fn is_there(&self) -> Result<(), StoreError> {
        use std::os::unix::fs::MetadataExt;
        let same = |named: fs::Metadata| {
            let ours = self.file.metadata()?;
            Ok::<_, io::Error>((named.dev(), named.ino()) == (ours.dev(), ours.ino()))
        };
        match fs::metadata(&self.path).and_then(same) {
            Ok(true) => Ok(()),
            Ok(false) => Err(StoreError::Gone(self.path.clone())),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                Err(StoreError::Gone(self.path.clone()))
            }
            Err(e) => Err(StoreError::io("look for", &self.path, e)),
        }
    }

    #[cfg(not(unix))]
    fn is_there(&self) -> Result<(), StoreError> {
        if self.path.exists() { Ok(()) } else { Err(StoreError::Gone(self.path.clone())) }
    }

    #[cfg(test)]
    pub(crate) fn with(mut self, faults: Faults) -> Segment {
        self.faults = faults;
        self
    }
}

/// What tests have the disk say to every write, while it is set.
#[cfg(test)]
#[derive(Debug, Clone, Default)]
pub(crate) struct Faults {
    kind: std::sync::Arc<std::sync::Mutex<Option<io::ErrorKind>>>,
    /// How much of each segment is on the platters.
    safe: std::sync::Arc<std::sync::Mutex<std::collections::HashMap<PathBuf, u64>>>,
}

#[cfg(test)]
impl Faults {
    pub(crate) fn set(&self, kind: Option<io::ErrorKind>) {
        *self.kind.lock().unwrap() = kind;
    }

    fn synced(&self, path: &Path, file: &File) {
        let length = file.metadata().unwrap().len();
        self.safe.lock().unwrap().insert(path.to_path_buf(), length);
    }

    /// What a folder holds after the power has failed now: of what was written to a segment and not
    /// synced the disk has kept no more than `luck` of it.
    pub(crate) fn lose_power(&self, from: &Path, to: &Path, luck: impl Fn(u64) -> u64) {
        let safe = self.safe.lock().unwrap();
        for (number, path) in folder::segments(from).unwrap() {
            let bytes = fs::read(&path).unwrap();
            let synced = safe.get(&path).copied().unwrap_or(0);
            let kept = synced + luck(bytes.len() as u64 - synced);
            fs::write(folder::segment(to, number), &bytes[..kept as usize]).unwrap();
        }
    }

    fn meet(&self) -> io::Result<()> {
        self.kind.lock().unwrap().map_or(Ok(()), |kind| Err(kind.into()))
    }
}
