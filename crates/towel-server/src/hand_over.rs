//! A new process takes over from the one that runs on the same data folder: for an upgrade, or for a
//! setting that a reload cannot change.
//!
//! The two speak by a Unix socket in the data folder. The new one asks; the old one gives its listening
//! sockets, and nothing has changed yet. When the new one has all that it needs it says so: the old one
//! takes nothing new from then on, has what waits for the disk written, closes the store and says
//! that it is the other's. What comes meanwhile is kept for it ([`towel_net::Driver::follow`]).
//!
//! If the new one ends while the old one still has something to do, the old one starts its own program anew,
//! to take over from it: that reads the store as the one that ended left it, and has all that came
//! meanwhile. So a new version that cannot serve costs some seconds of waiting and no more.

use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::IpAddr;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use towel_core::abuse::Offence;
use towel_core::io::Now;
use towel_core::server::Endpoint;
use towel_net::{Bind, Given, give, refuse, take};

use crate::config::{Durability, LogLevel};
use crate::control::{Control, locked};
use crate::element::Element;

/// What the one that comes says first. The number is that of how they speak.
const ASK: &str = "towel hand-over 2";
/// The one that comes has all that it needs.
const READY: &str = "ready";
/// A ban that is in force: address, port (or none, or that of TCP), seconds, and why.
const BAN: &str = "ban ";
/// The store is the other's.
const YOURS: &str = "yours";
/// So many bans go over, and a word is no longer than that.
const BANS: usize = 100_000;
const WORD: usize = 256;
/// How often somebody is started in place of one who ended.
const AGAIN: usize = 3;
/// How long either waits for a word of the other.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long records that wait for the disk may take.
const STORING: Duration = Duration::from_secs(10);

/// Why a server on several threads does not hand over.
const SEVERAL: &str = "it runs on several threads (transport.threads), and only a server on one can be \
                       taken over from: stop it and start the new one";

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
    /// Tells that whoever took over has ended.
    forsaken: Mutex<Option<Sender<()>>>,
}

/// A ban as it goes over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Carried {
    pub(crate) address: IpAddr,
    pub(crate) port: Option<(u16, bool)>,
    pub(crate) time: Duration,
    pub(crate) why: &'static str,
}

impl Carried {
    fn line(&self) -> String {
        let port = match self.port {
            None => "-".to_owned(),
            Some((port, stream)) => format!("{}{port}", if stream { "tcp:" } else { "udp:" }),
        };
        format!("{BAN}{} {port} {} {}", self.address, self.time.as_secs(), self.why)
    }

    fn read(line: &str) -> Option<Carried> {
        let mut words = line.strip_prefix(BAN)?.splitn(4, ' ');
        let address = words.next()?.parse().ok()?;
        let port = match words.next()? {
            "-" => None,
            port => {
                let (kind, port) = port.split_once(':')?;
                Some((port.parse().ok()?, kind == "tcp"))
            }
        };
        let time = Duration::from_secs(words.next()?.parse().ok()?);
        let why = words.next()?;
        let why = Offence::WORDS.into_iter().find(|known| *known == why).unwrap_or("carried over");
        Some(Carried { address, port, time, why })
    }
}

impl Leaving {
    pub(crate) fn http_by(&self, end: oneshot::Sender<()>) {
        *locked(&self.http) = Some(end);
    }

    /// Whoever took over has ended.
    pub(crate) fn forsaken(&self) {
        if let Some(tell) = &*locked(&self.forsaken) {
            let _ = tell.send(());
        }
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

    /// Takes over: when this returns the store is ours, and the bans that were in force are told.
    pub(crate) fn take_over(mut stream: UnixStream) -> Result<(UnixStream, Vec<Carried>), String> {
        let cannot = |e: std::io::Error| format!("the server that ran did not hand over: {e}");
        writeln!(stream, "{READY}").map_err(cannot)?;
        let mut bans = Vec::new();
        for _ in 0..=BANS {
            let word = word(&mut stream).map_err(cannot)?;
            if word == YOURS {
                return Ok((stream, bans));
            }
            match Carried::read(&word) {
                Some(ban) => bans.push(ban),
                None => break,
            }
        }
        Err("the server that ran did not hand over its store".into())
    }
}

/// Reads a word up to the end of its line, and nothing of what follows it.
fn word(stream: &mut UnixStream) -> std::io::Result<String> {
    let mut word = Vec::new();
    let mut octet = [0];
    while word.len() < WORD {
        stream.read_exact(&mut octet)?;
        if octet == *b"\n" {
            return String::from_utf8(word).map_err(|_| ErrorKind::InvalidData.into());
        }
        word.extend_from_slice(&octet);
    }
    Err(ErrorKind::InvalidData.into())
}

/// Starts another process of this program that takes over from this one.
pub type StartAgain = Box<dyn Fn() -> std::io::Result<()> + Send>;

/// Waits on a thread of its own for somebody who wants to take over.
pub(crate) fn wait(control: &Arc<Control>, start_again: StartAgain) -> std::io::Result<()> {
    let mut listener = meet(&control.data)?;
    let control = Arc::clone(control);
    let (tell, forsaken) = channel();
    *locked(&control.leaving.forsaken) = Some(tell);
    std::thread::Builder::new().name("hand-over".into()).spawn(move || {
        for _ in 0..=AGAIN {
            while !is_followed(&control, &listener) {}
            // Until it ends, or we do.
            let Ok(()) = forsaken.recv() else { return };
            let begun = meet(&control.data).and_then(|here| {
                listener = here;
                start_again()
            });
            let told = match begun {
                Ok(()) => (LogLevel::Warn, "this program is started again to take over".to_owned()),
                Err(e) => (LogLevel::Error, format!("nobody takes over, and this one stops: {e}")),
            };
            control.log.event(told.0, "hand-over", told.1);
        }
    })?;
    Ok(())
}

fn meet(data: &Path) -> std::io::Result<UnixListener> {
    let path = meeting(data);
    // Of one that was killed, or that we have followed, or that followed us.
    match std::fs::remove_file(&path) {
        Err(e) if e.kind() != ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    UnixListener::bind(&path)
}

/// Speaks with the next one that comes; says whether it has taken over.
fn is_followed(control: &Control, listener: &UnixListener) -> bool {
    let Ok((stream, _)) = listener.accept() else { return false };
    serve(control, &stream).unwrap_or_else(|e| {
        control.log.event(LogLevel::Warn, "hand-over-failed", e.to_string());
        false
    })
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
    let [handle] = &control.handles[..] else {
        refuse(stream, SEVERAL)?;
        return Ok(false);
    };
    let Some(mut given) = handle.offer(PATIENCE) else {
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
    handle.hand_over(control.config().transport.hand_over);
    if let Some(end) = locked(&control.leaving.http).take() {
        let _ = end.send(());
    }
    while began.elapsed() < STORING {
        let settled = control.first(|element, _, _| {
            let endpoint = element.machine();
            endpoint.stack().is_handed_over() && endpoint.server().registrar().waiting() == 0
        });
        if settled != Ok(false) {
            break;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let bans = control.first(|element, now, _| bans(element, now)).unwrap_or_default();
    control.store.close();
    let mut out = stream;
    let lines: String = bans.iter().map(|ban| ban.line() + "\n").collect();
    out.write_all(lines.as_bytes())?;
    writeln!(out, "{YOURS}")?;
    handle.followed_by(stream.try_clone()?);
    let text = format!("the store was free after {:.1?}", began.elapsed());
    control.log.event(LogLevel::Info, "handed-over", text);
    Ok(true)
}

/// The bans that are in force, as many as go over.
fn bans(element: &mut Element<Endpoint>, now: Now) -> Vec<Carried> {
    let all = element.machine().stack().abuse().bans(now.at).into_iter().take(BANS);
    all.map(|ban| Carried {
        address: ban.address,
        port: ban.port.map(|port| (port, ban.stream)),
        time: ban.until.since(now.at),
        why: ban.why,
    })
    .collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ban_goes_over_as_it_is() {
        for (address, port) in [
            ("192.0.2.7", None),
            ("192.0.2.7", Some((5060, false))),
            ("2001:db8::", Some((49_152, true))),
        ] {
            let address = address.parse().unwrap();
            let why = "wrong passwords";
            let ban = Carried { address, port, time: Duration::from_secs(77), why };
            assert_eq!(Carried::read(&ban.line()), Some(ban.clone()));
            let other = ban.line().replace("wrong passwords", "of a later version");
            assert_eq!(Carried::read(&other), Some(Carried { why: "carried over", ..ban }));
        }
        for bad in ["yours", "ban ", "ban 192.0.2.7", "ban 192.0.2.7 - x y", "ban x - 1 y"] {
            assert_eq!(Carried::read(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_word_ends_with_its_line() {
        let (mut here, mut there) = UnixStream::pair().unwrap();
        there.write_all(b"ban x\nyours\n\0\0frames").unwrap();
        assert_eq!(word(&mut here).unwrap(), "ban x");
        assert_eq!(word(&mut here).unwrap(), "yours");
        let mut rest = [0; 8];
        here.read_exact(&mut rest).unwrap();
        assert_eq!(&rest, b"\0\0frames");
        there.write_all(&[b'x'; 300]).unwrap();
        assert!(word(&mut here).is_err());
    }
}
