//! Removing unacknowledged entries from the end.

use std::sync::Arc;

use apograph_format::Position;

use crate::acknowledged::Record;
use crate::error::IoFailure;
use crate::folder::segment_path;
use crate::inspect::{Repair, inspect};
use crate::journal::open::{OpenError, repair};
use crate::journal::sync::SyncError;
use crate::journal::{Journal, OpenSegment};
use crate::locate::{LocateError, locate};
use crate::shared::State;

/// Why the journal was not cut.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CutError {
    /// Acknowledged entries are never cut.
    #[error("cannot cut after {position}: entries up to {acknowledged} were acknowledged")]
    Acknowledged {
        /// Where it should have been cut.
        position: Position,
        /// The highest acknowledged position.
        acknowledged: Position,
    },
    /// The position is not in this journal.
    #[error(transparent)]
    Locate(#[from] LocateError),
    /// What was appended before could not be synced.
    #[error(transparent)]
    Sync(#[from] SyncError),
    /// The operating system refused something. The journal is poisoned; opening it again finishes or undoes the cut.
    #[error(transparent)]
    Io(#[from] IoFailure),
    /// The journal was cut and cannot be opened again. It is poisoned.
    #[error(transparent)]
    Open(#[from] Box<OpenError>),
}

impl Journal {
    /// Removes all entries after `position`, none of which may have been acknowledged; answers how many. Durable on
    /// return. Segments that become empty are removed, and the one before is opened again, as if its successor had
    /// never been begun. Meant for recovery, before anybody reads: a reader at work while the files shrink may report
    /// damage once; afterwards readers that are beyond `position` get [`ReadError::Cut`](crate::ReadError::Cut).
    pub fn cut_after(&mut self, position: &Position) -> Result<u64, CutError> {
        self.sync()?;
        let acknowledged = self.acknowledged.record.position;
        if position.sequence < acknowledged.sequence {
            return Err(CutError::Acknowledged { position: *position, acknowledged });
        }
        let walk = locate(&self.shared, position)?.walk;
        let cut = self.end.after.sequence - position.sequence;
        if cut == 0 {
            return Ok(0);
        }
        self.cut(&walk.segment.header.first_sequence(), walk.place.offset)
            .map_err(|failure| self.poison(failure))?;
        self.reload()?;
        Ok(cut)
    }

    /// Removes all entries after `position`, acknowledged or not; answers how many. Durable on return. Only for a copy of
    /// a journal that nobody follows yet, to take it back to an earlier time: everywhere else what was acknowledged stays.
    pub fn rewind(&mut self, position: &Position) -> Result<u64, CutError> {
        self.sync()?;
        locate(&self.shared, position)?;
        let record = Record { position: *position, ..self.acknowledged.record };
        // Both slots, so that neither tells of what is cut.
        self.acknowledged.write(&self.disk, record)?;
        self.acknowledged.write(&self.disk, record)?;
        self.acknowledged.sync(&self.disk)?;
        self.cut_after(position)
    }

    /// Newest files first, so that a crash leaves no gap.
    fn cut(&mut self, first: &u64, length: u64) -> Result<(), IoFailure> {
        let slots = self.shared.state().slots.clone();
        let later = slots.iter().rev().take_while(|slot| slot.segment.header.first_sequence() > *first);
        let mut repairs: Vec<Repair> = later.map(|slot| Repair::Remove(slot.segment.path())).collect();
        let target = slots.iter().find(|slot| slot.segment.header.first_sequence() == *first);
        if let Some(slot) = target {
            let path = segment_path(&self.dir, &slot.segment.header.file_name(), true);
            if !slot.open {
                repairs.push(Repair::Rename { from: slot.segment.path(), to: path.clone() });
            }
            repairs.push(Repair::Truncate { path, length });
        }
        for step in repairs {
            match step {
                Repair::Remove(path) => {
                    self.disk.remove(&path)?;
                    self.disk.sync_folder(&self.dir)?;
                }
                Repair::Rename { from, to } => {
                    self.disk.rename(&from, &to)?;
                    self.disk.sync_folder(&self.dir)?;
                }
                Repair::Truncate { path, length } => {
                    let file = self.disk.open(&path, false)?;
                    self.disk.truncate(&file, &path, length)?;
                    self.disk.sync(&file, &path)?;
                }
            }
        }
        Ok(())
    }

    /// Takes the folder in anew, as an opening does.
    pub(super) fn reload(&mut self) -> Result<(), CutError> {
        let reloaded =
            inspect(&self.dir, Some(&self.identity), self.options.is_copy).and_then(|inspection| {
                repair(&self.disk, &self.dir, &inspection)?;
                let open = OpenSegment::of(&self.disk, &inspection)?;
                Ok((inspection, open))
            });
        let (inspection, open) = reloaded.map_err(|error| {
            let lost = std::io::Error::other(error.to_string());
            let failure = IoFailure { action: "reopen", path: self.dir.clone(), error: Arc::new(lost) };
            self.poison(failure);
            Box::new(error)
        })?;
        self.open = open;
        self.end = inspection.end;
        self.durable = inspection.end.after;
        self.pending.clear();
        let mut state = self.shared.state();
        let generation = state.generation + 1;
        *state = State::new(&inspection, self.options.tail_bytes_max, generation);
        drop(state);
        self.shared.wake();
        Ok(())
    }
}
