//! The two requests that go hop by hop after an INVITE: the CANCEL (RFC 3261 section 9.1) and the
//! ACK for a response other than 2xx (section 17.1.1.3).

use towel_message::build::{ack_for_non_2xx, cancel_for};
use towel_message::{Message, Name};

use super::{ClientId, Failure, Pending, Received, Refusal, Stack};
use crate::io::{Now, Outbox};
use crate::transaction::client::{Client, Event, Machine};
use crate::transaction::machines::invite_client;
use crate::transaction::table::Timer;

impl Stack {
    /// Cancels an INVITE (RFC 3261 section 9.1): at once if a provisional response has come, else
    /// when one comes; if a final one comes first, not at all. `reason` is the value of a Reason
    /// header field for the CANCEL.
    pub fn cancel(
        &mut self,
        now: Now,
        out: &mut Outbox,
        id: ClientId,
        reason: Option<&[u8]>,
    ) -> Result<(), Refusal> {
        let Some(client) = self.clients.get_mut(id) else { return Err(Refusal::Stale) };
        let Some(work) = client.work.as_mut() else { return Err(Refusal::State) };
        if !client.machine.is_invite() || work.cancelling.is_some() {
            return Err(Refusal::State);
        }
        if let Some(lookup) = work.lookup.take() {
            self.lookups.remove(&lookup);
            self.locator.abandon(lookup);
            self.pending.push(Pending::ClientFailed(id, Failure::Cancelled));
            return Ok(());
        }
        work.cancelling = Some(reason.unwrap_or_default().to_vec());
        match client.machine {
            Machine::Invite(invite_client::State::Calling) => Ok(()),
            Machine::Invite(invite_client::State::Proceeding) => {
                self.send_cancel(now, out, id);
                Ok(())
            }
            _ => Err(Refusal::State),
        }
    }

    pub(super) fn send_cancel(&mut self, now: Now, out: &mut Outbox, id: ClientId) {
        let mut bytes = self.buffer();
        let mut index = self.index();
        let work = self.clients.get(id).and_then(|client| client.work.as_ref());
        if let Some(work) = work
            && let Some(reason) = &work.cancelling
            && let Ok(request) = Message::parse(&work.request, &mut index, &self.transport.limits)
        {
            const END: &[u8] = b"Content-Length: 0\r\n\r\n";
            cancel_for(&request, &mut bytes);
            // RFC 7989 section 7: the CANCEL has the Session-ID of its request.
            let session = request.value(Name::SessionId).unwrap_or_default();
            for (name, value) in [(&b"Reason: "[..], &reason[..]), (b"Session-ID: ", session)] {
                if !value.is_empty() && bytes.ends_with(END) {
                    bytes.truncate(bytes.len() - END.len());
                    bytes.extend_from_slice(name);
                    bytes.extend_from_slice(value);
                    bytes.extend_from_slice(b"\r\n");
                    bytes.extend_from_slice(END);
                }
            }
        }
        self.give_back_index(index);
        let about = |client: &Client| {
            let work = client.work.as_ref()?;
            Some((client.flow, client.is_reliable(), work.written, work.target.clone()))
        };
        let Some((flow, reliable, written, target)) = self.clients.get(id).and_then(about) else {
            return self.give_back(bytes);
        };
        let machine = Machine::for_request(&bytes);
        let mut work = self.client_work(bytes, written.0, written.1);
        (work.written, work.target) = (written, target);
        let mut cancel = Client::new(machine, 0, work);
        (cancel.flow, cancel.silent) = (flow, true);
        let cancel = self.clients.insert(cancel);
        self.set_client_timer(now, cancel, Timer::F);
        if !reliable {
            self.set_client_timer(now, cancel, Timer::E);
        }
        self.await_answer(cancel);
        self.transmit_request(now, out, cancel);
        if let Some(client) = self.clients.get_mut(id) {
            client.cancel = Some(cancel);
            let actions = client.machine.step(Event::Cancelling, reliable);
            if actions.is_some() {
                self.set_client_timer(now, id, Timer::Cancelled);
            }
        }
    }

    pub(super) fn send_ack(
        &mut self,
        now: Now,
        out: &mut Outbox,
        id: ClientId,
        response: Option<&Received<'_>>,
    ) {
        let mut index = self.index();
        let flow = self.clients.get(id).and_then(|client| client.flow);
        if let Some(flow) = flow.map(|flow| self.flow(&flow))
            && let connected = (flow.connection.is_none() || self.is_usable(&flow))
            && let Some(client) = self.clients.get_mut(id)
        {
            if client.ack.is_empty()
                && let Some(response) = response
                && let Some(work) = &client.work
                && let Ok(request) =
                    Message::parse(&work.request, &mut index, &self.transport.limits)
            {
                ack_for_non_2xx(&request, &response.message, &mut client.ack);
            }
            if connected && !client.ack.is_empty() {
                self.counters.requests_sent += 1;
                out.transmit(flow, &client.ack);
                self.touch(now, &flow);
            }
        }
        self.give_back_index(index);
    }
}
