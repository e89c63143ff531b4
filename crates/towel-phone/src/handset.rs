//! A whole phone on a thread of its own: told what to do by orders, telling what happens as news.

use std::fmt;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use towel_core::io::{Command, Input, Instant, Machine, Now, Outbox, Transport};
use towel_core::settings::Settings;
use towel_core::ua::user_agent::Profile;
use towel_core::ua::{Account, UserAgent};
use towel_message::Uri;
use towel_net::{Bind, Config, Driver, Forget, Handle};

use crate::{Act, Lossy, Media, MediaConfig, News, Order, Phone, Registration, Setup};

/// How much news waits for who does not fetch it; what comes then is not told.
const MOST_NEWS: usize = 16_384;
/// How long the peers have to answer when a phone is dropped.
const FAREWELL: Duration = Duration::from_secs(2);
/// For how long a registration is asked for, in seconds.
const EXPIRES: u32 = 600;

/// Why a phone cannot be started.
#[derive(Debug)]
pub struct HandsetFault(String);

impl fmt::Display for HandsetFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for HandsetFault {}

fn fault(what: &str, why: impl fmt::Display) -> HandsetFault {
    HandsetFault(format!("{what}: {why}"))
}

/// How much a phone keeps, as it was when it last did something.
#[derive(Debug, Default)]
struct Kept {
    phone: AtomicUsize,
    agent: AtomicUsize,
    drained: AtomicBool,
}

/// A phone that is being set up.
#[derive(Debug)]
pub struct HandsetSetup {
    profile: Profile,
    settings: Settings,
    setup: Setup,
    media: MediaConfig,
    local: Option<SocketAddr>,
    registers: bool,
    server: String,
    domain: String,
    lose: Option<(f64, u64)>,
}

/// A phone. Dropped, it hangs up and removes its registration.
#[derive(Debug)]
pub struct Handset {
    orders: Sender<Order>,
    news: Receiver<News>,
    handle: Handle,
    kept: Arc<Kept>,
    address: SocketAddr,
    thread: Option<JoinHandle<()>>,
}

impl Handset {
    /// A phone of this user: `sip:alice@example.com`. It is started with [`HandsetSetup::start`].
    ///
    /// # Errors
    /// If that is no URI of SIP.
    pub fn of(user: &str) -> Result<HandsetSetup, HandsetFault> {
        let uri = Uri::parse(user.as_bytes()).map_err(|e| fault(user, e))?;
        let Uri::Sip(sip) = uri else { return Err(fault(user, "that is no SIP URI")) };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let name = text(sip.user.unwrap_or_default());
        let port = sip.port.map(|port| format!(":{port}")).unwrap_or_default();
        let domain = format!("{}{port}", sip.host);
        // An address of record has no port (RFC 3261 section 10.3 step 5).
        let address = format!("<sip:{name}@{}>", sip.host);
        let profile = Profile { address, contact: name, ..Profile::default() };
        Ok(HandsetSetup {
            profile,
            settings: Settings::default(),
            setup: Setup::new(IpAddr::from([127, 0, 0, 1])),
            media: MediaConfig::default(),
            local: None,
            registers: false,
            server: domain.clone(),
            domain,
            lose: None,
        })
    }

    /// Does what it is told.
    pub fn order(&self, order: Order) {
        // Who has ended does nothing any more.
        let _ = self.orders.send(order);
        self.handle.command(Command::Load(Vec::new()));
    }

    /// Calls this URI. [`News::Calling`] tells the number of the call.
    pub fn call(&self, whom: &str) {
        self.order(Order::Call(whom.to_owned()));
    }

    /// Does something with a call, by its number.
    pub fn act(&self, call: u32, act: Act) {
        self.order(Order::Do(call, act));
    }

    /// What happened next; waits for it. `None`: the phone has ended.
    pub fn next(&self) -> Option<News> {
        self.news.recv().ok()
    }

    /// The same, but waits no longer than this.
    pub fn next_within(&self, patience: Duration) -> Option<News> {
        self.news.recv_timeout(patience).ok()
    }

    /// Where it is reached by UDP.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How much is kept by the phone, and by its user agent: calls, dialogs, requests, timers, ports.
    pub fn kept(&self) -> (usize, usize) {
        (self.kept.phone.load(Ordering::Acquire), self.kept.agent.load(Ordering::Acquire))
    }

    /// Whether nothing is under way at all, late copies of messages that are waited for among it.
    pub fn is_drained(&self) -> bool {
        self.kept.drained.load(Ordering::Acquire)
    }

    /// Hangs up, removes the registration, and waits until that is done.
    pub fn leave(mut self) {
        self.order(Order::Leave);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Handset {
    fn drop(&mut self) {
        self.handle.stop(FAREWELL);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl HandsetSetup {
    /// The password, where one is asked for; the user is that of the URI.
    #[must_use]
    pub fn password(mut self, password: &str) -> HandsetSetup {
        let user = self.profile.contact.clone();
        self.profile.account = Some(Account { user, password: password.to_owned(), realm: None });
        self
    }

    /// Sends everything by this server, `host` or `host:port`.
    #[must_use]
    pub fn server(mut self, server: &str) -> HandsetSetup {
        self.profile.route = Some(format!("sip:{server}"));
        self.server = server.to_owned();
        self
    }

    /// Registers, and keeps that up.
    #[must_use]
    pub fn register(mut self) -> HandsetSetup {
        self.registers = true;
        self
    }

    /// Where it listens; by default any port at this machine's address on the way to the server.
    #[must_use]
    pub fn listen(mut self, address: SocketAddr) -> HandsetSetup {
        self.local = Some(address);
        self
    }

    /// Says what it is to do: what is played, how calls are answered.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Setup)) -> HandsetSetup {
        change(&mut self.setup);
        self
    }

    /// Says what its media are to be like.
    #[must_use]
    pub fn media(mut self, change: impl FnOnce(&mut MediaConfig)) -> HandsetSetup {
        change(&mut self.media);
        self
    }

    /// Says what its SIP is to be like.
    #[must_use]
    pub fn settings(mut self, change: impl FnOnce(&mut Settings, &mut Profile)) -> HandsetSetup {
        change(&mut self.settings, &mut self.profile);
        self
    }

    /// For trials: this share of what arrives, SIP and audio, is lost; which follows from the seed.
    #[must_use]
    pub fn lose(mut self, share: f64, seed: u64) -> HandsetSetup {
        self.lose = Some((share, seed));
        self.media.lose = Some((share, seed ^ 0x5eed));
        self
    }

    /// Starts it.
    ///
    /// # Errors
    /// If it cannot listen, or the system has no threads.
    pub fn start(self) -> Result<Handset, HandsetFault> {
        let local = match self.local {
            Some(local) => local,
            None => SocketAddr::new(way_to(&self.server)?, 0),
        };
        let mut setup = self.setup;
        setup.address = local.ip();
        setup.listeners = 2;
        if self.registers {
            let address = self.profile.address.clone();
            let aor = address.trim_matches(['<', '>']).to_owned();
            let registrar = format!("sip:{}", self.domain);
            setup.registration = Some(Registration { aor, registrar, expires: EXPIRES });
        }
        let mut seeds = [[0; 32]; 2];
        for seed in &mut seeds {
            getrandom::fill(seed).map_err(|e| fault("random bytes", e))?;
        }
        let binds = [Transport::Udp, Transport::Tcp].map(|over| Bind::new(over, local));
        let driver = Driver::new(Config::new(binds.into())).map_err(|e| fault("listening", e))?;
        let handle = driver.handle();
        let bell = handle.clone();
        let bell = Arc::new(move || bell.command(Command::Load(Vec::new())));
        let media = Media::new(self.media, bell).map_err(|e| fault("audio", e))?;
        let [seed, other] = seeds;
        let registry = towel_guide::user_agent();
        let agent = UserAgent::new(&self.settings, self.profile, registry, seed);
        let (orders, ordered) = channel();
        let (telling, news) = sync_channel(MOST_NEWS);
        let kept = Arc::new(Kept::default());
        let (bound, bounds) = channel();
        let desk = Desk {
            phone: Phone::new(agent, media, setup, other),
            orders: ordered,
            news: telling,
            kept: kept.clone(),
            handle: handle.clone(),
            bound,
            stopped: false,
        };
        let lose = self.lose;
        let run = move || {
            let mut forget = Forget(driver.handle());
            let mut desk = desk;
            let _ = match lose {
                None => driver.run(&mut desk, &mut forget, &mut |_| {}),
                Some((share, seed)) => {
                    let mut lossy = Lossy::new(desk, share, seed);
                    driver.run(&mut lossy, &mut forget, &mut |_| {})
                }
            };
        };
        let thread = std::thread::Builder::new().name("phone".into()).spawn(run);
        let thread = thread.map_err(|e| fault("a thread", e))?;
        let address = bounds.recv().map_err(|_| fault("listening", "it has ended at once"))?;
        Ok(Handset { orders, news, handle, kept, address, thread: Some(thread) })
    }
}

/// This machine's address on the way to a server.
fn way_to(server: &str) -> Result<IpAddr, HandsetFault> {
    let with_port = match server.rsplit_once(':') {
        Some((_, port)) if port.parse::<u16>().is_ok() => server.to_owned(),
        _ => format!("{server}:5060"),
    };
    let there = with_port.to_socket_addrs().ok().and_then(|mut all| all.next());
    // A domain may have servers and no address: then it is that of the default way.
    let there = there.unwrap_or(SocketAddr::from(([192, 0, 2, 1], 9)));
    let any = if there.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let found = UdpSocket::bind(any).and_then(|socket| {
        socket.connect(there)?;
        Ok(socket.local_addr()?.ip())
    });
    found.map_err(|e| fault(&format!("there is no way to {server}"), e))
}

/// What the driver runs: the phone, and who is told of it.
struct Desk {
    phone: Phone,
    orders: Receiver<Order>,
    news: SyncSender<News>,
    kept: Arc<Kept>,
    handle: Handle,
    bound: Sender<SocketAddr>,
    stopped: bool,
}

impl Machine for Desk {
    fn handle(&mut self, now: Now, input: Input<'_>, out: &mut Outbox) {
        match input {
            Input::Command(Command::Drain) => self.phone.leave(now, out),
            input => {
                if let Input::Listening(listener) = &input
                    && listener.transport == Transport::Udp
                {
                    let _ = self.bound.send(listener.local);
                }
                self.phone.handle(now, input, out);
            }
        }
        while let Ok(order) = self.orders.try_recv() {
            self.phone.order(now, out, order);
        }
        while let Some(news) = self.phone.next_news() {
            // Who fetches nothing is told no more.
            let _ = self.news.try_send(news);
        }
        let agent = self.phone.user_agent();
        self.kept.phone.store(self.phone.sizes().iter().sum(), Ordering::Release);
        self.kept.agent.store(agent.sizes().iter().sum(), Ordering::Release);
        self.kept.drained.store(agent.is_drained(), Ordering::Release);
        if self.phone.is_done() && !std::mem::replace(&mut self.stopped, true) {
            self.handle.stop(Duration::from_millis(100));
        }
    }

    fn deadline(&self) -> Option<Instant> {
        self.phone.deadline()
    }

    fn is_drained(&self) -> bool {
        self.phone.is_done()
    }

    fn is_quiet(&self) -> bool {
        self.phone.is_done()
    }
}
