//! The order of the addresses of one name (RFC 6157 section 5, RFC 7984 section 4): RFC 6724's
//! preference among destinations, as far as it can be told without asking the routing table.

use std::net::{IpAddr, Ipv6Addr};

/// Orders the addresses of one host name. Never used over the addresses of several SRV records,
/// which are not interleaved (RFC 7984 section 4).
pub(super) fn order(addresses: &mut [IpAddr], prefer_v4: bool) {
    // The sort is stable: the server's own order, which often turns, stays within a class.
    addresses.sort_by_key(|a| std::cmp::Reverse(precedence(a, prefer_v4)));
}

/// RFC 6724 section 2.1's table, and the operator's choice of the older family.
fn precedence(address: &IpAddr, prefer_v4: bool) -> u8 {
    match address {
        IpAddr::V4(_) if prefer_v4 => 45,
        IpAddr::V4(_) => 35,
        IpAddr::V6(v6) => match v6.segments() {
            _ if *v6 == Ipv6Addr::LOCALHOST => 50,
            [0x2002, ..] => 30,
            [0x2001, 0, ..] => 5,
            [first, ..] if first & 0xfe00 == 0xfc00 => 3,
            [0, 0, 0, 0, 0, 0xffff, ..] => 35,
            [0, 0, 0, 0, 0, 0, ..] => 1,
            [first, ..] if first & 0xffc0 == 0xfec0 => 1,
            [0x3ffe, ..] => 1,
            _ => 40,
        },
    }
}

/// Addresses that no name on the network may lead to: they reach this host's own broadcast domain
/// or nobody, and a name that gives one is broken or hostile.
pub(super) fn is_reachable(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => !v4.is_unspecified() && !v4.is_broadcast(),
        IpAddr::V6(v6) => !v6.is_unspecified(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn global_ipv6_before_ipv4_before_tunnels() {
        let mut list: Vec<IpAddr> =
            ["192.0.2.1", "2002:c000:201::1", "2001:db8::1", "192.0.2.2", "fd00::1"]
                .iter()
                .map(|a| a.parse().unwrap())
                .collect();
        order(&mut list, false);
        let text: Vec<String> = list.iter().map(IpAddr::to_string).collect();
        assert_eq!(text, ["2001:db8::1", "192.0.2.1", "192.0.2.2", "2002:c000:201::1", "fd00::1"]);
        order(&mut list, true);
        assert_eq!(list[0].to_string(), "192.0.2.1");
        assert_eq!(list[2].to_string(), "2001:db8::1");
    }
}
