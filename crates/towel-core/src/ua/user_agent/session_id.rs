//! Session-ID (RFC 7989) in what a user agent sends by itself, once its application has used it in a
//! dialog: ACK, PRACK, BYE, and responses that nobody was asked about (section 6: in all messages).

use towel_message::{Message, Name};

use super::Core;
use super::state::{Leg, Outgoing};
use crate::transaction::Id;

/// The UUID of whoever sent a message: 32 octets (section 5); the nil one says nothing.
fn sender(message: &Message<'_>) -> Option<[u8; 32]> {
    let value = message.value(Name::SessionId)?;
    let local = value.split(|byte| *byte == b';').next()?.trim_ascii();
    let local: [u8; 32] = local.try_into().ok()?;
    (local.iter().all(u8::is_ascii_hexdigit) && local != [b'0'; 32]).then_some(local)
}

/// A value with another UUID of the peer's.
fn with_remote(value: &[u8], remote: &[u8]) -> Vec<u8> {
    let local = value.split(|byte| *byte == b';').next().unwrap_or_default();
    [local.trim_ascii(), b";remote=", remote].concat()
}

impl Core {
    /// A response to a first INVITE of ours has made or found its dialog: it goes by what the INVITE
    /// said.
    pub(super) fn open_session(
        &mut self,
        leg: Option<Id<Leg>>,
        id: Id<Outgoing>,
        message: &Message<'_>,
    ) {
        let Some(leg) = leg else { return };
        let said = self.outgoing.get(id).and_then(|outgoing| said(&outgoing.template.fields));
        if let Some(found) = self.legs.get_mut(leg)
            && found.session_id.is_none()
        {
            found.session_id = said.map(Into::into);
        }
        self.hear_session(Some(leg), message);
    }

    /// The peer has said who it is (section 8: what is new is taken).
    pub(super) fn hear_session(&mut self, leg: Option<Id<Leg>>, message: &Message<'_>) {
        let Some(found) = leg.and_then(|leg| self.legs.get_mut(leg)) else { return };
        if let (Some(value), Some(peer)) = (&found.session_id, sender(message)) {
            found.session_id = Some(with_remote(value, &peer).into());
        }
    }

    /// The application has sent this value in a response.
    pub(super) fn say_session(&mut self, leg: Option<Id<Leg>>, value: &[u8]) {
        if let Some(found) = leg.and_then(|leg| self.legs.get_mut(leg)) {
            found.session_id = Some(value.into());
        }
    }
}

/// The Session-ID among header field lines of ours.
fn said(fields: &[u8]) -> Option<Vec<u8>> {
    let lines = fields.split(|byte| *byte == b'\n');
    lines
        .map(<[u8]>::trim_ascii)
        .find_map(|line| Some(line.strip_prefix(b"Session-ID:")?.trim_ascii().to_vec()))
}
