//! Looking at a damaged store, and saving what can be read of it.

use crate::{
    Damage, Options, Record, Store, StoreError,
    compact::{OWN_TABLE, remove_superseded},
    folder,
    scan::scan,
};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// What a repair did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repaired {
    /// Records saved, superseded ones among them.
    pub saved: u64,
    /// The bad places.
    pub damage: Vec<Damage>,
    /// The folder in which the damaged files are kept.
    pub kept: PathBuf,
}

/// Reads a store without changing it: how many records can be read, and every bad place.
///
/// # Errors
/// If the store is open elsewhere or a file cannot be read at all.
pub fn inspect(dir: &Path) -> Result<(u64, Vec<Damage>), StoreError> {
    let _lock = folder::lock(dir)?;
    let (mut records, mut damage) = (0, Vec::new());
    let segments = folder::segments(dir)?;
    for (i, (_, path)) in segments.iter().enumerate() {
        let found = scan(path, &mut |_, _| {})?;
        records += found.records;
        let tail = found.tail();
        damage.extend(found.damage);
        if tail > 0 && i + 1 < segments.len() {
            damage.push(Damage {
                file: path.clone(),
                at: found.good_end,
                lost: tail,
                why: "the end of a finished segment cannot be read",
            });
        }
    }
    Ok((records, damage))
}

/// Moves the files of a damaged store into a folder beside it and writes every record that can
/// be read into a new one in its place.
///
/// # Errors
/// If the store is open elsewhere, or a file cannot be read, moved or written.
pub fn repair(dir: &Path) -> Result<Repaired, StoreError> {
    let (_, damage) = inspect(dir)?;
    remove_superseded(dir)?;
    let kept = (1..)
        .map(|n| dir.join(format!("damaged-{n}")))
        .find(|p| !p.exists())
        .unwrap_or_else(|| dir.join("damaged"));
    fs::create_dir(&kept).map_err(|e| StoreError::io("make the folder", &kept, e))?;
    for (_, path) in folder::segments(dir)? {
        let to = kept.join(path.file_name().unwrap_or_default());
        fs::rename(&path, &to).map_err(|e| StoreError::io("move", &path, e))?;
    }
    let (store, _) =
        Store::open(dir, Options::default(), &mut |_| {}, &mut |_, _| {}, Box::new(|_, _| {}))?;
    let mut saved = 0;
    let mut some: Vec<Record> = Vec::new();
    for (_, path) in folder::segments(&kept)? {
        let mut failed = None;
        scan(&path, &mut |r, _| {
            if r.table == OWN_TABLE {
                return;
            }
            some.push(r.to_owned());
            saved += 1;
            if some.len() >= 4096 {
                failed = failed.take().or(store.put(std::mem::take(&mut some)).err());
            }
        })?;
        if let Some(e) = failed {
            return Err(e);
        }
    }
    store.put(some)?;
    Ok(Repaired { saved, damage, kept })
}
