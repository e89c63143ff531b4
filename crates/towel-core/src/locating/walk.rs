//! RFC 3263 sections 4.1, 4.2 and 5 as one function of what is known so far: it either names the
//! questions that are still open or gives the list. It is run again from the start when those are
//! answered, so that it reads in the order of the RFC and keeps no state.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use hashbrown::HashMap;

use super::Settings;
use super::address;
use super::destination::{Capabilities, Destination, Host, LocateFault, Target, Targets};
use super::dns::{Answer, Naptr, Outcome, Question, QuestionKind, Records, Srv};
use super::srv::{self, Random};
use crate::io::Transport;

/// What has been answered, for one look-up.
pub(super) type Known = HashMap<Question, Arc<Answer>>;

/// How far a look-up has come.
pub(super) enum Step {
    /// These questions are open; all of them are needed.
    Ask(Vec<Question>),
    /// The end.
    Done(Result<Targets, LocateFault>),
}

/// Stops for questions, or fails.
enum Stop {
    Ask(Vec<Question>),
    Fault(LocateFault),
}

impl From<LocateFault> for Stop {
    fn from(fault: LocateFault) -> Self {
        Self::Fault(fault)
    }
}

/// What stays the same during one look-up.
pub(super) struct Walk<'a> {
    pub(super) destination: Destination<'a>,
    pub(super) seed: u64,
    pub(super) capabilities: Capabilities,
    pub(super) settings: &'a Settings,
    pub(super) known: &'a Known,
}

impl Walk<'_> {
    pub(super) fn step(&self) -> Step {
        match self.targets() {
            Ok(targets) => Step::Done(Ok(targets)),
            Err(Stop::Ask(questions)) => Step::Ask(questions),
            Err(Stop::Fault(fault)) => Step::Done(Err(fault)),
        }
    }

    fn targets(&self) -> Result<Targets, Stop> {
        let d = &self.destination;
        // Section 4: TARGET is the maddr parameter if there is one, otherwise the host.
        let host = Host::read(d.maddr.unwrap_or(d.host)).ok_or(LocateFault::BadHost)?;
        let chosen = self.written_transport()?;

        let name = match host {
            Host::Address(ip) => return Ok(self.numeric(ip, chosen)?),
            Host::Name(name) => name,
        };
        if let Some(port) = d.port {
            // Section 4.2: with a port there is no SRV look-up, not even for 5060.
            let transport = self.usable(chosen.unwrap_or(self.default_transport()))?;
            return self.hosts(&[(name.into(), port)], transport);
        }
        match chosen {
            Some(transport) => {
                let service = service_name(transport, d.secure, name);
                match self.services(&service)? {
                    Services::Found(list) => self.found(list, transport),
                    Services::Refused => Err(LocateFault::NotOffered.into()),
                    Services::None => self.bare(name, transport),
                }
            }
            None => self.by_naptr(name),
        }
    }

    /// Section 4.1: the transport parameter, with the scheme's word on TLS.
    fn written_transport(&self) -> Result<Option<Transport>, LocateFault> {
        let secure = self.destination.secure;
        let Some(written) = self.destination.transport else { return Ok(None) };
        let transport = match (written, secure) {
            // RFC 3261 section 26.2.2: in a SIPS URI "tcp" is TLS over TCP.
            (Transport::Tcp, true) => Transport::Tls,
            (Transport::Ws, true) => Transport::Wss,
            // There is no TLS over UDP, and none of ours over SCTP.
            (Transport::Udp | Transport::Sctp, true) => return Err(LocateFault::Unsupported),
            (other, _) => other,
        };
        self.usable(transport).map(Some)
    }

    fn default_transport(&self) -> Transport {
        match (self.destination.secure, self.destination.large) {
            (true, _) => Transport::Tls,
            (false, true) => Transport::Tcp,
            (false, false) => Transport::Udp,
        }
    }

    fn usable(&self, transport: Transport) -> Result<Transport, LocateFault> {
        if self.capabilities.can_any(transport) {
            Ok(transport)
        } else {
            Err(LocateFault::Unsupported)
        }
    }

    fn numeric(&self, ip: IpAddr, chosen: Option<Transport>) -> Result<Targets, LocateFault> {
        let transport = chosen.unwrap_or(self.default_transport());
        // ::ffff:192.0.2.1 is reached over IPv4, and compares as what it is.
        let ip = ip.to_canonical();
        if !self.capabilities.can(transport, ip.is_ipv6()) {
            return Err(LocateFault::Unsupported);
        }
        if !address::is_reachable(&ip) {
            return Err(LocateFault::BadHost);
        }
        let port = self.destination.port.unwrap_or(transport.default_port());
        Ok(Targets::one(Target {
            transport,
            addr: SocketAddr::new(ip, port),
            server_name: self.server_name(transport),
        }))
    }

    fn server_name(&self, transport: Transport) -> Option<Arc<str>> {
        if !transport.secure() {
            return None;
        }
        let host = std::str::from_utf8(self.destination.host).ok()?;
        Some(host.trim_matches(['[', ']']).trim_end_matches('.').to_ascii_lowercase().into())
    }

    /// Section 4.1 for a bare domain name.
    fn by_naptr(&self, name: &str) -> Result<Targets, Stop> {
        let question = question(name, QuestionKind::Naptr)?;
        let answer = self.answers(std::slice::from_ref(&question))?;
        let rules = match answer.first().map(|a| &a.outcome) {
            Some(Outcome::Records(Records::Naptr(records))) => self.rules(records),
            // A resolver that cannot do NAPTR is no reason not to ask it for SRV.
            _ => Vec::new(),
        };
        let mut refused = false;
        for (rule, transport) in &rules {
            match self.services(&rule.replacement)? {
                Services::Found(list) => return self.found(list, *transport),
                Services::Refused => refused = true,
                // A NAPTR that leads nowhere: the next one may do better.
                Services::None => {}
            }
        }
        if refused {
            return Err(LocateFault::NotOffered.into());
        }
        self.by_services(name)
    }

    /// The NAPTR records that are for us, best first, each with its transport.
    fn rules<'r>(&self, records: &'r [Naptr]) -> Vec<(&'r Naptr, Transport)> {
        let mut rules: Vec<(&Naptr, Transport)> = records
            .iter()
            // RFC 3263 section 4.1: an empty regular expression and a replacement.
            .filter(|r| r.flags.eq_ignore_ascii_case("s") && r.regexp.is_empty())
            .filter_map(|r| service_transport(&r.services).map(|t| (r, t)))
            .filter(|(_, t)| t.secure() || !self.destination.secure)
            .filter(|(_, t)| self.capabilities.can_any(*t))
            .collect();
        // RFC 3403 section 4.1. A request that does not fit into a datagram takes the reliable
        // ones first, whatever the domain would like (RFC 3261 section 18.1.1 comes before).
        rules
            .sort_by_key(|(r, t)| (self.destination.large && !t.reliable(), r.order, r.preference));
        rules.truncate(self.settings.max_rules);
        rules
    }

    /// Section 4.1: no NAPTR record, so SRV for each transport that we have.
    fn by_services(&self, name: &str) -> Result<Targets, Stop> {
        let secure = self.destination.secure;
        let candidates = self.candidates();
        let names: Vec<String> =
            candidates.iter().map(|t| service_name(*t, secure, name)).collect();
        // All at once: the sum of three time-outs would be too long a wait.
        let questions =
            names.iter().map(|n| question(n, QuestionKind::Srv)).collect::<Result<Vec<_>, _>>()?;
        self.answers(&questions)?;
        let mut refused = false;
        for (transport, service) in candidates.iter().zip(&names) {
            match self.services(service)? {
                Services::Found(list) => return self.found(list, *transport),
                Services::Refused => refused = true,
                Services::None => {}
            }
        }
        if refused {
            return Err(LocateFault::NotOffered.into());
        }
        let transport = self.usable(self.default_transport())?;
        self.bare(name, transport)
    }

    /// The transports to ask SRV records for where nothing chooses one, the preferred first.
    fn candidates(&self) -> Vec<Transport> {
        let secure = self.destination.secure;
        let mut candidates: Vec<Transport> = self
            .settings
            .preference
            .iter()
            .copied()
            // "_sip" for SIP URIs and "_sips" for SIPS URIs: never TLS by guessing for the first.
            .filter(|t| t.secure() == secure && self.capabilities.can_any(*t))
            .collect();
        candidates.sort_by_key(|t| self.destination.large && !t.reliable());
        candidates
    }

    /// What this look-up may come to ask about the name itself, after what it asks now.
    pub(super) fn ahead(&self) -> Vec<Question> {
        let d = &self.destination;
        let Some(Host::Name(name)) = Host::read(d.maddr.unwrap_or(d.host)) else {
            return Vec::new();
        };
        let Ok(chosen) = self.written_transport() else { return Vec::new() };
        let mut questions = Vec::new();
        if d.port.is_none() {
            let transports = chosen.map_or_else(|| self.candidates(), |t| vec![t]);
            let names = transports.iter().map(|t| service_name(*t, d.secure, name));
            questions.extend(names.filter_map(|n| Question::new(&n, QuestionKind::Srv)));
        }
        let transport = chosen.unwrap_or(self.default_transport());
        questions.extend(self.address_questions(name, transport));
        questions
    }

    fn address_questions(&self, host: &str, transport: Transport) -> Vec<Question> {
        [(QuestionKind::Aaaa, true), (QuestionKind::A, false)]
            .into_iter()
            .filter(|(_, v6)| self.capabilities.can(transport, *v6))
            .filter_map(|(kind, _)| Question::new(host, kind))
            .collect()
    }

    /// Section 4.2's end: no SRV record, so the addresses of the name and the default port.
    fn bare(&self, name: &str, transport: Transport) -> Result<Targets, Stop> {
        self.hosts(&[(name.into(), transport.default_port())], transport)
    }

    fn found(&self, list: Vec<Srv>, transport: Transport) -> Result<Targets, Stop> {
        let hosts: Vec<(Box<str>, u16)> = list.into_iter().map(|r| (r.target, r.port)).collect();
        self.hosts(&hosts, transport)
    }

    fn services(&self, service: &str) -> Result<Services, Stop> {
        // A replacement that is no domain name is a broken record, not a broken destination.
        let Ok(question) = question(service, QuestionKind::Srv) else {
            return Ok(Services::None);
        };
        let answer = self.answers(std::slice::from_ref(&question))?;
        let Some(Outcome::Records(Records::Srv(records))) = answer.first().map(|a| &a.outcome)
        else {
            return Ok(Services::None);
        };
        if srv::refuses(records) {
            return Ok(Services::Refused);
        }
        // Seeded by look-up, so that every run of the walk draws the same order.
        let list = srv::ordered(records, self.settings.max_hosts, &mut Random(self.seed));
        Ok(if list.is_empty() { Services::None } else { Services::Found(list) })
    }

    /// The addresses of the hosts: host by host, within one host by RFC 6724 (RFC 7984 section 4).
    fn hosts(&self, hosts: &[(Box<str>, u16)], transport: Transport) -> Result<Targets, Stop> {
        let questions: Vec<Question> =
            hosts.iter().flat_map(|(host, _)| self.address_questions(host, transport)).collect();
        self.answers(&questions)?;
        let server_name = self.server_name(transport);
        let mut list: Vec<Target> = Vec::new();
        let mut failed = false;
        for (host, port) in hosts {
            let (mut addresses, failure) = self.addresses(host, transport);
            failed |= failure;
            address::order(&mut addresses, self.settings.prefer_ipv4);
            for ip in addresses {
                let addr = SocketAddr::new(ip, *port);
                if list.len() < self.settings.max_targets && !list.iter().any(|t| t.addr == addr) {
                    list.push(Target { transport, addr, server_name: server_name.clone() });
                }
            }
        }
        match (list.is_empty(), failed) {
            (false, _) => Ok(Targets::many(list)),
            (true, true) => Err(LocateFault::NoAnswer.into()),
            (true, false) => Err(LocateFault::NoSuchName.into()),
        }
    }

    /// The addresses of one host that we can reach, and whether a question about it failed.
    fn addresses(&self, host: &str, transport: Transport) -> (Vec<IpAddr>, bool) {
        let mut addresses: Vec<IpAddr> = Vec::new();
        let mut failed = false;
        for kind in [QuestionKind::Aaaa, QuestionKind::A] {
            let Some(question) = Question::new(host, kind) else { continue };
            match self.known.get(&question).map(|a| &a.outcome) {
                Some(Outcome::Records(Records::A(v4))) => {
                    addresses.extend(v4.iter().map(|a| IpAddr::V4(*a)));
                }
                Some(Outcome::Records(Records::Aaaa(v6))) => {
                    addresses.extend(v6.iter().map(|a| IpAddr::V6(*a)));
                }
                Some(Outcome::Failure) => failed = true,
                _ => {}
            }
        }
        addresses
            .retain(|a| address::is_reachable(a) && self.capabilities.can(transport, a.is_ipv6()));
        (addresses, failed)
    }

    /// The answers to all of these, or the stop to ask for those that are missing.
    fn answers(&self, questions: &[Question]) -> Result<Vec<&Arc<Answer>>, Stop> {
        let mut missing: Vec<Question> = Vec::new();
        let mut answers = Vec::with_capacity(questions.len());
        for question in questions {
            match self.known.get(question) {
                Some(answer) => answers.push(answer),
                None if missing.contains(question) => {}
                None => missing.push(question.clone()),
            }
        }
        if missing.is_empty() { Ok(answers) } else { Err(Stop::Ask(missing)) }
    }
}

enum Services {
    /// In the order in which to try them; at least one.
    Found(Vec<Srv>),
    /// The domain says that there are none on purpose.
    Refused,
    None,
}

fn question(name: &str, kind: QuestionKind) -> Result<Question, LocateFault> {
    Question::new(name, kind).ok_or(LocateFault::BadHost)
}

/// The transport that a NAPTR services field names (RFC 3263 section 4.1, RFC 4168, RFC 7118).
/// "SIPS+D2U" is left out: there is no TLS over UDP.
fn service_transport(services: &str) -> Option<Transport> {
    let known = [
        ("SIP+D2U", Transport::Udp),
        ("SIP+D2T", Transport::Tcp),
        ("SIPS+D2T", Transport::Tls),
        ("SIP+D2S", Transport::Sctp),
        ("SIP+D2W", Transport::Ws),
        ("SIPS+D2W", Transport::Wss),
    ];
    known.iter().find(|(name, _)| services.eq_ignore_ascii_case(name)).map(|(_, t)| *t)
}

/// The name of the SRV records for a transport (RFC 3263 section 4.2).
fn service_name(transport: Transport, secure: bool, name: &str) -> String {
    let service = if secure || transport.secure() { "_sips" } else { "_sip" };
    let protocol = match transport {
        Transport::Udp => "_udp",
        Transport::Tcp | Transport::Tls => "_tcp",
        Transport::Sctp => "_sctp",
        Transport::Ws | Transport::Wss => "_ws",
    };
    format!("{service}.{protocol}.{name}")
}
