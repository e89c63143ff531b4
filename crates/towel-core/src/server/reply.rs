//! The responses that the element makes itself (RFC 3261 sections 8.2.6 and 8.3).

use towel_message::{Fault, Method, Name};

use super::element::Server;
use super::{Mode, targets, uas};
use crate::auth::Kind;
use crate::contract::{
    Delivery, Fields, ProxyReply, Reply, Slots, Tasks, UasRequest, UasResponse, Verdict, Woken,
};
use crate::io::{Level, Now, Outbox};
use crate::stack::{Received, Stack};

impl Server {
    /// Section 8.3: where the user is, but never the very URI that was asked for.
    pub(super) fn redirect(&self) -> Reply {
        let mut reply = Reply::new(302, "Moved Temporarily");
        let mut any = false;
        for target in &self.targets {
            if targets::same_target(&target.uri, &self.prepared.uri) {
                continue;
            }
            let mut value = Vec::with_capacity(target.uri.len() + 10);
            value.push(b'<');
            value.extend_from_slice(&target.uri);
            value.push(b'>');
            if target.q < 1000 {
                value.extend_from_slice(format!(";q=0.{:03}", target.q).as_bytes());
            }
            value.extend_from_slice(&target.parameters);
            reply = reply.with("Contact", value);
            any = true;
        }
        if any { reply } else { Reply::new(404, "Not Found") }
    }

    /// The server itself is asked (section 8.2); REGISTER is not among what comes here.
    pub(super) fn answer_itself(
        &mut self,
        now: Now,
        received: &Received<'_>,
        woken: Woken,
    ) -> Reply {
        let (mut fields, mut slots) = (Fields::new(), Slots::new());
        if !woken.is_empty() {
            let mut stage = UasRequest {
                request: received.message,
                source: received.flow,
                user: None,
                fields: &mut fields,
                slots: &mut slots,
                notes: &mut Vec::new(),
                dialog: None,
                tasks: &mut Tasks::new(),
                agent: &mut Slots::new(),
                manner: &mut crate::contract::Manner::Unsaid,
            };
            if let Verdict::Refuse(reply) =
                self.registry.uas_request(woken, self.env(now), &mut stage)
            {
                return *reply;
            }
        }
        let proxies = self.settings.server.mode != Mode::Redirect;
        let merged = || self.merged.is_merged(now.at, &received.message, &received.via);
        let room = &mut self.room;
        let mut reply = uas::answer(&self.registry, &received.message, proxies, merged, room);
        if !woken.is_empty() {
            let mut stage = UasResponse {
                request: received.message,
                status: reply.status,
                fields: &mut fields,
                contact_parameters: &mut Vec::new(),
                slots: &mut slots,
                dialog: None,
                tasks: &mut Tasks::new(),
                body: reply.body.as_ref().map_or(&[], |body| &body.bytes),
                delivery: &mut Delivery::Plain,
                agent: &mut Slots::new(),
            };
            let _ = self.registry.uas_response(woken, self.env(now), &mut stage);
        }
        for (name, value) in fields.iter() {
            reply.fields.push(name, value);
        }
        reply
    }

    /// Sends a response of ours. That to an INVITE has a transaction, which sends it again until it
    /// is acknowledged, and so has that to a request whose credentials are spent, for they are not
    /// good again. Others can be made again if the request comes again (section 8.2.7).
    pub(super) fn send_reply(
        &mut self,
        stack: &mut Stack,
        now: Now,
        out: &mut Outbox,
        received: &Received<'_>,
        mut reply: Reply,
        woken: Woken,
    ) {
        if stack.is_refused(now, out, received, reply.status) {
            return;
        }
        if reply.status >= 400 {
            let level = match reply.status {
                403 => Level::Info,
                503 if !self.draining => Level::Warn,
                _ => Level::Debug,
            };
            stack.tell_refused(now, out, level, received, reply.status, reply.reason);
        }
        let woken = self.registry.woken_for_reply(woken, reply.status);
        if !woken.is_empty() {
            let mut stage = ProxyReply {
                request: received.message,
                source: received.flow,
                status: reply.status,
                fields: &mut reply.fields,
                body: &mut reply.body,
                slots: None,
            };
            let _ = self.registry.proxy_reply(woken, self.env(now), &mut stage);
        }
        let write = |mut writer: towel_message::build::ResponseWriter<'_>| {
            for (name, value) in reply.fields.iter() {
                writer.field(name, value);
            }
            if !self.settings.server.server.is_empty() {
                writer.field(Name::Server, self.settings.server.server.as_bytes());
            }
            match &reply.body {
                Some(body) => writer.body(body.media_type.as_bytes(), &body.bytes),
                None => writer.end(),
            }
        };
        let proven = self.prepared.user.is_some();
        if (received.message.method() == Method::Invite || proven)
            && let Ok(id) = stack.server_transaction(now, received, u64::MAX)
        {
            let _ = stack.reply(now, out, id, reply.status, reply.reason, write);
        } else {
            stack.respond_stateless(now, out, received, reply.status, reply.reason, write);
        }
        self.room = reply.fields;
    }

    /// Refuses a request for its form.
    pub(super) fn refuse_malformed(
        &self,
        stack: &mut Stack,
        now: Now,
        out: &mut Outbox,
        received: &Received<'_>,
        fault: &Fault,
    ) {
        stack.tell(now, out, Level::Debug, "refused", || {
            let field = fault.field.map_or("message", Name::as_str);
            let Fault { status, reason, at, .. } = fault;
            let flow = received.flow;
            let (remote, transport) = (flow.remote, flow.transport);
            format!("{status} {reason} ({field}, byte {at}), to {remote} over {transport}")
        });
        if stack.is_refused(now, out, received, fault.status) {
            return;
        }
        // No transaction for what is malformed: it may be no more than noise.
        stack.respond_stateless(now, out, received, fault.status, fault.reason, |writer| {
            writer.end();
        });
    }

    #[expect(clippy::too_many_arguments, reason = "the world, and what is asked for")]
    pub(super) fn challenge(
        &mut self,
        stack: &mut Stack,
        now: Now,
        out: &mut Outbox,
        received: &Received<'_>,
        kind: Kind,
        realm: &str,
        stale: bool,
    ) {
        if stack.is_refused(now, out, received, kind.status()) {
            return;
        }
        // RFC 7616 section 3.4: a login that fails is worth a line in the log. The name is not told:
        // people type passwords there.
        let offered = received.message.fields(kind.credentials()).any(|field| {
            crate::auth::field::realm_of(field.value).is_some_and(|of| of == realm.as_bytes())
        });
        if offered && !stale {
            stack.tell(now, out, Level::Info, "login-failed", || {
                format!("credentials for {realm} refused, from {}", received.flow.remote)
            });
        }
        let authenticator = &mut self.authenticator;
        let place = stack.abuse().place(&received.flow).bits();
        let agent = received.message.first(Name::UserAgent).map_or(&[][..], |field| field.value);
        stack.respond_stateless(now, out, received, kind.status(), kind.reason(), |mut writer| {
            authenticator.challenge(realm, agent, place, stale, now, |value| {
                writer.field(kind.challenge(), value);
            });
            writer.end();
        });
    }
}
