//! Properties of all descriptions, of all plans, and of all bytes.

mod support;

use proptest::prelude::*;
use support::{address, party};
use towel_sdp::offer_answer::{
    Codec, FmtpRule, Formats, Hold, Mark, Negotiation, Order, Plan, Stream, judge,
};
use towel_sdp::{Description, Direction, Limits, Setup};

/// Lines that are right, and lines that are nearly right.
fn line() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "v=0\r\n",
        "v=1\r\n",
        "o=- 42 1 IN IP4 192.0.2.7\r\n",
        "o=- 99999999999999999999999 x IN IP4 192.0.2.7\r\n",
        "s=-\r\n",
        "s=\r\n",
        "i=Tea \u{fc}ber alles\r\n",
        "c=IN IP4 192.0.2.7\r\n",
        "c=IN IP4 0.0.0.0\r\n",
        "c=IN IP4 224.2.1.1/127\r\n",
        "c=IN IP6 ::\n",
        "c=IN\r\n",
        "b=AS:64\r\n",
        "b=AS\r\n",
        "t=0 0\r\n",
        "t=0\r\n",
        "t=3034423619 3042462419\r\nr=604800 3600 0 90000\r\n",
        "m=audio 49170 RTP/AVP 0 8 101\r\n",
        "m=audio 49172 RTP/AVP 101\r\n",
        "m=audio 49174/2 RTP/AVP 96 97 13\r\n",
        "m=audio 0 RTP/AVP 0\r\n",
        "m=audio 49170  RTP/SAVP 0 \r\n",
        "m=audio 65536 RTP/AVP 0\r\n",
        "m=audio 49170 RTP/AVP\r\n",
        "m=audio 49170 RTP/AVP 300 x\r\n",
        "m=video 51372 RTP/AVP 97 31\r\n",
        "m=image 49180 udptl t38\r\n",
        "m=message 7394 TCP/MSRP *\r\n",
        "a=rtpmap:0 PCMU/8000\r\n",
        "a=rtpmap:101 telephone-event/8000\r\n",
        "a=rtpmap:96 pcma/8000/1\r\n",
        "a=rtpmap:97 H264/90000\r\n",
        "a=rtpmap:97 opus/48000/\r\n",
        "a=rtpmap: 96 PCMU\r\n",
        "a=fmtp:101 0-15\r\n",
        "a=fmtp:97 profile-level-id=42e016;x;=y\r\n",
        "a=fmtp:\r\n",
        "a=ptime:20\r\n",
        "a=ptime:0.5\r\n",
        "a=ptime:0\r\n",
        "a=sendonly\r\n",
        "a=recvonly\r\n",
        "a=inactive\n",
        "a=rtcp:53020 IN IP4 126.16.64.4\r\n",
        "a=rtcp-mux\r\n",
        "a=setup:actpass\r\n",
        "a=setup:holdconn\r\n",
        "a=group:LS 1 2\r\n",
        "a=mid:1\r\n",
        "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:MTIz|2^20\r\n",
        "a=fingerprint:SHA-1 4A:AD:b9:B1\r\n",
        "a=curr:qos e2e none\r\n",
        "a=des:qos mandatory e2e sendrecv\r\n",
        "a=candidate:1 1 UDP 2130706431 192.0.2.7 8998 typ host\r\n",
        "a=\r\n",
        "a=: \r\n",
        "q=what\r\n",
        "nonsense\r\n",
        "\r\n",
        "a=no end",
    ])
}

fn description_like() -> impl Strategy<Value = Vec<u8>> {
    let head = prop::sample::select(vec![
        "v=0\r\no=- 42 1 IN IP4 192.0.2.7\r\ns=-\r\nc=IN IP4 192.0.2.7\r\nt=0 0\r\n",
        "v=0\no=- 42 1 IN IP4 192.0.2.7\ns=-\nt=0 0\n",
        "",
    ]);
    let changes = prop::collection::vec(any::<(u16, u8)>(), 0..2);
    (head, prop::collection::vec(line(), 0..20), changes).prop_map(|(head, lines, changes)| {
        let mut bytes = head.as_bytes().to_vec();
        bytes.extend(lines.concat().as_bytes());
        for (at, byte) in changes {
            if let Some(len) = std::num::NonZeroUsize::new(bytes.len()) {
                bytes[usize::from(at) % len] = byte;
            }
        }
        bytes
    })
}

fn codec() -> impl Strategy<Value = Codec> {
    let codecs = vec![
        Codec::pcmu(),
        Codec::pcma(),
        Codec::g722(),
        Codec::opus(96),
        Codec::opus(98).with_fmtp("useinbandfec=1", FmtpRule::Own),
        Codec::new("iLBC", 8000, 96),
        Codec::new("H264", 90000, 97).with_fmtp("packetization-mode=1", FmtpRule::Same),
        Codec::new("H264", 90000, 97).with_fmtp("packetization-mode=0", FmtpRule::Same),
        Codec::telephone_event(8000, 101),
        Codec::telephone_event(48000, 96),
        Codec::new("CN", 8000, 13),
    ];
    prop::sample::select(codecs)
}

fn stream() -> impl Strategy<Value = Stream> {
    let kind = prop::sample::select(vec!["audio", "audio", "video", "image"]);
    let direction = prop::sample::select(Direction::ALL.to_vec());
    let hold = prop::sample::select(vec![Hold::Off, Hold::Off, Hold::Playing, Hold::Silent]);
    let setup = prop::option::of(prop::sample::select(Setup::ALL.to_vec()));
    let port = prop_oneof![4 => 1024u16..60000, 1 => Just(0u16)];
    let codecs = prop::collection::vec(codec(), 1..6);
    (kind, direction, hold, setup, port, codecs, any::<bool>()).prop_map(
        |(kind, direction, hold, setup, port, codecs, rtcp_mux)| {
            let (proto, formats) = match kind {
                "image" => ("udptl", Formats::Named(vec![String::from("t38")])),
                _ => ("RTP/AVP", Formats::Rtp(codecs)),
            };
            // One end that only ever says a role has it said by both.
            let setup = setup.filter(|_| kind == "image");
            let ptime = u32::from(rtcp_mux) * 20;
            let new = Stream::new(kind, proto, port, formats);
            Stream { direction, hold, setup, rtcp_mux, ptime, ..new }
        },
    )
}

fn plan(n: u8) -> impl Strategy<Value = Plan> {
    let order = prop::sample::select(vec![Order::Offerer, Order::Own]);
    (prop::collection::vec(stream(), 0..4), order).prop_map(move |(streams, order)| Plan {
        address: address(n),
        streams,
        order,
    })
}

/// One exchange, held against every rule; both ends see the same.
fn exchange(from: &mut Negotiation, plan: &Plan, to: &mut Negotiation, other: &Plan) {
    let before = to.agreed().cloned();
    let offer = from.offer(plan).unwrap();
    let text = String::from_utf8_lossy(&offer);
    assert_eq!(to.receive_offer(&offer).unwrap(), [], "{text}");
    let accepted = to.acceptable(other).unwrap();
    let answer = to.answer(other).unwrap();
    let both = format!("{text}\n{}", String::from_utf8_lossy(&answer));
    assert_eq!(from.receive_answer(&answer).unwrap(), [], "{both}");
    if let Some(before) = before {
        let read =
            |bytes: &[u8]| Description::parse(bytes, &Limits::default()).unwrap().media_count();
        assert!(read(&answer) >= read(&before.local));
    }
    let (ours, theirs) = (from.streams(), to.streams());
    assert_eq!((ours.len(), theirs.len()), (accepted, accepted), "{both}");
    for (a, b) in ours.iter().zip(&theirs) {
        assert_eq!(a.direction, b.direction.reversed(), "{both}");
        assert_eq!(a.formats.len(), b.formats.len(), "{both}");
        let (mut sent, mut received): (Vec<_>, Vec<_>) = (
            a.formats.iter().map(|f| &f.send).collect(),
            b.formats.iter().map(|f| &f.receive).collect(),
        );
        sent.sort();
        received.sort();
        assert_eq!(sent, received, "{both}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        support::all(&bytes);
    }

    #[test]
    fn lines_in_any_order(bytes in description_like()) {
        support::all(&bytes);
    }

    #[test]
    fn an_answer_to_any_offer_is_fit_for_the_offerer(
        ours in plan(1),
        theirs in plan(2),
        later in prop::collection::vec((plan(1), plan(2), any::<bool>(), 0u8..4), 0..4),
    ) {
        let (mut a, mut b) = (party(1), party(2));
        exchange(&mut a, &ours, &mut b, &theirs);
        for (ours, theirs, first, what) in later {
            let (from, plan, to, other) = match first {
                true => (&mut a, &ours, &mut b, &theirs),
                false => (&mut b, &theirs, &mut a, &ours),
            };
            match what {
                // Refused: what held holds.
                0 => {
                    let held = (from.agreed().cloned(), to.agreed().cloned());
                    to.receive_offer(&from.offer(plan).unwrap()).unwrap();
                    to.refuse().unwrap();
                    from.refused().unwrap();
                    assert_eq!(held, (from.agreed().cloned(), to.agreed().cloned()));
                }
                // A re-INVITE that fails after its exchange.
                1 => {
                    let marks: (Mark, Mark) = (from.mark(), to.mark());
                    let held = (from.agreed().cloned(), to.agreed().cloned());
                    exchange(from, plan, to, other);
                    from.roll_back(marks.0).unwrap();
                    to.roll_back(marks.1).unwrap();
                    assert_eq!(held, (from.agreed().cloned(), to.agreed().cloned()));
                }
                _ => exchange(from, plan, to, other),
            }
        }
    }

    #[test]
    fn the_same_plan_is_the_same_description(ours in plan(1), theirs in plan(2)) {
        let (mut a, mut b) = (party(1), party(2));
        exchange(&mut a, &ours, &mut b, &theirs);
        // A refresh by the offerer changes nothing and so has no new version.
        let first = a.agreed().unwrap().clone();
        exchange(&mut a, &ours, &mut b, &theirs);
        let second = a.agreed().unwrap();
        let read = |bytes| Description::parse(bytes, &Limits::default()).unwrap();
        assert_eq!(judge::next(&read(&first.local), &read(&second.local)), []);
        assert_eq!(first.remote, second.remote);
    }
}

#[test]
fn the_corpus_of_the_fuzzer_holds() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/sdp");
    let mut read = 0;
    for entry in std::fs::read_dir(folder).expect("the corpus") {
        let bytes = std::fs::read(entry.expect("an entry").path()).expect("a file");
        support::all(&bytes);
        read += usize::from(Description::parse(&bytes, &Limits::default()).is_ok());
    }
    assert!(read > 5, "{read}");
}
