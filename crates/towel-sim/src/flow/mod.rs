//! Flows: stories of messages, in text files.
//!
//! ```text
//! title     A call through one proxy
//! rfc       3261 16.6, 3665 3.1
//! variants  plain, loss20 seeds 1..5, reorder seeds 1..3
//!
//! server towel 192.0.2.1
//!   domains = example.com
//!   user alice = alices-secret
//!
//! agent alice 192.0.2.10
//!   uri = sip:alice@example.com
//!   password = alices-secret
//! agent bob 192.0.2.20 tcp
//!   uri = sip:bob@example.com
//!
//! bob registers
//! alice sends INVITE sip:bob@example.com
//!   sdp
//! bob expects INVITE
//!   Max-Forwards = 69
//!   Via ~ *192.0.2.1*192.0.2.10*
//! bob replies 200
//! alice expects 200
//! alice acks
//! bob expects ACK
//! ```
//!
//! A line that is not indented is a step or a declaration; the indented lines below it belong to
//! it; a line that begins with `#` is a comment. Nothing else is needed: everything that a message
//! must have and the flow does not say has a default.
//!
//! # Declarations
//!
//! `title`, `rfc` (what it proves, sections after the number), `entry` (the id in the Guide),
//! `variants` (without it `plain, loss20+reorder seeds 1..4`); `server NAME ADDRESS...` with settings, `agent NAME ADDRESS[:PORT] [TRANSPORT]` with
//! `uri`, `contact`, `user`, `password`, `via` (whom it sends to; the first server by default) and
//! `manual` (any of `auth`, `cancel`, `prack`: what it shall not do by itself); `dns` with lines
//! such as `_sip._udp.example.com SRV 10 60 5060 p1.example.com`, `p1.example.com A 192.0.2.1`,
//! `x.example.com fails`, each optionally with `after 2s` and `ttl 60`.
//!
//! A server is a proxy and registrar; `phone = AOR` makes it a user agent without dialogs, `user-agent
//! = AOR` one with calls (its script is told in `caller.rs`), and `b2bua = NEXT-HOP` a back-to-back
//! user agent with `peers` (networks; everybody by default), `names`, `calls` (the most), `ringing`,
//! `hide` and `session_ids`, and `controller = AOR` one that has others talk with each other
//! (`controller.rs`).
//!
//! # What an agent does
//!
//! - `alice sends METHOD [URI [inside]] [to NAME|ADDRESS] [over tcp] [as NAME]`. Below it `Field: value` sets
//!   a header field (a second line of the same name appends), `-Field` leaves it out, `+Field: v`
//!   appends, `sdp` and `body TYPE` (the body indented beneath) give it a body. Or the whole
//!   message stands below, from its start line on. Without a URI the request goes inside the
//!   agent's dialog, and so it does with `inside`.
//! - `alice sends bytes` with the text beneath: exactly that, once, past every convenience.
//! - `alice repeats [NAME]`: the same bytes again.
//! - `alice expects METHOD|200|1xx|4xx|timeout|failure|nothing [for NAME] [as NAME] [within 5s]`, with
//!   checks below: `uri`, `reason`, `body`, `Field`, `Field[2]` (its second value),
//!   `Field.param`, followed by `= text` (the whole), `~ pattern` (with `*`), `!~ pattern`,
//!   `present`, `absent` or `count N`; `{name}` in a pattern keeps what stands there, or stands for
//!   what was kept. `whole`, with a message beneath, compares all of it.
//! - `bob replies STATUS ["reason"] [to NAME]`, `alice acks [NAME]`, `alice cancels [NAME]`.
//! - `alice turns to NAME`: what she sends without a URI from now on goes into the dialog of the INVITE,
//!   SUBSCRIBE or REFER of that name, sent or received; otherwise it is the one that was spoken in last.
//! - `alice registers`: REGISTER, the challenge if any, 200.
//!
//! Agents retransmit, absorb retransmissions, acknowledge refusals, answer challenges and CANCEL
//! by themselves, as a user agent does; what they meet beyond that has to be expected by the flow,
//! or it fails. Only a 100 may go unmentioned (and under loss any provisional response may be
//! missing: nothing in SIP brings back a lost 180 over UDP).
//!
//! # What happens to the network
//!
//! `pass 500ms`; `loss 20%`, `delay 10ms..50ms`, `reorder`, `duplicate 10%`, each also
//! `between A B`; `drop next [METHOD|STATUS] [from A] [to B] [N times]`; `partition A` or
//! `partition A B`; `heal`; `overload NAME`, `relieve NAME`; `restart NAME`, `stop NAME`, `start NAME`; `clock NAME +1h`;
//! `reset A B` (the connections between them); `note words`.

mod parse;
pub(crate) use parse::address;
pub(crate) use words::duration;
mod words;

#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::net::SocketAddr;

use towel_core::io::Transport;

/// A flow, read.
#[derive(Clone, Debug, Default)]
pub struct Flow {
    /// What it tells, in one line.
    pub title: String,
    /// Which sections it proves, as `3261 16.6`.
    pub rfc: Vec<String>,
    /// The entry of the Guide that it belongs to.
    pub entry: Option<String>,
    /// The comments at its head.
    pub about: String,
    /// In which networks it is to be run.
    pub variants: Vec<Variant>,
    /// Who is there.
    pub cast: Vec<Member>,
    /// What DNS knows.
    pub dns: Vec<DnsLine>,
    /// What happens.
    pub steps: Vec<Step>,
}

impl Flow {
    /// Reads a flow's text.
    pub fn parse(text: &str) -> Result<Flow, FlowError> {
        parse::flow(text)
    }
}

/// What is wrong with a flow's text, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowError {
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong.
    pub what: String,
}

impl std::fmt::Display for FlowError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

impl std::error::Error for FlowError {}

/// One of the networks that a flow is to be run in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variant {
    /// Its name: `plain`, `loss20 seed 3`.
    pub name: String,
    /// The seed of everything random in it.
    pub seed: u64,
    /// Loss of datagrams, in parts of a million.
    pub loss: u32,
    /// Duplicates of datagrams, in parts of a million.
    pub duplicate: u32,
    /// Whether datagrams overtake each other.
    pub reorder: bool,
}

impl Variant {
    /// A network that does no harm.
    pub fn plain() -> Variant {
        Variant { name: "plain".into(), seed: 1, loss: 0, duplicate: 0, reorder: false }
    }

    /// Whether messages may go missing or overtake each other.
    pub fn is_rough(&self) -> bool {
        self.loss > 0 || self.duplicate > 0 || self.reorder
    }
}

/// Somebody in a flow.
#[derive(Clone, Debug)]
pub enum Member {
    /// One of our elements.
    Server(ServerSpec),
    /// A scripted user agent.
    Agent(AgentSpec),
}

impl Member {
    /// Its name.
    pub fn name(&self) -> &str {
        match self {
            Member::Server(server) => &server.name,
            Member::Agent(agent) => &agent.name,
        }
    }
}

/// An element under test.
#[derive(Clone, Debug)]
pub struct ServerSpec {
    /// Where it is declared.
    pub line: usize,
    /// Its name.
    pub name: String,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// Its settings: line, key and value.
    pub settings: Vec<(usize, String, String)>,
}

impl ServerSpec {
    /// The last value of a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.settings.iter().rev().find(|(_, k, _)| k == key).map(|(_, _, v)| v.as_str())
    }
}

/// A scripted user agent.
#[derive(Clone, Debug)]
pub struct AgentSpec {
    /// Where it is declared.
    pub line: usize,
    /// Its name.
    pub name: String,
    /// Where it is.
    pub address: SocketAddr,
    /// What it speaks.
    pub transport: Transport,
    /// Its address of record.
    pub uri: String,
    /// Its contact, where it is not made from the address.
    pub contact: Option<String>,
    /// Its user name for authentication.
    pub user: String,
    /// Its password.
    pub password: Option<String>,
    /// Whom it sends to.
    pub via: Option<String>,
    /// What it shall not do by itself.
    pub manual: Vec<String>,
}

/// A line of the zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsLine {
    /// Where it stands.
    pub line: usize,
    /// The name.
    pub name: String,
    /// The type and the data; `fails` alone for no answer.
    pub words: Vec<String>,
    /// How long the answer takes, in microseconds.
    pub after: u64,
    /// Its time to live in seconds.
    pub ttl: u32,
}

/// One thing that happens.
#[derive(Clone, Debug)]
pub struct Step {
    /// Where it stands.
    pub line: usize,
    /// As it stands there.
    pub text: String,
    /// What it is.
    pub action: Action,
}

/// What a message in a flow is made from.
#[derive(Clone, Debug, Default)]
pub struct Template {
    /// Changes to the defaults, in order.
    pub fields: Vec<FieldLine>,
    /// The body and its type.
    pub body: Option<(String, String)>,
    /// The whole message instead.
    pub whole: Option<String>,
}

/// One change to a message's defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FieldLine {
    /// Set, or append the second time.
    Set(String, String),
    /// Append.
    Add(String, String),
    /// Leave out.
    Remove(String),
}

/// Whom a step waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Awaited {
    /// A request with this method.
    Request(String),
    /// A response with a status between the two.
    Response(u16, u16),
    /// No final response came in time.
    Timeout,
    /// The message could not be sent.
    Failure,
    /// Nothing, for so many microseconds.
    Nothing(u64),
}

/// What is looked at by a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The Request-URI.
    Uri,
    /// The reason phrase.
    Reason,
    /// The body.
    Body,
    /// Where it came from, `address:port`.
    Source,
    /// The transport that it came by.
    Transport,
    /// A header field: all of it, one of its values, or a parameter.
    Field {
        /// Its name.
        name: String,
        /// Which value, from 1; from the end where negative.
        index: Option<i32>,
        /// Which parameter of the value.
        param: Option<String>,
    },
    /// The whole message.
    Whole,
}

/// How it is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Test {
    /// It is this, variables apart.
    Equals(String),
    /// It is like this.
    Like(String),
    /// It is not like this.
    Unlike(String),
    /// It is there.
    Present,
    /// It is not there.
    Absent,
    /// It has so many values.
    Count(usize),
}

/// A check of something that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Where it stands.
    pub line: usize,
    /// What is looked at.
    pub subject: Subject,
    /// How.
    pub test: Test,
}

/// What can happen in a flow.
#[derive(Clone, Debug)]
pub enum Action {
    /// An agent sends a request.
    Send {
        /// Who.
        who: String,
        /// The method; empty where the template is whole.
        method: String,
        /// The Request-URI; inside the dialog where there is none.
        uri: Option<String>,
        /// Inside the dialog although there is a Request-URI.
        inside: bool,
        /// Whom to.
        to: Option<String>,
        /// By what transport.
        over: Option<Transport>,
        /// What the transaction is called from here on.
        name: Option<String>,
        /// The rest of it.
        template: Template,
    },
    /// An agent sends bytes as they are.
    Raw {
        /// Who.
        who: String,
        /// Whom to.
        to: Option<String>,
        /// By what transport.
        over: Option<Transport>,
        /// What.
        text: String,
    },
    /// An agent sends the same bytes again.
    Repeat {
        /// Who.
        who: String,
        /// Which.
        name: Option<String>,
    },
    /// An agent waits for something.
    Expect {
        /// Who; anybody for `nothing` alone.
        who: String,
        /// What for.
        awaited: Awaited,
        /// Of which transaction.
        of: Option<String>,
        /// What a request's transaction is called from here on.
        name: Option<String>,
        /// How long, in microseconds.
        within: u64,
        /// What has to be true of it.
        checks: Vec<Check>,
    },
    /// An agent responds.
    Reply {
        /// Who.
        who: String,
        /// The status code.
        status: u16,
        /// The reason phrase.
        reason: Option<String>,
        /// To which request.
        of: Option<String>,
        /// The rest of it.
        template: Template,
    },
    /// An agent acknowledges a 2xx.
    Ack {
        /// Who.
        who: String,
        /// Which.
        of: Option<String>,
        /// The rest of it.
        template: Template,
    },
    /// An agent gives up an INVITE.
    Cancel {
        /// Who.
        who: String,
        /// Which.
        of: Option<String>,
        /// The rest of it.
        template: Template,
    },
    /// An agent goes on in another dialog.
    Turn {
        /// Who.
        who: String,
        /// The name of what made the dialog.
        name: String,
    },
    /// An agent registers.
    Register {
        /// Who.
        who: String,
        /// The rest of it.
        template: Template,
    },
    /// Time passes: microseconds.
    Pass(u64),
    /// The network changes.
    Network(Fault),
    /// An element loses all but its store.
    Restart(String),
    /// Somebody is gone.
    Stop(String),
    /// More comes to it than it can do, or no more than that.
    Overload(String, bool),
    /// Somebody is back.
    Start(String),
    /// The wall clock of an element jumps, in seconds.
    Clock(String, i64),
    /// A remark in the ladder.
    Note(String),
}

/// What can be wrong with a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Loss in parts of a million.
    Loss(Between, u32),
    /// Duplicates in parts of a million.
    Duplicate(Between, u32),
    /// The least and the greatest delay in microseconds.
    Delay(Between, u64, u64),
    /// Nothing passes.
    Partition(Between),
    /// Everything is well again.
    Heal,
    /// The next messages of that kind are lost.
    Drop {
        /// The method or status code; any where there is none.
        what: Option<String>,
        /// Whose.
        from: Option<String>,
        /// To whom.
        to: Option<String>,
        /// How many.
        times: u32,
    },
    /// The connections between the two break.
    Reset(String, String),
}

/// Which links a fault is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Between {
    /// All.
    All,
    /// All of one member.
    One(String),
    /// Those between two.
    Two(String, String),
}
