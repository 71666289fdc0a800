//! Files beside journals and stores that were written and must be there: one that is gone is missed, and not taken for
//! one that never was.
//!
//! `side-files.json` has their names. A file is written first and then noted, forgotten first and then removed; so a
//! crash in between leaves one that is there and not noted, and the next start notes it. A folder of before the
//! register has none: what is there is noted then.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use apograph_format::Partitioning;
use serde::{Deserialize, Serialize};

use super::roles::{FORK, whole_marks};
use super::synchronize::partition_home;
use crate::folder::{FolderError, disk};
use crate::sealed::{read_sealed, write_sealed};

pub(super) const MARKER: &str = "synchronize.json";
pub(super) const OUTCOME: &str = "synchronized.json";
pub(super) const QUARANTINE: &str = "quarantine.json";
pub(super) const MARKS: &str = "orphans.restored";
const REGISTER: &str = "side-files.json";

/// The register of a database.
#[derive(Debug)]
pub(crate) struct SideFiles {
    database: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    register: Register,
    /// Whole lines of `orphans.restored`.
    marks: u64,
}

/// What must be there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Register {
    /// Files and folders, relative to that of the database.
    files: BTreeSet<String>,
    /// Lines that `orphans.restored` has at least.
    #[serde(default)]
    marks: u64,
}

impl SideFiles {
    /// Reads the register, and notes what is there. Refused if a synchronization was begun and its file is gone: its
    /// stores have a part of a snapshot that nobody knows any more.
    pub(super) fn open(database: &Path, partitioning: Partitioning) -> Result<SideFiles, FolderError> {
        let path = database.join(REGISTER);
        let register: Register = if path.exists() { read_sealed(&path)? } else { Register::default() };
        let marker = database.join(MARKER);
        if register.files.contains(MARKER) && !marker.exists() {
            let reason = "it is gone, and a synchronization was begun".to_owned();
            return Err(FolderError::Damaged { path: marker, reason });
        }
        let marks = whole_marks(&database.join(MARKS))?;
        let state = Mutex::new(State { register, marks });
        let files = SideFiles { database: database.to_owned(), state };
        files.note_present(partitioning)?;
        Ok(files)
    }

    /// Notes everything that is there. Durable on return.
    pub(super) fn note_present(&self, partitioning: Partitioning) -> Result<(), FolderError> {
        let names = [MARKER, OUTCOME, QUARANTINE, MARKS].map(|name| self.database.join(name));
        let mut present: Vec<PathBuf> = names.into_iter().filter(|path| path.exists()).collect();
        for partition in partitioning.all() {
            let home = partition_home(&self.database, partition);
            let entries = match fs::read_dir(&home) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                entries => entries.map_err(disk(&home))?,
            };
            for entry in entries {
                let entry = entry.map_err(disk(&home))?;
                if entry.file_name().to_string_lossy().starts_with(FORK) {
                    present.push(entry.path());
                }
            }
        }
        self.change(|state| {
            state.register.files.extend(present.iter().filter_map(|path| self.name(path)));
            state.register.marks = state.register.marks.max(state.marks);
        })
    }

    /// This file is there, and has to be from now on. Durable on return.
    pub(super) fn note(&self, path: &Path) -> Result<(), FolderError> {
        self.change(|state| state.register.files.extend(self.name(path)))
    }

    /// Another orphan was marked as brought back, in a file that was there before, or was not.
    pub(super) fn note_mark(&self, was_there: bool) -> Result<(), FolderError> {
        self.change(|state| {
            state.marks = if was_there { state.marks + 1 } else { 1 };
            state.register.marks = state.register.marks.max(state.marks);
            state.register.files.insert(MARKS.into());
        })
    }

    /// These files need not be there any more; they are removed then. Durable on return.
    pub(super) fn forget<'a>(&self, paths: impl IntoIterator<Item = &'a Path>) -> Result<(), FolderError> {
        let names: Vec<String> = paths.into_iter().filter_map(|path| self.name(path)).collect();
        self.change(|state| {
            state.register.files.retain(|file| !names.contains(file));
            if names.iter().any(|name| name == MARKS) {
                (state.marks, state.register.marks) = (0, 0);
            }
        })
    }

    /// Orphans are discarded: nothing of them need be there any more.
    pub(super) fn forget_orphans(&self) -> Result<(), FolderError> {
        self.change(|state| {
            state.register.files.retain(|file| file != MARKS && !is_fork(file));
            (state.marks, state.register.marks) = (0, 0);
        })
    }

    /// What is gone, and what that means.
    pub(super) fn alarms(&self) -> Vec<String> {
        let state = self.state();
        let is_gone = |file: &&String| !self.database.join(file).exists();
        let gone = state.register.files.iter().filter(is_gone);
        let mut alarms: Vec<String> = gone.filter_map(|file| meaning(file)).collect();
        let lacking = state.register.marks.saturating_sub(state.marks);
        if lacking > 0 && self.database.join(MARKS).exists() {
            alarms.push(format!(
                "{MARKS} is damaged: {lacking} orphans that were brought back are listed as if they were not; {RESTORE_AGAIN}"
            ));
        }
        alarms
    }

    fn name(&self, path: &Path) -> Option<String> {
        Some(path.strip_prefix(&self.database).ok()?.to_str()?.to_owned())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) -> Result<(), FolderError> {
        let mut state = self.state();
        let before = state.register.clone();
        change(&mut state);
        if state.register != before {
            write_sealed(&self.database.join(REGISTER), &state.register)?;
        }
        Ok(())
    }
}

const RESTORE_AGAIN: &str =
    "the primary knows which; restoring all of them again, or discarding them, ends this";

fn is_fork(file: &str) -> bool {
    file.starts_with("partitions/") && file.contains(&format!("/{FORK}"))
}

fn meaning(file: &str) -> Option<String> {
    Some(match file {
        // It can only go while the server runs; the next start refuses.
        MARKER => format!("{file} is gone, and a synchronization was begun: this copy does not start again"),
        OUTCOME => format!(
            "{file} is gone: what the last synchronization left out is not known any more; the next one, or `apograph repair --seen`, ends this"
        ),
        QUARANTINE => format!(
            "{file} is gone: why documents in quarantine were let be is not known any more; saying so again, or a synchronization that takes all of them, ends this"
        ),
        MARKS => format!(
            "{file} is gone: orphans that were brought back are listed as if they were not; {RESTORE_AGAIN}"
        ),
        _ if is_fork(file) => format!(
            "{file} is gone, and with it a part of what a promotion cut off here; discarding the orphans ends this"
        ),
        _ => return None,
    })
}
