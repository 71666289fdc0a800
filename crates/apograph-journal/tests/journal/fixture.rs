//! A journal of format version 1, as it was first written. It must stay readable, and be written the same.

use std::collections::HashSet;
use std::path::PathBuf;

use apograph_format::Entry;
use apograph_journal::JournalReader;

use crate::support::{Chain, check, create, folder, payload, read_all};

fn frozen() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/v1/small")
}

/// Nine entries in three segments; two payloads are erased, the last entry is not acknowledged.
fn write(dir: &std::path::Path) -> Vec<Entry> {
    let mut journal = create(dir);
    let mut chain = Chain::new();
    let sizes: [&[usize]; 9] = [&[], &[0], &[1], &[100, 200], &[300], &[7; 7], &[400, 0, 50], &[12], &[900]];
    for (index, lengths) in sizes.into_iter().enumerate() {
        let entry = chain.next(lengths, [0, 4, 6].contains(&index));
        journal.append(&entry).unwrap();
        if index == 7 {
            let end = chain.sync(&mut journal);
            journal.acknowledge(&end).unwrap();
        }
    }
    chain.sync(&mut journal);
    journal.erase(&HashSet::from([payload(4001, 200).hash, payload(7000, 400).hash]), 9).unwrap();
    let entries = read_all(&journal.reader()).unwrap();
    journal.close().unwrap();
    entries
}

#[test]
fn the_frozen_journal_reads_verifies_and_is_written_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let entries = write(dir.path());
    if std::env::var_os("APOGRAPH_WRITE_FIXTURES").is_some() {
        std::fs::create_dir_all(frozen()).unwrap();
        for (name, bytes) in folder(dir.path()) {
            std::fs::write(frozen().join(name), bytes).unwrap();
        }
    }
    assert_eq!(folder(dir.path()), folder(&frozen()));
    let (reader, recovery) = JournalReader::open_read_only(&frozen()).unwrap();
    assert_eq!(recovery, Default::default());
    assert_eq!(read_all(&reader).unwrap(), entries);
    let report = check(&frozen());
    assert!(report.is_sound() && report.torn_tail.is_none(), "{report:?}");
    assert_eq!((report.segments, report.entries, report.payloads, report.erased), (3, 9, 17, 2));
    assert_eq!(report.acknowledged, Some(entries[7].position()));
    assert_eq!((reader.end().epoch.number(), reader.end().sequence), (1, 9));
}
