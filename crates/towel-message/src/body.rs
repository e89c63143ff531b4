//! Bodies of several parts (RFC 2046 section 5.1, RFC 5621) and what is to be done with a part.

use crate::fields::{Disposition, MediaType};
use crate::scan::{after, is_token_char, push_number, run, split, trim, unquote};
use crate::{Fault, FieldName, Message, Name};
use memchr::{memchr, memmem};

/// The greatest length of a boundary (RFC 2046 section 5.1.1).
const MAX_BOUNDARY: usize = 70;
/// How deep bodies in bodies are followed.
const MAX_DEPTH: usize = 8;

/// One part of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part<'a> {
    /// Its header fields, each with its line end.
    pub head: &'a [u8],
    /// Its content.
    pub content: &'a [u8],
}

/// The parts of a body.
#[derive(Clone, Debug)]
pub struct Parts<'a> {
    delimiter: Vec<u8>,
    /// What follows the last delimiter that was found; `None` after the closing one.
    rest: Option<&'a [u8]>,
}

impl<'a> Message<'a> {
    /// The parts of a multipart body; `None` where the body is of another type.
    pub fn parts(&self) -> Option<Result<Parts<'a>, Fault>> {
        parts_of(self.content_type()?, self.body())
    }
}

fn parts_of<'a>(
    kind: Result<MediaType<'a>, Fault>,
    body: &'a [u8],
) -> Option<Result<Parts<'a>, Fault>> {
    match kind {
        Ok(kind) if kind.kind.eq_ignore_ascii_case(b"multipart") => Some(Parts::new(&kind, body)),
        Ok(_) => None,
        Err(fault) => Some(Err(fault)),
    }
}

impl<'a> Parts<'a> {
    /// The parts of a body whose type is multipart: the boundary is a parameter of the type.
    pub fn new(kind: &MediaType<'_>, body: &'a [u8]) -> Result<Self, Fault> {
        let fault = |reason| Fault { status: 400, field: Some(Name::ContentType), reason, at: 0 };
        let mut delimiter = b"\r\n--".to_vec();
        let boundary = kind.params.value("boundary").ok_or(fault("Missing Boundary"))?;
        unquote(boundary, &mut delimiter);
        if delimiter.len() <= 4 || delimiter.len() > 4 + MAX_BOUNDARY {
            return Err(fault("Malformed Boundary"));
        }
        // The first delimiter may stand at the very start; what is before it is no part.
        let first = if body.starts_with(delimiter.get(2..).unwrap_or(&[])) {
            after(body, delimiter.len() - 2)
        } else {
            let at = memmem::find(body, &delimiter).ok_or(fault("Body without Its Boundary"))?;
            after(body, at + delimiter.len())
        };
        Ok(Self { rest: start_of_part(first), delimiter })
    }
}

/// Passes over the end of a delimiter's line; `None` for the closing delimiter.
fn start_of_part(bytes: &[u8]) -> Option<&[u8]> {
    if bytes.starts_with(b"--") {
        return None;
    }
    let rest = after(bytes, run(bytes, |b| b == b' ' || b == b'\t'));
    rest.strip_prefix(b"\r\n")
}

impl<'a> Iterator for Parts<'a> {
    type Item = Part<'a>;

    fn next(&mut self) -> Option<Part<'a>> {
        let rest = self.rest?;
        // An empty part is ended by the line end that ends its delimiter.
        let empty = rest.starts_with(self.delimiter.get(2..).unwrap_or(&[]));
        let (part, more) = if empty {
            (&[][..], after(rest, self.delimiter.len() - 2))
        } else {
            // A part that nothing ends (the closing delimiter is cut off) is given as it is.
            match memmem::find(rest, &self.delimiter) {
                Some(at) => (split(rest, at).0, after(rest, at + self.delimiter.len())),
                None => (rest, &[][..]),
            }
        };
        self.rest = start_of_part(more);
        // Header fields, an empty line, content; no header field at all is an empty line at once.
        let (head, content) = if let Some(content) = part.strip_prefix(b"\r\n") {
            (&[][..], content)
        } else {
            match memmem::find(part, b"\r\n\r\n") {
                Some(at) => (split(part, at + 2).0, after(part, at + 4)),
                None => (part, &[][..]),
            }
        };
        Some(Part { head, content })
    }
}

impl<'a> Part<'a> {
    /// The header fields: names as they were written, and values.
    pub fn fields(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        let mut rest = self.head;
        core::iter::from_fn(move || {
            loop {
                if rest.is_empty() {
                    return None;
                }
                let mut end = memchr(b'\n', rest).map_or(rest.len(), |at| at + 1);
                while matches!(rest.get(end), Some(b' ' | b'\t')) {
                    let more = after(rest, end);
                    end += memchr(b'\n', more).map_or(more.len(), |at| at + 1);
                }
                let (line, tail) = split(rest, end);
                rest = tail;
                let (name, value) = split(line, run(line, is_token_char));
                let value = after(value, run(value, |b| b == b' ' || b == b'\t'));
                if let Some(value) = value.strip_prefix(b":").filter(|_| !name.is_empty()) {
                    return Some((name, trim(value)));
                }
            }
        })
    }

    /// The value of a header field.
    pub fn field(&self, name: &str) -> Option<&'a [u8]> {
        self.fields().find(|(n, _)| n.eq_ignore_ascii_case(name.as_bytes())).map(|(_, v)| v)
    }

    /// The Content-Type. A part without one is `text/plain` (RFC 2046 section 5.1).
    pub fn content_type(&self) -> Result<MediaType<'a>, Fault> {
        MediaType::parse(self.field("Content-Type").unwrap_or(b"text/plain"))
            .map_err(|f| f.of(Name::ContentType))
    }

    /// The Content-Disposition.
    pub fn disposition(&self) -> Option<Result<Disposition<'a>, Fault>> {
        let value = self.field("Content-Disposition")?;
        Some(Disposition::parse(value).map_err(|f| f.of(Name::ContentDisposition)))
    }

    /// Whether who does not understand the part may pass over it (RFC 5621 section 8): only where it
    /// says so.
    pub fn is_optional(&self) -> bool {
        matches!(self.disposition(), Some(Ok(disposition)) if disposition.is_optional())
    }

    /// The Content-ID without its brackets (RFC 2392).
    pub fn id(&self) -> Option<&'a [u8]> {
        let value = self.field("Content-ID")?;
        Some(value.strip_prefix(b"<").and_then(|v| v.strip_suffix(b">")).unwrap_or(value))
    }

    /// The parts of a part that is multipart itself.
    pub fn parts(&self) -> Option<Result<Parts<'a>, Fault>> {
        parts_of(self.content_type(), self.content)
    }

    /// Whether this or any part in it is of a type, written `type/subtype`: how a UA finds the
    /// session description in what it got (RFC 5621 section 4).
    pub fn find(&self, kind: &str) -> Option<Part<'a>> {
        self.find_within(kind, MAX_DEPTH)
    }

    fn find_within(&self, kind: &str, depth: usize) -> Option<Part<'a>> {
        if self.content_type().is_ok_and(|k| k.is(kind)) {
            return Some(*self);
        }
        let depth = depth.checked_sub(1)?;
        self.parts()?.ok()?.find_map(|part| part.find_within(kind, depth))
    }
}

/// A multipart body in the making.
#[derive(Clone, Debug)]
pub struct Multipart {
    parts: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Default for Multipart {
    fn default() -> Self {
        Self::new()
    }
}

impl Multipart {
    /// A body without parts.
    pub fn new() -> Self {
        Self { parts: Vec::new() }
    }

    /// Adds a part with its Content-Type.
    #[must_use]
    pub fn part(mut self, kind: &[u8], content: &[u8]) -> Self {
        self.parts.push((Vec::new(), content.to_vec()));
        self.field(Name::ContentType, kind)
    }

    /// Adds a part as it stood elsewhere: its header fields and what follows them.
    #[must_use]
    pub fn copy(mut self, part: &Part<'_>) -> Self {
        let mut head = part.head.to_vec();
        if !head.is_empty() && !head.ends_with(b"\r\n") {
            head.extend_from_slice(b"\r\n");
        }
        self.parts.push((head, part.content.to_vec()));
        self
    }

    /// Adds a header field to the last part.
    #[must_use]
    pub fn field<'n>(mut self, name: impl Into<FieldName<'n>>, value: &[u8]) -> Self {
        if let Some((head, _)) = self.parts.last_mut() {
            head.extend_from_slice(name.into().as_bytes());
            head.extend_from_slice(b": ");
            head.extend_from_slice(value);
            head.extend_from_slice(b"\r\n");
        }
        self
    }

    /// A boundary that stands in none of the parts. The same parts give the same one.
    fn boundary(&self) -> Vec<u8> {
        let mut number = 42u64;
        loop {
            let mut boundary = b"towel-".to_vec();
            push_number(&mut boundary, number);
            let taken =
                self.parts.iter().any(|(_, content)| memmem::find(content, &boundary).is_some());
            if !taken {
                return boundary;
            }
            number += 1;
        }
    }

    /// The Content-Type, of a subtype such as `mixed`, and the body.
    pub fn finish(&self, subtype: &str) -> (Vec<u8>, Vec<u8>) {
        let boundary = self.boundary();
        let mut kind = format!("multipart/{subtype};boundary=").into_bytes();
        kind.extend_from_slice(&boundary);
        let mut body = Vec::new();
        for (head, content) in &self.parts {
            for piece in [&b"--"[..], &boundary, b"\r\n", head, b"\r\n", content, b"\r\n"] {
                body.extend_from_slice(piece);
            }
        }
        for piece in [&b"--"[..], &boundary, b"--\r\n"] {
            body.extend_from_slice(piece);
        }
        (kind, body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<'a>(kind: &'a [u8], body: &'a [u8]) -> Result<Vec<Part<'a>>, Fault> {
        Ok(Parts::new(&MediaType::parse(kind)?, body)?.collect())
    }

    #[test]
    fn what_was_written_is_read() {
        let body = Multipart::new()
            .part(b"text/plain", b"Don't panic\r\n")
            .part(b"application/octet-stream", b"\0\r\n--towel-42\r\n\0")
            .field(Name::ContentDisposition, b"render;handling=optional")
            .field("Content-ID", b"<a@b>");
        let (kind, bytes) = body.finish("mixed");
        assert_eq!(kind, b"multipart/mixed;boundary=towel-43");
        let parts = read(&kind, &bytes).unwrap();
        assert_eq!(parts.len(), 2);
        let [one, two] = parts[..] else { panic!() };
        assert_eq!((one.content, one.is_optional()), (&b"Don't panic\r\n"[..], false));
        assert_eq!(two.content, b"\0\r\n--towel-42\r\n\0");
        assert!(two.is_optional() && two.content_type().unwrap().is("application/octet-stream"));
        assert_eq!(two.id(), Some(&b"a@b"[..]));
    }

    #[test]
    fn preamble_epilogue_and_parts_without_header_fields() {
        let body = b"preamble\r\n--x y  \r\n\r\nplain\r\n--x y\r\nA:\r\n b\r\n\r\n\r\n--x y--\r\nepilogue\r\n--x y\r\n";
        let parts = read(b"multipart/mixed;boundary=\"x y\"", body).unwrap();
        assert_eq!(parts.len(), 2);
        assert_eq!((parts[0].head, parts[0].content), (&b""[..], &b"plain"[..]));
        assert_eq!((parts[1].field("a"), parts[1].content), (Some(&b"b"[..]), &b""[..]));
    }

    #[test]
    fn a_session_description_is_found_in_nested_parts() {
        let (kind, inner) = Multipart::new()
            .part(b"text/plain", b"x")
            .part(b"Application/SDP", b"v=0")
            .finish("alternative");
        let (kind, outer) = Multipart::new().part(&kind, &inner).finish("mixed");
        let head = [b"Content-Type: ", &kind[..], b"\r\n"].concat();
        let whole = Part { head: &head, content: &outer };
        assert_eq!(whole.find("application/sdp").map(|p| p.content), Some(&b"v=0"[..]));
        assert_eq!(whole.find("image/png"), None);
    }

    #[test]
    fn what_is_broken_is_told_or_given_as_it_is() {
        assert!(read(b"multipart/mixed", b"").is_err());
        assert!(read(b"multipart/mixed;boundary=\"\"", b"").is_err());
        assert!(read(b"multipart/mixed;boundary=x", b"no boundary").is_err());
        let cut = read(b"multipart/mixed;boundary=x", b"--x\r\n\r\ncut o").unwrap();
        assert_eq!(cut[0].content, b"cut o");
        let none = read(b"multipart/mixed;boundary=x", b"--x--").unwrap();
        assert!(none.is_empty());
        let empty = read(b"multipart/mixed;boundary=x", b"--x\r\n--x\r\n\r\na\r\n--x--").unwrap();
        assert_eq!(empty.len(), 2);
    }
}
