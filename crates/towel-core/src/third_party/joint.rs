//! Two ends that are to talk with each other, and how far that is.

use super::description::Parts;
use crate::b2bua::session_id::Uuid;
use crate::ua::user_agent::{CallHandle, Content, DialogHandle, RequestHandle};

/// Which of the flows of RFC 3725 section 4 connects two ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Flow {
    /// The first end's offer goes to the second, whose answer goes back in the ACK: for a second end that
    /// answers at once (section 5).
    I,
    /// Offers that lead nowhere, then each end's description to the other until they agree: not
    /// recommended (section 5), and given up after some rounds.
    II,
    /// The first end's offer is answered with nowhere to send to; then as flow IV, with media lines put in
    /// their places.
    III,
    /// The first end is called without media, then the second end's offer goes to it: for people.
    #[default]
    IV,
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The first end is called.
    First,
    /// The second end is called.
    Second,
    /// What the second end offers is on its way to the first.
    Offering,
    /// They have each other's descriptions.
    Joined,
    /// It has failed; both are let go.
    Leaving,
}

/// An end.
#[derive(Clone, Debug, Default)]
pub(super) struct End {
    pub(super) uri: String,
    pub(super) call: Option<CallHandle>,
    pub(super) dialog: Option<DialogHandle>,
    /// Whether it has answered.
    pub(super) up: bool,
    /// What stands in the origin of descriptions for it.
    pub(super) session: u64,
    pub(super) version: u32,
    /// What came from it last, and counts.
    pub(super) said: Option<Content>,
    /// The description that its media lines are held to: the last that travelled on this leg.
    pub(super) layout: Option<Parts>,
    /// An offer of its own that waits for its answer.
    pub(super) offered: bool,
    /// Who it is (RFC 7989).
    pub(super) uuid: Option<Uuid>,
}

/// Two ends.
#[derive(Clone, Debug)]
pub struct Joint {
    pub(super) ends: [End; 2],
    /// One that waits in silence while the other hears something.
    pub(super) parked: Option<End>,
    pub(super) flow: Flow,
    pub(super) step: Step,
    /// The request that brings the second end's offer to the first, or back.
    pub(super) asking: Option<(RequestHandle, usize)>,
    /// Where the media lines of what it brings went.
    pub(super) places: Vec<usize>,
    /// How often descriptions have gone back and forth (flow II).
    pub(super) rounds: u8,
    /// Whether an end stays when the other leaves.
    pub(super) keep: bool,
    /// Whether that it stands has been told.
    pub(super) told: bool,
    pub(super) from: String,
}

impl End {
    /// A description for this end: with its origin, in the next version.
    pub(super) fn description(&mut self, parts: Parts) -> Content {
        self.version += 1;
        let parts = parts.from(self.session, self.version);
        let bytes = parts.write();
        self.layout = Some(parts);
        Content::sdp(bytes)
    }

    /// A description came from it.
    pub(super) fn note(&mut self, body: &Content) {
        self.layout = Some(Parts::read(&body.bytes));
        self.said = Some(body.clone());
    }
}

impl Joint {
    pub(super) fn end(&self, at: usize) -> Option<&End> {
        if at == 2 { self.parked.as_ref() } else { self.ends.get(at) }
    }

    pub(super) fn end_mut(&mut self, at: usize) -> Option<&mut End> {
        if at == 2 { self.parked.as_mut() } else { self.ends.get_mut(at) }
    }

    /// Which end has this call.
    pub(super) fn whose(&self, call: CallHandle) -> Option<usize> {
        (0..3).find(|at| self.end(*at).is_some_and(|end| end.call == Some(call)))
    }
}
