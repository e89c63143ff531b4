//! What of a message goes on to the other side: everything that is not about the dialog, the way, or
//! the agreement of two neighbours.

use towel_message::{Message, Name, NameAddr, SipUri, Uri};

use super::B2bua;
use super::bridge::Side;
use crate::contract::Fields;
use crate::ua::user_agent::{Content, DialogHandle};

/// What each leg has of its own.
const OWN: [Name; 22] = [
    Name::Via,
    Name::Route,
    Name::RecordRoute,
    Name::MaxForwards,
    Name::From,
    Name::To,
    Name::CallId,
    Name::CSeq,
    Name::Contact,
    Name::ContentType,
    Name::ContentLength,
    Name::Supported,
    Name::Require,
    Name::ProxyRequire,
    Name::RSeq,
    Name::RAck,
    Name::SessionExpires,
    Name::MinSe,
    Name::SessionId,
    Name::Timestamp,
    Name::Path,
    Name::ServiceRoute,
];

/// What tells of the machines that somebody uses.
const TELLING: [Name; 6] = [
    Name::UserAgent,
    Name::Server,
    Name::Organization,
    Name::Warning,
    Name::CallInfo,
    Name::ErrorInfo,
];

/// Option tags that hold between the two ends and want nothing of us but that we relay all there is: what
/// somebody supports or requires of them goes on. Any other that is required is refused with 420.
pub(super) const CARRIED: [&str; 12] = [
    "answermode",
    "early-session",
    "explicitsub",
    "from-change",
    "histinfo",
    "ice",
    "join",
    "norefersub",
    "nosub",
    "precondition",
    "replaces",
    "resource-priority",
];

/// The option tag of reliable provisional responses: each leg has its own, but nobody behind is told of
/// it unless the one in front knows it too.
const RELIABLE: &str = "100rel";

/// Whether a body is a session description, or may have one in it.
pub(crate) fn is_description(body: &Content) -> bool {
    let kind = body.media_type.to_ascii_lowercase();
    kind.starts_with("application/sdp") || kind.starts_with("multipart/")
}

/// The body as it came.
pub(crate) fn body(message: &Message<'_>) -> Option<Content> {
    if message.body().is_empty() {
        return None;
    }
    let kind = message.value(Name::ContentType).unwrap_or(b"application/octet-stream");
    Some(Content {
        media_type: String::from_utf8_lossy(kind).into_owned(),
        bytes: message.body().to_vec(),
    })
}

/// The tags of a list.
fn tags<'a>(message: &Message<'a>, name: Name) -> impl Iterator<Item = &'a str> + use<'a> {
    let fields = message.fields(name);
    fields
        .flat_map(|field| field.value.split(|byte| *byte == b','))
        .filter_map(|tag| std::str::from_utf8(tag.trim_ascii()).ok())
        .filter(|tag| !tag.is_empty())
}

fn is_carried(tag: &str) -> bool {
    CARRIED.iter().any(|carried| carried.eq_ignore_ascii_case(tag))
}

/// From or To as it came, without its tag.
pub(super) fn party(message: &Message<'_>, name: Name) -> String {
    let value = message.value(name).unwrap_or_default();
    let kept = match NameAddr::parse(value) {
        Ok(party) => {
            // Whatever stands before the parameters, and of those all but the tag.
            let length = value.len().saturating_sub(party.params.bytes().len());
            let mut kept = value.get(..length).unwrap_or_default().trim_ascii().to_vec();
            if !party.bracketed {
                kept = [b"<", &kept[..], b">"].concat();
            }
            for param in party.params.iter() {
                if param.name.eq_ignore_ascii_case(b"tag") {
                    continue;
                }
                kept.push(b';');
                kept.extend_from_slice(param.name);
                if let Some(value) = param.value {
                    kept.push(b'=');
                    kept.extend_from_slice(value);
                }
            }
            kept
        }
        Err(_) => b"<sip:anonymous@anonymous.invalid>".to_vec(),
    };
    String::from_utf8_lossy(&kept).replace(['\r', '\n'], " ")
}

/// The user part of a party's URI.
pub(super) fn user(message: &Message<'_>, name: Name) -> String {
    let uri = match name {
        Name::From => message.from_uri(),
        _ => message.to_uri(),
    };
    match uri {
        Ok(Uri::Sip(SipUri { user: Some(user), .. })) => String::from_utf8_lossy(user).into_owned(),
        _ => String::new(),
    }
}

impl B2bua {
    /// The header fields that go on with a message.
    pub(super) fn carried(&self, message: &Message<'_>) -> Fields {
        let mut fields = Fields::new();
        for field in message.all() {
            let skip = match field.name {
                Some(name) => {
                    OWN.contains(&name) || (self.settings.hide && TELLING.contains(&name))
                }
                None => false,
            };
            if skip {
                continue;
            }
            let name = field.name.map(Name::as_str);
            let name = name.or_else(|| std::str::from_utf8(field.name_bytes).ok());
            if let Some(name) = name {
                fields.push(name, field.value);
            }
        }
        let required: Vec<&str> =
            tags(message, Name::Require).filter(|tag| is_carried(tag)).collect();
        // A 421 names what it misses.
        if message.is_request() && !required.is_empty() {
            fields.push("Require", required.join(", "));
        } else if message.status() >= 300 {
            for field in message.fields(Name::Require) {
                fields.push("Require", field.value);
            }
        }
        fields
    }

    /// What is supported of us towards the other side: what we do ourselves, and what the one who sent this
    /// can do.
    pub(super) fn supported(&self, message: &Message<'_>) -> String {
        let own = self.agent.registry().supported();
        let reliable = !message.is_request()
            || tags(message, Name::Supported)
                .chain(tags(message, Name::Require))
                .any(|tag| tag.eq_ignore_ascii_case(RELIABLE));
        let own = own.split(',').map(str::trim).filter(|tag| !tag.is_empty());
        let own = own.filter(|tag| reliable || !tag.eq_ignore_ascii_case(RELIABLE));
        let theirs = tags(message, Name::Supported).filter(|tag| is_carried(tag));
        let mut all: Vec<&str> = Vec::new();
        for tag in own.chain(theirs) {
            if !all.iter().any(|have| have.eq_ignore_ascii_case(tag)) {
                all.push(tag);
            }
        }
        all.join(", ")
    }

    /// The option tags that are required and that neither we know nor may leave to the other end (RFC
    /// 3261 section 8.2.2.3).
    pub(super) fn unsupported(&self, message: &Message<'_>) -> Option<String> {
        let own = self.agent.registry().supported();
        let known = |tag: &str| own.split(',').any(|have| have.trim().eq_ignore_ascii_case(tag));
        let missing: Vec<&str> =
            tags(message, Name::Require).filter(|tag| !is_carried(tag) && !known(tag)).collect();
        (!missing.is_empty()).then(|| missing.join(", "))
    }

    /// A Refer-To in which a dialog of the sender's is named: the same dialog as the other end of it
    /// knows it. RFC 3891 section 3, RFC 3515: Replaces in the headers of the URI.
    pub(super) fn refer_to(&self, value: &[u8]) -> Option<Vec<u8>> {
        let at = memchr::memmem::find(&value.to_ascii_lowercase(), b"replaces=")?;
        let before = at.checked_sub(1).and_then(|at| value.get(at));
        if !matches!(before, Some(b'?' | b'&')) {
            return None;
        }
        let start = at + b"replaces=".len();
        let rest = value.get(start..)?;
        let length = rest.iter().position(|b| matches!(b, b'&' | b'>')).unwrap_or(rest.len());
        let named = unescape(rest.get(..length)?)?;
        let mapped = escape(&self.replaces(&named)?);
        Some([value.get(..start)?, &mapped, rest.get(length..)?].concat())
    }

    /// The value of Replaces that names the dialog on the other side of a dialog of ours.
    fn replaces(&self, named: &[u8]) -> Option<Vec<u8>> {
        let mut parts = named.split(|byte| *byte == b';');
        let call_id = parts.next()?.trim_ascii();
        let (mut to, mut from, mut more) = (None, None, Vec::new());
        for part in parts {
            let (name, value) =
                part.split_at(part.iter().position(|b| *b == b'=').unwrap_or(part.len()));
            let value = value.get(1..).unwrap_or_default().trim_ascii();
            if name.trim_ascii().eq_ignore_ascii_case(b"to-tag") {
                to = Some(value);
            } else if name.trim_ascii().eq_ignore_ascii_case(b"from-tag") {
                from = Some(value);
            } else {
                more.push(part);
            }
        }
        // The sender's peer in it is ourselves: to-tag is the tag that we gave.
        let dialog = self.agent.find_dialog(call_id, to?, from?)?;
        let other = self.agent.dialog(self.opposite(dialog)?)?;
        let mut value = [other.call_id(), b";to-tag=", other.remote_tag(), b";from-tag="].concat();
        value.extend_from_slice(other.local_tag());
        for part in more {
            value.push(b';');
            value.extend_from_slice(part);
        }
        Some(value)
    }

    /// The dialog on the other side.
    pub(super) fn opposite(&self, dialog: DialogHandle) -> Option<DialogHandle> {
        let (id, side) = self.dialogs.get(&dialog)?;
        let bridge = self.bridges.get(*id)?;
        let pair = bridge.pairs.get(bridge.pair_of(*side, dialog)?)?;
        pair.dialog(Side::other(*side))
    }
}

fn unescape(text: &[u8]) -> Option<Vec<u8>> {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text.iter();
    while let Some(byte) = rest.next() {
        if *byte != b'%' {
            plain.push(*byte);
            continue;
        }
        let digits = [*rest.next()?, *rest.next()?];
        plain.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
    }
    Some(plain)
}

fn escape(plain: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(plain.len());
    for byte in plain {
        if byte.is_ascii_alphanumeric() || b"-_.!~*'()[]/?:+$".contains(byte) {
            text.push(*byte);
        } else {
            text.extend_from_slice(format!("%{byte:02X}").as_bytes());
        }
    }
    text
}
