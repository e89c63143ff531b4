//! A description as its lines, which are its bytes.

use crate::attribute::{Attribute, Typed};
use crate::payload::{Encoding, static_encoding};
use crate::{Connection, Cursor, Direction, Fault, Fmtp, Limits, MediaLine, Origin, RtpMap, What};

/// Where a line stands: its text is `start..end`, its end `end..next`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) next: usize,
}

/// A session description that was read: bytes, and where their lines are.
///
/// Nothing is thrown away and nothing is made right: lines that nobody knows, lines out of order
/// and odd line ends stay as they came, and [`Description::write`] gives the same bytes again.
/// Values are read when someone asks for them.
#[derive(Clone, Debug)]
pub struct Description<'a> {
    bytes: &'a [u8],
    lines: Vec<Span>,
    media: Vec<usize>,
}

impl<'a> Description<'a> {
    /// Finds the lines. Fails only where a limit is passed or there is nothing at all; what is
    /// wrong with the lines is told by [`Description::check`].
    pub fn parse(bytes: &'a [u8], limits: &Limits) -> Result<Self, Fault> {
        if bytes.is_empty() {
            return Err(Fault::whole(What::Empty));
        }
        if bytes.len() > limits.max_bytes {
            return Err(Fault {
                line: 0,
                at: limits.max_bytes,
                what: What::TooLarge(limits.max_bytes),
            });
        }
        let mut lines = Vec::new();
        let mut media = Vec::new();
        let mut start = 0;
        for whole in bytes.split_inclusive(|b| *b == b'\n') {
            let number = lines.len().saturating_add(1);
            let fault = |at, what| Err(Fault { line: number, at, what });
            if lines.len() >= limits.max_lines {
                return fault(start, What::TooManyLines(limits.max_lines));
            }
            let text =
                whole.strip_suffix(b"\n").map_or(whole, |t| t.strip_suffix(b"\r").unwrap_or(t));
            if text.len() > limits.max_line {
                return fault(
                    start.saturating_add(limits.max_line),
                    What::LineTooLong(limits.max_line),
                );
            }
            if text.starts_with(b"m=") {
                if media.len() >= limits.max_media {
                    return fault(start, What::TooManyMedia(limits.max_media));
                }
                let words = text.split(|b| matches!(b, b' ' | b'\t')).filter(|w| !w.is_empty());
                if words.count() > limits.max_formats.saturating_add(3) {
                    return fault(start, What::TooManyFormats(limits.max_formats));
                }
                media.push(lines.len());
            }
            let next = start.saturating_add(whole.len());
            lines.push(Span { start, end: start.saturating_add(text.len()), next });
            start = next;
        }
        Ok(Self { bytes, lines, media })
    }

    /// The bytes that were read.
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Writes the description again, line by line: the same bytes.
    pub fn write(&self, out: &mut Vec<u8>) {
        for span in &self.lines {
            out.extend_from_slice(self.bytes.get(span.start..span.next).unwrap_or_default());
        }
    }

    /// All lines, in order.
    pub fn lines(&self) -> impl Iterator<Item = Line<'_>> + Clone {
        self.section(0, self.lines.len()).lines()
    }

    fn section(&self, from: usize, to: usize) -> Section<'_> {
        Section {
            bytes: self.bytes,
            spans: self.lines.get(from..to).unwrap_or_default(),
            first: from,
        }
    }

    /// The lines before the first `m=`.
    pub fn session(&self) -> Section<'_> {
        self.section(0, self.media.first().copied().unwrap_or(self.lines.len()))
    }

    /// How many media descriptions there are.
    pub fn media_count(&self) -> usize {
        self.media.len()
    }

    /// The media description of this place, counted from 0.
    pub fn media_at(&self, index: usize) -> Option<Media<'_>> {
        let from = *self.media.get(index)?;
        let to = self.media.get(index.saturating_add(1)).copied().unwrap_or(self.lines.len());
        Some(Media { index, session: self.session(), section: self.section(from, to) })
    }

    /// The media descriptions, in order.
    pub fn media(&self) -> impl Iterator<Item = Media<'_>> {
        (0..self.media.len()).filter_map(|index| self.media_at(index))
    }

    /// The `o=` of the session.
    pub fn origin(&self) -> Result<Origin<'_>, Fault> {
        let line = self.session().first(b'o').ok_or(Fault::whole(What::Missing(b'o')))?;
        Origin::read(line.cursor())
    }

    /// Whether the line of this number (from 1) ends in LF alone, and whether it has an end.
    pub(crate) fn end_of(&self, number: usize) -> &[u8] {
        let span = number.checked_sub(1).and_then(|n| self.lines.get(n));
        span.and_then(|s| self.bytes.get(s.end..s.next)).unwrap_or_default()
    }
}

/// One line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'d> {
    /// Its number, counted from 1.
    pub number: usize,
    /// Where it begins in the description.
    pub at: usize,
    /// All of it, without its end.
    pub text: &'d [u8],
}

impl<'d> Line<'d> {
    /// The letter before the `=`, if the line is of that form.
    pub fn letter(&self) -> Option<u8> {
        match self.text {
            [letter, b'=', ..] if letter.is_ascii_alphabetic() => Some(*letter),
            _ => None,
        }
    }

    /// What stands after the `=`; all of a line that has none.
    pub fn value(&self) -> &'d [u8] {
        match self.letter() {
            Some(_) => self.text.get(2..).unwrap_or_default(),
            None => self.text,
        }
    }

    /// A cursor at the beginning of the value.
    pub fn cursor(&self) -> Cursor<'d> {
        Cursor::new(self.value(), self.at.saturating_add(2), self.number)
    }

    /// A fault of this line.
    pub const fn fault(&self, what: What) -> Fault {
        Fault { line: self.number, at: self.at, what }
    }
}

/// A run of lines: those of the session, or those of one media description.
#[derive(Clone, Copy, Debug)]
pub struct Section<'d> {
    bytes: &'d [u8],
    spans: &'d [Span],
    first: usize,
}

impl<'d> Section<'d> {
    /// The lines, in order.
    pub fn lines(&self) -> impl Iterator<Item = Line<'d>> + Clone + use<'d> {
        let (bytes, first) = (self.bytes, self.first);
        self.spans.iter().enumerate().map(move |(i, span)| Line {
            number: first.saturating_add(i).saturating_add(1),
            at: span.start,
            text: bytes.get(span.start..span.end).unwrap_or_default(),
        })
    }

    /// The lines of one letter.
    pub fn all(&self, letter: u8) -> impl Iterator<Item = Line<'d>> + Clone + use<'d> {
        self.lines().filter(move |line| line.letter() == Some(letter))
    }

    /// The first line of one letter.
    pub fn first(&self, letter: u8) -> Option<Line<'d>> {
        self.all(letter).next()
    }

    /// The attributes.
    pub fn attributes(&self) -> impl Iterator<Item = Attribute<'d>> + Clone + use<'d> {
        self.all(b'a').map(|line| Attribute::of(&line))
    }

    /// Whether there is an attribute of this name.
    pub fn has(&self, name: &str) -> bool {
        self.attributes().any(|a| a.is(name))
    }

    /// All attributes of one type, read; each unread one is its fault.
    pub fn every<T: Typed<'d>>(&self) -> impl Iterator<Item = Result<T, Fault>> + use<'d, T> {
        self.attributes().filter(|a| a.is(T::NAME)).map(|a| T::read(a.cursor()))
    }

    /// The first readable attribute of one type.
    pub fn get<T: Typed<'d>>(&self) -> Option<T> {
        self.every::<T>().find_map(Result::ok)
    }

    /// The direction that is said here, if one is. Where several are said, the last one counts.
    pub fn direction(&self) -> Option<Direction> {
        self.attributes().filter_map(|a| Direction::of_name(a.name)).last()
    }
}

/// A media description, and the session that it may take from.
#[derive(Clone, Copy, Debug)]
pub struct Media<'d> {
    /// Its place, counted from 0.
    pub index: usize,
    session: Section<'d>,
    section: Section<'d>,
}

impl<'d> Media<'d> {
    /// Its lines.
    pub const fn section(&self) -> Section<'d> {
        self.section
    }

    /// The session's lines.
    pub const fn session(&self) -> Section<'d> {
        self.session
    }

    /// The `m=` line as it stands.
    pub fn first_line(&self) -> Line<'d> {
        self.section.lines().next().unwrap_or(Line { number: 0, at: 0, text: b"" })
    }

    /// The `m=` line, read.
    pub fn line(&self) -> Result<MediaLine<'d>, Fault> {
        MediaLine::read(self.first_line().cursor())
    }

    /// The `c=` that counts: its own, otherwise the session's (RFC 8866 section 5.7).
    pub fn connection(&self) -> Option<Result<Connection<'d>, Fault>> {
        let line = self.section.first(b'c').or_else(|| self.session.first(b'c'))?;
        Some(Connection::read(line.cursor()))
    }

    /// The direction: its own, otherwise the session's, otherwise both ways (RFC 3264 section 5.1).
    pub fn direction(&self) -> Direction {
        self.section.direction().or_else(|| self.session.direction()).unwrap_or(Direction::SendRecv)
    }

    /// An attribute that counts for the stream wherever it stands: its own, or the session's.
    pub fn get<T: Typed<'d>>(&self) -> Option<T> {
        self.section.get::<T>().or_else(|| self.session.get::<T>())
    }

    /// What a format of the `m=` line stands for: by `a=rtpmap`, otherwise by the profile
    /// (RFC 3551 section 6). `None` where the format is no payload type or has no meaning.
    pub fn encoding(&self, format: &str) -> Option<Encoding<'d>> {
        let payload: u8 = crate::cursor::number(format).filter(|p| *p < 128)?;
        let mapped = self.section.every::<RtpMap<'d>>().flatten().find(|m| m.payload == payload);
        mapped.map(|m| m.encoding()).or_else(|| static_encoding(payload))
    }

    /// The parameters of a format.
    pub fn fmtp(&self, format: &str) -> Option<Fmtp<'d>> {
        self.section.every::<Fmtp<'d>>().flatten().find(|f| f.format == format)
    }
}
