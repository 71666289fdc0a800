//! The servers of a run, and what each promised when.

use std::path::{Path, PathBuf};

use apograph::format::{Position, Timestamp, View};
use apograph::{Folder, Role};

use super::{Plan, Run, Shown, Victim};
use crate::disk::Disk;
use crate::scene::{
    Moment, Server, Source, begin, compare, complete, held, perform, positions, pump, settings,
};
use crate::script::{Do, Script, transaction};

/// Entries that a copy takes at once.
const TAKEN: usize = 3;

/// A primary on the disk that is cut off.
pub(super) struct Edited {
    name: PathBuf,
    begun: usize,
    moments: Vec<Moment>,
}

impl Edited {
    pub(super) fn new(plan: Plan, disk: &Disk, mount: &Path, script: &Script) -> Edited {
        let name = PathBuf::from("primary");
        let home = mount.join(&name);
        drop(Folder::init(&home, &settings(Role::Primary, plan.partitions)).unwrap());
        let begun = disk.operations();
        let moments = perform(&home, script, || disk.operations());
        Edited { name, begun, moments }
    }

    fn at(&self, visible: Timestamp) -> Option<&Moment> {
        self.moments.iter().rev().find(|moment| moment.at <= visible)
    }
}

impl Run for Edited {
    fn check(&self, folder: &Path, operations: usize, thorough: bool) -> Shown {
        let home = folder.join(&self.name);
        if operations < self.begun && Folder::open(&home).is_err() {
            // It never was a data folder: whoever made it was not told that it is one.
            return Shown::default();
        }
        let server = Server::start(&home);
        let database = &server.database;
        assert_eq!(database.stopped(), None);
        assert!(database.alarms().is_empty(), "{:?}", database.alarms());
        let visible = database.visible();
        let promised = self.moments.iter().rev().find(|moment| moment.promised <= operations);
        if let Some(promised) = promised {
            assert!(visible >= promised.at, "acknowledged at {}, and it shows {visible}", promised.at);
        }
        let (Some(moment), true) = (self.at(visible), promised.is_some()) else {
            // Nothing was promised yet, and what it shows it may just have begun.
            server.stop();
            return Shown(vec![visible.0]);
        };
        let found = held(database, &View::ALL, visible, thorough);
        compare(&found, &moment.held, visible);
        let shown = Shown(vec![visible.0]);
        if !thorough {
            server.stop();
            return shown;
        }
        // Every moment before is still what it was.
        for moment in self.moments.iter().filter(|moment| moment.at <= visible) {
            compare(&held(database, &View::ALL, moment.at, false), &moment.held, moment.at);
        }
        // A second start finds what the first left, and then it takes edits.
        let ends = positions(database);
        server.stop();
        let server = Server::start(&home);
        assert!(server.database.visible() >= visible);
        let again = positions(&server.database);
        assert!(ends.iter().zip(&again).all(|(before, after)| before.sequence <= after.sequence));
        let changes = [("/afterwards", Do::Put("it goes on".into()))];
        server.database.commit(transaction(&server.database, &changes)).unwrap();
        server.stop();
        shown
    }

    fn promised(&self, operations: usize) -> Shown {
        let promised = self.moments.iter().rev().find(|moment| moment.promised <= operations);
        Shown(promised.map(|moment| moment.at.0).into_iter().collect())
    }
}

/// Where a copy promised to be.
struct Reached {
    promised: usize,
    ends: Vec<Position>,
}

/// A copy that follows, on the disk that is cut off.
pub(super) struct Followed {
    source: Source,
    name: PathBuf,
    begun: usize,
    reached: Vec<Reached>,
}

impl Followed {
    pub(super) fn new(plan: Plan, disk: &Disk, mount: &Path, script: &Script) -> Followed {
        let role = if plan.victim == Victim::Staging { Role::Staging } else { Role::Replica };
        let source = Source::new(plan.partitions, script, role.view());
        let name = PathBuf::from("copy");
        let home = mount.join(&name);
        drop(Folder::init(&home, &settings(role, plan.partitions)).unwrap());
        let begun = disk.operations();
        let mut server = source.adopt(&home);
        let mut reached = Vec::new();
        let mut turns = 0;
        loop {
            let mut moved = false;
            for partition in server.database.partitioning().all() {
                moved |= pump(&source.server.database, &server.database, partition, TAKEN);
                let ends = positions(&server.database);
                reached.push(Reached { promised: disk.operations(), ends });
            }
            turns += 1;
            if !moved {
                break;
            }
            if turns % 15 == 0 {
                server.stop();
                server = Server::start(&home);
            }
        }
        source.compare(&server.database, true);
        server.stop();
        Followed { source, name, begun, reached }
    }
}

impl Run for Followed {
    fn check(&self, folder: &Path, operations: usize, thorough: bool) -> Shown {
        let home = folder.join(&self.name);
        if operations < self.begun && Folder::open(&home).is_err() {
            return Shown::default();
        }
        let server = Server::try_start(&home).unwrap().unwrap_or_else(|| self.source.adopt(&home));
        let found = positions(&server.database);
        if let Some(reached) = self.reached.iter().rev().find(|reached| reached.promised <= operations) {
            for (found, promised) in found.iter().zip(&reached.ends) {
                assert!(
                    found.sequence >= promised.sequence,
                    "entry {} was acknowledged, and the journal ends at {}",
                    promised.sequence,
                    found.sequence
                );
            }
        }
        if server.database.view() == View::Full {
            self.source.compare(&server.database, thorough);
        }
        self.source.catch_up(&server.database);
        server.stop();
        Shown(found.iter().map(|end| end.sequence).collect())
    }

    fn promised(&self, operations: usize) -> Shown {
        let reached = self.reached.iter().rev().find(|reached| reached.promised <= operations);
        Shown(reached.into_iter().flat_map(|reached| &reached.ends).map(|end| end.sequence).collect())
    }
}

/// A copy that synchronizes, on the disk that is cut off.
pub(super) struct Synchronized {
    source: Source,
    name: PathBuf,
    /// When the copy promised to be at the snapshot, and which that is.
    promised: (usize, Timestamp),
}

impl Synchronized {
    pub(super) fn new(plan: Plan, disk: &Disk, mount: &Path, script: &Script) -> Synchronized {
        let source = Source::new(plan.partitions, script, View::Full);
        let name = PathBuf::from("copy");
        let home = mount.join(&name);
        drop(Folder::init(&home, &settings(Role::Replica, plan.partitions)).unwrap());
        let server = source.adopt(&home);
        // It followed for a while, and was away for long.
        for partition in server.database.partitioning().all() {
            for _ in 0..4 {
                pump(&source.server.database, &server.database, partition, TAKEN);
            }
        }
        let snapshot = source.server.database.snapshot(View::Full, server.database.sync_floor()).unwrap();
        let at = snapshot.at;
        begin(&server.database, snapshot);
        complete(&source.server.database, &server.database);
        let promised = (disk.operations(), at);
        source.catch_up(&server.database);
        server.stop();
        Synchronized { source, name, promised }
    }
}

impl Run for Synchronized {
    fn check(&self, folder: &Path, operations: usize, thorough: bool) -> Shown {
        let home = folder.join(&self.name);
        if Folder::open(&home).is_err() {
            return Shown::default();
        }
        let server = Server::try_start(&home).unwrap().unwrap_or_else(|| self.source.adopt(&home));
        let copy = &server.database;
        // Whatever is under way, readers see a state that was.
        self.source.compare(copy, thorough);
        let (promised, at) = self.promised;
        assert!(
            operations < promised || copy.visible() >= at,
            "it was at {at}, and is at {}",
            copy.visible()
        );
        let shown = Shown(vec![copy.visible().0]);
        if copy.sync_marker().is_some() {
            complete(&self.source.server.database, copy);
        }
        self.source.catch_up(copy);
        server.stop();
        shown
    }

    fn promised(&self, operations: usize) -> Shown {
        let (promised, at) = self.promised;
        Shown(if operations < promised { Vec::new() } else { vec![at.0] })
    }
}
