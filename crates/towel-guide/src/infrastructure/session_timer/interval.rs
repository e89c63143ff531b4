//! Session-Expires and Min-SE as numbers: RFC 4028 sections 4 and 5.

use towel_message::{Message, Name};

/// The seconds with which a value begins; what is too large for the type is the largest number.
/// None where there is no number, as with a value that the grammar does not allow.
fn seconds(value: &[u8]) -> Option<u32> {
    let number = value.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    if number.is_empty() || !number.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let add = |sum: u32, digit: &u8| sum.saturating_mul(10).saturating_add(u32::from(digit - b'0'));
    Some(number.iter().fold(0, add))
}

/// What a message says in this field, with the whole value; none if it is absent or unreadable.
pub(super) fn given<'a>(message: &Message<'a>, name: Name) -> Option<u32> {
    seconds(message.value(name)?)
}

/// What follows the number: parameters, with their first semicolon.
pub(super) fn parameters(value: &[u8]) -> &[u8] {
    let start = value.iter().position(|byte| *byte == b';').unwrap_or(value.len());
    value.get(start..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_bounded_and_nonsense_is_none() {
        assert_eq!(seconds(b"1800;refresher=uac"), Some(1800));
        assert_eq!(seconds(b" 90 ; x"), Some(90));
        assert_eq!(seconds(b"99999999999999999999"), Some(u32::MAX));
        for nonsense in [&b""[..], b";refresher=uac", b"-1", b"1e3", b"ninety"] {
            assert_eq!(seconds(nonsense), None);
        }
        assert_eq!(parameters(b"1800 ;refresher=uas;a=b"), b";refresher=uas;a=b");
        assert_eq!(parameters(b"1800"), b"");
    }
}
