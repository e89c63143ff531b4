//! The listeners that stand for us: those that are up, and those that were and are still named in
//! what is under way.
//!
//! A proxy remembers no dialog, so it cannot know when the last one ends whose Record-Route names
//! a listener that is gone. What it knows is who can still come by that name: whoever is connected
//! there. Until the last of these connections has ended the name stays ours, and nothing new is
//! given it. A listener that was given another name is reached as before, by everybody; so its
//! former names are kept, and only their number is bounded.

use super::Stack;
use crate::io::{ConnectionId, Listener, ListenerId};
use crate::locating::Capabilities;
use crate::transport::via::Station;

/// How many names are kept that listeners of ours had before others.
const FORMER_NAMES: usize = 16;

/// A listener that is gone, or is known by another name now.
#[derive(Debug)]
pub(super) struct Former {
    pub(super) station: Station,
    /// How many connections still go by it; none counts those of a listener that is still up.
    connections: Option<usize>,
}

impl Stack {
    /// A listener is up, or one that is has another name from now on.
    pub(super) fn listening(&mut self, listener: Listener) {
        let station = Station::new(listener);
        let id = station.listener.id;
        if let Some(at) = self.stations.iter().position(|old| old.listener.id == id) {
            let old = self.stations.swap_remove(at);
            if old.sent_by != station.sent_by {
                self.former.push(Former { station: old, connections: None });
                let renamed = |former: &Former| former.connections.is_none();
                if self.former.iter().filter(|former| renamed(former)).count() > FORMER_NAMES
                    && let Some(oldest) = self.former.iter().position(renamed)
                {
                    self.former.remove(oldest);
                }
                self.former_changed = true;
            }
        }
        self.stations.push(station);
        self.count_capabilities();
    }

    /// Nothing comes in by a listener any more, but by the connections that there are.
    pub(super) fn listener_gone(&mut self, id: ListenerId) {
        let Some(at) = self.stations.iter().position(|station| station.listener.id == id) else {
            return;
        };
        let station = self.stations.swap_remove(at);
        self.former.retain(|former| former.station.listener.id != id);
        let connections = self.connections.by_listener(id);
        if connections > 0 {
            self.former.push(Former { station, connections: Some(connections) });
        }
        self.former_changed = true;
        self.count_capabilities();
    }

    /// A connection begins; says whether it came by a listener of ours.
    pub(super) fn arrived_by(&mut self, id: ListenerId) -> bool {
        if self.stations.iter().any(|station| station.listener.id == id) {
            return true;
        }
        let former = self.former.iter_mut().find(|former| former.station.listener.id == id);
        let Some(connections) = former.and_then(|former| former.connections.as_mut()) else {
            return false;
        };
        *connections += 1;
        true
    }

    /// A connection has ended.
    pub(super) fn left(&mut self, id: ListenerId) {
        if self.former.is_empty() {
            return;
        }
        let at = self.former.iter().position(|former| former.station.listener.id == id);
        let Some(former) = at.and_then(|at| self.former.get_mut(at)) else { return };
        let Some(connections) = &mut former.connections else { return };
        *connections = connections.saturating_sub(1);
        if *connections == 0 {
            self.former.retain(|former| former.connections != Some(0));
            self.former_changed = true;
        }
    }

    /// The listeners that are no more, or were known by another name, and are still spoken of.
    pub fn former_listeners(&self) -> impl Iterator<Item = &Listener> {
        self.former.iter().map(|former| &former.station.listener)
    }

    /// Whether these have changed since this was asked last.
    pub fn take_former_changed(&mut self) -> bool {
        std::mem::take(&mut self.former_changed)
    }

    /// Every name that is ours.
    pub(super) fn all_stations(&self) -> impl Iterator<Item = &Station> {
        self.stations.iter().chain(self.former.iter().map(|former| &former.station))
    }

    pub(super) fn station(&self, id: ListenerId) -> Option<&Station> {
        self.all_stations().find(|station| station.listener.id == id)
    }

    pub(super) fn count_capabilities(&mut self) {
        let mut capabilities = Capabilities::none();
        for station in &self.stations {
            let v6 = station.listener.local.is_ipv6();
            capabilities = capabilities.with(station.listener.transport, v6);
            for transport in &self.transport.connects {
                capabilities = capabilities.with(*transport, v6);
            }
        }
        self.locator.set_capabilities(capabilities);
    }

    /// Takes a connection out of the table.
    pub(super) fn remove_connection(
        &mut self,
        id: ConnectionId,
    ) -> Option<Box<crate::transport::connections::Connection>> {
        let connection = self.connections.remove(id)?;
        self.left(connection.flow.listener);
        Some(connection)
    }
}
