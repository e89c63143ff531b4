//! Transfers: to whom we say so, and by whom we are told.

use super::*;

#[test]
fn a_transferred_call_is_made_and_the_old_one_ends() {
    // There are two ends: ford has zaphod call him again, and answers that.
    let mut pair = Pair::new(setup(), callee(&[]));
    pair.order(FORD, Order::Call("sip:zaphod@192.0.2.2".into()));
    pair.seconds(1);
    pair.order(FORD, Order::Do(1, Act::Transfer("sip:trillian@192.0.2.1".into())));
    pair.seconds(1);
    let to = |news: &News| matches!(news, News::Referred { call: 1, by: 2, .. });
    assert_eq!(pair.told(ZAPHOD, to), 1, "{:?}", pair.news[ZAPHOD]);
    pair.order(FORD, Order::Do(2, Act::Answer));
    pair.seconds(2);
    assert_eq!(pair.told(FORD, |news| matches!(news, News::Transferred(1))), 1);
    assert_eq!(pair.overs(FORD).len(), 1, "{:?}", pair.news[FORD]);
    assert_eq!(pair.told(ZAPHOD, |news| matches!(news, News::Up(2))), 1);
    pair.order(ZAPHOD, Order::Do(2, Act::HangUp));
    pair.nothing_is_left();
}

#[test]
fn a_transfer_that_fails_leaves_the_call_as_it_was() {
    let mut pair = Pair::new(setup(), callee(&[]));
    pair.order(FORD, Order::Call("sip:zaphod@192.0.2.2".into()));
    pair.seconds(1);
    pair.order(FORD, Order::Do(1, Act::Transfer("sip:trillian@192.0.2.1".into())));
    pair.seconds(1);
    pair.order(FORD, Order::Do(2, Act::Refuse(486)));
    pair.seconds(2);
    let refused = |news: &News| matches!(news, News::Refused(1, _, 486));
    assert_eq!(pair.told(FORD, refused), 1, "{:?}", pair.news[FORD]);
    assert!(pair.phones.iter().all(|phone| phone.calls.contains_key(&1)));
    pair.order(FORD, Order::Leave);
    pair.nothing_is_left();
}

#[test]
fn an_attended_transfer_puts_two_calls_through() {
    // Both calls are zaphod's: he calls himself in the end, in the place of ford.
    let mut pair = Pair::new(setup(), callee(&[]));
    pair.order(FORD, Order::Call("sip:zaphod@192.0.2.2".into()));
    pair.seconds(1);
    pair.order(FORD, Order::Do(1, Act::Consult("sip:marvin@192.0.2.2".into())));
    pair.seconds(1);
    assert_eq!(pair.told(FORD, |news| matches!(news, News::Held(1))), 1);
    assert_eq!(pair.told(FORD, |news| matches!(news, News::Up(2))), 1);
    let refer = pair.messages(FORD, "REFER ").remove(0);
    assert!(refer.contains("Replaces="), "{refer}");
    let to = |news: &News| matches!(news, News::Referred { call: 1, by: 3, .. });
    assert_eq!(pair.told(ZAPHOD, to), 1, "{:?}", pair.news[ZAPHOD]);
    let invite = pair.messages(ZAPHOD, "INVITE ").remove(0);
    assert!(invite.contains("Replaces: "), "{invite}");
    pair.order(FORD, Order::Leave);
    pair.order(ZAPHOD, Order::Leave);
    pair.seconds(60);
}
