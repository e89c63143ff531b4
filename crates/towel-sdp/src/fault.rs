//! What can be wrong with a description, and where.

use core::fmt;

/// Whether a description with this fault can still be worked with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Against the rules, but what is meant is plain. Phones send it; it is told and read.
    Untidy,
    /// What is meant cannot be known, or cannot be carried out: the description is not used.
    Broken,
}

/// One thing that is wrong: which line (the first is 1), which byte of the whole, and what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The line, counted from 1. 0 where no line is to blame.
    pub line: usize,
    /// The byte, counted from 0 at the beginning of the description.
    pub at: usize,
    /// What is wrong.
    pub what: What,
}

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum What {
    /// There is nothing to read.
    Empty,
    /// More bytes than the limit, which is given.
    TooLarge(usize),
    /// More lines than the limit, which is given.
    TooManyLines(usize),
    /// A line of more bytes than the limit, which is given.
    LineTooLong(usize),
    /// More `m=` lines than the limit, which is given.
    TooManyMedia(usize),
    /// More formats in an `m=` line than the limit, which is given.
    TooManyFormats(usize),
    /// A line ends in LF alone (RFC 8866 section 5 has it accepted).
    LineEnd,
    /// The last line has no end.
    NoLastLineEnd,
    /// An empty line.
    EmptyLine,
    /// A NUL, or a CR that ends no line.
    Control,
    /// A line that is no letter, `=` and value.
    NotALine,
    /// A line of a letter that nobody knows.
    UnknownLine(u8),
    /// A line that stands where its letter must not (RFC 8866 section 9).
    OutOfOrder(u8),
    /// A second line of a letter that has one.
    Repeated(u8),
    /// Spaces before, after, or doubled within a value of fields.
    Spaces,
    /// A line that must be there is not.
    Missing(u8),
    /// A value that cannot be read: the part of it that is wrong.
    Malformed(&'static str),
    /// `v=` is not 0.
    Version,
    /// A stream that is in use has no `c=` of its own nor of the session.
    NoConnection,
    /// A dynamic payload type without an `a=rtpmap`.
    NoRtpmap,
    /// The answer has fewer or more `m=` lines than the offer (RFC 3264 section 6).
    MediaCount {
        /// How many the offer has.
        offered: usize,
        /// How many the answer has.
        answered: usize,
    },
    /// An offer has fewer `m=` lines than the description before (RFC 3264 section 8).
    FewerMedia {
        /// How many there were.
        before: usize,
        /// How many there are.
        now: usize,
    },
    /// The answer's media type is another than the offer's (RFC 3264 section 6.1).
    MediaType,
    /// The answer's transport is another than the offer's.
    Transport,
    /// A stream offered with port 0 is answered with another (RFC 3264 section 8.2).
    Revived,
    /// The answer has no format of the offer (RFC 3264 section 6.1).
    NoCommonFormat,
    /// The answer to a multicast stream has a format that was not offered (section 6.2).
    NotOffered,
    /// The direction cannot answer the one that was offered (RFC 3264 section 6.1).
    DirectionRule,
    /// Multicast answered with unicast or the reverse, or with another address or port.
    Multicast,
    /// The answer's `t=` is not the offer's (RFC 3264 section 6).
    Time,
    /// `a=rtcp-mux` in an answer to an offer without it (RFC 5761 section 5.1.1).
    MuxNotOffered,
    /// The role in `a=setup` cannot answer the one that was offered (RFC 4145 section 4.1).
    SetupRule,
    /// The `o=` differs from the one before in more than its version (RFC 3264 section 8).
    OriginChanged,
    /// The version of the `o=` went back, or on by more than one (RFC 3264 section 8).
    VersionStep,
    /// The description changed and the version of its `o=` did not (RFC 3264 section 8).
    VersionKept,
    /// A dynamic payload type now means another codec (RFC 3264 section 8.3.2).
    Remapped,
}

impl What {
    /// Whether a description with this fault can still be worked with.
    pub const fn severity(self) -> Severity {
        match self {
            Self::LineEnd
            | Self::NoLastLineEnd
            | Self::EmptyLine
            | Self::Control
            | Self::NotALine
            | Self::UnknownLine(_)
            | Self::OutOfOrder(_)
            | Self::Repeated(_)
            | Self::Spaces
            | Self::Missing(b's' | b't')
            | Self::NoRtpmap
            | Self::Time
            | Self::MuxNotOffered
            | Self::OriginChanged
            | Self::VersionStep
            | Self::VersionKept
            | Self::Remapped => Severity::Untidy,
            _ => Severity::Broken,
        }
    }
}

impl Fault {
    /// A fault of the description as such.
    pub const fn whole(what: What) -> Self {
        Self { line: 0, at: 0, what }
    }

    /// Whether the description can still be worked with.
    pub const fn severity(&self) -> Severity {
        self.what.severity()
    }

    /// Whether the description cannot be worked with.
    pub fn is_broken(&self) -> bool {
        self.severity() == Severity::Broken
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = match *self {
            Self::TooLarge(limit) => return write!(f, "more than {limit} bytes"),
            Self::TooManyLines(limit) => return write!(f, "more than {limit} lines"),
            Self::LineTooLong(limit) => return write!(f, "a line of more than {limit} bytes"),
            Self::TooManyMedia(limit) => return write!(f, "more than {limit} m= lines"),
            Self::TooManyFormats(limit) => return write!(f, "more than {limit} formats in an m="),
            Self::UnknownLine(letter) => {
                return write!(f, "nobody knows {}=", letter.escape_ascii());
            }
            Self::OutOfOrder(letter) => {
                return write!(f, "{}= may not stand here", letter.escape_ascii());
            }
            Self::Repeated(letter) => return write!(f, "a second {}=", letter.escape_ascii()),
            Self::Missing(letter) => return write!(f, "no {}=", letter.escape_ascii()),
            Self::Malformed(part) => return write!(f, "cannot read {part}"),
            Self::MediaCount { offered, answered } => {
                return write!(f, "{offered} m= lines offered, {answered} answered");
            }
            Self::FewerMedia { before, now } => {
                return write!(f, "{before} m= lines before, {now} now: set a port to 0 instead");
            }
            Self::Empty => "no description",
            Self::LineEnd => "the line ends in LF alone, not CR LF",
            Self::NoLastLineEnd => "the last line has no end",
            Self::EmptyLine => "an empty line",
            Self::Control => "a NUL or a lone CR",
            Self::NotALine => "no letter and =",
            Self::Spaces => "spaces that do not belong",
            Self::Version => "v= is not 0",
            Self::NoConnection => "no c= for this stream",
            Self::NoRtpmap => "a dynamic payload type without a=rtpmap",
            Self::MediaType => "another media type than offered",
            Self::Transport => "another transport than offered",
            Self::Revived => "offered with port 0 and answered with another",
            Self::NoCommonFormat => "no format of the offer",
            Self::NotOffered => "a format that was not offered",
            Self::DirectionRule => "a direction that cannot answer the offered one",
            Self::Multicast => "not the multicast address, port and direction of the offer",
            Self::Time => "t= is not that of the offer",
            Self::MuxNotOffered => "a=rtcp-mux was not offered",
            Self::SetupRule => "a role in a=setup that cannot answer the offered one",
            Self::OriginChanged => "o= changed in more than its version",
            Self::VersionStep => "the version of o= must go on by one",
            Self::VersionKept => "changed without a new version in o=",
            Self::Remapped => "a payload type that meant another codec before",
        };
        f.write_str(plain)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}", self.what),
            line => write!(f, "{} (line {line}, byte {})", self.what, self.at),
        }
    }
}

impl core::error::Error for Fault {}
