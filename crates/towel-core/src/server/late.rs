//! Contacts that register while their user is searched for (RFC 3261 section 16.5).

use towel_message::{Index, Message, Uri};

use super::element::{Inhabited, Server};
use super::targets;
use crate::contract::{ProxyTargets, Verdict};
use crate::io::{Now, Outbox};
use crate::proxy::Way;
use crate::proxy::core::{Around, ContextId};
use crate::registrar::address_of_record;
use crate::stack::Stack;

impl Server {
    /// Whether no INVITE looks for a user of ours.
    pub fn is_searching_nobody(&self) -> bool {
        self.proxy.seeks_nobody()
    }

    /// An address of record has other bindings than before: the searches for it take them in.
    pub(super) fn tell_searches(
        &mut self,
        stack: &mut Stack,
        now: Now,
        out: &mut Outbox,
        address: u64,
    ) {
        if self.proxy.seeks_nobody() {
            return;
        }
        for id in self.proxy.searches_for(address) {
            self.join(stack, now, out, id);
        }
    }

    fn join(&mut self, stack: &mut Stack, now: Now, out: &mut Outbox, id: ContextId) {
        let Self { settings, domains, marks, registry, registrar, proxy, users, .. } = self;
        let around = Around {
            settings: &settings.proxy,
            domains,
            marks,
            registry,
            limits: &settings.transport.limits,
            now,
        };
        let Some((server, source)) = proxy.server_of(id) else { return };
        let Some(mut work) = proxy.take_work(id) else { return };
        let mut found = Vec::new();
        let mut index = Box::new(Index::new());
        let bytes = stack.request(server).map(<[u8]>::to_vec);
        let request = bytes.as_deref().map(|b| Message::parse(b, &mut index, around.limits));
        // One target is all that the caller wants, or the request is not to be had any more.
        if let (Some(Ok(request)), true) = (request, work.directives.fork != Some(false))
            && let Ok(Uri::Sip(asked)) = Uri::parse(&work.prepared.uri)
            && let inhabited = (Inhabited { domains, users, settings: &settings.server })
            && let Some(address) = address_of_record(&asked, &inhabited)
        {
            let before = work.targets.len();
            let work = &mut *work;
            targets::add_bindings(
                &registrar.location(&address),
                &address,
                &work.prepared.uri,
                now.unix,
                around.settings.max_targets,
                &mut work.targets,
                &mut work.ways,
                &mut Vec::new(),
            );
            found = work.targets.split_off(before);
            let mut stage = ProxyTargets {
                request,
                source,
                user: work.prepared.user.as_deref(),
                request_uri: &work.prepared.uri,
                targets: &mut found,
                directives: &mut work.directives,
                slots: &mut work.slots,
            };
            let verdict = registry.proxy_targets(work.woken, around.env(), &mut stage);
            if !matches!(verdict, Verdict::Pass) {
                found.clear();
            }
            for target in &mut found {
                if target.routes.is_empty()
                    && let Some(way) = Way::of(&work.ways, target)
                {
                    target.routes.clone_from(&way.routes);
                }
            }
            found.retain(|target| targets::is_sip(&target.uri) || !target.routes.is_empty());
        }
        proxy.join(&around, stack, out, id, work, found);
    }
}
