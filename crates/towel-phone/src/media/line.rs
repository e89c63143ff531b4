//! The ports of one call's audio.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use towel_media::audio::Source;
use towel_media::session::Stream;

use super::{Order, Shared, Started};
use crate::Ear;

/// How often two neighbouring ports are looked for where the system chooses.
const TRIES: usize = 100;

/// Two sockets side by side, for RTP and RTCP (RFC 3550 section 11). Closed, they are given back.
pub(super) struct Sockets {
    pub(super) rtp: UdpSocket,
    /// Gone once RTCP shares the port of RTP (RFC 5761).
    pub(super) rtcp: Option<UdpSocket>,
    open: Arc<AtomicUsize>,
}

impl Drop for Sockets {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::AcqRel);
    }
}

/// What begins when a stream is agreed on.
pub struct Begin {
    /// The stream.
    pub stream: Stream,
    /// What is said.
    pub mouth: Box<dyn Source + Send>,
    /// What becomes of what is heard.
    pub ear: Ear,
    /// What nobody guesses.
    pub seed: u64,
    /// Silence is sent as comfort noise where that is agreed on (RFC 3389).
    pub noise: bool,
    /// Extended reports are agreed on (RFC 3611).
    pub extended_reports: bool,
}

/// The ports of one call's audio, and the audio once it has begun. It ends when it is dropped.
pub struct Line {
    shared: Arc<Shared>,
    id: u64,
    port: u16,
    waiting: Option<Sockets>,
    /// Which thread serves it.
    desk: Option<usize>,
}

impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Line").field("id", &self.id).field("port", &self.port).finish()
    }
}

impl Line {
    pub(super) fn open(shared: Arc<Shared>, address: IpAddr) -> io::Result<Line> {
        let (rtp, rtcp) = match &shared.config.ports {
            None => anywhere(address)?,
            Some(ports) => {
                let (low, high) = (ports.start().saturating_add(ports.start() % 2), *ports.end());
                let pairs = high.saturating_sub(low).saturating_add(1) / 2;
                // Each pair once, from where the last call left off, so that a late packet of a call
                // that is over does not meet a new one.
                let free = (0..pairs).find_map(|_| {
                    let last = shared.next_port.fetch_add(2, Ordering::AcqRel);
                    let port = low + (last.wrapping_sub(low) / 2 % pairs) * 2;
                    pair(address, port).ok()
                });
                let none = "all ports for audio are in use: give more of them";
                free.ok_or_else(|| io::Error::new(io::ErrorKind::AddrInUse, none))?
            }
        };
        rtp.set_nonblocking(true)?;
        rtcp.set_nonblocking(true)?;
        let port = rtp.local_addr()?.port();
        let id = shared.next_line.fetch_add(1, Ordering::AcqRel);
        shared.open.fetch_add(1, Ordering::AcqRel);
        let sockets = Sockets { rtp, rtcp: Some(rtcp), open: shared.open.clone() };
        Ok(Line { shared, id, port, waiting: Some(sockets), desk: None })
    }

    /// By which [`super::Told`] names it.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The port of RTP.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether audio has begun.
    pub fn is_running(&self) -> bool {
        self.desk.is_some()
    }

    /// Begins to speak and to listen, by the thread that has the fewest lines.
    ///
    /// # Errors
    /// In words for a person, if it has begun before or the thread is gone.
    pub fn begin(&mut self, begin: Begin) -> Result<(), String> {
        let Some(sockets) = self.waiting.take() else { return Err("it is in use".into()) };
        let desks = self.shared.desks.iter().enumerate();
        let least = desks.min_by_key(|(_, desk)| desk.lines.load(Ordering::Acquire));
        let Some((at, desk)) = least else { return Err("there is no thread for audio".into()) };
        desk.lines.fetch_add(1, Ordering::AcqRel);
        self.desk = Some(at);
        let started = Box::new(Started { sockets, begin });
        match desk.order(Order::Begin(self.id, started)) {
            true => Ok(()),
            false => Err("the audio has broken down".into()),
        }
    }

    fn order(&self, order: Order) -> bool {
        let desk = self.desk.and_then(|at| self.shared.desks.get(at));
        desk.is_some_and(|desk| desk.order(order))
    }

    /// Goes on by another offer and answer.
    pub fn change(&self, stream: Stream) {
        self.order(Order::Change(self.id, Box::new(stream)));
    }

    /// Neither speaks nor listens from now on: the peer has refused the stream.
    pub fn quiet(&self) {
        self.order(Order::Quiet(self.id));
    }

    /// Sends digits as telephone events (RFC 4733).
    pub fn dial(&self, digits: &str) {
        self.order(Order::Dial(self.id, digits.chars().collect()));
    }

    /// Says something else from now on.
    ///
    /// # Errors
    /// In words for a person, if it cannot be played.
    pub fn play(&self, play: &crate::Play) -> Result<(), String> {
        let (mouth, ear) = play.open(self.shared.config.rate)?;
        self.order(Order::Play(self.id, mouth, ear.echo));
        Ok(())
    }

    /// Says goodbye and gives the ports back. Whether [`super::Told::Ended`] follows.
    pub fn end(&mut self) -> bool {
        self.waiting = None;
        let told = self.order(Order::End(self.id));
        self.desk = None;
        told
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.end();
    }
}

fn pair(address: IpAddr, port: u16) -> io::Result<(UdpSocket, UdpSocket)> {
    Ok((UdpSocket::bind((address, port))?, UdpSocket::bind((address, port.saturating_add(1)))?))
}

/// Any two ports side by side, the first of them even.
fn anywhere(address: IpAddr) -> io::Result<(UdpSocket, UdpSocket)> {
    for _ in 0..TRIES {
        let one = UdpSocket::bind(SocketAddr::new(address, 0))?;
        let port = one.local_addr()?.port();
        let even = port.is_multiple_of(2);
        let other = if even { port.checked_add(1) } else { port.checked_sub(1) };
        let Some(other) = other.and_then(|port| UdpSocket::bind((address, port)).ok()) else {
            continue;
        };
        return Ok(if even { (one, other) } else { (other, one) });
    }
    Err(io::Error::new(io::ErrorKind::AddrInUse, "there are no two ports side by side"))
}

/// How much is played at a time.
pub(super) const FRAME: Duration = Duration::from_millis(20);
