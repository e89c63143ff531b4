//! The index of a message: where its lines are, found in one pass.

use crate::kept::Kept;
use crate::scan::{
    Class, after, between, is_lws, is_token, is_token_char, number, run, skip, split, trim,
};
use crate::stops::{BLOCK, at_most, equal};
use crate::{Fault, Limits, Method, Name, ParseError, Span};
use memchr::{memchr, memchr_iter, memchr3, memrchr};
use wide::u8x16;

/// Header fields that an index holds without an allocation.
const FIXED: usize = 48;

/// What is copied into an answer (RFC 3261 section 8.2.6.2).
const ANSWERED: [Name; 5] = [Name::Via, Name::From, Name::To, Name::CallId, Name::CSeq];

/// One header field: its lines from `start` to `end`, and what is in them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Slot {
    pub(crate) start: u32,
    /// After the last line end of the field.
    pub(crate) end: u32,
    pub(crate) value: Span,
    pub(crate) name_len: u16,
    /// The number of the name, or [`Slot::UNKNOWN`].
    pub(crate) id: u8,
}

impl Slot {
    pub(crate) const UNKNOWN: u8 = u8::MAX;

    pub(crate) fn name(&self) -> Option<Name> {
        Name::from_number(self.id)
    }

    pub(crate) fn line(&self) -> Span {
        Span { start: self.start, len: self.end.saturating_sub(self.start) }
    }

    pub(crate) fn name_span(&self) -> Span {
        Span { start: self.start, len: u32::from(self.name_len) }
    }
}

/// What the first line says.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct StartLine {
    pub(crate) is_request: bool,
    /// The method of a request, where it is known by name.
    pub(crate) known: Option<Method<'static>>,
    pub(crate) method: Span,
    pub(crate) uri: Span,
    pub(crate) version: Span,
    pub(crate) status: u16,
    pub(crate) reason: Span,
    /// After its line end.
    pub(crate) end: u32,
}

/// Reusable storage for where things stand in a message. Making it reads every line once, and
/// allocates only beyond 48 header fields.
#[derive(Clone, Debug)]
pub struct Index {
    fixed: [Slot; FIXED],
    spill: Vec<Slot>,
    len: usize,
    pub(crate) present: Ids,
    pub(crate) repeated: Ids,
    /// The first slot of each name that is present.
    first: [u8; 128],
    pub(crate) line: StartLine,
    pub(crate) body: Span,
    pub(crate) content_length: Option<u32>,
    pub(crate) fault: Option<Fault>,
    pub(crate) max_values: usize,
    pub(crate) kept: Kept,
    /// Every line is of the usual form.
    plain: bool,
}

impl Default for Index {
    fn default() -> Self {
        Self::new()
    }
}

impl Index {
    /// An index of nothing.
    pub fn new() -> Self {
        Self {
            fixed: [Slot::default(); FIXED],
            spill: Vec::new(),
            len: 0,
            present: Ids::default(),
            repeated: Ids::default(),
            first: [0; 128],
            line: StartLine::default(),
            body: Span::default(),
            content_length: None,
            fault: None,
            max_values: 0,
            kept: Kept::default(),
            plain: true,
        }
    }

    /// Makes the index of `bytes`, which start with the start line. A message that can be answered
    /// is indexed as far as it goes and keeps its first fault for [`crate::check`].
    pub fn parse(&mut self, bytes: &[u8], limits: &Limits) -> Result<(), ParseError> {
        self.spill.clear();
        self.len = 0;
        self.present = Ids::default();
        self.repeated = Ids::default();
        self.content_length = None;
        self.fault = None;
        self.max_values = limits.max_values;
        self.kept.forget();
        self.plain = true;
        self.line = StartLine::default();
        self.body = Span::default();
        if bytes.is_empty() {
            return Err(ParseError::Empty);
        }
        if bytes.len() >= u32::MAX as usize {
            return Err(ParseError::TooLarge { len: bytes.len() });
        }
        let head = self.lines(bytes, limits)?;
        self.hygiene(bytes, head);
        self.find_body(bytes, head, limits);
        if bytes.len() > limits.max_message {
            self.note(Fault::new(513, "Message Too Large", limits.max_message));
        }
        Ok(())
    }

    /// The index of the same message with its topmost Via stamped ([`crate::Via::stamp`]).
    pub fn stamped(&mut self, stamped: &crate::via::Stamped) {
        let via = self.kept.via.get();
        let lone = self.kept.lone.get();
        self.splice(stamped.span, stamped.len);
        // No comma has come in.
        self.kept.lone.set(lone);
        // The value need not be read again.
        if let (Some(via), Some(stamp)) = (via, &stamped.stamp) {
            self.kept.via.set(Some(via.stamped(stamp)));
        }
    }

    /// The index of the same message with the bytes at `span`, which lie in the value of one header
    /// field, replaced by `len` others that hold no line end: what a Via stamped with `received`
    /// needs, without a second pass.
    pub(crate) fn splice(&mut self, span: Span, len: usize) {
        self.kept.forget();
        let moved = |at: u32| (at + len as u32).saturating_sub(span.len);
        let more = (len as u32).wrapping_sub(span.len);
        let shift = |slot: &mut Slot| {
            if slot.start > span.start {
                slot.start = slot.start.wrapping_add(more);
                slot.value.start = slot.value.start.wrapping_add(more);
                slot.end = slot.end.wrapping_add(more);
            } else if slot.end > span.start {
                slot.value.len = slot.value.len.wrapping_add(more);
                slot.end = slot.end.wrapping_add(more);
            }
        };
        self.fixed.iter_mut().take(self.len).for_each(shift);
        self.spill.iter_mut().for_each(shift);
        self.body.start = moved(self.body.start);
        if let Some(fault) = self.fault.as_mut().filter(|fault| fault.at > span.start as usize) {
            fault.at = (fault.at + len).saturating_sub(span.len as usize);
        }
    }

    /// Reads the lines, and returns where the body starts.
    fn lines(&mut self, bytes: &[u8], limits: &Limits) -> Result<usize, ParseError> {
        let mut at = 0;
        // So that what follows a line is seen to be within the bound.
        let head = bytes.get(..limits.max_head.saturating_add(1)).unwrap_or(bytes);
        if let Some(first) = head.first_chunk::<BLOCK>()
            && let Some((end, _)) = end_of_line(head, u8x16::new(*first), 0)
        {
            let next = end + 2;
            if !self.plain_start_line(between(head, 0, end), limits) {
                self.start_line(bytes, between(bytes, 0, next), limits)?;
            }
            self.line.end = next as u32;
            // Line after line of the usual form; the first that is of another is read with care,
            // and all after it.
            at = self.plain_lines(head, next, limits);
            if bytes.get(at..at + 2) == Some(b"\r\n") {
                return Ok(at + 2);
            }
        }
        self.lines_with_care(bytes, at, limits)
    }

    /// Reads a start line, without its line end, that has nothing unusual; says whether it did.
    #[inline]
    fn plain_start_line(&mut self, text: &[u8], limits: &Limits) -> bool {
        const VERSION: &[u8; 8] = b"SIP/2.0 ";
        if text.first_chunk() == Some(VERSION) {
            let Some([a, b, c, rest @ ..]) = text.get(VERSION.len()..) else { return false };
            let digit = |byte: u8| u16::from(byte.wrapping_sub(b'0'));
            let (a, b, c) = (digit(*a), digit(*b), digit(*c));
            if !(1..=6).contains(&a) || b > 9 || c > 9 || rest.first() != Some(&b' ') {
                return false;
            }
            self.line.version = Span::new(0, VERSION.len() - 1);
            self.line.status = a * 100 + b * 10 + c;
            self.line.reason = Span::new(VERSION.len() + 4, text.len());
            return true;
        }
        let method = skip(text, 0, Class::TOKEN);
        let Some(end) = text.len().checked_sub(VERSION.len()) else { return false };
        let uri = between(text, method + 1, end);
        let (Some(first), Some(last)) = (uri.first(), uri.last()) else { return false };
        if text.last_chunk() != Some(b" SIP/2.0")
            || method == 0
            || text.get(method) != Some(&b' ')
            || is_lws(*first)
            || is_lws(*last)
            || uri.len() > limits.max_uri
        {
            return false;
        }
        self.line.is_request = true;
        self.line.known = Method::from_bytes(between(text, 0, method)).known();
        self.line.method = Span::new(0, method);
        self.line.uri = Span::new(method + 1, end);
        self.line.version = Span::new(end + 1, text.len());
        true
    }

    /// Reads lines of the form `Name: value` CRLF that no line continues, within all limits.
    /// Returns where the first that is of another form starts.
    #[inline]
    fn plain_lines(&mut self, head: &[u8], start: usize, limits: &Limits) -> usize {
        let mut at = start;
        let most = limits.max_fields.min(FIXED);
        let mut rest = after(head, start);
        while self.len < most {
            let Some(first) = rest.first_chunk::<BLOCK>() else { break };
            let block = u8x16::new(*first);
            let colons = equal(block, b':');
            let len = colons.trailing_zeros();
            let taken = match Name::of_block(block, len) {
                Some(id) => {
                    let Some((end, lone)) = end_of_line(rest, block, len + 1) else { break };
                    self.plain_value(rest, (at, len as usize, end), id, lone, limits)
                }
                None => self.plain_line_of_any_name(rest, at, limits),
            };
            let Some(taken) = taken else { break };
            at += taken;
            rest = after(rest, taken);
        }
        at
    }

    /// Reads one whose name is long or not known, which starts at `at` of the message. Returns how
    /// long it is.
    #[cold]
    #[inline(never)]
    fn plain_line_of_any_name(&mut self, line: &[u8], at: usize, limits: &Limits) -> Option<usize> {
        let colon = skip(line, 0, Class::TOKEN);
        if colon == 0 || line.get(colon) != Some(&b':') {
            return None;
        }
        let end = line_end(line, colon)? - 1;
        let id = Name::from_bytes(between(line, 0, colon)).map_or(Slot::UNKNOWN, |n| n as u8);
        let lone = memchr(b',', between(line, colon, end)).is_none();
        self.plain_value(line, (at, colon, end), id, lone, limits)
    }

    /// Takes in the line that starts at `at` of the message and has its CR at `end`, if nothing else is
    /// unusual with it. Returns how long it is.
    #[inline(always)]
    fn plain_value(
        &mut self,
        line: &[u8],
        (at, colon, end): (usize, usize, usize),
        id: u8,
        lone: bool,
        limits: &Limits,
    ) -> Option<usize> {
        let len = end + 2;
        if matches!(line.get(len), None | Some(b' ' | b'\t')) || len > limits.max_field_len {
            return None;
        }
        let (mut from, mut to) = (colon + 1, end);
        if line.get(from) == Some(&b' ') {
            from += 1;
        }
        let blank = |at: usize| matches!(line.get(at), Some(b' ' | b'\t'));
        if blank(from) || blank(to - 1) {
            while from < to && blank(from) {
                from += 1;
            }
            while from < to && blank(to - 1) {
                to -= 1;
            }
        }
        // An empty value stands at the colon.
        if from >= to {
            (from, to) = (colon + 1, colon + 1);
        }
        if lone {
            self.kept.note_lone(self.len);
        }
        let slot = Slot {
            start: at as u32,
            end: (at + len) as u32,
            value: Span { start: (at + from) as u32, len: (to - from) as u32 },
            // A name too long to note is looked at with care.
            name_len: u16::try_from(colon).ok()?,
            id,
        };
        self.add(slot, (line, from, to));
        Some(len)
    }

    /// Reads the lines from `start` on, whatever they are like.
    fn lines_with_care(
        &mut self,
        bytes: &[u8],
        start: usize,
        limits: &Limits,
    ) -> Result<usize, ParseError> {
        self.plain = false;
        let mut first = start == 0;
        let mut start = start;
        let begun = start;
        let mut ends = memchr_iter(b'\n', after(bytes, begun)).map(|at| begun + at);
        loop {
            // The end of this line, continuation lines included.
            let mut complete = false;
            let mut end = bytes.len();
            for newline in ends.by_ref() {
                end = newline + 1;
                let before = newline.checked_sub(1).and_then(|at| bytes.get(at));
                if before != Some(&b'\r') {
                    self.note(Fault::new(400, "Line End without CR", newline));
                }
                // A continuation line; but what follows the start line or the empty line cannot
                // continue it.
                let folded = matches!(bytes.get(end), Some(b' ' | b'\t'));
                let empty =
                    newline <= start + 1 && trim(bytes.get(start..end).unwrap_or(&[])).is_empty();
                if folded && !first && !empty {
                    continue;
                }
                complete = true;
                break;
            }
            let line = bytes.get(start..end).unwrap_or(&[]);
            if first {
                self.start_line(bytes, line, limits)?;
                self.line.end = u32::try_from(end).unwrap_or(u32::MAX);
                first = false;
            } else if matches!(line, b"\r\n" | b"\n") {
                return Ok(end);
            } else if !line.is_empty() {
                self.field_line(start, line, limits);
            }
            if !complete || end > limits.max_head {
                let fault = if end > limits.max_head {
                    Fault::new(513, "Header Fields Too Large", end)
                } else {
                    Fault::new(400, "No Empty Line after the Header Fields", end)
                };
                self.note(fault);
                return Ok(end.max(if complete { end } else { bytes.len() }));
            }
            start = end;
        }
    }

    /// RFC 3261 sections 7.1 and 7.2.
    fn start_line(&mut self, bytes: &[u8], line: &[u8], limits: &Limits) -> Result<(), ParseError> {
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        let span = |part: &[u8]| {
            let at = crate::scan::offset(bytes, part);
            Span::new(at, at + part.len())
        };
        if text.get(..4).is_some_and(|p| p.eq_ignore_ascii_case(b"SIP/")) {
            let (version, rest) = split(text, memchr(b' ', text).unwrap_or(text.len()));
            let rest = after(rest, 1);
            let (code, reason) = split(rest, run(rest, |b| b.is_ascii_digit()));
            self.line.version = span(version);
            self.line.reason = span(after(reason, 1));
            self.check_version(version, 0);
            match number::<u16>(code) {
                Some(status @ 100..=699) if code.len() == 3 => self.line.status = status,
                _ => self.note(Fault::new(400, "Malformed Status-Line", version.len())),
            }
            if !matches!(reason.first(), None | Some(b' ')) {
                self.note(Fault::new(400, "Malformed Status-Line", version.len()));
            }
            return Ok(());
        }
        self.line.is_request = true;
        let method_len = run(text, |b| b != b' ' && b != b'\t');
        let (method, rest) = split(text, method_len);
        // Exactly one SP stands between the elements; with more the line can still be told apart,
        // and is answered.
        let trimmed = trim(rest);
        let malformed = Fault::new(400, "Malformed Request-Line", method_len);
        let (uri, version) = match memrchr(b' ', trimmed) {
            Some(at) => (split(trimmed, at).0, after(trimmed, at + 1)),
            None => (trimmed, &[][..]),
        };
        let sip = version.get(..4).is_some_and(|v| v.eq_ignore_ascii_case(b"SIP/"));
        if !is_token(method) && !sip {
            return Err(ParseError::StartLine { at: 0 });
        }
        self.line.known = Method::from_bytes(method).known();
        self.line.method = span(method);
        self.line.version = span(version);
        let uri_trimmed = trim(uri);
        self.line.uri = span(uri_trimmed);
        if sip {
            self.check_version(version, line.len());
        }
        if !sip || !is_token(method) || uri_trimmed.is_empty() {
            self.note(malformed);
        }
        let exact = rest.first() == Some(&b' ') && rest.len() == trimmed.len() + 1;
        if !exact || uri_trimmed.len() != uri.len() {
            self.note(Fault::new(400, "Malformed Request-Line (extra white space)", method_len));
        }
        if uri.len() > limits.max_uri {
            self.note(Fault::new(414, "Request-URI Too Long", method_len + 1));
        }
        Ok(())
    }

    /// RFC 3261 section 7.1: the version is compared without regard to case; section 21.5.6.
    fn check_version(&mut self, version: &[u8], at: usize) {
        if version.eq_ignore_ascii_case(b"SIP/2.0") {
            return;
        }
        let digits = after(version, 4);
        let major = run(digits, |b| b.is_ascii_digit());
        let minor = after(digits, major + 1);
        let well_formed = major > 0
            && digits.get(major) == Some(&b'.')
            && !minor.is_empty()
            && minor.iter().all(u8::is_ascii_digit);
        self.note(if well_formed {
            Fault::new(505, "Version Not Supported", at)
        } else {
            Fault::new(400, "Malformed SIP-Version", at)
        });
    }

    fn field_line(&mut self, start: usize, line: &[u8], limits: &Limits) {
        // A known name right before the colon is a token, and needs no other look.
        let until_colon = split(line, memchr(b':', line).unwrap_or(0)).0;
        let mut known = Name::from_bytes(until_colon);
        let (mut name, mut rest) = split(line, until_colon.len());
        let mut colon = 0;
        if known.is_none() {
            (name, rest) = split(line, run(line, is_token_char));
            colon = run(rest, |b| b == b' ' || b == b'\t');
            if name.is_empty() || rest.get(colon) != Some(&b':') {
                self.note(Fault::new(400, "Malformed Header Field Line", start));
                return;
            }
            known = Name::from_bytes(name);
        }
        if line.len() > limits.max_field_len {
            self.note(Fault::new(513, "Header Field Too Long", start));
        }
        // Whatever the limits are: one that were noted shorter than it is would be another's name.
        let Ok(name_len) = u16::try_from(name.len()) else {
            self.note(Fault::new(513, "Header Field Name Too Long", start));
            return;
        };
        if self.len >= limits.max_fields {
            self.note(Fault::new(513, "Too Many Header Fields", start));
            // What an answer is made of is looked for to the end.
            let needed = known.is_some_and(|name| ANSWERED.contains(&name));
            if !needed || known.is_some_and(|name| self.present.has(name as u8)) {
                return;
            }
        }
        let after_colon = after(rest, colon + 1);
        let value = trim(after_colon);
        // An empty value stands at the colon, not after the white space and line end that follow.
        let place = if value.is_empty() { after_colon } else { value };
        let at = start + crate::scan::offset(line, place);
        let id = known.map_or(Slot::UNKNOWN, |n| n as u8);
        let slot = Slot {
            start: u32::try_from(start).unwrap_or(u32::MAX),
            end: u32::try_from(start + line.len()).unwrap_or(u32::MAX),
            value: Span::new(at, at + value.len()),
            name_len,
            id,
        };
        self.add(slot, (value, 0, value.len()));
    }

    /// Takes in a header field.
    #[inline(always)]
    fn add(&mut self, slot: Slot, (text, from, to): (&[u8], usize, usize)) {
        let id = slot.id;
        if let Some(first) = self.first.get_mut(usize::from(id)) {
            let again = self.present.put(id);
            if !again {
                *first = self.len.min(usize::from(u8::MAX)) as u8;
            } else {
                self.repeated.put(id);
            }
            if id == Name::ContentLength as u8 {
                self.add_length(slot, between(text, from, to), again);
            }
        }
        match self.fixed.get_mut(self.len) {
            Some(place) => *place = slot,
            None => self.spill.push(slot),
        }
        self.len += 1;
    }

    #[inline(never)]
    fn add_length(&mut self, slot: Slot, value: &[u8], again: bool) {
        match number::<u32>(value) {
            Some(length) if !again => self.content_length = Some(length),
            Some(_) => {
                self.content_length = None;
                self.note(Fault::repeated(Name::ContentLength, slot.start as usize));
            }
            None => self.note(Fault::malformed(Name::ContentLength, slot.value.start as usize)),
        }
    }

    /// Bytes that may stand nowhere before the body: a CR that ends no line, and NUL outside a
    /// quoted pair. Passed on, either could read as something else at the next element.
    fn hygiene(&mut self, bytes: &[u8], head: usize) {
        // A line of the usual form has none.
        if self.plain {
            return;
        }
        let head = split(bytes, head).0;
        // Every LF has its CR, or is noted already; so there is a CR alone if there are more of them.
        // Counting is many times faster than looking at each.
        if memchr_iter(b'\r', head).count() != memchr_iter(b'\n', head).count() {
            for at in memchr_iter(b'\r', head) {
                if head.get(at + 1) != Some(&b'\n') {
                    self.note(Fault::new(400, "CR without LF", at));
                    break;
                }
            }
        }
        for at in memchr_iter(0, head) {
            if at.checked_sub(1).and_then(|b| head.get(b)) != Some(&b'\\') {
                self.note(Fault::new(400, "NUL in a Header Field", at));
                break;
            }
        }
    }

    /// RFC 3261 section 18.3: the body is Content-Length bytes; on a datagram without one, all that
    /// there is. What comes after it is no part of the message.
    fn find_body(&mut self, bytes: &[u8], head: usize, limits: &Limits) {
        let there = bytes.len().saturating_sub(head);
        let len = match self.content_length {
            Some(length) if length as usize <= there => length as usize,
            Some(_) => {
                self.note(Fault {
                    status: 400,
                    field: Some(Name::ContentLength),
                    reason: "Content-Length Larger than the Body",
                    at: head,
                });
                there
            }
            None => there,
        };
        if len > limits.max_body {
            self.note(Fault::new(413, "Request Entity Too Large", head));
        }
        self.body = Span::new(head, head + len);
    }

    pub(crate) fn note(&mut self, fault: Fault) {
        if self.fault.is_none() {
            self.fault = Some(fault);
        }
    }

    pub(crate) fn slot(&self, at: usize) -> Option<&Slot> {
        if at >= self.len {
            return None;
        }
        match at.checked_sub(FIXED) {
            None => self.fixed.get(at),
            Some(at) => self.spill.get(at),
        }
    }

    /// How many header fields are in it.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it holds no header field.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The first slot of a name, as a place to start looking.
    pub(crate) fn first(&self, name: Name) -> Option<usize> {
        if !self.present.has(name as u8) {
            return None;
        }
        // Beyond 255 the exact place is not kept; 255 is then before it.
        self.first.get(name as usize).map(|at| usize::from(*at))
    }
}

/// A set of names, by their numbers.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ids([u64; 2]);

impl Ids {
    /// Adds one; says whether it was there already.
    #[inline]
    fn put(&mut self, id: u8) -> bool {
        let Some(half) = self.0.get_mut(usize::from(id >> 6)) else { return false };
        let bit = 1 << (id & 63);
        let again = *half & bit != 0;
        *half |= bit;
        again
    }

    #[inline]
    pub(crate) fn has(&self, id: u8) -> bool {
        self.0.get(usize::from(id >> 6)).is_some_and(|half| half & 1 << (id & 63) != 0)
    }

    /// As the bits that [`Name::bit`] has.
    #[inline]
    pub(crate) fn bits(&self) -> u128 {
        let [low, high] = self.0;
        u128::from(low) | u128::from(high) << 64
    }
}

/// Where in `line`, which starts with a block, the CR of the CRLF stands that ends it, if neither a CR
/// nor a NUL stands between its first `before` bytes and there; and whether no comma does.
#[inline]
fn end_of_line(line: &[u8], first: u8x16, before: u32) -> Option<(usize, bool)> {
    let behind = !0u32 << before;
    let (mut low, mut commas) = (at_most(first, b'\r') & behind, equal(first, b',') & behind);
    let (mut seen, mut base) = (0, 0);
    let mut rest = line.get(BLOCK..)?;
    while low == 0 {
        seen |= commas;
        base += BLOCK;
        match rest.split_first_chunk::<BLOCK>() {
            Some((block, more)) => {
                let block = u8x16::new(*block);
                (low, commas) = (at_most(block, b'\r'), equal(block, b','));
                rest = more;
            }
            None => {
                // Some of the last block was seen before.
                let block = u8x16::new(*line.last_chunk::<BLOCK>()?);
                let again = BLOCK - rest.len();
                low = at_most(block, b'\r') >> again;
                commas = equal(block, b',') >> again;
                if low == 0 {
                    return None;
                }
            }
        }
    }
    let at = low.trailing_zeros();
    let end = base + at as usize;
    if line.get(end..end + 2) != Some(b"\r\n") {
        return end_of_strange_line(line, before as usize);
    }
    Some((end, (seen | commas & ((1 << at) - 1)) == 0))
}

/// The same where there is a tab in it, perhaps.
#[cold]
#[inline(never)]
fn end_of_strange_line(line: &[u8], before: usize) -> Option<(usize, bool)> {
    let end = line_end(line, before)? - 1;
    Some((end, memchr(b',', between(line, before, end)).is_none()))
}

/// The LF of the CRLF that ends a line, if neither a CR nor a NUL stands in it before.
#[inline]
fn line_end(bytes: &[u8], from: usize) -> Option<usize> {
    let end = from + memchr3(b'\r', b'\n', 0, after(bytes, from))?;
    (bytes.get(end..end + 2) == Some(b"\r\n")).then_some(end + 1)
}

#[cfg(test)]
mod splice_tests {
    use crate::{Index, Limits, Message, Name};

    #[test]
    fn a_spliced_index_is_that_of_the_spliced_bytes() {
        let head = "OPTIONS sip:a@b SIP/2.0\r\nf: <sip:a@b>;tag=1\r\nVia: ";
        for (old, new) in
            [("SIP/2.0/UDP h", "SIP/2.0/UDP h;received=192.0.2.1"), ("longer", "l"), ("", "x")]
        {
            let more = "Subject: x\r\n".repeat(60);
            let tail = format!(" , SIP/2.0/UDP z\r\n{more}Content-Length: 2\r\n\r\nhi");
            let (before, after) = (format!("{head}{old}{tail}"), format!("{head}{new}{tail}"));
            let mut index = Index::new();
            assert!(Message::parse(before.as_bytes(), &mut index, &Limits::default()).is_ok());
            index.splice(crate::Span::new(head.len(), head.len() + old.len()), new.len());
            let spliced = Message::with_index(after.as_bytes(), &index);
            let mut fresh = Index::new();
            let parsed = Message::parse(after.as_bytes(), &mut fresh, &Limits::default()).unwrap();
            let lines = |message: Message<'_>| {
                message.all().map(|field| (field.line, field.span)).collect::<Vec<_>>()
            };
            // Where the value was empty its place is a matter of taste.
            if !old.is_empty() {
                assert_eq!(lines(spliced), lines(parsed));
            }
            assert_eq!(spliced.body(), b"hi");
            assert_eq!(spliced.value(Name::ContentLength), Some(&b"2"[..]));
        }
    }
}

#[cfg(test)]
mod plain_tests {
    use super::*;
    use crate::Message;
    use proptest::prelude::*;

    proptest! {
        /// A start line of the usual form is read as whoever reads with care would read it.
        #[test]
        fn both_readers_agree_of_start_lines(
            first in r"(INVITE|INV|a b|SIP/2\.0|sip/2\.0|SIP/2\.1|)( |  |\t|)",
            second in r"(sip:a|sip:a{20}|a b|200|099|700|20|2000|20x|)( |  |\t|)",
            third in r"(SIP/2\.0|sip/2\.0|SIP/2|OK|Not Found|)( |)",
        ) {
            let text = format!("{first}{second}{third}");
            let limits = Limits { max_uri: 10, ..Limits::default() };
            let mut quick = Index::new();
            if quick.plain_start_line(text.as_bytes(), &limits) {
                let mut careful = Index::new();
                let line = format!("{text}\r\n");
                let read = careful.start_line(line.as_bytes(), line.as_bytes(), &limits);
                prop_assert_eq!(read, Ok(()));
                prop_assert_eq!(format!("{quick:?}"), format!("{careful:?}"));
            }
        }

        /// Lines of the usual form are read as whoever reads with care would read them.
        #[test]
        fn both_readers_agree(
            lines in proptest::collection::vec(
                r"(Via|v|To|to|X-Y|Content-Length|l|Call-ID|Call\rID|P-Preferred-Identity|x{20}|a b|)( ?:|)( ?|  )(1|a, b|\x22x\x22||\x00|[a,\t]{0,40})( |\r|)(\r\n|\n|\r|\r\n |)",
                0..8,
            ),
            end in r"(\r\n|\n|)(body)?",
        ) {
            let text = format!("OPTIONS sip:a SIP/2.0\r\n{}{end}", lines.concat());
            let bytes = text.as_bytes();
            for limits in [
                Limits::default(),
                Limits { max_fields: 3, max_field_len: 12, max_head: 60, ..Limits::default() },
            ] {
                let mut quick = Index::new();
                let first = quick.parse(bytes, &limits);
                let mut careful = Index::new();
                careful.max_values = limits.max_values;
                let second = careful.lines_with_care(bytes, 0, &limits).map(|head| {
                    careful.hygiene(bytes, head);
                    careful.find_body(bytes, head, &limits);
                });
                quick.plain = careful.plain;
                let lone = quick.kept.lone.take();
                for (place, field) in Message::with_index(bytes, &quick).all().enumerate() {
                    prop_assert!(lone & 1 << place == 0 || !field.value.contains(&b','));
                }
                prop_assert_eq!(first, second);
                prop_assert!(format!("{quick:?}") == format!("{careful:?}"), "{text:?}");
            }
        }
    }
}
