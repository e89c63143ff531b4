//! Overload, by HTTP: what is refused, and who is spared.

use std::net::SocketAddr;

use axum::extract::State as Take;
use axum::response::Response;
use serde::Serialize;

use super::api::{answer, away};
use super::{Ask, State};

/// What is made of requests that are too many.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct OverloadRow {
    /// Whether there is overload, from the first refusal until it has been over for a while.
    pub overloaded: bool,
    /// How hard it is: 1, nearly all new requests are refused; 2, nearly all but those of dialogs.
    pub pressure: f32,
    /// For how many seconds it has lasted.
    pub seconds: Option<u64>,
    /// How many milliseconds messages wait before they are served.
    pub wait: u64,
    /// How many requests that came by connections are set aside for work that goes on.
    pub set_aside: usize,
    /// Transactions: the more of those as a server and those as a client.
    pub transactions: usize,
    /// How many there may be of either.
    pub most_transactions: usize,
    /// Connections.
    pub connections: usize,
    /// Each class, the first to be refused first.
    pub classes: Vec<ClassRow>,
    /// How many thousandths of new requests the kernel throws away unread.
    pub unread_permille: u64,
    /// Downstream neighbours that want to be spared (RFC 7339).
    pub neighbours: Vec<NeighbourRow>,
}

impl OverloadRow {
    /// Of some shards together: counts added up, shares as they are on average, and whatever is worst
    /// where only that tells anything.
    pub fn sum(shards: Vec<OverloadRow>) -> OverloadRow {
        let count = shards.len().max(1) as u64;
        let mut shards = shards.into_iter();
        let Some(mut sum) = shards.next() else { return OverloadRow::default() };
        for shard in shards {
            sum.overloaded |= shard.overloaded;
            sum.pressure = sum.pressure.max(shard.pressure);
            sum.unread_permille += shard.unread_permille;
            for (of_all, class) in sum.classes.iter_mut().zip(shard.classes) {
                of_all.admitted_permille += class.admitted_permille;
                of_all.refused += class.refused;
                of_all.dropped += class.dropped;
            }
            for neighbour in shard.neighbours {
                let known = |row: &&mut NeighbourRow| row.address == neighbour.address;
                match sum.neighbours.iter_mut().find(known) {
                    Some(row) => {
                        row.sent += neighbour.sent;
                        row.held_back += neighbour.held_back;
                    }
                    None => sum.neighbours.push(neighbour),
                }
            }
        }
        sum.unread_permille /= count;
        sum.classes.iter_mut().for_each(|class| class.admitted_permille /= count);
        sum
    }
}

/// A class of requests.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClassRow {
    /// Its name.
    pub class: &'static str,
    /// How many thousandths of it are let in now.
    pub admitted_permille: u64,
    /// How many have been answered 503 for overload.
    pub refused: u64,
    /// How many were dropped without an answer after they were read.
    pub dropped: u64,
}

/// A neighbour that wants to be spared.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NeighbourRow {
    /// Where it is.
    pub address: SocketAddr,
    /// `loss` or `rate`.
    pub algorithm: &'static str,
    /// By how many per cent, or to how many requests a second.
    pub value: u32,
    /// For how many milliseconds that still holds.
    pub milliseconds: u64,
    /// How many requests went there meanwhile.
    pub sent: u64,
    /// How many were held back.
    pub held_back: u64,
}

pub(super) async fn show(Take(state): Take<State>) -> Response {
    answer(away(&state, |ask: &dyn Ask| ask.overload()).await)
}
