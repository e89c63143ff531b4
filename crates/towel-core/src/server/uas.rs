//! What the element answers as a UAS: requests that are for the server itself and not for one of
//! its users (RFC 3261 sections 8.2 and 11).

use towel_message::{Message, Method};

use crate::contract::{Fields, Registry, Reply, Verdict};

/// The answer to a request for the server itself, in the order of section 8.2. `merged` says whether
/// the request has come before by another way; `proxies` whether we are a proxy besides.
pub(super) fn answer(
    registry: &Registry,
    message: &Message<'_>,
    proxies: bool,
    merged: impl FnOnce() -> bool,
    room: &mut Fields,
) -> Reply {
    let method = message.method();
    let name = method.as_bytes();
    // Section 8.2.1. A method that nobody here has heard of is not implemented (section 21.5.2; RFC
    // 4475 sections 3.1.1.2 and 3.1.1.5), one that is known is not allowed for this resource.
    if !method.is_known() && registry.method(name).is_none() {
        return Reply::new(501, "Not Implemented").with("Allow", allow(registry));
    }
    // A request inside a dialog: the server itself never had one (section 12.2.2).
    if message.to_tag().is_some() && method != Method::Register {
        return Reply::new(481, "Call/Transaction Does Not Exist");
    }
    if !registry.allows(name) {
        return not_allowed(registry);
    }
    // Section 8.2.2.2, which a proxy must not ask (16.3).
    if merged() {
        return Reply::new(482, "Loop Detected");
    }
    let required = if proxies {
        registry.check_all_required(message)
    } else {
        registry.check_require(message)
    };
    for verdict in [required, registry.check_body(message)] {
        if let Verdict::Refuse(reply) = verdict {
            return *reply;
        }
    }
    match method {
        Method::Options => options(registry, std::mem::take(room)),
        _ => not_allowed(registry),
    }
}

/// The methods that this server takes for itself. A session is none of its business: INVITE, ACK
/// and BYE are for its users' devices.
fn allow(registry: &Registry) -> &str {
    registry.allow_besides_sessions()
}

fn not_allowed(registry: &Registry) -> Reply {
    Reply::new(405, "Method Not Allowed").with("Allow", allow(registry))
}

/// Section 11.2: what we can do. `room` is for the header fields.
fn options(registry: &Registry, mut room: Fields) -> Reply {
    room.set(registry.abilities());
    Reply { fields: room, ..Reply::new(200, "OK") }
}

/// The usual phrase of a status (section 21).
pub(crate) fn phrase(status: u16) -> &'static str {
    match status {
        100 => "Trying",
        200 => "OK",
        202 => "Accepted",
        302 => "Moved Temporarily",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        416 => "Unsupported URI Scheme",
        420 => "Bad Extension",
        440 => "Max-Breadth Exceeded",
        480 => "Temporarily Unavailable",
        481 => "Call/Transaction Does Not Exist",
        482 => "Loop Detected",
        483 => "Too Many Hops",
        487 => "Request Terminated",
        500 => "Server Internal Error",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        505 => "Version Not Supported",
        _ => match status / 100 {
            1 => "Progress",
            2 => "OK",
            3 => "Redirected",
            4 => "Request Failed",
            5 => "Server Failed",
            _ => "Global Failure",
        },
    }
}
