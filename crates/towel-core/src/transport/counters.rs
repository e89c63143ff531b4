//! What was counted: above all, everything that was dropped, and why.

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident;)+) => {
        /// Plain numbers, read by whoever gathers metrics.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Counters {
            $($(#[$doc])* pub $name: u64,)+
        }

        impl Counters {
            /// Each by its name.
            pub fn each(&self) -> impl Iterator<Item = (&'static str, u64)> + use<> {
                [$((stringify!($name), self.$name)),+].into_iter()
            }
        }
    };
}

counters! {
    /// Requests that came in.
    requests_received;
    /// Responses that came in.
    responses_received;
    /// Requests that were sent, repetitions too.
    requests_sent;
    /// Responses that were sent, repetitions too.
    responses_sent;
    /// Requests that were sent again by a timer.
    requests_repeated;
    /// Responses that were sent again by a timer or because the request came again.
    responses_repeated;
    /// Requests that came again and were absorbed.
    requests_absorbed;
    /// Keepalives (CRLF, STUN).
    keepalives;
    /// Dropped: neither a request nor a response.
    dropped_garbage;
    /// Dropped: a message that cannot be read far enough to be answered.
    dropped_unreadable;
    /// Dropped: a request without a Via that can be read.
    dropped_no_via;
    /// Dropped: a response whose topmost Via is not ours (RFC 3261 section 18.1.2).
    dropped_foreign_via;
    /// Dropped: a response with a branch of ours whose method is not that of the request.
    dropped_wrong_method;
    /// Responses that matched no transaction.
    stray_responses;
    /// Responses that a transaction had no use for any more.
    responses_absorbed;
    /// Requests answered 503 since the table of transactions is full.
    refused_table_full;
    /// Requests beyond a rate, answered 503.
    refused_rate;
    /// Requests beyond a rate, dropped.
    dropped_rate;
    /// Dropped: from a banned source.
    dropped_banned;
    /// Bans.
    bans;
    /// Requests that got no answer since a scanner had sent them.
    silenced_scanners;
    /// Credentials that were not looked at since others were wrong just before.
    logins_delayed;
    /// Requests answered 503 for overload.
    refused_overload;
    /// Requests dropped in overload without an answer, to be sent again.
    dropped_overload;
    /// Requests on connections that were set aside for what goes on.
    put_off;
    /// Requests on connections dropped in overload at a glance.
    dropped_unread;
    /// Responses that told an upstream neighbour how much we can take (RFC 7339).
    feedback_given;
    /// Requests that were held back from a downstream neighbour for what it told.
    requests_held_back;
    /// Times that overload began.
    overloads;
    /// Malformed framing of a stream, answered or not; the connection was closed.
    framing_faults;
    /// Connections closed: idle.
    closed_idle;
    /// Connections closed: a message was begun and not ended in time.
    closed_partial;
    /// Connections of strangers closed: others need the room.
    closed_crowded;
    /// Connections refused: too many.
    refused_connections;
    /// Transactions that ended without a final response in time (Timers B and F).
    timed_out;
    /// INVITE server transactions whose ACK never came (Timer H).
    unacknowledged;
    /// Messages that could not be sent.
    transport_failures;
    /// Requests tried at another target (RFC 3263 section 4.3).
    failovers;
    /// Requests sent by TCP for their size (RFC 3261 section 18.1.1).
    moved_to_tcp;
    /// Responses that a transaction user gave and that could not be sent by the rules.
    responses_refused;
}
