//! Tokens, and who keeps them.

use towel_core::contract::{InDialog, Registry, Roles, Slots, Tasks, UacResponse};

use super::{EXTENSION, ID, Tokens, configure, decode, is_protected};
use crate::testing::{env, from, response};

#[test]
fn tokens_are_bytes() {
    assert_eq!(decode(b"00a1Ff"), Some(vec![0, 0xa1, 0xff]));
    for none in ["", "0", "0g", "001"] {
        assert_eq!(decode(none.as_bytes()), None, "{none}");
    }
    assert!(configure(&[("tokens", "0020, 30")]).is_ok());
    assert!(configure(&[("tokens", "xyz")]).is_err());
    assert!(configure(&[("trusted", "proxy")]).is_err());
}

#[test]
fn the_last_tokens_count() {
    let registry = Registry::assemble(&[&EXTENSION], Roles::UA);
    let mut slots = Slots::new();
    let mut answer = |more: &str| {
        response("183 Session Progress", "INVITE", more, |response| {
            let mut at = UacResponse {
                response,
                method: b"INVITE",
                notes: &mut Vec::new(),
                slots: &mut Slots::new(),
                agent: &mut Slots::new(),
                source: from("192.0.2.9:5060"),
                dialog: Some(InDialog {
                    call_id: b"c",
                    local_tag: b"1",
                    remote_tag: b"2",
                    initiator: true,
                    confirmed: false,
                    session: true,
                    invite: None,
                    peer_allows: None,
                    slots: &mut slots,
                }),
                tasks: &mut Tasks::new(),
                own: None,
                reliable: &mut false,
            };
            let _ = registry.uac_response(registry.woken(&response), env(), &mut at);
        });
        slots.get::<Tokens>(ID).map(|tokens| tokens.0.clone())
    };
    assert_eq!(answer(""), None);
    assert_eq!(answer("P-Media-Authorization: 01, zz, 02"), Some(vec![vec![1], vec![2]]));
    assert_eq!(answer("P-Media-Authorization: 03"), Some(vec![vec![3]]));
    assert_eq!(answer(""), Some(vec![vec![3]]));
}

#[test]
fn what_is_protected() {
    let configured = configure(&[("trusted", "192.0.2.9")]).expect("settings");
    let settings = configured.downcast_ref().expect("settings");
    for (uri, protected) in [
        ("sips:bob@192.0.2.2", true),
        ("sip:bob@192.0.2.2;transport=tls", true),
        ("sip:bob@192.0.2.2", false),
        ("sip:bob@192.0.2.9:5070", true),
        ("sip:bob@proxy.example", false),
    ] {
        assert_eq!(is_protected(settings, uri.as_bytes()), protected, "{uri}");
    }
}
