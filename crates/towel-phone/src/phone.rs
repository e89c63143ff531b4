//! The phone: a user agent that does what it was set up for.

mod audio;
mod calling;
mod changes;
mod clock;
mod ending;
mod held;
mod incoming;
mod keys;
mod registering;
mod script;
mod transfer;

use std::collections::{HashMap, VecDeque};

use towel_core::io::{Input, Instant, Machine, Now, Outbox};
use towel_core::rng::Rng;
use towel_core::ua::UserAgent;
use towel_core::ua::user_agent::{Answer, CallHandle, DialogHandle, Event, RequestHandle};

use crate::{Act, Media, News, Over, Role, Setup};
use clock::Clock;
use held::Held;
use registering::Registering;

/// What a phone is told to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Order {
    /// Call this URI.
    Call(String),
    /// Do this with a call, by its number; 0: with the latest.
    Do(u32, Act),
    /// End all calls, remove the registration, and be done.
    Leave,
}

/// What a request of ours is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    /// A change of the session.
    Change,
    /// A key that was pressed.
    Key,
}

/// A phone. [`Phone::is_done`] tells when it has nothing more to do.
#[derive(Debug)]
pub struct Phone {
    ua: UserAgent,
    media: Media,
    setup: Setup,
    rng: Rng,
    /// How many listeners have still to come up.
    silent: usize,
    registering: Registering,
    /// The calls, by their numbers.
    calls: HashMap<u32, Held>,
    /// The numbers of calls, by their handles.
    numbers: HashMap<u64, u32>,
    /// The numbers of calls, by their lines.
    lines: HashMap<u64, u32>,
    /// Requests of ours: for which call, and for what.
    requests: HashMap<u64, (u32, Purpose)>,
    /// Transfers of ours that are not over: of which calls.
    transfers: HashMap<u64, u32>,
    /// What is due for which call.
    clock: Clock,
    /// Calls that are over and whose audio ends, by their lines, with when that is waited for no more.
    ending: HashMap<u64, (Instant, Box<Over>)>,
    ending_due: VecDeque<(Instant, u64)>,
    /// When the next call of many begins.
    next_call: Option<Instant>,
    /// How many calls there were.
    counted: u32,
    /// How many of them are over.
    over: u32,
    /// It takes nothing new, and ends when nothing is left.
    leaving: bool,
    done: bool,
    news: VecDeque<News>,
}

impl Phone {
    /// A phone of this user agent, with these media. `seed` is what nobody guesses.
    pub fn new(ua: UserAgent, media: Media, setup: Setup, seed: [u8; 32]) -> Phone {
        Phone {
            ua,
            media,
            silent: setup.listeners,
            registering: Registering::default(),
            setup,
            rng: Rng::new(seed),
            calls: HashMap::new(),
            numbers: HashMap::new(),
            lines: HashMap::new(),
            requests: HashMap::new(),
            transfers: HashMap::new(),
            clock: Clock::default(),
            ending: HashMap::new(),
            ending_due: VecDeque::new(),
            next_call: None,
            counted: 0,
            over: 0,
            leaving: false,
            done: false,
            news: VecDeque::new(),
        }
    }

    /// What happened since this was last asked.
    pub fn next_news(&mut self) -> Option<News> {
        self.news.pop_front()
    }

    /// Whether all is done that it was set up for, and nobody waits for it.
    pub fn is_done(&self) -> bool {
        // What only lingers, to absorb late copies, is not waited for.
        self.done && self.ua.stack().is_quiet()
    }

    /// The user agent.
    pub fn user_agent(&self) -> &UserAgent {
        &self.ua
    }

    /// How much it keeps: calls, lines with ports, requests under way, things due, and calls whose
    /// audio ends. Nothing of it is left when no call is.
    pub fn sizes(&self) -> [usize; 5] {
        [
            self.calls.len() + self.numbers.len() + self.lines.len(),
            self.media.lines(),
            self.requests.len() + self.transfers.len(),
            self.clock.len(),
            self.ending.len() + self.ending_due.len(),
        ]
    }

    /// How many calls there were, and how many of them are over.
    pub fn counts(&self) -> (u32, u32) {
        (self.counted, self.over)
    }

    /// Does what it is told. What comes of it is told as news.
    pub fn order(&mut self, now: Now, out: &mut Outbox, order: Order) {
        match order {
            Order::Call(to) => {
                self.call(now, out, &to, None);
            }
            Order::Do(number, act) => {
                let latest = || self.calls.keys().max().copied();
                let number = if number == 0 { latest() } else { Some(number) };
                let done = match number {
                    Some(number) => self.act(now, out, number, &act),
                    None => script::Done::Not("there is no call".into()),
                };
                let number = number.unwrap_or(0);
                match done {
                    script::Done::Yes => {}
                    script::Done::Later => {
                        let why = "the session is being changed".to_owned();
                        self.news.push_back(News::Refused(number, why, 491));
                    }
                    script::Done::Not(why) => {
                        self.news.push_back(News::Refused(number, why, 0));
                    }
                }
            }
            Order::Leave => self.leave(now, out),
        }
        self.look(now, out);
    }

    /// Hangs up, removes its registration, and is done.
    pub fn leave(&mut self, now: Now, out: &mut Outbox) {
        self.leaving = true;
        let calls: Vec<_> = self.calls.values().map(|held| held.call).collect();
        for call in calls {
            let _ = self.ua.hang_up(now, out, call);
        }
        self.look(now, out);
    }

    fn number_of(&self, call: CallHandle) -> Option<u32> {
        self.numbers.get(&call.number()).copied()
    }

    fn number_in(&self, dialog: DialogHandle) -> Option<u32> {
        self.number_of(self.ua.call_of(dialog)?)
    }

    /// Takes what has happened, and does what is due.
    fn look(&mut self, now: Now, out: &mut Outbox) {
        // Bounded: what is done for an event brings forth no more of them than messages do.
        while let Some(event) = self.ua.next_event() {
            self.follow(now, out, event);
        }
        while let Some(told) = self.media.next() {
            self.hear(now, out, told);
        }
        self.look_at_clock(now, out);
        self.settle(now, out);
    }

    /// Something happened.
    fn follow(&mut self, now: Now, out: &mut Outbox, event: Event) {
        match event {
            // Nothing here can be reserved (RFC 3312 section 8).
            Event::Prepare { call, .. } => {
                let _ = self.ua.answer(now, out, call, Answer::new(580));
            }
            Event::Incoming { call, request, .. } => self.incoming(now, out, call, request),
            Event::Progress { call, dialog, reliable, response } => {
                self.progress(now, out, call, (dialog, reliable), response);
            }
            Event::Established { call, dialog, message } => {
                self.established(now, out, call, dialog, &message);
            }
            Event::Ended { call, why, .. } => self.ended(now, out, call, why),
            Event::Reinvite { dialog, request, message } => {
                self.offered(now, out, dialog, request, &message);
            }
            Event::Acknowledged { dialog, message } => {
                self.acknowledged(now, out, dialog, &message);
            }
            Event::Request { dialog, request, message } => {
                self.asked(now, out, dialog, request, message);
            }
            Event::AnswerWanted { dialog, message, .. } => {
                self.answer_wanted(now, out, dialog, &message);
            }
            Event::Response { request, came, .. } => {
                match self.requests.get(&request.number()).copied() {
                    Some((number, purpose)) => {
                        self.came(now, out, (number, purpose, request), came);
                    }
                    None => self.registered(now, out, request, came),
                }
            }
            Event::ForkEnded { call, dialog } => {
                let held = self.number_of(call).and_then(|number| self.calls.get_mut(&number));
                if let Some(held) = held {
                    held.forks.retain(|(other, _)| *other != dialog);
                }
            }
            Event::Note(note) => self.news.push_back(News::Note(note)),
            Event::Referred { request, dialog, message } => {
                self.referred(now, out, (dialog, request), &message);
            }
            Event::Refer { refer, reported, .. } => self.reported(refer, reported),
            Event::Subscribing { request, .. } => {
                let _ = self.ua.reply(now, out, request, Answer::new(403));
            }
            Event::Forked { .. }
            | Event::ReinviteCancelled { .. }
            | Event::Notified { .. }
            | Event::Unsubscribed { .. }
            | Event::Parting { .. } => {}
        }
    }

    /// What came of a request of ours that belongs to a call.
    fn came(
        &mut self,
        now: Now,
        out: &mut Outbox,
        (number, purpose, request): (u32, Purpose, RequestHandle),
        came: towel_core::ua::user_agent::Came,
    ) {
        if matches!(came, towel_core::ua::user_agent::Came::Provisional(_)) {
            return;
        }
        self.requests.remove(&request.number());
        match purpose {
            Purpose::Change => self.change_answered(now, out, number, came),
            Purpose::Key => self.key_answered(now, out, number, &came),
        }
    }

    fn look_at_clock(&mut self, now: Now, out: &mut Outbox) {
        if self.registering.is_due(now.at) {
            self.register(now, out);
        }
        self.pace(now, out);
        while let Some((number, due)) = self.clock.next(now.at) {
            self.due(now, out, number, due);
        }
        self.lapse(now);
    }

    /// Ends when nothing is left to do.
    fn settle(&mut self, now: Now, out: &mut Outbox) {
        let enough = match &self.setup.role {
            Role::Hand => false,
            Role::Caller { crowd, .. } => self.over >= crowd.calls,
            Role::Callee { calls, .. } => calls.is_some_and(|calls| self.over >= calls),
        };
        if (enough || self.leaving) && self.calls.is_empty() && self.ending.is_empty() {
            self.leaving = true;
            self.done = self.gone(now, out);
        }
    }

    /// All listeners are up.
    fn begin(&mut self, now: Now, out: &mut Outbox) {
        match self.setup.registration {
            Some(_) => self.register(now, out),
            None => self.ready(now, out),
        }
    }

    /// It is registered, if it is to be.
    fn ready(&mut self, now: Now, out: &mut Outbox) {
        if matches!(self.setup.role, Role::Caller { .. }) && self.counted == 0 && !self.leaving {
            self.next_call = Some(now.at);
            self.pace(now, out);
        }
    }
}

impl Machine for Phone {
    fn handle(&mut self, now: Now, input: Input<'_>, out: &mut Outbox) {
        let listening = matches!(input, Input::Listening(_)) && self.silent > 0;
        self.ua.handle(now, input, out);
        if listening {
            self.silent -= 1;
            if self.silent == 0 {
                self.begin(now, out);
            }
        }
        self.look(now, out);
    }

    fn deadline(&self) -> Option<Instant> {
        let lapse = self.ending_due.front().map(|(at, _)| *at);
        let dues = [
            self.clock.deadline(),
            self.ua.deadline(),
            self.registering.due(),
            self.pace_due(),
            lapse,
        ];
        dues.into_iter().flatten().min()
    }

    fn is_drained(&self) -> bool {
        self.is_done()
    }

    fn is_quiet(&self) -> bool {
        self.is_done()
    }
}

#[cfg(test)]
mod tests;
