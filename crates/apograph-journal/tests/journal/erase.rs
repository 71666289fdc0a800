//! Purged bytes leave the journal, and copies stay equal.

use std::collections::HashSet;

use apograph_format::Hash;

use crate::support::{Chain, acknowledged_journal, check, create, folder, open, payload, read_all, restore};

#[test]
fn erased_bytes_are_gone_and_copies_stay_equal() {
    let (dir, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let entries = acknowledged_journal(dir.path(), 10);
    restore(copy.path(), &folder(dir.path()));
    let names: HashSet<Hash> = [2, 5, 9].map(|sequence| payload(sequence * 1000, 60).hash).into();
    let mut journal = open(dir.path());
    let reader = journal.reader();
    let mut cursor = reader.entries(&reader.start()).unwrap();
    cursor.next().unwrap().unwrap();
    let erased = journal.erase(&names, 9).unwrap();
    assert_eq!((erased.entries, erased.payloads, erased.bytes), (2, 2, 120), "entry 9 is not below 9");
    assert_eq!(journal.erase(&names, 9).unwrap(), Default::default());
    let seen = read_all(&reader).unwrap();
    for (before, after) in entries.iter().zip(&seen) {
        assert_eq!(before.position(), after.position());
        let gone = [2, 5].contains(&after.header().sequence);
        assert_eq!(before != after, gone);
        assert_eq!(after.payloads().next().unwrap().unwrap().erased, gone);
    }
    assert_eq!(cursor.next().unwrap().unwrap(), seen[1], "nothing read ahead is served");
    let mut other = open(copy.path());
    other.erase(&names, 9).unwrap();
    assert_eq!(folder(dir.path()), folder(copy.path()));
    let report = check(dir.path());
    assert!(report.is_sound());
    assert_eq!((report.entries, report.payloads, report.erased, report.erasing), (10, 10, 2, 0));
    let bytes: Vec<u8> = folder(dir.path()).into_values().flatten().collect();
    let gone = payload(2000, 60).bytes;
    assert!(!bytes.windows(gone.len()).any(|window| window == &gone[..]));
}

#[test]
fn entries_that_are_not_synced_are_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = create(dir.path());
    let mut chain = Chain::new();
    chain.extend(&mut journal, 1, 60);
    chain.sync(&mut journal);
    chain.extend(&mut journal, 1, 60);
    let names: HashSet<Hash> = [payload(1000, 60).hash, payload(2000, 60).hash].into();
    assert_eq!(journal.erase(&names, u64::MAX).unwrap().payloads, 1);
    chain.sync(&mut journal);
    let erased = |entry: &apograph_format::Entry| entry.payloads().next().unwrap().unwrap().erased;
    assert_eq!(read_all(&journal.reader()).unwrap().iter().map(erased).collect::<Vec<_>>(), [true, false]);
    journal.close().unwrap();
    assert!(check(dir.path()).is_sound());
}
