//! The copy of a request that leaves (RFC 3261 section 16.6): every edit that is made to it. What
//! is not named here leaves byte for byte as it came.

use towel_message::{Draft, Message, Name};

use super::record_route;
use super::route::{Hop, Prepared};
use crate::contract::Candidate;

/// What is to be written into one copy.
pub(super) struct Copy<'a> {
    pub(super) prepared: &'a Prepared,
    pub(super) target: &'a Candidate,
    pub(super) hop: &'a Hop,
    pub(super) record_route: Option<&'a record_route::Values>,
    pub(super) breadth: Option<u32>,
    pub(super) max_forwards: u32,
}

impl Copy<'_> {
    /// Steps 2 to 6. The Via of step 8 is not here: it belongs to the transaction.
    pub(super) fn edit<'m>(&self, message: &Message<'m>, draft: &mut Draft<'m>) {
        draft.raise_version();
        self.edit_request_uri(message, draft);
        self.edit_numbers(message, draft);
        if let Some(values) = self.record_route {
            if !values.inner.is_empty() {
                draft.push_top(Name::RecordRoute, &values.inner);
            }
            draft.push_top(Name::RecordRoute, &values.outer);
        }
        self.edit_route(message, draft);
        for position in &self.prepared.spent {
            if let Some(field) = message.field(*position) {
                draft.remove(&field);
            }
        }
    }

    fn edit_request_uri(&self, message: &Message<'_>, draft: &mut Draft<'_>) {
        let uri = if self.hop.strict { &self.hop.uri } else { &self.target.uri };
        if uri != message.request_uri() {
            draft.set_request_uri(uri);
        }
    }

    /// Max-Forwards (step 3) and Max-Breadth (RFC 5393 section 5.3.3).
    fn edit_numbers(&self, message: &Message<'_>, draft: &mut Draft<'_>) {
        let mut text = [0; 10];
        match (message.first(Name::MaxForwards), message.max_forwards()) {
            (Some(field), Ok(Some(value))) => {
                draft.replace(field.span, digits(value.saturating_sub(1), &mut text));
            }
            _ => draft.append(Name::MaxForwards, digits(self.max_forwards, &mut text)),
        }
        let Some(breadth) = self.breadth else { return };
        let breadth = digits(breadth, &mut text);
        match message.first(Name::MaxBreadth) {
            Some(field) if field.value == breadth => {}
            Some(field) => draft.replace(field.span, breadth),
            None => draft.append(Name::MaxBreadth, breadth),
        }
    }

    /// Our own values off, Path and the like on, and what a strict router wants (step 6).
    fn edit_route(&self, message: &Message<'_>, draft: &mut Draft<'_>) {
        let pushed = &self.target.routes;
        let untouched = self.prepared.popped == 0
            && !self.prepared.last_taken
            && pushed.is_empty()
            && !self.hop.strict;
        if untouched {
            return;
        }
        let count = message.values(Name::Route).count();
        // What a strict router finds in the Request-URI it does not find in Route.
        let strict_pushed = usize::from(self.hop.strict && !pushed.is_empty());
        let mut strict_own = self.hop.strict && pushed.is_empty();
        for (at, value) in message.values(Name::Route).enumerate() {
            if !self.prepared.keeps(at, count) {
                draft.remove_value(&value);
            } else if strict_own {
                strict_own = false;
                draft.remove_value(&value);
            }
        }
        for route in pushed.iter().skip(strict_pushed).rev() {
            draft.push_top(Name::Route, route);
        }
        if self.hop.strict {
            let mut last = Vec::with_capacity(self.target.uri.len() + 2);
            last.push(b'<');
            last.extend_from_slice(&self.target.uri);
            last.push(b'>');
            draft.append(Name::Route, &last);
        }
    }
}

/// A number as text, without an allocation.
fn digits(mut value: u32, text: &mut [u8; 10]) -> &[u8] {
    let mut at = text.len();
    for place in text.iter_mut().rev() {
        *place = b'0' + (value % 10) as u8;
        value /= 10;
        at -= 1;
        if value == 0 {
            break;
        }
    }
    text.get(at..).unwrap_or_default()
}
