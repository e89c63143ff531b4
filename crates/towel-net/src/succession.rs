//! What goes between two processes of which one follows the other on the same sockets: first the
//! sockets themselves, then what the one that goes does not keep for itself.

use std::fmt::Write as _;
use std::io::{self, IoSlice, IoSliceMut, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};
use towel_core::io::Transport;

/// The kind of the event that tells that a process which took over has ended before the one that it took
/// over from.
pub const FORSAKEN: &str = "hand-over-failed";

/// A listening socket that another process had or is to have.
#[derive(Debug)]
pub struct Given {
    /// The listener's number there.
    pub id: u16,
    /// What it speaks.
    pub transport: Transport,
    /// Where it is bound.
    pub local: SocketAddr,
    /// The port that was asked for there; 0 left it to the system.
    pub asked: u16,
    pub(crate) socket: OwnedFd,
}

/// The kernel passes some 250 descriptors at a time (`SCM_MAX_FD`).
const MOST: usize = 200;

/// Gives sockets to the process at the other end.
///
/// # Errors
/// What the system says, or that they are too many.
pub fn give(stream: &UnixStream, given: &[Given]) -> io::Result<()> {
    if given.len() > MOST {
        return Err(io::Error::other(format!("more than {MOST} listeners cannot be handed over")));
    }
    let mut text = String::new();
    for Given { id, transport, local, asked, .. } in given {
        // Writing into a String cannot fail.
        let _ = writeln!(text, "{id} {} {local} {asked}", transport.via_token());
    }
    text.push_str("end\n");
    let sockets: Vec<RawFd> = given.iter().map(|one| one.socket.as_raw_fd()).collect();
    let rights = [ControlMessage::ScmRights(&sockets)];
    let rights = if sockets.is_empty() { &[][..] } else { &rights[..] };
    let slices = [IoSlice::new(text.as_bytes())];
    let sent = sendmsg::<()>(stream.as_raw_fd(), &slices, rights, MsgFlags::MSG_NOSIGNAL, None)?;
    let mut stream = stream;
    stream.write_all(text.as_bytes().get(sent..).unwrap_or_default())
}

/// Refuses to give any, and says why.
///
/// # Errors
/// What the system says.
pub fn refuse(mut stream: &UnixStream, why: &str) -> io::Result<()> {
    stream.write_all(format!("no {}\nend\n", why.replace('\n', " ")).as_bytes())
}

/// Takes sockets from the process at the other end; the inner error is why it gives none.
///
/// # Errors
/// What the system says, or that nobody could make sense of what came.
pub fn take(stream: &UnixStream) -> io::Result<Result<Vec<Given>, String>> {
    let (mut text, mut sockets) = (Vec::new(), Vec::new());
    while !text.ends_with(b"end\n") {
        let mut room = [0; 16 << 10];
        let mut space = nix::cmsg_space!([RawFd; MOST]);
        let mut slices = [IoSliceMut::new(&mut room)];
        let flags = MsgFlags::MSG_CMSG_CLOEXEC;
        let message = recvmsg::<()>(stream.as_raw_fd(), &mut slices, Some(&mut space), flags)?;
        for one in message.cmsgs()? {
            if let ControlMessageOwned::ScmRights(fresh) = one {
                sockets.extend(fresh.into_iter().map(owned));
            }
        }
        let len = message.bytes;
        if len == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        text.extend_from_slice(room.get(..len).unwrap_or_default());
    }
    let text = String::from_utf8_lossy(&text);
    if let Some(why) = text.strip_prefix("no ") {
        return Ok(Err(why.lines().next().unwrap_or_default().to_owned()));
    }
    let lines = text.lines().take_while(|line| *line != "end");
    let all: Option<Vec<Given>> =
        lines.zip(sockets).map(|(line, socket)| read_line(line, socket)).collect();
    all.map(Ok).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

#[allow(unsafe_code)]
fn owned(fresh: RawFd) -> OwnedFd {
    // SAFETY: the kernel has just made this descriptor for this process in answer to the call
    // above; nobody else knows its number, so nobody else closes it.
    unsafe { OwnedFd::from_raw_fd(fresh) }
}

fn read_line(line: &str, socket: OwnedFd) -> Option<Given> {
    let mut words = line.split(' ');
    Some(Given {
        id: words.next()?.parse().ok()?,
        transport: Transport::from_token(words.next()?.as_bytes())?,
        local: words.next()?.parse().ok()?,
        asked: words.next()?.parse().ok()?,
        socket,
    })
}

/// What is told over the socket between the two, once the sockets are given. The one that goes tells
/// the first four, the one that comes [`Frame::Stream`] and [`Frame::Closed`], what is to be sent on a
/// connection of the other's, and that it is to be closed, and [`Frame::Farewell`]: it was told to stop.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Frame<'a> {
    Datagram { listener: u16, remote: SocketAddr, bytes: &'a [u8] },
    Opened { id: u64, ends: Ends, identities: Vec<String> },
    Stream { id: u64, bytes: &'a [u8] },
    Closed { id: u64 },
    Farewell,
}

/// Where a connection goes.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub(crate) struct Ends {
    pub(crate) transport: Transport,
    pub(crate) listener: u16,
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
}

fn put_address(out: &mut Vec<u8>, address: SocketAddr) {
    match address.ip() {
        IpAddr::V4(ip) => {
            out.push(4);
            out.extend_from_slice(&ip.octets());
        }
        IpAddr::V6(ip) => {
            out.push(6);
            out.extend_from_slice(&ip.octets());
        }
    }
    out.extend_from_slice(&address.port().to_be_bytes());
}

/// The rest of a frame that is being read.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*first)
    }

    fn address(&mut self) -> Option<SocketAddr> {
        let ip = match self.take()? {
            [4] => IpAddr::from(self.take::<4>()?),
            [6] => IpAddr::from(self.take::<16>()?),
            _ => return None,
        };
        Some(SocketAddr::new(ip, u16::from_be_bytes(self.take()?)))
    }
}

impl Frame<'_> {
    fn put(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&[0; 4]);
        match self {
            Frame::Datagram { listener, remote, bytes } => {
                out.push(0);
                out.extend_from_slice(&listener.to_be_bytes());
                put_address(out, *remote);
                out.extend_from_slice(bytes);
            }
            Frame::Opened { id, ends, identities } => {
                out.push(1);
                out.extend_from_slice(&id.to_be_bytes());
                let transport = Transport::ALL.iter().position(|t| *t == ends.transport);
                out.push(transport.and_then(|at| u8::try_from(at).ok()).unwrap_or_default());
                out.extend_from_slice(&ends.listener.to_be_bytes());
                put_address(out, ends.local);
                put_address(out, ends.remote);
                out.extend_from_slice(identities.join("\n").as_bytes());
            }
            Frame::Stream { id, bytes } => {
                out.push(2);
                out.extend_from_slice(&id.to_be_bytes());
                out.extend_from_slice(bytes);
            }
            Frame::Closed { id } => {
                out.push(3);
                out.extend_from_slice(&id.to_be_bytes());
            }
            Frame::Farewell => out.push(4),
        }
        let len = u32::try_from(out.len() - start - 4).unwrap_or(u32::MAX);
        if let Some(place) = out.get_mut(start..start + 4) {
            place.copy_from_slice(&len.to_be_bytes());
        }
    }

    fn read(bytes: &[u8]) -> Option<Frame<'_>> {
        let mut rest = Rest(bytes);
        Some(match rest.take()? {
            [0] => Frame::Datagram {
                listener: u16::from_be_bytes(rest.take()?),
                remote: rest.address()?,
                bytes: rest.0,
            },
            [1] => Frame::Opened {
                id: u64::from_be_bytes(rest.take()?),
                ends: Ends {
                    transport: *Transport::ALL.get(usize::from(rest.take::<1>()?[0]))?,
                    listener: u16::from_be_bytes(rest.take()?),
                    local: rest.address()?,
                    remote: rest.address()?,
                },
                identities: std::str::from_utf8(rest.0).ok()?.lines().map(str::to_owned).collect(),
            },
            [2] => Frame::Stream { id: u64::from_be_bytes(rest.take()?), bytes: rest.0 },
            [3] => Frame::Closed { id: u64::from_be_bytes(rest.take()?) },
            [4] => Frame::Farewell,
            _ => return None,
        })
    }
}

/// How many bytes may wait for the other process before what else comes is lost, as on a full wire.
const WAITING: usize = 64 << 20;

/// One end of the socket between the two. What is told before the other listens waits.
#[derive(Debug, Default)]
pub(crate) struct Channel {
    pub(crate) stream: Option<UnixStream>,
    out: Vec<u8>,
    sent: usize,
    held: Vec<u8>,
    /// Frames for which there was no room.
    pub(crate) lost: u64,
}

impl Channel {
    pub(crate) fn new(stream: UnixStream) -> Channel {
        Channel { stream: Some(stream), ..Channel::default() }
    }

    pub(crate) fn tell(&mut self, frame: &Frame<'_>) {
        if self.out.len() - self.sent > WAITING {
            self.lost += 1;
            return;
        }
        frame.put(&mut self.out);
    }

    /// Whether something has still to be told.
    pub(crate) fn waits(&self) -> bool {
        self.sent < self.out.len()
    }

    /// Takes over what was told to another end.
    pub(crate) fn append(&mut self, other: Channel) {
        self.out.extend_from_slice(other.out.get(other.sent..).unwrap_or_default());
    }

    /// Tells as much as the other takes now. An error is its end, which reading will show.
    pub(crate) fn flush(&mut self) {
        let Some(stream) = &mut self.stream else { return };
        while let Some(bytes) = self.out.get(self.sent..).filter(|bytes| !bytes.is_empty()) {
            match stream.write(bytes) {
                Ok(sent) => self.sent += sent,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        if self.sent == self.out.len() {
            self.out.clear();
            self.sent = 0;
        } else if self.sent > WAITING / 64 {
            self.out.drain(..self.sent);
            self.sent = 0;
        }
    }

    /// Reads all that the other has told; says whether it is still there.
    pub(crate) fn fill(&mut self) -> bool {
        let Some(stream) = &mut self.stream else { return false };
        let mut room = [0; 32 << 10];
        loop {
            match stream.read(&mut room) {
                Ok(0) => return false,
                Ok(len) => self.held.extend_from_slice(room.get(..len).unwrap_or_default()),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return e.kind() == io::ErrorKind::WouldBlock,
            }
        }
    }

    /// Hands every whole frame that was read to `each`; says whether all could be made sense of.
    pub(crate) fn frames(&mut self, mut each: impl FnMut(&mut Self, Frame<'_>)) -> bool {
        let held = std::mem::take(&mut self.held);
        let (mut rest, mut sound) = (&held[..], true);
        while let Some((len, after)) = rest.split_first_chunk::<4>() {
            let Some((frame, next)) = after.split_at_checked(u32::from_be_bytes(*len) as usize)
            else {
                break;
            };
            match Frame::read(frame) {
                Some(frame) => each(self, frame),
                None => sound = false,
            }
            rest = next;
        }
        self.held = rest.to_vec();
        sound
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, UdpSocket};

    #[test]
    fn what_is_told_arrives_whole_however_it_is_cut() {
        let (v4, v6) = ("192.0.2.1:5060".parse().unwrap(), "[2001:db8::1]:5061".parse().unwrap());
        let ends = Ends { transport: Transport::Tls, listener: 3, local: v6, remote: v4 };
        let identities = vec!["one.test".to_owned(), "two.test".to_owned()];
        let all = || {
            [
                Frame::Datagram { listener: 2, remote: v4, bytes: b"OPTIONS" },
                Frame::Datagram { listener: 65_535, remote: v6, bytes: b"" },
                Frame::Opened { id: 1 << 63 | 7, ends, identities: identities.clone() },
                Frame::Opened { id: 0, ends, identities: Vec::new() },
                Frame::Stream { id: u64::MAX, bytes: &[0, 1, 2, 255] },
                Frame::Closed { id: 9 },
                Frame::Farewell,
            ]
        };
        let mut bytes = Vec::new();
        all().iter().for_each(|frame| frame.put(&mut bytes));
        for piece in [1, 3, 7, bytes.len()] {
            let (mut channel, mut next) = (Channel::default(), 0);
            for chunk in bytes.chunks(piece) {
                channel.held.extend_from_slice(chunk);
                assert!(channel.frames(|_, frame| {
                    assert_eq!(frame, all()[next]);
                    next += 1;
                }));
            }
            assert_eq!(next, 7);
        }
        let held = vec![0, 0, 0, 1, 9, 0, 0, 0, 2, 0, 0];
        let mut odd = Channel { held, ..Channel::default() };
        assert!(!odd.frames(|_, frame| panic!("{frame:?}")));
    }

    #[test]
    fn sockets_go_over_and_a_refusal_says_why() {
        let (here, there) = UnixStream::pair().unwrap();
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let (at, tcp_at) = (udp.local_addr().unwrap(), tcp.local_addr().unwrap());
        let given = [
            Given { id: 0, transport: Transport::Udp, local: at, asked: 5060, socket: udp.into() },
            Given { id: 4, transport: Transport::Tls, local: tcp_at, asked: 0, socket: tcp.into() },
        ];
        give(&here, &given).unwrap();
        drop(given);
        let taken = take(&there).unwrap().unwrap();
        let told: Vec<_> = taken.iter().map(|g| (g.id, g.transport, g.local, g.asked)).collect();
        assert_eq!(told, [(0, Transport::Udp, at, 5060), (4, Transport::Tls, tcp_at, 0)]);
        let [udp, _tcp] = <[Given; 2]>::try_from(taken).unwrap();
        let socket = UdpSocket::from(udp.socket);
        UdpSocket::bind("127.0.0.1:0").unwrap().send_to(b"still there", at).unwrap();
        assert_eq!(socket.recv(&mut [0; 64]).unwrap(), 11);
        refuse(&here, "not\nnow").unwrap();
        assert_eq!(take(&there).unwrap().unwrap_err(), "not now");
        drop(here);
        assert!(take(&there).is_err());
    }
}
