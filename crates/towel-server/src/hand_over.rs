//! A new process takes over from the one that runs on the same data folder: for an upgrade, or for a
//! setting that a reload cannot change.
//!
//! The two speak by a Unix socket in the data folder. The new one asks; the old one gives its listening
//! sockets, and nothing has changed yet. When the new one has all that it needs it says so: the old one
//! takes nothing new from then on, has what waits for the disk written, closes the store and says
//! that it is the other's. What comes meanwhile is kept for it ([`towel_net::Driver::follow`]).

use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use towel_net::{Bind, Given, give, refuse, take};

use crate::config::{Durability, LogLevel};
use crate::control::{Control, locked};

/// What the one that comes says first. The number is that of how they speak.
const ASK: &str = "towel hand-over 1";
/// The one that comes has all that it needs.
const READY: &str = "ready";
/// The store is the other's.
const YOURS: &str = "yours";
/// How long either waits for a word of the other.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long records that wait for the disk may take.
const STORING: Duration = Duration::from_secs(10);

/// Where they meet.
fn meeting(data: &Path) -> PathBuf {
    data.join("hand-over")
}

/// What a server keeps of being followed.
#[derive(Debug, Default)]
pub(crate) struct Leaving {
    /// Whether somebody else has taken over.
    gone: AtomicBool,
    /// Ends the HTTP port.
    http: Mutex<Option<oneshot::Sender<()>>>,
}

impl Leaving {
    pub(crate) fn http_by(&self, end: oneshot::Sender<()>) {
        *locked(&self.http) = Some(end);
    }

    /// Whether the data folder is somebody else's.
    pub(crate) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }
}

/// A server that runs and would give its place to us.
#[derive(Debug)]
pub(crate) struct Predecessor {
    pub(crate) stream: UnixStream,
    pub(crate) given: Vec<Given>,
}

impl Predecessor {
    /// Asks the server that runs on a data folder; none runs if `None`.
    pub(crate) fn ask(data: &Path) -> Result<Option<Predecessor>, String> {
        let path = meeting(data);
        let mut stream = match UnixStream::connect(&path) {
            Ok(stream) => stream,
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => {
                return Ok(None);
            }
            Err(e) => return Err(format!("{}: {e}", path.display())),
        };
        let cannot = |e: std::io::Error| format!("the server that runs does not hand over: {e}");
        stream.set_read_timeout(Some(PATIENCE)).map_err(cannot)?;
        writeln!(stream, "{ASK}").map_err(cannot)?;
        match take(&stream).map_err(cannot)? {
            Ok(given) => Ok(Some(Predecessor { stream, given })),
            Err(why) => Err(format!("the server that runs does not hand over: {why}")),
        }
    }

    /// Takes over: when this returns the store is ours.
    pub(crate) fn take_over(mut stream: UnixStream) -> Result<UnixStream, String> {
        let cannot = |e: std::io::Error| format!("the server that ran did not hand over: {e}");
        writeln!(stream, "{READY}").map_err(cannot)?;
        let mut word = vec![0; YOURS.len() + 1];
        stream.read_exact(&mut word).map_err(cannot)?;
        if word != format!("{YOURS}\n").as_bytes() {
            return Err("the server that ran did not hand over its store".into());
        }
        Ok(stream)
    }
}

/// Waits on a thread of its own for somebody who wants to take over.
pub(crate) fn wait(control: &Arc<Control>) -> std::io::Result<()> {
    let path = meeting(&control.data);
    // Of one that was killed, or that we have followed.
    match std::fs::remove_file(&path) {
        Err(e) if e.kind() != ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let listener = UnixListener::bind(&path)?;
    let control = Arc::clone(control);
    std::thread::Builder::new().name("hand-over".into()).spawn(move || {
        for stream in listener.incoming() {
            let Ok(stream) = stream else { continue };
            match serve(&control, &stream) {
                Ok(true) => return,
                Ok(false) => {}
                Err(e) => {
                    control.log.event(LogLevel::Warn, "hand-over-failed", e.to_string());
                }
            }
        }
    })?;
    Ok(())
}

/// Speaks with one who wants to take over; says whether it has.
fn serve(control: &Control, stream: &UnixStream) -> std::io::Result<bool> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let mut word = || lines.next().unwrap_or_else(|| Err(ErrorKind::UnexpectedEof.into()));
    if word()? != ASK {
        refuse(stream, "it does not know how this version asks: stop it and start the new one")?;
        return Ok(false);
    }
    if control.config().durability == Durability::Memory {
        refuse(stream, "its bindings are in its memory alone (durability = \"memory\")")?;
        return Ok(false);
    }
    let Some(mut given) = control.handle.offer(PATIENCE) else {
        refuse(stream, "it is stopping, or has itself not taken over yet: try again in a while")?;
        return Ok(false);
    };
    asked_ports(&mut given, &locked(&control.listeners).groups);
    give(stream, &given)?;
    drop(given);
    // The other may find that it cannot start; nothing has changed here then.
    match word() {
        Ok(word) if word == READY => {}
        _ => return Ok(false),
    }
    control.leaving.gone.store(true, Ordering::Release);
    let began = Instant::now();
    control.handle.hand_over(control.config().transport.hand_over);
    if let Some(end) = locked(&control.leaving.http).take() {
        let _ = end.send(());
    }
    while began.elapsed() < STORING {
        let settled = control.jobs.ask(|element, _, _| {
            let endpoint = element.machine();
            endpoint.stack().is_handed_over() && endpoint.server().registrar().waiting() == 0
        });
        if settled != Ok(false) {
            break;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    control.store.close();
    let mut out = stream;
    writeln!(out, "{YOURS}")?;
    control.handle.followed_by(stream.try_clone()?);
    let text = format!("the store was free after {:.1?}", began.elapsed());
    control.log.event(LogLevel::Info, "handed-over", text);
    Ok(true)
}

/// Notes which ports were left to the system, so that the other knows what stands for its own.
fn asked_ports(given: &mut [Given], groups: &[(Bind, Vec<towel_core::io::Listener>)]) {
    for one in given {
        let group = groups.iter().find(|(_, all)| all.iter().any(|l| l.id.0 == one.id));
        if let Some((bind, _)) = group {
            one.asked = bind.addr.port();
        }
    }
}
