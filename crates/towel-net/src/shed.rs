//! Datagrams thrown away by the kernel, before they take room in the socket's buffer or any of our
//! time.
//!
//! At ten times what can be served even a refusal is too dear: taking a datagram in and answering
//! it costs an eighth of serving it. A filter at the socket (classic BPF, which needs no privilege)
//! drops requests that begin work by chance, and whoever sent them sends them again; ACK, BYE,
//! CANCEL, responses and all that is unknown pass at a glance.
//!
//! A request that is to be dropped is looked through first, as far as a filter may go: one with our own
//! mark in it (that of a Record-Route URI, so it is of a dialog) passes, as does what speaks of a
//! priority, or asks for a `urn:` (emergency calls, RFC 5031); one with credentials has a lot of its
//! own. What passes so is judged once more when it is read. A filter has no loops and its jumps lead forward,
//! so that the look is written out, piece by piece.

use std::io;
use std::net::UdpSocket;

use socket2::{SockFilter, SockRef};
use towel_core::overload::Shed;

/// Methods that begin work, by their first four letters.
const BEGIN: [&[u8; 4]; 6] = [b"INVI", b"REGI", b"OPTI", b"MESS", b"SUBS", b"PUBL"];
/// Octets before what the datagram holds, as a filter sees it: the header of UDP.
const HEADER: u32 = 8;
/// What lets a request pass, four letters of it at two neighbouring places since only every second
/// place is looked at: `sip:rr-`, which our Record-Route URIs begin with, and `Priority`, by letters that
/// neither `Security-Client` nor an `authority` has.
const PASS: [&[u8; 4]; 4] = [b"p:rr", b":rr-", b"rior", b"iori"];
/// What tells of credentials: `Authorization`.
const KNOWN: [&[u8; 4]; 2] = [b"riza", b"izat"];
/// How many octets a piece of the look goes through: a jump reaches 255 steps.
const PIECE: u32 = 48;
/// How many octets it goes through at most: the fields that matter stand among the first, and the
/// kernel takes some 4096 steps. One that grants a socket less memory for options takes a shorter one.
const REACHES: [u32; 4] = [16 * PIECE, 8 * PIECE, 4 * PIECE, 0];

// Of linux/bpf_common.h and linux/filter.h.
const LOAD_WORD: u16 = 0x20;
const LOAD_LENGTH: u16 = 0x80;
const JUMP: u16 = 0x05;
const JUMP_EQUAL: u16 = 0x15;
const JUMP_AT_LEAST: u16 = 0x35;
const RETURN: u16 = 0x06;
/// Where a random number is loaded from.
const RANDOM: u32 = 0xffff_f000 + 56;
const WHOLE: u32 = u32::MAX;

/// Throws away such shares of what begins work; noughts take the filter off.
pub(crate) fn set(socket: &UdpSocket, shed: Shed) -> io::Result<()> {
    let socket = SockRef::from(socket);
    if shed.is_any() {
        let mut done = Ok(());
        for reach in REACHES {
            done = socket.attach_filter(&program(shed, reach));
            if done.is_ok() {
                break;
            }
        }
        return done;
    }
    // There may be none: a listener that came while others had theirs.
    socket.detach_filter().or_else(|fault| match fault.kind() {
        io::ErrorKind::NotFound => Ok(()),
        _ => Err(fault),
    })
}

fn program(shed: Shed, reach: u32) -> Vec<SockFilter> {
    let step = |code, k| SockFilter::new(code, 0, 0, k);
    // The numbers are of steps that are left out: if it holds, and if not.
    let test = |code, then: u8, or: u8, k| SockFilter::new(code, then, or, k);
    let word = |letters: &[u8; 4]| u32::from_be_bytes(*letters);
    let below = |share: u16| (u64::from(share.min(1000)) * u64::from(u32::MAX) / 1000) as u32;
    // A keepalive is shorter than what is loaded below.
    let mut steps = vec![
        step(LOAD_LENGTH, 0),
        test(JUMP_AT_LEAST, 1, 0, HEADER + 16),
        step(RETURN, WHOLE),
        step(LOAD_WORD, HEADER),
    ];
    // To behind what lets all else pass.
    for (at, letters) in (0u8..).zip(BEGIN) {
        steps.push(test(JUMP_EQUAL, BEGIN.len() as u8 - at, 0, word(letters)));
    }
    steps.push(step(RETURN, WHOLE));
    // "INVITE urn:..." has "TE u" in its second word.
    steps.push(step(LOAD_WORD, HEADER + 4));
    steps.push(test(JUMP_EQUAL, 0, 1, word(b"TE u")));
    steps.push(step(RETURN, WHOLE));
    // What the greater of the lots would let pass need not be looked through.
    steps.push(step(LOAD_WORD, RANDOM));
    steps.push(test(JUMP_AT_LEAST, 0, 1, below(shed.new.max(shed.known))));
    steps.push(step(RETURN, WHOLE));
    // The lots of those without and with credentials come last: how far away is filled in then.
    let (mut to_new, mut to_known) = (Vec::new(), Vec::new());
    let mut at = HEADER;
    while at < HEADER + reach {
        steps.push(step(LOAD_LENGTH, 0));
        // The last piece loads two octets of the next.
        steps.push(test(JUMP_AT_LEAST, 1, 0, at + PIECE + 2));
        to_new.push(steps.len());
        steps.push(step(JUMP, 0));
        let end = steps.len() + (PIECE / 2) as usize * (1 + PASS.len() + KNOWN.len());
        for place in (at..at + PIECE).step_by(2) {
            steps.push(step(LOAD_WORD, place));
            // Behind the piece stand: on, pass, known.
            for letters in PASS {
                let left = (end - steps.len()) as u8;
                steps.push(test(JUMP_EQUAL, left, 0, word(letters)));
            }
            for letters in KNOWN {
                let left = (end - steps.len()) as u8;
                steps.push(test(JUMP_EQUAL, left + 1, 0, word(letters)));
            }
        }
        steps.push(step(JUMP, 2));
        steps.push(step(RETURN, WHOLE));
        to_known.push(steps.len());
        steps.push(step(JUMP, 0));
        at += PIECE;
    }
    let new = steps.len();
    // Of those that the greater lot drops, as many as make up the class's own.
    let lot = |share: u16| {
        let greatest = shed.new.max(shed.known).max(1);
        let part = u64::from(share) * u64::from(u32::MAX) / u64::from(greatest);
        [
            step(LOAD_WORD, RANDOM),
            test(JUMP_AT_LEAST, 0, 1, u32::try_from(part).unwrap_or(u32::MAX)),
            step(RETURN, WHOLE),
            step(RETURN, 0),
        ]
    };
    steps.extend(lot(shed.new));
    let known = steps.len();
    steps.extend(lot(shed.known));
    for (all, to) in [(to_new, new), (to_known, known)] {
        for at in all {
            if let Some(place) = steps.get_mut(at) {
                *place = step(JUMP, (to - at - 1) as u32);
            }
        }
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Shed = Shed { new: 1000, known: 1000 };
    const NEW: Shed = Shed { new: 1000, known: 0 };

    /// How many of so many datagrams get through.
    fn through(shed: Shed, text: &str, count: usize) -> usize {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        server.set_nonblocking(true).unwrap();
        set(&server, shed).unwrap();
        let mut got = 0;
        for _ in 0..count {
            client.send_to(text.as_bytes(), server.local_addr().unwrap()).unwrap();
            // Loopback delivers before the call comes back.
            got += usize::from(server.recv(&mut [0; 2000]).is_ok());
        }
        got
    }

    fn request(method: &str, field: &str) -> String {
        format!(
            "{method} sip:bob@example.org SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKx\r\n\
             {field}From: <sip:a@b>;tag=1\r\nTo: <sip:bob@example.org>\r\nCall-ID: 1\r\n\
             CSeq: 1 {method}\r\nX-More: {}\r\n\r\n",
            "x".repeat(900)
        )
    }

    #[test]
    fn the_whole_look_is_taken_by_the_kernel() {
        assert!(program(ALL, REACHES[0]).len() < 4096);
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        SockRef::from(&server).attach_filter(&program(ALL, REACHES[0])).unwrap();
    }

    #[test]
    fn work_that_begins_is_thrown_away() {
        for method in ["INVITE", "REGISTER", "OPTIONS", "MESSAGE", "SUBSCRIBE", "PUBLISH"] {
            let short = format!("{method} sip:bob@example.org SIP/2.0\r\n");
            for text in [short, request(method, "")] {
                assert_eq!(through(NEW, &text, 50), 0, "{text}");
                assert_eq!(through(Shed::default(), &text, 50), 50, "{text}");
            }
        }
        let some = through(Shed { new: 500, known: 0 }, &request("INVITE", ""), 400);
        assert!((100..300).contains(&some), "{some}");
    }

    #[test]
    fn what_has_credentials_has_its_own_lot() {
        let text = request("INVITE", "Proxy-Authorization: Digest x\r\n");
        assert_eq!(through(NEW, &text, 50), 50);
        assert_eq!(through(ALL, &text, 50), 0);
        let some = through(Shed { new: 1000, known: 500 }, &text, 400);
        assert!((100..300).contains(&some), "{some}");
        assert_eq!(through(NEW, &request("REGISTER", "authorization: Digest x\r\n"), 50), 50);
    }

    #[test]
    fn dialogs_and_priority_pass_wherever_they_say_so() {
        for more in 0..4 {
            let more = "x".repeat(more);
            for field in [
                format!("Route: <sip:{more}@h;lr>, <sip:rr-0123456789abcdef@192.0.2.9;lr>\r\n"),
                format!("X-{more}: x\r\nPriority: emergency\r\n"),
                format!("X-{more}: x\r\nResource-Priority: esnet.0\r\n"),
            ] {
                assert_eq!(through(ALL, &request("INVITE", &field), 20), 20, "{field}");
            }
        }
    }

    #[test]
    fn all_else_passes() {
        for line in [
            "ACK sip:bob@example.org SIP/2.0\r\n",
            "BYE sip:bob@example.org SIP/2.0\r\n",
            "CANCEL sip:bob@example.org SIP/2.0\r\n",
            "SIP/2.0 200 OK\r\nVia: x\r\n",
            "INVITE urn:service:sos SIP/2.0\r\n",
            "NOTIFY sip:bob@example.org SIP/2.0\r\n",
            "\r\n\r\n",
            "\r\n",
            "\0\0",
            "INVI",
        ] {
            assert_eq!(through(ALL, line, 20), 20, "{line}");
        }
    }
}
