//! `towel bans`: who is banned.

use std::net::IpAddr;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use serde_json::Value;

use crate::options::Place;
use crate::trace::running;

/// Show who is banned, or lift a ban.
#[derive(Debug, Args)]
pub(crate) struct Bans {
    /// Lift the bans of this address
    #[arg(long, value_name = "ADDRESS")]
    lift: Option<IpAddr>,
    /// Answer as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

impl Bans {
    pub(crate) fn run(&self) -> Result<ExitCode> {
        let port = running(&self.place)?;
        if let Some(address) = self.lift {
            port.json("DELETE", &format!("/api/bans/{address}"), None)?;
            say!("{address} is banned no more");
            return Ok(ExitCode::SUCCESS);
        }
        let bans = port.get("/api/bans")?;
        if self.json {
            say!("{bans}");
            return Ok(ExitCode::SUCCESS);
        }
        let bans = bans.as_array().cloned().unwrap_or_default();
        if bans.is_empty() {
            say!("nobody is banned");
        }
        for ban in bans {
            let text = |name: &str| ban.get(name).and_then(Value::as_str).unwrap_or("").to_owned();
            let number = |name: &str| ban.get(name).and_then(Value::as_u64);
            let port = number("port")
                .map_or(String::new(), |port| format!(" {} port {port}", text("transport")));
            let seconds = number("seconds").unwrap_or(0);
            say!("{}{port}  {seconds} s  {}", text("address"), text("why"));
        }
        Ok(ExitCode::SUCCESS)
    }
}
