//! Appending, rotation, reopening.

use std::time::Duration;

use apograph_format::Timestamp;
use apograph_journal::{AppendError, Beginning, DamageReason, Journal, Options, list};

use crate::support::{Chain, acknowledged_journal, check, create, folder, identity, open, options, read_all};

#[test]
fn what_was_appended_is_read_after_the_sync_and_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = create(dir.path());
    let mut chain = Chain::new();
    let reader = journal.reader();
    let mut entries = chain.extend(&mut journal, 10, 100);
    assert_eq!(reader.end(), journal.start(), "not visible before it is durable");
    chain.sync(&mut journal);
    assert_eq!(reader.end(), journal.end());
    assert_eq!(read_all(&reader).unwrap(), entries);
    let bytes: u64 = entries.iter().map(|entry| entry.bytes().len() as u64).sum();
    assert_eq!(journal.bytes_appended(), bytes);
    journal.acknowledge(&journal.end()).unwrap();
    let segments = reader.segments();
    journal.close().unwrap();

    let mut journal = open(dir.path());
    assert_eq!((journal.end(), journal.acknowledged()), (chain.after, chain.after));
    assert_eq!(journal.bytes_appended(), bytes);
    assert_eq!(journal.reader().segments(), segments);
    let listed: Vec<_> = list(dir.path()).unwrap().into_iter().map(Result::unwrap).collect();
    assert_eq!(listed, segments);
    assert_eq!(read_all(&journal.reader()).unwrap(), entries);
    entries.extend(chain.extend(&mut journal, 3, 10));
    chain.sync(&mut journal);
    assert_eq!(read_all(&journal.reader()).unwrap(), entries);
    assert_eq!(read_all(&reader).unwrap().len(), 10, "the reader of the closed journal ends where it did");
    assert!(check(dir.path()).is_sound());
}

#[test]
fn segments_end_by_size_and_the_same_entries_give_the_same_files() {
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let entries = acknowledged_journal(first.path(), 20);
    // A copy with other options rotates where the entries say, not where its own options would.
    let other = Options { segment_bytes_max: 1 << 30, ..options() };
    let mut copy =
        Journal::create(second.path(), identity(), other, Beginning::genesis(&identity())).unwrap();
    for entry in &entries {
        copy.append(entry).unwrap();
    }
    copy.close().unwrap();
    let segments = |mut files: std::collections::BTreeMap<String, Vec<u8>>| {
        files.remove("acknowledged");
        files
    };
    let files = segments(folder(first.path()));
    assert!(files.len() > 4 && files.values().all(|bytes| bytes.len() <= 1000), "{:?}", files.keys());
    assert_eq!(files.keys().filter(|name| name.starts_with('_')).count(), 1);
    assert_eq!(files, segments(folder(second.path())));
}

#[test]
fn segments_end_by_age() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { segment_age_max: Duration::from_secs(10), ..Options::default() };
    let mut journal =
        Journal::create(dir.path(), identity(), options, Beginning::genesis(&identity())).unwrap();
    assert!(journal.next_starts_segment(1, Timestamp(1)), "the first entry begins the first segment");
    let mut chain = Chain::new();
    for _ in 0..25 {
        chain.extend(&mut journal, 1, 1);
    }
    chain.sync(&mut journal);
    let firsts: Vec<u64> = journal.reader().segments().iter().map(|segment| segment.first).collect();
    assert_eq!(firsts, [1, 11, 21]);
    assert_eq!(journal.reader().segments()[1].first_timestamp, Some(Timestamp(11_000_000)));
    assert_eq!(journal.reader().segments()[1].last_timestamp, Timestamp(20_000_000));
}

#[test]
fn an_entry_that_does_not_follow_is_refused_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = create(dir.path());
    let mut chain = Chain::new();
    chain.extend(&mut journal, 2, 10);
    let mut ahead = chain.clone();
    ahead.next(&[1], false);
    let gap = ahead.next(&[1], false);
    let late = chain.clone().next_at(&[1], false, chain.timestamp + 1);
    let mut older = chain.clone();
    older.timestamp -= 2;
    let older = older.next_at(&[1], false, chain.timestamp - 1);
    let refused = |entry| match journal.append(entry) {
        Err(AppendError::Refused { reason }) => reason,
        other => panic!("{other:?}"),
    };
    let reasons: Vec<_> = [&gap, &older].into_iter().map(refused).collect();
    assert!(matches!(reasons[..], [DamageReason::Entry(_), DamageReason::Timestamp { .. }]), "{reasons:?}");
    journal.append(&late).unwrap();
}

#[test]
fn a_copy_may_begin_in_the_middle() {
    let (whole, part) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let entries = acknowledged_journal(whole.path(), 12);
    let beginning = Beginning {
        after: entries[4].position(),
        timestamp: entries[4].header().timestamp,
        bytes: entries[..5].iter().map(|entry| entry.bytes().len() as u64).sum(),
    };
    let mut copy = Journal::create(part.path(), identity(), options(), beginning).unwrap();
    for entry in &entries[5..] {
        copy.append(entry).unwrap();
    }
    copy.sync().unwrap();
    copy.acknowledge(&copy.end()).unwrap();
    assert_eq!(copy.bytes_appended(), open(whole.path()).bytes_appended());
    drop(copy);
    let copy = open(part.path());
    assert_eq!(copy.bytes_appended(), open(whole.path()).bytes_appended());
    assert_eq!((copy.start(), copy.end()), (beginning.after, entries[11].position()));
    assert!(check(part.path()).is_sound());
}
