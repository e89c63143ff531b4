//! The phone at its desk: driven, watched, drawn, and interrupted.

use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use nix::sys::signal::{SigSet, Signal};
use towel_core::io::{self, Command, Input, Machine, Now, Outbox, Output};
use towel_core::settings::Settings;
use towel_core::ua::UserAgent;
use towel_net::{Bind, Config, Driver, Handle};
use towel_phone::{Lossy, Media, Order, Phone, Setup};
use towel_sim::ladder::{Fate, Ladder, Style};

use super::keys;
use super::say::Teller;
use super::sound::Sound;
use crate::ua_commands::Way;
use crate::uac::{Nowhere, Party};

/// What a phone listens with.
pub(super) const LISTENERS: [io::Transport; 2] = [io::Transport::Udp, io::Transport::Tcp];
/// How long those that it talks with have to take their leave when it is interrupted.
const FAREWELL: Duration = Duration::from_secs(5);
/// Sockets and files besides those of audio.
const BESIDES: u64 = 256;
/// How many messages are drawn; of those that come after them there are too many for a picture.
const DRAWN: usize = 10_000;

/// What is to be run.
pub(super) struct Plan<'a> {
    pub(super) way: &'a Way,
    /// Whose domain requests go to.
    pub(super) party: &'a Party,
    pub(super) from: Option<&'a Party>,
    pub(super) sound: &'a Sound,
    /// How many calls there are to be.
    pub(super) total: Option<u64>,
    /// The sum is told, and not each call.
    pub(super) many: bool,
    /// How many calls there are at a time, at most.
    pub(super) concurrent: usize,
}

struct Desk {
    phone: Phone,
    orders: Receiver<Order>,
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
        while let Ok(order) = self.orders.try_recv() {
            self.phone.order(now, out, order);
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
            keys::restore();
            std::process::exit(130);
        }
    })?;
    Ok(())
}

/// Each call takes two descriptors at most: as many are asked for as the system lets us have.
fn make_room(calls: usize) {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let wanted = 2 * calls as u64 + BESIDES;
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < wanted
    {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, wanted.min(hard), hard);
    }
}

/// Runs a phone until it is done.
pub(super) fn run(
    plan: &Plan<'_>,
    setup: impl FnOnce(IpAddr) -> Result<Setup>,
) -> Result<ExitCode> {
    let Plan { way, party, from, .. } = *plan;
    make_room(plan.concurrent);
    let media = plan.sound.media()?;
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
    let profile = super::profile(plan, account)?;
    let ua = UserAgent::new(&settings, profile, registry, random()?);
    let bell = driver.handle();
    let bell = Arc::new(move || bell.command(Command::Load(Vec::new())));
    let media = Media::new(media, bell).context("audio")?;
    let (ordering, orders) = channel();
    let raw = if plan.many { None } else { keys::listen(ordering, driver.handle()) };
    let mut desk = Desk {
        phone: Phone::new(ua, media, setup, random()?),
        orders,
        teller: Teller::new(way.json, prepared.account.is_some(), plan.many, plan.total),
        ladder: way.ladder.then(|| Ladder::new([prepared.name.clone(), prepared.server.clone()])),
        began: Instant::now(),
        handle: driver.handle(),
        stopped: false,
    };
    let mut nowhere = Nowhere(driver.handle());
    let (desk, ran) = match plan.sound.lose {
        None => {
            let ran = driver.run(&mut desk, &mut nowhere, &mut |_| {});
            (desk, ran)
        }
        Some(percent) => {
            let mut lossy = Lossy::new(desk, percent / 100.0, plan.sound.seed);
            let ran = driver.run(&mut lossy, &mut nowhere, &mut |_| {});
            (lossy.into_inner(), ran)
        }
    };
    drop(raw);
    ran.map_err(|e| anyhow::anyhow!("{e}"))?;
    let drawn = desk.ladder.map(|ladder| ladder.render(Style { messages: true }));
    Ok(desk.teller.finish(drawn))
}
