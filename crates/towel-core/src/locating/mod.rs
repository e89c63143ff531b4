//! Locating SIP servers (RFC 3263, with RFC 2782, 3403, 6157 and 7984), without a socket: questions
//! go out, answers come in, an ordered list of targets is the result.

mod dns;

pub use dns::{Answer, Naptr, Outcome, QueryId, Question, QuestionKind, Records, Srv};
