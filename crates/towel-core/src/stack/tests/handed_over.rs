//! What is of a transaction stays, and all else is passed on as it came.

use super::*;

/// What was passed on since the last look.
fn passed_on(world: &mut World, input: Input<'_>) -> Vec<String> {
    let now = world.now;
    let mut out = Outbox::new();
    world.stack.handle(now, input, &mut out, &mut world.user);
    let of = |output: &Output| match output {
        Output::PassOn { bytes, .. } => Some(bytes.clone()),
        _ => None,
    };
    let ranges: Vec<_> = out.outputs.iter().filter_map(of).collect();
    ranges.iter().map(|r| String::from_utf8_lossy(out.bytes(r)).into_owned()).collect()
}

#[test]
fn what_is_of_ours_stays_and_all_else_is_passed_on_as_it_came() {
    let mut world = World::new();
    world.user.keep = true;
    let invite = request("INVITE", "z9hG4bKold");
    world.datagram("192.0.2.9:5070", &invite);
    world.send("INVITE");
    let asked = world.sent.pop().unwrap().2;
    world.told();
    world.stack.hand_over();
    assert!(world.stack.is_handed_over());
    let remote = addr("192.0.2.9:5070");
    let (new, bye) = (request("MESSAGE", "z9hG4bKnew;rport"), request("BYE", "z9hG4bKbye"));
    // Like ours, and made with another key.
    let foreign = answer(&asked, 180).replacen("z9hG4bK", "z9hG4bKx", 1);
    let unknown = request("CANCEL", "z9hG4bKother");
    let ack = request("ACK", "z9hG4bKof-a-2xx");
    for text in [&new, &bye, &foreign, &unknown, &ack] {
        let bytes = text.as_bytes();
        let passed = passed_on(&mut world, Input::Datagram { listener: UDP, remote, bytes });
        assert_eq!(passed, [text.as_str()]);
        assert_eq!(world.told(), [""; 0], "{text}");
    }
    let cancel = request("CANCEL", "z9hG4bKold");
    for (text, told) in [
        (&invite, &[][..]),
        (&answer(&asked, 180), &["response 180 to 7"][..]),
        (&cancel, &["cancelled known=true invite=true"][..]),
        (&cancel, &[][..]),
        (&request("ACK", "z9hG4bKold"), &[][..]),
    ] {
        let bytes = text.as_bytes();
        let passed = passed_on(&mut world, Input::Datagram { listener: UDP, remote, bytes });
        assert!(passed.is_empty(), "{passed:?}");
        let heard = world.told();
        assert_eq!(heard.len(), told.len(), "{heard:?}");
        assert!(heard.iter().zip(told).all(|(a, b)| a[..8] == b[..8]), "{heard:?}");
    }
    // By a stream each message by itself, whatever pieces it comes in.
    let connection = world.accept(1, 1, "192.0.2.9:40000");
    let (one, two) = (request("OPTIONS", "z9hG4bKone"), request("OPTIONS", "z9hG4bKtwo"));
    let both = format!("{one}{two}");
    let mut passed = Vec::new();
    for bytes in both.as_bytes().chunks(50) {
        passed.extend(passed_on(&mut world, Input::Stream { connection, bytes }));
    }
    assert_eq!(passed, [one, two]);
}
