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
    super::register(&mut rig, "bob", &["<sips:bob@198.51.100.2>"]);
    let sent = rig.udp(A, &ask("MESSAGE"));
    // There is no TLS listener here: it fails rather than go in the clear.
    assert!(requests(&sent, "MESSAGE").is_empty(), "{sent:?}");
    assert_eq!(statuses(&sent), [500]);
}
