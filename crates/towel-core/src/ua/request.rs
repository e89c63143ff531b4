//! What to send, before it is a message.

use towel_message::build::RequestBuilder;
use towel_message::{Method, Name};

use crate::stack::ViaStamp;

/// A request outside of any dialog (RFC 3261 section 8.1.1).
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The method.
    pub method: String,
    /// The Request-URI.
    pub uri: Vec<u8>,
    /// Where to send it, if not to the Request-URI: a Route with this URI is put in (an outbound
    /// proxy, RFC 3261 section 8.1.2).
    pub route: Option<Vec<u8>>,
    /// Where to send it without saying so in it: a server that is configured for all requests
    /// (section 8.1.2 lets a UAC have one).
    pub server: Option<Vec<u8>>,
    /// Whether where it is sent is the sender's own server, whose challenges are answered. That is known
    /// of a `route`, and of the sender's own domain.
    pub home: bool,
    /// From, without a tag.
    pub from: Vec<u8>,
    /// To; the Request-URI if empty.
    pub to: Vec<u8>,
    /// The user part of the Contact to put in; none without.
    pub contact: Option<String>,
    /// Parameters of that Contact, each with its semicolon.
    pub contact_parameters: Vec<u8>,
    /// Further header fields.
    pub fields: Vec<(String, Vec<u8>)>,
    /// Content-Type and body; none if the type is empty.
    pub body: (Vec<u8>, Vec<u8>),
    /// The Call-ID, if it is to be a certain one (section 10.2.4: all registrations of one user
    /// agent use one).
    pub call_id: Option<String>,
    /// The first CSeq number; 1 if `None`.
    pub cseq: Option<u32>,
    /// How many hops it may take (section 8.1.1.6); 70 if `None`.
    pub max_forwards: Option<u8>,
}

impl Request {
    /// An OPTIONS (section 11.1).
    pub fn options(from: &str, uri: &str) -> Request {
        Request {
            fields: vec![("Accept".into(), b"application/sdp".to_vec())],
            ..Request::new("OPTIONS", from, uri)
        }
    }

    /// A MESSAGE (RFC 3428) of plain text.
    pub fn message(from: &str, uri: &str, text: &str) -> Request {
        let body = (b"text/plain;charset=UTF-8".to_vec(), text.as_bytes().to_vec());
        Request { body, ..Request::new("MESSAGE", from, uri) }
    }

    /// A REGISTER (section 10.2) of our own Contact for `aor`, for so many seconds.
    pub fn register(aor: &str, registrar: &str, user: &str, expires: u32) -> Request {
        Request {
            to: format!("<{aor}>").into_bytes(),
            contact: Some(user.into()),
            fields: vec![("Expires".into(), expires.to_string().into_bytes())],
            ..Request::new("REGISTER", aor, registrar)
        }
    }

    fn new(method: &str, from: &str, uri: &str) -> Request {
        Request {
            method: method.into(),
            uri: uri.as_bytes().to_vec(),
            from: format!("<{from}>").into_bytes(),
            ..Request::default()
        }
    }

    /// The URI of the next hop.
    pub fn next_hop(&self) -> &[u8] {
        self.route.as_deref().or(self.server.as_deref()).unwrap_or(&self.uri)
    }

    pub(super) fn write(
        &self,
        via: &ViaStamp<'_>,
        call_id: &str,
        from_tag: &str,
        number: u32,
        credentials: &[(Name, Vec<u8>)],
        to: &mut Vec<u8>,
    ) {
        let bracketed = [b"<", &self.uri[..], b">"].concat();
        let to_value = if self.to.is_empty() { &bracketed } else { &self.to };
        let mut builder =
            RequestBuilder::new(Method::from_bytes(self.method.as_bytes()), &self.uri)
                .via(via.value())
                .max_forwards(self.max_forwards.unwrap_or(70))
                .from(&[&self.from[..], b";tag=", from_tag.as_bytes()].concat())
                .to(to_value)
                .call_id(call_id.as_bytes())
                .cseq(number);
        if let Some(route) = &self.route {
            // A loose route: without `lr` the next hop would be a strict router (section 12.2.1.1).
            let lr: &[u8] = if contains_lr(route) { b"" } else { b";lr" };
            builder = builder.field(Name::Route, &[b"<", &route[..], lr, b">"].concat());
        }
        if let Some(user) = &self.contact {
            let mut contact = format!("<sip:{user}@").into_bytes();
            contact.extend_from_slice(via.sent_by());
            if via.transport().reliable() {
                contact.extend_from_slice(b";transport=");
                contact.extend_from_slice(via.transport().uri_token().as_bytes());
            }
            contact.push(b'>');
            contact.extend_from_slice(&self.contact_parameters);
            builder = builder.contact(&contact);
        }
        for (name, value) in &self.fields {
            builder = builder.field(name.as_str(), value);
        }
        for (name, value) in credentials {
            builder = builder.field(*name, value);
        }
        if !self.body.0.is_empty() {
            builder = builder.body(&self.body.0, &self.body.1);
        }
        builder.write(to);
    }
}

fn contains_lr(uri: &[u8]) -> bool {
    uri.split(|byte| *byte == b';').skip(1).any(|param| {
        param.eq_ignore_ascii_case(b"lr") || param.to_ascii_lowercase().starts_with(b"lr=")
    })
}
