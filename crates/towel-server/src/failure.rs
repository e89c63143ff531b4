//! What is done when the core fails: a panic, which a core without faults would not have.
//!
//! The core is only memory. What must outlive it is in the store, and the sockets belong to the driver. So
//! the input that brought it down is kept in the data folder for whoever mends the fault, a new core is
//! made from the configuration and the store, and it goes on with the same sockets and connections. Requests
//! that were under way are lost, as in a restart, and their senders send them again; calls go on, since the
//! proxy has no memory of them. Whoever fails too often is ended: what brings it down each time would
//! otherwise do so for ever.

use std::any::Any;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use towel_core::io::{ConnectionId, Input, Instant, Level, Listener, Now, Outbox};

/// The time within which failures are counted.
const WITHIN: Duration = Duration::from_secs(600);
/// How many inputs are kept; later ones are not.
const MOST_KEPT: usize = 32;

/// The input that was being taken in.
#[derive(Debug, Clone, Copy)]
pub struct Kept<'a> {
    what: &'static str,
    from: Option<SocketAddr>,
    connection: Option<ConnectionId>,
    bytes: &'a [u8],
}

impl<'a> Kept<'a> {
    /// What can be kept of an input.
    pub fn of(input: &Input<'a>) -> Kept<'a> {
        let (from, connection, bytes) = match *input {
            Input::Datagram { remote, bytes, .. } => (Some(remote), None, bytes),
            Input::Stream { connection, bytes } => (None, Some(connection), bytes),
            _ => (None, None, &[][..]),
        };
        let what = match input {
            Input::Listening(_) => "a listener",
            Input::ListenerGone(_) => "the end of a listener",
            Input::Datagram { .. } => "a datagram",
            Input::Opened { .. } => "a connection",
            Input::Stream { .. } => "bytes of a connection",
            Input::Closed { .. } => "the end of a connection",
            Input::Unreachable { .. } => "an ICMP error",
            Input::Resolved { .. } => "an answer of DNS",
            Input::Stored { .. } => "word of the store",
            Input::Backlog { .. } => "word of a backlog",
            Input::Tick => "a timer",
            Input::Command(_) => "a command",
            Input::FromShard { .. } => "an errand of another shard",
        };
        Kept { what, from, connection, bytes }
    }

    /// Something that came from within.
    pub fn other(what: &'static str) -> Kept<'a> {
        Kept { what, from: None, connection: None, bytes: &[] }
    }
}

/// Makes a machine anew, in the place of one that failed and with these listeners; none if it cannot be.
pub type Anew<M> = Box<dyn FnMut(Now, &mut Outbox, &M, &[Listener]) -> Option<M> + Send>;

/// What is done if a machine fails.
pub struct Mend<M> {
    /// See there.
    pub(crate) anew: Anew<M>,
    folder: PathBuf,
    /// How often within ten minutes.
    most: usize,
    times: VecDeque<Instant>,
}

impl<M> std::fmt::Debug for Mend<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mend").finish_non_exhaustive()
    }
}

impl<M> Mend<M> {
    /// Inputs are kept in the folder `failures` of the data folder; a machine is made anew so often within
    /// ten minutes at most.
    pub fn new(data: &Path, most: usize, anew: Anew<M>) -> Mend<M> {
        remember_places();
        Mend { anew, folder: data.join("failures"), most, times: VecDeque::new() }
    }

    /// Whether it may be made anew once more.
    pub(crate) fn may(&mut self, now: Now) -> bool {
        self.times.retain(|at| now.at.since(*at) < WITHIN);
        if self.times.len() >= self.most {
            return false;
        }
        self.times.push_back(now.at);
        true
    }

    /// Keeps the input and tells of the failure.
    pub(crate) fn note(&self, out: &mut Outbox, input: &Kept<'_>, why: &(dyn Any + Send)) {
        let why = PLACE.take().unwrap_or_else(|| said(why));
        let Kept { what, from, connection, .. } = *input;
        let from = match (from, connection) {
            (Some(from), _) => format!(" from {from}"),
            (None, Some(ConnectionId(number))) => format!(" {number}"),
            (None, None) => String::new(),
        };
        let kept = match self.keep(input, &format!("{what}{from}"), &why) {
            Ok(path) => format!("kept as {}", path.display()),
            Err(e) => format!("not kept: {e}"),
        };
        let text = format!("{why}; it was taking in {what}{from}, {kept}. The core is made anew");
        out.event(Level::Error, "core-failed", text);
    }

    fn keep(&self, input: &Kept<'_>, what: &str, why: &str) -> std::io::Result<PathBuf> {
        std::fs::create_dir_all(&self.folder)?;
        if std::fs::read_dir(&self.folder)?.count() >= 2 * MOST_KEPT {
            return Err(std::io::Error::other("there are enough already; remove them"));
        }
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let name = format!("{}-{:06}", since.as_secs(), since.subsec_micros());
        // What a peer sent may hold credentials.
        let path = self.folder.join(format!("{name}.input"));
        crate::secret::write_private(&path, input.bytes)?;
        let about = format!("{what}\n{why}\n");
        crate::secret::write_private(&self.folder.join(format!("{name}.txt")), about.as_bytes())?;
        Ok(path)
    }
}

thread_local! {
    /// What the last panic of this thread said, and where it was.
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Has panics note where they were, besides what is done with them otherwise.
fn remember_places() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let place = info.location().map(ToString::to_string).unwrap_or_default();
            let text = format!("{} at {place}", said(info.payload()));
            PLACE.with(|last| last.replace(Some(text)));
            before(info);
        }));
    });
}

/// The words of a panic.
fn said(why: &(dyn Any + Send)) -> String {
    let text = why.downcast_ref::<&str>().copied();
    text.or_else(|| why.downcast_ref::<String>().map(String::as_str)).unwrap_or("a panic").into()
}

#[cfg(test)]
mod tests;
