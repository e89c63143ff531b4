use std::net::SocketAddr;

use super::*;
use crate::io::{Flow, Listener, ListenerId, Output, Transport};

fn agent() -> (Agent, Outbox, Now) {
    let account = Account { user: "arthur".into(), password: "tea".into(), realm: None };
    let mut agent = Agent::new(&Settings::default(), [1; 32], Some(account));
    let (mut out, now) = (Outbox::new(), Now { at: Instant(5_000_000), unix: 1 });
    let local = "192.0.2.4:5060".parse().unwrap();
    let listener =
        Listener { id: ListenerId(0), transport: Transport::Udp, local, advertised: None };
    agent.handle(now, Input::Listening(listener), &mut out);
    (agent, out, now)
}

fn left(out: &mut Outbox) -> Vec<(Flow, String)> {
    let sent = out.outputs.iter().filter_map(|output| match output {
        Output::Transmit { flow, bytes } => {
            Some((*flow, String::from_utf8_lossy(out.bytes(bytes)).into_owned()))
        }
        _ => None,
    });
    let sent = sent.collect();
    out.clear();
    sent
}

fn field<'t>(text: &'t str, name: &str) -> &'t str {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).unwrap_or("")
}

fn answer(request: &str, status: &str, more: &str) -> String {
    let copy = |name: &str| format!("{name}: {}\r\n", field(request, name));
    format!(
        "SIP/2.0 {status}\r\n{}{}To: <sip:arthur@example.com>;tag=r\r\n{}{}{more}Content-Length: 0\r\n\r\n",
        copy("Via"),
        copy("From"),
        copy("Call-ID"),
        copy("CSeq"),
    )
}

fn deliver(agent: &mut Agent, now: Now, out: &mut Outbox, remote: SocketAddr, text: &str) {
    agent.handle(
        now,
        Input::Datagram { listener: ListenerId(0), remote, bytes: text.as_bytes() },
        out,
    );
}

#[test]
fn a_registration_answers_its_challenge_once() {
    let (mut agent, mut out, now) = agent();
    let request = Request::register("sip:arthur@example.com", "sip:192.0.2.1", "arthur", 600);
    let id = agent.send(now, &mut out, request).unwrap();
    let (flow, first) = left(&mut out).remove(0);
    assert!(first.starts_with("REGISTER sip:192.0.2.1 SIP/2.0\r\n"));
    assert_eq!(field(&first, "Contact"), "<sip:arthur@192.0.2.4>");
    let challenge = "WWW-Authenticate: Digest realm=\"example.com\", nonce=\"n1\", qop=\"auth\", algorithm=SHA-256\r\n";
    deliver(&mut agent, now, &mut out, flow.remote, &answer(&first, "401 Unauthorized", challenge));
    let (_, second) = left(&mut out).remove(0);
    assert_eq!(field(&second, "CSeq"), "2 REGISTER");
    assert_eq!(field(&second, "Call-ID"), field(&first, "Call-ID"));
    assert_eq!(field(&second, "From"), field(&first, "From"));
    assert!(field(&second, "Authorization").contains("username=\"arthur\""));
    // Refused again with a new nonce that is not called stale: the password is wrong.
    let again = challenge.replace("n1", "n2");
    deliver(&mut agent, now, &mut out, flow.remote, &answer(&second, "401 Unauthorized", &again));
    assert!(left(&mut out).is_empty());
    let (ended, outcome) = agent.next_outcome().unwrap();
    assert_eq!((ended, outcome.status()), (id, 401));
    assert_eq!(agent.waiting(), 0);
}

#[test]
fn a_stale_nonce_is_answered_again() {
    let (mut agent, mut out, now) = agent();
    let message = Request::message("sip:arthur@example.com", "sip:ford@192.0.2.1", "Hi");
    agent.send(now, &mut out, Request { home: true, ..message }).unwrap();
    let mut remote = None;
    for stale in ["", ", stale=TRUE"] {
        let (flow, text) = left(&mut out).remove(0);
        remote = Some(flow.remote);
        let challenge = format!(
            "Proxy-Authenticate: Digest realm=\"example.com\", nonce=\"{}\", qop=\"auth\"{stale}\r\n",
            stale.len()
        );
        deliver(
            &mut agent,
            now,
            &mut out,
            flow.remote,
            &answer(&text, "407 Proxy Authentication Required", &challenge),
        );
    }
    let (_, text) = left(&mut out).remove(0);
    assert_eq!(text.matches("Proxy-Authorization").count(), 1);
    assert!(text.ends_with("\r\n\r\nHi"));
    deliver(&mut agent, now, &mut out, remote.unwrap(), &answer(&text, "200 OK", ""));
    assert_eq!(agent.next_outcome().unwrap().1.status(), 200);
}

#[test]
fn it_answers_messages_and_nothing_else() {
    let (mut agent, mut out, now) = agent();
    let remote = "192.0.2.9:5060".parse().unwrap();
    for (method, status) in [("MESSAGE", "200"), ("OPTIONS", "200"), ("BYE", "405")] {
        let text = format!(
            "{method} sip:arthur@192.0.2.4 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK{method}\r\nMax-Forwards: 70\r\n\
             From: <sip:f@e.example>;tag=1\r\nTo: <sip:a@e.example>\r\nCall-ID: c\r\nCSeq: 1 {method}\r\nContent-Length: 0\r\n\r\n"
        );
        deliver(&mut agent, now, &mut out, remote, &text);
        assert_eq!(left(&mut out).remove(0).1.split(' ').nth(1), Some(status));
    }
    assert!(agent.next_received().is_some_and(|bytes| bytes.starts_with(b"MESSAGE")));
}

/// Keeps what a request asked for with its transaction, and says so in the answer.
mod remembers {
    use crate::contract::{
        Behaviour, Env, Extension, Fields, OptionTag, Registry, Roles, Stage, UasRequest,
        UasResponse, Verdict, Wake,
    };

    struct Remembers;

    impl Behaviour for Remembers {
        fn stages(&self) -> &'static [Stage] {
            &[Stage::UasRequest, Stage::UasResponse]
        }
        fn uas_request(&self, _: &Env<'_>, at: &mut UasRequest<'_>) -> Verdict {
            if at.request.named(b"X-Ask").next().is_some() {
                at.slots.set("remembers", 42_u8);
            }
            Verdict::Pass
        }
        fn uas_response(&self, _: &Env<'_>, at: &mut UasResponse<'_>) -> Verdict {
            let fields: &mut Fields = at.fields;
            if at.slots.get::<u8>("remembers") == Some(&42) {
                fields.push("X-Told", "42");
            }
            Verdict::Pass
        }
    }

    static EXTENSION: Extension = Extension {
        id: "remembers",
        option_tags: &[OptionTag {
            name: "remembers",
            supported_by: Roles::ALL,
            required: true,
            proxy_required: false,
            fallback: "",
        }],
        wake: &[Wake::Always],
        behaviour: &Remembers,
        ..Extension::EMPTY
    };

    pub(super) fn registry() -> Registry {
        Registry::assemble(&[&EXTENSION], Roles::UA)
    }
}

fn ask(
    agent: &mut Agent,
    now: Now,
    out: &mut Outbox,
    uri: &str,
    branch: &str,
    more: &str,
) -> String {
    let text = format!(
        "OPTIONS {uri} SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK{branch}\r\nMax-Forwards: 70\r\n\
         From: <sip:f@e.example>;tag=1\r\nTo: <sip:a@e.example>\r\nCall-ID: {branch}\r\nCSeq: 1 OPTIONS\r\n\
         {more}Content-Length: 0\r\n\r\n"
    );
    deliver(agent, now, out, "192.0.2.9:5060".parse().unwrap(), &text);
    left(out).remove(0).1
}

#[test]
fn the_contact_of_an_answer_names_the_user_that_was_asked() {
    let (mut agent, mut out, now) = agent();
    for (number, (uri, contact)) in [
        ("sip:arthur@192.0.2.4", "<sip:arthur@192.0.2.4>"),
        ("sip:d%65nt:tea@192.0.2.4", "<sip:d%65nt@192.0.2.4>"),
        ("sip:192.0.2.4", "<sip:192.0.2.4>"),
    ]
    .into_iter()
    .enumerate()
    {
        let answer = ask(&mut agent, now, &mut out, uri, &format!("c{number}"), "");
        assert_eq!(field(&answer, "Contact"), contact);
    }
}

#[test]
fn what_an_extension_keeps_belongs_to_one_request() {
    let (agent, mut out, now) = agent();
    let mut agent = agent.with_extensions(remembers::registry());
    let uri = "sip:arthur@192.0.2.4";
    let told = ask(&mut agent, now, &mut out, uri, "a", "X-Ask: 1\r\n");
    assert_eq!(field(&told, "X-Told"), "42");
    let told = ask(&mut agent, now, &mut out, uri, "b", "");
    assert_eq!(field(&told, "X-Told"), "");
}

#[test]
fn a_request_says_what_its_sender_supports() {
    let (agent, mut out, now) = agent();
    let mut agent = agent.with_extensions(remembers::registry());
    let request = Request::register("sip:arthur@example.com", "sip:192.0.2.1", "arthur", 600);
    agent.send(now, &mut out, request).unwrap();
    assert_eq!(field(&left(&mut out).remove(0).1, "Supported"), "remembers");
}

/// A challenge of somebody to whom a request was sent directly is his, whatever realm he names.
#[test]
fn a_stranger_learns_no_digest() {
    let (mut agent, mut out, now) = agent();
    for realm in ["mallory", "example.com", "192.0.2.66"] {
        let message = Request::message("sip:arthur@example.com", "sip:ford@192.0.2.66", "Hi");
        agent.send(now, &mut out, message).unwrap();
        let (flow, text) = left(&mut out).remove(0);
        let challenge =
            format!("Proxy-Authenticate: Digest realm=\"{realm}\", nonce=\"n\", qop=\"auth\"\r\n");
        let refusal = answer(&text, "407 Proxy Authentication Required", &challenge);
        deliver(&mut agent, now, &mut out, flow.remote, &refusal);
        assert!(left(&mut out).is_empty(), "{realm}");
        assert_eq!(agent.next_outcome().unwrap().1.status(), 407);
    }
}
