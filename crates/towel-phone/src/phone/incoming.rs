//! Calls of others, and what is done with them by rule.

use towel_core::io::{Now, Outbox};
use towel_core::ua::user_agent::{Answer, CallHandle};
use towel_message::{Name, NameAddr, Uri};

use super::Phone;
use super::clock::Due;
use super::held::{Held, sdp, unfit, value};
use crate::{Act, News, Role, Rule};

/// Who calls, as rules know callers: `user@host`.
fn caller(request: &[u8]) -> String {
    let from = value(request, Name::From).unwrap_or_default();
    let uri = NameAddr::parse(&from).ok().and_then(|from| Uri::parse(from.uri).ok());
    let Some(Uri::Sip(sip)) = uri else { return String::new() };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}@{}", text(sip.user.unwrap_or_default()), sip.host)
}

/// Whether the caller knows reliable provisional responses (RFC 3262).
fn is_reliable(request: &[u8]) -> bool {
    let mut index = towel_message::Index::new();
    let limits = towel_message::Limits::default();
    towel_message::Message::parse(request, &mut index, &limits).is_ok_and(|request| {
        request.has_token(Name::Supported, "100rel") || request.has_token(Name::Require, "100rel")
    })
}

impl Phone {
    pub(super) fn incoming(
        &mut self,
        now: Now,
        out: &mut Outbox,
        call: CallHandle,
        request: Vec<u8>,
    ) {
        self.counted += 1;
        let number = self.counted;
        let (offer, reliable) = (sdp(&request), is_reliable(&request));
        let full = self.calls.len() >= self.setup.most;
        let rule = match &self.setup.role {
            Role::Callee { rules, calls } => {
                let caller = caller(&request);
                let rule = rules.iter().find(|rule| rule.is_for(&caller)).cloned();
                let enough = calls.is_some_and(|calls| number > calls);
                match enough || full || self.leaving {
                    true => Some(Rule { act: Act::Refuse(486), ..Rule::default() }),
                    false => Some(rule.unwrap_or_default()),
                }
            }
            Role::Hand if !self.leaving && !full => None,
            Role::Hand | Role::Caller { .. } => {
                Some(Rule { act: Act::Refuse(486), ..Rule::default() })
            }
        };
        // Who takes another's place does not ring (RFC 3891 section 4).
        let replaced = self.replaced(call);
        let rule = if replaced.is_some() { Some(Rule::default()) } else { rule };
        self.news.push_back(News::Incoming(number, request));
        if let Some(replaced) = replaced {
            self.news.push_back(News::Replacing(number, replaced));
        }
        let (line, terms) = match self.line(&self.setup.wants.clone()) {
            Ok(made) => made,
            Err(fault) => {
                self.never(number, fault);
                let _ = self.ua.answer(now, out, call, Answer::new(500));
                return;
            }
        };
        let mut held = Held::new(call, line, terms, now.at);
        (held.offer, held.reliable) = (offer, reliable);
        held.rule = rule.clone().unwrap_or_default();
        self.keep(number, held);
        match rule {
            // Who is refused at once does not ring.
            Some(rule) if rule.after.is_zero() && rule.act != Act::Answer => {
                let _ = self.act(now, out, number, &rule.act);
            }
            Some(_) if replaced.is_some() => self.pick_up(now, out, number),
            Some(rule) => {
                self.ring(now, out, number, rule.early);
                self.clock.set(number, Due::Answer, now.at + rule.after);
            }
            None => self.ring(now, out, number, false),
        }
    }

    /// Tells the caller that it rings, with something to hear if there is.
    fn ring(&mut self, now: Now, out: &mut Outbox, number: u32, early: bool) {
        let Some(held) = self.calls.get_mut(&number) else { return };
        let call = held.call;
        let mut accord = None;
        let answer = match held.offer.as_ref().filter(|_| early) {
            None => Answer::new(180),
            Some(offer) => {
                let shown = match held.reliable {
                    true => held.terms.answer(offer),
                    false => held.terms.preview(offer),
                };
                match shown {
                    Ok((sdp, agreed)) => {
                        held.answered = held.reliable;
                        accord = Some(agreed);
                        Answer::new(183).sdp(sdp)
                    }
                    Err(why) => return self.refuse_offer(now, out, number, &why),
                }
            }
        };
        let _ = self.ua.answer(now, out, call, answer);
        self.news.push_back(News::Ringing(number));
        if let Some(accord) = accord {
            self.speak(number, accord);
        }
    }

    fn refuse_offer(&mut self, now: Now, out: &mut Outbox, number: u32, why: &crate::Unfit) {
        let Some(held) = self.calls.get_mut(&number) else { return };
        let call = held.call;
        held.fault = Some(why.to_string());
        let _ = self.ua.answer(now, out, call, unfit(why));
    }

    /// Answers a call that has rung.
    pub(super) fn pick_up(&mut self, now: Now, out: &mut Outbox, number: u32) {
        let Some(held) = self.calls.get_mut(&number) else { return };
        let call = held.call;
        self.clock.clear(number, Due::Answer);
        // In a reliable response there was an offer of ours, or the answer.
        if held.answered || (held.offer.is_none() && held.terms.is_agreed()) {
            let _ = self.ua.answer(now, out, call, Answer::new(200));
            return;
        }
        let made = match held.offer.take() {
            Some(offer) => held.terms.answer(&offer).map(|(answer, accord)| (answer, Some(accord))),
            // The offer is ours then, and the answer comes with the ACK (section 13.3.1).
            None => held.terms.offer().map(|offer| (offer, None)),
        };
        match made {
            Ok((sdp, accord)) => {
                if let Some(accord) = accord.filter(|_| !held.line.is_running()) {
                    self.speak(number, accord);
                }
                let _ = self.ua.answer(now, out, call, Answer::new(200).sdp(sdp));
            }
            Err(why) => self.refuse_offer(now, out, number, &why),
        }
    }
}
