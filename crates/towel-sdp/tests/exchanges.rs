//! Exchanges of offers and answers: those of RFC 3264 section 10, the usual ones of phones, and
//! those that go wrong.

mod support;

use support::{address, party};
use towel_sdp::offer_answer::{
    AgreedStream, Codec, Event, Formats, Hold, Negotiation, Order, Plan, Refused, State, Stream,
};
use towel_sdp::{Description, Direction, Fault, Limits, What};

fn video(port: u16, name: &str, payload: u8) -> Stream {
    Stream::new("video", "RTP/AVP", port, Formats::Rtp(vec![Codec::new(name, 90000, payload)]))
}

fn events(port: u16, direction: Direction) -> Stream {
    Stream::audio(port, [Codec::telephone_event(8000, 110)]).with_direction(direction)
}

/// One exchange; what each said.
fn exchange(
    from: &mut Negotiation,
    plan: &Plan,
    to: &mut Negotiation,
    other: &Plan,
) -> (String, String) {
    let offer = from.offer(plan).unwrap();
    assert_eq!(to.receive_offer(&offer), Ok(vec![]));
    let answer = to.answer(other).unwrap();
    assert_eq!(from.receive_answer(&answer), Ok(vec![]));
    (String::from_utf8(offer).unwrap(), String::from_utf8(answer).unwrap())
}

fn lines<'t>(text: &'t str, letter: &str) -> Vec<&'t str> {
    text.lines().filter(|line| line.starts_with(letter)).collect()
}

fn directions(party: &Negotiation) -> Vec<(usize, Direction)> {
    party.streams().iter().map(|stream| (stream.index, stream.direction)).collect()
}

#[test]
fn sound_and_two_pictures() {
    // RFC 3264 section 10.1: one of two pictures is refused; later a stream is added.
    let (mut a, mut b) = (party(1), party(2));
    let mut alice = Plan::new(address(1))
        .with(Stream::audio(49170, [Codec::pcmu()]))
        .with(video(51372, "H261", 31))
        .with(video(53000, "MPV", 32));
    let mut bob = Plan::new(address(2))
        .with(Stream::audio(49920, [Codec::pcmu()]))
        .with(video(53000, "MPV", 32));
    let (offer, answer) = exchange(&mut a, &alice, &mut b, &bob);
    assert_eq!(
        offer,
        "v=0\r\no=towel 42 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
         m=audio 49170 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\na=sendrecv\r\n\
         m=video 51372 RTP/AVP 31\r\na=rtpmap:31 H261/90000\r\na=sendrecv\r\n\
         m=video 53000 RTP/AVP 32\r\na=rtpmap:32 MPV/90000\r\na=sendrecv\r\n"
    );
    assert_eq!(
        answer,
        "v=0\r\no=towel 42 1 IN IP4 192.0.2.2\r\ns=-\r\nc=IN IP4 192.0.2.2\r\nt=0 0\r\n\
         m=audio 49920 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\na=sendrecv\r\n\
         m=video 0 RTP/AVP 31\r\n\
         m=video 53000 RTP/AVP 32\r\na=rtpmap:32 MPV/90000\r\na=sendrecv\r\n"
    );
    // Bob moves his audio and adds a stream to hear keys with.
    bob.streams[0].port = 65422;
    bob.streams.push(events(51434, Direction::RecvOnly));
    alice.streams.push(events(53122, Direction::SendRecv));
    let (offer, answer) = exchange(&mut b, &bob, &mut a, &alice);
    assert_eq!(lines(&offer, "o="), ["o=towel 42 2 IN IP4 192.0.2.2"]);
    // The slot that Bob refused is free, and he has a stream for it: RFC 3264 section 8.1 leaves
    // the choice between it and a line below.
    assert_eq!(
        lines(&offer, "m="),
        ["m=audio 65422 RTP/AVP 0", "m=audio 51434 RTP/AVP 110", "m=video 53000 RTP/AVP 32"]
    );
    assert_eq!(
        lines(&answer, "m="),
        ["m=audio 49170 RTP/AVP 0", "m=audio 53122 RTP/AVP 110", "m=video 53000 RTP/AVP 32"]
    );
    let keys = &a.streams()[1];
    assert_eq!((keys.direction, keys.remote_port), (Direction::SendOnly, 51434));
    assert_eq!(keys.events.as_ref().unwrap().send, "110");
    assert!(keys.formats.is_empty());
}

#[test]
fn one_of_n_codecs() {
    // RFC 3264 section 10.2: nothing flows until one codec is chosen.
    let (mut a, mut b) = (party(1), party(2));
    let codecs = [Codec::pcmu(), Codec::new("G723", 8000, 4), Codec::new("G729", 8000, 18)];
    let mut alice = Plan::new(address(1))
        .with(Stream::audio(62986, codecs.clone()).with_direction(Direction::Inactive));
    let bob = Plan::new(address(2)).with(Stream::audio(54344, &codecs[..2]));
    let (_, answer) = exchange(&mut a, &alice, &mut b, &bob);
    assert_eq!(lines(&answer, "m="), ["m=audio 54344 RTP/AVP 0 4"]);
    assert_eq!(directions(&a), [(0, Direction::Inactive)]);
    alice.streams[0] = Stream::audio(62986, &codecs[1..2]);
    let (offer, answer) = exchange(&mut a, &alice, &mut b, &bob);
    assert_eq!(lines(&offer, "o="), ["o=towel 42 2 IN IP4 192.0.2.1"]);
    assert_eq!(lines(&answer, "m="), ["m=audio 54344 RTP/AVP 4"]);
    assert_eq!(directions(&b), [(0, Direction::SendRecv)]);
    assert_eq!(b.streams()[0].formats[0].name, "G723");
}

/// The hold of RFC 6337 section 5.3, to its end.
#[test]
fn each_holds_the_other_and_nobody_is_stuck() {
    let (mut a, mut b) = (party(1), party(2));
    let mut one = Plan::new(address(1)).with(Stream::audio(4000, [Codec::pcma()]));
    let mut two = Plan::new(address(2)).with(Stream::audio(5000, [Codec::pcma()]));
    exchange(&mut a, &one, &mut b, &two);
    one.hold(Hold::Playing);
    let (offer, answer) = exchange(&mut a, &one, &mut b, &two);
    assert_eq!(
        (lines(&offer, "a=s"), lines(&answer, "a=re")),
        (vec!["a=sendonly"], vec!["a=recvonly"])
    );
    two.hold(Hold::Playing);
    let (offer, answer) = exchange(&mut b, &two, &mut a, &one);
    assert_eq!(
        (lines(&offer, "a=s"), lines(&answer, "a=in")),
        (vec!["a=sendonly"], vec!["a=inactive"])
    );
    assert_eq!(directions(&a), [(0, Direction::Inactive)]);
    one.hold(Hold::Off);
    exchange(&mut a, &one, &mut b, &two);
    assert_eq!(directions(&a), [(0, Direction::RecvOnly)]);
    two.hold(Hold::Off);
    exchange(&mut b, &two, &mut a, &one);
    assert_eq!(directions(&a), [(0, Direction::SendRecv)]);
    two.hold(Hold::Silent);
    let (offer, _) = exchange(&mut b, &two, &mut a, &one);
    assert_eq!(lines(&offer, "a=in"), ["a=inactive"]);
}

const PEER: &str = "v=0\r\no=- 7 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\n";

fn answer_to(offer: &str, plan: &Plan) -> (String, Vec<AgreedStream>) {
    let mut us = party(1);
    us.receive_offer(format!("{PEER}{offer}").as_bytes()).unwrap();
    (String::from_utf8(us.answer(plan).unwrap()).unwrap(), us.streams())
}

#[test]
fn the_old_hold_sends_nothing() {
    let plan = Plan::new(address(1)).with(Stream::audio(4000, [Codec::pcma()]));
    let old = "m=audio 4002 RTP/AVP 8\r\nc=IN IP4 0.0.0.0\r\n";
    let (answer, streams) = answer_to(old, &plan);
    // The direction goes by the attribute, here none (RFC 6337 section 5.4).
    assert_eq!(lines(&answer, "a=sendrecv").len(), 1);
    assert!(streams[0].unreachable);
    assert_eq!(streams[0].direction, Direction::RecvOnly);
}

#[test]
fn codecs_are_chosen_by_name_and_keep_the_number_of_the_offer() {
    let codecs = [
        Codec::opus(96),
        Codec::pcmu(),
        Codec::telephone_event(8000, 101),
        Codec::telephone_event(48000, 102),
    ];
    let mut plan = Plan::new(address(1)).with(Stream::audio(4000, codecs));
    plan.streams[0].ptime = 20;
    let offer = "m=audio 4002 RTP/AVP 0 99 8 110 111\r\na=rtpmap:99 OPUS/48000/2\r\n\
        a=fmtp:99 useinbandfec=1\r\na=rtpmap:110 telephone-event/48000\r\n\
        a=rtpmap:111 telephone-event/8000\r\na=ptime:30\r\n";
    let (answer, streams) = answer_to(offer, &plan);
    assert_eq!(lines(&answer, "m="), ["m=audio 4000 RTP/AVP 0 99 110 111"]);
    assert!(answer.contains("a=rtpmap:99 opus/48000/2\r\n") && answer.contains("a=ptime:20\r\n"));
    assert!(answer.contains("a=fmtp:111 0-15\r\n"));
    let stream = &streams[0];
    let names: Vec<&str> = stream.formats.iter().map(|f| f.name.as_str()).collect();
    assert_eq!(names, ["PCMU", "OPUS"]);
    // The events go with the clock of the codec in use.
    assert_eq!(stream.events.as_ref().unwrap().send, "111");
    assert_eq!(stream.ptime.unwrap().as_millis(), 30);
    assert_eq!(stream.formats[1].fmtp.as_deref(), Some(&b"useinbandfec=1"[..]));
    plan.order = Order::Own;
    let (answer, _) = answer_to(offer, &plan);
    assert_eq!(lines(&answer, "m="), ["m=audio 4000 RTP/AVP 99 0 111 110"]);
}

#[test]
fn what_is_not_to_be_had_is_refused_stream_by_stream() {
    let codecs = [Codec::pcma(), Codec::telephone_event(8000, 101)];
    let plan = Plan::new(address(1)).with(Stream::audio(4000, codecs));
    let refused = [
        // Nothing in common; only events in common; keys wanted; multicast; not wanted.
        "m=audio 4002 RTP/AVP 0\r\n",
        "m=audio 4002 RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\n",
        "m=audio 4002 RTP/SAVP 8\r\n",
        "m=audio 4002 RTP/AVP 8\r\nc=IN IP4 233.252.0.1/127\r\n",
        "m=audio 0 RTP/AVP 8\r\n",
        "m=application 9 DTLS/SCTP 5000\r\n",
    ];
    for offer in refused {
        let (answer, streams) = answer_to(offer, &plan);
        let media = lines(&answer, "m=");
        let words: Vec<&str> = media[0].split(' ').collect();
        assert_eq!((media.len(), words[1], streams.len()), (1, "0", 0), "{offer}");
        assert!(lines(&answer, "a=").is_empty());
    }
    let both = format!("{}m=audio 4004 RTP/AVP 8\r\nm=audio 4006 RTP/AVP 8\r\n", refused[0]);
    let (answer, streams) = answer_to(&both, &plan);
    assert_eq!(
        lines(&answer, "m="),
        ["m=audio 0 RTP/AVP 0", "m=audio 4000 RTP/AVP 8", "m=audio 0 RTP/AVP 8"]
    );
    assert_eq!(streams[0].index, 1);
    let none = answer_to("", &plan).0;
    assert!(lines(&none, "m=").is_empty());
}

#[test]
fn a_removed_stream_keeps_its_line_and_its_place() {
    let (mut a, mut b) = (party(1), party(2));
    let mut one = support::phone(1);
    let two = support::phone(2);
    exchange(&mut a, &one, &mut b, &two);
    one.streams[1].port = 0;
    let (offer, answer) = exchange(&mut a, &one, &mut b, &two);
    assert_eq!(lines(&offer, "m=")[1], "m=video 0 RTP/AVP 97");
    assert_eq!(lines(&answer, "m=")[1], "m=video 0 RTP/AVP 97");
    assert_eq!(directions(&b).iter().map(|d| d.0).collect::<Vec<_>>(), [0, 2]);
    // Shorter plans do not make shorter descriptions.
    one.streams.truncate(1);
    let (offer, _) = exchange(&mut a, &one, &mut b, &two);
    assert_eq!(lines(&offer, "m=").len(), 3);
    // A new stream may have the old line.
    one.streams.resize(3, video(0, "H264", 97));
    one.streams.push(video(4010, "H261", 31));
    one.streams[1].port = 4008;
    let (offer, answer) = exchange(&mut a, &one, &mut b, &two);
    let ports: Vec<&str> =
        lines(&offer, "m=").iter().map(|m| m.split(' ').nth(1).unwrap()).collect();
    assert_eq!(ports, ["4000", "4008", "0", "4010"]);
    assert_eq!(lines(&answer, "m=").last(), Some(&"m=video 0 RTP/AVP 31"));
}

#[test]
fn the_version_counts_changes() {
    let (mut a, mut b) = (party(1), party(2));
    let (mut one, two) = (support::phone(1), support::phone(2));
    let version = |text: &str| text.split(' ').nth(2).unwrap().to_owned();
    let (first, _) = exchange(&mut a, &one, &mut b, &two);
    let (again, _) = exchange(&mut a, &one, &mut b, &two);
    assert_eq!(first, again);
    one.hold(Hold::Playing);
    // A refused offer was said all the same: its version is not used for another.
    let refused = String::from_utf8(a.offer(&one).unwrap()).unwrap();
    a.refused().unwrap();
    assert_eq!(a.state(), State::Agreed);
    let (retried, _) = exchange(&mut a, &one, &mut b, &two);
    assert_eq!(refused, retried);
    one.hold(Hold::Off);
    let (third, _) = exchange(&mut a, &one, &mut b, &two);
    assert_eq!([version(&first), version(&retried), version(&third)], ["1", "2", "3"]);
}

#[test]
fn two_offers_at_once_are_refused_and_change_nothing() {
    let (mut a, mut b) = (party(1), party(2));
    let plan = support::phone(1);
    let offer = a.offer(&plan).unwrap();
    let refused = |event| Refused::State { state: State::OfferSent, event };
    assert_eq!(a.offer(&plan), Err(refused(Event::SendOffer)));
    let other = b.offer(&support::phone(2)).unwrap();
    assert_eq!(a.receive_offer(&other), Err(refused(Event::ReceiveOffer)));
    assert_eq!(a.answer(&plan), Err(refused(Event::SendAnswer)));
    b.refused().unwrap();
    b.receive_offer(&offer).unwrap();
    let answer = b.answer(&support::phone(2)).unwrap();
    a.receive_answer(&answer).unwrap();
    assert_eq!(a.state(), State::Agreed);
    let none = Refused::State { state: State::Agreed, event: Event::ReceiveAnswer };
    assert_eq!(a.receive_answer(&answer), Err(none));
}

#[test]
fn what_is_shown_of_an_answer_is_acted_on_and_is_the_answer() {
    let (mut a, mut b) = (party(1), party(2));
    let offer = a.offer(&support::phone(1)).unwrap();
    b.receive_offer(&offer).unwrap();
    let preview = b.preview(&support::phone(2)).unwrap();
    a.receive_preview(&preview).unwrap();
    assert_eq!((a.early_streams().len(), a.streams().len()), (3, 0));
    assert_eq!((a.state(), b.state()), (State::OfferSent, State::OfferReceived));
    let mut changed = support::phone(2);
    changed.hold(Hold::Playing);
    let answer = b.answer(&changed).unwrap();
    assert_eq!(preview, answer);
    a.receive_answer(&answer).unwrap();
    assert_eq!((a.early_streams().len(), a.streams().len()), (0, 3));
}

/// What is wrong with an answer to an offer of sound that is sent, with its line.
fn verdict(answer: &str) -> Result<Vec<What>, (usize, What)> {
    let mut us = party(1);
    let stream = Stream::audio(4000, [Codec::pcma(), Codec::opus(96)]);
    let image = Stream::new("image", "udptl", 0, Formats::Named(vec!["t38".into()]));
    let plan = Plan::new(address(1)).with(stream.with_direction(Direction::SendOnly)).with(image);
    us.offer(&plan).unwrap();
    match us.receive_answer(format!("{PEER}{answer}").as_bytes()) {
        Ok(faults) => Ok(faults.into_iter().map(|fault| fault.what).collect()),
        Err(Refused::Peer(Fault { line, what, .. })) => {
            assert_eq!(us.state(), State::None);
            Err((line, what))
        }
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn answers_are_held_against_the_offer() {
    let good = "m=audio 4002 RTP/AVP 8\r\na=recvonly\r\n";
    assert_eq!(verdict(good), Ok(vec![]));
    assert_eq!(verdict("m=audio 0 RTP/AVP 8\r\n"), Ok(vec![]));
    // More than was offered may be named; another number of the same codec too; and the number
    // alone, where the map is left out.
    assert_eq!(verdict("m=audio 4002 RTP/AVP 0 8\r\na=recvonly\r\n"), Ok(vec![]));
    let renumbered = "m=audio 4002 RTP/AVP 97\r\na=rtpmap:97 opus/48000/2\r\na=inactive\r\n";
    assert_eq!(verdict(renumbered), Ok(vec![]));
    assert_eq!(verdict("m=audio 4002 RTP/AVP 96\r\na=recvonly\r\n"), Ok(vec![What::NoRtpmap]));
    assert_eq!(verdict(&format!("{good}a=rtcp-mux\r\n")), Ok(vec![What::MuxNotOffered]));
    let count = |answered| What::MediaCount { offered: 1, answered };
    assert_eq!(verdict(""), Err((5, count(0))));
    assert_eq!(verdict(&format!("{good}m=video 0 RTP/AVP 31\r\n")), Err((8, count(2))));
    let wrong = [
        ("m=audio 4002 RTP/AVP 8\r\na=sendrecv\r\n", 7, What::DirectionRule),
        ("m=audio 4002 RTP/AVP 8\r\n", 6, What::DirectionRule),
        ("m=audio 4002 RTP/AVP 0\r\na=recvonly\r\n", 6, What::NoCommonFormat),
        ("m=audio 4002 RTP/SAVP 8\r\na=recvonly\r\n", 6, What::Transport),
        ("m=video 0 RTP/AVP 8\r\n", 6, What::MediaType),
        ("m=audio 4002 RTP/AVP 8\r\nc=IN IP4 233.252.0.1/1\r\na=recvonly\r\n", 6, What::Multicast),
        ("m=audio x RTP/AVP 8\r\n", 6, What::Malformed("the port of m=")),
    ];
    for (answer, line, what) in wrong {
        assert_eq!(verdict(answer), Err((line, what)), "{answer}");
    }
}

#[test]
fn a_stream_offered_with_port_0_stays_so() {
    let read = |text: &str| format!("{PEER}{text}");
    let (offer, answer) = (read("m=audio 0 RTP/AVP 8\r\n"), read("m=audio 4000 RTP/AVP 8\r\n"));
    let limits = Limits::default();
    let offer = Description::parse(offer.as_bytes(), &limits).unwrap();
    let answer = Description::parse(answer.as_bytes(), &limits).unwrap();
    let faults = towel_sdp::offer_answer::judge::answer(&offer, &answer);
    assert_eq!(faults.iter().map(|f| f.what).collect::<Vec<_>>(), [What::Revived]);
}

#[test]
fn an_unfit_answer_to_a_change_leaves_the_call_as_it_was() {
    let (mut a, mut b) = (party(1), party(2));
    let mut one = support::phone(1);
    exchange(&mut a, &one, &mut b, &support::phone(2));
    let held = a.agreed().cloned();
    one.hold(Hold::Playing);
    a.offer(&one).unwrap();
    assert!(matches!(a.receive_answer(b"nonsense"), Err(Refused::Peer(_))));
    assert_eq!((a.state(), a.agreed().cloned()), (State::Agreed, held));
    assert_eq!(directions(&a)[0], (0, Direction::SendRecv));
}

#[test]
fn what_the_peer_does_to_its_o_line_is_told_and_read() {
    let offers = |second: &str| {
        let mut us = party(1);
        let first = format!("{PEER}m=audio 4002 RTP/AVP 8 96\r\na=rtpmap:96 opus/48000/2\r\n");
        us.receive_offer(first.as_bytes()).unwrap();
        us.answer(&support::phone(1)).unwrap();
        match us.receive_offer(second.as_bytes()) {
            Ok(faults) => Ok(faults.into_iter().map(|f| f.what).collect::<Vec<_>>()),
            Err(Refused::Peer(fault)) => Err(fault.what),
            Err(other) => panic!("{other}"),
        }
    };
    let with = |o: &str, media: &str| format!("{}{media}", PEER.replace("7 1 IN", o));
    let media = "m=audio 4002 RTP/AVP 8\r\n";
    assert_eq!(offers(&with("7 2 IN", media)), Ok(vec![]));
    assert_eq!(offers(&with("7 1 IN", media)), Ok(vec![What::VersionKept]));
    assert_eq!(offers(&with("7 4 IN", media)), Ok(vec![What::VersionStep]));
    assert_eq!(offers(&with("8 2 IN", media)), Ok(vec![What::OriginChanged]));
    let other = "m=audio 4002 RTP/AVP 96\r\na=rtpmap:96 iLBC/8000\r\n";
    assert_eq!(offers(&with("7 2 IN", other)), Ok(vec![What::Remapped]));
    assert_eq!(offers(&with("7 2 IN", "")), Err(What::FewerMedia { before: 1, now: 0 }));
}

#[test]
fn a_payload_type_of_a_refused_stream_may_mean_another_codec_later() {
    let mut us = party(1);
    let offer = |version: u8, name: &str| {
        let head = PEER.replace("7 1 IN", &format!("7 {version} IN"));
        format!("{head}m=audio 4002 RTP/AVP 98\r\na=rtpmap:98 {name}/8000\r\n")
    };
    us.receive_offer(offer(1, "iLBC").as_bytes()).unwrap();
    us.answer(&support::phone(1)).unwrap();
    assert_eq!(us.streams(), []);
    assert_eq!(us.receive_offer(offer(2, "PCMA").as_bytes()), Ok(vec![]));
    us.answer(&support::phone(1)).unwrap();
    assert_eq!(us.streams()[0].formats[0].send, "98");
}

#[test]
fn a_plan_that_cannot_be_written_is_refused_and_changes_nothing() {
    let mut us = party(1);
    let mut plan = support::phone(1);
    plan.streams[0].attributes.push(String::from("x\r\nm=video 1 RTP/AVP 31"));
    assert!(matches!(us.offer(&plan), Err(Refused::Plan(_))));
    assert_eq!(us.state(), State::None);
    assert!(us.offer(&support::phone(1)).is_ok());
}
