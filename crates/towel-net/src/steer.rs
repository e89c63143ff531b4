//! Several sockets at one address, one a shard, and which of them the kernel gives a datagram to.
//!
//! By itself it goes by the addresses and ports, so that whatever comes again from where it came before
//! finds the same shard. A response is of the shard whose letter stands behind the magic cookie of
//! our branch, in the topmost Via: a filter of classic BPF, which wants no privilege, reads it. What the
//! filter cannot place comes to any shard, and is handed over there.

use std::io;
use std::net::UdpSocket;

use nix::libc;
use nix::sys::socket::{setsockopt, sockopt};

// Of linux/bpf_common.h.
const LOAD_WORD: u16 = 0x20;
const LOAD_OCTET_BY_X: u16 = 0x50;
const SET_X: u16 = 0x01;
const JUMP: u16 = 0x05;
const JUMP_EQUAL: u16 = 0x15;
const SUBTRACT: u16 = 0x14;
const RETURN: u16 = 0x06;
const RETURN_A: u16 = 0x16;

/// The cookie is looked for at every place between these: from behind the shortest beginning that a
/// response with a Via has, to where a long reason phrase and sent-by end.
const FROM: u32 = 24;
const TO: u32 = 192;

/// Has responses led to their shards, by the sockets of a group in the order of the shards: that in
/// which they were bound. It holds for the whole group, whichever socket it is given by.
pub(crate) fn lead_responses(socket: &UdpSocket) -> io::Result<()> {
    let mut program = program();
    let program = libc::sock_fprog {
        len: u16::try_from(program.len()).map_err(io::Error::other)?,
        filter: program.as_mut_ptr(),
    };
    setsockopt(socket, sockopt::AttachReusePortCbpf, &program).map_err(io::Error::from)
}

fn program() -> Vec<libc::sock_filter> {
    let step = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    // A number that no socket has leaves it to the addresses. A load beyond the end stands for the
    // first socket: there is nothing in so little that would have to come elsewhere.
    let mut program = vec![
        step(LOAD_WORD, 0, 0, 0),
        step(JUMP_EQUAL, 1, 0, u32::from_be_bytes(*b"SIP/")),
        step(RETURN, 0, 0, u32::MAX),
    ];
    for place in FROM..TO {
        let left = (TO - place - 1) * 4 + 1;
        program.extend([
            step(LOAD_WORD, 0, 0, place),
            step(JUMP_EQUAL, 0, 2, u32::from_be_bytes(*b"z9hG")),
            step(SET_X, 0, 0, place),
            step(JUMP, 0, 0, left),
        ]);
    }
    program.extend([
        step(RETURN, 0, 0, u32::MAX),
        step(LOAD_OCTET_BY_X, 0, 0, 7),
        step(SUBTRACT, 0, 0, u32::from(b'a')),
        step(RETURN_A, 0, 0, 0),
    ]);
    program
}

#[cfg(test)]
mod tests {
    use super::*;
    use socket2::{Domain, Socket, Type};

    fn group(count: usize) -> Vec<UdpSocket> {
        let first = UdpSocket::bind("127.0.0.1:0").unwrap();
        let at = first.local_addr().unwrap();
        socket2::SockRef::from(&first).set_reuse_port(true).unwrap();
        let mut all = vec![first];
        for _ in 1..count {
            let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
            socket.set_reuse_port(true).unwrap();
            socket.bind(&at.into()).unwrap();
            all.push(socket.into());
        }
        all.iter().for_each(|socket| socket.set_nonblocking(true).unwrap());
        lead_responses(&all[0]).unwrap();
        all
    }

    fn response(reason: &str, letter: char) -> String {
        format!(
            "SIP/2.0 200 {reason}\r\nVia: SIP/2.0/UDP server.example.org:5060;rport=5060;\
             branch=z9hG4bK{letter}bcdefghijklmnopqrstuvwxy\r\n\
             Via: SIP/2.0/UDP 192.0.2.77:5060;branch=z9hG4bKother\r\n"
        )
    }

    /// Which of the sockets gets it; each time from another port.
    fn came_to(group: &[UdpSocket], text: &str) -> usize {
        let from = UdpSocket::bind("127.0.0.1:0").unwrap();
        from.send_to(text.as_bytes(), group[0].local_addr().unwrap()).unwrap();
        let mut room = [0; 2000];
        group.iter().position(|socket| socket.recv(&mut room).is_ok()).unwrap()
    }

    #[test]
    fn responses_come_to_the_shard_that_their_branch_names() {
        let group = group(3);
        for reason in ["OK", "A Long Reason Phrase, as Some Who Mean Well Do Write It"] {
            for (shard, letter) in ('a'..='c').enumerate() {
                for _ in 0..8 {
                    assert_eq!(came_to(&group, &response(reason, letter)), shard);
                }
            }
        }
    }

    #[test]
    fn all_else_comes_somewhere_and_to_each_now_and_then() {
        let group = group(2);
        let request = response("OK", 'b').replacen("SIP/2.0 200 OK", "OPTIONS sip:a SIP/2.0", 1);
        for text in [
            request.as_str(),
            "\r\n\r\n",
            &response("OK", 'c'),
            &response("OK", '7'),
            &response("OK", 'B'),
        ] {
            let mut got = [0; 2];
            for _ in 0..64 {
                got[came_to(&group, text)] += 1;
            }
            assert!(got[0] > 0 && got[1] > 0, "{text}: {got:?}");
        }
        for text in ["SIP", "SIP/2.0 200 OK\r\n"] {
            assert_eq!(came_to(&group, text), 0);
        }
    }

    #[test]
    fn nobody_else_joins_a_group_by_chance() {
        let group = group(2);
        let at = group[0].local_addr().unwrap();
        assert!(UdpSocket::bind(at).is_err());
    }
}
