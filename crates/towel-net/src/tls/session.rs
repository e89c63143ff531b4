//! One TLS session without buffers of its own: bytes that came in are decrypted where they lie,
//! and what is to go out is written into the connection's queue. An idle session holds its keys
//! and nothing else.

use std::fmt;
use std::io;
use std::sync::Arc;

use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncryptError, InsufficientSizeError, UnbufferedConnectionCommon,
    UnbufferedStatus,
};
use rustls::{ClientConfig, CommonState, Error, ServerConfig};

/// How much of a record or of a handshake message that is not whole is kept. A record has 16 KiB
/// (RFC 8446 section 5.1); the rest is room for a chain of certificates.
const PARTIAL: usize = 44 << 10;

/// What came of bytes that were taken in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    /// How many bytes of plaintext there are.
    pub(crate) plain: usize,
    /// The peer has said that nothing more comes.
    pub(crate) closed: bool,
}

enum Side {
    Client(UnbufferedClientConnection),
    Server(UnbufferedServerConnection),
}

/// A TLS session, of a connection that was accepted or made.
pub(crate) struct Session {
    side: Side,
    /// A record of which the end has not come.
    partial: Vec<u8>,
    /// What is to be said when the handshake is over.
    early: Vec<u8>,
    /// How much that may be.
    most: usize,
    /// It has ended in an error, and is good for nothing more.
    failed: bool,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("handshaking", &self.is_handshaking()).finish()
    }
}

impl Session {
    /// One that a peer begins. `most` bounds what waits for the end of the handshake.
    pub(crate) fn server(config: Arc<ServerConfig>, most: usize) -> Result<Self, Error> {
        Ok(Self::new(Side::Server(UnbufferedServerConnection::new(config)?), most))
    }

    /// One that we begin, with a peer of that name.
    pub(crate) fn client(
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
        most: usize,
    ) -> Result<Self, Error> {
        Ok(Self::new(Side::Client(UnbufferedClientConnection::new(config, name)?), most))
    }

    fn new(side: Side, most: usize) -> Self {
        Self { side, partial: Vec::new(), early: Vec::new(), most, failed: false }
    }

    fn common(&self) -> &CommonState {
        match &self.side {
            Side::Client(client) => client,
            Side::Server(server) => server,
        }
    }

    pub(crate) fn is_handshaking(&self) -> bool {
        self.common().is_handshaking()
    }

    pub(crate) fn peer_certificate(&self) -> Option<&CertificateDer<'static>> {
        self.common().peer_certificates()?.first()
    }

    /// Says the first word, where that is ours.
    pub(crate) fn begin(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        self.run(&[], out).map(drop).map_err(io::Error::other)
    }

    /// Takes in what came from the peer. `plain` has room for all that it can set free: the bytes
    /// and [`PARTIAL`]. What has to be answered to it, also where it ends in an error, is appended
    /// to `out`.
    pub(crate) fn take(
        &mut self,
        bytes: &mut [u8],
        plain: &mut [u8],
        out: &mut Vec<u8>,
    ) -> Result<Taken, Error> {
        let taken = self.take_in(bytes, plain, out);
        self.failed |= taken.is_err();
        taken
    }

    fn take_in(
        &mut self,
        bytes: &mut [u8],
        plain: &mut [u8],
        out: &mut Vec<u8>,
    ) -> Result<Taken, Error> {
        if self.failed {
            return Err(over());
        }
        let mut held = std::mem::take(&mut self.partial);
        let incoming = if held.is_empty() {
            bytes
        } else {
            held.extend_from_slice(bytes);
            held.as_mut_slice()
        };
        let mut task = Task { plain, ready: 0, out, say: &self.early, goodbye: false };
        let (used, closed) = task.run(&mut self.side, incoming)?;
        let (ready, said) = (task.ready, task.say.is_empty());
        let rest = incoming.get(used..).unwrap_or_default();
        if rest.len() > PARTIAL {
            return Err(Error::General("a handshake message is too long".into()));
        }
        self.partial = rest.to_vec();
        if said && !self.early.is_empty() {
            self.early = Vec::new();
        }
        Ok(Taken { plain: ready, closed })
    }

    /// Encrypts `bytes`; they wait here until the handshake is over.
    pub(crate) fn put(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        if self.is_handshaking() || !self.early.is_empty() {
            if self.early.len() + bytes.len() > self.most {
                return Err(io::ErrorKind::QuotaExceeded.into());
            }
            self.early.extend_from_slice(bytes);
            return Ok(());
        }
        self.run(bytes, out).map_err(io::Error::other)
    }

    /// Says that nothing more comes from us, if the peer can understand it yet.
    pub(crate) fn goodbye(&mut self, out: &mut Vec<u8>) {
        // A session that has failed has said so already.
        if !self.is_handshaking() && !self.failed {
            let mut task = Task { plain: &mut [], ready: 0, out, say: &[], goodbye: true };
            self.failed = task.run(&mut self.side, &mut self.partial).is_err();
        }
    }

    fn run(&mut self, say: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
        if self.failed {
            return Err(over());
        }
        // All whole records were taken when they came, so this gives nothing to read and uses up
        // nothing. What is held has to be shown all the same: rustls counts on it.
        let mut task = Task { plain: &mut [], ready: 0, out, say, goodbye: false };
        let done = task.run(&mut self.side, &mut self.partial).map(drop);
        self.failed = done.is_err();
        done
    }
}

fn over() -> Error {
    Error::General("the session is over".into())
}

/// One go at a session: what to say, and where to put what comes of it.
struct Task<'a> {
    plain: &'a mut [u8],
    ready: usize,
    out: &'a mut Vec<u8>,
    say: &'a [u8],
    goodbye: bool,
}

impl Task<'_> {
    /// Gives how many bytes of `incoming` are done with, and whether the peer has ended.
    fn run(&mut self, side: &mut Side, incoming: &mut [u8]) -> Result<(usize, bool), Error> {
        match side {
            Side::Client(client) => self.drive(&mut **client, incoming),
            Side::Server(server) => self.drive(&mut **server, incoming),
        }
    }

    fn drive<D>(
        &mut self,
        connection: &mut UnbufferedConnectionCommon<D>,
        incoming: &mut [u8],
    ) -> Result<(usize, bool), Error>
    where
        UnbufferedConnectionCommon<D>: Process<D>,
    {
        let (mut used, mut closed) = (0, false);
        loop {
            let rest = incoming.get_mut(used..).unwrap_or_default();
            let UnbufferedStatus { mut discard, state } = connection.process(rest);
            match state {
                Err(error) => {
                    // What tells the peer why is given out by the next call, which wants to see
                    // the bytes that were not used again.
                    let rest = incoming.get_mut(used + discard..).unwrap_or_default();
                    if let Ok(ConnectionState::EncodeTlsData(mut alert)) =
                        connection.process(rest).state
                    {
                        let _ = write(self.out, |room| alert.encode(room));
                    }
                    return Err(error);
                }
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record?;
                        discard += record.discard;
                        let end = self.ready + record.payload.len();
                        let Some(room) = self.plain.get_mut(self.ready..end) else {
                            return Err(Error::General("there is no room for a record".into()));
                        };
                        room.copy_from_slice(record.payload);
                        self.ready = end;
                    }
                }
                Ok(ConnectionState::EncodeTlsData(mut data)) => {
                    write(self.out, |room| data.encode(room))?;
                }
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(ConnectionState::PeerClosed) => closed = true,
                Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                    if !self.say.is_empty() {
                        let say = std::mem::take(&mut self.say);
                        write(self.out, |room| traffic.encrypt(say, room))?;
                    } else if self.goodbye {
                        self.goodbye = false;
                        write(self.out, |room| traffic.queue_close_notify(room))?;
                    } else {
                        return Ok((used + discard, closed));
                    }
                }
                // More has to come; or it is over. Early data is not taken.
                Ok(_) => return Ok((used + discard, closed)),
            }
            used += discard;
        }
    }
}

/// The one call that the two kinds of connections have, and not in common.
trait Process<D> {
    fn process<'c, 'i>(&'c mut self, incoming: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, D>;
}

impl Process<ClientConnectionData> for UnbufferedConnectionCommon<ClientConnectionData> {
    fn process<'c, 'i>(
        &'c mut self,
        incoming: &'i mut [u8],
    ) -> UnbufferedStatus<'c, 'i, ClientConnectionData> {
        self.process_tls_records(incoming)
    }
}

impl Process<ServerConnectionData> for UnbufferedConnectionCommon<ServerConnectionData> {
    fn process<'c, 'i>(
        &'c mut self,
        incoming: &'i mut [u8],
    ) -> UnbufferedStatus<'c, 'i, ServerConnectionData> {
        self.process_tls_records(incoming)
    }
}

/// How much room a write may lack.
trait Lacks {
    fn lacks(&self) -> Option<usize>;
}

impl Lacks for EncodeError {
    fn lacks(&self) -> Option<usize> {
        match self {
            Self::InsufficientSize(InsufficientSizeError { required_size }) => Some(*required_size),
            Self::AlreadyEncoded => None,
        }
    }
}

impl Lacks for EncryptError {
    fn lacks(&self) -> Option<usize> {
        match self {
            Self::InsufficientSize(InsufficientSizeError { required_size }) => Some(*required_size),
            Self::EncryptExhausted => None,
        }
    }
}

/// Appends what `put` writes, giving it the room that it asks for.
fn write<E: Lacks>(
    out: &mut Vec<u8>,
    mut put: impl FnMut(&mut [u8]) -> Result<usize, E>,
) -> Result<(), Error> {
    let start = out.len();
    let mut room = 0;
    for _ in 0..2 {
        out.resize(start + room, 0);
        match put(out.get_mut(start..).unwrap_or_default()) {
            Ok(count) => {
                out.truncate(start + count);
                return Ok(());
            }
            Err(error) => match error.lacks() {
                Some(more) => room = more,
                None => break,
            },
        }
    }
    out.truncate(start);
    Err(Error::EncryptError)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::TlsConfig;

    fn pair() -> (Session, Session) {
        let own = rcgen::generate_simple_self_signed(vec!["towel.test".into()]).unwrap();
        let certificate = own.cert.pem().into_bytes();
        let key = own.signing_key.serialize_pem().into_bytes();
        let config = TlsConfig {
            certificate: Some((certificate.clone(), key)),
            authorities: vec![certificate],
            trust_anyone: false,
        };
        let tls = config.build().unwrap();
        let server = Session::server(tls.server.clone().unwrap(), 1000).unwrap();
        let name = ServerName::try_from("towel.test").unwrap();
        (Session::client(tls.client.clone(), name, 1000).unwrap(), server)
    }

    /// Hands over `bytes` in pieces, and gives what became readable.
    fn hand(
        to: &mut Session,
        bytes: &[u8],
        piece: usize,
        out: &mut Vec<u8>,
    ) -> Result<Vec<u8>, Error> {
        let (mut read, mut plain) = (Vec::new(), vec![0; 64 << 10]);
        for part in bytes.chunks(piece) {
            let taken = to.take(&mut part.to_vec(), &mut plain, out)?;
            read.extend_from_slice(&plain[..taken.plain]);
        }
        Ok(read)
    }

    /// Until neither has anything to say.
    fn talk(client: &mut Session, server: &mut Session, piece: usize) -> (Vec<u8>, Vec<u8>) {
        let (mut to_server, mut read) = (Vec::new(), (Vec::new(), Vec::new()));
        client.begin(&mut to_server).unwrap();
        while !to_server.is_empty() {
            let mut to_client = Vec::new();
            read.1.extend(hand(server, &to_server, piece, &mut to_client).unwrap());
            to_server.clear();
            read.0.extend(hand(client, &to_client, piece, &mut to_server).unwrap());
        }
        read
    }

    #[test]
    fn in_pieces_of_any_size_the_same_is_read_and_nothing_is_kept() {
        for piece in [1, 7, 300, 20_000] {
            let (mut client, mut server) = pair();
            // Said before there is a way to say it.
            client.put(b"early", &mut Vec::new()).unwrap();
            assert!(client.put(&[0; 1000], &mut Vec::new()).is_err());
            let (_, read) = talk(&mut client, &mut server, piece);
            assert_eq!(read, b"early", "{piece}");
            assert!(!client.is_handshaking() && !server.is_handshaking());
            assert!(client.peer_certificate().is_some());
            let (mut wire, text) = (Vec::new(), vec![b'x'; 40_000]);
            server.put(&text, &mut wire).unwrap();
            server.goodbye(&mut wire);
            assert!(hand(&mut client, &wire, piece, &mut Vec::new()).unwrap() == text, "{piece}");
            for session in [&client, &server] {
                assert_eq!((session.partial.capacity(), session.early.capacity()), (0, 0));
            }
        }
    }

    #[test]
    fn half_a_record_does_not_keep_us_from_speaking() {
        let (mut client, mut server) = pair();
        talk(&mut client, &mut server, 1000);
        let mut wire = Vec::new();
        client.put(b"hello", &mut wire).unwrap();
        let (first, second) = wire.split_at(9);
        assert_eq!(hand(&mut server, first, 9, &mut Vec::new()).unwrap(), b"");
        let mut back = Vec::new();
        server.put(b"meanwhile", &mut back).unwrap();
        assert_eq!(hand(&mut client, &back, 5, &mut Vec::new()).unwrap(), b"meanwhile");
        assert_eq!(hand(&mut server, second, 9, &mut Vec::new()).unwrap(), b"hello");
    }

    #[test]
    fn one_wrong_byte_anywhere_ends_it_in_an_alert_or_harms_nothing() {
        let (mut client, _) = pair();
        let mut hello = Vec::new();
        client.begin(&mut hello).unwrap();
        let mut alerts = 0;
        for at in 0..hello.len() {
            for piece in [3, 1000] {
                let (_, mut server) = pair();
                let mut broken = hello.clone();
                broken[at] ^= 0x55;
                let mut out = Vec::new();
                if hand(&mut server, &broken, piece, &mut out).is_err() {
                    // An alert record (RFC 8446 section 5.1: content type 21).
                    alerts += usize::from(out.first() == Some(&21));
                    assert!(hand(&mut server, &hello, piece, &mut out).is_err());
                    assert!(server.put(b"x", &mut out).is_ok());
                }
                server.goodbye(&mut out);
            }
        }
        assert!(alerts > 0);
        // The same behind the handshake.
        let (mut client, mut server) = pair();
        talk(&mut client, &mut server, 1000);
        let mut wire = Vec::new();
        client.put(b"hello", &mut wire).unwrap();
        *wire.last_mut().unwrap() ^= 1;
        let mut out = Vec::new();
        assert!(hand(&mut server, &wire, 4, &mut out).is_err());
        assert!(!out.is_empty());
        let before = out.len();
        assert!(server.put(b"x", &mut out).is_err());
        server.goodbye(&mut out);
        assert_eq!(out.len(), before);
    }
}
