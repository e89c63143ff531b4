//! Credentials looked at, with patience for those who guess ([`crate::abuse`]).

use crate::abuse::Offence;
use crate::auth::field::{DigestParams, realm_of};
use crate::auth::{Authenticator, Credentials, Kind, Outcome};
use crate::io::{Now, Outbox};
use crate::stack::{Received, Stack};

/// Whose credentials are asked for, and for what.
pub(super) struct Asked<'a> {
    pub(super) received: &'a Received<'a>,
    pub(super) kind: Kind,
    pub(super) realm: &'a str,
}

/// Looks at the credentials of a request, unless too many from there were wrong just before: then it
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
    let message = received.message;
    if stack.abuse().has_failures()
        && names(asked).any(|name| !stack.may_log_in(now, received, &name))
    {
        return Outcome::Challenge { stale: false };
    }
    let outcome = authenticator.verify(&message, kind, realm, users, now, ours);
    if let Outcome::Accepted(accepted) = &outcome
        && !stack.logged_in(now, received, accepted.user.as_bytes())
    {
        return Outcome::Refuse(503, "Too Many Requests of This User");
    }
    if outcome == (Outcome::Challenge { stale: false }) {
        let mut failed = false;
        for name in names(asked) {
            stack.login_failed(now, received, &name);
            failed = true;
        }
        if failed {
            stack.offended(now, out, received, Offence::Failed);
        }
    }
    outcome
}

/// The users that credentials for our realm name.
fn names<'a>(asked: &'a Asked<'a>) -> impl Iterator<Item = Vec<u8>> + 'a {
    /// More are not looked at by the authenticator either.
    const MOST: usize = 4;
    let of_ours =
        move |value: &[u8]| realm_of(value).is_some_and(|realm| realm == asked.realm.as_bytes());
    asked
        .received
        .message
        .fields(asked.kind.credentials())
        .filter(move |field| of_ours(field.value))
        .take(MOST)
        .filter_map(|field| {
            let params = DigestParams::parse(field.value).ok()?;
            // Credentials without a digest only ask for a challenge (RFC 8760 section 2.7).
            params.get("response").filter(|response| !response.is_empty())?;
            params.get("username").map(<[u8]>::to_vec)
        })
}
