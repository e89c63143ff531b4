//! `towel call` and `towel answer` with SIPp, which does what no phone does: it loses ACKs, answers as
//! two people at once, answers what was cancelled, counts wrongly and offers in the wrong place.

use serde_json::Value;

use crate::program;
use crate::script::{Script, sdp};
use crate::towel::*;
use crate::towel_phone::Terminal;

/// A server that lets anybody register and call: SIPp's scripts answer no challenges.
fn open_server() -> Towel {
    Towel::start(&["alice", "bob"], "[auth]\nregister = false\ncalls = false\n")
}

/// How many messages begin with `start`, each heading of SIPp's log being a line of its own before.
fn count(messages: &str, start: &str) -> usize {
    messages.lines().filter(|line| line.starts_with(start)).count()
}

/// `towel call` to a script: how it ended, what it told, and what SIPp saw.
fn call(script: &Script, arguments: &[&str]) -> (i32, Value, String) {
    let callee = script.start("127.0.0.1:9");
    let whom = format!("sip:sipp@127.0.0.1:{}", callee.port);
    let mut phone = Terminal::alone(&[&["call", &whom][..], arguments].concat());
    let (code, over) = phone.end();
    (code, over, callee.finish())
}

#[test]
fn a_lost_ack_is_sent_again_for_each_copy_of_the_200() {
    if program("sipp").is_none() {
        return;
    }
    let audio = sdp(6000, "sendrecv");
    let script = Script::new()
        .that_counts_copies()
        .takes("INVITE", "i", &[])
        .answers_with("i", "200 OK", "a", "", &audio)
        .takes("ACK", "a1", &[])
        // As if it had never come.
        .answers_with("i", "200 OK", "a", "", &audio)
        .takes("ACK", "a2", &[])
        .waits_for(500)
        .answers_with("i", "200 OK", "a", "", &audio)
        .takes("ACK", "a3", &[])
        .asks("BYE", "i", "a", 1, "", "")
        .gets(200, "");
    let (code, over, messages) = call(&script, &[]);
    assert_eq!((code, &over["why"]), (0, &"bye".into()), "{over}");
    let acks: Vec<_> = messages.split("ACK sip:").skip(1).collect();
    let branch =
        |ack: &str| ack.split("branch=").nth(1).and_then(|b| b.lines().next().map(str::to_owned));
    assert_eq!(acks.len(), 3, "{messages}");
    assert!(acks.iter().all(|ack| branch(ack) == branch(acks[0])), "{messages}");
}

#[test]
fn of_two_200s_from_two_forks_one_is_kept_and_the_other_ended() {
    if program("sipp").is_none() {
        return;
    }
    let script = Script::new()
        .takes("INVITE", "i", &[])
        .answers("i", "180 Ringing", "a", "")
        .answers("i", "180 Ringing", "b", "")
        .answers_with("i", "200 OK", "b", "", &sdp(6000, "sendrecv"))
        .takes("ACK", "first", &[("To", "tag=b")])
        .answers_with("i", "200 OK", "a", "", &sdp(6002, "sendrecv"))
        .takes("ACK", "second", &[("To", "tag=a")])
        .takes("BYE", "bye", &[("To", "tag=a")])
        .answers("bye", "200 OK", "", "")
        .waits_for(300)
        .asks("BYE", "i", "b", 1, "", "")
        .gets(200, "");
    let (code, over, _) = call(&script, &[]);
    assert_eq!((code, &over["why"]), (0, &"bye".into()), "{over}");
}

#[test]
fn a_200_that_crosses_the_cancel_is_acknowledged_and_ended() {
    if program("sipp").is_none() {
        return;
    }
    let script = Script::new()
        .takes("INVITE", "i", &[])
        .answers("i", "180 Ringing", "a", "")
        .takes("CANCEL", "c", &[])
        .answers("c", "200 OK", "a", "")
        .answers_with("i", "200 OK", "a", "", &sdp(6000, "sendrecv"))
        .takes("ACK", "ack", &[])
        .takes("BYE", "bye", &[])
        .answers("bye", "200 OK", "", "");
    let (code, over, _) = call(&script, &["--timeout", "1"]);
    assert_eq!((code, &over["why"]), (4, &"no-answer".into()), "{over}");
}

#[test]
fn a_request_with_a_used_number_gets_500_and_the_call_goes_on() {
    if program("sipp").is_none() {
        return;
    }
    let script = Script::new()
        .takes("INVITE", "i", &[])
        .answers_with("i", "200 OK", "a", "", &sdp(6000, "sendrecv"))
        .takes("ACK", "ack", &[])
        .asks("OPTIONS", "i", "a", 10, "", "")
        .gets(200, "")
        .asks("OPTIONS", "i", "a", 9, "", "")
        .gets(500, "")
        // A gap is no fault (RFC 3261 section 12.2.2).
        .asks("BYE", "i", "a", 20, "", "")
        .gets(200, "");
    let (code, over, _) = call(&script, &[]);
    assert_eq!((code, &over["why"]), (0, &"bye".into()), "{over}");
}

#[test]
fn a_200_without_an_answer_is_acknowledged_and_ended() {
    if program("sipp").is_none() {
        return;
    }
    let script = Script::new()
        .takes("INVITE", "i", &[])
        .answers("i", "200 OK", "a", "")
        .takes("ACK", "ack", &[])
        .takes("BYE", "bye", &[])
        .answers("bye", "200 OK", "", "");
    let (code, over, _) = call(&script, &[]);
    assert_eq!((code, &over["why"]), (3, &"unfit".into()), "{over}");
}

#[test]
fn a_reinvite_may_leave_the_offer_to_the_phone() {
    if program("sipp").is_none() {
        return;
    }
    let script = Script::new()
        .takes("INVITE", "i", &[])
        .answers_with("i", "200 OK", "a", "", &sdp(6000, "sendrecv"))
        .takes("ACK", "ack", &[])
        .asks("INVITE", "i", "a", 1, "", "")
        .may_get(&[100])
        .gets(200, "r")
        .asks("ACK", "i", "a", 1, "", &sdp(6000, "sendrecv"))
        .waits_for(300)
        .asks("BYE", "i", "a", 2, "", "")
        .gets(200, "");
    let (code, over, messages) = call(&script, &[]);
    assert_eq!((code, &over["why"]), (0, &"bye".into()), "{over}");
    assert!(count(&messages, "m=audio") >= 4, "{messages}");
}

#[test]
fn an_offer_that_cannot_be_met_or_read_leaves_the_call_as_it_was() {
    if program("sipp").is_none() {
        return;
    }
    let video = "v=0\no=sipp 1 2 IN IP4 127.0.0.1\ns=-\nc=IN IP4 127.0.0.1\nt=0 0\n\
                 m=audio 6000 RTP/AVP 18\na=rtpmap:18 G729/8000";
    let script = Script::new()
        .takes("INVITE", "i", &[])
        .answers_with("i", "200 OK", "a", "", &sdp(6000, "sendrecv"))
        .takes("ACK", "ack", &[])
        .asks("INVITE", "i", "a", 1, "", video)
        .may_get(&[100])
        .gets(488, "")
        .asks("NACK", "i", "a", 1, "", "")
        .asks("INVITE", "i", "a", 2, "", "v=0\nthis is none")
        .may_get(&[100])
        .gets(400, "")
        .asks("NACK", "i", "a", 2, "", "")
        .waits_for(300)
        .asks("OPTIONS", "i", "a", 3, "", "")
        .gets(200, "")
        .asks("BYE", "i", "a", 4, "", "")
        .gets(200, "");
    let (code, over, messages) = call(&script, &[]);
    assert_eq!((code, &over["why"]), (0, &"bye".into()), "{over}");
    assert_eq!(count(&messages, "Warning:"), 2, "{messages}");
}

#[test]
fn a_reliable_183_is_acknowledged_by_prack() {
    if program("sipp").is_none() {
        return;
    }
    let script = Script::new()
        .takes("INVITE", "i", &[("Supported", "100rel")])
        .answers_with(
            "i",
            "183 Session Progress",
            "a",
            "Require: 100rel\nRSeq: 7",
            &sdp(6000, "sendrecv"),
        )
        .takes("PRACK", "p", &[("RAck", "7 [0-9]+ INVITE")])
        .answers("p", "200 OK", "", "")
        // A copy gets no second PRACK, one out of order none either (RFC 3262 section 4).
        .answers("i", "180 Ringing", "a", "Require: 100rel\nRSeq: 9")
        .answers("i", "180 Ringing", "a", "Require: 100rel\nRSeq: 8")
        .takes("PRACK", "q", &[("RAck", "8 [0-9]+ INVITE")])
        .answers("q", "200 OK", "", "")
        .answers("i", "200 OK", "a", "")
        .takes("ACK", "ack", &[])
        .asks("BYE", "i", "a", 1, "", "")
        .gets(200, "");
    let (code, over, messages) = call(&script, &[]);
    assert_eq!((code, &over["why"]), (0, &"bye".into()), "{over}");
    assert_eq!(count(&messages, "PRACK sip:"), 2, "{messages}");
}

#[test]
fn whoever_never_acknowledges_is_hung_up_on() {
    if program("sipp").is_none() {
        return;
    }
    let server = open_server();
    let mut bob = Terminal::answer(&server, "bob", &["--calls", "1"]);
    let script = Script::new()
        .calls("INVITE", "sip:bob@towel.test", "", 1, "", &sdp(6000, "sendrecv"))
        .may_get(&[100, 180])
        .gets(200, "ok")
        .waits_for(31_000)
        .may_get(&[200])
        .takes("BYE", "bye", &[])
        .answers("bye", "200 OK", "", "");
    let caller = script.start(&server.address());
    let messages = caller.finish();
    let (_, over) = bob.end();
    assert_eq!(over["why"], "no-ack", "{over}\n{messages}");
}

#[test]
fn a_cancel_that_comes_after_the_200_changes_nothing() {
    if program("sipp").is_none() {
        return;
    }
    let server = open_server();
    let mut bob = Terminal::answer(&server, "bob", &["--calls", "1"]);
    let script = Script::new()
        .calls("INVITE", "sip:bob@towel.test", "", 1, "", &sdp(6000, "sendrecv"))
        .may_get(&[100, 180])
        .gets(200, "ok")
        .calls("CANCEL", "sip:bob@towel.test", "", 1, "", "")
        .may_get(&[481])
        .gets(200, "")
        .calls("ACK", "", "ok", 1, "[routes]", "")
        .waits_for(1_000)
        .calls("BYE", "", "ok", 2, "[routes]", "")
        .gets(200, "");
    script.start(&server.address()).finish();
    let (_, over) = bob.end();
    assert_eq!(over["why"], "bye", "{over}");
    assert!(over["seconds"].as_f64().unwrap() >= 1.0, "{over}");
}

#[test]
fn two_that_change_the_session_at_once_both_wait_and_the_caller_tries_again() {
    if program("sipp").is_none() {
        return;
    }
    let audio = sdp(6000, "sendrecv");
    let script = Script::new()
        .takes("INVITE", "i", &[])
        .answers_with("i", "200 OK", "a", "", &audio)
        .takes("ACK", "ack", &[])
        .takes("INVITE", "hold", &[])
        .asks("INVITE", "i", "a", 1, "", &audio)
        .may_get(&[100])
        .gets(491, "")
        .asks("NACK", "i", "a", 1, "", "")
        .answers("hold", "491 Request Pending", "", "")
        .takes("ACK", "refused", &[])
        // Whose Call-ID it is waits for 2.1 to 4 seconds (RFC 3261 section 14.1).
        .takes("INVITE", "again", &[])
        .answers_with("again", "200 OK", "", "", &sdp(6000, "recvonly"))
        .takes("ACK", "ack2", &[])
        .asks("BYE", "i", "a", 2, "", "")
        .gets(200, "");
    let (code, over, messages) = call(&script, &["--do", "after 500ms hold"]);
    assert_eq!((code, &over["why"]), (0, &"bye".into()), "{over}");
    assert!(messages.matches("a=sendonly").count() == 2, "{messages}");
}

/// A registrar that wants another time: `towel answer` at it.
fn registers(script: &Script) -> (Terminal, crate::script::Running) {
    let registrar = script.start("127.0.0.1:9");
    let server = format!("127.0.0.1:{}", registrar.port);
    let phone = Terminal::alone(&["answer", "--from", "bob@towel.test", "--server", &server]);
    (phone, registrar)
}

#[test]
fn a_registration_that_is_too_short_is_asked_for_anew_and_one_call_id_has_them_all() {
    if program("sipp").is_none() {
        return;
    }
    let script = Script::new()
        .takes("REGISTER", "r", &[])
        .answers("r", "423 Interval Too Brief", "a", "Min-Expires: 7200")
        .takes("REGISTER", "s", &[("Expires", "7200")])
        .answers("s", "200 OK", "a", "Expires: 7200")
        // SIPp takes a request with another Call-ID for another call, and this one would never end.
        .takes("REGISTER", "t", &[("Expires", "^ *0$")])
        .answers("t", "200 OK", "a", "");
    let (phone, registrar) = registers(&script);
    phone.wait_for("registered");
    phone.interrupt();
    registrar.finish();
}

#[test]
fn a_registrar_that_is_never_content_is_asked_no_more() {
    if program("sipp").is_none() {
        return;
    }
    let script = Script::new()
        .takes("REGISTER", "r", &[])
        .answers("r", "423 Interval Too Brief", "a", "Min-Expires: 7200")
        .takes("REGISTER", "s", &[("Expires", "7200")])
        .answers("s", "423 Interval Too Brief", "a", "Min-Expires: 7200")
        .waits_for(1_000);
    let (phone, registrar) = registers(&script);
    assert_eq!(phone.wait_for("not-registered")["status"], 423);
    registrar.finish();
}

#[test]
fn audio_before_the_answer_is_heard() {
    if program("sipp").is_none() {
        return;
    }
    let script = Script::new()
        .takes("INVITE", "i", &[])
        .answers_with("i", "183 Session Progress", "a", "", &sdp(6000, "sendrecv"))
        .waits_for(500)
        .answers_with("i", "200 OK", "a", "", &sdp(6000, "sendrecv"))
        .takes("ACK", "ack", &[])
        .asks("BYE", "i", "a", 1, "", "")
        .gets(200, "");
    let callee = script.start("127.0.0.1:9");
    let whom = format!("sip:sipp@127.0.0.1:{}", callee.port);
    let mut phone = Terminal::alone(&["call", &whom]);
    phone.wait_for("audio");
    assert!(phone.events("up").is_empty(), "it is not answered yet");
    let (code, over) = phone.end();
    assert_eq!((code, &over["why"]), (0, &"bye".into()), "{over}");
    callee.finish();
}
