//! Section 6 of the Guide: minor extensions.

pub mod multiple_refer;
pub mod norefersub;
pub mod refer_feature_tags;
pub mod target_dialog;
