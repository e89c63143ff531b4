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
