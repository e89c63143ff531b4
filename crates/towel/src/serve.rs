//! `towel serve`: the server.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use crate::options::Place;

/// Run the server.
#[derive(Debug, Args)]
pub(crate) struct Serve {
    #[command(flatten)]
    place: Place,
    /// Listen here in place of what is configured, e.g. udp:0.0.0.0:5060; may be repeated
    #[arg(long, value_name = "TRANSPORT:ADDRESS:PORT")]
    listen: Vec<String>,
}

impl Serve {
    pub(crate) fn run(&self) -> Result<ExitCode> {
        anyhow::bail!("not yet")
    }
}
