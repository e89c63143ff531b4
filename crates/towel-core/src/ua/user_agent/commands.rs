//! What an application can have done.

use super::UserAgent;
use super::event::{
    Answer, Ask, CallHandle, Content, DialogHandle, IncomingHandle, Refused, RequestHandle,
};
use super::state::Owner;
use crate::dialog::Dialog;
use crate::io::{Now, Outbox};

impl UserAgent {
    /// Calls somebody: sends the first INVITE (RFC 3261 section 13.2). A body in it is the offer;
    /// without one the offer comes with the answer to it.
    pub fn call(&mut self, now: Now, out: &mut Outbox, invite: Ask) -> Result<CallHandle, Refused> {
        self.act(now, out, |core, w| core.call(w, invite))
    }

    /// Answers a call that came: 1xx as often as wanted, then one final response (section 13.3).
    pub fn answer(
        &mut self,
        now: Now,
        out: &mut Outbox,
        call: CallHandle,
        answer: Answer,
    ) -> Result<(), Refused> {
        self.act(now, out, |core, w| {
            let found = core.calls.get(call).ok_or(Refused::Stale)?;
            let incoming = found.incoming.ok_or(Refused::State)?;
            core.reply(w, incoming, answer)
        })
    }

    /// Ends a call in the way that fits: CANCEL before it is answered (section 9.1), 603 to one that
    /// rings here, BYE to a session (section 15), as soon as one may be sent.
    pub fn hang_up(&mut self, now: Now, out: &mut Outbox, call: CallHandle) -> Result<(), Refused> {
        self.act(now, out, |core, w| core.hang_up(w, call))
    }

    /// Ends the INVITE usage of one dialog with a BYE: of a session, or of one early dialog among
    /// several of a call of ours (section 15).
    pub fn end(&mut self, now: Now, out: &mut Outbox, dialog: DialogHandle) -> Result<(), Refused> {
        self.act(now, out, |core, w| {
            core.legs.get(dialog).ok_or(Refused::Stale)?;
            let event = crate::dialog::machines::usage::Event::HangUp;
            let done = core.step(w, dialog, event, Some(super::Ending::Local));
            done.map(|_| ()).ok_or(Refused::State)
        })
    }

    /// Sends a request in a dialog; `INVITE` is a re-INVITE (section 14.1), of which one is under way
    /// at a time. What comes of it is told by [`super::Event::Response`].
    pub fn request(
        &mut self,
        now: Now,
        out: &mut Outbox,
        dialog: DialogHandle,
        request: &Ask,
    ) -> Result<RequestHandle, Refused> {
        self.act(now, out, |core, w| core.request_inside(w, dialog, request, Owner::Application))
    }

    /// Answers a request: a re-INVITE, or any other of which an event told.
    pub fn reply(
        &mut self,
        now: Now,
        out: &mut Outbox,
        request: IncomingHandle,
        answer: Answer,
    ) -> Result<(), Refused> {
        self.act(now, out, |core, w| core.reply(w, request, answer))
    }

    /// Gives the answer that [`super::Event::AnswerWanted`] asks for; what was held back leaves with
    /// it.
    pub fn supply(
        &mut self,
        now: Now,
        out: &mut Outbox,
        dialog: DialogHandle,
        answer: Content,
    ) -> Result<(), Refused> {
        self.act(now, out, |core, w| core.supply(w, dialog, answer))
    }

    /// Sends a request outside of any dialog (section 8.1).
    pub fn send(
        &mut self,
        now: Now,
        out: &mut Outbox,
        request: &Ask,
    ) -> Result<RequestHandle, Refused> {
        if matches!(request.method.as_str(), "INVITE" | "ACK" | "CANCEL" | "BYE") {
            return Err(Refused::State);
        }
        self.act(now, out, |core, w| {
            let outgoing = core.outside(w, request)?;
            core.launch(w, outgoing)
        })
    }

    /// A dialog that lives.
    pub fn dialog(&self, dialog: DialogHandle) -> Option<&Dialog> {
        self.core.legs.get(dialog).map(|leg| &leg.dialog)
    }

    /// The dialog with these identifiers, as they stand at our end.
    pub fn find_dialog(
        &self,
        call_id: &[u8],
        local_tag: &[u8],
        remote_tag: &[u8],
    ) -> Option<DialogHandle> {
        self.core.legs.find(call_id, local_tag, remote_tag)
    }

    /// The call whose session a dialog has.
    pub fn call_of(&self, dialog: DialogHandle) -> Option<CallHandle> {
        self.core.legs.get(dialog)?.call
    }

    /// The dialog of a call's session.
    pub fn session_of(&self, call: CallHandle) -> Option<DialogHandle> {
        self.core.calls.get(call)?.session
    }
}
