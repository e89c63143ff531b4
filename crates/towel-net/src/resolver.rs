//! The DNS on a thread of its own. Which questions to ask, and what to make of the answers, is the
//! core's affair (`towel_core::locating`); here they only travel.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig as Servers, ResolverOpts,
};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::{TokioResolver, system_conf};
use tokio::runtime::Builder;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use towel_core::io::QueryId;
use towel_core::locating::{Answer, Naptr, Question, QuestionKind, Records, Srv};

use crate::notice::Handle;

/// How to ask the DNS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolverConfig {
    /// The servers to ask; none takes those of /etc/resolv.conf.
    pub servers: Vec<SocketAddr>,
    /// For how long to wait for one server.
    pub timeout: Duration,
    /// How often to ask again.
    pub attempts: usize,
    /// Whether /etc/hosts is looked at first.
    pub hosts_file: bool,
    /// How many questions may be in flight; those beyond fail at once.
    pub max_questions: usize,
}

impl Default for ResolverConfig {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            timeout: Duration::from_secs(2),
            attempts: 2,
            hosts_file: true,
            max_questions: 2000,
        }
    }
}

/// A thread that asks. It ends when the last of its senders is dropped.
pub struct Resolver {
    questions: UnboundedSender<(QueryId, Question)>,
    in_flight: Arc<AtomicUsize>,
    most: usize,
    handle: Handle,
}

impl Resolver {
    /// Starts the thread; answers go to `handle`.
    pub fn start(config: &ResolverConfig, handle: Handle) -> io::Result<Self> {
        let (questions, mut asked) = unbounded_channel::<(QueryId, Question)>();
        let in_flight = Arc::new(AtomicUsize::new(0));
        let resolver =
            Self { questions, in_flight: in_flight.clone(), most: config.max_questions, handle };
        let config = config.clone();
        let handle = resolver.handle.clone();
        let runtime = Builder::new_current_thread().enable_all().build()?;
        thread::Builder::new().name("towel-dns".into()).spawn(move || {
            runtime.block_on(async move {
                let client = client(&config).map(Arc::new).ok();
                while let Some((query, question)) = asked.recv().await {
                    let (client, handle) = (client.clone(), handle.clone());
                    let in_flight = in_flight.clone();
                    tokio::spawn(async move {
                        let answer = match client {
                            Some(client) => answer(&client, &question).await,
                            None => Answer::failure(),
                        };
                        in_flight.fetch_sub(1, Ordering::Relaxed);
                        handle.resolved(query, answer);
                    });
                }
            });
        })?;
        Ok(resolver)
    }

    /// Asks. There is always an answer.
    pub fn ask(&self, query: QueryId, question: Question) {
        let flying = self.in_flight.fetch_add(1, Ordering::Relaxed);
        if flying >= self.most || self.questions.send((query, question)).is_err() {
            self.in_flight.fetch_sub(1, Ordering::Relaxed);
            self.handle.resolved(query, Answer::failure());
        }
    }
}

fn client(config: &ResolverConfig) -> Result<TokioResolver, NetError> {
    let (servers, mut options) = if config.servers.is_empty() {
        // Without servers there is still /etc/hosts, and what is numeric needs neither.
        system_conf::read_system_conf().unwrap_or_default()
    } else {
        let servers = config.servers.iter().map(|addr| server(*addr)).collect();
        (Servers::from_parts(None, Vec::new(), servers), ResolverOpts::default())
    };
    options.timeout = config.timeout;
    options.attempts = config.attempts;
    // The core keeps answers by their TTL; a second cache behind it would only be out of step.
    options.cache_size = 0;
    options.max_active_requests = 256;
    options.edns0 = true;
    options.try_tcp_on_error = true;
    options.use_hosts_file =
        if config.hosts_file { ResolveHosts::Always } else { ResolveHosts::Never };
    let mut builder = TokioResolver::builder_with_config(servers, TokioRuntimeProvider::default());
    *builder.options_mut() = options;
    builder.build()
}

fn server(addr: SocketAddr) -> NameServerConfig {
    let ip: IpAddr = addr.ip();
    let mut server = NameServerConfig::udp_and_tcp(ip);
    server.trust_negative_responses = true;
    let with_port = |mut connection: ConnectionConfig| {
        connection.port = addr.port();
        connection
    };
    server.connections =
        vec![with_port(ConnectionConfig::udp()), with_port(ConnectionConfig::tcp())];
    server
}

async fn answer(client: &TokioResolver, question: &Question) -> Answer {
    let kind = match question.kind() {
        QuestionKind::Naptr => RecordType::NAPTR,
        QuestionKind::Srv => RecordType::SRV,
        QuestionKind::A => RecordType::A,
        QuestionKind::Aaaa => RecordType::AAAA,
    };
    let Ok(mut name) = Name::from_ascii(question.name()) else { return Answer::nothing(0) };
    // A name in SIP is whole: no search list.
    name.set_fqdn(true);
    match client.lookup(name, kind).await {
        Ok(found) => records(&found, question.kind()),
        Err(NetError::Dns(DnsError::NoRecordsFound(none)))
            if matches!(none.response_code, ResponseCode::NXDomain | ResponseCode::NoError) =>
        {
            // RFC 2308 section 5: without an SOA there is no word on how long.
            Answer::nothing(none.negative_ttl.unwrap_or(30))
        }
        Err(_) => Answer::failure(),
    }
}

fn records(found: &Lookup, kind: QuestionKind) -> Answer {
    // Aliases on the way count: the chain holds no longer than its shortest link.
    let ttl = found.answers().iter().map(|r| r.ttl).min().unwrap_or(0);
    let data = found.answers().iter().map(|r| &r.data);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned().into_boxed_str();
    let records = match kind {
        QuestionKind::A => Records::A(
            data.filter_map(|d| if let RData::A(a) = d { Some(a.0) } else { None }).collect(),
        ),
        QuestionKind::Aaaa => Records::Aaaa(
            data.filter_map(|d| if let RData::AAAA(a) = d { Some(a.0) } else { None }).collect(),
        ),
        QuestionKind::Srv => Records::Srv(
            data.filter_map(|d| {
                let RData::SRV(s) = d else { return None };
                Some(Srv {
                    priority: s.priority,
                    weight: s.weight,
                    port: s.port,
                    target: s.target.to_ascii().into_boxed_str(),
                })
            })
            .collect(),
        ),
        QuestionKind::Naptr => Records::Naptr(
            data.filter_map(|d| {
                let RData::NAPTR(n) = d else { return None };
                Some(Naptr {
                    order: n.order,
                    preference: n.preference,
                    flags: text(&n.flags),
                    services: text(&n.services),
                    regexp: text(&n.regexp),
                    replacement: n.replacement.to_ascii().into_boxed_str(),
                })
            })
            .collect(),
        ),
    };
    if records.is_empty() { Answer::nothing(ttl) } else { Answer::records(records, ttl) }
}
