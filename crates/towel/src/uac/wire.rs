//! A socket to one server.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use towel_sim::text::Text;

/// Largest message that is taken in.
const MOST: usize = 1 << 20;

/// How to reach the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Transport {
    /// UDP
    Udp,
    /// TCP
    Tcp,
}

impl Transport {
    /// The word in Via.
    pub(crate) fn via(self) -> &'static str {
        match self {
            Transport::Udp => "UDP",
            Transport::Tcp => "TCP",
        }
    }

    /// The word in a URI.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Transport::Udp => "udp",
            Transport::Tcp => "tcp",
        }
    }
}

/// A connected socket.
#[derive(Debug)]
pub(crate) struct Wire {
    socket: Socket,
    local: SocketAddr,
    remote: SocketAddr,
}

#[derive(Debug)]
enum Socket {
    Udp(UdpSocket),
    Tcp(TcpStream, Vec<u8>),
}

impl Wire {
    /// Connects.
    pub(crate) fn connect(
        transport: Transport,
        remote: SocketAddr,
        timeout: Duration,
    ) -> Result<Wire> {
        let cannot = || format!("cannot connect to {} by {}", remote, transport.word());
        let (socket, local) = match transport {
            Transport::Udp => {
                let any = if remote.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
                let socket = UdpSocket::bind(any).with_context(cannot)?;
                socket.connect(remote).with_context(cannot)?;
                let local = socket.local_addr()?;
                (Socket::Udp(socket), local)
            }
            Transport::Tcp => {
                let stream = TcpStream::connect_timeout(&remote, timeout).with_context(cannot)?;
                stream.set_nodelay(true)?;
                let local = stream.local_addr()?;
                (Socket::Tcp(stream, Vec::new()), local)
            }
        };
        Ok(Wire { socket, local, remote })
    }

    pub(crate) fn transport(&self) -> Transport {
        match self.socket {
            Socket::Udp(_) => Transport::Udp,
            Socket::Tcp(..) => Transport::Tcp,
        }
    }

    pub(crate) fn reliable(&self) -> bool {
        self.transport() != Transport::Udp
    }

    pub(crate) fn local(&self) -> SocketAddr {
        self.local
    }

    pub(crate) fn remote(&self) -> SocketAddr {
        self.remote
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        match &mut self.socket {
            Socket::Udp(socket) => socket.send(bytes).map(|_| ()),
            Socket::Tcp(stream, _) => stream.write_all(bytes),
        }
    }

    /// The next message, or none by then.
    pub(crate) fn receive(&mut self, until: Instant) -> Result<Option<Vec<u8>>> {
        loop {
            if let Socket::Tcp(_, buffer) = &mut self.socket
                && let Some(message) = framed(buffer)
            {
                return Ok(Some(message));
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            let result = match &mut self.socket {
                Socket::Udp(socket) => {
                    socket.set_read_timeout(Some(left))?;
                    let mut buffer = vec![0; 65_536];
                    match socket.recv(&mut buffer) {
                        Ok(size) => {
                            buffer.truncate(size);
                            return Ok(Some(buffer));
                        }
                        Err(error) => Err(error),
                    }
                }
                Socket::Tcp(stream, buffer) => {
                    stream.set_read_timeout(Some(left))?;
                    let mut chunk = [0; 16_384];
                    match stream.read(&mut chunk) {
                        Ok(0) => bail!("the server closed the connection"),
                        Ok(size) if buffer.len() + size > MOST => bail!("the answer is too long"),
                        Ok(size) => {
                            buffer.extend_from_slice(&chunk[..size]);
                            Ok(())
                        }
                        Err(error) => Err(error),
                    }
                }
            };
            match result {
                Ok(()) => {}
                Err(error)
                    if matches!(
                        error.kind(),
                        std::io::ErrorKind::WouldBlock
                            | std::io::ErrorKind::TimedOut
                            | std::io::ErrorKind::Interrupted
                    ) => {}
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
                    bail!("nobody listens at {}", self.remote)
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Takes the first message off a stream's bytes (RFC 3261 section 18.3).
fn framed(buffer: &mut Vec<u8>) -> Option<Vec<u8>> {
    let blank = buffer.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
    buffer.drain(..blank);
    let (_, size) = Text::read(buffer, true)?;
    Some(buffer.drain(..size).collect())
}
