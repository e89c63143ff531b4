//! Progress of long work, on a terminal only.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// A bar that shows itself once the work has lasted a while.
pub(crate) struct Progress {
    what: &'static str,
    unit: &'static str,
    began: Instant,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// For work of this name; `unit` is "bytes" or a word for what is counted.
    pub(crate) fn new(what: &'static str, unit: &'static str) -> Progress {
        Progress { what, unit, began: Instant::now(), bar: None }
    }

    /// So much of so much is done.
    pub(crate) fn step(&mut self, done: u64, total: u64) {
        if self.bar.is_none() {
            if self.began.elapsed() < Duration::from_millis(400) || !std::io::stderr().is_terminal()
            {
                return;
            }
            let amount = if self.unit == "bytes" {
                "{bytes}/{total_bytes}".to_owned()
            } else {
                format!("{{human_pos}}/{{human_len}} {}", self.unit)
            };
            let bar = ProgressBar::new(total);
            let template = format!("{} {{wide_bar}} {amount}, {{eta}} left", self.what);
            if let Ok(style) = ProgressStyle::with_template(&template) {
                bar.set_style(style);
            }
            self.bar = Some(bar);
        }
        if let Some(bar) = &self.bar {
            bar.set_length(total);
            bar.set_position(done);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}
