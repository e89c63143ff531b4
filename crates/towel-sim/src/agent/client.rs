//! What an agent does as a client: requests, retransmissions, acknowledgements, challenges.

use std::collections::BTreeMap;

use towel_core::io::{CloseReason, Flow, Outbox};

use super::{Agent, Arrived, Dialog, Kind, T1, T2, Target, digest};
use crate::text::{Text, param, uri_of};

/// A client transaction of a scripted agent.
pub(super) struct Client {
    pub(super) name: Option<String>,
    pub(super) text: Text,
    bytes: Vec<u8>,
    target: Target,
    branch: String,
    interval: u64,
    again: Option<u64>,
    gives_up: Option<u64>,
    provisional: bool,
    seen: Vec<(u16, String, Option<String>)>,
    /// The acknowledgement of each 2xx, by its To tag; `None` until the flow acknowledges.
    answers: BTreeMap<String, Option<(Target, Vec<u8>)>>,
    pub(super) answered: Option<u16>,
    /// A final response that contradicts the first.
    pub(super) contradicted: Option<(u16, u16)>,
    done: bool,
    cancel: Option<Text>,
    tries: u32,
    pub(super) superseded: bool,
    pub(super) timed_out: bool,
}

impl Client {
    pub(super) fn deadline(&self) -> Option<u64> {
        self.again.into_iter().chain(self.gives_up).min()
    }

    pub(super) fn is_over(&self) -> bool {
        self.finals() > 0 || self.timed_out
    }

    /// How many final responses it had; several 2xx of a forked INVITE are one answer.
    pub(super) fn finals(&self) -> usize {
        usize::from(self.done)
    }

    fn is_invite(&self) -> bool {
        self.text.method() == "INVITE"
    }
}

impl Agent {
    /// Sends a request and looks after it from here on.
    pub fn send(&mut self, text: Text, target: Target, name: Option<String>, out: &mut Outbox) {
        let bytes = text.write();
        self.transmit(target, &bytes, out);
        if text.method() == "ACK" {
            return;
        }
        let branch = text.branch().to_string();
        let now = self.now.at.0;
        let again = (!target.transport.reliable()).then_some(now + T1);
        self.clients.push(Client {
            name,
            text,
            bytes,
            target,
            branch,
            interval: T1,
            again,
            gives_up: Some(now + 64 * T1),
            provisional: false,
            seen: Vec::new(),
            answers: BTreeMap::new(),
            answered: None,
            contradicted: None,
            done: false,
            cancel: None,
            tries: 0,
            superseded: false,
            timed_out: false,
        });
    }

    /// Sends bytes as they are.
    pub fn send_raw(&mut self, bytes: &[u8], target: Target, out: &mut Outbox) {
        self.transmit(target, bytes, out);
    }

    /// Sends the last request again (or the one of that name), the same bytes.
    pub fn repeat(&mut self, name: Option<&str>, out: &mut Outbox) -> Result<(), String> {
        let at = self.client(name)?;
        let (target, bytes) = (self.clients[at].target, self.clients[at].bytes.clone());
        self.transmit(target, &bytes, out);
        Ok(())
    }

    /// The last request of that name, or the last of all.
    pub(super) fn client(&self, name: Option<&str>) -> Result<usize, String> {
        let fits = |c: &Client| name.is_none_or(|name| c.name.as_deref() == Some(name));
        self.clients.iter().rposition(fits).ok_or_else(|| match name {
            Some(name) => format!("{} has sent nothing called {name}", self.spec.name),
            None => format!("{} has sent nothing", self.spec.name),
        })
    }

    fn last_invite(&self, name: Option<&str>) -> Result<usize, String> {
        let fits =
            |c: &Client| c.is_invite() && name.is_none_or(|name| c.name.as_deref() == Some(name));
        let missing = || format!("{} has sent no such INVITE", self.spec.name);
        self.clients.iter().rposition(fits).ok_or_else(missing)
    }

    /// The request that a CANCEL would be for, and its destination.
    pub(super) fn to_cancel(&self, name: Option<&str>) -> Result<(usize, &Text), String> {
        let at = self.last_invite(name)?;
        Ok((at, &self.clients[at].text))
    }

    /// Cancels: at once, or as soon as a provisional response allows it (RFC 3261 section 9.1).
    pub fn cancel(&mut self, at: usize, text: Text, out: &mut Outbox) {
        let client = &mut self.clients[at];
        if client.provisional || client.done {
            let target = client.target;
            let name = Some("cancel".to_string());
            self.send(text, target, name, out);
        } else {
            client.cancel = Some(text);
        }
    }

    /// Keeps the acknowledgement of a 2xx, for when the 2xx comes again.
    pub(super) fn keep_ack(&mut self, remote_tag: &str, target: Target, bytes: Vec<u8>) {
        let fits = |c: &&mut Client| c.is_invite() && c.answers.contains_key(remote_tag);
        if let Some(client) = self.clients.iter_mut().rev().find(fits) {
            client.answers.insert(remote_tag.into(), Some((target, bytes)));
        }
    }

    pub(super) fn response(&mut self, flow: Flow, text: Text, bytes: &[u8], out: &mut Outbox) {
        let from = Some(Target { transport: flow.transport, address: flow.remote });
        let (status, method) = (text.status(), text.method().to_string());
        let branch = text.branch().to_string();
        let found =
            self.clients.iter().rposition(|c| c.branch == branch && c.text.method() == method);
        let mut arrived = Arrived {
            at: self.now.at.0,
            kind: Kind::Response,
            bytes: bytes.to_vec(),
            from,
            name: None,
            transaction: found,
            dialog: None,
            text,
        };
        let Some(at) = found else {
            self.inbox.push(arrived);
            return;
        };
        arrived.name.clone_from(&self.clients[at].name);
        let tag = arrived.text.tag("To").unwrap_or_default().to_string();
        let invite = self.clients[at].is_invite();
        let client = &mut self.clients[at];
        if status >= 200 {
            // One final response to a request, whatever happens on the way; several 2xx of a forked
            // INVITE are the exception (RFC 3261 section 13.2.2.4).
            let first = *client.answered.get_or_insert(status);
            let both_2xx = first < 300 && status < 300;
            if first != status && !both_2xx {
                client.contradicted = Some((first, status));
            }
        }
        match status {
            100..200 => {
                client.provisional = true;
                if invite {
                    client.again = None;
                    client.gives_up = None;
                } else if client.again.is_some() {
                    client.interval = T2;
                }
                let key = (status, tag.clone(), arrived.text.first("RSeq").map(Into::into));
                let new = !client.seen.contains(&key) && !client.done;
                client.seen.push(key);
                if let Some(cancel) = client.cancel.take() {
                    let target = client.target;
                    self.send(cancel, target, Some("cancel".into()), out);
                }
                if new {
                    if !tag.is_empty() && status > 100 {
                        arrived.dialog = self.dialog_as_caller(at, &arrived.text, &tag);
                    }
                    self.inbox.push(arrived);
                }
            }
            200..300 if invite => {
                client.again = None;
                client.gives_up = None;
                client.done = true;
                match client.answers.get(&tag).cloned() {
                    Some(Some((target, ack))) => self.transmit(target, &ack, out),
                    Some(None) => {}
                    None => {
                        client.answers.insert(tag.clone(), None);
                        arrived.dialog = self.dialog_as_caller(at, &arrived.text, &tag);
                        self.inbox.push(arrived);
                    }
                }
            }
            _ => {
                if invite {
                    let ack = self.ack_for_refusal(at, &arrived.text);
                    let target = self.clients[at].target;
                    self.transmit(target, &ack, out);
                }
                let client = &mut self.clients[at];
                client.again = None;
                client.gives_up = None;
                if std::mem::replace(&mut client.done, true) {
                    return;
                }
                let auto = !self.spec.manual.iter().any(|m| m == "auth");
                if matches!(status, 401 | 407)
                    && auto
                    && self.answer_challenge(at, &arrived.text, out)
                {
                    return;
                }
                if status < 300
                    && !tag.is_empty()
                    && matches!(method.as_str(), "SUBSCRIBE" | "REFER")
                {
                    arrived.dialog = self.dialog_as_caller(at, &arrived.text, &tag);
                }
                self.inbox.push(arrived);
            }
        }
    }

    /// RFC 3261 section 17.1.1.3: the ACK of a non-2xx belongs to the INVITE's transaction.
    fn ack_for_refusal(&self, at: usize, response: &Text) -> Vec<u8> {
        let invite = &self.clients[at].text;
        let mut ack = Text { start: format!("ACK {} SIP/2.0", invite.uri()), ..Text::default() };
        if let Some(via) = invite.values("Via").first() {
            ack.add("Via", *via);
        }
        ack.add("Max-Forwards", "70");
        for route in invite.lines("Route") {
            ack.add("Route", route);
        }
        ack.add("From", invite.first("From").unwrap_or_default());
        ack.add("To", response.first("To").unwrap_or_default());
        ack.add("Call-ID", invite.first("Call-ID").unwrap_or_default());
        ack.add("CSeq", format!("{} ACK", invite.cseq()));
        ack.add("Content-Length", "0");
        ack.write()
    }

    fn answer_challenge(&mut self, at: usize, response: &Text, out: &mut Outbox) -> bool {
        let Some(password) = self.spec.password.clone() else { return false };
        let (mut text, tries) = (self.clients[at].text.clone(), self.clients[at].tries);
        if tries >= 4 {
            return false;
        }
        let user = self.spec.user.clone();
        if !digest::answer(&mut text, response, &user, &password, &mut self.rng) {
            return false;
        }
        self.cseq = self.cseq.max(text.cseq()) + 1;
        let method = text.method().to_string();
        text.set("CSeq", format!("{} {method}", self.cseq));
        let branch = self.branch();
        let old = self.clients[at].branch.clone();
        if let Some((_, via)) = text.fields.iter_mut().find(|(n, _)| n.eq_ignore_ascii_case("via"))
        {
            *via = via.replacen(&old, &branch, 1);
        }
        let (name, target) = (self.clients[at].name.clone(), self.clients[at].target);
        self.clients[at].superseded = true;
        self.send(text, target, name, out);
        if let Some(client) = self.clients.last_mut() {
            client.tries = tries + 1;
        }
        true
    }

    /// RFC 3261 section 12.1.2.
    fn dialog_as_caller(&mut self, at: usize, response: &Text, tag: &str) -> Option<usize> {
        let request = &self.clients[at].text;
        let call_id = request.first("Call-ID")?.to_string();
        if request.tag("To").is_some() {
            // Inside a dialog: only its target is refreshed (section 12.2.1.2).
            let same = |d: &Dialog| d.call_id == call_id && d.remote_tag == tag;
            let found = self.dialogs.iter().position(same)?;
            if let Some(contact) = response.values("Contact").first() {
                self.dialogs[found].target = uri_of(contact).into();
            }
            self.dialogs[found].invite = request.cseq();
            return Some(found);
        }
        let dialog = Dialog {
            local: request.first("From")?.to_string(),
            remote: response.first("To")?.to_string(),
            remote_tag: tag.into(),
            target: response
                .values("Contact")
                .first()
                .map_or_else(|| request.uri().to_string(), |c| uri_of(c).to_string()),
            routes: response.values("Record-Route").iter().rev().map(|r| r.to_string()).collect(),
            invite: request.cseq(),
            call_id,
        };
        let same = |d: &Dialog| d.call_id == dialog.call_id && d.remote_tag == dialog.remote_tag;
        match self.dialogs.iter().position(same) {
            Some(found) => {
                self.dialogs[found] = dialog;
                Some(found)
            }
            None => {
                self.dialogs.push(dialog);
                Some(self.dialogs.len() - 1)
            }
        }
    }

    pub(super) fn unreachable(&mut self, target: Target, _why: CloseReason) {
        let now = self.now.at.0;
        for at in 0..self.clients.len() {
            let client = &mut self.clients[at];
            if client.target == target && !client.is_over() {
                client.timed_out = true;
                client.again = None;
                client.gives_up = None;
                let arrived = self.absent(at, Kind::Failure, now);
                self.inbox.push(arrived);
            }
        }
    }

    fn absent(&self, at: usize, kind: Kind, now: u64) -> Arrived {
        let client = &self.clients[at];
        Arrived {
            at: now,
            kind,
            text: client.text.clone(),
            bytes: client.bytes.clone(),
            from: None,
            name: client.name.clone(),
            transaction: Some(at),
            dialog: None,
        }
    }

    pub(super) fn tick_clients(&mut self, out: &mut Outbox) {
        let now = self.now.at.0;
        for at in 0..self.clients.len() {
            let client = &mut self.clients[at];
            if client.gives_up.is_some_and(|then| then <= now) {
                client.timed_out = true;
                client.again = None;
                client.gives_up = None;
                let arrived = self.absent(at, Kind::Timeout, now);
                self.inbox.push(arrived);
            } else if client.again.is_some_and(|then| then <= now) {
                client.interval *= 2;
                if !client.is_invite() {
                    client.interval = client.interval.min(T2);
                }
                client.again = Some(now + client.interval);
                let (target, bytes) = (client.target, client.bytes.clone());
                self.transmit(target, &bytes, out);
            }
        }
    }
}

/// The address that a URI names, where it names one.
pub(super) fn target_of(uri: &str) -> Option<Target> {
    use towel_core::io::Transport;
    let (scheme, rest) = uri.split_once(':')?;
    let (host, params) = rest.split_once(';').unwrap_or((rest, ""));
    let host = host.rsplit('@').next()?.split('?').next()?;
    let params = format!("x;{params}");
    let asked = param(&params, "transport").and_then(|t| Transport::from_token(t.as_bytes()));
    let transport = match (scheme, asked) {
        ("sips", Some(Transport::Ws)) => Transport::Wss,
        ("sips", _) => Transport::Tls,
        (_, Some(transport)) => transport,
        (_, None) => Transport::Udp,
    };
    let host = param(&params, "maddr").unwrap_or(host);
    Some(Target { transport, address: crate::flow::address(host, transport)? })
}
