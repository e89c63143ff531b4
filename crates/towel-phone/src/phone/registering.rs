//! The registration of a phone (RFC 3261 section 10.2): made, kept up, removed.

use std::time::Duration;

use towel_core::io::{Instant, Now, Outbox};
use towel_core::ua::user_agent::{Ask, Came, RequestHandle};

use super::Phone;
use crate::News;

/// Where the registration stands.
#[derive(Default)]
pub(super) struct Registering {
    /// The REGISTER that is under way.
    under_way: Option<RequestHandle>,
    /// When the next one is due.
    due: Option<Instant>,
    /// The registrar has our Contact.
    stands: bool,
    /// It is being removed, or was.
    removed: bool,
}

impl Registering {
    pub(super) fn is_due(&self, at: Instant) -> bool {
        self.due.is_some_and(|due| due <= at)
    }

    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }
}

impl Phone {
    pub(super) fn register(&mut self, now: Now, out: &mut Outbox) {
        let expires = self.setup.registration.as_ref().map_or(0, |one| one.expires);
        self.send_register(now, out, expires);
    }

    fn send_register(&mut self, now: Now, out: &mut Outbox, expires: u32) {
        let Some(registration) = &self.setup.registration else { return };
        self.registering.due = None;
        let to = format!("<{}>", registration.aor);
        let ask = Ask { to: to.clone(), from: to, ..Ask::new("REGISTER", &registration.registrar) };
        match self.ua.send(now, out, &ask.with("Expires", expires.to_string())) {
            Ok(request) => self.registering.under_way = Some(request),
            Err(refused) => {
                self.news.push_back(News::Note(format!("REGISTER: {refused}")));
                self.news.push_back(News::NotRegistered(503, Vec::new()));
                self.registering.stands = false;
                self.leaving = true;
            }
        }
    }

    /// The answer to a REGISTER.
    pub(super) fn registered(
        &mut self,
        now: Now,
        out: &mut Outbox,
        request: RequestHandle,
        came: Came,
    ) {
        if self.registering.under_way != Some(request) || matches!(came, Came::Provisional(_)) {
            return;
        }
        self.registering.under_way = None;
        if self.registering.removed {
            self.registering.stands = false;
            return;
        }
        let status = came.status();
        if status / 100 == 2 {
            let expires = self.setup.registration.as_ref().map_or(0, |one| one.expires);
            // Well before it ends (RFC 3261 section 10.2.4 leaves it to us).
            let half = Duration::from_secs(u64::from(expires.max(60)) / 2);
            self.registering.due = Some(now.at + half);
            if !std::mem::replace(&mut self.registering.stands, true) {
                self.news.push_back(News::Registered);
                self.ready(now, out);
            }
            return;
        }
        let response = match came {
            Came::Final { response, .. } => response,
            _ => Vec::new(),
        };
        self.news.push_back(News::NotRegistered(status, response));
        self.registering.stands = false;
        self.leave(now, out);
    }

    /// Removes the registration; whether there is none any more.
    pub(super) fn gone(&mut self, now: Now, out: &mut Outbox) -> bool {
        if self.registering.stands && !std::mem::replace(&mut self.registering.removed, true) {
            self.send_register(now, out, 0);
        }
        self.registering.due = None;
        self.registering.under_way.is_none()
    }
}
