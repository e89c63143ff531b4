//! Calls that are transferred, blindly and attended, by us and by baresip.

use crate::baresip::{Phone, Setup};
use crate::eventually;
use crate::towel::*;
use crate::towel_phone::Terminal;

fn uri(user: &str) -> String {
    format!("sip:{user}@{DOMAIN}")
}

#[test]
fn baresip_is_transferred_blindly() {
    let server = Towel::start(&["alice", "bob", "carol"], "");
    let Some(mut bob) = Phone::start(&server, &Setup::new("bob", "udp", 1000.0)) else { return };
    let mut carol = Terminal::answer(&server, "carol", &["--calls", "1", "--play", "tone:440"]);
    let step = format!("after 1s transfer {}", uri("carol"));
    let mut alice = Terminal::call(&server, "alice", "bob", &["--do", &step]);
    let (code, over) = alice.end();
    assert_eq!(code, 0, "{over}");
    assert_eq!(alice.events("transferred").len(), 1);
    carol.wait_for("up");
    eventually("baresip to have heard carol for 2 seconds", || bob.heard(440.0) >= 2.0);
    bob.command("hangup", "");
    assert_eq!(carol.end().0, 0);
}

#[test]
fn baresip_transfers_us() {
    let server = Towel::start(&["alice", "bob", "carol"], "");
    let mut bob = Terminal::answer(&server, "bob", &[]);
    let mut carol = Terminal::answer(&server, "carol", &["--calls", "1"]);
    let Some(mut alice) = Phone::start(&server, &Setup::new("alice", "udp", 440.0)) else { return };
    alice.dial("bob");
    bob.wait_for("up");
    alice.command("transfer", &uri("carol"));
    let referred = bob.wait_for("referred");
    assert_eq!((&referred["call"], &referred["by"]), (&1.into(), &2.into()), "{referred}");
    carol.wait_for("up");
    eventually("both calls of bob's to be up", || bob.events("up").len() == 2);
    bob.interrupt();
    assert_eq!((bob.end().0, carol.end().0), (0, 0));
}

#[test]
fn three_of_ours_are_put_through_attended() {
    let server = Towel::start(&["alice", "bob", "carol"], "");
    let mut bob = Terminal::answer(&server, "bob", &["--play", "tone:1000"]);
    let mut carol = Terminal::answer(&server, "carol", &["--play", "tone:440"]);
    let step = format!("after 1s attended {}", uri("carol"));
    let mut alice = Terminal::call(&server, "alice", "bob", &["--do", &step]);
    bob.wait_for("referred");
    // Bob's new call takes the place of alice's with carol.
    let replacing = carol.wait_for("replacing");
    assert_eq!((&replacing["call"], &replacing["other"]), (&2.into(), &1.into()), "{replacing}");
    let (code, over) = alice.end();
    assert_eq!(code, 0, "{over}");
    assert_eq!((alice.events("transferred").len(), alice.events("over").len()), (1, 2));
    assert_eq!(carol.wait_for("over")["why"], "replaced");
    assert_eq!((bob.events("up").len(), carol.events("up").len()), (2, 2));
    bob.interrupt();
    carol.interrupt();
    assert_eq!((bob.end().0, carol.end().0), (0, 0));
}
