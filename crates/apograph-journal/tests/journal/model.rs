//! Random appends, syncs, crashes, cuts and openings, against a list of entries.

use std::path::Path;

use apograph_format::Entry;
use apograph_journal::{Journal, Retention};
use proptest::prelude::*;

use crate::support::{Chain, check, create, folder, open, open_name, options, read_all, restore};

#[derive(Debug, Clone)]
enum Step {
    Append(usize),
    Sync,
    Acknowledge,
    Reopen,
    /// The machine stops: of what was not synced, this share of 256 reached the disk.
    Crash(u8),
    /// Cut to this share of 256 between acknowledged and synced.
    Cut(u8),
    Retire,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..500usize).prop_map(Step::Append),
        4 => Just(Step::Sync),
        3 => Just(Step::Acknowledge),
        1 => Just(Step::Reopen),
        2 => any::<u8>().prop_map(Step::Crash),
        1 => any::<u8>().prop_map(Step::Cut),
        1 => Just(Step::Retire),
    ]
}

/// What must be there.
#[derive(Default)]
struct Model {
    entries: Vec<Entry>,
    synced: usize,
    acknowledged: usize,
    retired: usize,
}

impl Model {
    fn chain(&self) -> Chain {
        let mut chain = Chain::new();
        if let Some(last) = self.entries.last() {
            chain.after = last.position();
            chain.timestamp = last.header().timestamp.0;
        }
        chain.synced = self.synced as u64;
        chain
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_journal_is_the_list_of_its_entries(steps in proptest::collection::vec(step(), 1..60)) {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = create(dir.path());
        let mut model = Model::default();
        for step in steps {
            journal = take(dir.path(), journal, &mut model, &step);
            prop_assert_eq!(journal.end().sequence, model.entries.len() as u64);
            prop_assert_eq!(journal.synced_sequence(), model.synced as u64);
            let bytes: usize = model.entries.iter().map(|entry| entry.bytes().len()).sum();
            prop_assert_eq!(journal.bytes_appended(), bytes as u64);
            let read = read_all(&journal.reader()).unwrap();
            prop_assert_eq!(&read[..], &model.entries[model.retired..model.synced]);
        }
        journal.close().unwrap();
        let report = check(dir.path());
        prop_assert!(report.is_sound() && report.torn_tail.is_none(), "{:?}", report);
        prop_assert_eq!(report.entries, (model.entries.len() - model.retired) as u64);
    }
}

fn take(dir: &Path, mut journal: Journal, model: &mut Model, step: &Step) -> Journal {
    match step {
        Step::Append(length) => {
            model.entries.extend(model.chain().extend(&mut journal, 1, *length));
        }
        Step::Sync => {
            journal.sync().unwrap();
            model.synced = model.entries.len();
        }
        Step::Acknowledge => {
            if let Some(last) = model.synced.checked_sub(1).and_then(|last| model.entries.get(last)) {
                journal.acknowledge(&last.position()).unwrap();
                model.acknowledged = model.synced;
            }
        }
        Step::Reopen => {
            journal.close().unwrap();
            model.synced = model.entries.len();
            journal = open(dir);
        }
        Step::Crash(share) => {
            drop(journal);
            crash(dir, model, *share);
            journal = Journal::open(dir, None, options()).unwrap().0;
            let kept = usize::try_from(journal.end().sequence).unwrap();
            assert!(kept >= model.synced && kept <= model.entries.len());
            model.entries.truncate(kept);
            model.synced = kept;
        }
        Step::Cut(share) => {
            journal.sync().unwrap();
            model.synced = model.entries.len();
            let keep = model.acknowledged.max(model.retired)
                + (model.synced - model.acknowledged.max(model.retired)) * usize::from(*share) / 256;
            let position = match keep.checked_sub(1) {
                Some(last) => model.entries[last].position(),
                None => Chain::new().after,
            };
            journal.cut_after(&position).unwrap();
            model.entries.truncate(keep);
            model.synced = keep;
        }
        Step::Retire => {
            let retention = Retention {
                bytes_max: 1500,
                age_max: None,
                now: apograph_format::Timestamp::ZERO,
                not_beyond: u64::MAX,
            };
            journal.retire(&retention).unwrap();
            model.retired = usize::try_from(journal.start().sequence).unwrap();
        }
    }
    journal
}

/// The file ends somewhere between the last synced entry and the last appended one.
fn crash(dir: &Path, model: &Model, share: u8) {
    let mut files = folder(dir);
    let name = open_name(&files);
    let first: usize = name.trim_start_matches('_').trim_end_matches(".segment").parse().unwrap();
    let entry_bytes =
        |range: &[Entry]| range.iter().map(|entry| entry.bytes().to_vec()).collect::<Vec<_>>().concat();
    if first - 1 > model.synced || files[&name].len() < 96 {
        return;
    }
    let whole = [&files[&name][..96], &entry_bytes(&model.entries[first - 1..])].concat();
    let synced = 96 + entry_bytes(&model.entries[first - 1..model.synced]).len();
    let length = synced + (whole.len() - synced) * usize::from(share) / 256;
    files.insert(name, whole[..length].to_vec());
    restore(dir, &files);
}
