//! The registrar and the location service (RFC 3261 section 10).
//!
//! [`Registrar`] carries out REGISTER requests; [`Location`] is what it writes and a proxy reads.
//! Authentication, the Require header field and extensions are the business of who calls it.

mod aor;
mod binding;
mod contact;
mod location;
mod pending;
mod register;
mod removed;
mod tables;

pub use aor::{Served, address_of_record, write_address_of_record};
pub use binding::{Binding, Bindings};
pub(crate) use contact::hops;
pub use location::Location;
pub use register::{Outcome, Refusal, Registered, Registrar, Request, Stored, TABLE};
pub use tables::Looked;

/// When the 200 leaves, as against when its bindings are safe on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// After they are safe: what was acknowledged is there after a crash.
    #[default]
    BeforeAnswer,
    /// At once; they are safe soon after.
    Soon,
    /// At once; they are never written down.
    Memory,
}

/// What can be set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The shortest interval that is accepted, in seconds. A request for a shorter one, and for
    /// less than an hour, is answered with 423.
    pub min_expires: u32,
    /// The interval for a contact that names none.
    pub default_expires: u32,
    /// The longest interval that is granted.
    pub max_expires: u32,
    /// How many contacts one address of record may be bound to.
    pub max_contacts: usize,
    /// Octets of one contact with its parameters, and of all Path values of a request.
    pub max_contact_length: usize,
    /// How many addresses of record may have bindings.
    pub max_records: usize,
    /// How many requests may wait for the store.
    pub max_pending: usize,
    /// Whether the 200 waits for the disk.
    pub durability: Durability,
    /// Users who may register others than themselves (RFC 3261 section 10.3, step 4).
    pub third_party: Vec<String>,
    /// Whether, where nobody has to prove who they are, From may be another than To.
    pub open_third_party: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            min_expires: 60,
            default_expires: 3_600,
            max_expires: 86_400,
            max_contacts: 10,
            max_contact_length: 2_048,
            max_records: 4_000_000,
            max_pending: 65_536,
            durability: Durability::default(),
            third_party: Vec::new(),
            open_third_party: false,
        }
    }
}

#[cfg(test)]
mod tests;
