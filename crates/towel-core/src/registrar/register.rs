//! REGISTER, step by step (RFC 3261 section 10.3).

use super::aor::{Served, address_of_record, write_address_of_record};
use super::binding::{Binding, Bindings, assemble};
use super::contact::{Asked, Wish, hops};
use super::location::Location;
use super::removed::Last;
use super::tables::{Looked, Table, Tables};
use super::{Durability, Settings};
use crate::contract::Durable;
use crate::hash::{Hasher, Key};
use crate::io::{Flow, Instant, Level, Now, Outbox, Output, Record, StoreFault, Ticket};
use crate::shards::Place as ShardPlace;
use core::cmp::Ordering;
use core::time::Duration;
use smallvec::SmallVec;
use std::collections::BTreeMap;
use std::sync::Arc;
use towel_message::{Fault, Message, Name, NameAddr, Params, SipUri, Uri, date, uri};

/// The store's table of bindings.
pub const TABLE: u8 = 1;

/// An interval of an hour or more is never too brief (RFC 3261 section 10.3, step 7).
const NEVER_TOO_BRIEF: u32 = 3_600;

/// A request that is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// The status code; never a 6xx (RFC 3261 section 10.3).
    pub status: u16,
    /// The reason phrase.
    pub reason: &'static str,
    /// The value of the Min-Expires header field that a 423 must have.
    pub min_expires: Option<u32>,
}

impl Refusal {
    pub(super) const fn new(status: u16, reason: &'static str) -> Self {
        Self { status, reason, min_expires: None }
    }

    pub(super) fn fault(fault: Fault) -> Self {
        Self::new(fault.status, fault.reason)
    }
}

/// What became of a REGISTER.
#[derive(Debug)]
pub enum Outcome<'a> {
    /// The domain in the Request-URI is not ours: where the element is a proxy as well, it
    /// forwards the request (step 1).
    Elsewhere,
    /// It is refused; nothing has changed.
    Refused(Refusal),
    /// It is answered with 200, now or when the store has answered.
    Registered(Registered<'a>),
}

/// What the 200 tells.
#[derive(Debug)]
pub struct Registered<'a> {
    /// Whether the 200 has to wait until [`Registrar::stored`] says how it went.
    pub held: bool,
    /// The canonical address of record.
    pub aor: &'a [u8],
    bindings: Bindings<'a>,
    now: Now,
    /// Room for a value.
    value: &'a mut Vec<u8>,
    /// The present second as a Date.
    date: &'a [u8],
}

impl<'a> Registered<'a> {
    /// Every current binding, the highest q first.
    pub fn bindings(&self) -> impl Iterator<Item = Binding<'a>> {
        self.bindings.live(self.now.unix)
    }

    /// How many bindings there are now.
    pub fn count(&self) -> usize {
        self.bindings.count_live(self.now.unix)
    }

    /// The header fields that the 200 has for it, in order: a Contact for each binding, with the
    /// interval that is left of it, and Date (step 8). The Path, Service-Route and other fields of
    /// extensions are added by them.
    ///
    /// `list` writes the parameters that extensions want beside a contact, from what they attached
    /// to it; those that the contact came with are told once.
    pub fn fields(self, list: impl Fn(&[u8], &mut Vec<u8>), mut each: impl FnMut(Name, &[u8])) {
        let mut more = Vec::new();
        let Self { value, bindings, now, date, .. } = self;
        for binding in bindings.live(now.unix) {
            value.clear();
            binding.write_contact(now.unix, value);
            if !binding.kept.is_empty() {
                more.clear();
                list(binding.kept, &mut more);
                add_params(&more, &binding, value);
            }
            each(Name::Contact, value);
        }
        each(Name::Date, date);
    }
}

/// Appends the parameters that a contact does not have yet.
fn add_params(more: &[u8], binding: &Binding<'_>, value: &mut Vec<u8>) {
    let given = Params::new(binding.params());
    for param in Params::new(more).iter() {
        if given.iter().any(|known| known.name.eq_ignore_ascii_case(param.name)) {
            continue;
        }
        value.push(b';');
        value.extend_from_slice(param.name);
        if let Some(text) = param.value {
            value.push(b'=');
            value.extend_from_slice(text);
        }
    }
}

/// A REGISTER, and what is known of it.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a, 'm> {
    /// The message.
    pub message: Message<'m>,
    /// Where it came from.
    pub flow: Flow,
    /// The user who has proved to be the sender (step 3); none where nobody has to, and then From
    /// stands for it.
    pub user: Option<&'a str>,
    /// What extensions attach to its contacts, in the order of the message, without a `*`; those
    /// beyond the end have nothing attached.
    pub kept: &'a [Durable],
    /// The way to its contacts that an extension knows of: values of Route, the first hop first, with
    /// commas between them; empty where there is none.
    pub route: &'a [u8],
}

/// How a change came out that waited for the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// Send the 200.
    Good,
    /// Send 500: nothing has changed.
    Failed,
}

/// The registrar of an element; of an element in several shards each has one, over the same tables.
#[derive(Debug)]
pub struct Registrar {
    settings: Settings,
    tables: Arc<Tables>,
    /// How many registrars share the tables.
    of: usize,
    /// The addresses of record whose changes wait for the store, of this registrar.
    tickets: BTreeMap<Ticket, Box<[u8]>>,
    /// The first second in which something may end, as far as this registrar has to see to it: of
    /// what it has bound itself, and of all since it last looked.
    next: u64,
    /// Whether more has ended than one sweep could drop.
    behind: bool,
    /// When it was last called.
    now: Now,
    /// The address of record and the bindings that the last answer tells.
    aor: Vec<u8>,
    answer: Vec<u8>,
    /// The bindings made by a request, in their kept form.
    fresh: Vec<u8>,
    scratch: Scratch,
}

/// Room that each request has use for.
#[derive(Debug, Default)]
struct Scratch {
    /// The contacts as they are kept.
    contacts: Vec<u8>,
    /// The user part of the address of record.
    name: Vec<u8>,
    /// A value of the answer.
    value: Vec<u8>,
    /// A second, and the Date that it is.
    date: (u64, Vec<u8>),
}

impl Registrar {
    /// A registrar without bindings; the key keeps strangers from aiming at one bucket of a table.
    #[must_use]
    pub fn new(settings: Settings, key: Key) -> Self {
        Self::one_of(settings, key, ShardPlace::ONE)
    }

    /// The first of some that share their tables.
    #[must_use]
    pub(crate) fn one_of(settings: Settings, key: Key, place: ShardPlace) -> Self {
        Self::over(settings, Tables::new(key, place), usize::from(place.of))
    }

    /// Another one over the same tables.
    #[must_use]
    pub(crate) fn beside(&self) -> Self {
        Self::over(self.settings.clone(), Arc::clone(&self.tables), self.of)
    }

    fn over(settings: Settings, tables: Arc<Tables>, of: usize) -> Self {
        Self {
            settings,
            tables,
            of: of.max(1),
            tickets: BTreeMap::new(),
            next: u64::MAX,
            behind: false,
            now: Now::default(),
            aor: Vec::new(),
            answer: Vec::new(),
            fresh: Vec::new(),
            scratch: Scratch::default(),
        }
    }

    /// New settings; bindings stay as they were granted.
    pub fn reload(&mut self, settings: Settings) {
        self.settings = settings;
    }

    /// The location service, as a proxy reads it: that part of it where an address of record is.
    /// Nobody else can change it while it is held.
    #[must_use]
    pub fn location(&self, aor: &[u8]) -> Looked<'_> {
        self.tables.looked(aor)
    }

    /// All of it, a part at a time.
    pub fn locations(&self) -> impl Iterator<Item = Looked<'_>> {
        self.tables.all_looked()
    }

    /// How many addresses of record have bindings.
    #[must_use]
    pub fn records(&self) -> usize {
        self.tables.records()
    }

    /// How many bindings there are in all.
    #[must_use]
    pub fn bindings(&self) -> usize {
        self.locations().map(|location| location.bindings()).sum()
    }

    /// Whether more has ended than one sweep could drop.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        self.behind
    }

    /// How many requests wait for the store, of those that came to this registrar.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.tickets.len()
    }

    /// How many removals could not be remembered for as long as copies of older requests may come.
    #[must_use]
    pub fn forgotten_removals(&self) -> u64 {
        self.tables.each().map(|table| table.removed.crowded_out()).sum()
    }

    /// Carries out a REGISTER. The Require header field has been seen to (step 2). `ticket` must be
    /// new; it is used if the answer says `held`.
    pub fn register(
        &mut self,
        request: &Request<'_, '_>,
        served: &(impl Served + ?Sized),
        now: Now,
        ticket: Ticket,
        out: &mut Outbox,
    ) -> Outcome<'_> {
        self.now = now;
        let mut scratch = core::mem::take(&mut self.scratch);
        let done = self.carry_out(request, served, ticket, out, &mut scratch);
        self.scratch = scratch;
        let held = match done {
            Ok(Some(held)) => held,
            Ok(None) => return Outcome::Elsewhere,
            Err(refusal) => return Outcome::Refused(refusal),
        };
        let bindings = Bindings::trusted(&self.answer);
        let Scratch { value, date, .. } = &mut self.scratch;
        if date.0 != now.unix || date.1.is_empty() {
            date.0 = now.unix;
            date.1.clear();
            date::write(now.unix, &mut date.1);
        }
        let date = &date.1;
        Outcome::Registered(Registered { held, aor: &self.aor, bindings, now, value, date })
    }

    fn carry_out(
        &mut self,
        request: &Request<'_, '_>,
        served: &(impl Served + ?Sized),
        ticket: Ticket,
        out: &mut Outbox,
        scratch: &mut Scratch,
    ) -> Result<Option<bool>, Refusal> {
        let message = &request.message;
        // Step 1.
        let target = sip(message.uri()).map_err(Refusal::fault)?;
        let Some(domain) = served.canonical(&target.host, target.port) else { return Ok(None) };
        self.address(message, request.user, served, domain, &mut scratch.name)?;

        let call_id = message.call_id().ok_or(Refusal::fault(Fault::missing(Name::CallId)))?;
        let cseq = message.cseq().map_err(Refusal::fault)?.number;
        let order = Order { call_id, cseq, mark: mark(message) };
        let longest = self.settings.max_contact_length;
        let wish = Wish::read(message, longest, &mut scratch.contacts)?;

        let tables = Arc::clone(&self.tables);
        // Until the change is made, so that what is built on is what is there.
        let mut table = tables.at(&self.aor);
        let Table { location, pending, removed, .. } = &*table;
        let current = pending.latest(&self.aor).map_err(|()| FAILED)?;
        let current = current.or_else(|| location.value(&self.aor)).unwrap_or_default();
        let current = Bindings::trusted(current);
        let unix = self.now.unix;
        let mut list: SmallVec<[Kept<'_>; 4]> = current
            .raw()
            .filter(|(binding, _)| binding.is_live(unix))
            .map(|(binding, bytes)| Kept::known(binding, bytes))
            .collect();
        self.fresh.clear();
        let before = list.len();
        // What a removal took along with the binding: whether this came before it.
        let last = match &wish {
            Wish::Fetch => None,
            _ => removed.last(self.now.at, &self.aor, call_id),
        };
        let again = match last {
            Some(Last { cseq, mark }) => Order { call_id, cseq, mark }.standing(&order)?,
            None => Standing::Later,
        };
        let mut gone = Gone::new();
        let place = |call_id: &[u8]| removed.place(&self.aor, call_id);
        let changed = match &wish {
            Wish::Fetch => false,
            // The removal itself once more. Others may have come since, whom it does not concern.
            _ if again == Standing::Same => false,
            Wish::RemoveAll => {
                // Step 6. One that is out of order leaves all of them as they are.
                if let Some(refusal) = list.iter().find_map(|kept| kept.refusal(&order)) {
                    return Err(refusal);
                }
                gone.extend(list.iter().filter_map(|kept| kept.last(place)));
                gone.push((place(call_id), order.last()));
                !core::mem::take(&mut list).is_empty()
            }
            Wish::Update(asked) => {
                secure_all_the_way(request.route, &target, asked)?;
                if request.route.len() > longest {
                    return Err(Refusal::new(400, "Way To Contact Too Long"));
                }
                let template = Binding {
                    contact: b"",
                    uri: b"",
                    q: 0,
                    expires: 0,
                    call_id,
                    cseq,
                    mark: order.mark,
                    route: request.route,
                    kept: b"",
                    flow: request.flow,
                };
                let with = With {
                    order: &order,
                    template: &template,
                    contacts: &scratch.contacts,
                    kept: request.kept,
                    place: &place,
                    unix,
                };
                update(&self.settings, &mut list, asked, &with, &mut self.fresh, &mut gone)?
            }
        };
        if list.len() > self.settings.max_contacts.max(before) {
            return Err(Refusal::new(403, "Too Many Contacts"));
        }
        let mut bytes: SmallVec<[(u16, &[u8]); 4]> =
            list.iter().map(|kept| (kept.q, kept.bytes(&self.fresh))).collect();
        assemble(&mut bytes, &mut self.answer);
        drop(bytes);
        drop(list);
        let held = if changed { self.commit(&tables, &mut table, ticket, out)? } else { false };
        for (place, last) in gone {
            table.removed.note(self.now.at, place, last);
        }
        Ok(Some(held))
    }

    /// Steps 4 and 5: may they, and is there such an address of record?
    fn address(
        &mut self,
        message: &Message<'_>,
        user: Option<&str>,
        served: &(impl Served + ?Sized),
        domain: &str,
        name: &mut Vec<u8>,
    ) -> Result<(), Refusal> {
        message.to().map_err(Refusal::fault)?;
        let unknown = Refusal::new(404, "Not Found");
        // Section 10.3, RFC 4475 section 3.3.4: an address of record is a sip or sips URI.
        let to = sip(message.to_uri()).map_err(|fault| match fault.status {
            416 => Refusal::new(400, "To Is No SIP URI"),
            _ => Refusal::fault(fault.of(Name::To)),
        })?;
        if !write_address_of_record(&to, served, &mut self.aor)
            || served.canonical(&to.host, to.port) != Some(domain)
        {
            return Err(unknown);
        }
        name.clear();
        uri::unescape(to.user.unwrap_or_default(), name);
        let allowed = match user {
            Some(user) => {
                user.as_bytes() == *name
                    || self.settings.third_party.iter().any(|allowed| allowed == user)
            }
            None => {
                self.settings.open_third_party || {
                    let from = message.from().map_err(Refusal::fault)?.uri;
                    // Mostly the same to the octet.
                    from == to.bytes
                        || sip(message.from_uri())
                            .ok()
                            .and_then(|from| address_of_record(&from, served))
                            .is_some_and(|from| from == self.aor)
                }
            }
        };
        if !allowed {
            return Err(Refusal::new(403, "Third-Party Registration Forbidden"));
        }
        if !served.has_user(name, domain) {
            return Err(unknown);
        }
        Ok(())
    }

    /// Makes `answer` the bindings of `aor`; whether that waits for the store.
    fn commit(
        &mut self,
        tables: &Tables,
        table: &mut Table,
        ticket: Ticket,
        out: &mut Outbox,
    ) -> Result<bool, Refusal> {
        let emptied = self.answer.len() == 1;
        if !emptied
            && tables.records() >= self.settings.max_records
            && table.location.value(&self.aor).is_none()
        {
            return Err(Refusal::new(503, "Too Many Registrations"));
        }
        let record = || {
            let value = (!emptied).then(|| self.answer.clone());
            Record { table: TABLE, key: self.aor.clone(), value }
        };
        match self.settings.durability {
            Durability::BeforeAnswer => {
                if self.tickets.len() >= self.settings.max_pending.div_ceil(self.of) {
                    return Err(Refusal::new(503, "Too Many Registrations"));
                }
                store(tables, Some(ticket), record(), out);
                self.tickets.insert(ticket, self.aor.as_slice().into());
                table.pending.push(ticket, &self.aor, self.answer.clone());
                return Ok(true);
            }
            Durability::Soon => store(tables, None, record(), out),
            Durability::Memory => {}
        }
        let good = put(&mut table.location, &self.aor, &self.answer, out);
        self.next = settle(tables, table, self.next);
        if good { Ok(false) } else { Err(FAILED) }
    }

    /// The store has answered; none where the ticket is not of this registrar.
    pub fn stored(
        &mut self,
        ticket: Ticket,
        result: Result<(), StoreFault>,
        out: &mut Outbox,
    ) -> Option<Stored> {
        let aor = self.tickets.remove(&ticket)?;
        let tables = Arc::clone(&self.tables);
        let mut table = tables.at(&aor);
        let verdict = table.pending.answered(&aor, ticket, result.is_ok())?;
        let mut good = verdict.good;
        if let Some(value) = verdict.commit {
            good = put(&mut table.location, &aor, &value, out);
            self.next = settle(&tables, &mut table, self.next);
        }
        if verdict.restore || good != verdict.good {
            let value = table.location.value(&aor).map(<[u8]>::to_vec);
            store(&tables, None, Record { table: TABLE, key: aor.into(), value }, out);
        }
        Some(if good { Stored::Good } else { Stored::Failed })
    }

    /// Takes in a record that the store held at the start; whether it was a sound one of this
    /// table. What has ended since is dropped, and taken out of the store where nothing is left.
    pub fn load(&mut self, record: &Record, now: Now, out: &mut Outbox) -> bool {
        if record.table != TABLE {
            return false;
        }
        let tables = Arc::clone(&self.tables);
        let mut table = tables.at(&record.key);
        let Some(value) = record.value.as_deref() else {
            table.location.remove(&record.key);
            tables.count(&mut table);
            return true;
        };
        let Some(bindings) = Bindings::checked(value) else { return false };
        let live = bindings.raw().filter(|(binding, _)| binding.is_live(now.unix));
        assemble(&mut live.map(|(b, bytes)| (b.q, bytes)).collect::<Vec<_>>(), &mut self.answer);
        if self.answer.len() == 1 {
            table.location.remove(&record.key);
            tables.count(&mut table);
            let record = Record { table: TABLE, key: record.key.clone(), value: None };
            store(&tables, None, record, out);
            return true;
        }
        self.now = now;
        let good = table.location.put(&record.key, &self.answer);
        self.next = settle(&tables, &mut table, self.next);
        good
    }

    /// Drops the bindings that have ended, or some of them where they are very many.
    pub fn expire(&mut self, now: Now, out: &mut Outbox) {
        self.now = now;
        let memory = self.settings.durability == Durability::Memory;
        (self.next, self.behind) = (u64::MAX, false);
        for mut table in self.tables.each() {
            // One part that has much to drop is enough for one turn.
            if !self.behind {
                let Table { location, pending, .. } = &mut *table;
                location.expire(now.unix, |aor| {
                    out.event(Level::Info, "expired", String::from_utf8_lossy(aor).into_owned());
                    // A change that waits has been written already and must not be undone.
                    if !memory && !pending.is_waiting(aor) {
                        let record = Record { table: TABLE, key: aor.to_vec(), value: None };
                        store(&self.tables, None, record, out);
                    }
                });
                self.behind = location.is_behind();
            }
            self.next = settle(&self.tables, &mut table, self.next);
        }
    }

    /// When [`Registrar::expire`] has to be called next. Where more has ended than is dropped at a
    /// time, that is a moment later.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        if self.behind {
            return Some(self.now.at + SLICE);
        }
        if self.next == u64::MAX {
            return None;
        }
        let seconds = self.next.saturating_sub(self.now.unix);
        Some(self.now.at + Duration::from_secs(seconds))
    }

    /// Removes all bindings of an address of record at the word of somebody in charge; whether
    /// there were any.
    pub fn forget(&mut self, aor: &[u8], out: &mut Outbox) -> bool {
        let mut table = self.tables.at(aor);
        if self.settings.durability != Durability::Memory {
            let record = Record { table: TABLE, key: aor.to_vec(), value: None };
            store(&self.tables, None, record, out);
        }
        let Table { location, removed, .. } = &mut *table;
        for binding in location.get(aor).live(self.now.unix) {
            let last = Last { cseq: binding.cseq, mark: binding.mark };
            let place = removed.place(aor, binding.call_id);
            removed.note(self.now.at, place, last);
        }
        let known = location.remove(aor);
        self.tables.count(&mut table);
        known
    }
}

/// Has a record made safe. Whoever calls holds the stripe of its address of record.
fn store(tables: &Tables, ticket: Option<Ticket>, record: Record, out: &mut Outbox) {
    match &tables.journal {
        None => out.outputs.push(Output::Store { ticket, record }),
        Some(journal) => {
            journal.push(ticket, record);
            out.outputs.push(Output::Journal(journal.clone()));
        }
    }
}

/// Takes in that bindings of a stripe have changed; gives the first second in which something may end.
fn settle(tables: &Tables, table: &mut Table, next: u64) -> u64 {
    tables.count(table);
    next.min(table.location.next_expiry().unwrap_or(u64::MAX))
}

/// Makes bindings visible, and tells when somebody comes or goes.
fn put(location: &mut Location, aor: &[u8], value: &[u8], out: &mut Outbox) -> bool {
    let Some(known) = location.replace(aor, value) else { return false };
    // A refresh is no news.
    if known && value.len() > 1 {
        return true;
    }
    let first = Bindings::trusted(value).next();
    let kind = match (known, &first) {
        (false, Some(_)) => "registered",
        (true, None) => "unregistered",
        _ => return true,
    };
    let mut text = String::from_utf8_lossy(aor).into_owned();
    if let Some(Binding { flow, .. }) = first {
        text.push_str(&format!(" from {} over {}", flow.remote, flow.transport));
    }
    out.event(Level::Info, kind, text);
    true
}

/// Between one part of what has ended and the next, in which the server does its other work.
const SLICE: Duration = Duration::from_millis(1);

/// Section 10.3, step 7 names 500 for a request whose updates cannot all be made.
const OUT_OF_ORDER: Refusal = Refusal::new(500, "CSeq Out of Order");
/// Section 8.2.2.2: what came before by another way is not carried out twice.
const MERGED: Refusal = Refusal::new(482, "Loop Detected");
const FAILED: Refusal = Refusal::new(500, "Server Internal Error");

/// Where a request stands among those of its client (RFC 3261 section 10.2).
struct Order<'a> {
    call_id: &'a [u8],
    cseq: u32,
    mark: u32,
}

/// How a request stands to one of its client that was carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// It came after it, or has nothing to do with it.
    Later,
    /// It is that one, once more.
    Same,
}

impl Order<'_> {
    fn last(&self) -> Last {
        Last { cseq: self.cseq, mark: self.mark }
    }

    /// How a request of the same Call-ID stands to this one that was carried out; what it is
    /// refused with where its client sent it before this one, or where it is this one itself, forked
    /// and come by another way.
    fn standing(&self, request: &Order<'_>) -> Result<Standing, Refusal> {
        let branch = |order: &Order<'_>| order.mark >> 16;
        match request.cseq.cmp(&self.cseq) {
            Ordering::Greater => Ok(Standing::Later),
            Ordering::Equal if branch(self) != 0 && branch(self) == branch(request) => {
                Ok(Standing::Same)
            }
            Ordering::Equal if self.mark & 0xffff == request.mark & 0xffff => Err(MERGED),
            Ordering::Less | Ordering::Equal => Err(OUT_OF_ORDER),
        }
    }
}

/// What a request takes away, as it is remembered: its place among the removals, and the request
/// that was the last to count there.
type Gone = SmallVec<[(u64, Last); 2]>;

/// What [`Binding::mark`] is for a request: sixteen bits for the branch of its top Via and sixteen for
/// its From tag.
fn mark(message: &Message<'_>) -> u32 {
    // Not against anybody: who knows the Call-ID and the CSeq could as well count one further.
    let hash = |bytes: &[u8]| Hasher::new(Key(0, 0)).bytes(bytes).finish() as u32;
    let branch = message.top_via().ok().and_then(|via| via.branch());
    let branch = branch.map_or(0, |branch| (hash(branch) >> 16).max(1));
    (branch << 16) | (hash(message.from_tag().unwrap_or_default()) & 0xffff)
}

/// A binding on the list that a request works on.
struct Kept<'a> {
    q: u16,
    uri: &'a [u8],
    /// Of the request that made it; none for what this request made itself.
    order: Option<Order<'a>>,
    bytes: Place<'a>,
}

enum Place<'a> {
    Known(&'a [u8]),
    Fresh(core::ops::Range<usize>),
}

impl<'a> Kept<'a> {
    fn known(binding: Binding<'a>, bytes: &'a [u8]) -> Self {
        let Binding { call_id, cseq, mark, .. } = binding;
        let order = Some(Order { call_id, cseq, mark });
        Self { q: binding.q, uri: binding.uri, order, bytes: Place::Known(bytes) }
    }

    /// What a request is refused with that must not change it.
    ///
    /// The very request that made it is not out of order: its client did not get the answer, and
    /// whoever could have given it again was killed.
    fn refusal(&self, request: &Order<'_>) -> Option<Refusal> {
        let known = self.order.as_ref().filter(|known| known.call_id == request.call_id)?;
        known.standing(request).err()
    }

    /// What of it is to be remembered when it goes.
    fn last(&self, place: impl Fn(&[u8]) -> u64) -> Option<(u64, Last)> {
        self.order.as_ref().map(|order| (place(order.call_id), order.last()))
    }

    fn bytes<'b>(&'b self, fresh: &'b [u8]) -> &'b [u8] {
        match &self.bytes {
            Place::Known(bytes) => bytes,
            Place::Fresh(range) => fresh.get(range.clone()).unwrap_or_default(),
        }
    }
}

/// A sips contact is bound only where the Request-URI, every contact beside it and every hop on the
/// way there are sips as well: what is promised to be secure must not be reached over what is not (RFC 5630
/// section 5.2). One that is removed promises nothing.
fn secure_all_the_way(
    route: &[u8],
    target: &SipUri<'_>,
    asked: &[Asked<'_>],
) -> Result<(), Refusal> {
    let sips = |uri: &[u8]| uri.get(..5).is_some_and(|s| s.eq_ignore_ascii_case(b"sips:"));
    let mut bound = asked.iter().filter(|asked| asked.expires != Some(0));
    if !bound.clone().any(|asked| sips(asked.uri)) {
        return Ok(());
    }
    let mut hops = hops(route).map(NameAddr::parse);
    if target.secure
        && bound.all(|asked| sips(asked.uri))
        && hops.all(|hop| hop.is_ok_and(|hop| sips(hop.uri)))
    {
        return Ok(());
    }
    Err(Refusal::new(400, "SIPS Contact Not Secure All the Way"))
}

/// What goes into each binding that a request makes.
struct With<'a> {
    order: &'a Order<'a>,
    template: &'a Binding<'a>,
    /// What [`Asked::contact`] points into.
    contacts: &'a [u8],
    kept: &'a [Durable],
    /// The place of a Call-ID among the removals.
    place: &'a dyn Fn(&[u8]) -> u64,
    unix: u64,
}

/// Step 7: each contact in turn, on a list that is thrown away if one of them fails. Whether
/// anything changed.
fn update<'a>(
    settings: &Settings,
    list: &mut SmallVec<[Kept<'a>; 4]>,
    asked: &[Asked<'a>],
    with: &With<'_>,
    fresh: &mut Vec<u8>,
    gone: &mut Gone,
) -> Result<bool, Refusal> {
    let mut changed = false;
    for (at, asked) in asked.iter().enumerate() {
        let kept = with.kept.get(at).map(Durable::as_bytes).unwrap_or_default();
        let wanted = asked.expires.unwrap_or(settings.default_expires);
        if wanted > 0 && wanted < NEVER_TOO_BRIEF && wanted < settings.min_expires {
            let min_expires = Some(settings.min_expires);
            return Err(Refusal { min_expires, ..Refusal::new(423, "Interval Too Brief") });
        }
        let known = list.iter().position(|kept| uri::contacts_equivalent(kept.uri, asked.uri));
        let refusal = |at: usize| list.get(at).and_then(|kept| kept.refusal(with.order));
        if let Some(refusal) = known.and_then(refusal) {
            return Err(refusal);
        }
        if wanted == 0 {
            gone.push(((with.place)(with.order.call_id), with.order.last()));
            if let Some(at) = known {
                gone.extend(list.remove(at).last(with.place));
                changed = true;
            }
            continue;
        }
        let end = with.unix.saturating_add(u64::from(wanted.min(settings.max_expires)));
        let contact = with.contacts.get(asked.contact.clone()).unwrap_or_default();
        let binding = Binding {
            contact,
            uri: contact.get(asked.uri_at..asked.uri_at + asked.uri.len()).unwrap_or_default(),
            q: asked.q,
            expires: u32::try_from(end).unwrap_or(u32::MAX),
            kept,
            ..*with.template
        };
        let start = fresh.len();
        binding.write(fresh).ok_or(Refusal::new(400, "Contact Too Long"))?;
        let bytes = Place::Fresh(start..fresh.len());
        let kept = Kept { q: asked.q, uri: asked.uri, order: None, bytes };
        match known.and_then(|at| list.get_mut(at)) {
            Some(place) => {
                let other = |order: &Order<'_>| order.call_id != with.order.call_id;
                if place.order.as_ref().is_some_and(other) {
                    gone.extend(place.last(with.place));
                }
                *place = kept;
            }
            None => list.push(kept),
        }
        changed = true;
    }
    Ok(changed)
}

/// A URI that has to be a sip or sips one.
fn sip<'a>(uri: Result<Uri<'a>, Fault>) -> Result<SipUri<'a>, Fault> {
    match uri? {
        Uri::Sip(uri) => Ok(uri),
        _ => Err(Fault::new(416, "Unsupported URI Scheme", 0)),
    }
}
