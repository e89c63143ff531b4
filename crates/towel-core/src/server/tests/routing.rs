//! Sections 16.4, 16.6 step 6, 16.11 and 8.3.

use super::rig::{request, requests, statuses};
use super::{open, register, rig};
use crate::contract::{Behaviour, Env, Extension, Register, Registry, Role, Roles, Verdict, Wake};
use crate::server::{Mode, Relay};

const A: &str = "198.51.100.1:5060";

fn anybody() -> crate::settings::Settings {
    let mut settings = open();
    settings.server.relay = Relay::Anybody;
    settings
}

fn ask(method: &str, uri: &str, more: &str) -> String {
    request(method, uri, "sip:alice@example.org", "sip:bob@example.org", "198.51.100.1", more)
}

#[test]
fn our_route_value_is_taken_off_and_the_rest_is_followed() {
    let mut rig = rig(anybody());
    let sent = rig.udp(
        A,
        &ask(
            "MESSAGE",
            "sip:x@far.example",
            "Route: <sip:192.0.2.1;lr>, <sip:198.51.100.8:5070;lr>\nRoute: <sip:198.51.100.9;lr>\n",
        ),
    );
    let [forwarded] = requests(&sent, "MESSAGE")[..] else { panic!("{sent:?}") };
    assert_eq!(forwarded.to, "198.51.100.8:5070".parse().unwrap());
    assert_eq!(forwarded.all("Route"), ["<sip:198.51.100.8:5070;lr>", "<sip:198.51.100.9;lr>"]);
    assert_eq!(forwarded.uri(), "sip:x@far.example");
}

#[test]
fn what_is_for_the_server_itself_goes_where_its_route_leads_first() {
    let mut rig = rig(anybody());
    for method in ["OPTIONS", "REGISTER"] {
        let sent = rig.udp(A, &ask(method, "sip:192.0.2.1", "Route: <sip:198.51.100.8;lr>\n"));
        let [forwarded] = requests(&sent, method)[..] else { panic!("{sent:?}") };
        assert_eq!(forwarded.to, "198.51.100.8:5060".parse().unwrap());
        assert_eq!(forwarded.uri(), "sip:192.0.2.1");
    }
}

#[test]
fn a_strict_router_gets_what_it_expects() {
    let mut rig = rig(anybody());
    let sent = rig.udp(
        A,
        &ask(
            "MESSAGE",
            "sip:x@far.example",
            "Route: <sip:192.0.2.1;lr>, <sip:198.51.100.8>, <sip:198.51.100.9;lr>\n",
        ),
    );
    let [forwarded] = requests(&sent, "MESSAGE")[..] else { panic!("{sent:?}") };
    assert_eq!(forwarded.to, "198.51.100.8:5060".parse().unwrap());
    assert_eq!(forwarded.uri(), "sip:198.51.100.8");
    let routes: Vec<_> = forwarded.all("Route").iter().flat_map(|r| r.split(", ")).collect();
    assert_eq!(routes, ["<sip:198.51.100.9;lr>", "<sip:x@far.example>"]);
}

#[test]
fn what_a_strict_router_did_is_undone() {
    let mut rig = rig(anybody());
    let sent = rig.udp(
        A,
        &ask("MESSAGE", "sip:192.0.2.1;lr", "Route: <sip:198.51.100.8;lr>, <sip:x@far.example>\n"),
    );
    let [forwarded] = requests(&sent, "MESSAGE")[..] else { panic!("{sent:?}") };
    assert_eq!(
        (forwarded.uri(), forwarded.all("Route")),
        ("sip:x@far.example", vec!["<sip:198.51.100.8;lr>"])
    );
    assert_eq!(forwarded.to, "198.51.100.8:5060".parse().unwrap());
}

#[test]
fn a_record_route_value_of_another_dialog_is_known_in_the_request_uri() {
    let mut rig = rig(anybody());
    let sent = rig.udp(A, &ask("INVITE", "sip:x@198.51.100.8", ""));
    let mark =
        requests(&sent, "INVITE")[0].field("Record-Route").trim_matches(['<', '>']).to_owned();
    assert!(mark.starts_with("sip:rr-"), "{mark}");
    let far = "Call-ID: other\nRoute: <sip:x@198.51.100.8>\n";
    let text = ask("MESSAGE", &mark, far).replacen("Call-ID: c198511001\n", "", 1);
    let sent = rig.udp(A, &text);
    let [forwarded] = requests(&sent, "MESSAGE")[..] else { panic!("{sent:?}") };
    assert_eq!((forwarded.uri(), forwarded.field("Route")), ("sip:x@198.51.100.8", ""));
}

#[test]
fn a_maddr_that_means_us_is_stripped() {
    let mut rig = rig(open());
    register(&mut rig, "bob", &["<sip:bob@198.51.100.2>"]);
    let sent = rig.udp(A, &ask("MESSAGE", "sip:bob@192.0.2.1;maddr=192.0.2.1;transport=udp", ""));
    assert_eq!(requests(&sent, "MESSAGE")[0].uri(), "sip:bob@198.51.100.2");
}

#[test]
fn a_foreign_maddr_is_where_it_goes() {
    let mut rig = rig(anybody());
    let sent = rig.udp(A, &ask("MESSAGE", "sip:x@192.0.2.1;maddr=198.51.100.6", ""));
    let [forwarded] = requests(&sent, "MESSAGE")[..] else { panic!("{sent:?}") };
    assert_eq!(forwarded.to, "198.51.100.6:5060".parse().unwrap());
    assert_eq!(forwarded.uri(), "sip:x@192.0.2.1;maddr=198.51.100.6");
}

/// An extension that knows the way to whatever is registered.
struct KnowsTheWay;

impl Behaviour for KnowsTheWay {
    fn register(&self, _: &Env<'_>, at: &mut Register<'_, '_>) -> Verdict {
        at.route.extend_from_slice(b"<sip:198.51.100.5;lr>,<sip:198.51.100.6;lr>");
        Verdict::Pass
    }
}

static KNOWS_THE_WAY: Extension = Extension {
    id: "knows-the-way",
    wake: &[Wake::Always],
    behaviour: &KnowsTheWay,
    ..Extension::EMPTY
};

#[test]
fn a_way_that_an_extension_knows_is_the_route_to_a_binding() {
    let mut rig = rig(open());
    let roles = Roles::of(&[Role::Proxy, Role::Registrar]);
    rig.element.server_mut().set_registry(Registry::assemble(&[&KNOWS_THE_WAY], roles));
    register(&mut rig, "bob", &["<sip:bob@10.0.0.2>"]);
    let sent = rig.udp(A, &ask("MESSAGE", "sip:bob@192.0.2.1", ""));
    let [forwarded] = requests(&sent, "MESSAGE")[..] else { panic!("{sent:?}") };
    assert_eq!(
        (forwarded.uri(), forwarded.all("Route")),
        ("sip:bob@10.0.0.2", vec!["<sip:198.51.100.5;lr>", "<sip:198.51.100.6;lr>"])
    );
    assert_eq!(forwarded.to, "198.51.100.5:5060".parse().unwrap());
}

#[test]
fn ipv4_to_ipv6_needs_two_record_routes() {
    let mut rig = rig(open());
    register(&mut rig, "bob", &["<sip:bob@[2001:db8::2]>"]);
    let sent = rig.udp(A, &ask("INVITE", "sip:bob@192.0.2.1", ""));
    let [forwarded] = requests(&sent, "INVITE")[..] else { panic!("{sent:?}") };
    let contact = "Contact: <sip:bob@[2001:db8::2]>\n";
    let sent = rig.udp("[2001:db8::2]:5060", &forwarded.answer(200, contact));
    let values: Vec<String> = sent[0].all("Record-Route").iter().map(|v| (*v).to_owned()).collect();
    assert!(values[0].contains("[2001:db8::1]") && values[1].contains("192.0.2.1"), "{values:?}");
    // Both go when the dialog's next request comes by (RFC 5658 section 5).
    let bye = format!(
        "BYE sip:bob@[2001:db8::2] SIP/2.0\nVia: SIP/2.0/UDP 198.51.100.1;branch=z9hG4bKbye\nRoute: {}, {}\nFrom: <sip:alice@example.org>;tag=f198511001\n\
         To: <sip:bob@example.org>;tag=callee-5060\nCall-ID: c198511001\nCSeq: 2 BYE\n",
        values[1], values[0]
    );
    let sent = rig.udp(A, &bye);
    let [forwarded] = requests(&sent, "BYE")[..] else { panic!("{sent:?}") };
    assert_eq!(
        (forwarded.field("Route"), forwarded.to),
        ("", "[2001:db8::2]:5060".parse().unwrap())
    );
}

#[test]
fn a_redirect_server_tells_where() {
    let mut settings = open();
    settings.server.mode = Mode::Redirect;
    let mut rig = rig(settings);
    register(&mut rig, "bob", &["<sip:bob@198.51.100.2>", "<sip:bob@198.51.100.3>;q=0.5"]);
    let sent = rig.udp(A, &ask("INVITE", "sip:bob@192.0.2.1", "Require: unheard-of\n"));
    assert_eq!(statuses(&sent), [302]);
    assert_eq!(
        sent[0].all("Contact"),
        ["<sip:bob@198.51.100.2>", "<sip:bob@198.51.100.3>;q=0.500"]
    );
    // It is sent again until it is acknowledged.
    assert_eq!(statuses(&rig.pass(600)), [302]);
}

#[test]
fn a_stateless_proxy_does_the_same_each_time() {
    let mut settings = open();
    settings.server.mode = Mode::Stateless;
    let mut rig = rig(settings);
    register(&mut rig, "bob", &["<sip:bob@198.51.100.2>"]);
    let text = ask("INVITE", "sip:bob@192.0.2.1", "");
    let first = rig.udp(A, &text);
    let again = rig.udp(A, &text);
    assert_eq!(first[0].text, again[0].text);
    assert_eq!(first.len(), 1);
    let cancel = rig.udp(A, &ask("CANCEL", "sip:bob@192.0.2.1", ""));
    assert_eq!(cancel[0].method(), "CANCEL");
    assert_eq!(cancel[0].all("Via")[0], first[0].all("Via")[0]);
    let sent = rig.udp("198.51.100.2:5060", &first[0].answer(200, ""));
    assert_eq!((statuses(&sent), sent[0].to), (vec![200], A.parse().unwrap()));
    assert!(rig.pass(60_000).is_empty());
}

#[test]
fn a_cancel_that_belongs_to_nothing_is_forwarded_to_a_user_and_its_answer_back() {
    let mut rig = rig(open());
    register(&mut rig, "bob", &["<sip:bob@198.51.100.2>"]);
    let sent = rig.udp(A, &ask("CANCEL", "sip:bob@192.0.2.1", ""));
    let [cancel] = requests(&sent, "CANCEL")[..] else { panic!("{sent:?}") };
    let sent = rig.udp("198.51.100.2:5060", &cancel.answer(481, ""));
    assert_eq!((statuses(&sent), sent[0].to), (vec![481], A.parse().unwrap()));
    let sent = rig.udp(A, &ask("CANCEL", "sip:x@foreign.example", ""));
    assert_eq!(statuses(&sent), [481]);
}

#[test]
fn a_strict_router_downstream_of_a_dialog_brings_our_mark_in_the_request_uri() {
    let mut rig = rig(open());
    register(&mut rig, "bob", &["<sip:bob@198.51.100.2>"]);
    let sent = rig.udp(A, &ask("INVITE", "sip:bob@192.0.2.1", ""));
    let invite = requests(&sent, "INVITE")[0].clone();
    let mark = invite.field("Record-Route").trim_matches(['<', '>']).to_owned();
    let bye = format!(
        "BYE {mark} SIP/2.0\nVia: SIP/2.0/UDP 198.51.100.2;branch=z9hG4bKbye\nRoute: <sip:caller@198.51.100.1>\n\
         From: <sip:bob@example.org>;tag=t\nTo: <sip:alice@example.org>;tag=f198511001\nCall-ID: c198511001\nCSeq: 2 BYE\n"
    );
    let sent = rig.udp("198.51.100.2:5060", &bye);
    let [forwarded] = requests(&sent, "BYE")[..] else { panic!("{sent:?}") };
    assert_eq!((forwarded.uri(), forwarded.field("Route")), ("sip:caller@198.51.100.1", ""));
    // With another Call-ID the same URI is nobody we know, and the Route leads away from us.
    let forged = bye.replace("c198511001", "other").replace("z9hG4bKbye", "z9hG4bKforged");
    assert_eq!(statuses(&rig.udp("198.51.100.2:5060", &forged)), [403]);
}

#[test]
fn a_contact_that_is_a_user_of_ours_is_reached_without_dns_and_a_loop_is_found() {
    let mut settings = open();
    settings.server.domains = vec!["example.com".to_owned()];
    let mut rig = rig(settings);
    let home = "192.0.2.1:5060".parse().unwrap();
    register(&mut rig, "bob", &["<sip:carol@example.com>"]);
    register(&mut rig, "carol", &["<sip:bob@example.com;x=1>"]);
    let mut sent = rig.udp(A, &ask("OPTIONS", "sip:bob@example.com", ""));
    for uri in ["sip:carol@example.com", "sip:bob@example.com;x=1", "sip:carol@example.com"] {
        let [forwarded] = requests(&sent, "OPTIONS")[..] else { panic!("{sent:?}") };
        assert_eq!((forwarded.uri(), forwarded.to), (uri, home));
        let text = forwarded.text.clone();
        sent = rig.udp("192.0.2.1:5060", &text);
    }
    // It is back with the Request-URI that it had before.
    assert_eq!(statuses(&sent), [482]);
}

#[test]
fn record_route_tells_the_way_that_is_taken_in_the_end() {
    let mut rig = rig(open());
    register(&mut rig, "bob", &["<sip:bob@198.51.100.2>"]);
    let large = format!("X-Padding: {}\n", "x".repeat(1400));
    let sent = rig.udp(A, &ask("INVITE", "sip:bob@192.0.2.1", &large));
    // Too large for UDP (section 18.1.1): one value for each side.
    let [forwarded] = requests(&sent, "INVITE")[..] else { panic!("{sent:?}") };
    assert_eq!(forwarded.transport, crate::io::Transport::Tcp);
    let values = forwarded.all("Record-Route");
    assert!(values.len() == 2 && values[0].contains(";transport=tcp"), "{values:?}");
    assert!(forwarded.all("Via")[0].starts_with("SIP/2.0/TCP "));
    // Where nobody listens it goes by UDP after all, and says so.
    let mut rig = super::rig(open());
    register(&mut rig, "bob", &["<sip:bob@198.51.100.2>"]);
    rig.refuse = true;
    let sent = rig.udp(A, &ask("INVITE", "sip:bob@192.0.2.1", &large));
    let [_, forwarded] = requests(&sent, "INVITE")[..] else { panic!("{sent:?}") };
    assert_eq!(forwarded.transport, crate::io::Transport::Udp);
    assert_eq!(forwarded.all("Record-Route").len(), 1);
    assert!(forwarded.all("Via")[0].starts_with("SIP/2.0/UDP "));
}
