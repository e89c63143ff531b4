//! Names: what a token is, and that none is declared twice.

use std::collections::HashMap;

use super::{Asked, Finding};
use crate::contract::declaration::Extension;

/// RFC 3261 section 25.1: `token`.
pub(super) fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&byte))
}

/// The compact forms registered so far, and for which header field.
pub(super) const COMPACT: [(char, &str); 20] = [
    ('a', "Accept-Contact"),
    ('b', "Referred-By"),
    ('c', "Content-Type"),
    ('d', "Request-Disposition"),
    ('e', "Content-Encoding"),
    ('f', "From"),
    ('i', "Call-ID"),
    ('j', "Reject-Contact"),
    ('k', "Supported"),
    ('l', "Content-Length"),
    ('m', "Contact"),
    ('n', "Identity-Info"),
    ('o', "Event"),
    ('r', "Refer-To"),
    ('s', "Subject"),
    ('t', "To"),
    ('u', "Allow-Events"),
    ('v', "Via"),
    ('x', "Session-Expires"),
    ('y', "Identity"),
];

/// Finds what two declarations, or one twice, give the same name.
pub(super) fn twice(all: &[&Extension], list: &mut Vec<Finding>) {
    let mut seen: HashMap<(&'static str, String), &'static str> = HashMap::new();
    for extension in all {
        for (kind, name) in names(extension) {
            if let Some(first) = seen.insert((kind, name.clone()), extension.id) {
                list.push(Finding {
                    extension: extension.id,
                    asked: Asked::Twice,
                    text: format!("the {kind} {name} is already declared by {first}"),
                });
            }
        }
    }
}

/// Every name that an extension declares, with its kind; folded where case does not count.
fn names(extension: &Extension) -> Vec<(&'static str, String)> {
    let mut names = vec![("id", extension.id.to_owned())];
    let mut add = |kind, name: String| names.push((kind, name));
    for tag in extension.option_tags {
        add("option tag", tag.name.to_ascii_lowercase());
    }
    for method in extension.methods {
        add("method", method.name.to_owned());
    }
    for field in extension.fields {
        add("header field", field.name.to_ascii_lowercase());
        if let Some(letter) = field.compact {
            add("compact form", letter.to_string());
        }
    }
    for parameter in extension.field_parameters {
        let name = format!("{};{}", parameter.field, parameter.name).to_ascii_lowercase();
        add("header field parameter", name);
    }
    for parameter in extension.uri_parameters {
        add("URI parameter", parameter.name.to_ascii_lowercase());
    }
    for code in extension.response_codes {
        add("response code", code.code.to_string());
    }
    for code in extension.warn_codes {
        add("warn code", code.code.to_string());
    }
    for package in extension.packages {
        add("event package", package.name.to_owned());
    }
    for body in extension.bodies {
        add("body type", body.media_type.to_ascii_lowercase());
    }
    for tag in extension.feature_tags {
        add("feature tag", tag.to_ascii_lowercase());
    }
    for package in extension.info_packages {
        add("Info package", (*package).to_owned());
    }
    for disposition in extension.dispositions {
        add("disposition", disposition.to_ascii_lowercase());
    }
    for setting in extension.settings {
        add("setting", format!("{}.{}", extension.id, setting.key));
    }
    names
}
