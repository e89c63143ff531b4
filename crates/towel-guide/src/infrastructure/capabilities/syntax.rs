//! Feature parameters (RFC 3840 section 9) as sets of values, and how two sets meet
//! (RFC 3841 sections 7.2.4 and 8, after RFC 2533).

use towel_message::Params;

/// The base tags, which stand without a plus.
pub const BASE: &[&str] = &[
    "audio",
    "automata",
    "class",
    "duplex",
    "data",
    "control",
    "mobility",
    "description",
    "events",
    "priority",
    "methods",
    "extensions",
    "schemes",
    "application",
    "video",
    "language",
    "type",
    "isfocus",
    "actor",
    "text",
];

/// Whether a parameter of Contact, Accept-Contact or Reject-Contact is a feature parameter.
pub fn is_feature(name: &[u8]) -> bool {
    name.len() > 1 && name.first() == Some(&b'+')
        || BASE.iter().any(|base| base.as_bytes().eq_ignore_ascii_case(name))
}

/// One value of a feature.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Value<'a> {
    /// A token or a boolean: compared without regard to case.
    Token(&'a [u8]),
    /// A string: compared byte by byte.
    Text(&'a [u8]),
    /// Numbers from the first to the second, ends included.
    Range(f64, f64),
    /// What cannot be read: meets nothing.
    Unreadable,
}

/// One value, and whether it is negated.
type Term<'a> = (bool, Value<'a>);

/// One feature parameter.
#[derive(Debug, Clone)]
pub struct Feature<'a> {
    name: &'a [u8],
    terms: Vec<Term<'a>>,
}

/// A conjunction of features: what one Contact, Accept-Contact or Reject-Contact value says.
#[derive(Debug, Clone, Default)]
pub struct Features<'a>(Vec<Feature<'a>>);

impl<'a> Features<'a> {
    /// The feature parameters among these; a second one of the same name is passed over
    /// (RFC 3841 section 10: there can only be one).
    pub fn of(params: Params<'a>) -> Self {
        let mut list: Vec<Feature<'a>> = Vec::new();
        for param in params.iter().filter(|param| is_feature(param.name)) {
            if list.iter().any(|have| have.name.eq_ignore_ascii_case(param.name)) {
                continue;
            }
            list.push(Feature { name: param.name, terms: terms(param.value) });
        }
        Self(list)
    }

    /// A conjunction with one feature of one token.
    pub fn token(name: &'static [u8], value: &'a [u8]) -> Self {
        Self(vec![Feature { name, terms: vec![(false, Value::Token(value))] }])
    }

    /// Adds the features of another conjunction.
    pub fn join(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// How many features there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn get(&self, name: &[u8]) -> Option<&Feature<'a>> {
        self.0.iter().find(|feature| feature.name.eq_ignore_ascii_case(name))
    }

    /// Whether both can hold: every feature that both name has a value that suits both. A
    /// feature that only one names is no obstacle.
    pub fn matches(&self, other: &Features<'_>) -> bool {
        self.0.iter().all(|mine| match other.get(mine.name) {
            None => true,
            Some(theirs) => mine.terms.iter().any(|a| theirs.terms.iter().any(|b| meet(*a, *b))),
        })
    }

    /// How many of these features the other names at all.
    pub fn named_by(&self, other: &Features<'_>) -> usize {
        self.0.iter().filter(|mine| other.get(mine.name).is_some()).count()
    }
}

/// The values of a parameter: none means TRUE; a quoted list is a disjunction.
fn terms(value: Option<&[u8]>) -> Vec<Term<'_>> {
    let Some(value) = value else { return vec![(false, Value::Token(b"TRUE"))] };
    let inner =
        value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(value);
    if let Some(text) = inner.strip_prefix(b"<").and_then(|rest| rest.strip_suffix(b">")) {
        return vec![(false, Value::Text(text))];
    }
    inner.split(|byte| *byte == b',').map(|one| term(one.trim_ascii())).collect()
}

fn term(one: &[u8]) -> Term<'_> {
    let (negated, rest) = match one.strip_prefix(b"!") {
        Some(rest) => (true, rest),
        None => (false, one),
    };
    let value = match rest.strip_prefix(b"#") {
        None => Value::Token(rest),
        Some(numeric) => range(numeric).unwrap_or(Value::Unreadable),
    };
    (negated, value)
}

/// `=1`, `>=1`, `<=1` or `1:2`.
fn range(text: &[u8]) -> Option<Value<'_>> {
    let number = |bytes: &[u8]| -> Option<f64> {
        let text = std::str::from_utf8(bytes.trim_ascii()).ok()?;
        let plain = text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.".contains(&byte));
        text.parse().ok().filter(|value: &f64| plain && value.is_finite())
    };
    if let Some(rest) = text.strip_prefix(b">=") {
        return Some(Value::Range(number(rest)?, f64::INFINITY));
    }
    if let Some(rest) = text.strip_prefix(b"<=") {
        return Some(Value::Range(f64::NEG_INFINITY, number(rest)?));
    }
    if let Some(rest) = text.strip_prefix(b"=") {
        let value = number(rest)?;
        return Some(Value::Range(value, value));
    }
    let colon = text.iter().position(|byte| *byte == b':')?;
    Some(Value::Range(number(text.get(..colon)?)?, number(text.get(colon + 1..)?)?))
}

/// Whether some value suits both terms.
fn meet(a: Term<'_>, b: Term<'_>) -> bool {
    match (a, b) {
        ((_, Value::Unreadable), _) | (_, (_, Value::Unreadable)) => false,
        ((not_a, Value::Range(low, high)), (not_b, Value::Range(from, to))) => {
            match (not_a, not_b) {
                (false, false) => low <= to && from <= high,
                // Outside of one and inside the other: some part of the other must stick out.
                (true, false) => from < low || to > high,
                (false, true) => low < from || high > to,
                (true, true) => true,
            }
        }
        ((false, x), (false, y)) => same(x, y),
        ((true, x), (false, y)) | ((false, x), (true, y)) => !same(x, y),
        // Two exclusions leave room for a third value, except among the two booleans.
        ((true, x), (true, y)) => same(x, y) || !(boolean(x) && boolean(y)),
    }
}

fn same(a: Value<'_>, b: Value<'_>) -> bool {
    match (a, b) {
        (Value::Token(a), Value::Token(b)) => a.eq_ignore_ascii_case(b),
        (Value::Text(a), Value::Text(b)) => a == b,
        _ => false,
    }
}

fn boolean(value: Value<'_>) -> bool {
    matches!(value, Value::Token(token)
        if token.eq_ignore_ascii_case(b"TRUE") || token.eq_ignore_ascii_case(b"FALSE"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(a: &str, b: &str) -> bool {
        let a = Features::of(Params::new(a.as_bytes()));
        let b = Features::of(Params::new(b.as_bytes()));
        assert_eq!(a.matches(&b), b.matches(&a), "not the same both ways");
        a.matches(&b)
    }

    #[test]
    fn features_are_told_apart() {
        assert!(is_feature(b"Audio") && is_feature(b"+sip.message"));
        assert!(!is_feature(b"expires") && !is_feature(b"q") && !is_feature(b"+"));
    }

    #[test]
    fn tokens_strings_and_booleans() {
        assert!(matches(";audio", ";audio=\"TRUE\""));
        assert!(!matches(";audio", ";audio=\"FALSE\""));
        assert!(matches(";methods=\"INVITE,BYE\"", ";methods=\"bye\""));
        assert!(!matches(";methods=\"INVITE\"", ";methods=\"BYE\""));
        assert!(matches(";description=\"<PC>\"", ";description=\"<PC>\""));
        assert!(!matches(";description=\"<PC>\"", ";description=\"<pc>\""));
        assert!(matches(";audio", ";video"));
    }

    #[test]
    fn negations() {
        assert!(!matches(";class=\"!business\"", ";class=\"business\""));
        assert!(matches(";class=\"!business\"", ";class=\"personal\""));
        assert!(matches(";class=\"!business\"", ";class=\"!personal\""));
        assert!(!matches(";audio=\"!TRUE\"", ";audio=\"!FALSE\""));
        assert!(matches(";events=\"!presence,message-summary\"", ";events=\"message-summary\""));
    }

    #[test]
    fn numbers() {
        assert!(matches(";+rate=\"#-4:+5.125\"", ";+rate=\"#=5\""));
        assert!(!matches(";+rate=\"#-4:5\"", ";+rate=\"#>=6\""));
        assert!(matches(";+rate=\"#<=2\"", ";+rate=\"#1:9\""));
        assert!(matches(";+rate=\"!#<=2\"", ";+rate=\"#1:9\""));
        assert!(!matches(";+rate=\"!#1:9\"", ";+rate=\"#2:3\""));
        assert!(!matches(";+rate=\"#inf\"", ";+rate=\"#=1\""));
        assert!(!matches(";+rate=\"fast\"", ";+rate=\"#=1\""));
    }
}
