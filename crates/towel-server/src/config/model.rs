//! The configuration as values, with the defaults that hold when nothing is configured.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// All that can be set. [`Config::default`] is what an empty file means.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The folder in which towel keeps its data.
    pub data: PathBuf,
    /// Domains served; the server's own addresses are always domains too.
    pub domains: Vec<String>,
    /// Other names of the first domain.
    pub aliases: Vec<String>,
    /// The realm of digest challenges, for every domain; `None`: the domain itself.
    pub realm: Option<String>,
    /// When a binding is durable.
    pub durability: Durability,
    /// Where to listen; empty: the default listeners.
    pub listen: Vec<Listen>,
    /// Certificate, key and trusted authorities.
    pub tls: Tls,
    /// Users written in the file.
    pub users: Vec<ConfiguredUser>,
    /// Files of users.
    pub user_files: Vec<PathBuf>,
    /// What the registrar allows.
    pub register: Register,
    /// Who is challenged.
    pub auth: Auth,
    /// Timers of RFC 3261.
    pub timers: Timers,
    /// Bounds.
    pub limits: Limits,
    /// Limits of what a source may do, and what becomes of those who overdo it.
    pub abuse: towel_core::abuse::Settings,
    /// What is refused where there is too much.
    pub overload: towel_core::overload::Settings,
    /// How requests are forwarded.
    pub proxy: Proxy,
    /// Name resolution.
    pub dns: Dns,
    /// The HTTP port.
    pub http: Http,
    /// The log.
    pub log: Log,
    /// The trace of recent messages.
    pub trace: Trace,
    /// Connections.
    pub transport: TransportSettings,
    /// Settings of the Guide's entries.
    pub extensions: Vec<ExtensionTable>,
}

/// When the answer to a REGISTER may leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// After the binding is on disk.
    BeforeAnswer,
    /// At once; the binding reaches the disk shortly after.
    Soon,
    /// At once; the binding is never written.
    Memory,
}

/// A transport that can be listened on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ListenTransport {
    /// UDP.
    Udp,
    /// TCP.
    Tcp,
    /// TLS over TCP.
    Tls,
}

impl ListenTransport {
    /// The word of the configuration, which is the URI parameter's too.
    pub fn word(self) -> &'static str {
        match self {
            ListenTransport::Udp => "udp",
            ListenTransport::Tcp => "tcp",
            ListenTransport::Tls => "tls",
        }
    }

    /// RFC 3261 section 19.1.2.
    pub fn default_port(self) -> u16 {
        match self {
            ListenTransport::Tls => 5061,
            _ => 5060,
        }
    }
}

/// One listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// The transport.
    pub transport: ListenTransport,
    /// The address to bind.
    pub address: IpAddr,
    /// The port to bind; 0 lets the system choose.
    pub port: u16,
    /// What peers are told (Via, Record-Route) in place of the bound address.
    pub advertise: Option<String>,
    /// What peers are told in place of the bound port.
    pub advertise_port: Option<u16>,
}

impl Listen {
    /// The address to bind.
    pub fn socket(&self) -> SocketAddr {
        SocketAddr::new(self.address, self.port)
    }
}

/// TLS material. Without a certificate towel makes one for itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tls {
    /// PEM file with the certificate and its chain.
    pub certificate: Option<PathBuf>,
    /// PEM file with the private key.
    pub key: Option<PathBuf>,
    /// PEM file with the authorities that peers' certificates are checked against.
    pub ca: Option<PathBuf>,
    /// Ask clients for a certificate (never required, RFC 3261 section 26.3.1 has digest for them).
    pub request_client_certificate: bool,
    /// Connect to servers whose certificate cannot be verified.
    pub accept_unverified_servers: bool,
}

/// A user with a password, or with the hashes that stand for it.
#[derive(Clone, PartialEq, Eq)]
pub struct ConfiguredUser {
    /// The user part.
    pub name: String,
    /// The domain; `None`: the first of [`Config::domains`].
    pub domain: Option<String>,
    /// The password.
    pub password: String,
}

impl std::fmt::Debug for ConfiguredUser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A password must not reach a log by way of a debug print.
        f.debug_struct("ConfiguredUser")
            .field("name", &self.name)
            .field("domain", &self.domain)
            .finish_non_exhaustive()
    }
}

/// What the registrar allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Register {
    /// A shorter expiry is refused with 423.
    pub min_expires: Duration,
    /// Where the request names none.
    pub default_expires: Duration,
    /// A longer expiry is shortened to this.
    pub max_expires: Duration,
    /// Bindings of one address of record.
    pub contacts: usize,
    /// Only users that exist may be registered.
    pub known_users_only: bool,
}

/// A digest algorithm (RFC 8760).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DigestAlgorithm {
    /// SHA-256.
    Sha256,
    /// SHA-512-256.
    Sha512_256,
    /// MD5.
    Md5,
}

/// Addresses with a prefix length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    /// The address.
    pub address: IpAddr,
    /// How many leading bits count.
    pub prefix: u8,
}

impl Network {
    /// Reads `192.0.2.0/24`, `2001:db8::/32` or a lone address.
    pub fn parse(text: &str) -> Option<Network> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix.parse::<u8>().ok()?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.unwrap_or(bits);
        (prefix <= bits).then_some(Network { address, prefix })
    }

    /// Whether `address` lies in the network.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(net), IpAddr::V4(it)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.prefix)).unwrap_or(0);
                u32::from(net) & mask == u32::from(it) & mask
            }
            (IpAddr::V6(net), IpAddr::V6(it)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.prefix)).unwrap_or(0);
                u128::from(net) & mask == u128::from(it) & mask
            }
            _ => false,
        }
    }
}

/// Who is challenged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Auth {
    /// Challenge REGISTER.
    pub register: bool,
    /// Challenge requests that claim to come from our domains.
    pub calls: bool,
    /// Offered in this order.
    pub algorithms: Vec<DigestAlgorithm>,
    /// How the User-Agent of phones begins that are offered MD5 alone.
    pub md5_only: Vec<String>,
    /// Offer `auth-int` besides `auth`.
    pub auth_int: bool,
    /// Prove in the 200 to a REGISTER that the server knows the password as well (RFC 7616 section
    /// 3.5).
    pub authentication_info: bool,
    /// How long a nonce is good.
    pub nonce_lifetime: Duration,
    /// Networks whose requests are never challenged, and from which we relay to anywhere.
    pub trusted: Vec<Network>,
    /// Users who may register contacts for others (RFC 3261 section 10.3 step 4).
    pub third_party: Vec<String>,
}

/// Timers of RFC 3261 table 4.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timers {
    /// Round trip estimate.
    pub t1: Duration,
    /// Longest interval between retransmissions of non-INVITE requests and INVITE responses.
    pub t2: Duration,
    /// How long a message stays in the network.
    pub t4: Duration,
    /// How long a proxy waits for a final response to INVITE.
    pub timer_c: Duration,
    /// How long a contact may ring before a proxy that forks in sequence tries the next.
    pub serial_ring: Duration,
}

/// Bounds on all that a peer can make grow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a message.
    pub message: usize,
    /// Header fields of a message.
    pub header_fields: usize,
    /// Bytes of one header field.
    pub header_field: usize,
    /// Bytes of a body.
    pub body: usize,
    /// Transactions at a time.
    pub transactions: usize,
    /// Connections at a time.
    pub connections: usize,
    /// Connections of one remote address at a time.
    pub connections_per_address: usize,
    /// Bytes waiting to be sent on one connection.
    pub send_queue: usize,
    /// Bindings in all.
    pub bindings: usize,
    /// Users in all.
    pub users: usize,
    /// Branches of one request.
    pub branches: usize,
    /// How often within ten minutes the core is made anew after a fault of its own.
    pub failures: usize,
}

/// How a request is forwarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyMode {
    /// With transactions.
    Stateful,
    /// Without (RFC 3261 section 16.11).
    Stateless,
    /// Not at all: 302 with the contacts.
    Redirect,
}

/// The order in which several contacts are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forking {
    /// All at once.
    Parallel,
    /// Groups of equal q, highest first.
    ByQ,
    /// One after the other, highest q first.
    Sequential,
}

/// For whom requests are relayed to domains that are not ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relay {
    /// For those who proved that they are users of ours, and for trusted networks.
    Users,
    /// For nobody.
    Nobody,
    /// For everybody: an open relay, for closed networks only.
    Anybody,
}

/// How requests are forwarded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxy {
    /// Stateful, stateless or redirecting.
    pub mode: ProxyMode,
    /// The order of contacts.
    pub forking: Forking,
    /// Try the contacts of a 3xx ourselves.
    pub recurse: bool,
    /// Stay on the path of the dialog.
    pub record_route: bool,
    /// For whom requests are relayed to other domains.
    pub relay: Relay,
    /// Max-Breadth of a request that carries none (RFC 5393 section 5.3.3).
    pub max_breadth: u32,
    /// Max-Forwards of a request that carries none.
    pub max_forwards: u32,
}

/// Name resolution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dns {
    /// Name servers; empty: those of the system.
    pub servers: Vec<SocketAddr>,
    /// How long one question to one server may take.
    pub timeout: Duration,
    /// How long finding a domain's servers may take, all questions together.
    pub deadline: Duration,
    /// How long a destination that failed is passed over.
    pub blocklist: Duration,
}

/// The HTTP port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Http {
    /// Whether there is one.
    pub enabled: bool,
    /// Where.
    pub address: SocketAddr,
    /// The credential that requests must carry; needed beyond loopback.
    pub token: Option<String>,
}

/// How much is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// What went wrong.
    Error,
    /// What may be wrong.
    Warn,
    /// What happens: registrations, calls, changes.
    Info,
    /// Every event of the core.
    Debug,
}

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// A JSON object a line.
    Json,
}

/// The log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Log {
    /// How much.
    pub level: LogLevel,
    /// In what form.
    pub format: LogFormat,
}

/// The trace of recent messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trace {
    /// Whether messages are kept from the start; it can be switched while running.
    pub enabled: bool,
    /// How many messages are kept.
    pub messages: usize,
    /// How many bytes all of them may take.
    pub bytes: usize,
}

/// Connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransportSettings {
    /// How many shards there are, each on a thread of its own.
    pub threads: u8,
    /// A connection with nothing to do is closed after this.
    pub idle: Duration,
    /// A connection must be made, and its TLS handshake done, within this.
    pub connect: Duration,
    /// When the server is stopped, requests that are under way may take this long to be answered.
    pub drain: Duration,
    /// When another process takes over, requests that are under way and connections may stay with
    /// this one so long.
    pub hand_over: Duration,
    /// A message that has begun to arrive must be whole within this.
    pub read: Duration,
    /// A request above this many bytes leaves UDP for TCP (RFC 3261 section 18.1.1).
    pub mtu_switch: usize,
}

/// The table of one of the Guide's entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtensionTable {
    /// The entry's id.
    pub id: String,
    /// Keys and values as written; an array is its key repeated.
    pub entries: Vec<(String, String)>,
}

fn network(address: IpAddr, prefix: u8) -> towel_core::server::Network {
    towel_core::server::Network { address, prefix }
}

const LOCALHOST: std::net::Ipv6Addr = std::net::Ipv6Addr::LOCALHOST;

impl Default for Config {
    fn default() -> Self {
        Config {
            data: PathBuf::from("towel-data"),
            domains: Vec::new(),
            aliases: Vec::new(),
            realm: None,
            durability: Durability::BeforeAnswer,
            listen: Vec::new(),
            tls: Tls::default(),
            users: Vec::new(),
            user_files: Vec::new(),
            register: Register {
                min_expires: Duration::from_secs(60),
                default_expires: Duration::from_secs(3600),
                max_expires: Duration::from_secs(86400),
                contacts: 10,
                known_users_only: true,
            },
            auth: Auth {
                register: true,
                calls: true,
                algorithms: vec![
                    DigestAlgorithm::Sha256,
                    DigestAlgorithm::Sha512_256,
                    DigestAlgorithm::Md5,
                ],
                md5_only: towel_core::auth::Settings::default().md5_only,
                auth_int: true,
                authentication_info: false,
                nonce_lifetime: Duration::from_secs(300),
                trusted: Vec::new(),
                third_party: Vec::new(),
            },
            timers: Timers {
                t1: Duration::from_millis(500),
                t2: Duration::from_secs(4),
                t4: Duration::from_secs(5),
                // Section 16.6 step 11: larger than three minutes.
                timer_c: Duration::from_secs(185),
                serial_ring: Duration::from_secs(20),
            },
            limits: Limits {
                message: 65_536,
                header_fields: 256,
                // Section 18.1.1: whatever fits a datagram can be handled, one long field as well.
                header_field: 65_536,
                body: 65_536,
                transactions: 1_000_000,
                connections: 50_000,
                connections_per_address: 1_000,
                send_queue: 1 << 20,
                bindings: 2_000_000,
                users: 2_000_000,
                branches: 16,
                failures: 5,
            },
            abuse: towel_core::abuse::Settings {
                // What an office behind one address stays below even when all its phones come at once.
                rate_register: 200,
                rate_invite: 200,
                rate_methods: [("OPTIONS", 100), ("SUBSCRIBE", 200), ("MESSAGE", 200)]
                    .map(|(method, rate)| (method.to_owned(), rate))
                    .to_vec(),
                rate_user: 100,
                strikes: 30,
                exempt: vec![network([127, 0, 0, 0].into(), 8), network(LOCALHOST.into(), 128)],
                ..towel_core::abuse::Settings::default()
            },
            overload: towel_core::overload::Settings::default(),
            proxy: Proxy {
                mode: ProxyMode::Stateful,
                forking: Forking::ByQ,
                recurse: false,
                record_route: true,
                relay: Relay::Users,
                max_breadth: 60,
                max_forwards: 70,
            },
            dns: Dns {
                servers: Vec::new(),
                timeout: Duration::from_secs(2),
                deadline: Duration::from_secs(5),
                blocklist: Duration::from_secs(30),
            },
            http: Http {
                enabled: true,
                address: SocketAddr::from(([127, 0, 0, 1], 8060)),
                token: None,
            },
            log: Log { level: LogLevel::Info, format: LogFormat::Text },
            trace: Trace { enabled: false, messages: 2000, bytes: 4 << 20 },
            transport: TransportSettings {
                threads: 1,
                idle: Duration::from_secs(3600),
                connect: Duration::from_secs(8),
                drain: Duration::from_secs(10),
                hand_over: Duration::from_secs(200),
                read: Duration::from_secs(30),
                mtu_switch: 1300,
            },
            extensions: Vec::new(),
        }
    }
}
