//! From one target to the next (RFC 3263 section 4.3): a new transaction under the same handle,
//! with a branch of its own.

use std::time::Duration;

use towel_message::{Message, Name};

use super::client::Rewrite;
use super::{ClientId, Failure, Stack, TransactionUser};
use crate::io::{ListenerId, Now, Outbox, Transport};
use crate::locating::{self, Completed, LocateFault, Target};
use crate::transaction::client::{Client, Machine, Work};
use crate::transaction::machines::invite_client;
use crate::transaction::table::Timer;
use crate::transaction::token::COOKIE;
use crate::transport::via::write_prefix;

/// How many targets one request is tried at.
const MAX_ATTEMPTS: u8 = 8;

impl Stack {
    /// DNS has said where to go.
    pub(super) fn located<U: TransactionUser + ?Sized>(
        &mut self,
        now: Now,
        out: &mut Outbox,
        user: &mut U,
        completed: Vec<Completed>,
    ) {
        for Completed { lookup, result } in completed {
            let Some(id) = self.lookups.remove(&lookup) else {
                self.sought(now, out, lookup, result);
                continue;
            };
            let Some(client) = self.clients.get_mut(id) else { continue };
            let Some(work) = client.work.as_mut() else { continue };
            work.lookup = None;
            let first = match result {
                Ok(mut targets) => {
                    let first = targets.take_next();
                    work.targets = targets;
                    first.ok_or(LocateFault::NoSuchName)
                }
                Err(fault) => Err(fault),
            };
            match first {
                Ok(mut target) if client.machine == Machine::Once => {
                    let removed = self.clients.remove(id);
                    if let Some(mut work) = removed.and_then(|client| client.work) {
                        if self.is_too_large(now, work.request.len(), &target) {
                            target.transport = Transport::Tcp;
                            self.counters.moved_to_tcp += 1;
                        }
                        self.correct_via(&mut work, &target);
                        let request = std::mem::take(&mut work.request);
                        work.request = self.launch_once(now, out, request, target, None);
                        self.give_back_work(work);
                    }
                }
                Ok(target) => self.launch_for(now, out, user, id, target, false),
                Err(fault) => self.client_failed(now, out, user, id, Failure::NotLocated(fault)),
            }
        }
    }

    /// Goes on to the next target, if there is one and the request is still wanted.
    pub(super) fn try_next<U: TransactionUser + ?Sized>(
        &mut self,
        now: Now,
        out: &mut Outbox,
        user: &mut U,
        id: ClientId,
    ) -> bool {
        let Some(client) = self.clients.get_mut(id) else { return false };
        let Some(work) = client.work.as_mut() else { return false };
        if work.cancelling.is_some() || client.silent || client.attempt >= MAX_ATTEMPTS {
            return false;
        }
        let fallback = work.fallback.take();
        let any_size = fallback.is_some();
        let Some(target) = fallback.or_else(|| work.targets.take_next()) else { return false };
        self.wheel.clear(client.repeat);
        self.wheel.clear(client.end);
        client.machine = client.machine.restarted();
        // Each attempt is a transaction of its own, and so is the ACK for its refusal (RFC 3261
        // section 17.1.1.3).
        client.ack.clear();
        client.attempt += 1;
        client.round = 0;
        self.counters.failovers += 1;
        // It may be put there again for another address.
        self.await_no_answer(id);
        self.launch_for(now, out, user, id, target, any_size);
        true
    }

    fn launch_for<U: TransactionUser + ?Sized>(
        &mut self,
        now: Now,
        out: &mut Outbox,
        user: &mut U,
        id: ClientId,
        target: Target,
        any_size: bool,
    ) {
        let number = self.clients.get(id).filter(|client| !client.silent).map(|client| client.user);
        self.launch(now, out, id, target, None, any_size, &mut |stack, stamp, to| {
            number.is_some_and(|number| user.rewrite(stack, now, id, number, stamp, to))
        });
    }

    /// After a 503: the next target, while what is left of this attempt's transaction goes on
    /// acknowledging in a slot of its own.
    pub(super) fn try_next_after_unavailable<U: TransactionUser + ?Sized>(
        &mut self,
        now: Now,
        out: &mut Outbox,
        user: &mut U,
        id: ClientId,
        response: &Message<'_>,
    ) -> bool {
        if let Some(target) = self.clients.get(id).and_then(Client::target) {
            let after = response.value(Name::RetryAfter).and_then(retry_after);
            self.locator.failed(
                now.at,
                target.transport,
                target.addr,
                locating::Failure::Unavailable(after),
            );
        }
        let full = self.clients.len() >= self.settings.max;
        let Some(client) = self.clients.get_mut(id) else { return false };
        let Some(work) = client.work.as_mut() else { return false };
        // Somebody listens there: UDP to the same place would be the same once more (section
        // 18.1.1).
        work.fallback = None;
        if work.targets.left() == 0 {
            return false;
        }
        let mut rest = None;
        if client.machine == Machine::Invite(invite_client::State::Completed) && !full {
            let old = client.rest();
            rest = Some(self.clients.insert(old));
        }
        if !self.try_next(now, out, user, id) {
            if let Some(rest) = rest {
                self.clients.remove(rest);
            }
            return false;
        }
        if let Some(rest) = rest {
            self.set_client_timer(now, rest, Timer::D);
            if let Some(client) = self.clients.get_mut(id) {
                client.previous = Some(rest);
            }
        }
        true
    }

    /// Makes the request fit the way that it goes: written anew by its user, for whom more than the
    /// Via may depend on it (Record-Route), or else with another Via.
    pub(super) fn write_again(
        &mut self,
        id: ClientId,
        transport: Transport,
        listener: ListenerId,
        attempt: u8,
        rewrite: &mut Rewrite<'_>,
    ) {
        let token = self.token(id, attempt);
        let (mut request, mut written) = (self.buffer(), false);
        self.write_stamped(
            (transport, listener, None),
            &token,
            &mut request,
            |stack, stamp, to| {
                written = rewrite(stack, stamp, to);
            },
        );
        if !written {
            self.give_back(request);
            return self.restamp(id, transport, listener, attempt);
        }
        if let Some(work) = self.clients.get_mut(id).and_then(|client| client.work.as_mut()) {
            work.written = (transport, listener, attempt);
            let old = std::mem::replace(&mut work.request, request);
            self.give_back(old);
        }
    }

    /// Puts another Via in the place of ours: another attempt, or another way than was thought when
    /// the request was written.
    fn restamp(&mut self, id: ClientId, transport: Transport, listener: ListenerId, attempt: u8) {
        let work = self.clients.get(id).and_then(|client| client.work.as_ref());
        let Some(work) = work else { return };
        let (old_transport, old_listener, old_attempt) = work.written;
        let old_token = [COOKIE, &self.token(id, old_attempt)].concat();
        let new_token = [COOKIE, &self.token(id, attempt)].concat();
        let old = self.via_prefix(old_transport, old_listener);
        let new = self.via_prefix(transport, listener);
        let Some(at) = work.request.windows(old_token.len()).position(|window| window == old_token)
        else {
            return;
        };
        let end = at + old_token.len();
        let start = match work.request.get(..at) {
            Some(before) if before.ends_with(&old) => at - old.len(),
            // Somebody wrote something between: the branch is what matters.
            _ => at,
        };
        let work = self.clients.get_mut(id).and_then(|client| client.work.as_mut());
        let Some(work) = work else { return };
        if start < at {
            work.request.splice(start..end, new.into_iter().chain(new_token));
        } else {
            work.request.splice(at..end, new_token);
        }
        work.written = (transport, listener, attempt);
    }
}

impl Stack {
    fn via_prefix(&self, transport: Transport, listener: ListenerId) -> Vec<u8> {
        let mut bytes = Vec::new();
        if let Some(station) = self.station(listener).or(self.stations.first()) {
            write_prefix(transport, station, self.transport.alias, &mut bytes);
        }
        bytes
    }

    /// The Via of a request without a transaction tells the transport that it leaves by (section
    /// 18.1.1); the branch stays, since it has to be the same each time.
    fn correct_via(&self, work: &mut Work, target: &Target) {
        let (transport, listener, _) = work.written;
        let Some(actual) = self.station_for(target.transport, Some(target.addr)) else { return };
        if (transport, listener) == (target.transport, actual) {
            return;
        }
        let old = self.via_prefix(transport, listener);
        let new = self.via_prefix(target.transport, actual);
        // Ours is the topmost, so the first that there is.
        if let Some(at) = work.request.windows(old.len().max(1)).position(|window| window == old) {
            work.request.splice(at..at + old.len(), new);
        }
    }
}

/// The seconds of a Retry-After, whose comment and parameters matter to people only.
fn retry_after(value: &[u8]) -> Option<Duration> {
    let digits = value.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let seconds = std::str::from_utf8(value.get(..digits)?).ok()?.parse::<u32>().ok()?;
    Some(Duration::from_secs(u64::from(seconds)))
}
