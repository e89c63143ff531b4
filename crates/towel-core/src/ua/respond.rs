//! The agent as a UAS (RFC 3261 section 8.2): it answers OPTIONS and MESSAGE, and a phone among
//! agents lets an INVITE ring until its caller gives up, for it has no media to answer with.

use std::time::Duration;

use towel_message::{Method, Name, Uri, check, check_contacts};

use super::Inner;
use crate::contract::{Fields, Reply, Slots, Verdict};
use crate::io::{Now, Outbox};
use crate::stack::{Received, ServerId, Stack};

/// How long it rings at most, as a voice mailbox would let it.
const RINGING: Duration = Duration::from_secs(120);
/// Most INVITEs that ring at a time.
const MOST_RINGING: usize = 16;
/// What is answered otherwise than with a 405.
const ALLOW: &[u8] = b"OPTIONS, MESSAGE, ACK, CANCEL";

/// The user part by which we were called, with its at-sign: whoever has our Contact reaches the
/// same user again (RFC 3261 section 8.1.1.8).
fn called(message: &towel_message::Message<'_>) -> Vec<u8> {
    match message.uri() {
        Ok(Uri::Sip(sip)) => sip.user.map(|user| [user, b"@"].concat()).unwrap_or_default(),
        _ => Vec::new(),
    }
}

impl Inner {
    /// Answers a request.
    pub(super) fn answer_request(
        &mut self,
        stack: &mut Stack,
        now: Now,
        out: &mut Outbox,
        received: &Received<'_>,
    ) {
        let message = received.message;
        let makes_dialog =
            matches!(message.method(), Method::Invite | Method::Subscribe | Method::Refer);
        let form = check(&message).and_then(|()| match makes_dialog {
            true => check_contacts(&message),
            false => Ok(()),
        });
        if let Err(fault) = form {
            return stack.respond_stateless(
                now,
                out,
                received,
                fault.status,
                fault.reason,
                |writer| writer.end(),
            );
        }
        let (mut fields, mut slots) = (Fields::new(), Slots::new());
        let reply = match self.judge(&message) {
            Some(refusal) => refusal,
            None => match self.read_request(now, received, &mut fields, &mut slots) {
                Some(refusal) => refusal,
                None if message.method() == Method::Invite => Reply::new(180, "Ringing"),
                None => Reply::new(200, "OK"),
            },
        };
        let Ok(id) = stack.server_transaction(now, received, 0) else {
            return stack.respond_stateless(
                now,
                out,
                received,
                503,
                "Service Unavailable",
                |writer| writer.end(),
            );
        };
        if reply.status == 200 && message.method() == Method::Message {
            // Bounded: whoever does not fetch them is not to be filled up.
            if self.inbox.len() >= 1024 {
                self.inbox.pop_front();
            }
            self.inbox.push_back(message.bytes().to_vec());
        }
        let parameters = self.extend_response(now, message, reply.status, &mut fields, &mut slots);
        // Section 11.2: the answer to OPTIONS may have a Contact, as that to an INVITE would.
        let contact = stack
            .sent_by(received.flow.listener)
            .filter(|_| {
                reply.status == 180 || (reply.status == 200 && message.method() == Method::Options)
            })
            .map(|own| {
                let transport = received.flow.transport;
                let tcp = if transport.reliable() { ";transport=" } else { "" };
                let word = if transport.reliable() { transport.uri_token() } else { "" };
                let user = called(&message);
                [b"<sip:", &user[..], own, tcp.as_bytes(), word.as_bytes(), b">", &parameters]
                    .concat()
            });
        let supported = self.registry.as_ref().map(|registry| registry.supported().to_owned());
        let is_options = message.method() == Method::Options;
        let _ = stack.reply(now, out, id, reply.status, reply.reason, |mut writer| {
            if let Some(contact) = &contact {
                writer.field(Name::Contact, contact);
            }
            if matches!(reply.status, 200 | 405) {
                writer.field(Name::Allow, ALLOW);
            }
            if is_options && reply.status == 200 {
                writer.field(Name::Accept, b"text/plain");
                if let Some(supported) = supported.filter(|tags| !tags.is_empty()) {
                    writer.field(Name::Supported, supported.as_bytes());
                }
            }
            for (name, value) in reply.fields.iter().chain(fields.iter()) {
                writer.field(name, value);
            }
            writer.end();
        });
        if reply.status == 180 {
            self.last += 1;
            stack.set_timer(now.at + RINGING, self.last);
            self.ringing.push((id, self.last));
        }
    }

    /// What is wrong with a request, in the order of section 8.2.
    fn judge(&self, message: &towel_message::Message<'_>) -> Option<Reply> {
        let method = message.method();
        let rings = method == Method::Invite && self.rings;
        if !matches!(method, Method::Options | Method::Message) && !rings {
            return Some(Reply::new(405, "Method Not Allowed"));
        }
        // Section 8.2.2.1: a scheme that nobody here understands.
        let known = match message.uri() {
            Ok(Uri::Sip(_)) => true,
            Ok(Uri::Tel(_)) => {
                self.registry.as_ref().is_some_and(|registry| registry.knows_scheme(b"tel"))
            }
            _ => false,
        };
        if !known {
            return Some(Reply::new(416, "Unsupported URI Scheme"));
        }
        if message.to_tag().is_some() {
            return Some(Reply::new(481, "Call/Transaction Does Not Exist"));
        }
        if rings && self.ringing.len() >= MOST_RINGING {
            return Some(Reply::new(486, "Busy Here"));
        }
        match self.registry.as_ref()?.check_require(message) {
            Verdict::Refuse(reply) => Some(*reply),
            Verdict::Pass | Verdict::Discard | Verdict::Hold(_) => None,
        }
    }

    /// A CANCEL (section 9.2).
    pub(super) fn give_up(
        &mut self,
        stack: &mut Stack,
        now: Now,
        out: &mut Outbox,
        cancel: &Received<'_>,
        known: bool,
        invite: Option<ServerId>,
    ) {
        if !known {
            let reason = "Call/Transaction Does Not Exist";
            return stack.respond_stateless(now, out, cancel, 481, reason, |writer| writer.end());
        }
        let Some(at) = self.ringing.iter().position(|(id, _)| Some(*id) == invite) else { return };
        let (id, _) = self.ringing.remove(at);
        let _ = self.read_request(now, cancel, &mut Fields::new(), &mut Slots::new());
        let _ = stack.reply(now, out, id, 487, "Request Terminated", |writer| writer.end());
    }

    /// Nobody answers, and nobody gives up either.
    pub(super) fn rang_enough(
        &mut self,
        stack: &mut Stack,
        now: Now,
        out: &mut Outbox,
        token: u64,
    ) {
        if let Some(at) = self.ringing.iter().position(|(_, timer)| *timer == token) {
            let (id, _) = self.ringing.remove(at);
            let reason = "Temporarily Unavailable";
            let _ = stack.reply(now, out, id, 480, reason, |writer| writer.end());
        }
    }
}
