//! Keys that are pressed, ours and the peer's, by INFO; and the other requests of a peer's.

use towel_core::io::{Now, Outbox};
use towel_core::ua::user_agent::{Answer, Ask, Came, Content, DialogHandle, IncomingHandle};

use super::held::body;
use super::{Phone, Purpose};
use crate::{Keys, News};

/// How many keys of one call wait.
const MOST: usize = 256;
/// The media types by which keys are told.
const RELAY: &str = "application/dtmf-relay";
const PLAIN: &str = "application/dtmf";

/// The key in the body of an INFO: `Signal=5` in a line, or nothing but the key.
fn key(message: &[u8]) -> Option<char> {
    let text = match (body(message, RELAY.as_bytes()), body(message, PLAIN.as_bytes())) {
        (Some(relay), _) => {
            let text = String::from_utf8_lossy(&relay).into_owned();
            let lines = text.lines().filter_map(|line| line.split_once('='));
            let mut signals = lines.filter(|(name, _)| name.trim().eq_ignore_ascii_case("signal"));
            signals.next()?.1.trim().to_owned()
        }
        (None, Some(plain)) => String::from_utf8_lossy(&plain).trim().to_owned(),
        (None, None) => return None,
    };
    // Some write * and # by their numbers in RFC 4733.
    match text.as_str() {
        "10" => Some('*'),
        "11" => Some('#'),
        _ => {
            let key = text.chars().next()?;
            let one = text.chars().count() == 1 && crate::script::KEYS.contains(key);
            one.then(|| key.to_ascii_uppercase())
        }
    }
}

impl Phone {
    /// Presses keys.
    pub(super) fn dial(&mut self, now: Now, out: &mut Outbox, number: u32, keys: &str) {
        let Some(held) = self.calls.get_mut(&number) else { return };
        match self.setup.keys {
            Keys::Events => held.line.dial(keys),
            Keys::Info => {
                let room = MOST.saturating_sub(held.keys.len());
                held.keys.extend(keys.chars().take(room));
                self.next_key(now, out, number);
            }
        }
    }

    /// Tells the next key; they are told one after the other, so that they keep their order.
    fn next_key(&mut self, now: Now, out: &mut Outbox, number: u32) {
        let Some(held) = self.calls.get_mut(&number) else { return };
        let Some(dialog) = held.dialog.filter(|_| held.key.is_none()) else { return };
        let Some(key) = held.keys.pop_front() else { return };
        let bytes = format!("Signal={key}\r\nDuration=160\r\n").into_bytes();
        let body = Some(Content { media_type: RELAY.into(), bytes });
        let ask = Ask { body, ..Ask::new("INFO", "") };
        match self.ua.request(now, out, dialog, &ask) {
            Ok(request) => {
                held.key = Some(request);
                self.requests.insert(request.number(), (number, Purpose::Key));
            }
            Err(refused) => {
                held.keys.clear();
                self.news.push_back(News::Refused(number, format!("dtmf: {refused}"), 0));
            }
        }
    }

    /// The answer to a key that was told.
    pub(super) fn key_answered(&mut self, now: Now, out: &mut Outbox, number: u32, came: &Came) {
        let Some(held) = self.calls.get_mut(&number) else { return };
        held.key = None;
        let status = came.status();
        if status / 100 != 2 {
            held.keys.clear();
            self.news.push_back(News::Refused(number, "dtmf".into(), status));
        }
        self.next_key(now, out, number);
    }

    /// A request of the peer's that is no INVITE.
    pub(super) fn asked(
        &mut self,
        now: Now,
        out: &mut Outbox,
        dialog: Option<DialogHandle>,
        request: IncomingHandle,
        message: Vec<u8>,
    ) {
        let is = |method: &[u8]| message.starts_with(method);
        match dialog {
            Some(dialog) if is(b"UPDATE ") => {
                return self.offered(now, out, dialog, request, &message);
            }
            Some(dialog) if is(b"PRACK ") => {
                return self.offered_in_prack(now, out, dialog, request, &message);
            }
            Some(dialog) if is(b"INFO ") => {
                let answer = self.informed(dialog, &message);
                let _ = self.ua.reply(now, out, request, answer);
                return;
            }
            _ => {}
        }
        let text = is(b"MESSAGE ");
        let _ = self.ua.reply(now, out, request, Answer::new(if text { 200 } else { 501 }));
        if text {
            self.news.push_back(News::Text(message));
        }
    }

    fn informed(&mut self, dialog: DialogHandle, message: &[u8]) -> Answer {
        let empty = message.ends_with(b"\r\n\r\n");
        match (key(message), self.number_in(dialog)) {
            (Some(key), Some(number)) => {
                self.news.push_back(News::Digit(number, key));
                Answer::new(200)
            }
            // RFC 2976 section 2.2: one without a body asks whether the call is there.
            _ if empty => Answer::new(200),
            _ => Answer::new(415).with("Accept", format!("{RELAY}, {PLAIN}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_in_bodies() {
        let info = |kind: &str, body: &str| {
            let length = body.len();
            format!(
                "INFO sip:a@b SIP/2.0\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n{body}"
            )
        };
        let of = |kind, body| key(info(kind, body).as_bytes());
        assert_eq!(of(RELAY, "Signal=5\r\nDuration=160\r\n"), Some('5'));
        assert_eq!(of(RELAY, "signal= d\n"), Some('D'));
        assert_eq!(of(RELAY, "Signal=11\r\n"), Some('#'));
        assert_eq!(of(PLAIN, "*"), Some('*'));
        assert_eq!(of(PLAIN, "12"), None);
        assert_eq!(of(RELAY, "Duration=160\r\n"), None);
        assert_eq!(of("text/plain", "5"), None);
    }
}
