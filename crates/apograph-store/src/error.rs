//! What can go wrong in a store.

use std::io;
use std::path::PathBuf;

use apograph_format::{EntryError, Hash};

use crate::engine::EngineError;

/// Why a store did not do what it was asked. All of them are *local*: this server failed, not the request.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The engine below failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A file of a chunk could not be read or written.
    #[error("chunk file {path}: {error}")]
    Chunk {
        /// Which.
        path: PathBuf,
        /// What the disk said.
        error: io::Error,
    },
    /// Stored bytes are not what they were.
    #[error("the store is damaged: {what}")]
    Damaged {
        /// What, and where.
        what: String,
    },
    /// A payload's bytes are not those of its name.
    #[error("the store is damaged: payload {hash} holds other bytes")]
    Payload {
        /// Its name.
        hash: Hash,
    },
    /// A payload that is named, and was not purged, is not there.
    #[error("the store is damaged: payload {hash} is missing")]
    Missing {
        /// Its name.
        hash: Hash,
    },
    /// The head of a document is not what the hash tree says of it.
    #[error("the store is damaged: the head of {uri} is not what its hash tree says")]
    Head {
        /// The document.
        uri: apograph_format::Uri,
    },
    /// A synchronization is going on: no entry can be applied.
    #[error("a synchronization is going on")]
    Syncing,
    /// No synchronization is going on.
    #[error("no synchronization is going on")]
    NoSync,
    /// Between what readers see and the snapshot is no room for all batches: a later snapshot is needed.
    #[error("the snapshot {target} is too close to what is here: a later one is needed")]
    SnapshotTooClose {
        /// The snapshot.
        target: apograph_format::Timestamp,
    },
    /// History does not reach back so far.
    #[error("history before {horizon} is gone; {asked} was asked for")]
    BelowHorizon {
        /// The oldest time that can be read.
        horizon: apograph_format::Timestamp,
        /// The time asked for.
        asked: apograph_format::Timestamp,
    },
    /// An entry to apply cannot be read.
    #[error(transparent)]
    Entry(#[from] EntryError),
    /// An entry to apply is not the next one.
    #[error("entry {found} was to be applied, {expected} is the next one")]
    Order {
        /// The next one.
        expected: u64,
        /// The one given.
        found: u64,
    },
}

impl StoreError {
    /// What the operating system said, if nobody knows after it what is on the disk.
    pub(crate) fn is_fatal(&self) -> Option<&io::Error> {
        let refusal = match self {
            StoreError::Engine(EngineError::Io { source, .. }) => source,
            StoreError::Chunk { error, .. } => error,
            _ => return None,
        };
        let is_full = matches!(refusal.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
        (!is_full).then_some(refusal)
    }

    pub(crate) fn damaged(what: impl Into<String>) -> StoreError {
        StoreError::Damaged { what: what.into() }
    }
}
