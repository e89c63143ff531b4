//! TLS over the loopback, with certificates made on the spot.

mod common;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use common::{Running, Told, has_ipv6};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};
use towel_core::io::{CloseReason, Transport};
use towel_net::{Bind, Config, Limits, Tls, TlsConfig};

/// An authority and what it signs.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, "test authority");
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// A certificate and its key in PEM; names with a colon are URIs.
    fn sign(&self, names: &[&str]) -> (Vec<u8>, Vec<u8>) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.subject_alt_names = names
            .iter()
            .map(|name| match name.parse() {
                Ok(ip) => SanType::IpAddress(ip),
                Err(_) if name.contains(':') => SanType::URI((*name).try_into().unwrap()),
                Err(_) => SanType::DnsName((*name).try_into().unwrap()),
            })
            .collect();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.pem().into_bytes(), key.serialize_pem().into_bytes())
    }

    fn tls(&self, names: &[&str]) -> Arc<Tls> {
        let config = TlsConfig {
            certificate: Some(self.sign(names)),
            authorities: vec![self.pem.clone().into_bytes()],
            trust_anyone: false,
        };
        Arc::new(config.build().unwrap())
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.pem.as_bytes()).unwrap()).unwrap();
        roots
    }
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn start(tls: Arc<Tls>, limits: Limits) -> Running {
    let binds = vec![
        Bind::new(Transport::Tls, "127.0.0.1:0".parse().unwrap()),
        Bind::new(Transport::Udp, "127.0.0.1:0".parse().unwrap()),
    ];
    let mut config = Config::new(binds);
    config.tls = Some(tls);
    config.limits = limits;
    config.resolver = None;
    Running::start(config)
}

type Client = rustls::StreamOwned<ClientConnection, TcpStream>;

fn connect(addr: SocketAddr, authority: &Authority, own: Option<(Vec<u8>, Vec<u8>)>) -> Client {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(authority.roots());
    let config = match own {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => builder
            .with_client_auth_cert(
                vec![CertificateDer::from_pem_slice(&chain).unwrap()],
                PrivateKeyDer::from_pem_slice(&key).unwrap(),
            )
            .unwrap(),
    };
    let name = ServerName::try_from("towel.example").unwrap();
    let session = ClientConnection::new(Arc::new(config), name).unwrap();
    let stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    rustls::StreamOwned::new(session, stream)
}

fn ask(client: &mut Client, text: &str) -> String {
    client.write_all(text.as_bytes()).unwrap();
    client.flush().unwrap();
    let mut buffer = vec![0; text.len()];
    client.read_exact(&mut buffer).unwrap();
    String::from_utf8(buffer).unwrap()
}

/// Has the driver open a connection to a server with a certificate for `names`, asking for
/// `asked`; gives the identities, or why it was closed.
fn opened_to(
    running: &Running,
    authority: &Authority,
    names: &[&str],
    asked: &str,
) -> Result<Vec<String>, CloseReason> {
    let (chain, key) = authority.sign(names);
    let config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from_pem_slice(&chain).unwrap()],
            PrivateKeyDer::from_pem_slice(&key).unwrap(),
        )
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let thread = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let session = ServerConnection::new(Arc::new(config)).unwrap();
        let mut stream = rustls::StreamOwned::new(session, stream);
        let mut buffer = [0; 5];
        let heard = stream.read_exact(&mut buffer).is_ok();
        assert!(!heard || &buffer == b"hello");
    });
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.send_to(format!("open tls {addr} {asked}").as_bytes(), running.addr(1)).unwrap();
    let result = running.wait(|t| match t {
        Told::Opened(id, _, names) if id.is_ours() => Some(Ok(names.clone())),
        Told::Closed(id, why) if id.is_ours() => Some(Err(*why)),
        _ => None,
    });
    thread.join().unwrap();
    if result.is_ok() {
        running.wait_closed();
    }
    result
}

#[test]
fn echo_over_both_families() {
    let authority = Authority::new();
    let running = start(authority.tls(&["towel.example"]), Limits::default());
    let mut client = connect(running.addr(0), &authority, None);
    assert_eq!(ask(&mut client, "one"), "one");
    let long = "l".repeat(300_000);
    let (mut sent, mut got) = (0, 0);
    let mut buffer = vec![0; 65_536];
    while got < long.len() {
        if sent < long.len() {
            let end = (sent + 10_000).min(long.len());
            client.write_all(&long.as_bytes()[sent..end]).unwrap();
            sent = end;
        }
        got += client.read(&mut buffer).unwrap();
    }
    assert_eq!(got, long.len());
    // More at once than a record, or rustls' own buffer, holds.
    client.write_all(b"flood 500000").unwrap();
    let mut flood = vec![0; 500_000];
    client.read_exact(&mut flood).unwrap();
    client.conn.send_close_notify();
    client.flush().unwrap();
    assert_eq!(running.wait_closed(), CloseReason::Peer);
    if has_ipv6() {
        let binds = vec![Bind::new(Transport::Tls, "[::1]:0".parse().unwrap())];
        let mut config = Config::new(binds);
        config.tls = Some(authority.tls(&["towel.example"]));
        let running = Running::start(config);
        assert_eq!(ask(&mut connect(running.addr(0), &authority, None), "six"), "six");
    }
}

#[test]
fn a_clients_certificate_tells_who_it_is() {
    let authority = Authority::new();
    let running = start(authority.tls(&["towel.example"]), Limits::default());
    let own = authority.sign(&["sip:peer.example", "dns.example"]);
    let mut client = connect(running.addr(0), &authority, Some(own));
    assert_eq!(ask(&mut client, "x"), "x");
    let names =
        running.wait(|t| if let Told::Opened(_, _, n) = t { Some(n.clone()) } else { None });
    // RFC 5922 section 7.1: with a "sip" URI the DNS names do not count.
    assert_eq!(names, ["peer.example"]);

    let stranger = Authority::new().sign(&["sip:peer.example"]);
    let mut client = connect(running.addr(0), &authority, Some(stranger));
    let refused = client.write_all(b"x").and_then(|()| {
        client.flush()?;
        client.read_exact(&mut [0; 1])
    });
    assert!(refused.is_err());
}

#[test]
fn a_servers_certificate_must_name_the_domain() {
    let authority = Authority::new();
    let running = start(authority.tls(&["towel.example"]), Limits::default());
    type Case<'a> = (&'a [&'a str], &'a str, Option<&'a [&'a str]>);
    let cases: [Case<'_>; 9] = [
        (&["biloxi.example"], "biloxi.example", Some(&["biloxi.example"])),
        (&["biloxi.example"], "BILOXI.example", Some(&["biloxi.example"])),
        (&["sip:biloxi.example"], "biloxi.example", Some(&["biloxi.example"])),
        // RFC 5922 section 7.2: no wildcards, no suffixes.
        (&["*.example"], "biloxi.example", None),
        (&["www.biloxi.example"], "biloxi.example", None),
        // Section 7.1: a user's identity is not a domain's; a sip URI puts the DNS names out.
        (&["sip:alice@biloxi.example"], "biloxi.example", None),
        (&["sip:other.example", "biloxi.example"], "biloxi.example", None),
        (&["127.0.0.1"], "127.0.0.1", Some(&[])),
        (&["biloxi.example"], "127.0.0.1", None),
    ];
    for (names, asked, expected) in cases {
        let expected = match expected {
            Some(names) => Ok(names.iter().map(ToString::to_string).collect()),
            None => Err(CloseReason::Tls),
        };
        let got = opened_to(&running, &authority, names, asked);
        assert_eq!(got, expected, "{names:?} for {asked}");
    }
    let stranger = Authority::new();
    let got = opened_to(&running, &stranger, &["biloxi.example"], "biloxi.example");
    assert_eq!(got, Err(CloseReason::Tls));
}

#[test]
fn a_laboratory_may_trust_anyone() {
    let authority = Authority::new();
    let config = TlsConfig { trust_anyone: true, ..TlsConfig::default() };
    let running = {
        let binds = vec![
            Bind::new(Transport::Tcp, "127.0.0.1:0".parse().unwrap()),
            Bind::new(Transport::Udp, "127.0.0.1:0".parse().unwrap()),
        ];
        let mut all = Config::new(binds);
        all.tls = Some(Arc::new(config.build().unwrap()));
        all.resolver = None;
        Running::start(all)
    };
    assert!(opened_to(&running, &authority, &["other.example"], "biloxi.example").is_ok());
}

#[test]
fn a_handshake_that_does_not_go_on_is_ended() {
    let authority = Authority::new();
    let limits = Limits { handshake_time: Duration::from_millis(200), ..Limits::default() };
    let running = start(authority.tls(&["towel.example"]), limits);
    let mut silent = TcpStream::connect(running.addr(0)).unwrap();
    let mut half = TcpStream::connect(running.addr(0)).unwrap();
    half.write_all(&[22, 3, 1, 1, 0, 1]).unwrap();
    for stream in [&mut silent, &mut half] {
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        assert!(matches!(stream.read(&mut [0; 9]), Ok(0) | Err(_)));
    }
    running.wait_counted(|c| c.half_open_expired == 2);
    // Nobody was told of connections that never were.
    assert!(running.told.try_recv().is_err());

    // And ours: a server that takes the connection and says nothing.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let text = format!("open tls {} x.example", listener.local_addr().unwrap());
    socket.send_to(text.as_bytes(), running.addr(1)).unwrap();
    assert_eq!(running.wait_closed(), CloseReason::TimedOut);
}

#[test]
fn plain_text_is_refused() {
    let authority = Authority::new();
    let running = start(authority.tls(&["towel.example"]), Limits::default());
    let mut stream = TcpStream::connect(running.addr(0)).unwrap();
    stream.write_all(b"OPTIONS sip:towel.example SIP/2.0\r\n\r\n").unwrap();
    let mut all = Vec::new();
    let _ = stream.read_to_end(&mut all);
    running.wait_counted(|c| c.handshakes_failed == 1);
    assert!(running.told.try_recv().is_err());
}

#[test]
fn a_new_certificate_is_for_new_connections() {
    let (old, new) = (Authority::new(), Authority::new());
    let running = start(old.tls(&["towel.example"]), Limits::default());
    let mut before = connect(running.addr(0), &old, None);
    assert_eq!(ask(&mut before, "x"), "x");
    running.handle.set_tls(new.tls(&["towel.example"]));
    let mut after = connect(running.addr(0), &new, None);
    assert_eq!(ask(&mut after, "y"), "y");
    assert_eq!(ask(&mut before, "z"), "z");
}

#[test]
fn what_cannot_be_used_is_said() {
    let authority = Authority::new();
    let (chain, key) = authority.sign(&["a.example"]);
    let (_, other) = authority.sign(&["a.example"]);
    let with = |certificate| TlsConfig { certificate, ..TlsConfig::default() };
    let fault = |config: TlsConfig| config.build().err().unwrap().to_string();
    assert!(fault(with(Some((b"nothing".to_vec(), key.clone())))).contains("certificate"));
    assert!(fault(with(Some((chain.clone(), b"nothing".to_vec())))).contains("key"));
    assert!(fault(with(Some((chain, other)))).contains("cannot be used"));
    let binds = vec![Bind::new(Transport::Tls, "127.0.0.1:0".parse().unwrap())];
    let without = towel_net::Driver::new(Config::new(binds)).err().unwrap().to_string();
    assert!(without.contains("certificate"), "{without}");
    let junk = TlsConfig { authorities: vec![b"junk".to_vec()], ..TlsConfig::default() };
    assert!(fault(junk).contains("authorities"));
}
