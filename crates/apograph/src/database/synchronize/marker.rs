//! `synchronize.json`: a synchronization that was begun and is not finished.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Snapshot;
use crate::database::side_files::{MARKER, SideFiles};
use crate::folder::{FolderError, disk};
use crate::sealed::{read_sealed, write_sealed};

/// A synchronization that was begun and is not finished.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncMarker {
    /// How far it is.
    pub phase: SyncPhase,
    /// Why it was begun: a code of the link.
    pub reason: String,
    /// Counted from one; another begins when a snapshot is gone, or the journal went on without this copy.
    pub round: u32,
    /// When the first round began, microseconds since 1970.
    pub began: i64,
    /// What is being copied.
    pub snapshot: Snapshot,
    /// The journals so far are kept aside: they hold what the source does not know.
    pub keep_journals: bool,
    /// Documents not changed since this commit timestamp are left out; zero leaves out none.
    pub since: apograph_format::Timestamp,
    /// Bodies of so many newest versions of a document come; zero: all.
    pub max_versions: u64,
    /// Documents that came so far, in all rounds and partitions, and their bytes: counted when it is finished.
    pub documents: u64,
    /// See `documents`.
    pub bytes: u64,
    /// With the last step: every partition had the digest of the snapshot.
    pub equal: bool,
    /// Documents that were left out so far.
    pub left_out: u64,
}

/// How far a synchronization is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SyncPhase {
    /// Documents come in.
    Transferring,
    /// They are all there: stores and journals move to the snapshot. Only forward from here.
    Installing,
}

impl SyncMarker {
    /// Is it about documents that should not differ? Then those that do are listed.
    pub(super) fn lists_differences(&self) -> bool {
        self.is_unasked() || self.is_requested()
    }

    /// Was something found that this copy's own trees contradict?
    pub(super) fn is_damage(&self) -> bool {
        self.reason == "damaged"
    }

    /// Did an operator ask for it?
    pub(super) fn is_requested(&self) -> bool {
        self.reason == "requested"
    }

    /// Did the server begin it by itself, because what it showed was wrong?
    pub(super) fn is_unasked(&self) -> bool {
        matches!(self.reason.as_str(), "diverged" | "damaged")
    }

    pub(in crate::database) fn read(database: &Path) -> Result<Option<SyncMarker>, FolderError> {
        let path = file(database);
        if path.exists() { read_sealed(&path).map(Some) } else { Ok(None) }
    }

    pub(in crate::database) fn write(
        &self,
        database: &Path,
        side_files: &SideFiles,
    ) -> Result<(), FolderError> {
        let path = file(database);
        write_sealed(&path, self)?;
        side_files.note(&path)
    }

    pub(in crate::database) fn remove(database: &Path, side_files: &SideFiles) -> Result<(), FolderError> {
        let path = file(database);
        side_files.forget([path.as_path()])?;
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(disk(&path)(error)),
            _ => std::fs::File::open(database).and_then(|folder| folder.sync_all()).map_err(disk(database)),
        }
    }
}

fn file(database: &Path) -> PathBuf {
    database.join(MARKER)
}
