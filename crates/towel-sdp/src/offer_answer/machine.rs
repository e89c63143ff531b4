//! The states of offer/answer between two user agents, as a table (RFC 3264 section 4).
//!
//! ```text
//!            offer sent                      offer received
//!   None ----------------> OfferSent    None ----------------> OfferReceived
//!                           |     |                              |     |
//!          answer received  |     | refused       answer sent    |     | refused
//!                           v     v                              v     v
//!                       Agreed   as before                   Agreed   as before
//! ```
//!
//! *As before* is Agreed where there was an agreement, and None where there was none.

use core::fmt::Write as _;

/// Where offer and answer stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Nothing was offered, or the only offer was refused.
    None,
    /// Our offer waits for its answer.
    OfferSent,
    /// The peer's offer waits for our answer.
    OfferReceived,
    /// There is an agreement and no offer.
    Agreed,
}

/// What can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// We send an offer.
    SendOffer,
    /// The peer's offer comes.
    ReceiveOffer,
    /// We send the answer.
    SendAnswer,
    /// We show in an unreliable response what the answer will be (RFC 6337 section 3.1.1).
    SendPreview,
    /// The peer's answer comes and can be worked with.
    ReceiveAnswer,
    /// The peer's answer comes and cannot be worked with.
    ReceiveUnfit,
    /// The peer shows in an unreliable response what its answer will be.
    ReceivePreview,
    /// We refuse the peer's offer (RFC 6337 section 2.3).
    Refuse,
    /// The peer refuses our offer, or the message that carried it came to nothing.
    Refused,
    /// The re-INVITE failed: what held before it holds again (RFC 6141 section 3.2).
    RollBack,
}

/// What is done on the way from one state to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Keep the offer until its answer.
    KeepOffer,
    /// Offer and answer are the agreement now.
    Agree,
    /// Keep what the answer will be, to act as if it had come.
    KeepPreview,
    /// Forget the offer and what was shown of its answer.
    DropOffer,
    /// Put back the agreement of the mark.
    Restore,
}

/// When a row counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Always.
    Always,
    /// There is an agreement to fall back on.
    Before,
    /// There is none.
    First,
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// In this state,
    pub from: State,
    /// when this happens,
    pub event: Event,
    /// if this holds,
    pub when: When,
    /// it goes to this state,
    pub to: State,
    /// and this is done.
    pub actions: &'static [Action],
}

/// All states.
pub const STATES: [State; 4] = [State::None, State::OfferSent, State::OfferReceived, State::Agreed];

/// All events.
pub const EVENTS: [Event; 10] = [
    Event::SendOffer,
    Event::ReceiveOffer,
    Event::SendAnswer,
    Event::SendPreview,
    Event::ReceiveAnswer,
    Event::ReceiveUnfit,
    Event::ReceivePreview,
    Event::Refuse,
    Event::Refused,
    Event::RollBack,
];

const fn row(from: State, event: Event, when: When, to: State, actions: &'static [Action]) -> Row {
    Row { from, event, when, to, actions }
}

/// The table. What is not in it is refused: two offers at once are glare or a mistake, and an
/// answer without an offer is none (RFC 3264 section 4).
pub const TABLE: &[Row] = {
    use Action::{Agree, DropOffer, KeepOffer, KeepPreview, Restore};
    use Event::*;
    use State::*;
    use When::{Always, Before, First};
    &[
        row(None, SendOffer, Always, OfferSent, &[KeepOffer]),
        row(None, ReceiveOffer, Always, OfferReceived, &[KeepOffer]),
        row(OfferSent, ReceiveAnswer, Always, Agreed, &[Agree, DropOffer]),
        row(OfferSent, ReceivePreview, Always, OfferSent, &[KeepPreview]),
        row(OfferSent, ReceiveUnfit, Before, Agreed, &[DropOffer]),
        row(OfferSent, ReceiveUnfit, First, None, &[DropOffer]),
        row(OfferSent, Refused, Before, Agreed, &[DropOffer]),
        row(OfferSent, Refused, First, None, &[DropOffer]),
        row(OfferSent, RollBack, Before, Agreed, &[DropOffer, Restore]),
        row(OfferSent, RollBack, First, None, &[DropOffer, Restore]),
        row(OfferReceived, SendAnswer, Always, Agreed, &[Agree, DropOffer]),
        row(OfferReceived, SendPreview, Always, OfferReceived, &[KeepPreview]),
        row(OfferReceived, Refuse, Before, Agreed, &[DropOffer]),
        row(OfferReceived, Refuse, First, None, &[DropOffer]),
        row(OfferReceived, RollBack, Before, Agreed, &[DropOffer, Restore]),
        row(OfferReceived, RollBack, First, None, &[DropOffer, Restore]),
        row(Agreed, SendOffer, Always, OfferSent, &[KeepOffer]),
        row(Agreed, ReceiveOffer, Always, OfferReceived, &[KeepOffer]),
        row(Agreed, RollBack, Before, Agreed, &[Restore]),
        row(Agreed, RollBack, First, None, &[Restore]),
    ]
};

/// The row for an event, or `None` where the event is refused. `before` is whether there is an
/// agreement to fall back on; for [`Event::RollBack`], whether there was one at the mark.
pub fn find(from: State, event: Event, before: bool) -> Option<&'static Row> {
    TABLE.iter().find(|row| {
        let when = match row.when {
            When::Always => true,
            When::Before => before,
            When::First => !before,
        };
        row.from == from && row.event == event && when
    })
}

/// The whole matrix as text.
pub fn matrix() -> String {
    let mut text = String::new();
    for from in STATES {
        let _ = writeln!(text, "{from:?}");
        for event in EVENTS {
            let mut rows = TABLE.iter().filter(|r| r.from == from && r.event == event).peekable();
            if rows.peek().is_none() {
                let _ = writeln!(text, "  {event:?} refused");
            }
            for row in rows {
                let when = match row.when {
                    When::Always => "",
                    When::Before => " [agreed before]",
                    When::First => " [first]",
                };
                let actions: Vec<String> = row.actions.iter().map(|a| format!("{a:?}")).collect();
                let _ = writeln!(text, "  {event:?}{when} -> {:?}: {}", row.to, actions.join(", "));
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_matrix() {
        insta::assert_snapshot!("matrix", matrix());
    }

    #[test]
    fn no_row_is_hidden_by_another_and_a_guard_has_its_counterpart() {
        for (i, row) in TABLE.iter().enumerate() {
            let same =
                TABLE.iter().skip(i + 1).filter(|r| (r.from, r.event) == (row.from, row.event));
            for other in same {
                assert!(row.when != other.when && row.when != When::Always);
            }
            for before in [true, false] {
                assert!(find(row.from, row.event, before).is_some(), "{row:?}");
            }
        }
    }

    #[test]
    fn there_is_one_offer_at_a_time() {
        for state in [State::OfferSent, State::OfferReceived] {
            for event in [Event::SendOffer, Event::ReceiveOffer] {
                assert!(find(state, event, true).is_none());
            }
        }
    }
}
