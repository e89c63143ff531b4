//! The Guide for machines: one array, an object an entry, in the Guide's order.

use std::fmt::Write;

use crate::{Entry, GUIDE, Proven};

/// Appends a string with its quotes (RFC 8259 section 7).
fn string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c < ' ' => {
                // Writing to a string cannot fail.
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

fn list<'a>(out: &mut String, items: impl Iterator<Item = &'a str>) {
    out.push('[');
    for (count, item) in items.enumerate() {
        if count > 0 {
            out.push_str(", ");
        }
        string(out, item);
    }
    out.push(']');
}

fn entry(out: &mut String, entry: &Entry, proven: Proven<'_>) {
    out.push_str("{\"id\": ");
    string(out, entry.id);
    let _ = write!(out, ", \"section\": {}, \"title\": ", entry.section as u8);
    string(out, entry.title);
    out.push_str(", \"documents\": ");
    list(out, entry.documents.iter().copied());
    out.push_str(", \"roles\": {");
    for (count, role) in entry.roles.iter().enumerate() {
        if count > 0 {
            out.push_str(", ");
        }
        string(out, role.name());
        out.push_str(": ");
        string(out, entry.role(role, proven).text());
    }
    out.push_str("}, \"status\": ");
    string(out, entry.status(proven).text());
    out.push_str(", \"flows\": ");
    list(out, entry.flows().iter().map(|flow| flow.name).filter(|name| proven(name)));
    out.push('}');
}

/// The whole Guide as JSON. `flows` holds the names of those that pass.
pub fn guide(proven: Proven<'_>) -> String {
    let mut out = String::from("[\n");
    for (count, one) in GUIDE.iter().enumerate() {
        if count > 0 {
            out.push_str(",\n");
        }
        out.push_str("  ");
        entry(&mut out, one, proven);
    }
    out.push_str("\n]\n");
    out
}
