//! Who is called: RFC 3262 sections 3 and 5.

use towel_core::contract::{Delivery, InDialog, Reply, Task, UasRequest, UasResponse, Verdict};
use towel_message::{Message, Method, Name};

use super::{ID, Respond, Settings, TAG, has_description, numbers};

/// What is kept with a dialog of the reliable responses to one INVITE.
#[derive(Debug, Clone, Copy)]
struct Sent {
    /// The CSeq number of the INVITE.
    request: u32,
    /// The RSeq of the last.
    last: u32,
    /// Whether the last is not acknowledged yet.
    pending: bool,
    /// Whether it has a session description.
    described: bool,
    /// Whether any had one: then the offer, where it was ours to make, is made.
    offered: bool,
}

/// A PRACK that acknowledges what was sent; kept with its transaction.
struct Matched;

fn supports(request: &Message<'_>) -> bool {
    request.has_token(Name::Supported, TAG) || requires(request)
}

fn requires(request: &Message<'_>) -> bool {
    request.has_token(Name::Require, TAG)
}

/// Section 3: an INVITE is refused that asks for what we do not do, or does not allow what we insist on
/// (421: RFC 3261 section 21.4.16).
pub(super) fn invited(settings: Settings, at: &mut UasRequest<'_>) -> Verdict {
    match settings.respond {
        Respond::Never if requires(&at.request) => {
            Verdict::reply(Reply::new(420, "Bad Extension").with("Unsupported", TAG))
        }
        Respond::Demanded if !supports(&at.request) => {
            Verdict::reply(Reply::new(421, "Extension Required").with("Require", TAG))
        }
        _ => Verdict::Pass,
    }
}

/// Section 3: a PRACK has come.
pub(super) fn acknowledged(at: &mut UasRequest<'_>) -> Verdict {
    let unknown = || Verdict::refuse(481, "Call/Transaction Does Not Exist");
    let Some(dialog) = &mut at.dialog else { return unknown() };
    let Some(rack) = at.request.value(Name::RAck).and_then(numbers::rack) else {
        return Verdict::refuse(400, "Bad RAck");
    };
    let Some(sent) = dialog.slots.get_mut::<Sent>(ID) else { return unknown() };
    let matches = sent.pending
        && rack.method == b"INVITE"
        && (rack.response, rack.request) == (sent.last, sent.request);
    if !matches {
        return unknown();
    }
    sent.pending = false;
    at.slots.set(ID, Matched);
    match has_description(&at.request) {
        // An answer, or a new offer, is the application's.
        true => Verdict::Pass,
        false => Verdict::refuse(200, "OK"),
    }
}

/// A response of ours is about to leave.
pub(super) fn respond(settings: Settings, at: &mut UasResponse<'_>) -> Verdict {
    match at.request.method() {
        Method::Invite => to_invite(settings, at),
        Method::Prack => {
            // What waits goes when the PRACK is answered: an offer in it comes first (section 5).
            if at.status >= 200 && at.slots.get::<Matched>(ID).is_some() {
                at.tasks.push(ID, Task::Arrived);
            }
            Verdict::Pass
        }
        _ => Verdict::Pass,
    }
}

/// What was sent for this INVITE.
fn kept(dialog: &InDialog<'_>, request: u32) -> Option<Sent> {
    dialog.slots.get::<Sent>(ID).filter(|sent| sent.request == request).copied()
}

fn to_invite(settings: Settings, at: &mut UasResponse<'_>) -> Verdict {
    let (Some(dialog), Ok(cseq)) = (&mut at.dialog, at.request.cseq()) else {
        return Verdict::Pass;
    };
    let before = kept(dialog, cseq.number);
    let pending = before.is_some_and(|sent| sent.pending);
    match at.status {
        101..200 => {}
        // Section 5: the 2xx waits for word of a description that was sent before.
        200..300 => {
            if pending && before.is_some_and(|sent| sent.described) {
                *at.delivery = Delivery::Hold;
            }
            return Verdict::Pass;
        }
        _ => return Verdict::Pass,
    }
    let described = !at.body.is_empty();
    let required = requires(&at.request);
    if !required && (settings.respond == Respond::Never || !supports(&at.request)) {
        return Verdict::Pass;
    }
    // Section 5: where the INVITE has no offer, the first has it.
    let offer_is_ours = !has_description(&at.request) && !before.is_some_and(|sent| sent.offered);
    if offer_is_ours && !described {
        // It may not go reliably, and where that is required not at all.
        return if required { Verdict::Discard } else { Verdict::Pass };
    }
    if pending {
        *at.delivery = Delivery::Hold;
        return Verdict::Pass;
    }
    let last = match before {
        None => numbers::first(dialog.local_tag, cseq.number),
        Some(sent) => match sent.last.checked_add(1) {
            Some(next) => next,
            // They may not begin anew.
            None => return if required { Verdict::Discard } else { Verdict::Pass },
        },
    };
    let offered = described || before.is_some_and(|sent| sent.offered);
    let sent = Sent { request: cseq.number, last, pending: true, described, offered };
    dialog.slots.set(ID, sent);
    at.fields.push("Require", TAG);
    at.fields.push("RSeq", last.to_string());
    *at.delivery = Delivery::Reliable;
    Verdict::Pass
}
