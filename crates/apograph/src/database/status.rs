//! Where a database stands, for operators.

use std::sync::atomic::Ordering;

use apograph_format::{Digest, PartitionId, Position, Timestamp, View, digest};

use super::Database;
use crate::error::ReadError;
use crate::status::{DatabaseStatus, PartitionStatus, ViewStatus};

impl Database {
    /// Where the database stands on this server. Counts and digests are those of this moment; under load the
    /// partitions may be some transactions apart, and then `at` of a view is zero: ask for digests at a timestamp.
    pub fn status(&self) -> Result<DatabaseStatus, ReadError> {
        let partitions: Vec<PartitionStatus> = self
            .held_partitions()
            .iter()
            .map(|partition| self.partition_status(partition))
            .collect::<Result<_, _>>()?;
        Ok(DatabaseStatus {
            name: self.name().to_owned(),
            id: self.id(),
            role: self.role(),
            view: self.view(),
            epoch: self.epoch(),
            visible: self.visible(),
            horizon: self.horizon(),
            partitioning: self.partitioning().count(),
            partitions,
            digests: self.digests(),
            primary_url: self.primary_url(),
            stopped: self.stopped(),
            alarms: self.alarms(),
            stages: self.shared.stages.snapshot(),
        })
    }

    fn digests(&self) -> Vec<ViewStatus> {
        let of = |view: &View| {
            let parts: Vec<(Digest, u64, Timestamp)> =
                self.shared.stores.iter().filter_map(|store| store.digest(*view)).collect();
            let held = parts.len() == self.shared.stores.len();
            held.then(|| view_status(*view, &parts, self.visible()))
        };
        View::ALL.iter().filter_map(of).collect()
    }

    /// Digests of a view as of a timestamp that can be read here: what two servers compare without stopping writes.
    pub fn digest_at(&self, view: View, at: Timestamp) -> Result<ViewStatus, ReadError> {
        let at = self.read_at(Some(at))?;
        let mut parts = Vec::new();
        for store in &self.shared.stores {
            let (digest, documents) = store.digest_at(view, at)?.ok_or(ReadError::NoSuchView { view })?;
            parts.push((digest, documents, at));
        }
        Ok(view_status(view, &parts, at))
    }

    fn partition_status(&self, partition: PartitionId) -> Result<PartitionStatus, ReadError> {
        let slot = self.shared.slot(partition).unwrap_or(usize::MAX);
        let journal = self.shared.journal(partition).expect("there is a journal for every partition held");
        let store = self.shared.store(partition).expect("there is a store for every partition held");
        let segments = journal.segments();
        let proof: Option<Position> = self.shared.health().proofs.get(slot).copied().flatten();
        Ok(PartitionStatus {
            partition,
            journal_start: journal.start(),
            journal_end: journal.end(),
            applied: store.progress().position,
            source: self.shared.source_of(partition).map(|source| source.position),
            journal_bytes_appended: self
                .shared
                .appended
                .get(slot)
                .map_or(0, |bytes| bytes.load(Ordering::Acquire)),
            journal_bytes_kept: segments.iter().map(|segment| segment.bytes).sum(),
            segments: segments.len() as u64,
            last_checkpoint: proof,
            erasures_pending: store.pending_erasures()?.len() as u64,
        })
    }
}

pub(crate) fn view_status(view: View, parts: &[(Digest, u64, Timestamp)], at: Timestamp) -> ViewStatus {
    let partitions: Vec<Digest> = parts.iter().map(|(digest, _, _)| *digest).collect();
    ViewStatus {
        view,
        digest: digest::combine(&partitions),
        at: if parts.iter().all(|(_, _, of)| *of <= at) { at } else { Timestamp::ZERO },
        documents: parts.iter().map(|(_, documents, _)| documents).sum(),
        partitions,
    }
}
