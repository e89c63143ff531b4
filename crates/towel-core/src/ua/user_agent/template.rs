//! A request before it is known by which way it leaves: written for a transport when there is one,
//! and again for another.

use towel_message::scan::push_number;

use super::state::Credentials;
use crate::stack::ViaStamp;

/// All that a request of ours says but Via and Contact, which depend on the way.
#[derive(Clone, Debug, Default)]
pub(super) struct Template {
    pub(super) method: Box<str>,
    pub(super) uri: Vec<u8>,
    /// The values of Route, with commas between them.
    pub(super) route: Vec<u8>,
    pub(super) from: Vec<u8>,
    pub(super) to: Vec<u8>,
    pub(super) call_id: Vec<u8>,
    pub(super) number: u32,
    pub(super) max_forwards: u8,
    /// The user part of Contact; `None`: no Contact.
    pub(super) contact: Option<Vec<u8>>,
    pub(super) contact_parameters: Vec<u8>,
    /// Whether Contact is a sips URI (RFC 3261 sections 8.1.1.8, 12.1.1).
    pub(super) secure: bool,
    /// Header fields as they are written: those that stay, and those that extensions added.
    pub(super) fields: Vec<u8>,
    pub(super) added: Vec<u8>,
    pub(super) credentials: Credentials,
    pub(super) media_type: Vec<u8>,
    pub(super) body: Vec<u8>,
}

/// Appends a header field line. What is not a value of one line is made so.
pub(super) fn line(to: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    to.extend_from_slice(name);
    to.extend_from_slice(b": ");
    to.extend(value.iter().map(|byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { *byte }));
    to.extend_from_slice(b"\r\n");
}

impl Template {
    /// Writes the whole request.
    pub(super) fn write(&self, stamp: &ViaStamp<'_>, to: &mut Vec<u8>) {
        to.extend_from_slice(self.method.as_bytes());
        to.push(b' ');
        to.extend_from_slice(&self.uri);
        to.extend_from_slice(b" SIP/2.0\r\n");
        line(to, b"Via", stamp.value());
        if !self.route.is_empty() {
            line(to, b"Route", &self.route);
        }
        to.extend_from_slice(b"Max-Forwards: ");
        push_number(to, u64::from(self.max_forwards));
        to.extend_from_slice(b"\r\n");
        line(to, b"From", &self.from);
        line(to, b"To", &self.to);
        line(to, b"Call-ID", &self.call_id);
        to.extend_from_slice(b"CSeq: ");
        push_number(to, u64::from(self.number));
        to.push(b' ');
        to.extend_from_slice(self.method.as_bytes());
        to.extend_from_slice(b"\r\n");
        if let Some(user) = &self.contact {
            to.extend_from_slice(b"Contact: ");
            contact(
                user,
                stamp.sent_by(),
                stamp.transport(),
                self.secure,
                &self.contact_parameters,
                to,
            );
            to.extend_from_slice(b"\r\n");
        }
        to.extend_from_slice(&self.fields);
        to.extend_from_slice(&self.added);
        for (name, value) in &self.credentials {
            line(to, name.as_str().as_bytes(), value);
        }
        if !self.media_type.is_empty() {
            line(to, b"Content-Type", &self.media_type);
        }
        to.extend_from_slice(b"Content-Length: ");
        push_number(to, self.body.len() as u64);
        to.extend_from_slice(b"\r\n\r\n");
        to.extend_from_slice(&self.body);
    }
}

/// Appends a Contact value of ours.
pub(super) fn contact(
    user: &[u8],
    sent_by: &[u8],
    transport: crate::io::Transport,
    secure: bool,
    parameters: &[u8],
    to: &mut Vec<u8>,
) {
    to.extend_from_slice(if secure { b"<sips:" } else { b"<sip:" });
    if !user.is_empty() {
        to.extend_from_slice(user);
        to.push(b'@');
    }
    to.extend_from_slice(sent_by);
    if transport.reliable() && !secure {
        to.extend_from_slice(b";transport=");
        to.extend_from_slice(transport.uri_token().as_bytes());
    }
    to.push(b'>');
    to.extend_from_slice(parameters);
}
