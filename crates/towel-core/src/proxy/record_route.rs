//! Record-Route (RFC 3261 section 16.6 step 4, RFC 5658, RFC 5630).

use towel_message::{Message, Method};

use super::mark::Marks;
use super::pass::Side;
use super::route::is_sips;
use crate::io::{ConnectionId, Flow, Transport};
use crate::server::Domains;

/// The values to put on top of a copy's Record-Route.
#[derive(Clone, Debug, Default)]
pub struct Values {
    /// For the side that the request came from, where it needs one of its own.
    pub inner: Vec<u8>,
    /// For the side that it goes to; the topmost.
    pub outer: Vec<u8>,
}

/// Whether a request is one on whose dialog we want to stay: those that make a dialog or refresh
/// its target, and methods that we do not know, which may do so (section 16.6 step 4).
pub fn wanted(method: &Method<'_>) -> bool {
    matches!(
        method,
        Method::Invite
            | Method::Subscribe
            | Method::Refer
            | Method::Notify
            | Method::Update
            | Method::Other(_)
    )
}

/// Whether the section says MUST: a sips URI on a request that came in the clear, or the reverse.
pub fn demanded(source: &Flow, uri: &[u8], hop: &[u8]) -> bool {
    source.transport.secure() != (is_sips(uri) || is_sips(hop))
}

/// Makes the values for a copy that came by `source` and leaves by `onward`.
///
/// Where the transport, the address family or our address changes there are two, one for each side
/// (RFC 5658 section 5), each with its transport; nothing needs to be rewritten in the response
/// then.
pub fn make(
    message: &Message<'_>,
    source: &Flow,
    onward: &Flow,
    secure: bool,
    domains: &Domains,
    marks: &Marks,
    values: &mut Values,
) {
    values.inner.clear();
    values.outer.clear();
    let same = source.listener == onward.listener
        && source.transport == onward.transport
        && source.local.is_ipv4() == onward.local.is_ipv4();
    let source_end = [source.connection.map(|id| (Side::Opener, id)), None];
    let onward_end = [onward.connection.map(|id| (Side::Other, id)), None];
    let both = [source_end[0], onward_end[0]];
    let outer_ends = if same { both } else { onward_end };
    write(message, onward, secure, !same, domains, (marks, outer_ends), &mut values.outer);
    if !same {
        write(
            message,
            source,
            secure && source.transport.secure(),
            true,
            domains,
            (marks, source_end),
            &mut values.inner,
        );
    }
}

fn write(
    message: &Message<'_>,
    flow: &Flow,
    secure: bool,
    changed: bool,
    domains: &Domains,
    (marks, ends): (&Marks, [Option<(Side, ConnectionId)>; 2]),
    out: &mut Vec<u8>,
) {
    // A request by TLS whose own URI is not a sips one must get a value that is none either
    // (section 16.6 step 4). What brings the next request back by TLS is then transport=tls, which
    // RFC 5658 section 6.2 would rather not see: phones understand it, and many no sips route.
    out.extend_from_slice(if secure { b"<sips:" } else { b"<sip:" });
    marks.write_route(message, domains, out);
    for (side, connection) in ends.into_iter().flatten() {
        marks.write_flow(message, side, connection, out);
    }
    out.push(b'@');
    domains.write_place(flow.listener, flow.local, out);
    let parameter: &[u8] = match flow.transport {
        Transport::Udp if changed && !secure => b";transport=udp",
        Transport::Udp => b"",
        Transport::Tls | Transport::Tcp if secure => b"",
        Transport::Tls => b";transport=tls",
        Transport::Tcp => b";transport=tcp",
        Transport::Ws | Transport::Wss => b";transport=ws",
        Transport::Sctp => b";transport=sctp",
    };
    out.extend_from_slice(parameter);
    out.extend_from_slice(b";lr>");
}
