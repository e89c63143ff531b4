//! `towel load`: callers and callees for a server, and what they measured.

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail};
use clap::{Args, Subcommand, ValueEnum};
use towel_core::io;
use towel_load::{
    Amount, Arrivals, Mix, Nonces, Pace, People, Person, Plan, Purpose, Report, Screen, Step,
    StepReport, Work, page,
};

use crate::options::{REFUSED, USAGE, password_of};
use crate::progress::Progress;
use crate::uac::local_address;

/// Load a server with calls and other work, and say how it bears them.
///
/// Registers users, then plays callers and callees. In an open loop (--rate, --sweep) a unit is due
/// when the clock says, and its latency counts from then; in a closed loop (--window) the next
/// begins when one ends. Ctrl-C ends it and shows what was measured so far.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Load {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    run: Run,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Put reports of several runs (--out) side by side in one page.
    Compare(Compare),
}

/// Put reports of several runs side by side in one page.
#[derive(Debug, Args)]
struct Compare {
    /// Reports as --out writes them
    #[arg(required = true)]
    reports: Vec<PathBuf>,
    /// Page to write
    #[arg(long, value_name = "FILE")]
    html: PathBuf,
}

#[derive(Debug, Args)]
struct Run {
    /// Server to load: address or name, with or without a port
    #[arg(required = true)]
    server: Option<String>,
    /// What is done: call, register, options, message; several with weights: call=7 message=2
    #[arg(default_value = "call")]
    work: Vec<String>,

    /// Open loop: so many units a second [default: 100, unless --sweep or --window is there]
    #[arg(long, short, conflicts_with_all = ["sweep", "window"], help_heading = "How much")]
    rate: Option<f64>,
    /// Open loop at these rates, one after the other: 1000,2000,5000
    #[arg(long, value_delimiter = ',', conflicts_with = "window", help_heading = "How much")]
    sweep: Vec<f64>,
    /// Closed loop: so many units under way, flat out
    #[arg(long, short, help_heading = "How much")]
    window: Option<usize>,
    /// Seconds to measure [default: 10]
    #[arg(long, conflicts_with = "count", help_heading = "How much")]
    seconds: Option<f64>,
    /// Units to measure, in place of a time
    #[arg(long, short = 'n', help_heading = "How much")]
    count: Option<u64>,
    /// Seconds before that which are left out of the figures [default: 2, with --count 0]
    #[arg(long, help_heading = "How much")]
    warm_up: Option<f64>,
    /// Seconds over which the rate grows from nought (at least so long is the warm-up)
    #[arg(long, default_value_t = 0.0, help_heading = "How much")]
    ramp: f64,
    /// Units follow each other at random distances (Poisson), not at even ones
    #[arg(long, help_heading = "How much")]
    poisson: bool,
    /// Seconds for which a call stays up
    #[arg(long, default_value_t = 0.0, help_heading = "How much")]
    hold: f64,
    /// So many calls more stay up all the time; several numbers are measured one after the other
    #[arg(long, value_delimiter = ',', help_heading = "How much")]
    live: Vec<u64>,

    /// How many users register and are called [default: 1000, or all of --users-file]
    #[arg(long, help_heading = "Who")]
    users: Option<u32>,
    /// Users by a pattern: u{n}@example.com, or with passwords u{n}:pw{n}@example.com
    #[arg(long, value_name = "PATTERN", help_heading = "Who")]
    user: Option<String>,
    /// Users from a file with lines user,domain,password
    #[arg(long, value_name = "FILE", conflicts_with = "user", help_heading = "Who")]
    users_file: Option<PathBuf>,
    /// File whose first line is the password of all users whose pattern has none
    #[arg(long, value_name = "FILE", help_heading = "Who")]
    password_file: Option<PathBuf>,
    /// Callers by a pattern (by default `c{n}@DOMAIN`, as many as users, without passwords)
    #[arg(long, value_name = "PATTERN", help_heading = "Who")]
    caller: Option<String>,
    /// The users are the callers, too, with their passwords
    #[arg(long, conflicts_with = "caller", help_heading = "Who")]
    users_call: bool,
    /// Domain of the users where --user names none [default: the server's name]
    #[arg(long, help_heading = "Who")]
    domain: Option<String>,
    /// Seconds for which a registration is asked for
    #[arg(long, default_value_t = 3600, help_heading = "Who")]
    expires: u32,
    /// Nobody is registered beforehand: register measures new bindings and not refreshes, and
    /// whoever is called must be there already
    #[arg(long, help_heading = "Who")]
    no_register: bool,
    /// Each registration meets a challenge; else a nonce once known is used again
    #[arg(long, help_heading = "Who")]
    new_nonce: bool,

    /// Transport
    #[arg(long, short, value_enum, default_value_t = Over::Udp, help_heading = "How")]
    transport: Over,
    /// Sockets (UDP) or connections (TCP) of the callers, and as many of the callees [default: 4,
    /// with TCP 64]
    #[arg(long, visible_alias = "connections", help_heading = "How")]
    sockets: Option<usize>,
    /// This end's address [default: this machine's on the way to the server]
    #[arg(long, help_heading = "How")]
    local: Option<std::net::IpAddr>,
    /// First of this end's UDP ports [default: any that are free]
    #[arg(long, default_value_t = 0, help_heading = "How")]
    port: u16,
    /// Seconds that a transaction waits for its answer (RFC 3261: 64*T1)
    #[arg(long, default_value_t = 32.0, help_heading = "How")]
    timeout: f64,
    /// Seconds that are waited at the end for what is under way; what is missing then is lost
    #[arg(long, default_value_t = 8.0, help_heading = "How")]
    patience: f64,
    /// Most units under way; what is due beyond that is not begun, and told
    #[arg(long, default_value_t = 300_000, help_heading = "How")]
    most: usize,
    /// Number from which all that is random comes
    #[arg(long, default_value_t = 1, help_heading = "How")]
    seed: u64,
    /// I am allowed to load this server; needed unless it is on this machine's loopback
    #[arg(long, help_heading = "How")]
    i_may_load_this_server: bool,

    /// Process of the server (with its children), to show what a unit costs it
    #[arg(long, value_name = "PID", help_heading = "What is told")]
    server_pid: Option<u32>,
    /// What the server is called in the report
    #[arg(long, default_value = "server", help_heading = "What is told")]
    name: String,
    /// Print the report as JSON
    #[arg(long, help_heading = "What is told")]
    json: bool,
    /// Write the report as JSON into a file
    #[arg(long, value_name = "FILE", help_heading = "What is told")]
    out: Option<PathBuf>,
    /// Write the report with its charts as a page into a file
    #[arg(long, value_name = "FILE", help_heading = "What is told")]
    html: Option<PathBuf>,
}

/// What a load speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Over {
    /// UDP
    Udp,
    /// TCP
    Tcp,
}

/// How many registrations are under way while users are registered beforehand.
const BEFORE: usize = 64;

impl Load {
    pub(crate) fn run(&self) -> Result<ExitCode> {
        match &self.what {
            Some(What::Compare(compare)) => compare.run(),
            None => self.run.run(),
        }
    }
}

impl Compare {
    fn run(&self) -> Result<ExitCode> {
        let mut reports = Vec::new();
        for path in &self.reports {
            let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
            let report: Report = serde_json::from_str(&text)
                .with_context(|| format!("{} is no report of towel load", path.display()))?;
            say!("{}, {}\n{}", report.name, path.display(), report.text());
            reports.push(report);
        }
        write(&self.html, &page(&reports))?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Run {
    fn run(&self) -> Result<ExitCode> {
        let plan = match self.plan() {
            Ok(plan) => plan,
            Err(error) => {
                eprintln!("towel: {error:#}");
                return Ok(ExitCode::from(USAGE));
            }
        };
        let many = plan.steps.iter().filter(|step| step.purpose == Purpose::Measure).count() > 1;
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
        let mut terminal = Terminal { bar: None, table: many && !self.json };
        if terminal.table {
            say!("{}", towel_load::table_head());
        }
        let done = towel_load::run(plan.clone(), self.server_pid, &mut terminal);
        terminal.bar = None;
        let steps = done.map_err(anyhow::Error::msg)?;
        let report = Report::new(self.name.clone(), &plan, unix, steps);
        let json = serde_json::to_string(&report)?;
        if self.json {
            say!("{json}");
        } else if !many {
            say!("{}", report.text().trim_end());
        }
        if let Some(path) = &self.out {
            write(path, &json)?;
        }
        if let Some(path) = &self.html {
            write(path, &page(std::slice::from_ref(&report)))?;
        }
        let well = report.steps.iter().any(|step| step.ok > 0);
        Ok(if well { ExitCode::SUCCESS } else { ExitCode::from(REFUSED) })
    }

    fn plan(&self) -> Result<Plan> {
        let server = self.server.as_deref().unwrap_or_default();
        let (host, server) = place(server)?;
        if !server.ip().is_loopback() && !self.i_may_load_this_server {
            bail!(
                "{server} is not on loopback; a load can bring a server down and may be a crime: \
                 add --i-may-load-this-server if you may"
            );
        }
        let mix = Mix::parse(&self.work).map_err(anyhow::Error::msg)?;
        let users = self.people(self.domain.as_deref().unwrap_or(&host))?;
        let callers = self.callers(&users)?;
        let local = match self.local {
            Some(local) => local,
            None => local_address(&server.ip().to_string(), server.port())?,
        };
        let transport = match self.transport {
            Over::Udp => io::Transport::Udp,
            Over::Tcp => io::Transport::Tcp,
        };
        let sockets = self.sockets.unwrap_or(if transport.reliable() { 64 } else { 4 });
        let most_sockets = if transport.reliable() { 50_000 } else { 1000 };
        if !(1..=most_sockets).contains(&sockets) {
            bail!("--sockets must be from 1 to {most_sockets}");
        }
        let live = self.live.iter().copied().max().unwrap_or(0);
        let most = self.most.clamp(1, 4_000_000) + usize::try_from(live)?;
        if most > 5_000_000 {
            bail!("--live may be 1000000 at most");
        }
        let steps = self.steps(&mix, users.count())?;
        Ok(Plan {
            server,
            transport,
            local,
            first_port: self.port,
            sockets,
            users,
            callers,
            steps,
            expires: self.expires,
            nonces: if self.new_nonce { Nonces::Forget } else { Nonces::Keep },
            timeout: seconds(self.timeout.max(0.1), "--timeout")?,
            patience: seconds(self.patience, "--patience")?,
            most,
            seed: self.seed,
            run: std::process::id(),
        })
    }

    fn people(&self, domain: &str) -> Result<People> {
        if let Some(path) = &self.users_file {
            return People::list(read_users(path, domain)?, self.users).map_err(anyhow::Error::msg);
        }
        let pattern = self.user.clone().unwrap_or_else(|| format!("u{{n}}@{domain}"));
        let password = self.password_file.as_deref().map(password_of).transpose()?;
        let one = !pattern.contains("{n}");
        let count = self.users.unwrap_or(if one { 1 } else { 1000 });
        People::pattern(&pattern, count, password.as_deref()).map_err(anyhow::Error::msg)
    }

    fn callers(&self, users: &People) -> Result<People> {
        if self.users_call {
            return Ok(users.clone());
        }
        let pattern = match &self.caller {
            Some(pattern) => pattern.clone(),
            None => format!("c{{n}}@{}", users.domain(0)),
        };
        let count = if pattern.contains("{n}") { users.count() } else { 1 };
        People::pattern(&pattern, count, None).map_err(anyhow::Error::msg)
    }

    fn steps(&self, mix: &Mix, users: u32) -> Result<Vec<Step>> {
        let mut steps = Vec::new();
        let step = |name: &str, purpose, mix: &Mix, pace, amount| Step {
            name: name.to_owned(),
            purpose,
            mix: mix.clone(),
            pace,
            warm_up: Duration::ZERO,
            amount,
            hold: Duration::ZERO,
        };
        let closed = Pace::Closed { window: BEFORE };
        if !self.no_register {
            let register = Mix(vec![(Work::Register, 1)]);
            let all = Amount::Count(users.into());
            let window = BEFORE.min(users as usize);
            let pace = Pace::Closed { window };
            steps.push(step("register", Purpose::Prepare, &register, pace, all));
        }
        let ramp = seconds(self.ramp, "--ramp")?;
        let hold = seconds(self.hold, "--hold")?;
        let amount = match (self.count, self.seconds) {
            (Some(0), _) => bail!("--count must be 1 at least"),
            (Some(count), _) => Amount::Count(count),
            (None, time) => Amount::Time(seconds(time.unwrap_or(10.0).max(0.1), "--seconds")?),
        };
        let given = self.warm_up.unwrap_or(if self.count.is_some() { 0.0 } else { 2.0 });
        let warm_up = seconds(given, "--warm-up")?.max(ramp);
        // Calls that are held end at the rate at which they begin only after the first have ended.
        let steady = matches!(amount, Amount::Time(_)) && !hold.is_zero();
        let warm_up = if steady { warm_up.max(hold + Duration::from_secs(1)) } else { warm_up };
        let paces: Vec<(String, Pace)> = match (self.window, &self.sweep[..]) {
            (Some(0), _) => bail!("--window must be 1 at least"),
            (Some(window), _) => {
                // Nobody registers twice at a time.
                let only = matches!(&mix.0[..], [(Work::Register, _)]);
                let window = if only { window.min(users as usize) } else { window };
                vec![("flat out".into(), Pace::Closed { window })]
            }
            (None, []) => vec![open(self.rate.unwrap_or(100.0), self.poisson, ramp)?],
            (None, rates) => {
                let all = rates.iter().map(|rate| open(*rate, self.poisson, ramp));
                all.collect::<Result<_>>()?
            }
        };
        if paces.len() > 1 && self.live.len() > 1 {
            bail!("either --sweep or --live has several numbers, not both");
        }
        let mut live = self.live.clone();
        live.sort_unstable();
        live.dedup();
        let mut up = 0;
        let calls = Mix(vec![(Work::Call, 1)]);
        for count in if live.is_empty() { vec![0] } else { live.clone() } {
            if count > up {
                let more = Amount::Count(count - up);
                steps.push(step("bring up", Purpose::BringUp, &calls, closed, more));
                up = count;
            }
            for (name, pace) in &paces {
                let name = if live.len() > 1 { format!("{count} live") } else { name.clone() };
                let measure = step(&name, Purpose::Measure, mix, *pace, amount);
                steps.push(Step { warm_up, hold, ..measure });
            }
        }
        if up > 0 {
            steps.push(step("hang up", Purpose::HangUp, &calls, closed, Amount::Count(up)));
        }
        Ok(steps)
    }
}

/// An open loop and its name.
fn open(rate: f64, poisson: bool, ramp: Duration) -> Result<(String, Pace)> {
    if !(rate > 0.0 && rate <= 1e7) {
        bail!("a rate must be above 0 and 10000000 at most");
    }
    let arrivals = if poisson { Arrivals::Poisson } else { Arrivals::Constant };
    Ok((format!("{rate}/s"), Pace::Open { rate, arrivals, ramp }))
}

fn seconds(value: f64, option: &str) -> Result<Duration> {
    if !(0.0..=604_800.0).contains(&value) {
        bail!("{option} must be from 0 to 604800 seconds");
    }
    Ok(Duration::from_secs_f64(value))
}

/// Host and address of a server as it is written on the command line.
fn place(text: &str) -> Result<(String, SocketAddr)> {
    let text = text.strip_prefix("sip:").unwrap_or(text);
    // An address in brackets, or without a port, has colons of its own.
    let with_port = match text.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
            port.parse::<u16>().ok().map(|port| (host, port))
        }
        _ => None,
    };
    let (host, port) = with_port.unwrap_or((text, 5060));
    let host = host.trim_matches(['[', ']']);
    let found = (host, port).to_socket_addrs().ok().and_then(|mut all| all.next());
    let found =
        found.with_context(|| format!("`{text}` is no address and no name that is known"))?;
    Ok((host.to_owned(), found))
}

fn read_users(path: &Path, domain: &str) -> Result<Vec<Person>> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let mut list = Vec::new();
    for (number, line) in text.lines().enumerate() {
        match towel_server::users::line_of(line, number == 0) {
            Ok(None) => {}
            Ok(Some((user, own, password))) => {
                let domain = if own.is_empty() { domain.to_owned() } else { own };
                list.push(Person { user, domain, password });
            }
            // The line itself is not shown: there is a password in it.
            Err(why) => bail!("{}:{}: {why}", path.display(), number + 1),
        }
    }
    Ok(list)
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).with_context(|| path.display().to_string())
}

/// What a person sees meanwhile.
struct Terminal {
    bar: Option<(String, Progress)>,
    /// Whether each step is a line of a table.
    table: bool,
}

impl Screen for Terminal {
    fn progress(&mut self, step: &Step, done: u64, total: u64) {
        if self.bar.as_ref().is_none_or(|(name, _)| *name != step.name) {
            let unit = match step.amount {
                Amount::Count(_) => "units",
                Amount::Time(_) => "ms",
            };
            let what = match step.purpose {
                Purpose::Prepare => "registering",
                Purpose::BringUp => "bringing calls up",
                Purpose::Measure => "loading",
                Purpose::HangUp => "hanging up",
            };
            self.bar = None;
            self.bar = Some((step.name.clone(), Progress::new(what, unit)));
        }
        if let Some((_, bar)) = &mut self.bar {
            bar.step(done, total);
        }
    }

    fn report(&mut self, step: &Step, report: &StepReport) {
        self.bar = None;
        if self.table && step.purpose == Purpose::Measure {
            say!("{}", towel_load::table_line(report));
        }
    }
}
