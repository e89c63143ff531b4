//! Records and batches as bytes.
//!
//! ```text
//! batch   = magic(4) number(8) length(4) crc(4) record*        crc over number, length, records
//! record  = table(1) kind(1) key-length(4) value-length(4) key value
//! ```
//! Integers are little-endian.

/// Marks the start of a batch; looked for again after a damaged place.
pub(crate) const MAGIC: [u8; 4] = *b"\xD7TwB";
/// Bytes before a batch's records.
pub(crate) const HEAD: usize = 20;
const RECORD_HEAD: usize = 10;
/// No batch is larger: a length beyond it is damage, not a reason to allocate.
pub(crate) const MAX_BATCH: usize = 64 << 20;
/// The largest key and value together, in bytes.
pub(crate) const MAX_RECORD: usize = 16 << 20;

/// A key's value in a table, owned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The table.
    pub table: u8,
    /// The key within the table.
    pub key: Vec<u8>,
    /// The value; `None` removes the key.
    pub value: Option<Vec<u8>>,
}

/// A record as it stands in a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordRef<'a> {
    /// The table.
    pub table: u8,
    /// The key within the table.
    pub key: &'a [u8],
    /// The value; `None` removes the key.
    pub value: Option<&'a [u8]>,
}

impl<'a> From<&'a Record> for RecordRef<'a> {
    fn from(r: &'a Record) -> Self {
        RecordRef { table: r.table, key: &r.key, value: r.value.as_deref() }
    }
}

impl RecordRef<'_> {
    /// The bytes that the record takes in a segment.
    pub(crate) fn size(&self) -> usize {
        RECORD_HEAD + self.key.len() + self.value.map_or(0, <[u8]>::len)
    }

    /// An owned copy.
    pub fn to_owned(&self) -> Record {
        Record { table: self.table, key: self.key.to_vec(), value: self.value.map(<[u8]>::to_vec) }
    }
}

/// Begins a batch in `out`; records follow by [`push`], [`seal`] ends it.
pub(crate) fn begin(out: &mut Vec<u8>) {
    out.clear();
    out.resize(HEAD, 0);
}

/// Adds one record.
pub(crate) fn push(out: &mut Vec<u8>, record: RecordRef<'_>) {
    // The sizes were checked against MAX_RECORD when the record was taken in, so they fit.
    let len = |n: usize| u32::try_from(n).unwrap_or(u32::MAX).to_le_bytes();
    out.push(record.table);
    out.push(u8::from(record.value.is_some()));
    out.extend_from_slice(&len(record.key.len()));
    out.extend_from_slice(&len(record.value.map_or(0, <[u8]>::len)));
    out.extend_from_slice(record.key);
    out.extend_from_slice(record.value.unwrap_or_default());
}

/// Writes the head over the room that [`begin`] left.
pub(crate) fn seal(out: &mut [u8], number: u64) {
    let Some((head, body)) = out.split_at_mut_checked(HEAD) else { return };
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
    head[..4].copy_from_slice(&MAGIC);
    head[4..12].copy_from_slice(&number.to_le_bytes());
    head[12..16].copy_from_slice(&length.to_le_bytes());
    let crc = checksum(number, body);
    head[16..20].copy_from_slice(&crc.to_le_bytes());
}

fn checksum(number: u64, body: &[u8]) -> u32 {
    let mut h = crc32fast::Hasher::new();
    h.update(&number.to_le_bytes());
    h.update(&(body.len() as u64).to_le_bytes());
    h.update(body);
    h.finalize()
}

/// A batch's head, taken apart.
pub(crate) struct Head {
    pub(crate) number: u64,
    pub(crate) length: usize,
    crc: u32,
}

impl Head {
    /// Reads a head; `None` if it is none.
    pub(crate) fn read(bytes: &[u8; HEAD]) -> Option<Head> {
        let (magic, rest) = bytes.split_first_chunk::<4>()?;
        let (number, rest) = rest.split_first_chunk::<8>()?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let (crc, _) = rest.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
        (*magic == MAGIC && length <= MAX_BATCH).then(|| Head {
            number: u64::from_le_bytes(*number),
            length,
            crc: u32::from_le_bytes(*crc),
        })
    }

    /// Is this the body that the head was written for?
    pub(crate) fn covers(&self, body: &[u8]) -> bool {
        body.len() == self.length && checksum(self.number, body) == self.crc
    }
}

/// The records of a batch's body. Ends early at a record that does not fit, which a body whose
/// checksum is right never has.
pub(crate) struct Records<'a>(pub(crate) &'a [u8]);

impl<'a> Iterator for Records<'a> {
    type Item = RecordRef<'a>;

    fn next(&mut self) -> Option<RecordRef<'a>> {
        let (head, rest) = self.0.split_first_chunk::<RECORD_HEAD>()?;
        let [table, kind, k0, k1, k2, k3, v0, v1, v2, v3] = *head;
        let key_len = usize::try_from(u32::from_le_bytes([k0, k1, k2, k3])).ok()?;
        let value_len = usize::try_from(u32::from_le_bytes([v0, v1, v2, v3])).ok()?;
        let (key, rest) = rest.split_at_checked(key_len)?;
        let (value, rest) = rest.split_at_checked(value_len)?;
        self.0 = rest;
        Some(RecordRef { table, key, value: (kind == 1).then_some(value) })
    }
}
