//! The look-ups of an element: what is in flight, what is remembered.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashMap;

use super::Settings;
use super::blocklist::Blocklist;
use super::cache::Cache;
use super::destination::{Capabilities, Destination, LocateFault, Target, Targets};
use super::dns::{Answer, Outcome, Question};
use super::srv::Random;
use super::walk::{Known, Step, Walk};
use crate::io::{Instant, Outbox, Output, QueryId, Transport};

/// Names a look-up that waits for answers. Never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LookupId(pub u64);

/// What came of [`Locator::locate`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Located {
    /// The list, with at least one target.
    Ready(Targets),
    /// It will come out of [`Locator::answered`].
    Waiting(LookupId),
    /// There is nowhere to send to.
    Fault(LocateFault),
}

/// A look-up that has come to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completed {
    /// Which.
    pub lookup: LookupId,
    /// The list, with at least one target.
    pub result: Result<Targets, LocateFault>,
}

/// How a target failed (RFC 3263 section 4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// Timer B or F fired without any response.
    TimedOut,
    /// The transport could not deliver.
    Transport,
    /// A 503 response, with its Retry-After if it has one. Without one it speaks of this request
    /// only (RFC 3261 section 21.5.4).
    Unavailable(Option<Duration>),
}

/// A destination with its own copy of the names.
struct Plan {
    destination: Destination<'static>,
    host: Box<[u8]>,
    maddr: Option<Box<[u8]>>,
}

impl Plan {
    fn of(d: &Destination<'_>) -> Self {
        Self {
            destination: Destination { host: b"", maddr: None, ..*d },
            host: d.host.into(),
            maddr: d.maddr.map(Into::into),
        }
    }

    fn view(&self) -> Destination<'_> {
        Destination { host: &self.host, maddr: self.maddr.as_deref(), ..self.destination }
    }
}

struct Lookup {
    plan: Plan,
    seed: u64,
    known: Known,
    /// What it cannot go on without.
    open: Vec<Question>,
}

struct Flight {
    question: Question,
    waiters: Vec<LookupId>,
}

/// Locates servers. Bounded in everything it keeps.
pub struct Locator {
    settings: Settings,
    capabilities: Capabilities,
    random: Random,
    cache: Cache,
    blocklist: Blocklist,
    lookups: HashMap<LookupId, Lookup>,
    flights: HashMap<QueryId, Flight>,
    by_question: HashMap<Question, QueryId>,
    /// When each question was waited for long enough: in the order of asking, since all wait
    /// alike. May name questions that are answered by now.
    deadlines: VecDeque<(Instant, QueryId)>,
    /// When each look-up is to hurry, and when it has to end. May name look-ups that have ended.
    hurries: VecDeque<(Instant, LookupId)>,
    ends: VecDeque<(Instant, LookupId)>,
    last_lookup: u64,
    last_query: u64,
}

impl Locator {
    /// Numbers questions from behind those of another locator, so that an answer which is still under way
    /// to that one answers nothing here.
    pub(crate) fn number_after(&mut self, other: &Locator) {
        self.last_query = self.last_query.max(other.last_query);
    }

    /// A locator for an element that can send as `capabilities` says.
    pub fn new(settings: Settings, capabilities: Capabilities, seed: u64) -> Self {
        Self {
            cache: Cache::new(settings.max_cached),
            blocklist: Blocklist::new(settings.max_blocked),
            settings,
            capabilities,
            random: Random(seed),
            lookups: HashMap::new(),
            flights: HashMap::new(),
            by_question: HashMap::new(),
            deadlines: VecDeque::new(),
            hurries: VecDeque::new(),
            ends: VecDeque::new(),
            last_lookup: 0,
            last_query: 0,
        }
    }

    /// New settings. What is cached is forgotten, look-ups in flight go on.
    pub fn set_settings(&mut self, settings: Settings) {
        self.cache = Cache::new(settings.max_cached);
        self.blocklist = Blocklist::new(settings.max_blocked);
        self.settings = settings;
    }

    /// The listeners have changed.
    pub fn set_capabilities(&mut self, capabilities: Capabilities) {
        self.capabilities = capabilities;
    }

    /// Where the element can send.
    pub fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    /// Finds the targets of a destination (RFC 3263 sections 4 and 5).
    pub fn locate(
        &mut self,
        now: Instant,
        destination: &Destination<'_>,
        out: &mut Outbox,
    ) -> Located {
        let seed = destination.seed.unwrap_or_else(|| self.random.next());
        let mut known = Known::new();
        loop {
            let walk = Walk {
                destination: *destination,
                seed,
                capabilities: self.capabilities,
                settings: &self.settings,
                known: &known,
            };
            match walk.step() {
                Step::Done(Ok(targets)) => return Located::Ready(self.arranged(now, targets)),
                Step::Done(Err(fault)) => return Located::Fault(fault),
                Step::Ask(questions) => {
                    let missing = self.recall(now, questions, &mut known);
                    if missing.is_empty() {
                        continue;
                    }
                    if self.lookups.len() >= self.settings.max_lookups {
                        return Located::Fault(LocateFault::Overloaded);
                    }
                    self.last_lookup += 1;
                    let id = LookupId(self.last_lookup);
                    let open = missing.clone();
                    self.ask(now, id, missing, out);
                    let plan = Plan::of(destination);
                    self.lookups.insert(id, Lookup { plan, seed, known, open });
                    self.forget_ended();
                    self.hurries.push_back((now + self.settings.hurry_after, id));
                    self.ends.push_back((now + self.settings.lookup_time, id));
                    return Located::Waiting(id);
                }
            }
        }
    }

    /// Takes an answer in, and gives the look-ups that end with it.
    pub fn answered(
        &mut self,
        now: Instant,
        query: QueryId,
        mut answer: Answer,
        out: &mut Outbox,
    ) -> Vec<Completed> {
        let Some(flight) = self.flights.remove(&query) else { return Vec::new() };
        self.by_question.remove(&flight.question);
        if let Outcome::Records(records) = &mut answer.outcome {
            if records.kind() != flight.question.kind() {
                answer = Answer::failure();
            } else if records.is_empty() {
                answer.outcome = Outcome::Nothing;
            } else {
                records.truncate(self.settings.max_records);
            }
        }
        let answer = Arc::new(answer);
        let failure = self.settings.failure_time;
        self.cache.keep(now, flight.question.clone(), answer.clone(), failure);

        let mut completed = Vec::new();
        for id in flight.waiters {
            let Some(lookup) = self.lookups.get_mut(&id) else { continue };
            lookup.known.insert(flight.question.clone(), answer.clone());
            lookup.open.retain(|open| *open != flight.question);
            if !lookup.open.is_empty() {
                continue;
            }
            let Some(lookup) = self.lookups.remove(&id) else { continue };
            if let Some(result) = self.advance(now, id, lookup, out) {
                completed.push(Completed { lookup: id, result });
            }
        }
        self.forget_ended();
        completed
    }

    /// When [`Locator::due`] wants to be called. May be early.
    pub fn deadline(&self) -> Option<Instant> {
        let question = self.deadlines.front().map(|(at, _)| *at);
        let hurry = self.hurries.front().map(|(at, _)| *at);
        let end = self.ends.front().map(|(at, _)| *at);
        [question, hurry, end].into_iter().flatten().min()
    }

    /// Gives up on questions that nobody answered in time, and on look-ups that take too long.
    pub fn due(&mut self, now: Instant, out: &mut Outbox) -> Vec<Completed> {
        let mut completed = Vec::new();
        while let Some(&(at, query)) = self.deadlines.front() {
            if at > now && self.flights.contains_key(&query) {
                break;
            }
            self.deadlines.pop_front();
            if at <= now {
                completed.extend(self.answered(now, query, Answer::failure(), out));
            }
        }
        while let Some(&(at, id)) = self.hurries.front() {
            if at > now && self.lookups.contains_key(&id) {
                break;
            }
            self.hurries.pop_front();
            if at <= now {
                self.hurry(now, id, out);
            }
        }
        while let Some(&(at, id)) = self.ends.front() {
            if at > now && self.lookups.contains_key(&id) {
                break;
            }
            self.ends.pop_front();
            if at <= now
                && let Some(lookup) = self.lookups.remove(&id)
            {
                completed.push(Completed { lookup: id, result: self.conclude(now, lookup) });
            }
        }
        completed
    }

    /// Nobody waits for this look-up any more.
    pub fn abandon(&mut self, lookup: LookupId) {
        self.lookups.remove(&lookup);
        self.forget_ended();
    }

    /// A target failed: it is put last in the lists of the next moments (RFC 3263 section 4.3
    /// moves on to the next one; that the failed one stays known is ours).
    pub fn failed(
        &mut self,
        now: Instant,
        transport: Transport,
        addr: SocketAddr,
        failure: Failure,
    ) {
        let time = match failure {
            Failure::TimedOut | Failure::Transport => self.settings.block_time,
            Failure::Unavailable(Some(after)) => after.min(self.settings.max_block_time),
            Failure::Unavailable(None) => return,
        };
        self.blocklist.block(now, transport, addr, now + time);
    }

    /// A target answered: whatever was wrong with it is over.
    pub fn succeeded(&mut self, transport: Transport, addr: SocketAddr) {
        self.blocklist.unblock(transport, addr);
    }

    /// Whether a destination has failed of late.
    pub fn is_blocked(&self, now: Instant, transport: Transport, addr: SocketAddr) -> bool {
        self.blocklist.is_blocked(now, transport, addr)
    }

    /// Forgets the answers and the failures.
    pub fn forget(&mut self) {
        self.cache.clear();
        self.blocklist = Blocklist::new(self.settings.max_blocked);
    }

    /// How many look-ups wait.
    pub fn waiting(&self) -> usize {
        self.lookups.len()
    }

    /// How many answers are kept, good or bad, expired ones too.
    pub fn cached(&self) -> usize {
        self.cache.len()
    }

    /// How many destinations are avoided, those whose time is over too.
    pub fn blocked(&self) -> usize {
        self.blocklist.len()
    }

    /// Whether nothing is in flight.
    pub fn is_drained(&self) -> bool {
        self.lookups.is_empty() && self.flights.is_empty() && self.by_question.is_empty()
    }

    /// The way from a destination to its targets, with what is known by now.
    fn walk<'a>(&'a self, lookup: &'a Lookup) -> Walk<'a> {
        Walk {
            destination: lookup.plan.view(),
            seed: lookup.seed,
            capabilities: self.capabilities,
            settings: &self.settings,
            known: &lookup.known,
        }
    }

    /// Goes on as far as the cache leads; the end, or nothing where more had to be asked.
    fn advance(
        &mut self,
        now: Instant,
        id: LookupId,
        mut lookup: Lookup,
        out: &mut Outbox,
    ) -> Option<Result<Targets, LocateFault>> {
        loop {
            match self.walk(&lookup).step() {
                Step::Done(result) => {
                    return Some(result.map(|targets| self.arranged(now, targets)));
                }
                Step::Ask(questions) => {
                    let missing = self.recall(now, questions, &mut lookup.known);
                    if !missing.is_empty() {
                        lookup.open.clone_from(&missing);
                        self.ask(now, id, missing, out);
                        self.lookups.insert(id, lookup);
                        return None;
                    }
                }
            }
        }
    }

    /// The DNS is slow: asks what could be needed after what is being asked.
    fn hurry(&mut self, now: Instant, id: LookupId, out: &mut Outbox) {
        let Some(mut lookup) = self.lookups.remove(&id) else { return };
        let questions = self.walk(&lookup).ahead();
        let missing = self.recall(now, questions, &mut lookup.known);
        self.ask(now, id, missing, out);
        self.lookups.insert(id, lookup);
    }

    /// The end, with what is known by now: what is not is as if the DNS could not answer it.
    fn conclude(&mut self, now: Instant, mut lookup: Lookup) -> Result<Targets, LocateFault> {
        let nothing = Arc::new(Answer::failure());
        loop {
            match self.walk(&lookup).step() {
                Step::Done(result) => return result.map(|targets| self.arranged(now, targets)),
                Step::Ask(questions) => {
                    for question in self.recall(now, questions, &mut lookup.known) {
                        lookup.known.insert(question, nothing.clone());
                    }
                }
            }
        }
    }

    /// The times of look-ups that have ended go when they come to the front, so that nobody is
    /// woken for them.
    fn forget_ended(&mut self) {
        let lookups = &self.lookups;
        for queue in [&mut self.hurries, &mut self.ends] {
            while queue.front().is_some_and(|(_, id)| !lookups.contains_key(id)) {
                queue.pop_front();
            }
            if queue.len() > 2 * lookups.len() + 64 {
                queue.retain(|(_, id)| lookups.contains_key(id));
            }
        }
    }

    /// Takes from the cache what is there, and gives back what is not.
    fn recall(
        &mut self,
        now: Instant,
        questions: Vec<Question>,
        known: &mut Known,
    ) -> Vec<Question> {
        let mut missing = Vec::new();
        for question in questions {
            match self.cache.get(now, &question) {
                Some(answer) => {
                    known.insert(question, answer);
                }
                None => missing.push(question),
            }
        }
        missing
    }

    /// Asks, or waits for the answer to a question that is already in flight.
    fn ask(&mut self, now: Instant, id: LookupId, questions: Vec<Question>, out: &mut Outbox) {
        for question in questions {
            let asked = self.by_question.get(&question).and_then(|q| self.flights.get_mut(q));
            if let Some(flight) = asked {
                flight.waiters.push(id);
                continue;
            }
            self.last_query += 1;
            let query = QueryId(self.last_query);
            self.by_question.insert(question.clone(), query);
            self.deadlines.push_back((now + self.settings.query_time, query));
            out.outputs.push(Output::Resolve { query, question: question.clone() });
            self.flights.insert(query, Flight { question, waiters: vec![id] });
        }
        // The deadlines of answered questions go when they come to the front; where one slow
        // question holds them up, they go here, so that they are never many more than flights.
        if self.deadlines.len() > 2 * self.flights.len() + 64 {
            let flights = &self.flights;
            self.deadlines.retain(|(_, query)| flights.contains_key(query));
        }
    }

    fn arranged(&self, now: Instant, mut targets: Targets) -> Targets {
        if !self.blocklist.is_empty() {
            let blocked = |t: &Target| self.blocklist.is_blocked(now, t.transport, t.addr);
            targets.put_last(blocked);
        }
        targets
    }
}
