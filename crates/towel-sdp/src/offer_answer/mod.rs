//! Offer and answer (RFC 3264, read as RFC 6337 reads it).
//!
//! [`Plan`] is what the user agent wants at this time; it alone decides what is offered and
//! answered, so that nobody stays on hold for what the peer once said (RFC 6337 section 5.1).
//! [`Negotiation`] makes the descriptions from it, judges the peer's, and keeps the state;
//! [`machine`] is the table of that state and [`ways`] the table of the messages that carry it.

pub mod judge;
pub mod machine;
mod negotiation;
mod plan;
mod slots;
mod streams;
pub mod ways;
mod write;

pub use machine::{Event, State};
pub use negotiation::{Agreed, Identity, Mark, Negotiation, Refused};
pub use plan::{Codec, FmtpRule, Formats, Hold, Order, Plan, Stream};
pub use streams::{AgreedFormat, AgreedStream, streams};
