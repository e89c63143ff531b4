//! Section 15 of the Guide: emergency services.

pub mod preemption_reason;
pub mod resource_priority;
