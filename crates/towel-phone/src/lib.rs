//! A phone: the user agent of `towel-core`, offers and answers by `towel-sdp`, and the audio of
//! `towel-media` on sockets of its own.
//!
//! [`Phone`] is a [`Machine`](towel_core::io::Machine): a driver hands it inputs. It follows what it
//! was set up for ([`Setup`]): it registers, calls somebody or waits for calls and answers them by
//! rule, and tells what happens as [`News`]. The audio of each call has a thread ([`Line`]), so that
//! nothing that is said waits for a file.

#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

mod line;
mod news;
mod phone;
mod setup;
mod sound;
mod terms;

pub use line::Line;
pub use news::{News, Over};
pub use phone::Phone;
pub use setup::{Registration, Role, Setup};
pub use sound::{Ear, Play, RATE};
pub use terms::{Terms, Unfit};
