//! Writing the living records afresh.
//!
//! Finished segments are read twice: once for where the last record of each key stands, once to
//! copy those that live. The new segment takes the place of the newest of them and says in its
//! first record that it stands for all below, so a crash between the renaming and the removing
//! brings nothing back that was deleted.

use crate::{
    RecordRef, StoreError,
    batch::{self, HEAD},
    folder,
    scan::scan,
};
use std::{
    collections::HashMap,
    fs::{self, File},
    hash::{BuildHasher, RandomState},
    io::Write,
    path::Path,
};

/// The table of the store's own records.
pub(crate) const OWN_TABLE: u8 = u8::MAX;
const BASE_KEY: &[u8] = b"stands for all below";
const NEW: &str = "compact.new";

/// Writes the living records of all segments below number `below` into one; its size in bytes.
pub(crate) fn compact(dir: &Path, below: u64) -> Result<u64, StoreError> {
    let outcome = write_afresh(dir, below);
    if outcome.is_err() {
        // On a full disk a half of it would take the room that the next attempt needs.
        remove_unfinished(dir);
    }
    outcome
}

/// Removes what a compaction left that did not come to its end.
pub(crate) fn remove_unfinished(dir: &Path) {
    // The next one would write over it; nothing but room is lost.
    let _ = fs::remove_file(dir.join(NEW));
}

fn write_afresh(dir: &Path, below: u64) -> Result<u64, StoreError> {
    let mut segments = folder::segments(dir)?;
    segments.retain(|(n, _)| *n < below);
    let Some((_, target)) = segments.last().cloned() else { return Ok(0) };

    // Two independent 64-bit hashes stand for a key: that two keys of a million share both is
    // not going to happen by chance, and the seeds are this run's own.
    let seeds = (RandomState::new(), RandomState::new());
    let id = |r: &RecordRef<'_>| {
        (seeds.0.hash_one((r.table, r.key)), seeds.1.hash_one((r.table, r.key)))
    };
    let mut last: HashMap<(u64, u64), u64> = HashMap::new();
    let mut nth = 0u64;
    for (_, path) in &segments {
        scan(path, &mut |r, _| {
            nth += 1;
            if r.value.is_some() && r.table != OWN_TABLE {
                last.insert(id(&r), nth);
            } else {
                last.remove(&id(&r));
            }
        })?;
    }

    let new = dir.join(NEW);
    let fault = |e| StoreError::io("write", &new, e);
    let mut open = File::options();
    open.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut open, 0o600);
    let mut file = open.open(&new).map_err(fault)?;
    let mut out = Vec::new();
    let (mut number, mut size) = (1u64, 0u64);
    batch::begin(&mut out);
    batch::push(&mut out, RecordRef { table: OWN_TABLE, key: BASE_KEY, value: Some(b"") });
    nth = 0;
    let mut broken: Option<std::io::Error> = None;
    for (_, path) in &segments {
        scan(path, &mut |r, _| {
            nth += 1;
            if last.get(&id(&r)) != Some(&nth) || broken.is_some() {
                return;
            }
            batch::push(&mut out, r);
            if out.len() > 1 << 20 {
                batch::seal(&mut out, number);
                broken = file.write_all(&out).err();
                size += out.len() as u64;
                number += 1;
                batch::begin(&mut out);
            }
        })?;
    }
    if let Some(e) = broken {
        return Err(fault(e));
    }
    if out.len() > HEAD {
        batch::seal(&mut out, number);
        file.write_all(&out).map_err(fault)?;
        size += out.len() as u64;
    }
    file.sync_all().map_err(fault)?;
    fs::rename(&new, &target).map_err(|e| StoreError::io("put in place", &new, e))?;
    folder::sync_folder(dir)?;
    remove_superseded(dir)?;
    Ok(size)
}

/// Removes the segments that a later one stands for; how large that one is, nought if there is
/// none.
pub(crate) fn remove_superseded(dir: &Path) -> Result<u64, StoreError> {
    let segments = folder::segments(dir)?;
    let Some(base) = segments.iter().rposition(|(_, path)| stands_for_all_below(path)) else {
        return Ok(0);
    };
    for (_, path) in segments.iter().take(base) {
        fs::remove_file(path).map_err(|e| StoreError::io("remove", path, e))?;
    }
    folder::sync_folder(dir)?;
    Ok(segments.get(base).and_then(|(_, path)| fs::metadata(path).ok()).map_or(0, |m| m.len()))
}

/// Does the segment's first record say so?
fn stands_for_all_below(path: &Path) -> bool {
    use std::io::Read;
    let mut head = [0; HEAD];
    let mut read = || -> Option<bool> {
        let mut file = File::open(path).ok()?;
        file.read_exact(&mut head).ok()?;
        let head = batch::Head::read(&head)?;
        let mut body = vec![0; head.length];
        file.read_exact(&mut body).ok()?;
        let first = head.covers(&body).then(|| batch::Records(&body).next()).flatten()?;
        Some(first.table == OWN_TABLE && first.key == BASE_KEY)
    };
    read().unwrap_or(false)
}
