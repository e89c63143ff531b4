//! What an extension can do: provisional responses that are acknowledged by a method of its own,
//! responses that wait, a timer in a dialog, a request that is sent again.

use std::time::Duration;

use super::*;
use crate::contract::{
    Behaviour, Carry, Delivery, DialogTimer, DialogUse, Env, Extension, MethodDeclaration, Outline,
    Reply, Task, UacRequest, UacResponse, UasRequest, UasResponse, Verdict, Wake,
};

const ID: &str = "sure";

struct Sure;

/// What it keeps with a dialog: whether one is under way, how many it has sent, which came last.
#[derive(Default)]
struct Kept {
    waiting: bool,
    sent: u32,
    seen: Vec<u8>,
}

impl Behaviour for Sure {
    fn uas_response(&self, _: &Env<'_>, at: &mut UasResponse<'_>) -> Verdict {
        let Some(dialog) = &mut at.dialog else { return Verdict::Pass };
        if dialog.slots.get::<Kept>(ID).is_none() {
            dialog.slots.set(ID, Kept::default());
        }
        let Some(kept) = dialog.slots.get_mut::<Kept>(ID) else { return Verdict::Pass };
        if at.request.method().as_bytes() != b"INVITE" || at.status >= 300 {
            return Verdict::Pass;
        }
        if kept.waiting {
            *at.delivery = Delivery::Hold;
        } else if at.status < 200 {
            kept.waiting = true;
            kept.sent += 1;
            at.fields.push("X-Sure", kept.sent.to_string());
            *at.delivery = Delivery::Reliable;
        }
        Verdict::Pass
    }

    fn uas_request(&self, _: &Env<'_>, at: &mut UasRequest<'_>) -> Verdict {
        match at.request.method().as_bytes() {
            b"SURE" => {
                let kept = at.dialog.as_mut().and_then(|dialog| dialog.slots.get_mut::<Kept>(ID));
                if let Some(kept) = kept {
                    kept.waiting = false;
                }
                at.tasks.push(ID, Task::Arrived);
                Verdict::refuse(200, "OK")
            }
            b"INVITE" if at.dialog.is_none() && !at.request.named(b"X-Again").any(|_| true) => {
                Verdict::reply(Reply::new(422, "Ask Again"))
            }
            _ => Verdict::Pass,
        }
    }

    fn uac_request(&self, _: &Env<'_>, at: &mut UacRequest<'_>) -> Verdict {
        if at.slots.get::<bool>(ID).is_some() {
            at.fields.push("X-Again", "yes");
        }
        Verdict::Pass
    }

    fn uac_response(&self, _: &Env<'_>, at: &mut UacResponse<'_>) -> Verdict {
        if at.response.status() == 422 {
            at.slots.set(ID, true);
            at.tasks.push(ID, Task::Retry);
        }
        if let Some(number) = at.response.named(b"X-Sure").next() {
            let Some(dialog) = &mut at.dialog else { return Verdict::Pass };
            let seen = dialog.slots.get::<Kept>(ID).map(|kept| kept.seen.clone());
            if seen.as_deref() == Some(number.value) {
                return Verdict::Discard;
            }
            let seen = number.value.to_vec();
            dialog.slots.set(ID, Kept { seen, ..Kept::default() });
            *at.reliable = true;
            let fields = vec![("X-Sure", number.value.to_vec())];
            let body = Carry::Nothing;
            at.tasks.send(ID, Outline { method: "SURE", fields, body });
        }
        if at.response.status() == 200 && at.method == b"INVITE" {
            at.tasks.timer(ID, 7, Duration::from_secs(60));
        }
        Verdict::Pass
    }

    fn dialog_timer(&self, _: &Env<'_>, at: &mut DialogTimer<'_>) {
        assert_eq!(at.tag, 7);
        at.tasks.push(ID, Task::HangUp { reason: Some(b"SIP;cause=408".to_vec()) });
    }
}

static SURE: Extension = Extension {
    id: ID,
    methods: &[MethodDeclaration {
        name: "SURE",
        answered_by: Roles::UAS,
        bodies: "",
        overlaps: "yes",
        dialog: DialogUse::Inside,
        target_refresh: false,
        offer_answer: "",
        cancellable: false,
        immediate: true,
        proxies_must_know: false,
        forking: "",
        reverse_request: "",
    }],
    wake: &[Wake::Always],
    behaviour: &Sure,
    ..Extension::EMPTY
};

fn pair() -> Pair {
    Pair::with(Registry::assemble(&[&SURE], Roles::UA), Registry::assemble(&[&SURE], Roles::UA))
}

#[test]
fn reliable_responses_are_repeated_and_those_after_them_wait() {
    let mut pair = pair();
    let mut heard = 0;
    pair.loses = Box::new(move |_, _, text| {
        heard += u32::from(text.starts_with("SURE"));
        text.starts_with("SURE") && heard == 1
    });
    let invite = Ask::invite("sip:ford@192.0.2.2", "v=0");
    pair.act(ARTHUR, |ua, now, out| ua.call(now, out, invite)).unwrap();
    pair.pass(20);
    assert_eq!(pair.said(ARTHUR), ["INVITE", "ACK", "INVITE"]);
    let theirs = incoming(&pair.told(FORD));
    for status in [180, 183, 200] {
        let answer = Answer::new(status);
        pair.act(FORD, |ua, now, out| ua.answer(now, out, theirs, answer)).unwrap();
    }
    assert_eq!(pair.said(FORD), ["422 INVITE", "180 INVITE"]);
    pair.pass(480);
    assert!(pair.said(FORD).is_empty());
    // T1 later it is sent again; what waits goes one after the other.
    pair.pass(600);
    assert_eq!(pair.said(FORD), ["180 INVITE", "200 SURE", "183 INVITE", "200 SURE", "200 INVITE"]);
    let told = pair.told(ARTHUR);
    let reliable = told.iter().all(|event| match event {
        Event::Progress { reliable, .. } => *reliable,
        _ => true,
    });
    assert!(reliable && established(&told).is_some(), "{told:?}");
    // Its timer hangs up, and the BYE says why.
    pair.pass(61_000);
    let bye = pair.sent.iter().find(|(_, text)| text.starts_with("BYE")).unwrap().1.clone();
    assert_eq!(field(&bye, "Reason"), "SIP;cause=408");
    assert_eq!(ending(&pair.told(FORD)), Some(Ending::Bye));
    pair.is_empty();
}

#[test]
fn what_never_arrives_refuses_the_call() {
    let mut pair = pair();
    pair.loses = Box::new(move |_, _, text| text.starts_with("SURE"));
    let invite = Ask::invite("sip:ford@192.0.2.2", "v=0");
    pair.act(ARTHUR, |ua, now, out| ua.call(now, out, invite)).unwrap();
    pair.pass(20);
    let theirs = incoming(&pair.told(FORD));
    for status in [180, 200] {
        let answer = Answer::new(status);
        pair.act(FORD, |ua, now, out| ua.answer(now, out, theirs, answer)).unwrap();
    }
    pair.pass(33_000);
    assert!(pair.said(FORD).contains(&"504 INVITE".to_owned()));
    assert!(matches!(ending(&pair.told(ARTHUR)), Some(Ending::Failed { status: 504, .. })));
    pair.is_empty();
}

/// Sends two re-INVITEs at once when a call is up.
struct Pushy;

impl Behaviour for Pushy {
    fn uac_response(&self, _: &Env<'_>, at: &mut UacResponse<'_>) -> Verdict {
        let Some(dialog) = &mut at.dialog else { return Verdict::Pass };
        if at.response.status() == 200 && dialog.slots.get::<bool>("pushy").is_none() {
            dialog.slots.set("pushy", true);
            for _ in 0..2 {
                let body = Carry::Body { media_type: "application/sdp", bytes: b"v=0".to_vec() };
                at.tasks.send("pushy", Outline { method: "INVITE", fields: Vec::new(), body });
            }
        }
        Verdict::Pass
    }
}

static PUSHY: Extension =
    Extension { id: "pushy", wake: &[Wake::Always], behaviour: &Pushy, ..Extension::EMPTY };

#[test]
fn a_request_of_an_extension_that_cannot_be_sent_is_told() {
    let mut pair =
        Pair::with(Registry::assemble(&[&PUSHY], Roles::UA), Registry::assemble(&[], Roles::UA));
    let invite = Ask::invite("sip:ford@192.0.2.2", "v=0");
    pair.act(ARTHUR, |ua, now, out| ua.call(now, out, invite)).unwrap();
    pair.pass(20);
    let theirs = incoming(&pair.told(FORD));
    let answer = Answer::new(200).sdp("v=0");
    pair.act(FORD, |ua, now, out| ua.answer(now, out, theirs, answer)).unwrap();
    pair.pass(20);
    let told = pair.told(ARTHUR);
    let note = Event::Note("pushy: no INVITE is sent: another INVITE is under way".into());
    assert!(told.contains(&note), "{told:?}");
    let invites = pair.said(ARTHUR).iter().filter(|text| *text == "INVITE").count();
    assert_eq!(invites, 2);
}
