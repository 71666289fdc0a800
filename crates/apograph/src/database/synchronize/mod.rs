//! Synchronizing: a copy of any state becomes equal to a snapshot of its source, by difference, and follows from there.
//!
//! - A **snapshot** is a commit timestamp of the source and the positions of its partitions there. It costs the source
//!   nothing but history, and outlives its restarts ([`source`]).
//! - The **copy** installs documents of the snapshot batch by batch, unseen by its readers, who keep what they had. A
//!   batch is in a log before it is in the store, so that what arrived is never asked for again ([`copy`], [`log`]).
//! - When every partition has the digest of the snapshot, the copy **installs** it: stores move to the snapshot,
//!   journals begin anew at the source's positions, and readers see the new state. A crash on the way is finished by the
//!   next start ([`install`]).

mod as_of;
mod copy;
mod install;
mod log;
mod marker;
mod outcome;
mod quarantine;
mod source;
mod transfer;

use apograph_format::{Digest, PartitionId, Timestamp, View};
use apograph_store::StoreError;

pub use apograph_format::synchronize::{Snapshot, SnapshotPartition};

use crate::error::ReadError;

pub(super) use copy::Installing;
pub use copy::Own;
pub(crate) use copy::partition_home;
pub(super) use install::{finish_installing, is_installing};
pub(super) use log::replay_logs;
pub use marker::{SyncMarker, SyncPhase};
pub use outcome::{Repaired, SyncOutcome};
pub use quarantine::HeldDocument;
pub(crate) use source::Pins;
pub use source::SyncAnswer;
pub use transfer::{Transfer, TransferError, TransferProgress};

/// Why a source cannot answer a copy that synchronizes.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// Nothing that the source has is newer than what the copy shows.
    #[error("the source has nothing newer than {above} yet: its newest is {visible}")]
    NotNewer {
        /// What the copy asked to be above.
        above: Timestamp,
        /// What the source has.
        visible: Timestamp,
    },
    /// The source does not show what the copy asked for.
    #[error("the state at {at} was asked for, and the source has only come to {visible}")]
    NotReached {
        /// What was asked for.
        at: Timestamp,
        /// What the source has.
        visible: Timestamp,
    },
    /// The source forgot the history that the snapshot needs.
    #[error("the snapshot {at} is gone: history begins at {horizon}")]
    Expired {
        /// The snapshot.
        at: Timestamp,
        /// Where history begins.
        horizon: Timestamp,
    },
    /// The source synchronizes itself.
    #[error("this server synchronizes itself, and cannot be a source before it is done")]
    Synchronizing,
    /// No such view here.
    #[error("this server cannot give the {view} view")]
    NoSuchView {
        /// The view.
        view: View,
    },
    /// No such partition.
    #[error("there is no partition {partition}")]
    NoSuchPartition {
        /// The partition.
        partition: u16,
    },
    /// The server cannot go on.
    #[error("this server cannot answer: {reason}")]
    Stopped {
        /// Why.
        reason: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A read failed.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// Why a copy cannot synchronize. Always local to this server.
#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    /// A primary is nobody's copy.
    #[error("this server is the primary of the database: it cannot be overwritten from elsewhere")]
    Primary,
    /// The snapshot is of another shape.
    #[error("the snapshot is none of this database: {reason}")]
    Misfit {
        /// Why.
        reason: String,
    },
    /// Nothing was begun.
    #[error("no synchronization is going on")]
    NotBegun,
    /// What came is not what the snapshot says.
    #[error("partition {partition} differs from the snapshot: digest {found}, expected {expected}")]
    Unequal {
        /// Which partition.
        partition: PartitionId,
        /// What is here.
        found: Digest,
        /// What the snapshot says.
        expected: Digest,
    },
    /// Between what readers see here and the snapshot is no room: a later one is needed.
    #[error("a later snapshot is needed")]
    TooClose,
    /// The database stopped.
    #[error("this server cannot go on: {reason}")]
    Stopped {
        /// Why.
        reason: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(StoreError),
    /// A file of the data folder.
    #[error(transparent)]
    Folder(#[from] crate::folder::FolderError),
    /// A journal could not be begun.
    #[error("partition {partition}: a journal cannot be begun: {reason}")]
    Journal {
        /// Which partition.
        partition: PartitionId,
        /// Why.
        reason: String,
    },
}

impl From<StoreError> for SyncError {
    fn from(error: StoreError) -> SyncError {
        match error {
            StoreError::SnapshotTooClose { .. } => SyncError::TooClose,
            StoreError::NoSync => SyncError::NotBegun,
            error => SyncError::Store(error),
        }
    }
}
