//! The `m=` lines of a session over its life: which stream of the plan has which, and what its
//! payload types mean.

use super::plan::{Codec, Plan, Stream};
use crate::payload::{Encoding, is_dynamic};
use crate::{Description, Media};

/// One `m=` line. It is never taken away, only reused (RFC 3264 section 8).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    /// The stream of the plan that has it.
    pub(crate) plan: Option<usize>,
    /// Media type, transport and a format, for the line with port 0.
    pub(crate) media: String,
    pub(crate) proto: String,
    pub(crate) format: String,
    /// What its dynamic payload types mean, for as long as the stream lives (section 8.3.2).
    pub(crate) bindings: Vec<Binding>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Binding {
    payload: u8,
    name: String,
    clock: u32,
    channels: u32,
}

impl Binding {
    fn encoding(&self) -> Encoding<'_> {
        Encoding { name: &self.name, clock: self.clock, channels: self.channels }
    }
}

impl Slot {
    pub(crate) fn of_stream(plan: usize, stream: &Stream) -> Self {
        Self {
            plan: Some(plan),
            media: stream.media.clone(),
            proto: stream.proto.clone(),
            format: String::from("0"),
            bindings: Vec::new(),
        }
    }

    pub(crate) fn of_media(media: &Media<'_>) -> Self {
        let mut slot = Self {
            plan: None,
            media: String::from("audio"),
            proto: String::from("RTP/AVP"),
            format: String::from("0"),
            bindings: Vec::new(),
        };
        slot.name_after(media);
        slot
    }

    /// Takes media type, transport and a format from a description.
    pub(crate) fn name_after(&mut self, media: &Media<'_>) {
        let Ok(line) = media.line() else { return };
        line.media.clone_into(&mut self.media);
        line.proto.clone_into(&mut self.proto);
        if let Some(format) = line.formats().next() {
            format.clone_into(&mut self.format);
        }
    }

    /// Remembers what the payload types of a description mean. A second meaning of one does not
    /// replace the first.
    fn bind(&mut self, media: &Media<'_>) {
        let Ok(line) = media.line() else { return };
        if line.port == 0 {
            return;
        }
        for format in line.formats() {
            let payload = crate::cursor::number(format).filter(|p| is_dynamic(*p));
            let (Some(payload), Some(encoding)) = (payload, media.encoding(format)) else {
                continue;
            };
            if self.bindings.iter().all(|b| b.payload != payload) {
                let Encoding { name, clock, channels } = encoding;
                self.bindings.push(Binding { payload, name: name.to_owned(), clock, channels });
            }
        }
    }

    /// A payload type for each of these codecs: the fixed one, the one that means it already, the
    /// one it would like, or any that is free. A codec for which none is left is left out.
    pub(crate) fn assign<'c>(&self, codecs: &'c [Codec]) -> Vec<(u8, &'c Codec)> {
        let mut given: Vec<(u8, &Codec)> = Vec::with_capacity(codecs.len());
        for codec in codecs {
            let free = |payload: u8| given.iter().all(|g| g.0 != payload);
            let unbound = |payload: u8| self.bindings.iter().all(|b| b.payload != payload);
            let means_it = |b: &&Binding| b.encoding() == codec.encoding() && free(b.payload);
            let payload = if codec.is_static() {
                Some(codec.payload).filter(|p| free(*p))
            } else {
                let bound = self.bindings.iter().find(means_it).map(|b| b.payload);
                let like = || Some(codec.payload).filter(|p| is_dynamic(*p));
                let others = || (96..=127).chain(35..=63);
                bound.or_else(|| {
                    like().into_iter().chain(others()).find(|p| free(*p) && unbound(*p))
                })
            };
            if let Some(payload) = payload {
                given.push((payload, codec));
            }
        }
        given
    }
}

/// Puts back slots. What payload types came to mean since stays: media may be under way with them
/// (RFC 3264 section 8.3.2).
pub(crate) fn restore(mut old: Vec<Slot>, now: &[Slot]) -> Vec<Slot> {
    for (slot, now) in old.iter_mut().zip(now) {
        for binding in &now.bindings {
            if slot.bindings.iter().all(|b| b.payload != binding.payload) {
                slot.bindings.push(binding.clone());
            }
        }
    }
    old
}

/// The slots for an offer: those that there are, and for each wanted stream without one, a slot
/// that nobody has, or a new one at the end (RFC 3264 section 8.1).
pub(crate) fn for_offer(slots: &[Slot], plan: &Plan) -> Vec<Slot> {
    let mut slots = slots.to_vec();
    for (index, stream) in plan.streams.iter().enumerate() {
        if stream.port == 0 || slots.iter().any(|slot| slot.plan == Some(index)) {
            continue;
        }
        let fresh = Slot::of_stream(index, stream);
        let unused = slots.iter().position(|s| s.plan.is_none() && s.media == stream.media);
        match unused.or_else(|| slots.iter().position(|s| s.plan.is_none())) {
            Some(at) => {
                if let Some(slot) = slots.get_mut(at) {
                    *slot = fresh;
                }
            }
            None => slots.push(fresh),
        }
    }
    slots
}

/// The slots once offer and answer stand: payload types that were said are bound, and a stream
/// that neither wants begins anew if it comes back.
pub(crate) fn settle(slots: &mut Vec<Slot>, offer: &Description<'_>, answer: &Description<'_>) {
    slots.truncate(offer.media_count());
    for (slot, (offered, answered)) in slots.iter_mut().zip(offer.media().zip(answer.media())) {
        slot.name_after(&offered);
        let used = answered.line().is_ok_and(|line| line.port != 0);
        if used {
            slot.bind(&offered);
            slot.bind(&answered);
        } else {
            slot.bindings.clear();
        }
    }
}
