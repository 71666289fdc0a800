//! A snapshot as of a time that the copy names: what is taken in beside other partitions must stand where they do.

use apograph_format::{PartitionId, Position, Timestamp, View};

use super::source::Place;
use super::{Snapshot, SnapshotError};
use crate::database::Database;
use crate::database::worker::chain;

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
        let ends = self.on_worker(|worker| {
            worker.journals.iter().map(|journal| (journal.bytes_appended(), journal.end().sequence)).collect()
        });
        let ends: Vec<(u64, u64)> =
            ends.map_err(|error| SnapshotError::Stopped { reason: error.to_string() })?;
        let mut partitions = Vec::new();
        for ((partition, store), end) in shared.held.iter().zip(&shared.stores).zip(ends) {
            let progress = store.progress_at(at)?;
            let genesis = Position::beginning(shared.id().genesis(view, partition));
            let here = progress.as_ref().map_or(genesis, |progress| progress.position);
            let place = Place {
                partition,
                here,
                source: progress.as_ref().and_then(|progress| progress.source),
                last_published: progress.map(|progress| progress.last_published).unwrap_or_default(),
                appended: self.appended_up_to(partition, here, end)?,
            };
            partitions.push(self.snapshot_partition(place, view, at, at)?);
        }
        Ok(Snapshot { at, reads_at: at, view, partitions })
    }

    /// Bytes of the journal of a partition up to a position, when there are so many up to the entry `last`. As good as
    /// that may be where the position was retired.
    fn appended_up_to(
        &self,
        partition: PartitionId,
        position: Position,
        (appended, last): (u64, u64),
    ) -> Result<u64, SnapshotError> {
        let no_partition = SnapshotError::NoSuchPartition { partition: partition.0 };
        let journal = self.shared.journal(partition).ok_or(no_partition)?;
        let Ok(mut entries) = journal.entries(&position) else { return Ok(appended) };
        let failed = |error: &dyn std::error::Error| SnapshotError::Stopped { reason: chain(error) };
        let mut behind = 0;
        while entries.position().sequence < last {
            let Some(entry) = entries.next().map_err(|error| failed(&error))? else { break };
            behind += entry.bytes().len() as u64;
        }
        Ok(appended.saturating_sub(behind))
    }
}
