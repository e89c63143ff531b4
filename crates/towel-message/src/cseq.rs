//! CSeq (RFC 3261 section 20.16).

use crate::scan::{is_token, number, run, split, trim_start};
use crate::{Fault, Method, Name};

/// The sequence number and method of a CSeq.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CSeq<'a> {
    /// Less than 2^31 (RFC 3261 section 8.1.1.5).
    pub number: u32,
    /// The method.
    pub method: Method<'a>,
    /// The method as it was written.
    pub(crate) written: &'a [u8],
}

impl<'a> CSeq<'a> {
    /// Reads the value of a request whose method is known and written so; `None` where the method
    /// here is another, or anything is unusual.
    pub(crate) fn of_request(
        value: &'a [u8],
        known: Method<'static>,
        method: &[u8],
    ) -> Option<Self> {
        let digits = value.strip_suffix(method)?.strip_suffix(b" ")?;
        let number = number::<u32>(digits).filter(|number| *number < 1 << 31)?;
        let written = value.get(digits.len() + 1..)?;
        Some(Self { number, method: known, written })
    }

    /// Reads a value without white space around it.
    pub fn parse(value: &'a [u8]) -> Result<Self, Fault> {
        let fault = |at| Fault::malformed(Name::CSeq, at);
        let (digits, rest) = split(value, run(value, |b| b.is_ascii_digit()));
        let method = trim_start(rest);
        let sequence = number::<u32>(digits).filter(|n| *n < 1 << 31).ok_or(fault(0))?;
        if method.len() == rest.len() || !is_token(method) {
            return Err(fault(digits.len()));
        }
        Ok(Self { number: sequence, method: Method::from_bytes(method), written: method })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// What is read at once is read in the same way with care.
        #[test]
        fn both_readers_agree(text in r"([0-9]{0,11}|x|2147483648)( |  |\t|)(INVITE|BYE|invite|)") {
            let value = text.as_bytes();
            if let Some(quick) = CSeq::of_request(value, Method::Invite, b"INVITE") {
                prop_assert_eq!(Ok(quick), CSeq::parse(value));
            }
        }
    }
}
