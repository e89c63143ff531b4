//! Reading of small things: character classes, linear white space, quoted strings, numbers.
//!
//! Inside a header field value a CR or LF can only be part of a continuation line (RFC 3261
//! section 7.3.1): a bare one is a fault of the message, found when the index is made. So all four
//! of SP, HTAB, CR and LF are read as white space here.

const TOKEN: u16 = 1;
const UNRESERVED: u16 = 1 << 1;
const USER: u16 = 1 << 2;
const PASSWORD: u16 = 1 << 3;
const PARAMCHAR: u16 = 1 << 4;
const HNV: u16 = 1 << 5;
const URIC: u16 = 1 << 6;
const HOST: u16 = 1 << 7;
const VALUE: u16 = 1 << 8;
const LWS: u16 = 1 << 9;
const WORD: u16 = 1 << 10;
const MARK: u16 = 1 << 11;
const LABEL: u16 = 1 << 12;

static CLASS: [u16; 256] = classes();

#[cfg_attr(not(test), expect(clippy::indexing_slicing, reason = "stays below the length"))]
const fn among(set: &[u8], byte: u8) -> bool {
    let mut i = 0;
    while i < set.len() {
        if set[i] == byte {
            return true;
        }
        i += 1;
    }
    false
}

#[cfg_attr(not(test), expect(clippy::indexing_slicing, reason = "done by the compiler"))]
const fn classes() -> [u16; 256] {
    let mut table = [0u16; 256];
    let mut i = 0;
    while i < 256 {
        let byte = i as u8;
        let alphanum = byte.is_ascii_alphanumeric();
        let mark = among(b"-_.!~*'()", byte);
        let mut class = 0;
        if alphanum || among(b"-.!%*_+`'~", byte) {
            class |= TOKEN;
        }
        if alphanum || mark {
            class |= UNRESERVED;
        }
        // '#' is not in the grammar of a user part, but telephones dial it (sip:*72#@...).
        if alphanum || mark || among(b"&=+$,;?/#", byte) {
            class |= USER;
        }
        if alphanum || mark || among(b"&=+$,", byte) {
            class |= PASSWORD;
        }
        if alphanum || mark || among(b"[]/:&+$", byte) {
            class |= PARAMCHAR;
        }
        if alphanum || mark || among(b"[]/?:+$", byte) {
            class |= HNV;
        }
        if alphanum || mark || among(b";/?:@&=+$,[]%#", byte) {
            class |= URIC;
        }
        // '_' is not in the grammar of a host name, but names with it are in use.
        if alphanum || among(b"-._", byte) {
            class |= HOST;
        }
        if alphanum || byte == b'_' {
            class |= LABEL;
        }
        // A generic-param's value: token or host, and what peers write there in practice.
        if byte > b' ' && byte != 0x7f && !among(b"\"<>;,?", byte) {
            class |= VALUE;
        }
        if among(b" \t\r\n", byte) {
            class |= LWS;
        }
        if byte > b' ' && byte != 0x7f {
            class |= WORD;
        }
        if among(b"\"<>,;", byte) {
            class |= MARK;
        }
        table[i] = class;
        i += 1;
    }
    table
}

#[inline]
fn class_of(byte: u8) -> u16 {
    CLASS.get(usize::from(byte)).copied().unwrap_or(0)
}

#[inline]
fn is(byte: u8, class: u16) -> bool {
    class_of(byte) & class != 0
}

#[inline]
pub(crate) fn is_token_char(byte: u8) -> bool {
    is(byte, TOKEN)
}

#[inline]
pub(crate) fn is_unreserved(byte: u8) -> bool {
    is(byte, UNRESERVED)
}

#[inline]
pub(crate) fn is_user_char(byte: u8) -> bool {
    is(byte, USER)
}

#[inline]
pub(crate) fn is_password_char(byte: u8) -> bool {
    is(byte, PASSWORD)
}

#[inline]
pub(crate) fn is_param_char(byte: u8) -> bool {
    is(byte, PARAMCHAR)
}

#[inline]
pub(crate) fn is_hnv_char(byte: u8) -> bool {
    is(byte, HNV)
}

#[inline]
pub(crate) fn is_uri_char(byte: u8) -> bool {
    is(byte, URIC)
}

#[inline]
pub(crate) fn is_value_char(byte: u8) -> bool {
    is(byte, VALUE)
}

/// Whether the byte is linear white space inside a header field value.
#[inline]
pub fn is_lws(byte: u8) -> bool {
    is(byte, LWS)
}

/// Whether the bytes are a `token`.
#[inline]
pub fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|b| is_token_char(*b))
}

/// Whether the bytes are visible characters only. `word` of the grammar is a little less, but there
/// is nothing to win by refusing a Call-ID for a '='.
pub fn is_word(bytes: &[u8]) -> bool {
    use crate::stops::{BLOCK, at_most, equal};
    let visible = |block: &[u8; BLOCK]| {
        let block = wide::u8x16::new(*block);
        at_most(block, b' ') | equal(block, 0x7f) == 0
    };
    let Some(last) = bytes.last_chunk::<BLOCK>() else {
        return !bytes.is_empty() && bytes.iter().all(|b| is(*b, WORD));
    };
    // The last block may hold some of what was seen before.
    bytes.as_chunks::<BLOCK>().0.iter().all(visible) && visible(last)
}

/// A class of bytes, for the readers that go over a value once.
#[derive(Clone, Copy)]
pub(crate) struct Class(u16);

impl Class {
    pub(crate) const TOKEN: Class = Class(TOKEN);
    pub(crate) const VALUE: Class = Class(VALUE);
    pub(crate) const LWS: Class = Class(LWS);
    pub(crate) const USER: Class = Class(USER);
    pub(crate) const PARAM: Class = Class(PARAMCHAR);
    pub(crate) const HOST: Class = Class(HOST);
    pub(crate) const URI: Class = Class(URIC);
    /// What a label of a host name may start and end with.
    pub(crate) const LABEL: Class = Class(LABEL);
}

impl Class {
    /// Whether a byte is in the class.
    #[inline]
    pub(crate) fn holds(self, byte: u8) -> bool {
        is(byte, self.0)
    }

    /// Whether letters, digits, dash, dot and underscore are in it.
    #[inline]
    pub(crate) fn has_plain(self) -> bool {
        self.0 & !(LABEL | LWS) == self.0
    }
}

/// Where the bytes from `at` on are no longer in a class.
#[inline]
pub(crate) fn skip(bytes: &[u8], at: usize, class: Class) -> usize {
    let mut rest = after(bytes, at);
    let mut at = at;
    // Four at a time: one branch for all of them.
    while let Some(([a, b, c, d], more)) = rest.split_first_chunk::<4>() {
        let (first, second, third) = (class_of(*a), class_of(*b), class_of(*c));
        if first & second & third & class_of(*d) & class.0 == 0 {
            return match (first & class.0, second & class.0, third & class.0) {
                (0, ..) => at,
                (_, 0, _) => at + 1,
                (.., 0) => at + 2,
                _ => at + 3,
            };
        }
        rest = more;
        at += 4;
    }
    for byte in rest {
        if !is(*byte, class.0) {
            break;
        }
        at += 1;
    }
    at
}

/// Where the white space that stands at `at` ends. There is mostly none.
#[inline]
pub(crate) fn skip_lws(bytes: &[u8], at: usize) -> usize {
    match bytes.get(at) {
        Some(byte) if is_lws(*byte) => skip(bytes, at + 1, Class::LWS),
        _ => at,
    }
}

/// The bytes from `start` up to `end`, or none where those do not lie in them.
#[inline]
pub(crate) fn between(bytes: &[u8], start: usize, end: usize) -> &[u8] {
    bytes.get(start..end).unwrap_or(&[])
}

/// How many bytes from the start are in a class.
#[inline]
pub(crate) fn run(bytes: &[u8], class: impl Fn(u8) -> bool) -> usize {
    bytes.iter().position(|b| !class(*b)).unwrap_or(bytes.len())
}

/// Splits after `at` bytes; past the end is at the end.
#[inline]
pub(crate) fn split(bytes: &[u8], at: usize) -> (&[u8], &[u8]) {
    bytes.split_at(at.min(bytes.len()))
}

/// The bytes after the first `at`.
#[inline]
pub(crate) fn after(bytes: &[u8], at: usize) -> &[u8] {
    bytes.get(at..).unwrap_or(&[])
}

/// Without white space before it.
#[inline]
pub fn trim_start(bytes: &[u8]) -> &[u8] {
    after(bytes, run(bytes, is_lws))
}

/// Without white space after it.
#[inline]
pub fn trim_end(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|b| !is_lws(*b)).map_or(0, |last| last + 1);
    bytes.get(..end).unwrap_or(&[])
}

/// Without white space around it.
#[inline]
pub fn trim(bytes: &[u8]) -> &[u8] {
    trim_end(trim_start(bytes))
}

/// How far `inner` stands from the start of `outer`, both slices of the same bytes.
#[inline]
pub(crate) fn offset(outer: &[u8], inner: &[u8]) -> usize {
    (inner.as_ptr() as usize).saturating_sub(outer.as_ptr() as usize)
}

/// A number of decimal digits and nothing else. `None` if it is none or does not fit.
pub fn number<T: TryFrom<u64>>(bytes: &[u8]) -> Option<T> {
    if let 1..=8 = bytes.len() {
        return T::try_from(few_digits(bytes)?).ok();
    }
    let mut value: u64 = 0;
    for byte in bytes {
        if !byte.is_ascii_digit() {
            return None;
        }
        value = value.checked_mul(10)?.checked_add(u64::from(byte - b'0'))?;
    }
    if bytes.is_empty() { None } else { T::try_from(value).ok() }
}

/// The number that one to eight digits make, all of them taken together.
#[inline]
fn few_digits(bytes: &[u8]) -> Option<u64> {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let len = bytes.len() as u32;
    let text = if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        let last = u64::from(u32::from_le_bytes(*last));
        u64::from(u32::from_le_bytes(*first)) | last << (8 * (len - 4))
    } else {
        let at = |at: usize| bytes.get(at).map_or(0, |byte| u64::from(*byte) << (8 * at));
        at(0) | at(1) | at(2)
    };
    // Noughts before them, so that the last one is in the top byte.
    let text = text << (8 * (8 - len)) | (b'0' as u64 * EACH) >> 1 >> (8 * len - 1);
    let digits = text.wrapping_sub(b'0' as u64 * EACH);
    // Above nine the fourth bit spills over, below nought the top one is set.
    if (digits | digits.wrapping_add(6 * EACH)) & (0xf0 * EACH) != 0 {
        return None;
    }
    // Two digits, four, eight: what came first counts for more.
    let pairs = (digits * 10 + (digits >> 8)) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs * 100 + (pairs >> 16)) & 0x0000_ffff_0000_ffff;
    Some((fours * 10_000 + (fours >> 32)) & 0xffff_ffff)
}

/// The length of the quoted string that the bytes start with, quotes included. `None` if it does
/// not end.
pub fn quoted_len(bytes: &[u8]) -> Option<usize> {
    if bytes.first() != Some(&b'"') {
        return None;
    }
    let mut at = 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'\\' => at += 2,
            b'"' => return Some(at + 1),
            _ => at += 1,
        }
    }
    None
}

/// The content of a quoted string without its quotes, or the bytes as they are if it is none.
/// Quoted pairs stay as they are; see [`unquote`].
pub fn strip_quotes(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(bytes)
}

/// Appends the meaning of a quoted string (or of a token) to `out`: quotes and the backslashes of
/// quoted pairs removed (RFC 3261 section 25.1).
pub fn unquote(bytes: &[u8], out: &mut Vec<u8>) {
    let inner = strip_quotes(bytes);
    if inner.len() == bytes.len() {
        out.extend_from_slice(bytes);
        return;
    }
    let mut escaped = false;
    for byte in inner {
        if !escaped && *byte == b'\\' {
            escaped = true;
            continue;
        }
        escaped = false;
        out.push(*byte);
    }
}

/// Appends `bytes` to `out` as a quoted string.
pub fn quote(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in bytes {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        // A line end cannot be quoted at all; a space is what a reader would make of a fold.
        out.push(if matches!(byte, b'\r' | b'\n') { b' ' } else { *byte });
    }
    out.push(b'"');
}

/// Appends the value with every continuation line joined by one space (RFC 3261 section 7.3.1).
pub fn unfold(bytes: &[u8], out: &mut Vec<u8>) {
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|b| matches!(b, b'\r' | b'\n')) {
        let (line, more) = split(rest, at);
        out.extend_from_slice(trim_end(line));
        out.push(b' ');
        rest = trim_start(more);
    }
    out.extend_from_slice(rest);
}

/// Cuts the first element off a list at a separator (comma or semicolon) that is outside quotes and
/// angle brackets.
/// Returns the element, with the white space around it, and the rest after the comma.
///
/// An unterminated quote or bracket takes everything: the view of the element reports the fault.
pub fn cut_at(bytes: &[u8], separator: u8) -> (&[u8], Option<&[u8]>) {
    debug_assert!(is(separator, MARK));
    // Most lists have one element, and most elements neither quotes nor brackets: the library's
    // search looks at many bytes at once.
    let Some(first) = memchr::memchr(separator, bytes) else { return (bytes, None) };
    if memchr::memchr2(b'"', b'<', split(bytes, first).0).is_none() {
        return (split(bytes, first).0, bytes.get(first + 1..));
    }
    cut_with_care(bytes, separator)
}

fn cut_with_care(bytes: &[u8], separator: u8) -> (&[u8], Option<&[u8]>) {
    let mut at = 0;
    let mut bracket = false;
    loop {
        at += run(after(bytes, at), |b| !is(b, MARK));
        let Some(&byte) = bytes.get(at) else { return (bytes, None) };
        if byte == separator && !bracket {
            return (bytes.get(..at).unwrap_or(&[]), bytes.get(at + 1..));
        }
        match byte {
            // Inside brackets a quote has no meaning: a URI holds none.
            b'"' if !bracket => match quoted_len(after(bytes, at)) {
                Some(len) => {
                    at += len;
                    continue;
                }
                None => return (bytes, None),
            },
            b'<' => bracket = true,
            b'>' => bracket = false,
            _ => {}
        }
        at += 1;
    }
}

/// Appends a number in decimal digits.
pub fn push_number(out: &mut Vec<u8>, mut value: u64) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    loop {
        at = at.saturating_sub(1);
        if let Some(digit) = digits.get_mut(at) {
            *digit = b'0' + (value % 10) as u8;
        }
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(after(&digits, at));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        assert_eq!(number::<u32>(b"0068"), Some(68));
        assert_eq!(number::<u8>(b"256"), None);
        assert_eq!(number::<u64>(b"18446744073709551616"), None);
        assert_eq!(number::<u32>(b"-1"), None);
        assert_eq!(number::<u32>(b""), None);
        for text in ["", "5060", "0", "65535", "65536", "99999", "x", "5x", "/1", "00005060", ":"] {
            assert_eq!(number::<u16>(text.as_bytes()), text.parse::<u16>().ok(), "{text}");
        }
        let mut out = Vec::new();
        push_number(&mut out, 0);
        push_number(&mut out, u64::MAX);
        assert_eq!(out, b"018446744073709551615");
    }

    proptest::proptest! {
        /// Digits that are taken together make the same number as one after the other.
        #[test]
        fn few_digits_are_read_as_many_are(text in r"[0-9]{1,8}|[0-9/:;@ ]{1,8}|[0-9]{0,7}.") {
            let bytes = text.as_bytes();
            let plain = bytes.iter().all(u8::is_ascii_digit).then(|| text.parse::<u64>().unwrap());
            if bytes.len() <= 8 {
                proptest::prop_assert_eq!(few_digits(bytes), plain, "{}", text);
            }
        }
    }

    #[test]
    fn quoting_there_and_back() {
        let mut out = Vec::new();
        quote(b"a \"b\" \\c", &mut out);
        assert_eq!(out, br#""a \"b\" \\c""#);
        let mut back = Vec::new();
        unquote(&out, &mut back);
        assert_eq!(back, b"a \"b\" \\c");
    }

    #[test]
    fn a_comma_in_quotes_or_brackets_joins_nothing() {
        let (first, rest) = cut_at(br#""a, \" b" <sip:x@y;a=,>;p , <sip:z>"#, b',');
        assert_eq!(first, br#""a, \" b" <sip:x@y;a=,>;p "#);
        assert_eq!(rest, Some(&b" <sip:z>"[..]));
    }

    #[test]
    fn unfolds() {
        let mut out = Vec::new();
        unfold(b"one \r\n  two\r\n\tthree", &mut out);
        assert_eq!(out, b"one two three");
    }
}
