//! The matching of RFC 3841 section 7.2.4: one target against all preferences.

use towel_message::{Message, Name, NameAddr};

use crate::infrastructure::capabilities::syntax::Features;

/// Section 11: a reasonable number of preferences.
pub(super) const MOST: usize = 20;

/// One value of Accept-Contact.
pub(super) struct Accept<'a> {
    features: Features<'a>,
    require: bool,
    explicit: bool,
}

/// What a request prefers.
pub(super) struct Preferences<'a> {
    accept: Vec<Accept<'a>>,
    reject: Vec<Features<'a>>,
    /// Whether the caller said so, rather than the method and the event package implying it.
    pub(super) explicit: bool,
}

impl<'a> Preferences<'a> {
    /// Sections 7.2.1 and 7.2.2; `None` if there are too many.
    pub(super) fn of(request: &Message<'a>) -> Option<Self> {
        let explicit = request.has(Name::AcceptContact) || request.has(Name::RejectContact);
        let values = |name| {
            // Only `*` stands before the parameters; anything else is none of this syntax.
            request
                .values(name)
                .filter_map(|value| NameAddr::parse(value.bytes).ok())
                .filter(NameAddr::is_star)
        };
        if !explicit {
            return Some(Self { accept: vec![implied(request)], reject: Vec::new(), explicit });
        }
        let count = [Name::AcceptContact, Name::RejectContact]
            .map(|name| request.values(name).count())
            .iter()
            .sum::<usize>();
        if count > MOST {
            return None;
        }
        let accept = values(Name::AcceptContact).map(|value| Accept {
            features: Features::of(value.params),
            require: value.params.has("require"),
            explicit: value.params.has("explicit"),
        });
        let reject = values(Name::RejectContact).map(|value| Features::of(value.params));
        Some(Self { accept: accept.collect(), reject: reject.collect(), explicit })
    }

    /// The preference Qa for a target with these capabilities, in thousandths; `None` if the
    /// target is not wanted.
    pub(super) fn score(&self, target: &Features<'_>) -> Option<u32> {
        let rejected = self.reject.iter().any(|reject| {
            // A rejection that names a feature the target says nothing of does not count; one
            // that names no feature at all would reject everybody, which nobody can mean.
            !reject.is_empty() && reject.named_by(target) == reject.len() && reject.matches(target)
        });
        if rejected {
            return None;
        }
        let mut sum = 0;
        let mut count = 0;
        for accept in &self.accept {
            if !accept.features.matches(target) {
                if accept.require {
                    return None;
                }
                continue;
            }
            let terms = accept.features.len();
            let named = accept.features.named_by(target);
            let score = match (named < terms, accept.explicit, accept.require) {
                (true, true, true) => return None,
                (true, true, false) => 0,
                _ => u32::try_from(named * 1000 / terms.max(1)).unwrap_or(1000),
            };
            sum += if terms == 0 { 1000 } else { score };
            count += 1;
        }
        // Without any preference that fits, nothing speaks for the target; without any at all
        // nothing speaks against it.
        Some(if self.accept.is_empty() { 1000 } else { sum / count.max(1) })
    }
}

/// Section 7.2.2: the method, and for a subscription the event package.
fn implied<'a>(request: &Message<'a>) -> Accept<'a> {
    let method = request.method().as_bytes();
    let mut features = Features::token(b"methods", method);
    if matches!(method, b"SUBSCRIBE" | b"REFER") {
        let event = request
            .value(Name::Event)
            .map(|value| value.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii());
        if let Some(package) = event.filter(|package| !package.is_empty()) {
            features.join(Features::token(b"events", package));
        }
    }
    Accept { features, require: true, explicit: false }
}
