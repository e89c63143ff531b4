//! The registration of a phone (RFC 3261 section 10.2): made, kept up, removed.

use std::time::Duration;

use towel_core::io::{Instant, Now, Outbox};
use towel_core::ua::user_agent::{Ask, Came, RequestHandle};

use towel_message::Name;

use super::Phone;
use super::held::value;
use crate::News;

/// Where the registration stands.
#[derive(Debug, Default)]
pub(super) struct Registering {
    /// The REGISTER that is under way.
    under_way: Option<RequestHandle>,
    /// When the next one is due.
    due: Option<Instant>,
    /// The registrar has our Contact.
    stands: bool,
    /// It is being removed, or was.
    removed: bool,
    /// All REGISTERs of one phone have one Call-ID, and their numbers rise (RFC 3261 section 10.2.4).
    call_id: String,
    /// The number of the last.
    number: u32,
    /// For how many seconds the registrar has it last at least (section 10.2.8).
    least: u32,
    /// It was asked again since the time was too short.
    again: bool,
}

/// By how much the number rises where it is not known how often the last one was sent: each challenge
/// takes one.
const UNKNOWN: u32 = 16;
/// The longest time that is asked for, whatever a registrar wants at least: a day.
const MOST: u32 = 86_400;

/// The number at the beginning of a value.
fn number_of(value: &[u8]) -> Option<u32> {
    let digits = value.split(|byte| !byte.is_ascii_digit()).next()?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// For how many seconds the registrar grants it, where it says so of all (section 10.3 step 8): a
/// parameter of the Contact is another's unless there is but one.
fn granted(response: &[u8]) -> Option<u32> {
    let contact = value(response, Name::Contact)?;
    let text = String::from_utf8_lossy(&contact).to_ascii_lowercase();
    let one = text.matches("sip").count() == 1;
    let said = text.rsplit_once(";expires=").filter(|_| one).map(|(_, rest)| rest.to_owned());
    match said {
        Some(rest) => number_of(rest.as_bytes()),
        None => number_of(&value(response, Name::Expires)?),
    }
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
        let expires = self.expires();
        self.send_register(now, out, expires);
    }

    /// For how many seconds is asked.
    fn expires(&self) -> u32 {
        let wanted = self.setup.registration.as_ref().map_or(0, |one| one.expires);
        wanted.max(self.registering.least)
    }

    fn send_register(&mut self, now: Now, out: &mut Outbox, expires: u32) {
        let Some(registration) = &self.setup.registration else { return };
        self.registering.due = None;
        let to = format!("<{}>", registration.aor);
        if self.registering.call_id.is_empty() {
            self.registering.call_id = self.rng.text(24);
        }
        let ask = Ask {
            to: to.clone(),
            from: to,
            call_id: self.registering.call_id.clone(),
            number: self.registering.number.saturating_add(1),
            ..Ask::new("REGISTER", &registration.registrar)
        };
        let ask = ask.with("Expires", expires.to_string());
        match self.ua.send(now, out, &ask) {
            Ok(request) => {
                self.registering.number = ask.number;
                self.registering.under_way = Some(request);
            }
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
        match &came {
            Came::Final { response, .. } => {
                let last = value(response, Name::CSeq);
                let number = last.as_deref().and_then(number_of);
                let known = self.registering.number;
                self.registering.number = number.unwrap_or(known).max(known);
            }
            _ => {
                let known = self.registering.number;
                self.registering.number = known.saturating_add(UNKNOWN);
            }
        }
        if self.registering.removed {
            self.registering.stands = false;
            return;
        }
        let status = came.status();
        if status / 100 == 2 {
            let expires = match &came {
                Came::Final { response, .. } => granted(response).unwrap_or(self.expires()),
                _ => self.expires(),
            };
            self.registering.again = false;
            // Well before it ends (RFC 3261 section 10.2.4 leaves it to us).
            let half = Duration::from_secs(u64::from(expires.max(4)) / 2);
            self.registering.due = Some(now.at + half);
            if !std::mem::replace(&mut self.registering.stands, true) {
                self.news.push_back(News::Registered);
                self.ready(now, out);
            }
            return;
        }
        // Section 10.2.8: once more, for as long as the registrar wants.
        if let Came::Final { response, status: 423 } = &came
            && let Some(least) = value(response, Name::MinExpires).as_deref().and_then(number_of)
            && !std::mem::replace(&mut self.registering.again, true)
            && least <= MOST
        {
            self.registering.least = least;
            return self.register(now, out);
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
