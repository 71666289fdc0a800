//! The net effect of a commit on the files of its first parent.

use std::collections::{BTreeMap, BTreeSet};

use super::error::{GitError, ImportError};
use super::fast_export::{Change, Commit, Content};
use super::oid::Oid;
use super::plan::{Entry, Mode};

/// What a commit leaves behind, each path once.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// Every path touched, with its entry afterwards; `None` if there is no such file any more.
    pub(crate) entries: BTreeMap<Vec<u8>, Option<Entry>>,
    /// Renames, sorted, old path first. Both paths are in `entries` too.
    pub(crate) renames: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Reduces the changes of `commit`, named `oid`. A rename or copy names no content; what it left unchanged is asked
/// of `entry`, which answers from the commit's tree.
pub(crate) fn net(
    oid: &Oid,
    commit: Commit,
    mut entry: impl FnMut(&Oid, &[u8]) -> Result<Entry, GitError>,
) -> Result<Changes, ImportError> {
    let mut changes = Changes::default();
    let mut unresolved = BTreeSet::new();
    let unsupported = |found: String| ImportError::Unsupported { commit: oid.clone(), found };
    for change in commit.changes {
        match change {
            Change::Modify { path, mode, content: Content::Oid(blob) } => {
                let mode = Mode::parse(&mode).ok_or_else(|| unsupported(format!("the mode {mode}")))?;
                unresolved.remove(&path);
                changes.entries.insert(path, Some(Entry { mode, blob }));
            }
            Change::Modify { .. } => return Err(unsupported("a content instead of its name".to_owned())),
            Change::Delete { path } => {
                unresolved.remove(&path);
                changes.entries.insert(path, None);
            }
            Change::Rename { from, to } => {
                unresolved.remove(&from);
                unresolved.insert(to.clone());
                changes.entries.insert(from.clone(), None);
                changes.renames.push((from, to));
            }
            Change::Copy { to, .. } => {
                unresolved.insert(to);
            }
            Change::DeleteAll => return Err(unsupported("`deleteall`".to_owned())),
        }
    }
    changes.renames.sort();
    for path in unresolved {
        let found = entry(oid, &path)?;
        changes.entries.insert(path, Some(found));
    }
    Ok(changes)
}
