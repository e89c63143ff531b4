//! Copies of requests that come late, when what they were about has gone on.

use super::*;

const GONE: &str = "Contact: <sip:bob@192.0.2.4>;expires=0";
const ALL: &str = "Contact: *\nExpires: 0";

#[test]
fn a_late_copy_does_not_bring_back_what_was_removed() {
    for removal in [GONE, ALL] {
        let mut bench = Bench::new();
        assert!(matches!(bench.bob("a", 1, ONE), Answer::Ok(_)));
        assert_eq!(bench.bob("a", 2, removal), ok(&[]));
        bench.now += 31;
        assert_eq!(bench.bob("a", 1, ONE), Answer::No(500));
        assert!(bench.uris().is_empty());
        // Who comes after the removal is welcome, and so is another client.
        assert!(matches!(bench.bob("b", 1, ONE), Answer::Ok(_)));
        assert!(matches!(bench.bob("a", 3, ONE), Answer::Ok(_)));
        // Asking changes nothing, so it is never late.
        assert!(matches!(bench.bob("a", 1, ""), Answer::Ok(all) if all.len() == 1));
    }
}

#[test]
fn nor_where_another_client_removed_it() {
    let mut bench = Bench::new();
    bench.branch = Some("z9hG4bKold");
    assert!(matches!(bench.bob("a", 1, ONE), Answer::Ok(_)));
    bench.branch = None;
    assert_eq!(bench.bob("b", 1, ALL), ok(&[]));
    bench.branch = Some("z9hG4bKold");
    assert_eq!(bench.bob("a", 1, ONE), ok(&[]));
    assert!(bench.uris().is_empty());
}

#[test]
fn nor_where_somebody_in_charge_did() {
    let mut bench = Bench::new();
    assert!(matches!(bench.bob("a", 2, ONE), Answer::Ok(_)));
    assert!(bench.registrar.forget(b"sip:bob@biloxi.com", &mut bench.out));
    assert_eq!(bench.bob("a", 1, ONE), Answer::No(500));
    assert!(matches!(bench.bob("a", 3, ONE), Answer::Ok(_)));
}

/// A removal is answered once more, but takes away nothing that came after it.
#[test]
fn a_copy_of_a_removal_leaves_alone_who_came_since() {
    for removal in [GONE, ALL] {
        let mut bench = Bench::new();
        bench.branch = Some("z9hG4bKremoval");
        assert_eq!(bench.bob("a", 1, removal), ok(&[]));
        bench.branch = None;
        assert!(matches!(bench.bob("b", 1, ONE), Answer::Ok(_)));
        bench.branch = Some("z9hG4bKremoval");
        assert!(matches!(bench.bob("a", 1, removal), Answer::Ok(all) if all.len() == 1));
        assert_eq!(bench.uris().len(), 1);
        // After 64*T1 nobody sends a copy any more.
        bench.now += 32;
        assert_eq!(bench.bob("a", 1, removal), ok(&[]));
    }
}

/// It came by two ways (RFC 3261 section 8.2.2.2).
#[test]
fn a_removal_that_was_forked_is_merged() {
    let mut bench = Bench::new();
    assert_eq!(bench.bob("a", 1, ALL), ok(&[]));
    assert_eq!(bench.bob("a", 1, ALL), Answer::No(482));
}

#[test]
fn a_refusal_leaves_no_trace() {
    let mut bench = Bench::new();
    assert!(matches!(bench.bob("a", 5, ONE), Answer::Ok(_)));
    let fields = "Contact: <sip:bob@192.0.2.9>;expires=0, <sip:bob@192.0.2.4>;expires=0";
    assert_eq!(bench.bob("a", 4, fields), Answer::No(500));
    bench.registrar.expire(at(bench.now), &mut bench.out);
    assert_eq!(bench.bob("a", 6, GONE), ok(&[]));
    assert!(matches!(bench.bob("b", 1, ONE), Answer::Ok(_)));
    assert!(matches!(bench.bob("b", 2, ONE), Answer::Ok(_)));
}
