//! A received request as `message/sipfrag` (RFC 3420), within a size.

use towel_message::{Field, Message, Name, Via};

/// How soon a header field is left out when there is too much: the higher the sooner; `None`
/// for what is never sent back.
fn rank(field: &Field<'_>) -> Option<u8> {
    match field.name {
        Some(
            Name::Authorization
            | Name::ProxyAuthorization
            | Name::Identity
            | Name::SecurityVerify
            | Name::SecurityClient
            | Name::PAccessNetworkInfo
            | Name::PAssertedIdentity
            | Name::PPreferredIdentity,
        ) => None,
        Some(Name::Via) => Some(0),
        Some(Name::MaxForwards) => Some(1),
        Some(Name::CallId | Name::CSeq | Name::From | Name::To) => Some(2),
        Some(Name::Route | Name::RecordRoute | Name::MaxBreadth) => Some(3),
        Some(Name::Contact | Name::Require | Name::ProxyRequire) => Some(4),
        // These speak of a body that is not there (RFC 3420 section 2 wants them consistent).
        Some(
            Name::ContentLength
            | Name::ContentType
            | Name::ContentEncoding
            | Name::ContentDisposition
            | Name::ContentLanguage
            | Name::MimeVersion,
        ) => None,
        Some(_) => Some(5),
        None => Some(6),
    }
}

/// The request line and as many header fields as fit into `most` bytes, in their order.
pub(super) fn of(request: &Message<'_>, most: usize) -> Vec<u8> {
    let bytes = request.bytes();
    let line_end = bytes.windows(2).position(|pair| pair == b"\r\n").map_or(0, |at| at + 2);
    let line = bytes.get(..line_end).unwrap_or_default();
    let mut out = Vec::new();
    // A request line that does not fit leaves room for nothing that matters more than Via.
    let mut left = most;
    if line.len() <= left / 2 {
        out.extend_from_slice(line);
        left -= line.len();
    }
    let mut chosen = Vec::new();
    for wanted in 0..=6 {
        for field in request.all().filter(|field| rank(field) == Some(wanted)) {
            let Some(size) = Some(field.line.of(bytes).len()).filter(|size| *size <= left) else {
                continue;
            };
            left -= size;
            chosen.push(field);
        }
    }
    chosen.sort_by_key(|field| field.line.start);
    for field in chosen {
        out.extend_from_slice(field.line.of(bytes));
    }
    out
}

/// The most hops that a client shows.
const MOST_HOPS: usize = 100;

/// The sent-by of each Via value in a fragment, the last hop first.
pub(super) fn vias(fragment: &[u8]) -> Vec<String> {
    // A fragment need not begin with a start line, so it is read line by line and not parsed as
    // a message (RFC 3420 section 2); lines that a peer folded are unfolded first.
    let text = String::from_utf8_lossy(fragment);
    let unfolded = text.replace("\r\n ", " ").replace("\r\n\t", " ");
    unfolded
        .lines()
        .filter_map(|line| line.split_once(':'))
        .filter(|(name, _)| {
            let name = name.trim();
            name.eq_ignore_ascii_case("Via") || name.eq_ignore_ascii_case("v")
        })
        .flat_map(|(_, value)| value.split(','))
        .filter_map(|value| {
            let via = Via::parse(value.trim().as_bytes()).ok()?;
            let host = via.host;
            let transport = String::from_utf8_lossy(via.transport).into_owned();
            Some(match via.port {
                Some(port) => format!("{host}:{port} ({transport})"),
                None => format!("{host} ({transport})"),
            })
        })
        .take(MOST_HOPS)
        .collect()
}
