//! The check of the things an extension declares, one kind after the other.

use super::names::{COMPACT, is_token};
use super::{Asked, Findings, standards_track};
use crate::contract::declaration::{
    Category, DialogEffect, DialogUse, Extension, FieldDeclaration, MethodDeclaration, Shape,
    UriSchemes,
};
use crate::contract::table::{COLUMNS, Cell, Row, Where};

/// RFC 3261's own methods, which the rules for new ones do not bind.
const BASE_METHODS: [&str; 6] = ["ACK", "BYE", "CANCEL", "INVITE", "OPTIONS", "REGISTER"];

pub(super) fn check(extension: &Extension, all: &[&Extension], found: &mut Findings<'_>) {
    option_tags(extension, found);
    for one in extension.methods {
        method(extension, one, found);
    }
    let base = extension.documents.contains(&"RFC 3261");
    for one in extension.fields {
        field(extension, one, base, found);
        for row in one.rows {
            check_row(one.name, row, all, found);
        }
    }
    parameters(extension, all, found);
    codes(extension, found);
    packages_and_bodies(extension, found);
}

fn registration(extension: &Extension, what: &str, name: &str, found: &mut Findings<'_>) {
    found.ask(standards_track(extension.category), Asked::Registration, || {
        format!("only a standards-track document can register the {what} {name}")
    });
}

fn option_tags(extension: &Extension, found: &mut Findings<'_>) {
    for tag in extension.option_tags {
        found.ask(is_token(tag.name), Asked::OptionTagToken, || {
            format!("the option tag '{}' is not a token", tag.name)
        });
        found.ask(
            !(tag.required || tag.proxy_required) || !tag.fallback.is_empty(),
            Asked::Fallback,
            || format!("nothing is said of what follows a 420 for {}", tag.name),
        );
        found.ask(!tag.proxy_required, Asked::ProxyRequire, || {
            format!("{} is put into Proxy-Require", tag.name)
        });
        registration(extension, "option tag", tag.name, found);
    }
}

fn method(extension: &Extension, one: &MethodDeclaration, found: &mut Findings<'_>) {
    let name = one.name;
    found.ask(is_token(name), Asked::MethodToken, || format!("'{name}' is not a token"));
    found.ask(name == name.to_ascii_uppercase(), Asked::MethodCapitals, || {
        format!("{name} is not in capitals")
    });
    found
        .ask(name.len() < 10, Asked::MethodLength, || format!("{name} has ten characters or more"));
    found.ask(!one.bodies.is_empty(), Asked::MethodBodies, || {
        format!("nothing is said of bodies of {name}")
    });
    found.ask(!one.overlaps.is_empty(), Asked::MethodOverlap, || {
        format!("nothing is said of overlapping transactions of {name}")
    });
    registration(extension, "method", name, found);
    if BASE_METHODS.contains(&name) {
        return;
    }
    found.ask(!one.cancellable, Asked::MethodCancel, || format!("{name} can be cancelled"));
    found.ask(one.immediate, Asked::MethodImmediate, || format!("{name} is not answered at once"));
    found.ask(!one.proxies_must_know, Asked::MethodProxies, || {
        format!("proxies would have to understand {name}")
    });
    if one.dialog == DialogUse::Creates {
        found.ask(!one.forking.is_empty(), Asked::MethodForking, || {
            format!("{name} creates dialogs and nothing is said of forking")
        });
        found.ask(!one.reverse_request.is_empty(), Asked::MethodReverse, || {
            format!("{name} creates dialogs and no request comes back at once")
        });
    }
}

fn field(extension: &Extension, one: &FieldDeclaration, base: bool, found: &mut Findings<'_>) {
    let name = one.name;
    found.ask(
        is_token(name) && name.bytes().any(|byte| byte.is_ascii_alphabetic()),
        Asked::FieldToken,
        || format!("'{name}' is not a token with a letter in it"),
    );
    found.ask(
        name.split('-').all(|word| word.starts_with(|c: char| c.is_ascii_uppercase())),
        Asked::FieldCapitals,
        || format!("a word of {name} does not begin with a capital"),
    );
    found.ask(name.len() <= 30, Asked::FieldBrief, || format!("{name} is not brief"));
    if let Some(letter) = one.compact {
        found.ask(letter.is_ascii_lowercase(), Asked::CompactLetter, || {
            format!("the compact form '{letter}' of {name} is not a lower-case letter")
        });
        let taken = COMPACT
            .iter()
            .find(|(have, owner)| *have == letter && !owner.eq_ignore_ascii_case(name));
        if let Some((_, owner)) = taken {
            found.say(Asked::CompactFree, format!("the compact form {letter} is {owner}'s"));
        }
        found.ask(base || (name.len() > 6 && one.share > 30), Asked::CompactUse, || {
            format!("{name} is too short or too rare for a compact form")
        });
    }
    grammar(one.grammar, name, found);
    found.ask(one.shape != Shape::Date || one.grammar.contains("SIP-date"), Asked::Dates, || {
        format!("the dates of {name} are not SIP-date")
    });
    found.ask(
        base || one.extensible || matches!(one.shape, Shape::Text | Shape::Date),
        Asked::Extensible,
        || format!("{name} allows no extension parameters"),
    );
    let explicit = match one.uris {
        UriSchemes::Unsaid => false,
        UriSchemes::Only(schemes, why) => !schemes.is_empty() && !why.is_empty(),
        UriSchemes::None | UriSchemes::Any => true,
    };
    found.ask(explicit, Asked::Schemes, || format!("nothing is said of the URI schemes of {name}"));
    found.ask(!one.rows.is_empty(), Asked::Rows, || format!("{name} has no row of Table 2/3"));
    let ordinary =
        matches!(extension.category, Category::Standard | Category::Proposed | Category::Private);
    found.ask(ordinary || name.starts_with("P-"), Asked::Registration, || {
        format!("only the standards track can register {name}, which is no P-header field")
    });
}

/// A grammar reference has a document and a section: two words at least, the first with a digit.
fn grammar(text: &str, name: &str, found: &mut Findings<'_>) {
    let whole = text.split_whitespace().count() >= 2 && text.bytes().any(|b| b.is_ascii_digit());
    found.ask(whole, Asked::Grammar, || {
        format!("the grammar of {name} is not given by document and section")
    });
}

fn check_row(name: &str, row: &Row, all: &[&Extension], found: &mut Findings<'_>) {
    for method in COLUMNS {
        found.ask(row.cell(method.as_bytes()) != Cell::Unsaid, Asked::Cells, || {
            format!("{name} has a row without a cell for {method}")
        });
    }
    // A method of somebody else's crate needs a cell only in header fields of that crate and
    // those that know of it; what knows nothing of it leaves it to the default, optional. The
    // declaring extension itself has no such excuse.
    let own = all
        .iter()
        .filter(|extension| extension.id == found.of)
        .flat_map(|extension| extension.methods)
        .map(|method| method.name)
        .filter(|method| !COLUMNS.contains(method));
    let missing: Vec<_> =
        own.filter(|method| row.cell(method.as_bytes()) == Cell::Unsaid).collect();
    for method in missing {
        found.say(Asked::Cells, format!("{name} has a row without a cell for {method}"));
    }
    let useful = row
        .cells
        .iter()
        .chain(row.others.iter().map(|(_, cell)| cell))
        .any(|cell| *cell != Cell::Forbidden);
    found.ask(useful, Asked::RowUseful, || format!("{name} has a row that allows it nowhere"));
    found.ask(row.proxy.bytes().all(|byte| b"amdr".contains(&byte)), Asked::ProxyColumn, || {
        format!("{name} has '{}' in the proxy column", row.proxy)
    });
    if let Where::Codes(ranges) = row.place {
        let good = !ranges.is_empty()
            && ranges
                .iter()
                .all(|(low, high)| (100..=699).contains(low) && low <= high && *high <= 699);
        found.ask(good, Asked::WhereColumn, || format!("{name} has codes that no response has"));
    }
}

fn parameters(extension: &Extension, all: &[&Extension], found: &mut Findings<'_>) {
    for one in extension.field_parameters {
        let declared = all
            .iter()
            .flat_map(|other| other.fields)
            .any(|field| field.name.eq_ignore_ascii_case(one.field));
        found.ask(is_token(one.name) && declared, Asked::FieldParameter, || {
            format!("{};{} is not a token on a declared header field", one.field, one.name)
        });
        grammar(one.grammar, one.name, found);
    }
    for one in extension.uri_parameters {
        found.ask(is_token(one.name), Asked::UriParameter, || {
            format!("the URI parameter '{}' is not a token", one.name)
        });
        grammar(one.grammar, one.name, found);
        registration(extension, "URI parameter", one.name, found);
    }
    let others = extension.feature_tags.iter().map(|tag| ("feature tag", *tag));
    let others = others.chain(extension.info_packages.iter().map(|name| ("Info package", *name)));
    let others = others.chain(extension.dispositions.iter().map(|name| ("disposition", *name)));
    for (kind, name) in others {
        found.ask(is_token(name), Asked::OtherToken, || format!("the {kind} '{name}' is no token"));
    }
}

fn codes(extension: &Extension, found: &mut Findings<'_>) {
    for one in extension.response_codes {
        found.ask(
            (100..=699).contains(&one.code) && !one.phrase.is_empty(),
            Asked::ResponseCode,
            || format!("{} is no response code with a phrase", one.code),
        );
        let said = match one.effect {
            DialogEffect::Unsaid => false,
            DialogEffect::NotApplicable => one.code < 300,
            _ => true,
        };
        found.ask(said, Asked::ResponseEffect, || {
            format!("nothing is said of what a {} does to a dialog", one.code)
        });
        registration(extension, "response code", &one.code.to_string(), found);
    }
    for one in extension.warn_codes {
        found.ask((300..=399).contains(&one.code) && !one.text.is_empty(), Asked::WarnCode, || {
            format!("{} is no warn code with a text", one.code)
        });
    }
}

fn packages_and_bodies(extension: &Extension, found: &mut Findings<'_>) {
    for one in extension.packages {
        // A dot joins a package and a template, so no package's own name holds one (7.2).
        let named = is_token(one.name) && !one.name.contains('.');
        let whole = named && !one.bodies.is_empty() && one.default_expiry > 0;
        found.ask(whole, Asked::Package, || format!("the package '{}' is not whole", one.name));
        if one.template {
            registration(extension, "template package", one.name, found);
        }
    }
    for one in extension.bodies {
        let mut halves = one.media_type.splitn(2, '/');
        let good = halves.next().is_some_and(is_token)
            && halves.next().is_some_and(is_token)
            && is_token(one.disposition);
        found.ask(good, Asked::BodyType, || {
            format!("'{}' is no media type with a disposition", one.media_type)
        });
        found.ask(one.optional || !one.reason.is_empty(), Asked::BodyOptional, || {
            format!("{} is not optional and it is not said why", one.media_type)
        });
    }
}
