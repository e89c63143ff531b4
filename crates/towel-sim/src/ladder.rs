//! Ladder diagrams: who sent what to whom and when, as text.
//!
//! ```text
//!              alice                 towel
//!    0.000      ├──────INVITE F1──────▶│
//!    0.010      │◀───100 Trying F2─────┤
//! ```

use crate::text::Text;

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It arrived.
    Arrived,
    /// The network lost it.
    Lost,
    /// Nobody was there to take it.
    Unreachable,
}

/// One row of a ladder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Row {
    /// A message from one column to another.
    Arrow {
        /// When it was sent, in microseconds.
        at: u64,
        /// The sender's column.
        from: usize,
        /// The receiver's column.
        to: usize,
        /// What stands on the arrow.
        label: String,
        /// What became of it.
        fate: Fate,
        /// The whole message.
        bytes: Vec<u8>,
    },
    /// Something that is no message.
    Note {
        /// When, in microseconds.
        at: u64,
        /// At whose column; across all where there is none.
        column: Option<usize>,
        /// What.
        text: String,
    },
}

/// How a ladder is to be drawn.
#[derive(Clone, Copy, Debug, Default)]
pub struct Style {
    /// Number the messages and write each whole beneath the diagram.
    pub messages: bool,
}

/// A ladder in the making.
#[derive(Clone, Debug, Default)]
pub struct Ladder {
    columns: Vec<String>,
    rows: Vec<Row>,
}

/// What stands on the arrow of a message: the method, or the status code and reason phrase.
pub fn label(bytes: &[u8]) -> String {
    let first = bytes.split(|b| *b == b'\r' || *b == b'\n').next().unwrap_or_default();
    let start = String::from_utf8_lossy(first);
    let mut words = start.splitn(3, ' ');
    let (one, two, three) = (words.next(), words.next(), words.next());
    match (one, two, three) {
        (Some(version), Some(status), reason) if version.starts_with("SIP/") => {
            let status: String = status.chars().take(8).collect();
            let reason: String = reason.unwrap_or_default().chars().take(24).collect();
            let about = Text::datagram(bytes).map(|t| {
                t.method().chars().filter(|c| !c.is_control()).take(24).collect::<String>()
            });
            match about.as_deref() {
                Some("INVITE" | "") | None => format!("{status} {reason}"),
                Some(method) => format!("{status} {reason} ({method})"),
            }
        }
        (Some(method), Some(_), Some(_)) => {
            method.chars().filter(|c| !c.is_control()).take(24).collect()
        }
        _ if bytes.iter().all(|b| b.is_ascii_whitespace()) => "keepalive".to_string(),
        _ => format!("{} bytes", bytes.len()),
    }
}

impl Ladder {
    /// A ladder between these.
    pub fn new<S: Into<String>>(columns: impl IntoIterator<Item = S>) -> Self {
        Ladder { columns: columns.into_iter().map(Into::into).collect(), rows: Vec::new() }
    }

    /// The names of the columns.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// The column of that name, made at the right-hand side where there is none yet.
    pub fn column(&mut self, name: &str) -> usize {
        self.columns.iter().position(|c| c == name).unwrap_or_else(|| {
            self.columns.push(name.to_string());
            self.columns.len() - 1
        })
    }

    /// Puts a message in.
    pub fn arrow(&mut self, at: u64, from: usize, to: usize, fate: Fate, bytes: &[u8]) {
        let label = label(bytes);
        self.rows.push(Row::Arrow { at, from, to, label, fate, bytes: bytes.to_vec() });
    }

    /// Puts a remark in.
    pub fn note(&mut self, at: u64, column: Option<usize>, text: impl Into<String>) {
        self.rows.push(Row::Note { at, column, text: text.into() });
    }

    /// What is in it, in the order in which it was put in.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// The diagram as text.
    pub fn render(&self, style: Style) -> String {
        let labels = self.labels(style);
        let at = self.places(&labels);
        let width = at.last().map_or(0, |last| last + 12);
        let mut out = String::new();
        let mut head = vec![' '; width + 12];
        for (column, place) in self.columns.iter().zip(&at) {
            let from = place.saturating_sub(column.chars().count() / 2);
            put(&mut head, from, column);
        }
        push_line(&mut out, "", &head);
        for (row, label) in self.rows.iter().zip(&labels) {
            let mut line = vec![' '; width + label.chars().count()];
            for place in &at {
                line[*place] = '│';
            }
            let when = match row {
                Row::Arrow { at: when, from, to, fate, .. } => {
                    draw(&mut line, at[*from], at[*to], label, *fate);
                    *when
                }
                Row::Note { at: when, column, text } => {
                    match column {
                        Some(column) => {
                            line[at[*column]] = '●';
                            put(&mut line, at[*column] + 2, text);
                        }
                        None => {
                            let (first, last) =
                                (at.first().copied().unwrap_or(0), at.last().copied().unwrap_or(0));
                            line[first..=last].fill('┄');
                            let room = (last - first).saturating_sub(text.chars().count() + 2) / 2;
                            put(&mut line, first + room, &format!(" {text} "));
                        }
                    }
                    *when
                }
            };
            push_line(&mut out, &seconds(when), &line);
        }
        if style.messages {
            self.messages(&mut out);
        }
        out
    }

    fn labels(&self, style: Style) -> Vec<String> {
        let mut number = 0;
        self.rows
            .iter()
            .map(|row| match row {
                Row::Arrow { label, .. } => {
                    number += 1;
                    if style.messages { format!("{label} F{number}") } else { label.clone() }
                }
                Row::Note { text, .. } => text.clone(),
            })
            .collect()
    }

    /// Where each column stands: as near to the last as the longest label between them allows.
    fn places(&self, labels: &[String]) -> Vec<usize> {
        let mut gaps = vec![18usize; self.columns.len()];
        for (row, label) in self.rows.iter().zip(labels) {
            if let Row::Arrow { from, to, .. } = row {
                let (low, high) = (*from.min(to), *from.max(to));
                let span = (high - low).max(1);
                let need = (label.chars().count() + 6).div_ceil(span);
                for gap in gaps.iter_mut().skip(low).take(span) {
                    *gap = (*gap).max(need);
                }
            }
        }
        for (at, column) in self.columns.iter().enumerate() {
            gaps[at] = gaps[at].max(column.chars().count() + 2);
        }
        let mut place = 4;
        let mut places = Vec::new();
        for gap in gaps {
            places.push(place);
            place += gap;
        }
        places
    }

    fn messages(&self, out: &mut String) {
        let mut number = 0;
        for row in &self.rows {
            if let Row::Arrow { at, from, to, label, fate, bytes } = row {
                number += 1;
                let (from, to) = (&self.columns[*from], &self.columns[*to]);
                let lost = match fate {
                    Fate::Arrived => "",
                    Fate::Lost => ", lost",
                    Fate::Unreachable => ", nobody there",
                };
                let when = seconds(*at);
                let when = when.trim();
                out.push_str(&format!("\nF{number} {label}   {from} → {to}   {when}{lost}\n\n"));
                for line in String::from_utf8_lossy(bytes).lines() {
                    out.push_str("    ");
                    out.extend(line.chars().map(|c| if c.is_control() { '·' } else { c }));
                    while out.ends_with(' ') {
                        out.pop();
                    }
                    out.push('\n');
                }
            }
        }
    }
}

fn seconds(micros: u64) -> String {
    format!("{:>5}.{:03}", micros / 1_000_000, micros / 1_000 % 1_000)
}

fn put(line: &mut Vec<char>, from: usize, text: &str) {
    for (at, c) in text.chars().enumerate() {
        if from + at >= line.len() {
            line.push(' ');
        }
        line[from + at] = if c.is_control() { '·' } else { c };
    }
}

fn push_line(out: &mut String, when: &str, line: &[char]) {
    out.push_str(&format!("{when:>9}"));
    out.extend(line);
    while out.ends_with(' ') {
        out.pop();
    }
    out.push('\n');
}

fn draw(line: &mut Vec<char>, from: usize, to: usize, label: &str, fate: Fate) {
    let (low, high) = (from.min(to), from.max(to));
    if low == high {
        // A message to itself, which is how a loop looks.
        put(line, low, &format!("├─{label}─┐"));
        return;
    }
    line[low + 1..high].fill('─');
    let room = high - low - 1;
    let text: Vec<char> = label.chars().take(room.saturating_sub(2)).collect();
    let start = low + 1 + (room - text.len()) / 2;
    line[start..start + text.len()].copy_from_slice(&text);
    let rightwards = from < to;
    let (tail, head) = if rightwards { ('├', '▶') } else { ('┤', '◀') };
    line[from] = tail;
    let tip = if rightwards { high - 1 } else { low + 1 };
    line[tip] = match fate {
        Fate::Arrived => head,
        Fate::Lost | Fate::Unreachable => '✗',
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_arrows_both_ways_losses_and_notes() {
        let mut ladder = Ladder::new(["alice", "towel", "bob"]);
        ladder.arrow(0, 0, 1, Fate::Arrived, b"INVITE sip:b@x SIP/2.0\r\n\r\n");
        ladder.arrow(10_000, 1, 2, Fate::Lost, b"INVITE sip:b@x SIP/2.0\r\n\r\n");
        ladder.note(500_000, None, "bob is restarted");
        ladder.arrow(1_510_000, 2, 1, Fate::Arrived, b"SIP/2.0 180 Ringing\r\n\r\n");
        let text = ladder.render(Style::default());
        assert_eq!(
            text,
            "           alice             towel              bob
    0.000    ├─────INVITE─────▶│                 │
    0.010    │                 ├─────INVITE─────✗│
    0.500    ┄┄┄┄┄┄┄┄┄ bob is restarted ┄┄┄┄┄┄┄┄┄┄
    1.510    │                 │◀──180 Ringing───┤
"
        );
        let whole = ladder.render(Style { messages: true });
        assert!(whole.contains("INVITE F1") && whole.contains("F2 INVITE   towel → bob"));
    }
}
