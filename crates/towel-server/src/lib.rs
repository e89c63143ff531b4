//! Roles put together into a server: configuration, metrics, HTTP, traces.
