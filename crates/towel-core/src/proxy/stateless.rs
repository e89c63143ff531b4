//! The stateless proxy (RFC 3261 section 16.11), which also forwards what never has state here: the
//! ACK for a 2xx, and a CANCEL that belongs to nothing (section 16.10).

use towel_message::{Draft, Message, Name};

use super::context::Way;
use super::copying::Copying;
use super::core::{Around, Proxy};
use super::route::{Prepared, next_hop};
use crate::contract::{Candidate, ProxyResponse, Verdict, Woken};
use crate::io::Outbox;
use crate::stack::{Destination, Received, Stack};

impl Proxy {
    /// Forwards a request to one target.
    #[expect(clippy::too_many_arguments, reason = "the world, the request and what was made of it")]
    pub(crate) fn forward_stateless(
        &mut self,
        around: &Around<'_>,
        stack: &mut Stack,
        out: &mut Outbox,
        received: &Received<'_>,
        prepared: &Prepared,
        target: &Candidate,
        way: Option<&Way>,
        woken: Woken,
    ) {
        let message = &received.message;
        next_hop(message, prepared, &target.uri, &target.routes, &mut self.hop);
        let mark = around.marks.branch(message, &received.flow);
        let copy = Copying {
            around,
            message,
            source: received.flow,
            prepared,
            target,
            branch: 0,
            hop: &self.hop,
            breadth: breadth(around, message),
            mark: mark.as_bytes(),
            user: prepared.user.as_deref(),
            woken,
        };
        let seed = around.marks.stateless_seed(message);
        let alone = prepared.routes(message).next().is_none();
        let way = way.filter(|_| target.routes.is_empty());
        let uri = copy.destination(way.is_some_and(|way| way.tls));
        let to = match way {
            Some(way) if alone && way.by_flow(stack, &target.uri) => Destination::Flow(way.flow),
            _ => copy.towards(&uri),
        };
        let (edits, values) = (&mut self.edits, &mut self.values);
        let _ = stack.send_stateless(around.now, out, to, &seed, |stamp, buffer| {
            copy.write(stamp, edits, values, None, buffer);
        });
    }

    /// A response that belongs to no transaction. It is forwarded if it is to a request that was
    /// forwarded without state, and dropped otherwise (RFC 6026 section 7.3, RFC 4320 section 4.2).
    /// A proxy that never has state asks no more than that the topmost Via is its own (section
    /// 16.11), which the stack has seen to.
    pub(crate) fn stray(
        &mut self,
        around: &Around<'_>,
        stack: &mut Stack,
        out: &mut Outbox,
        response: &Received<'_>,
        stateless: bool,
    ) {
        let message = response.message;
        if !stateless && !around.marks.is_stateless(&message) {
            return;
        }
        // Without a second Via the response was for us.
        let mut vias = message.values(Name::Via);
        let (Some(ours), Some(_)) = (vias.next(), vias.next()) else { return };
        let mut draft = Draft::with(message, std::mem::take(&mut self.edits));
        draft.raise_version();
        draft.remove_value(&ours);
        around.marks.answer_route(&message, around.domains, &mut draft);
        let woken = around.registry.woken(&message);
        let mut send = true;
        if woken != Woken::NONE {
            let method = message.method();
            let mut stage = ProxyResponse {
                response: message,
                method: method.as_bytes(),
                source: response.flow,
                upstream: None,
                draft: &mut draft,
                slots: None,
            };
            send = !matches!(
                around.registry.proxy_response(woken, around.env(), &mut stage),
                Verdict::Discard
            );
        }
        if send {
            draft.ensure_content_length();
            stack.forward_response(around.now, out, |to| draft.write(to));
        }
        self.edits = draft.into_edits();
    }
}

/// Max-Breadth of the one copy; a CANCEL has no use for it (RFC 5393 section 5.4.1).
fn breadth(around: &Around<'_>, message: &Message<'_>) -> Option<u32> {
    if message.method().as_bytes() == b"CANCEL" {
        return None;
    }
    let received = message.value(Name::MaxBreadth).and_then(towel_message::scan::number);
    Some(super::breadth::Breadth::new(received, around.settings.max_breadth).room())
}
