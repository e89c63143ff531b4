//! Requests outside of dialogs that make none.

use towel_message::{Message, Name, Uri};

use super::calls::with;
use super::fields::{body, party, user};
use super::session_id;
use super::{B2bua, Standing};
use crate::io::{Now, Outbox};
use crate::ua::user_agent::{Answer, Ask, IncomingHandle, Refused};

/// What is relayed; whatever makes dialogs is not, nor what is meant for a registrar.
const ALLOW: &str =
    "INVITE, ACK, CANCEL, BYE, PRACK, UPDATE, INFO, MESSAGE, OPTIONS, REFER, NOTIFY";

impl B2bua {
    /// Somebody sends something that belongs to no dialog.
    pub(super) fn outside(
        &mut self,
        now: Now,
        out: &mut Outbox,
        request: IncomingHandle,
        bytes: &[u8],
    ) {
        let source = self.agent.source_of_request(request);
        let may = self.may(source);
        let decided = with(bytes, |message| match self.decide(message, may) {
            Some(answer) => Err(Box::new(answer)),
            None => Ok(self.sent_on(message)),
        });
        let answer = match decided {
            Some(Ok(ask)) => match self.agent.send(now, out, &ask) {
                Ok(sent) => {
                    let standing = Standing::of(request);
                    self.standing.insert(sent, standing);
                    return;
                }
                Err(Refused::Full) => Answer::new(503).with("Retry-After", "10"),
                Err(_) => Answer::new(400),
            },
            Some(Err(answer)) => *answer,
            None => Answer::new(400),
        };
        let _ = self.agent.reply(now, out, request, answer);
    }

    /// What is answered here.
    fn decide(&self, message: &Message<'_>, may: bool) -> Option<Answer> {
        let method = message.method();
        let method = method.as_bytes();
        if method == b"OPTIONS" && self.is_for_us(message) {
            // RFC 3261 section 11.2.
            let full = self.bridges.len() >= self.settings.max_calls;
            return Some(
                Answer::new(if full { 486 } else { 200 })
                    .with("Allow", ALLOW)
                    .with("Accept", "application/sdp")
                    .with("Supported", self.agent.registry().supported()),
            );
        }
        if !may {
            return Some(Answer::new(403));
        }
        match method {
            b"SUBSCRIBE" | b"REFER" | b"REGISTER" | b"PUBLISH" => {
                Some(Answer::new(405).with("Allow", ALLOW))
            }
            b"NOTIFY" | b"PRACK" | b"UPDATE" | b"INFO" => Some(Answer::new(481)),
            _ => self.unfit(message),
        }
    }

    /// Whether it is for ourselves: our address without a user.
    fn is_for_us(&self, message: &Message<'_>) -> bool {
        match message.uri() {
            Ok(Uri::Sip(uri)) => {
                uri.user.is_none() && self.own.contains(&uri.host_port.to_ascii_lowercase())
            }
            _ => false,
        }
    }

    fn sent_on(&self, message: &Message<'_>) -> Ask {
        let (uri, route) = self.target(message);
        let method = message.method();
        let mut ask = Ask {
            to: party(message, Name::To),
            from: party(message, Name::From),
            fields: self.carried(message),
            body: body(message),
            max_forwards: Self::hops(message),
            direct: route.is_none(),
            route,
            contact: Some(user(message, Name::From)),
            supported: Some(self.supported(message)),
            ..Ask::new(&String::from_utf8_lossy(method.as_bytes()), &uri)
        };
        let said = session_id::read(message);
        if let Some(value) = session_id::write(said.local, said.remote) {
            ask.fields.push("Session-ID", value);
        }
        ask
    }
}
