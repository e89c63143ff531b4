//! What a phone is to do.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::{Play, Rule, Step, Wants};

/// What a phone is to do.
#[derive(Clone, Debug)]
pub struct Setup {
    /// This machine's address, where audio is wanted.
    pub address: IpAddr,
    /// How many listeners come up before anything can be sent.
    pub listeners: usize,
    /// What is wanted of the audio.
    pub wants: Wants,
    /// What is said in a call.
    pub play: Play,
    /// Where to what is heard is written; later calls have their number in the name.
    pub record: Option<PathBuf>,
    /// After how long a call is hung up; `None`: when the peer does, or the user.
    pub lasts: Option<Duration>,
    /// What is done in each call once it is up.
    pub script: Vec<Step>,
    /// How keys are told.
    pub keys: Keys,
    /// How many calls there are at a time, at most: who calls then finds it busy. The user agent's own
    /// bound, `Profile::max_calls`, counts those that linger after their end as well.
    pub most: usize,
    /// Where to register.
    pub registration: Option<Registration>,
    /// Whether it calls or is called.
    pub role: Role,
}

impl Setup {
    /// A phone at this address that says nothing and does what it is told.
    pub fn new(address: IpAddr) -> Setup {
        Setup {
            address,
            listeners: 1,
            wants: Wants::default(),
            play: Play::Silence,
            record: None,
            lasts: None,
            script: Vec::new(),
            keys: Keys::Events,
            most: 64,
            registration: None,
            role: Role::Hand,
        }
    }
}

/// How keys are told to the peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keys {
    /// As telephone events in the audio (RFC 4733).
    #[default]
    Events,
    /// By INFO with application/dtmf-relay.
    Info,
}

/// Where to register (RFC 3261 section 10.2).
#[derive(Clone, Debug)]
pub struct Registration {
    /// The address of record.
    pub aor: String,
    /// The URI of the domain.
    pub registrar: String,
    /// For how many seconds.
    pub expires: u32,
}

/// Whether a phone calls or is called.
#[derive(Clone, Debug)]
pub enum Role {
    /// It does what it is told; who calls it rings.
    Hand,
    /// It calls.
    Caller {
        /// Whom.
        to: String,
        /// How long it lets the far end ring.
        patience: Duration,
        /// How often.
        crowd: Crowd,
    },
    /// It waits for calls, and answers them by the first rule that is for their caller; who is under
    /// none is answered at once.
    Callee {
        /// The rules.
        rules: Vec<Rule>,
        /// After how many calls it is done; `None`: never.
        calls: Option<u32>,
    },
}

/// How often somebody is called.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Crowd {
    /// How many calls there are to be.
    pub calls: u32,
    /// How many begin in a second.
    pub rate: f64,
    /// How many there are at a time, at most.
    pub concurrent: usize,
}

impl Crowd {
    /// One call.
    pub const ONE: Crowd = Crowd { calls: 1, rate: 1.0, concurrent: 1 };
}
