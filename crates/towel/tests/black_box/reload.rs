//! Listeners that change while calls are under way.

use crate::{
    call::Call,
    eventually,
    peer::{Peer, Stream, answer, unique},
    ports,
    towel::{DOMAIN, Towel},
};
use std::net::TcpStream;

const OPEN: &str =
    "[auth]\nregister = false\ncalls = false\n[register]\nknown-users-only = false\n";

/// The same address under another name: nothing is bound anew, what is new goes by the new name, and
/// who was told the former ones is still understood.
#[test]
fn a_listener_takes_over_another_name_under_a_call() {
    let server = Towel::start(&[], OPEN);
    let plain = format!("address = \"127.0.0.1\"\nport = {}\n", server.port);
    let named = |name: &str| format!("{plain}advertise = \"{name}\"\n");
    let nameless = Call::set_up(&server);
    assert!(nameless.route.contains(&format!("@127.0.0.1:{}", server.port)), "{}", nameless.route);
    server.reload_changed(|config| config.replace(&plain, &named("first.test")));
    let first = Call::set_up(&server);
    assert!(first.route.contains("@first.test:"), "{}", first.route);
    server.reload_changed(|config| config.replace(&named("first.test"), &named("second.test")));
    let second = Call::set_up(&server);
    assert!(second.route.contains("@second.test:"), "{}", second.route);
    for call in [nameless, first, second] {
        call.end();
    }
}

/// A TCP listener that is taken out of the configuration: nobody new can come by it, and whoever is
/// connected goes on as before, by the names that were told, until the connection ends.
#[test]
fn a_removed_listener_lives_on_in_its_connections() {
    let port = ports::free(1);
    let listen =
        format!("[[listen]]\ntransport = \"tcp\"\naddress = \"127.0.0.1\"\nport = {port}\n");
    let server = Towel::start(&[], &format!("{OPEN}{listen}"));
    let (mut caller, callee) = (Stream::to(&format!("127.0.0.1:{port}")), Peer::new(&server));
    let user = unique("u");
    callee.bind(&user);
    let contact = format!("Contact: <sip:x@{};transport=tcp>\r\n", caller.at());
    let aor = format!("sip:{user}@{DOMAIN}");
    caller.send(caller.request("INVITE", &aor, &contact, ""));
    let invite = callee.next();
    let recorded = invite.all("Record-Route").join(", ");
    assert!(recorded.contains(&format!("127.0.0.1:{port}")), "{}", invite.text);
    let own = format!("Contact: <sip:x@{}>\r\n", callee.at());
    callee.send(&answer(&invite, "200 OK", "t", &own));
    let ok = caller.final_response();
    assert_eq!(ok.status(), 200, "{}", ok.text);
    let mut routes: Vec<String> =
        ok.all("Record-Route").join(", ").split(", ").map(str::to_owned).collect();
    routes.reverse();
    let within = |method: &str, cseq: u32| {
        format!(
            "{method} sip:x@{} SIP/2.0\r\nVia: SIP/2.0/TCP {};branch=z9hG4bK{}\r\n\
             Max-Forwards: 70\r\nRoute: {}\r\nFrom: {}\r\nTo: {}\r\nCall-ID: {}\r\n\
             CSeq: {cseq} {method}\r\nContent-Length: 0\r\n\r\n",
            callee.at(),
            caller.at(),
            unique("b"),
            routes.join(", "),
            ok.field("From"),
            ok.field("To"),
            ok.field("Call-ID"),
        )
    };
    let (ack, info) = (within("ACK", 1), within("INFO", 2));
    let bye = within("BYE", 3);
    caller.send(ack);
    assert_eq!(callee.next_but(&[&invite]).method(), "ACK");

    server.reload_changed(|config| config.replacen(&listen, "", 1));
    eventually("the listener to be gone", || TcpStream::connect(("127.0.0.1", port)).is_err());

    caller.send(info);
    let info = callee.next();
    assert_eq!((info.method(), info.has("Route")), ("INFO", false), "{}", info.text);
    callee.send(&answer(&info, "200 OK", "", ""));
    assert_eq!(caller.final_response().status(), 200);
    // And from the other end, by the same way back.
    let back = format!(
        "Route: {recorded}\r\nFrom: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: 7 INFO\r\n",
        ok.field("To"),
        ok.field("From"),
        ok.field("Call-ID"),
    );
    let uri = format!("sip:x@{};transport=tcp", caller.at());
    callee.send(&callee.request("INFO", &uri, &back));
    let asked = caller.next().expect("the request by the connection that there is");
    assert_eq!(asked.method(), "INFO", "{}", asked.text);
    caller.send(answer(&asked, "200 OK", "", ""));
    assert_eq!(callee.final_response().status(), 200);
    // The name is still ours, and new calls can be made by the connection.
    let place = format!("sip:127.0.0.1:{port}");
    caller.send(caller.request("OPTIONS", &place, "", ""));
    assert_eq!(caller.final_response().status(), 200);
    caller.send(caller.request("INVITE", &aor, &contact, ""));
    let another = callee.next();
    assert_eq!(another.method(), "INVITE", "{}", another.text);
    callee.send(&answer(&another, "486 Busy Here", "t2", ""));
    assert_eq!(caller.final_response().status(), 486);
    caller.send(bye);
    let ended = callee.next_but(&[&another]);
    let ended = if ended.method() == "ACK" { callee.next() } else { ended };
    assert_eq!(ended.method(), "BYE", "{}", ended.text);
    callee.send(&answer(&ended, "200 OK", "", ""));
    assert_eq!(caller.final_response().status(), 200);
    drop(caller);
    eventually("the name to be nobody's", || {
        callee.ask(&callee.request("OPTIONS", &place, "")).status() != 200
    });
}
