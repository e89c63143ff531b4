//! Section 7 of the Guide: call control primitives.

mod ids;
pub mod join;
pub mod refer;
pub mod referred_by;
pub mod replaces;
pub mod third_party_control;

pub(crate) use ids::Named;
