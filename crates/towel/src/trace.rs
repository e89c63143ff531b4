//! `towel trace` and `towel reload`: asking the running server.

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Args;
use serde_json::{Value, json};

use crate::http::{Port, escape};
use crate::options::{Place, REFUSED};

/// Show a call of the running server as a ladder.
#[derive(Debug, Args)]
pub(crate) struct Trace {
    /// The call with this Call-ID
    #[arg(long, value_name = "ID", conflicts_with = "user")]
    call_id: Option<String>,
    /// Calls that name this user: name or name@domain
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// Write the whole messages too
    #[arg(long, short)]
    messages: bool,
    /// Begin to keep messages
    #[arg(long, conflicts_with = "off")]
    on: bool,
    /// Keep no more messages
    #[arg(long)]
    off: bool,
    /// Answer as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

impl Trace {
    pub(crate) fn run(&self) -> Result<ExitCode> {
        let port = running(&self.place)?;
        if self.on || self.off {
            port.json("POST", "/api/trace", Some(&json!({ "enabled": self.on })))?;
            say!("messages are {} kept", if self.on { "now" } else { "no longer" });
            return Ok(ExitCode::SUCCESS);
        }
        let query = match (&self.call_id, &self.user) {
            (Some(id), _) => format!("call_id={}", escape(id)),
            (None, Some(user)) => format!("user={}", escape(user)),
            (None, None) => return self.calls(&port),
        };
        let path = format!("/api/trace?{query}&messages={}&json={}", self.messages, self.json);
        let text = port.text("GET", &path, None)?;
        // A ladder without an arrow has a heading and no second line.
        let empty = text.trim() == "[]" || (!self.json && text.trim_end().lines().count() < 2);
        if empty && !self.json {
            eprintln!("towel: no message of that is kept; `towel trace` lists what is");
        } else {
            say!("{}", text.trim_end());
        }
        Ok(if empty { ExitCode::from(REFUSED) } else { ExitCode::SUCCESS })
    }

    fn calls(&self, port: &Port) -> Result<ExitCode> {
        let calls = port.get("/api/calls")?;
        if self.json {
            say!("{calls}");
            return Ok(ExitCode::SUCCESS);
        }
        let calls = calls.as_array().cloned().unwrap_or_default();
        if calls.is_empty() {
            say!("no messages are kept; `towel trace --on` begins it");
        }
        for call in calls {
            let field =
                |name: &str| call.get(name).and_then(Value::as_str).unwrap_or("").to_owned();
            say!(
                "{:10} {} -> {}  {}",
                field("method"),
                field("from"),
                field("to"),
                field("call_id")
            );
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Has the running server read its configuration again.
pub(crate) fn reload(place: &Place) -> Result<ExitCode> {
    let port = running(place)?;
    let done = port.json("POST", "/api/reload", None)?;
    say!("{}", done.get("reloaded").and_then(Value::as_str).unwrap_or("done"));
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn running(place: &Place) -> Result<Port> {
    let config = place.load()?;
    place.port(&config).with_context(|| {
        format!("no server with its data in {} answers by HTTP", config.data.display())
    })
}
