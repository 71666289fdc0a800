//! What the engine on disk promises beyond the model: recovery, history, erasure from files, refusals.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use apograph_store::engine::{
    Batch, Engine, EngineError, Erased, KeyRange, Lsm, LsmOptions, PinnedBytes, Pressure, Space, VERSION_MAX,
};

fn open(folder: &Path) -> Lsm {
    Lsm::open(folder, &options()).unwrap()
}

/// Bodies stand apart from a few bytes on.
fn options() -> LsmOptions {
    LsmOptions { apart_bytes: 6, ..LsmOptions::default() }
}

fn files(folder: &Path) -> BTreeSet<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { BTreeSet::from([path]) }).collect()
}

fn put(engine: &Lsm, key: &str, value: &str, at: u64) {
    let mut batch = Batch::new();
    batch.put(key.to_owned(), value.to_owned());
    engine.write(&batch, at).unwrap();
}

fn get(engine: &Lsm, key: &str, at: u64) -> Option<String> {
    let value = engine.get(Space::Documents, key.as_bytes(), at).unwrap()?;
    Some(String::from_utf8(value.to_vec()).unwrap())
}

fn merge(engine: &Lsm) {
    while engine.maintain().unwrap() {}
}

/// The library's own watermark loses the value that is visible at it; this is why the engine has its own filter.
#[test]
fn the_value_visible_at_the_horizon_survives_merging() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path());
    for (value, at) in [("a", 10), ("b", 20), ("c", 30), ("d", 40), ("e", 50)] {
        put(&engine, "key", value, at);
        engine.flush().unwrap();
    }
    engine.raise_horizon(25).unwrap();
    merge(&engine);
    assert_eq!(get(&engine, "key", 25).as_deref(), Some("b"));
    assert_eq!(get(&engine, "key", 39).as_deref(), Some("c"));
    assert_eq!(get(&engine, "key", 50).as_deref(), Some("e"));
    assert_eq!(get(&engine, "key", 15), None, "below the horizon, and collected");
}

/// A merge drops the entry that carried the highest version; how far the store got must not fall back with it.
#[test]
fn persisted_never_falls() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path());
    for at in 1..=8 {
        let mut batch = Batch::new();
        if at % 2 == 1 {
            batch.put("key", "value")
        } else {
            batch.delete("key")
        }
        engine.write(&batch, at).unwrap();
        engine.flush().unwrap();
        engine.raise_horizon(at).unwrap();
    }
    merge(&engine);
    engine.erase(&[(Space::Documents, b"key")]).unwrap();
    assert_eq!(engine.persisted(), Some(8));
    drop(engine);
    assert_eq!(open(folder.path()).persisted(), Some(8));
}

#[test]
fn a_batch_of_bodies_only_is_persisted_too() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path());
    let mut batch = Batch::new();
    batch.put_body("hash", "body");
    engine.write(&batch, 7).unwrap();
    engine.flush().unwrap();
    drop(engine);
    let engine = open(folder.path());
    assert_eq!(engine.persisted(), Some(7));
    assert_eq!(engine.get(Space::Bodies, b"hash", 0).unwrap().unwrap(), "body");
}

/// A crash between the flushes of the two trees leaves bodies that are ahead of the documents.
#[test]
fn replay_over_bodies_that_are_ahead_gives_the_same_store() {
    let folder = tempfile::tempdir().unwrap();
    let batch = |at: u64| {
        let mut batch = Batch::new();
        batch.put(format!("head-{}", at % 7), format!("title-{at}"));
        batch.put_body(format!("body-{}", at % 11), format!("text-{}", at % 11));
        batch
    };
    let engine = open(folder.path());
    (1..=20).for_each(|at| engine.write(&batch(at), at).unwrap());
    engine.flush().unwrap();
    let kept = tempfile::tempdir().unwrap();
    copy(&folder.path().join("documents"), &kept.path().join("documents"));
    (21..=40).for_each(|at| engine.write(&batch(at), at).unwrap());
    engine.flush().unwrap();
    let everything = |engine: &Lsm| {
        [Space::Documents, Space::Bodies].map(|space| {
            (20..=50)
                .map(|at| engine.range(space, &KeyRange::all(), at).map(Result::unwrap).collect::<Vec<_>>())
                .collect::<Vec<_>>()
        })
    };
    let expected = everything(&engine);
    drop(engine);

    fs::remove_dir_all(folder.path().join("documents")).unwrap();
    copy(&kept.path().join("documents"), &folder.path().join("documents"));
    let engine = open(folder.path());
    assert_eq!(engine.persisted(), Some(20));
    (15..=40).for_each(|at| engine.write(&batch(at), at).unwrap());
    assert_eq!(everything(&engine), expected);
    engine.flush().unwrap();
    merge(&engine);
    assert_eq!(everything(&engine), expected);
}

#[test]
fn erased_bytes_are_in_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let options = LsmOptions { compression: apograph_store::engine::Compression::None, ..options() };
    let engine = Lsm::open(folder.path(), &options).unwrap();
    for at in 1..200 {
        let mut batch = Batch::new();
        batch.put(format!("head-{}", at % 50), format!("title-{at}"));
        batch.put_body(format!("body-{at}"), format!("text-{at}-end"));
        engine.write(&batch, at).unwrap();
        if at % 30 == 0 {
            engine.flush().unwrap();
            merge(&engine);
        }
    }
    assert!(!files_with(folder.path(), b"text-31-end").is_empty());
    let keys: [(Space, &[u8]); 3] =
        [(Space::Bodies, b"body-31"), (Space::Bodies, b"body-199"), (Space::Documents, b"head-31")];
    assert_eq!(engine.erase(&keys).unwrap(), Erased::Done);
    for gone in ["text-31-end", "text-199-end", "title-31", "title-181", "body-31", "head-31"] {
        assert_eq!(files_with(folder.path(), gone.as_bytes()), Vec::<String>::new(), "{gone}");
    }
    assert_eq!(engine.get(Space::Bodies, b"body-31", 0).unwrap(), None);
    assert_eq!(get(&engine, "head-32", 150).as_deref(), Some("title-132"), "history of others is kept");
    assert_eq!(engine.persisted(), Some(199));
}

/// What was purged and came again in between is gone as well, whatever points to it now.
#[test]
fn a_body_that_was_written_twice_is_erased_twice() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path());
    for at in [1, 2] {
        let mut batch = Batch::new();
        batch.put_body("hash", "a body apart");
        engine.write(&batch, at).unwrap();
        engine.flush().unwrap();
        merge(&engine);
    }
    assert_eq!(engine.erase(&[(Space::Bodies, b"hash")]).unwrap(), Erased::Done);
    assert_eq!(files_with(folder.path(), b"a body apart"), Vec::<String>::new());
    assert_eq!(engine.get(Space::Bodies, b"hash", 0).unwrap(), None);
}

/// A crash between the two flushes of bodies, or between the two halves of an erasure, leaves a value without a pointer.
#[test]
fn a_value_that_nothing_points_to_is_erased_by_its_key() {
    let folder = tempfile::tempdir().unwrap();
    let empty = tempfile::tempdir().unwrap();
    drop(open(empty.path()));
    let engine = open(folder.path());
    let mut batch = Batch::new();
    batch.put_body("hash", "a body apart");
    engine.write(&batch, 1).unwrap();
    engine.flush().unwrap();
    drop(engine);
    for tree in ["bodies", "documents"] {
        fs::remove_dir_all(folder.path().join(tree)).unwrap();
        copy(&empty.path().join(tree), &folder.path().join(tree));
    }
    let engine = open(folder.path());
    assert_eq!(engine.get(Space::Bodies, b"hash", 0).unwrap(), None);
    assert!(!files_with(folder.path(), b"a body apart").is_empty());
    assert_eq!(engine.erase(&[(Space::Bodies, b"hash")]).unwrap(), Erased::Done);
    assert_eq!(files_with(folder.path(), b"a body apart"), Vec::<String>::new());
}

/// The point of keeping values apart: a table of them is written once, however much comes later.
#[test]
fn values_are_written_once() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path());
    let tables = || {
        let names = fs::read_dir(folder.path().join("values/tables")).unwrap();
        names.map(|entry| entry.unwrap().file_name()).collect::<std::collections::BTreeSet<_>>()
    };
    let mut before = tables();
    for round in 0..20 {
        let mut batch = Batch::new();
        for number in 0..50_u64 {
            // Hashes come in no order.
            let hash = (round * 50 + number).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            batch.put_body(hash.to_be_bytes().to_vec(), format!("value {number} of round {round}"));
        }
        engine.write(&batch, round + 1).unwrap();
        engine.flush().unwrap();
        merge(&engine);
        let now = tables();
        assert!(now.is_superset(&before), "round {round}: {before:?} became {now:?}");
        assert_eq!(now.len(), before.len() + 1, "round {round}");
        before = now;
    }
    let found = engine.range(Space::Bodies, &KeyRange::all(), 0).map(Result::unwrap).count();
    assert_eq!(found, 1000);
}

/// A store of the format before has all bodies in the index, and no folder of values.
#[test]
fn a_store_of_the_format_before_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let all_in_the_index = LsmOptions { apart_bytes: usize::MAX, ..options() };
    let engine = Lsm::open(folder.path(), &all_in_the_index).unwrap();
    let write = |engine: &Lsm, key: &str, at| {
        let mut batch = Batch::new();
        batch.put_body(key.to_owned(), format!("the body of {key}"));
        engine.write(&batch, at).unwrap();
        engine.flush().unwrap();
    };
    write(&engine, "old", 1);
    drop(engine);
    fs::remove_dir_all(folder.path().join("values")).unwrap();
    let again = || Lsm::open(folder.path(), &options());
    assert!(matches!(again(), Err(EngineError::Damaged { .. })), "in this format the folder must be there");

    let body = "apograph-store 1\nstate ready\nhorizon 0\n";
    let header = format!("{body}crc32c {:08x}\n", crc32c::crc32c(body.as_bytes()));
    fs::write(folder.path().join("header"), header).unwrap();
    let engine = again().unwrap();
    write(&engine, "new", 2);
    drop(engine);
    assert!(fs::read_to_string(folder.path().join("header")).unwrap().starts_with("apograph-store 2\n"));
    let engine = again().unwrap();
    for key in ["old", "new"] {
        let found = engine.get(Space::Bodies, key.as_bytes(), 0).unwrap().unwrap();
        assert_eq!(found, format!("the body of {key}"));
    }
}

#[test]
fn erasing_tells_of_readers_that_pin_an_old_file() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path());
    put(&engine, "a", "1", 1);
    put(&engine, "b", "2", 2);
    engine.flush().unwrap();
    let mut entries = engine.range(Space::Documents, &KeyRange::all(), 2);
    assert_eq!(entries.next().unwrap().unwrap().0, "a");
    let keys: [(Space, &[u8]); 1] = [(Space::Documents, b"b")];
    assert_eq!(engine.erase(&keys).unwrap(), Erased::PinnedByReaders);
    assert_eq!(entries.next().unwrap().unwrap().0, "b", "a snapshot stays what it was");
    drop(entries);
    assert_eq!(engine.erase(&keys).unwrap(), Erased::Done);
}

#[test]
fn a_range_is_a_snapshot() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path());
    put(&engine, "a", "1", 1);
    put(&engine, "b", "1", 2);
    let entries = engine.range(Space::Documents, &KeyRange::all(), 2);
    put(&engine, "b", "changed", 3);
    put(&engine, "c", "new", 4);
    engine.flush().unwrap();
    engine.raise_horizon(4).unwrap();
    merge(&engine);
    let values: Vec<_> = entries.map(|entry| entry.unwrap().1).collect();
    assert_eq!(values, ["1", "1"]);
}

#[test]
fn pressure_rises_with_the_memtable_and_falls_with_maintenance() {
    let folder = tempfile::tempdir().unwrap();
    let options = LsmOptions { memtable_bytes: 10_000, ..LsmOptions::default() };
    let engine = Lsm::open(folder.path(), &options).unwrap();
    let mut seen = Vec::new();
    for at in 1.. {
        let pressure = engine.pressure();
        if pressure == Pressure::Stop {
            break;
        }
        seen.push(pressure);
        put(&engine, &format!("key-{at}"), &"x".repeat(100), at);
    }
    assert_eq!(seen.first(), Some(&Pressure::None));
    assert!(matches!(seen.last(), Some(Pressure::Slow(_))));
    assert!(engine.maintain().unwrap());
    assert_eq!(engine.pressure(), Pressure::None);
}

#[test]
fn a_flush_that_is_due_needs_no_merge() {
    let folder = tempfile::tempdir().unwrap();
    let options = LsmOptions { memtable_bytes: 10_000, ..LsmOptions::default() };
    let engine = Lsm::open(folder.path(), &options).unwrap();
    let never = Arc::new(AtomicBool::new(false));
    assert!(!engine.flush_gently(&never).unwrap());
    let mut at = 0;
    // More runs than a merge waits for.
    for flushes in 1..=6 {
        while !matches!(engine.pressure(), Pressure::Slow(_)) {
            at += 1;
            put(&engine, &format!("key-{at}"), &"x".repeat(100), at);
        }
        assert!(engine.flush_gently(&never).unwrap(), "{flushes}");
        assert_eq!((engine.persisted(), engine.pressure()), (Some(at), Pressure::None));
        assert!(!engine.flush_gently(&never).unwrap(), "nothing is due, and it merges nothing");
    }
    assert!(engine.maintain().unwrap(), "the merge is due still");
}

/// A merge that takes a day waits for nobody who waits for it.
#[test]
fn an_erasure_and_a_stop_do_not_wait_for_a_merge_that_takes_its_time() {
    let folder = tempfile::tempdir().unwrap();
    let options = LsmOptions { merge_bytes_per_second: 1, ..LsmOptions::default() };
    let engine = Lsm::open(folder.path(), &options).unwrap();
    for (is_stopped, from) in [(false, 1), (true, 101)] {
        for at in from..from + 4 {
            put(&engine, "gone", "secret", at);
            put(&engine, &format!("large-{at}"), &"x".repeat(300 << 10), at);
            engine.flush().unwrap();
        }
        let stop = Arc::new(AtomicBool::new(false));
        std::thread::scope(|scope| {
            let merging = scope.spawn(|| engine.maintain_gently(&stop).unwrap());
            std::thread::sleep(std::time::Duration::from_millis(100));
            assert!(!merging.is_finished(), "it takes its time");
            match is_stopped {
                true => stop.store(true, Ordering::Relaxed),
                false => assert_eq!(engine.erase(&[(Space::Documents, b"gone")]).unwrap(), Erased::Done),
            }
            // A merge that began only behind the erasure has nobody who waits for it.
            stop.store(true, Ordering::Relaxed);
            merging.join().unwrap();
        });
    }
}

/// Nor does a flush, for those who wait for one, for a stop, and for writers that fill the next memtable.
#[test]
fn nobody_waits_for_a_flush_that_takes_its_time() {
    let folder = tempfile::tempdir().unwrap();
    let options = LsmOptions { memtable_bytes: 1 << 20, flush_bytes_per_second: 1, ..LsmOptions::default() };
    let engine = Lsm::open(folder.path(), &options).unwrap();
    let mut at = 0;
    for who in ["a flush", "an erasure", "a pin", "a stop", "a writer"] {
        let mut fill = |percent: usize| {
            for _ in 0..percent {
                at += 1;
                put(&engine, &format!("{at}"), &"x".repeat(11 << 10), at);
            }
            engine.pressure();
            at
        };
        let last = fill(100);
        let stop = Arc::new(AtomicBool::new(false));
        let before = files(folder.path());
        std::thread::scope(|scope| {
            let flushing = scope.spawn(|| engine.flush_gently(&stop).unwrap());
            while files(folder.path()).is_subset(&before) {
                assert!(!flushing.is_finished(), "it takes its time");
                std::thread::yield_now();
            }
            assert!(!flushing.is_finished(), "it takes its time");
            assert!(
                engine.get(Space::Documents, b"1", last).unwrap().is_some(),
                "what is being written can be read"
            );
            match who {
                "a flush" => engine.flush().unwrap(),
                "an erasure" => drop(engine.erase(&[(Space::Documents, b"gone")]).unwrap()),
                "a pin" => drop(engine.pin().unwrap()),
                "a stop" => stop.store(true, Ordering::Relaxed),
                _ => drop(fill(130)),
            }
            assert!(flushing.join().unwrap(), "{who}");
        });
        engine.flush().unwrap();
        assert_eq!(engine.persisted(), Some(at), "{who}");
    }
    drop(engine);
    let engine = Lsm::open(folder.path(), &options).unwrap();
    for written in 1..=at {
        assert!(engine.get(Space::Documents, written.to_string().as_bytes(), at).unwrap().is_some());
    }
}

#[test]
fn mistakes_are_refused_and_change_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path());
    put(&engine, "a", "1", 5);
    let write = |key: Vec<u8>, at| {
        let mut batch = Batch::new();
        batch.put("fine", "1");
        batch.put(key, "1");
        engine.write(&batch, at)
    };
    assert!(matches!(write(b"k".to_vec(), 4), Err(EngineError::VersionOrder { at: 4, last: 5 })));
    assert!(matches!(write(b"k".to_vec(), VERSION_MAX + 1), Err(EngineError::VersionRange { .. })));
    for key in [vec![], vec![0], vec![1; 70_000]] {
        assert!(matches!(write(key, 6), Err(EngineError::Key { .. })));
    }
    assert_eq!(get(&engine, "fine", u64::MAX), None);
    write(b"k".to_vec(), VERSION_MAX).unwrap();
    assert_eq!(get(&engine, "k", VERSION_MAX - 1), None);
    assert_eq!(get(&engine, "k", VERSION_MAX).as_deref(), Some("1"));
}

#[test]
fn a_folder_has_one_user_and_one_format() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path());
    engine.raise_horizon(9).unwrap();
    let again = || Lsm::open(folder.path(), &LsmOptions::default()).map(|_| ());
    assert!(matches!(again(), Err(EngineError::InUse { .. })));
    drop(engine);
    assert_eq!(open(folder.path()).horizon(), 9);

    let header = folder.path().join("header");
    let was = fs::read(&header).unwrap();
    assert_eq!(String::from_utf8_lossy(&was), "apograph-store 2\nstate ready\nhorizon 9\ncrc32c c6a0645f\n");
    let body = "apograph-store 3\nsomething else\n";
    fs::write(&header, format!("{body}crc32c {:08x}\n", crc32c::crc32c(body.as_bytes()))).unwrap();
    assert!(matches!(again(), Err(EngineError::Format { found, supported: 2, .. }) if found == "3"));
    for damaged in [&was[1..], &was[..20], b"", b"crc32c 00000000\n"] {
        fs::write(&header, damaged).unwrap();
        assert!(matches!(again(), Err(EngineError::Damaged { .. })));
    }
    fs::remove_file(&header).unwrap();
    assert!(matches!(again(), Err(EngineError::Damaged { .. })), "trees without a header");
    fs::write(&header, &was).unwrap();
    again().unwrap();
}

fn files_with(folder: &Path, bytes: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_with(&path, bytes));
        } else if fs::read(&path).unwrap().windows(bytes.len()).any(|window| window == bytes) {
            found.push(path.display().to_string());
        }
    }
    found
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}

/// What was pinned is copied while tables are flushed, merged and erased: the copy is the engine of that moment.
#[test]
fn pinned_files_are_the_engine_of_their_moment() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path());
    for at in 1..=40 {
        put(&engine, &format!("key{:02}", at % 10), &format!("value {at}"), at);
        engine.flush().unwrap();
    }
    let pinned = engine.pin().unwrap().unwrap();
    assert_eq!(pinned.version, Some(40));
    for at in 41..=80 {
        put(&engine, &format!("key{:02}", at % 10), &format!("value {at}"), at);
        engine.flush().unwrap();
    }
    merge(&engine);
    engine.erase(&[(Space::Documents, b"key03")]).unwrap();
    let copy = tempfile::tempdir().unwrap();
    for file in &pinned.files {
        let to = copy.path().join(&file.name);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        match &file.bytes {
            PinnedBytes::Here(bytes) => fs::write(&to, bytes).unwrap(),
            PinnedBytes::File(from) => drop(fs::copy(from, &to).unwrap()),
        }
    }
    drop(pinned);
    let copy = open(copy.path());
    assert_eq!(copy.persisted(), Some(40));
    for key in 0..10 {
        let at = if key == 0 { 40 } else { 30 + key };
        let expected = format!("value {at}");
        assert_eq!(get(&copy, &format!("key{key:02}"), 100), Some(expected));
        assert_eq!(
            get(&copy, &format!("key{key:02}"), 30),
            Some(format!("value {}", if key == 0 { 30 } else { 20 + key }))
        );
    }
    // Without readers the tables of that moment are gone.
    assert_eq!(engine.erase(&[(Space::Documents, b"key04")]).unwrap(), Erased::Done);
}

/// A store that is taken back to a version is, to every reader, one that was never written further.
#[test]
fn what_was_written_after_the_version_is_forgotten() {
    for to in [0, 1, 7, 20, 39, 40, 41] {
        let folder = tempfile::tempdir().unwrap();
        let engine = open(folder.path());
        for at in 1..=40 {
            let key = format!("key{:02}", at % 10);
            if at % 7 == 0 {
                let mut batch = Batch::new();
                batch.delete(key);
                engine.write(&batch, at).unwrap();
            } else {
                put(&engine, &key, &format!("value {at}"), at);
            }
            if at % 3 == 0 {
                engine.flush().unwrap();
            }
        }
        engine.flush().unwrap();
        merge(&engine);
        let keys: Vec<_> = (0..10).map(|key| format!("key{key:02}")).collect();
        let expected: Vec<_> =
            (0..=to).map(|at| keys.iter().map(|key| get(&engine, key, at)).collect::<Vec<_>>()).collect();
        drop(engine);
        let persisted = Lsm::rewind(folder.path(), &LsmOptions::default(), to).unwrap();
        assert_eq!(persisted.unwrap_or(0), to.min(40));
        let engine = open(folder.path());
        for (at, expected) in expected.iter().enumerate() {
            let found: Vec<_> = keys.iter().map(|key| get(&engine, key, at as u64)).collect();
            assert_eq!(found, *expected, "as of {at}, back to {to}");
        }
        // It goes on from there as if nothing had been.
        put(&engine, "key00", "another", to + 1);
        engine.flush().unwrap();
        drop(engine);
        assert_eq!(get(&open(folder.path()), "key00", 100).as_deref(), Some("another"));
    }
}
