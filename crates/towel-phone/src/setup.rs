//! What a phone is to do.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use towel_media::codec::Codec;

use crate::Play;

/// What a phone is to do.
#[derive(Clone, Debug)]
pub struct Setup {
    /// This machine's address, where audio is wanted.
    pub address: IpAddr,
    /// How many listeners come up before anything can be sent.
    pub listeners: usize,
    /// The codecs, the preferred first.
    pub codecs: Vec<Codec>,
    /// What is said in a call.
    pub play: Play,
    /// Where to what is heard is written; later calls have their number in the name.
    pub record: Option<PathBuf>,
    /// After how long a call is hung up; `None`: when the peer does, or the user.
    pub lasts: Option<Duration>,
    /// Where to register.
    pub registration: Option<Registration>,
    /// Whether it calls or is called.
    pub role: Role,
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
    /// It calls once.
    Caller {
        /// Whom.
        to: String,
        /// How long it lets the far end ring.
        patience: Duration,
    },
    /// It waits for calls.
    Callee {
        /// How long it rings before it answers.
        after: Duration,
        /// It refuses every call with this status.
        refuse: Option<u16>,
        /// After how many calls it is done; `None`: never.
        calls: Option<u32>,
    },
}
