//! RFC 3261 section 21: its response codes, and RFC 5393's 440, with what each does to a dialog
//! when it answers a request inside one (RFC 5057 section 5.1).

use towel_core::contract::DialogEffect::{self, Dialog, NotApplicable, Transaction, Usage};
use towel_core::contract::{ResponseCode, WarnCode};

const fn code(code: u16, phrase: &'static str, effect: DialogEffect) -> ResponseCode {
    ResponseCode { code, phrase, effect }
}

const fn warn(code: u16, text: &'static str) -> WarnCode {
    WarnCode { code, text }
}

/// The response codes.
pub(super) const RESPONSE_CODES: &[ResponseCode] = &[
    code(100, "Trying", NotApplicable),
    code(180, "Ringing", NotApplicable),
    code(181, "Call Is Being Forwarded", NotApplicable),
    code(182, "Queued", NotApplicable),
    code(183, "Session Progress", NotApplicable),
    code(200, "OK", NotApplicable),
    code(300, "Multiple Choices", Dialog),
    code(301, "Moved Permanently", Dialog),
    code(302, "Moved Temporarily", Dialog),
    code(305, "Use Proxy", Dialog),
    code(380, "Alternative Service", Dialog),
    code(400, "Bad Request", Transaction),
    code(401, "Unauthorized", Transaction),
    code(402, "Payment Required", Transaction),
    code(403, "Forbidden", Transaction),
    code(404, "Not Found", Dialog),
    code(405, "Method Not Allowed", Usage),
    code(406, "Not Acceptable", Transaction),
    code(407, "Proxy Authentication Required", Transaction),
    code(408, "Request Timeout", Usage),
    code(410, "Gone", Dialog),
    code(413, "Request Entity Too Large", Transaction),
    code(414, "Request-URI Too Long", Transaction),
    code(415, "Unsupported Media Type", Transaction),
    code(416, "Unsupported URI Scheme", Dialog),
    code(420, "Bad Extension", Transaction),
    code(421, "Extension Required", Transaction),
    code(423, "Interval Too Brief", Transaction),
    code(440, "Max-Breadth Exceeded", Transaction),
    code(480, "Temporarily Unavailable", Usage),
    code(481, "Call/Transaction Does Not Exist", Usage),
    code(482, "Loop Detected", Dialog),
    code(483, "Too Many Hops", Dialog),
    code(484, "Address Incomplete", Dialog),
    code(485, "Ambiguous", Dialog),
    code(486, "Busy Here", Transaction),
    code(487, "Request Terminated", Transaction),
    code(488, "Not Acceptable Here", Transaction),
    code(491, "Request Pending", Transaction),
    code(493, "Undecipherable", Transaction),
    code(500, "Server Internal Error", Transaction),
    code(501, "Not Implemented", Usage),
    code(502, "Bad Gateway", Dialog),
    code(503, "Service Unavailable", Transaction),
    code(504, "Server Time-out", Transaction),
    code(505, "Version Not Supported", Transaction),
    code(513, "Message Too Large", Transaction),
    code(600, "Busy Everywhere", Transaction),
    code(603, "Decline", Transaction),
    code(604, "Does Not Exist Anywhere", Dialog),
    code(606, "Not Acceptable", Transaction),
];

/// The warn codes of section 20.43.
pub(super) const WARN_CODES: &[WarnCode] = &[
    warn(300, "Incompatible network protocol"),
    warn(301, "Incompatible network address formats"),
    warn(302, "Incompatible transport protocol"),
    warn(303, "Incompatible bandwidth units"),
    warn(304, "Media type not available"),
    warn(305, "Incompatible media format"),
    warn(306, "Attribute not understood"),
    warn(307, "Session description parameter not understood"),
    warn(330, "Multicast not available"),
    warn(331, "Unicast not available"),
    warn(370, "Insufficient bandwidth"),
    warn(399, "Miscellaneous warning"),
];
