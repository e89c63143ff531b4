//! Listeners that go, or take another name, while something is under way.

use super::*;

fn names(stack: &Stack) -> Vec<String> {
    stack.former_listeners().map(|listener| listener.local.to_string()).collect()
}

#[test]
fn a_listener_that_is_gone_is_ours_while_somebody_is_connected_there() {
    let mut world = World::new();
    let tcp = ListenerId(1);
    let (one, two) =
        (world.accept(1, 1, "198.51.100.4:4444"), world.accept(2, 1, "198.51.100.5:1"));
    world.handle(Input::ListenerGone(tcp));
    assert!(world.stack.take_former_changed());
    assert_eq!(names(&world.stack), ["192.0.2.1:5060"]);
    assert_eq!(world.stack.listeners().count(), 2);
    // What goes out by the connection tells the name that its peer knows.
    let flow = world.stack.flow_of(one).unwrap();
    world.send_to("INFO", Destination::Flow(flow));
    let (_, _, text) = world.sent.pop().unwrap();
    assert!(field(&text, "Via").starts_with("SIP/2.0/TCP 192.0.2.1;"), "{text}");
    world.stream(one, &answer(&text, 200));
    assert_eq!(world.told(), ["response 200 to 42"]);
    // Nothing new goes by it.
    let to = Destination::Target {
        transport: Transport::Tcp,
        addr: addr("192.0.2.9:5070"),
        server_name: None,
    };
    world.send_to("INFO", to);
    let asked = world
        .wanted
        .iter()
        .any(|output| matches!(output, Output::Open { listener, .. } if *listener != Some(tcp)));
    assert!(asked, "{:?}", world.wanted);
    world.closed(one, CloseReason::Peer);
    assert!(!world.stack.take_former_changed());
    world.closed(two, CloseReason::Peer);
    assert!(world.stack.take_former_changed() && names(&world.stack).is_empty());
    // One that was being agreed on when the listener went.
    world.wanted.clear();
    let late = world.accept(3, 1, "198.51.100.6:1");
    assert!(matches!(world.wanted[..], [Output::Close { connection }] if connection == late));
    world.drained();
}

#[test]
fn a_listener_that_takes_another_name_is_known_by_its_former_ones() {
    let mut world = World::new();
    world.send("OPTIONS");
    let (_, _, text) = world.sent.pop().unwrap();
    let named = |n: usize| Listener {
        id: UDP,
        transport: Transport::Udp,
        local: addr("192.0.2.1:5060"),
        advertised: Some((format!("n{n}.example.com"), 5060)),
    };
    world.handle(Input::Listening(named(0)));
    assert_eq!(world.stack.listeners().count(), 3);
    world.datagram("192.0.2.9:5070", &answer(&text, 200));
    assert_eq!(world.told(), ["response 200 to 42"]);
    world.send("OPTIONS");
    let (_, _, text) = world.sent.pop().unwrap();
    assert!(field(&text, "Via").starts_with("SIP/2.0/UDP n0.example.com;"), "{text}");
    for n in 1..100 {
        world.handle(Input::Listening(named(n)));
    }
    assert_eq!(world.stack.former_listeners().count(), 16, "the last ones");
    world.drained();
}
