//! What a user agent lends an extension beyond the message at hand: the dialog, and things to be done
//! once the stage is over.
//!
//! An extension never calls the user agent. It looks at the dialog ([`InDialog`]), keeps its own
//! state with it, and leaves [`Tasks`]: set a timer, send a request in the dialog, take what it
//! repeated for arrived, send a refused request again, hang up. The user agent does them in order
//! when the stage is over. All this ends with the dialog: timers and requests that wait with it.

use std::time::Duration;

use super::state::Slots;

/// A dialog, as an extension sees it at a stage.
pub struct InDialog<'a> {
    /// Its Call-ID.
    pub call_id: &'a [u8],
    /// Our tag.
    pub local_tag: &'a [u8],
    /// The peer's tag.
    pub remote_tag: &'a [u8],
    /// Whether we sent the request that made it.
    pub initiator: bool,
    /// Whether it is confirmed; early otherwise.
    pub confirmed: bool,
    /// Whether it has an INVITE usage that lives.
    pub session: bool,
    /// The CSeq number of the peer's INVITE that has no final response, or whose 2xx is not
    /// acknowledged.
    pub invite: Option<u32>,
    /// What the peer said that it allows (the values of its last Allow); `None` before it said so.
    pub peer_allows: Option<&'a [u8]>,
    /// What extensions keep with the dialog.
    pub slots: &'a mut Slots,
}

/// What a dialog is known by, to speak of it from outside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DialogId {
    /// Its Call-ID.
    pub call_id: Vec<u8>,
    /// Our tag.
    pub local_tag: Vec<u8>,
    /// The peer's tag.
    pub remote_tag: Vec<u8>,
}

impl InDialog<'_> {
    /// What it is known by.
    pub fn id(&self) -> DialogId {
        DialogId {
            call_id: self.call_id.to_vec(),
            local_tag: self.local_tag.to_vec(),
            remote_tag: self.remote_tag.to_vec(),
        }
    }

    /// Whether the peer said that it takes this method. It is not known before it said anything.
    pub fn allows(&self, method: &str) -> Option<bool> {
        let mut methods = self.peer_allows?.split(|byte| *byte == b',');
        Some(methods.any(|one| one.trim_ascii() == method.as_bytes()))
    }
}

/// How a response is sent; the extension says so at the stage of a UAS that is about to respond.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Delivery {
    /// As RFC 3261 has it.
    #[default]
    Plain,
    /// Again and again, at T1 and then at twice the time before, until [`Task::Arrived`]; after 64*T1
    /// the request is refused with a 504. For provisional responses to INVITE (RFC 3262).
    Reliable,
    /// Not now: after what is being sent reliably has arrived. The stage is called again then.
    /// Responses keep their order: those after a held one are held as well.
    Hold,
}

/// The body of a request that an extension has sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Carry {
    /// None.
    #[default]
    Nothing,
    /// This one.
    Body {
        /// Its media type.
        media_type: &'static str,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// The session description that we sent last: what refreshes a session and changes nothing
    /// (RFC 4028 section 7.4).
    Session,
    /// The answer to the offer at hand. The request waits until the application has given it; it
    /// is asked for it by an event.
    Answer,
}

/// A request that is to be sent in the dialog.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outline {
    /// Its method; `INVITE` is a re-INVITE.
    pub method: &'static str,
    /// Its header fields besides those that every request in a dialog has: name and value.
    pub fields: Vec<(&'static str, Vec<u8>)>,
    /// Its body.
    pub body: Carry,
}

/// Another dialog of the user agent's, which a request outside of it speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OtherDialog<'a> {
    /// Where it stands.
    pub standing: Standing,
    /// Whether we sent the request that made it.
    pub initiator: bool,
    /// Whether an INVITE made it.
    pub session: bool,
    /// Whether it was made over TLS for a sips URI.
    pub secure: bool,
    /// The peer's address, as From or To has it; empty if it is over.
    pub remote: &'a [u8],
}

/// Where another dialog stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nobody has answered yet.
    Early,
    /// It lives.
    Confirmed,
    /// Its session is over, a while ago at most.
    Over,
}

/// What a request has to do with another dialog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// The session that it makes takes that one's place, which is ended once this is answered with a
    /// 2xx (RFC 3891).
    Replaces,
    /// It is to be mixed with that one (RFC 3911).
    Joins,
    /// It is about that one (RFC 4538).
    About,
}

/// Something to be done when a stage is over. Each is an extension's, by its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Task {
    /// Call [`super::Behaviour::dialog_timer`] after this time, with this tag; in the place of an
    /// earlier timer of the same extension with the same tag in this dialog.
    Timer {
        /// A number of the extension's choice.
        tag: u32,
        /// After which time.
        after: Duration,
    },
    /// Do not.
    Clear {
        /// The number.
        tag: u32,
    },
    /// The dialog has a subscription from now on, and lives as long as that (RFC 5057 section 4.2);
    /// at most sixteen of them.
    Subscribed {
        /// The event package.
        package: String,
        /// The id parameter of Event; empty without one.
        id: String,
    },
    /// That subscription is over; the dialog as well if it was its last usage. What a failure ends is
    /// told by [`crate::dialog::effect()`].
    Unsubscribed {
        /// The event package.
        package: String,
        /// The id parameter of Event.
        id: String,
    },
    /// Send a request in the dialog. What cannot be sent now (a re-INVITE while another is under way,
    /// anything once a BYE is sent) is not sent at all: a timer lets an extension try again. Its responses come to the stage of a UAC that has a response,
    /// with [`super::UacResponse::own`] set, and are not told to the application.
    Send(Outline),
    /// What is being sent reliably has arrived.
    Arrived,
    /// Send the request that was refused once more, with the next CSeq: the stage of a UAC that is
    /// about to send is called for it again. Only where a UAC has a final response.
    Retry,
    /// The request outside of dialogs that a UAS has speaks of this dialog: see
    /// [`super::Element::other_dialog`].
    Relate {
        /// What it has to do with it.
        how: Relation,
        /// The Call-ID.
        call_id: Vec<u8>,
        /// Our tag.
        local_tag: Vec<u8>,
        /// The peer's tag.
        remote_tag: Vec<u8>,
    },
    /// A 2xx to this REFER makes no subscription: for a UAS that has the request, and for a UAC that has
    /// the 2xx (RFC 4488, RFC 7614).
    NoSubscription,
    /// Neither does it, but what comes of it can be subscribed to: the 2xx says where, in a header field
    /// of this name (RFC 7614 section 4.3). For a UAS that has the request.
    EventsAt(&'static str),
    /// What comes of the REFER whose 2xx a UAC has is to be subscribed to at this URI (RFC 7614 section
    /// 4.4).
    Subscribe {
        /// The URI.
        uri: Vec<u8>,
        /// The event package.
        package: &'static str,
    },
    /// Tell the application of a call that was held back ([`super::Verdict::Hold`]).
    Admit,
    /// Answer the peer's INVITE that has no final response with this status.
    Refuse {
        /// The status code.
        status: u16,
    },
    /// Do this in another dialog; before whatever is done with the message at hand.
    In {
        /// The dialog.
        dialog: DialogId,
        /// What is to be done there.
        task: Box<Task>,
    },
    /// End the session with a BYE that has this Reason (RFC 3326), if there is one.
    HangUp {
        /// The value of Reason.
        reason: Option<Vec<u8>>,
    },
}

/// What is to be done when the stage is over, in order. An empty one allocates nothing.
#[derive(Clone, Debug, Default)]
pub struct Tasks(Vec<(&'static str, Task)>);

impl Tasks {
    /// None.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds one for the extension with this id.
    pub fn push(&mut self, id: &'static str, task: Task) {
        // Whoever wants more than this at one message is in a loop.
        if self.0.len() < 64 {
            self.0.push((id, task));
        }
    }

    /// Has a timer set.
    pub fn timer(&mut self, id: &'static str, tag: u32, after: Duration) {
        self.push(id, Task::Timer { tag, after });
    }

    /// Has a timer cleared.
    pub fn clear_timer(&mut self, id: &'static str, tag: u32) {
        self.push(id, Task::Clear { tag });
    }

    /// Has something done in another dialog.
    pub fn within(&mut self, id: &'static str, dialog: DialogId, task: Task) {
        self.push(id, Task::In { dialog, task: Box::new(task) });
    }

    /// Has a request sent.
    pub fn send(&mut self, id: &'static str, request: Outline) {
        self.push(id, Task::Send(request));
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The tasks, whose each is, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &Task)> {
        self.0.iter().map(|(id, task)| (*id, task))
    }

    /// Takes them all.
    pub fn take(&mut self) -> Vec<(&'static str, Task)> {
        std::mem::take(&mut self.0)
    }
}

/// A timer of an extension's in a dialog is due.
pub struct DialogTimer<'a> {
    /// The dialog.
    pub dialog: InDialog<'a>,
    /// The number that it was set with.
    pub tag: u32,
    /// What is to be done.
    pub tasks: &'a mut Tasks,
    /// What the user should be told.
    pub notes: &'a mut Vec<String>,
    /// What extensions keep with the user agent.
    pub agent: &'a mut Slots,
}

/// A dialog is over. Those are called who keep something with it.
pub struct DialogEnded<'a> {
    /// The dialog, as it was.
    pub dialog: InDialog<'a>,
    /// What extensions keep with the user agent.
    pub agent: &'a mut Slots,
    /// What is to be done in other dialogs ([`Task::In`]).
    pub tasks: &'a mut Tasks,
}
