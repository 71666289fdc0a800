//! Retention.

use std::time::Duration;

use apograph_format::Timestamp;
use apograph_journal::{LocateError, ReadError, Retention};

use crate::support::{acknowledged_journal, check, folder, open, read_all, read_from};

fn keep_everything() -> Retention {
    Retention { bytes_max: u64::MAX, age_max: None, now: Timestamp(0), not_beyond: u64::MAX }
}

#[test]
fn the_oldest_segments_go_and_readers_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let entries = acknowledged_journal(dir.path(), 12);
    let mut journal = open(dir.path());
    let bytes = journal.bytes_appended();
    let reader = journal.reader();
    let mut slow = reader.entries(&reader.start()).unwrap();
    slow.next().unwrap().unwrap();
    assert!(journal.retire(&keep_everything()).unwrap().is_empty());
    let needed = Retention { bytes_max: 0, not_beyond: 5, ..keep_everything() };
    let gone = journal.retire(&needed).unwrap();
    assert_eq!(gone.iter().map(|segment| (segment.first, segment.last)).collect::<Vec<_>>(), [(1, 3)]);
    assert!(gone.iter().all(|segment| !segment.path.exists()));
    assert_eq!(journal.start(), entries[2].position());
    assert_eq!(read_from(&reader, &entries[2].position()).unwrap(), entries[3..]);
    assert!(matches!(reader.locate(&entries[1].position()), Err(LocateError::Gone { .. })));
    assert!(matches!(slow.next(), Err(ReadError::Gone { sequence: 2, .. })));

    // By age: all but the open segment is older than one second.
    let old =
        Retention { age_max: Some(Duration::from_secs(1)), now: Timestamp(20_000_000), ..keep_everything() };
    assert_eq!(journal.retire(&old).unwrap().len(), 2);
    assert_eq!(journal.bytes_appended(), bytes);
    drop(journal);
    let journal = open(dir.path());
    assert_eq!((journal.bytes_appended(), journal.start()), (bytes, entries[8].position()));
    assert_eq!(read_all(&journal.reader()).unwrap(), entries[9..]);
    assert!(check(dir.path()).is_sound());
    assert_eq!(folder(dir.path()).len(), 2, "the open segment stays");
}
