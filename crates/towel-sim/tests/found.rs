//! What random runs have found, each made small and kept.

use towel_sim::element::Elements;
use towel_sim::flow::{Flow, Variant};
use towel_sim::network::Sent;
use towel_sim::run::run_flow;
use towel_sim::text::Text;

fn play(text: &str) -> Vec<(Sent, Text)> {
    let flow = Flow::parse(text).unwrap();
    let outcome = run_flow(&flow, &Variant::plain(), &Elements::default());
    assert!(outcome.passed(), "{}", outcome.report("found"));
    let read = |sent: Sent| Text::datagram(&sent.bytes).map(|text| (sent, text));
    outcome.trace.into_iter().filter_map(read).collect()
}

/// RFC 3261 section 17.1.1.3: the ACK for a refusal has the Via of the INVITE that was refused, and
/// the INVITE to the next target is another one (RFC 3263 section 4.3).
#[test]
fn each_target_gets_an_ack_of_its_own() {
    let trace = play(
        "dns
  far.example NAPTR 10 50 \"s\" \"SIP+D2T\" \"\" _sip._tcp.far.example
  _sip._tcp.far.example SRV 1 1 5060 one.far.example
  _sip._tcp.far.example SRV 2 1 5060 two.far.example
  one.far.example A 192.0.2.21
  two.far.example A 192.0.2.22
server p 192.0.2.1
  authenticate = no
  relay = anybody
agent alice 192.0.2.10
agent one 192.0.2.21 tcp
agent two 192.0.2.22 tcp
alice sends INVITE sip:bob@far.example
one expects INVITE
one replies 503
two expects INVITE
two replies 486
alice expects 486
",
    );
    let branches = |method: &str| -> Vec<String> {
        let by_server = trace.iter().filter(|(sent, _)| sent.by_element);
        let these = by_server.filter(|(_, text)| text.is_request() && text.method() == method);
        these.map(|(_, text)| text.branch().to_string()).collect()
    };
    assert_eq!(branches("INVITE").len(), 2);
    assert_eq!(branches("ACK"), branches("INVITE"));
}

/// RFC 3261 section 18.1.1 has UDP in the place of TCP where nobody takes the connection, and not
/// where somebody did and said 503: his phone would ring twice.
#[test]
fn who_was_reached_by_tcp_is_not_asked_again_by_udp() {
    let trace = play(
        "server p 192.0.2.1
  authenticate = no
  relay = anybody
  max_udp_request = 300
agent alice 192.0.2.10
agent bob 192.0.2.20
alice sends INVITE sip:bob@192.0.2.20
bob expects INVITE
  transport = tcp
bob replies 503
alice expects 500
",
    );
    let invites = trace.iter().filter(|(sent, text)| sent.by_element && text.method() == "INVITE");
    assert_eq!(invites.filter(|(_, text)| text.is_request()).count(), 1);
}

/// RFC 3261 section 16.11: to a stateless proxy a retransmission is a request like the first one,
/// and what is good enough once must be so again.
#[test]
fn a_stateless_proxy_takes_credentials_again() {
    let trace = play(
        "server p 192.0.2.1
  domains = example.com
  mode = stateless
  user alice = secret
agent alice 192.0.2.10
  uri = sip:alice@example.com
  password = secret
agent bob 192.0.2.20
alice sends MESSAGE sip:bob@192.0.2.20
bob expects MESSAGE
pass 700ms
bob replies 200
alice expects 200
",
    );
    let challenges = trace.iter().filter(|(_, text)| text.status() == 407).count();
    assert_eq!(challenges, 1);
}

/// A nonce count is good once; so a request that proved itself and was refused is answered from its
/// transaction when it comes again, and not challenged.
#[test]
fn a_refusal_of_who_has_proven_himself_comes_again() {
    let trace = play(
        "server p 192.0.2.1
  domains = example.com
  user alice = secret
  user bob = secret
agent alice 192.0.2.10
  uri = sip:alice@example.com
  password = secret
drop next 480
alice sends MESSAGE sip:bob@example.com
alice expects 480
",
    );
    let of = |status: u16| trace.iter().filter(|(_, text)| text.status() == status).count();
    assert_eq!((of(407), of(480)), (1, 2));
}

/// Nonces go by a clock that nobody sets: after the wall clock was put back a user can still prove
/// who he is.
#[test]
fn a_clock_that_is_put_back_locks_nobody_out() {
    play(
        "server p 192.0.2.1
  domains = example.com
  user alice = secret
agent alice 192.0.2.10
  uri = sip:alice@example.com
  password = secret
alice registers
clock p -1h
pass 1s
alice registers
",
    );
}
