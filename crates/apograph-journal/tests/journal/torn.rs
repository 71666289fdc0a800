//! What a crash leaves at the end is cut; what was acknowledged never is.

use std::path::Path;

use apograph_format::Entry;
use apograph_journal::{Journal, JournalReader, OpenError, Options};

use crate::support::{
    Chain, acknowledged_journal, check, create, folder, identity, open, open_name, options, read_all, restore,
};

/// Five acknowledged entries, then three that were synced as one group and not acknowledged.
fn journal(dir: &Path) -> Vec<Entry> {
    let mut journal = create(dir);
    let mut chain = Chain::new();
    let mut entries = chain.extend(&mut journal, 4, 60);
    chain.sync(&mut journal);
    entries.extend(chain.extend(&mut journal, 1, 20));
    let acknowledged = chain.sync(&mut journal);
    journal.acknowledge(&acknowledged).unwrap();
    for _ in 0..3 {
        let entry = chain.next(&[10], false);
        journal.append(&entry).unwrap();
        entries.push(entry);
    }
    journal.close().unwrap();
    entries
}

#[test]
fn a_tail_cut_anywhere_is_cut_to_the_last_whole_entry() {
    let dir = tempfile::tempdir().unwrap();
    let entries = journal(dir.path());
    let files = folder(dir.path());
    let name = open_name(&files);
    let whole = &files[&name];
    let unacknowledged: usize = entries[5..].iter().map(|entry| entry.bytes().len()).sum();
    for length in whole.len() - unacknowledged..=whole.len() {
        let mut torn = files.clone();
        torn.get_mut(&name).unwrap().truncate(length);
        restore(dir.path(), &torn);
        let report = check(dir.path());
        assert!(report.is_sound(), "cut at {length}: {:?}", report.damage);
        let (reader, planned) = JournalReader::open_read_only(dir.path()).unwrap();
        let seen = read_all(&reader).unwrap();
        assert_eq!(folder(dir.path()), torn, "reading never writes");

        let (journal, recovery) = Journal::open(dir.path(), Some(&identity()), options()).unwrap();
        assert_eq!(planned, recovery);
        let kept = read_all(&journal.reader()).unwrap();
        assert_eq!(seen, kept);
        assert_eq!(kept, entries[..kept.len()]);
        let expected = {
            let mut left = whole.len();
            let mut count = entries.len();
            while left > length {
                count -= 1;
                left -= entries[count].bytes().len();
            }
            (count, left)
        };
        let after = folder(dir.path());
        assert_eq!((kept.len(), after[&name].len()), expected);
        assert_eq!(recovery.torn_tail.as_ref().map_or(0, |torn| torn.bytes), (length - expected.1) as u64);
        assert_eq!(report.torn_tail, recovery.torn_tail);
        drop(journal);
        let (_, recovery) = Journal::open(dir.path(), Some(&identity()), options()).unwrap();
        assert_eq!(recovery, Default::default());
        assert_eq!(folder(dir.path()), after, "a second opening changes nothing");
    }
}

#[test]
fn a_journal_shorter_than_acknowledged_is_never_opened_and_never_touched() {
    let dir = tempfile::tempdir().unwrap();
    let entries = journal(dir.path());
    let files = folder(dir.path());
    let name = open_name(&files);
    let unacknowledged: usize = entries[5..].iter().map(|entry| entry.bytes().len()).sum();
    for length in 0..files[&name].len() - unacknowledged {
        let mut torn = files.clone();
        torn.get_mut(&name).unwrap().truncate(length);
        restore(dir.path(), &torn);
        let error = Journal::open(dir.path(), Some(&identity()), options()).unwrap_err();
        assert!(matches!(error, OpenError::Shorter { .. } | OpenError::Damaged(_)), "{length}: {error}");
        assert!(JournalReader::open_read_only(dir.path()).is_err());
        assert!(!check(dir.path()).is_sound(), "{length}");
        assert_eq!(folder(dir.path()), torn, "{length}");
    }
}

#[test]
fn a_group_that_reached_the_disk_out_of_order_is_torn() {
    let dir = tempfile::tempdir().unwrap();
    let entries = journal(dir.path());
    let mut files = folder(dir.path());
    let bytes = files.get_mut(&open_name(&files)).unwrap();
    let lengths: Vec<usize> = entries[5..].iter().map(|entry| entry.bytes().len()).collect();
    let begin = bytes.len() - lengths.iter().sum::<usize>();
    bytes[begin..begin + lengths[0]].fill(0);
    restore(dir.path(), &files);
    let (journal, recovery) = Journal::open(dir.path(), None, options()).unwrap();
    assert_eq!(read_all(&journal.reader()).unwrap(), entries[..5]);
    assert_eq!(recovery.torn_tail.unwrap().bytes, lengths.iter().sum::<usize>() as u64);
}

#[test]
fn damage_before_an_entry_that_was_written_later_is_no_torn_tail() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = create(dir.path());
    let mut chain = Chain::new();
    for _ in 0..3 {
        chain.extend(&mut journal, 1, 20);
        chain.sync(&mut journal);
    }
    // Nothing is acknowledged, but the third entry says that the second was durable when it was written.
    let entries = read_all(&journal.reader()).unwrap();
    journal.close().unwrap();
    let mut files = folder(dir.path());
    let bytes = files.get_mut(&open_name(&files)).unwrap();
    bytes[96 + entries[0].bytes().len() + 30] ^= 1;
    restore(dir.path(), &files);
    match Journal::open(dir.path(), None, options()) {
        Err(OpenError::Damaged(damage)) => assert_eq!(damage.sequence, 2),
        other => panic!("{other:?}"),
    }
    assert_eq!(folder(dir.path()), files);
    // Without that witness the same damage is a torn tail.
    let bytes = files.get_mut(&open_name(&files)).unwrap();
    bytes.truncate(96 + entries[0].bytes().len() + entries[1].bytes().len());
    restore(dir.path(), &files);
    assert_eq!(open(dir.path()).end(), entries[0].position());
}

#[test]
fn zeros_behind_the_end_are_cut() {
    let dir = tempfile::tempdir().unwrap();
    let entries = journal(dir.path());
    let before = folder(dir.path());
    let mut files = before.clone();
    files.get_mut(&open_name(&before)).unwrap().extend([0; 5000]);
    restore(dir.path(), &files);
    assert_eq!(read_all(&open(dir.path()).reader()).unwrap(), entries);
    assert_eq!(folder(dir.path()), before);
}

#[test]
fn an_entry_of_a_newer_format_is_no_torn_tail() {
    let dir = tempfile::tempdir().unwrap();
    let entries = acknowledged_journal(dir.path(), 1);
    let mut files = folder(dir.path());
    let mut newer = entries[0].bytes()[..148].to_vec();
    newer[4] = 9;
    let checksum = crc32c::crc32c(&newer[..144]);
    newer[144..].copy_from_slice(&checksum.to_le_bytes());
    files.get_mut(&open_name(&files)).unwrap().extend(newer);
    restore(dir.path(), &files);
    let error = Journal::open(dir.path(), None, options()).unwrap_err();
    assert!(matches!(error, OpenError::Format { found: 9, .. }), "{error}");
    assert_eq!(folder(dir.path()), files);
}

#[test]
fn a_rotation_that_was_interrupted_is_finished_or_undone() {
    let dir = tempfile::tempdir().unwrap();
    let entries = acknowledged_journal(dir.path(), 6);
    let whole = folder(dir.path());
    let names: Vec<String> = whole.keys().cloned().collect();
    let (open_segment, closed) = (open_name(&whole), names[names.len() - 3].clone());
    assert!(!closed.starts_with('_') && closed.ends_with(".segment"), "{names:?}");

    // The first entry of the new segment is durable, the one before is not renamed yet.
    let mut files = whole.clone();
    let bytes = files.remove(&closed).unwrap();
    files.insert(format!("_{closed}"), bytes);
    restore(dir.path(), &files);
    assert_eq!(read_all(&open(dir.path()).reader()).unwrap(), entries);
    assert_eq!(folder(dir.path()), whole);

    // The new segment has no entry, or not even a header: the one before grows again. Only possible for what was not
    // acknowledged; a journal that has acknowledged more is damaged.
    for length in [0, 50, 96] {
        let mut files = whole.clone();
        files.get_mut(&open_segment).unwrap().truncate(length);
        restore(dir.path(), &files);
        let error = Journal::open(dir.path(), None, options()).unwrap_err();
        assert!(matches!(error, OpenError::Shorter { .. } | OpenError::Damaged(_)), "{error}");
        assert_eq!(folder(dir.path()), files);
    }
}

#[test]
fn a_segment_that_got_no_entry_is_dropped_and_the_one_before_grows_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = create(dir.path());
    let mut chain = Chain::new();
    let first = chain.next(&[10], true);
    journal.append(&first).unwrap();
    chain.sync(&mut journal);
    journal.acknowledge(&first.position()).unwrap();
    let one = folder(dir.path());
    let other = chain.clone();
    journal.append(&chain.next(&[20], true)).unwrap();
    journal.close().unwrap();
    let two = folder(dir.path());
    assert_eq!((one.len(), two.len()), (2, 3));
    let open_segment = open_name(&two);
    for length in 0..two[&open_segment].len() {
        let mut files = two.clone();
        files.get_mut(&open_segment).unwrap().truncate(length);
        restore(dir.path(), &files);
        assert!(check(dir.path()).is_sound(), "cut at {length}");
        let (mut journal, recovery) = Journal::open(dir.path(), None, options()).unwrap();
        assert_eq!(recovery.dropped.len(), 1, "cut at {length}");
        assert_eq!(folder(dir.path()), one);
        // Another history may go on in the same segment.
        journal.append(&other.clone().next(&[30], false)).unwrap();
        journal.sync().unwrap();
        drop(journal);
        assert!(check(dir.path()).is_sound());
    }
}

#[test]
fn damage_names_the_place_when_the_entry_was_acknowledged_or_written_by_other_software() {
    let dir = tempfile::tempdir().unwrap();
    let entries = acknowledged_journal(dir.path(), 2);
    let whole = folder(dir.path());
    let name = open_name(&whole);
    let begin = (whole[&name].len() - entries[1].bytes().len()) as u64;
    let mut files = whole.clone();
    *files.get_mut(&name).unwrap().last_mut().unwrap() ^= 1;
    restore(dir.path(), &files);
    match Journal::open(dir.path(), None, options()) {
        Err(OpenError::Damaged(damage)) => assert_eq!((damage.sequence, damage.offset), (2, begin)),
        other => panic!("{other:?}"),
    }
    // Sound by its checksum, with a flag that this software does not know.
    let mut header = entries[1].bytes()[..148].to_vec();
    header[7] = 2;
    let checksum = crc32c::crc32c(&header[..144]);
    header[144..].copy_from_slice(&checksum.to_le_bytes());
    let mut files = whole;
    files.get_mut(&name).unwrap().extend(header);
    restore(dir.path(), &files);
    assert!(matches!(Journal::open(dir.path(), None, options()), Err(OpenError::Damaged(_))));
    assert_eq!(folder(dir.path()), files);
}

#[test]
fn a_segment_was_durable_when_the_next_one_was_begun() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = create(dir.path());
    let mut chain = Chain::new();
    journal.append(&chain.next(&[10], true)).unwrap();
    journal.append(&chain.next(&[10], false)).unwrap();
    journal.append(&chain.next(&[10], true)).unwrap();
    journal.close().unwrap();
    let mut files = folder(dir.path());
    let newer = open_name(&files);
    files.get_mut(&newer).unwrap().truncate(96);
    let older = files.keys().next().unwrap().clone();
    *files.get_mut(&older).unwrap().last_mut().unwrap() ^= 1;
    restore(dir.path(), &files);
    // Without the newer one this would be a torn tail: nothing is acknowledged.
    match Journal::open(dir.path(), None, options()) {
        Err(OpenError::Damaged(damage)) => assert_eq!(damage.sequence, 2),
        other => panic!("{other:?}"),
    }
    assert_eq!(folder(dir.path()), files);
}

#[test]
fn a_hole_before_what_another_disk_had_synced_is_damage_on_a_primary_and_torn_on_a_copy() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = create(dir.path());
    let mut chain = Chain::new();
    let mut entries = chain.extend(&mut journal, 1, 60);
    let acknowledged = chain.sync(&mut journal);
    journal.acknowledge(&acknowledged).unwrap();
    // The last one says that those before it were synced: where it was first written.
    for _ in 0..2 {
        entries.extend(chain.extend(&mut journal, 1, 60));
        chain.sync(&mut journal);
    }
    journal.close().unwrap();
    let mut files = folder(dir.path());
    let name = open_name(&files);
    let whole = files[&name].len();
    let hole = whole - entries[2].bytes().len() - entries[1].bytes().len() / 2;
    files.get_mut(&name).unwrap()[hole..hole + 20].fill(0);

    restore(dir.path(), &files);
    let refused = Journal::open(dir.path(), Some(&identity()), options());
    assert!(matches!(refused, Err(OpenError::Damaged(_))), "{refused:?}");
    assert_eq!(folder(dir.path()), files);
    let copy = Options { is_copy: true, ..options() };
    let (journal, recovery) = Journal::open(dir.path(), Some(&identity()), copy).unwrap();
    assert!(recovery.torn_tail.is_some());
    assert_eq!(read_all(&journal.reader()).unwrap(), entries[..1]);
    drop(journal);

    // What the copy itself acknowledged is damaged when it is not there.
    files.get_mut(&name).unwrap()[300..320].fill(0);
    restore(dir.path(), &files);
    assert!(matches!(Journal::open(dir.path(), Some(&identity()), copy), Err(OpenError::Damaged(_))));
}
