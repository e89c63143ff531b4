//! Continued processing (RFC 3725 section 7): what an end asks for goes to the other.

use super::description::Parts;
use super::joint::Step;
use super::steps::described;
use super::{Controller, JointHandle, Relayed};
use crate::b2bua::{body_of, with};
use crate::io::{Now, Outbox};
use crate::ua::user_agent::{
    Answer, Ask, Came, Content, DialogHandle, IncomingHandle, Refused, RequestHandle,
};

/// The other of two ends.
fn other(at: usize) -> usize {
    1 - at.min(1)
}

impl Controller {
    /// An end asks for something in its dialog.
    pub(super) fn asked(
        &mut self,
        now: Now,
        out: &mut Outbox,
        dialog: DialogHandle,
        request: IncomingHandle,
        message: &[u8],
    ) {
        let refuse = |agent: &mut crate::ua::UserAgent, out: &mut Outbox, status| {
            let _ = agent.reply(now, out, request, Answer::new(status));
        };
        let Some((joint, at)) = self.whose_dialog(dialog) else {
            return refuse(&mut self.agent, out, 481);
        };
        let method = with(message, |message| message.method().as_bytes().to_vec());
        let method = method.unwrap_or_default();
        let changes = matches!(&method[..], b"INVITE" | b"UPDATE");
        let body = described(message);
        let Some(found) = self.joints.get_mut(joint) else { return };
        // Section 6: it cannot be passed on now; the end will try again.
        let busy = found.step != Step::Joined || found.asking.is_some();
        if changes && at != 2 && busy && (method == b"INVITE" || body.is_some()) {
            return refuse(&mut self.agent, out, 491);
        }
        // A refresh of a session is between the two of us, and who is parked has nobody to ask.
        if method == b"UPDATE" && body.is_none() {
            return refuse(&mut self.agent, out, 200);
        }
        let (mut places, mut carried) = (Vec::new(), None);
        let to = found.end_mut(other(at)).filter(|_| at != 2);
        let Some((to, target)) = to.and_then(|end| Some((end.dialog?, end))) else {
            return refuse(&mut self.agent, out, if changes { 491 } else { 481 });
        };
        if changes {
            if let Some(body) = &body {
                let parts = Parts::read(&body.bytes);
                let like = target.layout.clone().unwrap_or_default();
                let arranged = parts.arranged(&like);
                places = arranged.1;
                carried = Some(target.description(arranged.0));
            }
        } else {
            carried = with(message, body_of).flatten();
        }
        if let (Some(body), Some(end)) = (&body, found.end_mut(at)) {
            end.note(body);
        }
        let ask = Ask { body: carried, ..Ask::new(&String::from_utf8_lossy(&method), "") };
        match self.agent.request(now, out, to, &ask) {
            Ok(sent) => {
                self.relayed.insert(sent, Relayed { request, joint, from: at, places });
            }
            Err(Refused::Pending | Refused::OfferAnswer) => refuse(&mut self.agent, out, 491),
            Err(_) => refuse(&mut self.agent, out, 481),
        }
    }

    /// What came of a request of ours.
    pub(super) fn responded(
        &mut self,
        now: Now,
        out: &mut Outbox,
        dialog: DialogHandle,
        sent: RequestHandle,
        came: &Came,
    ) {
        if matches!(came, Came::Provisional(_)) {
            return;
        }
        let Some(relayed) = self.relayed.remove(&sent) else {
            // A dialog that this has ended is known no more; what follows then is told by its call.
            let step = self.whose_dialog(dialog).and_then(|(joint, _)| {
                let at = self.asking(joint, sent)?;
                Some((joint, at))
            });
            if let Some((joint, at)) = step {
                self.stepped(now, out, joint, at, came);
            }
            return;
        };
        let (status, response) = match came {
            Came::Final { response, status } => (*status, &response[..]),
            _ => (came.status(), &b""[..]),
        };
        let body = with(response, body_of).flatten();
        let described = described(response);
        let mut answer = Answer::new(status);
        answer.body = body;
        if status / 100 == 2
            && let Some(described) = described
            && let Some(found) = self.joints.get_mut(relayed.joint)
        {
            if let Some(end) = found.end_mut(other(relayed.from)) {
                end.note(&described);
            }
            let parts = Parts::read(&described.bytes);
            let Some(asker) = found.end_mut(relayed.from) else { return };
            // Without an offer in the request this is the offer, and has to fit where it goes.
            let (parts, places) = match (relayed.places.is_empty(), &asker.layout) {
                (false, _) => (parts.taken_back(&relayed.places), Vec::new()),
                (true, Some(layout)) => parts.arranged(layout),
                (true, None) => (parts, Vec::new()),
            };
            answer.body = Some(asker.description(parts));
            found.places = places;
        }
        let _ = self.agent.reply(now, out, relayed.request, answer);
    }

    /// The ACK of an end: the other may wait for the answer in it.
    pub(super) fn acknowledged(
        &mut self,
        now: Now,
        out: &mut Outbox,
        dialog: DialogHandle,
        ack: &[u8],
    ) {
        let Some((joint, at)) = self.whose_dialog(dialog) else { return };
        if let Some(answer) = described(ack) {
            self.answer_other(now, out, joint, at, &answer);
        }
    }

    fn answer_other(
        &mut self,
        now: Now,
        out: &mut Outbox,
        joint: JointHandle,
        at: usize,
        answer: &Content,
    ) {
        let Some(found) = self.joints.get_mut(joint) else { return };
        let places = std::mem::take(&mut found.places);
        if let Some(end) = found.end_mut(at) {
            end.note(answer);
        }
        let parts = Parts::read(&answer.bytes);
        let parts = if places.is_empty() { parts } else { parts.taken_back(&places) };
        let Some(end) = found.end_mut(other(at)).filter(|end| end.offered) else { return };
        end.offered = false;
        let (answer, dialog) = (end.description(parts), end.dialog);
        if let Some(dialog) = dialog {
            let _ = self.agent.supply(now, out, dialog, answer);
        }
    }

    /// Section 10.2: the parked one sends its media nowhere.
    pub(super) fn silence(
        &mut self,
        now: Now,
        out: &mut Outbox,
        joint: JointHandle,
        said: &Content,
    ) {
        let Some(found) = self.joints.get_mut(joint) else { return };
        let Some(end) = found.end_mut(2) else { return };
        let like = end.layout.clone().unwrap_or_default();
        let hole = Parts::read(&said.bytes).arranged(&like).0.black_hole();
        let body = Some(end.description(hole));
        if let Some(dialog) = end.dialog {
            let _ = self.agent.request(now, out, dialog, &Ask { body, ..Ask::new("INVITE", "") });
        }
    }
}
