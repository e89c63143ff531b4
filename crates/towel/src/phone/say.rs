//! What a person, or a script, is told of a phone; and how it went.

use std::process::ExitCode;
use std::time::Instant;

use serde_json::{Value, json};
use towel_core::stack::Failure;
use towel_core::ua::user_agent::Ending;
use towel_phone::{News, Over, Tally};
use towel_sim::text::{Text, uri_of};

use super::summary;
use crate::options::{FAILED, REFUSED, TIMED_OUT};
use crate::progress::Progress;

/// Tells it in lines: plain ones, or each a JSON object.
pub(super) struct Teller {
    json: bool,
    /// Whether there was a password to prove who calls.
    proves: bool,
    /// The exit code so far: the first thing that went wrong.
    code: u8,
    /// Of many calls the sum is told, and not each; how many there are to be.
    many: Option<(Progress, Option<u64>)>,
    tally: Tally,
    began: Instant,
}

impl Teller {
    pub(super) fn new(json: bool, proves: bool, many: bool, total: Option<u64>) -> Teller {
        let many = many.then(|| (Progress::new("calls", "calls"), total));
        Teller { json, proves, code: 0, many, tally: Tally::default(), began: Instant::now() }
    }

    pub(super) fn tell(&mut self, news: &News) {
        self.tally.hear(news);
        let (value, line) = self.words(news);
        if let Some((progress, total)) = &mut self.many {
            if let Some(total) = total {
                progress.step(self.tally.over, *total);
            }
            // What is no call is told all the same.
            if !matches!(news, News::Registered | News::NotRegistered(..) | News::Note(_)) {
                return;
            }
        }
        if self.json {
            say!("{value}");
        } else {
            say!("{line}");
        }
    }

    fn went_wrong(&mut self, code: u8) {
        if self.code == 0 {
            self.code = code;
        }
    }

    fn words(&mut self, news: &News) -> (Value, String) {
        match news {
            News::Registered => (json!({ "event": "registered" }), "registered".into()),
            News::NotRegistered(status, response) => {
                self.went_wrong(match status {
                    408 => TIMED_OUT,
                    _ if response.is_empty() => FAILED,
                    _ => REFUSED,
                });
                let line = match response.is_empty() {
                    true => "not registered: no answer".to_owned(),
                    false => format!("not registered: {}", self.status(response)),
                };
                (json!({ "event": "not-registered", "status": status }), line)
            }
            News::Calling(call) => {
                (json!({ "event": "calling", "call": call }), "calling".to_owned())
            }
            News::Progress(call, response) => {
                let text = Text::datagram(response);
                let status = text.as_ref().map_or(0, Text::status);
                let reason = text.as_ref().map_or("", |text| text.reason()).to_owned();
                let value = json!({ "event": "progress", "call": call, "status": status,
                    "reason": reason });
                (value, format!("{status} {reason}"))
            }
            News::Incoming(call, request) => {
                let text = Text::datagram(request);
                let from = text.as_ref().and_then(|text| text.first("From")).unwrap_or_default();
                let from = uri_of(from);
                (
                    json!({ "event": "incoming", "call": call, "from": from }),
                    format!("call {call} from {from}"),
                )
            }
            News::Ringing(call) => (json!({ "event": "ringing", "call": call }), "ringing".into()),
            News::Up(call) => (json!({ "event": "up", "call": call }), "the call is up".into()),
            News::Audio { call, codec, to, protected, early } => (
                json!({ "event": "audio", "call": call, "codec": codec, "to": to.to_string(),
                    "srtp": protected, "early": early }),
                format!(
                    "{}audio by {codec} with {to}{}",
                    if *early { "early " } else { "" },
                    if *protected { ", protected" } else { "" }
                ),
            ),
            News::Changed(call, direction) => (
                json!({ "event": "changed", "call": call, "direction": direction.name() }),
                format!("the peer changed the session: {}", direction.name()),
            ),
            News::Held(call) => {
                (json!({ "event": "held", "call": call }), "the peer is on hold".into())
            }
            News::Resumed(call) => {
                (json!({ "event": "resumed", "call": call }), "the peer is off hold".into())
            }
            News::Refused(call, what, status) => {
                self.went_wrong(REFUSED);
                let status = Some(*status).filter(|status| *status > 0);
                let line = match status {
                    Some(status) => format!("refused: {what} ({status})"),
                    None => format!("refused: {what}"),
                };
                let value = json!({ "event": "refused", "call": call, "what": what,
                    "status": status });
                (value, line)
            }
            News::Transferring(call, status) => (
                json!({ "event": "transferring", "call": call, "status": status }),
                format!("being transferred: {status}"),
            ),
            News::Transferred(call) => {
                (json!({ "event": "transferred", "call": call }), "transferred".into())
            }
            News::Referred { call, to, by } => (
                json!({ "event": "referred", "call": call, "to": to, "by": by }),
                format!("the peer transfers us to {to}: call {by}"),
            ),
            News::Replacing(call, other) => (
                json!({ "event": "replacing", "call": call, "other": other }),
                format!("call {call} takes the place of call {other}"),
            ),
            News::Digit(call, digit) => (
                json!({ "event": "digit", "call": call, "digit": digit.to_string() }),
                format!("key {digit}"),
            ),
            News::Text(message) => {
                let text = Text::datagram(message);
                let from = text.as_ref().and_then(|text| text.first("From")).unwrap_or_default();
                let body = text.as_ref().map(|text| String::from_utf8_lossy(&text.body));
                let body = body.unwrap_or_default();
                (
                    json!({ "event": "message", "from": uri_of(from), "body": body }),
                    format!("MESSAGE from {}: {body}", uri_of(from)),
                )
            }
            News::Note(note) => (json!({ "event": "note", "text": note }), note.clone()),
            News::Over(over) => self.over(over),
        }
    }

    fn over(&mut self, over: &Over) -> (Value, String) {
        let (word, code, why) = self.why(over);
        // A call that was up has been had, however it ended.
        let code = if over.lasted.is_some() && over.fault.is_none() { 0 } else { code };
        self.went_wrong(if over.fault.is_some() { FAILED } else { code });
        let status = match &over.why {
            Ending::Failed { status, .. } => Some(*status),
            _ => None,
        };
        let mut value = json!({ "event": "over", "call": over.call, "why": word,
            "status": status, "seconds": over.lasted.map(|lasted| lasted.as_secs_f64()),
            "setup_ms": over.setup.map(|setup| setup.as_secs_f64() * 1000.0) });
        let mut line = match over.lasted {
            Some(lasted) => format!("over after {:.1} s: {why}", lasted.as_secs_f64()),
            None => format!("over: {why}"),
        };
        if let (Some(stats), Some(object)) = (&over.stats, value.as_object_mut()) {
            let counts = &stats.counts;
            object.insert("codec".into(), stats.codec.into());
            let lost = u64::try_from(stats.loss.lost).unwrap_or(0);
            object.insert("packets".into(), summary::packets(counts, lost));
            line.push_str(&format!(
                "\n{} packets sent, {} received by {}",
                counts.sent, counts.received, stats.codec
            ));
            line.push_str(&summary::ignored(counts));
        }
        if let (Some(fault), Some(object)) = (&over.fault, value.as_object_mut()) {
            object.insert("fault".into(), fault.clone().into());
            line.push('\n');
            line.push_str(fault);
        }
        (value, line)
    }

    /// The end in a word for scripts, the exit code if the call never was up, and in words.
    fn why(&self, over: &Over) -> (&'static str, u8, String) {
        if over.unanswered && over.lasted.is_none() {
            return ("no-answer", TIMED_OUT, "nobody answered".into());
        }
        match &over.why {
            Ending::Local => ("local", 0, "hung up here".into()),
            Ending::Bye => ("bye", 0, "the peer hung up".into()),
            Ending::Cancelled => ("cancelled", 0, "the caller gave up".into()),
            Ending::Failed { response, status } => {
                let code = if *status == 408 { TIMED_OUT } else { REFUSED };
                ("refused", code, self.status(response))
            }
            Ending::NoResponse(Failure::TimedOut) => ("no-answer", TIMED_OUT, "no answer".into()),
            Ending::NoResponse(Failure::NotLocated(why)) => {
                ("not-found", FAILED, format!("nobody is to be found there: {why:?}"))
            }
            Ending::NoResponse(_) => ("not-sent", FAILED, "nobody listens there".into()),
            Ending::NoAck => ("no-ack", TIMED_OUT, "the caller did not acknowledge".into()),
            Ending::Lost { status } => {
                ("lost", FAILED, format!("the peer knows the call no more ({status})"))
            }
            Ending::Fork => ("fork", 0, "another branch was kept".into()),
            Ending::Unfit => ("unfit", FAILED, "the two ends do not fit".into()),
            Ending::Replaced => ("replaced", 0, "another call took its place".into()),
        }
    }

    fn status(&self, response: &[u8]) -> String {
        let Some(text) = Text::datagram(response) else { return "an answer that is none".into() };
        let mut line = format!("{} {}", text.status(), text.reason());
        if matches!(text.status(), 401 | 407) {
            line.push_str(match self.proves {
                true => "\nthe password is wrong, there is no such user there, or the realm is not ours: --realm",
                false => "\na password is wanted: --password, and --from or --username",
            });
        }
        line
    }

    /// The sum of many calls, the ladder, if there is one, and the exit code.
    pub(super) fn finish(mut self, ladder: Option<String>) -> ExitCode {
        if let Some((progress, _)) = self.many.take() {
            drop(progress);
            let (value, text) = summary::sum(&self.tally, self.began.elapsed());
            if self.json {
                say!("{value}");
            } else {
                say!("{text}");
            }
        }
        if let Some(ladder) = ladder {
            match self.json {
                true => say!("{}", json!({ "event": "ladder", "ladder": ladder })),
                false => say!("{ladder}"),
            }
        }
        ExitCode::from(self.code)
    }
}
