//! Finds journals below a folder.

use std::path::{Path, PathBuf};

use crate::failure::Failure;

/// A data folder has its journals five levels down; a folder of data folders six or seven.
const DEPTH_MAX: usize = 8;

/// All journal folders at or below `dir`, in order. None is a failure.
pub(super) fn journals(dir: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut found = Vec::new();
    search(dir, 0, &mut found).map_err(Failure::file(dir))?;
    if found.is_empty() {
        return Err(Failure::Local {
            what: format!("{} holds no journal", dir.display()),
            source: "no segment (NUMBER.segment) is at or below it".into(),
            next: Some("name a journal folder, or the data folder of a server".to_owned()),
        });
    }
    found.sort();
    Ok(found)
}

fn search(dir: &Path, depth: usize, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    let mut folders = Vec::new();
    let mut is_journal = false;
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() && depth < DEPTH_MAX {
            folders.push(entry.path());
        }
        is_journal |= kind.is_file() && is_segment(&entry.path());
    }
    if is_journal {
        found.push(dir.to_owned());
        return Ok(());
    }
    folders.iter().try_for_each(|folder| search(folder, depth + 1, found))
}

fn is_segment(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "segment")
}
