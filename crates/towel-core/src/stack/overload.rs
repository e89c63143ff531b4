//! Refusing what is too much, before anything is done for it: no transaction, no look into more than
//! the index.

use std::net::IpAddr;
use std::time::Duration;

use towel_message::Name;

use super::feedback::Upstream;
use super::put_off::Fate;
use super::{Received, Stack, TransactionUser};
use crate::hash::Hasher;
use crate::io::{Flow, Instant, Level, Now, Outbox, Output};
use crate::overload::{Change, Class, Controller, Neighbours, Settings, Shed, Verdict};

/// For so long the lots are the same: a digest and its challenge are within it, but nobody draws
/// the same blank for ever. A power of two of microseconds, some 8 s.
const DRAWN: u32 = 23;
/// The driver is asked to throw away another share only if what is let through differs by this part of
/// itself.
const STEP: u16 = 16;
/// And no sooner than after this: a filter is translated each time, which costs as much as ten calls.
/// Meanwhile what is too much is refused here.
const APART: Duration = Duration::from_millis(250);
/// Sooner if too much is thrown away.
const APART_LESS: Duration = Duration::from_millis(64);

/// What the stack keeps for it.
#[derive(Debug)]
pub(super) struct Guard {
    settings: Settings,
    controller: Controller,
    shed: Shed,
    shed_at: Instant,
    upstream: Upstream,
    neighbours: Neighbours,
}

impl Guard {
    pub(super) fn new(settings: &Settings) -> Guard {
        Guard {
            settings: settings.clone(),
            controller: Controller::default(),
            shed: Shed::default(),
            shed_at: Instant(0),
            upstream: Upstream::default(),
            neighbours: Neighbours::default(),
        }
    }

    pub(super) fn reload(&mut self, settings: &Settings) {
        self.settings = settings.clone();
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.controller.deadline()
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(super) fn controller(&self) -> &Controller {
        &self.controller
    }

    pub(super) fn upstream(&mut self) -> &mut Upstream {
        &mut self.upstream
    }

    pub(super) fn neighbours(&mut self) -> &mut Neighbours {
        &mut self.neighbours
    }

    /// Whether overload is spoken of with anybody.
    pub(super) fn has_neighbours(&self) -> bool {
        !self.settings.neighbours.is_empty()
    }

    /// Whether overload is spoken of with that address.
    pub(super) fn is_neighbour(&self, address: IpAddr) -> bool {
        self.settings.neighbours.iter().any(|network| network.holds(address.to_canonical()))
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

    /// Downstream neighbours that want to be spared.
    pub fn neighbours(&self) -> &Neighbours {
        &self.overload.neighbours
    }

    pub(super) fn backlog(&mut self, now: Now, wait: Duration, fill: u8) {
        self.is_behind(wait, fill);
        self.waits(now);
    }

    /// Tells the controller how long is waited now: what was read and set aside waits no less.
    pub(super) fn waits(&mut self, now: Now) {
        let (wait, fill) = self.put_off.wait(now.at);
        let read = self.messages_read();
        let Guard { settings, controller, .. } = &mut self.overload;
        controller.waited(settings, now.at, wait, fill, read);
    }

    pub(super) fn overload_due(&mut self, now: Now, out: &mut Outbox) {
        let read = self.messages_read();
        let counters = &self.counters;
        let refused = counters.refused_overload + counters.dropped_overload;
        let let_in = counters.requests_received.saturating_sub(refused);
        let Guard { settings, controller, shed, shed_at, upstream, .. } = &mut self.overload;
        let change = controller.due(settings, now.at, read);
        upstream.served(now.at, controller.is_pressed(), let_in);
        let wanted = controller.shed();
        let differ = |wanted: u16, was: u16| {
            let through = 1000 - was.min(1000);
            // Too much is thrown away only where little is left to be refused here.
            let worth = if wanted < was { through / 8 } else { through / STEP };
            wanted.abs_diff(was) > worth || (wanted == 0 && was > 0)
        };
        let less = wanted.new < shed.new || wanted.known < shed.known;
        let apart = match wanted.is_any() {
            true if less => APART_LESS,
            true => APART,
            false => Duration::ZERO,
        };
        if (differ(wanted.new, shed.new) || differ(wanted.known, shed.known))
            && (now.at.since(*shed_at) >= apart || !shed.is_any())
        {
            (*shed, *shed_at) = (wanted, now.at);
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

    /// What becomes of a request that came by a connection and begins work, before anything more is known
    /// of it than its class.
    pub(super) fn judge_at_a_glance(
        &mut self,
        now: Now,
        flow: &Flow,
        class: Class,
    ) -> Option<Verdict> {
        // A neighbour that holds back has to be read to be known.
        if !self.overload.is_pressed() || self.overload.is_neighbour(flow.remote.ip()) {
            return None;
        }
        let lot = self.rng.next_u64() as u32;
        let Guard { settings, controller, .. } = &mut self.overload;
        Some(controller.judge(settings, now.at, (class, false), lot, false))
    }

    fn messages_read(&self) -> u64 {
        self.counters.requests_received + self.counters.responses_received
    }

    /// What becomes of a request that no transaction knows.
    pub(super) fn judge_for_overload<U: TransactionUser + ?Sized>(
        &mut self,
        now: Now,
        user: &U,
        request: &Received<'_>,
    ) -> Verdict {
        let mut class = self.overload.settings.class(&request.message);
        if class.0 >= Class::Dialog && !class.1 && !user.vouches(request) {
            class.0 = Settings::plain(&request.message);
        }
        if class.0 == Class::Always {
            return Verdict::Serve;
        }
        // A neighbour that holds back on its own has left out what would be refused here (RFC 7339
        // section 7.2); if it only says so there is a limit to that, too.
        if class.0 == Class::New && self.holds_back(request) {
            class.0 = Class::Known;
        }
        let again = !request.flow.transport.reliable();
        let Guard { settings, controller, .. } = &mut self.overload;
        match self.put_off.fate {
            Some(Fate::Serve) => return Verdict::Serve,
            Some(Fate::Refuse) => return Verdict::Refuse,
            Some(Fate::TooLate) => return controller.turn_away(class.0, again),
            None => {}
        }
        let mut hasher = Hasher::new(self.match_key);
        hasher.bytes(&(now.at.0 >> DRAWN).to_le_bytes());
        hasher.bytes(request.message.call_id().unwrap_or_default());
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
