//! A phone: the user agent of `towel-core`, offers and answers by `towel-sdp`, and the audio of
//! `towel-media` on sockets of its own.
//!
//! [`Handset`] is a whole phone on a thread of its own: it is told what to do, and tells what
//! happens. Below it stands [`Phone`], a [`Machine`](towel_core::io::Machine) that some driver hands
//! its inputs. It follows what it was set up for ([`Setup`]): it registers, calls somebody or waits
//! for calls and answers them by [`Rule`], goes through a script of [`Step`]s in each call, takes
//! [`Order`]s, and tells what happens as [`News`]. The audio of all calls has a few threads
//! ([`Media`]), so that nothing that is said waits for a file.

#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

#[cfg(feature = "sound")]
mod device;
mod handset;
mod lossy;
pub mod media;
mod news;
mod phone;
mod rule;
pub mod script;
mod setup;
mod sound;
mod tally;
mod terms;

pub use handset::{Handset, HandsetFault, HandsetSetup};
pub use lossy::Lossy;
pub use media::{Line, Media, MediaConfig};
pub use news::{News, Over};
pub use phone::{Order, Phone};
pub use rule::Rule;
pub use script::{Act, NoStep, Step};
pub use setup::{Crowd, Keys, Registration, Role, Setup};
pub use sound::{Ear, Play, RATE, Unplayable};
pub use tally::Tally;
pub use terms::{Accord, Srtp, Terms, Unfit, Wants};
