use super::*;

/// A factory for flows without servers.
struct Nobody;

impl Factory for Nobody {
    fn server(&self, spec: &ServerSpec) -> Result<Built, FlowError> {
        Err(FlowError { line: spec.line, what: "there are no servers here".into() })
    }
}

fn run(text: &str, variant: usize) -> Outcome {
    let flow = Flow::parse(text).unwrap();
    run_flow(&flow, &flow.variants[variant], &Nobody)
}

/// Two agents without anybody between them: RFC 3261 section 17 at both ends.
const CALL: &str = "
variants plain, loss20 seeds 1..20, reorder+duplicate10 seeds 1..10
agent alice 192.0.2.1
  via = bob
agent bob 192.0.2.2
  via = alice
alice sends INVITE bob
  sdp
bob expects INVITE
  uri = sip:bob@example.com
  Content-Type: application/sdp
  Via[1].branch = {b}
  From.tag = {t}
bob replies 180
alice expects 180
pass 1s
bob replies 200
alice expects 200
  Via[1].branch = {b}
  To ~ *;tag=*
alice acks
bob expects ACK
  From.tag = {t}
bob sends BYE
alice expects BYE
alice replies 200
bob expects 200
alice sends INVITE bob as second
bob expects INVITE
bob replies 486
alice expects 486 for second
alice sends INVITE bob
bob expects INVITE
bob replies 180
alice expects 180
alice cancels
bob expects CANCEL
alice expects 487
";

#[test]
fn agents_hold_a_call_in_any_network() {
    let flow = Flow::parse(CALL).unwrap();
    for variant in &flow.variants {
        let outcome = run_flow(&flow, variant, &Nobody);
        assert!(outcome.passed(), "{}", outcome.report("call"));
    }
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    assert_eq!(run(CALL, 3).trace, run(CALL, 3).trace);
    assert_ne!(run(CALL, 3).trace, run(CALL, 4).trace);
}

#[test]
fn agents_talk_over_streams() {
    let text =
        CALL.replace("192.0.2.1\n", "192.0.2.1 tcp\n").replace("192.0.2.2\n", "192.0.2.2 tcp\n");
    let flow = Flow::parse(&text).unwrap();
    for variant in &flow.variants {
        let outcome = run_flow(&flow, variant, &Nobody);
        assert!(outcome.passed(), "{}", outcome.report("call"));
    }
}

#[test]
fn a_failed_expectation_says_where_what_and_how_it_came_to_it() {
    let text = "agent a 192.0.2.1\n  via = b\nagent b 192.0.2.2\n\
        a sends OPTIONS b\nb expects OPTIONS\n  Subject: tea\n";
    let report = run(text, 0).report("x.flow");
    assert!(report.starts_with("x.flow:6: [plain] Subject is not there, in\n"), "{report}");
    assert!(report.contains("├────"), "{report}");
    let text = "agent a 192.0.2.1\n  via = b\nagent b 192.0.2.2\na sends OPTIONS b\n\
        b expects OPTIONS\nb replies 404\na expects 200\n";
    let report = run(text, 0).report("x.flow");
    assert!(
        report.contains("x.flow:7: [plain] a got 404 Not Found (OPTIONS) at 0.020 instead"),
        "{report}"
    );
}

#[test]
fn what_is_not_expected_is_a_failure() {
    let text = "agent a 192.0.2.1\n  via = b\nagent b 192.0.2.2\na sends OPTIONS b\n";
    let outcome = run(text, 0);
    assert!(outcome.audit.iter().any(|c| c.contains("b got OPTIONS")), "{:?}", outcome.audit);
}

#[test]
fn a_request_without_answer_times_out_after_64_t1() {
    let text = "agent a 192.0.2.1\n  via = b\nagent b 192.0.2.2\npartition b\n\
        a sends OPTIONS b\na expects timeout\n";
    let outcome = run(text, 0);
    assert!(outcome.passed(), "{}", outcome.report("x"));
    assert!((32_000_000..35_000_000).contains(&outcome.took), "{}", outcome.took);
    assert_eq!(outcome.trace.len(), 11);
}

#[test]
fn whole_messages_are_sent_and_compared() {
    let text = "agent a 192.0.2.1\n  via = b\nagent b 192.0.2.2\na sends message\n\
        \x20 MESSAGE sip:b@example.com SIP/2.0\n\
        \x20 Via: SIP/2.0/UDP {addr};branch={branch}\n  Max-Forwards: 70\n\
        \x20 From: <sip:a@example.com>;tag={tag}\n  To: <sip:b@example.com>\n\
        \x20 Call-ID: {callid}\n  CSeq: 7 MESSAGE\n  Content-Type: text/plain\n\
        \x20 Content-Length: {length}\n\n  Watson, come here.\n\
        b expects MESSAGE\n  whole\n    MESSAGE sip:b@example.com SIP/2.0\n    v: SIP/2.0/UDP *\n\
        \x20   Max-Forwards: 70\n    From: *\n    To: *\n    Call-ID: *\n    CSeq: 7 MESSAGE\n\
        \x20   Content-Type: text/plain\n    Content-Length: 20\n\n    Watson, come here.\n\
        b replies 200\na expects 200\n";
    let outcome = run(text, 0);
    assert!(outcome.passed(), "{}", outcome.report("x"));
}
