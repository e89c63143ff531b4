//! STUN on a SIP port: the keepalive of RFC 5626 section 8 for UDP flows, a Binding request
//! answered with the address that it came from (RFC 5389 sections 6, 7.3.1, 15.2). Nothing else of
//! STUN is spoken here: other STUN messages, and Binding requests with attributes that would have
//! to be understood, are passed over.

use std::net::{IpAddr, SocketAddr};

const MAGIC: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];

/// Whether a datagram is STUN: two zero bits (no SIP message begins so) and the magic cookie.
pub(crate) fn is_stun(bytes: &[u8]) -> bool {
    bytes.len() >= 20
        && bytes.first().is_some_and(|first| first & 0xc0 == 0)
        && bytes.get(4..8) == Some(&MAGIC)
}

/// The answer to a Binding request; `None` if there is none to give.
pub(crate) fn binding_response(request: &[u8], source: SocketAddr) -> Option<Vec<u8>> {
    let (header, attributes) = request.split_first_chunk::<20>()?;
    let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
    if header[..2] != [0, 1] || length != attributes.len() || length % 4 != 0 {
        return None;
    }
    // Attributes below 0x8000 must be understood, and none of them is here.
    let mut rest = attributes;
    while let Some((head, after)) = rest.split_first_chunk::<4>() {
        let padded = usize::from(u16::from_be_bytes([head[2], head[3]])).next_multiple_of(4);
        if head[0] < 0x80 {
            return None;
        }
        rest = after.get(padded..)?;
    }
    let transaction = &header[4..20];
    let port = source.port() ^ 0x2112;
    let family = if source.ip().to_canonical().is_ipv4() { 1 } else { 2 };
    let mut value = vec![0, family];
    value.extend_from_slice(&port.to_be_bytes());
    let mut masked = |octets: &[u8]| {
        value.extend(octets.iter().zip(transaction).map(|(octet, mask)| octet ^ mask));
    };
    match source.ip().to_canonical() {
        IpAddr::V4(ip) => masked(&ip.octets()),
        IpAddr::V6(ip) => masked(&ip.octets()),
    }
    let mut response = vec![1, 1];
    response.extend_from_slice(&(value.len() as u16 + 4).to_be_bytes());
    response.extend_from_slice(transaction);
    response.extend_from_slice(&[0, 0x20]);
    response.extend_from_slice(&(value.len() as u16).to_be_bytes());
    response.extend_from_slice(&value);
    Some(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> Vec<u8> {
        let mut bytes = vec![0, 1, 0, 0];
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(b"123456789012");
        bytes
    }

    #[test]
    fn tells_the_source() {
        let request = request();
        assert!(is_stun(&request));
        let source = "192.0.2.1:32853".parse().unwrap();
        let response = binding_response(&request, source).unwrap();
        assert_eq!(response[..4], [1, 1, 0, 12]);
        assert_eq!(response[4..20], request[4..20]);
        // RFC 5769 section 2.2 has these octets for this address and port.
        assert_eq!(response[20..], [0, 0x20, 0, 8, 0, 1, 0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43]);
    }

    #[test]
    fn passes_over_the_rest() {
        let source = "192.0.2.1:1".parse().unwrap();
        assert!(!is_stun(b"OPTIONS sip:a SIP/2.0"));
        let mut wrong = request();
        wrong[1] = 0x11;
        assert!(binding_response(&wrong, source).is_none());
        let mut short = request();
        short[3] = 4;
        assert!(binding_response(&short, source).is_none());
        let mut unknown = request();
        unknown[3] = 4;
        unknown.extend_from_slice(&[0, 0x24, 0, 0]);
        assert!(binding_response(&unknown, source).is_none());
    }
}
