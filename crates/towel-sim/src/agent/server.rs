//! What an agent does as a server: responses, their retransmission, CANCEL.

use std::net::SocketAddr;

use towel_core::io::{Flow, Outbox};

use super::{Agent, Arrived, Dialog, Kind, T1, T2, Target};
use crate::text::{Text, param, uri_of};

/// A server transaction of a scripted agent.
pub(super) struct Server {
    pub(super) name: Option<String>,
    pub(super) text: Text,
    flow: Flow,
    branch: String,
    pub(super) tag: String,
    response: Option<Vec<u8>>,
    status: u16,
    interval: u64,
    again: Option<u64>,
    gives_up: Option<u64>,
    acked: bool,
}

impl Server {
    pub(super) fn deadline(&self) -> Option<u64> {
        self.again.into_iter().chain(self.gives_up).min()
    }

    pub(super) fn is_over(&self) -> bool {
        self.again.is_none() && self.status >= 200
    }
}

impl Agent {
    pub(super) fn request(&mut self, flow: Flow, text: Text, bytes: &[u8], out: &mut Outbox) {
        let branch = text.branch().to_string();
        let method = text.method().to_string();
        let mut arrived = Arrived {
            at: self.now.at.0,
            kind: Kind::Request,
            bytes: bytes.to_vec(),
            from: Some(Target { transport: flow.transport, address: flow.remote }),
            name: None,
            transaction: None,
            dialog: None,
            text,
        };
        if method == "ACK" {
            if let Some(at) = self.acknowledged(&branch, &arrived.text) {
                arrived.transaction = Some(at);
                arrived.name.clone_from(&self.servers[at].name);
                self.inbox.push(arrived);
            }
            return;
        }
        // A retransmission gets what the first one got (RFC 3261 section 17.2).
        let known = self
            .servers
            .iter()
            .find(|s| s.branch == branch && s.text.method() == method && !branch.is_empty());
        if let Some(server) = known {
            if let Some(response) = server.response.clone() {
                let flow = server.flow;
                self.transmit_back(flow, &response, out);
            }
            return;
        }
        let back = Flow { remote: back_to(&arrived.text, flow), ..flow };
        let tag = match arrived.text.tag("To") {
            Some(tag) => tag.to_string(),
            None => self.rng.token(8),
        };
        self.servers.push(Server {
            name: None,
            text: arrived.text.clone(),
            flow: back,
            branch: branch.clone(),
            tag,
            response: None,
            status: 0,
            interval: T1,
            again: None,
            gives_up: None,
            acked: false,
        });
        let at = self.servers.len() - 1;
        arrived.transaction = Some(at);
        if method == "CANCEL" && !self.spec.manual.iter().any(|m| m == "cancel") {
            self.cancelled(at, &branch, out);
        }
        self.inbox.push(arrived);
    }

    /// RFC 3261 section 9.2.
    fn cancelled(&mut self, at: usize, branch: &str, out: &mut Outbox) {
        let invite =
            self.servers.iter().position(|s| s.branch == branch && s.text.method() == "INVITE");
        match invite {
            Some(invite) => {
                self.servers[at].tag = self.servers[invite].tag.clone();
                let ok = self.plain_response(at, 200, "OK");
                self.respond(at, ok, out);
                if self.servers[invite].status < 200 {
                    let terminated = self.plain_response(invite, 487, "Request Terminated");
                    self.respond(invite, terminated, out);
                }
            }
            None => {
                let none = self.plain_response(at, 481, "Call/Transaction Does Not Exist");
                self.respond(at, none, out);
            }
        }
    }

    /// Which INVITE an ACK belongs to, where the flow has to know of it: the ACK of a refusal is
    /// the transaction's own affair, and so is one that comes again.
    fn acknowledged(&mut self, branch: &str, ack: &Text) -> Option<usize> {
        let own = self
            .servers
            .iter_mut()
            .find(|s| s.branch == branch && s.text.method() == "INVITE" && s.status >= 300);
        if let Some(server) = own {
            server.acked = true;
            server.again = None;
            server.gives_up = None;
            return None;
        }
        let found = self.servers.iter().position(|s| {
            s.text.method() == "INVITE"
                && s.text.first("Call-ID") == ack.first("Call-ID")
                && s.text.cseq() == ack.cseq()
                && Some(s.tag.as_str()) == ack.tag("To")
        })?;
        let server = &mut self.servers[found];
        server.again = None;
        server.gives_up = None;
        (!std::mem::replace(&mut server.acked, true)).then_some(found)
    }

    /// Whether a request of that name is there and has no final response yet.
    pub fn may_answer(&self, name: &str) -> bool {
        self.servers.iter().any(|s| s.name.as_deref() == Some(name) && s.status < 200)
    }

    /// The request that a response would be to: the last of that name, or the last that has no
    /// final response, the newest first.
    pub(super) fn to_answer(&self, name: Option<&str>) -> Result<usize, String> {
        let open = |s: &Server| s.status < 200;
        let found = match name {
            Some(name) => self.servers.iter().rposition(|s| s.name.as_deref() == Some(name)),
            None => self.servers.iter().rposition(open),
        };
        found.ok_or_else(|| match name {
            Some(name) => format!("{} has had no request called {name}", self.spec.name),
            None => format!("{} has no request to answer", self.spec.name),
        })
    }

    pub(super) fn server_text(&self, at: usize) -> (&Text, &str) {
        (&self.servers[at].text, &self.servers[at].tag)
    }

    fn plain_response(&self, at: usize, status: u16, reason: &str) -> Text {
        self.response_to(at, status, reason)
    }

    /// Sends a response and looks after it from here on.
    pub(super) fn respond(&mut self, at: usize, text: Text, out: &mut Outbox) {
        let now = self.now.at.0;
        let bytes = text.write();
        let status = text.status();
        let server = &mut self.servers[at];
        server.status = status;
        server.response = Some(bytes.clone());
        let invite = server.text.method() == "INVITE";
        let again = invite
            && (status >= 300 && !server.flow.transport.reliable() || (200..300).contains(&status));
        // RFC 3261 section 13.3.1.4: a 2xx is repeated until its ACK comes, over any transport.
        server.interval = T1;
        server.again = again.then_some(now + T1);
        server.gives_up = again.then_some(now + 64 * T1);
        let flow = server.flow;
        if let Some(tag) = text.tag("To") {
            server.tag = tag.to_string();
        }
        if status > 100 && status < 300 {
            self.dialog_as_callee(at, &text);
        }
        self.transmit_back(flow, &bytes, out);
    }

    /// RFC 3261 section 12.1.1.
    fn dialog_as_callee(&mut self, at: usize, response: &Text) {
        let request = &self.servers[at].text;
        if !matches!(request.method(), "INVITE" | "SUBSCRIBE" | "REFER") {
            return;
        }
        let field = |text: &Text, name: &str| text.first(name).unwrap_or_default().to_string();
        let call_id = field(request, "Call-ID");
        let remote_tag = request.tag("From").unwrap_or_default().to_string();
        let target =
            request.values("Contact").first().map(|c| uri_of(c).to_string()).unwrap_or_default();
        let same = |d: &Dialog| d.call_id == call_id && d.remote_tag == remote_tag;
        if let Some(found) = self.dialogs.iter().position(same) {
            if !target.is_empty() {
                self.dialogs[found].target = target;
            }
            self.dialog = Some(found);
            return;
        }
        self.dialogs.push(Dialog {
            local: field(response, "To"),
            remote: field(request, "From"),
            remote_tag,
            target,
            routes: request.values("Record-Route").iter().map(|r| r.to_string()).collect(),
            invite: request.cseq(),
            call_id,
        });
        self.dialog = Some(self.dialogs.len() - 1);
    }

    pub(super) fn tick_servers(&mut self, out: &mut Outbox) {
        let now = self.now.at.0;
        for at in 0..self.servers.len() {
            let server = &mut self.servers[at];
            if server.gives_up.is_some_and(|then| then <= now) {
                server.again = None;
                server.gives_up = None;
            } else if server.again.is_some_and(|then| then <= now) {
                server.interval = (server.interval * 2).min(T2);
                server.again = Some(now + server.interval);
                let (flow, response) = (server.flow, server.response.clone().unwrap_or_default());
                self.transmit_back(flow, &response, out);
            }
        }
    }
}

/// Where a response to this request goes over UDP (RFC 3261 section 18.2.2, RFC 3581 section 4).
fn back_to(request: &Text, flow: Flow) -> SocketAddr {
    if flow.connection.is_some() {
        return flow.remote;
    }
    let vias = request.values("Via");
    let Some(via) = vias.first() else { return flow.remote };
    if param(via, "rport").is_some() {
        return flow.remote;
    }
    let sent_by = via.split(';').next().unwrap_or_default().split_whitespace().last();
    let address = sent_by.and_then(|s| crate::flow::address(s, flow.transport));
    match address {
        Some(address) => SocketAddr::new(flow.remote.ip(), address.port()),
        None => flow.remote,
    }
}
