//! TLS: a client that believes whoever answers (the server under test makes its own certificate), and
//! what many of them did to others' servers.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    sync::Arc,
    time::Duration,
};

use crate::{
    OPEN,
    call::Call,
    peer::{Message, Peer, answer, unique},
    towel::{DOMAIN, Towel},
};

use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme, StreamOwned,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::CryptoProvider,
    pki_types::{CertificateDer, ServerName, UnixTime},
};

#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// A connection with its handshake done.
pub(crate) fn connect(place: &str) -> StreamOwned<ClientConnection, TcpStream> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
        .with_no_client_auth();
    let name = ServerName::try_from("towel.test").unwrap();
    let socket = TcpStream::connect(place).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(8))).unwrap();
    let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut stream = socket.try_clone().unwrap();
    while client.is_handshaking() {
        client.complete_io(&mut stream).unwrap();
    }
    StreamOwned::new(client, socket)
}

/// A peer on a TLS connection of its own.
struct Phone {
    stream: StreamOwned<ClientConnection, TcpStream>,
    held: Vec<u8>,
}

impl Phone {
    fn new(server: &Towel) -> Phone {
        let stream = connect(&format!("127.0.0.1:{}", server.port + 1));
        Phone { stream, held: Vec::new() }
    }

    /// The certificate that it was shown.
    fn shown(&self) -> Vec<u8> {
        self.stream.conn.peer_certificates().unwrap()[0].to_vec()
    }

    fn at(&self) -> String {
        self.stream.sock.local_addr().unwrap().to_string()
    }

    fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).unwrap();
        self.stream.flush().unwrap();
    }

    fn next(&mut self) -> Message {
        loop {
            if let Some(head) = self.held.windows(4).position(|w| w == b"\r\n\r\n") {
                let message = Message::parse(&self.held[..head + 4]);
                assert_eq!(message.field("Content-Length"), "0", "{}", message.text);
                self.held.drain(..head + 4);
                return message;
            }
            let mut some = [0; 4096];
            let len = self.stream.read(&mut some).expect("a message");
            assert!(len > 0, "the connection was closed");
            self.held.extend_from_slice(&some[..len]);
        }
    }

    fn final_response(&mut self) -> Message {
        loop {
            let message = self.next();
            if message.status() >= 200 {
                return message;
            }
        }
    }

    fn request(&self, method: &str, uri: &str, more: &str) -> String {
        let own = |name: &str| more.lines().any(|line| line.starts_with(name));
        let mut text = format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/TLS {};branch=z9hG4bK{}\r\nMax-Forwards: 70\r\n",
            self.at(),
            unique("b")
        );
        for (name, value) in [
            ("From", format!("<sip:peer@elsewhere.test>;tag={}", unique("f"))),
            ("To", format!("<{uri}>")),
            ("Call-ID", unique("c")),
            ("CSeq", format!("1 {method}")),
            ("Contact", format!("<sip:x@{};transport=tls>", self.at())),
        ] {
            if !own(&format!("{name}:")) {
                text.push_str(&format!("{name}: {value}\r\n"));
            }
        }
        format!("{text}{more}Content-Length: 0\r\n\r\n")
    }

    fn register(&mut self, user: &str) {
        let more = format!("To: <sip:{user}@{DOMAIN}>\r\nFrom: <sip:{user}@{DOMAIN}>;tag=1\r\n");
        self.send(&self.request("REGISTER", &format!("sip:{DOMAIN}"), &more));
        assert_eq!(self.final_response().status(), 200);
    }
}

/// Many clients with answers still on their way to them are gone at one moment, without a word, and
/// their calls with them: whoever is left is served, and those who come back get in.
#[test]
fn many_tls_clients_that_vanish_at_once_hold_up_nobody() {
    let server = Towel::start(&[], OPEN);
    let mut left = Phone::new(&server);
    left.register("left");
    for _ in 0..2 {
        let mut crowd: Vec<Phone> = (0..80).map(|_| Phone::new(&server)).collect();
        for (n, phone) in crowd.iter_mut().enumerate() {
            phone.register(&format!("gone{n}"));
        }
        for phone in &mut crowd {
            let uri = format!("sip:left@{DOMAIN}");
            for _ in 0..20 {
                phone.send(&phone.request("OPTIONS", &format!("sip:{DOMAIN}"), ""));
            }
            phone.send(&phone.request("INVITE", &uri, ""));
        }
        for phone in crowd {
            let linger = socket2::SockRef::from(&phone.stream.sock);
            linger.set_linger(Some(Duration::ZERO)).unwrap();
            drop(phone);
        }
    }
    // It rings at the one that is left, who says so to nobody.
    let invite = left.next();
    assert_eq!(invite.method(), "INVITE", "{}", invite.text);
    left.send(&answer(&invite, "486 Busy Here", "t", ""));
    let peer = Peer::new(&server);
    assert_eq!(peer.ask(&peer.request("OPTIONS", &format!("sip:{DOMAIN}"), "")).status(), 200);
    Phone::new(&server).register("gone7");
}

/// Each call comes over a TLS connection of its own, from the handshake to the BYE.
#[test]
fn each_call_may_have_a_tls_connection_of_its_own() {
    let server = Towel::start(&[], OPEN);
    let callee = Peer::new(&server);
    callee.bind("callee");
    let uri = format!("sip:callee@{DOMAIN}");
    for n in 0..75 {
        let mut phone = Phone::new(&server);
        phone.send(&phone.request("INVITE", &uri, ""));
        let invite = callee.next_but(&[]);
        assert_eq!(invite.method(), "INVITE", "call {n}: {}", invite.text);
        let contact = format!("Contact: <sip:x@{}>\r\n", callee.at());
        callee.send(&answer(&invite, "200 OK", "t", &contact));
        let ok = phone.final_response();
        assert_eq!(ok.status(), 200, "call {n}: {}", ok.text);
        let within = |cseq: &str| {
            let routes: String =
                ok.all("Record-Route").iter().map(|r| format!("Route: {r}\r\n")).collect();
            format!(
                "{routes}From: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {cseq}\r\n",
                ok.field("From"),
                ok.field("To"),
                ok.field("Call-ID")
            )
        };
        let target = format!("sip:x@{}", callee.at());
        phone.send(&phone.request("ACK", &target, &within("1 ACK")));
        assert_eq!(callee.next_but(&[&invite]).method(), "ACK", "call {n}");
        phone.send(&phone.request("BYE", &target, &within("2 BYE")));
        let bye = callee.next_but(&[&invite]);
        assert_eq!(bye.method(), "BYE", "call {n}: {}", bye.text);
        callee.send(&answer(&bye, "200 OK", "", ""));
        assert_eq!(phone.final_response().status(), 200, "call {n}");
    }
}

/// A certificate that was renewed is shown from the reload on; a call and the connections that were
/// there go on; a file that is no certificate changes nothing.
#[test]
fn a_renewed_certificate_is_shown_after_a_reload_under_a_call() {
    let server = Towel::start(&[], OPEN);
    let dir = server.data();
    let (chain, key) = (dir.join("../chain.pem"), dir.join("../key.pem"));
    let renew = || {
        let made = rcgen::generate_simple_self_signed(vec![DOMAIN.to_owned()]).unwrap();
        fs::write(&chain, made.cert.pem()).unwrap();
        fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        made.cert.der().to_vec()
    };
    let (first, call) = (renew(), Call::set_up(&server));
    let tls =
        format!("[tls]\ncertificate = \"{}\"\nkey = \"{}\"\n", chain.display(), key.display());
    server.reload(&tls);
    let mut old = Phone::new(&server);
    assert_eq!(old.shown(), first);
    old.register("old");
    let second = renew();
    server.reload("# renewed\n");
    assert_eq!(Phone::new(&server).shown(), second);
    fs::write(&chain, "no certificate at all").unwrap();
    server.reload_refused(|config| config + "# broken\n");
    let mut new = Phone::new(&server);
    assert_eq!(new.shown(), second);
    new.register("new");
    old.register("old");
    call.end();
}
