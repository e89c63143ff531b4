//! How long the usual message takes, on this machine, now: `cargo run --release --example timing [ROUNDS]`.

use std::hint::black_box;
use std::time::Instant;
use towel_message::{Draft, Edits, Index, Limits, Message, Name, build, check};

const INVITE: &[u8] = b"INVITE sip:ford@example.com SIP/2.0\r\n\
    Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK2;rport=5060\r\n\
    Max-Forwards: 69\r\n\
    From: \"Arthur Dent\" <sip:arthur@example.com>;tag=tea\r\n\
    To: <sip:ford@example.com>\r\n\
    Contact: <sip:arthur@192.0.2.1:5060;transport=udp>\r\n\
    Call-ID: 42@towel\r\nCSeq: 42 INVITE\r\n\
    Allow: INVITE, ACK, BYE, CANCEL, OPTIONS\r\nSupported: replaces, 100rel\r\n\
    User-Agent: Towel/1\r\nContent-Type: application/sdp\r\nContent-Length: 3\r\n\r\nv=0";

fn main() {
    let rounds: u32 = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(1_000_000);
    let limits = Limits::default();
    let mut index = Index::new();
    let mut out = Vec::new();
    let time = |what: &str, act: &mut dyn FnMut()| {
        let start = Instant::now();
        for _ in 0..rounds {
            act();
        }
        println!("{what}: {} ns", start.elapsed().as_nanos() / u128::from(rounds));
    };
    time("index", &mut || index.parse(black_box(INVITE), &limits).unwrap());
    let message = Message::with_index(INVITE, &index);
    time("check", &mut || check(black_box(&message)).unwrap());
    time("views", &mut || {
        let via = black_box(&message).top_via().unwrap();
        black_box((via.branch(), message.from_tag(), message.cseq().unwrap(), message.call_id()));
    });
    let mut edits = Edits::default();
    time("draft", &mut || {
        let mut draft = Draft::with(message, std::mem::take(&mut edits));
        draft.set_request_uri(b"sip:ford@192.0.2.99:5062");
        draft.push_top(Name::Via, b"SIP/2.0/UDP us.example.com;branch=z9hG4bKus");
        draft.push_top(Name::RecordRoute, b"<sip:us.example.com;lr>");
        draft.set(Name::MaxForwards, b"68");
        out.clear();
        draft.write(&mut out);
        edits = draft.into_edits();
    });
    time("response", &mut || {
        out.clear();
        let options = build::ResponseOptions { to_tag: Some(b"t"), ..Default::default() };
        build::ResponseWriter::start(&mut out, &message, 200, "OK", options).end();
    });
}
