//! The marks that the proxy leaves in messages and knows again. Those in its Via branches are here
//! (RFC 3261 section 16.6 step 8 as RFC 5393 section 4.2.1 rewrites it), those in its Record-Route
//! URIs in [`super::pass`].

use memchr::{memchr, memchr3};
use towel_message::{Message, Name, Uri};

use crate::hash::{Hasher, Key};
use crate::hex::{digits, read_hex};
use crate::io::Flow;

const LOOP: u8 = 2;
const ORIGIN: u8 = 3;
const STATELESS: u8 = 4;
const ADDRESS: u8 = 6;

/// How many characters a branch's mark has.
const BRANCH_DIGITS: usize = 20;
const LOOP_DIGITS: usize = 8;
const ORIGIN_DIGITS: usize = BRANCH_DIGITS - LOOP_DIGITS;
/// What stands before the mark in a branch: a character that no hexadecimal number has.
const BRANCH_LEAD: u8 = b'p';
/// The branch of a request that was forwarded without state: the cookie, what the stack makes of
/// our seed, and the mark. That of one with state is longer.
const STATELESS_BRANCH: usize = 7 + 17 + 1 + BRANCH_DIGITS;

/// The maker and judge of marks.
///
/// The key must outlive a restart, or the dialogs that are open then lose their way through us.
#[derive(Clone, Copy, Debug)]
pub struct Marks {
    key: Key,
    /// For flow tokens, which must not outlive the connections that they name.
    pub(super) flows: Key,
}

/// What a look at the Via header field values told of a request's earlier visits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Visits {
    /// It was here with the same Request-URI and Route: it loops (RFC 5393 section 4.2.2).
    pub looped: bool,
    /// It was here, and was let through then: a spiral.
    pub spiral: bool,
}

/// The part of a Via branch by which a loop is told from a spiral.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BranchMark {
    text: [u8; BRANCH_DIGITS + 1],
}

impl BranchMark {
    /// The characters to put behind the branch's unique part.
    pub fn as_bytes(&self) -> &[u8] {
        &self.text
    }
}

impl Marks {
    /// Marks made with a key, and a key of this run of the program.
    pub fn new(key: Key, flows: Key) -> Self {
        Self { key, flows }
    }

    /// The same with another key.
    pub fn with_key(self, key: Key) -> Self {
        Self { key, ..self }
    }

    pub(super) fn hasher(&self, domain: u8) -> Hasher {
        let mut hasher = Hasher::new(self.key);
        hasher.bytes(&[domain]);
        hasher
    }

    /// A number that stands for an address of record.
    pub(crate) fn address(&self, address_of_record: &[u8]) -> u64 {
        self.hasher(ADDRESS).field(address_of_record).finish()
    }

    /// The mark for the branches of a request, from the request as it was received.
    ///
    /// Neither the method nor the To tag count: CANCEL and the ACK for a non-2xx response must get
    /// the branch of their INVITE where they are forwarded statelessly.
    pub fn branch(&self, message: &Message<'_>, source: &Flow) -> BranchMark {
        let mut text = [BRANCH_LEAD; BRANCH_DIGITS + 1];
        let origin = self.origin_hash(&Origin::of(message));
        let looped = self.loop_hash(message, source, origin);
        let (looped, origin) = (digits(looped), digits(origin));
        let marks =
            looped.iter().skip(16 - LOOP_DIGITS).chain(origin.iter().skip(16 - ORIGIN_DIGITS));
        text.iter_mut().skip(1).zip(marks).for_each(|(place, digit)| *place = *digit);
        BranchMark { text }
    }

    fn loop_hash(&self, message: &Message<'_>, source: &Flow, origin: u64) -> u64 {
        let mut hasher = self.hasher(LOOP);
        hasher.bytes(&origin.to_le_bytes()).field(message.request_uri());
        if matches!(message.uri(), Ok(Uri::Sip(uri)) if uri.param("maddr").is_some()) {
            // What becomes of it depends on where it came in (section 16.4).
            hasher.field(source.transport.uri_token().as_bytes());
            hasher.bytes(&source.local.port().to_le_bytes());
        }
        for route in message.values(Name::Route) {
            hasher.field(route.bytes);
        }
        hasher.finish()
    }

    fn origin_hash(&self, origin: &Origin<'_>) -> u64 {
        let mut hasher = self.hasher(ORIGIN);
        origin.add(&mut hasher);
        hasher.finish()
    }

    /// Looks for our own marks among a request's Via header field values.
    pub fn visits(&self, message: &Message<'_>, source: &Flow) -> Visits {
        let mut visits = Visits::default();
        let mut hashes = None;
        for via in message.values(Name::Via) {
            let Some(mark) = branch_mark(via.bytes) else {
                continue;
            };
            let (looped, origin) = *hashes.get_or_insert_with(|| {
                let origin = self.origin_hash(&Origin::of(message));
                (
                    low(self.loop_hash(message, source, origin), LOOP_DIGITS),
                    low(origin, ORIGIN_DIGITS),
                )
            });
            let (theirs, rest) = mark.split_at(LOOP_DIGITS);
            if read_hex(rest, ORIGIN_DIGITS) != Some(origin) {
                continue;
            }
            visits.spiral = true;
            visits.looped |= read_hex(theirs, LOOP_DIGITS) == Some(looped);
        }
        visits
    }

    /// What the branch of a statelessly forwarded request follows from (RFC 3261 section 16.11):
    /// the same for a retransmission, for a CANCEL and for the ACK of a non-2xx response.
    pub fn stateless_seed(&self, message: &Message<'_>) -> [u8; 8] {
        let mut hasher = self.hasher(STATELESS);
        let top = message.values(Name::Via).next().map(|via| via.bytes).unwrap_or_default();
        match branch_of(top) {
            Some(branch) if branch.get(..7).is_some_and(|c| c.eq_ignore_ascii_case(b"z9hG4bK")) => {
                // Two clients may choose one branch; their sent-by tells them apart.
                let sent_by = top.split(|b| *b == b';').next().unwrap_or_default();
                hasher.field(branch).field(sent_by);
            }
            _ => {
                hasher.field(top).field(message.to_tag().unwrap_or_default());
                hasher.field(message.request_uri());
                Origin::of(message).add(&mut hasher);
            }
        }
        hasher.finish().to_le_bytes()
    }

    /// Whether a response is one to a request that we forwarded without state: our mark in its
    /// topmost Via says so.
    pub fn is_stateless(&self, response: &Message<'_>) -> bool {
        let Some(top) = response.values(Name::Via).next() else { return false };
        let Some(mark) = branch_mark(top.bytes) else { return false };
        let whole = branch_of(top.bytes).map_or(0, <[u8]>::len);
        let origin = low(self.origin_hash(&Origin::of(response)), ORIGIN_DIGITS);
        whole == STATELESS_BRANCH
            && mark.get(LOOP_DIGITS..).and_then(|text| read_hex(text, ORIGIN_DIGITS))
                == Some(origin)
    }
}

/// What is the same in a request, in what it becomes on its way, and in its responses.
struct Origin<'a> {
    call_id: &'a [u8],
    from: &'a [u8],
    tag: &'a [u8],
    number: u32,
}

impl<'a> Origin<'a> {
    fn of(message: &Message<'a>) -> Self {
        Self {
            call_id: message.call_id().unwrap_or_default(),
            // Who has proved to be somebody has not proved to be anybody else.
            from: message.from().map(|from| from.uri).unwrap_or_default(),
            tag: message.from_tag().unwrap_or_default(),
            number: message.cseq().map(|cseq| cseq.number).unwrap_or_default(),
        }
    }

    fn add(&self, hasher: &mut Hasher) {
        hasher.field(self.call_id).field(self.from).field(self.tag);
        hasher.bytes(&self.number.to_le_bytes());
    }
}

/// The mark in a Via value's branch, if there is something that looks like one.
fn branch_mark(via: &[u8]) -> Option<&[u8]> {
    let branch = branch_of(via)?;
    let lead = branch.len().checked_sub(BRANCH_DIGITS + 1)?;
    let (first, mark) = branch.get(lead..)?.split_first()?;
    (*first == BRANCH_LEAD).then_some(mark)
}

/// The branch of a Via value. Values of elements that write theirs oddly are passed over, not
/// complained about (RFC 5393 section 4.2.4).
pub(crate) fn branch_of(via: &[u8]) -> Option<&[u8]> {
    const NAME: &[u8] = b"branch=";
    let start = memchr(b';', via)?;
    let params = via.get(start..)?;
    if memchr3(b' ', b'\t', b'\r', params).is_some() {
        return branch_of_odd(via);
    }
    let mut rest = params;
    loop {
        rest = rest.get(1..)?;
        if rest.get(..NAME.len()).is_some_and(|name| name.eq_ignore_ascii_case(NAME)) {
            let value = rest.get(NAME.len()..)?;
            return value.get(..memchr(b';', value).unwrap_or(value.len()));
        }
        rest = rest.get(memchr(b';', rest)?..)?;
    }
}

fn branch_of_odd(via: &[u8]) -> Option<&[u8]> {
    via.split(|b| *b == b';').skip(1).find_map(|param| {
        let at = param.iter().position(|b| *b == b'=')?;
        let (name, value) = param.split_at(at);
        name.trim_ascii()
            .eq_ignore_ascii_case(b"branch")
            .then(|| value.get(1..).unwrap_or_default().trim_ascii())
    })
}

pub(super) fn low(value: u64, digits: usize) -> u64 {
    if digits >= 16 { value } else { value & ((1 << (4 * digits)) - 1) }
}

/// Writes the low `digits` hexadecimal digits, a spelling that any element copies unharmed even
/// where it folds the case of tokens.
pub(super) fn write_hex(value: u64, count: usize, out: &mut Vec<u8>) {
    let all = digits(value);
    out.extend_from_slice(all.get(all.len() - count.min(all.len())..).unwrap_or(&all));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn either_way_finds_the_same_branch(
            head in r"(SIP/2\.0/UDP h|)",
            params in r"(;( |)(branch|BRANCH|rport|br|)( |)(=( |)(z9hG4bK[a-c]{0,3}|1|\t)( |)|)){0,4}",
        ) {
            let via = format!("{head}{params}");
            prop_assert_eq!(branch_of(via.as_bytes()), branch_of_odd(via.as_bytes()));
        }
    }
}
