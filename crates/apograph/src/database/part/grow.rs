//! A replica of some partitions takes in others, while its server is stopped.
//!
//! ```text
//! it stands at T ─▶ growing/: a copy of the others, synchronized to T ─▶ database.json: held, `taking_in` ─▶ moved ─▶ done
//!                   └── may be broken off and gone on with                └── from here on only forward
//! ```
//!
//! What is taken in is a replica of its own beside this one, made by the same synchronization as any. Everything stands at one
//! timestamp when it is moved in, so nothing is ever shown of two times.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use apograph_format::synchronize::Snapshot;
use apograph_format::{DatabaseId, Epoch, Participants, PartitionId, Timestamp, View};

use super::{HeldError, said, words};
use crate::Role;
use crate::database::open::OpenError;
use crate::database::state::now_us;
use crate::database::synchronize::{SyncError, SyncMarker, SyncPhase, partition_home};
use crate::database::{Database, DatabaseFile, Handshake};
use crate::folder::{Folder, FolderError, disk, sync_name, write_json};
use crate::settings::DatabaseSettings;

/// What is taken in is there until it is.
const BESIDE: &str = "growing";
/// What is left of it is there until it is removed.
const LEFT: &str = "growing.done";
/// Batches of a synchronization need timestamps between what was there and what is wanted: with less room than this it
/// begins from nothing.
const ROOM_US: u64 = 1_000_000;

/// Partitions that are moved into a database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TakingIn {
    /// Which.
    pub partitions: Vec<PartitionId>,
    /// Everything stands there.
    pub at: Timestamp,
}

/// Why a replica cannot take in other partitions. Nothing that it holds was changed.
#[derive(Debug, thiserror::Error)]
pub enum GrowError {
    /// There is no such database in the data folder.
    #[error("the settings name no database {name:?}")]
    Unknown {
        /// Its name.
        name: String,
    },
    /// It has not met its source yet.
    #[error("this copy has not met its source yet: its settings say what it is to hold")]
    NotMet,
    /// Only replicas hold some partitions.
    #[error("this server is a {role}: only a replica takes partitions in")]
    NotAReplica {
        /// What it is.
        role: Role,
    },
    /// Something has to be finished first.
    #[error("this copy is not at rest: {reason}")]
    NotAtRest {
        /// What.
        reason: String,
    },
    /// The source is none of this database.
    #[error("the source has the database {found}, and this is {expected}")]
    AnotherDatabase {
        /// What is here.
        expected: DatabaseId,
        /// What is there.
        found: DatabaseId,
    },
    /// What is published is not enough.
    #[error("the source holds the {view} view only")]
    PartOfTheView {
        /// What it holds.
        view: View,
    },
    /// The source does not hold what is wanted, or there is no such partition.
    #[error(transparent)]
    Held(#[from] HeldError),
    /// Two parts of different epochs.
    #[error(
        "this copy is in epoch {here}, the source in epoch {there}: let the one that is behind follow until both are in one epoch"
    )]
    AnotherEpoch {
        /// Of this copy.
        here: Epoch,
        /// Of the source.
        there: Epoch,
    },
    /// A later epoch cut off what this copy shows.
    #[error("a later epoch cut off what this copy shows at {at}: let it follow, and synchronize, first")]
    CutOff {
        /// What it shows.
        at: Timestamp,
    },
    /// The source is behind.
    #[error(
        "this copy shows {here}, and the source has only come to {there}: let the source take in what this copy holds, instead"
    )]
    SourceBehind {
        /// What this copy shows.
        here: Timestamp,
        /// What the source shows.
        there: Timestamp,
    },
    /// Others were begun to be taken in.
    #[error(
        "partitions {begun} were begun to be taken in: name these, or remove {} to begin with others", path.display()
    )]
    Begun {
        /// Which.
        begun: Participants,
        /// Where they are.
        path: PathBuf,
    },
    /// The snapshot is another than was asked for.
    #[error(
        "the source gives its state at {found}, and {expected} was asked for: it cannot give that of a time"
    )]
    AnotherTime {
        /// What was asked for.
        expected: Timestamp,
        /// What came.
        found: Timestamp,
    },
    /// Something could not be taken.
    #[error(
        "the source could not give everything: {documents} documents did not come; verify it, and remove {} to begin anew", path.display()
    )]
    NotWhole {
        /// How many.
        documents: u64,
        /// Where what came is.
        path: PathBuf,
    },
    /// A file of the data folder.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// A database could not be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The synchronization failed.
    #[error(transparent)]
    Sync(#[from] SyncError),
}

/// A replica that takes in other partitions. Its folder stays open, and nothing else happens in it.
pub struct Growth<'a> {
    folder: &'a Folder,
    name: String,
    partitions: Participants,
    at: Timestamp,
    beside: Database,
}

/// What a copy is before it grows.
struct Standing {
    file: DatabaseFile,
    epoch: Epoch,
    visible: Timestamp,
}

/// What a copy holds, and what it shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holds {
    /// Which partitions.
    pub held: Participants,
    /// Up to when.
    pub visible: Timestamp,
}

impl Folder {
    /// Begins to take these partitions of a source into a replica, all that it lacks and the source has if none are named, or
    /// goes on with it. `None` if all of them are held. The database must not be open. Blocks.
    pub fn grow(
        &self,
        name: &str,
        asked: Option<Participants>,
        source: &Handshake,
    ) -> Result<Option<Growth<'_>>, GrowError> {
        let settings = self.settings().databases.get(name);
        let settings = settings.ok_or_else(|| GrowError::Unknown { name: name.to_owned() })?;
        let standing = self.standing(name)?;
        let held = standing.file.held();
        let there = said(source.held.as_ref(), standing.file.partitions);
        let partitions = asked.unwrap_or(there).without(held);
        if partitions.count() == 0 {
            return Ok(None);
        }
        standing.check(partitions, there, source)?;
        let beside = self.beside(name, settings, &standing, partitions)?;
        Ok(Some(Growth { folder: self, name: name.to_owned(), partitions, at: standing.visible, beside }))
    }

    /// What a database holds, and what it shows. It must not be open. Blocks.
    pub fn holds(&self, name: &str) -> Result<Holds, GrowError> {
        let database = self.database(name)?.ok_or(GrowError::NotMet)?;
        let holds = Holds { held: database.held_partitions(), visible: database.visible() };
        database.shutdown();
        Ok(holds)
    }

    /// Where the copy stands, everything that a crash left undone done.
    fn standing(&self, name: &str) -> Result<Standing, GrowError> {
        let database = self.database(name)?.ok_or(GrowError::NotMet)?;
        let found = standing_of(&database);
        database.shutdown();
        found
    }

    fn beside(
        &self,
        name: &str,
        settings: &DatabaseSettings,
        standing: &Standing,
        partitions: Participants,
    ) -> Result<Database, GrowError> {
        let path = self.database_path(name);
        remove_left(&path)?;
        let home = path.join(BESIDE);
        let settings = DatabaseSettings {
            role: Role::Replica,
            held_partitions: Some(partitions.iter().map(|partition| partition.0).collect()),
            ..settings.clone()
        };
        if let Some(file) = DatabaseFile::read(&home)? {
            if file.held() != partitions || file.id != standing.file.id {
                return Err(GrowError::Begun { begun: file.held(), path: home });
            }
            let begun = Database::open(self, name, &home, &settings, file)?;
            let shown = begun.visible();
            let is_room = shown == Timestamp::ZERO || shown.0.saturating_add(ROOM_US) <= standing.visible.0;
            if shown == standing.visible || is_room {
                return Ok(begun);
            }
            begun.shutdown();
            drop(begun);
            discard(&path)?;
        }
        let file = standing.file.of_others(partitions);
        file.write(&home)?;
        Ok(Database::open(self, name, &home, &settings, file)?)
    }
}

fn standing_of(database: &Database) -> Result<Standing, GrowError> {
    let file = database.shared.file().clone();
    let not_at_rest = |reason: &str| Err(GrowError::NotAtRest { reason: reason.to_owned() });
    if file.role != Role::Replica {
        return Err(GrowError::NotAReplica { role: file.role });
    }
    if let Some(reason) = database.stopped() {
        return not_at_rest(&reason);
    }
    if database.shared.is_stalled() {
        return not_at_rest("what it has on disk cannot be applied; see its log");
    }
    if database.sync_marker().is_some() {
        return not_at_rest("a synchronization was begun and is not over; let it end");
    }
    if file.handover.is_some() {
        return not_at_rest("it handed its role over, and does not know yet whether that was taken up");
    }
    Ok(Standing { file, epoch: database.epoch(), visible: database.visible() })
}

impl Standing {
    fn check(
        &self,
        partitions: Participants,
        there: Participants,
        source: &Handshake,
    ) -> Result<(), GrowError> {
        let file = &self.file;
        if source.database != file.id || source.partitions != file.partitions.count() {
            return Err(GrowError::AnotherDatabase { expected: file.id, found: source.database });
        }
        if source.view != View::Full {
            return Err(GrowError::PartOfTheView { view: source.view });
        }
        let last = file.partitions.count() - 1;
        if let Some(partition) = partitions.iter().find(|partition| partition.0 > last) {
            return Err(HeldError::NoSuchPartition { partition, last }.into());
        }
        if !there.covers(partitions) {
            return Err(HeldError::NotThere { there, asked: partitions }.into());
        }
        // In one epoch, and neither of them beyond where it began: then what both show at one time is of one history.
        if source.epoch != self.epoch {
            return Err(GrowError::AnotherEpoch { here: self.epoch, there: source.epoch });
        }
        let mut known = file.clone();
        source.epochs.iter().for_each(|start| known.note(start.clone()));
        if known.is_cut(self.epoch, self.visible) {
            return Err(GrowError::CutOff { at: self.visible });
        }
        if source.visible < self.visible {
            return Err(GrowError::SourceBehind { here: self.visible, there: source.visible });
        }
        Ok(())
    }
}

impl DatabaseFile {
    /// Of a replica of the same database that holds others.
    fn of_others(&self, partitions: Participants) -> DatabaseFile {
        DatabaseFile {
            held: Some(partitions.iter().collect()),
            grown: Vec::new(),
            taking_in: None,
            role: Role::Replica,
            promoting: None,
            handover: None,
            complete: false,
            rival: None,
            ..self.clone()
        }
    }
}

impl Growth<'_> {
    /// What is taken in.
    pub fn partitions(&self) -> Participants {
        self.partitions
    }

    /// What this copy shows: where everything that is taken in has to stand.
    pub fn at(&self) -> Timestamp {
        self.at
    }

    /// What is taken in: a replica of its own, to be synchronized to [`at`](Self::at).
    pub fn beside(&self) -> &Database {
        &self.beside
    }

    /// Does it stand there?
    pub fn is_there(&self) -> bool {
        self.beside.visible() == self.at && self.beside.sync_marker().is_none()
    }

    /// A synchronization to where this copy stands that was begun and is not finished.
    pub fn begun(&self) -> Option<SyncMarker> {
        self.beside.sync_marker().filter(|marker| marker.snapshot.at == self.at)
    }

    /// Begins to synchronize to a snapshot of the source as of [`at`](Self::at). Blocks; durable on return.
    pub fn begin(&self, snapshot: Snapshot) -> Result<SyncMarker, GrowError> {
        if snapshot.at != self.at {
            return Err(GrowError::AnotherTime { expected: self.at, found: snapshot.at });
        }
        let marker = SyncMarker {
            phase: SyncPhase::Transferring,
            reason: "hold".to_owned(),
            round: 1,
            began: i64::try_from(now_us()).unwrap_or(i64::MAX),
            snapshot: self.beside.part_of(snapshot),
            keep_journals: false,
            since: Timestamp::ZERO,
            max_versions: 0,
            documents: 0,
            bytes: 0,
            equal: false,
            left_out: 0,
        };
        self.beside.begin_sync(marker.clone())?;
        Ok(marker)
    }

    /// Everything has come: it is moved in, all of it or, after a crash, at the next start. Answers what is held then.
    /// Blocks; durable on return.
    pub fn finish(self) -> Result<Participants, GrowError> {
        if !self.is_there() {
            self.beside.finish_sync(0)?;
        }
        let Growth { folder, name, partitions, at, beside } = self;
        let outcome = beside.sync_outcome();
        beside.shutdown();
        drop(beside);
        let path = folder.database_path(&name);
        if let Some(outcome) = outcome.filter(|outcome| !outcome.is_whole()) {
            return Err(GrowError::NotWhole { documents: outcome.quarantined, path: path.join(BESIDE) });
        }
        let mut file = DatabaseFile::read(&path)?.ok_or(GrowError::NotMet)?;
        let held: Participants = file.held().iter().chain(partitions.iter()).collect();
        file.held = (held != file.partitions.everyone()).then(|| held.iter().collect());
        file.grown.extend(partitions.iter());
        file.taking_in = Some(TakingIn { partitions: partitions.iter().collect(), at });
        // From here on only forward.
        file.write(&path)?;
        let file = finish_taking_in(&path, file)?;
        folder.note_held(&name, file.held)?;
        Ok(held)
    }
}

impl Folder {
    /// The settings say what is held now. What they said before would do as well.
    fn note_held(&self, name: &str, held: Option<Vec<PartitionId>>) -> Result<(), FolderError> {
        let mut settings = self.settings().clone();
        let Some(database) = settings.databases.get_mut(name) else { return Ok(()) };
        database.held_partitions = held.map(|held| held.iter().map(|partition| partition.0).collect());
        write_json(&self.path().join("server.json"), &settings)
    }
}

/// Moves in what was decided to be, as far as it is not. Before the database is opened.
pub(crate) fn finish_taking_in(path: &Path, mut file: DatabaseFile) -> Result<DatabaseFile, FolderError> {
    let Some(taking_in) = file.taking_in.clone() else { return Ok(file) };
    let beside = path.join(BESIDE);
    for partition in &taking_in.partitions {
        let (from, to) = (partition_home(&beside, *partition), partition_home(path, *partition));
        if from.exists() {
            fs::rename(&from, &to).map_err(disk(&from))?;
            sync_name(&from).map_err(disk(&from))?;
        } else if !to.exists() {
            let reason = "a partition that was taken in is gone".to_owned();
            return Err(FolderError::Damaged { path: to, reason });
        }
        sync_name(&to).map_err(disk(&to))?;
    }
    words::take_in(path, &file, &taking_in)?;
    discard(path)?;
    file.taking_in = None;
    file.write(path)?;
    tracing::info!(path = %path.display(), held = %file.held(), "partitions were taken in");
    Ok(file)
}

/// Takes away what is beside; a crash leaves nothing that is taken for something.
fn discard(path: &Path) -> Result<(), FolderError> {
    remove_left(path)?;
    let beside = path.join(BESIDE);
    if beside.exists() {
        fs::rename(&beside, path.join(LEFT)).map_err(disk(&beside))?;
        sync_name(&beside).map_err(disk(&beside))?;
    }
    remove_left(path)
}

fn remove_left(path: &Path) -> Result<(), FolderError> {
    let left = path.join(LEFT);
    if left.exists() {
        fs::remove_dir_all(&left).map_err(disk(&left))?;
        sync_name(&left).map_err(disk(&left))?;
    }
    Ok(())
}
