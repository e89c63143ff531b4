//! Which way media goes.

/// The direction of a stream, as the one who writes it sees it (RFC 8866 section 6.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Both ways; what is meant where nothing is said.
    SendRecv,
    /// Only from me.
    SendOnly,
    /// Only to me.
    RecvOnly,
    /// Neither way.
    Inactive,
}

impl Direction {
    /// All four.
    pub const ALL: [Self; 4] = [Self::SendRecv, Self::SendOnly, Self::RecvOnly, Self::Inactive];

    /// The direction of these two.
    pub const fn new(send: bool, receive: bool) -> Self {
        match (send, receive) {
            (true, true) => Self::SendRecv,
            (true, false) => Self::SendOnly,
            (false, true) => Self::RecvOnly,
            (false, false) => Self::Inactive,
        }
    }

    /// Whether the writer sends.
    pub const fn sends(self) -> bool {
        matches!(self, Self::SendRecv | Self::SendOnly)
    }

    /// Whether the writer receives.
    pub const fn receives(self) -> bool {
        matches!(self, Self::SendRecv | Self::RecvOnly)
    }

    /// The same as the other end sees it.
    pub const fn reversed(self) -> Self {
        Self::new(self.receives(), self.sends())
    }

    /// What both allow.
    pub const fn and(self, other: Self) -> Self {
        Self::new(self.sends() && other.sends(), self.receives() && other.receives())
    }

    /// The same with the peer on hold: nothing is received (RFC 3264 section 8.4).
    pub const fn held(self) -> Self {
        Self::new(self.sends(), false)
    }

    /// The nearest to `wanted` that may answer `offered` (RFC 3264 section 6.1).
    pub const fn answer(offered: Self, wanted: Self) -> Self {
        offered.reversed().and(wanted)
    }

    /// Whether `self` may be answered with `answer` (RFC 3264 section 6.1).
    pub fn allows(self, answer: Self) -> bool {
        answer == Self::answer(self, answer)
    }

    /// The name of the attribute.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }

    /// The direction that an attribute of this name says.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|d| d.name().eq_ignore_ascii_case(name))
    }
}

#[cfg(test)]
mod tests {
    use super::Direction::{self, *};

    #[test]
    fn which_answers_an_offer_allows() {
        // RFC 3264 section 6.1.
        let rules: [(Direction, &[Direction]); 4] = [
            (SendRecv, &[SendRecv, SendOnly, RecvOnly, Inactive]),
            (SendOnly, &[RecvOnly, Inactive]),
            (RecvOnly, &[SendOnly, Inactive]),
            (Inactive, &[Inactive]),
        ];
        for (offer, answers) in rules {
            for answer in Direction::ALL {
                assert_eq!(offer.allows(answer), answers.contains(&answer), "{offer:?} {answer:?}");
                assert!(offer.allows(Direction::answer(offer, answer)));
            }
        }
    }

    #[test]
    fn hold_stops_what_comes() {
        assert_eq!(Direction::ALL.map(Direction::held), [SendOnly, SendOnly, Inactive, Inactive]);
    }
}
