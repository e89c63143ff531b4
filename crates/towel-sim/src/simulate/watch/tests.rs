//! What the watcher lets pass and what it does not, where the same bytes are right or wrong by what
//! went before.

use super::*;
use crate::ladder::Fate;
use crate::simulate::Cut;
use towel_core::io::Transport;

const NODE: NodeId = NodeId(0);

struct Looked {
    watch: Watch,
    at: u64,
    life: u32,
}

impl Looked {
    fn new() -> Self {
        // The rules of a server that has transactions and nobody attacks.
        let mut scenario = Scenario::new(1, Cut::default());
        scenario.attacked = false;
        scenario.servers.iter_mut().for_each(|s| (s.stateless, s.tight) = (false, false));
        Self { watch: Watch::new(&scenario), at: 0, life: 1 }
    }

    fn comes(&mut self, text: &str) {
        let handled = Handled {
            at: self.at,
            node: NODE,
            life: self.life,
            came: Came::Datagram,
            bytes: text.as_bytes().to_vec(),
            sent: 0..0,
            outputs: 0,
            late: false,
        };
        for text in self.watch.handed(&handled) {
            self.watch.arrived(NODE, self.at, &text);
        }
    }

    fn leaves(&mut self, text: &str) {
        let sent = Sent {
            at: self.at,
            from: NODE,
            to: None,
            remote: "192.0.2.1:5060".parse().unwrap(),
            transport: Transport::Udp,
            bytes: text.as_bytes().to_vec(),
            fate: Fate::Arrived,
            by_element: true,
            copies: 1,
        };
        self.watch.sent(&sent);
    }

    fn complaints(&self) -> Vec<&str> {
        self.watch.complaints.iter().map(String::as_str).collect()
    }
}

fn message(start: &str, vias: &[&str], cseq: &str) -> String {
    let vias: String = vias
        .iter()
        .map(|host| format!("Via: SIP/2.0/UDP {host};branch=z9hG4bK{host}\r\n"))
        .collect();
    format!("{start}\r\n{vias}Call-ID: a\r\nCSeq: {cseq}\r\nContent-Length: 0\r\n\r\n")
}

#[test]
fn the_answer_to_a_cancel_that_was_passed_on_outlives_the_proxy() {
    for (passed_on, right) in [(true, true), (false, false)] {
        let mut looked = Looked::new();
        looked.comes(&message("CANCEL sip:b SIP/2.0", &["alice"], "1 CANCEL"));
        if passed_on {
            looked.leaves(&message("CANCEL sip:b SIP/2.0", &["proxy", "alice"], "1 CANCEL"));
        } else {
            looked.leaves(&message("SIP/2.0 200 OK", &["alice"], "1 CANCEL"));
        }
        assert!(looked.complaints().is_empty());
        looked.life += 1;
        looked.comes(&message("SIP/2.0 481 No", &["proxy", "alice"], "1 CANCEL"));
        looked.leaves(&message("SIP/2.0 481 No", &["alice"], "1 CANCEL"));
        assert_eq!(looked.complaints().is_empty(), right, "{:?}", looked.complaints());
    }
}

#[test]
fn what_had_a_transaction_is_not_answered_after_a_death() {
    let mut looked = Looked::new();
    looked.comes(&message("MESSAGE sip:b SIP/2.0", &["alice"], "1 MESSAGE"));
    looked.leaves(&message("MESSAGE sip:b SIP/2.0", &["proxy", "alice"], "1 MESSAGE"));
    looked.life += 1;
    looked.comes(&message("SIP/2.0 200 OK", &["proxy", "alice"], "1 MESSAGE"));
    looked.leaves(&message("SIP/2.0 200 OK", &["alice"], "1 MESSAGE"));
    assert_eq!(looked.complaints(), ["no request came that it could answer"]);
}

/// A REGISTER without a transaction is answered anew when it comes again, but the answer may only
/// turn into a 500, and only when a later one has come.
#[test]
fn a_register_that_was_overtaken_is_out_of_order_for_good() {
    let one = message("REGISTER sip:b SIP/2.0", &["alice"], "1 REGISTER");
    let two = message("REGISTER sip:b SIP/2.0", &["alice2"], "2 REGISTER");
    let answer = |status: &str| message(&format!("SIP/2.0 {status} x"), &["alice"], "1 REGISTER");
    for (overtaken, first, second, right) in [
        (true, "200", "500", true),
        (false, "200", "500", false),
        (true, "500", "200", false),
        (true, "500", "500", true),
    ] {
        let mut looked = Looked::new();
        looked.comes(&one);
        looked.leaves(&answer(first));
        if overtaken {
            looked.comes(&two);
        }
        looked.comes(&one);
        looked.leaves(&answer(second));
        assert_eq!(looked.complaints().is_empty(), right, "{:?}", looked.complaints());
    }
}

/// What was refused without a transaction is refused anew when it comes again, and by then the server
/// may be shutting down; but no other second answer is right.
#[test]
fn who_shuts_down_says_so_to_a_copy_of_what_it_had_refused() {
    let one = message("INVITE sip:b SIP/2.0", &["alice"], "1 INVITE");
    let answer = |status: &str| message(&format!("SIP/2.0 {status}"), &["alice"], "1 INVITE");
    for (first, second, right) in [
        ("407 Proxy Authentication Required", "503 Shutting Down", true),
        ("407 Proxy Authentication Required", "503 Service Unavailable", false),
        ("486 Busy Here", "503 Shutting Down", false),
    ] {
        let mut looked = Looked::new();
        looked.comes(&one);
        looked.leaves(&answer(first));
        looked.comes(&one);
        looked.leaves(&answer(second));
        assert_eq!(looked.complaints().is_empty(), right, "{:?}", looked.complaints());
    }
}
