//! The namespaces of Resource-Priority as data, and the one order that an element makes of their
//! values (RFC 4412 sections 8 to 10, RFC 7135).

use towel_core::contract::SettingFault;
use towel_message::{Message, Name};

/// What is done where resources are short (RFC 4412 section 4.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// A session of lower priority is ended.
    Preemption,
    /// The request waits.
    Queue,
}

/// A registered namespace.
#[derive(Debug, PartialEq, Eq)]
pub struct Namespace {
    /// Its name, as it is written.
    pub name: &'static str,
    /// Its values, the lowest first.
    pub levels: &'static [&'static str],
    /// What it is for.
    pub algorithm: Algorithm,
}

/// Those of RFC 4412 section 10 and RFC 7135 section 3.2.
pub static NAMESPACES: [Namespace; 6] = [
    Namespace { name: "esnet", levels: &["0", "1", "2", "3", "4"], algorithm: Algorithm::Queue },
    Namespace { name: "ets", levels: &["4", "3", "2", "1", "0"], algorithm: Algorithm::Queue },
    Namespace { name: "wps", levels: &["4", "3", "2", "1", "0"], algorithm: Algorithm::Queue },
    Namespace {
        name: "drsn",
        levels: &[
            "routine",
            "priority",
            "immediate",
            "flash",
            "flash-override",
            "flash-override-override",
        ],
        algorithm: Algorithm::Preemption,
    },
    Namespace {
        name: "dsn",
        levels: &["routine", "priority", "immediate", "flash", "flash-override"],
        algorithm: Algorithm::Preemption,
    },
    Namespace {
        name: "q735",
        levels: &["4", "3", "2", "1", "0"],
        algorithm: Algorithm::Preemption,
    },
];

/// A value of a registered namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Value {
    /// The namespace.
    pub namespace: &'static Namespace,
    /// Its place among the levels, from nought.
    pub level: usize,
}

impl Value {
    /// Reads `dsn.flash`, in any case (section 3.1).
    pub fn parse(text: &[u8]) -> Option<Value> {
        let (namespace, level) = split(text)?;
        let is = |name: &&str, text: &[u8]| name.as_bytes().eq_ignore_ascii_case(text);
        let namespace = NAMESPACES.iter().find(|one| is(&one.name, namespace))?;
        let level = namespace.levels.iter().position(|one| is(one, level))?;
        Some(Value { namespace, level })
    }

    /// Section 10.3: the highest value of `drsn` displaces its like, and defends itself like the one
    /// below.
    pub fn displaces_its_like(&self) -> bool {
        self.namespace.name == "drsn" && self.level + 1 == self.namespace.levels.len()
    }
}

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let level = self.namespace.levels.get(self.level).copied().unwrap_or_default();
        write!(f, "{}.{level}", self.namespace.name)
    }
}

/// The namespace and the priority of an r-value; `None` if it is none (section 3.1).
fn split(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let text = text.trim_ascii();
    let dot = text.iter().position(|byte| *byte == b'.')?;
    let (namespace, level) = (text.get(..dot)?, text.get(dot + 1..)?);
    let token = |part: &[u8]| {
        !part.is_empty()
            && part.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-!%*_+`'~".contains(byte))
    };
    (token(namespace) && token(level)).then_some((namespace, level))
}

/// One order for the values of all namespaces that an element knows (section 8.1), the highest first;
/// those of one step count the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    steps: Vec<Vec<Value>>,
    /// All of them as others are told.
    text: String,
}

impl Default for Order {
    fn default() -> Order {
        let all = NAMESPACES.iter().flat_map(|namespace| {
            (0..namespace.levels.len()).rev().map(move |level| vec![Value { namespace, level }])
        });
        Order::of(all.collect())
    }
}

impl Order {
    fn of(steps: Vec<Vec<Value>>) -> Order {
        let all = steps.iter().flatten().map(ToString::to_string);
        let text = all.collect::<Vec<_>>().join(", ");
        Order { steps, text }
    }

    /// Reads steps from the highest to the lowest: a namespace stands for all of its values, and `=`
    /// puts several on one step. The order within a namespace has to stay (section 8.3).
    pub fn parse<'a>(steps: impl Iterator<Item = &'a str>) -> Result<Order, SettingFault> {
        let fault = |about: String| SettingFault::new("order", about);
        let mut order = Vec::new();
        for step in steps {
            let name = step.trim();
            if let Some(namespace) = NAMESPACES.iter().find(|one| one.name == name) {
                let levels = (0..namespace.levels.len()).rev();
                order.extend(levels.map(|level| vec![Value { namespace, level }]));
                continue;
            }
            let values: Option<Vec<Value>> =
                step.split('=').map(|one| Value::parse(one.as_bytes())).collect();
            let unknown = || fault(format!("{name} is no value or namespace that is registered"));
            order.push(values.ok_or_else(unknown)?);
        }
        let all: Vec<(usize, Value)> = order
            .iter()
            .enumerate()
            .flat_map(|(at, step)| step.iter().map(move |value| (at, *value)))
            .collect();
        for (count, (at, value)) in all.iter().enumerate() {
            for (before, other) in all.iter().take(count) {
                let same = other.namespace == value.namespace;
                if same && (before == at || other.level <= value.level) {
                    return Err(fault(format!("{value} cannot come after {other}, or beside it")));
                }
            }
        }
        Ok(Order::of(order))
    }

    /// How high a value is: from one, the lowest; `None` if it is not known here. A request without any
    /// is below all (section 9).
    pub fn rank(&self, value: Value) -> Option<usize> {
        let at = self.steps.iter().position(|step| step.contains(&value))?;
        Some(self.steps.len() - at)
    }

    /// The values, the highest first: what Accept-Resource-Priority says.
    pub fn list(&self) -> &str {
        &self.text
    }

    /// The highest of these values and its rank.
    pub fn highest(&self, values: impl Iterator<Item = Value>) -> Option<(usize, Value)> {
        values
            .filter_map(|value| Some((self.rank(value)?, value)))
            .reduce(|best, one| if one.0 > best.0 { one } else { best })
    }
}

/// Whether a namespace is in a request twice, or a value is none (section 3.1).
pub fn is_malformed(request: &Message<'_>) -> bool {
    let values = || request.values(Name::ResourcePriority).map(|value| split(value.bytes));
    values().enumerate().any(|(at, value)| match value {
        None => true,
        Some((namespace, _)) => {
            values().take(at).flatten().any(|(before, _)| before.eq_ignore_ascii_case(namespace))
        }
    })
}

/// The values of a request that are registered.
pub fn of<'a>(request: &Message<'a>) -> impl Iterator<Item = Value> + use<'a> {
    request.values(Name::ResourcePriority).filter_map(|value| Value::parse(value.bytes))
}

/// The same of text.
pub fn of_text(list: &[u8]) -> impl Iterator<Item = Value> {
    list.split(|byte| *byte == b',').filter_map(Value::parse)
}
