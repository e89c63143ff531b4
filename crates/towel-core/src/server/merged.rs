//! Merged requests (RFC 3261 section 8.2.2.2): one request that reaches the server itself by several
//! ways, since somebody on its way forked it. Each way may end at another shard.

use std::sync::Arc;
use std::time::Duration;

use towel_message::{Message, Via};

use crate::hash::{Hasher, Key};
use crate::io::Instant;
use crate::shards::{Place as ShardPlace, Stripes};

/// How many requests are remembered; a newer one may take the place of an older one.
const PLACES: usize = 1024;
/// For how long: as long as the transaction of a request that was answered at once is ongoing
/// (Timer J).
const LASTS: Duration = Duration::from_secs(32);

#[derive(Clone, Copy, Debug)]
struct Place {
    request: u64,
    way: u64,
    until: Instant,
}

/// What the server itself was asked of late.
#[derive(Debug)]
pub(crate) struct Merged {
    key: Key,
    places: Arc<Stripes<Vec<Place>>>,
}

impl Merged {
    pub(crate) fn new(key: Key) -> Self {
        Self::one_of(key, ShardPlace::ONE)
    }

    /// For shards that share it.
    pub(crate) fn one_of(key: Key, place: ShardPlace) -> Self {
        Self { key, places: Arc::new(Stripes::new(Stripes::<()>::wanted(place), Vec::new)) }
    }

    /// The same for another shard.
    pub(crate) fn beside(&self) -> Self {
        Self { key: self.key, places: Arc::clone(&self.places) }
    }

    /// Whether this request came before by another way. Notes that it came.
    pub(crate) fn is_merged(&self, now: Instant, message: &Message<'_>, via: &Via<'_>) -> bool {
        if message.to_tag().is_some() {
            return false;
        }
        let Ok(cseq) = message.cseq() else { return false };
        let request = Hasher::new(self.key)
            .field(message.call_id().unwrap_or_default())
            .field(message.from_tag().unwrap_or_default())
            .field(cseq.method.as_bytes())
            .bytes(&cseq.number.to_le_bytes())
            .finish();
        let way = Hasher::new(self.key)
            .folded(via.branch().unwrap_or_default())
            .folded(via.sent_by)
            .finish();
        let mut places = self.places.at(|| request >> 32);
        if places.is_empty() {
            let count = PLACES / self.places.len();
            places.resize(count, Place { request: 0, way: 0, until: Instant(0) });
        }
        let at = request as usize % places.len().max(1);
        let Some(place) = places.get_mut(at) else { return false };
        if place.request == request && place.until > now {
            return place.way != way;
        }
        *place = Place { request, way, until: now + LASTS };
        false
    }
}
