//! The element and its stack as one machine.

use super::Server;
use crate::contract::Registry;
use crate::io::{Command, ConnectionId, Flow, Input, Instant, Machine, Now, Outbox};
use crate::rng::Rng;
use crate::settings::Settings;
use crate::shards::{Errand, Place};
use crate::stack::Stack;

/// A whole SIP server without I/O: what a driver or the simulator runs.
#[derive(Debug)]
pub struct Endpoint {
    stack: Stack,
    server: Server,
}

impl Endpoint {
    /// A server with these extensions; all that is random in it follows from the seed.
    pub fn new(settings: Settings, registry: Registry, seed: [u8; 32]) -> Self {
        Self::one_of(settings, registry, seed, Place::ONE, None)
    }

    /// The shards of a server, one for each registry, of which all have the same extensions: machines
    /// for threads of their own, that give each other errands ([`crate::io::Output::ToShard`]).
    /// No more than [`crate::shards::MOST`] are made.
    pub fn shards(
        settings: &Settings,
        registries: impl IntoIterator<Item = Registry>,
        seed: [u8; 32],
    ) -> Vec<Self> {
        let registries: Vec<_> = registries.into_iter().take(crate::shards::MOST).collect();
        let of = registries.len() as u8;
        let mut all: Vec<Self> = Vec::new();
        for (shard, registry) in (0..of).zip(registries) {
            let place = Place { shard, of };
            all.push(Self::one_of(settings.clone(), registry, seed, place, all.first()));
        }
        all
    }

    fn one_of(
        settings: Settings,
        registry: Registry,
        seed: [u8; 32],
        place: Place,
        first: Option<&Endpoint>,
    ) -> Self {
        let mut rng = Rng::new(seed);
        let mut random = || {
            let mut bytes = [0; 32];
            for chunk in bytes.chunks_exact_mut(8) {
                chunk.copy_from_slice(&rng.next_u64().to_le_bytes());
            }
            bytes
        };
        let (stack_seed, nonce_key) = (random(), random());
        let key = rng.key();
        Self {
            stack: Stack::one_of(&settings, stack_seed, place, first.map(|first| &first.stack)),
            server: Server::one_of(
                settings,
                registry,
                nonce_key,
                key,
                place,
                first.map(|first| &first.server),
            ),
        }
    }

    /// Takes the place of an endpoint that has failed. Its listeners, users and records have to be told
    /// before. Whatever it had under way is gone; connections of others to us stay.
    pub fn succeed(&mut self, now: Now, out: &mut Outbox, failed: &Endpoint) {
        self.server.number_after(&failed.server);
        self.stack.succeed(now, out, &failed.stack);
    }

    /// The transport, transaction and locating layers.
    pub fn stack(&self) -> &Stack {
        &self.stack
    }

    /// The same, to change.
    pub fn stack_mut(&mut self) -> &mut Stack {
        &mut self.stack
    }

    /// The element.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// The element, to change.
    pub fn server_mut(&mut self) -> &mut Server {
        &mut self.server
    }
}

impl Machine for Endpoint {
    fn handle(&mut self, now: Now, input: Input<'_>, out: &mut Outbox) {
        let from = out.outputs.len();
        match &input {
            Input::Listening(listener) => self.server.listening(listener.clone()),
            Input::ListenerGone(id) => self.server.listener_gone(*id),
            Input::Stored { ticket, result } => {
                self.server.stored(&mut self.stack, now, out, *ticket, *result);
            }
            Input::Command(Command::Reload(settings)) => {
                self.stack.reload(settings);
                self.server.reload(settings);
            }
            Input::Command(Command::Load(records)) => {
                self.server.load(now, out, records);
                self.server.watch_expiry(&mut self.stack);
            }
            Input::Command(Command::Drain) => self.server.drain(),
            Input::Command(Command::HandOver) => self.stack.hand_over(),
            Input::FromShard { errand: Errand::Registered { address }, .. } => {
                self.server.tell_searches(&mut self.stack, now, out, *address);
            }
            _ => {}
        }
        self.stack.handle(now, input, out, &mut self.server);
        if self.stack.take_former_changed() {
            self.server.set_former(self.stack.former_listeners().cloned().collect());
        }
        if self.stack.place().has_others() {
            self.stack.give_to_owners(out, from);
            self.server.tell_search(!self.server.is_searching_nobody());
        }
    }

    fn deadline(&self) -> Option<Instant> {
        self.stack.deadline()
    }

    fn is_drained(&self) -> bool {
        self.stack.is_drained() && self.server.is_drained()
    }

    fn is_quiet(&self) -> bool {
        self.stack.is_quiet()
    }

    fn flow_of(&self, connection: ConnectionId) -> Option<Flow> {
        self.stack.flow_of(connection)
    }
}
