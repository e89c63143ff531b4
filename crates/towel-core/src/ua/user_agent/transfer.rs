//! Call transfer (RFC 5589): a REFER with what belongs to it, and what is done with the calls when it
//! has come to its end.
//!
//! * **Blind** ([`Transfer::blind`], section 6): the peer is told to call a URI.
//! * **Attended** ([`Transfer::attended`], section 7.3): the peer of one call is told to take our place
//!   in another one, with a Replaces in the Refer-To URI.
//! * **Semi-attended** (section 7.6): the same while the other call rings; it waits until that is
//!   answered.
//! * **Protecting the target** (section 7.2): the same with the calls the other way round: the target is
//!   told to take our place in the first call.
//!
//! The REFER goes outside of the dialog with a Target-Dialog if the peer's Contact is a GRUU and it
//! supports that, else inside of it (section 5, RFC 7647 section 4).

use towel_message::{NameAddr, Uri};

use super::event::{CallHandle, Event, Refused, Reported, SubscriptionHandle};
use super::referral::{refer_to, replaces, target_dialog};
use super::state::{Call, Leg, Subscribed};
use super::{Ask, Core, World};
use crate::contract::Fields;
use crate::transaction::Id;

/// Where a call is transferred to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransferTo {
    /// A URI.
    Uri(String),
    /// The peer of another call of ours, in our place.
    Call(CallHandle),
}

/// When we hang up towards whom we have referred.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HangUp {
    /// When the new call is up, so that one that fails leaves the first one as it was.
    #[default]
    Success,
    /// As soon as the REFER is accepted: unattended (RFC 5589 section 6).
    Accepted,
    /// Not at all.
    Never,
}

/// How a call is transferred.
#[derive(Clone, Debug)]
pub struct Transfer {
    /// Where to.
    pub to: TransferTo,
    /// When we hang up.
    pub hang_up: HangUp,
    /// Whether the target is named by the address that was called, with a demand that Replaces be
    /// understood, and not by its Contact (section 7.5: where a Contact leads nowhere outside of its
    /// dialog).
    pub by_address: bool,
    /// Whether an attended transfer that cannot be done as it is may be done otherwise: the other way
    /// round where one peer takes no REFER (section 7.4), without Replaces where the target does not know
    /// that (section 7.7).
    pub otherwise: bool,
    /// Further header fields of the REFER.
    pub fields: Fields,
    /// It is done the other way round.
    reversed: bool,
}

impl Transfer {
    /// To a URI.
    pub fn blind(uri: &str) -> Transfer {
        Transfer::to(TransferTo::Uri(uri.into()))
    }

    /// To the peer of another call, which may still ring.
    pub fn attended(call: CallHandle) -> Transfer {
        Transfer::to(TransferTo::Call(call))
    }

    fn to(to: TransferTo) -> Transfer {
        Transfer {
            to,
            hang_up: HangUp::Success,
            by_address: false,
            otherwise: true,
            fields: Fields::new(),
            reversed: false,
        }
    }

    /// The same with another time to hang up.
    #[must_use]
    pub fn hanging_up(mut self, hang_up: HangUp) -> Transfer {
        self.hang_up = hang_up;
        self
    }
}

/// Whether a list of tokens has this one; `None` where there is no list.
fn lists(list: Option<&[u8]>, token: &str) -> Option<bool> {
    let mut all = list?.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    Some(all.any(|one| one.eq_ignore_ascii_case(token.as_bytes())))
}

impl Core {
    /// Transfers a call.
    pub(super) fn transfer(
        &mut self,
        w: &mut World<'_>,
        call: Id<Call>,
        transfer: Transfer,
    ) -> Result<SubscriptionHandle, Refused> {
        let found = self.calls.get(call).ok_or(Refused::Stale)?;
        if found.session.is_none() || found.told {
            return Err(Refused::State);
        }
        let mut waits = None;
        if let TransferTo::Call(other) = transfer.to {
            let other_call = self.calls.get(other).ok_or(Refused::Stale)?;
            if other == call || other_call.told || other_call.waiting.is_some() {
                return Err(Refused::State);
            }
            if other_call.session.is_none() {
                waits = Some(other);
            }
        }
        let sub = self.new_reference(Some((call, transfer)))?;
        if let Some(other) = waits.and_then(|other| self.calls.get_mut(other)) {
            other.waiting = Some(sub);
            return Ok(sub);
        }
        match self.send_transfer(w, sub) {
            Ok(()) => Ok(sub),
            Err(refused) => {
                self.subs.remove(sub);
                Err(refused)
            }
        }
    }

    fn transfer_of(&self, sub: Id<Subscribed>) -> Option<(Id<Call>, Transfer)> {
        self.subs.get(sub)?.referring.as_ref()?.transfer.clone()
    }

    fn send_transfer(&mut self, w: &mut World<'_>, sub: Id<Subscribed>) -> Result<(), Refused> {
        let (call, mut transfer) = self.transfer_of(sub).ok_or(Refused::Stale)?;
        let session = |core: &Core, call| core.calls.get(call).and_then(|call: &Call| call.session);
        let first = session(self, call).ok_or(Refused::Stale)?;
        let (referee, value) = match &transfer.to {
            TransferTo::Uri(uri) => (first, refer_to(uri.as_bytes(), &[], "")),
            TransferTo::Call(other) => {
                let other = *other;
                let second = session(self, other).ok_or(Refused::Stale)?;
                // RFC 5589 section 7.4.
                let takes = |core: &Core, leg| core.allows_in(leg, "REFER") != Some(false);
                if transfer.otherwise && !takes(self, first) && takes(self, second) {
                    transfer.reversed = true;
                }
                let (referee, target) = match transfer.reversed {
                    true => (second, first),
                    false => (first, second),
                };
                let knows = self.supports_in(target, "replaces") != Some(false);
                if !knows && transfer.otherwise && !transfer.reversed {
                    // Section 7.7.
                    let uri = self.address_in(target).ok_or(Refused::Stale)?;
                    let _ = self.hang_up(w, other);
                    (referee, refer_to(&uri, &[], ""))
                } else {
                    (referee, self.refer_to_in(target, transfer.by_address).ok_or(Refused::Stale)?)
                }
            }
        };
        let reversed = transfer.reversed;
        let mut ask = Ask::new("REFER", "");
        ask.fields = transfer.fields;
        ask.fields.push("Refer-To", value);
        // RFC 3892 section 2.1, if anybody here knows of it.
        if self.registry.field(b"Referred-By").is_some() && ask.fields.get("Referred-By").is_none()
        {
            ask.fields.push("Referred-By", &self.profile.address);
        }
        if let Some(Some((_, transfer))) = self
            .subs
            .get_mut(sub)
            .and_then(|sub| sub.referring.as_mut())
            .map(|one| &mut one.transfer)
        {
            transfer.reversed = reversed;
        }
        let dialog = self.way_of_refer(referee, &mut ask);
        self.send_refer(w, sub, dialog, &ask)
    }

    /// Whether a REFER goes inside of this dialog, or outside with a word about it (RFC 5589 section 5,
    /// RFC 4538 section 3, RFC 7647 section 4).
    pub(super) fn way_of_refer(&self, leg: Id<Leg>, ask: &mut Ask) -> Option<Id<Leg>> {
        let found = self.legs.get(leg)?;
        let target = found.dialog.target();
        let gruu = Uri::parse(target)
            .is_ok_and(|uri| uri.sip().is_some_and(|uri| uri.param("gr").is_some()));
        let known = self.registry.field(b"Target-Dialog").is_some()
            && lists(found.supports.as_deref(), "tdialog") == Some(true);
        if !gruu || !known || ask.quiet {
            return Some(leg);
        }
        ask.uri = String::from_utf8_lossy(target).into_owned();
        if let Ok(remote) = NameAddr::parse(found.dialog.remote()) {
            ask.to = format!("<{}>", String::from_utf8_lossy(remote.uri));
        }
        ask.fields.push("Require", "tdialog");
        ask.fields.push("Target-Dialog", target_dialog(&found.dialog));
        None
    }

    /// The Refer-To for whoever is to take our place in a dialog.
    fn refer_to_in(&self, leg: Id<Leg>, by_address: bool) -> Option<String> {
        let found = self.legs.get(leg)?;
        let replaces = replaces(&found.dialog);
        if by_address {
            // Section 7.5: another user agent that gets it is not to take it for a call of its own.
            let headers = [("Replaces", &replaces[..]), ("Require", b"replaces")];
            return Some(refer_to(&self.address_in(leg)?, &headers, ""));
        }
        // RFC 4508 section 5: the feature tags of the target's last Contact.
        let uri = found.dialog.target();
        Some(refer_to(uri, &[("Replaces", &replaces)], &String::from_utf8_lossy(&found.features)))
    }

    /// The peer's address, without its tag.
    fn address_in(&self, leg: Id<Leg>) -> Option<Vec<u8>> {
        let found = self.legs.get(leg)?;
        Some(NameAddr::parse(found.dialog.remote()).ok()?.uri.to_vec())
    }

    fn allows_in(&self, leg: Id<Leg>, method: &str) -> Option<bool> {
        lists(self.legs.get(leg)?.allows.as_deref(), method)
    }

    fn supports_in(&self, leg: Id<Leg>, tag: &str) -> Option<bool> {
        lists(self.legs.get(leg)?.supports.as_deref(), tag)
    }

    /// The peer has accepted our REFER.
    pub(super) fn refer_taken(&mut self, w: &mut World<'_>, sub: Id<Subscribed>, followed: bool) {
        let Some((_, transfer)) = self.transfer_of(sub) else { return };
        // Where nothing more will be heard, there is nothing to wait for.
        let now = transfer.hang_up == HangUp::Accepted
            || (!followed && transfer.hang_up == HangUp::Success);
        if now {
            self.leave_referee(w, sub);
        }
    }

    /// The new call is up.
    pub(super) fn transferred(&mut self, w: &mut World<'_>, sub: Id<Subscribed>) {
        let Some((_, transfer)) = self.transfer_of(sub) else { return };
        if transfer.hang_up == HangUp::Success {
            self.leave_referee(w, sub);
        }
    }

    fn leave_referee(&mut self, w: &mut World<'_>, sub: Id<Subscribed>) {
        let Some((call, transfer)) = self.transfer_of(sub) else { return };
        let call = match transfer.to {
            TransferTo::Call(other) if transfer.reversed => other,
            _ => call,
        };
        let _ = self.hang_up(w, call);
    }

    /// The peer takes no REFER: perhaps the other one does (section 7.4). Says whether it is tried.
    pub(super) fn refer_otherwise(
        &mut self,
        w: &mut World<'_>,
        sub: Id<Subscribed>,
        status: u16,
    ) -> bool {
        let Some((_, transfer)) = self.transfer_of(sub) else { return false };
        let may = matches!(status, 405 | 501)
            && transfer.otherwise
            && !transfer.reversed
            && matches!(transfer.to, TransferTo::Call(_));
        if !may {
            return false;
        }
        let mut leg = None;
        if let Some(found) = self.subs.get_mut(sub) {
            leg = found.leg.take();
            if let Some((_, transfer)) =
                found.referring.as_mut().and_then(|one| one.transfer.as_mut())
            {
                transfer.reversed = true;
            }
        }
        if let Some(leg) = leg.and_then(|leg| self.legs.get_mut(leg)) {
            leg.subscribed.retain(|one| *one != sub);
        }
        self.send_transfer(w, sub).is_ok()
    }

    /// A call is up, to whose peer another one was to be transferred (section 7.6).
    pub(super) fn transfer_waiting(&mut self, w: &mut World<'_>, call: Id<Call>) {
        let waiting = self.calls.get_mut(call).and_then(|call| call.waiting.take());
        let Some(sub) = waiting else { return };
        if self.send_transfer(w, sub).is_err() {
            self.transfer_failed(w, sub, 481, None);
        }
    }

    /// That call came to nothing.
    pub(super) fn transfer_gone(&mut self, w: &mut World<'_>, call: Id<Call>, why: &super::Ending) {
        let waiting = self.calls.get_mut(call).and_then(|call| call.waiting.take());
        let Some(sub) = waiting else { return };
        let (status, response) = match why {
            super::Ending::Failed { status, response } => (*status, Some(response.clone())),
            super::Ending::NoResponse(_) => (408, None),
            _ => (487, None),
        };
        self.transfer_failed(w, sub, status, response);
    }

    fn transfer_failed(
        &mut self,
        w: &mut World<'_>,
        sub: Id<Subscribed>,
        status: u16,
        response: Option<Vec<u8>>,
    ) {
        let call = self.transfer_of(sub).map(|(call, _)| call);
        let reported = Reported::Refused { status, response };
        self.events.push_back(Event::Refer { refer: sub, call, reported });
        self.drop_subscription(w, sub);
    }
}
