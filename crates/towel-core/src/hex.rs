//! Hexadecimal digits, as marks and nonces are written.

/// What each byte counts for as a hexadecimal digit, in either case.
static HEX: [u8; 256] = hex();
const NONE: u8 = 0x80;

#[cfg_attr(not(test), expect(clippy::indexing_slicing, reason = "done by the compiler"))]
const fn hex() -> [u8; 256] {
    let mut all = [NONE; 256];
    let mut at = 0;
    while at < 16 {
        all[b"0123456789abcdef"[at] as usize] = at as u8;
        all[b"0123456789ABCDEF"[at] as usize] = at as u8;
        at += 1;
    }
    all
}

/// Reads so many digits, and nothing else; sixteen at most mean anything.
pub(crate) fn read_hex(text: &[u8], digits: usize) -> Option<u64> {
    if text.len() != digits {
        return None;
    }
    let mut wrong = 0;
    let value = text.iter().fold(0u64, |value, byte| {
        let digit = HEX.get(usize::from(*byte)).copied().unwrap_or(NONE);
        wrong |= digit;
        value << 4 | u64::from(digit & 15)
    });
    (wrong & NONE == 0).then_some(value)
}

/// All sixteen digits of a number, in lower case: eight of them are made together.
#[inline]
pub(crate) fn digits(value: u64) -> [u8; 16] {
    let (high, low) = (eight((value >> 32) as u32), eight(value as u32));
    (u128::from(high) << 64 | u128::from(low)).to_be_bytes()
}

/// Eight digits, the first in the top byte.
#[inline]
fn eight(value: u32) -> u64 {
    const EACH: u64 = 0x0101_0101_0101_0101;
    // Four bits to each byte, by halves.
    let wide = u64::from(value);
    let wide = (wide | wide << 16) & 0x0000_ffff_0000_ffff;
    let wide = (wide | wide << 8) & 0x00ff_00ff_00ff_00ff;
    let wide = (wide | wide << 4) & (0x0f * EACH);
    // Where there are more than nine, a letter stands.
    let letters = (wide + 6 * EACH) >> 4 & EACH;
    wide + b'0' as u64 * EACH + letters * (b'a' - b'9' - 1) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn digits_are_read_as_they_are_written(value in any::<u64>(), text in "[0-9a-fA-Fg/:@G` ]{4}") {
            let written = format!("{value:016x}");
            prop_assert_eq!(&digits(value)[..], written.as_bytes());
            prop_assert_eq!(read_hex(&digits(value), 16), Some(value));
            let plain = text.bytes().all(|byte| byte.is_ascii_hexdigit());
            let expected = plain.then(|| u64::from_str_radix(&text, 16).unwrap());
            prop_assert_eq!(read_hex(text.as_bytes(), 4), expected);
            prop_assert_eq!(read_hex(text.as_bytes(), 5), None);
        }
    }
}
