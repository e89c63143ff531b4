//! What becomes of a request: RFC 3261 sections 16.3 to 16.5, and 22.3 between them.

use towel_message::{Message, Method, Name, NameAddr, Uri, uri};

use super::admit::{self, Proof};
use super::element::{Inhabited, Server, realm};
use super::login::{Asked, login};
use super::{Domains, Mode, targets};
use crate::auth::{Kind, Outcome};
use crate::contract::{
    Candidate, Directives, ProxyPreprocess, ProxyTargets, ProxyValidate, Reply, Slots, Verdict,
    Woken,
};
use crate::io::{Now, Outbox};
use crate::proxy::{Prepared, Visits, Way, route};
use crate::registrar::write_address_of_record;
use crate::stack::{Received, Stack};

/// What is done with a request.
pub(super) enum Course {
    /// It is answered so.
    Reply(Reply),
    /// Credentials are asked for.
    Challenge { kind: Kind, stale: bool },
    /// It is forwarded, or redirected.
    Forward { ours: bool, directives: Directives, slots: Slots },
}

impl Server {
    /// Sections 16.3 to 16.5, and 8.2 for what is for the server itself.
    pub(super) fn decide(
        &mut self,
        stack: &mut Stack,
        now: Now,
        out: &mut Outbox,
        received: &Received<'_>,
        woken: Woken,
    ) -> Course {
        let message = received.message;
        // 16.3 step 2: a scheme that neither we nor an extension can make anything of.
        let uri = message.uri();
        match &uri {
            Ok(Uri::Sip(_)) => {}
            Ok(other) if self.registry.knows_scheme(other.scheme()) => {}
            _ => return Course::Reply(Reply::new(416, "Unsupported URI Scheme")),
        }
        route::preprocess(&message, &received.flow, &self.domains, &self.marks, &mut self.prepared);
        let itself = is_for_itself(&message, &self.prepared, &self.domains);
        let redirects = self.settings.server.mode == Mode::Redirect;
        let visits = self.marks.visits(&message, &received.flow);
        // A redirect server forwards nothing: it is no hop (section 8.3).
        if !itself && !redirects {
            // 16.3 step 3.
            if message.max_forwards() == Ok(Some(0)) {
                return Course::Reply(Reply::new(483, "Too Many Hops"));
            }
            // 16.3 step 4, RFC 5393 section 4.2.2.
            if visits.looped {
                return Course::Reply(Reply::new(482, "Loop Detected"));
            }
        }
        // 16.3 step 5; a redirect server ignores what it does not understand (section 8.3). What is
        // for the server itself is asked about it in its place among the questions of section 8.2.
        if !redirects
            && !itself
            && let Verdict::Refuse(reply) = self.registry.check_proxy_require(&message)
        {
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
            // Whoever goes on asking here would find nobody (section 21.5.4).
            let seconds = self.settings.transaction.retry_after.to_string();
            let reply = Reply::new(503, "Shutting Down").with("Retry-After", seconds);
            return Course::Reply(reply);
        }
        // 16.3 step 6.
        let foreign = (self.prepared.leads_away(&message, &self.domains)
            || matches!(&message.read_uri(&self.prepared.uri), Ok(Uri::Sip(uri)) if !self.stays(uri)))
            && !self.is_for_device(&message, now);
        if let Some(course) = self.admit(stack, now, out, received, visits, foreign) {
            return course;
        }
        let ours = match self.preprocess_by_extensions(now, received, woken, foreign, visits) {
            Ok(ours) => ours,
            Err(course) => return *course,
        };
        if redirects && !ours {
            // Section 8.3: it sends no requests, and knows of nobody elsewhere (21.4.5).
            return Course::Reply(Reply::new(404, "Not Found"));
        }
        if !redirects && let Some(reply) = unusable_route(&message, &self.prepared) {
            return Course::Reply(reply);
        }
        // A URI of ours that names nobody is for the server itself, when it has been where its Route
        // leads: no more of a location service is asked.
        let names_nobody = matches!(
            message.read_uri(&self.prepared.uri),
            Ok(Uri::Sip(uri)) if uri.user.is_none()
        );
        let ours = ours && !names_nobody;
        if let Some(reply) = self.find_targets(now, stack, &message, ours) {
            return Course::Reply(reply);
        }
        let (mut directives, mut slots) = (Directives::default(), Slots::new());
        let mut candidates = std::mem::take(&mut self.targets);
        let mut stage = ProxyTargets {
            request: message,
            source: received.flow,
            user: self.prepared.user.as_deref(),
            request_uri: &self.prepared.uri,
            targets: &mut candidates,
            directives: &mut directives,
            slots: &mut slots,
        };
        let verdict = self.registry.proxy_targets(woken, self.env(now), &mut stage);
        self.targets = candidates;
        self.follow_routes();
        if let Verdict::Refuse(reply) = verdict {
            return Course::Reply(*reply);
        }
        if self.targets.is_empty() {
            return Course::Reply(unavailable());
        }
        if directives.redirect.unwrap_or(redirects) && ours {
            return Course::Reply(self.redirect());
        }
        self.leave_out_unreachable(&message);
        if self.targets.is_empty() {
            return Course::Reply(unavailable());
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
    pub(super) fn is_ours(&self, uri: &towel_message::SipUri<'_>) -> bool {
        self.domains.owns_uri(uri) && uri.maddr().is_none()
    }

    /// Whether a URI leads to nobody else: its host is ours, and so is its maddr if it has one, which
    /// may name another way in than the one that the request came by (section 16.4).
    fn stays(&self, uri: &towel_message::SipUri<'_>) -> bool {
        let maddr = uri.maddr();
        self.domains.owns_uri(uri) && maddr.is_none_or(|host| self.domains.owns(&host, uri.port))
    }

    /// Asks for proof of who it is where that is needed; `None` lets the request pass.
    fn admit(
        &mut self,
        stack: &mut Stack,
        now: Now,
        out: &mut Outbox,
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
        match proof {
            // Credentials that nobody asked for are looked at no further.
            Proof::None => return None,
            Proof::Impossible => return forbidden("Relaying Forbidden"),
            Proof::User | Proof::Sender | Proof::End => {}
        }
        let (domain, realm) = self.sender_realm(&message);
        if proof == Proof::User && !self.has_credentials(&message, &realm) {
            return forbidden("Relaying Forbidden");
        }
        let Self { authenticator, users, domains, .. } = self;
        // What was meant for us may have been given another URI of ours on the way, but not one of
        // somebody else's.
        let ours = |uri: &[u8]| !foreign && admit::is_ours(uri, domains);
        authenticator.set_counting(self.settings.server.mode != Mode::Stateless);
        let asked = Asked { received, kind: Kind::Proxy, realm: &realm };
        let outcome = login(stack, now, out, &asked, authenticator, users, ours);
        match outcome {
            Outcome::Accepted(accepted) => {
                let user = accepted.user.as_bytes();
                if proof != Proof::End
                    && admit::claims_us(&message, &self.domains)
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
        let domain = match message.from_uri() {
            Ok(Uri::Sip(uri)) => self.domains.canonical(&uri.host, uri.port),
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

    /// Extensions read the route; a Request-URI that they put there is looked at anew. Says whether
    /// it is ours.
    fn preprocess_by_extensions(
        &mut self,
        now: Now,
        received: &Received<'_>,
        woken: Woken,
        foreign: bool,
        visits: Visits,
    ) -> Result<bool, Box<Course>> {
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
                return Err(Box::new(Course::Reply(*reply)));
            }
        }
        let (ours, leaves) = match received.message.read_uri(&self.prepared.uri) {
            Ok(Uri::Sip(uri)) => (self.is_ours(&uri), !self.stays(&uri)),
            // Nobody made a SIP URI of it, and there is no other way to a next hop.
            _ if self.prepared.routes(&received.message).next().is_none() => {
                return Err(Box::new(Course::Reply(Reply::new(416, "Unsupported URI Scheme"))));
            }
            _ => (false, true),
        };
        if leaves && !foreign && !self.prepared.registered && self.prepared.user.is_none() {
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
                return Err(Box::new(Course::Reply(Reply::new(403, "Relaying Forbidden"))));
            }
        }
        Ok(ours)
    }

    /// Empties a target set and keeps the room of its URIs.
    pub(super) fn recycle(&mut self, targets: &mut Vec<Candidate>) {
        for target in targets.drain(..) {
            if self.uris.len() < 256 {
                let mut uri = target.uri;
                uri.clear();
                self.uris.push(uri);
            }
        }
    }

    /// Section 16.5.
    pub(super) fn find_targets(
        &mut self,
        now: Now,
        stack: &Stack,
        message: &Message<'_>,
        ours: bool,
    ) -> Option<Reply> {
        let mut before = std::mem::take(&mut self.targets);
        self.recycle(&mut before);
        self.targets = before;
        self.ways.clear();
        self.sought = None;
        if !ours {
            let mut uri = self.uris.pop().unwrap_or_default();
            uri.extend_from_slice(&self.prepared.uri);
            let mut target = Candidate { uri, q: 1000, ..Candidate::default() };
            // A dialog's end that came by a connection can be reached by it, whatever its Contact.
            if let Some(flow) = self.prepared.connection.and_then(|id| stack.flow_of(id)) {
                self.ways.push(Way { flow, routes: Vec::new(), tls: false, direct: false });
                target.handle = 1;
            }
            self.targets.push(target);
            return None;
        }
        let Ok(Uri::Sip(asked)) = message.read_uri(&self.prepared.uri) else { return None };
        let inhabited = Inhabited {
            domains: &self.domains,
            users: &self.users,
            settings: &self.settings.server,
        };
        let not_found = || Some(Reply::new(404, "Not Found"));
        let mut address = std::mem::take(&mut self.address);
        let served = write_address_of_record(&asked, &inhabited, &mut address);
        self.address = address;
        if !served {
            return not_found();
        }
        // Before it is looked who is there, so that whoever comes afterwards is told of.
        self.tell_search(true);
        let found = targets::add_bindings(
            &self.registrar.location(&self.address),
            &self.address,
            &self.prepared.uri,
            now.unix,
            self.settings.proxy.max_targets,
            &mut self.targets,
            &mut self.ways,
            &mut self.uris,
        );
        if found.usable > 0 {
            self.sought = Some(self.marks.address(&self.address));
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
        // Only of a user that we know by name it can be said that he is just not there.
        let realm = realm(&self.settings.server, &self.domains, domain);
        let known = self.users.get(&user, realm.as_bytes()).is_some();
        if known { Some(unavailable()) } else { not_found() }
    }

    /// What a proxy cannot send a request to, such as a mailto URI, is for a redirection only; where
    /// there is a Route that leads the way, it may be anything.
    pub(super) fn leave_out_unreachable(&mut self, message: &Message<'_>) {
        let is_sip = |target: &Candidate| targets::is_sip(&target.uri);
        if self.targets.iter().all(is_sip) || self.prepared.routes(message).next().is_some() {
            return;
        }
        self.targets.retain(|target| is_sip(target) || !target.routes.is_empty());
    }

    /// The way that is kept with a binding becomes the Route to it, where no extension has made one
    /// already.
    pub(super) fn follow_routes(&mut self) {
        for target in &mut self.targets {
            if target.routes.is_empty()
                && let Some(way) = Way::of(&self.ways, target)
            {
                target.routes.clone_from(&way.routes);
            }
        }
    }
}

/// Whether a request is for the server itself: a URI of ours that names nobody, with no Route left
/// to follow.
pub(super) fn is_for_itself(message: &Message<'_>, prepared: &Prepared, domains: &Domains) -> bool {
    let Ok(Uri::Sip(uri)) = message.read_uri(&prepared.uri) else { return false };
    let register = message.method() == Method::Register;
    (uri.user.is_none() || register)
        && uri.maddr().is_none()
        && domains.owns_uri(&uri)
        && prepared.routes(message).next().is_none()
}

/// The answer to a request whose next hop is a Route value that is no SIP URI: there is no way to go
/// there (section 16.6 step 7).
fn unusable_route(message: &Message<'_>, prepared: &Prepared) -> Option<Reply> {
    let next = prepared.routes(message).next()?;
    let uri = NameAddr::parse(next.bytes).ok().and_then(|address| Uri::parse(address.uri).ok());
    match uri {
        Some(Uri::Sip(_)) => None,
        _ => Some(Reply::new(400, "Route Is Not a SIP URI")),
    }
}

fn unavailable() -> Reply {
    Reply::new(480, "Temporarily Unavailable")
}
