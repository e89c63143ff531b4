//! Reading of one value, word by word, knowing where.

use crate::{Fault, What};
use core::str::FromStr;

/// A place within a value. Words stand between spaces; more spaces than one are read as one.
#[derive(Clone, Copy, Debug)]
pub struct Cursor<'d> {
    rest: &'d [u8],
    at: usize,
    line: usize,
}

impl<'d> Cursor<'d> {
    /// At the beginning of a value that stands at byte `at` of line `line`.
    pub const fn new(value: &'d [u8], at: usize, line: usize) -> Self {
        Self { rest: value, at, line }
    }

    /// The fault that `part` cannot be read here.
    pub const fn malformed(&self, part: &'static str) -> Fault {
        Fault { line: self.line, at: self.at, what: What::Malformed(part) }
    }

    fn skip_spaces(&mut self) {
        while let Some((b' ' | b'\t', rest)) = self.rest.split_first() {
            self.rest = rest;
            self.at = self.at.saturating_add(1);
        }
    }

    /// The next word, if there is one.
    pub fn next_word(&mut self, part: &'static str) -> Result<Option<&'d str>, Fault> {
        self.skip_spaces();
        let len = self.rest.iter().position(|b| matches!(b, b' ' | b'\t'));
        let (word, rest) =
            self.rest.split_at_checked(len.unwrap_or(self.rest.len())).unwrap_or_default();
        if word.is_empty() {
            return Ok(None);
        }
        if word.iter().any(u8::is_ascii_control) {
            return Err(self.malformed(part));
        }
        let text = core::str::from_utf8(word).map_err(|_| self.malformed(part))?;
        self.rest = rest;
        self.at = self.at.saturating_add(word.len());
        Ok(Some(text))
    }

    /// The next word, which must be there; `part` names it in the fault.
    pub fn word(&mut self, part: &'static str) -> Result<&'d str, Fault> {
        self.next_word(part)?.ok_or_else(|| self.malformed(part))
    }

    /// The next word, which must be a `token` (RFC 8866 section 9).
    pub fn token(&mut self, part: &'static str) -> Result<&'d str, Fault> {
        let before = *self;
        let word = self.word(part)?;
        if is_token(word) { Ok(word) } else { Err(before.at_word().malformed(part)) }
    }

    /// The next word, which must be a number.
    pub fn number<T: FromStr>(&mut self, part: &'static str) -> Result<T, Fault> {
        let before = *self;
        let word = self.word(part)?;
        number(word).ok_or_else(|| before.at_word().malformed(part))
    }

    /// The same place, moved on to the next word.
    pub fn at_word(mut self) -> Self {
        self.skip_spaces();
        self
    }

    /// All that is left, from the next word on.
    pub fn rest(mut self) -> &'d [u8] {
        self.skip_spaces();
        self.rest
    }

    /// Whether nothing but spaces is left.
    pub fn is_at_end(&self) -> bool {
        self.rest.iter().all(|b| matches!(b, b' ' | b'\t'))
    }
}

/// A number of digits alone.
pub(crate) fn number<T: FromStr>(word: &str) -> Option<T> {
    let digits = !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| word.parse().ok()).flatten()
}

/// Whether the text is a `token` of RFC 8866 section 9.
pub fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|b| {
            b.is_ascii_alphanumeric() || matches!(b, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'{'..=b'~')
        })
}
