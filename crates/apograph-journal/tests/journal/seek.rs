//! Reading from a timestamp.

use apograph_format::{Entry, Timestamp};
use apograph_journal::{Entries, JournalReader, LocateError, Retention};

use crate::support::{Chain, acknowledged_journal, create, open};

fn first(reader: &JournalReader, timestamp: u64) -> Option<u64> {
    let mut entries: Entries = reader.entries_since(Timestamp(timestamp)).unwrap()?;
    entries.next().unwrap().map(|entry| entry.header().sequence)
}

#[test]
fn every_timestamp_finds_the_first_entry_that_is_not_older() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = create(dir.path());
    let mut chain = Chain::new();
    // Three entries of one transaction, across the end of a segment, then others.
    let timestamps = [10, 20, 30, 30, 30, 40, 40, 50, 70, 80, 90, 95];
    let mut written = Vec::new();
    for timestamp in timestamps {
        // Of one transaction all entries name the transaction before.
        chain.timestamp = chain.timestamp.min(timestamp - 1);
        let size = chain.clone().next_at(&[100], false, timestamp).bytes().len() as u64;
        let starts = journal.next_starts_segment(size, Timestamp(timestamp));
        written.push(chain.next_at(&[100], starts, timestamp));
        journal.append(written.last().unwrap()).unwrap();
    }
    chain.sync(&mut journal);
    let reader = journal.reader();
    assert!(reader.segments().len() > 2, "the entries of one timestamp lie in two segments");
    for asked in 1..=100 {
        let expected = timestamps.iter().position(|timestamp| *timestamp >= asked);
        assert_eq!(first(&reader, asked), expected.map(|index| index as u64 + 1), "since {asked}");
    }
    let rest = reader.entries_since(Timestamp(40)).unwrap().unwrap();
    assert_eq!(rest.position(), written[4].position());
    assert_eq!(reader.reaches_back_to(), Timestamp(0));
}

#[test]
fn what_was_retired_is_not_found_and_not_replaced_by_what_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let entries = acknowledged_journal(dir.path(), 12);
    let mut journal = open(dir.path());
    let retention = Retention {
        bytes_max: 0,
        age_max: None,
        now: Timestamp(0),
        not_beyond: entries[5].header().sequence,
    };
    journal.retire(&retention).unwrap();
    let start = journal.start().sequence;
    assert!(start > 0);
    let reader = journal.reader();
    for entry in &entries {
        let header = entry.header();
        let expected = (header.sequence > start).then_some(header.sequence);
        assert_eq!(first(&reader, header.timestamp.0), expected, "{}", header.sequence);
    }
    assert_eq!(reader.reaches_back_to(), entries[start as usize - 1].header().timestamp);
}

#[test]
fn bytes_behind_a_position_are_those_of_the_entries_behind_it() {
    let dir = tempfile::tempdir().unwrap();
    let entries = acknowledged_journal(dir.path(), 12);
    let mut journal = open(dir.path());
    let reader = journal.reader();
    assert!(reader.segments().len() > 2, "ends of segments are among the positions");
    let beginning = reader.start();
    let retention = Retention { bytes_max: 0, age_max: None, now: Timestamp(0), not_beyond: 5 };
    for is_retired in [false, true] {
        if is_retired {
            journal.retire(&retention).unwrap();
        }
        let mut behind: u64 = entries.iter().map(|entry| entry.bytes().len() as u64).sum();
        let positions = [beginning].into_iter().chain(entries.iter().map(Entry::position));
        for (index, position) in positions.enumerate() {
            let found = reader.bytes_behind(&position);
            if position.sequence < reader.start().sequence {
                assert!(matches!(found, Err(LocateError::Gone { .. })), "{index}: {found:?}");
            } else {
                assert_eq!(found.unwrap(), behind, "{index}");
            }
            behind -= entries.get(index).map_or(0, |entry| entry.bytes().len() as u64);
        }
        assert_eq!(behind, 0);
    }
}
