//! Taking back what was appended and not synced: the disk is full, say, and nobody was told of it.

use std::path::PathBuf;

use crate::error::IoFailure;
use crate::folder::segment_path;
use crate::journal::Journal;
use crate::journal::cut::CutError;
use crate::journal::sync::SyncError;
use crate::shared::Slot;

impl Journal {
    /// Takes back all entries that no [`Journal::sync`] has shown to readers; answers how many. Needs no space on the
    /// disk. Readers notice nothing. Afterwards the journal ends where the last sync left it.
    pub fn discard_unsynced(&mut self) -> Result<u64, CutError> {
        self.check_poisoned().map_err(SyncError::Poisoned)?;
        let (published, synced) = {
            let state = self.shared.state();
            (state.slots.back().cloned(), state.end)
        };
        let discarded = self.end.after.sequence - synced.sequence;
        if let Some(published) = published.filter(|_| discarded > 0) {
            self.take_back(&published).map_err(|failure| self.poison(failure))?;
            self.ended.clear();
            self.closing = None;
            self.reload()?;
        }
        Ok(discarded)
    }

    /// Newest files first, so that a crash leaves no gap.
    fn take_back(&mut self, published: &Slot) -> Result<(), IoFailure> {
        let first = published.segment.header.first_sequence();
        let ended = self.ended.iter().map(|slot| &slot.segment);
        let newer: Vec<PathBuf> = ended
            .chain([&self.open.segment])
            .filter(|segment| segment.header.first_sequence() > first)
            .map(|segment| segment.path())
            .collect();
        for path in newer.iter().rev() {
            self.disk.remove(path)?;
            self.disk.sync_folder(&self.dir)?;
        }
        let open = segment_path(&self.dir, &published.segment.header.file_name(), true);
        if published.segment.path() != open {
            self.disk.rename(&published.segment.path(), &open)?;
            published.segment.renamed(&open);
            self.disk.sync_folder(&self.dir)?;
        }
        let file = self.disk.open(&open, false)?;
        self.disk.truncate(&file, &open, published.bytes)?;
        self.disk.sync(&file, &open)
    }
}
