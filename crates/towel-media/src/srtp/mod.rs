//! SRTP and SRTCP (RFC 3711), keyed by SDP (RFC 4568).
//!
//! A [`CryptoLine`] is read from, or written as, the value of `a=crypto`. A [`Protector`] keeps what one
//! direction needs to send, an [`Unprotector`] what it needs to receive; each has a master key of
//! its own (RFC 4568 section 6.1).

mod base64;
mod cipher;
mod protect;
mod replay;
mod sdes;
mod unprotect;

pub use protect::{Exhausted, Protector};
pub use sdes::{CryptoLine, Fault as SdesFault, Suite};
pub use unprotect::{Fault, Unprotector};

/// A master key and its salt (RFC 3711 section 3.2.1).
#[derive(Clone, PartialEq, Eq)]
pub struct MasterKey {
    /// The key.
    pub key: [u8; 16],
    /// The salt.
    pub salt: [u8; 14],
}

impl core::fmt::Debug for MasterKey {
    /// Keys are not shown.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("MasterKey")
    }
}

impl MasterKey {
    /// The key and salt that stand one behind the other in these random bytes.
    pub fn of(bytes: &[u8; 30]) -> Self {
        let mut this = Self { key: [0; 16], salt: [0; 14] };
        let (key, salt) = bytes.split_at(16);
        this.key.copy_from_slice(key);
        this.salt.copy_from_slice(salt);
        this
    }

    /// Key and salt, one behind the other.
    pub fn bytes(&self) -> [u8; 30] {
        let mut bytes = [0; 30];
        let (key, salt) = bytes.split_at_mut(16);
        key.copy_from_slice(&self.key);
        salt.copy_from_slice(&self.salt);
        bytes
    }
}

/// Bytes that protecting adds at most: the tag, the index of SRTCP, the MKI.
pub const OVERHEAD: usize = 10 + 4 + MAX_MKI;

/// The longest MKI that is taken, in bytes.
pub const MAX_MKI: usize = 16;
