//! The driver: sockets, TLS, DNS and real time around the SIP core.
//!
//! A [`Driver`] owns the sockets of one shard (a server may have several: [`Driver::several`]) and runs one [`Machine`](towel_core::io::Machine) on
//! one thread: what the network, the clock, the resolver and the store have to say becomes an
//! [`Input`](towel_core::io::Input), and what the machine wants is carried out before the next
//! one. Nothing on that thread waits for anything but the next event: the DNS and the store live
//! on threads of their own and speak through a [`Handle`].
//!
//! A datagram's way: `recvmmsg` into a buffer that is there, the machine, the outbox's arena,
//! `sendmmsg` from there. No copy, no allocation, no lock.

#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

mod bind;
mod clock;
mod config;
mod connection;
mod counters;
mod driver;
mod notice;
mod persist;
mod resolver;
mod shards;
mod shed;
mod steer;
mod streams;
mod succession;
mod sys;
mod tls;

pub use bind::{BindFault, Opened};
pub use config::{Bind, Config, Limits};
pub use counters::{Counters, Counts};
pub use driver::{Driver, DriverFault};
pub use notice::Handle;
pub use persist::{Forget, Persist};
pub use resolver::{Resolver, ResolverConfig};
pub use succession::{FORSAKEN, Given, give, refuse, take};
pub use tls::{
    Tls, TlsConfig, TlsFault, check_authorities, check_certificate, check_key, identities, is_pair,
};
