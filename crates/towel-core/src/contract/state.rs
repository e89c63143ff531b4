//! What an extension keeps between messages: in memory on a transaction, durable on a binding.

use std::any::Any;

/// A kept value and whose it is.
type Kept = (&'static str, Box<dyn Any + Send>);

/// Typed values that extensions attach to a transaction.
///
/// An empty one is a null pointer: a transaction that no extension touches pays eight bytes.
#[derive(Default)]
#[expect(clippy::box_collection, reason = "eight bytes and not twenty-four while it is empty")]
pub struct Slots(Option<Box<Vec<Kept>>>);

impl Slots {
    /// No values; does not allocate.
    pub const fn new() -> Self {
        Self(None)
    }

    /// The value that the extension attached, if it is of this type.
    pub fn get<T: 'static>(&self, id: &str) -> Option<&T> {
        self.0.as_ref()?.iter().find(|(owner, _)| *owner == id)?.1.downcast_ref()
    }

    /// The same, to change.
    pub fn get_mut<T: 'static>(&mut self, id: &str) -> Option<&mut T> {
        self.0.as_mut()?.iter_mut().find(|(owner, _)| *owner == id)?.1.downcast_mut()
    }

    /// Attaches a value; an extension has one, so an older one goes.
    pub fn set<T: Any + Send>(&mut self, id: &'static str, value: T) {
        let kept = self.0.get_or_insert_default();
        kept.retain(|(owner, _)| *owner != id);
        kept.push((id, Box::new(value)));
    }

    /// Takes a value away.
    pub fn clear(&mut self, id: &str) {
        if let Some(kept) = &mut self.0 {
            kept.retain(|(owner, _)| *owner != id);
            if kept.is_empty() {
                self.0 = None;
            }
        }
    }

    /// The extensions that attached a value.
    pub fn owners(&self) -> impl Iterator<Item = &'static str> {
        self.0.iter().flat_map(|kept| kept.iter().map(|(owner, _)| *owner))
    }

    /// Whether nothing is attached.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }
}

impl std::fmt::Debug for Slots {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().flat_map(|kept| kept.iter().map(|k| k.0))).finish()
    }
}

/// Bytes that extensions attach to a binding, which outlive the process.
///
/// Kept as one run of bytes, `length of id, id, length of value (two bytes), value` for each
/// extension, so that a store writes it as it is and an empty one costs nothing. The id is
/// written in full: it still means the same after an upgrade that adds extensions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Durable(Vec<u8>);

/// One entry of a run: its id, its value and what follows it.
fn split(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (length, rest) = bytes.split_first()?;
    let (id, rest) = rest.split_at_checked(usize::from(*length))?;
    let (size, rest) = rest.split_at_checked(2)?;
    let size = size.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
    let (value, rest) = rest.split_at_checked(size)?;
    Some((id, value, rest))
}

impl Durable {
    /// No bytes; does not allocate.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// From what [`Self::as_bytes`] gave; what cannot be read is left out.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let mut rest = bytes;
        while let Some((_, _, after)) = split(rest) {
            rest = after;
        }
        Self(bytes.get(..bytes.len() - rest.len()).unwrap_or_default().to_vec())
    }

    /// The run of bytes to store.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether nothing is attached.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Forgets everything and keeps the storage.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// What each extension attached.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        entries(&self.0)
    }

    /// What the extension attached.
    pub fn get(&self, id: &str) -> Option<&[u8]> {
        find(&self.0, id)
    }

    /// Attaches bytes in place of those that were there. An id or value too long for the format
    /// is refused with `false`; both are bounded by the limits on a message long before that.
    pub fn set(&mut self, id: &str, value: &[u8]) -> bool {
        let (Ok(length), Ok(size)) = (u8::try_from(id.len()), u16::try_from(value.len())) else {
            return false;
        };
        self.remove(id);
        self.0.push(length);
        self.0.extend_from_slice(id.as_bytes());
        self.0.extend_from_slice(&size.to_be_bytes());
        self.0.extend_from_slice(value);
        true
    }

    /// Takes an extension's bytes away.
    pub fn remove(&mut self, id: &str) {
        if self.get(id).is_none() {
            return;
        }
        let mut kept = Vec::with_capacity(self.0.len());
        let mut rest = self.0.as_slice();
        while let Some((owner, _, after)) = split(rest) {
            if owner != id.as_bytes() {
                kept.extend_from_slice(rest.get(..rest.len() - after.len()).unwrap_or_default());
            }
            rest = after;
        }
        self.0 = kept;
    }
}

/// The entries of a stored run, without making a [`Durable`] of it.
pub fn entries(bytes: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let (id, value, after) = split(rest)?;
        rest = after;
        Some((id, value))
    })
}

/// One extension's value in a stored run.
pub fn find<'a>(bytes: &'a [u8], id: &str) -> Option<&'a [u8]> {
    entries(bytes).find(|(owner, _)| *owner == id.as_bytes()).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_typed_and_free_when_empty() {
        let mut slots = Slots::new();
        assert_eq!(std::mem::size_of::<Slots>(), std::mem::size_of::<usize>());
        slots.set("a", 7_u32);
        slots.set("b", String::from("x"));
        slots.set("a", 8_u32);
        assert_eq!(slots.get::<u32>("a"), Some(&8));
        assert_eq!(slots.get::<u8>("a"), None);
        slots.clear("a");
        slots.clear("b");
        assert!(slots.is_empty());
    }

    #[test]
    fn durable_values_survive_being_bytes() {
        let mut kept = Durable::new();
        assert!(kept.set("path", b"<sip:a;lr>"));
        assert!(kept.set("capabilities", b"audio"));
        assert!(kept.set("path", b"<sip:b;lr>"));
        let mut again = Durable::from_bytes(kept.as_bytes());
        assert_eq!(again.get("path"), Some(&b"<sip:b;lr>"[..]));
        assert_eq!(again.get("capabilities"), Some(&b"audio"[..]));
        again.remove("path");
        assert_eq!(again.iter().count(), 1);
        assert!(!again.set("path", &[0; 70_000]));
    }

    #[test]
    fn damaged_bytes_are_left_out() {
        let mut kept = Durable::new();
        kept.set("a", b"1");
        let mut bytes = kept.as_bytes().to_vec();
        bytes.extend_from_slice(b"\x05ab");
        assert_eq!(Durable::from_bytes(&bytes), kept);
        for cut in 0..bytes.len() {
            let _ = Durable::from_bytes(&bytes[..cut]);
        }
    }
}
