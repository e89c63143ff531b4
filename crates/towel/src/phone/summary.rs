//! Many calls in a few lines.

use std::time::Duration;

use serde_json::{Value, json};
use towel_media::session::Counts;
use towel_phone::Tally;

/// All that was counted of audio.
pub(super) fn packets(counts: &Counts, lost: u64) -> Value {
    json!({
        "sent": counts.sent,
        "received": counts.received,
        "lost": lost,
        "late": counts.late,
        "duplicates": counts.duplicates,
        "overflowed": counts.overflowed,
        "undecodable": counts.undecodable,
        "unwanted": counts.unwanted,
        "from_strangers": counts.strangers,
        "wrong_payload_type": counts.wrong_payload_type,
        "malformed": counts.malformed,
        "replayed": counts.replayed,
        "unauthentic": counts.unauthentic,
        "improbable": counts.improbable,
        "reports_sent": counts.reports_sent,
        "reports_received": counts.reports_received,
    })
}

/// What was ignored, in words; nothing if nothing was.
pub(super) fn ignored(counts: &Counts) -> String {
    let all = [
        (counts.strangers, "from strangers"),
        (counts.wrong_payload_type, "of a wrong payload type"),
        (counts.malformed, "malformed"),
        (counts.replayed, "replayed"),
        (counts.unauthentic, "not authentic"),
    ];
    let words: Vec<_> = all
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
    if words.is_empty() { String::new() } else { format!("\nignored: {}", words.join(", ")) }
}

/// The sum of many calls: an object, and lines.
pub(super) fn sum(tally: &Tally, elapsed: Duration) -> (Value, String) {
    let seconds = elapsed.as_secs_f64();
    let ms = |share| tally.setup(share).map(|time| time.as_secs_f64() * 1000.0);
    let lasted = tally.lasted().map(|lasted| lasted.as_secs_f64());
    let value = json!({
        "event": "summary",
        "seconds": seconds,
        "calls": tally.begun,
        "up": tally.up,
        "over": tally.over,
        "most_at_a_time": tally.most,
        "ends": tally.ends,
        "setup_ms": { "p50": ms(0.5), "p90": ms(0.9), "p99": ms(0.99), "max": ms(1.0) },
        "mean_seconds_up": lasted,
        "holds_and_resumes": tally.changes,
        "changed_by_peers": tally.changed,
        "transferred": tally.transferred,
        "refused": tally.refused,
        "keys": tally.digits,
        "faults": tally.faults,
        "first_fault": tally.fault,
        "packets": packets(&tally.counts, tally.lost),
    });
    let ends: Vec<_> = tally.ends.iter().map(|(end, count)| format!("{count} {end}")).collect();
    let mut text = format!(
        "{} calls in {seconds:.1} s, {} up, {} at a time at most\nended: {}",
        tally.begun,
        tally.up,
        tally.most,
        ends.join(", "),
    );
    if let (Some(half), Some(most), Some(all)) = (ms(0.5), ms(0.99), ms(1.0)) {
        text += &format!(
            "\nset up within {half:.1} ms (half of them), {most:.1} ms (99 %), {all:.1} ms (all)"
        );
    }
    if tally.changes + tally.changed + tally.refused > 0 {
        text += &format!(
            "\n{} holds and resumes here, {} changes by peers, {} refused",
            tally.changes, tally.changed, tally.refused
        );
    }
    if tally.digits > 0 {
        text += &format!("\n{} keys", tally.digits);
    }
    let counts = &tally.counts;
    text += &format!(
        "\n{} packets sent, {} received, {} lost, {} late",
        counts.sent, counts.received, tally.lost, counts.late
    );
    text += &ignored(counts);
    if let Some(fault) = &tally.fault {
        text += &format!("\n{} calls with a fault, the first: {fault}", tally.faults);
    }
    (value, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ignored_is_told_and_nothing_else() {
        assert_eq!(ignored(&Counts::default()), "");
        let counts = Counts { strangers: 2, replayed: 1, late: 9, ..Counts::default() };
        assert_eq!(ignored(&counts), "\nignored: 2 from strangers, 1 replayed");
        let (value, text) = sum(&Tally::default(), Duration::from_secs(1));
        assert_eq!((value["calls"].as_u64(), text.lines().count()), (Some(0), 3));
    }
}
