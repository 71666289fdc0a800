//! The process stops after every single change of the disk, in the middle of everything.

use std::collections::HashSet;
use std::path::Path;

use apograph_format::{Entry, Hash, Timestamp};

use super::support::{
    Chain, acknowledged_journal, check, folder, identity, options, payload, read_all, restore,
};
use crate::disk::Disk;
use crate::journal::Journal;
use crate::{Beginning, CreateError, Damage, DamageReason, JournalReader, OpenError, Options, Retention};

/// What the script had reached when the machine stopped.
#[derive(Default)]
struct Reached {
    /// Every entry that was ever appended, by branch: after a cut another history begins.
    histories: Vec<Vec<Entry>>,
    acknowledged: u64,
    created: bool,
}

/// Everything a journal does. `None`: the disk stopped.
fn script(disk: &Disk, dir: &Path, options: Options, reached: &mut Reached) -> Option<()> {
    let beginning = Beginning::genesis(&identity());
    let mut journal = Journal::create_on(disk.clone(), dir, identity(), options, beginning).ok()?;
    reached.created = true;
    let mut chain = Chain::new();
    reached.histories.push(Vec::new());
    for count in 0..12 {
        append(&mut journal, &mut chain, reached)?;
        if count % 2 == 1 {
            chain.synced = journal.sync().ok()?.sequence;
        }
        if count % 4 == 3 {
            let end = journal.end();
            journal.acknowledge(&end).ok()?;
            reached.acknowledged = end.sequence;
        }
    }
    let kept = chain.clone();
    for _ in 0..5 {
        append(&mut journal, &mut chain, reached)?;
    }
    journal.sync().ok()?;
    let common = reached.histories[0][..12].to_vec();
    reached.histories.push(common);
    journal.cut_after(&kept.after).ok()?;
    chain = kept;
    chain.timestamp += 7;
    for _ in 0..3 {
        append(&mut journal, &mut chain, reached)?;
    }
    journal.sync().ok()?;
    let retention = Retention { bytes_max: 2500, age_max: None, now: Timestamp::ZERO, not_beyond: u64::MAX };
    journal.retire(&retention).ok()?;
    let end = journal.end();
    journal.acknowledge(&end).ok()?;
    reached.acknowledged = end.sequence;
    journal.close().ok().map(|_| ())
}

fn append(journal: &mut Journal, chain: &mut Chain, reached: &mut Reached) -> Option<()> {
    let starts = journal.next_starts_segment(290, Timestamp(chain.timestamp + 1_000_000));
    let entry = chain.next(&[60], starts);
    reached.histories.last_mut()?.push(entry.clone());
    journal.append(&entry).ok()
}

#[test]
fn a_stop_after_any_change_loses_nothing_that_was_acknowledged() {
    stop_after_any_change(options());
}

#[test]
fn nor_does_one_with_zeros_ahead_of_the_end() {
    stop_after_any_change(Options { ahead_bytes: 400, ..options() });
}

fn stop_after_any_change(options: Options) {
    let mut stopped = 0;
    for changes in 0.. {
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::default();
        disk.faults.stop_after(changes);
        let mut reached = Reached::default();
        let finished = script(&disk, dir.path(), options, &mut reached).is_some();
        stopped += u64::from(!finished);
        if !reached.created {
            let beginning = Beginning::genesis(&identity());
            match Journal::create(dir.path(), identity(), options, beginning) {
                Ok(_) | Err(CreateError::Exists { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
        let before = folder(dir.path());
        let report = check(dir.path());
        // A torn slot of the acknowledged position looks like a damaged one; the other slot counts.
        let torn_slot = |damage: &Damage| matches!(*damage.reason, DamageReason::Slot { .. });
        assert!(report.damage.iter().all(torn_slot), "after {changes} changes: {:?}", report.damage);
        assert_eq!(folder(dir.path()), before);
        let (journal, _) = Journal::open(dir.path(), Some(&identity()), options).unwrap();
        assert!(journal.end().sequence >= reached.acknowledged, "after {changes} changes");
        let kept = read_all(&journal.reader()).unwrap();
        let skipped = journal.start().sequence as usize;
        let known = |history: &Vec<Entry>| history.get(skipped..).is_some_and(|rest| rest.starts_with(&kept));
        assert!(kept.is_empty() || reached.histories.iter().any(known), "after {changes} changes");
        drop(journal);
        let (_, again) = Journal::open(dir.path(), Some(&identity()), options).unwrap();
        assert_eq!(again, Default::default(), "after {changes} changes");
        if finished {
            break;
        }
    }
    assert!(stopped > 30, "{stopped}");
}

#[test]
fn an_erasure_stopped_after_any_write_is_finished_by_the_next_opening_or_the_next_erasure() {
    let (origin, expected) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let names: HashSet<Hash> = [1, 2, 5, 8].map(|sequence| payload(sequence * 1000, 60).hash).into();
    let entries = acknowledged_journal(origin.path(), 9);
    let whole = folder(origin.path());
    restore(expected.path(), &whole);
    let mut journal = Journal::open(expected.path(), None, options()).unwrap().0;
    journal.erase(&names, u64::MAX).unwrap();
    let erased = read_all(&journal.reader()).unwrap();
    drop(journal);
    assert!(entries != erased);
    for reopen in [true, false] {
        for changes in 0.. {
            let dir = tempfile::tempdir().unwrap();
            restore(dir.path(), &whole);
            let disk = Disk::default();
            let mut journal = Journal::open_on(disk.clone(), dir.path(), None, options()).unwrap().0;
            disk.faults.stop_after(changes);
            let finished = journal.erase(&names, u64::MAX).is_ok();
            let halfway = folder(dir.path());
            let report = check(dir.path());
            assert!(report.is_sound(), "after {changes} changes: {:?}", report.damage);
            let (reader, planned) = JournalReader::open_read_only(dir.path()).unwrap();
            let seen = read_all(&reader).unwrap();
            assert_eq!(report.erasing, planned.erased);
            assert!(seen == entries || seen == erased, "never half of it, after {changes} changes");
            assert_eq!(folder(dir.path()), halfway, "reading never writes");
            if reopen {
                drop(journal);
                let (journal, recovery) = Journal::open(dir.path(), None, options()).unwrap();
                assert_eq!(recovery.erased, planned.erased);
                assert_eq!(read_all(&journal.reader()).unwrap(), seen);
            } else {
                disk.faults.resume();
                journal.erase(&names, u64::MAX).unwrap();
                assert_eq!(read_all(&journal.reader()).unwrap(), erased);
            }
            if !reopen || seen == erased {
                assert_eq!(folder(dir.path()), folder(expected.path()), "after {changes} changes");
            }
            if finished {
                assert!(changes >= 6, "the intention, four payloads, its removal: {changes}");
                break;
            }
        }
    }
}

#[test]
fn an_opening_stopped_after_any_change_can_be_repeated() {
    let origin = tempfile::tempdir().unwrap();
    acknowledged_journal(origin.path(), 3);
    let mut journal = Journal::open(origin.path(), None, options()).unwrap().0;
    let mut chain = Chain::new();
    (chain.after, chain.timestamp) = (journal.end(), journal.end_timestamp().0);
    chain.extend(&mut journal, 1, 60);
    journal.close().unwrap();
    let mut files = folder(origin.path());
    let name = super::support::open_name(&files);
    files.get_mut(&name).unwrap().truncate(200);
    for changes in 0.. {
        let dir = tempfile::tempdir().unwrap();
        restore(dir.path(), &files);
        let disk = Disk::default();
        disk.faults.stop_after(changes);
        match Journal::open_on(disk, dir.path(), None, options()) {
            Ok(_) => {
                assert!(changes >= 2, "the empty segment goes, the one before is renamed");
                break;
            }
            Err(error) => assert!(matches!(error, OpenError::Io(_)), "{error}"),
        }
        let (journal, _) = Journal::open(dir.path(), None, options()).unwrap();
        assert_eq!(journal.end().sequence, 3);
    }
}
