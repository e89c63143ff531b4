//! Feature tags in a REFER.

use towel_core::contract::{Env, Fields, Registry, Roles, Slots, Tasks, UasRequest};
use towel_core::io::Now;

use super::EXTENSION;
use crate::testing::{Here, from, request};

fn told(refer_to: &str) -> Vec<String> {
    let registry = Registry::assemble(&[&EXTENSION], Roles::UA);
    let mut notes = Vec::new();
    let fields = format!("Refer-To: {refer_to}");
    request("REFER", "sip:bob@192.0.2.2", &fields, |request| {
        let _ = registry.uas_request(
            registry.woken(&request),
            Env::new(Now::default(), &Here),
            &mut UasRequest {
                request,
                source: from("192.0.2.9:5060"),
                user: None,
                fields: &mut Fields::new(),
                slots: &mut Slots::new(),
                notes: &mut notes,
                dialog: None,
                tasks: &mut Tasks::new(),
                agent: &mut Slots::new(),
                manner: &mut towel_core::contract::Manner::Unsaid,
            },
        );
    });
    notes
}

#[test]
fn only_feature_tags_are_told() {
    let one = |text: &str| vec![format!("whom it refers to is said to be: {text}")];
    assert_eq!(told("sip:conf44@example.com;isfocus"), one("isfocus"));
    assert_eq!(
        told("<sip:vm@example.com;transport=tcp>;actor=\"msg-taker\";automata;audio;x=1"),
        one("actor=\"msg-taker\", automata, audio")
    );
    assert_eq!(told("<sip:a@example.com>;+sip.new=\"x\""), one("+sip.new=\"x\""));
    assert_eq!(told("<sip:a@example.com;audio>;tag=1"), Vec::<String>::new());
    assert_eq!(told("<nonsense"), Vec::<String>::new());
}
