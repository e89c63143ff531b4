//! Dialogs (RFC 3261 section 12) and their usages (RFC 5057).
//!
//! A [`Dialog`] is what two user agents know of each other between the requests of a call or a
//! subscription: identifiers, sequence numbers, route set and remote target. It is made from a
//! response ([`Dialog::of_response`], section 12.1.2) or from a request that is about to be answered
//! ([`Dialog::of_request`], section 12.1.1), it says whether a request of the peer's is in order
//! ([`Dialog::take_request`], section 12.2.2), and how one of ours is to be written
//! ([`Dialog::way`], section 12.2.1.1). It knows nothing of transactions: [`crate::ua`] does.
//!
//! [`Dialogs`] keeps many, found by their identifiers under a keyed hash. What its machines do is
//! written as tables ([`machines`]), and so is what a failure ends ([`effect()`]).

mod effect;
mod ids;
pub mod machines;
mod one;
mod table;

pub use effect::{EFFECTS, Effect, Part, effect, part};
pub use ids::Dialogs;
pub(crate) use one::as_request_uri;
pub use one::{Dialog, NoDialog, Order, Subscription, Way};
