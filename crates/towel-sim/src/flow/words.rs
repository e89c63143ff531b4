//! Words, times and blocks of a flow's text.

use super::FlowError;

/// A line that is not indented, with the indented ones beneath it.
pub(super) struct Block<'a> {
    pub(super) line: usize,
    pub(super) text: &'a str,
    pub(super) below: Vec<Line<'a>>,
}

/// An indented line.
#[derive(Clone, Copy)]
pub(super) struct Line<'a> {
    pub(super) number: usize,
    pub(super) indent: usize,
    pub(super) text: &'a str,
}

/// Cuts a text into its blocks. Comments go, blank lines stay only inside a block.
pub(super) fn blocks(text: &str) -> Result<Vec<Block<'_>>, FlowError> {
    let mut blocks: Vec<Block<'_>> = Vec::new();
    for (number, raw) in text.lines().enumerate().map(|(n, l)| (n + 1, l.trim_end())) {
        let text = raw.trim_start();
        if text.starts_with('#') {
            continue;
        }
        let indent = raw.len() - text.len();
        match (indent, blocks.last_mut()) {
            (0, None) if text.is_empty() => {}
            (0, _) if !text.is_empty() => {
                blocks.push(Block { line: number, text, below: Vec::new() });
            }
            (_, Some(block)) => block.below.push(Line { number, indent, text }),
            (_, None) => {
                let what = "an indented line belongs to nothing".into();
                return Err(FlowError { line: number, what });
            }
        }
    }
    for block in &mut blocks {
        while block.below.last().is_some_and(|line| line.text.is_empty()) {
            block.below.pop();
        }
    }
    Ok(blocks)
}

/// The lines joined as a message has them, without their common indentation.
pub(super) fn joined(lines: &[Line<'_>]) -> String {
    let least = lines.iter().filter(|l| !l.text.is_empty()).map(|l| l.indent).min().unwrap_or(0);
    let mut out = String::new();
    for line in lines {
        if !line.text.is_empty() {
            out.extend(std::iter::repeat_n(' ', line.indent - least));
        }
        out.push_str(line.text);
        out.push_str("\r\n");
    }
    out
}

/// The words of a line; quotes hold several together.
pub(super) fn words(text: &str) -> Vec<String> {
    let (mut out, mut word, mut quoted, mut any) = (Vec::new(), String::new(), false, false);
    for c in text.chars() {
        match c {
            '"' => {
                quoted = !quoted;
                any = true;
            }
            c if c.is_whitespace() && !quoted => {
                if any {
                    out.push(std::mem::take(&mut word));
                }
                any = false;
            }
            c => {
                word.push(c);
                any = true;
            }
        }
    }
    if any {
        out.push(word);
    }
    out
}

/// `500ms`, `32s`, `3m`, `1h`, `2d` in microseconds.
pub(crate) fn duration(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at(digits);
    let number: f64 = number.parse().ok()?;
    let unit = match unit {
        "us" => 1.0,
        "ms" => 1e3,
        "s" => 1e6,
        "m" => 60e6,
        "h" => 3_600e6,
        "d" => 86_400e6,
        _ => return None,
    };
    Some((number * unit) as u64)
}

/// `20%` in parts of a million.
pub(super) fn parts(text: &str) -> Option<u32> {
    let percent: f64 = text.strip_suffix('%')?.parse().ok()?;
    (0.0..=100.0).contains(&percent).then_some((percent * 10_000.0) as u32)
}
