//! One INVITE, several branches (RFC 3261 sections 12.1.2, 13.2.2.4, 13.2.3).

use super::*;

/// A response of a branch: made of the INVITE as it was sent.
fn branch(invite: &str, status: &str, tag: &str, more: &str) -> String {
    let copy = |name: &str| format!("{name}: {}\r\n", field(invite, name));
    format!(
        "SIP/2.0 {status}\r\n{}{}To: {};tag={tag}\r\n{}{}Contact: <sip:{tag}@192.0.2.2>\r\n{more}\
         Content-Length: 0\r\n\r\n",
        copy("Via"),
        copy("From"),
        field(invite, "To"),
        copy("Call-ID"),
        copy("CSeq"),
    )
}

fn ringing(pair: &mut Pair) -> (CallHandle, String) {
    pair.loses = Box::new(|_, by, _| by == ARTHUR);
    let invite = Ask::invite("sip:ford@192.0.2.2", "v=0");
    let call = pair.act(ARTHUR, |ua, now, out| ua.call(now, out, invite)).unwrap();
    let invite = pair.sent[0].1.clone();
    for tag in ["a", "b", "c"] {
        pair.inject(ARTHUR, &branch(&invite, "180 Ringing", tag, ""));
    }
    (call, invite)
}

#[test]
fn each_branch_has_its_early_dialog_and_one_is_kept() {
    let mut pair = Pair::new();
    let (call, invite) = ringing(&mut pair);
    assert_eq!(pair.ends[ARTHUR].sizes()[..2], [1, 3]);
    let routes = "Record-Route: <sip:p2;lr>, <sip:p1@192.0.2.2;lr>\r\n";
    pair.inject(ARTHUR, &branch(&invite, "200 OK", "b", routes));
    let told = pair.told(ARTHUR);
    let dialog = established(&told).expect("b");
    let ack = pair.sent.last().unwrap().1.clone();
    assert!(ack.starts_with("ACK sip:b@192.0.2.2 SIP/2.0\r\n"), "{ack}");
    // Section 12.1.2: the route set is the Record-Route of the 2xx in reverse.
    assert_eq!(field(&ack, "Route"), "<sip:p1@192.0.2.2;lr>, <sip:p2;lr>");
    assert_eq!(field(&ack, "CSeq"), "1 ACK");
    // Another 2xx is acknowledged and ended; its copies are acknowledged.
    pair.sent.clear();
    pair.inject(ARTHUR, &branch(&invite, "200 OK", "c", ""));
    assert_eq!(pair.said(ARTHUR), ["ACK", "BYE"]);
    pair.inject(ARTHUR, &branch(&invite, "200 OK", "c", ""));
    pair.inject(ARTHUR, &branch(&invite, "200 OK", "b", routes));
    assert_eq!(pair.said(ARTHUR), ["ACK", "ACK"]);
    assert_eq!(pair.ends[ARTHUR].session_of(call), Some(dialog));
    // After 64*T1 no further 2xx can come: what rang is over.
    pair.pass(33_000);
    let told = pair.told(ARTHUR);
    assert!(told.iter().any(|event| matches!(event, Event::ForkEnded { .. })), "{told:?}");
    pair.act(ARTHUR, |ua, now, out| ua.hang_up(now, out, call)).unwrap();
    pair.is_empty();
}

#[test]
fn branches_are_kept_where_that_is_wanted() {
    let mut pair = Pair::new();
    pair.ends[ARTHUR].core.profile.forks = Forks::Keep;
    let (call, invite) = ringing(&mut pair);
    pair.inject(ARTHUR, &branch(&invite, "200 OK", "b", ""));
    pair.inject(ARTHUR, &branch(&invite, "200 OK", "d", ""));
    let told = pair.told(ARTHUR);
    let other = told.iter().find_map(|event| match event {
        Event::Forked { call, .. } => Some(*call),
        _ => None,
    });
    for call in [call, other.expect("a call of its own")] {
        pair.act(ARTHUR, |ua, now, out| ua.hang_up(now, out, call)).unwrap();
    }
    pair.is_empty();
}

#[test]
fn more_branches_than_the_limit_make_no_dialogs() {
    let mut pair = Pair::new();
    pair.ends[ARTHUR].core.profile.max_branches = 2;
    let (call, invite) = ringing(&mut pair);
    assert_eq!(pair.ends[ARTHUR].sizes()[1], 2);
    pair.act(ARTHUR, |ua, now, out| ua.hang_up(now, out, call)).unwrap();
    let failed = branch(&invite, "487 Request Terminated", "c", "");
    pair.inject(ARTHUR, &failed);
    assert_eq!(ending(&pair.told(ARTHUR)), Some(Ending::Local));
    assert_eq!(pair.ends[ARTHUR].sizes()[..2], [0, 0]);
    pair.is_empty();
}

#[test]
fn a_strict_router_gets_its_own_uri() {
    let mut pair = Pair::new();
    let (call, invite) = ringing(&mut pair);
    let routes = "Record-Route: <sip:p2@192.0.2.2>, <sip:p1@192.0.2.2;method=X>\r\n";
    pair.inject(ARTHUR, &branch(&invite, "200 OK", "b", routes));
    let ack = pair.sent.last().unwrap().1.clone();
    assert!(ack.starts_with("ACK sip:p1@192.0.2.2 SIP/2.0\r\n"), "{ack}");
    assert_eq!(field(&ack, "Route"), "<sip:p2@192.0.2.2>, <sip:b@192.0.2.2>");
    pair.act(ARTHUR, |ua, now, out| ua.hang_up(now, out, call)).unwrap();
    pair.is_empty();
}

#[test]
fn a_bye_on_one_early_dialog_leaves_the_others() {
    let mut pair = Pair::new();
    let (call, invite) = ringing(&mut pair);
    let early: Vec<DialogHandle> = pair
        .told(ARTHUR)
        .iter()
        .filter_map(|event| match event {
            Event::Progress { dialog, .. } => *dialog,
            _ => None,
        })
        .collect();
    pair.act(ARTHUR, |ua, now, out| ua.end(now, out, early[0])).unwrap();
    let bye = pair.sent.last().unwrap().1.clone();
    assert!(bye.starts_with("BYE sip:a@192.0.2.2"), "{bye}");
    pair.inject(ARTHUR, &branch(&invite, "200 OK", "b", ""));
    assert!(established(&pair.told(ARTHUR)).is_some());
    pair.act(ARTHUR, |ua, now, out| ua.hang_up(now, out, call)).unwrap();
    pair.is_empty();
}
