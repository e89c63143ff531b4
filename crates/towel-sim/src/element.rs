//! The servers of a flow: `towel-core`'s server with the Guide's extensions, set by the flow's own
//! `key = value` lines.

use std::net::SocketAddr;
use std::time::Duration;

use towel_core::auth::User;
use towel_core::b2bua::{self, B2bua};
use towel_core::contract::{Registry, audit};
use towel_core::io::{Listener, ListenerId, Transport};
use towel_core::proxy::Forking;
use towel_core::registrar::Durability;
use towel_core::server::{Endpoint, Mode, Network, Relay};
use towel_core::settings::Settings;
use towel_core::shards::Several;
use towel_message::{Fault, Index, Limits, Message, Name};

use crate::caller::{Caller, Script};
use crate::controller::{self, Controller};
use crate::flow::{FlowError, ServerSpec};
use crate::phone::{Phone, Plan};
use crate::run::{Built, Factory};

/// Makes a registry: with what extensions a server is put together.
pub type Extensions = fn() -> Registry;

/// The usual factory.
#[derive(Clone, Copy)]
pub struct Elements {
    extensions: Extensions,
    phone: Extensions,
    caller: Extensions,
    b2bua: Extensions,
    /// How many shards a server has whose flow does not say.
    shards: u8,
}

impl Default for Elements {
    fn default() -> Self {
        Elements {
            extensions: towel_guide::server,
            phone: towel_guide::user_agent_without_dialogs,
            caller: towel_guide::user_agent,
            b2bua: towel_guide::b2bua,
            shards: 1,
        }
    }
}

impl Elements {
    /// Servers with these extensions.
    pub fn with(extensions: Extensions) -> Self {
        Elements { extensions, phone: extensions, caller: extensions, b2bua: extensions, shards: 1 }
    }

    /// The same with servers of so many shards ([`Several`]).
    pub fn in_shards(self, shards: u8) -> Self {
        Elements { shards, ..self }
    }
}

impl Factory for Elements {
    fn server(&self, spec: &ServerSpec) -> Result<Built, FlowError> {
        let mut wanted = Wanted { shards: self.shards, ..Wanted::default() };
        for (line, key, value) in &spec.settings {
            let outcome = wanted.set(key, value);
            outcome.map_err(|what| FlowError { line: *line, what })?;
        }
        let extensions = match (&wanted.phone, &wanted.caller, &wanted.b2bua) {
            (_, Some(_), _) => self.caller,
            (_, _, Some(_)) => self.b2bua,
            _ if wanted.controller.is_some() => self.b2bua,
            (Some(_), None, _) => self.phone,
            (None, None, None) => self.extensions,
        };
        let mut registry = extensions();
        wanted.configure(spec, &mut registry)?;
        let realm = wanted.settings.server.domains.first().cloned();
        let realm = realm.unwrap_or_else(|| spec.addresses[0].to_string());
        let records = wanted
            .users
            .iter()
            .map(|(name, password)| User::new(name, &realm, password).record())
            .collect();
        // What its store keeps on a real machine: with the same secret after a restart, it knows
        // its own Record-Route again.
        let mut secret = [0; 16];
        for (to, byte) in secret.iter_mut().zip(spec.name.bytes().cycle()) {
            *to = byte;
        }
        wanted.settings.server.secret = Some(secret);
        let listeners = listeners(spec, &wanted.listen);
        let names = wanted.settings.server.domains.clone();
        let spec = spec.clone();
        let settings = wanted.settings.clone();
        let again = Some(Box::new(settings.clone()));
        let maker = Box::new(move |seed: u64| {
            let registry = || {
                let mut registry = extensions();
                // It was tried above, so it cannot fail here.
                let _ = wanted.configure(&spec, &mut registry);
                registry
            };
            let mut long = [0; 32];
            for (at, byte) in long.iter_mut().enumerate() {
                *byte = (seed.rotate_left(at as u32 * 7) ^ at as u64) as u8;
            }
            if let Some(script) = &wanted.caller {
                let caller = Caller::new(&settings, registry(), long, script.clone());
                return Box::new(caller) as Box<dyn towel_core::io::Machine>;
            }
            if let Some(script) = &wanted.controller {
                let controller = Controller::new(&settings, registry(), long, script.clone());
                return Box::new(controller) as Box<dyn towel_core::io::Machine>;
            }
            if let Some(across) = &wanted.b2bua {
                let across = B2bua::new(&settings, across.clone(), registry(), long);
                return Box::new(across) as Box<dyn towel_core::io::Machine>;
            }
            match &wanted.phone {
                Some(plan) => Box::new(Phone::new(&settings, registry(), long, plan.clone()))
                    as Box<dyn towel_core::io::Machine>,
                None if wanted.shards > 1 => {
                    let registries = (0..wanted.shards).map(|_| registry());
                    Box::new(Several::new(&settings, registries, long))
                }
                None => Box::new(Endpoint::new(settings.clone(), registry(), long)),
            }
        });
        Ok(Built { listeners, names, maker, records, settings: again })
    }

    fn audit(&self, bytes: &[u8], stream: bool) -> Vec<String> {
        let registry = (self.extensions)();
        let mut index = Index::new();
        match Message::parse(bytes, &mut index, &Limits::default()) {
            Ok(message) => {
                let tables = audit::audit(&registry, &message, stream);
                // A response repeats the fields of its request as they came (RFC 3261 section
                // 8.2.6.2), well formed or not.
                let repeated = |fault: &Fault| {
                    !message.is_request()
                        && fault.field.is_some_and(|name| REPEATED.contains(&name))
                };
                let fault = towel_message::check(&message).err().filter(|fault| !repeated(fault));
                let fault = fault.or_else(|| towel_message::check_contacts(&message).err());
                let malformed = fault.map(|fault| format!("cannot be understood: {fault}"));
                tables.iter().map(ToString::to_string).chain(malformed).collect()
            }
            Err(_) if bytes.iter().all(|b| b"\r\n".contains(b)) => Vec::new(),
            Err(error) => vec![format!("cannot be parsed: {error:?}")],
        }
    }
}

/// What a response has of its request.
const REPEATED: [Name; 5] = [Name::Via, Name::From, Name::To, Name::CallId, Name::CSeq];

/// Every combination of address and transport that a server listens on.
fn listeners(spec: &ServerSpec, transports: &[Transport]) -> Vec<Listener> {
    let mut all = Vec::new();
    for address in &spec.addresses {
        for transport in transports {
            let id = ListenerId(all.len() as u16);
            let local = SocketAddr::new(*address, transport.default_port());
            all.push(Listener { id, transport: *transport, local, advertised: None });
        }
    }
    all
}

/// What a flow's settings ask for.
#[derive(Clone)]
struct Wanted {
    settings: Settings,
    users: Vec<(String, String)>,
    listen: Vec<Transport>,
    extensions: Vec<(String, String, String)>,
    /// It is no server but our user agent client.
    phone: Option<Plan>,
    /// Or our user agent.
    caller: Option<Script>,
    /// Or our back-to-back user agent.
    b2bua: Option<b2bua::Settings>,
    /// Or our controller of third party call control.
    controller: Option<controller::Script>,
    /// How many shards the server has.
    shards: u8,
}

impl Default for Wanted {
    fn default() -> Self {
        Wanted {
            settings: Settings::default(),
            users: Vec::new(),
            listen: vec![Transport::Udp, Transport::Tcp, Transport::Tls],
            extensions: Vec::new(),
            phone: None,
            caller: None,
            b2bua: None,
            controller: None,
            shards: 1,
        }
    }
}

fn list(value: &str) -> impl Iterator<Item = &str> {
    value.split(',').map(str::trim).filter(|item| !item.is_empty())
}

fn flag(value: &str) -> Result<bool, String> {
    match value {
        "yes" | "true" | "on" => Ok(true),
        "no" | "false" | "off" => Ok(false),
        _ => Err(format!("yes or no, not {value}")),
    }
}

fn number<T: std::str::FromStr>(value: &str) -> Result<T, String> {
    value.parse().map_err(|_| format!("not a number: {value}"))
}

fn span(value: &str) -> Result<Duration, String> {
    let micros = crate::flow::duration(value).ok_or_else(|| format!("not a time: {value}"))?;
    Ok(Duration::from_micros(micros))
}

fn networks(value: &str) -> Result<Vec<Network>, String> {
    list(value)
        .map(|item| {
            let (address, prefix) = item.split_once('/').unwrap_or((item, "128"));
            let address = address.parse().map_err(|_| format!("not a network: {item}"))?;
            Ok(Network { address, prefix: number(prefix)? })
        })
        .collect()
}

impl Wanted {
    fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        if key == "user-agent" {
            self.caller = Some(Script::default());
        }
        if let Some(outcome) = self.caller.as_mut().and_then(|caller| caller.set(key, value)) {
            return outcome;
        }
        if key == "controller" {
            self.controller = Some(controller::Script::default());
        }
        if let Some(outcome) = self.controller.as_mut().and_then(|one| one.set(key, value)) {
            return outcome;
        }
        if key == "b2bua" {
            let everybody = |address: &str| Network {
                address: address.parse().unwrap_or(std::net::IpAddr::from([0, 0, 0, 0])),
                prefix: 0,
            };
            let peers = ["0.0.0.0", "::"].map(everybody).to_vec();
            let next_hop = value.to_owned();
            self.b2bua = Some(b2bua::Settings { next_hop, peers, ..b2bua::Settings::default() });
            return Ok(());
        }
        if let Some(across) = &mut self.b2bua {
            match key {
                "peers" => across.peers = networks(value)?,
                "names" => across.names = list(value).map(Into::into).collect(),
                "calls" => across.max_calls = number(value)?,
                "ringing" => across.ringing = span(value)?,
                "hide" => across.hide = flag(value)?,
                "session_ids" => across.session_ids = flag(value)?,
                _ => return self.set_server(key, value),
            }
            return Ok(());
        }
        if let ("phone" | "proxy" | "password" | "ask" | "rings" | "tells", value) =
            (key, value.to_owned())
        {
            let plan = self.phone.get_or_insert_default();
            match key {
                "phone" => plan.address = value,
                "proxy" => plan.proxy = Some(value),
                "password" => plan.password = Some(value),
                "rings" => plan.rings = flag(&value)?,
                "tells" => plan.tells = Some(value),
                _ => plan.ask(&value)?,
            }
            return Ok(());
        }
        self.set_server(key, value)
    }

    fn set_server(&mut self, key: &str, value: &str) -> Result<(), String> {
        let server = &mut self.settings.server;
        let proxy = &mut self.settings.proxy;
        let registrar = &mut self.settings.registrar;
        if let Some(user) = key.strip_prefix("user ") {
            self.users.push((user.trim().into(), value.into()));
            return Ok(());
        }
        if let Some((extension, key)) = key.split_once('.') {
            self.extensions.push((extension.into(), key.into(), value.into()));
            return Ok(());
        }
        match key {
            "domains" => server.domains = list(value).map(Into::into).collect(),
            "aliases" => server.aliases = list(value).map(Into::into).collect(),
            "authenticate" => {
                server.authenticate = flag(value)?;
                server.authenticate_register = server.authenticate;
            }
            "authenticate_register" => server.authenticate_register = flag(value)?,
            "server" => server.server = value.into(),
            "trusted" => server.trusted.extend(networks(value)?),
            "relay" => {
                server.relay = match value {
                    "users" => Relay::Users,
                    "nobody" => Relay::Nobody,
                    "anybody" => Relay::Anybody,
                    _ => return Err("users, nobody or anybody".into()),
                }
            }
            "mode" => {
                server.mode = match value {
                    "stateful" => Mode::Stateful,
                    "stateless" => Mode::Stateless,
                    "redirect" => Mode::Redirect,
                    _ => return Err("stateful, stateless or redirect".into()),
                }
            }
            "forking" => {
                proxy.forking = match value {
                    "by-q" => Forking::ByQ,
                    "parallel" => Forking::Parallel,
                    "sequential" => Forking::Sequential,
                    _ => return Err("by-q, parallel or sequential".into()),
                }
            }
            "recurse" => proxy.recurse = flag(value)?,
            "record_route" => proxy.record_route = flag(value)?,
            "timer_c" => proxy.timer_c = span(value)?,
            "ring" => proxy.ring = Some(span(value)?),
            "max_forwards" => proxy.max_forwards = number(value)?,
            "max_breadth" => proxy.max_breadth = number(value)?,
            "max_targets" => proxy.max_targets = number(value)?,
            "max_calls" => proxy.max_contexts = number(value)?,
            "min_expires" => registrar.min_expires = number(value)?,
            "default_expires" => registrar.default_expires = number(value)?,
            "max_expires" => registrar.max_expires = number(value)?,
            "shards" => self.shards = number(value)?,
            "max_contacts" => registrar.max_contacts = number(value)?,
            "third_party" => registrar.third_party = list(value).map(Into::into).collect(),
            "durability" => {
                registrar.durability = match value {
                    "before-answer" => Durability::BeforeAnswer,
                    "soon" => Durability::Soon,
                    "memory" => Durability::Memory,
                    _ => return Err("before-answer, soon or memory".into()),
                }
            }
            "nonce_lifetime" => self.settings.auth.nonce_lifetime = number(value)?,
            "neighbours" => self.settings.overload.neighbours = networks(value)?,
            "max_transactions" => self.settings.transaction.max = number(value)?,
            "max_udp_request" => self.settings.transport.max_udp_request = number(value)?,
            "listen" => {
                self.listen.clear();
                for word in list(value) {
                    let transport = Transport::from_token(word.as_bytes());
                    self.listen.push(transport.ok_or_else(|| format!("no transport {word}"))?);
                }
            }
            _ => return Err(format!("a server has no setting {key}")),
        }
        Ok(())
    }

    fn configure(&self, spec: &ServerSpec, registry: &mut Registry) -> Result<(), FlowError> {
        let mut ids: Vec<&str> = self.extensions.iter().map(|(id, _, _)| id.as_str()).collect();
        ids.dedup();
        for id in ids {
            let entries: Vec<(&str, &str)> = self
                .extensions
                .iter()
                .filter(|(of, _, _)| of == id)
                .map(|(_, key, value)| (key.as_str(), value.as_str()))
                .collect();
            registry
                .configure(id, &entries)
                .map_err(|fault| FlowError { line: spec.line, what: format!("{id}: {fault}") })?;
        }
        Ok(())
    }
}
