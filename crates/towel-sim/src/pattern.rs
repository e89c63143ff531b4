//! Patterns: how a flow says what a value has to look like.
//!
//! `*` stands for any run of characters and `{name}` for a variable: one that already has a value
//! stands for that value, one that has none takes what stands there and keeps it. `\*` and `\{`
//! are the characters themselves.

use std::collections::BTreeMap;

/// The variables of a run.
pub type Vars = BTreeMap<String, String>;

#[derive(Debug, PartialEq)]
enum Piece {
    Literal(String),
    Any,
    Var(String),
}

fn pieces(pattern: &str, wild: bool) -> Vec<Piece> {
    let mut out = Vec::new();
    let mut literal = String::new();
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' if matches!(chars.peek(), Some('*' | '{')) => literal.extend(chars.next()),
            '*' if wild => {
                out.push(Piece::Literal(std::mem::take(&mut literal)));
                out.push(Piece::Any);
            }
            '{' => {
                let name: String = chars.by_ref().take_while(|c| *c != '}').collect();
                out.push(Piece::Literal(std::mem::take(&mut literal)));
                out.push(Piece::Var(name));
            }
            c => literal.push(c),
        }
    }
    out.push(Piece::Literal(literal));
    out.retain(|piece| *piece != Piece::Literal(String::new()));
    out
}

/// Whether `text` is what `pattern` describes; where it is, new variables are kept in `vars`.
/// Without `wild` a `*` is only itself.
pub fn matches(pattern: &str, text: &str, vars: &mut Vars, wild: bool) -> bool {
    let pieces = pieces(pattern, wild);
    let mut found = vars.clone();
    if go(&pieces, text, &mut found) {
        *vars = found;
        return true;
    }
    false
}

fn go(pieces: &[Piece], text: &str, vars: &mut Vars) -> bool {
    let Some((first, rest)) = pieces.split_first() else { return text.is_empty() };
    match first {
        Piece::Literal(literal) => {
            text.strip_prefix(literal.as_str()).is_some_and(|text| go(rest, text, vars))
        }
        Piece::Any => cuts(text, 0).any(|at| go(rest, &text[at..], vars)),
        Piece::Var(name) => {
            if let Some(value) = vars.get(name) {
                return text
                    .strip_prefix(value.clone().as_str())
                    .is_some_and(|t| go(rest, t, vars));
            }
            cuts(text, 1).any(|at| {
                vars.insert(name.clone(), text[..at].to_string());
                go(rest, &text[at..], vars) || {
                    vars.remove(name);
                    false
                }
            })
        }
    }
}

fn cuts(text: &str, least: usize) -> impl Iterator<Item = usize> + '_ {
    (least..=text.len()).filter(|at| text.is_char_boundary(*at))
}

/// Fills the variables of a template in; the error names the one that has no value.
pub fn fill(template: &str, vars: &Vars) -> Result<String, String> {
    let mut out = String::new();
    for piece in pieces(template, false) {
        match piece {
            Piece::Literal(literal) => out.push_str(&literal),
            Piece::Any => out.push('*'),
            Piece::Var(name) => match vars.get(&name) {
                Some(value) => out.push_str(value),
                None => return Err(format!("no value for {{{name}}}")),
            },
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn captures_and_compares() {
        let mut vars = Vars::new();
        assert!(matches("<sip:*>;tag={t}", "<sip:a@x>;tag=77", &mut vars, true));
        assert_eq!(vars["t"], "77");
        assert!(!matches("tag={t}", "tag=78", &mut vars, true));
        assert!(matches("tag={t}*", "tag=77;x", &mut vars, true));
        assert!(matches("*", "", &mut vars, true) && !matches("*", "x", &mut vars, false));
        assert!(matches("a{x}b{y}c", "a1b2c", &mut vars, false));
        assert_eq!(fill("{y}-{x}", &vars).unwrap(), "2-1");
        assert!(fill("{z}", &vars).unwrap_err().contains("{z}"));
    }

    #[test]
    fn a_failed_match_keeps_nothing() {
        let mut vars = Vars::new();
        assert!(!matches("{a}:{b}!", "x:y", &mut vars, true));
        assert!(vars.is_empty());
    }
}
