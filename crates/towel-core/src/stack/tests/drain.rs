//! Whatever is lost, repeated or reordered: in the end every table is empty.

use proptest::prelude::*;

use super::*;

/// One who answers everything after a while, in several ways.
#[derive(Default)]
struct Peer {
    due: Vec<(u64, SocketAddr, String)>,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn everything_ends(seed in any::<u64>(), steps in prop::collection::vec((0u8..8, 0u64..3000), 1..60)) {
        let mut rng = crate::rng::Rng::from_number(seed);
        let mut world = World::new();
        world.user.keep = true;
        let mut peer = Peer::default();
        let mut clients = Vec::new();
        for (number, (step, wait)) in steps.into_iter().enumerate() {
            let method = if rng.below(2) == 0 { "INVITE" } else { "MESSAGE" };
            match step {
                0 | 1 => clients.push(world.send(method)),
                2 => {
                    if let Some(&id) = clients.get(rng.below(clients.len() as u64) as usize) {
                        let _ = world.call(|stack, now, out| stack.cancel(now, out, id, None));
                    }
                }
                3 | 4 => world.datagram("192.0.2.9:5070", &request(method, &format!("z9hG4bK{}", rng.below(1 + number as u64)))),
                5 => world.datagram("192.0.2.9:5070", &request("CANCEL", &format!("z9hG4bK{}", rng.below(1 + number as u64)))),
                6 => world.datagram("192.0.2.9:5070", &request("ACK", &format!("z9hG4bK{}", rng.below(1 + number as u64)))),
                _ => {
                    if let Some(&id) = world.user.servers.get(rng.below(world.user.servers.len() as u64) as usize) {
                        let status = [100, 180, 200, 302, 408, 486, 603][rng.below(7) as usize];
                        let _ = world.call(|stack, now, out| stack.reply(now, out, id, status, "Answer", |writer| writer.end()));
                    }
                }
            }
            // A third of what leaves is lost; the rest is answered, some of it twice and late.
            for (_, flow, text) in std::mem::take(&mut world.sent) {
                if text.starts_with("SIP/2.0") || text.starts_with("ACK") || rng.below(3) == 0 {
                    continue;
                }
                for _ in 0..=rng.below(2) {
                    let status = [100, 180, 200, 487, 503][rng.below(5) as usize];
                    peer.due.push((world.now.at.0 + rng.below(4_000_000), flow.remote, answer(&text, status)));
                }
            }
            world.pass(ms(wait));
            let now = world.now.at.0;
            let (ready, later) = std::mem::take(&mut peer.due).into_iter().partition(|(at, _, _)| *at <= now);
            peer.due = later;
            for (_, from, text) in ready {
                world.datagram(&from.to_string(), &text);
            }
        }
        // Calls that still ring are what Timer C of a proxy ends.
        for id in clients {
            world.call(|stack, _, _| stack.withdraw(id));
        }
        for id in std::mem::take(&mut world.user.servers) {
            world.call(|stack, now, out| stack.drop_server(now, out, id));
        }
        world.pass(Duration::from_secs(200));
        prop_assert!(world.stack.is_drained(), "{:?}", world.stack);
        prop_assert_eq!(world.stack.sizes(), (0, 0, 0));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]
    #[test]
    fn nothing_that_comes_in_does_harm(
        method in prop::sample::select(vec!["INVITE", "ACK", "CANCEL", "OPTIONS", "REGISTER"]),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..12),
        cut in any::<prop::sample::Index>(),
        as_answer in any::<bool>(),
    ) {
        let mut world = World::new();
        world.user.answer = Some(486);
        world.send("INVITE");
        let sent = world.sent.remove(0).2;
        let text = if as_answer { answer(&sent, 180) } else { request(method, "z9hG4bK1;rport") };
        let mut bytes = text.into_bytes();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.truncate(1 + cut.index(2 * bytes.len()));
        let remote = addr("192.0.2.9:5070");
        for _ in 0..2 {
            world.handle(Input::Datagram { listener: UDP, remote, bytes: &bytes });
        }
        let connection = world.accept(1, 1, "192.0.2.9:40000");
        for chunk in bytes.chunks(7) {
            world.handle(Input::Stream { connection, bytes: chunk });
        }
        world.closed(connection, CloseReason::Reset);
        world.pass(Duration::from_secs(40));
        for id in std::mem::take(&mut world.user.servers) {
            world.call(|stack, now, out| stack.drop_server(now, out, id));
        }
        world.stack.clients.ids().collect::<Vec<_>>().into_iter().for_each(|id| world.stack.withdraw(id));
        world.pass(Duration::from_secs(100));
        prop_assert!(world.stack.is_drained(), "{:?}", world.stack);
    }
}
