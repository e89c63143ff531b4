//! Header field names: every one that RFC 3261 or an entry of the Guide speaks of.

use core::fmt;

use crate::stops::{BLOCK, at_most};
use wide::u8x16;

/// How often a header field may be there, and whether its lines may be joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Once, with one value.
    Single,
    /// A list: several lines, or several values with commas between (RFC 3261 section 7.3.1).
    List,
    /// Several lines, each a value of its own that may hold commas: challenges and credentials.
    Repeated,
}

macro_rules! names {
    ($($variant:ident, $text:literal, $compact:expr, $shape:ident;)*) => {
        /// The name of a header field.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        #[non_exhaustive]
        pub enum Name { $(#[doc = $text] $variant,)* }

        impl Name {
            /// Every name, in the order of their numbers.
            pub const ALL: &'static [Name] = &[$(Name::$variant,)*];
            const TEXT: &'static [&'static str] = &[$($text,)*];
            const COMPACT: &'static [Option<char>] = &[$($compact,)*];
            const SHAPE: &'static [Shape] = &[$(Shape::$shape,)*];
            const MALFORMED: &'static [&'static str] =
                &[$(concat!("Malformed ", $text, " Header Field"),)*];
            const MISSING: &'static [&'static str] =
                &[$(concat!("Missing ", $text, " Header Field"),)*];
            const REPEATED: &'static [&'static str] =
                &[$(concat!("Repeated ", $text, " Header Field"),)*];
        }
    };
}

names! {
    Accept, "Accept", None, List;
    AcceptContact, "Accept-Contact", Some('a'), List;
    AcceptEncoding, "Accept-Encoding", None, List;
    AcceptLanguage, "Accept-Language", None, List;
    AcceptResourcePriority, "Accept-Resource-Priority", None, List;
    AlertInfo, "Alert-Info", None, List;
    Allow, "Allow", None, List;
    AllowEvents, "Allow-Events", Some('u'), List;
    AnswerMode, "Answer-Mode", None, Single;
    AuthenticationInfo, "Authentication-Info", None, Single;
    Authorization, "Authorization", None, Repeated;
    CallId, "Call-ID", Some('i'), Single;
    CallInfo, "Call-Info", None, List;
    Contact, "Contact", Some('m'), List;
    ContentDisposition, "Content-Disposition", None, Single;
    ContentEncoding, "Content-Encoding", Some('e'), List;
    ContentId, "Content-ID", None, Single;
    ContentLanguage, "Content-Language", None, List;
    ContentLength, "Content-Length", Some('l'), Single;
    ContentType, "Content-Type", Some('c'), Single;
    CSeq, "CSeq", None, Single;
    Date, "Date", None, Single;
    Encryption, "Encryption", None, Repeated;
    ErrorInfo, "Error-Info", None, List;
    Event, "Event", Some('o'), Single;
    Expires, "Expires", None, Single;
    FeatureCaps, "Feature-Caps", None, List;
    FlowTimer, "Flow-Timer", None, Single;
    From, "From", Some('f'), Single;
    Geolocation, "Geolocation", None, List;
    GeolocationError, "Geolocation-Error", None, Single;
    GeolocationRouting, "Geolocation-Routing", None, Single;
    HistoryInfo, "History-Info", None, List;
    Identity, "Identity", Some('y'), Repeated;
    IdentityInfo, "Identity-Info", Some('n'), Single;
    InReplyTo, "In-Reply-To", None, List;
    InfoPackage, "Info-Package", None, Single;
    Join, "Join", None, Single;
    MaxBreadth, "Max-Breadth", None, Single;
    MaxForwards, "Max-Forwards", None, Single;
    MimeVersion, "MIME-Version", None, Single;
    MinExpires, "Min-Expires", None, Single;
    MinSe, "Min-SE", None, Single;
    Organization, "Organization", None, Single;
    PAccessNetworkInfo, "P-Access-Network-Info", None, List;
    PAnswerState, "P-Answer-State", None, Single;
    PAssertedIdentity, "P-Asserted-Identity", None, List;
    PAssertedService, "P-Asserted-Service", None, List;
    PAssociatedUri, "P-Associated-URI", None, List;
    PCalledPartyId, "P-Called-Party-ID", None, Single;
    PChargingFunctionAddresses, "P-Charging-Function-Addresses", None, Single;
    PChargingVector, "P-Charging-Vector", None, Single;
    PDcsBillingInfo, "P-DCS-Billing-Info", None, Single;
    PDcsLaes, "P-DCS-LAES", None, Single;
    PDcsOsps, "P-DCS-OSPS", None, Single;
    PDcsRedirect, "P-DCS-Redirect", None, Single;
    PDcsTracePartyId, "P-DCS-Trace-Party-ID", None, Single;
    PEarlyMedia, "P-Early-Media", None, Single;
    PMediaAuthorization, "P-Media-Authorization", None, List;
    PPreferredIdentity, "P-Preferred-Identity", None, List;
    PPreferredService, "P-Preferred-Service", None, List;
    PPrivateNetworkIndication, "P-Private-Network-Indication", None, Single;
    PProfileKey, "P-Profile-Key", None, Single;
    PRefusedUriList, "P-Refused-URI-List", None, List;
    PServedUser, "P-Served-User", None, Single;
    PUserDatabase, "P-User-Database", None, Single;
    PVisitedNetworkId, "P-Visited-Network-ID", None, List;
    Path, "Path", None, List;
    PermissionMissing, "Permission-Missing", None, List;
    PolicyContact, "Policy-Contact", None, List;
    PolicyId, "Policy-ID", None, Single;
    Priority, "Priority", None, Single;
    PrivAnswerMode, "Priv-Answer-Mode", None, Single;
    Privacy, "Privacy", None, Single;
    ProxyAuthenticate, "Proxy-Authenticate", None, Repeated;
    ProxyAuthenticationInfo, "Proxy-Authentication-Info", None, Single;
    ProxyAuthorization, "Proxy-Authorization", None, Repeated;
    ProxyRequire, "Proxy-Require", None, List;
    ProxyRequiredBody, "Proxy-Required-Body", None, List;
    RAck, "RAck", None, Single;
    Reason, "Reason", None, List;
    RecordRoute, "Record-Route", None, List;
    RecvInfo, "Recv-Info", None, List;
    ReferEventsAt, "Refer-Events-At", None, Single;
    ReferSub, "Refer-Sub", None, Single;
    ReferTo, "Refer-To", Some('r'), Single;
    ReferredBy, "Referred-By", Some('b'), Single;
    RejectContact, "Reject-Contact", Some('j'), List;
    RemotePartyId, "Remote-Party-ID", None, List;
    Replaces, "Replaces", None, Single;
    ReplyTo, "Reply-To", None, Single;
    RequestDisposition, "Request-Disposition", Some('d'), List;
    Require, "Require", None, List;
    ResourcePriority, "Resource-Priority", None, List;
    ResponseKey, "Response-Key", None, Single;
    RetryAfter, "Retry-After", None, Single;
    Route, "Route", None, List;
    RSeq, "RSeq", None, Single;
    SecurityClient, "Security-Client", None, List;
    SecurityServer, "Security-Server", None, List;
    SecurityVerify, "Security-Verify", None, List;
    Server, "Server", None, Single;
    ServiceRoute, "Service-Route", None, List;
    SessionExpires, "Session-Expires", Some('x'), Single;
    SessionId, "Session-ID", None, Single;
    SipETag, "SIP-ETag", None, Single;
    SipIfMatch, "SIP-If-Match", None, Single;
    Subject, "Subject", Some('s'), Single;
    SubscriptionState, "Subscription-State", None, Single;
    Supported, "Supported", Some('k'), List;
    SuppressIfMatch, "Suppress-If-Match", None, Single;
    TargetDialog, "Target-Dialog", None, Single;
    Timestamp, "Timestamp", None, Single;
    To, "To", Some('t'), Single;
    TriggerConsent, "Trigger-Consent", None, List;
    Unsupported, "Unsupported", None, List;
    UserAgent, "User-Agent", None, Single;
    UserToUser, "User-to-User", None, List;
    Via, "Via", Some('v'), List;
    Warning, "Warning", None, List;
    WwwAuthenticate, "WWW-Authenticate", None, Repeated;
}

/// Names by length and first letter: the number of the first that fits, and for each name the next
/// one with the same key.
const BUCKETS: usize = 1024;
const NONE: u8 = u8::MAX;
static TABLE: ([u8; BUCKETS], [u8; 128]) = table();

const fn bucket(len: usize, first: u8) -> usize {
    ((len & 31) << 5) | (first & 31) as usize
}

#[cfg_attr(not(test), expect(clippy::indexing_slicing, reason = "done by the compiler"))]
const fn table() -> ([u8; BUCKETS], [u8; 128]) {
    let mut heads = [NONE; BUCKETS];
    let mut next = [NONE; 128];
    let mut i = Name::TEXT.len();
    while i > 0 {
        i -= 1;
        let text = Name::TEXT[i].as_bytes();
        let at = bucket(text.len(), text[0]);
        next[i] = heads[at];
        heads[at] = i as u8;
    }
    (heads, next)
}

/// Compact forms by letter.
static LETTERS: [u8; 32] = letters();

#[cfg_attr(not(test), expect(clippy::indexing_slicing, reason = "done by the compiler"))]
const fn letters() -> [u8; 32] {
    let mut letters = [NONE; 32];
    let mut i = 0;
    while i < Name::COMPACT.len() {
        if let Some(letter) = Name::COMPACT[i] {
            letters[(letter as u8 & 31) as usize] = i as u8;
        }
        i += 1;
    }
    letters
}

/// Each name that is shorter than a block, with [`FOLD`] in each of its bytes.
static FOLDED: [[u8; BLOCK]; 128] = folded();

/// The bit in which a capital letter differs from a small one.
const FOLD: u8 = 0x20;

#[cfg_attr(not(test), expect(clippy::indexing_slicing, reason = "done by the compiler"))]
const fn folded() -> [[u8; BLOCK]; 128] {
    let mut all = [[0; BLOCK]; 128];
    let mut i = 0;
    while i < Name::TEXT.len() {
        let text = Name::TEXT[i].as_bytes();
        let mut at = 0;
        while at < text.len() && at < BLOCK {
            all[i][at] = text[at] | FOLD;
            at += 1;
        }
        i += 1;
    }
    all
}

impl Name {
    /// The number of the name that the first `len` bytes of a block are.
    #[inline]
    pub(crate) fn of_block(block: u8x16, len: u32) -> Option<u8> {
        let first = *block.as_array().first()?;
        if len <= 1 {
            let letter = len == 1 && first.is_ascii_alphabetic();
            let number = *LETTERS.get(usize::from(first & 31))?;
            return (letter && number != NONE).then_some(number);
        }
        let all = (1u32 << (len & 15)) - 1;
        let folded = block | u8x16::splat(FOLD);
        // A CR, too, becomes a dash.
        let low = at_most(block, b'\r');
        let mut number = *TABLE.0.get(bucket(len as usize, first))?;
        while let Some(text) = FOLDED.get(usize::from(number)) {
            let same = folded.simd_eq(u8x16::new(*text)).to_bitmask() & !low;
            if same & all == all && len < BLOCK as u32 {
                return Some(number);
            }
            number = *TABLE.1.get(usize::from(number))?;
        }
        None
    }

    /// Finds a name, in any case, in its long or its compact form.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let first = *bytes.first()?;
        if !first.is_ascii_alphabetic() {
            return None;
        }
        if bytes.len() == 1 {
            return Self::from_number(*LETTERS.get(usize::from(first & 31))?);
        }
        let mut number = *TABLE.0.get(bucket(bytes.len(), first))?;
        while number != NONE {
            let text = Self::TEXT.get(usize::from(number))?.as_bytes();
            // Most peers write names as the RFC does, and that compares many bytes at once.
            if text == bytes || text.eq_ignore_ascii_case(bytes) {
                return Self::from_number(number);
            }
            number = *TABLE.1.get(usize::from(number))?;
        }
        None
    }

    /// The name with this number.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// The name as the RFC writes it.
    pub fn as_str(self) -> &'static str {
        Self::TEXT.get(self as usize).copied().unwrap_or("")
    }

    /// The compact form (RFC 3261 section 7.3.3), where there is one.
    pub fn compact(self) -> Option<char> {
        Self::COMPACT.get(self as usize).copied().flatten()
    }

    /// How often it may be there.
    pub fn shape(self) -> Shape {
        Self::SHAPE.get(self as usize).copied().unwrap_or(Shape::Repeated)
    }

    /// Whether its values may be joined by commas.
    pub fn is_list(self) -> bool {
        self.shape() == Shape::List
    }

    /// Its bit in a set of names.
    pub const fn bit(self) -> u128 {
        1 << (self as u8)
    }

    pub(crate) fn malformed(self) -> &'static str {
        Self::MALFORMED.get(self as usize).copied().unwrap_or("")
    }

    pub(crate) fn missing(self) -> &'static str {
        Self::MISSING.get(self as usize).copied().unwrap_or("")
    }

    pub(crate) fn repeated(self) -> &'static str {
        Self::REPEATED.get(self as usize).copied().unwrap_or("")
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A name to write: one that is known, or any other token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldName<'a> {
    /// A name that is known here.
    Known(Name),
    /// Any other. The caller answers for its being a token.
    Other(&'a str),
}

impl<'a> FieldName<'a> {
    /// The bytes as they are written.
    pub fn as_bytes(&self) -> &'a [u8] {
        match *self {
            Self::Known(name) => name.as_str().as_bytes(),
            Self::Other(text) => text.as_bytes(),
        }
    }

    /// The known name, also where it was given as text.
    pub fn known(&self) -> Option<Name> {
        match *self {
            Self::Known(name) => Some(name),
            Self::Other(text) => Name::from_bytes(text.as_bytes()),
        }
    }
}

impl From<Name> for FieldName<'_> {
    fn from(name: Name) -> Self {
        Self::Known(name)
    }
}

impl<'a> From<&'a str> for FieldName<'a> {
    fn from(text: &'a str) -> Self {
        Self::Other(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_in_every_form() {
        assert!(Name::ALL.len() <= 128, "presence is a set of 128 bits");
        for (number, name) in Name::ALL.iter().enumerate() {
            assert_eq!(*name as usize, number);
            let text = name.as_str();
            assert_eq!(Name::from_bytes(text.as_bytes()), Some(*name));
            assert_eq!(Name::from_bytes(text.to_uppercase().as_bytes()), Some(*name));
            assert_eq!(Name::from_bytes(text.to_lowercase().as_bytes()), Some(*name));
            if let Some(letter) = name.compact() {
                assert_eq!(Name::from_bytes(&[letter as u8]), Some(*name));
                assert_eq!(Name::from_bytes(&[letter.to_ascii_uppercase() as u8]), Some(*name));
            }
        }
    }

    #[test]
    fn a_name_is_found_in_a_block_as_it_is_alone() {
        let texts = Name::ALL.iter().flat_map(|name| {
            let text = name.as_str();
            let mut all = vec![text.to_owned(), text.to_uppercase(), text.to_lowercase()];
            all.extend(name.compact().map(String::from));
            all.extend([text.replace('-', "\r"), text.replace('-', "M"), format!("{text}x")]);
            all.extend([text.replace('e', "\u{5}"), format!("1{text}")]);
            all
        });
        for text in texts.filter(|text| text.len() < BLOCK) {
            let mut block = [b':'; BLOCK];
            block[..text.len()].copy_from_slice(text.as_bytes());
            let found = Name::of_block(u8x16::new(block), text.len() as u32);
            let found = found.and_then(Name::from_number);
            assert_eq!(found, Name::from_bytes(text.as_bytes()), "{text:?}");
        }
    }

    #[test]
    fn what_only_looks_like_a_name_is_none() {
        for text in ["", "C%6Fntact", "Vi", "Viaa", "%", "z", "-", "\u{16}", "To "] {
            assert_eq!(Name::from_bytes(text.as_bytes()), None, "{text}");
        }
    }
}
