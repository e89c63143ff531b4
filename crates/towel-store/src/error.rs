//! What can go wrong with a store, in words for an operator.

use std::{fmt, io, path::PathBuf};

/// A place in a segment that is neither a batch nor the torn end of the newest segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The segment.
    pub file: PathBuf,
    /// Offset in bytes of the first bad byte.
    pub at: u64,
    /// How many bytes cannot be read, up to the next good batch or the end of the file.
    pub lost: u64,
    /// What is wrong there.
    pub why: &'static str,
}

/// Why a store could not be opened or written.
#[derive(Debug)]
pub enum StoreError {
    /// Another process has the store open.
    Locked(PathBuf),
    /// A file could not be read or written.
    Io {
        /// What was being done.
        doing: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The store is damaged. Nothing was changed; [`crate::repair`] saves what can be read.
    Damaged {
        /// Every bad place found.
        damage: Vec<Damage>,
        /// How many records can still be read.
        readable: u64,
    },
    /// The file that is written to no longer stands in its folder: somebody removed or moved it.
    Gone(PathBuf),
    /// The living records could not be written afresh. Records are stored all the same.
    Compaction(Box<StoreError>),
    /// A key or a value is larger than a record may be.
    TooLarge(usize),
    /// The store has been closed.
    Closed,
}

impl StoreError {
    pub(crate) fn io(doing: &'static str, path: impl Into<PathBuf>, error: io::Error) -> Self {
        StoreError::Io { doing, path: path.into(), error }
    }
}

/// What an operator can do about it.
fn advice(error: &io::Error) -> Option<&'static str> {
    use io::ErrorKind::{
        FileTooLarge, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull,
    };
    Some(match error.kind() {
        StorageFull => "The disk is full: make room on it, or put `data` on another",
        QuotaExceeded => "The disk quota is used up: make room, or have it raised",
        FileTooLarge => "The process may write no larger file: raise its limit (ulimit -f)",
        ReadOnlyFilesystem => {
            "The file system is read-only: mount it writable, or put `data` elsewhere"
        }
        PermissionDenied => {
            "Start towel as the user that owns the folder, or give the folder to this one"
        }
        _ => return None,
    })
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreError::Locked(path) => write!(
                f,
                "the store {} is in use by another process: another towel runs on this data folder",
                path.display()
            ),
            StoreError::Io { doing, path, error } => {
                write!(f, "cannot {doing} {}: {error}", path.display())?;
                match advice(error) {
                    Some(advice) => write!(f, ". {advice}"),
                    None => Ok(()),
                }
            }
            StoreError::Damaged { damage, readable } => {
                for d in damage {
                    writeln!(
                        f,
                        "{}: {} bytes cannot be read from offset {}: {}",
                        d.file.display(),
                        d.lost,
                        d.at,
                        d.why
                    )?;
                }
                write!(
                    f,
                    "the store is damaged; {readable} records can be read. Nothing was changed. \
                     `towel store repair` keeps the damaged files and saves what can be read"
                )
            }
            StoreError::Gone(path) => write!(
                f,
                "{} is gone: it, or a folder that it is in, was removed or moved while it was in \
                 use. Put it back, or restart towel, which goes on with what it finds there",
                path.display()
            ),
            StoreError::Compaction(why) => {
                write!(f, "the store grows, since its dead records cannot be let go of: {why}")
            }
            StoreError::TooLarge(n) => write!(f, "a record of {n} bytes is too large to store"),
            StoreError::Closed => write!(f, "the store is closed"),
        }
    }
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            StoreError::Io { error, .. } => Some(error),
            StoreError::Compaction(why) => Some(why),
            _ => None,
        }
    }
}
