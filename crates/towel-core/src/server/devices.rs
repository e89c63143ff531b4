//! Requests of dialogs whose Request-URI is not what their pass leads to, but a device of a user of
//! ours all the same: its Contact may change while a dialog goes on (RFC 3261 section 12.2), and the
//! place that it registers is where its user is reached anyway.

use towel_message::{Message, Uri};

use super::element::{Inhabited, Server};
use crate::io::Now;
use crate::proxy::pass::{same_place, same_user};
use crate::registrar::write_address_of_record;

impl Server {
    /// Whether a request of a dialog goes to a device that the user in its To is registered with now.
    pub(super) fn is_for_device(&mut self, message: &Message<'_>, now: Now) -> bool {
        let Some(pass) = self.prepared.pass.filter(|_| !self.prepared.passes) else { return false };
        if self.prepared.leads_away(message, &self.domains) {
            return false;
        }
        let inhabited = Inhabited {
            domains: &self.domains,
            users: &self.users,
            settings: &self.settings.server,
        };
        let (Ok(Uri::Sip(uri)), Ok(Uri::Sip(to))) =
            (message.read_uri(&self.prepared.uri), message.to_uri())
        else {
            return false;
        };
        if !write_address_of_record(&to, &inhabited, &mut self.address) {
            return false;
        }
        // Whoever was given the pass of the device itself was told by it where it may go.
        let told = pass.is_told();
        let location = self.registrar.location(&self.address);
        let found = location.lookup(&self.address, now.unix).any(|binding| {
            matches!(Uri::parse(binding.uri), Ok(Uri::Sip(bound))
                if same_place(&bound, &uri) && (told || same_user(&bound, &uri)))
        });
        drop(location);
        self.prepared.registered = found;
        self.prepared.passes = found && told;
        found
    }
}
