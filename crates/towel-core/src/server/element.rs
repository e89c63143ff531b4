//! The element: what becomes of each request (RFC 3261 sections 8.2, 10.3 and 16).

use towel_message::{Host, Message, Method, Name, Uri, check, uri};

use super::admit::{self, Proof};
use super::{Domains, Mode, Settings, targets, uas};
use crate::auth::{Authenticator, Credentials, Kind, Outcome};
use crate::contract::Fields;
use crate::contract::{
    Candidate, Directives, Env, ProxyPreprocess, ProxyReply, ProxyTargets, ProxyValidate, Registry,
    Reply, Slots, UasRequest, UasResponse, Verdict, Woken,
};
use crate::hash::Key;
use crate::io::{Listener, Now, Outbox, Record};
use crate::proxy::core::{Around, Plan, Proxy};
use crate::proxy::{Marks, Prepared, Visits, Way, route};
use crate::registrar::{Registrar, Served, address_of_record};
use crate::stack::{ClientId, Failure, Received, ServerId, Stack, TransactionUser};

/// The transaction user that is proxy, registrar and redirect server.
pub struct Server {
    pub(super) settings: crate::settings::Settings,
    listeners: Vec<Listener>,
    pub(super) domains: Domains,
    pub(super) marks: Marks,
    pub(super) registry: Registry,
    pub(super) users: Credentials,
    pub(super) authenticator: Authenticator,
    pub(super) registrar: Registrar,
    pub(super) registering: super::register::Registering,
    proxy: Proxy,
    draining: bool,
    // Reused.
    prepared: Prepared,
    targets: Vec<Candidate>,
    ways: Vec<Way>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server")
            .field("domains", &self.domains)
            .field("contexts", &self.proxy.len())
            .finish_non_exhaustive()
    }
}

/// What is done with a request.
enum Course {
    /// It is answered so.
    Reply(Reply),
    /// Credentials are asked for.
    Challenge { kind: Kind, stale: bool },
    /// It is forwarded, or redirected.
    Forward { ours: bool, directives: Directives, slots: Slots },
}

/// The domains and users of the element, as the registrar asks for them.
pub(super) struct Inhabited<'a> {
    pub(super) domains: &'a Domains,
    pub(super) users: &'a Credentials,
    pub(super) settings: &'a Settings,
}

impl Served for Inhabited<'_> {
    fn canonical(&self, host: &Host<'_>, port: Option<u16>) -> Option<&str> {
        self.domains.canonical(host, port)
    }

    fn has_user(&self, user: &[u8], domain: &str) -> bool {
        // Where nobody is known by name everybody may come.
        !self.settings.known_users_only
            || self.users.is_empty()
            || self.users.get(user, realm(self.settings, self.domains, domain).as_bytes()).is_some()
    }
}

/// The realm of a domain's challenges.
pub(super) fn realm<'a>(settings: &'a Settings, domains: &'a Domains, domain: &'a str) -> &'a str {
    match &settings.realm {
        Some(realm) => realm,
        // With no domain configured all our addresses are one place.
        None if settings.domains.is_empty() => "towel",
        None if domain.is_empty() => domains.first(),
        None => domain,
    }
}

impl Server {
    /// An element with these extensions. `random` are 32 bytes and a key that nobody else knows.
    pub fn new(
        settings: crate::settings::Settings,
        registry: Registry,
        nonce_key: [u8; 32],
        key: Key,
    ) -> Self {
        let marks = Marks::new(match settings.server.secret {
            Some(secret) => mark_key(secret),
            None => Key(key.0.rotate_left(17) ^ 0x746f_7765_6c00, key.1),
        });
        Self {
            domains: Domains::new(&settings.server, &[]),
            listeners: Vec::new(),
            marks,
            registry,
            users: Credentials::new(key),
            authenticator: Authenticator::new(settings.auth.clone(), nonce_key),
            registrar: Registrar::new(settings.registrar.clone(), key),
            registering: super::register::Registering::default(),
            proxy: Proxy::default(),
            draining: false,
            prepared: Prepared::default(),
            targets: Vec::new(),
            ways: Vec::new(),
            settings,
        }
    }

    /// A listener is up.
    pub fn listening(&mut self, listener: Listener) {
        self.listeners.retain(|old| old.id != listener.id);
        self.listeners.push(listener);
        self.domains = Domains::new(&self.settings.server, &self.listeners);
    }

    /// Takes over new settings; what is under way goes on.
    pub fn reload(&mut self, settings: &crate::settings::Settings) {
        self.authenticator.reload(settings.auth.clone());
        self.registrar.reload(settings.registrar.clone());
        if let Some(secret) = settings.server.secret {
            self.marks = Marks::new(mark_key(secret));
        }
        self.settings = settings.clone();
        self.domains = Domains::new(&self.settings.server, &self.listeners);
    }

    /// Takes in records: bindings and users that the store held, or a user that was changed since.
    pub fn load(&mut self, now: Now, out: &mut Outbox, records: &[Record]) {
        for record in records {
            if record.table != crate::auth::credentials::TABLE {
                self.registrar.load(record, now, out);
            } else if record.value.is_some() {
                self.users.load(record);
            } else if let Some((realm, name)) =
                std::str::from_utf8(&record.key).ok().and_then(|key| key.split_once('\0'))
            {
                self.users.remove(name, realm);
            }
        }
    }

    /// Takes nothing new from now on.
    pub fn drain(&mut self) {
        self.draining = true;
    }

    /// The users.
    pub fn users(&self) -> &Credentials {
        &self.users
    }

    /// The users, to change.
    pub fn users_mut(&mut self) -> &mut Credentials {
        &mut self.users
    }

    /// The registrar.
    pub fn registrar(&self) -> &Registrar {
        &self.registrar
    }

    /// The registrar, to change.
    pub fn registrar_mut(&mut self) -> &mut Registrar {
        &mut self.registrar
    }

    /// The extensions.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Other settings of the extensions, or other extensions.
    pub fn set_registry(&mut self, registry: Registry) {
        self.registry = registry;
    }

    /// What the element is responsible for.
    pub fn domains(&self) -> &Domains {
        &self.domains
    }

    /// How many requests are under way in the proxy.
    pub fn contexts(&self) -> usize {
        self.proxy.len()
    }

    /// Whether nothing is under way.
    pub fn is_drained(&self) -> bool {
        self.proxy.len() == 0 && self.registering.is_empty()
    }

    /// Whether a request is for the server itself.
    pub(super) fn is_itself(&mut self, received: &Received<'_>) -> bool {
        route::preprocess(
            &received.message,
            &received.flow,
            &self.domains,
            &self.marks,
            &mut self.prepared,
        );
        is_for_itself(&received.message, &self.prepared, &self.domains)
    }

    fn parts(&mut self, now: Now) -> (&mut Proxy, Around<'_>) {
        let around = Around {
            settings: &self.settings.proxy,
            domains: &self.domains,
            marks: &self.marks,
            registry: &self.registry,
            limits: &self.settings.transport.limits,
            now,
        };
        (&mut self.proxy, around)
    }

    fn env(&self, now: Now) -> Env<'_> {
        Env::new(now, &self.domains)
    }

    /// Sections 16.3 to 16.5, and 8.2 for what is for the server itself.
    fn decide(
        &mut self,
        stack: &mut Stack,
        now: Now,
        received: &Received<'_>,
        woken: Woken,
    ) -> Course {
        let message = received.message;
        // 16.3 step 2: a scheme that neither we nor an extension can make anything of.
        let uri = Uri::parse(message.request_uri());
        match &uri {
            Ok(Uri::Sip(_)) => {}
            Ok(other) if self.registry.knows_scheme(other.scheme()) => {}
            _ => return Course::Reply(Reply::new(416, "Unsupported URI Scheme")),
        }
        route::preprocess(&message, &received.flow, &self.domains, &self.marks, &mut self.prepared);
        let itself = is_for_itself(&message, &self.prepared, &self.domains);
        let redirects = self.settings.server.mode == Mode::Redirect;
        let visits = self.marks.visits(&message);
        if !itself {
            // 16.3 step 3.
            if message.max_forwards() == Ok(Some(0)) {
                return Course::Reply(Reply::new(483, "Too Many Hops"));
            }
            // 16.3 step 4, RFC 5393 section 4.2.2.
            if visits.looped {
                return Course::Reply(Reply::new(482, "Loop Detected"));
            }
        }
        // 16.3 step 5; a redirect server ignores what it does not understand (section 8.3).
        if !redirects && let Verdict::Refuse(reply) = self.registry.check_proxy_require(&message) {
            return Course::Reply(*reply);
        }
        let mut stage = ProxyValidate { request: message, source: received.flow };
        if let Verdict::Refuse(reply) =
            self.registry.proxy_validate(woken, self.env(now), &mut stage)
        {
            return Course::Reply(*reply);
        }
        if itself {
            return Course::Reply(self.answer_itself(now, received, woken));
        }
        if self.draining && message.to_tag().is_none() && !visits.spiral {
            return Course::Reply(Reply::new(503, "Shutting Down"));
        }
        // 16.3 step 6.
        let foreign =
            matches!(&Uri::parse(&self.prepared.uri), Ok(Uri::Sip(uri)) if !self.is_ours(uri));
        if let Some(course) = self.admit(stack, now, received, visits, foreign) {
            return course;
        }
        if let Some(course) = self.preprocess_by_extensions(now, received, woken, foreign, visits) {
            return course;
        }
        let ours =
            matches!(&Uri::parse(&self.prepared.uri), Ok(Uri::Sip(uri)) if self.is_ours(uri));
        if let Some(reply) = self.find_targets(now, ours) {
            return Course::Reply(reply);
        }
        let (mut directives, mut slots) = (Directives::default(), Slots::new());
        let mut candidates = std::mem::take(&mut self.targets);
        let mut stage = ProxyTargets {
            request: message,
            source: received.flow,
            user: self.prepared.user.as_deref(),
            targets: &mut candidates,
            directives: &mut directives,
            slots: &mut slots,
        };
        let verdict = self.registry.proxy_targets(woken, self.env(now), &mut stage);
        self.targets = candidates;
        self.follow_paths();
        if let Verdict::Refuse(reply) = verdict {
            return Course::Reply(*reply);
        }
        if self.targets.is_empty() {
            return Course::Reply(unavailable());
        }
        if directives.redirect.unwrap_or(redirects) && ours {
            return Course::Reply(self.redirect());
        }
        let breadth: Option<u32> =
            message.value(Name::MaxBreadth).and_then(towel_message::scan::number);
        if breadth == Some(0) {
            // RFC 5393 section 5.3.3: not even one branch may be made of it.
            return Course::Reply(Reply::new(440, "Max-Breadth Exceeded"));
        }
        Course::Forward { ours, directives, slots }
    }

    /// Whether the host of a URI is ours, and no maddr leads elsewhere (section 16.5).
    fn is_ours(&self, uri: &towel_message::SipUri<'_>) -> bool {
        self.domains.owns_uri(uri) && uri.maddr().is_none()
    }

    /// Asks for proof of who it is where that is needed; `None` lets the request pass.
    fn admit(
        &mut self,
        _stack: &mut Stack,
        now: Now,
        received: &Received<'_>,
        visits: Visits,
        foreign: bool,
    ) -> Option<Course> {
        let message = received.message;
        let proof = admit::proof(
            &message,
            &received.flow,
            &self.prepared,
            visits,
            foreign,
            &self.domains,
            &self.settings.server,
        );
        let forbidden = |reason| Some(Course::Reply(Reply::new(403, reason)));
        let (domain, realm) = self.sender_realm(&message);
        let offers = self.has_credentials(&message, &realm);
        match proof {
            Proof::Impossible => return forbidden("Relaying Forbidden"),
            // Credentials that nobody asked for are looked at no further.
            Proof::None => return None,
            Proof::User if !offers => return forbidden("Relaying Forbidden"),
            Proof::User | Proof::Sender => {}
        }
        let Self { authenticator, users, domains, .. } = self;
        let outcome = authenticator
            .verify(&message, Kind::Proxy, &realm, users, now, |uri| admit::is_ours(uri, domains));
        match outcome {
            Outcome::Accepted(accepted) => {
                let user = accepted.user.as_bytes();
                if admit::claims_us(&message, &self.domains)
                    && !admit::is_sender(&message, user, &self.domains)
                {
                    return forbidden("From Is Not the Authenticated User");
                }
                let mut address = Vec::with_capacity(user.len() + domain.len() + 5);
                address.extend_from_slice(b"sip:");
                towel_message::uri::escape_user(user, &mut address);
                address.push(b'@');
                address.extend_from_slice(domain.as_bytes());
                self.prepared.user = Some(address);
                self.spend_credentials(&message, &realm);
                None
            }
            Outcome::Exempt => None,
            Outcome::Challenge { stale } => Some(Course::Challenge { kind: Kind::Proxy, stale }),
            Outcome::Refuse(status, reason) => Some(Course::Reply(Reply::new(status, reason))),
        }
    }

    /// The domain of ours that the sender claims, or the first, and its realm.
    pub(super) fn sender_realm(&self, message: &Message<'_>) -> (String, String) {
        let from = message.from().ok();
        let uri = from.and_then(|from| Uri::parse(from.uri).ok());
        let domain = match uri {
            Some(Uri::Sip(uri)) => self.domains.canonical(&uri.host, uri.port),
            _ => None,
        };
        let domain = domain.unwrap_or(self.domains.first()).to_owned();
        let realm = realm(&self.settings.server, &self.domains, &domain).to_owned();
        (domain, realm)
    }

    fn has_credentials(&self, message: &Message<'_>, realm: &str) -> bool {
        message.fields(Name::ProxyAuthorization).any(|field| {
            crate::auth::field::realm_of(field.value).is_some_and(|of| of == realm.as_bytes())
        })
    }

    /// Credentials for our realm end here; those for others are not ours to touch (section 22.3).
    fn spend_credentials(&mut self, message: &Message<'_>, realm: &str) {
        for field in message.fields(Name::ProxyAuthorization) {
            if crate::auth::field::realm_of(field.value).is_some_and(|of| of == realm.as_bytes()) {
                self.prepared.spent.push(field.position);
            }
        }
    }

    /// Extensions read the route; a Request-URI that they put there is looked at anew.
    fn preprocess_by_extensions(
        &mut self,
        now: Now,
        received: &Received<'_>,
        woken: Woken,
        foreign: bool,
        visits: Visits,
    ) -> Option<Course> {
        if !woken.is_empty() {
            let mut uri = std::mem::take(&mut self.prepared.uri);
            let mut stage = ProxyPreprocess {
                request: received.message,
                request_uri: &mut uri,
                source: received.flow,
                user: self.prepared.user.as_deref(),
            };
            let verdict = self.registry.proxy_preprocess(woken, self.env(now), &mut stage);
            self.prepared.uri = uri;
            if let Verdict::Refuse(reply) = verdict {
                return Some(Course::Reply(*reply));
            }
        }
        let leaves = match Uri::parse(&self.prepared.uri) {
            Ok(Uri::Sip(uri)) => !self.is_ours(&uri),
            // Nobody made a SIP URI of it, and there is no other way to a next hop.
            _ if self.prepared.routes(&received.message).next().is_none() => {
                return Some(Course::Reply(Reply::new(416, "Unsupported URI Scheme")));
            }
            _ => true,
        };
        if leaves && !foreign && self.prepared.user.is_none() {
            let proof = admit::proof(
                &received.message,
                &received.flow,
                &self.prepared,
                visits,
                true,
                &self.domains,
                &self.settings.server,
            );
            if proof != Proof::None {
                return Some(Course::Reply(Reply::new(403, "Relaying Forbidden")));
            }
        }
        None
    }

    /// Section 16.5.
    fn find_targets(&mut self, now: Now, ours: bool) -> Option<Reply> {
        self.targets.clear();
        self.ways.clear();
        if !ours {
            let uri = self.prepared.uri.clone();
            self.targets.push(Candidate { uri, q: 1000, ..Candidate::default() });
            return None;
        }
        let Ok(Uri::Sip(asked)) = Uri::parse(&self.prepared.uri) else { return None };
        let inhabited = Inhabited {
            domains: &self.domains,
            users: &self.users,
            settings: &self.settings.server,
        };
        let not_found = || Some(Reply::new(404, "Not Found"));
        let Some(address) = address_of_record(&asked, &inhabited) else { return not_found() };
        let found = targets::add_bindings(
            self.registrar.location(),
            &address,
            &self.prepared.uri,
            now.unix,
            self.settings.proxy.max_targets,
            &mut self.targets,
            &mut self.ways,
        );
        if found.usable > 0 {
            return None;
        }
        if found.insecure > 0 {
            // RFC 5630 section 5.3.
            return Some(
                unavailable()
                    .with("Warning", format!("380 {} \"SIPS Not Allowed\"", self.domains.first())),
            );
        }
        let mut user = Vec::new();
        uri::unescape(asked.user.unwrap_or_default(), &mut user);
        let domain = self.domains.canonical(&asked.host, asked.port).unwrap_or_default();
        let known = !self.users.is_empty() && inhabited.has_user(&user, domain);
        if known { Some(unavailable()) } else { not_found() }
    }

    /// The Path of a binding is the Route to it (RFC 3327 section 5.4), where no extension has made
    /// one already.
    fn follow_paths(&mut self) {
        for target in &mut self.targets {
            if target.routes.is_empty()
                && let Some(way) = Way::of(&self.ways, target)
            {
                target.routes.clone_from(&way.path);
            }
        }
    }

    /// Section 8.3: where the user is, but never the very URI that was asked for.
    fn redirect(&self) -> Reply {
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
            reply = reply.with("Contact", value);
            any = true;
        }
        if any { reply } else { Reply::new(404, "Not Found") }
    }

    /// The server itself is asked (section 8.2); REGISTER is not among what comes here.
    fn answer_itself(&mut self, now: Now, received: &Received<'_>, woken: Woken) -> Reply {
        let (mut fields, mut slots) = (Fields::new(), Slots::new());
        if !woken.is_empty() {
            let mut stage = UasRequest {
                request: received.message,
                source: received.flow,
                user: None,
                fields: &mut fields,
                slots: &mut slots,
            };
            if let Verdict::Refuse(reply) =
                self.registry.uas_request(woken, self.env(now), &mut stage)
            {
                return *reply;
            }
        }
        let mut reply = uas::answer(&self.registry, &received.message);
        if !woken.is_empty() {
            let mut stage = UasResponse {
                request: received.message,
                status: reply.status,
                fields: &mut fields,
                contact_parameters: &mut Vec::new(),
                slots: &mut slots,
            };
            let _ = self.registry.uas_response(woken, self.env(now), &mut stage);
        }
        for (name, value) in fields.iter() {
            reply.fields.push(name, value);
        }
        reply
    }

    /// Sends a response of ours. That to an INVITE has a transaction, which sends it again until it
    /// is acknowledged; others can be made again if the request comes again (section 8.2.7).
    pub(super) fn send_reply(
        &mut self,
        stack: &mut Stack,
        now: Now,
        out: &mut Outbox,
        received: &Received<'_>,
        mut reply: Reply,
        woken: Woken,
    ) {
        let woken = self.registry.woken_for_reply(woken, reply.status);
        if !woken.is_empty() {
            let mut stage = ProxyReply {
                request: received.message,
                source: received.flow,
                status: reply.status,
                fields: &mut reply.fields,
                body: &mut reply.body,
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
        if received.message.method() == Method::Invite
            && let Ok(id) = stack.server_transaction(now, received, u64::MAX)
        {
            let _ = stack.reply(now, out, id, reply.status, reply.reason, write);
            return;
        }
        stack.respond_stateless(now, out, received, reply.status, reply.reason, write);
    }

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
        // RFC 7616 section 3.4: a login that fails is worth a line in the log. The name is not told:
        // people type passwords there.
        let offered = received.message.fields(kind.credentials()).any(|field| {
            crate::auth::field::realm_of(field.value).is_some_and(|of| of == realm.as_bytes())
        });
        if offered && !stale {
            let text = format!("credentials for {realm} refused, from {}", received.flow.remote);
            out.event(crate::io::Level::Info, "login-failed", text);
        }
        let authenticator = &mut self.authenticator;
        stack.respond_stateless(now, out, received, kind.status(), kind.reason(), |mut writer| {
            authenticator
                .challenge(realm, stale, now, |value| writer.field(kind.challenge(), value));
            writer.end();
        });
    }

    fn forward(
        &mut self,
        stack: &mut Stack,
        now: Now,
        out: &mut Outbox,
        received: &Received<'_>,
        woken: Woken,
        ours: bool,
        directives: Directives,
        slots: Slots,
    ) {
        let (mut prepared, mut candidates) =
            (std::mem::take(&mut self.prepared), std::mem::take(&mut self.targets));
        let mut ways = std::mem::take(&mut self.ways);
        let stateless = self.settings.server.mode == Mode::Stateless;
        let (proxy, around) = self.parts(now);
        let mut refused = false;
        if stateless {
            // One target, and the same each time (section 16.11): that which stands first.
            if let Some(target) = candidates.first() {
                let way = Way::of(&ways, target);
                proxy.forward_stateless(
                    &around, stack, out, received, &prepared, target, way, woken,
                );
            }
        } else {
            let plan = Plan {
                prepared: &mut prepared,
                targets: &mut candidates,
                ways: &mut ways,
                directives,
                woken,
                slots,
                ours,
            };
            refused = proxy.begin(&around, stack, out, received, plan).is_err();
        }
        candidates.clear();
        ways.clear();
        (self.prepared, self.targets, self.ways) = (prepared, candidates, ways);
        if refused {
            let seconds = self.settings.transaction.retry_after.to_string();
            let reply = Reply::new(503, "Too Many Requests Under Way").with("Retry-After", seconds);
            stack.respond_stateless(
                now,
                out,
                received,
                reply.status,
                reply.reason,
                |mut writer| {
                    for (name, value) in reply.fields.iter() {
                        writer.field(name, value);
                    }
                    writer.end();
                },
            );
        }
    }

    /// Finds the one target of a request that is forwarded without state and cannot be refused: an
    /// ACK for a 2xx, or a CANCEL. False if it may not or cannot go anywhere.
    fn route_stateless(&mut self, now: Now, received: &Received<'_>, known: bool) -> bool {
        let message = received.message;
        if check(&message).is_err() || message.max_forwards() == Ok(Some(0)) {
            return false;
        }
        route::preprocess(&message, &received.flow, &self.domains, &self.marks, &mut self.prepared);
        let visits = self.marks.visits(&message);
        if is_for_itself(&message, &self.prepared, &self.domains) || visits.looped {
            return false;
        }
        let ours =
            matches!(&Uri::parse(&self.prepared.uri), Ok(Uri::Sip(uri)) if self.is_ours(uri));
        let proof = admit::proof(
            &message,
            &received.flow,
            &self.prepared,
            visits,
            !ours,
            &self.domains,
            &self.settings.server,
        );
        if !ours && proof != Proof::None && !known {
            return false;
        }
        let found = self.find_targets(now, ours).is_none() && !self.targets.is_empty();
        self.follow_paths();
        found
    }

    fn forward_first(
        &mut self,
        stack: &mut Stack,
        now: Now,
        out: &mut Outbox,
        received: &Received<'_>,
    ) {
        let woken = self.registry.woken(&received.message);
        let (prepared, candidates) =
            (std::mem::take(&mut self.prepared), std::mem::take(&mut self.targets));
        let ways = std::mem::take(&mut self.ways);
        let (proxy, around) = self.parts(now);
        if let Some(target) = candidates.first() {
            let way = Way::of(&ways, target);
            proxy.forward_stateless(&around, stack, out, received, &prepared, target, way, woken);
        }
        (self.prepared, self.targets, self.ways) = (prepared, candidates, ways);
    }
}

/// Whether a request is for the server itself: a URI of ours that names nobody, with no Route left
/// to follow.
fn is_for_itself(message: &Message<'_>, prepared: &Prepared, domains: &Domains) -> bool {
    let Ok(Uri::Sip(uri)) = Uri::parse(&prepared.uri) else { return false };
    let register = message.method() == Method::Register;
    (uri.user.is_none() || register)
        && uri.maddr().is_none()
        && domains.owns_uri(&uri)
        && prepared.routes(message).next().is_none()
}

fn unavailable() -> Reply {
    Reply::new(480, "Temporarily Unavailable")
}

fn mark_key(secret: [u8; 16]) -> Key {
    let [a, b] = [0, 8].map(|at| {
        secret.iter().skip(at).take(8).fold(0u64, |word, byte| word << 8 | u64::from(*byte))
    });
    Key(a, b)
}

impl TransactionUser for Server {
    fn request(&mut self, stack: &mut Stack, now: Now, out: &mut Outbox, received: Received<'_>) {
        let message = received.message;
        if let Err(fault) = check(&message) {
            // No transaction for what is malformed: it may be no more than noise.
            stack.respond_stateless(now, out, &received, fault.status, fault.reason, |writer| {
                writer.end()
            });
            return;
        }
        let woken = self.registry.woken(&message);
        if message.method() == Method::Register && self.takes_register(&received) {
            return self.register(stack, now, out, &received, woken);
        }
        match self.decide(stack, now, &received, woken) {
            Course::Reply(reply) => self.send_reply(stack, now, out, &received, reply, woken),
            Course::Challenge { kind, stale } => {
                let (_, realm) = self.sender_realm(&message);
                self.challenge(stack, now, out, &received, kind, &realm, stale);
            }
            Course::Forward { ours, directives, slots } => {
                self.forward(stack, now, out, &received, woken, ours, directives, slots);
            }
        }
    }

    fn ack(
        &mut self,
        stack: &mut Stack,
        now: Now,
        out: &mut Outbox,
        ack: Received<'_>,
        matched: Option<(ServerId, u64)>,
    ) {
        // For a response that we made without a transaction (section 8.2.7).
        if ack.message.to_tag() == Some(&stack.to_tag(&ack.message)[..]) {
            return;
        }
        if self.route_stateless(now, &ack, matched.is_some()) {
            self.forward_first(stack, now, out, &ack);
        }
    }

    fn cancelled(
        &mut self,
        stack: &mut Stack,
        now: Now,
        out: &mut Outbox,
        cancel: Received<'_>,
        known: bool,
        invite: Option<(ServerId, u64)>,
    ) {
        if let Some((_, number)) = invite {
            let (proxy, around) = self.parts(now);
            proxy.cancelled(&around, stack, out, number, &cancel.message);
        }
        if known {
            return;
        }
        if let Err(fault) = check(&cancel.message) {
            stack.respond_stateless(now, out, &cancel, fault.status, fault.reason, |writer| {
                writer.end()
            });
            return;
        }
        // Section 16.10: it may belong to what was forwarded without state.
        if self.settings.server.mode != Mode::Redirect && self.route_stateless(now, &cancel, false)
        {
            self.forward_first(stack, now, out, &cancel);
            return;
        }
        stack.respond_stateless(
            now,
            out,
            &cancel,
            481,
            "Call/Transaction Does Not Exist",
            |writer| writer.end(),
        );
    }

    fn response(
        &mut self,
        stack: &mut Stack,
        now: Now,
        out: &mut Outbox,
        response: Received<'_>,
        id: ClientId,
        user: u64,
    ) {
        let (proxy, around) = self.parts(now);
        proxy.response(&around, stack, out, &response, id, user);
    }

    fn stray_response(
        &mut self,
        stack: &mut Stack,
        now: Now,
        out: &mut Outbox,
        response: Received<'_>,
    ) {
        let (proxy, around) = self.parts(now);
        proxy.stray(&around, stack, out, &response);
    }

    fn failed(
        &mut self,
        stack: &mut Stack,
        now: Now,
        out: &mut Outbox,
        id: ClientId,
        user: u64,
        why: Failure,
    ) {
        let (proxy, around) = self.parts(now);
        proxy.failed(&around, stack, out, id, user, why);
    }

    fn client_ended(
        &mut self,
        stack: &mut Stack,
        _now: Now,
        _out: &mut Outbox,
        id: ClientId,
        user: u64,
    ) {
        self.proxy.client_ended(stack, id, user);
    }

    fn server_ended(
        &mut self,
        stack: &mut Stack,
        _now: Now,
        _out: &mut Outbox,
        _id: ServerId,
        user: u64,
    ) {
        self.proxy.server_ended(stack, user);
    }

    fn timer(&mut self, stack: &mut Stack, now: Now, out: &mut Outbox, token: u64) {
        if token == super::register::TIMER {
            return self.expire(stack, now, out);
        }
        let (proxy, around) = self.parts(now);
        proxy.timer(&around, stack, out, token);
    }
}
