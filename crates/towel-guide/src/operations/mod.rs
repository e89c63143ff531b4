//! Section 10 of the Guide: operations and management.

pub mod hop_limit_diagnostics;
