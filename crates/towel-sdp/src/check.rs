//! All that is wrong with a description.

use crate::attribute::try_read;
use crate::cursor::is_token;
use crate::payload::is_dynamic;
use crate::{Bandwidth, Connection, Description, Fault, Line, Media, Origin, Timing, What};

/// The letters in the order of RFC 8866 section 9, for the session and for a media description.
const SESSION: &[u8] = b"vosiuepcbtrzka";
const MEDIA: &[u8] = b"micbka";

impl Description<'_> {
    /// All that is wrong, in the order of the lines: at most a few faults for each line.
    pub fn check(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        let mut section = SESSION;
        let mut last = 0;
        for line in self.lines() {
            self.check_form(&line, &mut faults);
            let Some(letter) = line.letter() else { continue };
            if letter == b'm' {
                section = MEDIA;
                last = 0;
            }
            check_order(&line, letter, section, &mut last, &mut faults);
            check_value(&line, letter, &mut faults);
        }
        for letter in *b"vost" {
            if self.session().first(letter).is_none() {
                faults.push(Fault::whole(What::Missing(letter)));
            }
        }
        for media in self.media() {
            check_media(&media, &mut faults);
        }
        faults
    }

    /// The first thing for which the description cannot be worked with.
    pub fn broken(&self) -> Option<Fault> {
        self.check().into_iter().find(Fault::is_broken)
    }

    fn check_form(&self, line: &Line<'_>, faults: &mut Vec<Fault>) {
        match self.end_of(line.number) {
            b"\n" => faults.push(line.fault(What::LineEnd)),
            b"" => faults.push(line.fault(What::NoLastLineEnd)),
            _ => {}
        }
        if line.text.iter().any(|b| matches!(b, 0 | b'\r')) {
            faults.push(line.fault(What::Control));
        }
        match line.letter() {
            None if line.text.is_empty() => faults.push(line.fault(What::EmptyLine)),
            None => faults.push(line.fault(What::NotALine)),
            Some(letter) if !SESSION.contains(&letter) && letter != b'm' => {
                faults.push(line.fault(What::UnknownLine(letter)));
            }
            Some(b'o' | b'c' | b't' | b'b' | b'm') => {
                let value = line.value();
                let spaces = value.trim_ascii() != value || value.windows(2).any(|w| w == b"  ");
                if spaces {
                    faults.push(line.fault(What::Spaces));
                }
            }
            Some(_) => {}
        }
    }
}

/// Whether the letter may follow the last one. `t`, `r` and `z` come in turns, so they are of one
/// rank; `e`, `p`, `b`, `t`, `r`, `z`, `a`, and `c` within a media description, may be many.
fn check_order(
    line: &Line<'_>,
    letter: u8,
    section: &'static [u8],
    last: &mut usize,
    faults: &mut Vec<Fault>,
) {
    let Some(rank) = section.iter().position(|l| *l == letter) else {
        if SESSION.contains(&letter) {
            faults.push(line.fault(What::OutOfOrder(letter)));
        }
        return;
    };
    let many = b"epbtrza".contains(&letter) || letter == b'c' && section == MEDIA;
    let rank = match letter {
        b'r' | b'z' => SESSION.iter().position(|l| *l == b't').unwrap_or(rank),
        _ => rank,
    }
    .saturating_add(1);
    if rank < *last {
        faults.push(line.fault(What::OutOfOrder(letter)));
    } else if rank == *last && !many && letter != b'm' {
        faults.push(line.fault(What::Repeated(letter)));
    }
    *last = rank.max(*last);
}

fn check_value(line: &Line<'_>, letter: u8, faults: &mut Vec<Fault>) {
    let cursor = line.cursor();
    let fault = match letter {
        b'v' if line.value().trim_ascii() != b"0" => Some(line.fault(What::Version)),
        b'o' => Origin::read(cursor).err(),
        b'c' => Connection::read(cursor).err(),
        b'b' => Bandwidth::read(cursor).err(),
        b't' => Timing::read(cursor).err(),
        b'a' => {
            let attribute = crate::Attribute::of(line);
            match is_token(attribute.name) {
                true => try_read(&attribute),
                false => Some(cursor.malformed("the name of the attribute")),
            }
        }
        _ => None,
    };
    faults.extend(fault);
}

fn check_media(media: &Media<'_>, faults: &mut Vec<Fault>) {
    let first = media.first_line();
    let line = match media.line() {
        Ok(line) => line,
        Err(fault) => return faults.push(fault),
    };
    if line.port == 0 {
        return;
    }
    if media.connection().is_none() {
        faults.push(first.fault(What::NoConnection));
    }
    if line.is_rtp() {
        let number = |format| crate::cursor::number::<u8>(format);
        if line.formats().any(|f| number(f).is_none_or(|p| p > 127)) {
            faults.push(first.fault(What::Malformed("a payload type of m=")));
        }
        let unmapped = |f| number(f).is_some_and(is_dynamic) && media.encoding(f).is_none();
        if line.formats().any(unmapped) {
            faults.push(first.fault(What::NoRtpmap));
        }
    }
}
