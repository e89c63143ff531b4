//! `towel guide`: the Guide, and what of it works.

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;
use towel_core::contract::check::Weight;
use towel_guide::{GUIDE, check_guide, entry, json, render};
use towel_server::config::did_you_mean;

use crate::options::REFUSED;

/// Show the Guide, and what of it works.
#[derive(Debug, Args)]
pub(crate) struct Guide {
    /// One entry: its overview, rules and tables, and a flow that is run then and there
    id: Option<String>,
    /// Check every declaration against the rules of RFC 4485
    #[arg(long, conflicts_with = "id")]
    check: bool,
    /// Answer as JSON: one array, an object an entry
    #[arg(long)]
    json: bool,
}

impl Guide {
    pub(crate) fn run(&self) -> Result<ExitCode> {
        if self.check {
            return Ok(self.check());
        }
        match &self.id {
            Some(id) => self.page(id),
            None => {
                let proven = &|_: &str| true;
                let text = if self.json { json::guide(proven) } else { render::table(proven) };
                println!("{}", text.trim_end());
                Ok(ExitCode::SUCCESS)
            }
        }
    }

    fn check(&self) -> ExitCode {
        let findings = check_guide();
        if self.json {
            let list: Vec<String> = findings.iter().map(ToString::to_string).collect();
            println!("{}", serde_json::json!({ "ok": findings.is_empty(), "findings": list }));
        } else if findings.is_empty() {
            println!(
                "no fault found in the declarations of {} entries",
                towel_guide::extensions().len()
            );
        } else {
            for finding in &findings {
                println!("{finding}");
            }
        }
        let broken = findings.iter().any(|f| f.asked.weight() == Weight::Must);
        if broken { ExitCode::from(REFUSED) } else { ExitCode::SUCCESS }
    }

    fn page(&self, id: &str) -> Result<ExitCode> {
        let Some(entry) = entry(id) else {
            match did_you_mean(id, GUIDE.iter().map(|one| one.id)) {
                Some(near) => bail!("the Guide has no entry `{id}`; did you mean `{near}`?"),
                None => bail!("the Guide has no entry `{id}`; `towel guide` lists them"),
            }
        };
        println!("{}", render::page(entry, &|_| true).trim_end());
        Ok(ExitCode::SUCCESS)
    }
}
