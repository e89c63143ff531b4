//! What is wrong with a configuration, and where: file, line and key.

use std::fmt;
use std::ops::Range;

/// One thing wrong with a configuration file (or with a `--set` option).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file as the person named it, or `--set`.
    pub file: String,
    /// Line, counted from 1; 0 where the problem is not in the text.
    pub line: usize,
    /// Column, counted from 1 in characters.
    pub column: usize,
    /// The key as a dotted path, e.g. `register.min-expires`; empty for a fault of the TOML itself.
    pub key: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it, where we can tell.
    pub help: Option<String>,
    /// The text of the line, and how many characters to underline.
    pub excerpt: Option<(String, usize)>,
}

impl Problem {
    /// A problem that belongs to no place in the text.
    pub fn whole(file: &str, key: &str, message: impl Into<String>) -> Self {
        Problem {
            file: file.to_owned(),
            line: 0,
            column: 0,
            key: key.to_owned(),
            message: message.into(),
            help: None,
            excerpt: None,
        }
    }

    /// A problem at a range of bytes of `source`.
    pub fn at(
        file: &str,
        source: &str,
        span: Range<usize>,
        key: &str,
        message: impl Into<String>,
    ) -> Self {
        let mut start = span.start.min(source.len());
        while !source.is_char_boundary(start) {
            start -= 1;
        }
        let before = &source[..start];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let line = before.matches('\n').count() + 1;
        let text = source[line_start..].lines().next().unwrap_or("");
        let column = source[line_start..start].chars().count() + 1;
        let within = source.get(start..span.end.min(line_start + text.len())).unwrap_or("");
        Problem {
            file: file.to_owned(),
            line,
            column,
            key: key.to_owned(),
            message: message.into(),
            help: None,
            excerpt: Some((text.to_owned(), within.chars().count().max(1))),
        }
    }

    /// The same problem with advice.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The problem as one JSON object.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "file": self.file,
            "line": self.line,
            "column": self.column,
            "key": self.key,
            "message": self.message,
            "help": self.help,
        })
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file)?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        write!(f, ": ")?;
        if !self.key.is_empty() {
            write!(f, "`{}`: ", self.key)?;
        }
        writeln!(f, "{}", self.message)?;
        if let Some((text, width)) = &self.excerpt {
            let number = self.line.to_string();
            let pad = " ".repeat(number.len());
            writeln!(f, "  {number} | {text}")?;
            let lead: String = text
                .chars()
                .take(self.column - 1)
                .map(|c| if c == '\t' { '\t' } else { ' ' })
                .collect();
            writeln!(f, "  {pad} | {lead}{}", "^".repeat(*width))?;
        }
        if let Some(help) = &self.help {
            writeln!(f, "  help: {help}")?;
        }
        Ok(())
    }
}

/// The known word nearest to `word`, if one is near enough to be meant.
pub fn did_you_mean<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let plain = word.replace('_', "-").to_ascii_lowercase();
    let mut best: Option<(usize, &str)> = None;
    for candidate in known {
        let distance = distance(&plain, candidate);
        if best.is_none_or(|(d, _)| distance < d) {
            best = Some((distance, candidate));
        }
    }
    best.filter(|(d, candidate)| {
        *d <= 1 + candidate.len() / 4
            || candidate.len() >= 4
                && (plain.contains(candidate) || candidate.contains(&plain))
                && plain.len() >= 3
    })
    .map(|(_, candidate)| candidate)
}

/// Levenshtein distance, with a swap of neighbours as one step.
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().collect();
    let b: Vec<char> = b.chars().collect();
    let width = b.len() + 1;
    let mut rows = vec![0usize; (a.len() + 1) * width];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            let at = i * width + j;
            rows[at] = if i == 0 {
                j
            } else if j == 0 {
                i
            } else {
                let same = usize::from(a[i - 1] != b[j - 1]);
                let mut least =
                    (rows[at - width] + 1).min(rows[at - 1] + 1).min(rows[at - width - 1] + same);
                if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                    least = least.min(rows[at - 2 * width - 2] + 1);
                }
                least
            };
        }
    }
    rows[a.len() * width + b.len()]
}
