//! What the HTTP port and the signals can do to a running server.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use towel_core::auth::User;
use towel_core::io::{Command, Input, Listener, ListenerId, Machine as _, Now, Outbox};
use towel_core::overload::{Class, Neighbour};
use towel_core::registrar::Binding as CoreBinding;
use towel_core::server::Endpoint;
use towel_net::{Bind, Counters, Counts, Handle, Opened};
use towel_store::Store;

use crate::config::{Config, Problem};
use crate::element::{Element, Jobs};
use crate::http::{
    About, Ask, BanRow, Binding, BindingPage, ClassRow, Gone, Metrics, NeighbourRow, OverloadRow,
    Refusal, UserPage, UserRow,
};
use crate::log::Log;
use crate::persist::to_store;
use crate::trace::{Call, Passed, Wanted};
use crate::users::{self, Source, Users};

/// Everything that is shared with the threads that do not carry calls.
pub struct Control {
    /// What runs now.
    pub(crate) config: RwLock<Config>,
    /// Reads the configuration again.
    pub(crate) again: Box<dyn Fn() -> Result<Config, Vec<Problem>> + Send + Sync>,
    /// Users of the store, and all users.
    pub(crate) users: Mutex<(Users, Users)>,
    pub(crate) store: Arc<Store>,
    /// Of each shard, as the two after it.
    pub(crate) jobs: Vec<Jobs<Endpoint>>,
    pub(crate) handles: Vec<Handle>,
    pub(crate) counters: Vec<Arc<Counters>>,
    pub(crate) events: Events,
    pub(crate) log: Log,
    pub(crate) began: Instant,
    pub(crate) listeners: Mutex<Listeners>,
    pub(crate) secret: [u8; 16],
    /// Who takes over, if anybody does.
    pub(crate) leaving: crate::hand_over::Leaving,
    /// Where the data are, as the console shows it.
    pub(crate) data: PathBuf,
}

/// What is listened at, by what the configuration asks for.
#[derive(Debug)]
pub(crate) struct Listeners {
    pub(crate) groups: Vec<(Bind, Vec<Listener>)>,
    /// The number of the next one: none is used twice.
    pub(crate) next: u16,
}

/// Counts of events by their kind.
#[derive(Debug, Clone, Default)]
pub(crate) struct Events(Arc<Mutex<Vec<(&'static str, u64)>>>);

impl Events {
    pub(crate) fn count(&self, kind: &'static str) {
        let mut all = locked(&self.0);
        match all.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, count)) => *count += 1,
            None => all.push((kind, 1)),
        }
    }
}

/// A lock whose holder panicked still guards data that are whole: every change here is one step.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl std::fmt::Debug for Control {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Control").finish_non_exhaustive()
    }
}

impl Control {
    pub(crate) fn config(&self) -> Config {
        self.config.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ends the server, within so long.
    pub(crate) fn stop(&self, within: Duration) {
        self.handles.iter().for_each(|handle| handle.stop(within));
    }

    /// Has the first shard asked: of what all share, or decide alike.
    pub(crate) fn first<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Element<Endpoint>, Now, &mut Outbox) -> T + Send + 'static,
    ) -> Result<T, Gone> {
        self.jobs.first().ok_or(Gone)?.ask(work)
    }

    /// Has every shard asked.
    fn each<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Element<Endpoint>, Now, &mut Outbox) -> T + Clone + Send + 'static,
    ) -> Result<Vec<T>, Gone> {
        self.jobs.iter().map(|jobs| jobs.ask(work.clone())).collect()
    }

    /// Name and realm of a user of the command line or the API.
    fn named(&self, user: &str) -> Result<(String, String), Refusal> {
        let config = self.config();
        let (name, domain) =
            users::parse(user, &config).map_err(|why| Refusal { status: 400, why })?;
        let realm = users::realm_of(&config, &domain);
        Ok((name, realm))
    }

    fn put(&self, record: towel_core::io::Record) -> Result<(), Refusal> {
        self.store
            .put(vec![to_store(record)])
            .map_err(|e| Refusal { status: 500, why: format!("the store: {e}") })
    }
}

/// Whether what is listened at is what is asked for, by whatever name it is known.
fn same_place(known: &Bind, asked: &Bind) -> bool {
    (known.transport, known.addr) == (asked.transport, asked.addr)
}

/// How a binding is shown.
fn shown(aor: &[u8], binding: &CoreBinding<'_>, unix: u64) -> Binding {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let flow = &binding.flow;
    Binding {
        address_of_record: text(aor),
        contact: text(binding.uri),
        expires: binding.remaining(unix),
        q: f32::from(binding.q) / 1000.0,
        flow: format!("{} {}", flow.transport, flow.remote),
        call_id: text(binding.call_id),
    }
}

/// Whether an address of record belongs to a user, named with or without a domain.
fn belongs(aor: &[u8], user: &str) -> bool {
    let aor = String::from_utf8_lossy(aor);
    let aor = aor.strip_prefix("sips:").or_else(|| aor.strip_prefix("sip:")).unwrap_or(&aor);
    let user = user.strip_prefix("sip:").unwrap_or(user);
    aor == user || (!user.contains('@') && aor.split('@').next() == Some(user))
}

impl Ask for Control {
    fn metrics(&self) -> Result<Metrics, Gone> {
        let mut metrics = Metrics::default();
        let (bindings, records, forgotten) = self.first(|element, _, _| {
            let registrar = element.machine().server().registrar();
            (registrar.bindings(), registrar.records(), registrar.forgotten_removals())
        })?;
        let waiting =
            self.each(|element, _, _| element.machine().server().registrar().waiting())?;
        let waiting: usize = waiting.into_iter().sum();
        metrics
            .gauge("towel_bindings", "Bindings held.", bindings as u64)
            .gauge(
                "towel_addresses_of_record",
                "Addresses of record with bindings.",
                records as u64,
            )
            .gauge(
                "towel_registrations_waiting",
                "REGISTER requests waiting for the store.",
                waiting as u64,
            )
            .gauge("towel_users", "Users known.", locked(&self.users).1.len() as u64)
            .gauge(
                "towel_uptime_seconds",
                "Seconds since the start.",
                self.began.elapsed().as_secs(),
            )
            .counter(
                "towel_removals_forgotten_total",
                "Removed bindings not remembered for as long as late copies may come.",
                forgotten,
            )
            .counter(
                "towel_log_lines_lost_total",
                "Log lines that were not written.",
                self.log.lost(),
            );
        let counts = self.counters.iter().map(|counters| counters.read());
        for (name, value) in counts.fold(Counts::default(), Counts::plus).all() {
            if name == "connections" {
                metrics.gauge("towel_connections", "Connections open.", value);
                continue;
            }
            let labels = vec![("kind", name.to_owned())];
            metrics.labelled(
                "towel_net_total",
                "What the driver did, by kind.",
                true,
                labels,
                value,
            );
        }
        let overload = self.overload()?;
        for row in &overload.classes {
            let class = || vec![("class", row.class.to_owned())];
            metrics
                .labelled(
                    "towel_overload_admitted_permille",
                    "How many thousandths of requests are let in, by class.",
                    false,
                    class(),
                    row.admitted_permille,
                )
                .labelled(
                    "towel_overload_refused_total",
                    "Requests answered 503 for overload, by class.",
                    true,
                    class(),
                    row.refused,
                )
                .labelled(
                    "towel_overload_dropped_total",
                    "Requests dropped for overload after they were read, by class.",
                    true,
                    class(),
                    row.dropped,
                );
        }
        metrics
            .gauge(
                "towel_overloaded",
                "Whether more requests come than can be served.",
                u64::from(overload.overloaded),
            )
            .gauge(
                "towel_neighbours_spared",
                "Downstream neighbours that asked for less (RFC 7339).",
                overload.neighbours.len() as u64,
            );
        let bans = self.bans()?.len() as u64;
        let shards = self.each(|element, _, _| {
            let machine = element.machine();
            let (servers, clients, _) = machine.stack().sizes();
            let pressure = (machine.stack().overload().pressure() * 1000.0) as u64;
            (servers, clients, machine.server().contexts(), pressure)
        })?;
        let (mut transactions, mut contexts, mut pressure) = ((0, 0), 0, 0);
        for (servers, clients, under_way, pressed) in &shards {
            transactions = (transactions.0 + servers, transactions.1 + clients);
            contexts += under_way;
            pressure = (*pressed).max(pressure);
        }
        metrics
            .gauge("towel_server_transactions", "Server transactions.", transactions.0 as u64)
            .gauge("towel_client_transactions", "Client transactions.", transactions.1 as u64)
            .gauge(
                "towel_overload_pressure_permille",
                "How much is refused for overload: 1000, all new requests.",
                pressure,
            )
            .gauge("towel_shards", "Shards, each on a thread of its own.", shards.len() as u64)
            .gauge("towel_bans", "Sources that are banned.", bans)
            .gauge("towel_proxied_requests", "Requests under way in the proxy.", contexts as u64);
        let counts = |element: &mut Element<Endpoint>, _: Now, _: &mut Outbox| {
            element.machine().stack().counters().each().collect::<Vec<_>>()
        };
        let mut sums: Vec<(&'static str, u64)> = Vec::new();
        for (name, value) in self.each(counts)?.into_iter().flatten() {
            match sums.iter_mut().find(|(known, _)| *known == name) {
                Some((_, sum)) => *sum += value,
                None => sums.push((name, value)),
            }
        }
        for (name, value) in sums {
            let labels = vec![("kind", name.to_owned())];
            metrics.labelled("towel_sip_total", "What the core did, by kind.", true, labels, value);
        }
        for (kind, count) in locked(&self.events.0).iter() {
            let labels = vec![("kind", (*kind).to_owned())];
            metrics.labelled("towel_events_total", "Events, by kind.", true, labels, *count);
        }
        Ok(metrics)
    }

    fn bindings(
        &self,
        user: Option<String>,
        offset: usize,
        limit: usize,
    ) -> Result<BindingPage, Gone> {
        self.first(move |element, now, _| {
            let registrar = element.machine().server().registrar();
            let mut page = BindingPage { total: 0, offset, bindings: Vec::new() };
            let full = page_total(user.as_deref(), registrar.bindings());
            for location in registrar.locations() {
                for (aor, bindings) in location.iter() {
                    if user.as_deref().is_some_and(|user| !belongs(aor, user)) {
                        continue;
                    }
                    for binding in bindings.live(now.unix) {
                        if page.total >= offset && page.bindings.len() < limit {
                            page.bindings.push(shown(aor, &binding, now.unix));
                        }
                        page.total += 1;
                    }
                    // The rest need not be walked only to be counted: calls are waiting.
                    if let Some(full) = full
                        && page.bindings.len() == limit
                    {
                        page.total = full;
                        return page;
                    }
                }
            }
            page
        })
    }

    fn users(&self, offset: usize, limit: usize) -> Result<UserPage, Gone> {
        let users = locked(&self.users);
        let rows = users.1.iter().skip(offset).take(limit).map(|entry| UserRow {
            user: entry.user.name().to_owned(),
            realm: entry.user.realm().to_owned(),
            source: entry.source,
        });
        Ok(UserPage { total: users.1.len(), offset, users: rows.collect() })
    }

    fn set_user(
        &self,
        user: &str,
        password: Option<&str>,
        change: bool,
    ) -> Result<Option<String>, Refusal> {
        let (name, realm) = self.named(user)?;
        let most = self.config().limits.users;
        {
            let users = locked(&self.users);
            let refuse = |status, why| Err(Refusal { status, why });
            match (users.1.get(&name, &realm).map(|e| e.source), change) {
                (Some(Source::Configuration), _) => {
                    return refuse(409, format!("{name} is defined in the configuration"));
                }
                (Some(Source::Store), false) => {
                    return refuse(409, format!("there is a user {name} in realm {realm} already"));
                }
                (None, true) => {
                    return refuse(404, format!("there is no user {name} in realm {realm}"));
                }
                (None, false) if users.1.len() >= most => {
                    return refuse(507, format!("there are {most} users already (limits.users)"));
                }
                _ => {}
            }
        }
        let made = match password {
            Some("") => {
                return Err(Refusal { status: 400, why: "the password is empty".into() });
            }
            Some(_) => None,
            None => Some(
                crate::secret::password()
                    .map_err(|e| Refusal { status: 500, why: format!("no random bytes: {e}") })?,
            ),
        };
        let secret = password.or(made.as_deref()).unwrap_or_default();
        let user = User::new(&name, &realm, secret);
        self.put(user.record())?;
        {
            let mut users = locked(&self.users);
            users.0.set(Source::Store, user.clone());
            users.1.set(Source::Store, user.clone());
        }
        self.each(move |element, _, _| element.machine().server_mut().users_mut().insert(user))?;
        self.log.event(
            crate::config::LogLevel::Info,
            "user-changed",
            format!("{name} in realm {realm}"),
        );
        Ok(made)
    }

    fn remove_user(&self, user: &str) -> Result<(), Refusal> {
        let (name, realm) = self.named(user)?;
        match locked(&self.users).1.get(&name, &realm).map(|e| e.source) {
            Some(Source::Store) => {}
            Some(Source::Configuration) => {
                let why = format!("{name} is defined in the configuration");
                return Err(Refusal { status: 409, why });
            }
            None => {
                let why = format!("there is no user {name} in realm {realm}");
                return Err(Refusal { status: 404, why });
            }
        }
        self.put(User::removal(&name, &realm))?;
        {
            let mut users = locked(&self.users);
            users.0.remove(&name, &realm);
            users.1.remove(&name, &realm);
        }
        let text = format!("{name} in realm {realm}");
        self.each(move |element, _, _| {
            element.machine().server_mut().users_mut().remove(&name, &realm)
        })?;
        self.log.event(crate::config::LogLevel::Info, "user-removed", text);
        Ok(())
    }

    fn reload(&self) -> Result<String, Refusal> {
        let fresh = (self.again)().map_err(|problems| {
            let text: String = problems.iter().map(ToString::to_string).collect();
            Refusal { status: 422, why: format!("nothing has changed:\n{text}") }
        })?;
        let mut all = locked(&self.users).0.clone();
        let problems = all.configure(&fresh, &mut |_, _| {});
        let tls = crate::settings::tls(&fresh).and_then(|t| t.build().map_err(|e| e.to_string()));
        let told =
            |why: String| Refusal { status: 422, why: format!("nothing has changed: {why}") };
        if !problems.is_empty() {
            let text: String = problems.iter().map(ToString::to_string).collect();
            return Err(told(text));
        }
        let tls = tls.map_err(told)?;
        let old = self.config();
        let settings = crate::settings::core(&fresh, self.secret);
        let registries = self.jobs.iter().map(|_| crate::run::registry(&fresh));
        let registries = registries.collect::<Result<Vec<_>, _>>().map_err(told)?;
        let net = crate::settings::driver(&fresh);
        let mut listening = locked(&self.listeners);
        let is_new =
            |bind: &&Bind| !listening.groups.iter().any(|(known, _)| same_place(known, bind));
        let mut opened: Vec<(Bind, Vec<Opened>)> = Vec::new();
        let mut next = listening.next;
        for bind in net.binds.iter().filter(is_new) {
            let each =
                Opened::shards(std::slice::from_ref(bind), &net.limits, next, self.handles.len())
                    .map_err(|e| told(e.to_string()))?;
            let count = each.first().map_or(0, |one| one.listeners().count());
            next += u16::try_from(count).unwrap_or(u16::MAX);
            opened.push((bind.clone(), each));
        }
        let gone: Vec<(String, String)> = locked(&self.users)
            .1
            .iter()
            .map(|entry| (entry.user.name().to_owned(), entry.user.realm().to_owned()))
            .filter(|(name, realm)| all.get(name, realm).is_none())
            .collect();
        let list: Vec<User> = all.iter().map(|entry| entry.user.clone()).collect();
        for (jobs, registry) in self.jobs.iter().zip(registries) {
            let (gone, list, settings) = (gone.clone(), list.clone(), settings.clone());
            jobs.ask(move |element, now, out| {
                let server = element.machine().server_mut();
                server.set_registry(registry);
                let credentials = server.users_mut();
                for (name, realm) in gone {
                    credentials.remove(&name, &realm);
                }
                for user in list {
                    credentials.insert(user);
                }
                let reload = Input::Command(Command::Reload(Box::new(settings)));
                element.machine().handle(now, reload, out);
            })?;
        }
        let tls = Arc::new(tls);
        for handle in &self.handles {
            handle.set_tls(Arc::clone(&tls));
        }
        listening.next = next;
        let mut closed: Vec<ListenerId> = Vec::new();
        listening.groups.retain(|(known, listeners)| {
            let stays = net.binds.iter().any(|bind| same_place(known, bind));
            if !stays {
                closed.extend(listeners.iter().map(|l| l.id));
            }
            stays
        });
        let mut renamed: Vec<Listener> = Vec::new();
        for (known, listeners) in &mut listening.groups {
            let Some(bind) = net.binds.iter().find(|bind| same_place(known, bind)) else {
                continue;
            };
            if known.advertised != bind.advertised {
                known.advertised.clone_from(&bind.advertised);
                for listener in listeners.iter_mut() {
                    listener.advertised.clone_from(&bind.advertised);
                }
                renamed.extend(listeners.iter().cloned());
            }
        }
        if !renamed.is_empty() {
            self.handles.iter().for_each(|handle| handle.rename(renamed.clone()));
        }
        for (bind, each) in opened {
            let listeners = each.first().map(|one| one.listeners().cloned().collect());
            listening.groups.push((bind, listeners.unwrap_or_default()));
            for (handle, one) in self.handles.iter().zip(each) {
                handle.listen(one);
            }
        }
        if !closed.is_empty() {
            self.handles.iter().for_each(|handle| handle.unlisten(closed.clone()));
        }
        drop(listening);
        self.log.set_level(fresh.log.level);
        let count = all.len();
        locked(&self.users).1 = all;
        let mut restart = Vec::new();
        let changed = [
            ("data", old.data != fresh.data),
            ("durability", old.durability != fresh.durability),
            ("http", old.http != fresh.http),
            ("dns", (&old.dns.servers, old.dns.timeout) != (&fresh.dns.servers, fresh.dns.timeout)),
            ("log.format", old.log.format != fresh.log.format),
            ("transport.threads", old.transport.threads != fresh.transport.threads),
        ];
        restart.extend(changed.iter().filter(|(_, is)| *is).map(|(key, _)| *key));
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        let mut text = format!("the configuration is taken in; {count} users");
        if !restart.is_empty() {
            text.push_str(&format!("; needs a restart: {}", restart.join(", ")));
        }
        self.log.event(crate::config::LogLevel::Info, "reloaded", text.clone());
        Ok(text)
    }

    fn trace(&self, wanted: Wanted) -> Result<Vec<Passed>, Gone> {
        self.first(move |element, _, _| {
            element.ring().map(|ring| locked(ring).select(&wanted)).unwrap_or_default()
        })
    }

    fn calls(&self, most: usize) -> Result<Vec<Call>, Gone> {
        self.first(move |element, _, _| {
            element.ring().map(|ring| locked(ring).calls(most)).unwrap_or_default()
        })
    }

    fn set_trace(&self, on: bool) -> Result<bool, Gone> {
        let config = self.config();
        let ring = on.then(|| crate::run::ring(&config));
        let was = self.each(move |element, _, _| element.set_trace(ring))?;
        Ok(was.contains(&true))
    }

    fn bans(&self) -> Result<Vec<BanRow>, Gone> {
        self.first(|element, now, _| {
            let bans = element.machine().stack().abuse().bans(now.at);
            bans.into_iter()
                .map(|ban| BanRow {
                    address: ban.address,
                    port: ban.port,
                    transport: match ban.port {
                        None => "",
                        Some(_) if ban.stream => "TCP",
                        Some(_) => "UDP",
                    },
                    seconds: ban.until.since(now.at).as_secs(),
                    why: ban.why,
                })
                .collect()
        })
    }

    fn overload(&self) -> Result<OverloadRow, Gone> {
        let shards = self.each(|element, now, _| {
            let stack = element.machine().stack();
            let controller = stack.overload();
            let classes = [
                (Class::New, "new"),
                (Class::Known, "with credentials"),
                (Class::Dialog, "of dialogs and urgent"),
            ];
            let row = |(class, name)| {
                let (refused, dropped) = controller.turned_away(class);
                let admitted_permille = (controller.admitted(class) * 1000.0) as u64;
                ClassRow { class: name, admitted_permille, refused, dropped }
            };
            let neighbour = |(address, known): (&SocketAddr, &Neighbour)| NeighbourRow {
                address: *address,
                algorithm: known.told.algorithm.as_str(),
                value: known.told.value,
                milliseconds: known.until.since(now.at).as_millis() as u64,
                sent: known.sent,
                held_back: known.held_back,
            };
            let (wait, set_aside) = stack.waiting(now);
            let (servers, clients, connections) = stack.sizes();
            OverloadRow {
                overloaded: controller.is_overloaded(),
                pressure: controller.pressure(),
                seconds: controller.since().map(|began| now.at.since(began).as_secs()),
                wait: wait.as_millis() as u64,
                set_aside,
                transactions: servers.max(clients),
                most_transactions: stack.most_transactions(),
                connections,
                classes: classes.into_iter().map(row).collect(),
                unread_permille: u64::from(controller.shed().new),
                neighbours: stack.neighbours().all(now.at).map(neighbour).collect(),
            }
        })?;
        Ok(OverloadRow::sum(shards))
    }

    fn lift(&self, address: IpAddr) -> Result<usize, Gone> {
        let lifted =
            self.first(move |element, _, _| element.machine().stack_mut().lift_bans(address))?;
        if lifted > 0 {
            let text = address.to_string();
            self.log.event(crate::config::LogLevel::Info, "ban-lifted", text);
        }
        Ok(lifted)
    }

    fn about(&self) -> About {
        let config = self.config();
        let domains = if config.domains.is_empty() {
            vec!["the addresses of this machine".to_owned()]
        } else {
            config.domains.clone()
        };
        About {
            version: env!("CARGO_PKG_VERSION"),
            uptime: self.began.elapsed().as_secs(),
            listeners: locked(&self.listeners)
                .groups
                .iter()
                .flat_map(|(_, listeners)| listeners)
                .map(|l| format!("{} {}", l.transport, l.local))
                .collect(),
            domains,
            data: self.data.display().to_string(),
            tracing: self.first(|element, _, _| element.ring().is_some()).unwrap_or(false),
        }
    }
}

/// How many rows there are in all, where that is known without walking over them.
fn page_total(user: Option<&str>, bindings: usize) -> Option<usize> {
    user.is_none().then_some(bindings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_bindings() {
        assert!(belongs(b"sip:alice@example.org", "alice"));
        assert!(belongs(b"sip:alice@example.org", "alice@example.org"));
        assert!(belongs(b"alice@example.org", "sip:alice@example.org"));
        assert!(!belongs(b"sip:alice@example.org", "alice@example.com"));
        assert!(!belongs(b"sip:alice@example.org", "ali"));
    }
}
