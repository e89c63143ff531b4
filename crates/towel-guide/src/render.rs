//! The Guide for people: the table by section, and one entry's page.

use std::fmt::Write;

use towel_core::contract::{Acts, COLUMNS, Extension, Proof, Role};

use crate::{Entry, GUIDE, Progress, Proven};

/// The letter that the Guide's index gives a role.
fn letter(role: Role) -> &'static str {
    match role {
        Role::Uac => "C",
        Role::Uas => "S",
        Role::Proxy => "P",
        Role::Registrar => "R",
        Role::Notifier => "N",
        Role::Application => "B",
        Role::Media => "M",
        Role::Transport => "transport",
    }
}

/// The documents in short: `RFC 3261, 5393, ...`.
fn documents(list: &[&str], most: usize) -> String {
    let mut out = String::new();
    for (count, name) in list.iter().take(most).enumerate() {
        if count > 0 {
            out.push_str(", ");
        }
        let previous_is_rfc =
            count > 0 && list.get(count - 1).is_some_and(|p| p.starts_with("RFC "));
        out.push_str(match name.strip_prefix("RFC ") {
            Some(number) if previous_is_rfc => number,
            _ => name,
        });
    }
    if list.len() > most {
        out.push_str(", ...");
    }
    out
}

/// The whole table, by section: id, title, documents, how far each role is, and flows.
///
/// Nothing in here can fail: it is all written into a string.
pub fn table(proven: Proven<'_>) -> String {
    let mut out = String::new();
    let mut section = None;
    for entry in GUIDE {
        if section != Some(entry.section) {
            section = Some(entry.section);
            let heading = format!("{} {}", entry.section as u8, entry.section.title());
            let _ = writeln!(out, "\n{heading}\n{}", "-".repeat(heading.len()));
        }
        let roles: Vec<String> = entry
            .roles
            .iter()
            .map(|role| {
                let mark = match entry.role(role, proven) {
                    Progress::Works => "+",
                    Progress::Partial => "~",
                    Progress::NotYet => "",
                };
                format!("{}{mark}", letter(role))
            })
            .collect();
        let flows: Vec<&str> =
            entry.flows().iter().map(|flow| flow.name).filter(|name| proven(name)).collect();
        // A draft's name is longer than its column; its page has it whole.
        let whole = |name: &&'static str| if name.starts_with("draft-") { "draft" } else { *name };
        let short: Vec<&str> = entry.documents.iter().map(whole).collect();
        let line = format!(
            "{:<22} {:<38} {:<30} {:<14} {:<8} {}",
            entry.id,
            entry.title,
            documents(&short, 3),
            roles.join(" "),
            entry.status(proven).text(),
            some(&flows, 3),
        );
        let _ = writeln!(out, "{}", line.trim_end());
    }
    let count = |wanted: Progress| GUIDE.iter().filter(|e| e.status(proven) == wanted).count();
    let _ = writeln!(
        out,
        "\n{} entries: {} work, {} in part, {} not yet.\n\
         C UAC, S UAS, P proxy, R registrar, N notifier, B application server, M media;\n\
         + works, ~ in part.",
        GUIDE.len(),
        count(Progress::Works),
        count(Progress::Partial),
        count(Progress::NotYet),
    );
    out
}

/// Appends text broken into lines of at most 78 characters, each indented by two.
fn paragraph(out: &mut String, text: &str) {
    let mut width = 0;
    for word in text.split_whitespace() {
        let length = word.chars().count();
        if width == 0 {
            out.push_str("  ");
            width = 2;
        } else if width + 1 + length > 78 {
            out.push_str("\n  ");
            width = 2;
        } else {
            out.push(' ');
            width += 1;
        }
        out.push_str(word);
        width += length;
    }
    out.push('\n');
}

/// One entry's page: overview, what each role does, what it declares, its rows of Tables 2 and 3
/// and its rules. A ladder of one of its flows is added by whoever can run flows.
pub fn page(entry: &Entry, proven: Proven<'_>) -> String {
    let mut out = String::new();
    let title = entry.extension.map_or(entry.title, |extension| extension.title);
    let _ =
        writeln!(out, "{}: {title}\n{}", entry.id, "=".repeat(entry.id.len() + 2 + title.len()));
    let _ = writeln!(out, "Section {} ({})", entry.section as u8, entry.section.title());
    let _ = writeln!(out, "Built from {}", documents(entry.documents, usize::MAX));
    let _ = writeln!(out, "Status: {}", entry.status(proven).text());
    for role in entry.roles.iter() {
        let _ = writeln!(out, "  {}: {}", role.name(), entry.role(role, proven).text());
    }
    let Some(extension) = entry.extension else {
        let _ = writeln!(out, "\nThis entry is not built yet.");
        return out;
    };
    out.push_str("\nOverview\n");
    paragraph(&mut out, extension.overview);
    for (who, acts) in [
        ("UAC", extension.uac),
        ("UAS", extension.uas),
        ("Proxy", extension.proxy),
        ("Registrar", extension.registrar),
    ] {
        match acts {
            Acts::Unsaid => {}
            Acts::Does(text) => {
                let _ = writeln!(out, "\n{who}");
                paragraph(&mut out, text);
            }
            Acts::Nothing(why) => {
                let _ = writeln!(out, "\n{who}");
                paragraph(&mut out, &format!("Nothing: {why}."));
            }
        }
    }
    declared(&mut out, extension);
    rows(&mut out, extension);
    rules(&mut out, extension, proven);
    for (heading, text) in
        [("Security", extension.security), ("Without it", extension.compatibility)]
    {
        let _ = writeln!(out, "\n{heading}");
        paragraph(&mut out, text);
    }
    let five = &extension.interactions;
    out.push_str("\nInteractions\n");
    for (about, text) in [
        ("forking", five.forking),
        ("CANCEL and ACK", five.cancel_and_ack),
        ("routing", five.routing),
        ("stateless proxies", five.stateless_proxies),
        ("dialog usages", five.dialog_usages),
    ] {
        paragraph(&mut out, &format!("{about}: {text}"));
    }
    if !extension.flows.is_empty() {
        out.push_str("\nFlows\n");
        for flow in extension.flows {
            let state = if proven(flow.name) { "passes" } else { "not there or does not pass" };
            let _ = writeln!(out, "  {} ({state})", flow.name);
        }
    }
    out
}

/// Names that the extension declares, one line a kind.
fn declared(out: &mut String, extension: &Extension) {
    let kinds: [(&str, Vec<String>); 9] = [
        ("option tags", extension.option_tags.iter().map(|one| one.name.into()).collect()),
        ("methods", extension.methods.iter().map(|one| one.name.into()).collect()),
        (
            "parameters",
            extension
                .field_parameters
                .iter()
                .map(|one| format!("{};{}", one.field, one.name))
                .collect(),
        ),
        ("URI parameters", extension.uri_parameters.iter().map(|one| one.name.into()).collect()),
        (
            "response codes",
            extension.response_codes.iter().map(|one| one.code.to_string()).collect(),
        ),
        ("event packages", extension.packages.iter().map(|one| one.name.into()).collect()),
        ("body types", extension.bodies.iter().map(|one| one.media_type.into()).collect()),
        ("feature tags", extension.feature_tags.iter().map(|one| (*one).into()).collect()),
        (
            "settings",
            extension.settings.iter().map(|one| format!("{} ({})", one.key, one.about)).collect(),
        ),
    ];
    if kinds.iter().any(|(_, names)| !names.is_empty()) {
        out.push_str("\nDeclares\n");
    }
    for (kind, names) in kinds {
        if !names.is_empty() {
            paragraph(out, &format!("{kind}: {}", names.join(", ")));
        }
    }
}

/// The rows of Tables 2 and 3.
fn rows(out: &mut String, extension: &Extension) {
    if extension.fields.is_empty() {
        return;
    }
    out.push_str("\nHeader fields (RFC 3261 Tables 2 and 3)\n");
    let heads: Vec<String> = COLUMNS.iter().map(|name| name.chars().take(3).collect()).collect();
    let _ = writeln!(out, "  {:<20} {:<16} {:<5} {}", "", "where", "proxy", heads.join(" "));
    for field in extension.fields {
        for row in field.rows {
            let cells: Vec<String> =
                row.cells.iter().map(|cell| format!("{:<3}", cell.text())).collect();
            let others: Vec<String> =
                row.others.iter().map(|(name, cell)| format!("{name} {}", cell.text())).collect();
            let place = row.place.text();
            // A long list of status codes has a line to itself.
            let (name, place) = if place.len() > 16 {
                let _ = writeln!(out, "  {:<20} {place}", field.name);
                ("", String::new())
            } else {
                (field.name, place)
            };
            let line = format!(
                "  {:<20} {:<16} {:<5} {} {}",
                name,
                place,
                row.proxy,
                cells.join(" "),
                others.join(" ")
            );
            let _ = writeln!(out, "{}", line.trim_end());
        }
    }
}

/// The rules and what proves each.
fn rules(out: &mut String, extension: &Extension, proven: Proven<'_>) {
    if extension.rules.is_empty() {
        return;
    }
    out.push_str("\nRules\n");
    for rule in extension.rules {
        let roles: Vec<&str> = rule.roles.iter().map(Role::name).collect();
        let proof = match rule.proof {
            Proof::Flow(name) if proven(name) => format!("flow {name}"),
            Proof::Flow(name) => format!("flow {name}, not there or not passing"),
            Proof::Test(name) => format!("test {name}"),
            Proof::Excepted(why) => format!("excepted: {why}"),
            Proof::ToDo => "to do".into(),
        };
        let _ = writeln!(out, "  {} ({})", rule.section, roles.join(", "));
        paragraph(out, &format!("  {} [{proof}]", rule.text));
    }
}

/// The first few of many names, and how many more there are; the entry's own page names all.
fn some(names: &[&str], most: usize) -> String {
    match names.len().checked_sub(most) {
        Some(more @ 1..) => {
            format!("{} and {more} more", names.get(..most).unwrap_or_default().join(", "))
        }
        _ => names.join(", "),
    }
}
