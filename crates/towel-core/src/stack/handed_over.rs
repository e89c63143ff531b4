//! A stack whose place somebody else takes: it ends the transactions that it has, and passes on what
//! belongs to none of them.

use towel_message::{Message, Via};

use super::Stack;
use crate::transaction::token::Token;

impl Stack {
    /// From now on what is new is passed on ([`crate::io::Output::PassOn`]).
    pub fn hand_over(&mut self) {
        self.handed_over = true;
    }

    /// Whether what is new is passed on.
    pub fn is_handed_over(&self) -> bool {
        self.handed_over
    }

    /// Whether a message belongs to a transaction of ours: a response by the branch that we made
    /// (whoever follows makes them with another key), a request by RFC 3261 section 17.2.3.
    pub(super) fn is_of_ours(&mut self, message: Message<'_>, via: Via<'_>) -> bool {
        if !message.is_request() {
            return Token::read(via.branch().unwrap_or_default(), self.branch_key).is_some();
        }
        let method = message.method();
        let found = match method.as_bytes() {
            b"ACK" => self.matching(message, via, b"INVITE"),
            b"CANCEL" => {
                let again = self.matching(message, via, b"CANCEL");
                again.or_else(|| self.cancelled_by(message, via))
            }
            other => self.matching(message, via, other),
        };
        (self.asked, self.identity) = (None, None);
        found.is_some()
    }
}
