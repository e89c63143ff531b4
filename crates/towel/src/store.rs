//! `towel store`: looking at the store, and saving what can be read of a damaged one.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::json;

use crate::options::{Place, REFUSED};

/// Look at the store, or save what can be read of a damaged one.
#[derive(Debug, Args)]
pub(crate) struct Store {
    #[command(subcommand)]
    what: What,
    #[command(flatten)]
    place: Place,
    /// Answer as JSON
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Read all of it and say what is damaged; changes nothing
    Check,
    /// Keep the damaged files aside and save what can be read
    Repair,
}

impl Store {
    pub(crate) fn run(&self) -> Result<ExitCode> {
        let config = self.place.load()?;
        let dir = towel_server::persist::folder(&config);
        let (records, damage, kept) = match self.what {
            What::Check => {
                let (records, damage) = towel_store::inspect(&dir)?;
                (records, damage, None)
            }
            What::Repair => {
                let (records, damage) = towel_store::inspect(&dir)?;
                if damage.is_empty() {
                    (records, damage, None)
                } else {
                    let done = towel_store::repair(&dir)?;
                    (done.saved, done.damage, Some(done.kept))
                }
            }
        };
        if self.json {
            let places: Vec<_> = damage
                .iter()
                .map(|d| json!({ "file": d.file, "at": d.at, "lost": d.lost, "why": d.why }))
                .collect();
            say!("{}", json!({ "records": records, "damage": places, "kept": kept }));
        } else {
            for d in &damage {
                say!(
                    "{}: {} bytes cannot be read from offset {}: {}",
                    d.file.display(),
                    d.lost,
                    d.at,
                    d.why
                );
            }
            say!("{records} records can be read; {} damaged places", damage.len());
            match (&kept, &self.what) {
                (Some(kept), _) => say!("the old files are kept in {}", kept.display()),
                (None, What::Repair) => say!("there is nothing to repair"),
                (None, What::Check) => {}
            }
        }
        let sound = damage.is_empty() || kept.is_some();
        Ok(if sound { ExitCode::SUCCESS } else { ExitCode::from(REFUSED) })
    }
}
