//! A disk that refuses.

use super::support::{Chain, check, identity, open, options, read_all};
use crate::disk::Disk;
use crate::journal::Journal;
use crate::{AppendError, Beginning, Options, SyncError};

fn create(disk: &Disk, dir: &std::path::Path) -> Journal {
    Journal::create_on(disk.clone(), dir, identity(), options(), Beginning::genesis(&identity())).unwrap()
}

#[test]
fn a_failed_sync_poisons_the_journal_for_good() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::default();
    let mut journal = create(&disk, dir.path());
    let mut chain = Chain::new();
    let entries = chain.extend(&mut journal, 2, 10);
    chain.sync(&mut journal);
    chain.extend(&mut journal, 1, 10);
    disk.faults.fail_syncs(true);
    let first = journal.sync().unwrap_err();
    assert!(matches!(first, SyncError::Poisoned(_)));
    disk.faults.fail_syncs(false);
    let again = journal.sync().unwrap_err();
    assert_eq!(format!("{first:?}"), format!("{again:?}"), "the disk works again, the journal must not");
    let refused = journal.append(&chain.next(&[1], false)).unwrap_err();
    assert!(matches!(refused, AppendError::Poisoned(_)));
    assert_eq!(read_all(&journal.reader()).unwrap(), entries, "what was not durable is not shown");
    drop(journal);
    assert!(open(dir.path()).end().sequence >= 2);
}

/// The system shows what it did not bring to the disk, and says of the next sync that all is well: it does not try again.
/// Whoever goes on from there loses it at the next power cut, in the middle of what was acknowledged since.
#[test]
fn what_a_failed_sync_did_not_make_durable_is_written_again_by_the_next_start() {
    for acknowledged in [0, 2] {
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::default();
        let mut journal = create(&disk, dir.path());
        let mut chain = Chain::new();
        chain.extend(&mut journal, 2, 10);
        chain.sync(&mut journal);
        let path = crate::folder::segment_names(dir.path()).unwrap().remove(0).path;
        let proven = std::fs::metadata(&path).unwrap().len();
        if acknowledged > 0 {
            journal.acknowledge(&journal.end()).unwrap();
        }
        chain.extend(&mut journal, 1, 10);
        disk.faults.fail_syncs(true);
        journal.sync().unwrap_err();
        disk.faults.fail_syncs(false);
        drop(journal);
        let end = std::fs::metadata(&path).unwrap().len();
        disk.faults.take_written();
        let (mut journal, _) = Journal::open_on(disk.clone(), dir.path(), None, options()).unwrap();
        let from = if acknowledged > 0 { proven } else { 0 };
        assert_eq!(disk.faults.take_written(), [(from, (end - from) as usize)]);
        journal.acknowledge(&journal.end()).unwrap();
        drop(journal);
        disk.faults.take_written();
        drop(Journal::open_on(disk.clone(), dir.path(), None, options()).unwrap());
        assert_eq!(disk.faults.take_written(), [], "all of it was acknowledged");
    }
}

#[test]
fn a_failed_sync_at_a_rotation_poisons_too() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::default();
    let mut journal = create(&disk, dir.path());
    let mut chain = Chain::new();
    chain.extend(&mut journal, 1, 10);
    disk.faults.fail_syncs(true);
    let entry = chain.next(&[1], true);
    assert!(matches!(journal.append(&entry), Err(AppendError::Poisoned(_))));
    disk.faults.fail_syncs(false);
    assert!(matches!(journal.append(&entry), Err(AppendError::Poisoned(_))));
}

#[test]
fn a_full_disk_changes_nothing_and_may_be_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::default();
    let mut journal = create(&disk, dir.path());
    let mut chain = Chain::new();
    let mut entries = chain.extend(&mut journal, 1, 600_000);
    disk.faults.fail_writes(true);
    let large = chain.next(&[600_000], false);
    assert!(matches!(journal.append(&large), Err(AppendError::Write(_))), "the buffer cannot be written");
    assert_eq!(journal.end(), entries[0].position());
    let flagged = { chain.clone() };
    assert!(matches!(journal.sync(), Err(SyncError::Write(_))));
    disk.faults.fail_writes(false);
    journal.append(&large).unwrap();
    entries.push(large);
    assert_eq!(journal.sync().unwrap(), flagged.after);
    assert_eq!(read_all(&journal.reader()).unwrap(), entries);
    journal.close().unwrap();
    assert!(check(dir.path()).is_sound());
}

#[test]
fn what_a_full_disk_refused_can_be_taken_back_across_segments() {
    for rotations in 0..3 {
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::default();
        let mut journal = create(&disk, dir.path());
        let mut chain = Chain::new();
        let mut entries = chain.extend(&mut journal, 2, 10);
        chain.sync(&mut journal);
        journal.acknowledge(&journal.end()).unwrap();
        let (kept, files) = (chain.clone(), super::support::folder(dir.path()));
        let reader = journal.reader();
        let mut follower = reader.entries(&journal.end()).unwrap();
        journal.append(&chain.next(&[10], false)).unwrap();
        for _ in 0..rotations {
            journal.append(&chain.next(&[20], true)).unwrap();
        }
        disk.faults.fail_writes(true);
        assert!(matches!(journal.sync(), Err(SyncError::Write(_))));
        assert_eq!(journal.discard_unsynced().unwrap(), 1 + rotations);
        assert_eq!(super::support::folder(dir.path()), files);
        assert_eq!(journal.discard_unsynced().unwrap(), 0);
        disk.faults.fail_writes(false);
        chain = kept;
        let other = chain.next(&[30], false);
        journal.append(&other).unwrap();
        journal.sync().unwrap();
        assert_eq!(follower.next().unwrap().as_ref(), Some(&other), "readers notice nothing");
        entries.push(other);
        assert_eq!(read_all(&reader).unwrap(), entries);
        journal.close().unwrap();
        assert!(check(dir.path()).is_sound());
    }
}

/// A disk may refuse zeros in the middle of them. The segment ends with its last entry all the same when it is closed.
#[test]
fn zeros_that_were_written_in_part_do_not_stay_in_a_closed_segment() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::default();
    let ahead = Options { ahead_bytes: 400, ..options() };
    let mut journal =
        Journal::create_on(disk.clone(), dir.path(), identity(), ahead, Beginning::genesis(&identity()))
            .unwrap();
    let mut chain = Chain::new();
    let mut entries = chain.extend(&mut journal, 1, 10);
    // The entry is written, half of the zeros are.
    disk.faults.stop_after(1);
    journal.write_out().unwrap();
    disk.faults.resume();
    chain.sync(&mut journal);
    entries.push(chain.next(&[20], true));
    journal.append(&entries[1]).unwrap();
    journal.sync().unwrap();
    journal.acknowledge(&journal.end()).unwrap();
    drop(journal);
    assert!(check(dir.path()).is_sound());
    let (journal, _) = Journal::open(dir.path(), Some(&identity()), ahead).unwrap();
    assert_eq!(read_all(&journal.reader()).unwrap(), entries);
}

/// Whoever says that something is durable says so of what an opening found, too: a process that was killed between a write
/// and its sync leaves entries which only the system's memory has.
#[test]
fn what_an_opening_shows_it_has_synced() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = create(&Disk::default(), dir.path());
    let entries = Chain::new().extend(&mut journal, 1, 10);
    journal.write_out().unwrap();
    drop(journal);
    let disk = Disk::default();
    disk.faults.fail_syncs(true);
    let refused = Journal::open_on(disk, dir.path(), Some(&identity()), options());
    assert!(
        matches!(refused, Err(crate::OpenError::Io(_))),
        "{:?}",
        refused.map(|(journal, _)| journal.end())
    );
    assert_eq!(open(dir.path()).end(), entries[0].position());
}
