//! INFO at the end that has it.

use towel_core::contract::{
    Delivery, Fields, Given, InDialog, Registry, Roles, Slots, Tasks, UacRequest, UacResponse,
    UasRequest, UasResponse, Verdict,
};

use super::{EXTENSION, configure};
use crate::testing::{env, from, request, response};

fn registry(packages: &str) -> Registry {
    let mut registry = Registry::assemble(&[&EXTENSION], Roles::UA);
    registry.configure("info", &[("packages", packages)]).expect("settings");
    registry
}

fn dialog(slots: &mut Slots, session: bool) -> InDialog<'_> {
    InDialog {
        call_id: b"c",
        local_tag: b"ours",
        remote_tag: b"1",
        initiator: false,
        confirmed: true,
        session,
        invite: None,
        peer_allows: None,
        slots,
    }
}

/// The status that an INFO gets at once, nought where it is the application's.
fn info(registry: &Registry, slots: &mut Slots, session: bool, more: &str) -> u16 {
    request("INFO", "sip:bob@192.0.2.2", more, |request| {
        let mut at = UasRequest {
            request,
            source: from("192.0.2.9:5060"),
            user: None,
            fields: &mut Fields::new(),
            slots: &mut Slots::new(),
            notes: &mut Vec::new(),
            dialog: Some(dialog(slots, session)),
            tasks: &mut Tasks::new(),
            agent: &mut Slots::new(),
            manner: &mut towel_core::contract::Manner::Unsaid,
        };
        match registry.uas_request(registry.woken(&request), env(), &mut at) {
            Verdict::Refuse(reply) => {
                let list = reply.fields.get("Recv-Info");
                assert_eq!(list.is_some(), reply.status == 469);
                reply.status
            }
            _ => 0,
        }
    })
}

/// What Recv-Info a response to an INVITE has.
fn respond(registry: &Registry, slots: &mut Slots, more: &str, status: u16) -> Option<String> {
    let mut fields = Fields::new();
    request("INVITE", "sip:bob@example.com", more, |request| {
        let mut at = UasResponse {
            request,
            status,
            fields: &mut fields,
            contact_parameters: &mut Vec::new(),
            slots: &mut Slots::new(),
            dialog: Some(dialog(slots, true)),
            tasks: &mut Tasks::new(),
            body: &[],
            delivery: &mut Delivery::Plain,
            agent: &mut Slots::new(),
        };
        assert!(registry.uas_response(registry.woken(&request), env(), &mut at).is_pass());
    });
    fields.get("Recv-Info").map(|value| String::from_utf8_lossy(value).into_owned())
}

const ASKS: &str = "Recv-Info: other";

#[test]
fn who_says_so_is_told() {
    let registry = registry("dtmf,x-lamp");
    let list = Some("dtmf, x-lamp".to_owned());
    assert_eq!(respond(&registry, &mut Slots::new(), ASKS, 180), list);
    assert_eq!(respond(&registry, &mut Slots::new(), "Recv-Info:", 200), list);
    assert_eq!(respond(&registry, &mut Slots::new(), "", 200), None);
    assert_eq!(respond(&registry, &mut Slots::new(), ASKS, 486), None);
}

#[test]
fn a_package_is_its_name() {
    let registry = registry("dtmf, x-lamp");
    let mut slots = Slots::new();
    let at = |slots: &mut Slots, package: &str| {
        info(&registry, slots, true, &format!("Info-Package: {package}"))
    };
    // Nobody was told yet that any is taken.
    assert_eq!(at(&mut slots, "dtmf"), 469);
    respond(&registry, &mut slots, ASKS, 200);
    assert_eq!(at(&mut slots, "dtmf"), 0);
    assert_eq!(at(&mut slots, "x-lamp ;colour=red"), 0);
    for other in ["DTMF", "dtm", "x-lamp2", "nosuch"] {
        assert_eq!(at(&mut slots, other), 469, "{other}");
    }
}

#[test]
fn outside_of_a_call_there_is_none() {
    let registry = registry("dtmf");
    assert_eq!(info(&registry, &mut Slots::new(), false, ""), 481);
    assert_eq!(info(&registry, &mut Slots::new(), true, ""), 0);
}

#[test]
fn names_that_are_none_are_refused() {
    assert!(configure(&[("packages", "a, b-c")]).is_ok());
    assert!(configure(&[("packages", "")]).is_ok());
    assert!(configure(&[("packages", "a b")]).is_err());
}

/// Whether an INFO of ours with this header field goes.
fn goes(registry: &Registry, slots: &mut Slots, session: bool, given: &str) -> bool {
    let mut at = UacRequest {
        method: b"INFO",
        request_uri: &mut b"sip:bob@192.0.2.2".to_vec(),
        fields: &mut Fields::new(),
        contact_parameters: &mut Vec::new(),
        next_hop: b"sip:bob@192.0.2.2",
        slots: &mut Slots::new(),
        agent: &mut Slots::new(),
        dialog: Some(dialog(slots, session)),
        tasks: &mut Tasks::new(),
        body: &[],
        own: None,
        given: Given(given.as_bytes()),
    };
    registry.uac_request(registry.woken_for_own_request(), env(), &mut at).is_pass()
}

/// A response to a request of ours.
fn answered(registry: &Registry, slots: &mut Slots, method: &str, status: &str, more: &str) {
    response(status, method, more, |response| {
        let mut at = UacResponse {
            response,
            method: method.as_bytes(),
            notes: &mut Vec::new(),
            slots: &mut Slots::new(),
            agent: &mut Slots::new(),
            source: from("192.0.2.9:5060"),
            dialog: Some(dialog(slots, true)),
            tasks: &mut Tasks::new(),
            own: None,
            reliable: &mut false,
        };
        let _ = registry.uac_response(registry.woken(&response), env(), &mut at);
    });
}

#[test]
fn what_was_said_last_holds() {
    let registry = registry("");
    let mut slots = Slots::new();
    let lamp = "Info-Package: x-lamp;colour=red\r\n";
    assert!(!goes(&registry, &mut slots, true, lamp), "nothing was said yet");
    assert!(goes(&registry, &mut slots, true, "Subject: x\r\n"), "the older usage");
    assert!(!goes(&registry, &mut slots, false, ""), "outside of a call");
    answered(&registry, &mut slots, "INVITE", "180 Ringing", "Recv-Info: dtmf, x-lamp");
    assert!(goes(&registry, &mut slots, true, lamp));
    assert!(!goes(&registry, &mut slots, true, "Recv-Info: x\r\nInfo-Package: x-lamp\r\n"));
    // A 469 changes nothing, an UPDATE does.
    answered(&registry, &mut slots, "INFO", "469 Bad Info Package", "Recv-Info: dtmf");
    assert!(goes(&registry, &mut slots, true, lamp));
    answered(&registry, &mut slots, "UPDATE", "200 OK", "Recv-Info:");
    assert!(!goes(&registry, &mut slots, true, lamp));
}

#[test]
fn a_refusal_leaves_them_as_they_were() {
    let registry = registry("");
    let mut slots = Slots::new();
    let (lamp, bell) = ("Info-Package: x-lamp\r\n", "Info-Package: x-bell\r\n");
    respond(&registry, &mut slots, "Recv-Info: x-lamp", 200);
    assert!(goes(&registry, &mut slots, true, lamp));
    // The peer changes it with an INVITE that is refused after a provisional response.
    respond(&registry, &mut slots, "Recv-Info: x-bell", 180);
    respond(&registry, &mut slots, "Recv-Info: x-bell", 183);
    assert!(goes(&registry, &mut slots, true, bell));
    respond(&registry, &mut slots, "Recv-Info: x-bell", 488);
    assert!(goes(&registry, &mut slots, true, lamp) && !goes(&registry, &mut slots, true, bell));
    // And the other way round.
    answered(&registry, &mut slots, "INVITE", "183 Progress", "Recv-Info: x-bell");
    answered(&registry, &mut slots, "INVITE", "488 No", "");
    assert!(goes(&registry, &mut slots, true, lamp) && !goes(&registry, &mut slots, true, bell));
}
