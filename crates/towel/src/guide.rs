//! `towel guide`: the Guide, and what of it works.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

/// Show the Guide, and what of it works.
#[derive(Debug, Args)]
pub(crate) struct Guide {
    /// One entry
    id: Option<String>,
    /// Check every declaration against the rules of RFC 4485
    #[arg(long)]
    check: bool,
    /// Answer as JSON
    #[arg(long)]
    json: bool,
}

impl Guide {
    pub(crate) fn run(&self) -> Result<ExitCode> {
        anyhow::bail!("the Guide is not bound in yet")
    }
}
