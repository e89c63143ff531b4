//! The order of SRV records (RFC 2782, "Usage rules" and "Weight").

use super::dns::Srv;

/// Whether the records say that the service is not offered: exactly one, whose target is the root.
pub(super) fn refuses(records: &[Srv]) -> bool {
    matches!(records, [only] if is_root(only))
}

fn is_root(record: &Srv) -> bool {
    matches!(&*record.target, "." | "")
}

/// The records in the order in which to try them, at most `most`: by priority, and within one
/// priority drawn by weight with `random`. Records for the root name no host and are left out.
pub(super) fn ordered(records: &[Srv], most: usize, random: &mut Random) -> Vec<Srv> {
    let mut waiting: Vec<&Srv> = records.iter().filter(|r| !is_root(r)).collect();
    // Weight 0 first among its priority, as the drawing asks; the rest of the order is made
    // independent of the server's so that equal seeds draw alike (RFC 3263 section 4.4).
    waiting.sort_by(|a, b| {
        (a.priority, a.weight, &a.target, a.port).cmp(&(b.priority, b.weight, &b.target, b.port))
    });
    waiting.dedup();
    let mut list = Vec::with_capacity(waiting.len().min(most));
    while list.len() < most {
        let Some(priority) = waiting.first().map(|r| r.priority) else { break };
        let level = waiting.iter().take_while(|r| r.priority == priority).count();
        let sum: u64 = waiting.iter().take(level).map(|r| u64::from(r.weight)).sum();
        let drawn = random.up_to(sum);
        let mut running = 0;
        let chosen = waiting
            .iter()
            .take(level)
            .position(|r| {
                running += u64::from(r.weight);
                running >= drawn
            })
            .unwrap_or(0);
        list.push(waiting.remove(chosen).clone());
    }
    list
}

/// Random numbers from a seed (splitmix64): enough to spread load, and not meant for secrets.
#[derive(Debug, Clone)]
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from 0 to `most`, both included.
    fn up_to(&mut self, most: u64) -> u64 {
        // The sum of weights is far below 2^32, so the bias of the remainder does not matter.
        self.next() % most.saturating_add(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn srv(priority: u16, weight: u16, target: &str) -> Srv {
        Srv { priority, weight, port: 5060, target: target.into() }
    }

    #[test]
    fn priority_comes_before_weight() {
        let records = [srv(20, 65535, "c"), srv(10, 0, "a"), srv(15, 1, "b")];
        for seed in 0..50 {
            let list = ordered(&records, 10, &mut Random(seed));
            let names: Vec<&str> = list.iter().map(|r| &*r.target).collect();
            assert_eq!(names, ["a", "b", "c"]);
        }
    }

    #[test]
    fn weights_share_the_load() {
        let records = [srv(0, 1, "small"), srv(0, 2, "big"), srv(0, 0, "never")];
        let mut random = Random(7);
        let mut first = [0u32; 3];
        for _ in 0..30_000 {
            let list = ordered(&records, 10, &mut random);
            assert_eq!(list.len(), 3);
            match &*list[0].target {
                "small" => first[0] += 1,
                "big" => first[1] += 1,
                _ => first[2] += 1,
            }
        }
        // RFC 2782 draws from 0 to 3 inclusive: the record of weight 0 takes one draw of four.
        assert!((6_500..8_500).contains(&first[0]), "{first:?}");
        assert!((14_000..16_000).contains(&first[1]), "{first:?}");
        assert!((6_500..8_500).contains(&first[2]), "{first:?}");
    }

    #[test]
    fn equal_seeds_draw_alike_whatever_the_servers_order() {
        let mut records: Vec<Srv> = (0..20).map(|i| srv(i % 2, i, &format!("h{i}"))).collect();
        let one = ordered(&records, 32, &mut Random(3));
        records.reverse();
        assert_eq!(one, ordered(&records, 32, &mut Random(3)));
    }

    #[test]
    fn the_root_alone_refuses_and_among_others_is_left_out() {
        assert!(refuses(&[srv(0, 0, ".")]));
        assert!(!refuses(&[srv(0, 0, "."), srv(0, 0, "a")]));
        assert!(!refuses(&[]));
        assert_eq!(ordered(&[srv(0, 0, "."), srv(0, 0, "a")], 9, &mut Random(1)).len(), 1);
    }

    #[test]
    fn many_records_are_cut_after_ordering() {
        let records: Vec<Srv> = (0..300).map(|i| srv(300 - i, 1, &format!("h{i}"))).collect();
        let list = ordered(&records, 16, &mut Random(1));
        assert_eq!(list.len(), 16);
        assert_eq!(&*list[0].target, "h299");
    }
}
