//! Credentials looked at, with patience for those who guess ([`crate::abuse`]).

use crate::abuse::{Offence, Place};
use crate::auth::{Authenticator, Credentials, Gate, Kind, Outcome};
use crate::io::{Now, Outbox};
use crate::stack::{Received, Stack};

/// Whose credentials are asked for, and for what.
pub(super) struct Asked<'a> {
    pub(super) received: &'a Received<'a>,
    pub(super) kind: Kind,
    pub(super) realm: &'a str,
}

/// Looks at the credentials of a request, unless too many like them were wrong just before: then it
/// is as if they were wrong, and nothing is learned of whether they were.
pub(super) fn login(
    stack: &mut Stack,
    now: Now,
    out: &mut Outbox,
    asked: &Asked<'_>,
    authenticator: &mut Authenticator,
    users: &Credentials,
    ours: impl Fn(&[u8]) -> bool,
) -> Outcome {
    let Asked { received, kind, realm } = *asked;
    let mut patience = Patience { stack, now, ours, failed: None };
    let outcome = authenticator.verify(&received.message, kind, realm, users, now, &mut patience);
    let failed = patience.failed;
    match &outcome {
        Outcome::Accepted(accepted) => {
            let (place, user) = (Place::from_bits(accepted.place), accepted.user.as_bytes());
            if !stack.logged_in(now, received, place, user) {
                return Outcome::Refuse(503, "Too Many Requests of This User");
            }
        }
        _ => {
            if let Some(place) = failed {
                let there = stack.abuse().is_there(place, &received.flow);
                stack.offended(now, out, received, Offence::Failed { there });
            }
        }
    }
    outcome
}

/// What the stack remembers of who tried what.
struct Patience<'a, F> {
    stack: &'a mut Stack,
    now: Now,
    ours: F,
    /// Where the nonce of what was wrong was sent.
    failed: Option<Place>,
}

impl<F: Fn(&[u8]) -> bool> Gate for Patience<'_, F> {
    fn is_ours(&self, uri: &[u8]) -> bool {
        (self.ours)(uri)
    }

    fn may_try(&mut self, place: u64, user: &[u8]) -> bool {
        self.stack.may_log_in(self.now, Place::from_bits(place), user)
    }

    fn failed(&mut self, place: u64, user: &[u8]) {
        let place = Place::from_bits(place);
        self.stack.login_failed(self.now, place, user);
        self.failed = Some(place);
    }
}
