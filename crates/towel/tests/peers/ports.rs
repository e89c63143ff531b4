//! Ports of loopback that nobody uses, handed out to one process's tests once each.

use std::{
    net::{Ipv4Addr, TcpListener, UdpSocket},
    sync::atomic::{AtomicU16, Ordering},
};

static NEXT: AtomicU16 = AtomicU16::new(0);

/// The first of `n` neighbouring ports that are free for UDP and TCP.
pub(crate) fn free(n: u16) -> u16 {
    let start = 20000 + (std::process::id() % 100) as u16 * 80;
    for _ in 0..400 {
        let base = start + NEXT.fetch_add(n, Ordering::Relaxed) % 8000;
        let is_free = |port| {
            UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
                && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
        };
        if (base..base + n).all(is_free) {
            return base;
        }
    }
    panic!("no free ports on loopback");
}
