//! The audit: a message held against the rows of Tables 2 and 3 that the declarations carry.
//!
//! RFC 3261 section 20: a header field whose cell is `-` must not be in the message, one whose
//! cell is `m` must. Header fields and methods that nobody declared are ordinary and say
//! nothing. The simulator audits every message of every run.

use std::fmt;

use towel_message::Message;

use super::declaration::FieldDeclaration;
use super::registry::Registry;
use super::table::Cell;

/// What is wrong with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Breach {
    /// The header field is there and its cell is `-`, or no row covers such a message.
    Forbidden,
    /// The header field is not there and its cell is `m`.
    Missing,
    /// There is a body and the header field that describes it (`*`) is not there.
    MissingForBody,
    /// The header field must be there on a stream (`t`) and is not.
    MissingOnStream,
}

/// One violation of Tables 2 and 3.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The header field.
    pub field: &'static str,
    /// What is wrong.
    pub breach: Breach,
    /// The method of the request.
    pub method: String,
    /// The status, of a response.
    pub status: Option<u16>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.breach {
            Breach::Forbidden => "has no place in",
            Breach::Missing => "is missing from",
            Breach::MissingForBody => "is missing beside the body of",
            Breach::MissingOnStream => "is missing on a stream from",
        };
        write!(f, "{} {what} ", self.field)?;
        match self.status {
            Some(status) => write!(f, "a {status} to {}", self.method),
            None => write!(f, "{}", self.method),
        }
    }
}

/// What the rows of one header field say of one message, the most permissive row first.
enum Says {
    /// No row speaks of this method.
    Nothing,
    Forbidden,
    Allowed,
    Mandatory,
    WithBody,
    OnStream,
}

fn says(field: &FieldDeclaration, method: &[u8], status: Option<u16>) -> Says {
    // A more specific row (405) stands beside a general one (r): what either allows is allowed,
    // and what one demands is demanded.
    let mut known = field.rows.is_empty();
    let mut sum = Says::Nothing;
    for row in field.rows {
        let cell = row.cell(method);
        if cell == Cell::Unsaid {
            continue;
        }
        known = true;
        if !row.place.applies(status) {
            continue;
        }
        sum = match (cell, sum) {
            (_, Says::Mandatory) | (Cell::Mandatory, _) => Says::Mandatory,
            (Cell::WithBody, _) => Says::WithBody,
            (Cell::Stream, _) => Says::OnStream,
            (Cell::Forbidden | Cell::Unsaid, Says::Nothing) => Says::Forbidden,
            (Cell::Forbidden | Cell::Unsaid, before) => before,
            (Cell::Optional | Cell::Expected | Cell::Conditional, before) => match before {
                Says::WithBody | Says::OnStream => before,
                _ => Says::Allowed,
            },
        };
    }
    // A method that has cells in this field's rows, none of which covers such a message, is
    // forbidden there; one that has none is not spoken of.
    match sum {
        Says::Nothing if known => Says::Forbidden,
        other => other,
    }
}

/// Holds one message against the tables; `stream` says whether it travels on one, where
/// Content-Length is demanded (RFC 3261 section 20.14).
///
/// The method of a response is that of its CSeq.
pub fn audit(registry: &Registry, message: &Message<'_>, stream: bool) -> Vec<Violation> {
    let method = message.method();
    let method = method.as_bytes();
    let status = (!message.is_request()).then(|| message.status());
    let mut violations = Vec::new();
    for field in registry.extensions().flat_map(|extension| extension.fields) {
        let present = message.named(field.name.as_bytes()).next().is_some();
        let breach = match (says(field, method, status), present) {
            (Says::Forbidden, true) => Breach::Forbidden,
            (Says::Mandatory, false) => Breach::Missing,
            (Says::WithBody, false) if !message.body().is_empty() => Breach::MissingForBody,
            (Says::OnStream, false) if stream => Breach::MissingOnStream,
            _ => continue,
        };
        violations.push(Violation {
            field: field.name,
            breach,
            method: String::from_utf8_lossy(method).into_owned(),
            status,
        });
    }
    violations
}
