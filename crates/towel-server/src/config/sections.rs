//! Which key says what: one function a table of the file.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use towel_core::shards::MOST;

use super::model::*;
use super::problem::did_you_mean;
use super::read::{Section, Text};

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86400);

/// Reads the whole file into `config`.
pub(super) fn root(section: &mut Section<'_, '_>, config: &mut Config) {
    if let Some(text) = section.text("data") {
        config.data = PathBuf::from(text.value);
    }
    if let Some(texts) = section.texts("domains") {
        config.domains = domains(section, "domains", texts);
    }
    if let Some(texts) = section.texts("aliases") {
        config.aliases = domains(section, "aliases", texts);
    }
    if let Some(text) = section.text("realm") {
        if text.value.is_empty() || text.value.contains(['"', '\\', '\r', '\n']) {
            section.wrong("realm", text.span, "must not be empty nor contain quotes");
        } else {
            config.realm = Some(text.value);
        }
    }
    section.set_choice(
        "durability",
        &[
            ("before-answer", Durability::BeforeAnswer),
            ("soon", Durability::Soon),
            ("memory", Durability::Memory),
        ],
        &mut config.durability,
    );
    section.each("listen", |s| listen(s, &mut config.listen));
    section.section("tls", |s| tls(s, &mut config.tls));
    section.each("user", |s| user(s, &mut config.users));
    if let Some(texts) = section.texts("user-files") {
        config.user_files = texts.into_iter().map(|t| t.value.into()).collect();
    }
    section.section("register", |s| register(s, &mut config.register));
    section.section("auth", |s| auth(s, &mut config.auth));
    section.section("timers", |s| timers(s, &mut config.timers));
    section.section("limits", |s| limits(s, &mut config.limits));
    section.section("abuse", |s| super::guard::abuse(s, &mut config.abuse));
    section.section("overload", |s| super::guard::overload(s, &mut config.overload));
    section.section("proxy", |s| proxy(s, &mut config.proxy));
    section.section("dns", |s| dns(s, &mut config.dns));
    section.section("http", |s| http(s, &mut config.http));
    section.section("log", |s| {
        s.set_choice("level", &LEVELS, &mut config.log.level);
        s.set_choice("format", &FORMATS, &mut config.log.format);
    });
    section.section("trace", |s| {
        s.set_bool("enabled", &mut config.trace.enabled);
        s.set_number("messages", 1..=1_000_000, &mut config.trace.messages);
        s.set_number("bytes", 4096..=1 << 32, &mut config.trace.bytes);
    });
    section.section("transport", |s| transport(s, &mut config.transport));
    extensions(section, &mut config.extensions);
}

/// The words for [`LogLevel`].
pub const LEVELS: [(&str, LogLevel); 4] = [
    ("error", LogLevel::Error),
    ("warn", LogLevel::Warn),
    ("info", LogLevel::Info),
    ("debug", LogLevel::Debug),
];

/// The words for [`LogFormat`].
pub const FORMATS: [(&str, LogFormat); 2] = [("text", LogFormat::Text), ("json", LogFormat::Json)];

const TRANSPORTS: [(&str, ListenTransport); 3] =
    [("udp", ListenTransport::Udp), ("tcp", ListenTransport::Tcp), ("tls", ListenTransport::Tls)];

fn listen(s: &mut Section<'_, '_>, all: &mut Vec<Listen>) {
    let mut transport = None;
    if let Some(text) = s.text("transport") {
        transport = s.choose("transport", &text, &TRANSPORTS);
    } else if !s.is_absent() {
        let span = s.span("address");
        s.wrong("transport", span, "every listener needs a transport: udp, tcp or tls");
    }
    let mut address = None;
    if let Some(text) = s.text("address") {
        address = text.value.parse::<IpAddr>().ok();
        if address.is_none() {
            s.wrong("address", text.span, format!("`{}` is not an IP address", text.value));
        }
    }
    let port = s.number("port", 0..=65535);
    let advertise = match s.text("advertise") {
        Some(text) => host(s, "advertise", &text),
        None => None,
    };
    let advertise_port = s.number("advertise-port", 1..=65535).map(|n| n as u16);
    if let Some(transport) = transport {
        all.push(Listen {
            transport,
            address: address.unwrap_or(IpAddr::from([0, 0, 0, 0])),
            port: port.map_or(transport.default_port(), |n| n as u16),
            advertise,
            advertise_port,
        });
    }
}

fn tls(s: &mut Section<'_, '_>, tls: &mut Tls) {
    let mut path = |key, slot: &mut Option<PathBuf>| {
        if let Some(text) = s.text(key) {
            *slot = Some(text.value.into());
        }
    };
    path("certificate", &mut tls.certificate);
    path("key", &mut tls.key);
    path("ca", &mut tls.ca);
    s.set_bool("request-client-certificate", &mut tls.request_client_certificate);
    s.set_bool("accept-unverified-servers", &mut tls.accept_unverified_servers);
}

fn user(s: &mut Section<'_, '_>, users: &mut Vec<ConfiguredUser>) {
    let name = s.text("name");
    let domain = match s.text("domain") {
        Some(text) => host(s, "domain", &text),
        None => None,
    };
    let password = s.text("password");
    if s.is_absent() {
        return;
    }
    match (name, password) {
        (Some(name), Some(password)) => match user_name(&name.value) {
            Ok(()) => {
                users.push(ConfiguredUser { name: name.value, domain, password: password.value })
            }
            Err(why) => {
                s.wrong("name", name.span, why);
            }
        },
        (Some(name), None) => {
            s.wrong("password", name.span, "a user needs a password");
        }
        (None, _) => {
            let span = s.span("password");
            s.wrong("name", span, "a user needs a name");
        }
    }
}

/// Whether `name` can be a user part and the user name of a digest.
pub(crate) fn user_name(name: &str) -> Result<(), &'static str> {
    if name.is_empty() {
        Err("a user's name must not be empty")
    } else if name.len() > 128 {
        Err("a user's name must not be longer than 128 bytes")
    } else if name.chars().any(|c| {
        c.is_control() || c.is_whitespace() || matches!(c, '@' | ':' | '"' | '\\' | '<' | '>' | ',')
    }) {
        Err("a user's name must not contain blanks, quotes, commas nor any of @ : < > \\")
    } else {
        Ok(())
    }
}

fn register(s: &mut Section<'_, '_>, register: &mut Register) {
    let range = SECOND..=DAY * 3650;
    s.set_duration("min-expires", range.clone(), &mut register.min_expires);
    s.set_duration("default-expires", range.clone(), &mut register.default_expires);
    s.set_duration("max-expires", range, &mut register.max_expires);
    s.set_number("contacts", 1..=1000, &mut register.contacts);
    s.set_bool("known-users-only", &mut register.known_users_only);
}

fn auth(s: &mut Section<'_, '_>, auth: &mut Auth) {
    s.set_bool("register", &mut auth.register);
    s.set_bool("calls", &mut auth.calls);
    if let Some(texts) = s.texts("algorithms") {
        const WORDS: [(&str, DigestAlgorithm); 3] = [
            ("SHA-256", DigestAlgorithm::Sha256),
            ("SHA-512-256", DigestAlgorithm::Sha512_256),
            ("MD5", DigestAlgorithm::Md5),
        ];
        if texts.is_empty() {
            let span = s.span("algorithms");
            s.wrong("algorithms", span, "at least one algorithm is needed");
        }
        let mut algorithms = Vec::new();
        for text in texts {
            if let Some(it) = s.choose("algorithms", &text, &WORDS) {
                if algorithms.contains(&it) {
                    s.wrong("algorithms", text.span, "named twice");
                } else {
                    algorithms.push(it);
                }
            }
        }
        auth.algorithms = algorithms;
    }
    if let Some(texts) = s.texts("md5-only") {
        auth.md5_only = texts.into_iter().map(|text| text.value).collect();
    }
    s.set_bool("auth-int", &mut auth.auth_int);
    s.set_bool("authentication-info", &mut auth.authentication_info);
    s.set_duration("nonce-lifetime", SECOND..=DAY, &mut auth.nonce_lifetime);
    if let Some(texts) = s.texts("trusted") {
        auth.trusted = networks(s, "trusted", texts);
    }
    if let Some(texts) = s.texts("third-party") {
        auth.third_party.clear();
        for text in texts {
            let name = text.value.split('@').next().unwrap_or("");
            match user_name(name) {
                Ok(()) => auth.third_party.push(text.value),
                Err(why) => {
                    s.wrong("third-party", text.span, why);
                }
            }
        }
    }
}

fn timers(s: &mut Section<'_, '_>, timers: &mut Timers) {
    let ms = Duration::from_millis;
    s.set_duration("t1", ms(10)..=SECOND * 60, &mut timers.t1);
    s.set_duration("t2", ms(10)..=SECOND * 120, &mut timers.t2);
    s.set_duration("t4", ms(10)..=SECOND * 120, &mut timers.t4);
    s.set_duration("timer-c", SECOND..=DAY, &mut timers.timer_c);
    s.set_duration("serial-ring", SECOND..=SECOND * 600, &mut timers.serial_ring);
}

fn limits(s: &mut Section<'_, '_>, l: &mut Limits) {
    s.set_number("message", 1300..=1 << 24, &mut l.message);
    s.set_number("header-fields", 16..=65_536, &mut l.header_fields);
    s.set_number("header-field", 256..=1 << 20, &mut l.header_field);
    s.set_number("body", 0..=1 << 24, &mut l.body);
    s.set_number("transactions", 16..=50_000_000, &mut l.transactions);
    s.set_number("connections", 1..=5_000_000, &mut l.connections);
    s.set_number("connections-per-address", 1..=5_000_000, &mut l.connections_per_address);
    s.set_number("send-queue", 4096..=1 << 30, &mut l.send_queue);
    s.set_number("bindings", 1..=100_000_000, &mut l.bindings);
    s.set_number("users", 1..=100_000_000, &mut l.users);
    s.set_number("branches", 1..=1000, &mut l.branches);
    s.set_number("failures", 0..=1000, &mut l.failures);
}

fn proxy(s: &mut Section<'_, '_>, p: &mut Proxy) {
    s.set_choice(
        "mode",
        &[
            ("stateful", ProxyMode::Stateful),
            ("stateless", ProxyMode::Stateless),
            ("redirect", ProxyMode::Redirect),
        ],
        &mut p.mode,
    );
    s.set_choice(
        "forking",
        &[
            ("parallel", Forking::Parallel),
            ("by-q", Forking::ByQ),
            ("sequential", Forking::Sequential),
        ],
        &mut p.forking,
    );
    s.set_bool("recurse", &mut p.recurse);
    s.set_bool("record-route", &mut p.record_route);
    s.set_choice(
        "relay",
        &[("users", Relay::Users), ("nobody", Relay::Nobody), ("anybody", Relay::Anybody)],
        &mut p.relay,
    );
    s.set_number("max-breadth", 1..=1000, &mut p.max_breadth);
    s.set_number("max-forwards", 1..=255, &mut p.max_forwards);
}

fn dns(s: &mut Section<'_, '_>, dns: &mut Dns) {
    if let Some(texts) = s.texts("servers") {
        dns.servers.clear();
        for text in texts {
            match socket(&text.value, 53) {
                Some(server) => dns.servers.push(server),
                None => {
                    let message =
                        format!("`{}` is not an IP address with or without a port", text.value);
                    s.wrong("servers", text.span, message);
                }
            }
        }
    }
    s.set_duration("timeout", Duration::from_millis(100)..=SECOND * 60, &mut dns.timeout);
    s.set_duration("deadline", Duration::from_millis(100)..=SECOND * 30, &mut dns.deadline);
    s.set_duration("blocklist", Duration::ZERO..=DAY, &mut dns.blocklist);
}

fn http(s: &mut Section<'_, '_>, http: &mut Http) {
    s.set_bool("enabled", &mut http.enabled);
    if let Some(text) = s.text("address") {
        match socket(&text.value, 8060) {
            Some(address) => http.address = address,
            None => {
                let message =
                    format!("`{}` is not an IP address with or without a port", text.value);
                s.wrong("address", text.span, message);
            }
        }
    }
    if let Some(text) = s.text("token") {
        if text.value.len() < 16 {
            s.wrong("token", text.span, "must have at least 16 characters");
        } else {
            http.token = Some(text.value);
        }
    }
}

fn transport(s: &mut Section<'_, '_>, t: &mut TransportSettings) {
    s.set_number("threads", 1..=MOST as u64, &mut t.threads);
    s.set_duration("idle", SECOND..=DAY * 30, &mut t.idle);
    s.set_duration("connect", Duration::from_millis(100)..=SECOND * 120, &mut t.connect);
    s.set_duration("drain", Duration::ZERO..=SECOND * 600, &mut t.drain);
    s.set_duration("hand-over", Duration::ZERO..=SECOND * 3600, &mut t.hand_over);
    s.set_duration("read", SECOND..=SECOND * 3600, &mut t.read);
    s.set_number("mtu-switch", 500..=65_535, &mut t.mtu_switch);
}

/// The tables of the Guide's entries, which declare their keys themselves.
fn extensions(section: &mut Section<'_, '_>, all: &mut Vec<ExtensionTable>) {
    let known = towel_guide::extensions();
    let settable = || known.iter().filter(|one| !one.settings.is_empty());
    for (id, pairs) in section.free_tables("extensions") {
        let Some(extension) = settable().find(|one| one.id == id.value) else {
            let near = did_you_mean(&id.value, settable().map(|one| one.id));
            let problem = section.wrong(
                &format!("extensions.{}", id.value),
                id.span,
                "there is no entry of the Guide with this name that has settings",
            );
            problem.help = near.map(|near| format!("did you mean `{near}`?"));
            continue;
        };
        let mut entries = Vec::new();
        for (key, values) in &pairs {
            if extension.settings.iter().any(|setting| setting.key == key.value) {
                entries.extend(values.iter().map(|v| (key.value.clone(), v.value.clone())));
                continue;
            }
            let keys = || extension.settings.iter().map(|setting| setting.key);
            let help = match did_you_mean(&key.value, keys()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("known here: {}", keys().collect::<Vec<_>>().join(", ")),
            };
            section
                .wrong(
                    &format!("extensions.{}.{}", id.value, key.value),
                    key.span.clone(),
                    "unknown key",
                )
                .help = Some(help);
        }
        let lent: Vec<(&str, &str)> =
            entries.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        if let Some(configure) = extension.configure
            && let Err(fault) = configure(&lent)
        {
            let place = pairs.iter().find(|(key, _)| key.value == fault.key);
            let span = place.map_or(id.span.clone(), |(key, values)| {
                values.first().map_or(key.span.clone(), |v| v.span.clone())
            });
            let key = format!("extensions.{}.{}", id.value, fault.key);
            section.wrong(&key, span, fault.about);
        }
        all.push(ExtensionTable { id: id.value, entries });
    }
}

pub(super) fn networks(
    s: &mut Section<'_, '_>,
    key: &'static str,
    texts: Vec<Text>,
) -> Vec<Network> {
    let mut networks = Vec::new();
    for text in texts {
        match Network::parse(&text.value) {
            Some(network) => networks.push(network),
            None => {
                s.wrong(key, text.span, format!("`{}` is not a network", text.value)).help =
                    Some("write 192.0.2.0/24, 2001:db8::/32 or one address".into());
            }
        }
    }
    networks
}

fn domains(s: &mut Section<'_, '_>, key: &'static str, texts: Vec<Text>) -> Vec<String> {
    let mut domains: Vec<String> = Vec::new();
    for text in texts {
        if let Some(domain) = host(s, key, &text) {
            if domains.contains(&domain) {
                s.wrong(key, text.span, format!("`{domain}` is named twice"));
            } else {
                domains.push(domain);
            }
        }
    }
    domains
}

/// A host name or address in lower case (RFC 3261 section 25.1 `host`).
fn host(s: &mut Section<'_, '_>, key: &str, text: &Text) -> Option<String> {
    match parse_host(&text.value) {
        Ok(host) => Some(host),
        Err(why) => {
            s.wrong(key, text.span.clone(), format!("`{}` {why}", text.value));
            None
        }
    }
}

/// A host name, IPv4 address or IPv6 reference, in lower case.
pub(crate) fn parse_host(text: &str) -> Result<String, &'static str> {
    let host = text.to_ascii_lowercase();
    let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(&host);
    if let Ok(address) = bare.parse::<std::net::Ipv6Addr>() {
        return Ok(format!("[{address}]"));
    }
    if host.starts_with("sip:") || host.starts_with("sips:") {
        return Err("must be a host name, without `sip:`");
    }
    if host.contains(':') {
        return Err("must be a host name, without a port");
    }
    let label = |l: &str| {
        !l.is_empty()
            && l.len() <= 63
            && !l.starts_with('-')
            && !l.ends_with('-')
            && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    let name = host.strip_suffix('.').unwrap_or(&host);
    if name.len() <= 253 && name.split('.').all(label) {
        Ok(name.to_owned())
    } else {
        Err("is not a host name")
    }
}

/// `address` or `address:port`, `[v6]:port`.
pub(crate) fn socket(text: &str, default_port: u16) -> Option<SocketAddr> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some(address);
    }
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
    bare.parse::<IpAddr>().ok().map(|address| SocketAddr::new(address, default_port))
}
