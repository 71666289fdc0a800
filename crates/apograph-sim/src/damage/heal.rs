//! Copies whose stores or journals are damaged become equal to their source again.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use apograph::format::View;
use apograph::{Database, Folder};

use super::homes::{Home, Homes, copy_folder};
use super::inflict::{Case, Damage};
use super::{Fault, Kind, Plan, label, look, scratch};
use crate::scene::{Server, Source, begin_for, complete, pump};

/// How copies became equal again.
#[derive(Debug, Clone, Copy, Default)]
pub struct Healed {
    /// By the synchronization that a server begins by itself when it finds damage.
    pub by_themselves: usize,
    /// As the manual says: the store was removed, and made again from the journal.
    pub by_replay: usize,
    /// As the manual says: the database was removed, and came anew.
    pub anew: usize,
}

/// Most that are tried of one kind of files.
const OF_EACH_KIND: usize = 4;

/// Tries a sample of what was noticed.
pub(super) fn run(plan: &Plan, homes: &Homes, cases: &[Case], faults: &mut Vec<Fault>) -> Healed {
    let mut healed = Healed::default();
    let mut tried = std::collections::BTreeMap::<(usize, Kind), usize>::new();
    let is_of_copy = |home: &Home| matches!(home.name, "replica" | "staging");
    let kinds =
        [Kind::Table, Kind::Manifest, Kind::Chunk, Kind::OpenSegment, Kind::ClosedSegment, Kind::StoreHeader];
    for case in cases.iter().filter(|case| is_of_copy(&homes.homes[case.home]) && kinds.contains(&case.kind))
    {
        let home = &homes.homes[case.home];
        let times = tried.entry((case.home, case.kind)).or_default();
        // Some of each kind of damage: not all flips before the first file that is missing.
        let is_next = *times < OF_EACH_KIND && (case.damage.begins() + plan.seed as usize) % 7 < 4;
        if !is_next || matches!(case.damage, Damage::Twice { .. }) {
            continue;
        }
        match catch_unwind(AssertUnwindSafe(|| one(home, case, &homes.source))) {
            Ok(Some(way)) => {
                *times += 1;
                match way {
                    Way::Itself => healed.by_themselves += 1,
                    Way::Replay => healed.by_replay += 1,
                    Way::Anew => healed.anew += 1,
                }
            }
            Ok(None) => {}
            Err(_) => {
                let what = format!("not healed: {}", super::BROKEN.with(std::cell::RefCell::take));
                faults.push(Fault { case: label(&homes.homes, case), what });
            }
        }
    }
    healed
}

enum Way {
    Itself,
    Replay,
    Anew,
}

/// `None` if there was nothing to heal.
fn one(home: &Home, case: &Case, source: &Source) -> Option<Way> {
    let dir = scratch().unwrap();
    let path = dir.path().join("home");
    let restore = || {
        let _ = fs::remove_dir_all(&path);
        copy_folder(&home.path, &path).unwrap();
        case.damage.inflict(&path, &case.path).unwrap()
    };
    if !restore() || matches!(look::look(&path, &home.moments), look::Looked::Shows(_)) {
        return None;
    }
    restore();
    let is_of_store = !matches!(case.kind, Kind::OpenSegment | Kind::ClosedSegment);
    if is_of_store && by_itself(&path, source) {
        return Some(Way::Itself);
    }
    restore();
    if is_of_store {
        // docs/operate/lag-and-proof.md, Damage.
        let other = match &case.damage {
            Damage::Swapped { with } => Some(with),
            _ => None,
        };
        for file in [&case.path].into_iter().chain(other) {
            let partition = path.join(file.iter().take(4).collect::<PathBuf>());
            let _ = fs::remove_dir_all(partition.join("store"));
        }
        let server = Server::start(&path);
        equal(&server.database, source);
        server.stop();
        return Some(Way::Replay);
    }
    fs::remove_dir_all(path.join("databases/main")).unwrap();
    let server = source.adopt_as(&path, if home.name == "staging" { View::Published } else { View::Full });
    equal(&server.database, source);
    server.stop();
    Some(Way::Anew)
}

/// What was read and is damaged comes anew, as a link does it.
fn by_itself(path: &Path, source: &Source) -> bool {
    let Ok(folder) = Folder::open(path) else { return false };
    let folder = folder.driven_by_steps();
    let Ok(Some(database)) = folder.database("main") else { return false };
    // A reader asks for everything.
    let readable = database.look_for_damage().is_ok();
    if !readable || !database.has_suspects() || database.stopped().is_some() {
        return false;
    }
    let from = &source.server.database;
    let snapshot = from.snapshot(database.view(), database.sync_floor()).unwrap();
    begin_for(&database, snapshot, "damaged");
    complete(from, &database);
    database.see_sync_outcome().unwrap();
    equal(&database, source);
    database.look_for_damage().unwrap();
    assert!(!database.has_suspects(), "{:?}", database.suspects());
    database.shutdown();
    true
}

/// It follows to the end, and has what its source has.
fn equal(copy: &Database, source: &Source) {
    let from = &source.server.database;
    for partition in copy.partitioning().all() {
        while pump(from, copy, partition, usize::MAX) {}
    }
    if copy.view() == View::Full {
        assert_eq!(copy.visible(), from.visible());
    }
    source.compare(copy, true);
    assert!(copy.alarms().is_empty(), "{:?}", copy.alarms());
    assert_eq!(copy.stopped(), None);
}
