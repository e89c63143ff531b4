//! Many flows, each in all its networks: what a test runs.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{Factory, run_flow};
use crate::flow::Flow;

/// Flows to be run, by the name of their file.
#[derive(Default)]
pub struct Suite {
    flows: Vec<(String, String)>,
}

impl Suite {
    /// Takes a flow in: its name and its text.
    pub fn add(&mut self, name: impl Into<String>, text: impl Into<String>) {
        self.flows.push((name.into(), text.into()));
    }

    /// Runs every variant of every flow whose name contains one of `filters` (all, where there are
    /// none), tells `say` line by line, and returns how many went wrong.
    pub fn run(
        &self,
        factory: &dyn Factory,
        filters: &[String],
        say: &mut dyn FnMut(&str),
    ) -> usize {
        let (mut passed, mut failed) = (0, Vec::new());
        for (name, text) in &self.flows {
            let flow = match Flow::parse(text) {
                Ok(flow) => flow,
                Err(error) => {
                    say(&format!("test {name} ... FAILED"));
                    failed.push(format!("{name}:{}: {}", error.line, error.what));
                    continue;
                }
            };
            for variant in &flow.variants {
                let test = format!("{name} [{}]", variant.name);
                if !filters.is_empty() && !filters.iter().any(|f| test.contains(f.as_str())) {
                    continue;
                }
                let run = || run_flow(&flow, variant, factory);
                match catch_unwind(AssertUnwindSafe(run)) {
                    Ok(outcome) if outcome.passed() => {
                        passed += 1;
                        say(&format!("test {test} ... ok"));
                    }
                    Ok(outcome) => {
                        say(&format!("test {test} ... FAILED"));
                        failed.push(outcome.report(name));
                    }
                    Err(_) => {
                        say(&format!("test {test} ... FAILED"));
                        failed.push(format!("{name}: panicked ({})", variant.name));
                    }
                }
            }
        }
        for report in &failed {
            say("");
            say(report);
        }
        say(&format!("flows: {passed} passed, {} failed", failed.len()));
        failed.len()
    }
}
