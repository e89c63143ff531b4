//! The sockets of one call's audio, and the thread that carries it.

use std::io;
use std::net::{IpAddr, UdpSocket};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use towel_media::Instant;
use towel_media::audio::Source;
use towel_media::session::{Channel, Config, Outbox, Session, Stats, Stream};

use crate::sound::{Ear, RATE};

/// How often two neighbouring ports are looked for.
const TRIES: usize = 500;
/// How many packets are taken from a socket before audio has its turn.
const PACKETS: usize = 64;
/// How much is played at a time.
const FRAME: Duration = Duration::from_millis(20);

/// What the thread is told.
enum Order {
    Change(Box<Stream>),
    End,
}

/// What is left of a call's audio.
pub(crate) struct Ended {
    pub(crate) stats: Option<Stats>,
    pub(crate) fault: Option<String>,
}

/// Two sockets side by side, for RTP and RTCP (RFC 3550 section 11), and the audio of a call once
/// it has begun. It ends when it is dropped.
pub struct Line {
    sockets: Option<[UdpSocket; 2]>,
    port: u16,
    running: Option<(Sender<Order>, JoinHandle<Ended>)>,
}

impl Line {
    /// Takes two ports at this address.
    ///
    /// # Errors
    /// If there are none.
    pub fn open(address: IpAddr) -> io::Result<Line> {
        for _ in 0..TRIES {
            let rtp = UdpSocket::bind((address, 0))?;
            let port = rtp.local_addr()?.port();
            if !port.is_multiple_of(2) {
                continue;
            }
            if let Ok(rtcp) = UdpSocket::bind((address, port + 1)) {
                rtcp.set_nonblocking(true)?;
                return Ok(Line { sockets: Some([rtp, rtcp]), port, running: None });
            }
        }
        Err(io::Error::new(io::ErrorKind::AddrInUse, "there are no two ports side by side"))
    }

    /// The port of RTP.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether audio has begun.
    pub fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// Begins to speak and to listen. `seed` is what nobody guesses.
    ///
    /// # Errors
    /// In words for a person, if it has begun before or the system has no thread.
    pub fn start(
        &mut self,
        seed: u64,
        stream: Stream,
        mouth: Box<dyn Source + Send>,
        ear: Ear,
    ) -> Result<(), String> {
        let Some(sockets) = self.sockets.take() else { return Err("it is in use".into()) };
        let config = Config {
            rate: RATE,
            // A name that tells of nobody (RFC 7022 section 4.2).
            cname: format!("{:016x}", seed.rotate_left(32) ^ 0x5bd1_e995),
            seed,
            unix: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
            ..Config::default()
        };
        let session = Session::new(config, stream, Instant(0)).map_err(|e| e.to_string())?;
        let (orders, told) = channel();
        let worker = Worker { sockets, session, mouth, ear, out: Outbox::new(), told };
        let thread = std::thread::Builder::new().name("audio".into()).spawn(|| worker.run());
        self.running = Some((orders, thread.map_err(|e| e.to_string())?));
        Ok(())
    }

    /// Goes on by another offer and answer.
    pub fn change(&mut self, stream: Stream) {
        if let Some((orders, _)) = &self.running {
            let _ = orders.send(Order::Change(Box::new(stream)));
        }
    }

    /// Says goodbye and ends.
    pub(crate) fn end(&mut self) -> Option<Ended> {
        let (orders, thread) = self.running.take()?;
        let _ = orders.send(Order::End);
        let fault = || Ended { stats: None, fault: Some("the audio has broken down".into()) };
        Some(thread.join().unwrap_or_else(|_| fault()))
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

struct Worker {
    sockets: [UdpSocket; 2],
    session: Session,
    mouth: Box<dyn Source + Send>,
    ear: Ear,
    out: Outbox,
    told: Receiver<Order>,
}

impl Worker {
    fn run(mut self) -> Ended {
        let begun = std::time::Instant::now();
        let now = || Instant(u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX));
        let frame = u64::try_from(FRAME.as_micros()).unwrap_or(1);
        let mut heard = vec![0; RATE as usize / 50];
        let (mut played, mut fault) = (0, None);
        loop {
            match self.told.try_recv() {
                Ok(Order::Change(stream)) => {
                    if let Err(why) = self.session.renegotiate(*stream, now()) {
                        fault = Some(why.to_string());
                    }
                }
                Ok(Order::End) | Err(TryRecvError::Disconnected) => break,
                Err(TryRecvError::Empty) => {}
            }
            self.session.poll(now(), &mut *self.mouth, &mut self.out);
            self.send();
            while played < now().0 / frame {
                played += 1;
                self.session.play(now(), &mut heard);
                self.ear.hear(&heard);
            }
            let next = Instant((played + 1) * frame);
            let due = self.session.timeout().map_or(next, |due| due.min(next));
            self.receive(due.since(now()).max(Duration::from_millis(1)), &now);
        }
        self.session.end(now(), &mut self.out);
        self.send();
        let stats = Some(self.session.stats());
        Ended { stats, fault: self.ear.finish().err().or(fault) }
    }

    fn send(&mut self) {
        let [rtp, rtcp] = &self.sockets;
        for (channel, to, packet) in self.out.packets() {
            // Who is not there hears nothing: there is nothing else to do about it.
            let _ = if channel == Channel::Rtp { rtp } else { rtcp }.send_to(packet, to);
        }
        self.out.clear();
    }

    /// Takes what has come; waits for RTP, but not longer than this.
    fn receive(&mut self, wait: Duration, now: &dyn Fn() -> Instant) {
        let [rtp, rtcp] = &self.sockets;
        let mut bytes = [0; 2048];
        for (socket, channel) in [(rtcp, Channel::Rtcp), (rtp, Channel::Rtp)] {
            // RTCP never waits; of RTP the first packet may.
            if channel == Channel::Rtp && socket.set_read_timeout(Some(wait)).is_err() {
                return std::thread::sleep(wait);
            }
            for _ in 0..if channel == Channel::Rtp { 1 } else { PACKETS } {
                let Ok((length, from)) = socket.recv_from(&mut bytes) else { break };
                let packet = bytes.get_mut(..length).unwrap_or_default();
                self.session.receive(now(), channel, from, packet, &mut self.out);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Play;
    use std::net::SocketAddr;
    use towel_media::codec::Codec;

    #[test]
    fn two_lines_hear_each_other_and_a_change_goes_through() {
        let local = IpAddr::from([127, 0, 0, 1]);
        let (mut ford, mut zaphod) = (Line::open(local).unwrap(), Line::open(local).unwrap());
        let to = |line: &Line| Stream::of(Codec::Pcma, 8, SocketAddr::new(local, line.port()));
        let (there, here) = (to(&zaphod), to(&ford));
        let (mouth, ear) = Play::Tone(440.0).open().unwrap();
        ford.start(1, there.clone(), mouth, ear).unwrap();
        let (mouth, ear) = Play::Echo.open().unwrap();
        zaphod.start(2, here, mouth, ear).unwrap();
        assert!(ford.is_running());
        ford.change(Stream { codecs: Stream::of(Codec::Pcma, 8, there.remote).codecs, ..there });
        std::thread::sleep(Duration::from_millis(600));
        let ended = ford.end().unwrap();
        let stats = ended.stats.unwrap();
        assert_eq!(ended.fault, None);
        assert!(stats.counts.sent > 0 && stats.counts.received > 0, "{stats:?}");
        assert!(zaphod.end().unwrap().stats.unwrap().counts.received > 0);
        assert!(zaphod.end().is_none());
    }
}
