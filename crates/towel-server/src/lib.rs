//! Roles put together into a server: configuration, users, HTTP, metrics, log and trace.

pub mod config;
