//! A snapshot as of a time that the copy names: what is taken in beside other partitions must stand where they do.

use apograph_format::{Position, Timestamp, View};
use apograph_journal::Journal;

use super::source::Place;
use super::{Snapshot, SnapshotError};
use crate::database::Database;

impl Database {
    /// The state of this server at `at`, for a copy that stands exactly there with other partitions. Of the view that is
    /// held here. Refused where it is still to come, or forgotten. Blocks.
    pub fn snapshot_as_of(&self, view: View, at: Timestamp) -> Result<Snapshot, SnapshotError> {
        if self.view() != view {
            return Err(SnapshotError::NoSuchView { view });
        }
        let shared = &self.shared;
        if shared.sync_marker().is_some() {
            return Err(SnapshotError::Synchronizing);
        }
        let visible = self.visible();
        if at > visible {
            return Err(SnapshotError::NotReached { at, visible });
        }
        if shared.file().is_cut(self.epoch(), at) {
            let reason =
                "it holds history that a later epoch cut off, and has to synchronize itself".to_owned();
            return Err(SnapshotError::Stopped { reason });
        }
        shared.check_snapshot(at)?;
        let mut progress = Vec::new();
        for (partition, store) in shared.held.iter().zip(&shared.stores) {
            let progress_then = store.progress_at(at)?;
            let genesis = Position::beginning(shared.id().genesis(view, partition));
            let here = progress_then.as_ref().map_or(genesis, |progress| progress.position);
            progress.push((partition, here, progress_then));
        }
        let here: Vec<Position> = progress.iter().map(|(_, here, _)| *here).collect();
        let appended = self.on_worker(move |worker| {
            worker.journals.iter().zip(&here).map(|(journal, here)| appended_up_to(journal, here)).collect()
        });
        let appended: Vec<u64> =
            appended.map_err(|error| SnapshotError::Stopped { reason: error.to_string() })?;
        let mut partitions = Vec::new();
        for ((partition, here, progress), appended) in progress.into_iter().zip(appended) {
            let source = progress.as_ref().and_then(|progress| progress.source);
            let last_published = progress.map(|progress| progress.last_published).unwrap_or_default();
            let place = Place { partition, here, source, last_published, appended };
            partitions.push(self.snapshot_partition(place, view, at, at)?);
        }
        Ok(Snapshot { at, reads_at: at, view, partitions })
    }
}

/// Bytes of a journal up to a position; all of them where that may be retired.
fn appended_up_to(journal: &Journal, position: &Position) -> u64 {
    let appended = journal.bytes_appended();
    journal.reader().bytes_behind(position).map_or(appended, |behind| appended.saturating_sub(behind))
}
