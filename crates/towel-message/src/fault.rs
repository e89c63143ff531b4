//! What can be wrong with a message, and what it is answered with.

use crate::Name;
use core::fmt;

/// A message is not as it must be, but it can be answered: with which status code and reason.
///
/// For a response the status has no meaning: a response with a fault is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The status code to answer with.
    pub status: u16,
    /// The header field at fault, where it is one.
    pub field: Option<Name>,
    /// The reason phrase; it names the field.
    pub reason: &'static str,
    /// Where in the message, or in the value that was read.
    pub at: usize,
}

impl Fault {
    /// A fault of the message as such.
    pub const fn new(status: u16, reason: &'static str, at: usize) -> Self {
        Self { status, field: None, reason, at }
    }

    /// 400: the value of a header field cannot be read.
    pub fn malformed(name: Name, at: usize) -> Self {
        Self { status: 400, field: Some(name), reason: name.malformed(), at }
    }

    /// 400: a header field that must be there is not.
    pub fn missing(name: Name) -> Self {
        Self { status: 400, field: Some(name), reason: name.missing(), at: 0 }
    }

    /// 400: a header field that has one value was given more than one.
    pub fn repeated(name: Name, at: usize) -> Self {
        Self { status: 400, field: Some(name), reason: name.repeated(), at }
    }

    /// The same fault, laid to a header field: a view that does not know which field it reads
    /// reports none.
    pub fn of(self, name: Name) -> Self {
        if self.field.is_some() { self } else { Self::malformed(name, self.at) }
    }

    /// The same fault with its place moved on by `by`.
    pub fn shifted(self, by: usize) -> Self {
        Self { at: self.at.saturating_add(by), ..self }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} (at byte {})", self.status, self.reason, self.at)
    }
}

impl core::error::Error for Fault {}

/// The bytes are no SIP message: there is nothing to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ParseError {
    /// Nothing but line ends, or nothing at all (a keepalive, on a datagram transport).
    Empty,
    /// The first line is neither a Request-Line nor a Status-Line.
    StartLine {
        /// Where.
        at: usize,
    },
    /// More bytes than an index can speak of.
    TooLarge {
        /// How many.
        len: usize,
    },
}

impl ParseError {
    /// Where in the bytes.
    pub fn position(&self) -> usize {
        match *self {
            Self::Empty => 0,
            Self::StartLine { at } => at,
            Self::TooLarge { len } => len,
        }
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("no message"),
            Self::StartLine { at } => write!(f, "no SIP start line (at byte {at})"),
            Self::TooLarge { len } => write!(f, "a message of {len} bytes"),
        }
    }
}

impl core::error::Error for ParseError {}
