//! Writing the copy that goes to one target (RFC 3261 section 16.6 steps 2 to 9).

use std::borrow::Cow;

use smallvec::SmallVec;
use towel_message::{Draft, Edits, Message, Method, Name, Uri};

use super::core::Around;
use super::forward::Copy;
use super::home::way_home;
use super::record_route;
use super::route::{Hop, Prepared, is_sips};
use crate::contract::{Candidate, ProxyForward, Slots, Woken};
use crate::io::Flow;
use crate::stack::{Destination, ViaStamp};

/// One copy in the making.
pub(super) struct Copying<'a, 'm> {
    pub(super) around: &'a Around<'a>,
    pub(super) message: &'a Message<'m>,
    pub(super) source: Flow,
    pub(super) prepared: &'a Prepared,
    pub(super) target: &'a Candidate,
    /// Its place among the targets.
    pub(super) branch: usize,
    pub(super) hop: &'a Hop,
    pub(super) breadth: Option<u32>,
    pub(super) mark: &'a [u8],
    pub(super) user: Option<&'a [u8]>,
    pub(super) woken: Woken,
}

impl Copying<'_, '_> {
    /// The URI to locate; a sips one where the Request-URI is (section 16.6 step 7), or TLS is
    /// wanted for another reason.
    pub(super) fn destination(&self, tls: bool) -> Cow<'_, [u8]> {
        let uri = &self.hop.uri;
        if (self.hop.secure || tls)
            && !is_sips(uri)
            && uri.get(..4).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"sip:"))
        {
            let mut secured = Vec::with_capacity(uri.len() + 1);
            secured.extend_from_slice(b"sips:");
            secured.extend_from_slice(uri.get(4..).unwrap_or_default());
            return Cow::Owned(secured);
        }
        Cow::Borrowed(uri)
    }

    /// Where that is; to ourselves without asking DNS.
    pub(super) fn towards<'u>(&self, uri: &'u [u8]) -> Destination<'u> {
        match way_home(uri, &self.source, self.around.domains) {
            Some((transport, addr)) => {
                let host = match Uri::parse(uri) {
                    Ok(Uri::Sip(uri)) => uri.host_port,
                    _ => &[],
                };
                let name = host.split(|byte| *byte == b':').next().unwrap_or_default();
                let server_name = std::str::from_utf8(name).ok().filter(|_| transport.secure());
                Destination::Target { transport, addr, server_name }
            }
            None => Destination::Uri(uri),
        }
    }

    fn records_route(&self) -> bool {
        let method = self.message.method();
        if matches!(method, Method::Register | Method::Cancel | Method::Ack) {
            return false;
        }
        (self.around.settings.record_route && record_route::wanted(&method))
            || record_route::demanded(&self.source, &self.target.uri, &self.hop.uri)
    }

    /// Writes the copy (section 16.6 steps 2 to 9).
    pub(super) fn write(
        &self,
        stamp: &ViaStamp<'_>,
        edits: &mut Edits,
        values: &mut record_route::Values,
        slots: Option<&mut Slots>,
        to: &mut Vec<u8>,
    ) {
        let around = self.around;
        let mut record_route = None;
        if self.records_route() {
            let listener = stamp.listener();
            let onward = Flow {
                transport: stamp.transport(),
                listener: listener.id,
                local: listener.local,
                connection: stamp.connection(),
                ..self.source
            };
            let secure = is_sips(&self.target.uri) || is_sips(&self.hop.uri);
            record_route::make(
                self.message,
                &self.source,
                &onward,
                secure,
                around.domains,
                around.marks,
                values,
            );
            record_route = Some(&*values);
        }
        let mut draft = Draft::with(*self.message, std::mem::take(edits));
        let copy = Copy {
            prepared: self.prepared,
            target: self.target,
            hop: self.hop,
            record_route,
            breadth: self.breadth,
            max_forwards: around.settings.max_forwards,
        };
        copy.edit(self.message, &mut draft);
        if !self.woken.is_empty() {
            let mut stage = ProxyForward {
                request: *self.message,
                source: self.source,
                user: self.user,
                draft: &mut draft,
                next_hop: &self.hop.uri,
                registered: self.target.registered,
                target: self.target,
                branch: self.branch,
                slots,
            };
            let _ = around.registry.proxy_forward(self.woken, around.env(), &mut stage);
        }
        let mut via: SmallVec<[u8; 256]> = SmallVec::new();
        via.extend_from_slice(stamp.value());
        via.extend_from_slice(self.mark);
        draft.push_top(Name::Via, &via);
        if stamp.transport().reliable() {
            draft.ensure_content_length();
        }
        draft.write(to);
        *edits = draft.into_edits();
    }
}
