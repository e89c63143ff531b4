//! What the ways of [`crate::threads`] come to with more cores than there are here: arithmetic over
//! measured costs, with its assumptions said.

use crate::threads::Costs;

/// How a call's messages find their shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Any worker takes the lock of the shard that a message is of.
    Locks,
    /// A thread a shard; every message belongs to the shard that its Call-ID names.
    CallId,
    /// A thread a shard; a request belongs where it arrives, a response is handed over by the token
    /// in our branch.
    Arrival,
    /// The same, with responses led to their socket by a filter in the kernel.
    Filter,
}

impl Way {
    /// All of them.
    pub const ALL: [Way; 4] = [Way::Locks, Way::CallId, Way::Arrival, Way::Filter];

    /// For a person.
    pub fn name(self) -> &'static str {
        match self {
            Way::Locks => "locks, any worker",
            Way::CallId => "hand-over by Call-ID",
            Way::Arrival => "hand-over of responses",
            Way::Filter => "filter for responses",
        }
    }
}

/// Messages that a call brings in: INVITE, 180, 200, ACK, BYE, 200.
const MESSAGES: f64 = 6.0;
/// Those of them that are responses.
const RESPONSES: f64 = 3.0;
/// Responses that the filter cannot place: those whose first Via is not among the first octets.
const MISSED: f64 = 0.05;
/// Shards for each worker where any worker takes any.
const SHARDS: f64 = 4.0;

/// What is assumed, in words.
pub const ASSUMED: &str = "Assumed: a call of six messages in and six out, both legs from addresses that the kernel \
    spreads evenly; what a call costs in the kernel and in the core is the same on each core (no \
    shared bus or socket that grows dear); hand-overs are taken several at a time, as at full load; \
    with locks there are four shards a worker, a lock is held for the core's share of a message, \
    and who finds it taken waits as a queue with one server has it, and fetches the shard's lines \
    from another core's cache as measured here with two threads; a filter misses one response in twenty.";

/// Microseconds a call costs on `cores` cores in one way. `call` is what it costs on one, `core` the
/// part of that which is the core's.
///
/// # Errors
/// If a cost is not among those measured.
pub fn call(way: Way, cores: u32, call: f64, core: f64, costs: &Costs) -> Result<f64, String> {
    let cost = |name: &str| {
        costs.get(name).map(|ns| ns / 1000.0).ok_or_else(|| format!("there is no `{name}`"))
    };
    let elsewhere = f64::from(cores - 1) / f64::from(cores);
    let hand = cost("hand-over, full: who gives")? + cost("hand-over, full: who takes")?;
    // The bindings are shared in every way: one look-up a call under a lock for reading.
    let shared = cost("look-up, 2 readers, 64 stripes")? - cost("look-up, 1 reader, no lock")?;
    let shared = if cores > 1 { shared.max(0.0) } else { 0.0 };
    let more = match way {
        Way::Locks => {
            let alone = MESSAGES * cost("lock, nobody else wants it")?;
            // With 32 shards for two threads hardly any is found taken: what is more is the caches'.
            let moved = cost("call, 2 threads, any of 32 shards under locks")?
                - cost("call, 2 threads with a shard each")?;
            // For half of the calls there the other thread had the shard last.
            let moved = moved.max(0.0) * 2.0 * elsewhere;
            let held = core / MESSAGES;
            let busy = elsewhere * core / call / SHARDS;
            let waits = MESSAGES * held * busy / (1.0 - busy);
            alone + moved + waits
        }
        Way::CallId => MESSAGES * elsewhere * hand,
        Way::Arrival => RESPONSES * elsewhere * hand,
        Way::Filter => {
            let filter = cost("datagram, by the filter: response")?
                - cost("datagram, by the flow: response")?;
            let requests =
                cost("datagram, by the filter: request")? - cost("datagram, by the flow: request")?;
            let filter = RESPONSES * filter.max(0.0) + (MESSAGES - RESPONSES) * requests.max(0.0);
            let filter = if cores > 1 { filter } else { 0.0 };
            filter + RESPONSES * MISSED * elsewhere * hand
        }
    };
    Ok(call + shared + more)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_core_costs_what_it_costs_and_more_cost_more() {
        let names = [
            ("lock, nobody else wants it", 20.0),
            ("hand-over, full: who gives", 200.0),
            ("hand-over, full: who takes", 300.0),
            ("look-up, 2 readers, 64 stripes", 400.0),
            ("look-up, 1 reader, no lock", 300.0),
            ("call, 2 threads, any of 32 shards under locks", 26_000.0),
            ("call, 2 threads with a shard each", 23_000.0),
            ("datagram, by the filter: response", 1_500.0),
            ("datagram, by the flow: response", 1_300.0),
            ("datagram, by the filter: request", 1_300.0),
            ("datagram, by the flow: request", 1_310.0),
        ];
        let costs: Costs = names.iter().map(|(name, ns)| ((*name).to_owned(), *ns)).collect();
        let of = |way, cores| call(way, cores, 36.0, 18.0, &costs).unwrap();
        for way in [Way::CallId, Way::Arrival, Way::Filter] {
            assert!((of(way, 1) - 36.0).abs() < 1e-9, "{}", way.name());
        }
        // 36 + 0.1 for the bindings + 3 responses * 15/16 * 0.5.
        assert!((of(Way::Arrival, 16) - 37.506_25).abs() < 1e-9);
        assert!(of(Way::CallId, 16) > of(Way::Arrival, 16));
        assert!(of(Way::Locks, 16) > of(Way::Locks, 2));
        assert!(call(Way::CallId, 2, 36.0, 18.0, &Costs::new()).is_err());
    }
}
