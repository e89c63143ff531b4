//! The phone at its desk: driven, watched, drawn, and interrupted.

use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use nix::sys::signal::{SigSet, Signal};
use towel_core::io::{self, Command, Input, Machine, Now, Outbox, Output};
use towel_core::settings::Settings;
use towel_core::ua::UserAgent;
use towel_net::{Bind, Config, Driver, Handle};
use towel_phone::{Phone, Setup};
use towel_sim::ladder::{Fate, Ladder, Style};

use super::say::Teller;
use crate::ua_commands::Way;
use crate::uac::{Nowhere, Party};

/// What a phone listens with.
pub(super) const LISTENERS: [io::Transport; 2] = [io::Transport::Udp, io::Transport::Tcp];
/// How long those that it talks with have to take their leave when it is interrupted.
const FAREWELL: Duration = Duration::from_secs(5);
/// How many messages are drawn; of those that come after them there are too many for a picture.
const DRAWN: usize = 10_000;

struct Desk {
    phone: Phone,
    teller: Teller,
    ladder: Option<Ladder>,
    began: Instant,
    handle: Handle,
    stopped: bool,
}

impl Desk {
    fn draw(&mut self, outward: bool, bytes: &[u8]) {
        let Some(ladder) = &mut self.ladder else { return };
        if ladder.rows().len() >= DRAWN || bytes.iter().all(|byte| b"\r\n".contains(byte)) {
            return;
        }
        let at = u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX);
        let (from, to) = if outward { (0, 1) } else { (1, 0) };
        ladder.arrow(at, from, to, Fate::Arrived, bytes);
    }
}

impl Machine for Desk {
    fn handle(&mut self, now: Now, input: Input<'_>, out: &mut Outbox) {
        if let Input::Datagram { bytes, .. } | Input::Stream { bytes, .. } = &input {
            self.draw(false, bytes);
        }
        match input {
            Input::Command(Command::Drain) => self.phone.leave(now, out),
            input => self.phone.handle(now, input, out),
        }
        if self.ladder.is_some() {
            let sent = out.outputs.iter().filter_map(|output| match output {
                Output::Transmit { bytes, .. } => Some(out.bytes(bytes).to_vec()),
                _ => None,
            });
            for bytes in sent.collect::<Vec<_>>() {
                self.draw(true, &bytes);
            }
        }
        while let Some(news) = self.phone.next_news() {
            self.teller.tell(&news);
        }
        if self.phone.is_done() && !std::mem::replace(&mut self.stopped, true) {
            self.handle.stop(Duration::from_millis(100));
        }
    }

    fn deadline(&self) -> Option<io::Instant> {
        self.phone.deadline()
    }

    fn is_drained(&self) -> bool {
        self.phone.is_done()
    }

    fn is_quiet(&self) -> bool {
        self.phone.is_done()
    }
}

/// Has an interruption end the calls first; a second one ends all at once.
fn heed_signals(signals: SigSet, handle: Handle) -> std::io::Result<()> {
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

/// Runs a phone until it is done. `party` is whose domain its requests go to.
pub(super) fn run(
    way: &Way,
    party: &Party,
    from: Option<&Party>,
    setup: impl FnOnce(IpAddr) -> Result<Setup>,
) -> Result<ExitCode> {
    let user = from.and_then(|from| from.user.as_deref());
    let prepared = way.prepare(party, user.unwrap_or("towel"), user)?;
    let setup = setup(prepared.local)?;
    // Before there are threads: a signal goes to whichever takes it.
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGINT);
    signals.add(Signal::SIGTERM);
    signals.thread_block().context("signals")?;

    let binds = LISTENERS.map(|over| Bind::new(over, SocketAddr::new(prepared.local, 0)));
    let mut config = Config::new(binds.into());
    config.tls = Some(Arc::new(prepared.trust.tls()?));
    let driver = Driver::new(config).map_err(|e| anyhow::anyhow!("{e}"))?;
    heed_signals(signals, driver.handle())?;

    let random =
        || towel_server::secret::random::<32>().context("the system gives no random bytes");
    let mut registry = towel_guide::user_agent();
    // The server that was named is believed in what it says of others (RFC 3325 section 8).
    let host = way.server_of(party)?.host;
    let _ = registry.configure("asserted-identity", &[("trusted", host.as_str())]);
    let mut settings = Settings::default();
    settings.transport.connects = vec![io::Transport::Tls];
    let account = prepared.account.clone();
    let profile = super::profile(way, from, account)?;
    let ua = UserAgent::new(&settings, profile, registry, random()?);
    let mut desk = Desk {
        phone: Phone::new(ua, setup, random()?),
        teller: Teller::new(way.json, prepared.account.is_some()),
        ladder: way.ladder.then(|| Ladder::new([prepared.name.clone(), prepared.server.clone()])),
        began: Instant::now(),
        handle: driver.handle(),
        stopped: false,
    };
    let mut nowhere = Nowhere(driver.handle());
    driver.run(&mut desk, &mut nowhere, &mut |_| {}).map_err(|e| anyhow::anyhow!("{e}"))?;
    let drawn = desk.ladder.map(|ladder| ladder.render(Style { messages: true }));
    Ok(desk.teller.finish(drawn))
}
