//! Servers without HTTP that do a script, follow one that did, or synchronize with it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use apograph::format::{Frame, PartitionId, Position, SyncScope, Timestamp, View};
use apograph::settings::{DatabaseSettings, ServerSettings, SourceSettings};
use apograph::synchronize::{Snapshot, SyncMarker, SyncPhase, Transfer};
use apograph::{Database, Folder, Role};
use bytes::BytesMut;

use crate::script::{Script, Step, transaction};

/// Whoever has not come to rest after so long never does.
const REST_MAX: Duration = Duration::from_secs(60);

/// A server that runs.
pub(crate) struct Server {
    pub(crate) database: Database,
    pub(crate) _folder: Folder,
}

impl Server {
    pub(crate) fn start(path: &Path) -> Server {
        Server::try_start(path).unwrap().unwrap()
    }

    /// `None` for a copy that has not met its source.
    pub(crate) fn try_start(path: &Path) -> Result<Option<Server>, apograph::OpenError> {
        let folder = Folder::open(path)?;
        let database = folder.database("main")?;
        Ok(database.map(|database| Server { database, _folder: folder }))
    }

    pub(crate) fn stop(self) {
        self.database.shutdown();
    }
}

pub(crate) fn settings(role: Role, partitions: u16) -> ServerSettings {
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
pub(crate) struct Held {
    pub(crate) digests: Vec<(View, String, u64)>,
    pub(crate) exports: Option<Vec<String>>,
}

pub(crate) fn held(database: &Database, views: &[View], at: Timestamp, with_exports: bool) -> Held {
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
pub(crate) fn compare(found: &Held, expected: &Held, at: Timestamp) {
    assert_eq!(found.digests, expected.digests, "digests as of {at}");
    if let (Some(found), Some(expected)) = (&found.exports, &expected.exports) {
        assert_eq!(found, expected, "exports as of {at}");
    }
}

/// A moment of a primary: what it held, and since when that is promised.
pub(crate) struct Moment {
    pub(crate) at: Timestamp,
    /// Operations of the disk when it was acknowledged.
    pub(crate) promised: usize,
    pub(crate) held: Held,
}

/// Does the script, and notes every moment.
pub(crate) fn perform(home: &Path, script: &Script, operations: impl Fn() -> usize) -> Vec<Moment> {
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
pub(crate) fn rest(database: &Database) {
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

pub(crate) fn positions(database: &Database) -> Vec<Position> {
    database.status().unwrap().partitions.iter().map(|partition| partition.journal_end).collect()
}

/// A primary whose disk is well, and what it held.
pub(crate) struct Source {
    pub(crate) server: Server,
    _dir: tempfile::TempDir,
    /// What it held when, computed once.
    known: Mutex<BTreeMap<(View, Timestamp, bool), Held>>,
    view: View,
}

impl Source {
    pub(crate) fn new(partitions: u16, script: &Script, view: View) -> Source {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("primary");
        drop(Folder::init(&home, &settings(Role::Primary, partitions)).unwrap());
        perform(&home, script, || 0);
        Source::over(dir, view)
    }

    /// The primary in this folder.
    pub(crate) fn over(dir: tempfile::TempDir, view: View) -> Source {
        let server = Server::start(&dir.path().join("primary"));
        rest(&server.database);
        Source { server, _dir: dir, known: Mutex::default(), view }
    }

    pub(crate) fn held(&self, view: View, at: Timestamp, with_exports: bool) -> Held {
        let mut known = self.known.lock().unwrap();
        let compute = || held(&self.server.database, &[view], at, with_exports);
        known.entry((view, at, with_exports)).or_insert_with(compute).clone()
    }

    /// Is the copy what the source was at the time that the copy shows?
    pub(crate) fn compare(&self, copy: &Database, with_exports: bool) {
        let (view, at) = (copy.view(), copy.visible());
        compare(&held(copy, &[view], at, with_exports), &self.held(view, at, with_exports), at);
    }

    pub(crate) fn catch_up(&self, copy: &Database) {
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
    pub(crate) fn adopt(&self, home: &Path) -> Server {
        self.adopt_as(home, self.view)
    }

    /// A copy that holds this view, and met this source.
    pub(crate) fn adopt_as(&self, home: &Path, view: View) -> Server {
        let folder = Folder::open(home).unwrap();
        let handshake = self.server.database.handshake(view).unwrap();
        let database = folder.adopt("main", &handshake).unwrap();
        Server { database, _folder: folder }
    }
}

/// Moves entries from a source to a copy, all that are there or so many; answers whether any moved.
pub(crate) fn pump(source: &Database, copy: &Database, partition: PartitionId, count: usize) -> bool {
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
    // A copy that is driven by steps takes one when it was asked to.
    let (taken, _) =
        runtime.block_on(async { tokio::join!(copy.take(partition, entries), async { copy.step() }) });
    taken.unwrap();
    moved
}

pub(crate) fn begin(copy: &Database, snapshot: Snapshot) {
    begin_for(copy, snapshot, "out-of-window");
}

/// Begins a synchronization for this reason.
pub(crate) fn begin_for(copy: &Database, snapshot: Snapshot, reason: &str) {
    let marker = SyncMarker {
        phase: SyncPhase::Transferring,
        reason: reason.into(),
        round: 1,
        began: 0,
        snapshot,
        keep_journals: reason == "unknown-position",
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
pub(crate) fn complete(source: &Database, copy: &Database) {
    complete_beside(source, copy, || ());
}

/// The same, and this happens after each piece of an answer.
pub(crate) fn complete_beside(source: &Database, copy: &Database, beside: impl Fn()) {
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
                let is_over = transfer.take(&mut buffer).unwrap();
                beside();
                if is_over {
                    break;
                }
            }
        }
    }
    let outcome = copy.finish_sync(0).unwrap();
    assert!(outcome.is_whole(), "{outcome:?}");
}
