//! A copy that leaves by another way than was thought: steps 2 to 9 of section 16.6 once more, since
//! Record-Route names the way as well as Via does.

use towel_message::{Index, Message};

use super::copying::Copying;
use super::core::{Around, Proxy};
use super::route::next_hop;
use crate::stack::{ClientId, Stack, ViaStamp};

impl Proxy {
    /// Writes the copy of a branch again; says whether that could be done.
    pub(crate) fn rewrite(
        &mut self,
        around: &Around<'_>,
        stack: &Stack,
        client: ClientId,
        number: u64,
        stamp: &ViaStamp<'_>,
        to: &mut Vec<u8>,
    ) -> bool {
        let Some(context) = self.find(number).and_then(|id| self.contexts.get_mut(id)) else {
            return false;
        };
        let Some(branch) = context.branches.iter().find(|branch| branch.client == client) else {
            return false;
        };
        let (Some(work), Some(bytes)) = (context.work.as_mut(), stack.request(context.server))
        else {
            return false;
        };
        let mut index = Box::new(Index::new());
        let Ok(message) = Message::parse(bytes, &mut index, around.limits) else { return false };
        let Some(target) = work.targets.get(branch.target as usize) else { return false };
        next_hop(&message, &work.prepared, &target.uri, &target.routes, &mut self.hop);
        let copy = Copying {
            around,
            message: &message,
            source: context.source,
            prepared: &work.prepared,
            target,
            branch: branch.target as usize,
            hop: &self.hop,
            breadth: Some(branch.breadth),
            mark: work.mark.as_ref().map(|mark| mark.as_bytes()).unwrap_or_default(),
            user: work.prepared.user.as_deref(),
            woken: work.woken,
        };
        copy.write(stamp, &mut self.edits, &mut self.values, Some(&mut work.slots), to);
        true
    }
}
