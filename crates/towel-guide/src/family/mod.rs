//! Section 2 of the Guide: the SIP family.

pub mod tel;
