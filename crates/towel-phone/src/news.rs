//! What a phone tells.

use std::net::SocketAddr;
use std::time::Duration;

use towel_core::ua::user_agent::Ending;
use towel_media::session::Stats;

/// Something that happened. Calls are counted from 1.
#[derive(Clone, Debug)]
pub enum News {
    /// The registrar took our Contact.
    Registered,
    /// It did not: its status and response, or 408 and 503 where there was none.
    NotRegistered(u16, Vec<u8>),
    /// The far end is being called.
    Calling(u32),
    /// A provisional response came; the response.
    Progress(u32, Vec<u8>),
    /// Somebody calls; the INVITE.
    Incoming(u32, Vec<u8>),
    /// It rings here.
    Ringing(u32),
    /// The call is up.
    Up(u32),
    /// Audio goes: by this codec, to this address.
    Audio(u32, &'static str, SocketAddr),
    /// The peer changed the session.
    Changed(u32),
    /// A text came; the MESSAGE.
    Text(Vec<u8>),
    /// A call is over.
    Over(Box<Over>),
    /// Something else worth telling.
    Note(String),
}

/// How a call went.
#[derive(Clone, Debug)]
pub struct Over {
    /// Its number.
    pub call: u32,
    /// Why it ended.
    pub why: Ending,
    /// It ended since nobody answered for as long as was to be waited.
    pub unanswered: bool,
    /// How long it was up; `None`: never.
    pub lasted: Option<Duration>,
    /// Its audio in figures.
    pub stats: Option<Stats>,
    /// What went wrong with the audio.
    pub fault: Option<String>,
}
