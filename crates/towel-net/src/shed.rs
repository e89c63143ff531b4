//! Datagrams thrown away by the kernel, before they take room in the socket's buffer or any of our
//! time.
//!
//! At ten times what can be served even a refusal is too dear: taking a datagram in and answering
//! it costs a tenth of serving it. A filter at the socket (classic BPF, which needs no privilege)
//! costs next to nothing. It reads no more than the method: requests that begin work are thrown away by
//! chance, and whoever sent them sends them again; ACK, BYE, CANCEL, responses, an INVITE for a
//! `urn:` (emergency calls, RFC 5031) and all that is unknown pass.

use std::io;
use std::net::UdpSocket;

use socket2::{SockFilter, SockRef};

/// Methods that begin work, by their first four letters.
const BEGIN: [&[u8; 4]; 6] = [b"INVI", b"REGI", b"OPTI", b"MESS", b"SUBS", b"PUBL"];
/// Octets before what the datagram holds, as a filter sees it: the header of UDP.
const HEADER: u32 = 8;

// Of linux/bpf_common.h and linux/filter.h.
const LOAD_WORD: u16 = 0x20;
const LOAD_LENGTH: u16 = 0x80;
const JUMP_EQUAL: u16 = 0x15;
const JUMP_AT_LEAST: u16 = 0x35;
const RETURN: u16 = 0x06;
/// Where a random number is loaded from.
const RANDOM: u32 = 0xffff_f000 + 56;
const WHOLE: u32 = u32::MAX;

/// Throws away so many thousandths of what begins work; nought takes the filter off.
pub(crate) fn set(socket: &UdpSocket, share: u16) -> io::Result<()> {
    let socket = SockRef::from(socket);
    if share > 0 {
        return socket.attach_filter(&program(share));
    }
    // There may be none: a listener that came while others had theirs.
    socket.detach_filter().or_else(|fault| match fault.kind() {
        io::ErrorKind::NotFound => Ok(()),
        _ => Err(fault),
    })
}

fn program(share: u16) -> [SockFilter; 15] {
    let [invite, register, options, message, subscribe, publish] =
        BEGIN.map(|letters| u32::from_be_bytes(*letters));
    let below = (u64::from(share.min(1000)) * u64::from(u32::MAX) / 1000) as u32;
    let step = |code, k| SockFilter::new(code, 0, 0, k);
    // A jump of the filter counts the steps that it leaves out.
    let test =
        |code, k, at: u8, then: u8, or: u8| SockFilter::new(code, then - at - 1, or - at - 1, k);
    const URN: u8 = 9;
    const LOT: u8 = 11;
    const KEEP: u8 = 13;
    const DROP: u8 = 14;
    [
        // A keepalive is shorter than what is loaded below.
        step(LOAD_LENGTH, 0),
        test(JUMP_AT_LEAST, HEADER + 16, 1, 2, KEEP),
        step(LOAD_WORD, HEADER),
        test(JUMP_EQUAL, invite, 3, URN, 4),
        test(JUMP_EQUAL, register, 4, LOT, 5),
        test(JUMP_EQUAL, options, 5, LOT, 6),
        test(JUMP_EQUAL, message, 6, LOT, 7),
        test(JUMP_EQUAL, subscribe, 7, LOT, 8),
        test(JUMP_EQUAL, publish, 8, LOT, KEEP),
        // "INVITE urn:..." has "TE u" in its second word.
        step(LOAD_WORD, HEADER + 4),
        test(JUMP_EQUAL, u32::from_be_bytes(*b"TE u"), 10, KEEP, LOT),
        step(LOAD_WORD, RANDOM),
        test(JUMP_AT_LEAST, below, 12, KEEP, DROP),
        step(RETURN, WHOLE),
        step(RETURN, 0),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of so many datagrams get through.
    fn through(share: u16, text: &str, count: usize) -> usize {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        server.set_nonblocking(true).unwrap();
        set(&server, share).unwrap();
        let mut got = 0;
        for _ in 0..count {
            client.send_to(text.as_bytes(), server.local_addr().unwrap()).unwrap();
            // Loopback delivers before the call comes back.
            got += usize::from(server.recv(&mut [0; 2000]).is_ok());
        }
        got
    }

    #[test]
    fn work_that_begins_is_thrown_away() {
        for method in ["INVITE", "REGISTER", "OPTIONS", "MESSAGE", "SUBSCRIBE", "PUBLISH"] {
            let text = format!("{method} sip:bob@example.org SIP/2.0\r\n");
            assert_eq!(through(1000, &text, 50), 0, "{method}");
            assert_eq!(through(0, &text, 50), 50, "{method}");
        }
        let some = through(500, "INVITE sip:bob@example.org SIP/2.0\r\n", 400);
        assert!((100..300).contains(&some), "{some}");
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
            assert_eq!(through(1000, line, 20), 20, "{line}");
        }
    }
}
