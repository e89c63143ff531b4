//! Who calls: RFC 3262 sections 4 and 5.

use towel_core::contract::{Carry, Outline, Task, UacRequest, UacResponse, Verdict};
use towel_message::Name;

use super::{ID, SEEN, Settings, TAG, has_description, numbers};

/// What is kept with an INVITE of ours.
#[derive(Debug, Clone, Copy, Default)]
struct Asked {
    /// Whether it has the offer.
    offer: bool,
    /// Whether reliable responses were insisted on.
    insisted: bool,
    /// The peer knows nothing of them: we go on without.
    without: bool,
}

/// What is kept with each dialog of it: section 4 has one number for each.
#[derive(Debug, Clone, Copy)]
struct Seen {
    /// The CSeq number of the INVITE.
    request: u32,
    /// The RSeq of the last response in order.
    last: u32,
    /// Whether a description has come.
    described: bool,
}

/// Section 4: an INVITE says what it insists on.
pub(super) fn request(settings: Settings, at: &mut UacRequest<'_>) -> Verdict {
    let without = at.slots.get::<Asked>(ID).is_some_and(|asked| asked.without);
    let insisted = settings.require && !without;
    if insisted {
        at.fields.push("Require", TAG);
    }
    at.slots.set(ID, Asked { offer: !at.body.is_empty(), insisted, without });
    Verdict::Pass
}

/// A response to an INVITE has come.
pub(super) fn response(at: &mut UacResponse<'_>) -> Verdict {
    let asked = at.slots.get::<Asked>(ID).copied().unwrap_or_default();
    match at.response.status() {
        101..200 => provisional(at, asked),
        // Who does not know the tag is asked once more without it.
        420 if asked.insisted && at.response.has_token(Name::Unsupported, TAG) => {
            at.slots.set(ID, Asked { without: true, ..asked });
            at.notes.push("the other end knows no reliable provisional responses".into());
            at.tasks.push(ID, Task::Retry);
            Verdict::Pass
        }
        _ => Verdict::Pass,
    }
}

fn provisional(at: &mut UacResponse<'_>, asked: Asked) -> Verdict {
    if !at.response.has_token(Name::Require, TAG) {
        return Verdict::Pass;
    }
    let rseq = at.response.value(Name::RSeq).and_then(numbers::rseq);
    let (Some(dialog), Some(rseq), Ok(cseq)) = (&mut at.dialog, rseq, at.response.cseq()) else {
        // It cannot be acknowledged: worth no more than any other.
        return Verdict::Pass;
    };
    let request = cseq.number;
    let before = dialog.slots.get::<Seen>(SEEN).filter(|seen| seen.request == request).copied();
    // A copy, or one that is out of order, goes no further.
    if before.is_some_and(|seen| seen.last.checked_add(1) != Some(rseq)) {
        return Verdict::Discard;
    }
    let described = has_description(&at.response);
    let known = asked.offer || before.is_some_and(|seen| seen.described);
    dialog.slots.set(SEEN, Seen { request, last: rseq, described: known || described });
    *at.reliable = true;
    at.tasks.send(
        ID,
        Outline {
            method: "PRACK",
            fields: vec![("RAck", format!("{rseq} {request} INVITE").into_bytes())],
            // Section 5: the offer is answered in the PRACK.
            body: if described && !known { Carry::Answer } else { Carry::Nothing },
        },
    );
    Verdict::Pass
}
