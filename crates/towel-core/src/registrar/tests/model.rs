//! The registrar against section 10.3 written down as plainly as it can be.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

#[derive(Debug, Clone)]
struct Sent {
    call: u8,
    cseq: u32,
    contacts: Vec<(u8, u32)>,
    star: bool,
    pass: u32,
}

fn sent() -> impl Strategy<Value = Sent> {
    let contacts = prop::collection::vec((0..6_u8, prop_oneof![Just(0), 60..400_u32]), 0..4);
    (0..3_u8, 1..30_u32, contacts, prop::bool::weighted(0.1), 0..100_u32)
        .prop_map(|(call, cseq, contacts, star, pass)| Sent { call, cseq, contacts, star, pass })
}

/// Bindings by contact: Call-ID, CSeq and end.
type Model = BTreeMap<u8, (u8, u32, u64)>;

/// The last request of a Call-ID that is gone with its binding, and how long it counts.
type Gone = BTreeMap<u8, (u32, u64)>;

/// Section 10.3 as plainly as it can be said, and that what is gone cannot come back by a late copy
/// for 64*T1; false where the request fails.
fn modelled(model: &mut Model, gone: &mut Gone, sent: &Sent, now: u64) -> bool {
    model.retain(|_, (_, _, end)| *end >= now);
    gone.retain(|_, (_, until)| *until > now);
    let changes = sent.star || !sent.contacts.is_empty();
    if changes && gone.get(&sent.call).is_some_and(|(cseq, _)| *cseq >= sent.cseq) {
        return false;
    }
    let before = model.clone();
    let good = carried_out(model, sent, now);
    if !good {
        *model = before;
        return false;
    }
    let mut leaves = |call: u8, cseq: u32| {
        let last = gone.entry(call).or_default();
        if cseq >= last.0 {
            *last = (cseq, now + 32);
        }
    };
    for (contact, (call, cseq, _)) in before {
        let now = model.get(&contact).map(|(call, ..)| *call);
        if now != Some(call) {
            leaves(call, cseq);
        }
    }
    if sent.star || sent.contacts.iter().any(|(_, expires)| *expires == 0) {
        leaves(sent.call, sent.cseq);
    }
    true
}

fn carried_out(model: &mut Model, sent: &Sent, now: u64) -> bool {
    let old = |(call, cseq, _): &(u8, u32, u64)| *call == sent.call && *cseq >= sent.cseq;
    if sent.star {
        let good = !model.values().any(old);
        if good {
            model.clear();
        }
        return good;
    }
    if sent.contacts.iter().any(|(contact, _)| model.get(contact).is_some_and(old)) {
        return false;
    }
    for (contact, expires) in &sent.contacts {
        match expires {
            0 => drop(model.remove(contact)),
            _ => drop(model.insert(*contact, (sent.call, sent.cseq, now + u64::from(*expires)))),
        }
    }
    true
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn it_does_what_the_text_says(requests in prop::collection::vec(sent(), 1..60)) {
        let mut bench = Bench::new();
        let (mut model, mut gone) = (Model::new(), Gone::new());
        for sent in requests {
            bench.now += u64::from(sent.pass);
            bench.registrar.expire(at(bench.now), &mut bench.out);
            let contacts: Vec<_> =
                sent.contacts.iter().map(|(c, e)| format!("<sip:c{c}@192.0.2.4>;expires={e}")).collect();
            let fields = match (sent.star, contacts.is_empty()) {
                (true, _) => "Contact: *\nExpires: 0".to_owned(),
                (false, true) => String::new(),
                (false, false) => format!("Contact: {}", contacts.join(",")),
            };
            let answer = bench.bob(&format!("call-{}", sent.call), sent.cseq, &fields);
            if modelled(&mut model, &mut gone, &sent, bench.now) {
                let expected: Vec<_> = model
                    .iter()
                    .map(|(c, (_, _, end))| format!("<sip:c{c}@192.0.2.4>;expires={}", (end - bench.now).max(1)))
                    .collect();
                let Answer::Ok(mut told) = answer else { panic!("{sent:?}: {answer:?}") };
                told.sort();
                prop_assert_eq!(told, expected);
            } else {
                prop_assert!(matches!(answer, Answer::No(482 | 500)), "{answer:?}");
            }
            prop_assert_eq!(bench.uris().len(), model.len());
        }
    }
}
