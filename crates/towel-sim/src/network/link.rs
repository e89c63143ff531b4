//! How the links between the nodes behave.

use std::collections::BTreeMap;

use super::NodeId;
use crate::rng::SimRng;
use crate::text::Text;

/// One link, or the default of all.
#[derive(Clone, Copy, Debug)]
struct Link {
    loss: u32,
    duplicate: u32,
    delay: (u64, u64),
}

/// Messages that are to be lost on purpose.
#[derive(Clone, Debug)]
pub struct NextLost {
    /// The method or status code; any where there is none.
    pub what: Option<String>,
    /// Whose.
    pub from: Option<NodeId>,
    /// To whom.
    pub to: Option<NodeId>,
    /// How many are still to go.
    pub times: u32,
}

/// The behaviour of all links.
#[derive(Clone, Debug)]
pub struct Links {
    all: Link,
    one: BTreeMap<NodeId, Link>,
    two: BTreeMap<(NodeId, NodeId), Link>,
    cut_off: Vec<NodeId>,
    cut: Vec<(NodeId, NodeId)>,
    /// What is to be lost on purpose.
    pub lost: Vec<NextLost>,
}

/// Which links are meant.
#[derive(Clone, Copy, Debug)]
pub enum Which {
    /// All.
    All,
    /// All of one node.
    One(NodeId),
    /// Those between two.
    Two(NodeId, NodeId),
}

impl Default for Links {
    fn default() -> Self {
        Links {
            all: Link { loss: 0, duplicate: 0, delay: (10_000, 10_000) },
            one: BTreeMap::new(),
            two: BTreeMap::new(),
            cut_off: Vec::new(),
            cut: Vec::new(),
            lost: Vec::new(),
        }
    }
}

fn remove_one<T: PartialEq>(from: &mut Vec<T>, what: &T) {
    if let Some(at) = from.iter().position(|one| one == what) {
        from.swap_remove(at);
    }
}

fn pair(a: NodeId, b: NodeId) -> (NodeId, NodeId) {
    (a.min(b), a.max(b))
}

impl Links {
    fn at(&self, from: NodeId, to: NodeId) -> Link {
        let one = || self.one.get(&from).or_else(|| self.one.get(&to));
        *self.two.get(&pair(from, to)).or_else(one).unwrap_or(&self.all)
    }

    fn change(&mut self, which: Which, change: impl Fn(&mut Link)) {
        let all = self.all;
        match which {
            Which::All => {
                change(&mut self.all);
                self.one.values_mut().for_each(&change);
                self.two.values_mut().for_each(&change);
            }
            Which::One(node) => change(self.one.entry(node).or_insert(all)),
            Which::Two(a, b) => change(self.two.entry(pair(a, b)).or_insert(all)),
        }
    }

    /// Sets the loss of datagrams, in parts of a million.
    pub fn loss(&mut self, which: Which, parts: u32) {
        self.change(which, |link| link.loss = parts);
    }

    /// Sets how many datagrams come twice, in parts of a million.
    pub fn duplicate(&mut self, which: Which, parts: u32) {
        self.change(which, |link| link.duplicate = parts);
    }

    /// Sets the delay; where its ends differ, datagrams overtake each other.
    pub fn delay(&mut self, which: Which, least: u64, most: u64) {
        self.change(which, |link| link.delay = (least, most));
    }

    /// Cuts links.
    pub fn cut(&mut self, which: Which) {
        match which {
            Which::All => {}
            Which::One(node) => self.cut_off.push(node),
            Which::Two(a, b) => self.cut.push(pair(a, b)),
        }
    }

    /// Links that were cut are whole again, these alone.
    pub fn mend(&mut self, which: Which) {
        match which {
            Which::All => {
                self.cut.clear();
                self.cut_off.clear();
            }
            Which::One(node) => remove_one(&mut self.cut_off, &node),
            Which::Two(a, b) => remove_one(&mut self.cut, &pair(a, b)),
        }
    }

    /// Everything is as at the beginning, apart from delays.
    pub fn heal(&mut self) {
        self.cut.clear();
        self.cut_off.clear();
        self.lost.clear();
        self.change(Which::All, |link| (link.loss, link.duplicate) = (0, 0));
    }

    /// Whether anything gets from one to the other at all.
    pub fn is_cut(&self, from: NodeId, to: NodeId) -> bool {
        from != to
            && (self.cut_off.contains(&from)
                || self.cut_off.contains(&to)
                || self.cut.contains(&pair(from, to)))
    }

    /// Whether this datagram is lost: the link is cut, somebody asked for it, or chance has it.
    pub(super) fn loses(
        &mut self,
        rng: &mut SimRng,
        from: NodeId,
        to: NodeId,
        bytes: &[u8],
    ) -> bool {
        if self.is_cut(from, to) {
            return true;
        }
        let asked = self.lost.iter_mut().find(|next| {
            next.times > 0
                && next.from.is_none_or(|id| id == from)
                && next.to.is_none_or(|id| id == to)
                && next.what.as_deref().is_none_or(|what| is_a(bytes, what))
        });
        if let Some(next) = asked {
            next.times -= 1;
            return true;
        }
        from != to && rng.chance(self.at(from, to).loss)
    }

    pub(super) fn doubles(&self, rng: &mut SimRng, from: NodeId, to: NodeId) -> bool {
        rng.chance(self.at(from, to).duplicate)
    }

    pub(super) fn time(&self, rng: &mut SimRng, from: NodeId, to: NodeId) -> u64 {
        let (least, most) = self.at(from, to).delay;
        if from == to { least.min(1_000) } else { rng.between(least, most) }
    }

    /// What a reliable transport makes of loss: the bytes come, but later.
    pub(super) fn stream_time(&self, rng: &mut SimRng, from: NodeId, to: NodeId) -> u64 {
        let link = self.at(from, to);
        let mut time = self.time(rng, from, to);
        let mut wait = 200_000;
        while from != to && rng.chance(link.loss) && wait < 3_000_000 {
            time += wait;
            wait *= 2;
        }
        time
    }
}

fn is_a(bytes: &[u8], what: &str) -> bool {
    let Some(text) = Text::datagram(bytes) else { return false };
    match what.parse::<u16>() {
        Ok(status) => text.status() == status,
        Err(_) => text.is_request() && text.method() == what,
    }
}
