//! The messages, written straight into the outbox.
//!
//! Their size and header fields are those of an ordinary phone, and of the C driver with which this
//! generator is to agree.

use towel_message::scan::push_number;
use towel_message::{Message, Name};

use crate::people::People;
use crate::plan::Work;
use crate::unit::{Named, Unit};

pub(crate) const SDP: &[u8] =
    b"v=0\r\no=- 3727 3727 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\n\
    t=0 0\r\nm=audio 40000 RTP/AVP 0 8 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n\
    a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=ptime:20\r\na=sendrecv\r\n";
const TEXT: &[u8] =
    b"Time is an illusion, lunchtime doubly so; a text of some hundred characters is \
    what people send at noon.";
const AGENT: &[u8] = b"Max-Forwards: 70\r\nUser-Agent: towel-load 1.0\r\n";
pub(crate) const ALLOW: &[u8] =
    b"INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE, PRACK, INFO, REFER, NOTIFY";
pub(crate) const SUPPORTED: &[u8] = b"replaces, timer, outbound";

/// What a writer of requests needs to know besides the unit.
pub(crate) struct Pen<'a> {
    pub(crate) users: &'a People,
    pub(crate) callers: &'a People,
    pub(crate) run: u32,
    /// `UDP 127.0.0.1:5060`: the beginning of a Via of ours, after the version.
    pub(crate) via: &'a [u8],
    /// `127.0.0.1:5060` with `;transport=tcp` where it is: the end of a Contact URI of ours.
    pub(crate) place: &'a [u8],
}

fn text(out: &mut Vec<u8>, parts: &[&[u8]]) {
    for part in parts {
        out.extend_from_slice(part);
    }
}

impl Pen<'_> {
    /// The Via line. The branch is the unit's, the CSeq's and the step's, so that each transaction
    /// has its own and a retransmission the same.
    fn via(&self, cseq: u32, named: Named, step: &[u8], out: &mut Vec<u8>) {
        text(out, &[b"Via: SIP/2.0/", self.via, b";branch=z9hG4bK", step]);
        push_number(out, self.run.into());
        out.push(b'.');
        match named {
            Named::User(user) => push_number(out, user.into()),
            Named::Unit { slot, generation } => {
                push_number(out, slot.into());
                out.push(b'.');
                push_number(out, generation.into());
            }
        }
        out.push(b'.');
        push_number(out, cseq.into());
        text(out, &[b";rport\r\n", AGENT]);
    }

    fn from(&self, unit: &Unit, named: Named, out: &mut Vec<u8>) {
        out.extend_from_slice(b"From: ");
        if unit.work == Work::Call {
            out.extend_from_slice(b"\"Caller ");
            push_number(out, unit.caller.into());
            out.extend_from_slice(b"\" ");
        }
        out.push(b'<');
        self.callers.write_uri(unit.caller, out);
        out.extend_from_slice(b">;tag=f");
        if let Named::Unit { slot, generation } = named {
            push_number(out, slot.into());
            out.push(b'.');
            push_number(out, generation.into());
        }
        out.extend_from_slice(b"\r\n");
    }

    fn call_id(&self, cseq: u32, named: Named, method: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(b"Call-ID: ");
        named.write(self.run, out);
        out.extend_from_slice(b"\r\nCSeq: ");
        push_number(out, cseq.into());
        text(out, &[b" ", method, b"\r\n"]);
    }

    /// REGISTER (RFC 3261 section 10.2).
    pub(crate) fn register(&self, unit: &Unit, named: Named, expires: u32, out: &mut Vec<u8>) {
        let domain = self.users.domain(unit.user).as_bytes();
        text(out, &[b"REGISTER sip:", domain, b" SIP/2.0\r\n"]);
        self.via(unit.cseq, named, b"r", out);
        out.extend_from_slice(b"From: <");
        self.users.write_uri(unit.user, out);
        out.extend_from_slice(b">;tag=r");
        push_number(out, unit.user.into());
        out.extend_from_slice(b"\r\nTo: <");
        self.users.write_uri(unit.user, out);
        out.extend_from_slice(b">\r\n");
        self.call_id(unit.cseq, named, b"REGISTER", out);
        out.extend_from_slice(b"Contact: <sip:");
        self.users.write_user(unit.user, out);
        text(out, &[b"@", self.place, b">\r\nExpires: "]);
        push_number(out, expires.into());
        text(out, &[b"\r\n", &unit.credentials, b"Content-Length: 0\r\n\r\n"]);
    }

    /// The first request of a unit: INVITE, OPTIONS or MESSAGE.
    pub(crate) fn request(&self, unit: &Unit, named: Named, out: &mut Vec<u8>) {
        let method = method_of(unit.work);
        text(out, &[method, b" "]);
        self.users.write_uri(unit.user, out);
        out.extend_from_slice(b" SIP/2.0\r\n");
        self.via(unit.cseq, named, b"i", out);
        self.from(unit, named, out);
        out.extend_from_slice(b"To: <");
        self.users.write_uri(unit.user, out);
        out.extend_from_slice(b">\r\n");
        self.call_id(unit.cseq, named, method, out);
        out.extend_from_slice(&unit.credentials);
        match unit.work {
            Work::Call => {
                out.extend_from_slice(b"Contact: <sip:");
                self.callers.write_user(unit.caller, out);
                let abilities = [b">\r\nAllow: ", ALLOW, b"\r\nSupported: ", SUPPORTED, b"\r\n"];
                text(out, &[b"@", self.place]);
                text(out, &abilities);
                body(b"application/sdp", SDP, out);
            }
            Work::Message => body(b"text/plain", TEXT, out),
            Work::Options | Work::Register => {
                text(out, &[b"Accept: application/sdp\r\nContent-Length: 0\r\n\r\n"]);
            }
        }
    }

    /// ACK for a final response that is no 2xx: of the INVITE's transaction (section 17.1.1.3).
    pub(crate) fn ack_refusal(&self, unit: &Unit, named: Named, to: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(b"ACK ");
        self.users.write_uri(unit.user, out);
        out.extend_from_slice(b" SIP/2.0\r\n");
        self.via(unit.cseq, named, b"i", out);
        self.from(unit, named, out);
        text(out, &[b"To: ", to, b"\r\n"]);
        self.call_id(unit.cseq, named, b"ACK", out);
        out.extend_from_slice(b"Content-Length: 0\r\n\r\n");
    }

    /// ACK for a 2xx, or BYE: within the dialog (section 12.2.1.1).
    pub(crate) fn in_dialog(&self, unit: &Unit, named: Named, bye: bool, out: &mut Vec<u8>) {
        let (method, step, cseq): (&[u8], &[u8], u32) =
            if bye { (b"BYE", b"b", unit.cseq) } else { (b"ACK", b"a", unit.invite) };
        let (target, lines) = unit.dialog.split_at_checked(unit.target).unwrap_or_default();
        text(out, &[method, b" ", target, b" SIP/2.0\r\n"]);
        self.via(cseq, named, step, out);
        self.from(unit, named, out);
        self.call_id(cseq, named, method, out);
        text(out, &[lines, &unit.credentials, b"Content-Length: 0\r\n\r\n"]);
    }
}

/// The method of the first request.
pub(crate) fn method_of(work: Work) -> &'static [u8] {
    match work {
        Work::Call => b"INVITE",
        Work::Register => b"REGISTER",
        Work::Options => b"OPTIONS",
        Work::Message => b"MESSAGE",
    }
}

fn body(kind: &[u8], bytes: &[u8], out: &mut Vec<u8>) {
    text(out, &[b"Content-Type: ", kind, b"\r\nContent-Length: "]);
    push_number(out, bytes.len() as u64);
    text(out, &[b"\r\n\r\n", bytes]);
}

/// Keeps what requests in a dialog need of the 200 that made it (section 12.1.2): the remote
/// target, and after it the route set in reverse and To. Gives the length of the target.
pub(crate) fn dialog_of(answer: &Message<'_>, out: &mut Vec<u8>) -> usize {
    out.clear();
    let contact = answer.values(Name::Contact).next().map_or(&b""[..], |value| value.bytes);
    let target = match contact.iter().position(|b| *b == b'<') {
        Some(open) => {
            let inner = contact.get(open + 1..).unwrap_or_default();
            inner.split(|b| *b == b'>').next().unwrap_or_default()
        }
        None => contact.split(|b| *b == b';').next().unwrap_or_default(),
    };
    out.extend_from_slice(target);
    let length = out.len();
    // As many as a request may carry; found from the last to the first without room for a list.
    let count = answer.values(Name::RecordRoute).count();
    for at in (0..count).rev() {
        if let Some(route) = answer.values(Name::RecordRoute).nth(at) {
            text(out, &[b"Route: ", route.bytes, b"\r\n"]);
        }
    }
    text(out, &[b"To: ", answer.value(Name::To).unwrap_or_default(), b"\r\n"]);
    length
}

#[cfg(test)]
mod tests {
    use super::*;
    use towel_message::{Index, Limits, check};

    fn unit(work: Work) -> Unit {
        Unit { work, cseq: 3, user: 7, caller: 8, ..Unit::new() }
    }

    fn pen<'a>(users: &'a People, callers: &'a People) -> Pen<'a> {
        Pen { users, callers, run: 5, via: b"UDP 127.0.0.1:9", place: b"127.0.0.1:9" }
    }

    fn holds(bytes: &[u8], parts: &[&str]) {
        let mut index = Index::new();
        let message = Message::parse(bytes, &mut index, &Limits::default()).unwrap();
        check(&message).unwrap_or_else(|e| panic!("{e:?}\n{}", String::from_utf8_lossy(bytes)));
        assert_eq!(message.content_length(), Some(message.body().len() as u32));
        let text = String::from_utf8_lossy(bytes);
        for part in parts {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
    }

    #[test]
    fn every_message_is_sound() {
        let users = People::pattern("u{n}@a.test", 9, None).unwrap();
        let callers = People::pattern("c{n}@b.test", 9, None).unwrap();
        let pen = pen(&users, &callers);
        let named = Named::Unit { slot: 1, generation: 2 };
        let mut out = Vec::new();
        pen.request(&unit(Work::Call), named, &mut out);
        let parts = [
            "INVITE sip:u7@a.test SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bKi5.1.2.3;rport\r\n",
            "From: \"Caller 8\" <sip:c8@b.test>;tag=f1.2\r\nTo: <sip:u7@a.test>\r\n",
            "Call-ID: 1-2-5@load\r\nCSeq: 3 INVITE\r\nContact: <sip:c8@127.0.0.1:9>\r\n",
            "Content-Type: application/sdp\r\n",
        ];
        holds(&out, &parts);
        for work in [Work::Options, Work::Message] {
            out.clear();
            pen.request(&unit(work), named, &mut out);
            holds(&out, &["From: <sip:c8@b.test>"]);
        }
        out.clear();
        let mut register = unit(Work::Register);
        register.credentials = b"Authorization: Digest x=\"y\"\r\n".to_vec();
        pen.register(&register, Named::User(7), 60, &mut out);
        holds(
            &out,
            &["REGISTER sip:a.test SIP/2.0", "Expires: 60\r\nAuthorization: ", "CSeq: 3 REG"],
        );
        out.clear();
        pen.ack_refusal(&unit(Work::Call), named, b"<sip:u7@a.test>;tag=x", &mut out);
        holds(
            &out,
            &[
                "ACK sip:u7@a.test",
                "z9hG4bKi5.1.2.3",
                "To: <sip:u7@a.test>;tag=x\r\n",
                "CSeq: 3 ACK",
            ],
        );
    }

    #[test]
    fn a_dialog_takes_its_routes_in_reverse() {
        let answer = b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\n\
            Record-Route: <sip:p2;lr>, \"a,b\" <sip:a,b@p1;lr>\r\nRecord-Route: <sip:p0;lr>\r\n\
            From: <sip:c@b>;tag=1\r\nTo: <sip:u@a>;tag=2\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\n\
            Contact: \"U\" <sip:u@h:5;transport=tcp>;q=1\r\nContent-Length: 0\r\n\r\n";
        let mut index = Index::new();
        let message = Message::parse(answer, &mut index, &Limits::default()).unwrap();
        let mut unit = unit(Work::Call);
        unit.target = dialog_of(&message, &mut unit.dialog);
        let users = People::pattern("u{n}@a.test", 9, None).unwrap();
        let mut out = Vec::new();
        let named = Named::Unit { slot: 1, generation: 2 };
        pen(&users, &users).in_dialog(&unit, named, true, &mut out);
        let parts = [
            "BYE sip:u@h:5;transport=tcp SIP/2.0\r\n",
            "Route: <sip:p0;lr>\r\nRoute: \"a,b\" <sip:a,b@p1;lr>\r\nRoute: <sip:p2;lr>\r\nTo: <sip:u@a>;tag=2\r\n",
        ];
        holds(&out, &parts);
    }
}
