//! Loss for trials: some of what arrives does not.

use towel_core::io::{Flow, Input, Instant, Machine, Now, Outbox};
use towel_core::rng::Rng;

/// A machine to which some datagrams do not come.
#[derive(Debug)]
pub struct Lossy<M> {
    machine: M,
    /// How many of 65536.
    share: u64,
    rng: Rng,
}

impl<M: Machine> Lossy<M> {
    /// A share of the datagrams, from 0 to 1, is lost; which ones follows from the seed.
    pub fn new(machine: M, share: f64, seed: u64) -> Lossy<M> {
        Lossy {
            machine,
            share: (share.clamp(0.0, 1.0) * 65536.0) as u64,
            rng: Rng::from_number(seed),
        }
    }

    /// The machine.
    pub fn into_inner(self) -> M {
        self.machine
    }

    /// The machine.
    pub fn inner(&self) -> &M {
        &self.machine
    }
}

impl<M: Machine> Machine for Lossy<M> {
    fn handle(&mut self, now: Now, input: Input<'_>, out: &mut Outbox) {
        if matches!(input, Input::Datagram { .. }) && self.rng.below(65536) < self.share {
            return;
        }
        self.machine.handle(now, input, out);
    }

    fn deadline(&self) -> Option<Instant> {
        self.machine.deadline()
    }

    fn is_drained(&self) -> bool {
        self.machine.is_drained()
    }

    fn is_quiet(&self) -> bool {
        self.machine.is_quiet()
    }

    fn flow_of(&self, connection: towel_core::io::ConnectionId) -> Option<Flow> {
        self.machine.flow_of(connection)
    }
}
