//! What an extension sees and may change at each stage.

use towel_message::{Draft, Message, NameAddr};

use super::behaviour::{Body, Fields};
use super::sessions::{Delivery, InDialog, Tasks};
use super::state::{Durable, Slots};
use crate::io::Flow;

/// A UAS has a request.
pub struct UasRequest<'a> {
    /// The request.
    pub request: Message<'a>,
    /// Where it came from.
    pub source: Flow,
    /// The user it is authenticated as: an address-of-record.
    pub user: Option<&'a [u8]>,
    /// Header fields for whatever response follows.
    pub fields: &'a mut Fields,
    /// What extensions keep with the transaction.
    pub slots: &'a mut Slots,
    /// What extensions keep with the user agent, from one request to the next.
    pub agent: &'a mut Slots,
    /// What the user of this UAS should be told.
    pub notes: &'a mut Vec<String>,
    /// The dialog that the request is in.
    pub dialog: Option<InDialog<'a>>,
    /// What is to be done when the stage is over.
    pub tasks: &'a mut Tasks,
    /// How a call is to be answered; of a first INVITE.
    pub manner: &'a mut Manner,
}

/// How a call that comes is to be answered (RFC 5373).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Manner {
    /// Nobody says.
    #[default]
    Unsaid,
    /// By the user.
    Manual,
    /// At once, without the user. Nothing may be sent from here before the user says so: the answer
    /// makes the media `recvonly` (RFC 5373 section 7.4).
    Auto,
}

/// A UAS is about to send a response.
pub struct UasResponse<'a> {
    /// The request that it answers.
    pub request: Message<'a>,
    /// Its status code.
    pub status: u16,
    /// Header fields to add.
    pub fields: &'a mut Fields,
    /// Parameters for our own Contact, each with its semicolon.
    pub contact_parameters: &'a mut Vec<u8>,
    /// What extensions keep with the transaction.
    pub slots: &'a mut Slots,
    /// What extensions keep with the user agent, from one request to the next.
    pub agent: &'a mut Slots,
    /// The dialog that the request is in, or that this response makes: it is there by now.
    pub dialog: Option<InDialog<'a>>,
    /// What is to be done when the stage is over.
    pub tasks: &'a mut Tasks,
    /// The body of the response; empty if it has none.
    pub body: &'a [u8],
    /// How the response is to be sent.
    pub delivery: &'a mut Delivery,
}

/// A proxy examines a request.
pub struct ProxyValidate<'a> {
    /// The request.
    pub request: Message<'a>,
    /// Where it came from.
    pub source: Flow,
}

/// A proxy has taken its own route from a request.
pub struct ProxyPreprocess<'a> {
    /// The request as received.
    pub request: Message<'a>,
    /// The Request-URI as it stands after section 16.4; an extension may put another there.
    pub request_uri: &'a mut Vec<u8>,
    /// Where it came from.
    pub source: Flow,
    /// The user it is authenticated as: an address-of-record.
    pub user: Option<&'a [u8]>,
}

/// One target of a request.
#[derive(Debug, Clone, Default)]
pub struct Candidate {
    /// The URI that becomes the Request-URI.
    pub uri: Vec<u8>,
    /// Its preference in thousandths, from q.
    pub q: u16,
    /// Targets of one group are tried together, groups in ascending order. The element sets it
    /// from q after this stage for all that are left at nought.
    pub group: u32,
    /// Route header field values to put before those of the request, the first hop first: each
    /// with its angle brackets.
    pub routes: Vec<Vec<u8>>,
    /// Whether it is a binding of our own registrar (and not the Request-URI as it came).
    pub registered: bool,
    /// What extensions attached to the binding: the stored run, see [`super::state::find`].
    pub kept: Vec<u8>,
    /// The element's own number for the binding; extensions leave it alone.
    pub handle: u64,
    /// Parameters for its Contact where it is told in a 302, each with its semicolon.
    pub parameters: Vec<u8>,
    /// The Contact of a 3xx that it comes from, if it does.
    pub redirection: Option<Box<Redirection>>,
}

/// What a target that a 3xx named is known by (RFC 3261 section 16.7 step 4).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Redirection {
    /// The number of the branch that the 3xx came on.
    pub branch: usize,
    /// The parameters of the Contact, each with its semicolon.
    pub parameters: Vec<u8>,
}

/// How a proxy shall go about a target set; what is `None` is for the element to choose.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Directives {
    /// Answer with the targets in a 302 rather than forward.
    pub redirect: Option<bool>,
    /// Whether branches left over after a final response are cancelled.
    pub cancel: Option<bool>,
    /// Whether more than one target may be tried.
    pub fork: Option<bool>,
    /// Whether a 3xx is followed by the proxy.
    pub recurse: Option<bool>,
    /// Targets all at once (`true`) or one after the other (`false`).
    pub parallel: Option<bool>,
    /// Whether a busy callee's caller is willing to wait in a queue.
    pub queue: Option<bool>,
}

/// A proxy has a target set.
pub struct ProxyTargets<'a> {
    /// The request as received.
    pub request: Message<'a>,
    /// Where it came from.
    pub source: Flow,
    /// The user it is authenticated as: an address-of-record.
    pub user: Option<&'a [u8]>,
    /// The Request-URI as it stands after sections 16.4 and 16.5: extensions may have put another
    /// there than came.
    pub request_uri: &'a [u8],
    /// The targets, to filter, order and route.
    pub targets: &'a mut Vec<Candidate>,
    /// How to go about them.
    pub directives: &'a mut Directives,
    /// What extensions keep with the transaction.
    pub slots: &'a mut Slots,
}

/// A proxy is about to forward to one target.
pub struct ProxyForward<'a, 'm> {
    /// The request as received.
    pub request: Message<'m>,
    /// Where it came from.
    pub source: Flow,
    /// The user it is authenticated as: an address-of-record.
    pub user: Option<&'a [u8]>,
    /// The copy that leaves, to edit: sections 16.6 steps 2 to 6 are done, Via is not yet there.
    pub draft: &'a mut Draft<'m>,
    /// Where the copy goes next: the URI of the topmost Route, or the Request-URI.
    pub next_hop: &'a [u8],
    /// Whether the target is a binding of our own registrar.
    pub registered: bool,
    /// The target; its URI becomes the Request-URI.
    pub target: &'a Candidate,
    /// The number of the branch: from nought, in the order in which targets are tried.
    pub branch: usize,
    /// What extensions keep with the transaction; absent in a stateless proxy.
    pub slots: Option<&'a mut Slots>,
}

/// Something came of a branch of a proxy's. Those are called whom the response or the request wakes.
pub struct ProxyReceived<'a> {
    /// The response, unless there was none: then the branch timed out (408) or could not be sent (503).
    pub response: Option<Message<'a>>,
    /// Its status code; never 100.
    pub status: u16,
    /// The number of the branch.
    pub branch: usize,
    /// What extensions keep with the transaction.
    pub slots: &'a mut Slots,
}

/// A proxy is about to forward a response. Those are called whom the response wakes, and those who
/// keep something with the transaction. The latter are called a second time for a final response that
/// waited for other branches, when it leaves; `response` is what they left then.
pub struct ProxyResponse<'a, 'm> {
    /// The response as received.
    pub response: Message<'m>,
    /// The method of the request.
    pub method: &'a [u8],
    /// Where the response came from.
    pub source: Flow,
    /// Where it goes: the flow that the request came by; absent in a stateless proxy.
    pub upstream: Option<Flow>,
    /// The copy that leaves, to edit.
    pub draft: &'a mut Draft<'m>,
    /// What extensions keep with the transaction; absent in a stateless proxy.
    pub slots: Option<&'a mut Slots>,
}

/// A proxy is about to send a response of its own.
pub struct ProxyReply<'a> {
    /// The request as received.
    pub request: Message<'a>,
    /// Where it came from.
    pub source: Flow,
    /// The status code.
    pub status: u16,
    /// Header fields to add.
    pub fields: &'a mut Fields,
    /// The body, none so far as a rule.
    pub body: &'a mut Option<Body>,
    /// What extensions keep with the transaction; absent where there is none yet.
    pub slots: Option<&'a mut Slots>,
}

/// Why a proxy cancels a branch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CancelCause {
    /// The caller cancelled.
    Caller,
    /// Another branch got a 2xx.
    CompletedElsewhere,
    /// Another branch got this 6xx.
    Declined(u16),
    /// Timer C ran out (RFC 3261 section 16.8).
    TimedOut,
}

/// A proxy is about to send a CANCEL of its own.
pub struct ProxyCancel<'a> {
    /// The request that is cancelled, as it was received.
    pub request: Message<'a>,
    /// The caller's CANCEL, if there is one.
    pub cancel: Option<Message<'a>>,
    /// Why.
    pub cause: CancelCause,
    /// Header fields to add.
    pub fields: &'a mut Fields,
}

/// A binding that a REGISTER asks for.
pub struct Contacting<'a> {
    /// The Contact header field value.
    pub contact: NameAddr<'a>,
    /// Bytes to keep with the binding.
    pub kept: Durable,
}

/// A registrar is about to take bindings.
pub struct Register<'a, 'm> {
    /// The request.
    pub request: Message<'m>,
    /// Where it came from.
    pub source: Flow,
    /// The address-of-record in canonical form.
    pub address_of_record: &'a [u8],
    /// The bindings that the request asks for; none for a query or for `*`.
    pub contacts: &'a mut [Contacting<'m>],
    /// The way on which these contacts are to be reached: values of Route, the first hop first, with
    /// commas between them. It is kept with each binding, and goes before the Route of requests that
    /// are forwarded there.
    pub route: &'a mut Vec<u8>,
}

/// A registrar is about to send its 200.
pub struct Registered<'a> {
    /// The request.
    pub request: Message<'a>,
    /// Where it came from.
    pub source: Flow,
    /// The address-of-record in canonical form.
    pub address_of_record: &'a [u8],
    /// How many bindings there are now.
    pub bindings: usize,
    /// Header fields to add.
    pub fields: &'a mut Fields,
}

/// A UAC is about to send a request.
pub struct UacRequest<'a> {
    /// Its method.
    pub method: &'a [u8],
    /// Its Request-URI; an extension may put another there.
    pub request_uri: &'a mut Vec<u8>,
    /// Header fields to add.
    pub fields: &'a mut Fields,
    /// Parameters for our own Contact, each with its semicolon.
    pub contact_parameters: &'a mut Vec<u8>,
    /// Where it goes first: the URI of the topmost Route, of the server that is set up, or the
    /// Request-URI.
    pub next_hop: &'a [u8],
    /// What extensions keep with this request, until its final response.
    pub slots: &'a mut Slots,
    /// What extensions keep with the user agent, from one request to the next.
    pub agent: &'a mut Slots,
    /// The dialog that it is sent in.
    pub dialog: Option<InDialog<'a>>,
    /// What is to be done when the stage is over.
    pub tasks: &'a mut Tasks,
    /// Its body; empty if it has none.
    pub body: &'a [u8],
    /// The id of the extension that has it sent.
    pub own: Option<&'static str>,
    /// The header fields that whoever sends it gave it.
    pub given: Given<'a>,
}

/// Header fields as they are written, a line each, to look things up in.
#[derive(Debug, Clone, Copy, Default)]
pub struct Given<'a>(pub &'a [u8]);

impl<'a> Given<'a> {
    /// The first value of the header field of this name, in any case.
    pub fn get(&self, name: &str) -> Option<&'a [u8]> {
        self.all(name).next()
    }

    /// The values of all lines of this name, in order.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.0.split(|byte| *byte == b'\n').filter_map(move |line| {
            let colon = line.iter().position(|byte| *byte == b':')?;
            let (have, value) = (line.get(..colon)?, line.get(colon + 1..)?);
            have.trim_ascii().eq_ignore_ascii_case(name.as_bytes()).then(|| value.trim_ascii())
        })
    }
}

/// A UAC has a response.
pub struct UacResponse<'a> {
    /// The response.
    pub response: Message<'a>,
    /// The method of the request.
    pub method: &'a [u8],
    /// What is worth telling the user, a line each.
    pub notes: &'a mut Vec<String>,
    /// What extensions keep with the request.
    pub slots: &'a mut Slots,
    /// What extensions keep with the user agent, from one request to the next.
    pub agent: &'a mut Slots,
    /// Where it came from.
    pub source: Flow,
    /// The dialog that the request was sent in, or that this response makes or belongs to: it is there
    /// by now.
    pub dialog: Option<InDialog<'a>>,
    /// What is to be done when the stage is over.
    pub tasks: &'a mut Tasks,
    /// The id of the extension that had the request sent.
    pub own: Option<&'static str>,
    /// Whether this provisional response is a reliable one (RFC 3262): an offer or answer in it
    /// counts then. `Verdict::Discard` keeps a response from the application.
    pub reliable: &'a mut bool,
}
