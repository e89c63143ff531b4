//! One unit under way, and the name by which its messages are known.

use towel_core::io::Instant;
use towel_core::time::TimerId;
use towel_message::scan::push_number;

use crate::plan::Work;

/// What has happened to a unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen(u16);

impl Seen {
    /// A provisional response has come: no more retransmissions of the INVITE.
    pub(crate) const PROVISIONAL: u16 = 1;
    /// The 180 has come.
    pub(crate) const RINGING: u16 = 1 << 1;
    /// The caller has the 200.
    pub(crate) const ANSWERED: u16 = 1 << 2;
    /// The callee has the request.
    pub(crate) const INVITED: u16 = 1 << 3;
    /// The callee has the ACK.
    pub(crate) const ACKED: u16 = 1 << 4;
    /// The caller has sent BYE.
    pub(crate) const BYE: u16 = 1 << 5;
    /// The callee has the BYE.
    pub(crate) const ENDED: u16 = 1 << 6;
    /// The call is up and waits for its end.
    pub(crate) const HELD: u16 = 1 << 7;
    /// It was due in the window, so that it counts.
    pub(crate) const COUNTS: u16 = 1 << 8;
    /// It stays up until it is hung up.
    pub(crate) const PARKED: u16 = 1 << 9;

    pub(crate) fn has(self, what: u16) -> bool {
        self.0 & what != 0
    }

    pub(crate) fn add(&mut self, what: u16) {
        self.0 |= what;
    }

    pub(crate) fn remove(&mut self, what: u16) {
        self.0 &= !what;
    }
}

/// A unit. Slots and their buffers are used again.
#[derive(Debug)]
pub(crate) struct Unit {
    pub(crate) generation: u32,
    pub(crate) live: bool,
    pub(crate) work: Work,
    pub(crate) seen: Seen,
    /// Whom it goes to, or who registers.
    pub(crate) user: u32,
    pub(crate) caller: u32,
    pub(crate) cseq: u32,
    /// The CSeq of the INVITE that was answered, which its ACK carries.
    pub(crate) invite: u32,
    /// When it was due: from here its latencies count.
    pub(crate) due: Instant,
    /// When the BYE was sent.
    pub(crate) bye: Instant,
    /// When the transaction that is under way is given up.
    pub(crate) until: Instant,
    /// Milliseconds to the retransmission after the next.
    pub(crate) interval: u32,
    pub(crate) callee_interval: u32,
    pub(crate) challenges: u8,
    pub(crate) timer: TimerId,
    pub(crate) callee_timer: TimerId,
    /// Once answered: the remote target, then the Route and To lines of requests in the dialog.
    pub(crate) dialog: Vec<u8>,
    pub(crate) target: usize,
    /// The credentials of the request that is under way, as a header field line.
    pub(crate) credentials: Vec<u8>,
    /// The callee's 200, until the ACK has come.
    pub(crate) answer: Vec<u8>,
}

impl Unit {
    pub(crate) fn new() -> Unit {
        Unit {
            generation: 0,
            live: false,
            work: Work::Call,
            seen: Seen::default(),
            user: 0,
            caller: 0,
            cseq: 0,
            invite: 0,
            due: Instant(0),
            bye: Instant(0),
            until: Instant(0),
            interval: 0,
            callee_interval: 0,
            challenges: 0,
            timer: TimerId::NONE,
            callee_timer: TimerId::NONE,
            dialog: Vec::new(),
            target: 0,
            credentials: Vec::new(),
            answer: Vec::new(),
        }
    }
}

/// What a Call-ID of ours names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Named {
    /// A unit, by slot and generation.
    Unit { slot: u32, generation: u32 },
    /// Somebody's registrations.
    User(u32),
}

impl Named {
    /// Appends the Call-ID.
    pub(crate) fn write(self, run: u32, out: &mut Vec<u8>) {
        match self {
            Named::Unit { slot, generation } => {
                push_number(out, slot.into());
                out.push(b'-');
                push_number(out, generation.into());
            }
            Named::User(user) => {
                out.push(b'r');
                push_number(out, user.into());
            }
        }
        out.push(b'-');
        push_number(out, run.into());
        out.extend_from_slice(b"@load");
    }

    /// Reads a Call-ID; none if it is not of this run.
    pub(crate) fn read(call_id: &[u8], run: u32) -> Option<Named> {
        let text = call_id.strip_suffix(b"@load")?;
        let (text, registers) = match text.strip_prefix(b"r") {
            Some(rest) => (rest, true),
            None => (text, false),
        };
        let mut numbers = text.split(|b| *b == b'-').map(towel_message::scan::number::<u32>);
        let first = numbers.next()??;
        let named = if registers {
            Named::User(first)
        } else {
            Named::Unit { slot: first, generation: numbers.next()?? }
        };
        (numbers.next()?? == run && numbers.next().is_none()).then_some(named)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_id_names_its_unit_and_its_run() {
        for named in [Named::User(7), Named::Unit { slot: 0, generation: u32::MAX }] {
            let mut out = Vec::new();
            named.write(99, &mut out);
            assert_eq!(Named::read(&out, 99), Some(named));
            assert_eq!(Named::read(&out, 98), None);
        }
        for other in ["", "1-2-99", "r-99@load", "1-2@load", "1-2-99-1@load", "x@load"] {
            assert_eq!(Named::read(other.as_bytes(), 99), None, "{other}");
        }
    }
}
