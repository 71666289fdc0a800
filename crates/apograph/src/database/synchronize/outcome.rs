//! `synchronized.json`: what the last synchronization did, and what it left out. Kept until the next one.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use apograph_format::{Timestamp, Uri};
use apograph_store::{Store, StoreError};
use serde::{Deserialize, Serialize};

use super::marker::SyncMarker;
use crate::database::side_files::{OUTCOME, SideFiles};
use crate::database::state::now_us;
use crate::folder::FolderError;
use crate::sealed::{read_sealed, write_sealed};

/// Documents listed by name in an outcome; the rest is counted.
pub(super) const LISTED_MAX: usize = 1_000;

/// What a synchronization did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncOutcome {
    /// Why it was begun.
    pub reason: String,
    /// The snapshot that the copy stood at afterwards.
    pub at: Timestamp,
    /// When it began and ended, microseconds since 1970.
    pub began: i64,
    /// See `began`.
    pub ended: i64,
    /// Rounds it took.
    pub rounds: u32,
    /// Documents that came.
    pub documents: u64,
    /// Bytes they had on their way.
    pub bytes: u64,
    /// The copy had the digests of the snapshot.
    pub equal: bool,
    /// Documents that were left out because they had not changed since then; zero: none were.
    pub since: Timestamp,
    /// How many of them.
    pub left_out: u64,
    /// Documents that lack bodies of old versions.
    pub cut_documents: u64,
    /// Documents that could not be taken.
    pub quarantined: u64,
    /// After a difference was found: which documents differed.
    pub repaired: Vec<Repaired>,
    /// How many differed; `repaired` lists the first of them.
    pub repaired_total: u64,
    /// Somebody has seen it.
    pub seen: bool,
}

/// A document that differed from the source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repaired {
    /// Which.
    pub uri: Uri,
    /// What was wrong with it.
    pub what: String,
}

impl SyncOutcome {
    /// What came of a synchronization that is finished.
    pub(super) fn of(marker: &SyncMarker, stores: &[Arc<Store>]) -> Result<SyncOutcome, StoreError> {
        let (mut cut_documents, mut quarantined) = (0, 0);
        for store in stores {
            cut_documents += store.cut_documents(None, marker.snapshot.at).count() as u64;
            quarantined += store.quarantine(marker.snapshot.at).count() as u64;
        }
        Ok(SyncOutcome {
            reason: marker.reason.clone(),
            at: marker.snapshot.at,
            began: marker.began,
            ended: i64::try_from(now_us()).unwrap_or(i64::MAX),
            rounds: marker.round,
            documents: marker.documents,
            bytes: marker.bytes,
            equal: marker.equal,
            since: marker.since,
            left_out: marker.left_out,
            cut_documents,
            quarantined,
            repaired: Vec::new(),
            repaired_total: 0,
            seen: true,
        })
    }

    pub(crate) fn read(database: &Path) -> Result<Option<SyncOutcome>, FolderError> {
        let path = file(database);
        if path.exists() { read_sealed(&path).map(Some) } else { Ok(None) }
    }

    pub(crate) fn write(&self, database: &Path, side_files: &SideFiles) -> Result<(), FolderError> {
        let path = file(database);
        write_sealed(&path, self)?;
        side_files.note(&path)
    }

    /// What operators are told until somebody has seen it: this copy had shown something else than its source.
    pub(crate) fn alarm(&self) -> Option<String> {
        (!self.seen && self.repaired_total > 0).then(|| {
            format!(
                "{} documents differed from the source and were repaired; they are listed with the outcome of the synchronization",
                self.repaired_total
            )
        })
    }

    /// The copy holds everything that its source has in this view.
    pub fn is_whole(&self) -> bool {
        self.equal && self.left_out == 0 && self.quarantined == 0
    }
}

pub(super) fn file(database: &Path) -> PathBuf {
    database.join(OUTCOME)
}
