//! The usual message is read, checked, edited and answered without an allocation.

use towel_counting::Counting;
use towel_message::build::{ResponseOptions, ResponseWriter};
use towel_message::{Draft, Index, Limits, Message, Name, check, uri};

#[global_allocator]
static ALLOCATOR: Counting = Counting::when(|| true);

const INVITE: &[u8] = b"INVITE sip:ford@example.com SIP/2.0\r\n\
    Via: SIP/2.0/UDP proxy.example.com;branch=z9hG4bK1;received=192.0.2.4\r\n\
    Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK2;rport=5060\r\n\
    Max-Forwards: 69\r\n\
    Route: <sip:p1.example.com;lr>, <sip:p2.example.com;lr>\r\n\
    From: \"Arthur Dent\" <sip:arthur@example.com>;tag=tea\r\n\
    To: <sip:ford@example.com>\r\n\
    Contact: <sip:arthur@192.0.2.1:5060;transport=udp>\r\n\
    Call-ID: 42@towel\r\nCSeq: 42 INVITE\r\n\
    Allow: INVITE, ACK, BYE, CANCEL, OPTIONS\r\nSupported: replaces, 100rel\r\n\
    User-Agent: Towel/1\r\nContent-Type: application/sdp\r\nContent-Length: 3\r\n\r\nv=0";

// One test only: another one's allocations, at the same time, would be counted.
#[test]
fn the_usual_message_takes_no_allocation() {
    let limits = Limits::default();
    let source = "192.0.2.77:5060".parse().unwrap();
    let mut index = Index::new();
    let mut edits = towel_message::Edits::default();
    let (mut out, mut key) = (Vec::new(), Vec::new());
    // The second round finds the storage grown.
    for round in 0..2 {
        let before = ALLOCATOR.made();
        out.clear();
        key.clear();
        let message = Message::parse(INVITE, &mut index, &limits).unwrap();
        check(&message).unwrap();
        assert!(message.has_token(Name::Supported, "100rel"));
        let to = message.to().unwrap().parse_uri().unwrap();
        uri::address_of_record(&to, &mut key);
        let mut draft = Draft::with(message, edits);
        draft.stamp_top_via(source);
        draft.set_request_uri(b"sip:ford@192.0.2.99:5062");
        draft.push_top(Name::Via, b"SIP/2.0/UDP us.example.com;branch=z9hG4bKus");
        draft.push_top(Name::RecordRoute, b"<sip:us.example.com;lr>");
        draft.set(Name::MaxForwards, b"68");
        let route = message.values(Name::Route).next().unwrap();
        draft.remove_value(&route);
        draft.write(&mut out);
        let options =
            ResponseOptions { to_tag: Some(b"t"), source: Some(source), record_route: true };
        let mut writer = ResponseWriter::start(&mut out, &message, 180, "Ringing", options);
        writer.field(Name::Contact, b"<sip:ford@192.0.2.99>");
        writer.end();
        edits = draft.into_edits();
        let after = ALLOCATOR.made();
        assert!(round == 0 || after == before, "{} allocations", after - before);
    }
    assert_eq!(key, b"sip:ford@example.com");
}
