//! A call across: its two legs, and which dialog of the one belongs to which of the other.

use super::session_id::Uuid;
use crate::ua::user_agent::{CallHandle, Content, DialogHandle};

/// A side of a call across.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Side {
    /// Who called.
    Caller,
    /// Who is called.
    Callee,
}

impl Side {
    pub(super) fn other(self) -> Side {
        match self {
            Side::Caller => Side::Callee,
            Side::Callee => Side::Caller,
        }
    }

    pub(super) fn at(self) -> usize {
        match self {
            Side::Caller => 0,
            Side::Callee => 1,
        }
    }
}

/// Two dialogs that belong together: one of each leg. A call that was forked behind us has several.
#[derive(Clone, Debug, Default)]
pub(super) struct Pair {
    /// On each side.
    pub(super) dialogs: [Option<DialogHandle>; 2],
    /// Which early dialog of the caller's leg it is.
    pub(super) branch: u32,
    /// On each side: what was sent there has an offer, and the answer to it is waited for.
    pub(super) wanted: [bool; 2],
    /// On each side: the session description that came from there last.
    pub(super) said: [Option<Content>; 2],
    /// Who the callee is (RFC 7989).
    pub(super) uuid: Option<Uuid>,
}

/// A call across.
#[derive(Clone, Debug)]
pub(super) struct Bridge {
    /// The call on each side, while it lasts.
    pub(super) calls: [Option<CallHandle>; 2],
    pub(super) pairs: Vec<Pair>,
    /// The pair of the session.
    pub(super) session: Option<usize>,
    /// The offer in the INVITE.
    pub(super) offer: Option<Content>,
    /// Whether the caller has had its final response.
    pub(super) answered: bool,
    /// Who the caller is (RFC 7989).
    pub(super) uuid: Option<Uuid>,
    /// Header fields for the BYE or CANCEL of the other leg: what the one that leaves said.
    pub(super) parting: crate::contract::Fields,
}

impl Bridge {
    pub(super) fn new(caller: CallHandle, offer: Option<Content>) -> Bridge {
        Bridge {
            calls: [Some(caller), None],
            pairs: Vec::new(),
            session: None,
            offer,
            answered: false,
            uuid: None,
            parting: crate::contract::Fields::new(),
        }
    }

    pub(super) fn call(&self, side: Side) -> Option<CallHandle> {
        self.calls.get(side.at()).copied().flatten()
    }

    /// The pair of a dialog.
    pub(super) fn pair_of(&self, side: Side, dialog: DialogHandle) -> Option<usize> {
        self.pairs.iter().position(|pair| pair.dialog(side) == Some(dialog))
    }

    /// Who is on that side, as far as it is known.
    pub(super) fn uuid_of(&self, side: Side, pair: Option<usize>) -> Option<Uuid> {
        match side {
            Side::Caller => self.uuid,
            Side::Callee => self.pairs.get(pair.or(self.session)?)?.uuid,
        }
    }
}

impl Pair {
    pub(super) fn dialog(&self, side: Side) -> Option<DialogHandle> {
        self.dialogs.get(side.at()).copied().flatten()
    }

    pub(super) fn want(&mut self, side: Side, wanted: bool) {
        if let Some(place) = self.wanted.get_mut(side.at()) {
            *place = wanted;
        }
    }

    pub(super) fn is_wanted(&self, side: Side) -> bool {
        self.wanted.get(side.at()).copied().unwrap_or_default()
    }

    /// Notes the session description that came from this side.
    pub(super) fn note(&mut self, side: Side, body: Option<&Content>) {
        let Some(body) = body.filter(|body| super::fields::is_description(body)) else { return };
        if let Some(place) = self.said.get_mut(side.at()) {
            *place = Some(body.clone());
        }
    }

    pub(super) fn last(&self, side: Side) -> Option<Content> {
        self.said.get(side.at()).cloned().flatten()
    }
}
