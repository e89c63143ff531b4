//! Section 9 of the Guide: quality of service.

pub mod media_authorization;
