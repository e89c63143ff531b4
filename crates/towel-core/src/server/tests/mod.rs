//! The whole element, driven with bytes: each section of RFC 3261's chapter 16 with a common case
//! and a failure.

mod abuse;
mod admission;
mod forking;
mod passes;
mod relay;
mod responses;
mod rig;
mod routing;
mod searching;
mod shards;
mod validation;

use crate::auth::User;
use crate::contract::{DialogUse, Extension, MethodDeclaration, Registry, Role, Roles};
use crate::server::Endpoint;
use crate::settings::Settings;
use rig::Rig;

const METHOD: MethodDeclaration = MethodDeclaration {
    name: "OPTIONS",
    answered_by: Roles::of(&[Role::Uas, Role::Proxy, Role::Registrar]),
    bodies: "",
    overlaps: "",
    dialog: DialogUse::Outside,
    target_refresh: false,
    offer_answer: "",
    cancellable: false,
    immediate: true,
    proxies_must_know: false,
    forking: "",
    reverse_request: "",
};

static SIP: Extension = Extension {
    id: "sip",
    methods: &[METHOD, MethodDeclaration { name: "REGISTER", ..METHOD }],
    ..Extension::EMPTY
};

/// An element that asks nobody who they are.
fn open() -> Settings {
    let mut settings = Settings::default();
    settings.server.authenticate = false;
    settings.server.authenticate_register = false;
    settings.registrar.open_third_party = true;
    settings.registrar.durability = crate::registrar::Durability::Memory;
    settings
}

/// An element with the users alice and bob.
fn closed() -> Settings {
    let mut settings = open();
    settings.server.authenticate = true;
    settings.server.domains = vec!["example.com".to_owned()];
    settings
}

fn rig(settings: Settings) -> Rig<Endpoint> {
    let registry =
        Registry::assemble(&[&SIP], Roles::of(&[Role::Uas, Role::Proxy, Role::Registrar]));
    let mut rig = Rig::new(Endpoint::new(settings, registry, [7; 32]));
    let realm =
        if rig.element.server().domains().first() == "localhost" { "towel" } else { "example.com" };
    for name in ["alice", "bob", "carol"] {
        rig.element.server_mut().users_mut().insert(User::new(name, realm, "secret"));
    }
    rig
}

/// Registers contacts for a user.
fn register(rig: &mut Rig<Endpoint>, user: &str, contacts: &[&str]) {
    let contact = contacts.iter().map(|c| format!("Contact: {c}\n")).collect::<String>();
    let text = format!(
        "REGISTER sip:192.0.2.1 SIP/2.0\nVia: SIP/2.0/UDP 198.51.100.200;branch=z9hG4bKreg{user}\n\
         From: <sip:{user}@192.0.2.1>;tag=1\nTo: <sip:{user}@192.0.2.1>\nCall-ID: reg-{user}\nCSeq: 1 REGISTER\n{contact}"
    );
    let sent = rig.udp("198.51.100.200:5060", &text);
    assert_eq!(rig::statuses(&sent), [200], "{sent:?}");
}
