//! Abuse, as the stack and its user meet it ([`crate::abuse`]).

use std::net::IpAddr;
use std::time::Duration;

use towel_message::{Method, Name};

use super::{Received, Stack};
use crate::abuse::{Ban, Guard, Offence, Place};
use crate::io::{Flow, Level, Now, Outbox};

impl Stack {
    /// What is remembered of abuse.
    pub fn abuse(&self) -> &Guard {
        &self.abuse
    }

    /// Bans an address, or one of its ports (and whether that is one of TCP), for so long.
    pub fn ban(
        &mut self,
        now: Now,
        address: IpAddr,
        port: Option<(u16, bool)>,
        time: Duration,
        why: &'static str,
    ) {
        self.abuse.ban(now.at, address, port, time, why);
    }

    /// Lifts the bans of an address; gives how many there were.
    pub fn lift_bans(&mut self, address: IpAddr) -> usize {
        self.abuse.lift(address)
    }

    /// Whether a message is from a banned source. A connection that it came by is closed.
    pub(super) fn is_banned(&mut self, now: Now, out: &mut Outbox, flow: &Flow) -> bool {
        let banned = self.abuse.is_banned(now.at, flow);
        if banned {
            self.counters.dropped_banned += 1;
            if let Some(id) = flow.connection {
                self.close(out, id);
            }
        }
        banned
    }

    /// Whether a request is beyond a rate; it has been answered then, or is not to be.
    pub(super) fn is_too_much(
        &mut self,
        now: Now,
        out: &mut Outbox,
        request: &Received<'_>,
    ) -> bool {
        let message = &request.message;
        // Whoever may not end what has begun would be held to it.
        let ends = matches!(message.method(), Method::Bye | Method::Prack);
        if ends && message.to_tag().is_some() {
            return false;
        }
        if !self.abuse.is_too_much(now.at, &request.flow, message.method()) {
            return false;
        }
        let from = request.flow.remote;
        self.tell(now, out, Level::Info, "rate-exceeded", || {
            format!("more requests than are allowed from {from}")
        });
        if self.abuse.is_silent() {
            self.counters.dropped_rate += 1;
            return true;
        }
        self.counters.refused_rate += 1;
        self.respond_stateless(now, out, request, 503, "Too Many Requests", |mut writer| {
            writer.field(Name::RetryAfter, b"5");
            writer.end();
        });
        true
    }

    /// A request is answered by us, with that status. Says whether it had better not be answered at
    /// all, since a scanner has sent it.
    pub fn is_refused(
        &mut self,
        now: Now,
        out: &mut Outbox,
        request: &Received<'_>,
        status: u16,
    ) -> bool {
        if let Some(agent) = request.message.value(Name::UserAgent)
            && self.abuse.is_scanner(agent)
            && !self.abuse.is_exempt(request.flow.remote.ip())
        {
            self.counters.silenced_scanners += 1;
            self.offended(now, out, request, Offence::Scanner);
            return true;
        }
        match status {
            400 => self.offended(now, out, request, Offence::Malformed),
            403 | 404 | 405 | 416 | 484 | 604 => self.offended(now, out, request, Offence::Refused),
            _ => {}
        }
        false
    }

    /// Notes what the sender of a request did.
    pub fn offended(&mut self, now: Now, out: &mut Outbox, request: &Received<'_>, what: Offence) {
        let Some(ban) = self.abuse.offended(now.at, &request.flow, what) else { return };
        self.counters.bans += 1;
        self.tell(now, out, Level::Warn, "banned", || {
            let Ban { address, port, until, why, .. } = ban;
            let seconds = until.since(now.at).as_secs();
            let port = port.map(|port| format!(", port {port}")).unwrap_or_default();
            format!("{address}{port} for {seconds} s: {why}")
        });
    }

    /// A request went on its way; `proven`: within a dialog that was set up through us.
    pub fn behaved(&mut self, now: Now, request: &Received<'_>, proven: bool) {
        self.abuse.behaved(now.at, &request.flow, proven);
    }

    /// Whether credentials for a user, with a nonce that was sent to a place, are looked at now.
    pub fn may_log_in(&mut self, now: Now, place: Place, user: &[u8]) -> bool {
        let may = self.abuse.may_try(now.at, place, user);
        self.counters.logins_delayed += u64::from(!may);
        may
    }

    /// They were wrong.
    pub fn login_failed(&mut self, now: Now, place: Place, user: &[u8]) {
        self.abuse.failed(now.at, place, user);
    }

    /// They were right. Says whether the request is still within the user's rate.
    pub fn logged_in(
        &mut self,
        now: Now,
        request: &Received<'_>,
        place: Place,
        user: &[u8],
    ) -> bool {
        self.abuse.succeeded(now.at, &request.flow, place, user);
        self.proved(&request.flow);
        let fits = !self.abuse.is_too_much_of(now.at, user);
        self.counters.refused_rate += u64::from(!fits);
        fits
    }
}
