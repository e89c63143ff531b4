//! `towel guide`: the Guide, and what of it works.
//!
//! Nothing that it says is typed in: the table comes from the declarations, and a row works only
//! if the flows that it names pass, here and now.

use std::cell::RefCell;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Args;
use serde_json::{Value, json};
use towel_core::contract::check::Weight;
use towel_guide::{Entry, GUIDE, check_guide, entry, flows, json as guide_json, render};
use towel_server::config::did_you_mean;
use towel_sim::element::Elements;
use towel_sim::flow::{Flow, Variant};
use towel_sim::ladder::Style;
use towel_sim::run::run_flow;

use crate::options::{REFUSED, USAGE};

/// Show the Guide, and what of it works.
#[derive(Debug, Args)]
pub(crate) struct Guide {
    /// One entry: its overview, rules and tables, and a flow that is run then and there
    id: Option<String>,
    /// Check every declaration against the rules of RFC 4485, and that its flows pass
    #[arg(long, conflicts_with = "id")]
    check: bool,
    /// Answer as JSON: one array, an object an entry
    #[arg(long)]
    json: bool,
}

/// Which flows pass; each is run once, in every network that it names, when it is asked for.
#[derive(Default)]
struct Flows {
    known: RefCell<HashMap<String, bool>>,
}

impl Flows {
    fn passes(&self, name: &str) -> bool {
        if let Some(known) = self.known.borrow().get(name) {
            return *known;
        }
        let passes = text(name).is_some_and(|text| match Flow::parse(text) {
            Ok(flow) => flow.variants.iter().all(|variant| {
                let run = || run_flow(&flow, variant, &Elements::default()).passed();
                catch_unwind(AssertUnwindSafe(run)).unwrap_or(false)
            }),
            Err(_) => false,
        });
        self.known.borrow_mut().insert(name.to_owned(), passes);
        passes
    }
}

/// The text of a flow.
fn text(name: &str) -> Option<&'static str> {
    flows::flow(name).map(|flow| flow.text)
}

impl Guide {
    pub(crate) fn run(&self) -> Result<ExitCode> {
        let flows = Flows::default();
        let proven = |name: &str| flows.passes(name);
        if self.check {
            return Ok(self.check(&flows));
        }
        match &self.id {
            Some(id) => self.page(id, &flows),
            None => {
                let text =
                    if self.json { guide_json::guide(&proven) } else { render::table(&proven) };
                say!("{}", text.trim_end());
                Ok(ExitCode::SUCCESS)
            }
        }
    }

    fn check(&self, flows: &Flows) -> ExitCode {
        let findings = check_guide();
        let mut failed = Vec::new();
        for entry in GUIDE {
            for flow in entry.flows() {
                if !flows.passes(flow.name) {
                    let why =
                        if text(flow.name).is_some() { "does not pass" } else { "is missing" };
                    failed.push(format!("{}: the flow {} {why}", entry.id, flow.name));
                }
            }
        }
        let broken =
            !failed.is_empty() || findings.iter().any(|f| f.asked.weight() == Weight::Must);
        if self.json {
            let list: Vec<String> = findings.iter().map(ToString::to_string).collect();
            say!("{}", json!({ "ok": !broken, "findings": list, "flows": failed }));
        } else {
            for line in findings.iter().map(ToString::to_string).chain(failed) {
                say!("{line}");
            }
            let built = towel_guide::extensions().len();
            let verdict = if broken { "faults in" } else { "sound:" };
            let played = flows.known.borrow().len();
            say!("{verdict} the declarations of {built} entries, with {played} flows");
        }
        if broken { ExitCode::from(REFUSED) } else { ExitCode::SUCCESS }
    }

    fn page(&self, id: &str, flows: &Flows) -> Result<ExitCode> {
        let Some(entry) = entry(id) else {
            let help = match did_you_mean(id, GUIDE.iter().map(|one| one.id)) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "`towel guide` lists them".to_owned(),
            };
            eprintln!("towel: the Guide has no entry `{id}`; {help}");
            return Ok(ExitCode::from(USAGE));
        };
        let proven = |name: &str| flows.passes(name);
        if self.json {
            let all: Value = serde_json::from_str(&guide_json::guide(&proven))
                .context("the Guide's own JSON")?;
            let one = all
                .as_array()
                .into_iter()
                .flatten()
                .find(|one| one.get("id").and_then(Value::as_str) == Some(entry.id));
            say!("{}", one.unwrap_or(&Value::Null));
            return Ok(ExitCode::SUCCESS);
        }
        say!("{}", render::page(entry, &proven).trim_end());
        match ladder(entry) {
            Some((name, drawn)) => say!("\nThe flow {name}, run just now\n\n{drawn}"),
            None => say!("\nNo flow shows it yet."),
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The first flow of an entry, run in a network that does no harm.
fn ladder(entry: &Entry) -> Option<(&'static str, String)> {
    let name = entry.flows().iter().map(|flow| flow.name).find(|name| text(name).is_some())?;
    let flow = Flow::parse(text(name)?).ok()?;
    let outcome = run_flow(&flow, &Variant::plain(), &Elements::default());
    let mut drawn = outcome.ladder.render(Style { messages: true });
    if !outcome.passed() {
        drawn.push_str(&format!("\nIt did not go as it should:\n{}", outcome.report(name)));
    }
    Some((name, drawn))
}

#[cfg(test)]
mod tests {
    use super::*;
    use towel_guide::flows::FlowText;

    #[test]
    fn every_flow_that_is_bound_in_can_be_read() {
        for FlowText { name, text, .. } in flows::FLOWS {
            if let Err(error) = Flow::parse(text) {
                panic!("{name}:{}: {}", error.line, error.what);
            }
        }
    }
}
