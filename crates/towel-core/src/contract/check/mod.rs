//! The check of declarations against RFC 4485, the guidelines for authors of SIP extensions.
//!
//! [`check`] walks all declarations of an element, those of other people's crates among them.
//! It says what RFC 4485 asks for and the declaration does not give; each finding names the
//! section. What the guidelines recommend is a [`Weight::Should`], what they demand a
//! [`Weight::Must`].

mod names;
mod parts;
#[cfg(test)]
mod tests;

use std::fmt;

use super::behaviour::Stage;
use super::declaration::{Acts, Category, Extension, FlowKind, Proof, Wake};
use super::registry::MOST_EXTENSIONS;

/// How much a finding weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// Recommended.
    Should,
    /// Demanded.
    Must,
}

macro_rules! asked {
    ($($(#[$doc:meta])* $name:ident, $section:literal, $weight:ident;)*) => {
        /// What RFC 4485, or this house, asks of a declaration.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Asked {
            $($(#[$doc])* $name,)*
        }

        impl Asked {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The section of RFC 4485, or of the document named.
            pub const fn section(self) -> &'static str {
                match self { $(Self::$name => $section,)* }
            }

            /// Whether it is demanded or recommended.
            pub const fn weight(self) -> Weight {
                match self { $(Self::$name => Weight::$weight,)* }
            }
        }
    };
}

asked! {
    /// The id is a lower-case token.
    Id, "4485 4.4", Must;
    /// The title says that SIP is extended, with the name written out.
    Title, "4485 4.9", Must;
    /// The title describes rather than naming a header field.
    TitleDescribes, "4485 4.9", Should;
    /// A document is named.
    Documents, "4485 4.4", Must;
    /// There is an overview.
    Overview, "4485 4.7", Should;
    /// The overview is a tutorial: no words of obligation.
    OverviewTutorial, "4485 4.7", Should;
    /// What the extension does to security is said.
    Security, "4485 4.2", Must;
    /// Interactions with each of the five features are said.
    Interactions, "4485 5", Should;
    /// How peers without the extension are served is said.
    Compatibility, "4485 4.11", Must;
    /// What a UAC does is said.
    Uac, "4485 4.5", Must;
    /// What a UAS does is said.
    Uas, "4485 4.5", Must;
    /// What a proxy does is said.
    Proxy, "4485 4.5", Must;
    /// Option tags are tokens.
    OptionTagToken, "4485 4.1", Must;
    /// A tag that is ever required has a fallback after a 420.
    Fallback, "4485 4.1", Should;
    /// Proxy-Require is avoided.
    ProxyRequire, "4485 4.1", Should;
    /// Methods are tokens.
    MethodToken, "4485 4.4", Must;
    /// Methods are in capitals.
    MethodCapitals, "4485 4.4", Should;
    /// Methods are shorter than ten characters.
    MethodLength, "4485 4.4", Should;
    /// What bodies of the method mean is said.
    MethodBodies, "4485 4.10", Should;
    /// Whether transactions of the method may overlap is said.
    MethodOverlap, "4485 4.10", Should;
    /// New methods cannot be cancelled.
    MethodCancel, "4485 4.10", Must;
    /// New methods are answered at once.
    MethodImmediate, "4485 4.10", Must;
    /// Proxies need not understand a new method.
    MethodProxies, "4485 3.2", Must;
    /// A method that creates dialogs discusses forking.
    MethodForking, "4485 4.10", Must;
    /// A method that creates dialogs has an immediate request in the reverse direction.
    MethodReverse, "4485 4.10", Should;
    /// Names of header fields are tokens with a letter in them.
    FieldToken, "4485 4.4", Must;
    /// Each word of a header field's name has its first letter capitalised.
    FieldCapitals, "4485 4.4", Should;
    /// Names of header fields are reasonably brief.
    FieldBrief, "4485 4.4", Should;
    /// A compact form is one letter.
    CompactLetter, "4485 4.4", Must;
    /// A compact form is not taken.
    CompactFree, "4485 4.4", Must;
    /// Only a heavily used header field with a name of more than six characters has one.
    CompactUse, "4485 4.4", Should;
    /// A grammar is defined or referenced, with document and section.
    Grammar, "4485 4.4", Must;
    /// A header field with dates uses SIP-date.
    Dates, "4485 4.4", Must;
    /// Header fields allow parameters that are not known yet.
    Extensible, "4485 4.4", Should;
    /// Header fields that hold URIs say of which schemes, and why not of others.
    Schemes, "4485 4.4", Should;
    /// A header field has rows of Table 2/3.
    Rows, "4485 4.11", Must;
    /// A row has a cell for every known method.
    Cells, "4485 4.11", Must;
    /// A row allows the header field somewhere.
    RowUseful, "4485 4.11", Must;
    /// The proxy column holds only a, m, d and r.
    ProxyColumn, "3261 20", Must;
    /// The codes of a where column are status codes in order.
    WhereColumn, "3261 20", Must;
    /// A parameter of a header field is a token on a declared header field.
    FieldParameter, "3968 4", Must;
    /// A URI parameter is a token.
    UriParameter, "3969 4", Must;
    /// A response code is a three-digit number from 100 to 699 with a phrase.
    ResponseCode, "3261 21", Must;
    /// A final response code says what it does to a dialog.
    ResponseEffect, "4485 5 and 5057", Should;
    /// A warn code is a 3xx number with a text.
    WarnCode, "3261 20.43", Must;
    /// An event package has a name that is a token, body types and a default expiry.
    Package, "6665 7.2", Must;
    /// A body type is a media type.
    BodyType, "4485 4.12", Must;
    /// A new body type is optional for the receiver, or it is said why not.
    BodyOptional, "4485 4.1", Should;
    /// Feature tags, Info packages and dispositions are tokens.
    OtherToken, "4485 4.4", Must;
    /// What only a standards-track document can register is declared by one.
    Registration, "4485 4.8", Must;
    /// A flow shows the common case.
    CommonFlow, "4485 4.6", Should;
    /// A flow shows a failure or an unusual case.
    FailureFlow, "4485 4.6", Should;
    /// Nothing is declared twice.
    Twice, "4485 4.4", Must;
    /// What it needs is there.
    Needs, "4485 3.2", Must;
    /// What it conflicts with is not there.
    Conflicts, "4485 3.2", Must;
    /// Rules have a section, a role and a text; what they cite as proof is declared.
    Rules, "4485 4.5", Must;
    /// Something calls it if it acts, and what calls it is declared.
    Wakes, "4485 4.5", Must;
    /// Settings say what they do.
    Settings, "4485 4.5", Must;
    /// There are no more extensions than a registry holds.
    Count, "4485 4.5", Must;
}

/// Something that a declaration does not give.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The extension's id.
    pub extension: &'static str,
    /// What was asked.
    pub asked: Asked,
    /// What is wrong.
    pub text: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let weight = match self.asked.weight() {
            Weight::Must => "must",
            Weight::Should => "should",
        };
        write!(f, "{}: {} ({weight}, RFC {})", self.extension, self.text, self.asked.section())
    }
}

/// Collects the findings of one extension.
struct Findings<'a> {
    of: &'static str,
    list: &'a mut Vec<Finding>,
}

impl Findings<'_> {
    fn say(&mut self, asked: Asked, text: impl Into<String>) {
        self.list.push(Finding { extension: self.of, asked, text: text.into() });
    }

    /// Says it unless `given`.
    fn ask(&mut self, given: bool, asked: Asked, text: impl FnOnce() -> String) {
        if !given {
            self.say(asked, text());
        }
    }
}

/// Holds the declarations against RFC 4485; nothing to say is an empty list.
pub fn check(extensions: &[&Extension]) -> Vec<Finding> {
    let mut list = Vec::new();
    for extension in extensions {
        let mut found = Findings { of: extension.id, list: &mut list };
        texts(extension, &mut found);
        parts::check(extension, extensions, &mut found);
        relations(extension, extensions, &mut found);
    }
    names::twice(extensions, &mut list);
    if extensions.len() > MOST_EXTENSIONS {
        let text = format!("{} extensions, a registry holds {MOST_EXTENSIONS}", extensions.len());
        list.push(Finding { extension: "", asked: Asked::Count, text });
    }
    list
}

/// Words that RFC 2119 gives a meaning to.
const OBLIGATION: [&str; 8] =
    ["MUST", "SHALL", "SHOULD", "MAY", "REQUIRED", "RECOMMENDED", "OPTIONAL", "NOT"];

/// What is written for people.
fn texts(extension: &Extension, found: &mut Findings<'_>) {
    found.ask(
        names::is_token(extension.id) && extension.id == extension.id.to_ascii_lowercase(),
        Asked::Id,
        || format!("the id '{}' is not a lower-case token", extension.id),
    );
    found.ask(extension.title.contains("Session Initiation Protocol (SIP)"), Asked::Title, || {
        "the title does not name the Session Initiation Protocol (SIP)".into()
    });
    for field in extension.fields.iter().filter(|field| field.name.contains('-')) {
        found.ask(!extension.title.contains(field.name), Asked::TitleDescribes, || {
            format!(
                "the title names the header field {} instead of saying what it is for",
                field.name
            )
        });
    }
    found.ask(!extension.documents.is_empty(), Asked::Documents, || "no document is named".into());
    found.ask(extension.overview.len() >= 40, Asked::Overview, || "there is no overview".into());
    let words = extension.overview.split(|c: char| !c.is_ascii_alphabetic());
    if let Some(word) = words.into_iter().find(|word| OBLIGATION.contains(word)) {
        found.say(Asked::OverviewTutorial, format!("the overview says {word}: it is a tutorial"));
    }
    found.ask(!extension.security.is_empty(), Asked::Security, || {
        "nothing is said of security".into()
    });
    let five = &extension.interactions;
    for (about, text) in [
        ("forking", five.forking),
        ("CANCEL and ACK", five.cancel_and_ack),
        ("routing", five.routing),
        ("stateless proxies", five.stateless_proxies),
        ("dialog usages", five.dialog_usages),
    ] {
        found.ask(!text.is_empty(), Asked::Interactions, || format!("nothing is said of {about}"));
    }
    found.ask(!extension.compatibility.is_empty(), Asked::Compatibility, || {
        "nothing is said of peers without the extension".into()
    });
    for (acts, asked, who) in [
        (extension.uac, Asked::Uac, "UAC"),
        (extension.uas, Asked::Uas, "UAS"),
        (extension.proxy, Asked::Proxy, "proxy"),
    ] {
        let said = match acts {
            Acts::Unsaid => false,
            Acts::Nothing(text) | Acts::Does(text) => !text.is_empty(),
        };
        found.ask(said, asked, || format!("nothing is said of what a {who} does"));
    }
    for setting in extension.settings {
        found.ask(
            !setting.about.is_empty() && extension.configure.is_some(),
            Asked::Settings,
            || format!("the setting {} is not explained or not read", setting.key),
        );
    }
}

/// What it says of other declarations, flows and proofs.
fn relations(extension: &Extension, all: &[&Extension], found: &mut Findings<'_>) {
    let has = |id: &str| all.iter().any(|other| other.id == id);
    for need in extension.needs {
        found.ask(has(need), Asked::Needs, || format!("it needs {need}, which is not there"));
    }
    for other in extension.conflicts {
        found.ask(!has(other), Asked::Conflicts, || format!("{other} is there beside it"));
    }
    for (kind, asked, what) in [
        (FlowKind::Common, Asked::CommonFlow, "the common case"),
        (FlowKind::Failure, Asked::FailureFlow, "a failure"),
    ] {
        found.ask(extension.flows.iter().any(|flow| flow.kind == kind), asked, || {
            format!("no flow shows {what}")
        });
    }
    for rule in extension.rules {
        let whole = !rule.section.is_empty() && !rule.text.is_empty() && !rule.roles.is_empty();
        found.ask(whole, Asked::Rules, || format!("the rule '{}' is not whole", rule.text));
        let proved = match rule.proof {
            Proof::Flow(name) => extension.flows.iter().any(|flow| flow.name == name),
            Proof::Test(name) | Proof::Excepted(name) => !name.is_empty(),
            Proof::ToDo => true,
        };
        found.ask(proved, Asked::Rules, || {
            format!("what proves the rule '{}' is not declared", rule.text)
        });
    }
    let acts = !extension.behaviour.stages().is_empty();
    // Target and reply stages can also be reached by what a binding keeps, but something put
    // it there first: whatever acts is called by something.
    let calls: &[Stage] = extension.behaviour.stages();
    found.ask(!acts || !extension.wake.is_empty(), Asked::Wakes, || {
        format!("it acts at {} stages and nothing calls it", calls.len())
    });
    for wake in extension.wake {
        if let Wake::OptionTag(tag) = wake {
            let declared =
                all.iter().flat_map(|other| other.option_tags).any(|have| have.name == *tag);
            found.ask(declared, Asked::Wakes, || {
                format!("the option tag {tag} calls it and is not declared")
            });
        }
        if let Wake::Field(name) = wake {
            let declared = all
                .iter()
                .flat_map(|other| other.fields)
                .any(|field| field.name.eq_ignore_ascii_case(name))
                || towel_message::Name::from_bytes(name.as_bytes()).is_some();
            found.ask(declared, Asked::Wakes, || {
                format!("the header field {name} calls it and is not declared")
            });
        }
    }
}

/// Whether a document of this category can register what RFC 4485 section 4.8 keeps for the
/// standards track. Somebody's private extension registers nothing.
fn standards_track(category: Category) -> bool {
    matches!(category, Category::Standard | Category::Proposed | Category::Private)
}
