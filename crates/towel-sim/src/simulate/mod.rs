//! Random runs: servers chained anyhow, phones that do not all behave, a network as bad as the
//! seed has it, and things happening without a script. Nothing is expected of such a run but what
//! must always be true, and that is looked at with every step.
//!
//! A seed tells all of it ([`Scenario`]); a [`Cut`] leaves parts out, so that a failure can be made
//! small ([`shrink`]) and still be the same failure.

mod attack;
mod ending;
#[cfg(test)]
mod faults;
mod play;
mod scenario;
mod shrink;
#[cfg(test)]
mod tests;
mod watch;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

pub use scenario::{Cut, Scenario};
pub use shrink::shrink;

use crate::flow::FlowError;
use crate::ladder::{Ladder, Style};
use crate::run::Factory;
use world::World;

/// How a run went.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The seed that tells all of it.
    pub seed: u64,
    /// What was not as it must always be.
    pub complaints: Vec<String>,
    /// Who sent what to whom.
    pub ladder: Ladder,
    /// How many messages there were.
    pub messages: usize,
    /// How many calls were answered.
    pub answered: usize,
    /// How often a server was killed.
    pub crashes: usize,
    /// How long it took on the virtual clock, in microseconds.
    pub took: u64,
}

impl Report {
    /// Whether everything was as it must be.
    pub fn passed(&self) -> bool {
        self.complaints.is_empty()
    }

    /// The ladder as text.
    pub fn drawn(&self, messages: bool) -> String {
        self.ladder.render(Style { messages })
    }
}

/// Plays the scenario of a seed, less what is cut. A panic of an element is a complaint like any
/// other.
pub fn run(seed: u64, cut: &Cut, factory: &dyn Factory) -> Result<Report, FlowError> {
    let scenario = Scenario::new(seed, cut.clone());
    let mut world = World::new(&scenario, factory)?;
    let played = catch_unwind(AssertUnwindSafe(|| world.play(factory)));
    let mut complaints = std::mem::take(&mut world.complaints);
    if let Err(panic) = played {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("no words");
        complaints.push(format!("an element panicked: {text}"));
    }
    Ok(Report {
        seed,
        complaints,
        messages: world.net.trace().len(),
        answered: world.answered,
        crashes: world.deaths.len(),
        took: world.net.now(),
        ladder: world.net.ladder().clone(),
    })
}
