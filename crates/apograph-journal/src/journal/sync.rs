//! Making entries durable, showing them to readers, and remembering what was acknowledged.

use apograph_format::Position;

use crate::acknowledged::Record;
use crate::error::IoFailure;
use crate::folder::segment_path;
use crate::journal::Journal;
use crate::journal::append::AppendError;

/// Why entries are not durable.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SyncError {
    /// The disk refused a write: the entries are still in memory, and it may be tried again.
    #[error(transparent)]
    Write(IoFailure),
    /// An fsync failed, now or earlier: nobody knows what is on disk, and the process must stop.
    #[error("the journal is poisoned by a failed sync")]
    Poisoned(#[source] IoFailure),
}

/// Why a position was not recorded as acknowledged.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AcknowledgeError {
    /// It is not durable.
    #[error("{position} is not synced; the journal is synced up to {synced}")]
    NotSynced {
        /// The position.
        position: Position,
        /// The last synced one.
        synced: Position,
    },
    /// Another entry stands there.
    #[error("{position} is not in this journal, {found} is")]
    Unknown {
        /// The position.
        position: Position,
        /// What is there.
        found: Position,
    },
    /// The file cannot be written.
    #[error(transparent)]
    Io(#[from] IoFailure),
}

impl Journal {
    /// Makes all appended entries durable, then shows them to readers and wakes those who wait. Answers the new
    /// synced end. After a failed fsync every later call fails with the same error.
    pub fn sync(&mut self) -> Result<Position, SyncError> {
        self.check_poisoned().map_err(SyncError::Poisoned)?;
        self.make_durable()?;
        self.publish();
        Ok(self.durable)
    }

    /// Hands everything appended to the operating system, which may refuse it: the disk is full, say. Not durable on
    /// return. Whoever syncs several journals together does this first, with all of them: the disk then refuses before
    /// any of them shows an entry.
    pub fn write_out(&mut self) -> Result<(), SyncError> {
        self.check_poisoned().map_err(SyncError::Poisoned)?;
        self.flush().map_err(SyncError::Write)
    }

    /// Records that everything up to `position` was acknowledged to somebody; lower positions than before change
    /// nothing. Survives a crash of the process. After a loss of power the record may be older than the truth, by
    /// everything since the last rotation or [`Journal::sync_acknowledged`]; it is never newer.
    pub fn acknowledge(&mut self, position: &Position) -> Result<(), AcknowledgeError> {
        let record = self.acknowledged.record;
        if position.sequence <= record.position.sequence {
            return Ok(());
        }
        self.check_synced(position)?;
        Ok(self.acknowledged.write(&self.disk, Record { position: *position, ..record })?)
    }

    /// The acknowledged position is durable on return.
    pub fn sync_acknowledged(&mut self) -> Result<(), IoFailure> {
        self.acknowledged.sync(&self.disk)
    }

    /// Syncs entries and acknowledged position, and lets the folder go: its files end with their last entries then.
    /// Readers stay usable.
    pub fn close(mut self) -> Result<Position, SyncError> {
        let end = self.sync()?;
        self.trim()?;
        self.sync_acknowledged().map_err(SyncError::Poisoned)?;
        Ok(end)
    }

    fn check_synced(&self, position: &Position) -> Result<(), AcknowledgeError> {
        let state = self.shared.state();
        let synced = state.end;
        if position.sequence > synced.sequence {
            return Err(AcknowledgeError::NotSynced { position: *position, synced });
        }
        let found = match state.tail.get(position.sequence) {
            Some(entry) => entry.position(),
            None if position.sequence == synced.sequence => synced,
            None => *position,
        };
        if found == *position {
            Ok(())
        } else {
            Err(AcknowledgeError::Unknown { position: *position, found })
        }
    }

    /// Everything appended is durable on return, and so are the names of the files it is in.
    pub(super) fn make_durable(&mut self) -> Result<(), SyncError> {
        if self.durable == self.end.after && self.closing.is_none() {
            return Ok(());
        }
        self.flush().map_err(SyncError::Write)?;
        self.sync_files().map_err(|failure| SyncError::Poisoned(self.poison(failure)))?;
        self.durable = self.end.after;
        Ok(())
    }

    fn sync_files(&mut self) -> Result<(), IoFailure> {
        self.disk.sync(&self.open.file, &self.open.segment.path())?;
        if let Some(ended) = &self.closing {
            let path = segment_path(&self.dir, &ended.header.file_name(), false);
            self.disk.rename(&ended.path(), &path)?;
            ended.renamed(&path);
            self.disk.sync_folder(&self.dir)?;
            self.closing = None;
        }
        Ok(())
    }

    fn publish(&mut self) {
        let mut state = self.shared.state();
        if state.end == self.durable {
            return;
        }
        state.slots.pop_back();
        state.slots.extend(self.ended.drain(..));
        let open = self.open_slot();
        state.slots.push_back(open);
        state.end = self.durable;
        state.end_timestamp = self.end.after_timestamp;
        state.tail.absorb(&mut self.pending);
        drop(state);
        self.shared.wake();
    }

    pub(super) fn poison(&mut self, failure: IoFailure) -> IoFailure {
        self.poisoned = Some(failure.clone());
        failure
    }
}

impl From<SyncError> for AppendError {
    fn from(error: SyncError) -> AppendError {
        match error {
            SyncError::Write(failure) => AppendError::Write(failure),
            SyncError::Poisoned(failure) => AppendError::Poisoned(failure),
        }
    }
}
