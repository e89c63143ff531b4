//! Third party call control (RFC 3725): a controller that has two others talk with each other.
//!
//! It calls both, has no media, and gives each the description of the other. [`Controller`] is a machine
//! around a [`UserAgent`]; an application says what it wants and takes what happened:
//!
//! * [`Controller::connect`]: call one, then the other, by one of the flows of section 4.
//! * [`Controller::replace`]: one has left or is let go; the one who stays is connected with a third
//!   (section 7).
//! * [`Controller::announce`]: one waits in silence while the other hears a machine, and comes back when
//!   that has hung up (section 10.2).
//! * [`Controller::end`]: both are let go.
//! * [`Controller::next_news`]: who rings, that they talk, who left, what failed.
//!
//! A second end that fails is told to the first in the Reason of its BYE (section 6). What an end wants to
//! change before both talk gets 491; from then on re-INVITE and UPDATE go to the other end, with the
//! origin line of its leg (section 7). Early media of either end travel in PRACK and UPDATE (section 8), and
//! so do preconditions, of which the controller need not know (section 9).
//!
//! Descriptions with media in the body of a multipart are not looked into; section 9.1, where the
//! controller itself demands preconditions, is the application's to ask for by its header fields.

mod description;
mod inside;
mod joint;
mod steps;

use std::collections::{HashMap, VecDeque};

use crate::b2bua::session_id::Uuid;
use crate::contract::{Fields, Registry};
use crate::io::{ConnectionId, Flow as Way, Input, Instant, Machine, Now, Outbox};
use crate::rng::Rng;
use crate::settings::Settings;
use crate::transaction::Id;
use crate::transaction::slab::Slab;
use crate::ua::user_agent::{
    Answer, CallHandle, Event, IncomingHandle, Profile, Refused, RequestHandle, UserAgent,
};

use joint::{End, Step};
pub use joint::{Flow, Joint};

/// Two ends that are or were to talk.
pub type JointHandle = Id<Joint>;

/// Which end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// The one that is called first.
    First,
    /// The other.
    Second,
    /// The one that waits in silence.
    Parked,
}

impl Who {
    fn of(at: usize) -> Who {
        match at {
            0 => Who::First,
            1 => Who::Second,
            _ => Who::Parked,
        }
    }
}

/// Who is to talk with whom.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// Who is called first: a URI.
    pub first: String,
    /// And then.
    pub second: String,
    /// How.
    pub flow: Flow,
    /// In whose name: the value of From without a tag; that of the profile if empty.
    pub from: String,
    /// Whether an end stays when the other leaves, to be connected with a third; else it is let go.
    pub keep: bool,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// An end rings, or says something else that is provisional.
    Progress {
        /// Of which two.
        joint: JointHandle,
        /// Which end.
        who: Who,
        /// The status.
        status: u16,
    },
    /// They talk: both have answered and have the other's description.
    Connected {
        /// Which two.
        joint: JointHandle,
    },
    /// It came to nothing; whoever had answered is let go.
    Failed {
        /// Which two.
        joint: JointHandle,
        /// Where it failed.
        who: Who,
        /// The status that said so; 408 or 503 where there was none.
        status: u16,
    },
    /// One has left, and the other waits for what the application does ([`Wish::keep`]).
    Left {
        /// Which two.
        joint: JointHandle,
        /// Who has.
        who: Who,
    },
    /// Nobody is left.
    Over {
        /// The two that were; the handle is stale after this.
        joint: JointHandle,
    },
}

/// A request of an end's that went to the other.
#[derive(Clone, Debug)]
struct Relayed {
    request: IncomingHandle,
    joint: JointHandle,
    /// Which end asked.
    from: usize,
    /// Where the media lines of its offer went.
    places: Vec<usize>,
}

/// The machine.
#[derive(Debug)]
pub struct Controller {
    agent: UserAgent,
    rng: Rng,
    joints: Slab<Joint>,
    calls: HashMap<CallHandle, JointHandle>,
    relayed: HashMap<RequestHandle, Relayed>,
    news: VecDeque<News>,
    most: usize,
}

/// How much news waits for the application.
const MOST_NEWS: usize = 65_536;

impl Controller {
    /// One that acts in the name of this profile, with these extensions.
    pub fn new(settings: &Settings, profile: Profile, registry: Registry, seed: [u8; 32]) -> Self {
        let mut rng = Rng::new(seed);
        let mut below = [0; 32];
        for chunk in below.chunks_exact_mut(8) {
            chunk.copy_from_slice(&rng.next_u64().to_le_bytes());
        }
        let most = profile.max_calls / 2;
        Controller {
            agent: UserAgent::new(settings, profile, registry, below),
            rng,
            joints: Slab::new(),
            calls: HashMap::new(),
            relayed: HashMap::new(),
            news: VecDeque::new(),
            most,
        }
    }

    /// The user agent whose calls they are.
    pub fn agent(&self) -> &UserAgent {
        &self.agent
    }

    /// What happened since this was last asked.
    pub fn next_news(&mut self) -> Option<News> {
        self.news.pop_front()
    }

    fn new_end(&mut self, uri: &str) -> End {
        // A session id of 62 bits is one that every parser can hold.
        End { uri: uri.to_owned(), session: self.rng.next_u64() >> 2, ..End::default() }
    }

    /// Has two talk with each other.
    pub fn connect(
        &mut self,
        now: Now,
        out: &mut Outbox,
        wish: &Wish,
    ) -> Result<JointHandle, Refused> {
        if self.joints.len() >= self.most {
            return Err(Refused::Full);
        }
        let ends = [self.new_end(&wish.first), self.new_end(&wish.second)];
        let joint = self.joints.insert(Joint {
            ends,
            parked: None,
            flow: wish.flow,
            step: Step::First,
            asking: None,
            places: Vec::new(),
            rounds: 0,
            keep: wish.keep,
            told: false,
            from: wish.from.clone(),
        });
        if let Err(refused) = self.call_first(now, out, joint) {
            self.joints.remove(joint);
            return Err(refused);
        }
        self.settle(now, out);
        Ok(joint)
    }

    /// Connects the one who stays with a third (section 7). If the other is still there it is let go.
    pub fn replace(
        &mut self,
        now: Now,
        out: &mut Outbox,
        joint: JointHandle,
        leaves: Who,
        uri: &str,
        flow: Flow,
    ) -> Result<(), Refused> {
        let new = self.new_end(uri);
        let found = self.joints.get_mut(joint).ok_or(Refused::Stale)?;
        let stays = match leaves {
            Who::First => 1,
            Who::Second => 0,
            Who::Parked => return Err(Refused::State),
        };
        let free = found.step == Step::Joined && found.asking.is_none();
        if !free || !found.end(stays).is_some_and(|end| end.up && end.call.is_some()) {
            return Err(Refused::State);
        }
        let [first, second] = std::mem::take(&mut found.ends);
        let (stayed, left) = if stays == 0 { (first, second) } else { (second, first) };
        // By flow I the one who stays makes the offer; by the others the new one is called first.
        found.ends = if flow == Flow::I { [stayed, new] } else { [new, stayed] };
        (found.flow, found.step, found.told, found.rounds) = (flow, Step::First, false, 0);
        if let Some(call) = left.call {
            self.calls.remove(&call);
            let _ = self.agent.hang_up(now, out, call);
        }
        let called = match flow {
            Flow::I => self.ask_first(now, out, joint),
            _ => self.call_first(now, out, joint),
        };
        self.settle(now, out);
        called
    }

    /// Has one wait in silence while the other hears a machine that answers at once (section 10.2). They
    /// are connected again when the machine hangs up.
    pub fn announce(
        &mut self,
        now: Now,
        out: &mut Outbox,
        joint: JointHandle,
        hears: Who,
        uri: &str,
    ) -> Result<(), Refused> {
        let new = self.new_end(uri);
        let found = self.joints.get_mut(joint).ok_or(Refused::Stale)?;
        let free = found.step == Step::Joined && found.asking.is_none() && found.parked.is_none();
        let both = found.ends.iter().all(|end| end.up && end.call.is_some());
        if !free || !both || hears == Who::Parked {
            return Err(Refused::State);
        }
        let [first, second] = std::mem::take(&mut found.ends);
        let (hearer, parked) = if hears == Who::First { (first, second) } else { (second, first) };
        let said = hearer.said.clone();
        found.ends = [hearer, new];
        found.parked = Some(parked);
        (found.flow, found.step, found.told) = (Flow::I, Step::First, false);
        if let Some(said) = said {
            self.silence(now, out, joint, &said);
        }
        let asked = self.ask_first(now, out, joint);
        self.settle(now, out);
        asked
    }

    /// Lets both go.
    pub fn end(&mut self, now: Now, out: &mut Outbox, joint: JointHandle) -> Result<(), Refused> {
        self.let_go(now, out, joint, Fields::new())?;
        self.settle(now, out);
        Ok(())
    }

    /// Ends every call of theirs.
    fn let_go(
        &mut self,
        now: Now,
        out: &mut Outbox,
        joint: JointHandle,
        fields: Fields,
    ) -> Result<(), Refused> {
        let found = self.joints.get_mut(joint).ok_or(Refused::Stale)?;
        found.step = Step::Leaving;
        found.asking = None;
        let calls: Vec<_> = (0..3).filter_map(|at| found.end(at)?.call).collect();
        for call in &calls {
            let _ = self.agent.hang_up_with(now, out, *call, fields.clone());
        }
        if calls.is_empty() {
            self.joints.remove(joint);
            self.tell(News::Over { joint });
        }
        Ok(())
    }

    fn tell(&mut self, news: News) {
        if self.news.len() < MOST_NEWS {
            self.news.push_back(news);
        }
    }

    fn random_uuid(&mut self) -> Uuid {
        Uuid::random(&mut self.rng)
    }

    fn settle(&mut self, now: Now, out: &mut Outbox) {
        while let Some(event) = self.agent.next_event() {
            self.happened(now, out, event);
        }
    }

    fn happened(&mut self, now: Now, out: &mut Outbox, event: Event) {
        match event {
            // It calls, and is not called.
            Event::Incoming { call, .. } => {
                let _ = self.agent.answer(now, out, call, Answer::new(404));
            }
            Event::Progress { call, dialog, reliable, response } => {
                self.progress(now, out, call, dialog, reliable, &response);
            }
            Event::Established { call, dialog, message } => {
                self.established(now, out, call, dialog, &message);
            }
            Event::AnswerWanted { dialog, message, .. } => {
                self.wanted(now, out, dialog, &message);
            }
            Event::Response { dialog: Some(dialog), request, came } => {
                self.responded(now, out, dialog, request, &came);
            }
            Event::Reinvite { dialog, request, message }
            | Event::Request { dialog: Some(dialog), request, message } => {
                self.asked(now, out, dialog, request, &message);
            }
            Event::Request { dialog: None, request, .. } => {
                let _ = self.agent.reply(now, out, request, Answer::new(404));
            }
            Event::Acknowledged { dialog, message } => {
                self.acknowledged(now, out, dialog, &message);
            }
            Event::Ended { call, why, .. } => self.ended(now, out, call, &why),
            _ => {}
        }
    }
}

impl Machine for Controller {
    fn handle(&mut self, now: Now, input: Input<'_>, out: &mut Outbox) {
        self.agent.handle(now, input, out);
        self.settle(now, out);
    }

    fn deadline(&self) -> Option<Instant> {
        self.agent.deadline()
    }

    fn is_drained(&self) -> bool {
        self.agent.is_drained()
            && self.joints.len() == 0
            && self.calls.is_empty()
            && self.relayed.is_empty()
    }

    fn is_quiet(&self) -> bool {
        self.agent.is_quiet()
    }

    fn flow_of(&self, connection: ConnectionId) -> Option<Way> {
        self.agent.flow_of(connection)
    }
}
