//! Where extensions take part: before a request leaves and when a response is there.

use towel_message::{Message, NameAddr};

use super::{Inner, Request, RequestId};
use crate::contract::Slots;
use crate::contract::{
    Element, Env, Fields, Reply, UacRequest, UacResponse, UasRequest, UasResponse, Verdict,
};
use crate::io::{Flow, Now};
use crate::stack::Received;

/// A user agent is responsible for no domain and nobody's next hop.
struct Nobody;

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
    /// Lets extensions add to a request that is about to be sent.
    pub(super) fn extend_request(&mut self, now: Now, request: &mut Request) {
        let Some(registry) = &self.registry else { return };
        let mut fields = Fields::new();
        let method = request.method.clone();
        let _ = registry.uac_request(
            registry.woken_for_own_request(),
            Env::new(now, &Nobody),
            &mut UacRequest {
                method: method.as_bytes(),
                request_uri: &mut request.uri,
                fields: &mut fields,
                contact_parameters: &mut request.contact_parameters,
                slots: &mut self.slots,
            },
        );
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
    }

    /// Lets extensions read a response.
    pub(super) fn read_response(&mut self, now: Now, id: RequestId, received: &Received<'_>) {
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
                slots: &mut self.slots,
                source: received.flow,
            },
        );
        self.note(Some(id), notes);
    }

    /// Lets extensions read a request that somebody sent to us; the refusal if there is one.
    pub(super) fn read_request(
        &mut self,
        now: Now,
        received: &Received<'_>,
        fields: &mut Fields,
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
                slots: &mut Slots::new(),
                notes: &mut notes,
            },
        );
        self.note(None, notes);
        match verdict {
            Verdict::Refuse(reply) => Some(*reply),
            Verdict::Pass | Verdict::Discard => None,
        }
    }

    /// Lets extensions add to a response of ours; gives the parameters of its Contact.
    pub(super) fn extend_response(
        &self,
        now: Now,
        request: Message<'_>,
        status: u16,
        fields: &mut Fields,
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
                    slots: &mut Slots::new(),
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
