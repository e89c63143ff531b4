//! What the driver counts.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// Counts since the start, as far as the shard has published them.
        #[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
        pub struct Counts { $($(#[$doc])* pub $name: u64,)* }

        impl Counts {
            /// Both together: of two shards, say.
            pub fn plus(self, other: Counts) -> Counts {
                Counts { $($name: self.$name + other.$name,)* }
            }

            /// The counts with their names, for a metrics page.
            pub fn all(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($name), self.$name)),*].into_iter()
            }
        }

        /// The counts as other threads can read them. The shard counts in plain numbers and
        /// copies them here once a turn, so that counting costs nothing on the way of a message.
        #[derive(Debug, Default)]
        pub struct Counters { $($name: AtomicU64,)* }

        impl Counters {
            pub(crate) fn publish(&self, counts: &Counts) {
                $(self.$name.store(counts.$name, Ordering::Relaxed);)*
            }

            /// What has been counted.
            pub fn read(&self) -> Counts {
                Counts { $($name: self.$name.load(Ordering::Relaxed),)* }
            }
        }
    };
}

counters! {
    /// Datagrams that came in.
    datagrams_in,
    /// Datagrams that the kernel took.
    datagrams_out,
    /// Bytes in datagrams that came in.
    datagram_bytes_in,
    /// Bytes in datagrams that the kernel took.
    datagram_bytes_out,
    /// Datagrams that the kernel did not take, for want of room or of a route.
    datagrams_unsent,
    /// ICMP errors that told of a destination.
    unreachable,
    /// Bytes of streams that came in, before decryption.
    stream_bytes_in,
    /// Bytes of streams that the kernel took, after encryption.
    stream_bytes_out,
    /// Connections that peers made.
    accepted,
    /// Connections that we made, tries that failed among them.
    opened,
    /// Connections that ended, for whatever reason.
    closed,
    /// Connections that are there now.
    connections,
    /// Connections turned away at the limit, or for want of descriptors.
    turned_away,
    /// Connections closed since the connect or the handshake took too long.
    half_open_expired,
    /// Connections closed since nothing was said for long.
    idle_expired,
    /// Connections closed since the peer did not read.
    slow_closed,
    /// TLS handshakes that were completed.
    handshakes,
    /// TLS handshakes that failed.
    handshakes_failed,
    /// Messages for a connection that had ended by then.
    sent_to_nowhere,
    /// Times that the share of datagrams was set that the kernel throws away unread, in overload.
    shed_changes,
    /// That share of new work now, in thousandths.
    shed_share,
    /// That of requests with credentials.
    shed_share_known,
    /// Questions that went to the DNS.
    questions,
    /// Records that went to the store.
    records,
    /// Messages and other errands given to other shards.
    errands_out,
    /// Errands that other shards gave to this one.
    errands_in,
    /// Errands for which another shard had no room.
    errands_lost,
    /// Turns of the loop.
    turns,
}
