//! Framing: where one message ends and the next begins (RFC 3261 sections 7.5 and 18.3, RFC 5626
//! section 3.5.1, RFC 7118 section 5).
//!
//! A datagram holds one message and needs no framing: [`crate::Message::parse`] passes over line
//! ends before it and leaves out what follows the body. A WebSocket message holds exactly one as
//! well: [`websocket`]. A stream is cut by Content-Length: [`StreamFramer`].

use crate::scan::{is_token_char, number, run, trim};
use crate::{Fault, Limits, Name};
use memchr::{memchr, memchr_iter};

/// What a stream brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framed<'a> {
    /// A whole message.
    Message(&'a [u8]),
    /// Two line ends between messages: a keepalive, to be answered with one.
    Ping,
    /// One line end between messages: the answer to a keepalive, or the first half of a
    /// [`Framed::Ping`], which then follows.
    Pong,
    /// The stream cannot be framed any more. The head of the message at fault may still be answered;
    /// then the connection is closed. Nothing follows.
    Broken {
        /// The head as far as it came.
        head: &'a [u8],
        /// What it is answered with.
        fault: Fault,
    },
}

/// Cuts a stream into messages. Holds bytes only while a message is incomplete.
#[derive(Clone, Debug)]
pub struct StreamFramer {
    limits: Limits,
    buffer: Vec<u8>,
    /// Where in the buffer the next message starts.
    start: usize,
    /// What is known of the message that starts there.
    progress: Progress,
    /// One line end was just seen between messages.
    half_ping: bool,
    broken: bool,
}

/// What is known of a message that is not whole yet, so that no byte of it is looked at again each
/// time that a piece comes.
#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    /// How far an end of the head has been looked for.
    scanned: usize,
    /// How long the message is, once its head is there.
    whole: Option<usize>,
}

/// What stands at the start of some bytes.
enum Next {
    More,
    Crlf(usize),
    Message(usize),
    Broken(usize, Fault),
}

impl StreamFramer {
    /// A framer of a new stream.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            buffer: Vec::new(),
            start: 0,
            progress: Progress::default(),
            half_ping: false,
            broken: false,
        }
    }

    /// Takes bytes from the stream, and calls `each` for all that they complete. Messages that lie
    /// whole in `bytes` are not copied.
    pub fn feed(&mut self, bytes: &[u8], mut each: impl FnMut(Framed<'_>)) {
        if self.broken {
            return;
        }
        if self.is_idle() {
            self.progress = Progress::default();
            let used = self.run(bytes, &mut each);
            if !self.broken {
                self.buffer.extend_from_slice(bytes.get(used..).unwrap_or(&[]));
            }
            return;
        }
        self.push(bytes);
        while let Some(framed) = self.next() {
            each(framed);
        }
        self.compact();
    }

    /// Takes bytes from the stream; [`StreamFramer::next`] then gives what they complete.
    pub fn push(&mut self, bytes: &[u8]) {
        if !self.broken {
            self.compact();
            self.buffer.extend_from_slice(bytes);
        }
    }

    /// The next thing that the bytes pushed so far make whole.
    #[expect(clippy::should_implement_trait, reason = "what it gives borrows the framer")]
    pub fn next(&mut self) -> Option<Framed<'_>> {
        if self.broken {
            return None;
        }
        let start = self.start;
        let next = {
            let rest = self.buffer.get(start..).unwrap_or(&[]);
            scan(rest, &mut self.progress, &self.limits)
        };
        match next {
            Next::More => None,
            Next::Crlf(used) => {
                self.start += used;
                Some(self.line_end())
            }
            Next::Message(len) => {
                self.start += len;
                self.progress = Progress::default();
                self.half_ping = false;
                self.buffer.get(start..start + len).map(Framed::Message)
            }
            Next::Broken(len, fault) => {
                self.broken = true;
                let head = self.buffer.get(start..start + len).unwrap_or(&[]);
                Some(Framed::Broken { head, fault })
            }
        }
    }

    /// Whether no message is incomplete.
    pub fn is_idle(&self) -> bool {
        self.start >= self.buffer.len()
    }

    /// Whether it is as one that has seen nothing: what a connection that says nothing need not
    /// keep.
    pub fn is_fresh(&self) -> bool {
        self.is_idle() && !self.half_ping && !self.broken
    }

    /// How many bytes of an incomplete message are held.
    pub fn held(&self) -> usize {
        self.buffer.len().saturating_sub(self.start)
    }

    /// Whether the stream cannot be framed any more.
    pub fn is_broken(&self) -> bool {
        self.broken
    }

    /// Drops what was given out, and the memory of the buffer when it is empty.
    fn compact(&mut self) {
        if self.is_idle() {
            self.buffer = Vec::new();
        } else {
            self.buffer.drain(..self.start);
        }
        self.start = 0;
    }

    fn line_end(&mut self) -> Framed<'static> {
        self.half_ping = !self.half_ping;
        if self.half_ping { Framed::Pong } else { Framed::Ping }
    }

    /// Gives out all that is whole in `bytes`, and returns how many of them were used.
    fn run(&mut self, bytes: &[u8], each: &mut impl FnMut(Framed<'_>)) -> usize {
        let mut used = 0;
        while let Some(rest) = bytes.get(used..).filter(|rest| !rest.is_empty()) {
            match scan(rest, &mut self.progress, &self.limits) {
                Next::More => break,
                Next::Crlf(len) => {
                    used += len;
                    let framed = self.line_end();
                    each(framed);
                }
                Next::Message(len) => {
                    used += len;
                    self.progress = Progress::default();
                    self.half_ping = false;
                    each(Framed::Message(rest.get(..len).unwrap_or(rest)));
                }
                Next::Broken(len, fault) => {
                    self.broken = true;
                    each(Framed::Broken { head: rest.get(..len).unwrap_or(rest), fault });
                    break;
                }
            }
        }
        used
    }
}

fn scan(bytes: &[u8], progress: &mut Progress, limits: &Limits) -> Next {
    if let Some(whole) = progress.whole {
        return if bytes.len() < whole { Next::More } else { Next::Message(whole) };
    }
    match bytes {
        [b'\r', b'\n', ..] => return Next::Crlf(2),
        [b'\n', ..] => return Next::Crlf(1),
        [] | [b'\r'] => return Next::More,
        _ => {}
    }
    // Three bytes back, as an end of the head may lie across what was looked at.
    let from = progress.scanned.saturating_sub(3).min(bytes.len());
    let head = match empty_line(bytes, from) {
        Some(EmptyLine::After(head)) => head,
        // An empty line without its CR ends no head (section 7): whoever sent it waits for an answer
        // to what will never be a message.
        Some(EmptyLine::Bare(at)) if at < limits.max_head => {
            return Next::Broken(at + 1, Fault::new(400, "Line End without CR", at));
        }
        _ => {
            progress.scanned = bytes.len();
            if bytes.len() > limits.max_head {
                return Next::Broken(bytes.len(), Fault::new(513, "Header Fields Too Large", 0));
            }
            return Next::More;
        }
    };
    if head > limits.max_head {
        return Next::Broken(head, Fault::new(513, "Header Fields Too Large", 0));
    }
    let length = match content_length(bytes.get(..head).unwrap_or(bytes)) {
        Ok(Some(length)) => length,
        // Section 18.3: on a stream it must be there, and nothing tells the length without it.
        Ok(None) => return Next::Broken(head, Fault::missing(Name::ContentLength)),
        Err(fault) => return Next::Broken(head, fault),
    };
    if length > limits.max_body {
        return Next::Broken(head, Fault::new(413, "Request Entity Too Large", head));
    }
    if head + length > limits.max_message {
        return Next::Broken(head, Fault::new(513, "Message Too Large", head));
    }
    let whole = head + length;
    progress.whole = Some(whole);
    if bytes.len() < whole { Next::More } else { Next::Message(whole) }
}

/// The first empty line of a head.
enum EmptyLine {
    /// It ends here.
    After(usize),
    /// A CR is missing in it, or in the line end before it, which stands here.
    Bare(usize),
}

fn empty_line(bytes: &[u8], from: usize) -> Option<EmptyLine> {
    memchr_iter(b'\n', crate::scan::after(bytes, from)).map(|at| from + at).find_map(|at| {
        match crate::scan::after(bytes, at + 1) {
            [b'\n', ..] => Some(EmptyLine::Bare(at)),
            [b'\r', b'\n', ..] => {
                let before = at.checked_sub(1).and_then(|at| bytes.get(at));
                let whole = before == Some(&b'\r');
                Some(if whole { EmptyLine::After(at + 3) } else { EmptyLine::Bare(at) })
            }
            _ => None,
        }
    })
}

/// The Content-Length of a head: `None` where there is none, a fault where it is repeated or no
/// number (RFC 4475 sections 3.1.2.3 and 3.3.9).
pub fn content_length(head: &[u8]) -> Result<Option<usize>, Fault> {
    let mut length = None;
    let mut rest = head;
    let mut at = 0;
    while let Some(end) = memchr(b'\n', rest) {
        let line = rest.get(..=end).unwrap_or(rest);
        if matches!(line.first(), Some(b'l' | b'L' | b'c' | b'C')) && at > 0 {
            let (name, tail) = crate::scan::split(line, run(line, is_token_char));
            let colon = run(tail, |b| b == b' ' || b == b'\t');
            if Name::from_bytes(name) == Some(Name::ContentLength) && tail.get(colon) == Some(&b':')
            {
                if length.is_some() {
                    return Err(Fault::repeated(Name::ContentLength, at));
                }
                // The value may stand on a continuation line.
                let mut len = end + 1;
                while matches!(rest.get(len), Some(b' ' | b'\t')) {
                    len += memchr(b'\n', crate::scan::after(rest, len)).map_or(0, |e| e + 1);
                    if len > rest.len() || rest.get(len - 1) != Some(&b'\n') {
                        break;
                    }
                }
                let value = rest.get(name.len() + colon + 1..len).unwrap_or(&[]);
                let value = number::<u32>(trim(value));
                length = Some(value.ok_or(Fault::malformed(Name::ContentLength, at))? as usize);
            }
        }
        at += end + 1;
        rest = crate::scan::after(rest, end + 1);
    }
    Ok(length)
}

/// What one WebSocket message is (RFC 7118 section 5): a SIP message, or the line ends of a
/// keepalive.
pub fn websocket(bytes: &[u8]) -> Framed<'_> {
    match bytes {
        b"\r\n\r\n" => Framed::Ping,
        b"\r\n" => Framed::Pong,
        _ => Framed::Message(bytes),
    }
}

#[cfg(test)]
mod tests;
