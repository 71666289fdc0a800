//! What failures of a copy and of its source mean for the link between them.

use apograph_format::PartitionId;
use apograph_replication::carrier::RefusalKind;
use apograph_replication::link::{Event, Misfit, StopReason};
use apograph_replication::sync::{SyncFailure, SyncReason};

use super::synchronize::{SnapshotError, SyncError, TransferError};
use crate::error::{FeedError, TakeError};

impl TakeError {
    /// What the link of a copy is told that did not take entries of a partition.
    pub fn event(&self, partition: PartitionId) -> Event {
        match self {
            TakeError::Refused { .. } => Event::Rejected(partition),
            TakeError::NotUnderstood { .. } => Event::Needs(SyncReason::NotUnderstood),
            TakeError::Signature { .. } => Event::Halted(StopReason::Signature),
            TakeError::LowerEpoch { .. } => Event::Misfit(Misfit::LowerEpoch),
            TakeError::Forked { .. } => Event::Needs(SyncReason::UnknownPosition),
            TakeError::UnknownPrimary { .. } => Event::Misfit(Misfit::UnknownPrimary),
            TakeError::Diverged { .. } => Event::Needs(SyncReason::Diverged),
            TakeError::Stopped { .. } => Event::Halted(StopReason::Halted),
        }
    }
}

impl SyncError {
    /// What the link is told when a synchronization fails by it.
    pub fn failure(&self) -> SyncFailure {
        match self {
            // The next round has a later snapshot, and finds what differs.
            SyncError::TooClose | SyncError::Unequal { .. } => SyncFailure::Expired,
            _ => SyncFailure::Halted,
        }
    }
}

impl TransferError {
    /// What the link is told when a synchronization fails by it.
    pub fn failure(&self) -> SyncFailure {
        match self {
            TransferError::Sync(error) => error.failure(),
            TransferError::Unexpected { .. } | TransferError::Frame(_) => SyncFailure::Cut,
        }
    }
}

impl FeedError {
    /// What a copy is told that asked for a journal. What may pass is no reason to stop.
    pub fn refusal(&self) -> RefusalKind {
        match self {
            FeedError::OutOfWindow { .. } => RefusalKind::OutOfWindow,
            FeedError::UnknownPosition { .. } => RefusalKind::UnknownPosition,
            FeedError::NoSuchView { .. }
            | FeedError::NoSuchPartition { .. }
            | FeedError::Elsewhere { .. } => RefusalKind::NoSuchDatabase,
            FeedError::Damaged { .. } => RefusalKind::Unavailable,
        }
    }
}

impl SnapshotError {
    /// What a copy is told that asked to synchronize. What may pass is no reason to stop.
    pub fn refusal(&self) -> RefusalKind {
        match self {
            SnapshotError::Expired { .. } => RefusalKind::SnapshotExpired,
            SnapshotError::NoSuchView { .. } | SnapshotError::NoSuchPartition { .. } => {
                RefusalKind::NoSuchDatabase
            }
            SnapshotError::NotNewer { .. }
            | SnapshotError::NotReached { .. }
            | SnapshotError::Synchronizing
            | SnapshotError::Stopped { .. }
            | SnapshotError::Store(_)
            | SnapshotError::Read(_) => RefusalKind::Unavailable,
        }
    }
}
