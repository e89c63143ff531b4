//! Editing a received message: every byte that was not asked to change leaves as it came.

use crate::message::{Field, Value};
use crate::scan::{cut_at, push_number, trim};
use crate::{FieldName, Message, Name, Span};

/// One edit: what stands in `span` of the message is replaced by a range of the text.
#[derive(Clone, Copy, Debug)]
struct Op {
    span: Span,
    /// Whether this adds something at a place, or replaces what is there.
    insertion: bool,
    /// Insertions at one place come in this order; of replacements of one place the greatest counts.
    order: i32,
    text: (u32, u32),
}

/// The storage of a [`Draft`], to be used again.
#[derive(Clone, Debug, Default)]
pub struct Edits {
    ops: Vec<Op>,
    text: Vec<u8>,
    /// Values taken out of lists: header field and position.
    removed: Vec<(usize, usize)>,
    body: Option<(u32, u32)>,
    scratch: Vec<Op>,
}

/// A place in the history of a draft, to come back to.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    ops: usize,
    text: usize,
    removed: usize,
    body: Option<(u32, u32)>,
}

/// Edits over a received message.
///
/// The edits are kept in order and applied by [`Draft::write`]; nothing is allocated once the
/// storage has grown to what it needs.
#[derive(Clone, Debug)]
pub struct Draft<'m> {
    message: Message<'m>,
    edits: Edits,
}

impl<'m> Draft<'m> {
    /// A draft without edits.
    pub fn new(message: Message<'m>) -> Self {
        Self::with(message, Edits::default())
    }

    /// A draft without edits that uses storage again.
    pub fn with(message: Message<'m>, mut edits: Edits) -> Self {
        edits.ops.clear();
        edits.text.clear();
        edits.removed.clear();
        edits.body = None;
        Self { message, edits }
    }

    /// Gives the storage back.
    pub fn into_edits(self) -> Edits {
        self.edits
    }

    /// Forgets all edits, and takes another message.
    pub fn reset(&mut self, message: Message<'m>) {
        let edits = core::mem::take(&mut self.edits);
        *self = Self::with(message, edits);
    }

    /// The message that is edited, as it came.
    pub fn message(&self) -> Message<'m> {
        self.message
    }

    /// The present state, to come back to with [`Draft::rewind`]: what is the same for every branch
    /// is edited once, and each branch from there.
    pub fn mark(&self) -> Mark {
        Mark {
            ops: self.edits.ops.len(),
            text: self.edits.text.len(),
            removed: self.edits.removed.len(),
            body: self.edits.body,
        }
    }

    /// Forgets the edits made since a mark.
    pub fn rewind(&mut self, mark: Mark) {
        self.edits.ops.truncate(mark.ops);
        self.edits.text.truncate(mark.text);
        self.edits.removed.truncate(mark.removed);
        self.edits.body = mark.body;
    }

    /// Adds an edit whose text is what `write` appends.
    fn push(&mut self, span: Span, insertion: bool, order: i32, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.edits.text.len();
        write(&mut self.edits.text);
        let text = Span::new(start, self.edits.text.len());
        self.edits.ops.push(Op { span, insertion, order, text: (text.start, text.end()) });
    }

    fn insert(&mut self, at: u32, order: i32, name: FieldName<'_>, value: &[u8]) {
        self.push(Span { start: at, len: 0 }, true, order, |text| {
            for part in [name.as_bytes(), b": ", value, b"\r\n"] {
                text.extend_from_slice(part);
            }
        });
    }

    /// An order that grows with each edit.
    fn later(&self) -> i32 {
        i32::try_from(self.edits.ops.len()).unwrap_or(i32::MAX)
    }

    /// Replaces the Request-URI.
    pub fn set_request_uri(&mut self, uri: &[u8]) {
        self.replace(self.message.request_uri_span(), uri);
    }

    /// Writes the version in upper case: it is received in any, and sent so (RFC 3261 section 7.1).
    pub fn raise_version(&mut self) {
        let version = self.message.version();
        if version != b"SIP/2.0" && version.eq_ignore_ascii_case(b"SIP/2.0") {
            let at = crate::scan::offset(self.message.bytes(), version);
            self.replace(Span::new(at, at + version.len()), b"SIP/2.0");
        }
    }

    /// Replaces any span of the message. A later replacement of the same span takes the place of
    /// the earlier.
    pub fn replace(&mut self, span: Span, bytes: &[u8]) {
        let order = self.later();
        self.push(span, false, order, |text| text.extend_from_slice(bytes));
    }

    /// Replaces the value of a header field.
    pub fn replace_value(&mut self, field: &Field<'_>, bytes: &[u8]) {
        self.replace(field.span, bytes);
    }

    /// Inserts a header field before the first one of its name, and before those that were pushed
    /// earlier: the values of a list then read newest first. Where there is none of its name it comes
    /// after the last Via; a Via comes first.
    pub fn push_top<'n>(&mut self, name: impl Into<FieldName<'n>>, value: &[u8]) {
        let name = name.into();
        let first = match name {
            FieldName::Known(known) => self.message.first(known),
            FieldName::Other(other) => self.message.named(other.as_bytes()).next(),
        };
        let fields = self.message.fields_span();
        let at = match first {
            Some(field) => field.line.start,
            None if name.known() == Some(Name::Via) => fields.start,
            None => {
                self.message.fields(Name::Via).last().map_or(fields.start, |field| field.line.end())
            }
        };
        let order = -1 - self.later();
        self.insert(at, order, name, value);
    }

    /// Inserts a header field after the last one.
    pub fn append<'n>(&mut self, name: impl Into<FieldName<'n>>, value: &[u8]) {
        let order = self.later();
        self.insert(self.message.fields_span().end(), order, name.into(), value);
    }

    /// Replaces the first header field of a name, or appends one.
    pub fn set(&mut self, name: Name, value: &[u8]) {
        match self.message.first(name) {
            Some(field) => self.replace(field.span, value),
            None => self.append(name, value),
        }
    }

    /// Removes a header field.
    pub fn remove(&mut self, field: &Field<'_>) {
        self.replace(field.line, b"");
    }

    /// Removes every header field of a name.
    pub fn remove_all(&mut self, name: Name) {
        for field in self.message.fields(name) {
            self.remove(&field);
        }
    }

    /// Removes one value of a list, and its header field if no value is left in it.
    pub fn remove_value(&mut self, value: &Value<'_>) {
        let taken = (value.field, value.position);
        if !self.edits.removed.contains(&taken) {
            self.edits.removed.push(taken);
        }
    }

    /// Writes `received` and `rport` into the top Via as a server does (RFC 3261 section 18.2.1,
    /// RFC 3581 section 4). Returns whether that changed anything.
    pub fn stamp_top_via(&mut self, source: core::net::SocketAddr) -> bool {
        let Ok(via) = self.message.top_via() else { return false };
        if !via.needs_received(source) {
            return false;
        }
        let order = self.later();
        self.push(via.span, false, order, |text| via.write_received(source, text));
        true
    }

    /// Replaces the body with its Content-Type, or removes both. Content-Length is corrected.
    pub fn set_body(&mut self, body: Option<(&[u8], &[u8])>) {
        for name in [Name::ContentLength, Name::ContentType] {
            self.remove_all(name);
        }
        if body.is_none() {
            for name in [Name::ContentEncoding, Name::ContentDisposition, Name::ContentLanguage] {
                self.remove_all(name);
            }
        }
        let (kind, bytes) = body.unwrap_or_default();
        if body.is_some() {
            self.append(Name::ContentType, kind);
        }
        self.append_length(bytes.len());
        let start = self.edits.text.len();
        self.edits.text.extend_from_slice(bytes);
        let text = Span::new(start, self.edits.text.len());
        self.edits.body = Some((text.start, text.end()));
    }

    /// Appends a Content-Length where there is none: a message that came on a datagram may go
    /// without, one on a stream may not (RFC 3261 section 16.6 step 9).
    pub fn ensure_content_length(&mut self) {
        if !self.message.has(Name::ContentLength) {
            self.append_length(self.message.body().len());
        }
    }

    fn append_length(&mut self, len: usize) {
        let at = Span { start: self.message.fields_span().end(), len: 0 };
        let order = self.later();
        self.push(at, true, order, |text| {
            text.extend_from_slice(b"Content-Length: ");
            push_number(text, len as u64);
            text.extend_from_slice(b"\r\n");
        });
    }

    /// Appends the edited message to `out`.
    pub fn write(&mut self, out: &mut Vec<u8>) {
        let mut ops = core::mem::take(&mut self.edits.scratch);
        ops.clear();
        ops.extend_from_slice(&self.edits.ops);
        self.removals(&mut ops);
        // At one place insertions come before what is replaced there. Of two replacements the later
        // comes first, so that the earlier lies behind the cursor.
        ops.sort_unstable_by_key(|op| {
            let order = if op.insertion { op.order } else { op.order.wrapping_neg() };
            (op.span.start, !op.insertion, order)
        });
        let bytes = self.message.bytes();
        let body = self.message.body_span();
        let end = if self.edits.body.is_some() { body.start } else { body.end() };
        let mut cursor = 0u32;
        let mut replaced = None;
        for op in &ops {
            let behind =
                op.span.start < cursor || (!op.insertion && replaced == Some(op.span.start));
            if behind || op.span.end() > end {
                continue;
            }
            if !op.insertion {
                replaced = Some(op.span.start);
            }
            out.extend_from_slice(Span::new(cursor as usize, op.span.start as usize).of(bytes));
            let (from, to) = op.text;
            out.extend_from_slice(Span::new(from as usize, to as usize).of(&self.edits.text));
            cursor = op.span.end();
        }
        out.extend_from_slice(Span::new(cursor as usize, end as usize).of(bytes));
        if let Some((from, to)) = self.edits.body {
            out.extend_from_slice(Span::new(from as usize, to as usize).of(&self.edits.text));
        }
        self.edits.scratch = ops;
    }

    /// Turns the values taken out of lists into spans to remove, with the comma that goes with each.
    fn removals(&self, ops: &mut Vec<Op>) {
        let taken = |field: usize, position| self.edits.removed.contains(&(field, position));
        for (count, (position, _)) in self.edits.removed.iter().enumerate() {
            let done = self.edits.removed.iter().take(count).any(|(field, _)| field == position);
            let Some(field) = self.message.field(*position).filter(|_| !done) else { continue };
            let mut remove = |start: u32, end: u32| {
                let span = Span { start, len: end.saturating_sub(start) };
                ops.push(Op { span, insertion: false, order: i32::MAX, text: (0, 0) });
            };
            // The start of a run of removed values not yet closed by a kept one, and the end of the
            // last kept value.
            let mut open: Option<u32> = None;
            let mut kept: Option<u32> = None;
            let mut rest = Some(field.value);
            let mut at = field.span.start;
            let mut number = 0;
            let mut last = at;
            while let Some(text) = rest {
                let (element, more) = cut_at(text, b',');
                let value = trim(element);
                let offset = crate::scan::offset(text, value) as u32;
                let start = at.saturating_add(offset);
                at = at.saturating_add(element.len() as u32 + 1);
                rest = more;
                if value.is_empty() {
                    continue;
                }
                if taken(*position, number) {
                    open = open.or(Some(start));
                } else {
                    if let Some(from) = open.take() {
                        remove(from, start);
                    }
                    kept = Some(start.saturating_add(value.len() as u32));
                }
                last = start.saturating_add(value.len() as u32);
                number += 1;
            }
            match (open, kept) {
                (Some(_), Some(kept)) => remove(kept, last),
                (Some(_), None) => remove(field.line.start, field.line.end()),
                (None, _) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests;
