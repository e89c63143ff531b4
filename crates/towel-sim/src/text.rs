//! Messages as a script reads and writes them.
//!
//! This reader is deliberately not the one of `towel-message`: a flow judges what our elements
//! send, and a judge that shares the parser with the accused would share its mistakes too. It is
//! small, owned and unhurried, and it takes what it finds: whether a message is valid is for the
//! expectations and the audit to say.

/// One message taken apart into lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text {
    /// The request line or the status line.
    pub start: String,
    /// The header fields in their order, unfolded, names as they were written.
    pub fields: Vec<(String, String)>,
    /// What follows the empty line.
    pub body: Vec<u8>,
}

/// The long name of a compact form (RFC 3261 section 7.3.3 and the extensions' registrations).
fn long_name(name: &str) -> &str {
    let [letter] = name.as_bytes() else { return name };
    match letter.to_ascii_lowercase() {
        b'a' => "Accept-Contact",
        b'b' => "Referred-By",
        b'c' => "Content-Type",
        b'd' => "Request-Disposition",
        b'e' => "Content-Encoding",
        b'f' => "From",
        b'i' => "Call-ID",
        b'j' => "Reject-Contact",
        b'k' => "Supported",
        b'l' => "Content-Length",
        b'm' => "Contact",
        b'o' => "Event",
        b'r' => "Refer-To",
        b's' => "Subject",
        b't' => "To",
        b'u' => "Allow-Events",
        b'v' => "Via",
        b'x' => "Session-Expires",
        b'y' => "Identity",
        _ => name,
    }
}

/// Whether two names are the same header field, compact forms and letter case apart.
pub fn same_name(a: &str, b: &str) -> bool {
    long_name(a).eq_ignore_ascii_case(long_name(b))
}

/// Splits a header field value at its top-level commas: not within quotes, not within `<>`.
pub fn split_commas(value: &str) -> Vec<&str> {
    let (mut parts, mut from, mut quoted, mut angle) = (Vec::new(), 0, false, false);
    let bytes = value.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' if quoted => at += 1,
            b'"' => quoted = !quoted,
            b'<' if !quoted => angle = true,
            b'>' if !quoted => angle = false,
            b',' if !quoted && !angle => {
                parts.push(value[from..at].trim());
                from = at + 1;
            }
            _ => {}
        }
        at += 1;
    }
    parts.push(value[from..].trim());
    parts
}

/// The value of a `;name=value` parameter outside of `<>`; an empty string where it has no value.
pub fn param<'a>(value: &'a str, name: &str) -> Option<&'a str> {
    let (mut quoted, mut angle, mut from) = (false, false, None);
    let mut pieces = Vec::new();
    for (at, c) in value.char_indices() {
        match c {
            '"' => quoted = !quoted,
            '<' if !quoted => angle = true,
            '>' if !quoted => angle = false,
            ';' if !quoted && !angle => {
                if let Some(from) = from {
                    pieces.push(&value[from..at]);
                }
                from = Some(at + 1);
            }
            _ => {}
        }
    }
    if let Some(from) = from {
        pieces.push(&value[from..]);
    }
    pieces.into_iter().find_map(|piece| {
        let (key, rest) = piece.split_once('=').unwrap_or((piece, ""));
        key.trim().eq_ignore_ascii_case(name).then(|| rest.trim())
    })
}

/// The URI of a name-addr or addr-spec.
pub fn uri_of(value: &str) -> &str {
    match value.find('<') {
        Some(open) => {
            let rest = &value[open + 1..];
            rest.split('>').next().unwrap_or(rest)
        }
        None => value.split(';').next().unwrap_or(value).trim(),
    }
}

impl Text {
    /// Reads the message at the beginning of `bytes`; tells how many bytes it took. `None` where
    /// the header section or, on a stream, the body is not complete yet.
    pub fn read(bytes: &[u8], stream: bool) -> Option<(Text, usize)> {
        let end = bytes.windows(4).position(|w| w == b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let mut lines = head.split("\r\n");
        let start = lines.next()?.to_string();
        let mut fields: Vec<(String, String)> = Vec::new();
        for line in lines {
            if line.starts_with([' ', '\t']) {
                if let Some((_, value)) = fields.last_mut() {
                    value.push(' ');
                    value.push_str(line.trim());
                }
            } else if let Some((name, value)) = line.split_once(':') {
                fields.push((name.trim().to_string(), value.trim().to_string()));
            } else {
                fields.push((line.to_string(), String::new()));
            }
        }
        let mut text = Text { start, fields, body: Vec::new() };
        let rest = &bytes[end + 4..];
        let length = text.first("Content-Length").and_then(|v| v.parse::<usize>().ok());
        let length = match (length, stream) {
            (Some(length), true) if length > rest.len() => return None,
            (Some(length), _) => length.min(rest.len()),
            (None, true) => 0,
            (None, false) => rest.len(),
        };
        text.body = rest[..length].to_vec();
        Some((text, end + 4 + length))
    }

    /// Reads a whole datagram.
    pub fn datagram(bytes: &[u8]) -> Option<Text> {
        Text::read(bytes, false).map(|(text, _)| text)
    }

    /// The message as bytes. `Content-Length` is written as it stands among the fields.
    pub fn write(&self) -> Vec<u8> {
        let mut out = String::new();
        out.push_str(&self.start);
        out.push_str("\r\n");
        for (name, value) in &self.fields {
            out.push_str(name);
            out.push_str(": ");
            out.push_str(value);
            out.push_str("\r\n");
        }
        out.push_str("\r\n");
        let mut out = out.into_bytes();
        out.extend_from_slice(&self.body);
        out
    }

    /// True for a request.
    pub fn is_request(&self) -> bool {
        !self.start.starts_with("SIP/")
    }

    /// The request's method, or the method of the request that a response answers.
    pub fn method(&self) -> &str {
        if self.is_request() {
            self.start.split(' ').next().unwrap_or("")
        } else {
            self.first("CSeq").and_then(|v| v.split_whitespace().nth(1)).unwrap_or("")
        }
    }

    /// The Request-URI.
    pub fn uri(&self) -> &str {
        self.start.split(' ').nth(1).unwrap_or("")
    }

    /// The status code; 0 for a request.
    pub fn status(&self) -> u16 {
        if self.is_request() {
            return 0;
        }
        self.start.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0)
    }

    /// The reason phrase.
    pub fn reason(&self) -> &str {
        self.start.splitn(3, ' ').nth(2).unwrap_or("")
    }

    /// The CSeq number.
    pub fn cseq(&self) -> u32 {
        self.first("CSeq")
            .and_then(|v| v.split_whitespace().next())
            .and_then(|n| n.parse().ok())
            .unwrap_or(0)
    }

    /// Every line of that name, in order.
    pub fn lines<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.fields.iter().filter(move |(n, _)| same_name(n, name)).map(|(_, v)| v.as_str())
    }

    /// The first line of that name.
    pub fn first(&self, name: &str) -> Option<&str> {
        self.lines(name).next()
    }

    /// Every comma-separated value of that name over all its lines.
    pub fn values(&self, name: &str) -> Vec<&str> {
        self.lines(name).flat_map(split_commas).filter(|v| !v.is_empty()).collect()
    }

    /// All lines of that name as one comma-joined line.
    pub fn joined(&self, name: &str) -> Option<String> {
        let lines: Vec<&str> = self.lines(name).collect();
        (!lines.is_empty()).then(|| lines.join(", "))
    }

    /// The branch of the topmost Via.
    pub fn branch(&self) -> &str {
        self.values("Via").first().and_then(|v| param(v, "branch")).unwrap_or("")
    }

    /// The tag of a From or To.
    pub fn tag(&self, name: &str) -> Option<&str> {
        self.first(name).and_then(|v| param(v, "tag")).filter(|t| !t.is_empty())
    }

    /// Sets the first line of that name, or appends one.
    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        let value = value.into();
        match self.fields.iter_mut().find(|(n, _)| same_name(n, name)) {
            Some((_, old)) => *old = value,
            None => self.fields.push((name.to_string(), value)),
        }
    }

    /// Appends a line.
    pub fn add(&mut self, name: &str, value: impl Into<String>) {
        self.fields.push((name.to_string(), value.into()));
    }

    /// Takes every line of that name away.
    pub fn remove(&mut self, name: &str) {
        self.fields.retain(|(n, _)| !same_name(n, name));
    }

    /// Corrects `Content-Length` to the body that is there, as the last field.
    pub fn measure(&mut self) {
        let length = self.body.len().to_string();
        self.set("Content-Length", length);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_message_and_stops_at_its_end() {
        let bytes = b"INVITE sip:b@x SIP/2.0\r\nv: SIP/2.0/UDP a;branch=z9hG4bK1\r\n\
            Subject: one\r\n  two\r\nl: 3\r\n\r\nabcREST";
        let (text, taken) = Text::read(bytes, true).unwrap();
        assert_eq!((text.method(), text.uri(), text.branch()), ("INVITE", "sip:b@x", "z9hG4bK1"));
        assert_eq!(text.first("subject"), Some("one two"));
        assert_eq!((text.body.as_slice(), &bytes[taken..]), (&b"abc"[..], &b"REST"[..]));
        assert!(Text::read(&bytes[..bytes.len() - 5], true).is_none());
    }

    #[test]
    fn commas_in_quotes_and_brackets_do_not_split() {
        let value = r#""a, \"b" <sip:a,b@x>;q=1, <sip:c@x>"#;
        assert_eq!(split_commas(value), [r#""a, \"b" <sip:a,b@x>;q=1"#, "<sip:c@x>"]);
        assert_eq!(param("<sip:a@x;tag=no>;tag=yes;lr", "tag"), Some("yes"));
        assert_eq!(param("<sip:a@x>;tag=yes;lr", "lr"), Some(""));
        assert_eq!(uri_of("\"A\" <sip:a@x;lr>;q=1"), "sip:a@x;lr");
    }
}
