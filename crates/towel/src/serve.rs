//! `towel serve`: the server, and what a person needs to know of it.

use std::fmt::Write as _;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, ValueEnum};
use serde_json::json;
use towel_core::io::{Listener, Transport};
use towel_server::config::{Config, LogFormat, LogLevel, Problem, load, parse_listen};
use towel_server::log::Log;
use towel_server::run::{Signals, Started, Watch, run};

use crate::options::{FAILED, Place};
use crate::progress::Progress;

/// As many threads as there may be.
const MOST: i64 = towel_core::shards::MOST as i64;

/// Run the server.
#[derive(Debug, Args)]
pub(crate) struct Serve {
    #[command(flatten)]
    place: Place,
    /// Listen here in place of what is configured, e.g. udp:0.0.0.0:5060; may be repeated
    #[arg(long, value_name = "TRANSPORT:ADDRESS:PORT")]
    listen: Vec<String>,
    /// Run on so many threads, each with sockets of its own [default: 1, or what the configuration says]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=MOST))]
    threads: Option<u8>,
    /// Take the place of the server that runs on the same data folder, without losing a call; if none
    /// does, start as ever
    #[arg(long)]
    take_over: bool,
    /// Stop when standard input ends: the server then ends with whoever started it
    #[arg(long)]
    until_eof: bool,
    /// How the log is written [default: text, or what the configuration says]
    #[arg(long, value_enum)]
    log_format: Option<Format>,
    /// How much is logged [default: info, or what the configuration says]
    #[arg(long, value_enum)]
    log_level: Option<Level>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Level {
    Error,
    Warn,
    Info,
    Debug,
}

/// What the command line says over the file, now and at every reload.
#[derive(Clone)]
struct Reader {
    place: Place,
    listen: Vec<String>,
    threads: Option<u8>,
    log_format: Option<Format>,
    log_level: Option<Level>,
}

impl Reader {
    fn read(&self) -> Result<Config, Vec<Problem>> {
        let mut config = load(self.place.config.as_deref(), &self.place.set)?;
        if let Some(data) = &self.place.data {
            config.data.clone_from(data);
        }
        if !self.listen.is_empty() {
            let mut problems = Vec::new();
            config.listen.clear();
            for text in &self.listen {
                match parse_listen(text) {
                    Ok(listen) => config.listen.push(listen),
                    Err(why) => problems.push(Problem::whole("--listen", "", why)),
                }
            }
            if !problems.is_empty() {
                return Err(problems);
            }
        }
        if let Some(threads) = self.threads {
            config.transport.threads = threads;
        }
        if let Some(format) = self.log_format {
            config.log.format = match format {
                Format::Text => LogFormat::Text,
                Format::Json => LogFormat::Json,
            };
        }
        if let Some(level) = self.log_level {
            config.log.level = match level {
                Level::Error => LogLevel::Error,
                Level::Warn => LogLevel::Warn,
                Level::Info => LogLevel::Info,
                Level::Debug => LogLevel::Debug,
            };
        }
        Ok(config)
    }
}

impl Serve {
    pub(crate) fn run(&self) -> Result<ExitCode> {
        let reader = Reader {
            place: self.place.clone(),
            listen: self.listen.clone(),
            threads: self.threads,
            log_format: self.log_format,
            log_level: self.log_level,
        };
        let config = match reader.read() {
            Ok(config) => config,
            Err(problems) => {
                for problem in &problems {
                    eprint!("{problem}");
                }
                eprintln!("towel: nothing was started");
                return Ok(ExitCode::from(FAILED));
            }
        };
        let signals = Signals::hold().map_err(anyhow::Error::msg)?;
        if self.until_eof {
            signals.stop_at_end_of_input()?;
        }
        let log = Log::start(config.log.level, config.log.format)?;
        let mut watch = Screen { config: config.clone(), bar: None };
        let again = Box::new(move || reader.read());
        let start_again = Box::new(start_again);
        match run(config, self.take_over, again, start_again, log, signals, &mut watch) {
            Ok(()) => Ok(ExitCode::SUCCESS),
            Err(why) => {
                eprintln!("towel: {}", why.trim_end());
                Ok(ExitCode::from(FAILED))
            }
        }
    }
}

/// Starts this program once more as it was started, to take over from this process.
fn start_again() -> std::io::Result<()> {
    let mut given: Vec<_> = std::env::args_os().skip(1).collect();
    if !given.iter().any(|word| word == "--take-over") {
        given.push("--take-over".into());
    }
    // The file that this process runs, whatever stands at its place by now.
    let own = std::path::Path::new("/proc/self/exe");
    let path = if own.exists() { own.to_path_buf() } else { std::env::current_exe()? };
    std::process::Command::new(path).args(given).spawn().map(drop)
}

/// What is shown on the terminal.
struct Screen {
    config: Config,
    bar: Option<(&'static str, Progress)>,
}

impl Watch for Screen {
    fn progress(&mut self, what: &'static str, unit: &'static str, done: u64, total: u64) {
        if self.bar.as_ref().is_none_or(|(known, _)| *known != what) {
            self.bar = Some((what, Progress::new(what, unit)));
        }
        if let Some((_, bar)) = &mut self.bar {
            bar.step(done, total);
        }
    }

    fn up(&mut self, started: &Started) {
        self.bar = None;
        let text = if self.config.log.format == LogFormat::Json {
            format!("{}\n", as_json(&self.config, started))
        } else {
            as_text(&self.config, started)
        };
        use std::io::Write as _;
        let mut out = std::io::stdout();
        // The server serves whether anybody reads this or not.
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }
}

fn as_json(config: &Config, started: &Started) -> serde_json::Value {
    let listeners: Vec<_> = started
        .listeners
        .iter()
        .map(|l| {
            json!({
                "transport": l.transport.uri_token(),
                "address": l.local.ip().to_string(),
                "port": l.local.port(),
            })
        })
        .collect();
    let made: Vec<_> = started
        .made
        .iter()
        .map(|(user, domain, password)| json!({ "user": user, "domain": domain, "password": password }))
        .collect();
    json!({
        "started": true,
        "listeners": listeners,
        "data": config.data,
        "http": started.http.as_ref().and_then(|h| h.as_ref().ok()).map(|a| format!("http://{a}/")),
        "http_problem": started.http.as_ref().and_then(|h| h.as_ref().err()),
        "made": made,
        "users": started.users,
        "records": started.records,
    })
}

fn as_text(config: &Config, started: &Started) -> String {
    let mut out = String::new();
    // Writing into a String cannot fail.
    let _ = text(&mut out, config, started);
    out
}

fn text(out: &mut String, config: &Config, started: &Started) -> std::fmt::Result {
    writeln!(out, "towel {} is up\n", env!("CARGO_PKG_VERSION"))?;
    for transport in [Transport::Udp, Transport::Tcp, Transport::Tls] {
        let places: Vec<String> = started
            .listeners
            .iter()
            .filter(|l| l.transport == transport)
            .map(|l| l.local.to_string())
            .collect();
        if !places.is_empty() {
            writeln!(out, "  {:9} {}", transport.via_token(), places.join("  "))?;
        }
    }
    let data = std::fs::canonicalize(&config.data).unwrap_or_else(|_| config.data.clone());
    writeln!(out, "  {:9} {}", "data", data.display())?;
    match &started.http {
        Some(Ok(address)) => writeln!(out, "  {:9} http://{address}/", "console")?,
        Some(Err(why)) => writeln!(out, "  {:9} none: {why}", "console")?,
        None => {}
    }
    if config.transport.threads > 1 {
        writeln!(out, "  {:9} {}", "threads", config.transport.threads)?;
    }
    writeln!(out, "  {:9} {}", "users", started.users)?;
    if started.torn > 0 {
        writeln!(
            out,
            "  {:9} {} bytes of a write that nobody was told of were cut off",
            "store", started.torn
        )?;
    }
    if started.made.is_empty() {
        return writeln!(out);
    }
    writeln!(out, "\nThis is the first start, so two users were made. Type into a phone:\n")?;
    let server = server_for_phones(&started.listeners);
    for (user, _, password) in &started.made {
        writeln!(out, "  user      {user}")?;
        writeln!(out, "  password  {password}")?;
        writeln!(out, "  server    {server}\n")?;
    }
    writeln!(out, "Then let one call the other by name: {}.", call_each_other(started))?;
    writeln!(
        out,
        "The passwords are not shown again; `towel user password alice` makes a new one.\n"
    )
}

fn call_each_other(started: &Started) -> String {
    let names: Vec<&str> = started.made.iter().map(|(user, ..)| user.as_str()).collect();
    names.join(" or ")
}

/// The address to type into a phone: one that others can reach, if there is one.
fn server_for_phones(listeners: &[Listener]) -> String {
    let rank = |l: &&Listener| (l.local.ip().is_loopback(), l.local.is_ipv6());
    let of = |transport| {
        listeners.iter().filter(|l| l.transport == transport).min_by_key(rank).map(|l| l.local)
    };
    let (udp, tcp, tls) = (of(Transport::Udp), of(Transport::Tcp), of(Transport::Tls));
    let Some(first) = udp.or(tcp).or(tls) else { return "nowhere".into() };
    let place = if first.port() == 5060 { first.ip().to_string() } else { first.to_string() };
    let mut ways = Vec::new();
    if udp.is_some() {
        ways.push("UDP".to_owned());
    }
    if let Some(tcp) = tcp {
        let other = tcp.port() != first.port();
        ways.push(if other { format!("TCP on port {}", tcp.port()) } else { "TCP".into() });
    }
    if let Some(tls) = tls {
        ways.push(format!("TLS on port {}", tls.port()));
    }
    format!("{place}   (transport {})", ways.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use towel_core::io::ListenerId;

    #[test]
    fn what_to_type_into_a_phone() {
        let listener = |transport, local: &str| Listener {
            id: ListenerId(0),
            transport,
            local: local.parse().unwrap(),
            advertised: None,
        };
        let started = Started {
            listeners: vec![
                listener(Transport::Udp, "127.0.0.1:5060"),
                listener(Transport::Udp, "192.0.2.7:5060"),
                listener(Transport::Tcp, "192.0.2.7:5060"),
                listener(Transport::Tls, "192.0.2.7:5061"),
            ],
            http: Some(Err("taken".into())),
            made: vec![("alice".into(), "localhost".into(), "abcd-efgh-jkmn".into())],
            users: 1,
            records: 0,
            torn: 0,
        };
        let shown = as_text(&Config::default(), &started);
        for part in [
            "  UDP       127.0.0.1:5060  192.0.2.7:5060\n",
            "  user      alice\n  password  abcd-efgh-jkmn\n",
            "  server    192.0.2.7   (transport UDP, TCP, TLS on port 5061)\n",
            "none: taken",
        ] {
            assert!(shown.contains(part), "{shown}");
        }
    }
}
