//! What several commands have in common.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use clap::Args;
use towel_server::config::{Config, load};

use crate::http::Port;

/// Exit code: the other side said no, or something was found wrong with what was to be checked.
pub(crate) const REFUSED: u8 = 1;
/// Exit code: what was asked for does not exist. (Clap's own, too.)
pub(crate) const USAGE: u8 = 2;
/// What was asked for cannot be meant: the command line is wrong, and [`USAGE`] the exit code.
#[derive(Debug)]
pub(crate) struct Usage(pub(crate) String);

impl std::fmt::Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// Ends a command with [`USAGE`].
macro_rules! misused {
    ($($arg:tt)*) => { return Err($crate::options::Usage(format!($($arg)*)).into()) };
}
pub(crate) use misused;

/// Exit code: it could not be done; the message says why.
pub(crate) const FAILED: u8 = 3;
/// Exit code: nobody answered in time.
pub(crate) const TIMED_OUT: u8 = 4;

/// Which server is meant: its configuration and its data folder.
#[derive(Debug, Clone, Args)]
pub(crate) struct Place {
    /// Configuration file
    #[arg(long, short, value_name = "FILE", global = true)]
    pub(crate) config: Option<PathBuf>,
    /// Data folder [default: towel-data, or what the configuration says]
    #[arg(long, value_name = "DIR", global = true)]
    pub(crate) data: Option<PathBuf>,
    /// Set a key over the configuration, e.g. --set auth.register=false
    #[arg(long, value_name = "KEY=VALUE", global = true)]
    pub(crate) set: Vec<String>,
}

impl Place {
    /// The configuration, or an error that tells all that is wrong with it.
    pub(crate) fn load(&self) -> Result<Config> {
        match load(self.config.as_deref(), &self.set) {
            Ok(mut config) => {
                if let Some(data) = &self.data {
                    config.data.clone_from(data);
                }
                Ok(config)
            }
            Err(problems) => {
                for problem in &problems {
                    eprint!("{problem}");
                }
                let many = if problems.len() == 1 { "" } else { "s" };
                bail!("{} problem{many} in the configuration", problems.len())
            }
        }
    }

    /// The running server's HTTP port.
    pub(crate) fn port(&self, config: &Config) -> Option<Port> {
        Port::of(&config.data, config.http.address)
    }
}

/// Reads a password from a file: its first line.
pub(crate) fn password_of(path: &Path) -> Result<String> {
    let text = if path == Path::new("-") {
        let mut line = String::new();
        std::io::stdin().read_line(&mut line)?;
        line
    } else {
        std::fs::read_to_string(path).map_err(|e| anyhow::anyhow!("{}: {e}", path.display()))?
    };
    match text.lines().next() {
        Some(line) if !line.is_empty() => Ok(line.to_owned()),
        _ => bail!("{}: there is no password in it", path.display()),
    }
}

/// Writes a line to the standard output. Whoever reads it may have gone (`towel guide | head`): then there
/// is nobody left to work for.
pub(crate) fn write_line(text: std::fmt::Arguments<'_>) {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    let done = out.write_fmt(text).and_then(|()| out.write_all(b"\n"));
    if done.and_then(|()| out.flush()).is_err() {
        std::process::exit(0);
    }
}
