//! `towel register`, `towel options` and `towel message`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::Args;
use serde_json::{Value, json};
use towel_sim::text::Text;

use crate::options::{FAILED, REFUSED, TIMED_OUT, password_of};
use crate::uac::{Credentials, Outcome, Party, Request, Transport, Uac, Wire, resolve};

/// What the three have in common.
#[derive(Debug, Args)]
struct Way {
    /// Server to send to: host or host:port [default: the domain of the request]
    #[arg(long, short, value_name = "HOST[:PORT]")]
    server: Option<String>,
    /// Transport
    #[arg(long, short, value_enum, default_value = "udp")]
    transport: Transport,
    /// User name for digest [default: the user of the request]
    #[arg(long)]
    username: Option<String>,
    /// Password (others on this machine may see a command line: --password-file is safer)
    #[arg(long, short, env = "TOWEL_PASSWORD", hide_env_values = true)]
    password: Option<String>,
    /// File whose first line is the password; - for the standard input
    #[arg(long, value_name = "FILE", conflicts_with = "password")]
    password_file: Option<PathBuf>,
    /// Seconds to wait for the answer
    #[arg(long, default_value_t = 32)]
    timeout: u64,
    /// Print every message as a ladder
    #[arg(long)]
    ladder: bool,
    /// Answer as JSON
    #[arg(long)]
    json: bool,
}

impl Way {
    fn connect(&self, party: &Party, name: &str) -> Result<Uac> {
        let server = match &self.server {
            Some(text) => Party::parse(text)?,
            None => party.clone(),
        };
        let remote = resolve(&server.host, server.port.unwrap_or(5060))?;
        let timeout = Duration::from_secs(self.timeout.clamp(1, 600));
        let wire = Wire::connect(self.transport, remote, timeout)?;
        Ok(Uac::connect(wire, name, timeout))
    }

    fn credentials(&self, user: Option<&str>) -> Result<Option<Credentials>> {
        let password = match &self.password_file {
            Some(path) => Some(password_of(path)?),
            None => self.password.clone(),
        };
        let user = self.username.as_deref().or(user);
        Ok(match (user, password) {
            (Some(user), Some(password)) => Some(Credentials { user: user.to_owned(), password }),
            _ => None,
        })
    }

    /// Says what came of it.
    fn report(
        &self,
        uac: &Uac,
        call_id: &str,
        outcome: &Outcome,
        told: impl FnOnce(&Text) -> (Value, String),
    ) -> ExitCode {
        let (code, value, text) = match outcome {
            Outcome::Answered(response) => {
                let (more, text) = told(response);
                let status = response.status();
                let value = json!({
                    "status": status, "reason": response.reason(), "call_id": call_id,
                    "result": more,
                });
                let code = if status < 300 { 0 } else { REFUSED };
                let line = format!("{status} {}", response.reason());
                let text =
                    if text.is_empty() || status >= 300 { line } else { format!("{line}\n{text}") };
                (code, value, text)
            }
            Outcome::TimedOut => {
                let value =
                    json!({ "status": Value::Null, "reason": "no answer", "call_id": call_id });
                (TIMED_OUT, value, format!("no answer from {}", uac.wire.remote()))
            }
        };
        if self.ladder && !self.json {
            say!("{}", uac.ladder());
        }
        let mut value = value;
        if self.ladder
            && let Some(object) = value.as_object_mut()
        {
            object.insert("ladder".into(), uac.ladder().into());
        }
        say!("{}", if self.json { value.to_string() } else { text });
        ExitCode::from(code)
    }
}

/// Register a contact, as a phone does.
#[derive(Debug, Args)]
pub(crate) struct Register {
    /// Address of record: user@domain
    user: String,
    /// Contact [default: this machine's address on the way to the server]
    #[arg(long)]
    contact: Option<String>,
    /// Seconds for which the contact is good
    #[arg(long, default_value_t = 3600)]
    expires: u32,
    /// Preference of the contact, 0 to 1
    #[arg(long)]
    q: Option<f32>,
    /// Remove the contact
    #[arg(long, conflicts_with = "expires")]
    remove: bool,
    /// Only ask what is registered
    #[arg(long, conflicts_with_all = ["remove", "contact"])]
    query: bool,
    /// Stay so many seconds, answer OPTIONS and MESSAGE and print what comes
    #[arg(long, value_name = "SECONDS")]
    stay: Option<u64>,
    #[command(flatten)]
    way: Way,
}

impl Register {
    pub(crate) fn run(&self) -> Result<ExitCode> {
        let party = Party::parse(&self.user)?;
        let Some(user) = party.user.clone() else { bail!("`{}` names no user", self.user) };
        let mut uac = self.way.connect(&party, &user)?;
        let aor = party.uri(false);
        // Section 10.2: the Request-URI names the domain, without a user.
        let domain = Party { user: None, ..party.clone() }.uri(true);
        let mut request = Request::new("REGISTER", domain, aor.clone(), aor)?;
        if !self.query {
            let q = self.q.map(|q| format!(";q={:.3}", q.clamp(0.0, 1.0))).unwrap_or_default();
            let uri = self.contact.clone().unwrap_or_else(|| {
                let transport = match uac.wire.transport() {
                    Transport::Udp => String::new(),
                    other => format!(";transport={}", other.word()),
                };
                format!("sip:{user}@{}{transport}", uac.wire.local())
            });
            request.contact = Some(format!("<{uri}>{q}"));
            request.expires = Some(if self.remove { 0 } else { self.expires });
        }
        let credentials = self.way.credentials(Some(&user))?;
        let outcome = uac.run(&mut request, credentials.as_ref())?;
        let code = self.way.report(&uac, request.call_id(), &outcome, |response| {
            let contacts: Vec<&str> = response.values("Contact");
            (json!({ "contacts": contacts }), contacts.join("\n"))
        });
        let answered = matches!(&outcome, Outcome::Answered(r) if r.status() < 300);
        if let (Some(seconds), true) = (self.stay, answered) {
            let json = self.way.json;
            uac.stay(Duration::from_secs(seconds), |text| {
                let from = text.first("From").unwrap_or("");
                let body = String::from_utf8_lossy(&text.body);
                if json {
                    say!("{}", json!({ "method": text.method(), "from": from, "body": body }));
                } else {
                    say!("{} from {from}: {body}", text.method());
                }
            })?;
        }
        Ok(code)
    }
}

/// Ask a server or user what it can do.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Whom to ask: host, or user@domain
    target: String,
    /// Who asks: user@domain
    #[arg(long)]
    from: Option<String>,
    #[command(flatten)]
    way: Way,
}

impl Options {
    pub(crate) fn run(&self) -> Result<ExitCode> {
        let party = Party::parse(&self.target)?;
        let mut uac = self.way.connect(&party, "options")?;
        let from = from_of(self.from.as_deref(), &uac)?;
        let to = party.uri(true);
        let mut request = Request::new("OPTIONS", to.clone(), from.0.uri(false), to)?;
        let credentials = self.way.credentials(from.0.user.as_deref())?;
        let outcome = uac.run(&mut request, credentials.as_ref())?;
        Ok(self.way.report(&uac, request.call_id(), &outcome, |response| {
            let mut lines = Vec::new();
            let mut object = serde_json::Map::new();
            for name in
                ["Allow", "Supported", "Accept", "Accept-Encoding", "Accept-Language", "Server"]
            {
                if let Some(value) = response.joined(name) {
                    lines.push(format!("{name}: {value}"));
                    object.insert(name.into(), value.into());
                }
            }
            (Value::Object(object), lines.join("\n"))
        }))
    }
}

/// Send a text to a user.
#[derive(Debug, Args)]
pub(crate) struct Message {
    /// To whom: user@domain
    to: String,
    /// The text; - reads the standard input
    text: String,
    /// From whom: user@domain
    #[arg(long)]
    from: Option<String>,
    #[command(flatten)]
    way: Way,
}

impl Message {
    pub(crate) fn run(&self) -> Result<ExitCode> {
        let party = Party::parse(&self.to)?;
        let text = if self.text == "-" {
            std::io::read_to_string(std::io::stdin())?
        } else {
            self.text.clone()
        };
        // RFC 3428 section 8: more than 1300 bytes need a path with congestion control.
        if text.len() > 1100 && self.way.transport == Transport::Udp {
            eprintln!("towel: the text is too long for UDP; use --transport tcp");
            return Ok(ExitCode::from(FAILED));
        }
        let mut uac = self.way.connect(&party, "message")?;
        let from = from_of(self.from.as_deref(), &uac)?;
        let to = party.uri(true);
        let mut request = Request::new("MESSAGE", to.clone(), from.0.uri(false), to)?;
        request.body = Some(("text/plain;charset=UTF-8", text.into_bytes()));
        let credentials = self.way.credentials(from.0.user.as_deref())?;
        let outcome = uac.run(&mut request, credentials.as_ref())?;
        Ok(self.way.report(&uac, request.call_id(), &outcome, |_| (Value::Null, String::new())))
    }
}

struct From(Party);

/// Who asks; somebody without a name (RFC 3261 section 8.1.1.3) where nobody is named.
fn from_of(named: Option<&str>, uac: &Uac) -> Result<From> {
    Ok(From(match named {
        Some(text) => Party::parse(text)?,
        None => {
            let address = uac.wire.local().ip();
            let host = if address.is_ipv6() { format!("[{address}]") } else { address.to_string() };
            Party::parse(&format!("anonymous@{host}"))?
        }
    }))
}
