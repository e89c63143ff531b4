//! Who may have a request forwarded (RFC 3261 sections 16.3 step 6 and 22.3).

use towel_message::{Host, Message, Uri, uri};

use super::{Domains, Relay, Settings};
use crate::io::Flow;
use crate::proxy::{Prepared, Visits};

/// What must be proved before a request goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    /// Nothing.
    None,
    /// That the sender is the user of ours who stands in From.
    Sender,
    /// That the sender is any user of ours: the request is for a foreign domain, from a foreign
    /// one.
    User,
    /// The same of a request in a dialog that was set up through us, whose ends know each other by
    /// tags and not by From (section 12.2.2): either may be a user of ours.
    End,
    /// There is none that would do.
    Impossible,
}

/// Decides what a request's sender must prove.
pub(super) fn proof(
    message: &Message<'_>,
    source: &Flow,
    prepared: &Prepared,
    visits: Visits,
    foreign: bool,
    domains: &Domains,
    settings: &Settings,
) -> Proof {
    let from_ours = claims_us(message, domains);
    // Our own mark says that what goes there in this dialog was let through before.
    if prepared.passes {
        return Proof::None;
    }
    // In Via it says the same of this request. Whoever it was sent to knows that mark as well: it
    // sends nothing out again but what comes from ourselves. And a stranger's request was let through
    // to a user of ours only: it does not come back from there to be sent anywhere.
    if visits.spiral && (!foreign || (from_ours && domains.is_from_self(source))) {
        return Proof::None;
    }
    if settings.trusted.iter().any(|network| network.holds(source.remote.ip())) {
        return Proof::None;
    }
    let in_dialog = prepared.pass.is_some();
    match settings.relay {
        Relay::Users | Relay::Nobody if foreign && in_dialog => Proof::End,
        Relay::Nobody if foreign => Proof::Impossible,
        Relay::Users if foreign && !from_ours => Proof::User,
        Relay::Users if foreign => Proof::Sender,
        _ if from_ours && settings.authenticate && in_dialog => Proof::End,
        _ if from_ours && settings.authenticate => Proof::Sender,
        _ => Proof::None,
    }
}

/// Whether From names one of our domains.
pub(super) fn claims_us(message: &Message<'_>, domains: &Domains) -> bool {
    if message.from().is_err() {
        return false;
    }
    match message.from_uri() {
        // On a screen a name is a name, whatever the port behind it.
        Ok(Uri::Sip(uri)) => {
            domains.owns_uri(&uri)
                || (matches!(uri.host, Host::Name(_)) && domains.owns(&uri.host, None))
        }
        Ok(_) => false,
        // What cannot be read cannot be somebody else's either.
        Err(_) => true,
    }
}

/// Whether From names this user of a domain of ours: what proved credentials allow.
pub(super) fn is_sender(message: &Message<'_>, user: &[u8], domains: &Domains) -> bool {
    let Ok(Uri::Sip(uri)) = message.from_uri() else { return false };
    domains.owns_uri(&uri)
        && uri.user.is_some_and(|from| uri::unescaped_eq(from, user, |_| false, false))
}

/// Whether a URI's host is ours.
pub(super) fn is_ours(uri: &[u8], domains: &Domains) -> bool {
    matches!(Uri::parse(uri), Ok(Uri::Sip(uri)) if domains.owns_uri(&uri))
}
