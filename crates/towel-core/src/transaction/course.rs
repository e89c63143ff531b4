//! A flow as a transaction keeps it: what it takes to find the flow again.

use std::net::SocketAddr;

use crate::io::{ConnectionId, Flow, ListenerId, Transport};

/// A flow without our own end, which the listener or the connection knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Course {
    pub(crate) remote: SocketAddr,
    /// [`NONE`] where there is none.
    connection: u64,
    pub(crate) listener: ListenerId,
    pub(crate) transport: Transport,
}

const NONE: u64 = u64::MAX;

impl Course {
    pub(crate) fn connection(&self) -> Option<ConnectionId> {
        (self.connection != NONE).then_some(ConnectionId(self.connection))
    }

    /// The flow, with an end of ours put in.
    pub(crate) fn from(&self, local: SocketAddr) -> Flow {
        Flow {
            transport: self.transport,
            listener: self.listener,
            local,
            remote: self.remote,
            connection: self.connection(),
        }
    }
}

impl From<Flow> for Course {
    fn from(flow: Flow) -> Course {
        Course {
            remote: flow.remote,
            connection: flow.connection.map_or(NONE, |id| id.0),
            listener: flow.listener,
            transport: flow.transport,
        }
    }
}
