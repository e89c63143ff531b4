//! What a phone tells.

use std::net::SocketAddr;
use std::time::Duration;

use towel_core::ua::user_agent::Ending;
use towel_media::session::Stats;
use towel_sdp::Direction;

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
    /// Audio goes: by this codec, to this address, protected or not.
    Audio {
        /// The call.
        call: u32,
        /// The name of the codec that is sent with.
        codec: &'static str,
        /// Where to.
        to: SocketAddr,
        /// By SRTP.
        protected: bool,
        /// The call is not answered yet.
        early: bool,
    },
    /// The peer changed the session; which way audio goes now, as we see it.
    Changed(u32, Direction),
    /// The peer is on hold, by our wish.
    Held(u32),
    /// It is no more.
    Resumed(u32),
    /// The peer is transferring the call as we asked for; the status of the new call as far as is known.
    Transferring(u32, u16),
    /// It has.
    Transferred(u32),
    /// The peer transfers us: we call whom it wants, by another call.
    Referred {
        /// The call that is transferred.
        call: u32,
        /// Whom we call.
        to: String,
        /// The new call.
        by: u32,
    },
    /// A call takes the place of another (RFC 3891): its number, and the other's.
    Replacing(u32, u32),
    /// What we wanted of the peer was refused: in words, and its status.
    Refused(u32, String, u16),
    /// The peer pressed a key.
    Digit(u32, char),
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
    /// How long it took from its INVITE until it was up; `None`: it never was.
    pub setup: Option<Duration>,
    /// How long it was up; `None`: never.
    pub lasted: Option<Duration>,
    /// Its audio in figures.
    pub stats: Option<Stats>,
    /// What went wrong with the audio.
    pub fault: Option<String>,
}
