//! Any single damaged byte of a table or manifest is noticed or harmless: an error or the right answer, never an
//! absent or other value.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::{
    fs,
    path::{Path, PathBuf},
};

use apograph_store::engine::{Batch, Engine, EngineError, KeyRange, Lsm, LsmOptions, Space};

const KEYS: u64 = 400;

fn key(number: u64) -> String {
    format!("key-{number:04}")
}

fn value(number: u64) -> String {
    format!("value {number} with some words that compress, some words that compress")
}

/// Every other body stands apart.
fn body(number: u64) -> String {
    value(number).repeat(if number.is_multiple_of(2) { 1 } else { 5 })
}

/// A store of a few tables on two levels.
fn write_store(folder: &Path) {
    let engine = Lsm::open(folder, &LsmOptions::default()).unwrap();
    for number in 0..KEYS {
        let mut batch = Batch::new();
        batch.put(key(number * 7 % KEYS), value(number * 7 % KEYS));
        batch.put_body(format!("hash-{number}"), body(number));
        engine.write(&batch, number + 1).unwrap();
        if number % 80 == 79 {
            engine.flush().unwrap();
        }
        if number == 330 {
            while engine.maintain().unwrap() {}
        }
    }
}

/// What all reads together answer. A right answer is `Ok(())`; a wrong one panics.
fn read_all(folder: &Path) -> Result<(), EngineError> {
    let engine = Lsm::open(folder, &LsmOptions::default())?;
    assert_eq!(engine.persisted(), Some(KEYS));
    for number in 0..KEYS {
        let found = engine.get(Space::Documents, key(number).as_bytes(), KEYS)?;
        assert_eq!(found.as_deref(), Some(value(number).as_bytes()), "{}", key(number));
        let found = engine.get(Space::Bodies, format!("hash-{number}").as_bytes(), KEYS)?;
        assert_eq!(found.as_deref(), Some(body(number).as_bytes()), "body {number}");
    }
    let mut count = 0;
    for entry in engine.range(Space::Documents, &KeyRange::all(), KEYS) {
        let (found, content) = entry?;
        assert_eq!((&found[..], &content[..]), (key(count).as_bytes(), value(count).as_bytes()));
        count += 1;
    }
    assert_eq!(count, KEYS);
    Ok(())
}

#[test]
fn no_damaged_byte_changes_an_answer() {
    let folder = tempfile::tempdir().unwrap();
    write_store(folder.path());
    read_all(folder.path()).unwrap();
    let (mut noticed, mut harmless) = (0, Vec::new());
    for file in files(folder.path()) {
        let bytes = fs::read(&file).unwrap();
        for at in (0..bytes.len()).step_by(step(bytes.len())) {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x10;
            fs::write(&file, &damaged).unwrap();
            match read_all(folder.path()) {
                Ok(()) => harmless.push((file.clone(), at, bytes.len())),
                Err(EngineError::Damaged { .. } | EngineError::Format { .. }) => noticed += 1,
                Err(other) => panic!("byte {at} of {}: {other:?}", file.display()),
            }
            fs::write(&file, &bytes).unwrap();
        }
    }
    assert!(noticed > 2_000, "{noticed} places");
    // Known: padding at the very end of a table.
    assert!(harmless.len() * 100 < noticed, "{harmless:?}");
    read_all(folder.path()).unwrap();
}

#[test]
fn a_missing_or_short_file_is_damage() {
    let folder = tempfile::tempdir().unwrap();
    write_store(folder.path());
    for file in files(folder.path()) {
        let bytes = fs::read(&file).unwrap();
        fs::remove_file(&file).unwrap();
        assert!(
            matches!(read_all(folder.path()), Err(EngineError::Damaged { .. })),
            "without {}",
            file.display()
        );
        fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
        assert!(
            matches!(read_all(folder.path()), Err(EngineError::Damaged { .. })),
            "half of {}",
            file.display()
        );
        fs::write(&file, &bytes).unwrap();
    }
    read_all(folder.path()).unwrap();
}

/// Every block of such a table is as sound as those of the right one.
#[test]
fn a_table_of_another_time_or_store_is_damage() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write_store(folder.path());
    write_store(other.path());
    let tables: Vec<PathBuf> = files(folder.path())
        .into_iter()
        .filter(|file| file.parent().unwrap().ends_with("tables"))
        .map(|file| file.strip_prefix(folder.path()).unwrap().to_owned())
        .collect();
    for table in &tables {
        let path = folder.path().join(table);
        let bytes = fs::read(&path).unwrap();
        fs::copy(other.path().join(table), &path).unwrap();
        match read_all(folder.path()) {
            Err(EngineError::Damaged { path: named, .. }) => assert_eq!(named, path),
            found => panic!("{}: {found:?}", table.display()),
        }
        fs::write(&path, &bytes).unwrap();
        read_all(folder.path()).unwrap();
    }
    assert!(tables.len() > 5);
}

/// What is remembered of tables only ever costs or saves reading them.
#[test]
fn a_store_opens_whatever_became_of_its_fingerprints() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fingerprints");
    let engine = Lsm::open(folder.path(), &LsmOptions::default()).unwrap();
    let mut before = None;
    for number in 1..4 {
        let mut batch = Batch::new();
        batch.put(key(number), value(number));
        engine.write(&batch, number).unwrap();
        engine.flush().unwrap();
        before = before.or(fs::read(&path).ok());
    }
    drop(engine);
    let now = fs::read(&path).unwrap();
    assert_ne!(before.as_ref(), Some(&now), "later tables are remembered");
    for bytes in [before, None, Some(Vec::new()), Some(now[..now.len() / 2].to_vec())] {
        match bytes {
            Some(bytes) => fs::write(&path, bytes).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
        drop(Lsm::open(folder.path(), &LsmOptions::default()).unwrap());
        assert_eq!(fs::read(&path).unwrap(), now);
    }
}

/// About 400 places per file, and every place of small ones.
fn step(length: usize) -> usize {
    (length / 400).max(1)
}

/// Tables and manifests; the header file and the lock have their own tests.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for name in
        ["documents", "bodies", "values"].iter().flat_map(|tree| [tree.to_string(), format!("{tree}/tables")])
    {
        let entries = fs::read_dir(folder.join(name)).unwrap().map(|entry| entry.unwrap().path());
        found.extend(entries.filter(|path| path.is_file()));
    }
    found.sort();
    found
}
