//! Refusing what is too much, before anything is done for it: no transaction, no look into more than
//! the index.

use std::time::Duration;

use towel_message::Name;

use super::{Received, Stack};
use crate::hash::Hasher;
use crate::io::{Instant, Level, Now, Outbox, Output};
use crate::overload::{Change, Class, Controller, Settings, Shed, Verdict};

/// For so long the lots are the same: a digest and its challenge are within it, but nobody draws
/// the same blank for ever. A power of two of microseconds, some 8 s.
const DRAWN: u32 = 23;
/// The driver is asked to throw away another share only if what is let through differs by this part of
/// itself.
const STEP: u16 = 16;

/// What the stack keeps for it.
#[derive(Debug)]
pub(super) struct Guard {
    settings: Settings,
    controller: Controller,
    shed: Shed,
}

impl Guard {
    pub(super) fn new(settings: &Settings) -> Guard {
        Guard {
            settings: settings.clone(),
            controller: Controller::default(),
            shed: Shed::default(),
        }
    }

    pub(super) fn reload(&mut self, settings: &Settings) {
        self.settings = settings.clone();
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.controller.deadline()
    }

    /// Whether anything may have to be refused: all that is asked of each request in good times.
    pub(super) fn is_pressed(&self) -> bool {
        self.controller.is_pressed()
    }
}

impl Stack {
    /// The controller of overload.
    pub fn overload(&self) -> &Controller {
        &self.overload.controller
    }

    pub(super) fn backlog(&mut self, now: Now, wait: Duration, fill: u8) {
        let read = self.messages_read();
        let Guard { settings, controller, .. } = &mut self.overload;
        controller.waited(settings, now.at, wait, fill, read);
    }

    pub(super) fn overload_due(&mut self, now: Now, out: &mut Outbox) {
        let read = self.messages_read();
        let Guard { settings, controller, shed } = &mut self.overload;
        let change = controller.due(settings, now.at, read);
        let wanted = controller.shed();
        let differ = |wanted: u16, was: u16| {
            wanted.abs_diff(was) > (1000 - was.min(1000)) / STEP || (wanted == 0 && was > 0)
        };
        if differ(wanted.new, shed.new) || differ(wanted.known, shed.known) {
            *shed = wanted;
            controller.sheds(wanted);
            out.outputs.push(Output::Shed(wanted));
        }
        match change {
            None => {}
            Some(Change::Began) => {
                self.counters.overloads += 1;
                self.tell(now, out, Level::Warn, "overload-began", || {
                    "more requests come than can be served: new ones get 503, those of dialogs go on"
                        .into()
                });
            }
            Some(Change::Ended { lasted, refused }) => {
                self.tell(now, out, Level::Warn, "overload-ended", || {
                    let seconds = lasted.as_secs_f32();
                    format!("it lasted {seconds:.1} s; {refused} requests were answered 503")
                });
            }
        }
    }

    fn messages_read(&self) -> u64 {
        self.counters.requests_received + self.counters.responses_received
    }

    /// What becomes of a request that no transaction knows.
    pub(super) fn judge_for_overload(&mut self, now: Now, request: &Received<'_>) -> Verdict {
        let Guard { settings, controller, .. } = &mut self.overload;
        let class = settings.class(&request.message);
        if class.0 == Class::Always {
            return Verdict::Serve;
        }
        let mut hasher = Hasher::new(self.match_key);
        hasher.bytes(&(now.at.0 >> DRAWN).to_le_bytes());
        hasher.bytes(request.message.call_id().unwrap_or_default());
        let again = !request.flow.transport.reliable();
        controller.judge(settings, now.at, class, hasher.finish() as u32, again)
    }

    /// Answers 503 without a transaction.
    ///
    /// A user agent is told when to come again. A proxy is not: it would send nothing at all until
    /// then, for whomever (RFC 7339 section 5.10.2, RFC 5390 section 5).
    pub(super) fn refuse_for_overload(
        &mut self,
        now: Now,
        out: &mut Outbox,
        request: &Received<'_>,
    ) {
        self.counters.refused_overload += 1;
        let seconds = u64::from(self.overload.settings.retry_after);
        let first_hand = request.message.vias().nth(1).is_none();
        let after =
            (seconds > 0 && first_hand).then(|| (seconds / 2 + self.rng.below(seconds + 1)).max(1));
        self.respond_stateless(now, out, request, 503, "Overloaded", |mut writer| {
            if let Some(after) = after {
                let mut digits = [0; 20];
                writer.field(Name::RetryAfter, decimal(after, &mut digits));
            }
            writer.end();
        });
    }
}

/// A number's digits, in `room`.
fn decimal(number: u64, room: &mut [u8; 20]) -> &[u8] {
    let (mut rest, mut at) = (number, room.len());
    for place in room.iter_mut().rev() {
        *place = b'0' + (rest % 10) as u8;
        rest /= 10;
        at -= 1;
        if rest == 0 {
            break;
        }
    }
    room.get(at..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::decimal;

    #[test]
    fn digits() {
        for number in [0, 7, 10, 15, 123_456, u64::MAX] {
            assert_eq!(decimal(number, &mut [0; 20]), number.to_string().as_bytes());
        }
    }
}
