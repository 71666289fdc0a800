//! `lag-limits.json` in the folder of a database: what operators set, by the names of servers.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use apograph::folder::{FolderError, write_json};
use apograph_client::types::LagLimit;

/// What was set; nothing when there is no such file.
pub(super) fn read(folder: &Path) -> Result<BTreeMap<String, LagLimit>, FolderError> {
    let path = path(folder);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => return Err(FolderError::Disk { path, error }),
    };
    serde_json::from_str(&text).map_err(|error| FolderError::Settings { path, reason: error.to_string() })
}

/// Durable on return.
pub(super) fn write(folder: &Path, limits: &BTreeMap<String, LagLimit>) -> Result<(), FolderError> {
    write_json(&path(folder), limits)
}

fn path(folder: &Path) -> PathBuf {
    folder.join("lag-limits.json")
}
