//! What a dialog's offers and answers are held to (RFC 3261 sections 13.2.1, 14; RFC 6337): where a
//! description may travel, and whether one that came can be read. What is in it is the application's.

use towel_message::{Message, Name};
use towel_sdp::offer_answer::ways::{Carrier, Meaning, Way};
use towel_sdp::{Description, Limits};

use crate::contract::Reply;

/// Where offer and answer stand in one dialog.
#[derive(Clone, Debug, Default)]
pub(super) struct Offers {
    way: Way,
    /// Whether the offer that waits for its answer is ours.
    ours: bool,
    /// The session description that we sent last.
    pub(super) sent: Vec<u8>,
}

impl Offers {
    /// A message was sent or came; says what the description in it is.
    pub(super) fn pass(&mut self, carrier: Carrier, sdp: bool, ours: bool) -> Meaning {
        let meaning = self.way.pass(carrier, sdp);
        if meaning == Meaning::Offer {
            self.ours = ours;
        }
        meaning
    }

    /// What a description would be, or that none would be missing.
    pub(super) fn meaning(&self, carrier: Carrier, sdp: bool) -> Meaning {
        self.way.meaning(carrier, sdp)
    }

    /// The refusal of a request of the peer's whose offer may not be now: 491 where ours is under way,
    /// else 500 (RFC 3311 section 5.2, RFC 3261 section 14.2).
    pub(super) fn refusal(&self, carrier: Carrier, sdp: bool, seconds: u64) -> Option<Reply> {
        if self.meaning(carrier, sdp) != Meaning::Misplaced {
            return None;
        }
        Some(match self.ours {
            true => Reply::new(491, "Request Pending"),
            false => {
                let wait = seconds.to_string();
                Reply::new(500, "Another Offer Is Being Answered").with("Retry-After", wait)
            }
        })
    }
}

/// What a request of this method is for offer and answer.
pub(super) fn carrier(method: &str) -> Option<Carrier> {
    match method {
        "INVITE" => Some(Carrier::Invite),
        "ACK" => Some(Carrier::Ack),
        "PRACK" => Some(Carrier::Prack),
        "UPDATE" => Some(Carrier::Update),
        _ => None,
    }
}

/// What a final response to a request of this method is.
pub(super) fn final_carrier(method: &str, success: bool) -> Option<Carrier> {
    Some(match (carrier(method)?, success) {
        (Carrier::Invite, true) => Carrier::Success,
        (Carrier::Invite, false) => Carrier::Failure,
        (Carrier::Prack, true) => Carrier::PrackSuccess,
        (Carrier::Prack, false) => Carrier::PrackFailure,
        (Carrier::Update, true) => Carrier::UpdateSuccess,
        (Carrier::Update, false) => Carrier::UpdateFailure,
        _ => return None,
    })
}

/// Whether this media type is that of a session description, alone or as a part.
pub(super) fn is_description(media_type: &[u8], body: &[u8]) -> bool {
    let kind = media_type.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    let alone = kind.eq_ignore_ascii_case(b"application/sdp");
    let among = kind.get(..10).is_some_and(|kind| kind.eq_ignore_ascii_case(b"multipart/"))
        && memchr::memmem::find(body, b"application/sdp").is_some();
    !body.is_empty() && (alone || among)
}

/// Whether a message has a session description.
pub(super) fn has_description(message: &Message<'_>) -> bool {
    is_description(message.value(Name::ContentType).unwrap_or_default(), message.body())
}

/// The refusal of a request whose description cannot be read: 400 with a Warning that says where
/// (RFC 3261 section 20.43: 399).
pub(super) fn unreadable(message: &Message<'_>) -> Option<Reply> {
    let kind = message.value(Name::ContentType).unwrap_or_default();
    let multipart = kind.get(..4).is_some_and(|kind| kind.eq_ignore_ascii_case(b"mult"));
    if multipart || !has_description(message) {
        return None;
    }
    let fault = match Description::parse(message.body(), &Limits::default()) {
        Err(fault) => fault,
        Ok(description) => description.check().into_iter().find(towel_sdp::Fault::is_broken)?,
    };
    let text: String = format!("{fault}")
        .chars()
        .map(
            |letter| if letter.is_control() || matches!(letter, '"' | '\\') { ' ' } else { letter },
        )
        .collect();
    let warning = format!("399 towel \"{text}\"");
    Some(Reply::new(400, "Bad Session Description").with("Warning", warning))
}
