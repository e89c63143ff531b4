//! Ways that do not lead there: transport errors (section 16.9), flows of bindings, streams.

use super::rig::{Rig, request, requests, statuses};
use super::{open, rig};
use crate::io::Transport;
use crate::server::Endpoint;

const A: &str = "198.51.100.1:5060";

fn ask(method: &str) -> String {
    request(
        method,
        "sip:bob@192.0.2.1",
        "sip:alice@example.org",
        "sip:bob@192.0.2.1",
        "198.51.100.1",
        "",
    )
}

/// Registers bob over TCP with this contact.
fn register_by_tcp(rig: &mut Rig<Endpoint>, contact: &str) -> crate::io::ConnectionId {
    let connection = rig.accept("198.51.100.2:40001");
    let text = format!(
        "REGISTER sip:192.0.2.1 SIP/2.0\nVia: SIP/2.0/TCP 198.51.100.2:5060;branch=z9hG4bKreg\n\
         From: <sip:bob@192.0.2.1>;tag=1\nTo: <sip:bob@192.0.2.1>\nCall-ID: reg\nCSeq: 1 REGISTER\nContact: {contact}\n"
    );
    assert_eq!(statuses(&rig.tcp(connection, &text)), [200]);
    connection
}

#[test]
fn a_refused_connection_is_a_500_upstream() {
    let mut rig = rig(open());
    rig.refuse = true;
    super::register(&mut rig, "bob", &["<sip:bob@198.51.100.2;transport=tcp>"]);
    let sent = rig.udp(A, &ask("INVITE"));
    assert_eq!(statuses(&sent), [500], "{sent:?}");
}

#[test]
fn a_contact_that_cannot_be_connected_to_is_reached_by_its_flow() {
    let mut rig = rig(open());
    rig.refuse = true;
    let connection = register_by_tcp(&mut rig, "<sip:bob@198.51.100.2:5060;transport=tcp>");
    let sent = rig.udp(A, &ask("INVITE"));
    // The first was given to the connection that was refused.
    let [_, invite] = requests(&sent, "INVITE")[..] else { panic!("{sent:?}") };
    assert_eq!((invite.connection, invite.transport), (Some(connection), Transport::Tcp));
    assert_eq!(invite.uri(), "sip:bob@198.51.100.2:5060;transport=tcp");
    let sent = rig.tcp(connection, &invite.answer(200, ""));
    assert_eq!(statuses(&sent), [200]);
}

#[test]
fn a_contact_behind_a_nat_is_reached_by_its_flow_at_once() {
    let mut rig = rig(open());
    let connection = register_by_tcp(&mut rig, "<sip:bob@10.0.0.7:5060;transport=tcp>");
    let sent = rig.udp(A, &ask("INVITE"));
    let [invite] = requests(&sent, "INVITE")[..] else { panic!("{sent:?}") };
    assert_eq!(invite.connection, Some(connection));
}

#[test]
fn a_sips_binding_is_asked_for_by_tls_and_keeps_the_scheme_that_was_asked() {
    let mut rig = rig(open());
    // RFC 5630 section 5.2: such a contact is bound by way of a sips Request-URI.
    let text = request(
        "REGISTER",
        "sips:192.0.2.1",
        "sip:bob@192.0.2.1",
        "sip:bob@192.0.2.1",
        "198.51.100.2",
        "",
    );
    let text =
        text.replace("Contact: <sip:caller@198.51.100.2>", "Contact: <sips:bob@198.51.100.2>");
    assert_eq!(statuses(&rig.udp("198.51.100.2:5060", &text)), [200]);
    let sent = rig.udp(A, &ask("MESSAGE"));
    // There is no TLS listener here: it fails rather than go in the clear.
    assert!(requests(&sent, "MESSAGE").is_empty(), "{sent:?}");
    assert_eq!(statuses(&sent), [500]);
}

#[test]
fn a_response_without_a_second_via_goes_no_further() {
    let mut rig = rig(open());
    super::register(&mut rig, "bob", &["<sip:bob@198.51.100.2>"]);
    let sent = rig.udp(A, &ask("INVITE"));
    let invite = requests(&sent, "INVITE")[0].clone();
    let caller = invite.all("Via")[1].to_owned();
    let alone = |status| invite.answer(status, "").replace(&format!("Via: {caller}\n"), "");
    assert!(rig.udp("198.51.100.2:5060", &alone(180)).is_empty());
    assert!(rig.udp("198.51.100.2:5060", &alone(200)).is_empty());
    // It is as if it had not come: a sound one is taken, and without one it ends as a time-out.
    assert_eq!(statuses(&rig.udp("198.51.100.2:5060", &invite.answer(200, ""))), [200]);
    let sent = rig.udp(A, &ask("INVITE").replace("z9hG4bK", "z9hG4bKagain"));
    let invite = requests(&sent, "INVITE")[0].clone();
    let alone = invite.answer(486, "").replace(&format!("Via: {}\n", invite.all("Via")[1]), "");
    assert!(statuses(&rig.udp("198.51.100.2:5060", &alone)).is_empty());
    assert!(statuses(&rig.pass(33_000)).contains(&408));
}

#[test]
fn merged_requests_are_both_forwarded() {
    let mut rig = rig(open());
    super::register(&mut rig, "bob", &["<sip:bob@198.51.100.2>"]);
    assert_eq!(requests(&rig.udp(A, &ask("MESSAGE")), "MESSAGE").len(), 1);
    let other = ask("MESSAGE").replace("branch=z9hG4bK", "branch=z9hG4bKother");
    assert_eq!(requests(&rig.udp(A, &other), "MESSAGE").len(), 1);
}

#[test]
fn a_cancelled_search_goes_no_further() {
    let mut rig = rig(open());
    super::register(
        &mut rig,
        "bob",
        &["<sip:bob@198.51.100.2>;q=0.9", "<sip:bob@198.51.100.3>;q=0.1"],
    );
    let sent = rig.udp(A, &ask("INVITE"));
    let invite = requests(&sent, "INVITE")[0].clone();
    rig.udp("198.51.100.2:5060", &invite.answer(180, ""));
    rig.udp(A, &ask("CANCEL"));
    let sent = rig.udp("198.51.100.2:5060", &invite.answer(487, ""));
    assert_eq!((statuses(&sent), requests(&sent, "INVITE").len()), (vec![487], 0));
}

#[test]
fn an_invite_that_was_cancelled_and_never_heard_of_ends_as_487() {
    let mut rig = rig(open());
    super::register(&mut rig, "bob", &["<sip:bob@198.51.100.2>"]);
    rig.udp(A, &ask("INVITE"));
    rig.udp(A, &ask("CANCEL"));
    assert!(statuses(&rig.pass(33_000)).contains(&487));
}

/// Two clients by TCP whose Contacts lead nowhere: each is reached by its own connection for the
/// whole of the dialog, the caller too, who never registered (as RFC 5626 section 5.2's tokens do).
#[test]
fn both_ends_of_a_dialog_are_reached_by_their_connections() {
    let mut rig = rig(open());
    let callee = register_by_tcp(&mut rig, "<sip:bob@10.0.0.7:5060;transport=tcp>");
    let caller = rig.accept("198.51.100.9:40009");
    let request = |method: &str, uri: &str, tags: [&str; 2], more: &str| {
        format!(
            "{method} {uri} SIP/2.0\nVia: SIP/2.0/TCP 10.9.9.9:5062;branch=z9hG4bK{method}{}\n\
             Max-Forwards: 70\nFrom: <sip:x@far.example>{}\nTo: <sip:bob@192.0.2.1>{}\nCall-ID: by-flow\n\
             CSeq: 1 {method}\n{more}",
            tags[0], tags[0], tags[1]
        )
    };
    let contact = "Contact: <sip:carol@10.9.9.9:5062;transport=tcp>\n";
    let sent = rig.tcp(caller, &request("INVITE", "sip:bob@192.0.2.1", [";tag=c", ""], contact));
    let invite = requests(&sent, "INVITE")[0].clone();
    assert_eq!(invite.connection, Some(callee));
    let theirs = format!("Route: {}\n", invite.all("Record-Route").join(", "));
    let sent = rig.tcp(callee, &invite.answer(200, ""));
    let routes = sent.iter().find(|s| s.status() == 200).unwrap().all("Record-Route").join(", ");
    let (bob, route) = ("sip:bob@10.0.0.7:5060;transport=tcp", format!("Route: {routes}\n"));
    let tags = [";tag=c", ";tag=callee-40001"];
    for method in ["ACK", "BYE"] {
        let sent = rig.tcp(caller, &request(method, bob, tags, &route));
        assert_eq!(requests(&sent, method)[0].connection, Some(callee), "{sent:?}");
    }
    let carol = "sip:carol@10.9.9.9:5062;transport=tcp";
    let back = [tags[1], tags[0]];
    let sent = rig.tcp(callee, &request("INFO", carol, back, &theirs));
    assert_eq!(requests(&sent, "INFO")[0].connection, Some(caller), "{sent:?}");
    // In another dialog the token is worth nothing, and a token that was changed neither.
    let other = request("INFO", carol, [";tag=o", ";tag=p"], &theirs);
    assert!(rig.tcp(callee, &other).iter().all(|s| s.connection != Some(caller)));
    let changed = theirs.replacen("-a000000000001", "-a000000000000", 1);
    assert_ne!(changed, theirs);
    let sent = rig.tcp(caller, &request("UPDATE", carol, back, &changed));
    assert!(requests(&sent, "UPDATE").iter().all(|s| s.connection != Some(callee)));
}
