//! Attributes, read when asked for.
//!
//! Each type says by [`Typed`] which attribute it reads. A value that no type here reads is at hand
//! as bytes ([`Attribute::value`]).

mod rtp;
mod security;
mod transport;

pub use rtp::{Fmtp, MaxPtime, Ptime, RtpMap};
pub use security::{Confirm, Crypto, Current, Desired, Fingerprint, Status, Strength};
pub use transport::{Candidate, ConnectionUse, Group, Mid, Rtcp, RtcpMux, Setup};

use crate::{Cursor, Fault, Line};

/// An attribute as it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attribute<'d> {
    /// The name before the `:`.
    pub name: &'d str,
    /// What follows the `:`, if there is one.
    pub value: Option<&'d [u8]>,
    /// Its line, counted from 1.
    pub line: usize,
    /// Where its value begins in the description; its name where it has none.
    pub at: usize,
}

impl<'d> Attribute<'d> {
    /// The attribute of an `a=` line. A name that is no text is empty.
    pub(crate) fn of(line: &Line<'d>) -> Self {
        let whole = line.value();
        let at = line.at.saturating_add(2);
        let (name, value, at) = match whole.iter().position(|b| *b == b':') {
            Some(colon) => {
                let (name, value) = whole.split_at_checked(colon).unwrap_or_default();
                (name, value.get(1..), at.saturating_add(colon).saturating_add(1))
            }
            None => (whole, None, at),
        };
        let name = core::str::from_utf8(name).unwrap_or_default().trim_matches(' ');
        Self { name, value, line: line.number, at }
    }

    /// Whether it has this name. The RFC has names of one case only; phones differ, and no two
    /// names differ by case alone.
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// A cursor at the value.
    pub fn cursor(&self) -> Cursor<'d> {
        Cursor::new(self.value.unwrap_or_default(), self.at, self.line)
    }
}

/// An attribute that is read by its name.
pub trait Typed<'d>: Sized {
    /// The name of the attribute.
    const NAME: &'static str;

    /// Reads the value.
    fn read(cursor: Cursor<'d>) -> Result<Self, Fault>;
}

/// Reads the value of a known attribute only to see whether it can be read; `None` for a name
/// that nothing here reads.
pub(crate) fn try_read(attribute: &Attribute<'_>) -> Option<Fault> {
    fn check<'d, T: Typed<'d>>(attribute: &Attribute<'d>) -> Option<Option<Fault>> {
        attribute.is(T::NAME).then(|| T::read(attribute.cursor()).err())
    }
    let readers = [
        check::<RtpMap<'_>>,
        check::<Fmtp<'_>>,
        check::<Ptime>,
        check::<MaxPtime>,
        check::<Mid<'_>>,
        check::<Group<'_>>,
        check::<Rtcp<'_>>,
        check::<Setup>,
        check::<ConnectionUse>,
        check::<Fingerprint<'_>>,
        check::<Crypto<'_>>,
        check::<Current<'_>>,
        check::<Desired<'_>>,
        check::<Confirm<'_>>,
        check::<Candidate<'_>>,
    ];
    readers.iter().find_map(|reader| reader(attribute)).flatten()
}
