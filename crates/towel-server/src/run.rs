//! The server put together: store, users, core, driver, HTTP, signals.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::sys::signal::{SigSet, Signal};
use towel_core::auth::User;
use towel_core::contract::Registry;
use towel_core::io::{
    Command, Event, Input, Level, Listener, Machine as _, Now, Outbox, Record, StoreFault, Ticket,
};
use towel_core::server::Endpoint;
use towel_net::{Driver, Forget, Handle, Persist};

use crate::config::{Config, Durability, LogLevel, Problem};
use crate::control::{Control, Events};
use crate::element::Element;
use crate::failure::Mend;
use crate::hand_over::{self, Carried, Leaving, Predecessor, StartAgain};
use crate::http::{Access, Ask as _};
use crate::log::Log;
use crate::trace::Ring;
use crate::users::{Source, Users, primary_domain, realm_of};
use crate::{persist, secret, settings};

/// What the person who starts the server wants to see.
pub trait Watch {
    /// Long work goes on: its name, its unit, how much of how much is done.
    fn progress(&mut self, what: &'static str, unit: &'static str, done: u64, total: u64);
    /// The server is up.
    fn up(&mut self, started: &Started);
}

/// What a person needs to know of a server that is up.
#[derive(Debug, Clone)]
pub struct Started {
    /// The listeners with the ports that they truly have.
    pub listeners: Vec<Listener>,
    /// The console's address, or why there is none.
    pub http: Option<Result<SocketAddr, String>>,
    /// Users made on this first start: name, domain, password.
    pub made: Vec<(String, String, String)>,
    /// How many users there are.
    pub users: usize,
    /// How many records the store held.
    pub records: u64,
    /// Bytes that a crash tore off the end of the store.
    pub torn: u64,
}

/// The Guide's extensions as a server uses them, with their tables of the configuration.
pub fn registry(config: &Config) -> Result<Registry, String> {
    let mut registry = towel_guide::server();
    for table in &config.extensions {
        let entries: Vec<(&str, &str)> =
            table.entries.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        registry
            .configure(&table.id, &entries)
            .map_err(|fault| format!("extensions.{}.{}: {}", table.id, fault.key, fault.about))?;
    }
    Ok(registry)
}

/// The drivers' way to the store.
#[derive(Clone)]
struct ToStore {
    store: Arc<towel_store::Store>,
    handles: Vec<Handle>,
}

/// Tells the shard that waits how it went.
fn tell_stored(handles: &[Handle], ticket: Ticket, result: Result<(), StoreFault>) {
    if let Some(handle) = handles.get(usize::from(ticket.shard())) {
        handle.stored(ticket, result);
    }
}

impl Persist for ToStore {
    fn submit(&mut self, ticket: Option<Ticket>, record: Record) {
        if let Err((Some(ticket), fault)) = persist::submit(&self.store, ticket, record) {
            tell_stored(&self.handles, ticket, Err(fault));
        }
    }
}

/// The signals that stop a server or have it read its configuration again.
#[derive(Debug)]
pub struct Signals(SigSet);

impl Signals {
    /// Holds them back on this thread and on those that it starts, for [`run`] to wait for. To be
    /// called before any thread is started: a signal goes to whichever thread takes it.
    ///
    /// # Errors
    /// What the system says.
    pub fn hold() -> Result<Signals, String> {
        let mut signals = SigSet::empty();
        for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
            signals.add(signal);
        }
        signals.thread_block().map_err(|e| format!("signals: {e}"))?;
        // A file that may grow no more is an error of the write, not the end of the process.
        let mut never = SigSet::empty();
        never.add(Signal::SIGXFSZ);
        never.thread_block().map_err(|e| format!("signals: {e}"))?;
        Ok(Signals(signals))
    }
}

impl Signals {
    /// Has the end of standard input stop the server as SIGTERM does, so that it ends with whoever
    /// started it and holds the other end.
    ///
    /// # Errors
    /// If there is no thread to be had.
    pub fn stop_at_end_of_input(&self) -> std::io::Result<()> {
        std::thread::Builder::new().name("input".into()).spawn(|| {
            let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
            let _ = nix::sys::signal::kill(nix::unistd::getpid(), Signal::SIGTERM);
        })?;
        Ok(())
    }
}

/// Runs a server until it is told to stop.
///
/// `again` reads the configuration anew, for a reload. With `take_over` it takes the place of the server
/// that runs on the same data folder, if there is one, under its calls; `start_again` starts this program
/// anew to take over in its turn, where the one that took over from it has ended too soon.
///
/// # Errors
/// In words for a person, if it cannot start or the driver fails.
pub fn run(
    config: Config,
    take_over: bool,
    again: Box<dyn Fn() -> Result<Config, Vec<Problem>> + Send + Sync>,
    start_again: StartAgain,
    log: Log,
    signals: Signals,
    watch: &mut dyn Watch,
) -> Result<(), String> {
    let began = Instant::now();
    more_descriptors();

    for warning in crate::config::warnings(&config) {
        log.event(LogLevel::Warn, "config", warning);
    }
    make_data_folder(&config.data)?;
    let data = |e: std::io::Error| format!("{}: {e}", config.data.display());
    let token = secret::token_of(&config.data).map_err(data)?;
    let kept = kept_secret(&config.data).map_err(data)?;

    let mut net = settings::driver(&config);
    let tls = settings::tls(&config)?.build().map_err(|e| e.to_string())?;
    net.tls = Some(Arc::new(tls));
    let random = secret::random::<32>().map_err(|e| format!("no random bytes: {e}"))?;
    let threads = usize::from(config.transport.threads.max(1));
    let registries = (0..threads).map(|_| registry(&config)).collect::<Result<Vec<_>, _>>()?;
    let mut servers = Endpoint::shards(&settings::core(&config, kept), registries, random);
    let follows = if take_over { follow(&config, &net)? } else { None };
    let (follows, bans) = match follows {
        Some((driver, bans)) => (Some(driver), bans),
        None => (None, Vec::new()),
    };
    // What is loaded is in the store already; what of it has ended since is taken out.
    let mut ended = persist::Ended::default();
    let mut out = Outbox::new();
    let now = Now { unix: unix_now(), ..Now::default() };
    // One loads for all: they share what is loaded.
    let mut load = |records| {
        if let Some(first) = servers.first_mut() {
            first.handle(now, Input::Command(Command::Load(records)), &mut out);
        }
        ended.note(&mut out);
    };
    let opened = persist::open(&config, &mut load, &mut |done, total| {
        watch.progress("store", "bytes", done, total);
    })
    .map_err(|e| e.to_string())?;
    let mut stored = Users::default();
    let unread = opened.users.iter().filter(|record| !stored.load(record)).count();
    if unread > 0 {
        let text = format!("{unread} records of users cannot be read and are passed over");
        log.event(LogLevel::Error, "store", text);
    }
    let nobody = stored.is_empty() && config.users.is_empty() && config.user_files.is_empty();
    let first = nobody && opened.loaded.records == 0 && config.auth.register;
    let mut users = stored.clone();
    let problems =
        users.configure(&config, &mut |done, total| watch.progress("users", "users", done, total));
    if !problems.is_empty() {
        return Err(problems.iter().map(ToString::to_string).collect());
    }

    for Carried { address, port, time, why } in bans {
        // The driver's clock begins at this one's first second.
        let begins = Now { at: towel_core::io::Instant(1_000_000), ..now };
        // One has them for all.
        if let Some(first) = servers.first_mut() {
            first.stack_mut().ban(begins, address, port, time, why);
        }
    }
    let follows_another = follows.is_some();
    let drivers = match follows {
        Some(driver) => vec![driver],
        None => {
            Driver::several(net, threads).map_err(|e| format!("{e}{}", what_to_do(&config, &e)))?
        }
    };
    let handles: Vec<Handle> = drivers.iter().map(Driver::handle).collect();

    // Not before everything is bound: a start that fails would take the passwords with it.
    let mut made = Vec::new();
    if first {
        made = first_users(&config, &mut stored, &opened.store)?;
        users = stored.clone();
    }
    for server in &mut servers {
        for entry in users.iter() {
            server.server_mut().users_mut().insert(entry.user.clone());
        }
    }

    let ring = config.trace.enabled.then(|| ring(&config));
    let (mut elements, mut jobs) = (Vec::new(), Vec::new());
    for (server, handle) in servers.into_iter().zip(&handles) {
        let waker = handle.clone();
        let (mut element, ear) =
            Element::new(server, move || waker.command(Command::Load(Vec::new())));
        if let Some(ring) = &ring {
            element.set_trace(Some(Arc::clone(ring)));
        }
        elements.push(element);
        jobs.push(ear);
    }
    let tellers = handles.clone();
    // Before anybody can register: what is removed afterwards might have come again.
    if config.durability != Durability::Memory
        && let Some(first) = elements.first_mut()
    {
        let gone = ended.records(first.machine().server().registrar());
        if let Err(fault) = opened.store.put(gone) {
            log.event(LogLevel::Warn, "store", format!("{fault}. What has ended stays in it"));
        }
    }
    let tell = move |ticket, result| tell_stored(&tellers, ticket, result);
    let _ = opened.tell.set(Box::new(tell));
    let reporter = crate::store_report::reporter(log.clone(), config.durability);
    let _ = opened.report.set(Box::new(reporter));
    let store = Arc::new(opened.store);

    let first = drivers.first().ok_or("there is no driver")?;
    let listeners = first.listeners().to_vec();
    let control = Arc::new(Control {
        users: Mutex::new((stored, users)),
        again,
        store: Arc::clone(&store),
        jobs,
        handles: handles.clone(),
        counters: drivers.iter().map(Driver::counters).collect(),
        events: Events::default(),
        log: log.clone(),
        began,
        listeners: Mutex::new(crate::control::Listeners {
            groups: first.groups().to_vec(),
            next: u16::try_from(listeners.len()).unwrap_or(u16::MAX),
        }),
        secret: kept,
        leaving: Leaving::default(),
        data: std::fs::canonicalize(&config.data).unwrap_or_else(|_| config.data.clone()),
        config: RwLock::new(config.clone()),
    });
    let http = config.http.enabled.then(|| open_http(&config, &control, token, follows_another));
    if let Err(e) = hand_over::wait(&control, start_again) {
        let text = format!("no other process will be able to take over: {e}");
        log.event(LogLevel::Warn, "hand-over", text);
    }
    wait_for_signals(signals.0, Arc::clone(&control)).map_err(|e| format!("signals: {e}"))?;

    let places: Vec<String> =
        listeners.iter().map(|l| format!("{} {}", l.transport, l.local)).collect();
    log.event(LogLevel::Info, "started", places.join(", "));
    watch.up(&Started {
        listeners,
        http,
        made,
        users: crate::control::locked(&control.users).1.len(),
        records: opened.loaded.records,
        torn: opened.loaded.torn,
    });

    let to_store = ToStore { store: Arc::clone(&store), handles: handles.clone() };
    let to_store = (config.durability != Durability::Memory).then_some(to_store);
    // Several have bindings, nonces and bans in common, of which one that failed may leave the half.
    if let [element] = &mut elements[..] {
        element.set_mend(Mend::new(&control.data, config.limits.failures, anew(&control)));
    }
    let shards = drivers.into_iter().zip(elements).map(|(driver, element)| Shard {
        driver,
        element,
        to_store: to_store.clone(),
        control: Arc::clone(&control),
        log: log.clone(),
    });
    let done = run_all(shards.collect(), &handles);
    drop(to_store);
    log.event(LogLevel::Info, "stopped", "");
    if control.leaving.is_gone() {
        // The folder and the store are somebody else's.
        log.flush();
        return done;
    }
    let _ = std::fs::remove_file(config.data.join("http-address"));
    // Whatever still waits for the disk is written before the process ends: the store is dropped
    // by whoever holds it last, so it is asked to be done here.
    if config.durability != Durability::Memory {
        let _ = store.put(vec![persist::stopped(unix_now())]);
    }
    log.flush();
    done
}

/// A shard with all that it needs on its thread.
struct Shard {
    driver: Driver,
    element: Element<Endpoint>,
    to_store: Option<ToStore>,
    control: Arc<Control>,
    log: Log,
}

impl Shard {
    fn run(self) -> Result<(), String> {
        let Shard { driver, mut element, mut to_store, control, log } = self;
        let events = control.events.clone();
        let mut forget = Forget(driver.handle());
        let persist: &mut dyn Persist = match &mut to_store {
            None => &mut forget,
            Some(to_store) => to_store,
        };
        let mut onlooker = |event: Event| {
            events.count(event.kind);
            if event.kind == towel_net::FORSAKEN {
                control.leaving.forsaken();
            }
            log.event(level(event.level), event.kind, event.text);
        };
        driver.run(&mut element, persist, &mut onlooker).map_err(|e| e.to_string())
    }
}

/// Ends all shards when one has failed: what is theirs together would not be whole.
struct Together<'a>(&'a [Handle]);

impl Together<'_> {
    fn run(&self, shard: Shard) -> Result<(), String> {
        let done = shard.run();
        if done.is_err() {
            self.end();
        }
        done
    }

    fn end(&self) {
        self.0.iter().for_each(|handle| handle.stop(Duration::ZERO));
    }
}

impl Drop for Together<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.end();
        }
    }
}

/// Runs shards until they end: the first on this thread, the others on threads of their own.
fn run_all(shards: Vec<Shard>, handles: &[Handle]) -> Result<(), String> {
    let mut shards = shards.into_iter();
    let Some(first) = shards.next() else { return Ok(()) };
    std::thread::scope(|scope| {
        let mut others = Vec::new();
        for (number, shard) in shards.enumerate() {
            let builder = std::thread::Builder::new().name(format!("shard-{}", number + 1));
            let other = builder.spawn_scoped(scope, move || Together(handles).run(shard));
            match other {
                Ok(other) => others.push(other),
                Err(e) => {
                    Together(handles).end();
                    return Err(format!("a thread for a shard: {e}"));
                }
            }
        }
        let mut done = Together(handles).run(first);
        for other in others {
            let theirs = other.join().unwrap_or_else(|_| Err("a shard has failed".into()));
            done = done.and(theirs);
        }
        done
    })
}

/// The trace that a configuration asks for.
pub(crate) fn ring(config: &Config) -> Arc<Mutex<Ring>> {
    Arc::new(Mutex::new(Ring::new(config.trace.messages, config.trace.bytes)))
}

/// Makes the core anew from what the other threads know and what the store holds.
fn anew(control: &Arc<Control>) -> crate::failure::Anew<Endpoint> {
    let control = Arc::clone(control);
    Box::new(move |now, out, failed, listeners| {
        let config = control.config();
        let random = secret::random::<32>().ok()?;
        let core = settings::core(&config, control.secret);
        let mut next = Endpoint::new(core, registry(&config).ok()?, random);
        let loaded = control.store.read(&mut |some| {
            let of_core = some.into_iter().filter_map(persist::of_core).collect();
            next.handle(now, Input::Command(Command::Load(of_core)), out);
        });
        if let Err(e) = loaded {
            let why = format!("the core cannot be made anew, the store cannot be read: {e}");
            out.event(Level::Error, "store", why);
            return None;
        }
        for entry in crate::control::locked(&control.users).1.iter() {
            next.server_mut().users_mut().insert(entry.user.clone());
        }
        for listener in listeners {
            next.handle(now, Input::Listening(listener.clone()), out);
        }
        next.succeed(now, out, failed);
        Some(next)
    })
}

/// Takes over from the server that runs on the same data folder: the store is free when this returns.
fn follow(
    config: &Config,
    net: &towel_net::Config,
) -> Result<Option<(Driver, Vec<Carried>)>, String> {
    let Some(Predecessor { stream, given }) = Predecessor::ask(&config.data)? else {
        return Ok(None);
    };
    if config.transport.threads > 1 {
        return Err("only a server on one thread can take over, and transport.threads is more: start \
                    this one with --threads 1, or stop the other first\nThe server that runs goes on"
            .into());
    }
    let mut driver = Driver::with(net.clone(), given)
        .map_err(|e| format!("{e}{}\nThe server that runs goes on", what_to_do(config, &e)))?;
    // What could keep us from starting is found while the other still goes on.
    let problems = Users::default().configure(config, &mut |_, _| {});
    if !problems.is_empty() {
        return Err(problems.iter().map(ToString::to_string).collect());
    }
    let (stream, bans) = Predecessor::take_over(stream)?;
    driver.follow(stream);
    Ok(Some((driver, bans)))
}

fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |t| t.as_secs())
}

fn level(level: Level) -> LogLevel {
    match level {
        Level::Debug => LogLevel::Debug,
        Level::Info => LogLevel::Info,
        Level::Warn => LogLevel::Warn,
        Level::Error => LogLevel::Error,
    }
}

/// Keys and users' hashes lie in it, so it is its owner's alone.
fn make_data_folder(data: &Path) -> Result<(), String> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(data).map_err(|e| format!("the data folder {}: {e}", data.display()))
}

/// The secret behind what we write into Via and Record-Route: kept, so that calls outlive a restart.
fn kept_secret(data: &Path) -> std::io::Result<[u8; 16]> {
    let path = data.join("secret");
    if let Ok(bytes) = std::fs::read(&path)
        && let Ok(secret) = <[u8; 16]>::try_from(bytes)
    {
        return Ok(secret);
    }
    let fresh = secret::random::<16>()?;
    secret::write_private(&path, &fresh)?;
    Ok(fresh)
}

/// Two users to begin with. They are in the store before this returns.
fn first_users(
    config: &Config,
    stored: &mut Users,
    store: &towel_store::Store,
) -> Result<Vec<(String, String, String)>, String> {
    let domain = primary_domain(config);
    let realm = realm_of(config, &domain);
    let (mut made, mut records) = (Vec::new(), Vec::new());
    for name in ["alice", "bob"] {
        let password = secret::password().map_err(|e| format!("no random bytes: {e}"))?;
        let user = User::new(name, &realm, &password);
        records.push(persist::to_store(user.record()));
        stored.set(Source::Store, user);
        made.push((name.to_owned(), domain.clone(), password));
    }
    // Both or neither.
    store.put(records).map_err(|e| format!("the store: {e}"))?;
    Ok(made)
}

fn open_http(
    config: &Config,
    control: &Arc<Control>,
    token: String,
    follows_another: bool,
) -> Result<SocketAddr, String> {
    let cannot = |e: std::io::Error| {
        let address = config.http.address;
        if e.kind() == std::io::ErrorKind::AddrInUse {
            format!(
                "{address} is taken by another program; set http.address to another port (or \
                 --set 'http.address=\"127.0.0.1:0\"' for any free one). towel runs without it"
            )
        } else {
            format!("{address}: {e}")
        }
    };
    let mut listener = crate::http::bind(config.http.address);
    // The server before this one gives the port up on a thread of its own.
    for _ in 0..100 {
        let taken = |e: &std::io::Error| e.kind() == std::io::ErrorKind::AddrInUse;
        if !follows_another || !listener.as_ref().is_err_and(taken) {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
        listener = crate::http::bind(config.http.address);
    }
    let listener = listener.map_err(cannot)?;
    let address = listener.local_addr().map_err(cannot)?;
    let access = Access { token, configured: config.http.token.clone() };
    let ask: Arc<dyn crate::http::Ask> = Arc::clone(control) as _;
    let (end, ended) = tokio::sync::oneshot::channel();
    control.leaving.http_by(end);
    crate::http::serve(listener, ask, access, ended).map_err(cannot)?;
    // So that the other commands find a port that the system chose.
    secret::write_private(&config.data.join("http-address"), format!("{address}\n").as_bytes())
        .map_err(cannot)?;
    Ok(address)
}

/// What to do about a port that cannot be had.
fn what_to_do(config: &Config, fault: &towel_net::DriverFault) -> &'static str {
    use std::io::ErrorKind::{AddrInUse, AddrNotAvailable, PermissionDenied};
    let towel_net::DriverFault::Bind(fault) = fault else { return "" };
    match (fault.why.kind(), config.listen.is_empty()) {
        (AddrInUse, true) => {
            "\nAnother SIP server may be running. Use other ports: towel serve --listen \
             udp:0.0.0.0:5070 --listen tcp:0.0.0.0:5070"
        }
        (AddrInUse, false) => {
            "\nAnother program has it (`ss -lnp` shows which); stop that, or listen at another port"
        }
        // What it says already tells what to do.
        (AddrNotAvailable, _) if fault.addr.ip().is_unspecified() => "",
        _ if fault.why.raw_os_error() == Some(nix::libc::EAFNOSUPPORT) => {
            "\nThis machine is without that kind of address; leave this listener out"
        }
        (AddrNotAvailable, _) => {
            "\nThis machine does not have the address; `ip addr` shows those that it has"
        }
        (PermissionDenied, _) => {
            "\nPorts below 1024 want the right to bind them: take one above, or give the program \
             CAP_NET_BIND_SERVICE"
        }
        _ => "",
    }
}

/// Every connection is a descriptor: takes as many as the system allows.
fn more_descriptors() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        // Refused, the limit stays as it was, and the driver turns connections away at it.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}

fn wait_for_signals(signals: SigSet, control: Arc<Control>) -> std::io::Result<()> {
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        let mut stopping = false;
        loop {
            match signals.wait() {
                // The configuration is somebody else's to read.
                Ok(Signal::SIGHUP) if control.leaving.is_gone() => {}
                Ok(Signal::SIGHUP) => {
                    if let Err(refusal) = control.reload() {
                        control.log.event(LogLevel::Error, "reload-refused", refusal.why);
                    }
                }
                // Once: what is under way has its time. Twice: now.
                Ok(_) if stopping => {
                    control.stop(Duration::ZERO);
                    return;
                }
                Ok(_) => {
                    stopping = true;
                    let within = control.config().transport.drain;
                    control.stop(within);
                }
                Err(nix::errno::Errno::EINTR) => {}
                Err(_) => return,
            }
        }
    })?;
    Ok(())
}
