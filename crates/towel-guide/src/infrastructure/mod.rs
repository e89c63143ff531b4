//! Section 5 of the Guide: general purpose infrastructure.

pub mod caller_preferences;
pub mod capabilities;
pub mod history_info;
pub mod info;
pub mod prack;
pub mod reason;
pub mod service_route;
pub mod session_timer;
pub mod update;
