//! More than one machine as one server: each on a thread of its own, with its own transactions,
//! timers and connections, and tables beside them that all share.
//!
//! A request belongs to the shard that it arrives at. A response belongs to the one whose token is in its
//! topmost Via, a connection to the one that accepted or opened it; what arrives elsewhere is given to
//! that shard as an [`Errand`]. The shared tables are in stripes with a lock each, held for one
//! look-up or one change; nobody holds two of them, and nobody waits with one in hand.

mod directory;
mod journal;
mod several;
mod stripes;

pub use journal::Journal;
pub use several::Several;

pub(crate) use directory::{Directory, Peer};
pub(crate) use stripes::{Current, Stripes};

use std::net::SocketAddr;

use crate::io::{CloseReason, ConnectionId, Flow};

/// How many shards a server may have: as many as there are letters for them in a branch.
pub const MOST: usize = 26;

/// Which shard of how many a machine is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its number, from nought.
    pub shard: u8,
    /// How many there are.
    pub of: u8,
}

impl Place {
    /// The only one.
    pub const ONE: Place = Place { shard: 0, of: 1 };

    /// Whether there are others.
    pub fn has_others(self) -> bool {
        self.of > 1
    }

    /// Whether a number is that of another shard.
    pub fn is_other(self, shard: u8) -> bool {
        shard != self.shard && shard < self.of
    }

    /// The others.
    pub fn others(self) -> impl Iterator<Item = u8> {
        (0..self.of).filter(move |shard| *shard != self.shard)
    }
}

/// What one shard has to do for another; the bytes that it is about come beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Errand {
    /// Take in a message that came to the wrong shard.
    Message {
        /// How it came.
        flow: Flow,
        /// How many shards have found that it is none of theirs.
        tried: u8,
    },
    /// Send on a connection of yours.
    Send {
        /// Which.
        connection: ConnectionId,
        /// Who is at its other end.
        remote: SocketAddr,
    },
    /// A connection of mine, that you have sent on, has ended.
    Closed {
        /// Which.
        connection: ConnectionId,
        /// Why.
        why: CloseReason,
    },
    /// An address of record has other bindings now.
    Registered {
        /// The address, as a hash that all shards make alike.
        address: u64,
    },
}
