//! `towel register`, `towel options` and `towel message`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use serde_json::{Value, json};
use towel_core::ua::Request;
use towel_sim::text::Text;

use crate::options::{REFUSED, TIMED_OUT, misused, password_of};
use crate::uac::{self, Account, Outcome, Party, Told, Transport, Trust, local_address, token};

/// What those that send requests have in common.
#[derive(Debug, Args)]
pub(crate) struct Way {
    /// Server to send to: host or host:port [default: the domain of the request]
    #[arg(long, short, value_name = "HOST[:PORT]")]
    pub(crate) server: Option<String>,
    /// Transport [default: as the domain's DNS says (RFC 3263), and else UDP]
    #[arg(long, short, value_enum)]
    pub(crate) transport: Option<Transport>,
    /// Authorities, in PEM, that may vouch for a server with TLS [default: the system's]
    #[arg(long, value_name = "FILE", conflicts_with = "insecure")]
    tls_ca: Option<PathBuf>,
    /// With TLS, take whoever answers for the server: only those who merely listen are kept out
    #[arg(long)]
    insecure: bool,
    /// User name for digest [default: the user of the request]
    #[arg(long)]
    username: Option<String>,
    /// Realm whose challenges are answered [default: what the registrar asks for, or one that is called as
    /// our domain or server]
    #[arg(long)]
    realm: Option<String>,
    /// Password (others on this machine may see a command line: --password-file is safer)
    #[arg(long, short, env = "TOWEL_PASSWORD", hide_env_values = true)]
    password: Option<String>,
    /// File whose first line is the password; - for the standard input
    #[arg(long, value_name = "FILE", conflicts_with = "password")]
    password_file: Option<PathBuf>,
    /// Seconds to wait for the answer
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub(crate) timeout: u64,
    /// Print every message as a ladder
    #[arg(long)]
    pub(crate) ladder: bool,
    /// Answer as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

impl Way {
    /// Whom the request is sent to, and as whom.
    pub(crate) fn prepare(
        &self,
        party: &Party,
        name: &str,
        user: Option<&str>,
    ) -> Result<uac::Way> {
        let server = self.server_of(party)?;
        let place = Party { user: None, secure: false, ..server.clone() }.uri(true);
        Ok(uac::Way {
            name: name.to_owned(),
            server: place.trim_start_matches("sip:").to_owned(),
            local: local_address(&server.host, server.port.unwrap_or(5060))?,
            account: self.account(user)?,
            timeout: Duration::from_secs(self.timeout),
            trust: Trust { authorities: self.tls_ca.clone(), anyone: self.insecure },
        })
    }

    pub(crate) fn server_of(&self, party: &Party) -> Result<Party> {
        self.server.as_deref().map_or_else(|| Ok(party.clone()), Party::parse)
    }

    /// Fills in where a request goes.
    fn direct(&self, request: &mut Request, party: &Party) -> Result<()> {
        let server = Party { user: None, ..self.server_of(party)? };
        let over = self.transport.map(|t| format!(";transport={}", t.word())).unwrap_or_default();
        request.server = Some(format!("{}{over}", server.uri(true)).into_bytes());
        request.home = self.server.is_some();
        request.call_id = Some(token()?);
        let agent = concat!("towel/", env!("CARGO_PKG_VERSION"));
        request.fields.push(("User-Agent".into(), agent.into()));
        Ok(())
    }

    fn account(&self, user: Option<&str>) -> Result<Option<Account>> {
        let password = match &self.password_file {
            Some(path) => Some(password_of(path)?),
            None => self.password.clone(),
        };
        let user = self.username.as_deref().or(user);
        Ok(match (user, password) {
            (Some(user), Some(password)) => {
                Some(Account { user: user.to_owned(), password, realm: self.realm.clone() })
            }
            _ => None,
        })
    }

    /// Says what came of it.
    fn report(
        &self,
        way: &uac::Way,
        call_id: &str,
        Told { outcome, notes, ladder }: &Told,
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
                let mut line = format!("{status} {}", response.reason());
                if matches!(status, 401 | 407) {
                    line.push_str(match way.account {
                        Some(_) => "\nthe password is wrong, there is no such user there, or the realm is not ours: --realm",
                        None => "\na password is wanted: --password, and --from or --username",
                    });
                }
                let text =
                    if text.is_empty() || status >= 300 { line } else { format!("{line}\n{text}") };
                (code, value, text)
            }
            Outcome::TimedOut => {
                let value =
                    json!({ "status": Value::Null, "reason": "no answer", "call_id": call_id });
                (TIMED_OUT, value, format!("no answer from {}", way.server))
            }
        };
        if self.ladder && !self.json {
            say!("{ladder}");
        }
        let (mut value, mut text) = (value, text);
        if let Some(object) = value.as_object_mut() {
            if self.ladder {
                object.insert("ladder".into(), ladder.as_str().into());
            }
            if !notes.is_empty() {
                object.insert("notes".into(), notes.clone().into());
            }
        }
        for note in notes {
            text.push('\n');
            text.push_str(note);
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
    #[arg(long, value_parser = preference)]
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
        let Some(user) = party.user.clone() else { misused!("`{}` names no user", self.user) };
        let way = self.way.prepare(&party, &user, Some(&user))?;
        let aor = party.uri(false);
        // Section 10.2: the Request-URI names the domain, without a user.
        let domain = Party { user: None, ..party.clone() }.uri(true);
        let expires = if self.remove { 0 } else { self.expires };
        let mut request = Request::register(&aor, &domain, &user, expires);
        let q = self.q.map(|q| format!(";q={q:.3}")).unwrap_or_default();
        if self.query {
            request.contact = None;
            request.fields.clear();
        } else if let Some(contact) = &self.contact {
            request.contact = None;
            request.fields.push(("Contact".into(), format!("<{contact}>{q}").into_bytes()));
        } else {
            request.contact_parameters = q.into_bytes();
        }
        self.way.direct(&mut request, &party)?;
        let call_id = request.call_id.clone().unwrap_or_default();
        let stay = Duration::from_secs(self.stay.unwrap_or(0));
        let json = self.way.json;
        let mut registered = None;
        // What it has to say of the registration it says before it waits for others.
        let told = uac::run(&way, request, stay, &mut |heard, so_far| match heard {
            None => registered = Some(self.say(&way, &call_id, so_far)),
            Some(text) => {
                let from = text.first("From").unwrap_or("");
                let body = String::from_utf8_lossy(&text.body);
                if json {
                    say!("{}", json!({ "method": text.method(), "from": from, "body": body }));
                } else {
                    say!("{} from {from}: {body}", text.method());
                }
            }
        })?;
        Ok(registered.unwrap_or_else(|| self.say(&way, &call_id, &told)))
    }

    fn say(&self, way: &uac::Way, call_id: &str, told: &Told) -> ExitCode {
        self.way.report(way, call_id, told, |response| {
            let contacts: Vec<&str> = response.values("Contact");
            (json!({ "contacts": contacts }), contacts.join("\n"))
        })
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
    /// Trace the way: ask with one hop more each time
    #[arg(long)]
    hops: bool,
    #[command(flatten)]
    way: Way,
}

impl Options {
    pub(crate) fn run(&self) -> Result<ExitCode> {
        let party = Party::parse(&self.target)?;
        let mut way = self.way.prepare(&party, "options", None)?;
        let from = from_of(self.from.as_deref())?;
        way.account = self.way.account(from.0.user.as_deref())?;
        let mut request = Request::options(&from.0.uri(false), &party.uri(true));
        self.way.direct(&mut request, &party)?;
        if self.hops {
            return self.trace(&way, &request);
        }
        let call_id = request.call_id.clone().unwrap_or_default();
        let told = uac::run(&way, request, Duration::ZERO, &mut |_, _| {})?;
        Ok(self.way.report(&way, &call_id, &told, |response| {
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

    /// One hop further each time, until somebody answers otherwise than with a 483.
    fn trace(&self, way: &uac::Way, request: &Request) -> Result<ExitCode> {
        for hops in 0..=70 {
            let mut request =
                Request { max_forwards: Some(hops), call_id: Some(token()?), ..request.clone() };
            request.cseq = None;
            let told = uac::run(way, request, Duration::ZERO, &mut |_, _| {})?;
            let (status, reason) = match &told.outcome {
                Outcome::Answered(response) => (response.status(), response.reason().to_owned()),
                Outcome::TimedOut => (0, format!("no answer from {}", way.server)),
            };
            if self.way.json {
                say!(
                    "{}",
                    json!({ "hops": hops, "status": status, "reason": reason,
                    "notes": told.notes })
                );
            } else {
                say!("{hops:>2}  {status} {reason}");
                for note in &told.notes {
                    say!("      {note}");
                }
            }
            match status {
                483 => {}
                0 => return Ok(ExitCode::from(TIMED_OUT)),
                200..300 => return Ok(ExitCode::SUCCESS),
                _ => break,
            }
        }
        Ok(ExitCode::from(REFUSED))
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
        let reliable = matches!(self.way.transport, Some(Transport::Tcp | Transport::Tls));
        if text.len() > 1100 && !reliable && !party.secure {
            misused!("the text is too long for UDP; use --transport tcp or tls");
        }
        let mut way = self.way.prepare(&party, "message", None)?;
        let from = from_of(self.from.as_deref())?;
        way.account = self.way.account(from.0.user.as_deref())?;
        let mut request = Request::message(&from.0.uri(false), &party.uri(true), &text);
        self.way.direct(&mut request, &party)?;
        let call_id = request.call_id.clone().unwrap_or_default();
        let told = uac::run(&way, request, Duration::ZERO, &mut |_, _| {})?;
        Ok(self.way.report(&way, &call_id, &told, |_| (Value::Null, String::new())))
    }
}

/// A q of RFC 3261 section 25.1.
fn preference(text: &str) -> Result<f32, String> {
    let q = text.parse::<f32>().ok().filter(|q| (0.0..=1.0).contains(q));
    q.ok_or_else(|| "write a number from 0 to 1".to_owned())
}

struct From(Party);

/// Who asks; where nobody is named, somebody with no name and of no domain, least of all of that of
/// the server that is asked (RFC 3261 section 8.1.1.3).
fn from_of(named: Option<&str>) -> Result<From> {
    Party::parse(named.unwrap_or("anonymous@anonymous.invalid")).map(From)
}
