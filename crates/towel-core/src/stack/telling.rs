//! What an onlooker is told of what was dropped or refused: made up only where somebody wants it,
//! and never more lines than a log can take, however much there is to tell.
//!
//! Of what a stranger wrote a line has the method and, for calls, who calls whom: the beginning of
//! it, without what moves a terminal.

use std::time::Duration;

use towel_message::{Fault, Index, Message, Name, NameAddr};

use super::{ClientId, Received, ServerId, Stack};
use crate::io::{Flow, Instant, Level, Now, Outbox};

/// Lines in one [`WINDOW`], of each kind of gravity.
const MOST: u32 = 20;
/// How long a window is.
const WINDOW: Duration = Duration::from_secs(1);
/// How much of a method's name is told.
const METHOD: usize = 32;

/// What can be set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// What is less grave is not told.
    pub level: Level,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { level: Level::Error }
    }
}

/// Lines told since a moment.
#[derive(Clone, Copy, Debug, Default)]
struct Window {
    began: Instant,
    told: u32,
    hidden: u64,
}

/// Counts what was told.
#[derive(Debug)]
pub(super) struct Teller {
    settings: Settings,
    /// A flood of small things is not to hide the great ones.
    windows: [(Level, Window); 3],
}

impl Teller {
    pub(super) fn new(settings: &Settings) -> Teller {
        let windows =
            [Level::Debug, Level::Info, Level::Warn].map(|level| (level, Window::default()));
        Teller { settings: settings.clone(), windows }
    }

    pub(super) fn reload(&mut self, settings: &Settings) {
        self.settings = settings.clone();
    }

    /// When it has to be said how much was not told.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let open = self.windows.iter().filter(|(_, window)| window.hidden > 0);
        open.map(|(_, window)| window.began + WINDOW).min()
    }

    /// Says how much was not told, where its time has come.
    pub(super) fn due(&mut self, now: Now, out: &mut Outbox) {
        for (level, window) in &mut self.windows {
            if window.hidden > 0 && now.at.since(window.began) >= WINDOW {
                let text = format!("{} more lines of this level are not shown", window.hidden);
                out.event(*level, "not-shown", text);
                *window = Window { began: now.at, ..Window::default() };
            }
        }
    }

    /// Whether something of this level would be told now. What would not is counted as hidden.
    fn has_room(&mut self, now: Now, level: Level) -> bool {
        if level < self.settings.level {
            return false;
        }
        let found = self.windows.iter_mut().find(|(of, _)| *of >= level);
        let Some((_, window)) = found else { return true };
        let full = window.told >= MOST && now.at.since(window.began) < WINDOW;
        window.hidden += u64::from(full);
        !full
    }

    fn tell(
        &mut self,
        now: Now,
        out: &mut Outbox,
        level: Level,
        kind: &'static str,
        text: impl FnOnce() -> String,
    ) {
        if level < self.settings.level {
            return;
        }
        self.due(now, out);
        let found = self.windows.iter_mut().find(|(of, _)| *of >= level);
        if let Some((_, window)) = found {
            if now.at.since(window.began) >= WINDOW {
                *window = Window { began: now.at, ..Window::default() };
            }
            if window.told >= MOST {
                window.hidden += 1;
                return;
            }
            window.told += 1;
        }
        out.event(level, kind, text());
    }
}

impl Stack {
    /// Tells an onlooker, if one wants to know things of this level and was not told too much just
    /// now. `text` is made only then.
    pub fn tell(
        &mut self,
        now: Now,
        out: &mut Outbox,
        level: Level,
        kind: &'static str,
        text: impl FnOnce() -> String,
    ) {
        self.teller.tell(now, out, level, kind, text);
    }

    /// Tells how a call began that an INVITE is to set up: the users, as its From and its
    /// Request-URI name them, and the final response. Within a dialog there is nothing to tell.
    pub fn tell_call(&mut self, now: Now, out: &mut Outbox, id: ServerId, status: u16) {
        let Some(server) = self.servers.get(id).filter(|server| !server.compact) else { return };
        let kind = match status {
            200..=299 => "call-answered",
            487 => "call-cancelled",
            _ => "call-failed",
        };
        // Under load few are told, and the others are not even read.
        if !self.teller.has_room(now, Level::Info) {
            return;
        }
        let mut index = Index::new();
        let parsed = Message::parse(&server.request, &mut index, &self.transport.limits);
        let Some(message) = parsed.ok().filter(|message| message.to_tag().is_none()) else {
            return;
        };
        let remote = server.source.remote;
        self.teller.tell(now, out, Level::Info, kind, || {
            let from = message.value(Name::From).and_then(|value| NameAddr::parse(value).ok());
            let caller = shown(from.map_or(b"", |address| address.uri));
            let called = shown(message.request_uri());
            let what = match status {
                200..=299 => "was answered".to_owned(),
                487 => "was given up".to_owned(),
                _ => format!("failed with {status}"),
            };
            format!("the call of {caller} ({remote}) to {called} {what}")
        });
    }

    /// Tells that a request of ours, or one that is passed on, did not get there.
    pub(super) fn tell_lost(&mut self, now: Now, out: &mut Outbox, id: ClientId, why: &str) {
        let Some(client) = self.clients.get(id) else { return };
        let method = client.method.as_bytes();
        let way = client.target().map(|target| (target.addr, target.transport));
        let Some((addr, transport)) = way else { return };
        self.teller.tell(now, out, Level::Warn, "transport-failed", || {
            format!("{} to {addr} over {transport}: {why}", shown(method))
        });
    }

    /// Tells of a response that its request's sender did not take.
    pub(super) fn tell_server(
        &mut self,
        now: Now,
        out: &mut Outbox,
        id: ServerId,
        kind: &'static str,
        what: &str,
    ) {
        let Some(server) = self.servers.get(id) else { return };
        let (remote, transport) = (server.reply().remote, server.reply().transport);
        let level = Level::Warn;
        self.teller.tell(now, out, level, kind, || format!("{remote} over {transport}: {what}"));
    }

    /// Tells of a message that goes nowhere.
    pub(super) fn tell_dropped(
        &mut self,
        now: Now,
        out: &mut Outbox,
        flow: &Flow,
        why: impl FnOnce() -> String,
    ) {
        self.tell(now, out, Level::Debug, "dropped", || {
            format!("{}, from {} over {}", why(), flow.remote, flow.transport)
        });
    }

    /// Tells of a request that is refused for what it says, or for what its sender may not.
    pub fn tell_refused(
        &mut self,
        now: Now,
        out: &mut Outbox,
        level: Level,
        request: &Received<'_>,
        status: u16,
        reason: &str,
    ) {
        self.tell(now, out, level, "refused", || {
            let method = request.message.method();
            let method = method.as_bytes();
            let method = String::from_utf8_lossy(method.get(..METHOD).unwrap_or(method));
            let Flow { remote, transport, .. } = request.flow;
            format!("{method} gets {status} {reason}, from {remote} over {transport}")
        });
    }
}

/// What a peer wrote, as a line can show it: its beginning, without what moves a terminal.
fn shown(bytes: &[u8]) -> String {
    const MOST: usize = 80;
    let text = String::from_utf8_lossy(bytes.get(..MOST).unwrap_or(bytes));
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// A fault with the header field that it is in.
pub(super) fn fault(what: &str, fault: &Fault) -> String {
    match fault.field.map(Name::as_str) {
        Some(field) => format!("{what}: {} ({field}, byte {})", fault.reason, fault.at),
        None => format!("{what}: {} (byte {})", fault.reason, fault.at),
    }
}
