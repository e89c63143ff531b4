//! How the bindings of one address of record are kept, in memory and in the store alike: one run of
//! bytes, the contact with the highest q first.

use crate::io::{ConnectionId, Flow, ListenerId, Transport};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The first octet of a value: its version.
const VERSION: u8 = 1;

const LOCAL_V6: u8 = 1;
const REMOTE_V6: u8 = 2;
const CONNECTED: u8 = 4;

/// One contact address that an address of record is bound to. Borrows the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Binding<'a> {
    /// The Contact header field value as it was registered, in angle brackets and with all its
    /// parameters but `expires`.
    pub contact: &'a [u8],
    /// The URI in it.
    pub uri: &'a [u8],
    /// Preference in thousandths; 1000 where the contact named none.
    pub q: u16,
    /// The second (since 1970) in which it ends.
    pub expires: u32,
    /// Call-ID of the request that made or refreshed it.
    pub call_id: &'a [u8],
    /// CSeq number of that request.
    pub cseq: u32,
    /// Hashes of that request: in the upper half of the branch of its top Via, by which it is known
    /// again when it comes a second time, its transaction forgotten (nought for none); in the lower
    /// half of its From tag, by which it is known where it comes by another way
    /// (RFC 3261 section 8.2.2.2).
    pub mark: u32,
    /// The way to this contact, where an extension knows of one: values of Route, the first hop
    /// first, with commas between them.
    pub route: &'a [u8],
    /// What extensions attached to it: a run as [`crate::contract::Durable`] makes it.
    pub kept: &'a [u8],
    /// Where that request came from: the way to reach a client behind a NAT, or one that cannot be
    /// connected to.
    pub flow: Flow,
}

impl<'a> Binding<'a> {
    /// Whether it still holds. A binding may live up to a second longer than was granted, never
    /// shorter: the clock given to us counts whole seconds.
    #[must_use]
    pub fn is_live(&self, unix: u64) -> bool {
        u64::from(self.expires) >= unix
    }

    /// How many seconds it has left, as the `expires` parameter says them.
    #[must_use]
    pub fn remaining(&self, unix: u64) -> u64 {
        u64::from(self.expires).saturating_sub(unix).max(1)
    }

    /// The Contact parameters as they were given, with the semicolon before the first.
    #[must_use]
    pub fn params(&self) -> &'a [u8] {
        // The URI is always in angle brackets here.
        let at = self.contact.windows(self.uri.len().max(1)).position(|w| w == self.uri);
        let end = at.map_or(self.contact.len(), |at| at + self.uri.len() + 1);
        self.contact.get(end..).unwrap_or_default()
    }

    /// Writes the value of a Contact header field of the 200 (RFC 3261 section 10.3, step 8).
    pub fn write_contact(&self, unix: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(self.contact);
        out.extend_from_slice(b";expires=");
        towel_message::scan::push_number(out, self.remaining(unix));
    }

    /// Appends it in its kept form. None where a length is beyond what the form can say.
    pub(super) fn write(&self, out: &mut Vec<u8>) -> Option<()> {
        let start = out.len();
        let length = |bytes: &[u8]| u16::try_from(bytes.len()).ok();
        let uri_at = self.contact.windows(self.uri.len().max(1)).position(|w| w == self.uri)?;
        let mut flags = 0;
        flags |= if self.flow.local.is_ipv6() { LOCAL_V6 } else { 0 };
        flags |= if self.flow.remote.is_ipv6() { REMOTE_V6 } else { 0 };
        flags |= if self.flow.connection.is_some() { CONNECTED } else { 0 };
        let transport = Transport::ALL.iter().position(|t| *t == self.flow.transport)?;
        let [a, b, c, d] = self.expires.to_be_bytes();
        let [e, f, g, h] = self.cseq.to_be_bytes();
        let [i, j, k, l] = self.mark.to_be_bytes();
        out.extend_from_slice(&[0, 0, a, b, c, d, e, f, g, h, i, j, k, l]);
        let numbers = [
            self.q,
            length(self.contact)?,
            u16::try_from(uri_at).ok()?,
            length(self.uri)?,
            length(self.call_id)?,
            length(self.route)?,
            length(self.kept)?,
            self.flow.listener.0,
            u16::from_be_bytes([u8::try_from(transport).ok()?, flags]),
        ];
        out.extend_from_slice(numbers.map(u16::to_be_bytes).as_flattened());
        write_address(self.flow.local, out);
        write_address(self.flow.remote, out);
        if let Some(connection) = self.flow.connection {
            out.extend_from_slice(&connection.0.to_be_bytes());
        }
        out.extend_from_slice(self.contact);
        out.extend_from_slice(self.call_id);
        out.extend_from_slice(self.route);
        out.extend_from_slice(self.kept);
        let total = u16::try_from(out.len() - start).ok()?;
        out.get_mut(start..start + 2)?.copy_from_slice(&total.to_be_bytes());
        Some(())
    }

    /// Reads one binding from the front; returns its own bytes and what follows as well.
    fn read(bytes: &'a [u8]) -> Option<(Self, &'a [u8], &'a [u8])> {
        let total = usize::from(u16::from_be_bytes(*bytes.first_chunk()?));
        let (whole, after) = bytes.split_at_checked(total)?;
        let mut rest = Rest(whole.get(2..)?);
        let expires = u32::from_be_bytes(rest.array()?);
        let cseq = u32::from_be_bytes(rest.array()?);
        let mark = u32::from_be_bytes(rest.array()?);
        let mut number = || rest.array().map(u16::from_be_bytes);
        let (q, contact, uri_at, uri) = (number()?, number()?, number()?, number()?);
        let (call_id, route) = (number()?, number()?);
        let (kept, listener) = (number()?, number()?);
        let [transport, flags] = rest.array()?;
        let transport = *Transport::ALL.get(usize::from(transport))?;
        let local = rest.address(flags & LOCAL_V6 != 0)?;
        let remote = rest.address(flags & REMOTE_V6 != 0)?;
        let connection = if flags & CONNECTED != 0 {
            Some(ConnectionId(u64::from_be_bytes(rest.array()?)))
        } else {
            None
        };
        let contact = rest.take(contact)?;
        let uri_at = usize::from(uri_at);
        let uri = contact.get(uri_at..uri_at + usize::from(uri))?;
        let (call_id, route) = (rest.take(call_id)?, rest.take(route)?);
        let kept = rest.take(kept)?;
        let flow = Flow { transport, listener: ListenerId(listener), local, remote, connection };
        let binding = Self { contact, uri, q, expires, call_id, cseq, mark, route, kept, flow };
        rest.0.is_empty().then_some((binding, whole, after))
    }
}

fn write_address(address: SocketAddr, out: &mut Vec<u8>) {
    match address.ip() {
        IpAddr::V4(ip) => out.extend_from_slice(&ip.octets()),
        IpAddr::V6(ip) => out.extend_from_slice(&ip.octets()),
    }
    out.extend_from_slice(&address.port().to_be_bytes());
}

struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*array)
    }

    fn take(&mut self, length: u16) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(usize::from(length))?;
        self.0 = rest;
        Some(taken)
    }

    fn address(&mut self, v6: bool) -> Option<SocketAddr> {
        let ip = if v6 {
            IpAddr::V6(Ipv6Addr::from(self.array::<16>()?))
        } else {
            IpAddr::V4(Ipv4Addr::from(self.array::<4>()?))
        };
        Some(SocketAddr::new(ip, u16::from_be_bytes(self.array()?)))
    }
}

/// All bindings of one address of record, the highest q first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bindings<'a> {
    bytes: &'a [u8],
}

impl<'a> Bindings<'a> {
    /// Reads a stored value; none where it is damaged.
    #[must_use]
    pub fn checked(value: &'a [u8]) -> Option<Self> {
        let (&version, bytes) = value.split_first()?;
        let mut rest = bytes;
        while !rest.is_empty() {
            (_, _, rest) = Binding::read(rest)?;
        }
        (version == VERSION).then_some(Self { bytes })
    }

    /// What was checked before.
    pub(super) fn trusted(value: &'a [u8]) -> Self {
        Self { bytes: value.get(1..).unwrap_or_default() }
    }

    /// Those that hold at a time.
    pub fn live(self, unix: u64) -> impl Iterator<Item = Binding<'a>> {
        self.filter(move |binding| binding.is_live(unix))
    }

    /// Each binding with its kept form.
    pub(super) fn raw(self) -> impl Iterator<Item = (Binding<'a>, &'a [u8])> {
        let mut rest = self.bytes;
        core::iter::from_fn(move || {
            let (binding, whole, after) = Binding::read(rest)?;
            rest = after;
            Some((binding, whole))
        })
    }

    /// When each ends, the rest of it not read.
    pub(super) fn ends(self) -> impl Iterator<Item = u32> {
        let mut rest = self.bytes;
        core::iter::from_fn(move || {
            let (total, more) = rest.split_first_chunk()?;
            let end = u32::from_be_bytes(*more.first_chunk()?);
            rest = rest.get(usize::from(u16::from_be_bytes(*total)).max(2)..)?;
            Some(end)
        })
    }

    /// How many of them hold at a time.
    pub(super) fn count_live(self, unix: u64) -> usize {
        self.ends().filter(|end| u64::from(*end) >= unix).count()
    }

    /// The earliest end of them.
    pub(super) fn earliest(self) -> Option<u32> {
        self.ends().min()
    }
}

impl<'a> Iterator for Bindings<'a> {
    type Item = Binding<'a>;

    fn next(&mut self) -> Option<Binding<'a>> {
        let (binding, _, after) = Binding::read(self.bytes)?;
        self.bytes = after;
        Some(binding)
    }
}

/// Puts kept forms together to a value, the highest q first; those of the same q stay in order.
pub(super) fn assemble(kept: &mut [(u16, &[u8])], out: &mut Vec<u8>) {
    kept.sort_by_key(|(q, _)| core::cmp::Reverse(*q));
    out.clear();
    out.push(VERSION);
    for (_, bytes) in kept.iter() {
        out.extend_from_slice(bytes);
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn flow(remote: &str, connection: Option<u64>) -> Flow {
        Flow {
            transport: if connection.is_some() { Transport::Tls } else { Transport::Udp },
            listener: ListenerId(3),
            local: "192.0.2.1:5060".parse().unwrap(),
            remote: remote.parse().unwrap(),
            connection: connection.map(ConnectionId),
        }
    }

    pub(crate) fn binding<'a>(contact: &'a str, q: u16, expires: u32) -> Binding<'a> {
        let uri = contact.split_once('<').unwrap().1.split_once('>').unwrap().0;
        Binding {
            contact: contact.as_bytes(),
            uri: uri.as_bytes(),
            q,
            expires,
            call_id: b"843817637684230@998sdasdh09",
            cseq: 1826,
            mark: 7,
            route: b"",
            kept: b"",
            flow: flow("198.51.100.7:5060", None),
        }
    }

    #[test]
    fn what_is_written_reads_the_same() {
        let mut first = binding("<sip:bob@192.0.2.4>;q=0.5;+sip.instance=\"<urn:x>\"", 500, 77);
        first.route = b"<sip:p1.example.com;lr>,<sip:p2.example.com;lr>";
        let mut second = binding("\"Bob\" <tel:+1-555-0100>", 1000, 78);
        second.kept = b"\x01a\x00\x01b";
        second.flow = flow("[2001:db8::1]:49152", Some(7));
        let mut kept = [Vec::new(), Vec::new()];
        first.write(&mut kept[0]).unwrap();
        second.write(&mut kept[1]).unwrap();
        let mut value = Vec::new();
        assemble(&mut [(500, &kept[0]), (1000, &kept[1])], &mut value);
        let read: Vec<_> = Bindings::checked(&value).unwrap().collect();
        assert_eq!(read, [second, first]);
        assert_eq!(first.params(), b";q=0.5;+sip.instance=\"<urn:x>\"");
        assert_eq!(Bindings::trusted(&value).earliest(), Some(77));
        assert_eq!(Bindings::trusted(&value).ends().collect::<Vec<_>>(), [78, 77]);
        let live = |unix| Bindings::trusted(&value).count_live(unix);
        assert_eq!((live(77), live(78), live(79)), (2, 1, 0));
        let mut contact = Vec::new();
        second.write_contact(70, &mut contact);
        assert_eq!(contact, b"\"Bob\" <tel:+1-555-0100>;expires=8");
    }

    #[test]
    fn damage_is_noticed() {
        let mut kept = Vec::new();
        binding("<sip:bob@192.0.2.4>", 1000, 77).write(&mut kept).unwrap();
        let mut value = Vec::new();
        assemble(&mut [(1000, &kept)], &mut value);
        assert!(Bindings::checked(&value).is_some());
        for cut in 2..value.len() {
            assert!(Bindings::checked(&value[..cut]).is_none(), "{cut}");
        }
        assert!(Bindings::checked(b"").is_none());
        for at in 0..value.len() {
            for octet in [0, 1, 127, 255] {
                let mut other = value.clone();
                other[at] = octet;
                // Whatever it says, reading it does not fail.
                let _ =
                    Bindings::checked(&other).map(|b| b.map(|x| x.params().len()).sum::<usize>());
            }
        }
        value[0] = 9;
        assert!(Bindings::checked(&value).is_none());
    }
}
