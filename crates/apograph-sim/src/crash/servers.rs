//! The servers of a run, and what each promised when.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use apograph::format::{Frame, PartitionId, Position, SyncScope, Timestamp, View};
use apograph::settings::{DatabaseSettings, ServerSettings, SourceSettings};
use apograph::synchronize::{Snapshot, SyncMarker, SyncPhase, Transfer};
use apograph::{Database, Folder, Role};
use bytes::BytesMut;

use super::script::{Do, Script, Step, transaction};
use super::{Plan, Run, Shown, Victim};
use crate::disk::Disk;

/// Whoever has not come to rest after so long never does.
const REST_MAX: Duration = Duration::from_secs(60);
/// Entries that a copy takes at once.
const TAKEN: usize = 3;

/// A server that runs.
struct Server {
    database: Database,
    _folder: Folder,
}

impl Server {
    fn start(path: &Path) -> Server {
        Server::try_start(path).unwrap().unwrap()
    }

    /// `None` for a copy that has not met its source.
    fn try_start(path: &Path) -> Result<Option<Server>, apograph::OpenError> {
        let folder = Folder::open(path)?;
        let database = folder.database("main")?;
        Ok(database.map(|database| Server { database, _folder: folder }))
    }

    fn stop(self) {
        self.database.shutdown();
    }
}

fn settings(role: Role, partitions: u16) -> ServerSettings {
    let mut database = DatabaseSettings::new(role);
    database.partitions = partitions;
    database.segment_bytes_max = Some(24 << 10);
    database.write_memory_bytes = Some(u64::from(partitions) << 20);
    database.source = (role != Role::Primary).then(|| SourceSettings::new("http://127.0.0.1:1", "none"));
    ServerSettings {
        name: role.to_string(),
        listen: "127.0.0.1:1".into(),
        url: None,
        backup_folder: None,
        databases: BTreeMap::from([("main".to_owned(), database)]),
    }
}

/// What a database holds at a moment, in short.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Held {
    digests: Vec<(View, String, u64)>,
    exports: Option<Vec<String>>,
}

fn held(database: &Database, views: &[View], at: Timestamp, with_exports: bool) -> Held {
    let digest = |view: &View| {
        let found = database.digest_at(*view, at).unwrap();
        (*view, found.digest.to_string(), found.documents)
    };
    let export = |view: &View| {
        let mut hasher = blake3::Hasher::new();
        for line in database.export(*view, Some(at)).unwrap() {
            hasher.update(line.unwrap().as_bytes());
        }
        hasher.finalize().to_string()
    };
    Held {
        digests: views.iter().map(digest).collect(),
        exports: with_exports.then(|| views.iter().map(export).collect()),
    }
}

/// Exports are compared where both were made.
fn compare(found: &Held, expected: &Held, at: Timestamp) {
    assert_eq!(found.digests, expected.digests, "digests as of {at}");
    if let (Some(found), Some(expected)) = (&found.exports, &expected.exports) {
        assert_eq!(found, expected, "exports as of {at}");
    }
}

/// A moment of a primary: what it held, and since when that is promised.
struct Moment {
    at: Timestamp,
    /// Operations of the disk when it was acknowledged.
    promised: usize,
    held: Held,
}

/// Does the script, and notes every moment.
fn perform(home: &Path, script: &Script, operations: impl Fn() -> usize) -> Vec<Moment> {
    let mut server = Server::start(home);
    let moment = |server: &Server, at: Timestamp, promised: usize| Moment {
        at,
        promised,
        held: held(&server.database, &View::ALL, at, true),
    };
    let mut moments = vec![moment(&server, server.database.visible(), operations())];
    for step in &script.0 {
        match step {
            Step::Commit(changes) => {
                let committed = server.database.commit(transaction(&server.database, changes)).unwrap();
                let promised = operations();
                moments.push(moment(&server, committed.timestamp(), promised));
            }
            Step::Rest => rest(&server.database),
            Step::Restart => {
                server.stop();
                server = Server::start(home);
            }
        }
    }
    server.stop();
    moments
}

/// Waits for the checkpoint of an idle primary, and until what was purged is erased.
fn rest(database: &Database) {
    let begun = Instant::now();
    let rests = || {
        database.status().unwrap().partitions.iter().all(|partition| {
            partition.last_checkpoint == Some(partition.journal_end) && partition.erasures_pending == 0
        })
    };
    while !rests() {
        assert!(begun.elapsed() < REST_MAX, "the primary never comes to rest");
        std::thread::sleep(Duration::from_millis(10));
    }
}

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

fn positions(database: &Database) -> Vec<Position> {
    database.status().unwrap().partitions.iter().map(|partition| partition.journal_end).collect()
}

/// A primary whose disk is well, and what it held.
struct Source {
    server: Server,
    _dir: tempfile::TempDir,
    /// What it held when, computed once.
    known: Mutex<BTreeMap<(Timestamp, bool), Held>>,
    view: View,
}

impl Source {
    fn new(plan: Plan, script: &Script, view: View) -> Source {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("primary");
        drop(Folder::init(&home, &settings(Role::Primary, plan.partitions)).unwrap());
        perform(&home, script, || 0);
        let server = Server::start(&home);
        rest(&server.database);
        Source { server, _dir: dir, known: Mutex::default(), view }
    }

    fn held(&self, at: Timestamp, with_exports: bool) -> Held {
        let mut known = self.known.lock().unwrap();
        let compute = || held(&self.server.database, &[self.view], at, with_exports);
        known.entry((at, with_exports)).or_insert_with(compute).clone()
    }

    /// Is the copy what the source was at the time that the copy shows?
    fn compare(&self, copy: &Database, with_exports: bool) {
        let at = copy.visible();
        compare(&held(copy, &[self.view], at, with_exports), &self.held(at, with_exports), at);
    }

    fn catch_up(&self, copy: &Database) {
        for partition in copy.partitioning().all() {
            while pump(&self.server.database, copy, partition, usize::MAX) {}
        }
        let visible = self.server.database.visible();
        if copy.view() == View::Full {
            assert_eq!(copy.visible(), visible);
        }
        self.compare(copy, true);
        assert!(copy.alarms().is_empty(), "{:?}", copy.alarms());
        assert_eq!(copy.stopped(), None);
    }

    /// A copy that met this source.
    fn adopt(&self, home: &Path) -> Server {
        let folder = Folder::open(home).unwrap();
        let handshake = self.server.database.handshake(self.view).unwrap();
        let database = folder.adopt("main", &handshake).unwrap();
        Server { database, _folder: folder }
    }
}

/// Moves entries from a source to a copy, all that are there or so many; answers whether any moved.
fn pump(source: &Database, copy: &Database, partition: PartitionId, count: usize) -> bool {
    let (_, from, derived) = copy.resume().into_iter().find(|(id, _, _)| *id == partition).unwrap();
    let mut feed = source.feed(partition, copy.view(), from, derived).unwrap();
    let mut entries = Vec::new();
    while entries.len() < count {
        let Some(piece) = feed.next(if count == usize::MAX { 1 << 20 } else { 1 }).unwrap() else { break };
        let mut buffer = BytesMut::from(&piece[..]);
        while let Some(frame) = Frame::take(&mut buffer).unwrap() {
            if let Frame::Entry(entry) = frame {
                entries.push(entry);
            }
        }
    }
    entries.truncate(count);
    let moved = !entries.is_empty();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(copy.take(partition, entries)).unwrap();
    moved
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
        let source = Source::new(plan, script, role.view());
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
        let source = Source::new(plan, script, View::Full);
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

fn begin(copy: &Database, snapshot: Snapshot) {
    let marker = SyncMarker {
        phase: SyncPhase::Transferring,
        reason: "out-of-window".into(),
        round: 1,
        began: 0,
        snapshot,
        keep_journals: false,
        since: Timestamp::ZERO,
        max_versions: 0,
        documents: 0,
        bytes: 0,
        equal: false,
        left_out: 0,
    };
    copy.begin_sync(marker).unwrap();
}

/// Brings what was begun to its end.
fn complete(source: &Database, copy: &Database) {
    let snapshot = copy.sync_marker().unwrap().snapshot;
    let mut transfers: Vec<Transfer> = snapshot
        .partitions
        .iter()
        .map(|of| copy.transfer(&snapshot, of, SyncScope::default()).unwrap())
        .collect();
    for transfer in &mut transfers {
        while let Some(question) = transfer.next_question().unwrap() {
            let mut answer = source.answer(transfer.partition(), question).unwrap();
            let mut buffer = BytesMut::new();
            while let Some(piece) = answer.next(16 << 10).unwrap() {
                buffer.extend_from_slice(&piece);
                if transfer.take(&mut buffer).unwrap() {
                    break;
                }
            }
        }
    }
    let outcome = copy.finish_sync(0).unwrap();
    assert!(outcome.is_whole(), "{outcome:?}");
}
