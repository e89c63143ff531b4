//! A call, as a phone keeps it.

use std::collections::VecDeque;

use towel_core::io::Instant;
use towel_core::ua::user_agent::{Answer, CallHandle, DialogHandle, RequestHandle};
use towel_message::{Index, Limits, Message, Name};

use crate::{Line, Rule, Terms, Unfit};

/// A call.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) call: CallHandle,
    /// The dialog of its session, once there is one.
    pub(super) dialog: Option<DialogHandle>,
    pub(super) terms: Terms,
    /// What is agreed with branches that answered early; each has its own.
    pub(super) forks: Vec<(DialogHandle, Terms)>,
    pub(super) line: Line,
    /// Whom it is for, if it is ours.
    pub(super) to: Option<String>,
    /// The peer's offer, until it is answered.
    pub(super) offer: Option<Vec<u8>>,
    /// The peer takes provisional responses reliably (RFC 3262).
    pub(super) reliable: bool,
    /// The answer went in a reliable provisional response: the 2xx has none (RFC 6337 section 3.1.1).
    pub(super) answered: bool,
    pub(super) rule: Rule,
    /// The next step of the script.
    pub(super) step: usize,
    /// A change of the session that is under way: whether the peer is to be on hold.
    pub(super) change: Option<Change>,
    /// Keys that wait to be told by INFO, and the one that is.
    pub(super) keys: VecDeque<char>,
    pub(super) key: Option<RequestHandle>,
    /// Whom to call for its transfer, once the peer is on hold.
    pub(super) consult: Option<String>,
    /// The call for whose transfer this one was made.
    pub(super) consults: Option<u32>,
    pub(super) began: Instant,
    /// When it was up.
    pub(super) up: Option<Instant>,
    /// It was made without keys, since the peer takes none.
    pub(super) plain: bool,
    pub(super) unanswered: bool,
    pub(super) fault: Option<String>,
}

/// A change of the session that we want.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) hold: bool,
    pub(super) request: Option<RequestHandle>,
    /// How often it crossed one of the peer's.
    pub(super) crossed: u32,
}

impl Held {
    pub(super) fn new(call: CallHandle, line: Line, terms: Terms, began: Instant) -> Held {
        Held {
            call,
            dialog: None,
            terms,
            forks: Vec::new(),
            line,
            to: None,
            offer: None,
            reliable: false,
            answered: false,
            rule: Rule::default(),
            step: 0,
            change: None,
            keys: VecDeque::new(),
            key: None,
            consult: None,
            consults: None,
            began,
            up: None,
            plain: false,
            unanswered: false,
            fault: None,
        }
    }

    /// The terms with the branch of this dialog.
    pub(super) fn terms_in(&mut self, dialog: DialogHandle) -> &mut Terms {
        match self.forks.iter_mut().find(|(other, _)| *other == dialog) {
            Some((_, terms)) => terms,
            None => &mut self.terms,
        }
    }
}

/// The value of a header field of a message.
pub(super) fn value(message: &[u8], name: Name) -> Option<Vec<u8>> {
    let mut index = Index::new();
    let message = Message::parse(message, &mut index, &Limits::default()).ok()?;
    message.value(name).map(<[u8]>::to_vec)
}

/// The body of a message, if it is of this type.
pub(super) fn body(message: &[u8], kind: &[u8]) -> Option<Vec<u8>> {
    let mut index = Index::new();
    let message = Message::parse(message, &mut index, &Limits::default()).ok()?;
    let media_type = message.value(Name::ContentType)?;
    let media_type = media_type.split(|byte| *byte == b';').next().unwrap_or_default();
    let is = media_type.trim_ascii().eq_ignore_ascii_case(kind);
    (is && !message.body().is_empty()).then(|| message.body().to_vec())
}

/// The session description in a message, if there is one.
pub(super) fn sdp(message: &[u8]) -> Option<Vec<u8>> {
    body(message, b"application/sdp")
}

/// Section 21.4.26 with the warning of section 20.43 that fits: a refusal that says why.
pub(super) fn unfit(why: &Unfit) -> Answer {
    let text: String =
        why.to_string().chars().filter(|c| !c.is_control() && !"\"\\".contains(*c)).collect();
    Answer::new(488).with("Warning", format!("{} towel \"{text}\"", why.warning()))
}
