//! A load on real sockets: the driver, the signals, and what the processor is charged.

use std::net::SocketAddr;
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigSet, Signal};
use towel_core::io::{Record, Ticket, Transport};
use towel_net::{Bind, Config, Driver, Handle, Persist};

use crate::cpu::{Look, Spent};
use crate::figures::StepReport;
use crate::load::{Load, Watch};
use crate::plan::{Plan, Step};

/// What is shown while it runs.
pub trait Screen {
    /// So much of so much of a step is done.
    fn progress(&mut self, step: &Step, done: u64, total: u64);
    /// A step is over.
    fn report(&mut self, step: &Step, report: &StepReport);
}

/// Runs a load on this thread to its end, or until SIGINT or SIGTERM: then what was measured so far
/// is the result. A second signal ends the program at once.
///
/// `server` is the server's process, whose use of the processor is to be reported.
///
/// # Errors
/// In words for a person: no socket, no server, or callees that cannot be registered.
pub fn run(
    plan: Plan,
    server: Option<u32>,
    screen: &mut dyn Screen,
) -> Result<Vec<StepReport>, String> {
    if let Some(pid) = server.filter(|pid| !crate::cpu::is_there(*pid)) {
        return Err(format!("there is no process {pid} whose use of the processor can be read"));
    }
    more_descriptors();
    // The kernel may wake us 50 microseconds late to save a wake-up; a schedule wants to be kept.
    let _ = nix::sys::prctl::set_timerslack(1);
    let mut config = Config::new(binds(&plan)?);
    config.resolver = None;
    config.precise = true;
    config.limits.idle_time = Duration::from_secs(86_400);
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGINT);
    signals.add(Signal::SIGTERM);
    // Before any thread is there: a signal goes to whichever thread takes it.
    signals.thread_block().map_err(|e| format!("signals: {e}"))?;
    let driver = Driver::new(config).map_err(|e| e.to_string())?;
    let handle = driver.handle();
    std::thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            if signals.wait().is_ok() {
                handle.stop(LAST);
            }
            if signals.wait().is_ok() {
                std::process::exit(130);
            }
        })
        .map_err(|e| format!("no thread for signals: {e}"))?;
    let meter =
        Meter { handle: driver.handle(), screen, server, at: (Look::default(), Look::default()) };
    let mut load = Load::new(plan, meter);
    driver.run(&mut load, &mut Nothing, &mut |_| {}).map_err(|e| e.to_string())?;
    load.finish()
}

/// A load has nothing to store.
struct Nothing;

impl Persist for Nothing {
    fn submit(&mut self, _: Option<Ticket>, _: Record) {}
}

/// For how long an end may take.
const LAST: Duration = Duration::from_secs(2);

/// The sockets: callers' first. Connections have none of their own to bind.
fn binds(plan: &Plan) -> Result<Vec<Bind>, String> {
    if plan.transport != Transport::Udp {
        return Ok(Vec::new());
    }
    let count = u16::try_from(2 * plan.sockets).map_err(|_| "too many sockets".to_owned())?;
    (0..count)
        .map(|n| {
            let port = match plan.first_port {
                0 => Some(0),
                first => first.checked_add(n),
            };
            let port = port.ok_or("the ports go beyond 65535")?;
            Ok(Bind::new(Transport::Udp, SocketAddr::new(plan.local, port)))
        })
        .collect()
}

/// As many descriptors as the system allows this process: each connection needs one.
fn more_descriptors() {
    if let Ok((_, most)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, most, most);
    }
}

/// Who watches: takes looks at the processes, and passes the rest on to the screen.
struct Meter<'a> {
    handle: Handle,
    screen: &'a mut dyn Screen,
    server: Option<u32>,
    at: (Look, Look),
}

impl Meter<'_> {
    fn look(&self, memory: bool) -> (Look, Look) {
        let server = self.server.map(|pid| Look::at(pid, memory)).unwrap_or_default();
        (server, Look::at(std::process::id(), false))
    }
}

impl Watch for Meter<'_> {
    fn progress(&mut self, step: &Step, done: u64, total: u64) {
        self.screen.progress(step, done, total);
    }

    fn opened(&mut self) {
        self.at = self.look(false);
    }

    fn closed(&mut self) -> Spent {
        let (server, own) = self.look(true);
        Spent { server: self.server.map(|_| server.since(&self.at.0)), own: own.since(&self.at.1) }
    }

    fn report(&mut self, step: &Step, report: &StepReport) {
        self.screen.report(step, report);
    }

    fn ended(&mut self) {
        self.handle.stop(LAST);
    }
}
