//! The store against crashes, damage and a full queue.

use crate::*;
use std::{
    collections::BTreeMap,
    fs,
    io::{Seek, SeekFrom, Write},
    path::Path,
    sync::{Arc, Mutex, mpsc},
};

type Map = BTreeMap<(u8, Vec<u8>), Vec<u8>>;

fn apply(map: &mut Map, r: RecordRef<'_>) {
    match r.value {
        Some(v) => map.insert((r.table, r.key.to_vec()), v.to_vec()),
        None => map.remove(&(r.table, r.key.to_vec())),
    };
}

fn open_with(dir: &Path, options: Options, done: crate::open::Done) -> (Store, Loaded, Map) {
    let mut map = Map::new();
    let (store, loaded) =
        Store::open(dir, options, &mut |r| apply(&mut map, r), &mut |_, _| {}, done).unwrap();
    (store, loaded, map)
}

fn open(dir: &Path) -> (Store, Loaded, Map) {
    open_with(dir, Options::default(), Box::new(|_, _| {}))
}

fn record(key: &str, value: Option<&str>) -> Record {
    Record { table: 1, key: key.into(), value: value.map(Into::into) }
}

fn newest(dir: &Path) -> std::path::PathBuf {
    let full = |p: &std::path::PathBuf| fs::metadata(p).unwrap().len() > 0;
    crate::folder::segments(dir).unwrap().into_iter().map(|s| s.1).rfind(full).unwrap()
}

#[test]
fn what_was_put_is_there_after_opening_again() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _, map) = open(dir.path());
    assert!(map.is_empty());
    store.put(vec![record("a", Some("1")), record("b", Some("2"))]).unwrap();
    store.put(vec![record("a", Some("3")), record("b", None)]).unwrap();
    drop(store);
    let (_store, loaded, map) = open(dir.path());
    assert_eq!(loaded.records, 4);
    assert_eq!(map, Map::from([((1, b"a".to_vec()), b"3".to_vec())]));
}

/// One process closes, another opens, and the first one is still there.
#[test]
fn what_is_closed_is_whole_and_can_be_opened_by_another() {
    let dir = tempfile::tempdir().unwrap();
    let (store, ..) = open(dir.path());
    for n in 0..100 {
        store.submit(n, record(&n.to_string(), Some("1"))).unwrap();
    }
    store.close();
    assert!(matches!(store.submit(1, record("late", None)), Err(StoreError::Closed)));
    assert!(matches!(store.put(vec![record("late", Some("1"))]), Err(StoreError::Closed)));
    let (next, _, map) = open(dir.path());
    assert_eq!(map.len(), 100);
    store.close();
    drop(store);
    next.put(vec![record("next", Some("1"))]).unwrap();
    drop(next);
    assert_eq!(open(dir.path()).2.len(), 101);
}

#[test]
fn each_ticket_is_told_of_once() {
    let dir = tempfile::tempdir().unwrap();
    let (tell, told) = mpsc::channel();
    let tell = Mutex::new(tell);
    let (store, _, _) = open_with(
        dir.path(),
        Options::default(),
        Box::new(move |tickets, outcome| {
            assert!(outcome.is_ok());
            tickets.iter().for_each(|t| tell.lock().unwrap().send(*t).unwrap());
        }),
    );
    for n in 0..1000 {
        store.submit(n, record(&n.to_string(), Some("x"))).unwrap();
    }
    drop(store);
    assert_eq!(told.iter().collect::<Vec<_>>(), (0..1000).collect::<Vec<_>>());
    assert_eq!(open(dir.path()).2.len(), 1000);
}

#[test]
fn a_second_process_is_told_that_the_store_is_in_use() {
    let dir = tempfile::tempdir().unwrap();
    let (_store, _, _) = open(dir.path());
    let again = Store::open(
        dir.path(),
        Options::default(),
        &mut |_| {},
        &mut |_, _| {},
        Box::new(|_, _| {}),
    );
    assert!(matches!(again, Err(StoreError::Locked(_))));
}

#[test]
fn a_torn_last_batch_is_cut_off_at_every_length() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _, _) = open(dir.path());
    store.put(vec![record("kept", Some("1"))]).unwrap();
    drop(store);
    let whole = fs::read(newest(dir.path())).unwrap();
    let (store, _, _) = open(dir.path());
    store.put(vec![record("torn", Some("2"))]).unwrap();
    drop(store);
    let second = fs::read(newest(dir.path())).unwrap();
    for cut in 0..second.len() {
        let dir = tempfile::tempdir().unwrap();
        let mut bytes = whole.clone();
        bytes.extend_from_slice(&second[..cut]);
        fs::write(dir.path().join("00000001.log"), &bytes).unwrap();
        let (_store, loaded, map) = open(dir.path());
        assert_eq!(loaded.torn, cut as u64);
        assert_eq!(map.keys().next().unwrap().1, b"kept");
        assert_eq!(map.len(), 1);
    }
}

#[test]
fn damage_is_reported_left_alone_and_repaired_on_request() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _, _) = open(dir.path());
    for n in 0..10 {
        store.put(vec![record(&format!("key{n}"), Some("value"))]).unwrap();
    }
    drop(store);
    let path = newest(dir.path());
    let before = fs::read(&path).unwrap();
    let at = before.windows(4).position(|w| w == b"key5").unwrap();
    let mut file = fs::File::options().write(true).open(&path).unwrap();
    file.seek(SeekFrom::Start(at as u64)).unwrap();
    file.write_all(b"KEY").unwrap();
    let damaged = fs::read(&path).unwrap();

    let refused = Store::open(
        dir.path(),
        Options::default(),
        &mut |_| {},
        &mut |_, _| {},
        Box::new(|_, _| {}),
    )
    .unwrap_err();
    let StoreError::Damaged { damage, readable } = &refused else { panic!("{refused}") };
    assert_eq!((damage.len(), *readable), (1, 9));
    assert!(refused.to_string().contains("9 records can be read"));
    assert_eq!(fs::read(&path).unwrap(), damaged, "nothing is changed");
    assert_eq!(inspect(dir.path()).unwrap().0, 9);

    let repaired = repair(dir.path()).unwrap();
    assert_eq!(repaired.saved, 9);
    assert_eq!(fs::read(repaired.kept.join(path.file_name().unwrap())).unwrap(), damaged);
    let (_store, _, map) = open(dir.path());
    assert_eq!(map.len(), 9);
    assert!(!map.contains_key(&(1, b"key5".to_vec())));
}

#[test]
fn writing_afresh_keeps_the_living_and_lets_go_of_the_dead() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _, _) = open(dir.path());
    for round in 0..20 {
        for n in 0..50 {
            let value = format!("{round}");
            store.put(vec![record(&n.to_string(), Some(&value))]).unwrap();
        }
    }
    store.put((0..25).map(|n| record(&n.to_string(), None)).collect()).unwrap();
    store.compact().unwrap();
    store.put(vec![record("after", Some("x"))]).unwrap();
    drop(store);
    let (_store, loaded, map) = open(dir.path());
    assert_eq!(map.len(), 26);
    assert!(map.iter().all(|(k, v)| k.1 == b"after" || v == b"19"));
    assert!(loaded.records < 30, "{loaded:?}");
}

#[test]
fn a_crash_between_renaming_and_removing_brings_nothing_back() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _, _) = open(dir.path());
    store.put(vec![record("gone", Some("1")), record("stays", Some("1"))]).unwrap();
    drop(store);
    let old = newest(dir.path());
    let old_bytes = fs::read(&old).unwrap();
    let (store, _, _) = open(dir.path());
    store.put(vec![record("gone", None)]).unwrap();
    store.compact().unwrap();
    drop(store);
    assert!(!old.exists());
    fs::write(&old, old_bytes).unwrap();
    let (_store, _, map) = open(dir.path());
    assert_eq!(map.len(), 1);
    assert!(!old.exists());
}

#[test]
fn segments_turn_over_and_dead_weight_is_shed_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { segment_bytes: 4096, slack_bytes: 16384, ..Options::default() };
    let (store, _, _) = open_with(dir.path(), options, Box::new(|_, _| {}));
    for n in 0..2000u32 {
        store.put(vec![record("same", Some(&format!("{n:0100}")))]).unwrap();
    }
    drop(store);
    let bytes: u64 = crate::folder::segments(dir.path())
        .unwrap()
        .iter()
        .map(|(_, p)| fs::metadata(p).unwrap().len())
        .sum();
    assert!(bytes < 100_000, "{bytes} bytes for one living record");
    let (_store, _, map) = open(dir.path());
    assert_eq!(map.values().next().unwrap(), format!("{:0100}", 1999).as_bytes());
}

/// As under a steady load of refreshes: many keys, each written over again and again, and some that
/// end.
#[test]
fn however_much_was_written_what_lives_is_what_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let sync = Sync::Every(std::time::Duration::from_secs(60));
    let options =
        Options { sync, segment_bytes: 16 << 10, slack_bytes: u64::MAX, ..Options::default() };
    let (store, _, _) = open_with(dir.path(), options, Box::new(|_, o| assert!(o.is_ok())));
    for round in 0..30 {
        let all = (0..500).map(|n| record(&format!("{n:0100}"), Some(&format!("{round:0100}"))));
        store.put(all.collect()).unwrap();
        store.put((0..250).map(|n| record(&format!("{n:0100}"), None)).collect()).unwrap();
        if round % 10 == 9 {
            store.compact().unwrap();
            let segments = crate::folder::segments(dir.path()).unwrap();
            let size: u64 = segments.iter().map(|(_, p)| fs::metadata(p).unwrap().len()).sum();
            // 250 records of 210 bytes, of the 1.3 MB of ten rounds.
            assert!((52_500..54_000).contains(&size), "{size}");
        }
    }
    drop(store);
    assert_eq!(open(dir.path()).2.len(), 250);
}

#[test]
fn writing_afresh_that_failed_is_tried_again_and_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let again = std::time::Duration::ZERO;
    let options = Options {
        segment_bytes: 4096,
        slack_bytes: 16384,
        compact_again: again,
        ..Options::default()
    };
    // A folder where the new segment is to be written stands for a disk without room.
    let in_the_way = dir.path().join("compact.new");
    let (store, _, _) = open_with(dir.path(), options, Box::new(|_, _| {}));
    fs::create_dir(&in_the_way).unwrap();
    let fill = || {
        for n in 0..500u32 {
            store.put(vec![record("same", Some(&format!("{n:0100}")))]).unwrap();
        }
    };
    fill();
    let refused = store.compact().unwrap_err().to_string();
    assert!(refused.contains("compact.new"), "{refused}");
    fs::remove_dir(&in_the_way).unwrap();
    fill();
    drop(store);
    let bytes: u64 = crate::folder::segments(dir.path())
        .unwrap()
        .iter()
        .map(|(_, p)| fs::metadata(p).unwrap().len())
        .sum();
    assert!(bytes < 50_000, "{bytes} bytes for one living record");
    fs::write(&in_the_way, b"half").unwrap();
    assert_eq!(open(dir.path()).2.len(), 1);
    assert!(!in_the_way.exists());
}

#[test]
fn a_full_queue_refuses_instead_of_growing() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { queue: 4, ..Options::default() };
    let gate = Arc::new(Mutex::new(()));
    let held = gate.lock().unwrap();
    let inner = gate.clone();
    let (store, _, _) = open_with(dir.path(), options, Box::new(move |_, _| drop(inner.lock())));
    let refused = (0..100).filter(|n| store.submit(*n, record("k", Some("v"))).is_err()).count();
    assert!(refused > 0);
    drop(held);
    assert!(store.put(vec![record("k", Some("w"))]).is_ok());
}

#[test]
fn records_survive_without_syncing_each_batch() {
    let dir = tempfile::tempdir().unwrap();
    let options =
        Options { sync: Sync::Every(std::time::Duration::from_millis(20)), ..Options::default() };
    let (store, _, _) = open_with(dir.path(), options, Box::new(|_, _| {}));
    store.put(vec![record("a", Some("1"))]).unwrap();
    drop(store);
    assert_eq!(open(dir.path()).2.len(), 1);
}

#[test]
fn putting_nothing_returns() {
    let dir = tempfile::tempdir().unwrap();
    assert!(open(dir.path()).0.put(Vec::new()).is_ok());
}

#[test]
fn a_record_that_is_too_large_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _, _) = open(dir.path());
    let big = Record { table: 1, key: b"k".to_vec(), value: Some(vec![0; 17 << 20]) };
    assert!(matches!(store.put(vec![big]), Err(StoreError::TooLarge(_))));
}

/// A store whose outcomes are told one by one.
fn watched(dir: &Path, options: Options) -> (Store, mpsc::Receiver<Option<String>>) {
    let (tell, told) = mpsc::channel();
    let tell = Mutex::new(tell);
    let done = Box::new(move |tickets: &[u64], outcome: Result<(), &StoreError>| {
        let fault = outcome.err().map(ToString::to_string);
        tickets.iter().for_each(|_| tell.lock().unwrap().send(fault.clone()).unwrap());
    });
    let (store, _, _) = open_with(dir, options, done);
    (store, told)
}

#[test]
fn a_file_system_that_became_read_only_fails_what_it_did_not_take_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options::default();
    let faults = options.faults.clone();
    let (store, told) = watched(dir.path(), options);
    let put = |key: &str| {
        store.submit(1, record(key, Some("x"))).unwrap();
        told.recv().unwrap()
    };
    assert_eq!(put("before"), None);
    faults.set(Some(std::io::ErrorKind::ReadOnlyFilesystem));
    for key in ["during", "still"] {
        let why = put(key).expect("refused");
        assert!(why.contains("00000001.log") && why.contains("mount it writable"), "{why}");
    }
    faults.set(None);
    assert_eq!(put("after"), None);
    drop(store);
    let keys: Vec<_> = open(dir.path()).2.into_keys().map(|(_, key)| key).collect();
    assert_eq!(keys, [b"after".to_vec(), b"before".to_vec()]);
}

#[test]
fn nothing_is_safe_in_a_file_that_was_removed_or_moved() {
    for sync in [Sync::EachBatch, Sync::Every(std::time::Duration::from_secs(1))] {
        let dir = tempfile::tempdir().unwrap();
        let (there, away) = (dir.path().join("store"), dir.path().join("away"));
        let (store, told) = watched(&there, Options { sync, ..Options::default() });
        let put = |key: &str| {
            store.submit(1, record(key, Some("x"))).unwrap();
            told.recv().unwrap()
        };
        assert_eq!(put("before"), None);
        fs::rename(&there, &away).unwrap();
        assert!(put("moved").expect("refused").contains("is gone"));
        // Another file of that name is not it.
        fs::create_dir(&there).unwrap();
        fs::write(there.join("00000001.log"), "").unwrap();
        assert!(put("another").expect("refused").contains("is gone"));
        fs::remove_dir_all(&there).unwrap();
        fs::rename(&away, &there).unwrap();
        assert_eq!(put("back"), None);
        let keep = dir.path().join("keep");
        fs::create_dir(&keep).unwrap();
        for (_, path) in folder::segments(&there).unwrap() {
            fs::copy(&path, keep.join(path.file_name().unwrap())).unwrap();
        }
        fs::remove_dir_all(&there).unwrap();
        assert!(put("removed").expect("refused").contains("is gone"));
        drop(store);
        let keys: Vec<_> = open(&keep).2.into_keys().map(|(_, key)| key).collect();
        assert_eq!(keys, [b"back".to_vec(), b"before".to_vec()]);
    }
}

#[test]
fn all_can_be_read_again_while_it_is_open() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { segment_bytes: 4096, slack_bytes: 4096, ..Options::default() };
    let (store, ..) = open_with(dir.path(), options, Box::new(|_, _| {}));
    for n in 0..3000 {
        store.submit(n, record(&(n % 50).to_string(), Some(&n.to_string()))).unwrap();
    }
    store.submit(3000, record("7", None)).unwrap();
    let mut map = Map::new();
    store.read(&mut |some| some.iter().for_each(|r| apply(&mut map, r.into()))).unwrap();
    assert_eq!(map.len(), 49);
    assert_eq!(map[&(1, b"8".to_vec())], b"2958");
    store.put(vec![record("later", Some("1"))]).unwrap();
    drop(store);
    assert_eq!(open(dir.path()).2.len(), 50);
}

/// Writes records one after another and has the power fail whenever some are told to be safe: how many of
/// those are not there afterwards.
fn lost_when_the_power_fails(sync: Sync) -> usize {
    let dir = tempfile::tempdir().unwrap();
    let (here, options) =
        (dir.path().to_path_buf(), Options { sync, segment_bytes: 2048, ..Options::default() });
    let faults = options.faults.clone();
    let (told, lost) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(0)));
    let (all, missing) = (Arc::clone(&told), Arc::clone(&lost));
    let (store, ..) = open_with(
        dir.path(),
        options,
        Box::new(move |tickets, outcome| {
            assert!(outcome.is_ok());
            let mut all = all.lock().unwrap();
            all.extend_from_slice(tickets);
            for luck in [0, 1, 2] {
                let after = tempfile::tempdir().unwrap();
                // Nothing more, the half of it, nearly all.
                let part = |more: u64| [0, more / 2, more.saturating_sub(1)][luck];
                faults.lose_power(&here, after.path(), part);
                let (_store, _, map) = open(after.path());
                let is_there = |n: &&u64| map.contains_key(&(1, n.to_string().into_bytes()));
                *missing.lock().unwrap() += all.len() - all.iter().filter(is_there).count();
            }
        }),
    );
    for n in 0..60 {
        store.submit(n, record(&n.to_string(), Some("a binding"))).unwrap();
        if n % 7 == 0 {
            std::thread::yield_now();
        }
    }
    drop(store);
    assert_eq!(told.lock().unwrap().len(), 60);
    *lost.lock().unwrap()
}

/// What is told to be safe is on the platters, and not only with the system (a `kill -9` could not tell):
/// the sync comes before the answer.
#[test]
fn what_was_told_outlives_the_power() {
    assert_eq!(lost_when_the_power_fails(Sync::EachBatch), 0);
    // And the disk of this test does forget: where the sync comes later, something is lost.
    let later = Sync::Every(std::time::Duration::from_secs(3600));
    assert!(lost_when_the_power_fails(later) > 0);
}
