//! From the configuration to the settings of the core and of the driver.

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use towel_core::auth::Algorithm;
use towel_core::io::{Level, Transport};
use towel_core::settings::Settings;
use towel_core::{proxy, registrar, server};
use towel_net::{Bind, ResolverConfig, TlsConfig};

use crate::config::{
    Config, DigestAlgorithm, Durability, Forking, Listen, ListenTransport, LogLevel, Network,
    ProxyMode, Relay,
};

/// The settings of the core.
pub fn core(config: &Config, secret: [u8; 16]) -> Settings {
    let mut all = Settings::default();
    let limits = &config.limits;

    all.transport.max_udp_request = config.transport.mtu_switch;
    all.transport.idle = config.transport.idle;
    all.transport.partial = config.transport.read;
    all.transport.max_connections = limits.connections;
    all.transport.limits.max_message = limits.message;
    all.transport.limits.max_fields = limits.header_fields;
    all.transport.limits.max_field_len = limits.header_field;
    all.transport.limits.max_body = limits.body;
    all.transport.limits.max_head = all.transport.limits.max_head.min(limits.message);

    all.telling.level = match config.log.level {
        LogLevel::Error => Level::Error,
        LogLevel::Warn => Level::Warn,
        LogLevel::Info => Level::Info,
        LogLevel::Debug => Level::Debug,
    };

    all.transaction.t1 = config.timers.t1;
    all.transaction.t2 = config.timers.t2;
    all.transaction.t4 = config.timers.t4;
    all.transaction.max = limits.transactions;

    all.abuse = config.abuse.clone();
    all.abuse.exempt.extend(config.auth.trusted.iter().map(network));
    all.overload = config.overload.clone();

    all.server = server::Settings {
        domains: config.domains.clone(),
        aliases: config.aliases.clone(),
        addresses: own_addresses(),
        realm: config.realm.clone(),
        authenticate: config.auth.calls,
        authenticate_register: config.auth.register,
        known_users_only: config.register.known_users_only,
        trusted: config.auth.trusted.iter().map(network).collect(),
        relay: match config.proxy.relay {
            Relay::Users => server::Relay::Users,
            Relay::Nobody => server::Relay::Nobody,
            Relay::Anybody => server::Relay::Anybody,
        },
        mode: match config.proxy.mode {
            ProxyMode::Stateful => server::Mode::Stateful,
            ProxyMode::Stateless => server::Mode::Stateless,
            ProxyMode::Redirect => server::Mode::Redirect,
        },
        secret: Some(secret),
        server: concat!("towel/", env!("CARGO_PKG_VERSION")).to_owned(),
    };

    all.proxy = proxy::Settings {
        forking: match config.proxy.forking {
            Forking::Parallel => proxy::Forking::Parallel,
            Forking::ByQ => proxy::Forking::ByQ,
            Forking::Sequential => proxy::Forking::Sequential,
        },
        recurse: config.proxy.recurse,
        record_route: config.proxy.record_route,
        timer_c: config.timers.timer_c,
        ring: Some(config.timers.serial_ring),
        max_forwards: config.proxy.max_forwards,
        max_breadth: config.proxy.max_breadth,
        max_targets: limits.branches,
        max_contexts: (limits.transactions / 2).max(1),
    };

    all.registrar = registrar::Settings {
        min_expires: seconds(config.register.min_expires),
        default_expires: seconds(config.register.default_expires),
        max_expires: seconds(config.register.max_expires),
        max_contacts: config.register.contacts,
        max_records: limits.bindings,
        durability: match config.durability {
            Durability::BeforeAnswer => registrar::Durability::BeforeAnswer,
            Durability::Soon => registrar::Durability::Soon,
            Durability::Memory => registrar::Durability::Memory,
        },
        third_party: config.auth.third_party.clone(),
        // With nobody having proved anything, From is no more than a claim like any other.
        open_third_party: !config.auth.register,
        ..registrar::Settings::default()
    };

    all.locating.block_time = config.dns.blocklist;
    all.locating.lookup_time = config.dns.deadline;
    all.locating.query_time = config.dns.deadline;
    all.locating.hurry_after = config.dns.deadline / 5;

    all.auth.algorithms = config
        .auth
        .algorithms
        .iter()
        .map(|algorithm| match algorithm {
            DigestAlgorithm::Sha256 => Algorithm::Sha256,
            DigestAlgorithm::Sha512_256 => Algorithm::Sha512_256,
            DigestAlgorithm::Md5 => Algorithm::Md5,
        })
        .collect();
    all.auth.md5_only.clone_from(&config.auth.md5_only);
    all.auth.nonce_lifetime = seconds(config.auth.nonce_lifetime);
    all.auth.integrity = config.auth.auth_int;
    all.auth.authentication_info = config.auth.authentication_info;
    all
}

fn seconds(time: Duration) -> u32 {
    u32::try_from(time.as_secs()).unwrap_or(u32::MAX)
}

fn network(network: &Network) -> server::Network {
    server::Network { address: network.address, prefix: network.prefix }
}

/// The listeners of a configuration: its own, or the usual ones.
pub fn listeners(config: &Config) -> Vec<Listen> {
    if !config.listen.is_empty() {
        return config.listen.clone();
    }
    let mut all = Vec::new();
    let mut addresses = vec![IpAddr::from([0, 0, 0, 0])];
    // A machine without IPv6 has no such socket at all.
    if std::net::UdpSocket::bind("[::1]:0").is_ok() {
        addresses.push(IpAddr::from([0u16; 8]));
    }
    for address in addresses {
        for transport in [ListenTransport::Udp, ListenTransport::Tcp, ListenTransport::Tls] {
            all.push(Listen {
                transport,
                address,
                port: transport.default_port(),
                advertise: None,
                advertise_port: None,
            });
        }
    }
    all
}

/// What the driver is to bind.
pub fn bind(listen: &Listen) -> Bind {
    let transport = match listen.transport {
        ListenTransport::Udp => Transport::Udp,
        ListenTransport::Tcp => Transport::Tcp,
        ListenTransport::Tls => Transport::Tls,
    };
    let advertised = match (&listen.advertise, listen.advertise_port) {
        (None, None) => None,
        (host, port) => Some((
            host.clone().unwrap_or_else(|| match listen.address {
                IpAddr::V4(address) => address.to_string(),
                IpAddr::V6(address) => format!("[{address}]"),
            }),
            port.unwrap_or(listen.port),
        )),
    };
    Bind { transport, addr: listen.socket(), advertised }
}

/// The driver's configuration, but for TLS.
pub fn driver(config: &Config) -> towel_net::Config {
    let mut net = towel_net::Config::new(listeners(config).iter().map(bind).collect());
    net.limits.max_connections = config.limits.connections;
    net.limits.max_connections_per_address = config.limits.connections_per_address;
    net.limits.max_queue = config.limits.send_queue;
    net.limits.connect_time = config.transport.connect;
    net.limits.handshake_time = config.transport.connect;
    net.limits.idle_time = config.transport.idle;
    net.resolver = Some(ResolverConfig {
        servers: config.dns.servers.clone(),
        timeout: config.dns.timeout,
        ..ResolverConfig::default()
    });
    net
}

/// Where Debian, Fedora and others keep the authorities that the system trusts.
const SYSTEM_AUTHORITIES: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// The file of the authorities that the system trusts, if there is one where it is usual.
pub fn system_authorities() -> Option<&'static Path> {
    SYSTEM_AUTHORITIES.iter().map(Path::new).find(|path| path.exists())
}

/// The TLS material: the configured certificate, or the one that towel made for itself.
pub fn tls(config: &Config) -> Result<TlsConfig, String> {
    let (certificate, key) = match (&config.tls.certificate, &config.tls.key) {
        (Some(certificate), Some(key)) => (certificate.clone(), key.clone()),
        _ => {
            let files = crate::certificate::of(&config.data, &config.domains, &own_addresses())
                .map_err(|e| format!("the certificate in {}: {e}", config.data.display()))?;
            (files.certificate, files.key)
        }
    };
    let read = |path: &Path| std::fs::read(path).map_err(|e| format!("{}: {e}", path.display()));
    let mut tls = TlsConfig {
        certificate: Some((read(&certificate)?, read(&key)?)),
        authorities: Vec::new(),
        trust_anyone: config.tls.accept_unverified_servers,
    };
    if let Some(path) = config.tls.ca.as_deref().or(system_authorities()) {
        tls.add_authorities(path).map_err(|e| e.to_string())?;
    }
    Ok(tls)
}

/// The addresses of this machine that others can reach, the loopback ones last.
pub fn own_addresses() -> Vec<IpAddr> {
    let mut all: Vec<IpAddr> = Vec::new();
    if let Ok(interfaces) = nix::ifaddrs::getifaddrs() {
        for interface in interfaces {
            let Some(storage) = interface.address else { continue };
            let address = storage
                .as_sockaddr_in()
                .map(|a| IpAddr::V4(a.ip()))
                .or_else(|| storage.as_sockaddr_in6().map(|a| IpAddr::V6(a.ip())));
            // A link-local address means nothing without its interface.
            let local = |a: &IpAddr| matches!(a, IpAddr::V6(a) if a.is_unicast_link_local());
            if let Some(address) = address.filter(|a| !local(a) && !all.contains(a)) {
                all.push(address);
            }
        }
    }
    all.sort_by_key(|a| (a.is_loopback(), a.is_ipv6()));
    all
}
