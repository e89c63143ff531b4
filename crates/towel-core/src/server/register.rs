//! REGISTER: from authentication to the 200, which may have to wait for the store (RFC 3261
//! section 10.3).

use std::collections::HashMap;
use std::time::Duration;

use smallvec::SmallVec;
use towel_message::build::{ResponseOptions, ResponseWriter};
use towel_message::{Name, Uri};

use super::admit;
use super::domains::Domains;
use super::element::{Inhabited, Server, realm};
use super::login::{Asked, login};
use crate::auth::{Kind, Outcome};
use crate::contract::{Contacting, Durable, Fields, Register, Registered, Reply, Verdict, Woken};
use crate::io::{Instant, Level, Now, Outbox, StoreFault, Ticket};
use crate::registrar::{
    Durability, Outcome as Registration, Refusal, Request, Stored, write_address_of_record,
};
use crate::stack::{Received, ServerId, Stack};
use crate::time::TimerId;

/// The number of the timer for bindings that end.
pub(super) const TIMER: u64 = u64::MAX;

/// Answers that wait for the store.
#[derive(Debug, Default)]
pub(super) struct Registering {
    /// With the address of record, as a hash.
    held: HashMap<Ticket, (ServerId, Vec<u8>, u64)>,
    pub(super) last: u64,
    timer: Option<(Instant, TimerId)>,
}

impl Registering {
    pub(super) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }
}

/// The realm of the domain that a REGISTER is for.
fn register_realm<'a>(
    settings: &'a super::settings::Settings,
    domains: &'a Domains,
    received: &Received<'_>,
) -> &'a str {
    let domain = match received.message.uri() {
        Ok(Uri::Sip(uri)) => domains.canonical(&uri.host, uri.port),
        _ => None,
    };
    realm(settings, domains, domain.unwrap_or(domains.first()))
}

impl Server {
    /// Whether a REGISTER is for our registrar: its Request-URI is a domain of ours and no Route is
    /// left to follow (step 1).
    pub(super) fn takes_register(&mut self, received: &Received<'_>) -> bool {
        self.is_itself(received)
    }

    /// Carries a REGISTER out and answers it.
    pub(super) fn register(
        &mut self,
        stack: &mut Stack,
        now: Now,
        out: &mut Outbox,
        received: &Received<'_>,
        woken: Woken,
    ) {
        let message = received.message;
        // Step 2, and what section 16.3 asks of every request.
        if let Verdict::Refuse(reply) = self.registry.check_all_required(&message) {
            return self.send_reply(stack, now, out, received, *reply, woken);
        }
        // Step 3.
        let trusted =
            self.settings.server.trusted.iter().any(|net| net.holds(received.flow.remote.ip()));
        let mut user = None;
        let mut info = None;
        if self.settings.server.authenticate_register && !trusted {
            let Self { authenticator, users, domains, settings, .. } = self;
            let realm = register_realm(&settings.server, domains, received);
            authenticator.set_counting(true);
            let asked = Asked { received, kind: Kind::Server, realm };
            let outcome = login(stack, now, out, &asked, authenticator, users, |uri| {
                admit::is_ours(uri, domains)
            });
            match outcome {
                Outcome::Accepted(accepted) => {
                    user = Some(accepted.user);
                    info = accepted.info;
                }
                Outcome::Challenge { stale } => {
                    let realm = realm.to_owned();
                    return self.challenge(stack, now, out, received, Kind::Server, &realm, stale);
                }
                Outcome::Refuse(status, reason) => {
                    return self.send_reply(
                        stack,
                        now,
                        out,
                        received,
                        Reply::new(status, reason),
                        woken,
                    );
                }
                Outcome::Exempt => return,
            }
        }
        stack.proved(&received.flow);
        // Section 8.2.3: a registrar is a UAS.
        if let Verdict::Refuse(reply) = self.registry.check_body(&message) {
            return self.send_reply(stack, now, out, received, *reply, woken);
        }
        let (mut kept, mut route) = (SmallVec::new(), Vec::new());
        if !woken.is_empty()
            && let Verdict::Refuse(reply) =
                self.ask_extensions(now, received, woken, &mut kept, &mut route)
        {
            return self.send_reply(stack, now, out, received, *reply, woken);
        }
        // What waits for the disk, or used up a nonce, must not be done twice. All else can be: a
        // request that comes again finds its own binding and gets the same answer (section 8.2.7).
        let durable = self.settings.registrar.durability == Durability::BeforeAnswer;
        let id = if durable || (user.is_some() && !received.flow.transport.reliable()) {
            let Ok(id) = stack.server_transaction(now, received, u64::MAX) else {
                let seconds = self.settings.transaction.retry_after.to_string();
                let reply = Reply::new(503, "Too Many Transactions").with("Retry-After", seconds);
                return self.send_reply(stack, now, out, received, reply, woken);
            };
            Some(id)
        } else {
            None
        };
        self.registering.last += 1;
        let ticket = Ticket::of(self.place.shard, self.registering.last);
        let Self { registrar, registry, domains, users, settings, marks, proxy, place, .. } = self;
        let inhabited = Inhabited { domains, users, settings: &settings.server };
        let (flow, user) = (received.flow, user.as_deref());
        let request = Request { message, flow, user, kept: &kept, route: &route };
        let outcome = registrar.register(&request, &inhabited, now, ticket, out);
        let registered = match outcome {
            Registration::Elsewhere => {
                return answer(stack, now, out, received, id, 404, "Not Found", |w| w.end());
            }
            Registration::Refused(refusal) => {
                let level = if refusal.status == 403 { Level::Info } else { Level::Debug };
                stack.tell_refused(now, out, level, received, refusal.status, refusal.reason);
                let Refusal { status, reason, min_expires } = refusal;
                return answer(stack, now, out, received, id, status, reason, |mut writer| {
                    if let Some(least) = min_expires {
                        writer.field(Name::MinExpires, least.to_string().as_bytes());
                    }
                    writer.end();
                });
            }
            Registration::Registered(registered) => registered,
        };
        let mut fields = Fields::new();
        if !woken.is_empty() {
            let mut stage = Registered {
                request: message,
                source: received.flow,
                address_of_record: registered.aor,
                bindings: registered.count(),
                fields: &mut fields,
            };
            let _ = registry.registered(woken, crate::contract::Env::new(now, domains), &mut stage);
        }
        let held = registered.held;
        // Only for those who seek somebody, now or when the store has answered.
        let sought = held || place.has_others() || !proxy.seeks_nobody();
        let address = if sought { marks.address(registered.aor) } else { 0 };
        let edit = |mut writer: ResponseWriter<'_>| {
            registered.fields(
                |kept, to| registry.list_binding(kept, to),
                |name, value| writer.field(name, value),
            );
            if let Some(info) = &info {
                writer.field(Name::AuthenticationInfo, info.as_bytes());
            }
            for (name, value) in fields.iter() {
                writer.field(name, value);
            }
            writer.end();
        };
        match id {
            Some(id) if held => {
                let tag = stack.to_tag(&message);
                let options =
                    ResponseOptions { to_tag: Some(&tag), record_route: false, source: None };
                let mut bytes = Vec::with_capacity(512);
                edit(ResponseWriter::start(&mut bytes, &message, 200, "OK", options));
                self.registering.held.insert(ticket, (id, bytes, address));
            }
            _ => {
                answer(stack, now, out, received, id, 200, "OK", edit);
                self.tell_searching_shards(out, address);
                self.tell_searches(stack, now, out, address);
            }
        }
        self.watch_expiry(stack);
    }

    /// Asks the extensions; `kept` is what they attach to each contact, `route` the way to all.
    fn ask_extensions(
        &mut self,
        now: Now,
        received: &Received<'_>,
        woken: Woken,
        kept: &mut SmallVec<[Durable; 4]>,
        route: &mut Vec<u8>,
    ) -> Verdict {
        let message = received.message;
        let mut contacts: SmallVec<[Contacting<'_>; 4]> = message
            .contacts()
            .flatten()
            .filter(|contact| !contact.is_star())
            .map(|contact| Contacting { contact, kept: Durable::new() })
            .collect();
        let inhabited = Inhabited {
            domains: &self.domains,
            users: &self.users,
            settings: &self.settings.server,
        };
        let uri = message.to_uri().ok();
        let mut address = std::mem::take(&mut self.address);
        let known = uri.is_some_and(|uri| {
            uri.sip().is_some_and(|uri| write_address_of_record(uri, &inhabited, &mut address))
        });
        let mut stage = Register {
            request: message,
            source: received.flow,
            address_of_record: if known { &address } else { b"" },
            contacts: &mut contacts,
            route,
        };
        let env = crate::contract::Env::new(now, &self.domains);
        let verdict = self.registry.register(woken, env, &mut stage);
        kept.extend(contacts.into_iter().map(|contact| contact.kept));
        self.address = address;
        verdict
    }

    /// The store has answered.
    pub fn stored(
        &mut self,
        stack: &mut Stack,
        now: Now,
        out: &mut Outbox,
        ticket: Ticket,
        result: Result<(), StoreFault>,
    ) {
        let verdict = self.registrar.stored(ticket, result, out);
        let Some((id, bytes, address)) = self.registering.held.remove(&ticket) else { return };
        match verdict {
            Some(Stored::Good) => {
                let _ = stack.respond(now, out, id, |to| to.extend_from_slice(&bytes));
                self.tell_searching_shards(out, address);
                self.tell_searches(stack, now, out, address);
            }
            Some(Stored::Failed) | None => {
                // Section 10.3, step 7. A disk that is full has room again some time.
                let seconds = self.settings.transaction.retry_after.to_string();
                let reason = "Registration Could Not Be Stored";
                let _ = stack.reply(now, out, id, 500, reason, |mut writer| {
                    writer.field(Name::RetryAfter, seconds.as_bytes());
                    writer.end();
                });
            }
        }
        self.watch_expiry(stack);
    }

    /// Drops what has ended.
    pub(super) fn expire(&mut self, stack: &mut Stack, now: Now, out: &mut Outbox) {
        self.registering.timer = None;
        self.registrar.expire(now, out);
        self.watch_expiry(stack);
    }

    /// Has the next binding that ends waited for.
    pub(super) fn watch_expiry(&mut self, stack: &mut Stack) {
        let Some(at) = self.registrar.deadline() else { return };
        // Sweeping more often than once a second finds nothing, as expiry is told in seconds, but
        // what one sweep had to leave.
        let behind = self.registrar.is_behind();
        let at = if behind { at } else { at + Duration::from_secs(1) };
        if let Some((set, timer)) = self.registering.timer {
            if set <= at {
                return;
            }
            stack.clear_timer(timer);
        }
        self.registering.timer = Some((at, stack.set_timer(at, TIMER)));
    }
}

/// Answers in the transaction, or without one.
#[expect(clippy::too_many_arguments, reason = "the world, the request and its answer")]
fn answer(
    stack: &mut Stack,
    now: Now,
    out: &mut Outbox,
    received: &Received<'_>,
    id: Option<ServerId>,
    status: u16,
    reason: &str,
    edit: impl FnOnce(ResponseWriter<'_>),
) {
    if status >= 400 && stack.is_refused(now, out, received, status) {
        if let Some(id) = id {
            stack.drop_server(now, out, id);
        }
        return;
    }
    match id {
        Some(id) => {
            let tag = stack.to_tag(&received.message);
            let options = ResponseOptions { to_tag: Some(&tag), record_route: false, source: None };
            // It was made a moment ago, and waits for this.
            let _ = stack.respond(now, out, id, |to| {
                edit(ResponseWriter::start(to, &received.message, status, reason, options));
            });
        }
        None => stack.respond_stateless(now, out, received, status, reason, edit),
    }
}
