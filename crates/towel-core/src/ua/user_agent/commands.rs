//! What an application can have done.

use super::event::{
    Answer, Ask, CallHandle, Content, DialogHandle, IncomingHandle, ReferenceHandle, Refused,
    RequestHandle, SubscriptionHandle,
};
use super::state::{Notice, NoticeStanding, Owner};
use super::{Transfer, UserAgent};
use crate::contract::{Fields, Relation};
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
        self.hang_up_with(now, out, call, Fields::new())
    }

    /// The same, and says why or anything else: header fields for the BYE or the refusal; a CANCEL
    /// has Reason of them and no other.
    pub fn hang_up_with(
        &mut self,
        now: Now,
        out: &mut Outbox,
        call: CallHandle,
        fields: Fields,
    ) -> Result<(), Refused> {
        self.act(now, out, |core, w| core.hang_up_with(w, call, fields))
    }

    /// Cancels a re-INVITE of ours that has no final response (section 9.1).
    pub fn cancel(
        &mut self,
        now: Now,
        out: &mut Outbox,
        request: RequestHandle,
    ) -> Result<(), Refused> {
        self.act(now, out, |core, w| {
            let found = core.outgoing.get(request).ok_or(Refused::Stale)?;
            if &*found.template.method != "INVITE" || found.done {
                return Err(Refused::State);
            }
            core.cancel_slow(w, request);
            Ok(())
        })
    }

    /// The early dialog of a call that came in which responses of this branch are
    /// ([`Answer::branch`]).
    pub fn early_of(&self, call: CallHandle, branch: u32) -> Option<DialogHandle> {
        let incoming = self.core.incoming.get(self.core.calls.get(call)?.incoming?)?;
        if incoming.branch == branch {
            return incoming.leg;
        }
        incoming.branches.iter().find(|(number, _)| *number == branch).map(|(_, leg)| *leg)
    }

    /// Where the INVITE of a call that came was sent from, while it has no final response.
    pub fn source_of(&self, call: CallHandle) -> Option<std::net::SocketAddr> {
        self.source_of_request(self.core.calls.get(call)?.incoming?)
    }

    /// Where a request that waits for its answer was sent from.
    pub fn source_of_request(&self, request: IncomingHandle) -> Option<std::net::SocketAddr> {
        self.core.incoming.get(request).map(|incoming| incoming.flow.remote)
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

    /// Transfers a call (RFC 5589). What comes of it is told by [`super::Event::Refer`].
    pub fn transfer(
        &mut self,
        now: Now,
        out: &mut Outbox,
        call: CallHandle,
        transfer: Transfer,
    ) -> Result<SubscriptionHandle, Refused> {
        self.act(now, out, |core, w| core.transfer(w, call, transfer))
    }

    /// Sends a REFER ([`Ask::refer`]), in a dialog or outside of any (RFC 3515). What comes of it is told
    /// by [`super::Event::Refer`].
    pub fn refer(
        &mut self,
        now: Now,
        out: &mut Outbox,
        dialog: Option<DialogHandle>,
        refer: &Ask,
    ) -> Result<SubscriptionHandle, Refused> {
        self.act(now, out, |core, w| core.refer(w, dialog, refer))
    }

    /// Accepts a REFER of which [`super::Event::Referred`] told, with a 200; its sender is told that it is
    /// being tried.
    pub fn accept_refer(
        &mut self,
        now: Now,
        out: &mut Outbox,
        request: IncomingHandle,
    ) -> Result<ReferenceHandle, Refused> {
        self.act(now, out, |core, w| core.accept_refer(w, request))
    }

    /// Does what an accepted REFER asks for; `ask` comes from [`super::Referral::ask`]. An INVITE makes a
    /// call, which is given back; its sender is told how that goes, or how another request does, by
    /// itself. What cannot be sent counts as failed.
    pub fn follow(
        &mut self,
        now: Now,
        out: &mut Outbox,
        reference: ReferenceHandle,
        ask: Ask,
    ) -> Result<Option<CallHandle>, Refused> {
        self.act(now, out, |core, w| core.follow(w, reference, ask))
    }

    /// Tells the sender of an accepted REFER how far what it asked for is, for whoever does that in
    /// another way than [`UserAgent::follow`], or not at all (603). A final status ends the reference.
    pub fn report(
        &mut self,
        now: Now,
        out: &mut Outbox,
        reference: ReferenceHandle,
        status: u16,
        reason: &str,
    ) -> Result<(), Refused> {
        if !(100..700).contains(&status) {
            return Err(Refused::Malformed);
        }
        self.act(now, out, |core, w| {
            core.references.get(reference).ok_or(Refused::Stale)?;
            core.report(w, reference, status, reason);
            Ok(())
        })
    }

    /// The call whose place a call that came is to take (RFC 3891), as long as that lives.
    pub fn replaces(&self, call: CallHandle) -> Option<CallHandle> {
        self.related(call, Relation::Replaces)
    }

    /// The call that one which came is to be mixed with (RFC 3911).
    pub fn joins(&self, call: CallHandle) -> Option<CallHandle> {
        self.related(call, Relation::Joins)
    }

    fn related(&self, call: CallHandle, how: Relation) -> Option<CallHandle> {
        let leg = self.core.related(self.core.calls.get(call)?.incoming?, how)?;
        self.core.legs.get(leg)?.call
    }

    /// The dialog that a request says it is about (RFC 4538).
    pub fn about(&self, request: IncomingHandle) -> Option<DialogHandle> {
        self.core.related(request, Relation::About)
    }

    /// Subscribes (RFC 6665): Event is among the header fields of `subscribe`, and Expires unless an hour
    /// will do. It is refreshed until [`UserAgent::unsubscribe`].
    pub fn subscribe(
        &mut self,
        now: Now,
        out: &mut Outbox,
        dialog: Option<DialogHandle>,
        subscribe: &Ask,
    ) -> Result<SubscriptionHandle, Refused> {
        self.act(now, out, |core, w| core.subscribe(w, dialog, subscribe))
    }

    /// Ends a subscription of ours: a last NOTIFY comes, and then [`super::Event::Unsubscribed`]. That of
    /// a REFER can be ended as well; what it asked for goes on (RFC 3515 section 2.4.4).
    pub fn unsubscribe(
        &mut self,
        now: Now,
        out: &mut Outbox,
        subscription: SubscriptionHandle,
    ) -> Result<(), Refused> {
        self.act(now, out, |core, w| core.resubscribe(w, subscription, 0))
    }

    /// Takes on a subscription of which [`super::Event::Subscribing`] told: 200, and at once a NOTIFY with
    /// this body. It lasts `seconds`, or less if less was asked for; `granted` says whether it is active
    /// already, or pending.
    pub fn admit(
        &mut self,
        now: Now,
        out: &mut Outbox,
        request: IncomingHandle,
        seconds: u32,
        granted: bool,
        body: Option<Content>,
    ) -> Result<SubscriptionHandle, Refused> {
        let standing = if granted { NoticeStanding::Active } else { NoticeStanding::Pending };
        let notice = Notice { standing, body };
        self.act(now, out, |core, w| core.admit(w, request, seconds, notice, None))
    }

    /// Tells a subscriber how things stand: one NOTIFY at a time, the last state counts. With a reason
    /// (`noresource`, `deactivated` ...) it is the last one, and the subscription over.
    pub fn notify(
        &mut self,
        now: Now,
        out: &mut Outbox,
        subscription: SubscriptionHandle,
        body: Option<Content>,
        over: Option<&str>,
    ) -> Result<(), Refused> {
        let standing = match over {
            Some(reason) => NoticeStanding::Terminated(reason.into()),
            None => NoticeStanding::Active,
        };
        self.act(now, out, |core, w| core.tell_subscriber(w, subscription, standing, body))
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
