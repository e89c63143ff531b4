//! Reliable provisional responses at both ends, a stage at a time.

use towel_core::contract::{
    Behaviour, Delivery, Fields, InDialog, Slots, Task, Tasks, UacResponse, UasRequest,
    UasResponse, Verdict,
};

use super::{Prack, configure};
use crate::testing::{env, from, parse, request, response, text};

/// A dialog with what extensions keep with it.
fn dialog(slots: &mut Slots) -> InDialog<'_> {
    InDialog {
        call_id: b"c",
        local_tag: b"ours",
        remote_tag: b"1",
        initiator: false,
        confirmed: false,
        session: true,
        invite: None,
        peer_allows: None,
        slots,
    }
}

/// How a response to an INVITE with these header fields is sent, and with which RSeq.
fn send(slots: &mut Slots, more: &str, status: u16, body: &[u8]) -> (Delivery, Option<u32>, bool) {
    let (mut fields, mut delivery) = (Fields::new(), Delivery::Plain);
    let bytes = text("INVITE sip:bob@example.com SIP/2.0", "INVITE", more);
    // With an offer.
    let bytes = String::from_utf8(bytes).unwrap().replace(
        "Content-Length: 0\r\n\r\n",
        "Content-Type: application/sdp\r\nContent-Length: 3\r\n\r\nv=0",
    );
    let verdict = parse(bytes.as_bytes(), |request| {
        Prack.uas_response(
            &env(),
            &mut UasResponse {
                request,
                status,
                fields: &mut fields,
                contact_parameters: &mut Vec::new(),
                slots: &mut Slots::new(),
                dialog: Some(dialog(slots)),
                tasks: &mut Tasks::new(),
                body,
                delivery: &mut delivery,
                agent: &mut Slots::new(),
            },
        )
    });
    let number = fields.get("RSeq").map(|value| String::from_utf8_lossy(value).parse().unwrap());
    assert_eq!(number.is_some(), fields.get("Require") == Some(b"100rel"));
    (delivery, number, matches!(verdict, Verdict::Discard))
}

/// What a PRACK with this RAck gets at once; nought where it is let pass.
fn prack(slots: &mut Slots, rack: &str) -> u16 {
    let more = format!("RAck: {rack}");
    let verdict = request("PRACK", "sip:bob@192.0.2.2", &more, |request| {
        Prack.uas_request(
            &env(),
            &mut UasRequest {
                request,
                source: from("192.0.2.9:5060"),
                user: None,
                fields: &mut Fields::new(),
                slots: &mut Slots::new(),
                notes: &mut Vec::new(),
                dialog: Some(dialog(slots)),
                tasks: &mut Tasks::new(),
                agent: &mut Slots::new(),
                manner: &mut towel_core::contract::Manner::Unsaid,
            },
        )
    });
    match verdict {
        Verdict::Refuse(reply) => reply.status,
        _ => 0,
    }
}

const KNOWS: &str = "Supported: 100rel";

#[test]
fn who_asks_gets_numbers() {
    for (more, reliable) in [("", false), (KNOWS, true), ("Require: 100rel", true)] {
        let (delivery, number, _) = send(&mut Slots::new(), more, 180, b"");
        assert_eq!((delivery == Delivery::Reliable, number.is_some()), (reliable, reliable));
    }
    assert_eq!(send(&mut Slots::new(), KNOWS, 200, b"v=0").0, Delivery::Plain);
    assert_eq!(send(&mut Slots::new(), KNOWS, 486, b"").0, Delivery::Plain);
}

#[test]
fn numbers_go_up_by_one() {
    let mut slots = Slots::new();
    let first = send(&mut slots, KNOWS, 180, b"").1.expect("a number");
    assert!((1..1 << 31).contains(&first));
    assert_eq!(prack(&mut slots, &format!("{first} 1 INVITE")), 200);
    assert_eq!(send(&mut slots, KNOWS, 183, b"").1, Some(first + 1));
}

#[test]
fn the_second_waits_for_the_first() {
    let mut slots = Slots::new();
    let first = send(&mut slots, KNOWS, 180, b"").1.expect("a number");
    assert_eq!(send(&mut slots, KNOWS, 183, b"v=0"), (Delivery::Hold, None, false));
    // No description is on its way: the 2xx may go.
    assert_eq!(send(&mut slots, KNOWS, 200, b"v=0").0, Delivery::Plain);
    assert_eq!(prack(&mut slots, &format!("{first} 1 INVITE")), 200);
    let second = send(&mut slots, KNOWS, 183, b"v=0").1.expect("a number");
    assert_eq!(send(&mut slots, KNOWS, 200, b"").0, Delivery::Hold);
    assert_eq!(send(&mut slots, KNOWS, 486, b"").0, Delivery::Plain);
    assert_eq!(prack(&mut slots, &format!("{second} 1 INVITE")), 200);
    assert_eq!(send(&mut slots, KNOWS, 200, b"").0, Delivery::Plain);
}

#[test]
fn a_prack_that_fits_nothing_is_refused() {
    let mut slots = Slots::new();
    assert_eq!(prack(&mut slots, "1 1 INVITE"), 481);
    let first = send(&mut slots, KNOWS, 180, b"").1.expect("a number");
    for rack in [
        format!("{} 1 INVITE", first + 1),
        format!("{first} 2 INVITE"),
        format!("{first} 1 UPDATE"),
    ] {
        assert_eq!(prack(&mut slots, &rack), 481, "{rack}");
    }
    assert_eq!(prack(&mut slots, "nonsense"), 400);
    assert_eq!(prack(&mut slots, &format!("{first} 1 INVITE")), 200);
    assert_eq!(prack(&mut slots, &format!("{first} 1 INVITE")), 481);
}

/// The PRACK that a response makes a caller send, and whether the response is passed over.
fn hear(slots: &mut Slots, status: &str, more: &str) -> (Option<String>, bool) {
    let mut tasks = Tasks::new();
    let mut reliable = false;
    let verdict = response(status, "INVITE", more, |response| {
        Prack.uac_response(
            &env(),
            &mut UacResponse {
                response,
                method: b"INVITE",
                notes: &mut Vec::new(),
                slots: &mut Slots::new(),
                agent: &mut Slots::new(),
                source: from("192.0.2.9:5060"),
                dialog: Some(dialog(slots)),
                tasks: &mut tasks,
                own: None,
                reliable: &mut reliable,
            },
        )
    });
    let sent = tasks.iter().find_map(|(_, task)| match task {
        Task::Send(outline) => {
            assert_eq!((outline.method, outline.fields.len()), ("PRACK", 1));
            Some(String::from_utf8(outline.fields[0].1.clone()).unwrap())
        }
        _ => None,
    });
    assert_eq!(sent.is_some(), reliable);
    (sent, matches!(verdict, Verdict::Discard))
}

#[test]
fn copies_and_what_is_out_of_order_are_passed_over() {
    let mut slots = Slots::new();
    let mut at = |number: u32| {
        let more = format!("Require: 100rel\nRSeq: {number}");
        hear(&mut slots, "180 Ringing", &more)
    };
    assert_eq!(at(7), (Some("7 1 INVITE".into()), false));
    for other in [7, 6, 9] {
        assert_eq!(at(other), (None, true));
    }
    assert_eq!(at(8), (Some("8 1 INVITE".into()), false));
    // Another branch has numbers of its own.
    let other = hear(&mut Slots::new(), "180 Ringing", "Require: 100rel\nRSeq: 100");
    assert_eq!(other, (Some("100 1 INVITE".into()), false));
}

#[test]
fn a_hundred_is_not_acknowledged() {
    let more = "Require: 100rel\nRSeq: 1";
    assert_eq!(hear(&mut Slots::new(), "100 Trying", more), (None, false));
    assert_eq!(hear(&mut Slots::new(), "180 Ringing", "RSeq: 1"), (None, false));
    assert_eq!(hear(&mut Slots::new(), "180 Ringing", "Require: 100rel"), (None, false));
}

#[test]
fn settings_that_mean_nothing_are_refused() {
    assert!(configure(&[("require", "true"), ("respond", "demanded")]).is_ok());
    assert!(configure(&[("require", "perhaps")]).is_err());
    assert!(configure(&[("respond", "sometimes")]).is_err());
}
