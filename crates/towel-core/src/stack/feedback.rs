//! Telling neighbours how much we can take, and heeding what they tell us (RFC 7339, RFC 7415).
//!
//! Both go on with the configured neighbours alone (RFC 7339 section 5.2 leaves that to policy): a
//! phone gains nothing by it, and some cannot read a Via parameter with a comma in its value.
//!
//! What an upstream neighbour asked with stays in its Via until the response leaves: there
//! everything is taken out, whoever wrote it (section 5.4), and what holds now is put in. So it
//! works without state, too, and a response that comes late says what is true then.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use towel_message::{Message, Via};

use super::{ClientId, Received, Stack};
use crate::io::{Instant, Now};
use crate::overload::{Algorithm, Class, Told};

/// What is put behind our Via in a request to a neighbour (sections 4.1 and 4.2).
const ASK: &[u8] = b";oc;oc-algo=\"loss,rate\"";
/// The parameters that are of one hop alone.
const OURS: [&[u8]; 4] = [b"oc", b"oc-algo", b"oc-validity", b"oc-seq"];
/// For how long what we say holds, in milliseconds: the default of section 4.3.
const VALIDITY: u32 = 500;
/// So many neighbours share the rate that we can take; one more is told a percentage.
const MOST: usize = 64;
/// Who has said nothing for so long has no share of it.
const GONE: Duration = Duration::from_secs(5);

/// What the stack keeps of upstream neighbours.
#[derive(Debug, Default)]
pub(super) struct Upstream {
    /// Those that are told a rate, and when they last asked.
    rated: Vec<(IpAddr, Instant)>,
    /// What the wall clock said at the origin of ours, in microseconds, once it was looked at.
    origin: Option<u64>,
    /// Requests that were let in by the last look, and when that was.
    looked: (u64, Instant),
    /// How many are let in a second.
    served: f32,
}

impl Upstream {
    /// How many requests have been let in so far.
    pub(super) fn served(&mut self, now: Instant, pressed: bool, requests: u64) {
        let (before, at) = std::mem::replace(&mut self.looked, (requests, now));
        let spent = now.since(at).as_secs_f32();
        if !pressed {
            self.served = 0.0;
        } else if spent > 0.0 && spent < 1.0 {
            let rate = requests.saturating_sub(before) as f32 / spent;
            let gain = if self.served == 0.0 { 1.0 } else { 0.1 };
            self.served += (rate - self.served) * gain;
        }
    }

    /// How many share the rate, this one among them; none if there are too many.
    fn sharers(&mut self, now: Instant, who: IpAddr) -> Option<usize> {
        self.rated.retain(|(ip, at)| *ip != who && now.since(*at) < GONE);
        if self.rated.len() >= MOST {
            return None;
        }
        self.rated.push((who, now));
        Some(self.rated.len())
    }

    /// Seconds, and hundred-thousandths: greater in each response, so that the time for which it holds
    /// begins anew (section 5.4), and after a restart as well.
    fn sequence(&mut self, now: Now) -> (u64, u64) {
        let origin = *self.origin.get_or_insert((now.unix * 1_000_000).saturating_sub(now.at.0));
        let micros = origin + now.at.0;
        (micros / 1_000_000, micros % 1_000_000 / 10)
    }
}

impl Stack {
    /// Whether an upstream neighbour has asked to be told: it holds back on its own.
    pub(super) fn holds_back(&self, request: &Received<'_>) -> bool {
        self.overload.is_neighbour(request.flow.remote.ip()) && request.via.params.has("oc")
    }

    /// Puts what we can take into a response that leaves for a neighbour who asked, and takes out
    /// what others wrote there.
    pub(super) fn tell_upstream(&mut self, now: Now, to: SocketAddr, response: &mut Vec<u8>) {
        if !self.overload.is_neighbour(to.ip()) {
            return;
        }
        let mut index = self.index();
        let mut value = self.buffer();
        let mut place = None;
        if let Ok(message) = Message::parse(response, &mut index, &self.transport.limits)
            && let Ok(via) = message.top_via()
            && via.check().is_ok()
            && via.params.iter().any(|param| is_ours(param.name))
        {
            without_ours(&via, &mut value);
            if via.params.has("oc") {
                let list = via.params.value("oc-algo").unwrap_or(b"loss");
                let chosen = Algorithm::chosen(list).unwrap_or(Algorithm::Loss);
                self.write_feedback(now, to.ip(), chosen, &mut value);
            }
            place = Some(via.span.range());
        }
        if let Some(place) = place {
            response.splice(place, value.iter().copied());
        }
        self.give_back(value);
        self.give_back_index(index);
    }

    /// The same for one that goes where its topmost Via says.
    pub(super) fn tell_upstream_of(&mut self, now: Now, response: &mut Vec<u8>) {
        if !self.overload.has_neighbours() {
            return;
        }
        let mut index = self.index();
        let message = Message::parse(response, &mut index, &self.transport.limits);
        let via = message.ok().and_then(|message| message.top_via().ok());
        let to = via.and_then(|via| self.flow_of_via(&via)).map(|flow| flow.remote);
        self.give_back_index(index);
        if let Some(to) = to {
            self.tell_upstream(now, to, response);
        }
    }

    fn write_feedback(&mut self, now: Now, to: IpAddr, chosen: Algorithm, value: &mut Vec<u8>) {
        let controller = self.overload.controller();
        let (pressed, loss, share) =
            (controller.is_pressed(), controller.loss(), controller.headroom());
        let upstream = self.overload.upstream();
        let sharers = match chosen {
            Algorithm::Loss => None,
            Algorithm::Rate => upstream.sharers(now.at, to),
        };
        let sequence = upstream.sequence(now);
        let (algorithm, wanted) = match sharers {
            Some(sharers) => {
                let rate = upstream.served * share / sharers as f32;
                (Algorithm::Rate, rate.max(1.0) as u32)
            }
            None => (Algorithm::Loss, u32::from(loss)),
        };
        // Nought, and for no time, says that we know of it and want nothing (section 5.1).
        let (wanted, validity) = if pressed { (wanted, VALIDITY) } else { (0, 0) };
        self.counters.feedback_given += 1;
        value.extend_from_slice(
            format!(
                ";oc={wanted};oc-algo=\"{}\";oc-validity={validity};oc-seq={}.{:05}",
                algorithm.as_str(),
                sequence.0,
                sequence.1
            )
            .as_bytes(),
        );
    }

    /// A response has come from there: what it says of overload is kept.
    pub(super) fn told_by(&mut self, now: Now, from: SocketAddr, response: &Received<'_>) {
        if self.overload.is_neighbour(from.ip())
            && let Some(told) = Told::read(&response.via.params)
        {
            self.overload.neighbours().told(now.at, from, told);
        }
    }

    /// Whether a request of ours may go to a neighbour; it asks there, too, to be told from now on.
    pub(super) fn may_go(&mut self, now: Now, id: ClientId, to: SocketAddr) -> bool {
        if !self.overload.is_neighbour(to.ip()) {
            return true;
        }
        let Some(work) = self.clients.get_mut(id).and_then(|client| client.work.as_mut()) else {
            return true;
        };
        let mut request = std::mem::take(&mut work.request);
        let mut index = self.index();
        let (mut may, mut end) = (true, None);
        if let Ok(message) = Message::parse(&request, &mut index, &self.transport.limits) {
            if self.overload.neighbours().is_spared(now.at, to) {
                let (class, _) = self.overload.settings().class(&message);
                let lot = self.rng.next_u64() as u32;
                may = self.overload.neighbours().admits(now.at, to, class < Class::Dialog, lot);
            }
            if let Ok(via) = message.top_via()
                && !via.params.has("oc")
            {
                end = Some(via.span.range().end);
            }
        }
        self.give_back_index(index);
        if let Some(end) = end {
            request.splice(end..end, ASK.iter().copied());
        }
        if let Some(work) = self.clients.get_mut(id).and_then(|client| client.work.as_mut()) {
            work.request = request;
        }
        self.counters.requests_held_back += u64::from(!may);
        may
    }
}

fn is_ours(name: &[u8]) -> bool {
    OURS.iter().any(|ours| name.eq_ignore_ascii_case(ours))
}

/// Writes a Via value without the parameters of overload.
fn without_ours(via: &Via<'_>, to: &mut Vec<u8>) {
    let head = via.bytes.len() - via.params.bytes().len();
    to.extend_from_slice(via.bytes.get(..head).unwrap_or_default());
    for param in via.params.iter().filter(|param| !is_ours(param.name)) {
        to.push(b';');
        to.extend_from_slice(param.name);
        if let Some(value) = param.value {
            to.push(b'=');
            to.extend_from_slice(value);
        }
    }
}
