//! What callers and callees say to each other.

use std::time::Duration;

use towel_core::io::{Instant, Outbox};
use towel_message::build::{ResponseOptions, ResponseWriter};
use towel_message::{Message, Method, Name};

use crate::crowd::{Crowd, End, T1, T2};
use crate::figures::Wait;
use crate::plan::{Purpose, Work};
use crate::unit::{Named, Seen};
use crate::write::{ALLOW, SDP, SUPPORTED, dialog_of};

impl Crowd {
    /// Takes in a message from the server.
    pub(crate) fn message(
        &mut self,
        channel: usize,
        message: &Message<'_>,
        now: Instant,
        out: &mut Outbox,
    ) {
        self.heard = true;
        self.figures.messages_in += 1;
        let named = message.call_id().and_then(|id| Named::read(id, self.plan.run));
        let slot = match named {
            Some(Named::Unit { slot, generation }) => {
                self.unit(slot).filter(|unit| unit.generation == generation).map(|_| slot)
            }
            Some(Named::User(user)) => self.registering(user),
            None => None,
        };
        match (slot, message.is_request()) {
            (Some(slot), true) => self.request(slot, channel, message, now, out),
            (Some(slot), false) => self.response(slot, message, now, out),
            (None, request) => {
                self.figures.strays += 1;
                // Nobody knows of this any more; let the server not ask again.
                if request && message.method() != Method::Ack {
                    self.respond(channel, message, 481, "Call/Transaction Does Not Exist", out);
                }
            }
        }
    }

    // The caller, and the user who registers.

    fn response(&mut self, slot: u32, message: &Message<'_>, now: Instant, out: &mut Outbox) {
        let Ok(cseq) = message.cseq() else {
            self.figures.strays += 1;
            return;
        };
        let Some(unit) = self.unit(slot) else { return };
        let bye = unit.seen.has(Seen::BYE);
        match (unit.work, cseq.method) {
            (Work::Call, Method::Invite) if cseq.number == unit.cseq || unit.invite != 0 => {
                self.invite_response(slot, message, cseq.number, now, out);
            }
            (Work::Call, Method::Bye) if bye && cseq.number == unit.cseq => {
                self.bye_response(slot, message, now, out);
            }
            (Work::Register, Method::Register)
            | (Work::Options, Method::Options)
            | (Work::Message, Method::Message)
                if cseq.number == unit.cseq =>
            {
                self.final_response(slot, message, now, out);
            }
            // That of an attempt that was challenged, once more.
            _ => self.figures.duplicates += 1,
        }
    }

    fn invite_response(
        &mut self,
        slot: u32,
        message: &Message<'_>,
        cseq: u32,
        now: Instant,
        out: &mut Outbox,
    ) {
        let Some(unit) = self.unit(slot) else { return };
        let status = message.status();
        if unit.seen.has(Seen::ANSWERED) {
            // The answer once more: its ACK was lost (section 13.2.2.4), or came late.
            if status >= 200 {
                self.figures.duplicates += 1;
            }
            if (200..300).contains(&status) && cseq == unit_invite(self, slot) {
                self.send(slot, out, |pen, unit, named, a| pen.in_dialog(unit, named, false, a));
            }
            return;
        }
        if status < 200 {
            if !unit.seen.has(Seen::PROVISIONAL) {
                unit.seen.add(Seen::PROVISIONAL);
                let until = unit.until;
                self.arm(slot, End::Caller, until);
            }
            if status > 100 {
                let Some(unit) = self.unit(slot) else { return };
                if unit.seen.has(Seen::RINGING) {
                    self.figures.duplicates += 1;
                } else {
                    unit.seen.add(Seen::RINGING);
                    self.latency(slot, Wait::Ringing, now);
                }
            }
            return;
        }
        if status >= 300 {
            let to = message.value(Name::To).unwrap_or_default();
            self.send(slot, out, |pen, unit, named, a| pen.ack_refusal(unit, named, to, a));
            if matches!(status, 401 | 407) && self.challenged(slot, message) {
                if let Some(unit) = self.unit(slot) {
                    unit.cseq += 1;
                    unit.seen.remove(Seen::PROVISIONAL);
                }
                return self.first_request(slot, now, out);
            }
            return self.finish(slot, Err(Some(status)));
        }
        unit.seen.add(Seen::ANSWERED);
        unit.invite = unit.cseq;
        unit.target = dialog_of(message, &mut unit.dialog);
        self.latency(slot, Wait::Answered, now);
        self.send(slot, out, |pen, unit, named, arena| pen.in_dialog(unit, named, false, arena));
    }

    /// Ends a call (section 15.1.1).
    pub(crate) fn bye(&mut self, slot: u32, now: Instant, out: &mut Outbox) {
        let Some(unit) = self.unit(slot) else { return };
        unit.seen.remove(Seen::HELD);
        unit.seen.add(Seen::BYE);
        unit.bye = now;
        self.send_bye(slot, now, out);
    }

    fn send_bye(&mut self, slot: u32, now: Instant, out: &mut Outbox) {
        let Some(unit) = self.unit(slot) else { return };
        unit.cseq += 1;
        let uri = unit.dialog.get(..unit.target).unwrap_or_default().to_vec();
        self.credentials(slot, b"BYE", &uri);
        self.transact(slot, now);
        self.send(slot, out, |pen, unit, named, arena| pen.in_dialog(unit, named, true, arena));
    }

    fn bye_response(&mut self, slot: u32, message: &Message<'_>, now: Instant, out: &mut Outbox) {
        match message.status() {
            ..200 => {}
            200..300 => {
                self.latency(slot, Wait::Bye, now);
                self.finish(slot, Ok(()));
            }
            401 | 407 if self.challenged(slot, message) => self.send_bye(slot, now, out),
            status => self.finish(slot, Err(Some(status))),
        }
    }

    fn final_response(&mut self, slot: u32, message: &Message<'_>, now: Instant, out: &mut Outbox) {
        match message.status() {
            ..200 => {
                // Section 17.1.2.2: from now on at distances of T2.
                if let Some(unit) = self.unit(slot) {
                    unit.interval = T2;
                    self.arm_retransmission(slot, now);
                }
            }
            200..300 => {
                self.latency(slot, Wait::Final, now);
                self.finish(slot, Ok(()));
            }
            401 | 407 if self.challenged(slot, message) => {
                if let Some(unit) = self.unit(slot) {
                    unit.cseq += 1;
                }
                self.first_request(slot, now, out);
            }
            status => self.finish(slot, Err(Some(status))),
        }
    }

    // The callee.

    fn request(
        &mut self,
        slot: u32,
        channel: usize,
        message: &Message<'_>,
        now: Instant,
        out: &mut Outbox,
    ) {
        match message.method() {
            Method::Invite => self.invited(slot, channel, message, now, out),
            Method::Ack => self.acknowledged(slot, now, out),
            Method::Bye | Method::Options | Method::Message | Method::Cancel => {
                let seen = match message.method() {
                    Method::Bye => Seen::ENDED,
                    Method::Cancel => 0,
                    _ => Seen::INVITED,
                };
                self.note(slot, seen);
                self.respond(channel, message, 200, "OK", out);
            }
            _ => self.respond(channel, message, 501, "Not Implemented", out),
        }
    }

    /// Notes what the callee has seen; a second time is a duplicate.
    fn note(&mut self, slot: u32, what: u16) {
        let Some(unit) = self.unit(slot) else { return };
        let again = unit.seen.has(what);
        unit.seen.add(what);
        if again {
            self.figures.duplicates += 1;
        }
    }

    fn invited(
        &mut self,
        slot: u32,
        channel: usize,
        message: &Message<'_>,
        now: Instant,
        out: &mut Outbox,
    ) {
        let Some(unit) = self.unit(slot) else { return };
        if unit.seen.has(Seen::INVITED) {
            // Section 17.2.1: a retransmission meets the response that was last.
            self.figures.duplicates += 1;
            return self.answer_again(slot, out);
        }
        unit.seen.add(Seen::INVITED);
        unit.callee_interval = T1;
        let user = unit.user;
        let mut answer = self.buffer();
        let mut contact = self.buffer();
        contact.extend_from_slice(b"<sip:");
        self.plan.users.write_user(user, &mut contact);
        contact.push(b'@');
        let place = self.channels.get(channel).map_or(&b""[..], |channel| &channel.place);
        contact.extend_from_slice(place);
        contact.push(b'>');
        let tag = tag_of(slot);
        let options =
            ResponseOptions { to_tag: Some(&tag), record_route: true, ..Default::default() };
        self.reply(channel, out, |arena| {
            let mut ringing = ResponseWriter::start(arena, message, 180, "Ringing", options);
            ringing.field(Name::Contact, &contact);
            ringing.end();
        });
        self.reply(channel, out, |arena| {
            let mut ok = ResponseWriter::start(&mut answer, message, 200, "OK", options);
            ok.field(Name::Contact, &contact);
            ok.field(Name::Allow, ALLOW);
            ok.field(Name::Supported, SUPPORTED);
            ok.body(b"application/sdp", SDP);
            arena.extend_from_slice(&answer);
        });
        self.give_back(contact);
        if let Some(unit) = self.unit(slot) {
            unit.answer = answer;
        }
        // Section 13.3.1.4: over a reliable transport, too.
        self.arm(slot, End::Callee, now + Duration::from_millis(T1.into()));
    }

    fn answer_again(&mut self, slot: u32, out: &mut Outbox) {
        let Some(unit) = self.unit(slot) else { return };
        let answer = std::mem::take(&mut unit.answer);
        let user = unit.user as usize;
        let channel = self.plan.sockets + user % self.plan.sockets;
        if !answer.is_empty() {
            self.reply(channel, out, |arena| arena.extend_from_slice(&answer));
        }
        if let Some(unit) = self.unit(slot) {
            unit.answer = answer;
        }
    }

    /// The ACK has not come: the 200 goes out again.
    pub(crate) fn callee_timer(&mut self, slot: u32, now: Instant, out: &mut Outbox) {
        let Some(unit) = self.unit(slot) else { return };
        if unit.seen.has(Seen::ACKED) {
            return;
        }
        unit.callee_interval = (unit.callee_interval * 2).min(T2);
        let next = now + Duration::from_millis(unit.callee_interval.into());
        self.figures.retransmissions += 1;
        self.answer_again(slot, out);
        // The unit's own time runs out by the caller's timer.
        self.arm(slot, End::Callee, next);
    }

    fn acknowledged(&mut self, slot: u32, now: Instant, out: &mut Outbox) {
        let Some(unit) = self.unit(slot) else { return };
        if unit.seen.has(Seen::ACKED) {
            self.figures.duplicates += 1;
            return;
        }
        unit.seen.add(Seen::ACKED);
        let answer = std::mem::take(&mut unit.answer);
        self.give_back(answer);
        self.disarm(slot, End::Callee);
        if self.purpose == Purpose::BringUp {
            return self.park(slot);
        }
        if self.hold.is_zero() {
            return self.bye(slot, now, out);
        }
        let at = now + self.hold;
        if let Some(unit) = self.unit(slot) {
            unit.seen.add(Seen::HELD);
        }
        self.arm(slot, End::Caller, at);
    }

    /// A call that stays up: the step that brought it up is done with it.
    fn park(&mut self, slot: u32) {
        self.disarm(slot, End::Caller);
        let window = self.window;
        let Some(unit) = self.unit(slot) else { return };
        let counts = unit.seen.has(Seen::COUNTS);
        unit.seen.add(Seen::PARKED);
        unit.dialog.shrink_to_fit();
        self.figures.course.ended(true);
        self.figures.completed += u64::from(window);
        if counts {
            self.figures.of(Work::Call).ok += 1;
        }
        self.active = self.active.saturating_sub(1);
        self.parked.push(slot);
    }

    /// Ends one of the calls that stayed up.
    pub(crate) fn hang_up_one(&mut self, due: Instant, now: Instant, out: &mut Outbox) -> bool {
        let Some(slot) = self.parked.pop() else { return false };
        self.active += 1;
        self.figures.units += 1;
        self.figures.of(Work::Call).started += 1;
        self.figures.course.started();
        if let Some(unit) = self.unit(slot) {
            unit.seen.remove(Seen::PARKED);
            unit.seen.add(Seen::COUNTS);
            unit.due = due;
        }
        self.bye(slot, now, out);
        true
    }

    /// A response without more to it.
    fn respond(
        &mut self,
        channel: usize,
        request: &Message<'_>,
        status: u16,
        reason: &str,
        out: &mut Outbox,
    ) {
        self.reply(channel, out, |arena| {
            let options = ResponseOptions { to_tag: Some(b"callee"), ..Default::default() };
            ResponseWriter::start(arena, request, status, reason, options).end();
        });
    }
}

fn unit_invite(crowd: &mut Crowd, slot: u32) -> u32 {
    crowd.unit(slot).map_or(0, |unit| unit.invite)
}

fn tag_of(slot: u32) -> Vec<u8> {
    let mut tag = b"t".to_vec();
    towel_message::scan::push_number(&mut tag, slot.into());
    tag
}
