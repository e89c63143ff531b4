//! Everybody: the people, their units, and how a unit begins and ends.

use std::time::Duration;

use towel_core::auth::client::Session;
use towel_core::io::{Flow, Instant, Outbox, Output};
use towel_core::rng::Rng;
use towel_core::time::{TimerId, Wheel};
use towel_message::{Message, Name};

use crate::figures::{Figures, Wait};
use crate::plan::{Nonces, Plan, Purpose, Work};
use crate::unit::{Named, Seen, Unit};
use crate::write::{Pen, method_of};

/// RFC 3261 section 17.1.1.1, in milliseconds.
pub(crate) const T1: u32 = 500;
/// Section 17.1.2.1: the longest distance of retransmissions of requests other than INVITE, and of
/// a 200 to INVITE (section 13.3.1.4).
pub(crate) const T2: u32 = 4000;

/// A socket or connection of ours.
#[derive(Debug)]
pub(crate) struct Channel {
    pub(crate) flow: Flow,
    pub(crate) up: bool,
    /// See [`Pen`].
    pub(crate) via: Vec<u8>,
    pub(crate) place: Vec<u8>,
}

/// What is known of one person from one unit to the next.
#[derive(Debug, Default)]
pub(crate) struct Place {
    /// CSeq of the last REGISTER.
    cseq: u32,
    /// The unit that registers, or a nought.
    busy: u32,
    session: Option<Box<Kept>>,
}

#[derive(Debug)]
struct Kept {
    session: Session,
    proxy: bool,
}

/// Which timer of a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Caller,
    Callee,
}

/// A timer of a unit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Due {
    slot: u32,
    generation: u32,
    end: End,
}

/// The people and their units.
pub(crate) struct Crowd {
    pub(crate) plan: Plan,
    pub(crate) channels: Vec<Channel>,
    units: Vec<Unit>,
    free: Vec<u32>,
    /// Units under way without those that stay up.
    pub(crate) active: usize,
    /// Calls that stay up until they are hung up.
    pub(crate) parked: Vec<u32>,
    pub(crate) wheel: Wheel<Due>,
    users: Vec<Place>,
    callers: Vec<Place>,
    next_user: u32,
    next_caller: u32,
    pub(crate) rng: Rng,
    pub(crate) figures: Figures,
    /// Whether the window is open: what ends now counts as completed.
    pub(crate) window: bool,
    pub(crate) purpose: Purpose,
    pub(crate) hold: Duration,
    buffers: Vec<Vec<u8>>,
    /// Whether anything has ever come back.
    pub(crate) heard: bool,
}

/// How many buffers for 200s are kept for calls to come.
const BUFFERS: usize = 1024;

impl Crowd {
    pub(crate) fn new(plan: Plan) -> Self {
        let places = |count: u32| (0..count).map(|_| Place::default()).collect::<Vec<_>>();
        let (users, callers) = (places(plan.users.count()), places(plan.callers.count()));
        let rng = Rng::from_number(plan.seed);
        Self {
            plan,
            channels: Vec::new(),
            units: Vec::new(),
            free: Vec::new(),
            active: 0,
            parked: Vec::new(),
            wheel: Wheel::new(),
            users,
            callers,
            next_user: 0,
            next_caller: 0,
            rng,
            figures: Figures::new(Instant(0)),
            window: false,
            purpose: Purpose::Prepare,
            hold: Duration::ZERO,
            buffers: Vec::new(),
            heard: false,
        }
    }

    pub(crate) fn unit(&mut self, slot: u32) -> Option<&mut Unit> {
        self.units.get_mut(slot as usize).filter(|unit| unit.live)
    }

    /// How many units are there, calls that stay up among them.
    pub(crate) fn under_way(&self) -> usize {
        self.active + self.parked.len()
    }

    /// Begins a step: everybody is called from the first on again.
    pub(crate) fn begin(&mut self, purpose: Purpose, hold: Duration, now: Instant) {
        self.figures = Figures::new(now);
        (self.purpose, self.hold, self.window) = (purpose, hold, false);
        (self.next_user, self.next_caller) = (0, 0);
    }

    /// A slot, used before or new.
    fn allot(&mut self) -> u32 {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.units.push(Unit::new());
            u32::try_from(self.units.len() - 1).unwrap_or(u32::MAX)
        });
        if let Some(unit) = self.units.get_mut(slot as usize) {
            unit.generation = unit.generation.wrapping_add(1);
            unit.live = true;
            unit.seen = Seen::default();
            (unit.cseq, unit.challenges) = (1, 0);
            unit.credentials.clear();
        }
        slot
    }

    /// Begins a unit that was due at `due`; false if it cannot be begun now.
    pub(crate) fn start(
        &mut self,
        work: Work,
        due: Instant,
        counts: bool,
        now: Instant,
        out: &mut Outbox,
    ) -> bool {
        if self.purpose == Purpose::HangUp {
            return self.hang_up_one(due, now, out);
        }
        if self.under_way() >= self.plan.most {
            return false;
        }
        let Some(user) = self.pick_user(work) else { return false };
        let caller = self.next_caller;
        self.next_caller = (caller + 1) % self.plan.callers.count();
        let slot = self.allot();
        self.active += 1;
        let forget = self.plan.nonces == Nonces::Forget;
        let Some(unit) = self.units.get_mut(slot as usize) else { return false };
        (unit.work, unit.user, unit.caller, unit.due) = (work, user, caller, due);
        if counts {
            unit.seen.add(Seen::COUNTS);
            self.figures.of(work).started += 1;
        }
        self.figures.units += 1;
        self.figures.course.started();
        if work == Work::Register
            && let Some(place) = self.users.get_mut(user as usize)
        {
            // A slot as it is, and one more, so that nought is none.
            place.busy = slot + 1;
            if forget {
                place.session = None;
            }
        }
        self.first_request(slot, now, out);
        true
    }

    /// The next user; one who is not registering where it is to register.
    fn pick_user(&mut self, work: Work) -> Option<u32> {
        let count = self.plan.users.count();
        for _ in 0..count.min(64) {
            let user = self.next_user;
            self.next_user = (user + 1) % count;
            let place = self.users.get(user as usize)?;
            if work != Work::Register || place.busy == 0 {
                return Some(user);
            }
        }
        None
    }

    /// Sends the unit's first request, with credentials where a nonce is known, and sets its timer.
    pub(crate) fn first_request(&mut self, slot: u32, now: Instant, out: &mut Outbox) {
        let Some(unit) = self.units.get_mut(slot as usize) else { return };
        let (work, user) = (unit.work, unit.user);
        if work == Work::Register
            && let Some(place) = self.users.get_mut(user as usize)
        {
            place.cseq = place.cseq.wrapping_add(1) & 0x7fff_ffff;
            unit.cseq = place.cseq;
        }
        let mut uri = Vec::new();
        if self.callers_place(slot).is_some_and(|place| place.session.is_some()) {
            if work == Work::Register {
                uri.extend_from_slice(b"sip:");
                uri.extend_from_slice(self.plan.users.domain(user).as_bytes());
            } else {
                self.plan.users.write_uri(user, &mut uri);
            }
        }
        self.credentials(slot, method_of(work), &uri);
        self.transact(slot, now);
        self.send_first(slot, out);
    }

    /// Begins the timers of a client transaction.
    pub(crate) fn transact(&mut self, slot: u32, now: Instant) {
        let timeout = self.plan.timeout;
        let Some(unit) = self.unit(slot) else { return };
        unit.until = now + timeout;
        unit.interval = T1;
        self.arm_retransmission(slot, now);
    }

    /// Sends the first request, new or again.
    pub(crate) fn send_first(&mut self, slot: u32, out: &mut Outbox) {
        let expires = self.plan.expires;
        self.send(slot, out, |pen, unit, named, arena| match unit.work {
            Work::Register => pen.register(unit, named, expires, arena),
            _ => pen.request(unit, named, arena),
        });
    }

    /// Writes a message of a unit's caller, or of the user who registers, and sends it.
    pub(crate) fn send(
        &mut self,
        slot: u32,
        out: &mut Outbox,
        write: impl FnOnce(&Pen<'_>, &Unit, Named, &mut Vec<u8>),
    ) {
        let Some(unit) = self.units.get(slot as usize) else { return };
        let sockets = self.plan.sockets;
        // Users register from the callees' sockets, and are called there.
        let (index, named) = if unit.work == Work::Register {
            (sockets + unit.user as usize % sockets, Named::User(unit.user))
        } else {
            (unit.caller as usize % sockets, Named::Unit { slot, generation: unit.generation })
        };
        let Some(channel) = self.channels.get(index).filter(|channel| channel.up) else { return };
        let pen = Pen {
            users: &self.plan.users,
            callers: &self.plan.callers,
            run: self.plan.run,
            via: &channel.via,
            place: &channel.place,
        };
        let start = out.arena.len();
        write(&pen, unit, named, &mut out.arena);
        let bytes = start..out.arena.len();
        out.outputs.push(Output::Transmit { flow: channel.flow, bytes });
        self.figures.messages_out += 1;
    }

    /// Sends bytes on a channel, such as a response by the way that its request came.
    pub(crate) fn reply(
        &mut self,
        channel: usize,
        out: &mut Outbox,
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        let Some(channel) = self.channels.get(channel).filter(|channel| channel.up) else { return };
        let start = out.arena.len();
        write(&mut out.arena);
        let bytes = start..out.arena.len();
        out.outputs.push(Output::Transmit { flow: channel.flow, bytes });
        self.figures.messages_out += 1;
    }

    // Timers.

    /// Sets a timer of a unit in place of the one that it had.
    pub(crate) fn arm(&mut self, slot: u32, end: End, at: Instant) {
        let Some(unit) = self.units.get_mut(slot as usize) else { return };
        let timer = match end {
            End::Caller => &mut unit.timer,
            End::Callee => &mut unit.callee_timer,
        };
        self.wheel.clear(*timer);
        *timer = self.wheel.set(at, Due { slot, generation: unit.generation, end });
    }

    pub(crate) fn disarm(&mut self, slot: u32, end: End) {
        let Some(unit) = self.units.get_mut(slot as usize) else { return };
        let timer = match end {
            End::Caller => &mut unit.timer,
            End::Callee => &mut unit.callee_timer,
        };
        self.wheel.clear(std::mem::replace(timer, TimerId::NONE));
    }

    /// The next retransmission, or the end of patience.
    pub(crate) fn arm_retransmission(&mut self, slot: u32, now: Instant) {
        let reliable = self.plan.transport.reliable();
        let Some(unit) = self.unit(slot) else { return };
        let again = now + Duration::from_millis(unit.interval.into());
        let at = if reliable { unit.until } else { unit.until.min(again) };
        self.arm(slot, End::Caller, at);
    }

    /// Runs the timers that are due.
    pub(crate) fn timers(&mut self, now: Instant, out: &mut Outbox) {
        while let Some(due) = self.wheel.due(now) {
            let current = self.unit(due.slot).filter(|unit| unit.generation == due.generation);
            if current.is_none() {
                continue;
            }
            match due.end {
                End::Caller => self.caller_timer(due.slot, now, out),
                End::Callee => self.callee_timer(due.slot, now, out),
            }
        }
    }

    fn caller_timer(&mut self, slot: u32, now: Instant, out: &mut Outbox) {
        let Some(unit) = self.unit(slot) else { return };
        if unit.seen.has(Seen::HELD) {
            return self.bye(slot, now, out);
        }
        if now >= unit.until {
            return self.lost(slot);
        }
        // Timers A and E (section 17.1): the INVITE's interval doubles without a bound, the others'
        // up to T2.
        let bye = unit.seen.has(Seen::BYE);
        let invite = unit.work == Work::Call && !bye;
        unit.interval =
            if invite { unit.interval.saturating_mul(2) } else { (unit.interval * 2).min(T2) };
        self.figures.retransmissions += 1;
        if bye {
            self.send(slot, out, |pen, unit, named, arena| pen.in_dialog(unit, named, true, arena));
        } else {
            self.send_first(slot, out);
        }
        self.arm_retransmission(slot, now);
    }

    // Digest.

    /// Who answers challenges for a unit.
    fn callers_place(&self, slot: u32) -> Option<&Place> {
        let unit = self.units.get(slot as usize)?;
        match unit.work {
            Work::Register => self.users.get(unit.user as usize),
            _ => self.callers.get(unit.caller as usize),
        }
    }

    fn callers_place_mut(&mut self, slot: u32) -> Option<&mut Place> {
        let unit = self.units.get(slot as usize)?;
        match unit.work {
            Work::Register => self.users.get_mut(unit.user as usize),
            _ => self.callers.get_mut(unit.caller as usize),
        }
    }

    /// Makes the credentials of the unit's next request, where its sender knows a nonce.
    pub(crate) fn credentials(&mut self, slot: u32, method: &[u8], uri: &[u8]) {
        let cnonce = match self.callers_place(slot) {
            Some(Place { session: Some(_), .. }) => self.rng.text(8),
            _ => String::new(),
        };
        let mut line = match self.units.get_mut(slot as usize) {
            Some(unit) => std::mem::take(&mut unit.credentials),
            None => return,
        };
        line.clear();
        if let Some(kept) = self.callers_place_mut(slot).and_then(|p| p.session.as_deref_mut()) {
            let name = if kept.proxy { Name::ProxyAuthorization } else { Name::Authorization };
            line.extend_from_slice(name.as_str().as_bytes());
            line.extend_from_slice(b": ");
            line.extend_from_slice(&kept.session.answer(method, uri, b"", &cnonce));
            line.extend_from_slice(b"\r\n");
        }
        if let Some(unit) = self.units.get_mut(slot as usize) {
            unit.credentials = line;
        }
    }

    /// Takes up the challenge in a response. False if there is none that can be answered, or if the
    /// same credentials were refused just now (section 22.1).
    pub(crate) fn challenged(&mut self, slot: u32, response: &Message<'_>) -> bool {
        let Some(unit) = self.unit(slot) else { return false };
        let (work, user, caller) = (unit.work, unit.user, unit.caller);
        let (again, tried) = (unit.challenges, !unit.credentials.is_empty());
        let account = match work {
            Work::Register => self.plan.users.account(user),
            _ => self.plan.callers.account(caller),
        };
        let Some((name, password)) = account else { return false };
        let proxy = response.status() == 407;
        let field = if proxy { Name::ProxyAuthenticate } else { Name::WwwAuthenticate };
        let challenges = response.fields(field).map(|field| field.value);
        let Some(session) = Session::choose(challenges, &name, &password).into_iter().next() else {
            return false;
        };
        // A nonce that is known from before may have grown too old without the server saying so;
        // one that was just made for this request may not.
        if again > 1 || (again == 1 && tried && !session.stale()) {
            return false;
        }
        if let Some(place) = self.callers_place_mut(slot) {
            place.session = Some(Box::new(Kept { session, proxy }));
        }
        if let Some(unit) = self.unit(slot) {
            unit.challenges += 1;
        }
        self.figures.challenges += 1;
        true
    }

    // Ends.

    /// Counts a latency of a unit.
    pub(crate) fn latency(&mut self, slot: u32, wait: Wait, now: Instant) {
        let Some(unit) = self.unit(slot) else { return };
        let (work, counts) = (unit.work, unit.seen.has(Seen::COUNTS));
        let took = now.since(if wait == Wait::Bye { unit.bye } else { unit.due });
        if matches!(wait, Wait::Ringing | Wait::Final) {
            self.figures.course.latency(took);
        }
        if counts {
            self.figures.of(work).latency(wait, took);
        }
    }

    /// The unit has ended: well, or with a response code, or (none) without an answer.
    pub(crate) fn finish(&mut self, slot: u32, end: Result<(), Option<u16>>) {
        let Some(unit) = self.unit(slot) else { return };
        let (work, counts) = (unit.work, unit.seen.has(Seen::COUNTS));
        self.figures.course.ended(end.is_ok());
        if end.is_ok() && self.window {
            self.figures.completed += 1;
        }
        if counts {
            let tally = self.figures.of(work);
            match end {
                Ok(()) => tally.ok += 1,
                Err(Some(code)) => *tally.refused.entry(code).or_default() += 1,
                Err(None) => tally.lost += 1,
            }
        }
        self.release(slot);
        self.active = self.active.saturating_sub(1);
    }

    fn lost(&mut self, slot: u32) {
        self.finish(slot, Err(None));
    }

    fn release(&mut self, slot: u32) {
        self.disarm(slot, End::Caller);
        self.disarm(slot, End::Callee);
        let Some(unit) = self.units.get_mut(slot as usize) else { return };
        unit.live = false;
        let (work, user) = (unit.work, unit.user);
        let answer = std::mem::take(&mut unit.answer);
        self.free.push(slot);
        self.give_back(answer);
        if work == Work::Register
            && let Some(place) = self.users.get_mut(user as usize)
        {
            place.busy = 0;
        }
    }

    pub(crate) fn give_back(&mut self, mut buffer: Vec<u8>) {
        if buffer.capacity() > 0 && self.buffers.len() < BUFFERS {
            buffer.clear();
            self.buffers.push(buffer);
        }
    }

    pub(crate) fn buffer(&mut self) -> Vec<u8> {
        self.buffers.pop().unwrap_or_default()
    }

    /// The unit that registers a user, if one does.
    pub(crate) fn registering(&self, user: u32) -> Option<u32> {
        self.users.get(user as usize)?.busy.checked_sub(1)
    }

    /// Ends what is still under way: lost. Calls that stay up are left.
    pub(crate) fn give_up(&mut self) {
        if self.active == 0 {
            return;
        }
        for slot in 0..u32::try_from(self.units.len()).unwrap_or(u32::MAX) {
            if self.unit(slot).is_some_and(|unit| !unit.seen.has(Seen::PARKED)) {
                self.lost(slot);
            }
        }
    }

    /// Has the calls that are held end now, one after the other so that they are no burst; gives
    /// how long that takes.
    pub(crate) fn end_held(&mut self, now: Instant) -> Duration {
        const APART: Duration = Duration::from_micros(200);
        let mut after = Duration::ZERO;
        if self.active == 0 || self.hold.is_zero() {
            return after;
        }
        for slot in 0..u32::try_from(self.units.len()).unwrap_or(u32::MAX) {
            let Some(unit) = self.unit(slot) else { continue };
            if unit.seen.has(Seen::HELD) && !unit.seen.has(Seen::PARKED) {
                after += APART;
                self.arm(slot, End::Caller, now + after);
            }
        }
        after
    }
}
