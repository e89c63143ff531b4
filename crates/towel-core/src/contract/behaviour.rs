//! What an extension does: the stages at which it is called, and what it can answer.
//!
//! The stages follow the order of RFC 3261: a proxy validates (16.3), reads the route (16.4),
//! finds targets (16.5), forwards (16.6) and treats responses (16.7); a registrar takes bindings
//! (10.3) and lists them; a user agent makes and receives requests and responses (8.1, 8.2).
//! An extension is called only for messages that wake it, see [`super::declaration::Wake`].

use std::any::Any;

use super::contexts::{
    ProxyCancel, ProxyForward, ProxyPreprocess, ProxyReceived, ProxyReply, ProxyResponse,
    ProxyTargets, ProxyValidate, Register, Registered, UacRequest, UacResponse, UasRequest,
    UasResponse,
};
use super::sessions::{DialogEnded, DialogTimer, OtherDialog};
use crate::io::{Flow, Now};

/// The places at which an extension can be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// A UAS has a request (RFC 3261 section 8.2).
    UasRequest,
    /// A UAS is about to send a response (8.2.6).
    UasResponse,
    /// A proxy examines a request before anything else (16.3).
    ProxyValidate,
    /// A proxy has taken its own route from a request (16.4).
    ProxyPreprocess,
    /// A proxy has a target set and may still change it (16.5).
    ProxyTargets,
    /// A proxy is about to forward to one target (16.6).
    ProxyForward,
    /// Something came of a branch of a proxy's: a response, or nothing in time (16.7 step 1).
    ProxyReceived,
    /// A proxy is about to forward a response (16.7).
    ProxyResponse,
    /// A proxy is about to send a response of its own.
    ProxyReply,
    /// A proxy is about to send a CANCEL of its own (16.10).
    ProxyCancel,
    /// A registrar is about to take bindings (10.3).
    Register,
    /// A registrar is about to send its 200 (10.3).
    Registered,
    /// A UAC is about to send a request (8.1.1).
    UacRequest,
    /// A UAC has a response (8.1.3).
    UacResponse,
    /// A timer that the extension set in a dialog is due.
    DialogTimer,
    /// A dialog of a user agent's is over.
    DialogEnded,
}

impl Stage {
    /// How many there are.
    pub const COUNT: usize = 16;
    /// All of them.
    pub const ALL: [Self; Self::COUNT] = [
        Self::UasRequest,
        Self::UasResponse,
        Self::ProxyValidate,
        Self::ProxyPreprocess,
        Self::ProxyTargets,
        Self::ProxyForward,
        Self::ProxyReceived,
        Self::ProxyResponse,
        Self::ProxyReply,
        Self::ProxyCancel,
        Self::Register,
        Self::Registered,
        Self::UacRequest,
        Self::UacResponse,
        Self::DialogTimer,
        Self::DialogEnded,
    ];
}

/// Header fields to be added to a message that we make; two runs of memory, reused.
#[derive(Debug, Clone, Default)]
pub struct Fields {
    names: String,
    values: Vec<u8>,
    /// Where each name and each value ends.
    ends: Vec<(usize, usize)>,
}

impl Fields {
    /// None yet; does not allocate.
    pub const fn new() -> Self {
        Self { names: String::new(), values: Vec::new(), ends: Vec::new() }
    }

    /// Adds a header field. CR and LF in the value become spaces: an extension that passes on
    /// what a peer wrote cannot be made to write a header field of the peer's choice.
    pub fn push(&mut self, name: &str, value: impl AsRef<[u8]>) {
        let value = value.as_ref();
        self.names.push_str(name);
        let start = self.values.len();
        self.values.extend_from_slice(value);
        if memchr::memchr2(b'\r', b'\n', value).is_some() {
            for byte in self.values.iter_mut().skip(start) {
                if matches!(byte, b'\r' | b'\n') {
                    *byte = b' ';
                }
            }
        }
        self.ends.push((self.names.len(), self.values.len()));
    }

    /// Puts another value in the place of those of a name, or adds it.
    pub fn replace(&mut self, name: &str, value: impl AsRef<[u8]>) {
        let mut kept = Fields::new();
        for (have, old) in self.iter().filter(|(have, _)| !have.eq_ignore_ascii_case(name)) {
            kept.push(have, old);
        }
        kept.push(name, value);
        *self = kept;
    }

    /// The header fields in order: name and value.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let mut start = (0, 0);
        self.ends.iter().filter_map(move |ends| {
            let name = self.names.get(start.0..ends.0)?;
            let value = self.values.get(start.1..ends.1)?;
            start = *ends;
            Some((name, value))
        })
    }

    /// The first value of a name, in any case.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.iter().find(|(have, _)| have.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Makes them the same as others, and keeps the memory.
    pub fn set(&mut self, others: &Fields) {
        self.clear();
        self.names.push_str(&others.names);
        self.values.extend_from_slice(&others.values);
        self.ends.extend_from_slice(&others.ends);
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Forgets all and keeps the memory.
    pub fn clear(&mut self) {
        self.names.clear();
        self.values.clear();
        self.ends.clear();
    }
}

/// A body for a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body {
    /// Its media type, for Content-Type.
    pub media_type: &'static str,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// A response that refuses a request.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// The reason phrase.
    pub reason: &'static str,
    /// Header fields beyond those that every response has.
    pub fields: Fields,
    /// A body.
    pub body: Option<Body>,
}

impl Reply {
    /// A response with nothing but a status and a phrase.
    pub const fn new(status: u16, reason: &'static str) -> Self {
        Self { status, reason, fields: Fields::new(), body: None }
    }

    /// The same with a header field more.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.fields.push(name, value);
        self
    }
}

/// What an extension decides.
#[derive(Debug, Clone)]
pub enum Verdict {
    /// Go on.
    Pass,
    /// Answer the request so; what comes after is not called. At the stage of a UAC that is about to
    /// send a request that is not sent, and whoever wanted to send it is told the reason phrase. At a
    /// stage that has no request it counts as [`Verdict::Pass`].
    Refuse(Box<Reply>),
    /// Where a UAS has a first INVITE: nobody is called yet. With a reply, a provisional one, that is sent
    /// and the application hears nothing of the call; without one it is asked to prepare the session.
    /// [`super::Task::Admit`] has it told of the call. Counts as [`Verdict::Pass`] elsewhere.
    Hold(Option<Box<Reply>>),
    /// Send nothing: a response is not forwarded or not made. A UAC that has a response tells nobody of
    /// it. Counts as [`Verdict::Pass`] at other stages.
    Discard,
}

impl Verdict {
    /// Refuses with a status and a phrase.
    pub fn refuse(status: u16, reason: &'static str) -> Self {
        Self::Refuse(Box::new(Reply::new(status, reason)))
    }

    /// Refuses with this reply.
    pub fn reply(reply: Reply) -> Self {
        Self::Refuse(Box::new(reply))
    }

    /// Whether to go on.
    pub const fn is_pass(&self) -> bool {
        matches!(self, Self::Pass)
    }
}

/// What an extension may know of the element that calls it.
pub trait Element {
    /// Whether we are responsible for this domain (RFC 3261 section 16.5), our own addresses
    /// among them; `host` is written as in a URI.
    fn is_own_domain(&self, host: &[u8]) -> bool;
    /// The domain that we serve first.
    fn domain(&self) -> &str;
    /// Appends a SIP URI at which a message sent over `flow` reaches this element: host, port
    /// and, where needed, transport; no brackets and no `lr`.
    fn own_uri(&self, flow: &Flow, out: &mut Vec<u8>);
    /// Another dialog, by its identifiers as they stand at our end: for a user agent that has a request
    /// outside of dialogs.
    fn other_dialog(
        &self,
        _call_id: &[u8],
        _local_tag: &[u8],
        _remote_tag: &[u8],
    ) -> Option<OtherDialog<'_>> {
        None
    }
}

/// What is the same for all stages: the time, the element and the extension's configuration.
#[derive(Clone, Copy)]
pub struct Env<'a> {
    /// The time.
    pub now: Now,
    /// Who calls.
    pub element: &'a dyn Element,
    /// The extension's own configuration, see [`Env::settings`].
    pub(super) settings: Option<&'a (dyn Any + Send + Sync)>,
}

impl<'a> Env<'a> {
    /// An environment in which no extension is configured; the registry fills that in.
    pub fn new(now: Now, element: &'a dyn Element) -> Self {
        Self { now, element, settings: None }
    }

    /// The configuration that the extension's `configure` made, if it is of this type.
    pub fn settings<T: 'static>(&self) -> Option<&'a T> {
        self.settings?.downcast_ref()
    }
}

/// What an extension does at each stage; by default nothing.
pub trait Behaviour: Sync + Send {
    /// The stages at which it does anything.
    fn stages(&self) -> &'static [Stage] {
        &Stage::ALL
    }
    /// A UAS has a request (RFC 3261 section 8.2).
    fn uas_request(&self, _env: &Env<'_>, _at: &mut UasRequest<'_>) -> Verdict {
        Verdict::Pass
    }
    /// A UAS is about to send a response (8.2.6).
    fn uas_response(&self, _env: &Env<'_>, _at: &mut UasResponse<'_>) -> Verdict {
        Verdict::Pass
    }
    /// A proxy examines a request (16.3).
    fn proxy_validate(&self, _env: &Env<'_>, _at: &mut ProxyValidate<'_>) -> Verdict {
        Verdict::Pass
    }
    /// A proxy has taken its own route from a request (16.4).
    fn proxy_preprocess(&self, _env: &Env<'_>, _at: &mut ProxyPreprocess<'_>) -> Verdict {
        Verdict::Pass
    }
    /// A proxy has a target set (16.5).
    fn proxy_targets(&self, _env: &Env<'_>, _at: &mut ProxyTargets<'_>) -> Verdict {
        Verdict::Pass
    }
    /// A proxy is about to forward to one target (16.6).
    fn proxy_forward(&self, _env: &Env<'_>, _at: &mut ProxyForward<'_, '_>) -> Verdict {
        Verdict::Pass
    }
    /// Something came of a branch of a proxy's (16.7 step 1).
    fn proxy_received(&self, _env: &Env<'_>, _at: &mut ProxyReceived<'_>) -> Verdict {
        Verdict::Pass
    }
    /// A proxy is about to forward a response (16.7).
    fn proxy_response(&self, _env: &Env<'_>, _at: &mut ProxyResponse<'_, '_>) -> Verdict {
        Verdict::Pass
    }
    /// A proxy is about to send a response of its own.
    fn proxy_reply(&self, _env: &Env<'_>, _at: &mut ProxyReply<'_>) -> Verdict {
        Verdict::Pass
    }
    /// A proxy is about to send a CANCEL of its own (16.10).
    fn proxy_cancel(&self, _env: &Env<'_>, _at: &mut ProxyCancel<'_>) -> Verdict {
        Verdict::Pass
    }
    /// A registrar is about to take bindings (10.3).
    fn register(&self, _env: &Env<'_>, _at: &mut Register<'_, '_>) -> Verdict {
        Verdict::Pass
    }
    /// A registrar is about to send its 200 (10.3).
    fn registered(&self, _env: &Env<'_>, _at: &mut Registered<'_>) -> Verdict {
        Verdict::Pass
    }
    /// A registrar lists a binding: parameters for its Contact, each with its semicolon, made
    /// of the bytes that [`Behaviour::register`] attached.
    fn list_binding(&self, _kept: &[u8], _parameters: &mut Vec<u8>) {}
    /// A UAC is about to send a request (8.1.1).
    fn uac_request(&self, _env: &Env<'_>, _at: &mut UacRequest<'_>) -> Verdict {
        Verdict::Pass
    }
    /// A UAC has a response (8.1.3).
    fn uac_response(&self, _env: &Env<'_>, _at: &mut UacResponse<'_>) -> Verdict {
        Verdict::Pass
    }
    /// A timer that it set in a dialog is due ([`super::Task::Timer`]).
    fn dialog_timer(&self, _env: &Env<'_>, _at: &mut DialogTimer<'_>) {}
    /// A dialog in which it keeps something is over.
    fn dialog_ended(&self, _env: &Env<'_>, _at: &mut DialogEnded<'_>) -> Verdict {
        Verdict::Pass
    }
}

/// A behaviour that does nothing.
#[derive(Debug, Clone, Copy)]
pub struct Nothing;

/// The one behaviour that does nothing.
pub static NOTHING: Nothing = Nothing;

impl Behaviour for Nothing {
    fn stages(&self) -> &'static [Stage] {
        &[]
    }
}
