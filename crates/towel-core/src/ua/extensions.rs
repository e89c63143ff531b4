//! Where extensions take part: before a request leaves and when a response is there.

use towel_message::{Message, NameAddr};

use super::{Inner, Request, RequestId, Sent};
use crate::contract::{
    Delivery, Element, Env, Fields, Given, Reply, Slots, Tasks, UacRequest, UacResponse,
    UasRequest, UasResponse, Verdict,
};
use crate::io::{Flow, Now};
use crate::stack::Received;

/// A user agent is responsible for no domain and nobody's next hop.
pub(crate) struct Nobody;

impl Element for Nobody {
    fn is_own_domain(&self, _host: &[u8]) -> bool {
        false
    }
    fn domain(&self) -> &str {
        ""
    }
    fn own_uri(&self, flow: &Flow, out: &mut Vec<u8>) {
        out.extend_from_slice(format!("sip:{}", flow.local).as_bytes());
    }
}

impl Inner {
    /// Lets extensions add to a request that is about to be sent. False if one of them does not let it
    /// go: a note says why.
    pub(super) fn extend_request(
        &mut self,
        now: Now,
        request: &mut Request,
        slots: &mut Slots,
    ) -> bool {
        let Some(registry) = &self.registry else { return true };
        let mut fields = Fields::new();
        let (method, next_hop) = (request.method.clone(), request.next_hop().to_vec());
        let mut given = Vec::new();
        for (name, value) in &request.fields {
            given.extend_from_slice(name.as_bytes());
            given.push(b':');
            given.extend_from_slice(value);
            given.push(b'\n');
        }
        let verdict = registry.uac_request(
            registry.woken_for_own_request(),
            Env::new(now, &Nobody),
            &mut UacRequest {
                method: method.as_bytes(),
                request_uri: &mut request.uri,
                fields: &mut fields,
                contact_parameters: &mut request.contact_parameters,
                next_hop: &next_hop,
                slots,
                agent: &mut self.kept,
                dialog: None,
                tasks: &mut Tasks::new(),
                body: &request.body.1,
                own: None,
                given: Given(&given),
            },
        );
        if let Verdict::Refuse(reply) = verdict {
            self.note(None, vec![reply.reason.to_owned()]);
            return false;
        }
        // RFC 3261 section 8.1.1.9: what a server may use in its response. An ACK has none, and to
        // a CANCEL the server answers for itself.
        if !matches!(&method[..], "ACK" | "CANCEL") && !registry.supported().is_empty() {
            request.fields.push(("Supported".into(), registry.supported().as_bytes().to_vec()));
        }
        for (name, value) in fields.iter() {
            // A route set comes after an outbound proxy; without one its first value is the next
            // hop (RFC 3261 section 8.1.2).
            if !name.eq_ignore_ascii_case("Route") {
                request.fields.push((name.to_owned(), value.to_vec()));
                continue;
            }
            for value in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
                match NameAddr::parse(value) {
                    Ok(first) if request.route.is_none() => {
                        request.route = Some(first.uri.to_vec())
                    }
                    Ok(_) => request.fields.push((name.to_owned(), value.to_vec())),
                    Err(_) => {}
                }
            }
        }
        true
    }

    /// Lets extensions read a response.
    pub(super) fn read_response(&mut self, now: Now, received: &Received<'_>, sent: &mut Sent) {
        let response = &received.message;
        let Some(registry) = &self.registry else { return };
        let mut notes = Vec::new();
        let method = response.method();
        let _ = registry.uac_response(
            registry.woken(response),
            Env::new(now, &Nobody),
            &mut UacResponse {
                response: *response,
                method: method.as_bytes(),
                notes: &mut notes,
                slots: &mut sent.slots,
                agent: &mut self.kept,
                source: received.flow,
                dialog: None,
                tasks: &mut Tasks::new(),
                own: None,
                reliable: &mut false,
            },
        );
        self.note(Some(sent.id), notes);
    }

    /// Lets extensions read a request that somebody sent to us; the refusal if there is one.
    pub(super) fn read_request(
        &mut self,
        now: Now,
        received: &Received<'_>,
        fields: &mut Fields,
        slots: &mut Slots,
    ) -> Option<Reply> {
        let registry = self.registry.as_ref()?;
        let mut notes = Vec::new();
        let verdict = registry.uas_request(
            registry.woken(&received.message),
            Env::new(now, &Nobody),
            &mut UasRequest {
                request: received.message,
                source: received.flow,
                user: None,
                fields,
                slots,
                notes: &mut notes,
                dialog: None,
                tasks: &mut Tasks::new(),
                agent: &mut self.kept,
                manner: &mut crate::contract::Manner::Unsaid,
            },
        );
        self.note(None, notes);
        match verdict {
            Verdict::Refuse(reply) => Some(*reply),
            Verdict::Pass | Verdict::Discard | Verdict::Hold(_) => None,
        }
    }

    /// Lets extensions add to a response of ours; gives the parameters of its Contact.
    pub(super) fn extend_response(
        &self,
        now: Now,
        request: Message<'_>,
        status: u16,
        fields: &mut Fields,
        slots: &mut Slots,
    ) -> Vec<u8> {
        let mut contact_parameters = Vec::new();
        if let Some(registry) = &self.registry {
            let _ = registry.uas_response(
                registry.woken_for_reply(registry.woken(&request), status),
                Env::new(now, &Nobody),
                &mut UasResponse {
                    request,
                    status,
                    fields,
                    contact_parameters: &mut contact_parameters,
                    slots,
                    dialog: None,
                    tasks: &mut Tasks::new(),
                    body: &[],
                    delivery: &mut Delivery::Plain,
                    agent: &mut Slots::new(),
                },
            );
        }
        contact_parameters
    }

    fn note(&mut self, id: Option<RequestId>, notes: Vec<String>) {
        for note in notes {
            // Bounded: whoever does not fetch them is not to be filled up.
            if self.notes.len() >= 1024 {
                self.notes.pop_front();
            }
            self.notes.push_back((id, note));
        }
    }
}
