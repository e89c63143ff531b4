//! The phone: a user agent that does what it was set up for.

mod calls;
mod registering;

use std::collections::VecDeque;

use towel_core::io::{Input, Instant, Machine, Now, Outbox};
use towel_core::rng::Rng;
use towel_core::ua::UserAgent;
use towel_core::ua::user_agent::Event;

use crate::{News, Role, Setup};
use calls::Held;
use registering::Registering;

/// A phone. [`Phone::is_done`] tells when it has nothing more to do.
pub struct Phone {
    ua: UserAgent,
    setup: Setup,
    rng: Rng,
    /// How many listeners have still to come up.
    silent: usize,
    registering: Registering,
    calls: Vec<Held>,
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
    /// A phone of this user agent. `seed` is what nobody guesses.
    pub fn new(ua: UserAgent, setup: Setup, seed: [u8; 32]) -> Phone {
        Phone {
            ua,
            silent: setup.listeners,
            registering: Registering::default(),
            setup,
            rng: Rng::new(seed),
            calls: Vec::new(),
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

    /// Hangs up, removes its registration, and is done.
    pub fn leave(&mut self, now: Now, out: &mut Outbox) {
        self.leaving = true;
        let calls: Vec<_> = self.calls.iter().map(|held| held.call).collect();
        for call in calls {
            let _ = self.ua.hang_up(now, out, call);
        }
        self.settle(now, out);
    }

    /// Takes what has happened, and does what is due.
    fn look(&mut self, now: Now, out: &mut Outbox) {
        // Bounded: what is done for an event brings forth no more of them than messages do.
        while let Some(event) = self.ua.next_event() {
            match event {
                Event::Response { request, came, .. } => {
                    self.registered(now, out, request, came);
                }
                Event::Note(note) => self.news.push_back(News::Note(note)),
                event => self.follow(now, out, event),
            }
        }
        self.look_at_clock(now, out);
        self.settle(now, out);
    }

    fn look_at_clock(&mut self, now: Now, out: &mut Outbox) {
        if self.registering.is_due(now.at) {
            self.register(now, out);
        }
        self.calls_due(now, out);
    }

    /// Ends when nothing is left to do.
    fn settle(&mut self, now: Now, out: &mut Outbox) {
        let enough = match self.setup.role {
            Role::Caller { .. } => self.over > 0,
            Role::Callee { calls, .. } => calls.is_some_and(|calls| self.over >= calls),
        };
        if (enough || self.leaving) && self.calls.is_empty() {
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
        if let Role::Caller { to, patience } = &self.setup.role
            && self.counted == 0
            && !self.leaving
        {
            let (to, patience) = (to.clone(), *patience);
            self.call(now, out, &to, patience);
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
        let calls = self.calls.iter().filter_map(|held| held.due.map(|(at, _)| at));
        calls.chain(self.ua.deadline()).chain(self.registering.due()).min()
    }

    fn is_drained(&self) -> bool {
        self.is_done()
    }

    fn is_quiet(&self) -> bool {
        self.is_done()
    }
}
