//! Backups: a folder with the files of a database at one timestamp, and a manifest that covers every byte of them.
//!
//! - [`Database::backup`](crate::Database::backup) writes one while the database is written ([`create`]).
//! - [`verify`](fn@verify) proves one without restoring it, and writes nothing into it.
//! - [`Folder::restore`](crate::Folder::restore) makes a database of one, as it was at its time or at another.
//!
//! What a folder of a backup holds: `docs/formats/backup.md`.

mod create;
mod list;
mod manifest;
mod restore;
mod verify;

use std::io;
use std::path::{Path, PathBuf};

use apograph_format::{DatabaseId, Participants, Timestamp, View};
use apograph_store::StoreError;

use crate::OpenError;
use crate::folder::FolderError;

pub use create::{BackupRequest, Made};
pub(crate) use create::{Frozen, FrozenPartition, Source, SourceBytes, check_target, write};
pub use manifest::{BackedUpPartition, Manifest};
pub use restore::{RestoreRequest, Restored};
pub use verify::{Finding, Report, verify};

/// Name of the file that makes a folder a backup.
pub const MANIFEST: &str = "MANIFEST";
/// Names, lengths and hashes of all other files.
const LIST: &str = "files.ndjson";

/// How far a backup, its verification or a restore is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// What is being done.
    pub phase: Phase,
    /// Files done.
    pub files: u64,
    /// Bytes done.
    pub bytes: u64,
    /// Bytes in all, as far as they are known.
    pub bytes_total: u64,
}

/// What is being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Phase {
    /// The state is pinned.
    #[default]
    Begin,
    /// Files are copied.
    Copy,
    /// Files are read and compared with their hashes.
    Files,
    /// Every entry of the journals is checked.
    Journal,
    /// Every document and payload of the stores is checked.
    Store,
    /// The restored state is brought to the time asked for.
    Replay,
}

impl Phase {
    /// One word for people and programs.
    pub fn as_str(self) -> &'static str {
        match self {
            Phase::Begin => "beginning",
            Phase::Copy => "copying",
            Phase::Files => "reading",
            Phase::Journal => "journal",
            Phase::Store => "store",
            Phase::Replay => "replaying",
        }
    }
}

/// Told how far it is; `false` ends the work, which answers [`BackupError::Cancelled`].
pub type Monitor<'a> = &'a mut dyn FnMut(Progress) -> bool;

/// Why there is no backup, or nothing was restored of one.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// Another backup of this database, or into this folder, is being made.
    #[error("a backup is being made already")]
    Running,
    /// A backup is of the whole database.
    #[error("this server holds partitions {held} only: take the backup from one that holds all of them")]
    Part {
        /// What it holds.
        held: Participants,
    },
    /// There is a whole backup in the folder.
    #[error("{} holds a backup already", path.display())]
    Exists {
        /// The folder.
        path: PathBuf,
    },
    /// There is something else in the folder.
    #[error("{} is not empty, and holds no interrupted backup", path.display())]
    NotEmpty {
        /// The folder.
        path: PathBuf,
    },
    /// The folder holds no backup.
    #[error("{} holds no backup", path.display())]
    NotABackup {
        /// The folder.
        path: PathBuf,
    },
    /// The backup was interrupted.
    #[error("the backup in {} was interrupted: it has no {MANIFEST}", path.display())]
    Incomplete {
        /// The folder.
        path: PathBuf,
    },
    /// Written by another version of this software.
    #[error("the backup in {} has the format {found:?}", path.display())]
    Format {
        /// The folder.
        path: PathBuf,
        /// What its manifest says.
        found: String,
    },
    /// Bytes are not what they were.
    #[error("{} is damaged: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The previous backup is of another database.
    #[error("{} is a backup of database {found}, not of {expected}", path.display())]
    Foreign {
        /// The folder.
        path: PathBuf,
        /// Which database it should be of.
        expected: DatabaseId,
        /// Which one it is of.
        found: DatabaseId,
    },
    /// What this server shows is about to change: the state in its files is none yet.
    #[error("the copy synchronizes with its source; a backup can be made when it follows")]
    Synchronizing,
    /// The database cannot go on.
    #[error("this server cannot go on: {reason}")]
    Stopped {
        /// Why.
        reason: String,
    },
    /// A database is there already.
    #[error("there is a database in {} already", path.display())]
    Occupied {
        /// Its folder.
        path: PathBuf,
    },
    /// The role of the target does not fit.
    #[error("this is a backup of the {found} view, and the data folder is for the {wanted} view")]
    View {
        /// What the backup holds.
        found: View,
        /// What the settings ask for.
        wanted: View,
    },
    /// Something was left out when the copy was synchronized.
    #[error("the backup is of a copy that leaves something out: a primary cannot be made of it")]
    NotWhole,
    /// The settings do not name the database.
    #[error("the settings of the data folder name no database {name:?}")]
    Unknown {
        /// Its name.
        name: String,
    },
    /// History does not reach back so far.
    #[error("the history in this backup begins at {horizon}; {asked} was asked for")]
    BelowHorizon {
        /// The oldest time that can be restored.
        horizon: Timestamp,
        /// The time asked for.
        asked: Timestamp,
    },
    /// The time lies behind the backup.
    #[error("the backup ends at {end}; {asked} was asked for, and no later segments are given")]
    Ahead {
        /// The time of the backup.
        end: Timestamp,
        /// The time asked for.
        asked: Timestamp,
    },
    /// The later segments do not continue the backup.
    #[error("the segments in {} do not continue this backup: {reason}", path.display())]
    Archive {
        /// Where they are.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// What was restored is not what was backed up.
    #[error("the restored database differs from the backup: {reason}")]
    Unequal {
        /// How.
        reason: String,
    },
    /// Whoever asked for it does not want it any more, or the server stops.
    #[error("the work was ended before it was done")]
    Cancelled,
    /// The disk refused.
    #[error("{}: {error}", path.display())]
    Disk {
        /// The file or folder.
        path: PathBuf,
        /// What the disk said.
        error: io::Error,
    },
    /// A file of the data folder.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The store.
    #[error(transparent)]
    Store(StoreError),
    /// The database cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
}

impl From<StoreError> for BackupError {
    fn from(error: StoreError) -> BackupError {
        match error {
            StoreError::Syncing => BackupError::Synchronizing,
            StoreError::BelowHorizon { horizon, asked } => BackupError::BelowHorizon { horizon, asked },
            error => BackupError::Store(error),
        }
    }
}

fn disk(path: &Path) -> impl FnOnce(io::Error) -> BackupError {
    move |error| BackupError::Disk { path: path.to_owned(), error }
}

fn damaged(path: &Path, reason: impl Into<String>) -> BackupError {
    BackupError::Damaged { path: path.to_owned(), reason: reason.into() }
}

/// Tells the monitor, which may end the work.
fn tell(monitor: &mut dyn FnMut(Progress) -> bool, progress: Progress) -> Result<(), BackupError> {
    if monitor(progress) { Ok(()) } else { Err(BackupError::Cancelled) }
}
