//! The log: lines that a person can read, or JSON lines that a machine can.
//!
//! Events come from the threads that carry calls, so a line is handed over and never waited for:
//! what a slow terminal or disk cannot take is counted and told of.

use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::config::{LogFormat, LogLevel};

/// Lines that may wait to be written.
const WAITING: usize = 8192;

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// When.
    pub at: SystemTime,
    /// How grave.
    pub level: LogLevel,
    /// A short fixed word for machines.
    pub kind: &'static str,
    /// For people.
    pub text: String,
}

/// What is handed to the thread that writes.
#[derive(Debug)]
enum Entry {
    Line(Line),
    /// Say when all that came before is written.
    Flush(SyncSender<()>),
}

/// A handle of the log.
#[derive(Debug, Clone)]
pub struct Log {
    lines: SyncSender<Entry>,
    level: Arc<AtomicU8>,
    lost: Arc<AtomicU64>,
}

impl Log {
    /// Starts a log that writes to the standard error output.
    pub fn start(level: LogLevel, format: LogFormat) -> std::io::Result<Log> {
        let (lines, inbox) = sync_channel(WAITING);
        let lost = Arc::new(AtomicU64::new(0));
        let colour = format == LogFormat::Text
            && std::io::stderr().is_terminal()
            && std::env::var_os("NO_COLOR").is_none();
        let counted = Arc::clone(&lost);
        std::thread::Builder::new()
            .name("log".into())
            .spawn(move || write(&inbox, format, colour, &counted))?;
        Ok(Log { lines, level: Arc::new(AtomicU8::new(level as u8)), lost })
    }

    /// Changes how much is logged.
    pub fn set_level(&self, level: LogLevel) {
        self.level.store(level as u8, Ordering::Relaxed);
    }

    /// Whether a line of that level is written.
    pub fn wants(&self, level: LogLevel) -> bool {
        level as u8 <= self.level.load(Ordering::Relaxed)
    }

    /// Writes a line, soon.
    pub fn event(&self, level: LogLevel, kind: &'static str, text: impl Into<String>) {
        if !self.wants(level) {
            return;
        }
        let line = Line { at: SystemTime::now(), level, kind, text: text.into() };
        if self.lines.try_send(Entry::Line(line)).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until what was logged is written, but not for ever.
    pub fn flush(&self) {
        let (tell, told) = sync_channel(1);
        if self.lines.send(Entry::Flush(tell)).is_ok() {
            let _ = told.recv_timeout(std::time::Duration::from_secs(2));
        }
    }

    /// How many lines could not be written.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

fn write(inbox: &Receiver<Entry>, format: LogFormat, colour: bool, lost: &AtomicU64) {
    let mut told = 0;
    let mut text = String::new();
    while let Ok(first) = inbox.recv() {
        text.clear();
        let mut flushes = Vec::new();
        let mut next = Some(first);
        while let Some(entry) = next {
            match entry {
                Entry::Line(line) => render(&mut text, &line, format, colour),
                Entry::Flush(tell) => flushes.push(tell),
            }
            next = if text.len() < 1 << 16 { inbox.try_recv().ok() } else { None };
        }
        let now = lost.load(Ordering::Relaxed);
        if now > told {
            let line = Line {
                at: SystemTime::now(),
                level: LogLevel::Warn,
                kind: "log-lines-lost",
                text: format!("{} lines could not be written in time", now - told),
            };
            render(&mut text, &line, format, colour);
            told = now;
        }
        // Nobody could be told that the log itself cannot be written.
        let _ = std::io::stderr().write_all(text.as_bytes());
        for tell in flushes {
            let _ = tell.send(());
        }
    }
}

fn render(out: &mut String, line: &Line, format: LogFormat, colour: bool) {
    use std::fmt::Write as _;
    let time = stamp(line.at);
    let level = match line.level {
        LogLevel::Error => "error",
        LogLevel::Warn => "warn",
        LogLevel::Info => "info",
        LogLevel::Debug => "debug",
    };
    match format {
        LogFormat::Json => {
            let object = serde_json::json!({
                "time": time, "level": level, "kind": line.kind, "text": line.text,
            });
            let _ = writeln!(out, "{object}");
        }
        LogFormat::Text => {
            let (on, off) = match (colour, line.level) {
                (false, _) => ("", ""),
                (true, LogLevel::Error) => ("\x1b[31m", "\x1b[0m"),
                (true, LogLevel::Warn) => ("\x1b[33m", "\x1b[0m"),
                (true, LogLevel::Info) => ("\x1b[32m", "\x1b[0m"),
                (true, LogLevel::Debug) => ("\x1b[2m", "\x1b[0m"),
            };
            // What came from the network must not move the cursor of a terminal.
            let shown: String = line
                .text
                .chars()
                .map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c })
                .collect();
            let _ = writeln!(out, "{time} {on}{level:<5}{off} {:<20} {shown}", line.kind);
        }
    }
}

/// RFC 3339 time in UTC with milliseconds.
pub fn stamp(at: SystemTime) -> String {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, second) = (since.as_secs() / 86400, since.as_secs() % 86400);
    let (year, month, day) = civil(days as i64);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
        second / 3600,
        second / 60 % 60,
        second % 60,
        since.subsec_millis()
    )
}

/// The Gregorian date of a day counted from 1970-01-01.
fn civil(days: i64) -> (i64, i64, i64) {
    // Counted from 0000-03-01, years end with February and leap days come last.
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn times() {
        let at = |s| stamp(UNIX_EPOCH + Duration::from_secs(s));
        assert_eq!(at(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(at(951_782_400), "2000-02-29T00:00:00.000Z");
        assert_eq!(at(1_795_200_000), "2026-11-20T18:40:00.000Z");
    }

    #[test]
    fn lines() {
        let line = Line {
            at: UNIX_EPOCH,
            level: LogLevel::Warn,
            kind: "dropped",
            text: "a \"b\"\x1b[2J".into(),
        };
        let mut out = String::new();
        render(&mut out, &line, LogFormat::Json, false);
        assert_eq!(
            out,
            "{\"kind\":\"dropped\",\"level\":\"warn\",\"text\":\"a \\\"b\\\"\\u001b[2J\",\"time\":\"1970-01-01T00:00:00.000Z\"}\n"
        );
        out.clear();
        render(&mut out, &line, LogFormat::Text, false);
        assert_eq!(out, "1970-01-01T00:00:00.000Z warn  dropped              a \"b\"\u{fffd}[2J\n");
    }
}
