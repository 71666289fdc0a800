//! Zeros ahead of the end: no part of the journal, and gone when it is closed.

use std::collections::BTreeMap;
use std::path::Path;

use apograph_format::Entry;
use apograph_journal::{Beginning, Journal, JournalReader, Options, Recovery, list};

use crate::support::{Chain, check, folder, identity, open_name, options, read_all, restore};

const AHEAD_BYTES: usize = 500;

fn ahead() -> Options {
    Options { ahead_bytes: AHEAD_BYTES as u64, segment_bytes_max: 5000, ..options() }
}

/// Some entries, the last of them acknowledged; the process is killed, unless it closes the journal.
fn journal(dir: &Path, options: Options, count: usize, close: bool) -> Vec<Entry> {
    let mut journal = Journal::create(dir, identity(), options, Beginning::genesis(&identity())).unwrap();
    let mut chain = Chain::new();
    let mut entries = Vec::new();
    for _ in 0..count {
        entries.extend(chain.extend(&mut journal, 1, 60));
        chain.sync(&mut journal);
    }
    journal.acknowledge(&journal.end()).unwrap();
    if close {
        journal.close().unwrap();
    }
    entries
}

/// Zeros at the end of the open segment.
fn zeros(files: &BTreeMap<String, Vec<u8>>) -> usize {
    files[&open_name(files)].iter().rev().take_while(|byte| **byte == 0).count()
}

#[test]
fn a_closed_journal_is_what_it_is_without_them() {
    let (with, without) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    journal(with.path(), ahead(), 40, true);
    journal(without.path(), Options { ahead_bytes: 0, ..ahead() }, 40, true);
    assert!(folder(with.path()).len() > 3, "several segments");
    assert_eq!(folder(with.path()), folder(without.path()));
}

#[test]
fn closed_segments_have_none_and_the_open_one_never_grows_beyond_its_limit_by_them() {
    let dir = tempfile::tempdir().unwrap();
    journal(dir.path(), ahead(), 40, false);
    let files = folder(dir.path());
    assert!(zeros(&files) > 0, "there are zeros to speak of");
    for (name, bytes) in &files {
        assert!(bytes.len() <= 5000 || !name.ends_with(".segment"), "{name} has {} bytes", bytes.len());
    }
    assert!(check(dir.path()).is_sound());
}

#[test]
fn a_killed_process_leaves_them_and_they_are_neither_damage_nor_a_torn_tail() {
    let dir = tempfile::tempdir().unwrap();
    let entries = journal(dir.path(), ahead(), 5, false);
    let files = folder(dir.path());
    assert!(zeros(&files) > 100);
    let report = check(dir.path());
    assert!(report.is_sound() && report.torn_tail.is_none() && report.entries == 5, "{report:?}");
    let (reader, planned) = JournalReader::open_read_only(dir.path()).unwrap();
    assert_eq!((read_all(&reader).unwrap(), planned), (entries.clone(), Recovery::default()));
    let listed = list(dir.path()).unwrap().pop().unwrap().unwrap();
    assert_eq!(listed.bytes, reader.segments().last().unwrap().bytes);
    assert_eq!(folder(dir.path()), files, "reading never writes");

    let (journal, recovery) = Journal::open(dir.path(), Some(&identity()), ahead()).unwrap();
    assert_eq!((read_all(&journal.reader()).unwrap(), recovery), (entries, Recovery::default()));
    drop(journal);
    assert!(zeros(&folder(dir.path())) < 8, "an opening cuts them");
}

#[test]
fn an_acknowledged_entry_that_turned_into_zeros_is_missed() {
    let dir = tempfile::tempdir().unwrap();
    let entries = journal(dir.path(), ahead(), 5, false);
    let mut files = folder(dir.path());
    let name = open_name(&files);
    let file = files.get_mut(&name).unwrap();
    let last = entries.last().unwrap().bytes();
    let at = file.windows(last.len()).position(|bytes| bytes == &last[..]).unwrap();
    file[at..].fill(0);
    restore(dir.path(), &files);
    assert!(!check(dir.path()).is_sound());
    assert!(Journal::open(dir.path(), Some(&identity()), ahead()).is_err());
    assert!(JournalReader::open_read_only(dir.path()).is_err());
}

#[test]
fn a_torn_entry_before_them_is_a_torn_tail() {
    let dir = tempfile::tempdir().unwrap();
    let entries = journal(dir.path(), ahead(), 5, false);
    let mut files = folder(dir.path());
    let name = open_name(&files);
    let file = files.get_mut(&name).unwrap();
    let end = file.len() - zeros(&folder(dir.path()));
    file[end + 8..end + 20].copy_from_slice(b"half of one!");
    restore(dir.path(), &files);
    let report = check(dir.path());
    assert!(report.is_sound() && report.torn_tail.is_some(), "{report:?}");
    let (journal, recovery) = Journal::open(dir.path(), Some(&identity()), ahead()).unwrap();
    assert!(recovery.torn_tail.is_some());
    assert_eq!(read_all(&journal.reader()).unwrap(), entries);
}
