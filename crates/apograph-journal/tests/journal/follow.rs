//! Reading beside the writer.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use apograph_format::Entry;
use apograph_journal::{Beginning, Journal, LocateError, Options};
use bytes::Bytes;

use crate::support::{Chain, create, identity, open, options, read_all, read_from};

/// Small tail, so that readers move between memory and files.
fn small_tail() -> Options {
    Options { tail_bytes_max: 2000, segment_bytes_max: 5000, ..options() }
}

#[test]
fn readers_follow_a_writer_across_segments() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal =
        Journal::create(dir.path(), identity(), small_tail(), Beginning::genesis(&identity())).unwrap();
    const COUNT: u64 = 600;
    let follow = |by_bytes: bool| {
        let reader = journal.reader();
        std::thread::spawn(move || {
            let mut entries = reader.entries(&reader.start()).unwrap();
            let mut seen = Vec::new();
            while entries.position().sequence < COUNT {
                let at = entries.position().sequence;
                assert!(reader.wait_beyond(at, Duration::from_secs(60)), "the writer goes on");
                if by_bytes {
                    let mut bytes = entries.next_bytes(1500).unwrap().unwrap();
                    while !bytes.is_empty() {
                        seen.push(Entry::decode(&mut bytes).unwrap());
                    }
                } else {
                    while let Some(entry) = entries.next().unwrap() {
                        seen.push(entry);
                    }
                }
            }
            seen
        })
    };
    let readers = [follow(false), follow(true), follow(false)];
    let mut chain = Chain::new();
    let mut written = Vec::new();
    while written.len() < COUNT as usize {
        let group = 1 + written.len() % 7;
        written.extend(chain.extend(&mut journal, group.min(COUNT as usize - written.len()), 50));
        chain.sync(&mut journal);
    }
    assert!(journal.reader().segments().len() > 20);
    for reader in readers {
        assert_eq!(reader.join().unwrap(), written);
    }
}

#[test]
fn every_position_is_found_and_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal =
        Journal::create(dir.path(), identity(), small_tail(), Beginning::genesis(&identity())).unwrap();
    let mut chain = Chain::new();
    let entries = chain.extend(&mut journal, 100, 50);
    chain.sync(&mut journal);
    for reader in [journal.reader(), {
        drop(journal);
        open(dir.path()).reader()
    }] {
        for (index, entry) in entries.iter().enumerate() {
            assert_eq!(read_from(&reader, &entry.position()).unwrap(), entries[index + 1..]);
            let mut other = entry.position();
            other.hash.0[3] ^= 1;
            let unknown = reader.locate(&other).unwrap_err();
            assert!(
                matches!(unknown, LocateError::Unknown { at, found, .. } if at == other && found == entry.position())
            );
            let other =
                apograph_format::Position { epoch: apograph_format::Epoch::plain(2), ..entry.position() };
            assert!(matches!(reader.locate(&other), Err(LocateError::Unknown { .. })));
        }
        let ahead = apograph_format::Position { sequence: 101, ..chain.after };
        assert!(matches!(reader.locate(&ahead), Err(LocateError::Ahead { .. })));
        assert_eq!(read_all(&reader).unwrap(), entries);
    }
}

#[test]
fn large_segments_are_found_through_the_index() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { tail_bytes_max: 0, ..Options::default() };
    let mut journal =
        Journal::create(dir.path(), identity(), options, Beginning::genesis(&identity())).unwrap();
    let mut chain = Chain::new();
    let entries = chain.extend(&mut journal, 60, 50_000);
    chain.sync(&mut journal);
    drop(journal);
    let journal = Journal::open(dir.path(), None, options).unwrap().0;
    for (index, entry) in entries.iter().enumerate() {
        let mut rest = journal.reader().entries(&entry.position()).unwrap();
        assert_eq!(rest.next().unwrap().as_ref(), entries.get(index + 1));
    }
}

#[test]
fn bytes_are_whole_entries_and_never_more_than_asked_for_but_one() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = create(dir.path());
    let mut chain = Chain::new();
    let entries = chain.extend(&mut journal, 30, 50);
    chain.sync(&mut journal);
    let all: Vec<u8> = entries.iter().flat_map(|entry| entry.bytes().to_vec()).collect();
    drop(journal);
    for tail_bytes_max in [0, 1 << 20] {
        let mut journal = Journal::open(dir.path(), None, Options { tail_bytes_max, ..options() }).unwrap().0;
        let reader = journal.reader();
        for bytes_max in [0, 1, 500, 1000, usize::MAX] {
            let mut cursor = reader.entries(&reader.start()).unwrap();
            let mut read: Vec<Bytes> = Vec::new();
            while let Some(bytes) = cursor.next_bytes(bytes_max).unwrap() {
                assert!(bytes.len() <= bytes_max.max(entries[0].bytes().len()));
                read.push(bytes);
            }
            assert_eq!(read.concat(), all, "{bytes_max}");
        }
        journal.sync().unwrap();
    }
}

#[test]
fn subscribers_are_called_after_each_sync_until_they_leave() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = create(dir.path());
    let reader = journal.reader();
    let called = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&called);
    let subscription = reader.on_synced(move || {
        counter.fetch_add(1, Ordering::SeqCst);
    });
    let mut chain = Chain::new();
    chain.extend(&mut journal, 3, 10);
    chain.sync(&mut journal);
    chain.sync(&mut journal);
    assert_eq!(called.load(Ordering::SeqCst), 1, "a sync of nothing announces nothing");
    drop(subscription);
    chain.extend(&mut journal, 1, 10);
    chain.sync(&mut journal);
    assert_eq!(called.load(Ordering::SeqCst), 1);
    assert!(reader.wait_beyond(3, Duration::ZERO) && !reader.wait_beyond(4, Duration::ZERO));
}
