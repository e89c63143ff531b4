//! The flows of this crate, played by the simulator with the Guide's extensions and this one.

use towel_core::contract::{Registry, Roles};
use towel_sim::element::Elements;
use towel_sim::run::Suite;

fn extensions() -> Registry {
    let mut all = towel_guide::extensions();
    all.push(&make_coffee::EXTENSION);
    Registry::assemble(&all, Roles::PROXY.and(Roles::REGISTRAR))
}

#[test]
fn every_flow_in_every_network() {
    let mut suite = Suite::default();
    suite.add("make-coffee", include_str!("../flows/make-coffee.flow"));
    suite.add("make-coffee-phone", include_str!("../flows/make-coffee-phone.flow"));
    suite.add("make-coffee-unknown", include_str!("../flows/make-coffee-unknown.flow"));
    suite.add("make-coffee-weaker", include_str!("../flows/make-coffee-weaker.flow"));
    assert_eq!(suite.run(&Elements::with(extensions), &[], &mut |line| println!("{line}")), 0);
}
