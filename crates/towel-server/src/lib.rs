//! Roles put together into a server: configuration, users, HTTP, metrics, log and trace.

pub mod certificate;
pub mod config;
pub mod control;
pub mod element;
pub mod failure;
pub mod hand_over;
pub mod http;
pub mod log;
pub mod mask;
pub mod persist;
pub mod run;
pub mod secret;
pub mod settings;
mod store_report;
pub mod trace;
pub mod users;
