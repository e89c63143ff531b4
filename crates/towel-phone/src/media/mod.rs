//! The audio of all calls: sockets, and a few threads that serve them.
//!
//! A thread waits for all sockets of its calls at once and gives each call its turn every 20 ms, so
//! that thousands can be up. Nothing that is said here waits: orders go to a thread by a queue, and
//! what happens comes back by [`Media::next`], after the bell that the owner gave has been rung.

mod line;
mod worker;

use std::fmt;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU16, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use nix::sys::eventfd::{EfdFlags, EventFd};
use towel_media::audio::Source;
use towel_media::session::{Session, Stats, Stream};

use line::Sockets;
pub use line::{Begin, Line};

use crate::Ear;

/// How many things that nobody has to know wait to be told; beyond it they are dropped.
const MOST_TOLD: usize = 10_000;

/// Rung when there is something to be told.
pub type Bell = Arc<dyn Fn() + Send + Sync>;

/// What media are to be like.
#[derive(Clone, Debug)]
pub struct MediaConfig {
    /// How many threads serve them.
    pub threads: usize,
    /// The ports for RTP and RTCP; `None`: any that are free.
    pub ports: Option<RangeInclusive<u16>>,
    /// The rate of all audio that goes in and out, in Hz: 8000, 16000 or 48000.
    pub rate: u32,
    /// For trials: the share of what arrives that is lost, and the seed of what is.
    pub lose: Option<(f64, u64)>,
}

impl Default for MediaConfig {
    /// One thread, any port, 16000 Hz.
    fn default() -> MediaConfig {
        MediaConfig { threads: 1, ports: None, rate: crate::RATE, lose: None }
    }
}

/// What a thread tells.
#[derive(Debug)]
pub enum Told {
    /// A digit began (RFC 4733).
    Digit(u64, char),
    /// The key is used up: another offer is due (RFC 3711 section 9.2).
    KeyExhausted(u64),
    /// The audio of a line has ended, in figures, with what went wrong.
    Ended(u64, Option<Box<Stats>>, Option<String>),
}

/// What a thread is told.
enum Order {
    Begin(u64, Box<Started>),
    Change(u64, Box<Stream>),
    Quiet(u64),
    Dial(u64, Vec<char>),
    Play(u64, Box<dyn Source + Send>, Option<towel_media::audio::Echo>),
    End(u64),
}

/// A call's audio that begins.
struct Started {
    sockets: Sockets,
    begin: Begin,
}

/// What a thread has in common with its owner.
struct Desk {
    orders: Sender<Order>,
    bell: Arc<EventFd>,
    /// How many lines it serves.
    lines: Arc<AtomicUsize>,
}

impl Desk {
    /// Whether the thread is there to hear it.
    fn order(&self, order: Order) -> bool {
        let heard = self.orders.send(order).is_ok();
        // Fails only if the counter is full, and then the thread is awake anyway.
        let _ = self.bell.write(1);
        heard
    }
}

/// The way back from the threads.
#[derive(Clone)]
struct Back {
    told: Sender<Told>,
    waiting: Arc<AtomicUsize>,
    bell: Bell,
}

impl Back {
    fn tell(&self, told: Told) {
        let waiting = self.waiting.fetch_add(1, Ordering::AcqRel);
        if waiting >= MOST_TOLD && !matches!(told, Told::Ended(..)) {
            self.waiting.fetch_sub(1, Ordering::AcqRel);
            return;
        }
        // Who has gone needs to know nothing.
        if self.told.send(told).is_ok() {
            (self.bell)();
        }
    }
}

/// The threads, and what they share.
struct Shared {
    desks: Vec<Desk>,
    config: MediaConfig,
    next_line: AtomicU64,
    next_port: AtomicU16,
    open: Arc<AtomicUsize>,
}

/// The audio of all calls. Its threads end when it and all its lines are dropped.
pub struct Media {
    shared: Arc<Shared>,
    told: Mutex<Receiver<Told>>,
    waiting: Arc<AtomicUsize>,
    threads: Vec<JoinHandle<()>>,
}

impl fmt::Debug for Media {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Media").field("config", &self.shared.config).finish_non_exhaustive()
    }
}

impl Media {
    /// Starts the threads.
    ///
    /// # Errors
    /// If the system has none, or no descriptors.
    pub fn new(config: MediaConfig, bell: Bell) -> std::io::Result<Media> {
        let (told, telling) = channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let open = Arc::new(AtomicUsize::new(0));
        let (mut desks, mut threads) = (Vec::new(), Vec::new());
        for number in 0..config.threads.max(1) {
            let (orders, ordered) = channel();
            let rung = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
            let rung = Arc::new(rung);
            let lines = Arc::new(AtomicUsize::new(0));
            let back = Back { told: told.clone(), waiting: waiting.clone(), bell: bell.clone() };
            let worker = worker::Worker::new(
                &config,
                number as u64,
                ordered,
                rung.clone(),
                back,
                lines.clone(),
            )?;
            let name = format!("media-{number}");
            threads.push(std::thread::Builder::new().name(name).spawn(|| worker.run())?);
            desks.push(Desk { orders, bell: rung, lines });
        }
        let next_port = AtomicU16::new(config.ports.as_ref().map_or(0, |ports| *ports.start()));
        let next_line = AtomicU64::new(1);
        let shared = Arc::new(Shared { desks, config, next_line, next_port, open });
        Ok(Media { shared, told: Mutex::new(telling), waiting, threads })
    }

    /// What media are like.
    pub fn config(&self) -> &MediaConfig {
        &self.shared.config
    }

    /// Takes ports at this address.
    ///
    /// # Errors
    /// If there are none.
    pub fn open(&self, address: IpAddr) -> std::io::Result<Line> {
        Line::open(self.shared.clone(), address)
    }

    /// How many lines have ports.
    pub fn lines(&self) -> usize {
        self.shared.open.load(Ordering::Acquire)
    }

    /// What happened since this was last asked.
    pub fn next(&self) -> Option<Told> {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner).try_recv().ok()?;
        self.waiting.fetch_sub(1, Ordering::AcqRel);
        Some(told)
    }
}

impl Drop for Media {
    fn drop(&mut self) {
        for desk in &self.shared.desks {
            // A line that lives on is ended here, since its thread is.
            desk.order(Order::End(u64::MAX));
        }
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// A session with what it needs besides: kept by a thread.
struct Talk {
    sockets: Sockets,
    session: Session,
    mouth: Box<dyn Source + Send>,
    ear: Ear,
    /// When it was last its turn.
    turn: towel_media::Instant,
    fault: Option<String>,
}
