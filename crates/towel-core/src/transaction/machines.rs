//! The four transaction machines of RFC 3261 section 17 as RFC 6026 and RFC 4320 leave them.
//!
//! The only guard is whether the transport is reliable: there, what only absorbs or repairs loss
//! (Timers A, D, E, G, I, J, K) has no work, and the state that such a timer would end with a
//! value of nought is not entered at all.

use crate::transaction::table::machine;

machine! {
    /// The INVITE client transaction: RFC 6026 figure 5.
    ///
    /// It begins in Calling with the request sent, Timer B set, and on an unreliable transport
    /// Timer A. `Withdrawn` is the transaction user's word that it will wait no longer (it sent a
    /// CANCEL and the time of section 9.1 is over, or Timer C of section 16.8 has spoken).
    invite_client {
        states: Calling Proceeding Completed Accepted Terminated;
        events: Provisional Success Failure Transport Cancelling Withdrawn A B D M Cancelled;

        Calling + Provisional => Proceeding [Clear(A), Clear(B), Tell];
        Calling + Success => Accepted [Clear(A), Set(M), Tell];
        Calling + Failure if reliable => Terminated [SendAck, Tell];
        Calling + Failure unless reliable => Completed [Clear(A), Set(D), SendAck, Tell];
        Calling + Transport => Terminated [TellTransport];
        Calling + Withdrawn => Terminated [TellTimeout];
        Calling + A => Calling [SendRequest, Set(A)];
        Calling + B => Terminated [TellTimeout];

        Proceeding + Provisional => Proceeding [Tell];
        Proceeding + Success => Accepted [Set(M), Tell];
        Proceeding + Failure if reliable => Terminated [SendAck, Tell];
        Proceeding + Failure unless reliable => Completed [Set(D), SendAck, Tell];
        Proceeding + Cancelling => Proceeding [Set(Cancelled)];
        Proceeding + Withdrawn => Terminated [TellTimeout];
        Proceeding + Cancelled => Terminated [TellTimeout];

        Completed + Failure => Completed [SendAck];
        Completed + Transport => Terminated [];
        Completed + D => Terminated [];

        Accepted + Success => Accepted [Tell];
        Accepted + M => Terminated [];
    }
}

machine! {
    /// The non-INVITE client transaction: RFC 3261 figure 6.
    ///
    /// It begins in Trying with the request sent, Timer F set, and on an unreliable transport
    /// Timer E.
    non_invite_client {
        states: Trying Proceeding Completed Terminated;
        events: Provisional Final Transport Withdrawn E F K;

        Trying + Provisional => Proceeding [Tell];
        Trying + Final if reliable => Terminated [Tell];
        Trying + Final unless reliable => Completed [Clear(E), Set(K), Tell];
        Trying + Transport => Terminated [TellTransport];
        Trying + Withdrawn => Terminated [TellTimeout];
        Trying + E => Trying [SendRequest, Set(E)];
        Trying + F => Terminated [TellTimeout];

        Proceeding + Provisional => Proceeding [Tell];
        Proceeding + Final if reliable => Terminated [Tell];
        Proceeding + Final unless reliable => Completed [Clear(E), Set(K), Tell];
        Proceeding + Transport => Terminated [TellTransport];
        Proceeding + Withdrawn => Terminated [TellTimeout];
        Proceeding + E => Proceeding [SendRequest, Set(E)];
        Proceeding + F => Terminated [TellTimeout];

        Completed + K => Terminated [];
    }
}

machine! {
    /// The INVITE server transaction: RFC 6026 figure 7.
    ///
    /// It begins in Proceeding with Timer Trying set. A transport error is told and changes
    /// nothing (RFC 6026 section 7.1): the state goes on absorbing retransmissions. `Dropped` is
    /// the transaction user's word that it will never answer.
    invite_server {
        states: Proceeding Completed Confirmed Accepted Terminated;
        events: Request Ack Provisional Success Failure Transport Dropped Trying G H I L;

        Proceeding + Request => Proceeding [Repeat];
        Proceeding + Provisional => Proceeding [Clear(Trying), SendResponse];
        Proceeding + Success => Accepted [Clear(Trying), Set(L), SendResponse];
        Proceeding + Failure if reliable => Completed [Clear(Trying), Set(H), SendResponse];
        Proceeding + Failure unless reliable => Completed [Clear(Trying), Set(H), Set(G), SendResponse];
        Proceeding + Transport => Proceeding [TellTransport];
        Proceeding + Dropped => Terminated [];
        Proceeding + Trying => Proceeding [SendTrying];

        Completed + Request => Completed [Repeat];
        Completed + Ack if reliable => Terminated [];
        Completed + Ack unless reliable => Confirmed [Clear(G), Set(I)];
        Completed + Transport => Completed [TellTransport];
        Completed + G => Completed [Repeat, Set(G)];
        Completed + H => Terminated [TellNoAck];

        Confirmed + Request => Confirmed [];
        Confirmed + Ack => Confirmed [];
        Confirmed + I => Terminated [];

        Accepted + Request => Accepted [];
        Accepted + Ack => Accepted [Tell];
        Accepted + Success => Accepted [SendResponse];
        Accepted + Transport => Accepted [TellTransport];
        Accepted + L => Terminated [];
    }
}

machine! {
    /// The non-INVITE server transaction: RFC 3261 figure 8, with RFC 4320: a 100 of its own when a
    /// client's Timer E would have come to T2, no provisional response otherwise, and no response
    /// at all once nobody waits for one.
    non_invite_server {
        states: Trying Proceeding Completed Terminated;
        events: Request Provisional Final Transport Dropped Trying Unanswered J;

        Trying + Request => Trying [];
        Trying + Provisional => Proceeding [Clear(Trying), SendResponse];
        Trying + Final if reliable => Terminated [SendResponse];
        Trying + Final unless reliable => Completed [Clear(Trying), Set(J), SendResponse];
        Trying + Dropped => Terminated [];
        Trying + Trying => Proceeding [SendTrying];
        Trying + Unanswered => Terminated [];

        Proceeding + Request => Proceeding [Repeat];
        Proceeding + Provisional => Proceeding [SendResponse];
        Proceeding + Final if reliable => Terminated [SendResponse];
        Proceeding + Final unless reliable => Completed [Clear(Trying), Set(J), SendResponse];
        Proceeding + Transport => Terminated [TellTransport];
        Proceeding + Dropped => Terminated [];
        Proceeding + Unanswered => Terminated [];

        Completed + Request => Completed [Repeat];
        Completed + Transport => Terminated [TellTransport];
        Completed + J => Terminated [];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transaction::table::Table;

    const ALL: [Table; 4] = [
        invite_client::TABLE,
        non_invite_client::TABLE,
        invite_server::TABLE,
        non_invite_server::TABLE,
    ];

    #[test]
    fn the_whole_matrix() {
        let text: Vec<String> = ALL.iter().map(Table::matrix).collect();
        insta::assert_snapshot!("matrix", text.join("\n"));
    }

    #[test]
    fn the_diagrams() {
        let text: Vec<String> = ALL.iter().map(Table::dot).collect();
        insta::assert_snapshot!("diagrams", text.join("\n"));
    }

    #[test]
    fn no_row_is_hidden_by_another_and_nothing_leaves_terminated() {
        for table in ALL {
            for (index, row) in table.rows.iter().enumerate() {
                assert_ne!(row.from, "Terminated");
                for other in &table.rows[..index] {
                    let same = (other.from, other.on) == (row.from, row.on);
                    assert!(
                        !same || (other.guard != row.guard && !other.guard.is_empty()),
                        "{row:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn every_state_but_the_waiting_ones_has_a_way_out_by_time() {
        // INVITE Proceeding is left to the transaction user's Timer C on either side.
        for table in ALL {
            for state in table.states {
                let timed = table.rows.iter().any(|row| {
                    row.from == *state && row.to == "Terminated" && row.on != "Transport"
                });
                assert!(
                    timed || *state == "Terminated" || table.name.starts_with("invite"),
                    "{} {state}",
                    table.name
                );
            }
        }
    }
}
