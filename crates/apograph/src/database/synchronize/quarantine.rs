//! Documents that this copy could not take: listed with reasons, tried again by every synchronization, and let be when
//! somebody says so. `quarantine.json` holds what people said; the rest is in the stores.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use apograph_format::{Timestamp, Uri};
use serde::{Deserialize, Serialize};

use super::SyncError;
use super::outcome::LISTED_MAX;
use crate::database::Database;
use crate::database::side_files::QUARANTINE;
use crate::error::ReadError;
use crate::folder::FolderError;
use crate::sealed::{read_sealed, write_sealed};

/// A document that this copy could not take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldDocument {
    /// Which.
    pub uri: Uri,
    /// Why.
    pub reason: String,
    /// The snapshot that it was part of.
    pub at: Timestamp,
    /// Somebody lets it be, for this reason.
    pub dropped: Option<String>,
}

/// What people said of documents, as long as they are held.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
struct Dropped(BTreeMap<Uri, String>);

impl Database {
    /// Documents that this copy could not take, at most a thousand.
    pub fn quarantine(&self) -> Result<Vec<HeldDocument>, SyncError> {
        let at = self.visible();
        let dropped = Dropped::read(&self.shared.path)?;
        let mut held = Vec::new();
        for store in &self.shared.stores {
            for item in store.quarantine(at).take(LISTED_MAX - held.len()) {
                let (uri, of) = item?;
                let dropped = dropped.0.get(&uri).cloned();
                held.push(HeldDocument { uri, reason: of.reason, at: of.at, dropped });
            }
        }
        Ok(held)
    }

    /// Is this document held back, as of `at`? What people said of it is left out when its file cannot be read.
    pub(in crate::database) fn held(
        &self,
        uri: &Uri,
        at: Timestamp,
    ) -> Result<Option<HeldDocument>, ReadError> {
        let held = self.shared.store_of(uri)?.quarantined(uri, at)?;
        Ok(held.map(|of| {
            let dropped = Dropped::read(&self.shared.path).unwrap_or_default().0.remove(uri);
            HeldDocument { uri: uri.clone(), reason: of.reason, at: of.at, dropped }
        }))
    }

    /// Lets a held document be: it stays listed, with this reason, and the copy stays unequal. Answers whether it is held.
    /// Durable on return.
    pub fn drop_held(&self, uri: &Uri, reason: &str) -> Result<bool, SyncError> {
        let held = self.quarantine()?;
        if !held.iter().any(|held| held.uri == *uri) {
            return Ok(false);
        }
        let mut dropped = Dropped::read(&self.shared.path)?;
        // What is not held any more needs no words.
        dropped.0.retain(|known, _| held.iter().any(|held| held.uri == *known));
        dropped.0.insert(uri.clone(), reason.to_owned());
        let path = file(&self.shared.path);
        write_sealed(&path, &dropped)?;
        self.shared.side_files.note(&path)?;
        Ok(true)
    }
}

impl Dropped {
    fn read(database: &Path) -> Result<Dropped, FolderError> {
        let path = file(database);
        if path.exists() { read_sealed(&path) } else { Ok(Dropped::default()) }
    }
}

pub(super) fn file(database: &Path) -> PathBuf {
    database.join(QUARANTINE)
}
