//! Several early dialogs of one INVITE at the UAS: what a leg of a back-to-back user agent shows of
//! an INVITE that was forked behind it (RFC 3261 section 12.1.1).

use towel_message::Message;

use super::event::Refused;
use super::state::Incoming;
use super::{Core, World};
use crate::dialog::machines::usage;
use crate::transaction::Id;

/// How many early dialogs one INVITE may have here.
const MOST_BRANCHES: usize = 32;

impl Core {
    /// Makes the early dialog of this branch the one that is answered in, or makes it.
    pub(super) fn take_branch(
        &mut self,
        w: &mut World<'_>,
        id: Id<Incoming>,
        request: &Message<'_>,
        branch: u32,
    ) -> Result<(), Refused> {
        let incoming = self.incoming.get_mut(id).ok_or(Refused::Stale)?;
        // A re-INVITE has its dialog.
        if incoming.call.is_none() {
            return Ok(());
        }
        if incoming.branch != branch {
            let wanted = incoming.branches.iter().position(|(number, _)| *number == branch);
            let found = wanted.map(|at| incoming.branches.swap_remove(at).1);
            if let Some(leg) = incoming.leg {
                if found.is_none() && incoming.branches.len() + 1 >= MOST_BRANCHES {
                    return Err(Refused::Full);
                }
                incoming.branches.push((incoming.branch, leg));
            }
            incoming.leg = found;
            incoming.branch = branch;
        }
        if incoming.leg.is_none() {
            let mut tag = w.stack.to_tag(request).to_vec();
            if branch > 0 {
                tag.extend_from_slice(format!("-{branch}").as_bytes());
            }
            self.early_leg(id, request, &tag).ok_or(Refused::State)?;
        }
        Ok(())
    }

    /// The final response has been sent in one of them: the others are no more.
    pub(super) fn end_branches(&mut self, w: &mut World<'_>, id: Id<Incoming>) {
        let Some(incoming) = self.incoming.get_mut(id) else { return };
        let call = incoming.call;
        for (_, leg) in std::mem::take(&mut incoming.branches) {
            if let Some(call) = call.and_then(|call| self.calls.get_mut(call)) {
                call.early.retain(|early| *early != leg);
            }
            if let Some(found) = self.legs.get_mut(leg) {
                found.call = None;
                found.invite = None;
                found.open = found.open.saturating_sub(1);
            }
            self.step(w, leg, usage::Event::Refuse, None);
            self.settle(w, leg);
        }
    }
}
