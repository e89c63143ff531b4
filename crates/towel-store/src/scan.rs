//! Reading one segment from its start, batch by batch.

use crate::{
    Damage, StoreError,
    batch::{HEAD, Head, MAGIC, RecordRef, Records},
};
use std::{
    fs::File,
    io::{BufReader, Read, Seek, SeekFrom},
    path::Path,
};

/// What reading a segment found.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    /// Records read.
    pub(crate) records: u64,
    /// The highest batch number.
    pub(crate) last_batch: u64,
    /// Where the last good batch ends.
    pub(crate) good_end: u64,
    /// The file's size.
    pub(crate) size: u64,
    /// Bad places followed by a good batch: a batch is only begun once the one before it is on
    /// the disk, so these were acknowledged once and are damage.
    pub(crate) damage: Vec<Damage>,
}

impl Scan {
    /// Bytes after the last good batch: a torn write, if this is the newest segment.
    pub(crate) fn tail(&self) -> u64 {
        self.size.saturating_sub(self.good_end)
    }
}

/// Reads a segment; `each` is given the record and the offset of its batch.
pub(crate) fn scan(
    path: &Path,
    each: &mut dyn FnMut(RecordRef<'_>, u64),
) -> Result<Scan, StoreError> {
    let fault = |e| StoreError::io("read", path, e);
    let file = File::open(path).map_err(fault)?;
    let size = file.metadata().map_err(fault)?.len();
    let mut reader = BufReader::with_capacity(1 << 20, file);
    let mut found = Scan { size, ..Scan::default() };
    let mut at = 0u64;
    let mut body = Vec::new();
    loop {
        match read_batch(&mut reader, size - at, &mut body).map_err(fault)? {
            Some(head) => {
                for record in Records(&body) {
                    found.records += 1;
                    each(record, at);
                }
                found.last_batch = found.last_batch.max(head.number);
                at += (HEAD + head.length) as u64;
                found.good_end = at;
            }
            None if at >= size => return Ok(found),
            None => match resync(&mut reader, at, size, &mut body).map_err(fault)? {
                Some(next) => {
                    found.damage.push(Damage {
                        file: path.to_path_buf(),
                        at,
                        lost: next - at,
                        why: "the checksum is wrong, and good batches follow",
                    });
                    at = next;
                    reader.seek(SeekFrom::Start(at)).map_err(fault)?;
                }
                None => return Ok(found),
            },
        }
    }
}

/// One batch from where the reader stands; `None` if there is no good one.
fn read_batch(
    reader: &mut impl Read,
    left: u64,
    body: &mut Vec<u8>,
) -> std::io::Result<Option<Head>> {
    let mut head = [0; HEAD];
    if left < HEAD as u64 {
        return Ok(None);
    }
    reader.read_exact(&mut head)?;
    let Some(head) = Head::read(&head) else { return Ok(None) };
    if left - (HEAD as u64) < head.length as u64 {
        return Ok(None);
    }
    body.clear();
    body.resize(head.length, 0);
    reader.read_exact(body)?;
    Ok(head.covers(body).then_some(head))
}

/// The offset of the next good batch after the bad place at `bad`.
fn resync(
    reader: &mut BufReader<File>,
    bad: u64,
    size: u64,
    body: &mut Vec<u8>,
) -> std::io::Result<Option<u64>> {
    let mut at = bad + 1;
    let mut window = vec![0u8; 1 << 20];
    while at + HEAD as u64 <= size {
        reader.seek(SeekFrom::Start(at))?;
        let want = usize::try_from(size - at).unwrap_or(usize::MAX).min(window.len());
        let Some(chunk) = window.get_mut(..want) else { return Ok(None) };
        reader.read_exact(chunk)?;
        let hits: Vec<usize> = chunk
            .windows(MAGIC.len())
            .enumerate()
            .filter(|(_, w)| *w == MAGIC)
            .map(|(i, _)| i)
            .collect();
        for hit in hits {
            let start = at + hit as u64;
            reader.seek(SeekFrom::Start(start))?;
            if read_batch(reader, size - start, body)?.is_some() {
                return Ok(Some(start));
            }
        }
        // The next window begins so that a mark on the border is seen whole.
        at += (want - (MAGIC.len() - 1)).max(1) as u64;
    }
    Ok(None)
}
