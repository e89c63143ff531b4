//! What two ends have agreed on, and what becomes due: RFC 4028 sections 7.2, 9 and 10.

use std::time::Duration;

use towel_core::contract::{Carry, DialogTimer, InDialog, Outline, Task, Tasks};
use towel_message::{Message, Name, Params};

use super::{ID, LEAST, interval};

/// The timer at which we refresh.
pub(super) const REFRESH: u32 = 1;
/// The timer at which the session is over.
pub(super) const EXPIRE: u32 = 2;

/// Who refreshes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refresher {
    /// Whoever sent the request at hand.
    Uac,
    /// Whoever answered it.
    Uas,
}

impl Refresher {
    /// The parameter of a Session-Expires value.
    pub(super) fn of(value: &[u8]) -> Option<Refresher> {
        let params = Params::new(interval::parameters(value));
        match params.value("refresher")? {
            name if name.eq_ignore_ascii_case(b"uac") => Some(Refresher::Uac),
            name if name.eq_ignore_ascii_case(b"uas") => Some(Refresher::Uas),
            _ => None,
        }
    }

    pub(super) fn text(self) -> &'static str {
        match self {
            Refresher::Uac => "uac",
            Refresher::Uas => "uas",
        }
    }
}

/// What is kept with a dialog.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Agreed {
    /// The interval in seconds; nought where there is none.
    pub(super) interval: u32,
    /// Whether we refresh.
    pub(super) ours: bool,
    /// The largest Min-SE that was heard in the dialog; nought before one was.
    pub(super) minimum: u32,
}

/// What is kept with this dialog.
pub(super) fn of(dialog: &InDialog<'_>) -> Agreed {
    dialog.slots.get::<Agreed>(ID).copied().unwrap_or_default()
}

/// Remembers a Min-SE that came (section 7.4).
pub(super) fn hear_minimum(dialog: &mut InDialog<'_>, message: &Message<'_>) {
    if let Some(minimum) = interval::given(message, Name::MinSe) {
        let agreed = of(dialog);
        let minimum = agreed.minimum.max(minimum);
        dialog.slots.set(ID, Agreed { minimum, ..agreed });
    }
}

/// A 2xx to a refresh has come or leaves: from now on this interval holds, or none.
pub(super) fn settle(dialog: &mut InDialog<'_>, tasks: &mut Tasks, interval: u32, ours: bool) {
    let agreed = of(dialog);
    dialog.slots.set(ID, Agreed { interval, ours, ..agreed });
    tasks.clear_timer(ID, REFRESH);
    tasks.clear_timer(ID, EXPIRE);
    if interval == 0 {
        return;
    }
    let seconds = u64::from(interval);
    if ours {
        // Section 7.2: half way.
        tasks.timer(ID, REFRESH, Duration::from_millis(seconds * 500));
        tasks.timer(ID, EXPIRE, Duration::from_secs(seconds));
    } else {
        // Section 10: slightly before, by 32 seconds or a third of the interval.
        let early = (seconds * 1000 / 3).min(32_000);
        tasks.timer(ID, EXPIRE, Duration::from_millis(seconds * 1000 - early));
    }
}

/// A timer is due.
pub(super) fn due(at: &mut DialogTimer<'_>) {
    let agreed = of(&at.dialog);
    if agreed.interval == 0 || !at.dialog.session {
        return;
    }
    if at.tag == EXPIRE {
        at.notes.push("the session was not refreshed and is over".into());
        let reason = Some(b"SIP;cause=408;text=\"Session Timer Expired\"".to_vec());
        return at.tasks.push(ID, Task::HangUp { reason });
    }
    // Section 7.4: UPDATE without an offer where the peer takes it, else an INVITE with the same one.
    let update = at.dialog.allows("UPDATE") == Some(true);
    at.tasks.send(
        ID,
        Outline {
            method: if update { "UPDATE" } else { "INVITE" },
            fields: Vec::new(),
            body: if update { Carry::Nothing } else { Carry::Session },
        },
    );
    // One that cannot go now, or is refused, is tried again while there is time (section 10).
    let again = Duration::from_millis(u64::from(agreed.interval.max(LEAST)) * 100);
    at.tasks.timer(ID, REFRESH, again);
}
