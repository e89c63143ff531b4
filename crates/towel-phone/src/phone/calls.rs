//! The calls of a phone: what it does when something happens to them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use towel_core::io::{Instant, Now, Outbox};
use towel_core::ua::user_agent::{
    Answer, Ask, CallHandle, Content, DialogHandle, Ending, Event, IncomingHandle,
};
use towel_media::session::Stream;
use towel_message::{Index, Limits, Message, Name};

use super::Phone;
use crate::{Line, News, Over, Role, Terms};

/// What is done with a call at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// It has rung for long enough to be answered.
    Answer,
    /// It has lasted for long enough.
    HangUp,
    /// Nobody answers it.
    GiveUp,
}

/// A call.
pub(super) struct Held {
    pub(super) call: CallHandle,
    number: u32,
    terms: Terms,
    line: Line,
    /// The peer's offer, until it is answered.
    offer: Option<Vec<u8>>,
    pub(super) due: Option<(Instant, Due)>,
    /// When it was up.
    up: Option<Instant>,
    unanswered: bool,
    fault: Option<String>,
}

/// The session description in a message, if there is one.
fn sdp(message: &[u8]) -> Option<Vec<u8>> {
    let mut index = Index::new();
    let message = Message::parse(message, &mut index, &Limits::default()).ok()?;
    let media_type = message.value(Name::ContentType)?;
    let media_type = media_type.split(|byte| *byte == b';').next().unwrap_or_default();
    let is_sdp = media_type.trim_ascii().eq_ignore_ascii_case(b"application/sdp");
    (is_sdp && !message.body().is_empty()).then(|| message.body().to_vec())
}

/// `name.wav` for the first call, `name-2.wav` for the second.
fn numbered(path: &Path, number: u32) -> PathBuf {
    if number < 2 {
        return path.to_owned();
    }
    let part =
        |part: Option<&std::ffi::OsStr>| part.unwrap_or_default().to_string_lossy().into_owned();
    let (stem, end) = (part(path.file_stem()), part(path.extension()));
    path.with_file_name(if end.is_empty() {
        format!("{stem}-{number}")
    } else {
        format!("{stem}-{number}.{end}")
    })
}

/// Section 21.4.26 with the warning of section 20.43 that fits: a refusal that says why.
fn unfit(why: &str) -> Answer {
    let why: String = why.chars().filter(|c| !c.is_control() && !"\"\\".contains(*c)).collect();
    Answer::new(488).with("Warning", format!("305 towel \"{why}\""))
}

impl Phone {
    /// Ports for a call's audio, and what is wanted there.
    fn line(&mut self) -> Result<(Line, Terms), String> {
        let line = Line::open(self.setup.address).map_err(|e| e.to_string())?;
        let session = self.rng.next_u64();
        let terms = Terms::new(self.setup.address, line.port(), &self.setup.codecs, session);
        Ok((line, terms))
    }

    /// Calls somebody.
    pub(super) fn call(&mut self, now: Now, out: &mut Outbox, to: &str, patience: Duration) {
        self.counted += 1;
        let made = self.line().and_then(|(line, mut terms)| {
            let offer = terms.offer().map_err(|e| e.to_string())?;
            let call = self.ua.call(now, out, Ask::invite(to, offer));
            Ok((call.map_err(|e| e.to_string())?, line, terms))
        });
        match made {
            Ok((call, line, terms)) => {
                self.keep(call, line, terms, None, Some((now.at + patience, Due::GiveUp)));
                self.news.push_back(News::Calling(self.counted));
            }
            Err(fault) => self.never(fault),
        }
    }

    fn keep(
        &mut self,
        call: CallHandle,
        line: Line,
        terms: Terms,
        offer: Option<Vec<u8>>,
        due: Option<(Instant, Due)>,
    ) {
        self.calls.push(Held {
            call,
            number: self.counted,
            terms,
            line,
            offer,
            due,
            up: None,
            unanswered: false,
            fault: None,
        });
    }

    /// A call could not be made.
    fn never(&mut self, fault: String) {
        self.over += 1;
        self.news.push_back(News::Over(Box::new(Over {
            call: self.counted,
            why: Ending::Unfit,
            unanswered: false,
            lasted: None,
            stats: None,
            fault: Some(fault),
        })));
    }

    fn find(&mut self, call: CallHandle) -> Option<&mut Held> {
        self.calls.iter_mut().find(|held| held.call == call)
    }

    /// Something happened to a call.
    pub(super) fn follow(&mut self, now: Now, out: &mut Outbox, event: Event) {
        match event {
            Event::Incoming { call, request } => self.incoming(now, out, call, request),
            Event::Progress { call, reliable, response, .. } => {
                let Some(held) = self.find(call) else { return };
                let number = held.number;
                // Without reliability it is but a sight of the answer (RFC 6337 section 3.1.1).
                if let Some(sdp) = sdp(&response).filter(|_| reliable && held.terms.waits()) {
                    self.answered(now, out, call, &sdp);
                }
                self.news.push_back(News::Progress(number, response));
            }
            Event::Established { call, message, .. } => self.established(now, out, call, &message),
            Event::Ended { call, why, .. } => self.ended(now, call, why),
            Event::Reinvite { dialog, request, message } => {
                self.reinvited(now, out, dialog, request, &message);
            }
            Event::Acknowledged { dialog, message } => {
                let call = self.ua.call_of(dialog);
                if let (Some(call), Some(sdp)) = (call, sdp(&message)) {
                    self.answered(now, out, call, &sdp);
                }
            }
            Event::Request { request, message, .. } => {
                let text = message.starts_with(b"MESSAGE ");
                // The media stay as they are: a description that would change them is refused, which
                // leaves the call alone (RFC 3311 section 5.2).
                let known =
                    [&b"INFO "[..], b"UPDATE ", b"PRACK "].iter().any(|m| message.starts_with(m));
                let status = if text || known { 200 } else { 501 };
                if self.ua.reply(now, out, request, Answer::new(status)).is_err() {
                    let _ = self.ua.reply(now, out, request, Answer::new(488));
                }
                if text {
                    self.news.push_back(News::Text(message));
                }
            }
            Event::Referred { request, .. } => {
                let _ = self.ua.reply(now, out, request, Answer::new(603));
            }
            Event::Subscribing { request, .. } => {
                let _ = self.ua.reply(now, out, request, Answer::new(403));
            }
            Event::AnswerWanted { dialog, message, .. } => {
                let held = self.ua.call_of(dialog);
                let held = held.and_then(|call| self.calls.iter_mut().find(|h| h.call == call));
                let answer = held.zip(sdp(&message)).and_then(|(h, sdp)| h.terms.answer(&sdp).ok());
                match answer {
                    Some((answer, _)) => {
                        let _ = self.ua.supply(now, out, dialog, Content::sdp(answer));
                    }
                    None => {
                        let _ = self.ua.end(now, out, dialog);
                    }
                }
            }
            Event::Forked { .. }
            | Event::ReinviteCancelled { .. }
            | Event::Response { .. }
            | Event::ForkEnded { .. }
            | Event::Refer { .. }
            | Event::Notified { .. }
            | Event::Unsubscribed { .. }
            | Event::Note(_) => {}
        }
    }

    fn incoming(&mut self, now: Now, out: &mut Outbox, call: CallHandle, request: Vec<u8>) {
        self.counted += 1;
        let offer = sdp(&request);
        self.news.push_back(News::Incoming(self.counted, request));
        let (after, refuse) = match self.setup.role {
            Role::Callee { after, refuse, calls } => {
                let enough = calls.is_some_and(|calls| self.counted > calls);
                (after, refuse.or((enough || self.leaving).then_some(486)))
            }
            Role::Caller { .. } => (Duration::ZERO, Some(486)),
        };
        match self.line() {
            Ok((line, terms)) => self.keep(call, line, terms, offer, None),
            Err(fault) => {
                self.never(fault);
                let _ = self.ua.answer(now, out, call, Answer::new(500));
                return;
            }
        }
        if let Some(status) = refuse {
            let _ = self.ua.answer(now, out, call, Answer::new(status));
            return;
        }
        let _ = self.ua.answer(now, out, call, Answer::new(180));
        self.news.push_back(News::Ringing(self.counted));
        if let Some(held) = self.find(call) {
            held.due = Some((now.at + after, Due::Answer));
        }
    }

    /// Answers a call that has rung.
    fn pick_up(&mut self, now: Now, out: &mut Outbox, call: CallHandle) {
        let Some(held) = self.find(call) else { return };
        held.due = None;
        let made = match held.offer.take() {
            Some(offer) => held.terms.answer(&offer).map(|(answer, stream)| (answer, Some(stream))),
            // The offer is ours then, and the answer comes with the ACK (section 13.3.1).
            None => held.terms.offer().map(|offer| (offer, None)),
        };
        match made {
            Ok((sdp, stream)) => {
                if let Some(stream) = stream {
                    self.speak(call, stream);
                }
                let _ = self.ua.answer(now, out, call, Answer::new(200).sdp(sdp));
            }
            Err(why) => {
                let why = why.to_string();
                let _ = self.ua.answer(now, out, call, unfit(&why));
                if let Some(held) = self.find(call) {
                    held.fault = Some(why);
                }
            }
        }
    }

    /// The answer to our offer.
    fn answered(&mut self, now: Now, out: &mut Outbox, call: CallHandle, sdp: &[u8]) {
        let Some(held) = self.find(call) else { return };
        if !held.terms.waits() {
            return;
        }
        match held.terms.take_answer(sdp) {
            Ok(stream) => self.speak(call, stream),
            Err(why) => self.give_up(now, out, call, why.to_string()),
        }
    }

    fn give_up(&mut self, now: Now, out: &mut Outbox, call: CallHandle, fault: String) {
        if let Some(held) = self.find(call) {
            held.fault = Some(fault);
        }
        let _ = self.ua.hang_up(now, out, call);
    }

    /// Audio begins, or goes on by what is agreed now.
    fn speak(&mut self, call: CallHandle, stream: Stream) {
        let seed = self.rng.next_u64();
        let (play, record) = (self.setup.play.clone(), self.setup.record.clone());
        let Some(held) = self.find(call) else { return };
        let number = held.number;
        if held.line.is_running() {
            held.line.change(stream);
            self.news.push_back(News::Changed(number));
            return;
        }
        let codec = stream.codecs.first().map_or("none", |format| format.kind.name());
        let remote = stream.remote;
        let begun = play.open().and_then(|(mouth, mut ear)| {
            if let Some(path) = record {
                ear.record(&numbered(&path, number))?;
            }
            held.line.start(seed, stream, mouth, ear)
        });
        match begun {
            Ok(()) => self.news.push_back(News::Audio(number, codec, remote)),
            Err(fault) => held.fault = Some(fault),
        }
    }

    fn established(&mut self, now: Now, out: &mut Outbox, call: CallHandle, message: &[u8]) {
        let lasts = self.setup.lasts;
        let Some(held) = self.find(call) else { return };
        held.up = Some(now.at);
        held.due = lasts.map(|lasts| (now.at + lasts, Due::HangUp));
        let number = held.number;
        let waits = held.terms.waits();
        self.news.push_back(News::Up(number));
        match sdp(message) {
            Some(sdp) => self.answered(now, out, call, &sdp),
            None if waits => {
                self.give_up(now, out, call, "the peer gave no answer to our offer".into());
            }
            None => {}
        }
    }

    fn reinvited(
        &mut self,
        now: Now,
        out: &mut Outbox,
        dialog: DialogHandle,
        request: IncomingHandle,
        message: &[u8],
    ) {
        let call = self.ua.call_of(dialog);
        let Some(held) = call.and_then(|call| self.find(call)) else {
            let _ = self.ua.reply(now, out, request, Answer::new(481));
            return;
        };
        let call = held.call;
        let made = match sdp(message) {
            Some(offer) => held.terms.answer(&offer).map(|(answer, stream)| (answer, Some(stream))),
            None => held.terms.offer().map(|offer| (offer, None)),
        };
        let answer = match made {
            Ok((sdp, stream)) => {
                if let Some(stream) = stream {
                    self.speak(call, stream);
                }
                Answer::new(200).sdp(sdp)
            }
            // The session that there was goes on (section 14.2).
            Err(why) => unfit(&why.to_string()),
        };
        let _ = self.ua.reply(now, out, request, answer);
    }

    fn ended(&mut self, now: Now, call: CallHandle, why: Ending) {
        let Some(at) = self.calls.iter().position(|held| held.call == call) else { return };
        let mut held = self.calls.remove(at);
        let audio = held.line.end();
        let (stats, fault) = audio.map_or((None, None), |ended| (ended.stats, ended.fault));
        self.over += 1;
        self.news.push_back(News::Over(Box::new(Over {
            call: held.number,
            why,
            unanswered: held.unanswered,
            lasted: held.up.map(|up| now.at.since(up)),
            stats,
            fault: held.fault.or(fault),
        })));
    }

    /// Does what is due.
    pub(super) fn calls_due(&mut self, now: Now, out: &mut Outbox) {
        let due = self.calls.iter_mut().filter(|held| held.due.is_some_and(|(at, _)| at <= now.at));
        let due: Vec<_> = due.filter_map(|held| Some((held.call, held.due.take()?.1))).collect();
        for (call, what) in due {
            match what {
                Due::Answer => self.pick_up(now, out, call),
                Due::HangUp => {
                    let _ = self.ua.hang_up(now, out, call);
                }
                Due::GiveUp => {
                    if let Some(held) = self.find(call) {
                        held.unanswered = true;
                    }
                    let _ = self.ua.hang_up(now, out, call);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recordings_of_several_calls() {
        assert_eq!(numbered(Path::new("/x/a.wav"), 1), Path::new("/x/a.wav"));
        assert_eq!(numbered(Path::new("/x/a.wav"), 2), Path::new("/x/a-2.wav"));
        assert_eq!(numbered(Path::new("a"), 3), Path::new("a-3"));
    }
}
