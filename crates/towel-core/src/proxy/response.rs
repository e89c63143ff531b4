//! Response processing (RFC 3261 section 16.7).

use towel_message::{Draft, Message, Name, NameAddr};

use super::best;
use super::context::{Best, Progress, Work};
use super::core::{Around, ContextId, Proxy};
use super::route::is_sips;
use crate::contract::{CancelCause, Candidate, ProxyResponse, Redirection, Stage, Verdict, Woken};
use crate::io::Outbox;
use crate::stack::{ClientId, Received, Stack};

impl Proxy {
    /// A response to a request that we forwarded.
    pub(crate) fn response(
        &mut self,
        around: &Around<'_>,
        stack: &mut Stack,
        out: &mut Outbox,
        response: &Received<'_>,
        client: ClientId,
        number: u64,
    ) {
        let Some(id) = self.find(number) else { return };
        let status = response.message.status();
        if let Some(over) = self.contexts.over_mut(id) {
            // Step 5, for a 2xx from somebody else, or one that comes again (RFC 6026 section 7).
            let goes_on = response.message.values(Name::Via).nth(1).is_some();
            if over.passes && (200..300).contains(&status) && goes_on {
                self.forward(around, stack, out, id, response);
            }
            return;
        }
        self.response_of_branch(around, stack, out, response, client, id);
        self.contexts.settle(id);
    }

    fn response_of_branch(
        &mut self,
        around: &Around<'_>,
        stack: &mut Stack,
        out: &mut Outbox,
        response: &Received<'_>,
        client: ClientId,
        id: ContextId,
    ) {
        let status = response.message.status();
        let Some(context) = self.contexts.get_mut(id) else { return };
        let Some(at) = context.branches.iter().position(|branch| branch.client == client) else {
            return;
        };
        if status < 200 {
            if let Some(branch) = context.branches.get_mut(at)
                && branch.progress == Progress::Calling
            {
                branch.progress = Progress::Proceeding;
            }
            if status > 100 {
                self.tell_received(around, id, at, status, Some(response.message));
            }
            let Some(context) = self.contexts.get_mut(id) else { return };
            // Step 2: only what is not a 100 says that somebody is at work.
            if status > 100 && context.invite {
                if let Some(branch) = context.branches.get_mut(at) {
                    branch.timer_c = around.now.at + around.settings.timer_c;
                }
                let goes_on = response.message.values(Name::Via).nth(1).is_some();
                if context.answered.is_none() && goes_on {
                    self.forward(around, stack, out, id, response);
                }
            }
            return;
        }
        if response.message.values(Name::Via).nth(1).is_none() {
            // Step 3: without another Via it was meant for us and must not be forwarded. Nothing of
            // ours waits for it: the branch stays as if it had not come, until one comes that can go
            // on or the transaction is over.
            return;
        }
        let first = context.done(at);
        let (invite, answered) = (context.invite, context.answered);
        if first {
            self.tell_received(around, id, at, status, Some(response.message));
        }
        match status {
            200..=299 if invite || answered.is_none() => {
                // Step 5: at once, and for an INVITE also after another (2xx).
                if answered.is_none_or(|status| status < 300) {
                    self.forward(around, stack, out, id, response);
                    if answered.is_none() {
                        let ring_on = self.ring_on(id);
                        self.answered(around, stack, out, id, status);
                        if ring_on {
                            self.set_timer(around, stack, id);
                        } else {
                            let cause = CancelCause::CompletedElsewhere;
                            self.cancel_pending(around, stack, out, id, cause, None);
                        }
                    }
                }
            }
            _ if !first || answered.is_some() => {}
            _ => self.candidate(around, stack, out, id, at, response),
        }
    }

    /// Whether the caller wants the branches that are left to ring on after a 2xx (RFC 3841 section
    /// 9.1, no-cancel).
    fn ring_on(&self, id: ContextId) -> bool {
        let work = self.contexts.get(id).and_then(|context| context.work.as_ref());
        work.is_some_and(|work| work.directives.cancel == Some(false))
    }

    /// Step 4: a final response that may become the best one.
    fn candidate(
        &mut self,
        around: &Around<'_>,
        stack: &mut Stack,
        out: &mut Outbox,
        id: ContextId,
        at: usize,
        response: &Received<'_>,
    ) {
        let status = response.message.status();
        let Some(mut work) = self.take_work(id) else { return };
        let Some(context) = self.contexts.get_mut(id) else { return };
        if status >= 600 {
            // Step 5: the others are cancelled and no new branch is made; the 6xx waits for them.
            context.stopped.get_or_insert(CancelCause::Declined(status));
        }
        let stopped = context.stopped.is_some();
        let last = context.pending() == 0 && (stopped || work.begun >= work.targets.len());
        let mut dropped = Vec::new();
        let mut add = true;
        let recurse = work.directives.recurse.unwrap_or(around.settings.recurse);
        if (300..400).contains(&status) && recurse && work.ours && !stopped {
            let branch = context.branches.get(at).map_or(0, |branch| branch.target as usize);
            let most = around.settings.max_targets;
            add = recurse_on(&response.message, &mut work, branch, most, &mut dropped);
        }
        let challenge = matches!(status, 401 | 407);
        if challenge {
            for name in [Name::WwwAuthenticate, Name::ProxyAuthenticate] {
                for field in response.message.fields(name) {
                    if work.challenges.len() < 64 {
                        work.challenges.push((at, name.as_str(), field.value.to_vec()));
                    }
                }
            }
        }
        let only = last && work.best.is_none() && add && dropped.is_empty();
        if only && best::forwarded(status) == status {
            // The usual case: one branch, whose response goes straight on.
            self.put_work(id, work);
            self.forward(around, stack, out, id, response);
            self.answered(around, stack, out, id, status);
            return;
        }
        if add && work.is_better(status) {
            let mut bytes = Vec::with_capacity(response.message.bytes().len());
            if self.write_response(
                around,
                response,
                Some(&mut work.slots),
                &dropped,
                None,
                &mut bytes,
            ) {
                let source = Some(response.flow);
                work.best = Some(Best { status, bytes, branch: at, source });
            }
        } else if !add && work.begun == work.targets.len() && work.redirection.is_none() {
            // It names nothing that was not tried before. Should nobody say anything better, then the
            // caller may make of it what it can.
            let mut bytes = Vec::with_capacity(response.message.bytes().len());
            let slots = Some(&mut work.slots);
            if self.write_response(around, response, slots, &[], None, &mut bytes) {
                let source = Some(response.flow);
                work.redirection = Some(Best { status, bytes, branch: at, source });
            }
        }
        self.put_work(id, work);
        if status >= 600 {
            self.cancel_pending(around, stack, out, id, CancelCause::Declined(status), None);
        }
        self.advance(around, stack, out, id);
    }

    /// Step 6: all branches are over and nothing was sent yet.
    pub(super) fn finish(
        &mut self,
        around: &Around<'_>,
        stack: &mut Stack,
        out: &mut Outbox,
        id: ContextId,
    ) {
        let Some(mut work) = self.take_work(id) else { return };
        let Some(context) = self.contexts.get(id) else { return };
        let (server, source, invite) = (context.server, context.source, context.invite);
        let cancelled = context.stopped == Some(CancelCause::Caller);
        let best = work.best.take().or_else(|| work.redirection.take());
        let mut best = best.unwrap_or(Best {
            status: 408,
            bytes: Vec::new(),
            branch: usize::MAX,
            source: None,
        });
        let mut status = best::forwarded(best.status);
        if work.held_back && best.status == 503 && best.bytes.is_empty() {
            // What it was held back for is told as it is (RFC 7339 section 5.10).
            status = 503;
        }
        if cancelled && best.bytes.is_empty() && invite {
            // Nobody answered, and nobody waits for them any more.
            status = 487;
        }
        let woken = work.woken;
        if !work.slots.is_empty() && !best.bytes.is_empty() {
            self.look_again(around, &mut work.slots, &mut best, source);
        }
        if best.bytes.is_empty() || status != best.status {
            // RFC 4320 section 4.2 has the transaction keep a 408 for a non-INVITE to itself.
            let mut slots = std::mem::take(&mut work.slots);
            self.put_work(id, work);
            self.reply(around, stack, out, server, source, status, woken, Some(&mut slots));
        } else if matches!(status, 401 | 407)
            && work.challenges.iter().any(|(of, ..)| *of != best.branch)
        {
            // Step 7: the challenges of all branches go into the one response.
            let mut index = towel_message::Index::new();
            let message = Message::parse(&best.bytes, &mut index, around.limits);
            let _ = stack.respond(around.now, out, server, |to| match message {
                Ok(message) => {
                    let mut draft = Draft::new(message);
                    for (of, name, value) in &work.challenges {
                        if *of != best.branch {
                            draft.append(*name, value);
                        }
                    }
                    draft.write(to);
                }
                Err(_) => to.extend_from_slice(&best.bytes),
            });
            self.put_work(id, work);
        } else {
            self.put_work(id, work);
            let _ = stack.respond(around.now, out, server, |to| to.extend_from_slice(&best.bytes));
        }
        self.answered(around, stack, out, id, status);
    }

    /// The final response is out: what was kept for finding it is not needed any more.
    fn answered(
        &mut self,
        around: &Around<'_>,
        stack: &mut Stack,
        out: &mut Outbox,
        id: ContextId,
        status: u16,
    ) {
        if let Some(context) = self.contexts.get(id).filter(|context| context.invite) {
            stack.tell_call(around.now, out, context.server, status);
        }
        self.clear_timer(stack, id);
        self.found(id);
        let mut work = self.take_work(id);
        if let Some(context) = self.contexts.get_mut(id) {
            context.answered = Some(status);
            if let Some(work) = work.as_mut().filter(|_| context.invite && status < 300) {
                // The same 2xx comes again until it is acknowledged, and has to look the same.
                context.kept = std::mem::take(&mut work.slots);
            }
        }
        if let Some(work) = work {
            self.put_work(id, work);
        }
        // A stateful proxy keeps an eye on what is left: a branch that was cancelled and stays
        // silent is ended by its transaction.
        self.contexts.settle(id);
    }

    /// Steps 3 and 7 to 9 for a response that goes on as it is.
    fn forward(
        &mut self,
        around: &Around<'_>,
        stack: &mut Stack,
        out: &mut Outbox,
        id: ContextId,
        response: &Received<'_>,
    ) {
        let (server, source, mut work, mut kept) = match self.contexts.get_mut(id) {
            Some(context) => {
                let kept = std::mem::take(&mut context.kept);
                (context.server, Some(context.source), context.work.take(), kept)
            }
            None => match self.contexts.over_mut(id) {
                Some(over) => {
                    let kept = std::mem::take(&mut over.kept);
                    (over.server, stack.source(over.server), None, kept)
                }
                None => return,
            },
        };
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        let slots = work.as_mut().map_or(&mut kept, |work| &mut work.slots);
        let send = self.write_response(around, response, Some(slots), &[], source, &mut buffer);
        if let Some(context) = self.contexts.get_mut(id) {
            (context.work, context.kept) = (work, kept);
        } else if let Some(over) = self.contexts.over_mut(id) {
            over.kept = kept;
        }
        if send {
            let _ = stack.respond(around.now, out, server, |to| to.extend_from_slice(&buffer));
        }
        self.buffer = buffer;
    }

    /// A final response that waited for other branches is shown once more to those who keep something
    /// with the transaction: they may have learnt more since it came.
    fn look_again(
        &mut self,
        around: &Around<'_>,
        slots: &mut crate::contract::Slots,
        best: &mut Best,
        upstream: crate::io::Flow,
    ) {
        let woken = around.registry.woken_by_slots(Woken::NONE, slots);
        let Some(source) = best.source else { return };
        if !around.registry.acts(Stage::ProxyResponse, woken) {
            return;
        }
        let mut index = towel_message::Index::new();
        let Ok(message) = Message::parse(&best.bytes, &mut index, around.limits) else { return };
        let mut draft = Draft::new(message);
        let method = message.method();
        let mut stage = ProxyResponse {
            response: message,
            method: method.as_bytes(),
            source,
            upstream: Some(upstream),
            draft: &mut draft,
            slots: Some(slots),
        };
        let _ = around.registry.proxy_response(woken, around.env(), &mut stage);
        let mut bytes = Vec::with_capacity(best.bytes.len());
        draft.write(&mut bytes);
        best.bytes = bytes;
    }

    /// Writes a response without our Via and without the Contacts that we followed. False if an
    /// extension keeps it back.
    fn write_response(
        &mut self,
        around: &Around<'_>,
        response: &Received<'_>,
        slots: Option<&mut crate::contract::Slots>,
        dropped: &[usize],
        upstream: Option<crate::io::Flow>,
        to: &mut Vec<u8>,
    ) -> bool {
        let message = response.message;
        let mut draft = Draft::with(message, std::mem::take(&mut self.edits));
        draft.raise_version();
        if let Some(via) = message.values(Name::Via).next() {
            draft.remove_value(&via);
        }
        around.marks.answer_route(&message, around.domains, &mut draft);
        for (at, value) in message.values(Name::Contact).enumerate() {
            if dropped.contains(&at) {
                draft.remove_value(&value);
            }
        }
        let mut send = true;
        let mut woken = around.registry.woken(&message);
        if let Some(slots) = slots.as_deref() {
            woken = around.registry.woken_by_slots(woken, slots);
        }
        if woken != Woken::NONE {
            let method = message.method();
            let mut stage = ProxyResponse {
                response: message,
                method: method.as_bytes(),
                source: response.flow,
                upstream,
                draft: &mut draft,
                slots,
            };
            let verdict = around.registry.proxy_response(woken, around.env(), &mut stage);
            send = !matches!(verdict, Verdict::Discard);
        }
        if send {
            draft.ensure_content_length();
            draft.write(to);
        }
        self.edits = draft.into_edits();
        send
    }
}

/// Follows the Contacts of a 3xx (step 4): those that can be are added to the targets, to be tried
/// after those there are, and `taken` tells which. False if none is left for the client.
fn recurse_on(
    response: &Message<'_>,
    work: &mut Work,
    branch: usize,
    most: usize,
    taken: &mut Vec<usize>,
) -> bool {
    let (targets, begun) = (&mut work.targets, work.begun);
    let secure = targets.first().is_some_and(|target| is_sips(&target.uri));
    let group = targets.iter().map(|target| target.group).max().unwrap_or(0);
    let mut added: Vec<Candidate> = Vec::new();
    let mut count = 0;
    for (at, value) in response.values(Name::Contact).enumerate() {
        count += 1;
        let Ok(address) = NameAddr::parse(value.bytes) else { continue };
        let Ok(towel_message::Uri::Sip(uri)) = address.parse_uri() else { continue };
        // Neither from sips to sip (section 16.7 step 4) nor the reverse (RFC 5630 section 5.3).
        if uri.secure != secure || targets.len() + added.len() >= most {
            continue;
        }
        let mut text = Vec::with_capacity(address.uri.len());
        crate::server::write_request_uri(address.uri, &mut text);
        // A URI is tried once (section 16.5).
        let known = targets
            .iter()
            .chain(&added)
            .any(|target| crate::server::same_target(&target.uri, &text));
        taken.push(at);
        if !known {
            let q = address.q().flatten().unwrap_or(1000);
            let parameters = address.params.bytes().to_vec();
            let redirection = Some(Box::new(Redirection { branch, parameters }));
            added.push(Candidate { uri: text, q, redirection, ..Candidate::default() });
        }
    }
    added.sort_by_key(|target| std::cmp::Reverse(target.q));
    let mut next = group;
    let mut before = None;
    for target in &mut added {
        if before != Some(target.q) {
            next += 1;
            before = Some(target.q);
        }
        target.group = next;
    }
    // They come before targets of lower preference that were not begun, as an answer of one that
    // was preferred to them.
    let rest = targets.split_off(begun.min(targets.len()));
    targets.append(&mut added);
    for mut target in rest {
        target.group += next;
        targets.push(target);
    }
    count == 0 || taken.len() < count
}
