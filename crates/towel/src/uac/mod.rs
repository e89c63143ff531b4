//! A user agent client for the command line: `towel_core`'s agent with the Guide's extensions,
//! driven by `towel_net`, for one request and what became of it.

mod party;

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use towel_core::io::{self, CloseReason, Input, Machine, Now, Outbox, Output, Record, Ticket};
use towel_core::settings::Settings;
use towel_core::stack::Failure;
use towel_core::ua::{self, Agent, Request};
use towel_net::{Bind, Config, Driver, Handle, Persist, Tls, TlsConfig};
use towel_sim::ladder::{Fate, Ladder, Style};
use towel_sim::text::Text;

pub(crate) use party::{Party, token};
pub(crate) use towel_core::ua::Account;

/// How to reach the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Transport {
    /// UDP
    Udp,
    /// TCP
    Tcp,
    /// TLS over TCP
    Tls,
}

/// Whom to believe that a server is who it says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Trust {
    /// Authorities in PEM, in place of the system's.
    pub(crate) authorities: Option<PathBuf>,
    /// Whoever it says it is.
    pub(crate) anyone: bool,
}

impl Trust {
    /// Our end of TLS: without a certificate of its own (RFC 5922 section 7.3 wants none of a user
    /// agent).
    pub(crate) fn tls(&self) -> Result<Tls> {
        let mut config = TlsConfig { trust_anyone: self.anyone, ..TlsConfig::default() };
        if let Some(path) = &self.authorities {
            config.add_authorities(path).map_err(|e| anyhow::anyhow!("--tls-ca: {e}"))?;
        } else if let Some(path) = towel_server::settings::system_authorities() {
            // A machine without any can still use the other transports.
            let _ = config.add_authorities(path);
        }
        config.build().map_err(|e| anyhow::anyhow!("--tls-ca: {e}"))
    }
}

impl Transport {
    /// The word in a URI.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Transport::Udp => "udp",
            Transport::Tcp => "tcp",
            Transport::Tls => "tls",
        }
    }
}

/// What came of a request.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// A final response.
    Answered(Box<Text>),
    /// None came in time.
    TimedOut,
}

/// How a request is to be carried out.
pub(crate) struct Way {
    /// Whose column of the ladder is ours.
    pub(crate) name: String,
    /// The server, for a person.
    pub(crate) server: String,
    /// This machine's address on the way there.
    pub(crate) local: IpAddr,
    pub(crate) account: Option<Account>,
    pub(crate) timeout: Duration,
    pub(crate) trust: Trust,
}

/// What happened.
pub(crate) struct Told {
    pub(crate) outcome: Outcome,
    pub(crate) notes: Vec<String>,
    pub(crate) ladder: String,
}

/// This machine's address on the way to a host; that of its default way if the host has no address
/// of its own (a domain may have servers and no address).
pub(crate) fn local_address(host: &str, port: u16) -> Result<IpAddr> {
    use std::net::ToSocketAddrs as _;
    let there = (host.trim_matches(['[', ']']), port).to_socket_addrs();
    let there = there.ok().and_then(|mut all| all.next());
    let there = there.unwrap_or(SocketAddr::from(([192, 0, 2, 1], 9)));
    let any = if there.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any)?;
    socket.connect(there).with_context(|| format!("there is no way to `{host}`"))?;
    Ok(socket.local_addr()?.ip())
}

/// Who is told of the answer, before others are waited for, and then of what others send.
pub(crate) type Hearer<'a> = dyn FnMut(Option<&Text>, &Told) + 'a;

/// The machine: the agent, and who watches it.
struct Desk<'a> {
    agent: Agent,
    request: Option<Request>,
    /// How many listeners have still to come up.
    silent: usize,
    handle: Handle,
    ladder: Ladder,
    began: Instant,
    timeout: io::Instant,
    patience: Duration,
    outcome: Option<Result<Outcome, Failure>>,
    nothing: Told,
    retried: bool,
    /// Until when it stays after its answer.
    stay: Duration,
    told: &'a mut Hearer<'a>,
    notes: Vec<String>,
    /// Why the last connection ended.
    closed: Option<CloseReason>,
    /// It has nothing more to do.
    done: bool,
}

impl Desk<'_> {
    fn draw(&mut self, outward: bool, bytes: &[u8]) {
        if bytes.iter().all(|byte| b"\r\n".contains(byte)) {
            return;
        }
        let at = u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX);
        let (from, to) = if outward { (0, 1) } else { (1, 0) };
        self.ladder.arrow(at, from, to, Fate::Arrived, bytes);
    }

    fn stop(&mut self) {
        self.done = true;
        self.handle.stop(Duration::from_millis(100));
    }

    fn finish(&mut self, now: Now, outcome: Result<Outcome, Failure>) {
        let answered = matches!(&outcome, Ok(Outcome::Answered(text)) if text.status() < 300);
        if answered && !self.stay.is_zero() {
            self.timeout = now.at + self.stay;
            if let Ok(outcome) = outcome {
                let ladder = self.ladder.render(Style { messages: true });
                let told = Told { outcome, notes: self.notes.clone(), ladder };
                (self.told)(None, &told);
                self.outcome = Some(Ok(told.outcome));
            }
        } else {
            self.outcome = Some(outcome);
            self.stop();
        }
    }
    /// Section 10.2.8: a registration that is too short is tried once more as the registrar asks.
    fn again(&mut self, response: &Text) -> Option<Request> {
        let least = response.first("Min-Expires")?.trim().parse::<u32>().ok()?;
        let known = self.request.as_ref()?;
        if response.status() != 423 || known.method != "REGISTER" || self.retried {
            return None;
        }
        self.retried = true;
        let mut request = known.clone();
        request.cseq = Some(response.cseq().saturating_add(1));
        request.fields.retain(|(name, _)| name != "Expires");
        request.fields.push(("Expires".into(), least.to_string().into_bytes()));
        Some(request)
    }

    fn send(&mut self, now: Now, out: &mut Outbox, request: Request) {
        if self.agent.send(now, out, request).is_err() {
            self.finish(now, Err(Failure::Transport));
        }
    }

    fn look(&mut self, now: Now, out: &mut Outbox) {
        while let Some((_, note)) = self.agent.next_note() {
            self.notes.push(note);
        }
        while let Some((_, outcome)) = self.agent.next_outcome() {
            match outcome {
                ua::Outcome::Provisional(_) => {}
                ua::Outcome::Final(bytes) => {
                    let Some(text) = Text::datagram(&bytes) else { continue };
                    match self.again(&text) {
                        Some(request) => self.send(now, out, request),
                        None => self.finish(now, Ok(Outcome::Answered(Box::new(text)))),
                    }
                }
                ua::Outcome::Failed(Failure::TimedOut) => self.finish(now, Ok(Outcome::TimedOut)),
                ua::Outcome::Failed(why) => self.finish(now, Err(why)),
            }
        }
        while let Some(bytes) = self.agent.next_received() {
            if let Some(text) = Text::datagram(&bytes) {
                (self.told)(Some(&text), &self.nothing);
            }
        }
    }
}

impl Machine for Desk<'_> {
    fn handle(&mut self, now: Now, input: Input<'_>, out: &mut Outbox) {
        match &input {
            Input::Datagram { bytes, .. } | Input::Stream { bytes, .. } => self.draw(false, bytes),
            Input::Closed { why, .. } => self.closed = Some(*why),
            Input::Listening(_) => self.silent = self.silent.saturating_sub(1),
            _ => {}
        }
        let listening = matches!(input, Input::Listening(_));
        self.agent.handle(now, input, out);
        if listening
            && self.silent == 0
            && let Some(request) = self.request.clone()
        {
            self.timeout = now.at + self.patience;
            self.send(now, out, request);
        }
        self.look(now, out);
        let sent: Vec<Vec<u8>> = out
            .outputs
            .iter()
            .filter_map(|output| match output {
                Output::Transmit { bytes, .. } => Some(out.bytes(bytes).to_vec()),
                _ => None,
            })
            .collect();
        for bytes in sent {
            self.draw(true, &bytes);
        }
        if !self.done && self.silent == 0 && now.at >= self.timeout {
            if self.outcome.is_none() {
                self.outcome = Some(Ok(Outcome::TimedOut));
            }
            self.stop();
        }
    }

    fn deadline(&self) -> Option<io::Instant> {
        let own = (!self.done && self.silent == 0).then_some(self.timeout);
        [self.agent.deadline(), own].into_iter().flatten().min()
    }

    /// What has been answered is over, whatever transactions would still absorb.
    fn is_drained(&self) -> bool {
        self.done
    }
}

/// A user agent client keeps nothing.
pub(crate) struct Nowhere(pub(crate) Handle);

impl Persist for Nowhere {
    fn submit(&mut self, ticket: Option<Ticket>, _: Record) {
        if let Some(ticket) = ticket {
            self.0.stored(ticket, Ok(()));
        }
    }
}

/// Sends a request, answers the challenges that it meets, waits for the end of it, and stays as
/// long as it is told after a good answer.
pub(crate) fn run(
    way: &Way,
    request: Request,
    stay: Duration,
    answered: &mut Hearer<'_>,
) -> Result<Told> {
    let at = SocketAddr::new(way.local, 0);
    let binds = [io::Transport::Udp, io::Transport::Tcp].map(|over| Bind::new(over, at));
    let silent = binds.len();
    let mut config = Config::new(binds.into());
    config.tls = Some(Arc::new(way.trust.tls()?));
    let driver = Driver::new(config).map_err(|e| anyhow::anyhow!("{e}"))?;
    let seed = towel_server::secret::random::<32>().context("the system gives no random bytes")?;
    let mut registry = towel_guide::user_agent_without_dialogs();
    // The server that was named is believed in what it says of others (RFC 3325 section 8).
    let host = Party::parse(&way.server).map(|party| party.host).unwrap_or_default();
    let _ = registry.configure("asserted-identity", &[("trusted", host.as_str())]);
    let mut settings = Settings::default();
    settings.transport.connects = vec![io::Transport::Tls];
    let mut desk = Desk {
        agent: Agent::new(&settings, seed, way.account.clone()).with_extensions(registry),
        request: Some(request),
        silent,
        handle: driver.handle(),
        ladder: Ladder::new([way.name.clone(), way.server.clone()]),
        began: Instant::now(),
        timeout: io::Instant(u64::MAX),
        patience: way.timeout,
        outcome: None,
        nothing: Told { outcome: Outcome::TimedOut, notes: Vec::new(), ladder: String::new() },
        retried: false,
        stay,
        told: answered,
        notes: Vec::new(),
        closed: None,
        done: false,
    };
    let mut nowhere = Nowhere(driver.handle());
    driver.run(&mut desk, &mut nowhere, &mut |_| {}).map_err(|e| anyhow::anyhow!("{e}"))?;
    let ladder = desk.ladder.render(Style { messages: true });
    match desk.outcome {
        Some(Ok(outcome)) => Ok(Told { outcome, notes: desk.notes, ladder }),
        Some(Err(Failure::NotLocated(why))) => bail!("{} is not to be found: {why:?}", way.server),
        _ if desk.closed == Some(CloseReason::Tls) => bail!(
            "{} cannot prove that it is who was asked for, or does not speak TLS there. Name its \
             domain, or give the authority that signed its certificate with --tls-ca FILE; \
             --insecure takes whoever answers",
            way.server
        ),
        _ => bail!("nobody listens at {}", way.server),
    }
}
