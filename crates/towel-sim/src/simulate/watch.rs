//! What every element is held to with every step: that it says nothing that no input caused, ends
//! each transaction as RFC 3261 section 17 allows, and repeats nothing more often than it may.
//!
//! The watcher sees what an element is handed and what leaves it, reads both with a parser of its
//! own, and keeps its own account of transactions.

use std::collections::{BTreeMap, BTreeSet};

use towel_core::io::{ConnectionId, Machine};

use super::scenario::{SECOND, Scenario};
use crate::ladder;
use crate::network::{Came, Handled, Network, NodeId, Sent};
use crate::text::{Text, param};

/// The most requests that one message may cause at once: a target set, CANCELs for another, and
/// what the transaction itself says.
const MOST_AT_ONCE: usize = 80;
/// The most that the passing of time may cause at once; a whole table may be due.
const MOST_AT_TICK: usize = 2_000;
/// How many complaints end a run.
const ENOUGH: usize = 100;
/// How often a request leaves over UDP: Timer A doubles from T1 until 64*T1 (RFC 3261 17.1.1.2).
const INVITE_COPIES: u32 = 7;
/// Timer E doubles up to T2 (section 17.1.2.2).
const OTHER_COPIES: u32 = 11;
/// Timer G doubles up to T2 (section 17.2.1).
const FINAL_COPIES: u32 = 10;
/// Timer I (section 17.2.1).
const T4: u64 = 5 * SECOND;

/// Where in the network: an element and what tells a transaction apart there.
type At = (NodeId, String);

/// A request that came.
#[derive(Debug, Default)]
struct Asked {
    label: String,
    copies: u32,
    /// The same over all transactions of that name.
    ever: u32,
    reliable: bool,
    invite: bool,
    last: Option<u16>,
    last_at: u64,
    acked: Option<u64>,
    /// Whether it came once more after that.
    anew: bool,
    /// How often each response left.
    left: BTreeMap<Vec<u8>, u32>,
    branches: u32,
}

/// A request that left.
#[derive(Debug, Default)]
struct Left {
    copies: u32,
    provisional: bool,
    finals: u32,
    refusals: u32,
    acks: u32,
}

/// The account of one run.
pub(super) struct Watch {
    stateless: Vec<bool>,
    /// Those that have no room and refuse without a transaction.
    tight: Vec<bool>,
    attacked: bool,
    streams: BTreeMap<(NodeId, u32, ConnectionId), Vec<u8>>,
    lives: BTreeMap<NodeId, u32>,
    came: BTreeMap<At, Asked>,
    left: BTreeMap<At, Left>,
    /// How often which response came: Call-ID, CSeq and status.
    passed: BTreeMap<(NodeId, String, String, u16), u32>,
    /// The greatest CSeq of a REGISTER that came, by Call-ID.
    registers: BTreeMap<(NodeId, String), u32>,
    /// Elements that were handed what this reader cannot read.
    puzzled: BTreeSet<NodeId>,
    /// User agents among the elements: they ask things of themselves.
    agents: BTreeSet<NodeId>,
    late: BTreeMap<NodeId, u32>,
    complaints: Vec<String>,
}

fn key(text: &Text, via: usize, method: &str) -> Option<String> {
    let values = text.values("Via");
    let via = values.get(via)?;
    let sent_by = via.split(';').next()?.split_whitespace().last()?.to_ascii_lowercase();
    Some(format!("{}|{sent_by}|{method}", param(via, "branch").unwrap_or_default()))
}

fn reliable(text: &Text) -> bool {
    text.first("Via").is_some_and(|via| !via.to_ascii_uppercase().contains("/UDP"))
}

impl Watch {
    pub(super) fn new(scenario: &Scenario) -> Watch {
        Watch {
            stateless: scenario.servers.iter().map(|s| s.stateless).collect(),
            tight: scenario.servers.iter().map(|s| s.tight).collect(),
            attacked: scenario.attacked,
            streams: BTreeMap::new(),
            lives: BTreeMap::new(),
            came: BTreeMap::new(),
            left: BTreeMap::new(),
            passed: BTreeMap::new(),
            registers: BTreeMap::new(),
            puzzled: BTreeSet::new(),
            agents: BTreeSet::new(),
            late: BTreeMap::new(),
            complaints: Vec::new(),
        }
    }

    /// That element is a user agent.
    pub(super) fn has_agent(&mut self, node: NodeId) {
        self.agents.insert(node);
    }

    fn is_stateless(&self, node: NodeId) -> bool {
        self.stateless.get(node.0).copied().unwrap_or_default()
    }

    /// Looks at all that happened since it last looked.
    pub(super) fn look<A: Machine>(&mut self, net: &mut Network<A>) {
        for handled in net.take_handled() {
            let name = net.name(handled.node).to_string();
            let messages = self.handed(&handled);
            for text in &messages {
                self.arrived(handled.node, handled.at, text);
            }
            self.amount(&handled, &name, messages.len());
            for sent in &net.trace()[handled.sent.clone()] {
                let before = self.complaints.len();
                self.sent(sent);
                for complaint in &mut self.complaints[before..] {
                    let at = sent.at as f64 / 1e6;
                    let what = ladder::label(&sent.bytes);
                    *complaint = format!("{name} sent {what} at {at:.3}: {complaint}");
                }
            }
        }
    }

    /// Whether so much is wrong that nothing more is to be learnt.
    pub(super) fn has_enough(&self) -> bool {
        self.complaints.len() > ENOUGH || self.late.values().any(|late| *late > 100)
    }

    /// The messages that an input completed.
    fn handed(&mut self, handled: &Handled) -> Vec<Text> {
        let node = handled.node;
        let life = self.lives.insert(node, handled.life);
        if life.is_some_and(|life| life != handled.life) && !self.is_stateless(node) {
            // It knows nothing any more, so nothing of before may make it speak. But for the answer
            // to a CANCEL that was passed on without a transaction (RFC 3261 section 16.10): its
            // way is in the message (16.11), and that outlives whoever forwarded it.
            self.came.retain(|(at, which), came| {
                if *at != node {
                    return true;
                }
                came.last = None;
                came.left.clear();
                which.ends_with("|CANCEL") && came.branches > 0
            });
            self.left.retain(|(at, _), _| *at != node);
        }
        if self.attacked {
            // What mutated bytes say depends on who reads them.
            self.puzzled.insert(node);
        }
        match handled.came {
            Came::Datagram => match Text::datagram(&handled.bytes) {
                Some(text) => vec![text],
                None => {
                    self.puzzled.insert(node);
                    Vec::new()
                }
            },
            Came::Stream(connection) => {
                let buffer = self.streams.entry((node, handled.life, connection)).or_default();
                buffer.extend_from_slice(&handled.bytes);
                let mut all = Vec::new();
                loop {
                    let skip = buffer.iter().take_while(|b| b"\r\n".contains(b)).count();
                    buffer.drain(..skip);
                    let Some((text, taken)) = Text::read(buffer, true) else { break };
                    buffer.drain(..taken);
                    all.push(text);
                }
                all
            }
            Came::Tick | Came::Other => Vec::new(),
        }
    }

    /// How much came of one input.
    fn amount(&mut self, handled: &Handled, name: &str, messages: usize) {
        let most = match handled.came {
            Came::Datagram => MOST_AT_ONCE,
            Came::Stream(_) => MOST_AT_ONCE * (1 + messages),
            Came::Tick | Came::Other => MOST_AT_TICK,
        };
        if handled.sent.len() > most {
            let count = handled.sent.len();
            self.complaints.push(format!("{name} sent {count} messages for one input"));
        }
        if handled.outputs > 10 * most {
            let count = handled.outputs;
            self.complaints.push(format!("{name} wanted {count} things for one input"));
        }
        if handled.came == Came::Tick {
            let late = self.late.entry(handled.node).or_default();
            *late = if handled.late && handled.sent.is_empty() { *late + 1 } else { 0 };
            if *late == 100 {
                self.complaints.push(format!("{name} wants to be called for a time that is past"));
            }
        }
    }

    fn arrived(&mut self, node: NodeId, at: u64, text: &Text) {
        let method = text.method();
        if !text.is_request() {
            let Some(branch) = key(text, 0, method) else { return };
            let status = text.status();
            let left = self.left.entry((node, branch)).or_default();
            match status {
                0..200 => left.provisional = true,
                200..300 => left.finals += 1,
                _ => (left.finals, left.refusals) = (left.finals + 1, left.refusals + 1),
            }
            *self.passed.entry(passing(node, text)).or_default() += 1;
            return;
        }
        let Some(own) = key(text, 0, method) else {
            self.puzzled.insert(node);
            return;
        };
        if method == "ACK"
            && let Some(invite) = key(text, 0, "INVITE")
            && let Some(invite) = self.came.get_mut(&(node, invite))
            && invite.last.is_some_and(|status| status >= 300)
        {
            invite.acked.get_or_insert(at);
        }
        if method == "REGISTER"
            && let Some(id) = text.first("Call-ID")
        {
            let last = self.registers.entry((node, id.to_string())).or_default();
            *last = text.cseq().max(*last);
        }
        let stateless = self.is_stateless(node);
        let came = self.came.entry((node, own)).or_default();
        // What comes after its transaction has ended begins another one.
        let over = match (came.invite, came.acked, came.last) {
            (_, _, None) => false,
            // Timer L is the same over any transport (RFC 6026 section 7.1).
            (true, _, Some(200..300)) => at >= came.last_at + 32 * SECOND,
            _ if came.reliable => true,
            (true, Some(acked), _) => at > acked + T4,
            _ => at >= came.last_at + 32 * SECOND,
        };
        if over && !stateless {
            *came = Asked { ever: came.ever, ..Asked::default() };
        }
        // Who answers without a transaction answers each of them.
        came.anew |= came.acked.is_some();
        came.ever += 1;
        came.copies += 1;
        came.reliable = reliable(text);
        came.invite = method == "INVITE";
        if came.label.is_empty() {
            came.label = format!("{method} {}", text.uri());
        }
    }

    fn sent(&mut self, sent: &Sent) {
        let Some(text) = Text::datagram(&sent.bytes) else {
            if !sent.bytes.iter().all(|b| b"\r\n".contains(b)) {
                self.complain("it is no message");
            }
            return;
        };
        if text.is_request() {
            self.request(sent, &text);
        } else {
            self.response(sent, &text);
        }
    }

    fn complain(&mut self, what: impl Into<String>) {
        self.complaints.push(what.into());
    }

    fn response(&mut self, sent: &Sent, text: &Text) {
        let (node, status, method) = (sent.from, text.status(), text.method());
        let stateless = self.is_stateless(node);
        let passed = self.passed.get(&passing(node, text)).copied().unwrap_or_default();
        let Some(own) = key(text, 0, method) else {
            return self.complain("it has no Via, so nobody asked for it");
        };
        let overtaken = text
            .first("Call-ID")
            .and_then(|id| self.registers.get(&(node, id.to_string())))
            .is_some_and(|cseq| *cseq > text.cseq());
        let Some(came) = self.came.get_mut(&(node, own)) else {
            if !self.puzzled.contains(&node) {
                self.complain("no request came that it could answer");
            }
            return;
        };
        let mut wrong: Vec<String> = Vec::new();
        let copies = came.left.entry(sent.bytes.clone()).or_default();
        *copies += 1;
        let timers = self.attacked || came.invite && status >= 300 && !came.reliable;
        // Where transactions are not told apart, as with copies that were tampered with on the way, each
        // may have had its timers.
        let rounds = if stateless || self.attacked { 1 + came.copies } else { 1 };
        let most = came.copies + passed + if timers { rounds * FINAL_COPIES } else { 0 };
        if *copies > most {
            let copies = *copies;
            wrong.push(format!("it went out {copies} times, at most {most} are right"));
        }
        // Mutated copies may be transactions of their own.
        let lax = stateless || self.attacked || self.tight.get(node.0) == Some(&true);
        if let (Some(last), false) = (came.last, lax) {
            let both_2xx = (200..300).contains(&last) && (200..300).contains(&status);
            // RFC 3261 section 16.7 step 5: a 2xx to INVITE goes on whatever went before.
            let late_2xx = came.invite && (200..300).contains(&status);
            // Who is there may change between two copies of a request that was answered without
            // a transaction (section 8.2.7), and so may what it was merged with (8.2.2.2).
            let again = !came.invite && matches!(last, 302 | 404 | 480 | 482) && status != 407;
            // And so may a CANCEL overtake its INVITE; what it was forwarded to says so later.
            let again = again
                || method == "CANCEL" && matches!((last, status), (481, 200) | (200, 481))
                // Nor has a REGISTER one that waited for no disk: a copy of it that a later one of
                // its client has overtaken is out of order, once and for all.
                || method == "REGISTER" && (last, status) == (200, 500) && overtaken
                // What was refused without a transaction is a new request to who shuts down.
                || (matches!(last, 401 | 404 | 407 | 480) || method == "REGISTER" && last == 200)
                    && (status, text.reason()) == (503, "Shutting Down");
            let again = again && came.copies > 1;
            if status < 200 {
                wrong.push(format!("a {last} went before it"));
            } else if !(status == last || late_2xx || again || came.invite && both_2xx) {
                wrong.push(format!("a {last} went before it, and there is one final response"));
            }
        }
        if status >= 300 && came.acked.is_some_and(|acked| acked < sent.at) && !came.anew && !lax {
            wrong.push("it was acknowledged before".into());
        }
        if status >= 200 && came.last.is_none_or(|last| last >= 300 || status < 300) {
            if came.last.is_none() {
                came.last_at = sent.at;
            }
            came.last = Some(status);
        }
        if status == 408 && method != "INVITE" && passed == 0 {
            wrong.push("RFC 4320 section 4.1 has no 408 for it".into());
        }
        self.complaints.extend(wrong);
    }

    fn request(&mut self, sent: &Sent, text: &Text) {
        let (node, method) = (sent.from, text.method().to_string());
        let forwarded = key(text, 1, &method);
        let invite = key(text, 0, "INVITE").unwrap_or_default();
        let stateless = self.is_stateless(node);
        match (method.as_str(), &forwarded) {
            ("ACK", None) => {
                let left = self.left.entry((node, invite)).or_default();
                left.acks += 1;
                if left.acks > left.refusals && !self.attacked {
                    self.complain("no final response came that it acknowledges");
                }
                return;
            }
            ("CANCEL", None) => {
                let started = self.left.get(&(node, invite));
                match started {
                    Some(left) if left.copies == 0 => self.complain("there is no such INVITE"),
                    None => self.complain("there is no such INVITE"),
                    // RFC 3261 section 9.1.
                    Some(left) if !left.provisional => {
                        self.complain("no provisional response came before it");
                    }
                    _ => {}
                }
            }
            (_, None) if self.agents.contains(&node) => {}
            (_, None) => self.complain("it has one Via alone, and a server asks nothing itself"),
            _ => {}
        }
        let mut most = if method == "INVITE" { INVITE_COPIES } else { OTHER_COPIES };
        if sent.transport.reliable() {
            most = 1;
        }
        let Some(own) = key(text, 0, &method) else { return };
        let fresh = !self.left.contains_key(&(node, own.clone()));
        let mut puzzling = false;
        // What has no transaction here leaves as often as it comes.
        let passes_on = stateless || forwarded.is_some() && (method == "ACK" || method == "CANCEL");
        if let Some(cause) = forwarded {
            match self.came.get_mut(&(node, cause)) {
                Some(came) => {
                    came.branches += u32::from(fresh);
                    if came.branches > MOST_AT_ONCE as u32 {
                        let count = came.branches;
                        self.complaints.push(format!("it is branch {count} of one request"));
                    }
                    if passes_on {
                        most = came.ever;
                    }
                }
                None if self.puzzled.contains(&node) => puzzling = true,
                None => self.complain("no request came that it could be"),
            }
        }
        let left = self.left.entry((node, own)).or_default();
        left.copies += 1;
        let (copies, over) = (left.copies, left.finals > 0);
        let rings = left.provisional && method == "INVITE";
        if copies > most && !puzzling {
            self.complain(format!("it went out {copies} times, at most {most} are right"));
        }
        if copies > 1 && !passes_on && !self.attacked {
            if over {
                self.complain("its final response has come already");
            } else if rings {
                self.complain("a provisional response has come already");
            }
        }
    }

    /// What is still owed when everything has come to its end.
    pub(super) fn end<A: Machine>(&mut self, net: &Network<A>) -> Vec<String> {
        let mut complaints = std::mem::take(&mut self.complaints);
        for ((node, which), came) in &self.came {
            let owes = which.ends_with("|INVITE");
            // Where it was answered before, what came may still have been absorbed.
            let excused = self.is_stateless(*node)
                || self.attacked
                || came.ever > came.copies
                || self.agents.contains(node);
            if owes && came.last.is_none() && !excused {
                let name = net.name(*node);
                complaints.push(format!("{name} never answered the {}", came.label));
            }
        }
        complaints
    }
}

fn passing(node: NodeId, text: &Text) -> (NodeId, String, String, u16) {
    let id = text.first("Call-ID").unwrap_or_default().to_string();
    (node, id, text.first("CSeq").unwrap_or_default().to_string(), text.status())
}

#[cfg(test)]
mod tests;
