//! RSeq and RAck: RFC 3262 sections 7.1 and 7.2.

/// The largest number that the first response may have (section 3).
const MOST_FIRST: u32 = (1 << 31) - 1;

/// One number of up to 32 bits.
fn number(text: &[u8]) -> Option<u32> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// The number in RSeq; none where it is no number, or nought, which section 3 has nobody send.
pub(super) fn rseq(value: &[u8]) -> Option<u32> {
    number(value.trim_ascii()).filter(|number| *number != 0)
}

/// What a RAck acknowledges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rack<'a> {
    /// The RSeq of the response.
    pub(super) response: u32,
    /// The CSeq number of its request.
    pub(super) request: u32,
    /// The method of its request.
    pub(super) method: &'a [u8],
}

/// Reads a RAck; none where it has not the three parts of section 7.2.
pub(super) fn rack(value: &[u8]) -> Option<Rack<'_>> {
    let mut parts = value
        .split(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n'))
        .filter(|part| !part.is_empty());
    let response = number(parts.next()?)?;
    let request = number(parts.next()?)?;
    let method = parts.next()?;
    parts.next().is_none().then_some(Rack { response, request, method })
}

/// The number of the first reliable response to one INVITE, anywhere between 1 and 2^31 - 1 (section
/// 3): made of our tag, which was drawn by chance, and of the INVITE's own number.
pub(super) fn first(tag: &[u8], request: u32) -> u32 {
    let mix = |sum: u64, byte: &u8| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    let start = 0xcbf2_9ce4_8422_2325;
    let sum = tag.iter().chain(&request.to_be_bytes()).fold(start, mix);
    (((sum >> 32) as u32) ^ (sum as u32)) % MOST_FIRST + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_number_is_none() {
        assert_eq!(rseq(b" 17 "), Some(17));
        assert_eq!(rseq(b"4294967295"), Some(u32::MAX));
        for bad in [&b""[..], b"0", b"-1", b"4294967296", b"1 2", b"x"] {
            assert_eq!(rseq(bad), None, "{bad:?}");
        }
        let whole = Rack { response: 776_656, request: 1, method: b"INVITE" };
        assert_eq!(rack(b"776656  1 \t INVITE"), Some(whole));
        for bad in [&b""[..], b"1", b"1 2", b"1 2 INVITE x", b"a 2 INVITE", b"1 b INVITE"] {
            assert_eq!(rack(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn the_first_number_is_in_its_range() {
        let mut seen = std::collections::BTreeSet::new();
        for request in 0..1000 {
            let number = first(b"a-tag", request);
            assert!((1..=MOST_FIRST).contains(&number));
            seen.insert(number);
        }
        assert!(seen.len() > 990);
        assert_ne!(first(b"a", 1), first(b"b", 1));
    }
}
