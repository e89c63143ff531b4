//! The entries of the Hitchhiker's Guide to SIP, one module each.
//!
//! [`GUIDE`] lists every entry, built or not. An entry that is built has a module in the folder
//! of its section with one declaration ([`towel_core::contract::Extension`]) and what a UAC, a
//! UAS, a proxy and a registrar do. [`registry`] puts them together for an element; [`render`]
//! prints them, [`json`] writes them for machines.

pub mod call_control;
pub mod core;
pub mod emergency;
pub mod family;
pub mod flows;
mod index;
pub mod infrastructure;
pub mod json;
pub mod minor;
pub mod operations;
pub mod quality;
pub mod render;
pub mod status;
#[cfg(test)]
mod testing;

pub use index::{Entry, GUIDE};
pub use status::{Progress, Proven};

use towel_core::contract::check::{Finding, check};
use towel_core::contract::{DialogUse, Extension, Registry, Role, Roles, Section, Stage};

/// The declarations of the entries that are built, in the Guide's order.
pub fn extensions() -> Vec<&'static Extension> {
    // The base declaration goes first: the others speak of its header fields and methods, and
    // the Guide lists the SIP family before SIP itself.
    let base = &crate::core::sip::EXTENSION;
    let built = GUIDE.iter().filter_map(|entry| entry.extension);
    std::iter::once(base).chain(built.filter(|one| one.id != base.id)).collect()
}

/// The extensions of the Guide put together for an element that plays these roles.
pub fn registry(roles: Roles) -> Registry {
    Registry::assemble(&extensions(), roles)
}

/// The roles of a server: it forwards and registers, and is no party to any call.
pub const SERVER: Roles = Roles::of(&[Role::Proxy, Role::Registrar]);

/// The extensions of the Guide put together for a server.
pub fn server() -> Registry {
    registry(SERVER)
}

/// The extensions of the Guide put together for a user agent.
pub fn user_agent() -> Registry {
    registry(Roles::UA)
}

/// The same for a user agent that has no dialogs: without the extensions that send requests in one or
/// count the time in one.
pub fn user_agent_without_dialogs() -> Registry {
    let dialogs = |one: &DialogUse| matches!(one, DialogUse::Inside | DialogUse::Creates);
    let within = |one: &&Extension| {
        one.methods.iter().any(|method| dialogs(&method.dialog))
            || one.behaviour.stages().contains(&Stage::DialogTimer)
            || one.section == Section::CallControl
            || one.id == minor::target_dialog::EXTENSION.id
            || one.needs.contains(&call_control::refer::EXTENSION.id)
            || one.id == minor::norefersub::EXTENSION.id
    };
    let fit: Vec<_> = extensions()
        .into_iter()
        .filter(|one| one.id == crate::core::sip::EXTENSION.id || !within(one))
        .collect();
    Registry::assemble(&fit, Roles::UA)
}

/// What each leg of a back-to-back user agent does for itself; everything else is between its two ends.
const ON_EACH_LEG: [&str; 7] = [
    "sip",
    "locating",
    "symmetric-response",
    "non-invite-fixes",
    "prack",
    "update",
    "session-timer",
];

/// The extensions of the Guide put together for the legs of a back-to-back user agent
/// ([`towel_core::b2bua`]): those that two neighbours agree on. It relays what the ends agree on.
pub fn b2bua() -> Registry {
    let fit: Vec<_> =
        extensions().into_iter().filter(|one| ON_EACH_LEG.contains(&one.id)).collect();
    let mut registry = Registry::assemble(&fit, Roles::UA);
    // A peer that has vanished is to be found: half an hour, as RFC 4028 section 7.1 recommends. It cannot
    // be refused, the entry declares the key.
    let _ = registry.configure("session-timer", &[("expires", "1800")]);
    registry
}

/// Holds the declarations of the Guide against RFC 4485.
pub fn check_guide() -> Vec<Finding> {
    check(&extensions())
}

/// One entry, by id.
pub fn entry(id: &str) -> Option<&'static Entry> {
    GUIDE.iter().find(|entry| entry.id == id)
}

#[cfg(test)]
mod tests;
