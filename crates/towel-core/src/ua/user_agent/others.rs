//! Other dialogs than the one that a request is in, as extensions look for them; those whose session is
//! over are remembered for a while (RFC 3891 section 3).

use std::collections::VecDeque;
use std::time::Duration;

use super::state::Leg;
use crate::contract::{Element, OtherDialog, Standing};
use crate::dialog::machines::{dialog, usage};
use crate::dialog::{Dialog, Dialogs};
use crate::hash::{Hasher, Key};
use crate::io::{Flow, Instant};
use crate::transaction::Id;

/// How many that are over are remembered, and for how long: as long as a request may be under way.
const MOST: usize = 1024;
const LASTS: Duration = Duration::from_secs(32);

/// Sessions that are over.
#[derive(Debug)]
pub(super) struct Gone {
    key: Key,
    all: VecDeque<(u64, Instant)>,
}

impl Gone {
    pub(super) fn new(key: Key) -> Gone {
        Gone { key, all: VecDeque::new() }
    }

    fn hash(&self, call_id: &[u8], local: &[u8], remote: &[u8]) -> u64 {
        Hasher::new(self.key).field(call_id).field(local).field(remote).finish()
    }

    pub(super) fn note(&mut self, now: Instant, dialog: &Dialog) {
        while self.all.front().is_some_and(|(_, until)| *until <= now) || self.all.len() >= MOST {
            self.all.pop_front();
        }
        let hash = self.hash(dialog.call_id(), dialog.local_tag(), dialog.remote_tag());
        self.all.push_back((hash, now + LASTS));
    }

    fn has(&self, now: Instant, call_id: &[u8], local: &[u8], remote: &[u8]) -> bool {
        let hash = self.hash(call_id, local, remote);
        self.all.iter().any(|(have, until)| *have == hash && *until > now)
    }
}

/// The dialog with these identifiers as they stand at our end. A tag of nought is none as well (RFC 3891
/// section 6.1).
pub(super) fn find(
    legs: &Dialogs<Leg>,
    call_id: &[u8],
    local: &[u8],
    remote: &[u8],
) -> Option<Id<Leg>> {
    let none = || (remote == b"0").then(|| legs.find(call_id, local, b"")).flatten();
    legs.find(call_id, local, remote).or_else(none)
}

/// What a user agent tells of its dialogs.
pub(super) struct Others<'a> {
    pub(super) legs: &'a Dialogs<Leg>,
    pub(super) gone: &'a Gone,
    pub(super) now: Instant,
}

impl Element for Others<'_> {
    fn is_own_domain(&self, _: &[u8]) -> bool {
        false
    }

    fn domain(&self) -> &str {
        ""
    }

    fn own_uri(&self, flow: &Flow, out: &mut Vec<u8>) {
        out.extend_from_slice(format!("sip:{}", flow.local).as_bytes());
    }

    fn other_dialog(
        &self,
        call_id: &[u8],
        local_tag: &[u8],
        remote_tag: &[u8],
    ) -> Option<OtherDialog<'_>> {
        let found = find(self.legs, call_id, local_tag, remote_tag);
        let Some(leg) = found.and_then(|leg| self.legs.get(leg)) else {
            return self.gone.has(self.now, call_id, local_tag, remote_tag).then_some(
                OtherDialog {
                    standing: Standing::Over,
                    initiator: false,
                    session: true,
                    secure: false,
                    remote: b"",
                },
            );
        };
        let over = matches!(leg.usage, Some(usage::State::Ending | usage::State::Over));
        Some(OtherDialog {
            standing: match leg.dialog.state() {
                _ if over => Standing::Over,
                dialog::State::Early => Standing::Early,
                dialog::State::Confirmed => Standing::Confirmed,
                dialog::State::Terminated => Standing::Over,
            },
            initiator: leg.dialog.is_initiator(),
            session: leg.usage.is_some(),
            secure: leg.dialog.is_secure(),
            remote: leg.dialog.remote(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    #[test]
    fn what_is_over_is_remembered_for_a_while_and_not_without_end() {
        let mut gone = Gone::new(Rng::new([7; 32]).key());
        let dialog = |number: usize| {
            let text = format!(
                "INVITE sip:b@example.com SIP/2.0\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK1\r\n\
                 From: <sip:a@example.com>;tag=1\r\nTo: <sip:b@example.com>\r\nCall-ID: c{number}\r\n\
                 CSeq: 1 INVITE\r\nContact: <sip:a@192.0.2.1>\r\nContent-Length: 0\r\n\r\n"
            );
            let made = super::super::reading(text.as_bytes(), |message| {
                Dialog::of_request(message, b"2", false, true).expect("a dialog")
            });
            made.expect("a message")
        };
        gone.note(Instant(0), &dialog(0));
        assert!(gone.has(Instant(31_000_000), b"c0", b"2", b"1"));
        assert!(!gone.has(Instant(33_000_000), b"c0", b"2", b"1"));
        assert!(!gone.has(Instant(0), b"c0", b"1", b"2"));
        for number in 0..2 * MOST {
            gone.note(Instant(1), &dialog(number));
        }
        assert_eq!(gone.all.len(), MOST);
    }

    #[test]
    fn a_tag_of_nought_is_none_as_well() {
        let mut legs = Dialogs::new(Rng::new([8; 32]).key());
        let text = "INVITE sip:b@example.com SIP/2.0\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK1\r\n\
                    From: <sip:a@example.com>\r\nTo: <sip:b@example.com>\r\nCall-ID: c\r\n\
                    CSeq: 1 INVITE\r\nContact: <sip:a@192.0.2.1>\r\nContent-Length: 0\r\n\r\n";
        let made = super::super::reading(text.as_bytes(), |message| {
            Dialog::of_request(message, b"2", false, true).expect("a dialog")
        });
        let leg = legs.insert(Leg::of(made.expect("a message")));
        assert_eq!(find(&legs, b"c", b"2", b"0"), Some(leg));
        assert_eq!(find(&legs, b"c", b"2", b""), Some(leg));
        assert_eq!(find(&legs, b"c", b"2", b"1"), None);
    }
}
