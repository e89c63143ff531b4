//! What a REFER asks for, read and written (RFC 3515 section 2.1, RFC 3261 section 19.1.5, RFC 3892,
//! RFC 4508, RFC 5368).

use towel_message::body::{Multipart, Part};
use towel_message::uri::unescape;
use towel_message::{Message, Name, NameAddr, Uri};

use super::{Ask, Content};
use crate::contract::Fields;
use crate::dialog::Dialog;

/// Header fields that a URI may not have put into a request (RFC 3261 section 19.1.5): those that the
/// user agent answers for, and those that would say what it is or can.
const KEPT: [Name; 28] = [
    Name::Accept,
    Name::AcceptEncoding,
    Name::AcceptLanguage,
    Name::Allow,
    Name::Authorization,
    Name::CallId,
    Name::Contact,
    Name::ContentDisposition,
    Name::ContentEncoding,
    Name::ContentLength,
    Name::ContentType,
    Name::CSeq,
    Name::Date,
    Name::From,
    Name::MaxForwards,
    Name::MimeVersion,
    Name::Organization,
    Name::PAssertedIdentity,
    Name::ProxyAuthorization,
    Name::ProxyRequire,
    Name::RecordRoute,
    Name::ReferredBy,
    Name::Route,
    Name::Supported,
    Name::Timestamp,
    Name::To,
    Name::UserAgent,
    Name::Via,
];

/// What a REFER of a peer's asks for.
#[derive(Clone, Debug, Default)]
pub struct Referral {
    /// Whom: a URI without method and headers.
    pub uri: String,
    /// By which method; `INVITE` where nothing is said.
    pub method: String,
    /// Header fields that the URI wants to have in the request: Replaces, Require ...
    pub fields: Fields,
    /// The body that the URI wants.
    pub body: Vec<u8>,
    /// What the peer says that the target can: feature tags, each with its semicolon. A hint and no
    /// more (RFC 4508 section 5).
    pub features: String,
    /// Who refers us, by his own word: the value of Referred-By (RFC 3892).
    pub referred_by: Option<Vec<u8>>,
    /// What proves that: the part of the body that Referred-By names.
    token: Option<(Vec<u8>, Vec<u8>)>,
}

impl Referral {
    /// Reads it from a REFER; `None` where Refer-To cannot be read.
    pub fn of(refer: &[u8]) -> Option<Referral> {
        super::reading(refer, Referral::read).flatten()
    }

    fn read(refer: &Message<'_>) -> Option<Referral> {
        let refer_to = NameAddr::parse(refer.value(Name::ReferTo)?).ok()?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let mut referral = Referral { method: "INVITE".into(), ..Referral::default() };
        referral.features = features(&refer_to);
        match refer_to.parse_uri().ok()? {
            Uri::Sip(uri) => {
                referral.uri = text(&crate::dialog::as_request_uri(refer_to.uri));
                if let Some(method) = uri.method() {
                    referral.method = text(method.as_bytes());
                }
                referral.take_headers(&uri);
                referral.take_identity(refer);
            }
            uri => referral.uri = text(uri.bytes()),
        }
        Some(referral)
    }

    fn take_headers(&mut self, uri: &towel_message::SipUri<'_>) {
        for (name, value) in uri.headers.iter() {
            let (mut plain, mut clear) = (Vec::new(), Vec::new());
            unescape(name, &mut plain);
            unescape(value, &mut clear);
            if plain.eq_ignore_ascii_case(b"body") {
                self.body = clear;
                continue;
            }
            let token = |byte: &u8| byte.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(byte);
            let Ok(name) = std::str::from_utf8(&plain) else { continue };
            let kept = Name::from_bytes(&plain).is_some_and(|name| KEPT.contains(&name));
            if !plain.is_empty() && plain.iter().all(token) && !kept {
                self.fields.push(name, clear);
            }
        }
    }

    /// RFC 3892 section 2.2.
    fn take_identity(&mut self, refer: &Message<'_>) {
        let Some(value) = refer.value(Name::ReferredBy) else { return };
        self.referred_by = Some(value.to_vec());
        let Some(cid) = NameAddr::parse(value).ok().and_then(|by| by.params.value("cid")) else {
            return;
        };
        let Some(Ok(parts)) = refer.parts() else { return };
        let cid = cid.trim_ascii().strip_prefix(b"\"").unwrap_or(cid);
        let cid = cid.strip_suffix(b"\"").unwrap_or(cid);
        self.token = parts
            .into_iter()
            .find(|part| part.id() == Some(cid))
            .map(|part| (part.head.to_vec(), part.content.to_vec()));
    }

    /// Whether it wants another dialog replaced.
    pub fn replaces(&self) -> bool {
        self.fields.get("Replaces").is_some()
    }

    /// The request that it asks for, with this body of ours: an offer, where it is an INVITE. Who refers
    /// us is named in it as he named himself.
    pub fn ask(&self, body: Option<Content>) -> Ask {
        let mut ask = Ask::new(&self.method, &self.uri);
        ask.fields = self.fields.clone();
        if let Some(referred_by) = &self.referred_by {
            ask.fields.push("Referred-By", referred_by);
        }
        let body = body.or_else(|| {
            let bytes = self.body.clone();
            (!bytes.is_empty()).then(|| Content { media_type: "text/plain".into(), bytes })
        });
        ask.body = match &self.token {
            None => body,
            Some((head, content)) => {
                let mut parts = Multipart::new();
                if let Some(body) = &body {
                    parts = parts.part(body.media_type.as_bytes(), &body.bytes);
                }
                let (kind, bytes) = parts.copy(&Part { head, content }).finish("mixed");
                let media_type = String::from_utf8_lossy(&kind).into_owned();
                Some(Content { media_type, bytes })
            }
        };
        ask
    }
}

/// The feature tags among the parameters of an address, each with its semicolon (RFC 3840 section 9).
pub fn features(address: &NameAddr<'_>) -> String {
    const BASE: [&str; 17] = [
        "audio",
        "automata",
        "class",
        "duplex",
        "data",
        "control",
        "mobility",
        "description",
        "events",
        "priority",
        "methods",
        "schemes",
        "application",
        "video",
        "language",
        "type",
        "isfocus",
    ];
    const MORE: [&str; 4] = ["actor", "text", "extensions", "message"];
    let mut text = String::new();
    for param in address.params.iter() {
        let name = String::from_utf8_lossy(param.name).to_ascii_lowercase();
        if !(name.starts_with('+') || BASE.contains(&&*name) || MORE.contains(&&*name)) {
            continue;
        }
        text.push(';');
        text.push_str(&name);
        if let Some(value) = param.value {
            text.push('=');
            text.push_str(&String::from_utf8_lossy(value));
        }
    }
    text
}

/// A header of a URI: what may not stand in one is escaped (RFC 3261 section 25.1: hvalue).
fn escape(value: &[u8], to: &mut String) {
    for byte in value {
        let plain = byte.is_ascii_alphanumeric() || b"-_.!~*'()[]/?:+$".contains(byte);
        match plain {
            true => to.push(char::from(*byte)),
            false => to.push_str(&format!("%{byte:02X}")),
        }
    }
}

/// The value of Replaces for a dialog, as its peer is to read it (RFC 3891 section 4): its own tag is our
/// remote one.
pub fn replaces(dialog: &Dialog) -> Vec<u8> {
    // RFC 2543 peers have no tag, which is written as nought (section 6.1).
    let tag = |tag: &[u8]| if tag.is_empty() { b"0".to_vec() } else { tag.to_vec() };
    [
        dialog.call_id(),
        b";to-tag=",
        &tag(dialog.remote_tag()),
        b";from-tag=",
        &tag(dialog.local_tag()),
    ]
    .concat()
}

/// The value of Target-Dialog for a dialog, as its peer is to read it (RFC 4538 section 3).
pub fn target_dialog(dialog: &Dialog) -> Vec<u8> {
    [dialog.call_id(), b";local-tag=", dialog.remote_tag(), b";remote-tag=", dialog.local_tag()]
        .concat()
}

/// The value of Refer-To for a URI with headers to be put into the request, and feature tags.
pub fn refer_to(uri: &[u8], headers: &[(&str, &[u8])], features: &str) -> String {
    let mut text = format!("<{}", String::from_utf8_lossy(uri));
    for (at, (name, value)) in headers.iter().enumerate() {
        text.push(if at == 0 { '?' } else { '&' });
        text.push_str(name);
        text.push('=');
        escape(value, &mut text);
    }
    text.push('>');
    text.push_str(features);
    text
}

impl Ask {
    /// A REFER: in a dialog, whose `uri` may be empty, or outside of any. `refer_to` is the value of
    /// Refer-To.
    pub fn refer(uri: &str, refer_to: &str) -> Ask {
        Ask::new("REFER", uri).with("Refer-To", refer_to)
    }

    /// The same without a subscription: nothing is told of what comes of it (RFC 7614 section 5).
    #[must_use]
    pub fn without_news(mut self) -> Ask {
        self.fields.push("Require", "nosub");
        self.quiet = true;
        self
    }

    /// The same, with a subscription of its own to what comes of it (RFC 7614 section 4).
    #[must_use]
    pub fn with_explicit_news(mut self) -> Ask {
        self.fields.push("Require", "explicitsub");
        self.quiet = true;
        self
    }

    /// A REFER to many (RFC 5368): `targets` are URIs, each of which is taken once.
    pub fn refer_to_many(uri: &str, targets: &[&str]) -> Ask {
        let mut list = String::from(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n\
             <resource-lists xmlns=\"urn:ietf:params:xml:ns:resource-lists\">\r\n<list>\r\n",
        );
        let mut seen: Vec<&str> = Vec::new();
        for target in targets {
            if !seen.contains(target) {
                seen.push(target);
                list.push_str(&format!("<entry uri=\"{}\"/>\r\n", in_xml(target)));
            }
        }
        list.push_str("</list>\r\n</resource-lists>\r\n");
        let body = Content {
            media_type: "application/resource-lists+xml".into(),
            bytes: list.into_bytes(),
        };
        let cid = "targets@towel.invalid";
        let mut ask = Ask::refer(uri, &format!("<cid:{cid}>"))
            .with("Require", "multiple-refer, norefersub")
            .with("Refer-Sub", "false")
            .with("Content-Disposition", "recipient-list")
            .with("Content-ID", format!("<{cid}>"));
        ask.body = Some(body);
        ask
    }
}

/// A text as the value of an attribute.
fn in_xml(text: &str) -> String {
    let mut safe = String::new();
    for letter in text.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            _ => safe.push(letter),
        }
    }
    safe
}
