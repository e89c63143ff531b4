//! The controller: from how long messages wait to how many are refused.
//!
//! It is a PI controller as that of PIE (RFC 8033 section 4.2) with another measure and other
//! gains: what it holds at its aim is the wait of the queue as a share of the wait that is allowed,
//! and it looks at the least of a period, so that a burst that is soon gone does not count. What it
//! sets is the logarithm of the share that is let in: the same step then is the same relative change at
//! one and a half times what can be served and, with all that is sent again, at sixty times.
//!
//! Nor does a long wait alone: a machine that had something else to do lets a single message wait as
//! a flood does. So pressure begins only where each period for a while had both a wait beyond the
//! target and a load that is one, and what a period counts for is its nominal length, however long
//! the process was stopped in it.
//!
//! A buffer that is full to the brim is another matter: something is lost there already, and what is
//! better chosen. So where that goes on for a few periods, or the buffer is half full and still gets fuller,
//! requests are dropped by choice, unread where they can be. They are not refused: whoever sent one sends it again after T1, and a burst is over then.
//!
//! A refusal costs an eighth of a call, so at twice the load answers alone would cost a tenth of
//! the goodput and at ten times most of it. They get a share of the work and no more: what is to be
//! refused beyond it is dropped, and where that lasts the kernel is asked to drop it before it is
//! read. Over a connection nobody sends a request again. So more of them are answered there, each
//! in less time than a datagram, and the rest dropped all the same, as RFC 3261 section 21.5.4
//! allows: to answer each at ten times what can be served would leave no time to serve any.

use std::time::Duration;

use super::{Class, Settings};
use crate::io::Instant;

/// How often the pressure is set anew.
const PERIOD: Duration = Duration::from_millis(16);
/// How much of what is too much in the queue goes into the pressure each period; far from the aim it
/// is more. A server ten times as slow has a queue that answers ten times as slowly, and with more
/// than this it swings, empty in each turn.
const PROPORTION: f32 = 0.02;
/// How much of what it grew by does.
const TREND: f32 = 0.8;
/// What is left of the pressure after a period in which nothing waited at all.
const RELIEF: f32 = 0.97;
/// Less than this is none.
const LEAST: f32 = 0.01;
/// Waits longer than so many times the target are all the same.
const MOST: f32 = 2.5;
/// The share of the kernel's buffer that counts as much as the whole target: what comes in a burst
/// finds room in the rest, so that nothing is lost that belongs to a call.
const FULL: f32 = 40.0;
/// How far the pressure goes for each class: at its end one in `e` to the power of it is let in, some
/// two hundred. Somebody has to try whether it goes again.
const SPAN: f32 = 5.3;
/// As long as requests of a class are this share of all, the next one is not touched.
const ENOUGH: f32 = 0.25;
/// A buffer that is taken to so many hundredths loses what comes, and one that is taken to so many and does
/// not get emptier will soon.
const BRIM: u8 = 90;
const FILLING: u8 = 50;
/// That counts as so many times what is allowed.
const FLOOD: f32 = 4.0;
/// After so many periods of it what is lost is chosen, beginning with this pressure.
const FLOODED: u32 = 3;
const AT_ONCE: f32 = 1.5;
/// How many refusals are answered for each message that is read. A call has six.
const ANSWERED: f32 = 1.0 / 40.0;
/// The same where nobody sends a request again.
const ANSWERED_ONCE: f32 = 1.0 / 16.0;
/// So many of each may be answered in any case each period.
const ANSWERED_LEAST: [f32; 2] = [2.0, 16.0];
/// For so many periods what is not used of that is kept.
const KEPT: f32 = 8.0;
/// Where the kernel drops, the share of what it lets through that is still refused here: with an
/// answer, as far as that goes.
const LEFT: f32 = 0.15;
/// In overload a load is one already if it is this share of what overload takes to begin: the rest
/// is thrown away unread.
const HELD: f32 = 0.25;
/// Beyond this many hundredths of the buffer that are taken there is load, however slow we are.
const CROWDED: u8 = 25;
/// Overload that was over comes back in this share of the time that it takes to begin.
const AGAIN: u32 = 8;
/// After so many periods in which nothing waited the pressure halves with each.
const EMPTY: u32 = 8;
/// The kernel drops once answers have not been enough for this share of what lasting means.
const UNREAD: u32 = 2;
/// It is over when nothing has been refused for so long.
const QUIET: Duration = Duration::from_secs(2);

/// What an onlooker should know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Requests are refused from now on.
    Began,
    /// None have been for a while.
    Ended {
        /// How long it was.
        lasted: Duration,
        /// How many requests were refused with an answer.
        refused: u64,
    },
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is served.
    Serve,
    /// It is refused with an answer.
    Refuse,
    /// It is dropped: whoever sent it sends it again.
    Drop,
}

/// The share of requests, in thousandths, that the kernel is asked to drop unread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shed {
    /// Of those that ask for new work, [`super::Class::New`].
    pub new: u16,
    /// Of those with credentials, [`super::Class::Known`].
    pub known: u16,
}

impl Shed {
    /// Whether any are dropped.
    pub fn is_any(self) -> bool {
        self.new > 0 || self.known > 0
    }

    fn of(self, class: usize) -> f32 {
        let thousandths = [self.new, self.known].get(class).copied().unwrap_or(0);
        f32::from(thousandths) / 1000.0
    }
}

/// Decides how much is refused. See the module.
#[derive(Clone, Debug)]
pub struct Controller {
    /// What is taken off the logarithm of the share of new requests that is let in, up to [`SPAN`];
    /// what is above is for the next class, and so on.
    pressure: f32,
    /// Below which lot a request of each class is refused, of what the kernel lets through, and of what
    /// comes by connections, where it lets all through.
    below: [u32; 3],
    below_of_streams: [u32; 3],
    /// How many refusals may still be answered: of what is sent again if it is dropped, and of what
    /// is not.
    answers: [f32; 2],
    /// What the kernel is known to drop.
    shed: Shed,
    /// The measure of the last period.
    before: f32,
    /// The least of this period, and how much of the buffer was taken at least.
    least: Option<(f32, u8)>,
    /// What was told last.
    latest: (f32, u8),
    /// When this period ends; none while there is nothing to do.
    period: Option<Instant>,
    /// Whether that is only when to see that overload is over.
    resting: bool,
    /// How many messages had been read when it began.
    read: u64,
    /// For how long, in periods, each had too long a wait and a load.
    lasted: u32,
    /// How full the buffer was in the last period.
    taken: u8,
    /// For how many periods it was full to the brim, or got there.
    brimming: u32,
    /// While it began with that, for how many periods more nothing is refused but what is dropped.
    hushed: u32,
    /// For how many periods nothing has waited.
    empty: u32,
    /// How many requests were dropped in this period for want of answers.
    dropped: u32,
    /// For how many periods there were any.
    unanswered: u32,
    /// Whether the kernel may throw away what is not answered.
    unread: bool,
    began: Option<Instant>,
    last: Instant,
    /// Requests of this period by class, refused or not.
    seen: [u32; 3],
    /// How many of each class were refused with an answer, and how many dropped.
    refused: [u64; 3],
    dropped_all: [u64; 3],
    refused_before: u64,
    /// What is left to the urgent ones of this second, and when that began.
    urgent: (Instant, u32),
}

impl Default for Controller {
    fn default() -> Controller {
        Controller {
            pressure: 0.0,
            below: [0; 3],
            below_of_streams: [0; 3],
            answers: [0.0; 2],
            shed: Shed::default(),
            before: 0.0,
            least: None,
            latest: (0.0, 0),
            period: None,
            resting: false,
            read: 0,
            lasted: 0,
            taken: 0,
            brimming: 0,
            hushed: 0,
            empty: 0,
            dropped: 0,
            unanswered: 0,
            unread: false,
            began: None,
            last: Instant(0),
            seen: [0; 3],
            refused: [0; 3],
            dropped_all: [0; 3],
            refused_before: 0,
            urgent: (Instant(0), 0),
        }
    }
}

impl Controller {
    /// Whether requests are refused at the moment.
    pub fn is_pressed(&self) -> bool {
        self.pressure > 0.0
    }

    /// How hard it is: 0 nothing is refused, 1 nearly all new requests, 2 nearly all but those of
    /// dialogs.
    pub fn pressure(&self) -> f32 {
        self.pressure / SPAN
    }

    /// The share of the requests of a class that is let in.
    pub fn admitted(&self, class: Class) -> f32 {
        match class {
            Class::Always => 1.0,
            class => (-(self.pressure - class as u8 as f32 * SPAN).clamp(0.0, SPAN)).exp(),
        }
    }

    /// By how many hundredths neighbours are asked to reduce their requests (RFC 7339 section 7.1).
    ///
    /// A third of the requests of a call asks for new work; they hold that back first, so it is what
    /// the first class of pressure speaks of. Where that was not enough it goes on to all.
    pub fn loss(&self) -> u8 {
        let (new, known) = (self.admitted(Class::New), self.admitted(Class::Known));
        (100.0 * ((1.0 - new) / 3.0 + (1.0 - known) * 2.0 / 3.0)).ceil() as u8
    }

    /// How much of what is served now could be served, as far as can be seen: less than all of it where
    /// the queue is beyond its aim, a little more where it is not.
    pub fn headroom(&self) -> f32 {
        (2.0 - self.before).clamp(0.5, 1.2)
    }

    /// Whether there is overload, from the first refusal until it has been over for a while.
    pub fn is_overloaded(&self) -> bool {
        self.began.is_some()
    }

    /// Since when.
    pub fn since(&self) -> Option<Instant> {
        self.began
    }

    /// How many requests were refused.
    pub fn refused(&self) -> u64 {
        self.refused.iter().sum()
    }

    /// How many of a class were refused with an answer, and how many were dropped after they were read.
    pub fn turned_away(&self, class: Class) -> (u64, u64) {
        let of = |all: &[u64; 3]| all.get(class as usize).copied().unwrap_or(0);
        (of(&self.refused), of(&self.dropped_all))
    }

    /// When to be told the time.
    pub fn deadline(&self) -> Option<Instant> {
        self.period
    }

    /// The oldest message that is not read yet has waited for `wait`, and the buffer that it waits in
    /// is full to `fill` parts of a hundred. `read`: how many messages have been read so far.
    pub fn waited(
        &mut self,
        settings: &Settings,
        now: Instant,
        wait: Duration,
        fill: u8,
        read: u64,
    ) {
        if !settings.enabled {
            return;
        }
        let target = settings.target.as_secs_f32().max(0.001);
        let measure = (wait.as_secs_f32() / target).max(f32::from(fill) / FULL).min(MOST);
        let measure = if fill >= BRIM { FLOOD } else { measure };
        let (least, taken) = self.least.unwrap_or((measure, fill));
        self.least = Some((least.min(measure), taken.min(fill)));
        self.latest = (measure, fill);
        if (self.period.is_none() || self.resting) && measure > 0.0 {
            (self.period, self.read, self.resting) = (Some(now + PERIOD), read, false);
        }
    }

    /// Sets the pressure anew when a period is over. Gives what an onlooker should know.
    pub fn due(&mut self, settings: &Settings, now: Instant, read: u64) -> Option<Change> {
        let over = self.period.filter(|end| *end <= now)?;
        // Whoever waits says so until it is over; one who is slow does not in each period.
        let (told, taken) = self.least.take().unwrap_or(self.latest);
        let spent = now.since(over) + PERIOD;
        let messages = read - self.read;
        let loaded = taken > CROWDED || self.is_load(settings, messages, spent);
        self.read = read;
        let shares = [ANSWERED, ANSWERED_ONCE].into_iter().zip(ANSWERED_LEAST);
        for (answers, (share, least)) in self.answers.iter_mut().zip(shares) {
            let more = (messages as f32 * share).max(least);
            *answers = (*answers + more).min(more * KEPT);
        }
        // Long waits without a load are a machine that had something else to do.
        let measure = if loaded { told } else { told.min(1.0) };
        let seen = std::mem::take(&mut self.seen);
        self.lasted = if measure > 1.0 { self.lasted.saturating_add(1) } else { 0 };
        let fills = taken >= FILLING && taken >= std::mem::replace(&mut self.taken, taken);
        let brims = fills || taken >= BRIM;
        self.brimming = if brims { self.brimming.saturating_add(1) } else { 0 };
        self.empty = if loaded && told > 0.0 { 0 } else { self.empty.saturating_add(1) };
        let was = self.pressure;
        self.pressure = if settings.enabled { self.step(settings, measure, seen) } else { 0.0 };
        self.before = measure;
        let too_many = std::mem::take(&mut self.dropped) > 0;
        self.unanswered =
            if too_many { self.unanswered.saturating_add(1) } else { self.unanswered / 2 };
        let refuses = self.pressure > 0.0 && self.hush(settings, was);
        self.unread = self.pressure > 0.0
            && (self.unread
                || self.hushed > 0
                || PERIOD * self.unanswered >= settings.lasting / UNREAD);
        self.draw();
        if refuses || was > 0.0 && self.began.is_some() {
            self.last = now;
        }
        let idle = self.pressure == 0.0 && told == 0.0;
        let change = match self.began {
            None if refuses => {
                self.began = Some(now);
                self.refused_before = self.refused();
                Some(Change::Began)
            }
            Some(began) if self.pressure == 0.0 && now.since(self.last) >= QUIET => {
                self.began = None;
                let refused = self.refused() - self.refused_before;
                Some(Change::Ended { lasted: self.last.since(began), refused })
            }
            _ => None,
        };
        self.period = (!idle).then_some(now + PERIOD);
        self.resting = idle && self.began.is_some();
        if self.resting {
            self.period = Some(now + QUIET);
        }
        change
    }

    /// Whether anything is refused by now, where the pressure was `was`: what begins because the buffer is
    /// full is not before it has lasted.
    fn hush(&mut self, settings: &Settings, was: f32) -> bool {
        if was > 0.0 {
            self.hushed = self.hushed.saturating_sub(1);
        } else if self.began.is_none() && PERIOD * self.lasted < settings.lasting {
            let periods = settings.lasting.as_micros() / PERIOD.as_micros();
            self.hushed = u32::try_from(periods).unwrap_or(u32::MAX).saturating_sub(self.lasted);
        }
        self.hushed == 0
    }

    /// Whether so many messages in that time are a load, and not a few that had to wait.
    fn is_load(&self, settings: &Settings, messages: u64, time: Duration) -> bool {
        let share = if self.pressure > 0.0 { HELD } else { 1.0 };
        messages as f32 >= settings.load as f32 * share * time.as_secs_f32()
    }

    /// The pressure after a period of that measure and those requests.
    fn step(&self, settings: &Settings, measure: f32, seen: [u32; 3]) -> f32 {
        if self.pressure == 0.0 {
            let wanted = settings.lasting / if self.began.is_some() { AGAIN } else { 1 };
            // A queue that is worked off, or that only grows within what is allowed, is none to
            // begin for.
            let lasts = PERIOD * self.lasted >= wanted || self.brimming >= FLOODED;
            if measure <= 1.0 || !lasts {
                return 0.0;
            }
        }
        let off = measure - 1.0;
        // It begins as if the queue had grown just now.
        let before = if self.pressure == 0.0 { 1.0 } else { self.before };
        let step = PROPORTION * off * (1.0 + off * off) + TREND * (measure - before);
        let all = seen.iter().sum::<u32>() as f32;
        // A class is refused only where there is not enough to refuse of those before it.
        let plenty = seen.iter().position(|count| *count as f32 >= ENOUGH * all);
        let most = (plenty.unwrap_or(seen.len() - 1) as f32 + 1.0) * SPAN;
        // Nothing waits: too much is refused, and the time that is not used does not come back.
        let relief = match self.empty {
            0 => 1.0,
            1..=EMPTY => RELIEF,
            _ => 0.5,
        };
        let was = self.pressure * relief;
        let at_once = self.pressure == 0.0 && self.brimming >= FLOODED;
        let step = if at_once { step.max(AT_ONCE) } else { step };
        let pressure = (was + step).min(most.max(was)).clamp(0.0, seen.len() as f32 * SPAN);
        if self.empty > 0 && pressure < LEAST { 0.0 } else { pressure }
    }

    /// What becomes of a request of that class. `lot` is evenly spread, and the same for requests
    /// that belong together. `urgent`: it has its class for saying so. `again`: its sender will send
    /// it again if it is dropped.
    pub fn judge(
        &mut self,
        settings: &Settings,
        now: Instant,
        (class, urgent): (Class, bool),
        lot: u32,
        again: bool,
    ) -> Verdict {
        let class = if urgent && !self.may_be_urgent(settings, now) { Class::New } else { class };
        let Some(seen) = self.seen.get_mut(class as usize) else { return Verdict::Serve };
        *seen += 1;
        let below = if again { &self.below } else { &self.below_of_streams };
        if below.get(class as usize).is_none_or(|below| lot >= *below) {
            return Verdict::Serve;
        }
        if self.hushed > 0 && !again {
            return Verdict::Serve;
        }
        self.turn_away(class, again)
    }

    /// How a request is turned away: with an answer, as long as there may be more of them.
    pub fn turn_away(&mut self, class: Class, again: bool) -> Verdict {
        let [of_datagrams, of_streams] = &mut self.answers;
        let answers = if again { of_datagrams } else { of_streams };
        if (again && self.hushed > 0) || *answers < 1.0 {
            self.dropped += 1;
            count(&mut self.dropped_all, class);
            return Verdict::Drop;
        }
        *answers -= 1.0;
        count(&mut self.refused, class);
        Verdict::Refuse
    }

    /// The share of requests that the driver should throw away unread.
    pub fn shed(&self) -> Shed {
        let share = |class| {
            if !self.unread {
                return 0;
            }
            ((1.0 - self.admitted(class) / (1.0 - LEFT)).max(0.0) * 1000.0) as u16
        };
        Shed { new: share(Class::New), known: share(Class::Known) }
    }

    /// The driver throws away so many from now on: they have been taken off what comes.
    pub fn sheds(&mut self, shed: Shed) {
        self.shed = shed;
        self.draw();
    }

    /// Sets which lots are blanks.
    fn draw(&mut self) {
        let classes = [Class::New, Class::Known, Class::Dialog];
        let below = |class, through: f32| {
            let share = 1.0 - (self.admitted(class) / through).min(1.0);
            (share * u32::MAX as f32) as u32
        };
        let of_streams = classes.map(|class| below(class, 1.0));
        self.below = classes.map(|class| below(class, 1.0 - self.shed.of(class as usize)));
        self.below_of_streams = of_streams;
    }

    #[cfg(test)]
    pub(super) fn pressure_for_test(&mut self, pressure: f32) {
        self.pressure = pressure * SPAN;
        self.draw();
    }

    fn may_be_urgent(&mut self, settings: &Settings, now: Instant) -> bool {
        let (began, left) = &mut self.urgent;
        if now.since(*began) >= Duration::from_secs(1) {
            (*began, *left) = (now, settings.urgent);
        }
        let may = *left > 0;
        *left = left.saturating_sub(1);
        may
    }
}

fn count(all: &mut [u64; 3], class: Class) {
    if let Some(count) = all.get_mut(class as usize) {
        *count += 1;
    }
}
