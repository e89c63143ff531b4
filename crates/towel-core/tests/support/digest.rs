//! Digest credentials and challenges as somebody without the password, or with too much fantasy,
//! writes them. Shared by path with `/fuzz`.

#![allow(dead_code, unreachable_pub, reason = "each user takes what it needs")]

use towel_core::auth::client::Session;
use towel_core::auth::field::{DigestParams, realm_of};
use towel_core::auth::{Authenticator, Credentials, Kind, Outcome, Settings, User};
use towel_core::hash::Key;
use towel_core::io::{Instant, Now};
use towel_message::{Index, Limits, Message};

const REALM: &str = "example.com";
const URI: &str = "sip:example.com";
const PIECES: [&str; 16] = [
    "\"",
    "\\",
    ",",
    ", ",
    "=",
    "username=\"bob\"",
    "realm=",
    "nc=00000001",
    "qop=auth-int",
    "cnonce=\"\"",
    "algorithm=MD5-sess",
    "username*=UTF-8''bob",
    "userhash=true",
    " ",
    "%00",
    "Digest ",
];

fn verify(
    authenticator: &mut Authenticator,
    users: &Credentials,
    now: Now,
    value: &[u8],
) -> Outcome {
    let mut text = format!(
        "REGISTER {URI} SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK1\r\n\
         From: <sip:bob@example.com>;tag=1\r\nTo: <sip:bob@example.com>\r\nCall-ID: 1\r\n\
         CSeq: 1 REGISTER\r\nAuthorization: "
    )
    .into_bytes();
    text.extend(value.iter().map(|byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { *byte }));
    text.extend_from_slice(b"\r\nContent-Length: 0\r\n\r\n");
    let mut index = Index::new();
    let message = Message::parse(&text, &mut index, &Limits::default()).expect("a message");
    authenticator
        .verify(&message, Kind::Server, REALM, users, now, &mut |uri: &[u8]| uri == URI.as_bytes())
}

fn mutated(value: &[u8], bytes: &[u8]) -> Vec<u8> {
    let mut value = value.to_vec();
    for change in bytes.chunks(3).take(16) {
        let [at, what, with] = [0, 1, 2].map(|n| change.get(n).copied().unwrap_or_default());
        let at = usize::from(at) * (value.len() + 1) / 256;
        match what % 4 {
            0 => {
                let end = (at + usize::from(with) % 16).min(value.len());
                value.drain(at..end);
            }
            1 => {
                let piece = PIECES[usize::from(with) % PIECES.len()];
                value.splice(at..at, piece.bytes());
            }
            2 => value.insert(at, with),
            _ => {
                if let Some(place) = value.get_mut(at) {
                    *place = with;
                }
            }
        }
    }
    value
}

/// Reads bytes as a challenge and as credentials, and changes what is right by them.
pub fn digest(bytes: &[u8]) {
    let _ = (DigestParams::parse(bytes), realm_of(bytes));
    let now = Now { at: Instant(1_000_000), unix: 1_800_000_000 };
    let mut users = Credentials::new(Key(1, 2));
    users.insert(User::new("bob", REALM, "zanzibar"));
    let mut authenticator = Authenticator::new(Settings::default(), [7; 32]);
    assert!(!matches!(verify(&mut authenticator, &users, now, bytes), Outcome::Accepted(_)));
    // Somebody's challenge, whatever it is: what we answer can be read.
    if let Some(mut session) = Session::new(bytes, "arthur \"dent\" \\", "towel") {
        let answer = session.answer(b"INVITE", b"sip:a@b", b"body", "c\"n");
        let read = DigestParams::parse(&answer);
        let same = read.as_ref().is_ok_and(|read| read.get("realm") == Some(session.realm()));
        assert!(same, "{}", String::from_utf8_lossy(&answer));
    }
    let (first, changes) = bytes.split_first().map_or((0, bytes), |(first, rest)| (*first, rest));
    let mut challenges = Vec::new();
    authenticator.challenge(REALM, b"", 7, false, now, |value| challenges.push(value.to_vec()));
    let challenge = &challenges[usize::from(first) % challenges.len()];
    for (password, knows) in [("guess", false), ("zanzibar", true)] {
        let mut session = Session::new(challenge, "bob", password).expect("a challenge of ours");
        let answer = session.answer(b"REGISTER", URI.as_bytes(), b"", "abc");
        let value = mutated(&answer, changes);
        match verify(&mut authenticator, &users, now, &value) {
            Outcome::Accepted(accepted) => {
                assert!(knows, "let in without the password: {}", String::from_utf8_lossy(&value));
                assert_eq!(&*accepted.user, "bob");
                // Once is all that it is good for.
                let again = verify(&mut authenticator, &users, now, &value);
                assert!(!matches!(again, Outcome::Accepted(_)), "twice: {again:?}");
            }
            _ if knows && value == answer => panic!("kept out with the password"),
            _ => {}
        }
    }
}
