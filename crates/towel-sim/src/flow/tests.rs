use super::*;

const CALL: &str = r#"# A call.
# RFC 3665 section 3.1
title     A call through one proxy
rfc       3261 16.6, 3665 3.1
variants  plain, loss20 seeds 1..3, loss10+reorder seed 7

server towel 192.0.2.1 2001:db8::1
  domains = example.com
agent alice 192.0.2.10
  password = x y
agent bob 192.0.2.20:5070 tcp
dns
  p.example.com A 192.0.2.7 after 2s ttl 5

alice sends INVITE sip:bob@example.com as call
  Subject: one
  -Contact
  body text/plain
    hello

      there
bob expects INVITE as call within 5s
  Via[1].branch ~ z9hG4bK*
  uri = sip:bob@192.0.2.20
  Subject: one
  Route absent
  whole
    INVITE sip:* SIP/2.0
    Via: *
bob replies 200 "Very OK" to call
drop next 2 times from bob to towel
clock towel +1h
"#;

#[test]
fn reads_a_flow() {
    let flow = Flow::parse(CALL).unwrap();
    assert_eq!(flow.about, "A call.\nRFC 3665 section 3.1");
    assert_eq!(flow.rfc, ["3261 16.6", "3665 3.1"]);
    let names: Vec<_> = flow.variants.iter().map(|v| v.name.as_str()).collect();
    assert_eq!(
        names,
        ["plain", "loss20 seed 1", "loss20 seed 2", "loss20 seed 3", "loss10+reorder seed 7"]
    );
    assert_eq!(flow.cast.len(), 3);
    assert_eq!((flow.dns[0].after, flow.dns[0].ttl), (2_000_000, 5));
    let Action::Send { template, name, .. } = &flow.steps[0].action else { panic!() };
    assert_eq!(name.as_deref(), Some("call"));
    assert_eq!(template.body.as_ref().unwrap().1, "hello\r\n\r\n  there\r\n");
    assert_eq!(template.fields[1], FieldLine::Remove("Contact".into()));
    let Action::Expect { checks, within, .. } = &flow.steps[1].action else { panic!() };
    assert_eq!((checks.len(), *within), (5, 5_000_000));
    assert_eq!(
        checks[0].subject,
        Subject::Field { name: "Via".into(), index: Some(1), param: Some("branch".into()) }
    );
    assert!(matches!(&flow.steps[2].action,
        Action::Reply { status: 200, reason: Some(reason), .. } if reason == "Very OK"));
    assert!(matches!(
        &flow.steps[3].action,
        Action::Network(Fault::Drop { times: 2, what: None, .. })
    ));
    assert!(matches!(&flow.steps[4].action, Action::Clock(_, 3_600)));
}

#[test]
fn says_where_it_is_wrong() {
    let error = |text: &str| Flow::parse(text).unwrap_err().to_string();
    assert_eq!(error("\nagent a nowhere"), "line 2: not an address: nowhere");
    assert_eq!(error("agent a 192.0.2.1\na sings"), "line 2: nobody can do that: sings");
    assert!(error("pass soon").contains("not a time"));
    assert!(error("bob expects INVITE").contains("bob"));
    assert!(error("  x = y").contains("belongs to nothing"));
}
