//! Transport rules.

use super::*;

#[test]
fn received_and_rport_are_set_and_used() {
    let mut world = World::new();
    world.user.answer = Some(180);
    // No rport: to the source address at the port of sent-by (section 18.2.2).
    world.datagram("198.51.100.4:4444", &request("INVITE", "z9hG4bK1"));
    let (_, flow, text) = world.sent.remove(0);
    assert_eq!(flow.remote, addr("198.51.100.4:5070"));
    assert_eq!(
        field(&text, "Via"),
        "SIP/2.0/UDP 192.0.2.9:5070;branch=z9hG4bK1;received=198.51.100.4"
    );
    // RFC 3581: to the source port.
    world.datagram("198.51.100.4:4444", &request("INVITE", "z9hG4bK2;rport"));
    let (_, flow, text) = world.sent.remove(0);
    assert_eq!(flow.remote, addr("198.51.100.4:4444"));
    assert!(
        field(&text, "Via").contains(";rport=4444")
            && field(&text, "Via").contains(";received=198.51.100.4")
    );
    // The request that the user keeps has them too.
    assert!(
        world
            .stack
            .request(world.user.servers[1])
            .is_some_and(|bytes| String::from_utf8_lossy(bytes).contains("rport=4444"))
    );
    // maddr beats both.
    world.datagram("198.51.100.4:4444", &request("INVITE", "z9hG4bK3;maddr=192.0.2.77"));
    assert_eq!(world.sent.remove(0).1.remote, addr("192.0.2.77:5070"));
    // Port 0 is nobody's.
    let zero = request("INVITE", "z9hG4bK4").replace("192.0.2.9:5070", "192.0.2.9:0");
    world.datagram("198.51.100.4:4444", &zero);
    assert_eq!(world.sent.remove(0).1.remote, addr("198.51.100.4:4444"));
    for id in std::mem::take(&mut world.user.servers) {
        world.call(|stack, now, out| stack.drop_server(now, out, id));
    }
    world.drained();
}

#[test]
fn responses_follow_the_connection_and_outlive_it() {
    let mut world = World::new();
    world.user.keep = true;
    let connection = world.accept(1, 1, "192.0.2.9:40000");
    world.stream(connection, &request("OPTIONS", "z9hG4bK1").replace("UDP", "TCP"));
    world.stream(connection, &request("MESSAGE", "z9hG4bK2").replace("UDP", "TCP"));
    let ids = world.user.servers.clone();
    world
        .call(|stack, now, out| stack.reply(now, out, ids[0], 200, "OK", |writer| writer.end()))
        .unwrap();
    assert_eq!(world.sent.remove(0).1.connection, Some(connection));
    // Gone: a new connection to the port of sent-by.
    world.closed(connection, CloseReason::Peer);
    world
        .call(|stack, now, out| stack.reply(now, out, ids[1], 200, "OK", |writer| writer.end()))
        .unwrap();
    let flow = world.sent.remove(0).1;
    assert_eq!(flow.remote, addr("192.0.2.9:5070"));
    assert!(flow.connection.is_some_and(ConnectionId::is_ours));
    assert!(matches!(world.wanted.as_slice(), [Output::Open { .. }]));
    world.drained();
}

#[test]
fn a_stream_is_cut_pinged_and_broken() {
    let mut world = World::new();
    world.user.answer = Some(200);
    let connection = world.accept(1, 1, "192.0.2.9:40000");
    let two =
        format!("\r\n{}{}\r\n\r\n", request("OPTIONS", "z9hG4bK1"), request("OPTIONS", "z9hG4bK2"));
    for byte in two.as_bytes() {
        world.handle(Input::Stream { connection, bytes: &[*byte] });
    }
    let texts: Vec<_> = world.sent.drain(..).map(|(_, _, text)| text).collect();
    assert_eq!(texts.len(), 3);
    assert_eq!(texts[2], "\r\n", "RFC 5626 section 4.4.1");
    // Section 18.3: without Content-Length nobody knows where it ends.
    world.stream(connection, &request("OPTIONS", "z9hG4bK3").replace("Content-Length: 0\r\n", ""));
    assert!(world.sent.remove(0).2.starts_with("SIP/2.0 400 "));
    assert_eq!(world.wanted, [Output::Close { connection }]);
    world.stream(connection, &request("OPTIONS", "z9hG4bK4"));
    assert!(world.lines().is_empty());
    world.closed(connection, CloseReason::Ours);
    world.drained();
}

#[test]
fn what_is_owed_on_a_broken_stream_is_paid_or_late() {
    let mut world = World::new();
    world.user.keep = true;
    let asked = |branch| request("OPTIONS", branch).replace("UDP", "TCP");
    let one = world.accept(1, 1, "192.0.2.9:40000");
    world.stream(one, &format!("{}{}no SIP\r\n\r\n", asked("z9hG4bK1"), asked("z9hG4bK2")));
    assert_eq!((world.user.servers.len(), world.wanted.len()), (2, 0));
    assert!(world.stack.flow_of(one).is_none(), "no way for anything else");
    // What comes in by it now is nobody's.
    world.stream(one, &asked("z9hG4bK3"));
    let ids = std::mem::take(&mut world.user.servers);
    for (id, closed) in ids.into_iter().zip([false, true]) {
        world
            .call(|stack, now, out| stack.reply(now, out, id, 200, "OK", |writer| writer.end()))
            .unwrap();
        assert_eq!(world.sent.remove(0).1.connection, Some(one));
        assert_eq!(world.wanted.contains(&Output::Close { connection: one }), closed);
    }
    world.wanted.clear();
    // Nobody keeps it open for longer than a message may take.
    let two = world.accept(2, 1, "192.0.2.9:40001");
    world.stream(two, &format!("{}no SIP\r\n\r\n", asked("z9hG4bK4")));
    assert!(world.wanted.is_empty());
    world.pass(Duration::from_secs(33));
    assert_eq!(world.wanted, [Output::Close { connection: two }]);
    world.drained();
}

#[test]
fn what_is_too_large_for_us_gets_513() {
    let mut settings = Settings::default();
    settings.transport.limits.max_message = 1200;
    let mut world = World::with(&settings);
    let connection = world.accept(1, 1, "192.0.2.9:40000");
    world.stream(
        connection,
        &request("MESSAGE", "z9hG4bK1").replace("Content-Length: 0", "Content-Length: 1001"),
    );
    assert!(world.sent.remove(0).2.starts_with("SIP/2.0 513 "));
    assert_eq!(world.wanted, [Output::Close { connection }]);
}

#[test]
fn slow_and_idle_connections_are_closed() {
    let mut world = World::new();
    let slow = world.accept(1, 1, "192.0.2.9:40000");
    let idle = world.accept(2, 1, "192.0.2.9:40001");
    world.stream(slow, "OPTIONS sip:");
    for _ in 0..40 {
        world.pass(ms(1000));
        world.stream(slow, "a");
    }
    assert_eq!(world.wanted, [Output::Close { connection: slow }]);
    // The driver's word that it is gone changes nothing any more.
    world.closed(slow, CloseReason::Ours);
    world.pass(Duration::from_secs(900));
    assert_eq!(world.wanted.pop(), Some(Output::Close { connection: idle }));
    world.drained();
    assert_eq!(world.stack.sizes(), (0, 0, 0));
}

#[test]
fn connections_are_used_again_and_bounded() {
    let mut settings = Settings::default();
    settings.transport.max_connections = 2;
    let mut world = World::with(&settings);
    let tcp = |text: &str| Destination::Target {
        transport: Transport::Tcp,
        addr: addr(text),
        server_name: None,
    };
    world.send_to("OPTIONS", tcp("192.0.2.9:5070"));
    world.send_to("OPTIONS", tcp("192.0.2.9:5070"));
    assert_eq!(world.wanted.len(), 1);
    assert_eq!(world.sent[0].1, world.sent[1].1);
    assert!(world.sent[0].2.contains("Via: SIP/2.0/TCP 192.0.2.1;branch="));
    let accepted = world.accept(1, 1, "192.0.2.10:40000");
    world.send_to("OPTIONS", tcp("192.0.2.10:40000"));
    assert_eq!(world.sent[2].1.connection, Some(accepted));
    // One too many.
    let over = world.accept(2, 1, "192.0.2.11:40000");
    assert_eq!(world.wanted.pop(), Some(Output::Close { connection: over }));
    assert_eq!(world.stack.counters().refused_connections, 1);
    world.told();
    // A connection that cannot be made fails those who wait for it.
    let ours = world.sent[0].1.connection.unwrap();
    world.closed(ours, CloseReason::Refused);
    assert_eq!(world.told(), ["failed 42 Transport", "failed 42 Transport"]);
    world.drained();
}

#[test]
fn a_tls_connection_is_used_again_only_for_the_name_it_was_verified_for() {
    let mut world = World::new();
    let tls = |name| Destination::Target {
        transport: Transport::Tls,
        addr: addr("192.0.2.9:5061"),
        server_name: Some(name),
    };
    world.send_to("OPTIONS", tls("a.example"));
    world.send_to("OPTIONS", tls("A.example"));
    world.send_to("OPTIONS", tls("b.example"));
    let connections: Vec<_> = world.sent.iter().map(|(_, flow, _)| flow.connection).collect();
    assert_eq!(connections[0], connections[1]);
    assert_ne!(connections[0], connections[2]);
    // RFC 5923: an alias counts for a verified name, and for nobody else.
    let flow = |connection, port| Flow {
        transport: Transport::Tls,
        listener: ListenerId(2),
        local: addr("192.0.2.1:5061"),
        remote: SocketAddr::new(addr("192.0.2.20:1").ip(), port),
        connection: Some(connection),
    };
    for (number, names) in [(1, vec![]), (2, vec!["c.example".to_owned()])] {
        let connection = ConnectionId(number);
        world.handle(Input::Opened {
            connection,
            flow: flow(connection, 40000 + number as u16),
            identities: names,
        });
        let text = request("OPTIONS", "z9hG4bK1;alias")
            .replace("UDP 192.0.2.9:5070", "TLS 192.0.2.20:5061");
        world.stream(connection, &text);
        let to = Destination::Target {
            transport: Transport::Tls,
            addr: addr("192.0.2.20:5061"),
            server_name: Some("c.example"),
        };
        world.send_to("OPTIONS", to);
        let used = world.sent.last().unwrap().1.connection.unwrap();
        if number == 1 {
            assert!(used.is_ours(), "nobody vouches for that name");
            world.closed(used, CloseReason::Failed);
        } else {
            assert_eq!(used, connection);
        }
    }
    world.drained();
}

#[test]
fn a_client_that_listens_nowhere_is_reached_by_its_own_end_of_a_tls_connection() {
    let mut world = World::new();
    let connection = world.accept(7, 2, "192.0.2.30:50123");
    for (name, reused) in [("192.0.2.30", true), ("d.example", false)] {
        let to = Destination::Target {
            transport: Transport::Tls,
            addr: addr("192.0.2.30:50123"),
            server_name: Some(name),
        };
        world.send_to("OPTIONS", to);
        let used = world.sent.last().unwrap().1.connection;
        assert_eq!(used == Some(connection), reused, "{name}");
    }
    world.drained();
}

#[test]
fn a_large_request_goes_by_tcp_and_comes_back_to_udp_if_nobody_listens() {
    let mut settings = Settings::default();
    settings.transport.max_udp_request = 200;
    let mut world = World::with(&settings);
    world.send("MESSAGE");
    let (_, flow, text) = world.sent.remove(0);
    assert_eq!(flow.transport, Transport::Tcp);
    assert!(text.contains("Via: SIP/2.0/TCP 192.0.2.1;branch=z9hG4bK"));
    world.closed(flow.connection.unwrap(), CloseReason::Refused);
    let (_, flow, again) = world.sent.remove(0);
    assert_eq!(flow.transport, Transport::Udp);
    assert!(again.contains("Via: SIP/2.0/UDP 192.0.2.1;rport;branch=z9hG4bK"));
    let branch = |text: &str| field(text, "Via").split("branch=").nth(1).unwrap().to_owned();
    assert_ne!(branch(&text), branch(&again));
    world.datagram("192.0.2.9:5070", &answer(&again, 200));
    assert_eq!(world.told(), ["response 200 to 42"]);
    world.drained();
}

#[test]
fn after_a_refused_connection_large_requests_stay_with_udp_for_a_while() {
    let mut settings = Settings::default();
    settings.transport.max_udp_request = 200;
    let mut world = World::with(&settings);
    world.send("MESSAGE");
    let (_, flow, _) = world.sent.remove(0);
    world.closed(flow.connection.unwrap(), CloseReason::Refused);
    world.sent.clear();
    world.send("MESSAGE");
    assert_eq!(world.sent.remove(0).1.transport, Transport::Udp);
    world.drained();
    world.send("MESSAGE");
    assert_eq!(world.sent.pop().unwrap().1.transport, Transport::Tcp);
}

#[test]
fn a_large_request_without_a_transaction_goes_by_tcp_and_by_udp_if_nobody_listens() {
    let mut settings = Settings::default();
    settings.transport.max_udp_request = 200;
    let mut world = World::with(&settings);
    let to = Destination::Target {
        transport: Transport::Udp,
        addr: addr("192.0.2.9:5070"),
        server_name: None,
    };
    let send = |world: &mut World| {
        world
            .call(|stack, now, out| {
                stack.send_stateless(now, out, to, b"x", |via, bytes| write("MESSAGE", via, bytes))
            })
            .unwrap();
        world.sent.remove(0)
    };
    let (_, flow, text) = send(&mut world);
    assert_eq!(flow.transport, Transport::Tcp);
    assert!(field(&text, "Via").starts_with("SIP/2.0/TCP 192.0.2.1;branch="), "{text}");
    world.closed(flow.connection.unwrap(), CloseReason::Refused);
    // Its sender repeats it.
    let (_, flow, again) = send(&mut world);
    assert_eq!(flow.transport, Transport::Udp);
    let branch = |text: &str| field(text, "Via").split("branch=").nth(1).unwrap().to_owned();
    assert_eq!(branch(&text), branch(&again));
    world.drained();
}

/// The notices told since this was last asked: kind and text.
fn notices(world: &mut World) -> Vec<(&'static str, String)> {
    let (events, rest) = std::mem::take(&mut world.wanted)
        .into_iter()
        .partition(|output| matches!(output, Output::Event(_)));
    world.wanted = rest;
    let kind_and_text = |output| match output {
        Output::Event(event) => (event.kind, event.text),
        other => panic!("{other:?}"),
    };
    Vec::into_iter(events).map(kind_and_text).collect()
}

#[test]
fn what_does_not_get_there_is_told() {
    let mut settings = Settings::default();
    settings.telling.level = Level::Warn;
    settings.transport.max_connections = 1;
    let mut world = World::with(&settings);
    world.pass(ms(2000));
    let there = |transport| Destination::Target {
        transport,
        addr: addr("192.0.2.9:5070"),
        server_name: None,
    };
    world.send_to("OPTIONS", there(Transport::Tcp));
    let id = world.sent.pop().unwrap().1.connection.unwrap();
    world.closed(id, CloseReason::Refused);
    let text = "OPTIONS to 192.0.2.9:5070 over TCP: it could not be sent".to_owned();
    assert_eq!(notices(&mut world), [("transport-failed", text)]);
    world.send_to("OPTIONS", there(Transport::Udp));
    world.pass(ms(33_000));
    let text = "OPTIONS to 192.0.2.9:5070 over UDP: there was no answer in time".to_owned();
    assert_eq!(notices(&mut world), [("transport-failed", text)]);
    // One connection is all that there may be; its peer takes nothing.
    let slow = world.accept(1, 1, "192.0.2.7:4000");
    let flow = world.stack.flow_of(slow).unwrap();
    world.stack.proved(&flow);
    world.accept(2, 1, "192.0.2.8:4000");
    assert_eq!(
        notices(&mut world),
        [("connection-refused", "there are 1 connections: none with 192.0.2.8:4000".to_owned())]
    );
    world.closed(slow, CloseReason::Slow);
    let text = "192.0.2.7:4000 does not take what is sent: its connection is closed".to_owned();
    assert_eq!(notices(&mut world), [("slow-peer", text)]);
    // An INVITE whose sender is gone without an ACK.
    world.user.answer = Some(486);
    world.datagram("192.0.2.9:5070", &request("INVITE", "z9hG4bKi"));
    world.pass(ms(33_000));
    let text = "192.0.2.9:5070 over UDP: no ACK came for the final response".to_owned();
    assert_eq!(notices(&mut world), [("unacknowledged", text)]);
    world.drained();
}

#[test]
fn keepalives_and_rubbish() {
    let mut world = World::new();
    for bytes in [&b"\r\n\r\n"[..], b"", b"\0\0\0\0"] {
        world.handle(Input::Datagram { listener: UDP, remote: addr("192.0.2.9:5070"), bytes });
    }
    assert_eq!(world.stack.counters().keepalives, 3);
    for text in ["hello\r\n\r\n", "\x7f", "SIP/2.0", "OPTIONS sip:a SIP/2.0\r\n\r\n"] {
        world.datagram("192.0.2.9:5070", text);
    }
    assert_eq!(world.stack.counters().dropped_garbage + world.stack.counters().dropped_no_via, 4);
    assert!(world.lines().is_empty() && world.told().is_empty() && world.stack.is_drained());
}

#[test]
fn a_response_without_state_finds_its_way_by_via() {
    let mut world = World::new();
    let response = |via: &str| format!("SIP/2.0 200 OK\r\nVia: {via}\r\nCSeq: 1 OPTIONS\r\n\r\n");
    for (via, expected) in [
        ("SIP/2.0/UDP 192.0.2.9", "192.0.2.9:5060"),
        ("SIP/2.0/UDP a.example:5080;received=192.0.2.9", "192.0.2.9:5080"),
        ("SIP/2.0/UDP a.example:5080;received=192.0.2.9;rport=99", "192.0.2.9:99"),
        ("SIP/2.0/UDP a.example:5080;maddr=192.0.2.7;received=192.0.2.9", "192.0.2.7:5080"),
        ("SIP/2.0/TCP 192.0.2.9:5070", "192.0.2.9:5070"),
    ] {
        world.call(|stack, now, out| {
            stack.forward_response(now, out, |to| to.extend_from_slice(response(via).as_bytes()))
        });
        assert_eq!(world.sent.pop().map(|(_, flow, _)| flow.remote), Some(addr(expected)), "{via}");
    }
}

#[test]
fn ipv6_has_its_own_listener() {
    let mut world = World::new();
    let local = addr("[2001:db8::1]:5060");
    world.handle(Input::Listening(Listener {
        id: ListenerId(5),
        transport: Transport::Udp,
        local,
        advertised: None,
    }));
    world.send_to("OPTIONS", Destination::Uri(b"sip:ford@[2001:db8::9]"));
    let (_, flow, text) = world.sent.remove(0);
    assert_eq!((flow.listener, flow.remote), (ListenerId(5), addr("[2001:db8::9]:5060")));
    assert!(text.contains("Via: SIP/2.0/UDP [2001:db8::1];rport;branch="));
    world.handle(Input::Datagram {
        listener: ListenerId(5),
        remote: flow.remote,
        bytes: answer(&text, 200).as_bytes(),
    });
    assert_eq!(world.told(), ["response 200 to 42"]);
    world.drained();
}

/// Connections without end from a few addresses, each with a first word: whoever has proved to be somebody
/// keeps his, and who comes next finds room.
#[test]
fn a_crowd_of_strangers_takes_nobodys_place() {
    let mut settings = Settings::default();
    settings.transport.max_connections = 100;
    let mut world = World::with(&settings);
    let phone = world.accept(0, 1, "203.0.113.5:40000");
    let flow = world.stack.flow_of(phone).unwrap();
    world.stack.proved(&flow);
    for number in 1..2000u64 {
        let id = world.accept(number, 1, &format!("198.51.100.{}:{}", number % 6, 1024 + number));
        world.stream(id, "\r\n\r\n");
        assert!(world.stack.flow_of(id).is_some(), "the newest is let in");
        world.pass(ms(10));
    }
    assert!(world.stack.sizes().2 <= 90);
    assert!(world.stack.flow_of(phone).is_some());
    let counters = world.stack.counters();
    assert_eq!(counters.refused_connections, 0);
    assert_eq!(counters.closed_crowded, 1999 - 89);
    // The idlest goes first: one that speaks outlives those that came with it.
    let talker = world.accept(5000, 1, "192.0.2.77:40000");
    for number in 0..500u64 {
        let id = world.accept(6000 + number, 1, &format!("198.51.100.9:{}", 1024 + number));
        world.stream(id, "\r\n\r\n");
        world.pass(ms(10));
        world.stream(
            talker,
            &request("OPTIONS", &format!("z9hG4bKt{number}")).replace("UDP", "TCP"),
        );
    }
    assert!(world.stack.flow_of(talker).is_some());
}
