//! Section 6 of the Guide: minor extensions.

pub mod anonymous_rejection;
pub mod answer_mode;
pub mod multiple_refer;
pub mod norefersub;
pub mod refer_feature_tags;
pub mod target_dialog;
