//! Section 3 of the Guide: core specifications.

pub mod asserted_identity;
pub mod event_notification;
pub mod locating;
pub mod non_invite_fixes;
pub mod path;
pub mod sip;
pub mod symmetric_response;
