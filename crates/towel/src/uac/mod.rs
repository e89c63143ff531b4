//! A user agent client for the command line: one request and what became of it.
//!
//! It waits for its socket, which the server never does: there is one request in the air and a
//! person looking at it.

mod request;
mod wire;

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use towel_core::auth::client::Session;
use towel_sim::ladder::{Fate, Ladder, Style};
use towel_sim::text::Text;

pub(crate) use request::{Party, Request};
pub(crate) use wire::{Transport, Wire};

/// RFC 3261 table 4.
const T1: Duration = Duration::from_millis(500);
const T2: Duration = Duration::from_secs(4);

/// What came of a request.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// A final response.
    Answered(Box<Text>),
    /// None came in time.
    TimedOut,
}

/// Credentials of a person.
#[derive(Clone)]
pub(crate) struct Credentials {
    pub(crate) user: String,
    pub(crate) password: String,
}

/// A client with its socket and what has passed by it.
pub(crate) struct Uac {
    pub(crate) wire: Wire,
    ladder: Ladder,
    began: Instant,
    timeout: Duration,
}

impl Uac {
    /// Connects to a server.
    pub(crate) fn connect(wire: Wire, name: &str, timeout: Duration) -> Uac {
        let ladder = Ladder::new([name.to_owned(), wire.remote().to_string()]);
        Uac { wire, ladder, began: Instant::now(), timeout }
    }

    /// The ladder of all that passed.
    pub(crate) fn ladder(&self) -> String {
        self.ladder.render(Style { messages: true })
    }

    fn note(&mut self, outward: bool, bytes: &[u8]) {
        let at = u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX);
        let (from, to) = if outward { (0, 1) } else { (1, 0) };
        let mut shown = bytes.to_vec();
        towel_server::mask::mask(&mut shown);
        self.ladder.arrow(at, from, to, Fate::Arrived, &shown);
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.note(true, bytes);
        self.wire.send(bytes).context("the request could not be sent")
    }

    pub(crate) fn receive(&mut self, until: Instant) -> Result<Option<Text>> {
        let Some(bytes) = self.wire.receive(until)? else { return Ok(None) };
        self.note(false, &bytes);
        Ok(Text::datagram(&bytes))
    }

    /// Sends a request, answers the challenges that it meets, and waits for the end of it.
    pub(crate) fn run(
        &mut self,
        request: &mut Request,
        credentials: Option<&Credentials>,
    ) -> Result<Outcome> {
        let mut challenged = 0;
        loop {
            let outcome = self.transaction(request)?;
            let Outcome::Answered(response) = &outcome else { return Ok(outcome) };
            let field = match response.status() {
                401 => "WWW-Authenticate",
                407 => "Proxy-Authenticate",
                423 if request.method == "REGISTER" && challenged < 3 => {
                    // Section 10.2.8: try again with what the registrar asks for.
                    let least = response.first("Min-Expires").and_then(|v| v.parse().ok());
                    let Some(least) = least else { return Ok(outcome) };
                    challenged += 1;
                    request.expires = Some(least);
                    request.next();
                    continue;
                }
                _ => return Ok(outcome),
            };
            let Some(credentials) = credentials else { return Ok(outcome) };
            let challenges: Vec<&str> = response.lines(field).collect();
            let mut sessions = Session::choose(
                challenges.iter().map(|c| c.as_bytes()),
                &credentials.user,
                &credentials.password,
            );
            // Section 22.1: what was just refused is not sent again, unless only the nonce was old.
            let again = challenged > 0 && !sessions.iter().any(Session::stale);
            if sessions.is_empty() || again || challenged > 2 {
                return Ok(outcome);
            }
            challenged += 1;
            request.authorize(field, &mut sessions)?;
            request.next();
        }
    }

    /// One client transaction (RFC 3261 section 17.1.2).
    fn transaction(&mut self, request: &mut Request) -> Result<Outcome> {
        let branch = request::branch()?;
        let bytes = request.write(&self.wire, &branch);
        self.send(&bytes)?;
        let end = Instant::now() + self.timeout;
        let mut interval = T1;
        let mut again = Instant::now() + interval;
        loop {
            let until = if self.wire.reliable() { end } else { again.min(end) };
            match self.receive(until)? {
                Some(text)
                    if !text.is_request()
                        && text.branch() == branch
                        && text.method() == request.method =>
                {
                    if text.status() >= 200 {
                        return Ok(Outcome::Answered(Box::new(text)));
                    }
                    // Timer E goes on at T2 once there is a provisional response.
                    interval = T2;
                    again = Instant::now() + interval;
                }
                Some(_) => {}
                None if Instant::now() >= end => return Ok(Outcome::TimedOut),
                None => {
                    self.send(&bytes)?;
                    interval = (interval * 2).min(T2);
                    again = Instant::now() + interval;
                }
            }
        }
    }

    /// Answers what comes in for a while: OPTIONS and MESSAGE with 200, all else with 405.
    pub(crate) fn stay(&mut self, time: Duration, mut told: impl FnMut(&Text)) -> Result<()> {
        let end = Instant::now() + time;
        while Instant::now() < end {
            let Some(text) = self.receive(end)? else { continue };
            if !text.is_request() || text.method() == "ACK" {
                continue;
            }
            let known = matches!(text.method(), "OPTIONS" | "MESSAGE");
            let mut answer = Text {
                start: if known { "SIP/2.0 200 OK" } else { "SIP/2.0 405 Method Not Allowed" }
                    .into(),
                ..Text::default()
            };
            for name in ["Via", "From", "To", "Call-ID", "CSeq"] {
                for line in text.lines(name) {
                    let tag = name == "To" && text.tag("To").is_none();
                    let tag =
                        if tag { format!(";tag={}", request::token()?) } else { String::new() };
                    answer.add(name, format!("{line}{tag}"));
                }
            }
            answer.add("Allow", "OPTIONS, MESSAGE");
            answer.add("Content-Length", "0");
            told(&text);
            self.send(&answer.write())?;
        }
        Ok(())
    }
}

/// The socket address of a server, named by host and port.
pub(crate) fn resolve(host: &str, port: u16) -> Result<std::net::SocketAddr> {
    use std::net::ToSocketAddrs as _;
    let host = host.trim_matches(['[', ']']);
    let mut addresses =
        (host, port).to_socket_addrs().with_context(|| format!("`{host}` has no address"))?;
    match addresses.next() {
        Some(address) => Ok(address),
        None => bail!("`{host}` has no address"),
    }
}
