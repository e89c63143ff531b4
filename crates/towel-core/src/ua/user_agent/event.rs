//! What an application is told, and what it says.

use super::state::{Call, Incoming, Leg, Outgoing, Reference, Subscribed};
use crate::contract::{Fields, Manner};
use crate::stack::Failure;
use crate::transaction::Id;

/// A call: one INVITE of ours with what it forks into until one dialog is kept, or one of a peer's.
pub type CallHandle = Id<Call>;
/// A dialog.
pub type DialogHandle = Id<Leg>;
/// A request of ours.
pub type RequestHandle = Id<Outgoing>;
/// A request of a peer's that waits for its answer.
pub type IncomingHandle = Id<Incoming>;

/// A subscription, at either end; a REFER of ours has one too, with what comes of it.
pub type SubscriptionHandle = Id<Subscribed>;
/// What a REFER of a peer's asked for.
pub type ReferenceHandle = Id<Reference>;

/// What is known of a REFER of ours. After [`Reported::Refused`], [`Reported::Final`] and
/// [`Reported::Unknown`], and after an [`Reported::Accepted`] that nothing follows, its handle is stale.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reported {
    /// The peer has taken it on: its 2xx.
    Accepted {
        /// The response.
        response: Vec<u8>,
        /// Whether it will tell what comes of it.
        followed: bool,
    },
    /// The peer does not do it, or was not reached.
    Refused {
        /// Its status; 408 or 503 where there was no response.
        status: u16,
        /// The response, if there was one.
        response: Option<Vec<u8>>,
    },
    /// How far it is.
    Progress {
        /// The status of what was asked for: 100, 180 ...
        status: u16,
        /// The body of the NOTIFY (RFC 3420).
        fragment: Vec<u8>,
    },
    /// How it ended.
    Final {
        /// The status: 2xx where it was done.
        status: u16,
        /// The body of the NOTIFY.
        fragment: Vec<u8>,
    },
    /// Nothing more will be heard of it, and it did not come to an end before.
    Unknown,
}

/// What the notifier says of a subscription (RFC 6665 section 4.1.3).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubscriptionState {
    /// `active`, `pending` or `terminated`.
    pub word: String,
    /// For how many seconds more.
    pub expires: Option<u32>,
    /// Why it is over: `timeout`, `noresource` ...
    pub reason: String,
    /// After how many seconds it may be asked for again.
    pub retry_after: Option<u32>,
}

/// Why a call is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// We hung up, cancelled or refused it.
    Local,
    /// The peer sent a BYE.
    Bye,
    /// The peer gave up before it was answered.
    Cancelled,
    /// It was answered with this failure, or redirected.
    Failed {
        /// The response, as it came.
        response: Vec<u8>,
        /// Its status code.
        status: u16,
    },
    /// Nobody answered, or the request could not be sent.
    NoResponse(Failure),
    /// No ACK came for our 2xx (RFC 3261 section 13.3.1.4).
    NoAck,
    /// The peer knows the dialog no more, or answers nothing in it (RFC 5057).
    Lost {
        /// The status that said so: 408 where nothing came.
        status: u16,
    },
    /// Another branch was kept (RFC 3261 section 13.2.2.4).
    Fork,
    /// The peer's 2xx or its offer could not be worked with.
    Unfit,
    /// Another call took its place (RFC 3891).
    Replaced,
}

/// What became of a request of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Came {
    /// A provisional response.
    Provisional(Vec<u8>),
    /// The final response, after any challenge was answered.
    Final {
        /// The response, as it came.
        response: Vec<u8>,
        /// Its status code.
        status: u16,
    },
    /// It came to nothing.
    Failed(Failure),
}

impl Came {
    /// The status code: 408 or 503 where there was no response (RFC 3261 section 8.1.3.1).
    pub fn status(&self) -> u16 {
        match self {
            Came::Provisional(_) => 100,
            Came::Final { status, .. } => *status,
            Came::Failed(Failure::TimedOut | Failure::Cancelled) => 408,
            Came::Failed(Failure::Transport | Failure::NotLocated(_) | Failure::HeldBack) => 503,
        }
    }
}

/// Something that an application is told. Messages are as they came on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Somebody calls: to be answered with [`super::UserAgent::answer`].
    Incoming {
        /// The call.
        call: CallHandle,
        /// The INVITE.
        request: Vec<u8>,
        /// Whether the user is to answer it.
        manner: Manner,
    },
    /// Somebody calls, and nobody is to be alerted yet: an extension has the session prepared first. The
    /// application answers with a 183 that has its description; it is told by [`Event::Incoming`] when the
    /// user may be.
    Prepare {
        /// The call.
        call: CallHandle,
        /// The INVITE.
        request: Vec<u8>,
    },
    /// A provisional response to a call of ours, 100 left out.
    Progress {
        /// The call.
        call: CallHandle,
        /// The early dialog, if it has a tag. Each branch has its own.
        dialog: Option<DialogHandle>,
        /// Whether it came reliably, so that an offer or answer in it counts.
        reliable: bool,
        /// The response.
        response: Vec<u8>,
    },
    /// The session is set up: a 2xx to our INVITE came, or the ACK for ours.
    Established {
        /// The call.
        call: CallHandle,
        /// Its dialog.
        dialog: DialogHandle,
        /// The 2xx or the ACK.
        message: Vec<u8>,
    },
    /// A 2xx from another branch, where those are kept: it is a call of its own from now on.
    Forked {
        /// The call that was made.
        from: CallHandle,
        /// The new one.
        call: CallHandle,
        /// Its dialog.
        dialog: DialogHandle,
        /// The 2xx.
        message: Vec<u8>,
    },
    /// The message that came has an offer, and the answer has to travel in what is held back until
    /// [`super::UserAgent::supply`] gives it: the ACK of a 2xx (RFC 3261 section 13.2.1), or a request
    /// of an extension's, as the PRACK of a reliable response (RFC 3262 section 5).
    AnswerWanted {
        /// The dialog.
        dialog: DialogHandle,
        /// The method of what is held back.
        method: String,
        /// What came with the offer.
        message: Vec<u8>,
    },
    /// The peer wants to change the session: a re-INVITE, to be answered with
    /// [`super::UserAgent::reply`].
    Reinvite {
        /// The dialog.
        dialog: DialogHandle,
        /// The request.
        request: IncomingHandle,
        /// The INVITE.
        message: Vec<u8>,
    },
    /// A re-INVITE of the peer's that we have answered with a 2xx is acknowledged.
    Acknowledged {
        /// The dialog.
        dialog: DialogHandle,
        /// The ACK.
        message: Vec<u8>,
    },
    /// The peer's re-INVITE was cancelled: it has got its 487.
    ReinviteCancelled {
        /// The dialog.
        dialog: DialogHandle,
        /// The request.
        request: IncomingHandle,
    },
    /// Another request, to be answered with [`super::UserAgent::reply`].
    Request {
        /// The dialog that it is in.
        dialog: Option<DialogHandle>,
        /// The request.
        request: IncomingHandle,
        /// The message.
        message: Vec<u8>,
    },
    /// What came of a request of ours, a re-INVITE among them.
    Response {
        /// The dialog that it was sent in.
        dialog: Option<DialogHandle>,
        /// The request.
        request: RequestHandle,
        /// What came.
        came: Came,
    },
    /// The BYE or CANCEL with which the peer ends a call: told before [`Event::Ended`], to a leg alone
    /// ([`super::Profile::leg`]).
    Parting {
        /// The call.
        call: CallHandle,
        /// The request.
        message: Vec<u8>,
    },
    /// An early dialog is over while its call goes on.
    ForkEnded {
        /// The call.
        call: CallHandle,
        /// The early dialog.
        dialog: DialogHandle,
    },
    /// A call is over; its handle is stale after this.
    Ended {
        /// The call.
        call: CallHandle,
        /// Its dialog, if it had one.
        dialog: Option<DialogHandle>,
        /// Why.
        why: Ending,
    },
    /// A peer asks us to do something: to call somebody, as a rule (RFC 3515). To be refused with
    /// [`super::UserAgent::reply`], or accepted with [`super::UserAgent::accept_refer`]; what it asks
    /// for is in [`super::Referral::of`] its message.
    Referred {
        /// The request.
        request: IncomingHandle,
        /// The dialog that it is in, or that it says it is about (RFC 4538): its session is what is
        /// being transferred.
        dialog: Option<DialogHandle>,
        /// The REFER.
        message: Vec<u8>,
    },
    /// What is known of a REFER of ours.
    Refer {
        /// The REFER.
        refer: SubscriptionHandle,
        /// The call that it transfers, if it does.
        call: Option<CallHandle>,
        /// What is known.
        reported: Reported,
    },
    /// A peer wants to be told of something (RFC 6665): to be refused with [`super::UserAgent::reply`],
    /// or admitted with [`super::UserAgent::admit`].
    Subscribing {
        /// The request.
        request: IncomingHandle,
        /// The dialog that it is in.
        dialog: Option<DialogHandle>,
        /// The SUBSCRIBE.
        message: Vec<u8>,
    },
    /// A NOTIFY of a subscription of ours has come, and is answered. Another handle than before is that
    /// of another notifier that the SUBSCRIBE was forked to (RFC 6665 section 4.1.4).
    Notified {
        /// The subscription.
        subscription: SubscriptionHandle,
        /// What the notifier says of it.
        state: SubscriptionState,
        /// The NOTIFY.
        message: Vec<u8>,
    },
    /// A subscription of ours, or one that we told, is over; its handle is stale after this.
    Unsubscribed {
        /// The subscription.
        subscription: SubscriptionHandle,
        /// The status that refused it, or ended it; 0 where its time was over or its notifier ended it.
        status: u16,
    },
    /// Something that an extension found worth telling the user.
    Note(String),
}

/// A body with its media type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Content {
    /// The value of Content-Type.
    pub media_type: String,
    /// The bytes.
    pub bytes: Vec<u8>,
}

impl Content {
    /// A session description.
    pub fn sdp(bytes: impl Into<Vec<u8>>) -> Content {
        Content { media_type: "application/sdp".into(), bytes: bytes.into() }
    }
}

/// What to answer to a request of a peer's.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The reason phrase; the usual one if empty.
    pub reason: String,
    /// Header fields besides those that every response has.
    pub fields: Fields,
    /// The body.
    pub body: Option<Content>,
    /// Of a call that came: which of several early dialogs the response is in. Each number makes one
    /// with a tag of its own, as if the INVITE had been forked (RFC 3261 section 12.1.1); a user agent
    /// that is no more than one leaves it at nought.
    pub branch: u32,
}

impl Answer {
    /// A response with its usual phrase.
    pub fn new(status: u16) -> Answer {
        Answer { status, ..Answer::default() }
    }

    /// The same with a session description.
    #[must_use]
    pub fn sdp(mut self, bytes: impl Into<Vec<u8>>) -> Answer {
        self.body = Some(Content::sdp(bytes));
        self
    }

    /// The same with a header field more.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl AsRef<[u8]>) -> Answer {
        self.fields.push(name, value);
        self
    }
}

/// What to send.
#[derive(Clone, Debug, Default)]
pub struct Ask {
    /// The method.
    pub method: String,
    /// Where to: the Request-URI; in a dialog the dialog knows.
    pub uri: String,
    /// The value of To without a tag; the Request-URI if empty.
    pub to: String,
    /// The value of From without a tag; that of the profile if empty.
    pub from: String,
    /// Header fields besides those that every request has.
    pub fields: Fields,
    /// The body.
    pub body: Option<Content>,
    /// How many hops it may take; 70 if `None`.
    pub max_forwards: Option<u8>,
    /// Whether it passes by the outbound proxy of the profile.
    pub direct: bool,
    /// Of a REFER: its 2xx makes no subscription, since it requires that (RFC 7614).
    pub quiet: bool,
    /// The Call-ID outside of a dialog, where several requests have one in common (RFC 3261 section
    /// 10.2.4); a new one if empty.
    pub call_id: String,
    /// The CSeq number outside of a dialog; 1 if nought.
    pub number: u32,
    /// Of a re-INVITE: one that crosses the peer's is told as it is (491), and not tried again (RFC 3261
    /// section 14.1).
    pub once: bool,
    /// Outside of a dialog: the proxy for this request, in the place of the profile's.
    pub route: Option<String>,
    /// Outside of a dialog: the user part of Contact, in the place of the profile's.
    pub contact: Option<String>,
    /// The value of Supported, in the place of all that is supported.
    pub supported: Option<String>,
}

impl Ask {
    /// An INVITE with an offer.
    pub fn invite(uri: &str, offer: impl Into<Vec<u8>>) -> Ask {
        Ask { body: Some(Content::sdp(offer)), ..Ask::new("INVITE", uri) }
    }

    /// A request with nothing but a method.
    pub fn new(method: &str, uri: &str) -> Ask {
        Ask { method: method.into(), uri: uri.into(), ..Ask::default() }
    }

    /// The same with a header field more.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl AsRef<[u8]>) -> Ask {
        self.fields.push(name, value);
        self
    }
}

/// Why a command is not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The handle is of something that is over.
    Stale,
    /// A limit is reached, of calls or of transactions.
    Full,
    /// It cannot be done in this state: a second answer, a request in a dialog that is ending.
    State,
    /// Another INVITE is under way in the dialog (RFC 3261 section 14.1): try again when it is over.
    Pending,
    /// No offer may travel there now, or an answer is missing (RFC 3264, RFC 6337).
    OfferAnswer,
    /// What was asked for cannot be written as a message.
    Malformed,
    /// An extension does not let it go, and why.
    Forbidden(&'static str),
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Refused::Stale => "it is over",
            Refused::Full => "there is too much under way",
            Refused::State => "it cannot be done now",
            Refused::Pending => "another INVITE is under way",
            Refused::OfferAnswer => "an offer or answer may not travel there now, or is missing",
            Refused::Malformed => "it cannot be written as a message",
            Refused::Forbidden(why) => why,
        })
    }
}

impl std::error::Error for Refused {}
