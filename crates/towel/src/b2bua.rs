//! `towel b2bua`: a back-to-back user agent between those who call and one next hop.

use std::net::IpAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Args;
use nix::sys::signal::{SigSet, Signal};
use towel_core::b2bua::{B2bua as Machine, Settings};
use towel_core::io::{self, Command, Input, Now, Outbox, Transport};
use towel_message::Uri;
use towel_net::{Bind, Config, Driver, Handle};
use towel_server::config::{ListenTransport, Network, parse_listen};

use crate::options::misused;
use crate::uac::{Nowhere, Trust};

/// How long calls have to take their leave when it is stopped.
const FAREWELL: Duration = Duration::from_secs(5);

/// Stand between callers and one next hop: two calls back to back, and nothing of one seen in the other.
#[derive(Debug, Args)]
pub(crate) struct B2bua {
    /// Where to listen, as udp:ADDRESS:PORT or tcp:ADDRESS:PORT; several with commas
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    #[arg(default_value = "udp:127.0.0.1:5060,tcp:127.0.0.1:5060")]
    listen: Vec<String>,
    /// Where everything goes: a sip or sips URI, of a server or of a phone
    #[arg(long, value_name = "URI")]
    next_hop: String,
    /// Who may call: addresses or networks, with commas; all others get 403
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "127.0.0.0/8,::1")]
    allow: Vec<String>,
    /// Names of its own besides its addresses: a call to a user at one of them goes to that user at the
    /// next hop
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    name: Vec<String>,
    /// The most calls at a time
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    calls: usize,
    /// How long a call may ring, in seconds
    #[arg(long, value_name = "N", default_value_t = 180)]
    ringing: u64,
    /// Leave out what tells of the machines on the other side (User-Agent, Server, Warning ...)
    #[arg(long)]
    hide: bool,
    /// Give nobody a Session-ID (RFC 7989) who has none
    #[arg(long)]
    no_session_id: bool,
    /// File of authorities for TLS to the next hop, in place of the system's
    #[arg(long, value_name = "PEM")]
    tls_ca: Option<std::path::PathBuf>,
}

impl B2bua {
    fn settings(&self) -> Result<Settings> {
        if !matches!(Uri::parse(self.next_hop.as_bytes()), Ok(Uri::Sip(_))) {
            misused!(
                "--next-hop: `{}` is no SIP URI; write e.g. sip:192.0.2.1:5060",
                self.next_hop
            );
        }
        let mut peers = Vec::new();
        for text in &self.allow {
            let Some(network) = Network::parse(text) else {
                misused!("--allow: `{text}` is no address or network; write e.g. 192.0.2.0/24");
            };
            let Network { address, prefix } = network;
            peers.push(towel_core::server::Network { address, prefix });
        }
        Ok(Settings {
            next_hop: self.next_hop.clone(),
            peers,
            names: self.name.clone(),
            max_calls: self.calls,
            ringing: Duration::from_secs(self.ringing),
            hide: self.hide,
            session_ids: !self.no_session_id,
        })
    }

    fn binds(&self) -> Result<Vec<Bind>> {
        let mut binds = Vec::new();
        for text in &self.listen {
            let listen = match parse_listen(text) {
                Ok(listen) => listen,
                Err(what) => misused!("--listen: {what}"),
            };
            let transport = match listen.transport {
                ListenTransport::Udp => Transport::Udp,
                ListenTransport::Tcp => Transport::Tcp,
                ListenTransport::Tls => {
                    misused!("--listen: `{text}`: it has no certificate; listen with udp or tcp")
                }
            };
            binds.push(Bind::new(transport, listen.socket()));
        }
        Ok(binds)
    }

    /// Runs it until it is stopped.
    pub(crate) fn run(&self) -> Result<ExitCode> {
        let (settings, binds) = (self.settings()?, self.binds()?);
        // Before there are threads: a signal goes to whichever takes it.
        let mut signals = SigSet::empty();
        signals.add(Signal::SIGINT);
        signals.add(Signal::SIGTERM);
        signals.thread_block().context("signals")?;

        let mut config = Config::new(binds);
        let trust = Trust { authorities: self.tls_ca.clone(), anyone: false };
        config.tls = Some(Arc::new(trust.tls()?));
        let driver = Driver::new(config).map_err(|e| anyhow::anyhow!("{e}"))?;
        heed(signals, driver.handle())?;
        let seed =
            towel_server::secret::random::<32>().context("the system gives no random bytes")?;
        let mut stack = towel_core::settings::Settings::default();
        stack.transport.connects = vec![Transport::Tls];
        let machine = Machine::new(&stack, settings, towel_guide::b2bua(), seed);
        let mut across = Across { machine, handle: driver.handle(), leaving: false };
        let mut nowhere = Nowhere(driver.handle());
        driver.run(&mut across, &mut nowhere, &mut |_| {}).map_err(|e| anyhow::anyhow!("{e}"))?;
        let counters = across.machine.counters();
        say!(
            "{} calls, {} answered, {} refused for who sent them, {} for being too many",
            counters.calls,
            counters.answered,
            counters.refused,
            counters.full
        );
        Ok(ExitCode::SUCCESS)
    }
}

/// The machine and what it says of itself.
struct Across {
    machine: Machine,
    handle: Handle,
    leaving: bool,
}

impl io::Machine for Across {
    fn handle(&mut self, now: Now, input: Input<'_>, out: &mut Outbox) {
        if let Input::Listening(listener) = &input {
            let local = listener.local;
            let word = listener.transport.uri_token();
            say!("listening with {word} at {}", address(local.ip(), local.port()));
        }
        if matches!(input, Input::Command(Command::Drain)) {
            self.leaving = true;
            self.machine.end_all(now, out);
        }
        io::Machine::handle(&mut self.machine, now, input, out);
        if self.leaving && self.machine.is_empty() {
            self.leaving = false;
            self.handle.stop(Duration::from_millis(200));
        }
    }

    fn deadline(&self) -> Option<io::Instant> {
        io::Machine::deadline(&self.machine)
    }

    fn is_drained(&self) -> bool {
        io::Machine::is_drained(&self.machine)
    }

    fn is_quiet(&self) -> bool {
        io::Machine::is_quiet(&self.machine)
    }

    fn flow_of(&self, connection: io::ConnectionId) -> Option<io::Flow> {
        io::Machine::flow_of(&self.machine, connection)
    }
}

fn address(ip: IpAddr, port: u16) -> String {
    std::net::SocketAddr::new(ip, port).to_string()
}

/// Has an interruption end the calls first; a second one ends all at once.
fn heed(signals: SigSet, handle: Handle) -> std::io::Result<()> {
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        if signals.wait().is_ok() {
            handle.stop(FAREWELL);
        }
        if signals.wait().is_ok() {
            std::process::exit(130);
        }
    })?;
    Ok(())
}
