//! The machines of dialogs and of the INVITE usage, as tables.

use super::table::states;

states! {
    /// A dialog (RFC 3261 section 12): early by a provisional response with a To tag, confirmed by a
    /// 2xx, and over with its last usage (RFC 5057 section 4).
    dialog {
        states: Early Confirmed Terminated;
        events: Confirm Abandon LastUsageOver;
        actions: TakeRoutes Forget;

        // Section 13.2.2.4: the route set is taken anew from the 2xx.
        Early + Confirm => Confirmed [TakeRoutes];
        Early + Abandon => Terminated [Forget];
        Early + LastUsageOver => Terminated [Forget];
        Confirmed + Confirm => Confirmed [];
        Confirmed + LastUsageOver => Terminated [Forget];
    }
}

states! {
    /// The first INVITE of a call of ours, with all the early dialogs that it forks into (RFC 3261
    /// section 13.2).
    ///
    /// `Cancel` is the user's word; the CANCEL itself waits for a provisional response (section 9.1),
    /// which is the transaction layer's care. `Lingered` tells that no further 2xx can come (RFC
    /// 6026: Timer M). `Unwanted` is where a 2xx crossed the CANCEL.
    inviting {
        states: Calling Proceeding Cancelling Accepted Unwanted Over;
        events: Provisional Success Failure Cancel Lingered;
        actions: TellProgress SendCancel Acknowledge Establish Another SendBye Fail EndEarly;

        Calling + Provisional => Proceeding [TellProgress];
        Calling + Success => Accepted [Establish];
        Calling + Failure => Over [Fail];
        Calling + Cancel => Cancelling [SendCancel];

        Proceeding + Provisional => Proceeding [TellProgress];
        Proceeding + Success => Accepted [Establish];
        Proceeding + Failure => Over [Fail];
        Proceeding + Cancel => Cancelling [SendCancel];

        Cancelling + Provisional => Cancelling [];
        Cancelling + Success => Unwanted [Acknowledge, SendBye, Fail];
        Cancelling + Failure => Over [Fail];

        Accepted + Provisional => Accepted [];
        Accepted + Success => Accepted [Another];
        Accepted + Lingered => Over [EndEarly];

        Unwanted + Provisional => Unwanted [];
        Unwanted + Success => Unwanted [Acknowledge, SendBye];
        Unwanted + Lingered => Over [EndEarly];
    }
}

states! {
    /// The INVITE usage of one dialog (RFC 3261 sections 13 to 15).
    ///
    /// `Called` has an INVITE of the peer's without a final response, the first or a later one being
    /// told apart by `Called` and `Asked`; `Answered` has sent its 2xx and waits for the ACK;
    /// `Leaving` is the same with the user's wish to hang up, which a callee must not do before the
    /// ACK is there or will never be (section 15). `Ending` waits for the answer to a BYE.
    usage {
        states: Calling Called Answered Leaving Idle Changing Asked Ending Over;
        events: Accepted Refused Answer Refuse Ack NoAck Change Done Invited HangUp ByeCame ByeDone Lost;
        actions: Established Acknowledged SendBye AnswerInvite StopRepeating Ended TellInvite
            RefuseBusy RefuseGlare RefuseGone;

        Calling + Accepted => Idle [Established];
        Calling + Refused => Over [Ended];
        Calling + HangUp => Ending [SendBye, Ended];
        Calling + ByeCame => Over [Ended];
        Calling + Invited => Calling [RefuseGlare];
        Calling + Lost => Over [Ended];

        Called + Answer => Answered [];
        Called + Refuse => Over [Ended];
        Called + Invited => Called [RefuseBusy];
        Called + ByeCame => Over [Ended, AnswerInvite];
        Called + Lost => Over [Ended, AnswerInvite];

        Answered + Ack => Idle [StopRepeating, Acknowledged];
        Answered + NoAck => Ending [StopRepeating, SendBye, Ended];
        Answered + Invited => Answered [RefuseGlare];
        Answered + HangUp => Leaving [];
        Answered + ByeCame => Over [StopRepeating, Ended];
        Answered + Lost => Over [StopRepeating, Ended];

        Leaving + Ack => Ending [StopRepeating, SendBye, Ended];
        Leaving + NoAck => Ending [StopRepeating, SendBye, Ended];
        Leaving + Invited => Leaving [RefuseGlare];
        Leaving + HangUp => Leaving [];
        Leaving + ByeCame => Over [StopRepeating, Ended];
        Leaving + Lost => Over [StopRepeating, Ended];

        Idle + Change => Changing [];
        Idle + Invited => Asked [TellInvite];
        Idle + HangUp => Ending [SendBye, Ended];
        Idle + ByeCame => Over [Ended];
        Idle + Lost => Over [Ended];
        Idle + Ack => Idle [];

        Changing + Done => Idle [];
        Changing + Invited => Changing [RefuseGlare];
        Changing + HangUp => Ending [SendBye, Ended];
        Changing + ByeCame => Over [Ended];
        Changing + Lost => Over [Ended];
        Changing + Ack => Changing [];

        Asked + Answer => Answered [];
        Asked + Refuse => Idle [];
        Asked + Invited => Asked [RefuseBusy];
        Asked + HangUp => Ending [AnswerInvite, SendBye, Ended];
        Asked + ByeCame => Over [Ended, AnswerInvite];
        Asked + Lost => Over [Ended, AnswerInvite];
        Asked + Ack => Asked [];

        Ending + ByeCame => Ending [];
        Ending + ByeDone => Over [];
        Ending + Invited => Ending [RefuseGone];
        Ending + Done => Ending [];
        Ending + HangUp => Ending [];
        Ending + Ack => Ending [];
        Ending + Lost => Over [];
        Ending + Accepted => Ending [];
        Ending + Refused => Ending [];
    }
}

states! {
    /// A subscription as its subscriber sees it (RFC 6665 section 4.1.2).
    ///
    /// `Silence` is Timer N, or the end of its time; `Refused` a failure of the request that was to make
    /// it, `Gone` one of a later request that ends it (section 4.1.2.2).
    subscriber {
        states: Waiting Pending Active Over;
        events: SaidPending SaidActive SaidOver Silence Refused Gone;
        actions: Tell End;

        Waiting + SaidPending => Pending [Tell];
        Waiting + SaidActive => Active [Tell];
        Waiting + SaidOver => Over [Tell, End];
        Waiting + Silence => Over [End];
        Waiting + Refused => Over [End];

        Pending + SaidPending => Pending [Tell];
        Pending + SaidActive => Active [Tell];
        Pending + SaidOver => Over [Tell, End];
        Pending + Silence => Over [End];
        Pending + Refused => Pending [];
        Pending + Gone => Over [End];

        Active + SaidPending => Pending [Tell];
        Active + SaidActive => Active [Tell];
        Active + SaidOver => Over [Tell, End];
        Active + Silence => Over [End];
        Active + Refused => Active [];
        Active + Gone => Over [End];
    }
}

states! {
    /// A subscription as its notifier sees it (RFC 6665 section 4.2.2), with the NOTIFY that is under
    /// way: one at a time, since one that overtakes another would be refused for its number (RFC 3261
    /// section 12.2.2).
    ///
    /// `News` is a state to be told, `Finish` the last one. `Ending` sends the last NOTIFY, `Closing` has
    /// it still to send.
    notifier {
        states: Idle Telling Behind Closing Ending Over;
        events: News Finish Told Failed Gone;
        actions: Send End;

        Idle + News => Telling [Send];
        Idle + Finish => Ending [Send];
        Idle + Gone => Over [End];

        Telling + News => Behind [];
        Telling + Finish => Closing [];
        Telling + Told => Idle [];
        Telling + Failed => Telling [Send];
        Telling + Gone => Over [End];

        Behind + News => Behind [];
        Behind + Finish => Closing [];
        Behind + Told => Telling [Send];
        Behind + Failed => Telling [Send];
        Behind + Gone => Over [End];

        Closing + Told => Ending [Send];
        Closing + Failed => Ending [Send];
        Closing + Gone => Over [End];

        Ending + Told => Over [End];
        Ending + Failed => Ending [Send];
        Ending + Gone => Over [End];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_matrix() {
        let text = [
            dialog::matrix(),
            inviting::matrix(),
            usage::matrix(),
            subscriber::matrix(),
            notifier::matrix(),
        ]
        .join("\n");
        insta::assert_snapshot!("matrix", text);
    }

    #[test]
    fn the_bye_of_the_peer_ends_a_usage_in_every_state_that_lives() {
        use usage::{Event, STATES, State, step};
        for state in STATES.iter().filter(|state| **state != State::Over) {
            let (to, _) = step(*state, Event::ByeCame).expect("a BYE is always taken");
            assert!(matches!(to, State::Over | State::Ending), "{state:?}");
        }
    }

    #[test]
    fn nothing_leaves_the_end() {
        for event in usage::EVENTS {
            assert!(usage::step(usage::State::Over, *event).is_none());
        }
        for event in inviting::EVENTS {
            assert!(inviting::step(inviting::State::Over, *event).is_none());
        }
    }

    #[test]
    fn no_bye_of_the_callee_before_the_ack() {
        use usage::{Action, EVENTS, State, step};
        for state in [State::Called, State::Answered, State::Leaving] {
            for event in EVENTS {
                let sent =
                    step(state, *event).is_some_and(|(_, done)| done.contains(&Action::SendBye));
                let allowed = matches!(event, usage::Event::Ack | usage::Event::NoAck);
                assert!(!sent || allowed, "{state:?} {event:?}");
            }
        }
    }
}
