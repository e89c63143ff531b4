//! Two user agents and the datagrams between them, in virtual time.

mod basic;
mod extending;
mod forking;
mod offering;
mod random;
mod referring;

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::*;
use crate::contract::Roles;
use crate::io::{Listener, ListenerId, Output, Transport};

/// When it arrives, its number, to which end, the bytes.
type Flying = (u64, u64, usize, Vec<u8>);
/// Whether a message is lost: its number from 0, the end that sent it, its text.
type Loses = dyn FnMut(u64, usize, &str) -> bool;

/// The ends: arthur at 192.0.2.1, ford at 192.0.2.2; what is sent elsewhere goes to the script.
pub(super) struct Pair {
    pub(super) ends: [UserAgent; 2],
    pub(super) now: Now,
    /// What is under way.
    flying: BinaryHeap<Reverse<Flying>>,
    number: u64,
    /// What was sent: from which end, and the text.
    pub(super) sent: Vec<(usize, String)>,
    /// What is lost.
    pub(super) loses: Box<Loses>,
    /// How long a message takes, in microseconds.
    pub(super) takes: Box<dyn FnMut(u64) -> u64>,
    pub(super) events: [Vec<Event>; 2],
}

pub(super) const ARTHUR: usize = 0;
pub(super) const FORD: usize = 1;
const START: u64 = 1_000_000_000;

fn address(end: usize) -> std::net::SocketAddr {
    format!("192.0.2.{}:5060", end + 1).parse().unwrap()
}

impl Pair {
    pub(super) fn new() -> Pair {
        Pair::with(Registry::assemble(&[], Roles::UA), Registry::assemble(&[], Roles::UA))
    }

    /// The same with descriptions that are held to the rules.
    pub(super) fn describing() -> Pair {
        let mut pair = Pair::new();
        for end in &mut pair.ends {
            end.core.profile.offers = true;
        }
        pair
    }

    pub(super) fn with(first: Registry, second: Registry) -> Pair {
        let mut end = 0;
        let ends = [("arthur", first), ("ford", second)].map(|(name, registry)| {
            let profile = Profile {
                address: format!("<sip:{name}@example.com>"),
                contact: name.into(),
                offers: false,
                ..Profile::default()
            };
            end += 1;
            UserAgent::new(&Settings::default(), profile, registry, [end; 32])
        });
        let mut pair = Pair {
            ends,
            now: Now { at: Instant(START), unix: 1_800_000_000 },
            flying: BinaryHeap::new(),
            number: 0,
            sent: Vec::new(),
            loses: Box::new(|_, _, _| false),
            takes: Box::new(|_| 1_000),
            events: [Vec::new(), Vec::new()],
        };
        for end in [ARTHUR, FORD] {
            let listener = Listener {
                id: ListenerId(0),
                transport: Transport::Udp,
                local: address(end),
                advertised: None,
            };
            pair.act(end, |ua, now, out| ua.handle(now, Input::Listening(listener), out));
        }
        pair
    }

    /// Does something at one end and sends what comes of it on its way.
    pub(super) fn act<R>(
        &mut self,
        end: usize,
        act: impl FnOnce(&mut UserAgent, Now, &mut Outbox) -> R,
    ) -> R {
        let mut out = Outbox::new();
        let result = act(&mut self.ends[end], self.now, &mut out);
        for output in &out.outputs {
            let Output::Transmit { flow, bytes } = output else { continue };
            let bytes = out.bytes(bytes).to_vec();
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let number = self.number;
            self.number += 1;
            let lost = (self.loses)(number, end, &text);
            let to = if flow.remote == address(ARTHUR) { ARTHUR } else { FORD };
            if !lost && flow.remote == address(to) {
                let at = self.now.at.0 + (self.takes)(number);
                self.flying.push(Reverse((at, number, to, bytes)));
            }
            self.sent.push((end, text));
        }
        while let Some(event) = self.ends[end].next_event() {
            self.events[end].push(event);
        }
        result
    }

    /// Lets time pass until nothing is left to do, or to a moment.
    pub(super) fn run_until(&mut self, micros: u64) {
        let until = START + micros;
        for _ in 0..1_000_000 {
            let deadlines = [ARTHUR, FORD].map(|end| self.ends[end].deadline().map(|at| at.0));
            let flying = self.flying.peek().map(|Reverse((at, ..))| *at);
            let next = deadlines.into_iter().flatten().chain(flying).min();
            let Some(next) = next.filter(|next| *next <= until) else { break };
            self.now.at = Instant(next.max(self.now.at.0));
            if flying == Some(next) {
                let Reverse((_, _, to, bytes)) = self.flying.pop().unwrap();
                let remote = address(1 - to);
                let input = Input::Datagram { listener: ListenerId(0), remote, bytes: &bytes };
                self.act(to, |ua, now, out| ua.handle(now, input, out));
                continue;
            }
            for end in [ARTHUR, FORD] {
                if deadlines[end].is_some_and(|at| at <= next) {
                    self.act(end, |ua, now, out| ua.handle(now, Input::Tick, out));
                }
            }
        }
        self.now.at = Instant(self.now.at.0.max(until));
    }

    /// Lets so many milliseconds pass.
    pub(super) fn pass(&mut self, millis: u64) {
        self.run_until(self.now.at.0 - START + millis * 1_000);
    }

    /// Delivers bytes to an end as if the other had sent them.
    pub(super) fn inject(&mut self, to: usize, text: &str) {
        let remote = address(1 - to);
        let bytes = text.as_bytes();
        let input = Input::Datagram { listener: ListenerId(0), remote, bytes };
        self.act(to, |ua, now, out| ua.handle(now, input, out));
    }

    /// The events of an end, taken.
    pub(super) fn told(&mut self, end: usize) -> Vec<Event> {
        std::mem::take(&mut self.events[end])
    }

    /// The first lines of what an end sent, taken: of requests the method, of responses the status
    /// and the method.
    pub(super) fn said(&mut self, end: usize) -> Vec<String> {
        let lines = self.sent.iter().filter(|(by, _)| *by == end).map(|(_, text)| short(text));
        let lines = lines.collect();
        self.sent.retain(|(by, _)| *by != end);
        lines
    }

    /// A whole call: arthur calls, ford answers.
    pub(super) fn talk(&mut self) -> ([CallHandle; 2], [DialogHandle; 2]) {
        let invite = Ask::invite("sip:ford@192.0.2.2", "offer");
        let call = self.act(ARTHUR, |ua, now, out| ua.call(now, out, invite)).unwrap();
        self.pass(10);
        let theirs = incoming(&self.told(FORD));
        let answer = Answer::new(200).sdp("answer");
        self.act(FORD, |ua, now, out| ua.answer(now, out, theirs, answer)).unwrap();
        self.pass(10);
        let ours = established(&self.told(ARTHUR)).expect("established");
        let dialog = established(&self.told(FORD)).expect("established");
        ([call, theirs], [ours, dialog])
    }

    /// After all timers nothing is left.
    pub(super) fn is_empty(&mut self) {
        self.pass(200_000);
        for end in [ARTHUR, FORD] {
            assert_eq!(self.ends[end].sizes(), [0; 5], "end {end}");
            assert!(self.ends[end].is_drained(), "end {end}");
        }
    }
}

pub(super) fn short(text: &str) -> String {
    let first = text.lines().next().unwrap_or_default();
    let method = first.split(' ').next().unwrap_or_default();
    if method != "SIP/2.0" {
        return method.into();
    }
    let status = first.split(' ').nth(1).unwrap_or_default();
    let of = field(text, "CSeq").split(' ').nth(1).unwrap_or_default().to_owned();
    format!("{status} {of}")
}

pub(super) fn field<'t>(text: &'t str, name: &str) -> &'t str {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).unwrap_or("")
}

pub(super) fn incoming(events: &[Event]) -> CallHandle {
    let found = events.iter().find_map(|event| match event {
        Event::Incoming { call, .. } => Some(*call),
        _ => None,
    });
    found.expect("a call that comes in")
}

pub(super) fn established(events: &[Event]) -> Option<DialogHandle> {
    events.iter().find_map(|event| match event {
        Event::Established { dialog, .. } => Some(*dialog),
        _ => None,
    })
}

pub(super) fn ending(events: &[Event]) -> Option<Ending> {
    events.iter().find_map(|event| match event {
        Event::Ended { why, .. } => Some(why.clone()),
        _ => None,
    })
}
