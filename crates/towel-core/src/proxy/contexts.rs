//! The table of response contexts. Most of what stands in it is over: the final response was sent,
//! every branch has had one, and only the transactions linger (RFC 3261 section 17, RFC 6026). Of
//! such a one is kept what a late 2xx is passed on by, and who has still to end.

use super::context::{Branch, Context, Progress};
use super::core::ContextId;
use crate::contract::Slots;
use crate::stack::{ClientId, ServerId};
use crate::transaction::slab::Slab;

/// How many contexts are kept for the next that begin.
const POOLED: usize = 4096;

/// What is left of a context.
#[derive(Debug)]
pub(super) struct Over {
    pub(super) server: ServerId,
    /// Whether a 2xx goes on even now: the request was an INVITE, and so was it answered (RFC 3261
    /// section 16.7 step 5).
    pub(super) passes: bool,
    /// Whether the server transaction still exists.
    served: bool,
    clients: Clients,
    /// What extensions keep for that 2xx.
    pub(super) kept: Slots,
}

/// The client transactions that still exist: mostly one.
#[derive(Debug)]
enum Clients {
    None,
    One(ClientId),
    #[expect(clippy::box_collection, reason = "eight bytes where there is one")]
    Many(Box<Vec<ClientId>>),
}

impl Over {
    /// What is left of a context, if it is over.
    fn of(context: &Context) -> Option<Over> {
        let status = context.answered?;
        let open = |branch: &Branch| branch.progress != Progress::Done;
        if context.timer.is_some() || context.work.is_some() || context.branches.iter().any(open) {
            return None;
        }
        let mut alive = context.branches.iter().filter(|branch| branch.alive).map(|b| b.client);
        let clients = match (alive.next(), alive.next()) {
            (None, _) => Clients::None,
            (Some(one), None) => Clients::One(one),
            (Some(one), Some(other)) => {
                Clients::Many(Box::new([one, other].into_iter().chain(alive).collect()))
            }
        };
        let passes = context.invite && status < 300;
        let kept = Slots::new();
        Some(Over { server: context.server, passes, served: context.served, clients, kept })
    }

    /// A client transaction is over.
    pub(super) fn client_ended(&mut self, client: ClientId) {
        match &mut self.clients {
            Clients::One(one) if *one == client => self.clients = Clients::None,
            Clients::Many(many) => many.retain(|other| *other != client),
            Clients::None | Clients::One(_) => {}
        }
    }

    /// The server transaction is over.
    pub(super) fn server_ended(&mut self) {
        self.served = false;
    }

    /// Whether nothing more can come.
    fn is_done(&self) -> bool {
        let alive = match &self.clients {
            Clients::None => false,
            Clients::One(_) => true,
            Clients::Many(many) => !many.is_empty(),
        };
        !self.served && !alive
    }
}

#[derive(Debug)]
enum Entry {
    Open(Box<Context>),
    Over(Over),
}

/// The table.
#[derive(Debug)]
pub(super) struct Contexts {
    // The handles are of contexts, whatever stands in their place.
    table: Slab<Entry>,
    #[expect(clippy::vec_box, reason = "the table holds them in boxes")]
    spare: Vec<Box<Context>>,
}

impl Default for Contexts {
    fn default() -> Self {
        Self { table: Slab::new(), spare: Vec::new() }
    }
}

impl Contexts {
    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    pub(super) fn insert(&mut self, context: Context) -> ContextId {
        let context = match self.spare.pop() {
            Some(mut used) => {
                let branches = std::mem::take(&mut used.branches);
                *used = context;
                if used.branches.is_empty() {
                    used.branches = branches;
                }
                used
            }
            None => Box::new(context),
        };
        self.table.insert(Entry::Open(context)).cast()
    }

    /// A context that is not over.
    pub(super) fn get(&self, id: ContextId) -> Option<&Context> {
        match self.table.get(id.cast())? {
            Entry::Open(context) => Some(context),
            Entry::Over(_) => None,
        }
    }

    /// A context that is not over.
    pub(super) fn get_mut(&mut self, id: ContextId) -> Option<&mut Context> {
        match self.table.get_mut(id.cast())? {
            Entry::Open(context) => Some(context),
            Entry::Over(_) => None,
        }
    }

    /// What is left of one that is over.
    pub(super) fn over_mut(&mut self, id: ContextId) -> Option<&mut Over> {
        match self.table.get_mut(id.cast())? {
            Entry::Open(_) => None,
            Entry::Over(over) => Some(over),
        }
    }

    /// Whether anything stands there.
    pub(super) fn has(&self, id: ContextId) -> bool {
        self.table.get(id.cast()).is_some()
    }

    /// Lets go of what a context does not need any more, if it is over.
    pub(super) fn settle(&mut self, id: ContextId) {
        let Some(entry) = self.table.get_mut(id.cast()) else { return };
        let Entry::Open(context) = entry else { return };
        let Some(over) = Over::of(context) else { return };
        if let Entry::Open(mut context) = std::mem::replace(entry, Entry::Over(over)) {
            if let Entry::Over(over) = entry {
                over.kept = std::mem::take(&mut context.kept);
            }
            self.give_back(context);
        }
    }

    /// Whether nothing more can come for it.
    pub(super) fn is_done(&self, id: ContextId) -> bool {
        self.table.get(id.cast()).is_some_and(|entry| match entry {
            Entry::Open(context) => context.is_over(),
            Entry::Over(over) => over.is_done(),
        })
    }

    /// Removes one; what it worked with is given back.
    pub(super) fn remove(&mut self, id: ContextId) -> Option<Box<super::context::Work>> {
        match self.table.remove(id.cast())? {
            Entry::Open(mut context) => {
                let work = context.work.take();
                self.give_back(context);
                work
            }
            Entry::Over(_) => None,
        }
    }

    fn give_back(&mut self, mut context: Box<Context>) {
        if self.spare.len() < POOLED {
            context.branches.clear();
            self.spare.push(context);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_of_a_context_is_small() {
        assert!(size_of::<Entry>() <= 40, "{}", size_of::<Entry>());
    }
}
