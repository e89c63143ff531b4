//! The entries of History-Info: read, put in order, written (RFC 7044 section 5).

use towel_message::uri::{equivalent, unescape};
use towel_message::{Message, Name, NameAddr, Uri};

/// The most entries that are kept of one request. A request that has been through more than these is
/// in a loop.
const MOST: usize = 128;
/// The deepest index that is read.
const DEEPEST: usize = 64;

/// An hi-index: one number for each hop, that of the branch there (section 10.3).
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Index(Vec<u32>);

impl Index {
    /// The first of a request.
    pub fn first() -> Index {
        Index(vec![1])
    }

    /// Reads `1.2.1`.
    pub fn parse(text: &[u8]) -> Option<Index> {
        let number = |part: &[u8]| -> Option<u32> {
            let digits = !part.is_empty() && part.iter().all(u8::is_ascii_digit);
            std::str::from_utf8(part).ok().filter(|_| digits)?.parse().ok()
        };
        let numbers: Option<Vec<u32>> = text.split(|byte| *byte == b'.').map(number).collect();
        numbers.filter(|numbers| numbers.len() <= DEEPEST).map(Index)
    }

    /// One hop further, on the branch of this number.
    #[must_use]
    pub fn branch(&self, number: u32) -> Index {
        let mut numbers = self.0.clone();
        numbers.push(number);
        Index(numbers)
    }

    /// Whether there is a nought in it: a hop that wrote nothing (section 10.3 rule 6).
    pub fn has_gap(&self) -> bool {
        self.0.contains(&0)
    }
}

impl std::fmt::Display for Index {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (at, number) in self.0.iter().enumerate() {
            write!(f, "{}{number}", if at == 0 { "" } else { "." })?;
        }
        Ok(())
    }
}

/// One entry: a URI that the request was sent to, and how it came to that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The URI, with what is said of it (Reason, Privacy) in its headers.
    pub uri: Vec<u8>,
    /// Where it stands in the tree.
    pub index: Index,
    /// Everything in front of the URI and after it, as it came.
    display: Vec<u8>,
    params: Vec<u8>,
}

impl Entry {
    /// An entry of our own; `mechanism` is `;rc=1` and the like, or nothing.
    pub fn new(uri: &[u8], index: Index, mechanism: &str) -> Entry {
        let params = format!(";index={index}{mechanism}").into_bytes();
        Entry { uri: uri.to_vec(), index, display: Vec::new(), params }
    }

    /// Reads one value; one without a readable index is none.
    pub fn parse(value: &[u8]) -> Option<Entry> {
        let address = NameAddr::parse(value).ok().filter(|address| address.bracketed)?;
        let index = Index::parse(address.param("index")??)?;
        Some(Entry {
            uri: address.uri.to_vec(),
            index,
            display: address.display.unwrap_or_default().to_vec(),
            params: address.params.bytes().to_vec(),
        })
    }

    /// The value to write.
    pub fn value(&self) -> Vec<u8> {
        let mut value = Vec::with_capacity(self.uri.len() + self.params.len() + 2);
        value.extend_from_slice(&self.display);
        if !self.display.is_empty() {
            value.push(b' ');
        }
        value.push(b'<');
        value.extend_from_slice(&self.uri);
        value.push(b'>');
        value.extend_from_slice(&self.params);
        value
    }

    /// The index that a parameter (`rc`, `mp`, `np`) names.
    pub fn reference(&self, name: &str) -> Option<Index> {
        let params = towel_message::Params::new(&self.params);
        Index::parse(params.value(name)?)
    }

    /// The URI without its headers.
    pub fn target(&self) -> &[u8] {
        bare(&self.uri)
    }

    /// The values of a header in the URI, unescaped.
    pub fn headers(&self, name: &str) -> Vec<Vec<u8>> {
        let Ok(Uri::Sip(sip)) = Uri::parse(&self.uri) else { return Vec::new() };
        let named =
            sip.headers.iter().filter(|(have, _)| have.eq_ignore_ascii_case(name.as_bytes()));
        named
            .map(|(_, value)| {
                let mut plain = Vec::new();
                unescape(value, &mut plain);
                plain
            })
            .collect()
    }

    /// Adds a header to the URI; one that is there already is not added again. Only a SIP URI has room
    /// for them (section 5).
    pub fn add_header(&mut self, name: &str, value: &[u8]) {
        if !matches!(Uri::parse(&self.uri), Ok(Uri::Sip(_)))
            || self.headers(name).iter().any(|have| have == value)
        {
            return;
        }
        self.uri.push(if self.target().len() == self.uri.len() { b'?' } else { b'&' });
        self.uri.extend_from_slice(name.as_bytes());
        self.uri.push(b'=');
        for byte in value {
            if byte.is_ascii_alphanumeric() || b"-_.!~*'()".contains(byte) {
                self.uri.push(*byte);
            } else {
                self.uri.extend_from_slice(format!("%{byte:02X}").as_bytes());
            }
        }
    }

    /// Whether it asks for privacy itself (section 10.1.1).
    pub fn is_private(&self) -> bool {
        let says = |value: &Vec<u8>| {
            value
                .split(|byte| matches!(byte, b';' | b','))
                .any(|one| one.trim_ascii().eq_ignore_ascii_case(b"history"))
        };
        self.headers("Privacy").iter().any(says)
    }

    /// Takes Privacy out of the URI's headers, and if `anonymous` what the URI tells as well (section
    /// 10.1.2). Why the request went on stays.
    pub fn uncover(&mut self, anonymous: bool) {
        let reasons = self.headers("Reason");
        let hidden = self.target().ends_with(b"anonymous.invalid");
        if anonymous && !hidden {
            self.uri = b"sip:anonymous@anonymous.invalid".to_vec();
            self.display.clear();
        } else if !self.headers("Privacy").is_empty() {
            self.uri.truncate(self.target().len());
        } else {
            return;
        }
        for reason in reasons {
            self.add_header("Reason", &reason);
        }
    }
}

/// A URI without its headers.
pub fn bare(uri: &[u8]) -> &[u8] {
    let headers = match Uri::parse(uri) {
        Ok(Uri::Sip(sip)) => sip.headers.bytes().len(),
        _ => 0,
    };
    uri.get(..uri.len() - headers).unwrap_or(uri)
}

/// Whether two URIs are one, whatever headers they have.
pub fn same(a: &[u8], b: &[u8]) -> bool {
    let (a, b) = (bare(a), bare(b));
    a == b
        || match (Uri::parse(a), Uri::parse(b)) {
            (Ok(a), Ok(b)) => equivalent(&a, &b),
            _ => false,
        }
}

/// The entries of a message, and those that were learnt since, in the order of their indices.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History(Vec<Entry>);

impl History {
    /// What a message says, in its order. What cannot be read is left out.
    pub fn of(message: &Message<'_>) -> History {
        let values = message.values(Name::HistoryInfo);
        History(values.filter_map(|value| Entry::parse(value.bytes)).take(MOST).collect())
    }

    /// Section 9.1: what a request says, with an entry for its Request-URI where whoever sent it wrote
    /// none.
    pub fn received(request: &Message<'_>, domain: &str) -> History {
        let mut history = History::of(request);
        let uri = request.request_uri();
        let target = as_sip(uri, domain);
        let index = match history.0.last() {
            None => Index::first(),
            Some(last) if same(&last.uri, uri) || same(&last.uri, &target) => return history,
            Some(last) => last.index.branch(0),
        };
        history.push(Entry::new(&target, index, ""));
        history
    }

    /// The entries.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Entry> {
        self.0.iter()
    }

    /// The last one.
    pub fn last(&self) -> Option<&Entry> {
        self.0.last()
    }

    /// The last one, to change.
    pub fn last_mut(&mut self) -> Option<&mut Entry> {
        self.0.last_mut()
    }

    /// The one of this index.
    pub fn at(&self, index: &Index) -> Option<&Entry> {
        self.0.iter().find(|entry| entry.index == *index)
    }

    fn push(&mut self, entry: Entry) {
        if self.0.len() < MOST {
            self.0.push(entry);
        }
    }

    /// Puts one in its place (section 9.3); those of one index stay in the order in which they came.
    /// One that is there is not put in again.
    pub fn insert(&mut self, entry: Entry) {
        let known = |have: &Entry| have.index == entry.index && same(&have.uri, &entry.uri);
        if self.0.iter().any(known) || self.0.len() >= MOST {
            return;
        }
        let after = self.0.iter().rposition(|have| have.index <= entry.index);
        self.0.insert(after.map_or(0, |at| at + 1), entry);
    }

    /// Says why the request went on from the entry of this index (section 10.2).
    pub fn add_reason(&mut self, index: &Index, reason: &[u8]) {
        if let Some(entry) = self.0.iter_mut().rev().find(|entry| entry.index == *index) {
            entry.add_header("Reason", reason);
        }
    }

    /// What an element outside may see (section 10.1.2): of those entries that `ours` knows, none if
    /// `all`, and otherwise those that ask for no privacy.
    pub fn uncover(&mut self, all: bool, ours: impl Fn(&[u8]) -> bool) {
        // A Contact that one of our users was reached at is as much ours as the user.
        let owned = |entry: &Entry| {
            let mapped = entry.reference("rc").and_then(|index| self.at(&index));
            ours(entry.target()) || mapped.is_some_and(|before| ours(before.target()))
        };
        let owned: Vec<bool> = self.0.iter().map(owned).collect();
        for (entry, owned) in self.0.iter_mut().zip(owned) {
            let hide = owned && (all || entry.is_private());
            entry.uncover(hide);
        }
    }

    /// Whether not all that happened is in it (section 11).
    pub fn has_gaps(&self) -> bool {
        let missing = |entry: &Entry| {
            let mut parent = entry.index.clone();
            parent.0.pop();
            !parent.0.is_empty() && self.at(&parent).is_none()
        };
        self.0.iter().any(|entry| entry.index.has_gap() || missing(entry))
    }

    /// Who was called first: the URI that the first entry with `rc` was made of (section 12.1).
    pub fn called_first(&self) -> Option<&Entry> {
        let index = self.0.iter().find_map(|entry| entry.reference("rc"))?;
        self.at(&index)
    }

    /// Who was called last, before a Contact of theirs was taken (section 12.2).
    pub fn called_last(&self) -> Option<&Entry> {
        let index = self.0.iter().rev().find_map(|entry| entry.reference("rc"))?;
        self.at(&index)
    }
}

/// A tel URI as a SIP URI of this domain (RFC 3261 section 19.1.6); another one as it is.
pub fn as_sip(uri: &[u8], domain: &str) -> Vec<u8> {
    let number = match uri.get(..4) {
        Some(scheme) if scheme.eq_ignore_ascii_case(b"tel:") => uri.get(4..).unwrap_or_default(),
        _ => return uri.to_vec(),
    };
    let mut sip = b"sip:".to_vec();
    sip.extend_from_slice(number);
    if domain.is_empty() {
        return uri.to_vec();
    }
    sip.push(b'@');
    sip.extend_from_slice(domain.as_bytes());
    sip.extend_from_slice(b";user=phone");
    sip
}
