//! `towel check`: a configuration, before it is used.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use serde_json::json;
use towel_server::config::{load, warnings};
use towel_server::users::Users;

use crate::options::REFUSED;
use crate::progress::Progress;

/// Check a configuration file and say all that is wrong with it.
#[derive(Debug, Args)]
pub(crate) struct Check {
    /// The configuration file
    file: PathBuf,
    /// Answer as JSON
    #[arg(long)]
    json: bool,
}

impl Check {
    pub(crate) fn run(&self) -> Result<ExitCode> {
        let mut users = Users::default();
        let mut warned = Vec::new();
        let problems = match load(Some(&self.file), &[]) {
            Ok(config) => {
                warned = warnings(&config);
                let mut progress = Progress::new("users", "users");
                users.configure(&config, &mut |done, total| progress.step(done, total))
            }
            Err(problems) => problems,
        };
        if self.json {
            let list: Vec<_> = problems.iter().map(|p| p.to_json()).collect();
            say!("{}", json!({ "ok": problems.is_empty(), "problems": list, "warnings": warned }));
        } else if problems.is_empty() {
            for warning in &warned {
                eprintln!("warning: {warning}");
            }
            say!("{}: no fault found; {} users in it", self.file.display(), users.len());
        } else {
            for problem in &problems {
                eprint!("{problem}");
            }
        }
        Ok(if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(REFUSED) })
    }
}
