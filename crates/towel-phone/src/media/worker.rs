//! A thread that carries the audio of many calls.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::EventFd;
use towel_media::session::{Channel, Config, Event, Outbox, Session};
use towel_media::{Instant, Random, dtmf};
use towel_sdp::Direction;

use super::line::{FRAME, Sockets};
use super::{Back, MediaConfig, Order, Started, Talk, Told};

/// In how many groups calls have their turns, one after the other within a frame.
const PHASES: u64 = 4;
/// How many packets are taken from a socket at a time.
const PACKETS: usize = 64;
/// How much that was missed is made up for; more is skipped.
const LATEST: Duration = Duration::from_millis(500);
/// How long a digit sounds.
const DIGIT: Duration = Duration::from_millis(100);
/// By which the bell is known among the sockets.
const BELL: u64 = u64::MAX;
/// The longest packet that is read.
const LONGEST: usize = 2048;

pub(super) struct Worker {
    orders: Receiver<Order>,
    bell: Arc<EventFd>,
    epoll: Epoll,
    back: Back,
    lines: Arc<AtomicUsize>,
    rate: u32,
    lose: Option<(f64, Random)>,
    began: std::time::Instant,
    unix: Duration,
    talks: HashMap<u64, Talk>,
    /// Who has its turn in each part of a frame.
    phases: Vec<Vec<u64>>,
    /// How many parts of frames have gone by.
    ticks: u64,
    out: Outbox,
    heard: Vec<i16>,
}

impl Worker {
    pub(super) fn new(
        config: &MediaConfig,
        number: u64,
        orders: Receiver<Order>,
        bell: Arc<EventFd>,
        back: Back,
        lines: Arc<AtomicUsize>,
    ) -> std::io::Result<Worker> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        epoll.add(&*bell, EpollEvent::new(EpollFlags::EPOLLIN, BELL))?;
        Ok(Worker {
            orders,
            bell,
            epoll,
            back,
            lines,
            rate: config.rate,
            lose: config.lose.map(|(share, seed)| (share, Random::new(seed ^ number))),
            began: std::time::Instant::now(),
            unix: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
            talks: HashMap::new(),
            phases: vec![Vec::new(); PHASES as usize],
            ticks: 0,
            out: Outbox::new(),
            heard: vec![0; config.rate as usize / 50],
        })
    }

    fn now(&self) -> Instant {
        Instant(u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    fn tick() -> u64 {
        u64::try_from(FRAME.as_micros()).unwrap_or(u64::MAX) / PHASES
    }

    pub(super) fn run(mut self) {
        let mut events = [EpollEvent::empty(); 256];
        loop {
            if !self.take_orders() {
                return;
            }
            self.take_turns();
            let ready = self.epoll.wait(&mut events, self.patience()).unwrap_or(0);
            for event in events.get(..ready).unwrap_or_default() {
                match event.data() {
                    BELL => {
                        let _ = self.bell.read();
                    }
                    socket => self.receive(socket),
                }
            }
        }
    }

    /// How long nothing is due.
    fn patience(&self) -> EpollTimeout {
        if self.talks.is_empty() {
            return EpollTimeout::NONE;
        }
        let next = Instant((self.ticks + 1).saturating_mul(Self::tick()));
        let left = next.since(self.now());
        // Rounded up: a turn that comes too early does nothing and is to be waited for again.
        EpollTimeout::try_from(left + Duration::from_micros(999)).unwrap_or(EpollTimeout::ZERO)
    }

    /// Does what it is told; whether anybody is left to work for.
    fn take_orders(&mut self) -> bool {
        loop {
            match self.orders.try_recv() {
                Ok(Order::End(u64::MAX)) | Err(TryRecvError::Disconnected) => {
                    let ids: Vec<_> = self.talks.keys().copied().collect();
                    ids.into_iter().for_each(|id| self.end(id));
                    return false;
                }
                Ok(order) => self.obey(order),
                Err(TryRecvError::Empty) => return true,
            }
        }
    }

    fn obey(&mut self, order: Order) {
        let now = self.now();
        match order {
            Order::Begin(id, started) => self.begin(id, *started),
            Order::End(id) => self.end(id),
            Order::Change(id, stream) => {
                let Some(talk) = self.talks.get_mut(&id) else { return };
                let mux = stream.mux;
                if let Err(why) = talk.session.renegotiate(*stream, now) {
                    talk.fault = Some(why.to_string());
                }
                if mux {
                    share(&self.epoll, &mut talk.sockets);
                }
            }
            Order::Quiet(id) => {
                let Some(talk) = self.talks.get_mut(&id) else { return };
                let mut stream = talk.session.stream().clone();
                (stream.direction, stream.unreachable) = (Direction::Inactive, true);
                let _ = talk.session.renegotiate(stream, now);
            }
            Order::Dial(id, digits) => {
                let Some(talk) = self.talks.get_mut(&id) else { return };
                for digit in digits {
                    if let Err(why) = talk.session.dial(digit, DIGIT) {
                        talk.fault = Some(why.to_string());
                    }
                }
            }
            Order::Play(id, mouth, echo) => {
                let Some(talk) = self.talks.get_mut(&id) else { return };
                talk.mouth = mouth;
                talk.ear.echo = echo;
            }
        }
    }

    fn begin(&mut self, id: u64, started: Started) {
        let Started { sockets, begin } = started;
        // It begins with its turn, so that its frames are due when it has one.
        let phase = id % PHASES;
        let now = self.now();
        let tick = now.0 / Self::tick();
        let turn = tick + 1 + (PHASES + phase - (tick + 1) % PHASES) % PHASES;
        let turn = Instant(turn.saturating_mul(Self::tick()));
        if self.talks.is_empty() {
            // Nobody had a turn while nobody was there.
            self.ticks = tick;
        }
        let config = Config {
            rate: self.rate,
            // A name that tells of nobody (RFC 7022 section 4.2).
            cname: format!("{:016x}", begin.seed.rotate_left(32) ^ 0x5bd1_e995),
            seed: begin.seed,
            unix: self.unix,
            dtx: begin.noise,
            extended_reports: begin.extended_reports,
            ..Config::default()
        };
        let mux = begin.stream.mux;
        let watched = self.watch(id, &sockets);
        let session = Session::new(config, begin.stream, turn).map_err(|e| e.to_string());
        let session = watched.map_err(|e| e.to_string()).and(session);
        match session {
            Ok(session) => {
                let (mouth, ear) = (begin.mouth, begin.ear);
                let mut talk = Talk { sockets, session, mouth, ear, turn, fault: None };
                if mux {
                    share(&self.epoll, &mut talk.sockets);
                }
                self.talks.insert(id, talk);
                if let Some(phase) = self.phases.get_mut(phase as usize) {
                    phase.push(id);
                }
            }
            Err(fault) => {
                drop(sockets);
                self.lines.fetch_sub(1, Ordering::AcqRel);
                self.back.tell(Told::Ended(id, None, Some(fault)));
            }
        }
    }

    fn watch(&self, id: u64, sockets: &Sockets) -> nix::Result<()> {
        self.epoll.add(&sockets.rtp, EpollEvent::new(EpollFlags::EPOLLIN, id << 1))?;
        match &sockets.rtcp {
            Some(rtcp) => self.epoll.add(rtcp, EpollEvent::new(EpollFlags::EPOLLIN, id << 1 | 1)),
            None => Ok(()),
        }
    }

    /// Says goodbye, closes the sockets and tells how it was.
    fn end(&mut self, id: u64) {
        let Some(mut talk) = self.talks.remove(&id) else { return };
        if let Some(phase) = self.phases.get_mut((id % PHASES) as usize) {
            phase.retain(|other| *other != id);
        }
        talk.session.end(self.now(), &mut self.out);
        send(&talk.sockets, &mut self.out);
        let stats = Some(Box::new(talk.session.stats()));
        let fault = talk.ear.finish().err().or(talk.fault);
        drop(talk.sockets);
        self.lines.fetch_sub(1, Ordering::AcqRel);
        self.back.tell(Told::Ended(id, stats, fault));
    }

    /// Gives everybody their turn whose time has come.
    fn take_turns(&mut self) {
        let now = self.now();
        let due = now.0 / Self::tick();
        // What is older than that is skipped by each call for itself.
        self.ticks = self.ticks.max(due.saturating_sub(2 * PHASES));
        while self.ticks < due && !self.talks.is_empty() {
            self.ticks += 1;
            let phase = (self.ticks % PHASES) as usize;
            let ids = self.phases.get_mut(phase).map(std::mem::take).unwrap_or_default();
            for id in &ids {
                let Some(talk) = self.talks.get_mut(id) else { continue };
                turn(talk, now, &mut self.out, &mut self.heard);
                tell(*id, talk, &self.back);
            }
            if let Some(phase) = self.phases.get_mut(phase) {
                *phase = ids;
            }
        }
    }

    /// Takes what has come by a socket.
    fn receive(&mut self, socket: u64) {
        let now = self.now();
        let id = socket >> 1;
        let Some(talk) = self.talks.get_mut(&id) else { return };
        let (from, channel) = match (&talk.sockets.rtcp, socket & 1) {
            (Some(rtcp), 1) => (rtcp, Channel::Rtcp),
            _ => (&talk.sockets.rtp, Channel::Rtp),
        };
        let mut bytes = [0; LONGEST];
        for _ in 0..PACKETS {
            let Ok((length, from)) = from.recv_from(&mut bytes) else { break };
            let lost = |(share, random): &mut (f64, Random)| random.fraction() < *share;
            if self.lose.as_mut().is_some_and(lost) {
                continue;
            }
            let packet = bytes.get_mut(..length).unwrap_or_default();
            talk.session.receive(now, channel, from, packet, &mut self.out);
        }
        send(&talk.sockets, &mut self.out);
        tell(id, talk, &self.back);
    }
}

/// Says and hears what is due.
fn turn(talk: &mut Talk, now: Instant, out: &mut Outbox, heard: &mut [i16]) {
    if now.since(talk.turn) > LATEST {
        talk.turn = now;
    }
    talk.session.poll(now, &mut *talk.mouth, out);
    while talk.turn <= now {
        talk.turn = talk.turn + FRAME;
        talk.session.play(now, heard);
        talk.ear.hear(heard);
    }
    send(&talk.sockets, out);
}

/// Tells what others have to know.
fn tell(id: u64, talk: &mut Talk, back: &Back) {
    while let Some(event) = talk.session.event() {
        match event {
            Event::EventBegan(code) => {
                if let Some(digit) = dtmf::digit(code) {
                    back.tell(Told::Digit(id, digit));
                }
            }
            Event::KeyExhausted => back.tell(Told::KeyExhausted(id)),
            _ => {}
        }
    }
}

fn send(sockets: &Sockets, out: &mut Outbox) {
    for (channel, to, packet) in out.packets() {
        let socket = match (channel, &sockets.rtcp) {
            (Channel::Rtcp, Some(rtcp)) => rtcp,
            _ => &sockets.rtp,
        };
        // Who is not there hears nothing: there is nothing else to do about it.
        let _ = socket.send_to(packet, to);
    }
    out.clear();
}

/// RTCP goes by the port of RTP from now on: its own is given back (RFC 5761).
fn share(epoll: &Epoll, sockets: &mut Sockets) {
    if let Some(rtcp) = sockets.rtcp.take() {
        let _ = epoll.delete(&rtcp);
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, SocketAddr};
    use std::sync::Arc;

    use towel_media::codec::Codec;
    use towel_media::session::{Stats, Stream};

    use super::super::{Begin, Line, Media, MediaConfig, Told};
    use crate::Play;

    const LOCAL: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn media(config: MediaConfig) -> Media {
        Media::new(config, Arc::new(|| ())).unwrap()
    }

    fn begin(line: &mut Line, to: &Line, play: &Play, seed: u64) {
        let (mouth, ear) = play.open(8000).unwrap();
        let stream = Stream::of(Codec::Pcma, 8, SocketAddr::new(LOCAL, to.port()));
        let (noise, extended_reports) = (false, false);
        line.begin(Begin { stream, mouth, ear, seed, noise, extended_reports }).unwrap();
    }

    /// How each of so many lines ended, by number.
    fn ended(media: &Media, lines: usize) -> Vec<(u64, Stats)> {
        let mut all = Vec::new();
        for _ in 0..2000 {
            match media.next() {
                Some(Told::Ended(id, stats, fault)) => {
                    assert_eq!(fault, None);
                    all.push((id, *stats.unwrap()));
                }
                Some(_) => {}
                None => std::thread::sleep(std::time::Duration::from_millis(10)),
            }
            if all.len() == lines {
                break;
            }
        }
        all.sort_by_key(|one| one.0);
        all
    }

    #[test]
    fn many_lines_share_threads_and_give_their_ports_back() {
        let config = MediaConfig { threads: 2, rate: 8000, ..MediaConfig::default() };
        let media = media(config);
        let mut lines: Vec<_> = (0..20).map(|_| media.open(LOCAL).unwrap()).collect();
        assert_eq!(media.lines(), 20);
        let ports: Vec<_> = lines.iter().map(Line::port).collect();
        let (fords, zaphods) = lines.split_at_mut(10);
        for (n, (ford, zaphod)) in fords.iter_mut().zip(zaphods).enumerate() {
            begin(ford, zaphod, &Play::Tone(440.0), n as u64);
            begin(zaphod, ford, &Play::Echo, 100 + n as u64);
        }
        // Each hears the other.
        std::thread::sleep(std::time::Duration::from_millis(700));
        lines[0].dial("1");
        let mut digit = None;
        for _ in 0..500 {
            match media.next() {
                Some(Told::Digit(id, one)) => digit = Some((id, one)),
                Some(other) => panic!("{other:?}"),
                None => std::thread::sleep(std::time::Duration::from_millis(2)),
            }
        }
        // It was not agreed on that there are any.
        assert_eq!(digit, None);
        for line in &mut lines {
            assert!(line.end());
        }
        // The refusal of the digit is told with the end of its line.
        let mut ends = 0;
        for _ in 0..2000 {
            match media.next() {
                Some(Told::Ended(_, stats, _)) => {
                    let counts = stats.unwrap().counts;
                    assert!(counts.sent > 0 && counts.received > 0, "{counts:?}");
                    ends += 1;
                }
                _ if ends == 20 => break,
                _ => std::thread::sleep(std::time::Duration::from_millis(10)),
            }
        }
        assert_eq!((ends, media.lines()), (20, 0));
        for port in ports {
            assert!(std::net::UdpSocket::bind((LOCAL, port)).is_ok(), "{port} is given back");
        }
    }

    #[test]
    fn ports_are_taken_from_the_range_alone_one_after_the_other() {
        let low = 22_100;
        let ports = Some(low..=low + 5);
        let media = media(MediaConfig { ports, ..MediaConfig::default() });
        let mut three: Vec<_> = (0..3).map(|_| media.open(LOCAL).unwrap()).collect();
        let taken: Vec<_> = three.iter().map(Line::port).collect();
        assert_eq!(taken, [low, low + 2, low + 4]);
        assert!(media.open(LOCAL).is_err());
        three.remove(1);
        assert_eq!(media.open(LOCAL).unwrap().port(), low + 2);
    }

    #[test]
    fn what_is_lost_on_purpose_is_counted_as_lost() {
        let lose = Some((0.2, 42));
        let media = media(MediaConfig { rate: 8000, lose, ..MediaConfig::default() });
        let (mut ford, mut zaphod) = (media.open(LOCAL).unwrap(), media.open(LOCAL).unwrap());
        begin(&mut ford, &zaphod, &Play::Tone(440.0), 1);
        begin(&mut zaphod, &ford, &Play::Silence, 2);
        std::thread::sleep(std::time::Duration::from_millis(1500));
        drop((ford, zaphod));
        let stats = ended(&media, 2);
        assert!(stats.iter().all(|(_, stats)| stats.loss.lost > 0), "{stats:?}");
    }
}
