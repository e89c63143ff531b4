//! Reading TOML with places kept: every wrong value and every unknown key becomes a [`Problem`]
//! that points at its line, and reading goes on, so that a person sees all of them at once.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{Problem, did_you_mean};

/// One document being read.
pub(crate) struct Reading<'s> {
    file: &'s str,
    source: &'s str,
    problems: Vec<Problem>,
    /// Where each key that was present stands.
    places: BTreeMap<String, Range<usize>>,
    /// Where each table of an array of tables begins.
    rows: BTreeMap<String, Vec<Range<usize>>>,
    /// Every key that the reader asked for, present or not: what the documentation must name.
    known: BTreeSet<String>,
    /// Reading a table that is not there, only to learn its keys.
    absent: bool,
}

/// A string value with its place.
#[derive(Debug, Clone)]
pub(crate) struct Text {
    pub(crate) value: String,
    pub(crate) span: Range<usize>,
}

/// A table whose keys somebody else knows: its name, its keys and their values.
pub(crate) type FreeTable = (Text, Vec<(Text, Vec<Text>)>);

impl<'s> Reading<'s> {
    /// Reads a whole document: `read` is given its root table.
    pub(crate) fn document(
        file: &'s str,
        source: &'s str,
        read: impl FnOnce(&mut Section<'_, 's>),
    ) -> Reading<'s> {
        let mut reading = Reading {
            file,
            source,
            problems: Vec::new(),
            places: BTreeMap::new(),
            rows: BTreeMap::new(),
            known: BTreeSet::new(),
            absent: false,
        };
        let (table, errors) = DeTable::parse_recoverable(source);
        for error in errors {
            let span = error.span().unwrap_or(0..0);
            let message = error.message().trim().to_owned();
            // The key is named where the fault is one of a key.
            let here = source.get(span.clone()).unwrap_or("");
            let key = if message == "duplicate key" { here } else { "" };
            reading.problems.push(Problem::at(file, source, span, key, message));
        }
        let whole_text_is_toml = reading.problems.is_empty();
        let mut root = Section {
            reading: &mut reading,
            table: table.get_ref(),
            path: String::new(),
            asked: Vec::new(),
        };
        if whole_text_is_toml {
            read(&mut root);
            root.finish();
        }
        reading
    }

    /// A problem at the place of `key` (or of the document, where the key is not in it).
    pub(crate) fn problem(&mut self, key: &str, message: impl Into<String>) -> &mut Problem {
        let problem = match self.places.get(key) {
            Some(span) => Problem::at(self.file, self.source, span.clone(), key, message),
            None => Problem::whole(self.file, key, message),
        };
        self.push(problem)
    }

    /// A problem of the table that is number `row` of the array of tables `key`.
    pub(crate) fn problem_of(&mut self, key: &str, row: usize, message: String) -> &mut Problem {
        match self.rows.get(key).and_then(|rows| rows.get(row)) {
            Some(span) => {
                let problem = Problem::at(self.file, self.source, span.clone(), key, message);
                self.push(problem)
            }
            None => self.problem(key, message),
        }
    }

    fn push(&mut self, problem: Problem) -> &mut Problem {
        let last = self.problems.len();
        self.problems.push(problem);
        &mut self.problems[last]
    }

    /// Whether the document sets `key`.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.places.contains_key(key)
    }

    /// The keys that could be set.
    #[cfg(test)]
    pub(crate) fn known(&self) -> &BTreeSet<String> {
        &self.known
    }

    /// What was found wrong, in the order of the text.
    pub(crate) fn into_problems(mut self) -> Vec<Problem> {
        self.problems.sort_by_key(|p| (p.line, p.column));
        self.problems
    }
}

/// One table of the document.
pub(crate) struct Section<'r, 's> {
    reading: &'r mut Reading<'s>,
    table: &'r DeTable<'s>,
    path: String,
    asked: Vec<&'static str>,
}

impl<'r, 's> Section<'r, 's> {
    fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// Notes that `key` may stand here, and gives its value where it does.
    fn ask(&mut self, key: &'static str) -> Option<&'r Spanned<DeValue<'s>>> {
        self.asked.push(key);
        let path = self.path_of(key);
        self.reading.known.insert(path.clone());
        if self.reading.absent {
            return None;
        }
        let (_, value) = self.table.iter().find(|(name, _)| name.get_ref().as_ref() == key)?;
        self.reading.places.insert(path, value.span());
        Some(value)
    }

    /// A problem with the value of `key`, at `span`.
    pub(crate) fn wrong(
        &mut self,
        key: &str,
        span: Range<usize>,
        message: impl Into<String>,
    ) -> &mut Problem {
        let path = self.path_of(key);
        let problem = Problem::at(self.reading.file, self.reading.source, span, &path, message);
        self.reading.push(problem)
    }

    fn wrong_type(&mut self, key: &str, value: &Spanned<DeValue<'_>>, wanted: &str) {
        let found = match value.get_ref() {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "an integer",
            DeValue::Float(_) => "a float",
            DeValue::Boolean(_) => "a boolean",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "an array",
            DeValue::Table(_) => "a table",
        };
        self.wrong(key, value.span(), format!("{wanted} is wanted here, not {found}"));
    }

    /// The place of this table's `key`, for a problem found by the caller.
    pub(crate) fn span(&self, key: &str) -> Range<usize> {
        self.reading.places.get(&self.path_of(key)).cloned().unwrap_or(0..0)
    }

    /// `key` as a string.
    pub(crate) fn text(&mut self, key: &'static str) -> Option<Text> {
        let value = self.ask(key)?;
        match value.get_ref() {
            DeValue::String(text) => {
                Some(Text { value: text.clone().into_owned(), span: value.span() })
            }
            _ => {
                self.wrong_type(key, value, "a string");
                None
            }
        }
    }

    /// `key` as a string or an array of strings.
    pub(crate) fn texts(&mut self, key: &'static str) -> Option<Vec<Text>> {
        let value = self.ask(key)?;
        match value.get_ref() {
            DeValue::String(text) => {
                Some(vec![Text { value: text.clone().into_owned(), span: value.span() }])
            }
            DeValue::Array(items) => {
                let mut texts = Vec::new();
                for item in items.iter() {
                    match item.get_ref() {
                        DeValue::String(text) => {
                            texts.push(Text { value: text.clone().into_owned(), span: item.span() })
                        }
                        _ => self.wrong_type(key, item, "a string"),
                    }
                }
                Some(texts)
            }
            _ => {
                self.wrong_type(key, value, "a string or an array of strings");
                None
            }
        }
    }

    /// `key` as true or false.
    pub(crate) fn set_bool(&mut self, key: &'static str, slot: &mut bool) {
        if let Some(value) = self.ask(key) {
            match value.get_ref() {
                DeValue::Boolean(b) => *slot = *b,
                _ => self.wrong_type(key, value, "true or false"),
            }
        }
    }

    /// `key` as a whole number within `range`.
    pub(crate) fn number(&mut self, key: &'static str, range: RangeInclusive<u64>) -> Option<u64> {
        let value = self.ask(key)?;
        let DeValue::Integer(integer) = value.get_ref() else {
            self.wrong_type(key, value, "a whole number");
            return None;
        };
        let parsed = i128::from_str_radix(&integer.as_str().replace('_', ""), integer.radix());
        match parsed.ok().and_then(|n| u64::try_from(n).ok()) {
            Some(n) if range.contains(&n) => Some(n),
            _ => {
                let message = format!("must be from {} to {}", range.start(), range.end());
                self.wrong(key, value.span(), message);
                None
            }
        }
    }

    /// `key` as a whole number into `slot`.
    pub(crate) fn set_number<T: TryFrom<u64>>(
        &mut self,
        key: &'static str,
        range: RangeInclusive<u64>,
        slot: &mut T,
    ) {
        if let Some(n) = self.number(key, range)
            && let Ok(n) = T::try_from(n)
        {
            *slot = n;
        }
    }

    /// `key` as a time: seconds as a number, or a string such as `"500ms"`, `"3m"`, `"1h"`.
    pub(crate) fn set_duration(
        &mut self,
        key: &'static str,
        range: RangeInclusive<Duration>,
        slot: &mut Duration,
    ) {
        let Some(value) = self.ask(key) else { return };
        let parsed = match value.get_ref() {
            DeValue::Integer(n) => {
                n.as_str().replace('_', "").parse().ok().map(Duration::from_secs)
            }
            DeValue::Float(n) => {
                n.as_str().parse().ok().and_then(|n| Duration::try_from_secs_f64(n).ok())
            }
            DeValue::String(text) => duration(text),
            _ => None,
        };
        match parsed {
            Some(time) if range.contains(&time) => *slot = time,
            Some(_) => {
                let message = format!(
                    "must be from {} to {}",
                    write_duration(*range.start()),
                    write_duration(*range.end())
                );
                self.wrong(key, value.span(), message);
            }
            None => {
                self.wrong(key, value.span(), "a time is wanted here")
                    .help = Some("write seconds as a number, or a string such as \"500ms\", \"90s\", \"3m\", \"1h\", \"1d\"".into());
            }
        }
    }

    /// `key` as one of a few words.
    pub(crate) fn set_choice<T: Copy>(
        &mut self,
        key: &'static str,
        choices: &[(&'static str, T)],
        slot: &mut T,
    ) {
        if let Some(text) = self.text(key)
            && let Some(choice) = self.choose(key, &text, choices)
        {
            *slot = choice;
        }
    }

    /// One of a few words, or a problem that lists them.
    pub(crate) fn choose<T: Copy>(
        &mut self,
        key: &str,
        text: &Text,
        choices: &[(&'static str, T)],
    ) -> Option<T> {
        if let Some((_, choice)) = choices.iter().find(|(word, _)| *word == text.value) {
            return Some(*choice);
        }
        let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
        let near = did_you_mean(&text.value, words.iter().copied());
        let problem = self.wrong(
            key,
            text.span.clone(),
            format!("`{}` is none of: {}", text.value, words.join(", ")),
        );
        problem.help = near.map(|near| format!("did you mean `{near}`?"));
        None
    }

    /// The table `key`; `read` runs also where it is absent, and then finds nothing set.
    pub(crate) fn section(&mut self, key: &'static str, read: impl FnOnce(&mut Section<'_, 's>)) {
        let value = self.ask(key);
        let path = self.path_of(key);
        let empty = DeTable::new();
        let table = match value.map(|v| (v, v.get_ref())) {
            Some((_, DeValue::Table(table))) => Some(table),
            Some((value, _)) => {
                self.wrong_type(key, value, "a table");
                None
            }
            None => None,
        };
        self.inner(table.unwrap_or(&empty), path, table.is_none(), read);
    }

    /// Every table of the array of tables `key`; where there is none, `read` runs once for its keys.
    pub(crate) fn each(&mut self, key: &'static str, mut read: impl FnMut(&mut Section<'_, 's>)) {
        let value = self.ask(key);
        let path = self.path_of(key);
        let empty = DeTable::new();
        match value.map(|v| (v, v.get_ref())) {
            Some((_, DeValue::Array(items))) => {
                for item in items.iter() {
                    self.reading.rows.entry(path.clone()).or_default().push(item.span());
                    match item.get_ref() {
                        DeValue::Table(table) => self.inner(table, path.clone(), false, &mut read),
                        _ => self.wrong_type(key, item, "a table"),
                    }
                }
            }
            Some((value, _)) => self.wrong_type(key, value, "an array of tables"),
            None => self.inner(&empty, path, true, &mut read),
        }
    }

    fn inner<'t>(
        &mut self,
        table: &'t DeTable<'s>,
        path: String,
        absent: bool,
        read: impl FnOnce(&mut Section<'_, 's>),
    ) {
        let was = self.reading.absent;
        self.reading.absent = was || absent;
        let mut section = Section { reading: &mut *self.reading, table, path, asked: Vec::new() };
        read(&mut section);
        section.finish();
        self.reading.absent = was;
    }

    /// Whether this table is not in the document at all.
    pub(crate) fn is_absent(&self) -> bool {
        self.reading.absent
    }

    /// The tables in the table `key`, whose names and keys somebody else knows. An array is a list
    /// of values, anything else is one.
    pub(crate) fn free_tables(&mut self, key: &'static str) -> Vec<FreeTable> {
        let Some(value) = self.ask(key) else { return Vec::new() };
        let DeValue::Table(tables) = value.get_ref() else {
            self.wrong_type(key, value, "a table");
            return Vec::new();
        };
        let text = |value: &str, span: Range<usize>| Text { value: value.to_owned(), span };
        let mut all = Vec::new();
        for (name, value) in tables.iter() {
            let DeValue::Table(table) = value.get_ref() else {
                self.wrong_type(key, value, "a table");
                continue;
            };
            let mut pairs = Vec::new();
            for (inner, value) in table.iter() {
                let items = match value.get_ref() {
                    DeValue::Array(items) => items.iter().collect(),
                    _ => vec![value],
                };
                let mut values = Vec::new();
                for item in items {
                    let span = item.span();
                    match item.get_ref() {
                        DeValue::String(s) => values.push(text(s, span)),
                        DeValue::Integer(n) => values.push(text(n.as_str(), span)),
                        DeValue::Float(n) => values.push(text(n.as_str(), span)),
                        DeValue::Boolean(b) => values.push(text(&b.to_string(), span)),
                        _ => self.wrong_type(key, item, "a string, a number, true or false"),
                    }
                }
                pairs.push((text(inner.get_ref(), inner.span()), values));
            }
            all.push((text(name.get_ref(), name.span()), pairs));
        }
        all
    }

    fn finish(self) {
        if self.reading.absent {
            return;
        }
        for (name, _) in self.table.iter() {
            let key: &str = name.get_ref();
            if self.asked.contains(&key) {
                continue;
            }
            let here = did_you_mean(key, self.asked.iter().copied());
            let path =
                if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) };
            let mut problem = Problem::at(
                self.reading.file,
                self.reading.source,
                name.span(),
                &path,
                "unknown key",
            );
            problem.help = Some(match here {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("known here: {}", self.asked.join(", ")),
            });
            self.reading.problems.push(problem);
        }
    }
}

/// Reads `500ms`, `32s`, `3m`, `1h`, `7d`.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at(split);
    let number: f64 = number.parse().ok()?;
    let unit = match unit.trim() {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        "d" => 86400.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(number * unit).ok()
}

/// Writes a time the way [`duration`] reads it.
pub(crate) fn write_duration(time: Duration) -> String {
    let seconds = time.as_secs();
    if time.subsec_nanos() != 0 {
        format!("{}ms", time.as_millis())
    } else if seconds >= 86400 && seconds.is_multiple_of(86400) {
        format!("{}d", seconds / 86400)
    } else if seconds >= 3600 && seconds.is_multiple_of(3600) {
        format!("{}h", seconds / 3600)
    } else if seconds >= 60 && seconds.is_multiple_of(60) {
        format!("{}m", seconds / 60)
    } else {
        format!("{seconds}s")
    }
}
