//! Changing a description line by line, and nothing else of it.

use crate::{BuildFault, Description};

/// A description and what is to be changed in it. Lines that are not named leave as they came:
/// what a back-to-back user agent needs that sets an address and understands no more.
#[derive(Clone, Debug)]
pub struct Draft<'d> {
    description: &'d Description<'d>,
    edits: Vec<(usize, Edit)>,
}

#[derive(Clone, Debug)]
enum Edit {
    Remove,
    Replace(String),
    After(String),
}

impl<'d> Draft<'d> {
    /// A draft without changes.
    pub const fn new(description: &'d Description<'d>) -> Self {
        Self { description, edits: Vec::new() }
    }

    /// Leaves out the line of this number (from 1).
    pub fn remove(&mut self, number: usize) -> &mut Self {
        self.edits.push((number, Edit::Remove));
        self
    }

    /// Writes another line (`x=...`, without its end) in the place of this one.
    pub fn replace(&mut self, number: usize, text: &str) -> Result<&mut Self, BuildFault> {
        self.edits.push((number, Edit::Replace(one_line(text)?)));
        Ok(self)
    }

    /// Writes another line (`x=...`, without its end) after this one; after number 0, before all.
    pub fn insert_after(&mut self, number: usize, text: &str) -> Result<&mut Self, BuildFault> {
        self.edits.push((number, Edit::After(one_line(text)?)));
        Ok(self)
    }

    /// Writes the description with its changes. The last `remove` or `replace` of a line counts;
    /// insertions stand in the order in which they were made.
    pub fn write(&self, out: &mut Vec<u8>) {
        self.write_after(0, out);
        for line in self.description.lines() {
            let of_line = self.edits.iter().rev().filter(|edit| edit.0 == line.number);
            let change = of_line.map(|edit| &edit.1).find(|edit| !matches!(edit, Edit::After(_)));
            let end = self.description.end_of(line.number);
            match change {
                Some(Edit::Remove) => {}
                Some(Edit::Replace(text)) => {
                    out.extend_from_slice(text.as_bytes());
                    out.extend_from_slice(end);
                }
                _ => {
                    out.extend_from_slice(line.text);
                    out.extend_from_slice(end);
                }
            }
            let more =
                self.edits.iter().any(|e| e.0 == line.number && matches!(e.1, Edit::After(_)));
            // A last line without an end needs one before another can follow.
            if more && end.is_empty() && !matches!(change, Some(Edit::Remove)) {
                out.extend_from_slice(b"\r\n");
            }
            self.write_after(line.number, out);
        }
    }

    fn write_after(&self, number: usize, out: &mut Vec<u8>) {
        for (at, edit) in &self.edits {
            if let (true, Edit::After(text)) = (*at == number, edit) {
                out.extend_from_slice(text.as_bytes());
                out.extend_from_slice(b"\r\n");
            }
        }
    }
}

fn one_line(text: &str) -> Result<String, BuildFault> {
    match text.as_bytes() {
        [letter, b'=', _, ..]
            if letter.is_ascii_alphabetic() && !text.contains(['\r', '\n', '\0']) =>
        {
            Ok(text.to_owned())
        }
        _ => Err(BuildFault { letter: text.chars().next().unwrap_or('?'), value: text.to_owned() }),
    }
}
