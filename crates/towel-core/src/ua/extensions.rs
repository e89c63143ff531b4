//! Where extensions take part: before a request leaves and when a response is there.

use towel_message::{Message, NameAddr};

use super::{Inner, Request, RequestId};
use crate::contract::{Element, Env, Fields, UacRequest, UacResponse};
use crate::io::{Flow, Now};

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
            registry.woken_for_method(method.as_bytes()),
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
    pub(super) fn read_response(&mut self, now: Now, id: RequestId, response: &Message<'_>) {
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
            },
        );
        for note in notes {
            // Bounded: whoever does not fetch them is not to be filled up.
            if self.notes.len() >= 1024 {
                self.notes.pop_front();
            }
            self.notes.push_back((id, note));
        }
    }
}
