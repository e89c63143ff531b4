//! UPDATE at the end that answers it.

use towel_core::contract::{
    Behaviour, Delivery, Env, Fields, InDialog, Slots, Tasks, UasRequest, UasResponse, Verdict,
};
use towel_core::io::{Instant, Now};

use super::Update;
use crate::testing::{Here, from, request};

fn dialog(slots: &mut Slots) -> InDialog<'_> {
    InDialog {
        call_id: b"c",
        local_tag: b"ours",
        remote_tag: b"1",
        initiator: false,
        confirmed: true,
        session: true,
        invite: None,
        peer_allows: None,
        slots,
    }
}

/// An UPDATE comes at this second: the status that it gets at once, or nought, and its Retry-After.
fn comes(kept: &mut Slots, slots: &mut Slots, second: u64) -> (u16, Option<u32>) {
    let now = Now { at: Instant(second * 1_000_000 + 7), ..Now::default() };
    let verdict = request("UPDATE", "sip:bob@192.0.2.2", "", |request| {
        Update.uas_request(
            &Env::new(now, &Here),
            &mut UasRequest {
                request,
                source: from("192.0.2.9:5060"),
                user: None,
                fields: &mut Fields::new(),
                slots,
                notes: &mut Vec::new(),
                dialog: Some(dialog(kept)),
                tasks: &mut Tasks::new(),
                agent: &mut Slots::new(),
                manner: &mut towel_core::contract::Manner::Unsaid,
            },
        )
    });
    match verdict {
        Verdict::Refuse(reply) => {
            let text = reply.fields.get("Retry-After").map(String::from_utf8_lossy);
            (reply.status, text.map(|text| text.parse().unwrap()))
        }
        _ => (0, None),
    }
}

fn answered(kept: &mut Slots, slots: &mut Slots) {
    request("UPDATE", "sip:bob@192.0.2.2", "", |request| {
        let mut at = UasResponse {
            request,
            status: 200,
            fields: &mut Fields::new(),
            contact_parameters: &mut Vec::new(),
            slots,
            dialog: Some(dialog(kept)),
            tasks: &mut Tasks::new(),
            body: &[],
            delivery: &mut Delivery::Plain,
            agent: &mut Slots::new(),
        };
        assert!(Update.uas_response(&Env::new(Now::default(), &Here), &mut at).is_pass());
    });
}

#[test]
fn one_at_a_time() {
    let mut kept = Slots::new();
    let [mut first, mut second, mut third] = [Slots::new(), Slots::new(), Slots::new()];
    assert_eq!(comes(&mut kept, &mut first, 1), (0, None));
    let (status, wait) = comes(&mut kept, &mut second, 2);
    assert_eq!(status, 500);
    assert!(wait.is_some_and(|seconds| seconds <= 10));
    // Its refusal does not make way for another.
    answered(&mut kept, &mut second);
    assert_eq!(comes(&mut kept, &mut second, 3).0, 500);
    answered(&mut kept, &mut first);
    assert_eq!(comes(&mut kept, &mut third, 4), (0, None));
    // One that nobody answers is in the way no longer than its sender waits.
    assert_eq!(comes(&mut kept, &mut Slots::new(), 35).0, 500);
    assert_eq!(comes(&mut kept, &mut Slots::new(), 37).0, 0);
}
