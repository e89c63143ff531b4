//! What the failure of a request inside a dialog ends: RFC 5057 section 5.

/// How far a failure reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Effect {
    /// The request alone.
    Transaction,
    /// The usage that the request belongs to.
    Usage,
    /// The dialog with all its usages.
    Dialog,
}

/// RFC 5057 section 5.1, table 2, but for the codes that reach no further than the transaction.
pub const EFFECTS: [(u16, Effect); 15] = [
    (404, Effect::Dialog),
    (405, Effect::Usage),
    (408, Effect::Usage),
    (410, Effect::Dialog),
    (416, Effect::Dialog),
    (480, Effect::Usage),
    (481, Effect::Usage),
    (482, Effect::Dialog),
    (483, Effect::Dialog),
    (484, Effect::Dialog),
    (485, Effect::Dialog),
    (489, Effect::Usage),
    (501, Effect::Usage),
    (502, Effect::Dialog),
    (604, Effect::Dialog),
];

/// What a request is to a usage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// The usage cannot do without: INVITE, BYE, ACK, PRACK, UPDATE of an INVITE usage, SUBSCRIBE and
    /// NOTIFY of a subscription.
    Integral,
    /// It belongs to the usage, which goes on without it: INFO, and methods that are not known.
    Beside,
    /// It belongs to no usage: OPTIONS and MESSAGE (section 5.3).
    Outside,
}

/// What a method is to the usage that its requests belong to (section 5.3).
pub fn part(method: &[u8]) -> Part {
    match method {
        b"INVITE" | b"BYE" | b"ACK" | b"PRACK" | b"UPDATE" | b"SUBSCRIBE" | b"NOTIFY"
        | b"REFER" => Part::Integral,
        b"INFO" => Part::Beside,
        _ => Part::Outside,
    }
}

/// What a final response to a request inside a dialog ends. A time-out counts as 408 (section 5.2):
/// it ends the usage, for a peer that does not answer has gone.
pub fn effect(method: &[u8], status: u16) -> Effect {
    let found = EFFECTS.iter().find(|(code, _)| *code == status);
    let effect = found.map_or(Effect::Transaction, |(_, effect)| *effect);
    match (effect, part(method), status) {
        // Notes 3 and 12, and section 5.3: an unknown method ends nothing.
        (Effect::Usage, Part::Beside, 405 | 501 | 489 | 480) => Effect::Transaction,
        // Note 12: a 489 is for subscriptions alone.
        (Effect::Usage, _, 489) if !matches!(method, b"SUBSCRIBE" | b"NOTIFY" | b"REFER") => {
            Effect::Transaction
        }
        // RFC 3311 section 5.1 has a peer that knows no UPDATE asked by re-INVITE; RFC 3515 one that
        // knows no REFER. Neither method holds the usage up.
        (Effect::Usage, _, 405 | 501) if matches!(method, b"UPDATE" | b"REFER") => {
            Effect::Transaction
        }
        // RFC 6665 section 4.1.2.2: a refresh that times out ends no subscription before it expires.
        (Effect::Usage, _, 408) if matches!(method, b"SUBSCRIBE" | b"REFER") => Effect::Transaction,
        (Effect::Usage, Part::Outside, _) => Effect::Transaction,
        (effect, ..) => effect,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_rfc_5057() {
        let methods =
            ["INVITE", "BYE", "UPDATE", "INFO", "NOTIFY", "SUBSCRIBE", "REFER", "OPTIONS"];
        let mut text = String::new();
        for status in (300..700).filter(|s| *s < 400 || EFFECTS.iter().any(|(code, _)| code == s)) {
            let row: Vec<String> = methods
                .iter()
                .map(|method| format!("{method} {:?}", effect(method.as_bytes(), status)))
                .collect();
            if status >= 400 {
                text.push_str(&format!("{status}: {}\n", row.join(", ")));
            } else {
                assert!(row.iter().all(|cell| cell.ends_with("Transaction")));
            }
        }
        insta::assert_snapshot!("effects", text);
    }

    #[test]
    fn all_that_is_not_listed_ends_its_transaction_alone() {
        for status in [400, 401, 403, 407, 415, 420, 422, 486, 487, 488, 491, 500, 503, 600, 603] {
            for method in [&b"INVITE"[..], b"BYE", b"NOTIFY", b"OPTIONS"] {
                assert_eq!(effect(method, status), Effect::Transaction, "{status}");
            }
        }
    }
}
