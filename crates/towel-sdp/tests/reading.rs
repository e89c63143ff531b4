//! What is read of a description, and what is told of one.

use towel_sdp::attribute::*;
use towel_sdp::{
    Bandwidth, Builder, Description, Direction, Draft, Encoding, Fault, Fmtp, Limits, Origin,
    RtpMap, Severity, Timing, What,
};

const WHOLE: &str = "v=0\r\n\
    o=arthur 2890844526 2890842807 IN IP4 192.0.2.5\r\n\
    s=Tea\r\n\
    c=IN IP4 192.0.2.5\r\n\
    b=AS:128\r\n\
    t=0 0\r\n\
    a=group:LS 1 2\r\n\
    a=recvonly\r\n\
    m=audio 49170 RTP/AVP 0 96 101\r\n\
    a=rtpmap:96 opus/48000/2\r\n\
    a=rtpmap:101 telephone-event/8000\r\n\
    a=fmtp:101 0-15\r\n\
    a=fmtp:96 useinbandfec=1; Stereo = 0\r\n\
    a=ptime:20\r\n\
    a=maxptime:62.5\r\n\
    a=mid:1\r\n\
    a=rtcp:49180 IN IP6 2001:db8::1\r\n\
    a=rtcp-mux\r\n\
    a=sendrecv\r\n\
    a=candidate:1 1 UDP 2130706431 192.0.2.5 8998 typ host\r\n\
    m=video 51372/2 RTP/SAVP 99\r\n\
    c=IN IP4 224.2.1.1/127/3\r\n\
    a=mid:2\r\n\
    a=rtpmap:99 h263-1998/90000\r\n\
    a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:PS1uQCVe|2^20 KDR=0\r\n\
    a=fingerprint:sha-1 4A:AD:B9:B1\r\n\
    a=setup:actpass\r\n\
    a=connection:new\r\n\
    a=curr:qos local none\r\n\
    a=des:sec mandatory e2e sendrecv\r\n\
    a=conf:qos remote recv\r\n";

fn read(text: &str) -> Description<'_> {
    Description::parse(text.as_bytes(), &Limits::default()).unwrap()
}

#[test]
fn the_session() {
    let whole = read(WHOLE);
    assert_eq!(whole.check(), []);
    let origin = whole.origin().unwrap();
    assert_eq!((origin.username, origin.version_number()), ("arthur", Some(2890842807)));
    let line = |letter| whole.session().first(letter).unwrap();
    assert_eq!(line(b's').value(), b"Tea");
    assert_eq!(Bandwidth::read(line(b'b').cursor()), Ok(Bandwidth { kind: "AS", value: 128 }));
    assert_eq!(Timing::read(line(b't').cursor()), Ok(Timing { start: 0, stop: 0 }));
    let group = whole.session().get::<Group<'_>>().unwrap();
    assert_eq!((group.semantics, group.ids().collect::<Vec<_>>()), ("LS", vec!["1", "2"]));
    assert_eq!(whole.media_count(), 2);
}

#[test]
fn a_stream_of_rtp() {
    let whole = read(WHOLE);
    let audio = whole.media_at(0).unwrap();
    let line = audio.line().unwrap();
    assert_eq!((line.media, line.port, line.count, line.proto), ("audio", 49170, None, "RTP/AVP"));
    assert_eq!(line.formats().collect::<Vec<_>>(), ["0", "96", "101"]);
    let opus = Encoding { name: "OPUS", clock: 48000, channels: 2 };
    assert_eq!(audio.encoding("96"), Some(opus));
    assert_eq!(audio.encoding("0").unwrap().name, "PCMU");
    assert!(audio.encoding("101").unwrap().is_telephone_event());
    assert_eq!((audio.encoding("97"), audio.encoding("x")), (None, None));
    let fmtp = audio.fmtp("96").unwrap();
    assert_eq!(
        (fmtp.param("useInbandFEC"), fmtp.param("stereo")),
        (Some(&b"1"[..]), Some(&b"0"[..]))
    );
    assert_eq!(audio.fmtp("101").unwrap().params().next(), Some((&b"0-15"[..], None)));
    assert_eq!(audio.get::<Ptime>().unwrap().0.as_millis(), 20);
    assert_eq!(audio.get::<MaxPtime>().unwrap().0.as_micros(), 62_500);
    assert_eq!(audio.get::<Mid<'_>>(), Some(Mid("1")));
    let rtcp = audio.get::<Rtcp<'_>>().unwrap();
    assert_eq!((rtcp.port, rtcp.connection.unwrap().address), (49180, "2001:db8::1"));
    assert!(audio.get::<RtcpMux>().is_some());
    assert_eq!(audio.direction(), Direction::SendRecv);
    assert!(audio.get::<Candidate<'_>>().unwrap().0.ends_with(b"typ host"));
    assert_eq!(audio.connection().unwrap().unwrap().address, "192.0.2.5");
    assert_eq!(audio.section().every::<RtpMap<'_>>().count(), 2);
    assert_eq!(audio.section().every::<Fmtp<'_>>().count(), 2);
}

#[test]
fn a_stream_with_keys_and_conditions() {
    let whole = read(WHOLE);
    let video = whole.media_at(1).unwrap();
    assert_eq!(video.line().unwrap().count, Some(2));
    let connection = video.connection().unwrap().unwrap();
    assert!(connection.is_multicast() && !connection.is_unspecified());
    assert_eq!(connection.suffix, Some("127/3"));
    // What is said of the whole session counts for a stream that says nothing.
    assert_eq!(video.direction(), Direction::RecvOnly);
    let crypto = video.get::<Crypto<'_>>().unwrap();
    assert_eq!((crypto.tag, crypto.suite), (1, "AES_CM_128_HMAC_SHA1_80"));
    assert_eq!((crypto.keys, crypto.params), ("inline:PS1uQCVe|2^20", &b"KDR=0"[..]));
    let print = video.get::<Fingerprint<'_>>().unwrap();
    assert_eq!(print.bytes().collect::<Vec<_>>(), [0x4a, 0xad, 0xb9, 0xb1]);
    assert_eq!(video.get::<Setup>(), Some(Setup::ActPass));
    assert_eq!(video.get::<ConnectionUse>(), Some(ConnectionUse::New));
    let current = video.get::<Current<'_>>().unwrap();
    assert_eq!((current.status, current.direction), (Status::Local, Direction::Inactive));
    let desired = video.get::<Desired<'_>>().unwrap();
    assert_eq!((desired.kind, desired.strength), ("sec", Strength::Mandatory));
    let confirm = video.get::<Confirm<'_>>().unwrap();
    assert_eq!((confirm.status, confirm.direction), (Status::Remote, Direction::RecvOnly));
}

fn told(text: &str) -> Vec<(usize, usize, What)> {
    read(text).check().into_iter().map(|Fault { line, at, what }| (line, at, what)).collect()
}

const HEAD: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.5\r\ns=-\r\nc=IN IP4 192.0.2.5\r\nt=0 0\r\n";

#[test]
fn what_phones_send_is_read_and_told() {
    let text =
        "v=0\no=- 1 1 IN IP4 192.0.2.5\ns=-\nc=IN IP4 192.0.2.5\nt=0 0\nm=audio 4000 RTP/AVP 8";
    let lines = text.lines().count();
    let faults = told(text);
    assert_eq!(faults.len(), lines);
    assert_eq!(faults.last(), Some(&(6, 58, What::NoLastLineEnd)));
    assert!(faults.iter().all(|f| f.2.severity() == Severity::Untidy));
    let text = format!("{HEAD}X-odd line\r\nq=1\r\nm=audio  4000 RTP/AVP 8 \r\n\r\n");
    let at = HEAD.len();
    assert_eq!(
        told(&text),
        [
            (6, at, What::NotALine),
            (7, at + 12, What::UnknownLine(b'q')),
            (8, at + 17, What::Spaces),
            (9, at + 43, What::EmptyLine),
        ]
    );
    let media = read(&text);
    assert_eq!(media.media_at(0).unwrap().line().unwrap().formats().count(), 1);
}

#[test]
fn what_cannot_be_worked_with_is_told_with_its_place() {
    let at = HEAD.len();
    let cases: [(&str, usize, What); 11] = [
        ("m=audio 65536 RTP/AVP 8\r\n", 8, What::Malformed("the port of m=")),
        ("m=audio 4000 RTP/AVP\r\n", 20, What::Malformed("a format of m=")),
        ("m=audio 4000 RTP//AVP 8\r\n", 13, What::Malformed("the transport of m=")),
        ("m=audio 4000/x RTP/AVP 8\r\n", 8, What::Malformed("the number of ports of m=")),
        ("m=audio 4000 RTP/AVP 128\r\n", 0, What::Malformed("a payload type of m=")),
        ("a=rtpmap:200 PCMU/8000\r\n", 9, What::Malformed("the payload type of a=rtpmap")),
        ("a=rtpmap:96 PCMU\r\n", 12, What::Malformed("the clock rate of a=rtpmap")),
        ("a=ptime:0\r\n", 8, What::Malformed("a=ptime")),
        ("a=setup:first\r\n", 8, What::Malformed("the role of a=setup")),
        ("a=curr:qos e2e both\r\n", 15, What::Malformed("the direction of a precondition")),
        ("a=fingerprint:sha-1 4A:A\r\n", 20, What::Malformed("the bytes of a=fingerprint")),
    ];
    for (line, offset, what) in cases {
        let text = format!("{HEAD}{line}");
        assert_eq!(told(&text), [(6, at + offset, what)], "{line}");
        assert!(read(&text).broken().is_some());
    }
    let fault = read("v=1\r\n").broken().unwrap();
    assert_eq!(fault.to_string(), "v= is not 0 (line 1, byte 0)");
}

#[test]
fn what_is_missing_and_out_of_order_is_told() {
    assert_eq!(
        told("v=0\r\nm=audio 4000 RTP/AVP 96\r\n"),
        [
            (0, 0, What::Missing(b'o')),
            (0, 0, What::Missing(b's')),
            (0, 0, What::Missing(b't')),
            (2, 5, What::NoConnection),
            (2, 5, What::NoRtpmap),
        ]
    );
    let text = format!("{HEAD}s=again\r\nc=IN IP4 192.0.2.6\r\nm=audio 0 RTP/AVP 0\r\nt=0 0\r\n");
    let order: Vec<_> = told(&text).into_iter().map(|f| (f.0, f.2)).collect();
    let wrong = |line, letter| (line, What::OutOfOrder(letter));
    assert_eq!(order, [wrong(6, b's'), wrong(7, b'c'), wrong(9, b't')]);
    let text = "v=0\r\nv=0\r\no=- 1 1 IN IP4 192.0.2.5\r\ns=-\r\nt=0 0\r\nt=1 2\r\n";
    assert_eq!(told(text), [(2, 5, What::Repeated(b'v'))]);
}

#[test]
fn limits_hold() {
    let limits = Limits { max_bytes: 60, max_lines: 3, max_line: 20, max_media: 1, max_formats: 2 };
    let fault = |text: &str| {
        let fault = Description::parse(text.as_bytes(), &limits).unwrap_err();
        assert!(fault.is_broken());
        (fault.line, fault.at, fault.what)
    };
    assert_eq!(fault(""), (0, 0, What::Empty));
    assert_eq!(fault(&"x".repeat(61)), (0, 60, What::TooLarge(60)));
    assert_eq!(fault("a\na\na\na\n"), (4, 6, What::TooManyLines(3)));
    assert_eq!(fault(&format!("a\n{}", "x".repeat(21))), (2, 22, What::LineTooLong(20)));
    assert_eq!(fault("m=a 1 x 1 2\nm=\n"), (2, 12, What::TooManyMedia(1)));
    assert_eq!(fault("m=a 1 x 1 2 3\n"), (1, 0, What::TooManyFormats(2)));
}

#[test]
fn a_draft_changes_its_lines_alone() {
    let text = "v=0\no=- 1 1 IN IP4 192.0.2.5\r\nodd\ns=-\r\na=x";
    let description = read(text);
    let mut draft = Draft::new(&description);
    draft.replace(2, "o=- 1 2 IN IP4 192.0.2.9").unwrap();
    draft.remove(4).insert_after(5, "a=y").unwrap().insert_after(0, "v=0").unwrap();
    assert!(draft.clone().replace(1, "a=x\r\na=y").is_err());
    let mut out = Vec::new();
    draft.write(&mut out);
    let want = "v=0\r\nv=0\no=- 1 2 IN IP4 192.0.2.9\r\nodd\na=x\r\na=y\r\n";
    assert_eq!(String::from_utf8(out).unwrap(), want);
}

#[test]
fn a_builder_lets_no_value_out_of_its_line() {
    let origin = Origin {
        username: "-",
        session_id: "1",
        version: "2",
        nettype: "IN",
        addrtype: "IP4",
        address: "192.0.2.5",
    };
    let mut builder = Builder::new(&origin);
    builder.connection("2001:db8::1".parse().unwrap()).unbounded();
    builder.media("audio", 4000, "RTP/AVP", ["0"]).direction(Direction::Inactive);
    let built = builder.clone().finish().unwrap();
    let want = "v=0\r\no=- 1 2 IN IP4 192.0.2.5\r\ns=-\r\nc=IN IP6 2001:db8::1\r\nt=0 0\r\n\
        m=audio 4000 RTP/AVP 0\r\na=inactive\r\n";
    assert_eq!(String::from_utf8(built).unwrap(), want);
    let refused = |f: &dyn Fn(&mut Builder)| {
        let mut builder = builder.clone();
        f(&mut builder);
        builder.finish().unwrap_err().letter
    };
    assert_eq!(
        refused(&|b| {
            b.flag("x\r\nm=video 1 x 1");
        }),
        'a'
    );
    assert_eq!(
        refused(&|b| {
            b.media("audio", 1, "RTP/AVP", ["0 1"]);
        }),
        'm'
    );
    assert_eq!(
        refused(&|b| {
            b.media("audio", 1, "RTP/AVP", []);
        }),
        'm'
    );
    let spaced = Origin { username: "a b", ..origin };
    assert_eq!(Builder::new(&spaced).finish().unwrap_err().letter, 'o');
}
