//! What servers tell each other of overload (RFC 7339, RFC 7415), in whole networks.

use towel_sim::element::Elements;
use towel_sim::flow::{Flow, Variant};
use towel_sim::run::run_flow;

fn play(text: &str) -> String {
    let flow = Flow::parse(text).unwrap();
    let outcome = run_flow(&flow, &Variant::plain(), &Elements::default());
    assert!(outcome.passed(), "{}", outcome.report("feedback"));
    let bytes = outcome.trace.iter().map(|sent| String::from_utf8_lossy(&sent.bytes).into_owned());
    bytes.collect::<Vec<_>>().join("\n")
}

/// A server, and behind it a neighbour that a script plays.
const SCRIPTED: &str = "server p 192.0.2.1
  domains = example.com
  authenticate = no
  relay = anybody
  neighbours = 192.0.2.20/32
agent alice 192.0.2.10
  uri = sip:alice@example.com
agent n 192.0.2.20
alice sends MESSAGE sip:x@192.0.2.20
n expects MESSAGE
  Via[1] ~ {mine};oc;oc-algo=\"loss,rate\"
  Via[2] ~ {hers}
";

/// The neighbour answers, and says so much of overload.
fn told(what: &str) -> String {
    format!(
        "{SCRIPTED}n replies 200\n  -Via\n  Via: {{mine}};{what}\n  Via: {{hers}}\nalice expects 200\n"
    )
}

#[test]
fn whoever_wants_nothing_new_is_sent_none_until_that_expires() {
    for all in [
        "oc=100;oc-algo=\"loss\";oc-validity=5000;oc-seq=1.1",
        "oc=0;oc-algo=\"rate\";oc-validity=5000;oc-seq=1.1",
    ] {
        let said = play(&format!(
            "{}alice sends MESSAGE sip:x@192.0.2.20
alice expects 5xx
n expects nothing
pass 6s
alice sends MESSAGE sip:x@192.0.2.20
n expects MESSAGE
n replies 200
alice expects 200
",
            told(all)
        ));
        // What is between the two is nobody else's.
        let to_alice = said.split("SIP/2.0 200").nth(2).unwrap_or_default();
        assert!(!to_alice.lines().take(8).any(|line| line.contains("oc=")), "{to_alice}");
    }
}

#[test]
fn what_ends_a_dialog_goes_to_one_who_asks_for_less_of_all() {
    // A hundredth: all of it is taken from what begins work.
    play(&format!(
        "{}alice sends BYE sip:x@192.0.2.20
  To: <sip:x@192.0.2.20>;tag=1
n expects BYE
n replies 200
alice expects 200
",
        told("oc=20;oc-algo=\"loss\";oc-validity=5000;oc-seq=1.1")
    ));
}

#[test]
fn nothing_is_held_back_once_a_neighbour_says_that_it_is_over() {
    play(&format!(
        "{}alice sends BYE sip:x@192.0.2.20
  To: <sip:x@192.0.2.20>;tag=1
n expects BYE
  Via[1] ~ {{next}};oc;*
  Via[2] ~ {{after}}
n replies 200
  -Via
  Via: {{next}};oc=0;oc-algo=\"loss\";oc-validity=0;oc-seq=1.2
  Via: {{after}}
alice expects 200
alice sends MESSAGE sip:x@192.0.2.20
n expects MESSAGE
n replies 200
alice expects 200
",
        told("oc=60;oc-algo=\"loss\";oc-validity=60000;oc-seq=1.1")
    ));
}

/// Two servers of ours: the one behind says how much it can take while it has too much to do, with each
/// response, and that all is well before and afterwards. What it lets in is for the one in front to choose.
#[test]
fn a_server_tells_the_one_in_front_of_its_overload() {
    let once = "alice sends MESSAGE sip:bob@back.example
bob expects MESSAGE
bob replies 200
alice expects 200
";
    let said = play(&format!(
        "server front 192.0.2.1
  domains = front.example
  authenticate = no
  relay = anybody
  neighbours = 192.0.2.2/32
server back 192.0.2.2
  domains = back.example
  authenticate = no
  relay = anybody
  neighbours = 192.0.2.1/32
dns
  back.example A 192.0.2.2
  front.example A 192.0.2.1
agent bob 192.0.2.20
  uri = sip:bob@back.example
  via = back
agent alice 192.0.2.10
  uri = sip:alice@front.example
  via = front
bob registers
{once}overload back
pass 3s
{once}relieve back
pass 5s
{once}"
    ));
    let words: Vec<&str> = said
        .lines()
        .filter_map(|line| line.split_once(";oc=")?.1.split_once(";oc-seq=").map(|word| word.0))
        .collect();
    let well = "0;oc-algo=\"loss\";oc-validity=0";
    let [before, meanwhile, afterwards] = words[..] else { panic!("{words:?}") };
    assert_eq!((before, afterwards), (well, well));
    let (share, rest) = meanwhile.split_once(';').unwrap();
    assert!((30..=60).contains(&share.parse::<u8>().unwrap()), "{meanwhile}");
    assert_eq!(rest, "oc-algo=\"loss\";oc-validity=500");
}
