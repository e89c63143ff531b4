//! Which messages carry offers and answers, and what a description in a message is (RFC 6337
//! sections 2 and 3).
//!
//! [`PATTERNS`] is the table of the six exchanges. [`Way`] follows the messages of one dialog, as
//! either end sees them, and says of each what the description in it is, or that one is missing.
//! A retransmission is no message here.

use core::fmt::Write as _;

/// A message that can carry a description, or end what carries one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Carrier {
    /// INVITE, the first or a later one.
    Invite,
    /// A provisional response to it that is not acknowledged.
    Unreliable,
    /// A reliable provisional response to it (RFC 3262).
    Reliable,
    /// A 2xx response to it.
    Success,
    /// A failure response to it.
    Failure,
    /// The ACK of a 2xx.
    Ack,
    /// PRACK.
    Prack,
    /// A 2xx response to PRACK.
    PrackSuccess,
    /// A failure response to PRACK.
    PrackFailure,
    /// UPDATE.
    Update,
    /// A 2xx response to UPDATE.
    UpdateSuccess,
    /// A failure response to UPDATE.
    UpdateFailure,
}

/// All carriers.
pub const CARRIERS: [Carrier; 12] = [
    Carrier::Invite,
    Carrier::Unreliable,
    Carrier::Reliable,
    Carrier::Success,
    Carrier::Failure,
    Carrier::Ack,
    Carrier::Prack,
    Carrier::PrackSuccess,
    Carrier::PrackFailure,
    Carrier::Update,
    Carrier::UpdateSuccess,
    Carrier::UpdateFailure,
];

/// How an offer is refused (RFC 6337 section 2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// With a failure response to what carried it: 488 with a Warning.
    Respond488,
    /// It cannot be: it is answered, if need be with every port 0, and a new offer or the end of
    /// the dialog follows.
    AnswerFirst,
}

/// One of the six exchanges of RFC 6337 section 2.2, table 1, with the refusal of table 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pattern {
    /// Its number there.
    pub number: u8,
    /// What carries the offer.
    pub offer: Carrier,
    /// What carries the answer.
    pub answer: Carrier,
    /// The RFC that has it.
    pub rfc: u16,
    /// Whether it can be the first exchange of a session.
    pub initial: bool,
    /// Whether it can change the session in an early dialog.
    pub early: bool,
    /// How the offer is refused.
    pub rejection: Rejection,
}

const fn pattern(
    number: u8,
    offer: Carrier,
    answer: Carrier,
    rfc: u16,
    initial: bool,
    rejection: Rejection,
) -> Pattern {
    // In the table what cannot begin a session is just what can change an early one.
    Pattern { number, offer, answer, rfc, initial, early: !initial, rejection }
}

/// The six exchanges. All of them can change an established session.
pub const PATTERNS: [Pattern; 6] = {
    use Carrier::*;
    use Rejection::{AnswerFirst, Respond488};
    [
        pattern(1, Invite, Success, 3261, true, Respond488),
        pattern(2, Success, Ack, 3261, true, AnswerFirst),
        pattern(3, Invite, Reliable, 3262, true, Respond488),
        pattern(4, Reliable, Prack, 3262, true, AnswerFirst),
        pattern(5, Prack, PrackSuccess, 3262, false, AnswerFirst),
        pattern(6, Update, UpdateSuccess, 3311, false, Respond488),
    ]
};

/// Where the messages of a dialog stand, as far as descriptions go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// There is no dialog yet.
    Start,
    /// The dialog is established and nothing is under way.
    Idle,
    /// An INVITE with an offer waits for its answer.
    InviteOffered,
    /// An INVITE without an offer waits for one.
    InviteEmpty,
    /// A reliable provisional response carried the offer; its PRACK must answer.
    ReliableOffered,
    /// A 2xx carried the offer; its ACK must answer.
    SuccessOffered,
    /// A reliable provisional response carried the answer; its PRACK may offer anew.
    ReliableAnswered,
    /// A PRACK carried an offer; its 2xx must answer.
    PrackOffered,
    /// The INVITE's exchange is over, the INVITE is not.
    Settled,
    /// The same, and an UPDATE carried an offer.
    SettledUpdateOffered,
    /// An UPDATE carried an offer in an established dialog.
    UpdateOffered,
}

/// All phases.
pub const PHASES: [Phase; 11] = [
    Phase::Start,
    Phase::Idle,
    Phase::InviteOffered,
    Phase::InviteEmpty,
    Phase::ReliableOffered,
    Phase::SuccessOffered,
    Phase::ReliableAnswered,
    Phase::PrackOffered,
    Phase::Settled,
    Phase::SettledUpdateOffered,
    Phase::UpdateOffered,
];

/// What a message means for offer/answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Meaning {
    /// Nothing.
    Nothing,
    /// The description is an offer.
    Offer,
    /// The description is the answer.
    Answer,
    /// The description is what the answer will be (RFC 6337 section 3.1.1).
    Preview,
    /// There is a description and it is to be ignored (RFC 6337 sections 2.4, 3.1.1 and 3.1.2).
    Ignored,
    /// The offer is refused.
    Rejected,
    /// The INVITE fails after its exchange: what held before it holds again (section 3.4).
    RolledBack,
    /// There is no description and there must be an offer.
    OfferMissing,
    /// There is no description and there must be the answer.
    AnswerMissing,
    /// An offer where none may be.
    Misplaced,
}

/// Where a row leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum To {
    Stay,
    Phase(Phase),
    /// The dialog is established.
    Established,
    /// To where it was before the INVITE.
    Back,
}

/// With a description, without one, or either.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sdp {
    With,
    Without,
    Either,
}

struct Row(Phase, Carrier, Sdp, Meaning, To);

/// The table. What is not in it: a message without a description means nothing; a description in a
/// response is ignored, in a request it is misplaced; the phase stays.
const TABLE: &[Row] = {
    use Carrier::*;
    use Meaning::*;
    use Phase::*;
    use Sdp::{Either, With, Without};
    use To::{Back, Established, Stay};
    &[
        Row(Start, Invite, With, Offer, To::Phase(InviteOffered)),
        Row(Start, Invite, Without, Nothing, To::Phase(InviteEmpty)),
        Row(Idle, Invite, With, Offer, To::Phase(InviteOffered)),
        Row(Idle, Invite, Without, Nothing, To::Phase(InviteEmpty)),
        Row(Idle, Update, With, Offer, To::Phase(UpdateOffered)),
        Row(UpdateOffered, UpdateSuccess, With, Answer, To::Phase(Idle)),
        Row(UpdateOffered, UpdateSuccess, Without, AnswerMissing, To::Phase(Idle)),
        Row(UpdateOffered, UpdateFailure, Either, Rejected, To::Phase(Idle)),
        // Patterns 1 and 3.
        Row(InviteOffered, Unreliable, With, Preview, Stay),
        Row(InviteOffered, Reliable, With, Answer, To::Phase(ReliableAnswered)),
        Row(InviteOffered, Success, With, Answer, Established),
        Row(InviteOffered, Success, Without, AnswerMissing, Established),
        Row(InviteOffered, Failure, Either, Rejected, Back),
        // Patterns 2 and 4.
        Row(InviteEmpty, Reliable, With, Offer, To::Phase(ReliableOffered)),
        Row(InviteEmpty, Reliable, Without, OfferMissing, Stay),
        Row(InviteEmpty, Success, With, Offer, To::Phase(SuccessOffered)),
        Row(InviteEmpty, Success, Without, OfferMissing, Established),
        Row(InviteEmpty, Failure, Either, Nothing, Back),
        Row(SuccessOffered, Ack, With, Answer, Established),
        Row(SuccessOffered, Ack, Without, AnswerMissing, Established),
        Row(ReliableOffered, Prack, With, Answer, To::Phase(Settled)),
        Row(ReliableOffered, Prack, Without, AnswerMissing, Stay),
        Row(ReliableOffered, Failure, Either, Rejected, Back),
        // Pattern 5.
        Row(ReliableAnswered, Prack, With, Offer, To::Phase(PrackOffered)),
        Row(ReliableAnswered, Prack, Without, Nothing, To::Phase(Settled)),
        Row(ReliableAnswered, Success, With, Ignored, Established),
        Row(ReliableAnswered, Success, Without, Nothing, Established),
        Row(ReliableAnswered, Failure, Either, RolledBack, Back),
        Row(PrackOffered, PrackSuccess, With, Answer, To::Phase(Settled)),
        Row(PrackOffered, PrackSuccess, Without, AnswerMissing, To::Phase(Settled)),
        Row(PrackOffered, PrackFailure, Either, Rejected, To::Phase(Settled)),
        Row(PrackOffered, Failure, Either, RolledBack, Back),
        // Pattern 6 while the INVITE goes on.
        Row(Settled, Update, With, Offer, To::Phase(SettledUpdateOffered)),
        Row(Settled, Success, With, Ignored, Established),
        Row(Settled, Success, Without, Nothing, Established),
        // The 2xx came while the PRACK was still to answer.
        Row(Settled, Ack, Without, Nothing, Established),
        Row(Settled, Failure, Either, RolledBack, Back),
        Row(SettledUpdateOffered, UpdateSuccess, With, Answer, To::Phase(Settled)),
        Row(SettledUpdateOffered, UpdateSuccess, Without, AnswerMissing, To::Phase(Settled)),
        Row(SettledUpdateOffered, UpdateFailure, Either, Rejected, To::Phase(Settled)),
        Row(SettledUpdateOffered, Success, With, Ignored, To::Phase(UpdateOffered)),
        Row(SettledUpdateOffered, Success, Without, Nothing, To::Phase(UpdateOffered)),
        Row(SettledUpdateOffered, Failure, Either, RolledBack, Back),
    ]
};

impl Carrier {
    const fn is_request(self) -> bool {
        matches!(self, Self::Invite | Self::Ack | Self::Prack | Self::Update)
    }
}

/// What a message means in a phase, and where it leads.
fn step(phase: Phase, carrier: Carrier, sdp: bool) -> (Meaning, To) {
    let fits = |row: &&Row| {
        let same = match row.2 {
            Sdp::With => sdp,
            Sdp::Without => !sdp,
            Sdp::Either => true,
        };
        row.0 == phase && row.1 == carrier && same
    };
    match TABLE.iter().find(fits) {
        Some(row) => (row.3, row.4),
        None if !sdp => (Meaning::Nothing, To::Stay),
        None if carrier.is_request() => (Meaning::Misplaced, To::Stay),
        None => (Meaning::Ignored, To::Stay),
    }
}

/// The messages of one dialog, as far as descriptions go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    phase: Phase,
    established: bool,
}

impl Default for Way {
    fn default() -> Self {
        Self::new()
    }
}

impl Way {
    /// Before the first INVITE.
    pub const fn new() -> Self {
        Self { phase: Phase::Start, established: false }
    }

    /// Where it stands.
    pub const fn phase(&self) -> Phase {
        self.phase
    }

    /// What a description in such a message would be, or that none would be missing.
    pub fn meaning(&self, carrier: Carrier, sdp: bool) -> Meaning {
        step(self.phase, carrier, sdp).0
    }

    /// Whether a new offer may go in such a message now.
    pub fn may_offer(&self, carrier: Carrier) -> bool {
        self.meaning(carrier, true) == Meaning::Offer
    }

    /// A message was sent or came, with or without a description; says what it means.
    pub fn pass(&mut self, carrier: Carrier, sdp: bool) -> Meaning {
        let (meaning, to) = step(self.phase, carrier, sdp);
        self.established |= carrier == Carrier::Success;
        match to {
            To::Stay => {}
            To::Phase(phase) => self.phase = phase,
            To::Established => self.phase = Phase::Idle,
            To::Back => self.phase = if self.established { Phase::Idle } else { Phase::Start },
        }
        meaning
    }
}

/// The whole matrix as text; what is as everywhere (see the table) is left out.
pub fn matrix() -> String {
    let mut text = String::new();
    for phase in PHASES {
        let _ = writeln!(text, "{phase:?}");
        for carrier in CARRIERS {
            for sdp in [true, false] {
                let (meaning, to) = step(phase, carrier, sdp);
                let usual = match (sdp, carrier.is_request()) {
                    (false, _) => Meaning::Nothing,
                    (true, true) => Meaning::Misplaced,
                    (true, false) => Meaning::Ignored,
                };
                if (meaning, to) == (usual, To::Stay) {
                    continue;
                }
                let with = if sdp { "with" } else { "without" };
                let to = match to {
                    To::Stay => phase,
                    To::Phase(phase) => phase,
                    To::Established => Phase::Idle,
                    To::Back => {
                        let _ =
                            writeln!(text, "  {carrier:?} {with}: {meaning:?} -> Start or Idle");
                        continue;
                    }
                };
                let _ = writeln!(text, "  {carrier:?} {with}: {meaning:?} -> {to:?}");
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::Carrier::*;
    use super::*;

    #[test]
    fn the_whole_matrix() {
        insta::assert_snapshot!("ways", matrix());
    }

    fn run(messages: &[(Carrier, bool, Meaning)]) -> Way {
        let mut way = Way::new();
        for (i, (carrier, sdp, meaning)) in messages.iter().enumerate() {
            assert_eq!(way.pass(*carrier, *sdp), *meaning, "message {i}: {carrier:?}");
        }
        way
    }

    #[test]
    fn table_1_of_rfc_6337() {
        let initial: Vec<u8> = PATTERNS.iter().filter(|p| p.initial).map(|p| p.number).collect();
        let early: Vec<u8> = PATTERNS.iter().filter(|p| p.early).map(|p| p.number).collect();
        assert_eq!((initial, early), (vec![1, 2, 3, 4], vec![5, 6]));
        use Meaning::{Answer, Nothing, Offer};
        let first: [&[_]; 6] = [
            &[(Invite, true, Offer), (Success, true, Answer), (Ack, false, Nothing)],
            &[(Invite, false, Nothing), (Success, true, Offer), (Ack, true, Answer)],
            &[(Invite, true, Offer), (Reliable, true, Answer), (Prack, false, Nothing)],
            &[(Invite, false, Nothing), (Reliable, true, Offer), (Prack, true, Answer)],
            &[
                (Invite, true, Offer),
                (Reliable, true, Answer),
                (Prack, true, Offer),
                (PrackSuccess, true, Answer),
            ],
            &[
                (Invite, true, Offer),
                (Success, true, Answer),
                (Update, true, Offer),
                (UpdateSuccess, true, Answer),
            ],
        ];
        for (pattern, messages) in PATTERNS.iter().zip(first) {
            run(messages);
            let offers: Vec<_> = messages.iter().filter(|m| m.2 == Offer).map(|m| m.0).collect();
            let answers: Vec<_> = messages.iter().filter(|m| m.2 == Answer).map(|m| m.0).collect();
            assert_eq!(offers.last(), Some(&pattern.offer));
            assert_eq!(answers.last(), Some(&pattern.answer));
        }
    }

    #[test]
    fn no_offer_travels_but_by_the_six_patterns() {
        for phase in PHASES {
            for carrier in CARRIERS {
                for sdp in [true, false] {
                    match step(phase, carrier, sdp).0 {
                        Meaning::Offer => assert!(PATTERNS.iter().any(|p| p.offer == carrier)),
                        Meaning::Answer => assert!(PATTERNS.iter().any(|p| p.answer == carrier)),
                        _ => {}
                    }
                }
            }
        }
        let first: Vec<_> = CARRIERS.into_iter().filter(|c| Way::new().may_offer(*c)).collect();
        assert_eq!(first, [Invite]);
    }

    #[test]
    fn table_2_of_rfc_6337() {
        for pattern in PATTERNS {
            let failing = match pattern.offer {
                Invite => Some((Phase::InviteOffered, Failure)),
                Update => Some((Phase::UpdateOffered, UpdateFailure)),
                _ => None,
            };
            match failing {
                Some((phase, carrier)) => {
                    assert_eq!(pattern.rejection, Rejection::Respond488);
                    assert_eq!(step(phase, carrier, false).0, Meaning::Rejected);
                    // A description in a 488 says what could have been, and is no answer.
                    assert_eq!(step(phase, carrier, true).0, Meaning::Rejected);
                }
                None => assert_eq!(pattern.rejection, Rejection::AnswerFirst),
            }
        }
    }

    #[test]
    fn a_call_with_previews_and_a_late_answer() {
        // RFC 6337 section 3.1.1, figure 1, with a peer that repeats itself.
        use Meaning::{Answer, Ignored, Nothing, Offer, Preview};
        let mut way = run(&[
            (Invite, true, Offer),
            (Unreliable, true, Preview),
            (Reliable, false, Nothing),
            (Prack, false, Nothing),
            (PrackSuccess, false, Nothing),
            (Reliable, true, Answer),
            (Prack, false, Nothing),
            (PrackSuccess, false, Nothing),
        ]);
        assert!(way.may_offer(Update) && !way.may_offer(Prack) && !way.may_offer(Reliable));
        assert_eq!(way.pass(Update, true), Offer);
        assert_eq!(way.pass(UpdateSuccess, true), Answer);
        assert_eq!(way.pass(Reliable, true), Ignored);
        assert_eq!(way.pass(Success, true), Ignored);
        assert_eq!(way.pass(Ack, false), Nothing);
        assert_eq!(way.phase(), Phase::Idle);
    }

    #[test]
    fn a_prack_offers_only_after_an_answer() {
        use Meaning::{AnswerMissing, Misplaced, Nothing, Offer, OfferMissing};
        run(&[(Invite, true, Offer), (Reliable, false, Nothing), (Prack, true, Misplaced)]);
        run(&[(Invite, false, Nothing), (Reliable, false, OfferMissing)]);
        run(&[(Invite, false, Nothing), (Success, true, Offer), (Ack, false, AnswerMissing)]);
        run(&[(Invite, true, Offer), (Success, false, AnswerMissing)]);
        run(&[(Invite, true, Offer), (Update, true, Misplaced)]);
    }

    #[test]
    fn a_failed_re_invite_goes_back() {
        use Meaning::{Answer, Nothing, Offer, Rejected, RolledBack};
        let way = run(&[(Invite, true, Offer), (Failure, true, Rejected)]);
        assert_eq!(way.phase(), Phase::Start);
        let way = run(&[
            (Invite, true, Offer),
            (Success, true, Answer),
            (Ack, false, Nothing),
            (Invite, true, Offer),
            (Reliable, true, Answer),
            (Prack, false, Nothing),
            (Failure, false, RolledBack),
        ]);
        assert_eq!(way.phase(), Phase::Idle);
    }
}
