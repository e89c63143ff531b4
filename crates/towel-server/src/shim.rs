//! Stands in for what is not there yet.
#![allow(missing_docs, unreachable_pub)]
use std::sync::Arc;
use towel_core::auth::{Credentials, User};
use towel_core::contract::{Extension, Registry, Roles};
use towel_core::hash::Key;
use towel_core::io::*;
use towel_core::registrar::Registrar;
use towel_core::settings::Settings;
pub fn extensions() -> Vec<&'static Extension> {
    Vec::new()
}
pub fn registry(roles: Roles) -> Registry {
    Registry::assemble(&[], roles)
}
pub struct Server {
    registrar: Registrar,
    credentials: Credentials,
}
impl Server {
    pub fn new(s: Settings, _r: Arc<Registry>, _random: [u8; 32]) -> Self {
        Self {
            registrar: Registrar::new(s.registrar, Key(1, 2)),
            credentials: Credentials::new(Key(1, 2)),
        }
    }
    pub fn registrar(&self) -> &Registrar {
        &self.registrar
    }
    pub fn credentials_mut(&mut self) -> &mut Credentials {
        &mut self.credentials
    }
    pub fn set_registry(&mut self, _r: Arc<Registry>) {}
    pub fn counts(&self) -> Vec<(&'static str, u64)> {
        Vec::new()
    }
}
impl Machine for Server {
    fn handle(&mut self, _: Now, _: Input<'_>, _: &mut Outbox) {}
    fn deadline(&self) -> Option<Instant> {
        None
    }
}
#[allow(unused)]
fn _u(_: User) {}
