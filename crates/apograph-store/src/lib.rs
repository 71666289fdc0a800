//! The store of one partition: documents at a timestamp.
//!
//! Built in layers, lowest first:
//!
//! - [`engine`]: an ordered multi-version key-value engine whose version number is the commit timestamp. It has no
//!   write-ahead log; the journal of the partition is that log, and the engine says how far it got.
//!
//! - [`Store`]: documents. Entries of the journal go in by [`Store::apply`], in order; reads are as of a timestamp. Heads,
//!   versions, references, hash trees and the store's own progress are written in one batch per transaction.
//!
//! This crate never knows the journal nor other servers: it is told what to apply and answers what it holds.

pub mod engine;

mod apply;
mod chunks;
mod erasing;
mod error;
mod install;
mod keys;
mod meta;
mod pinned;
mod purge;
mod read;
mod record;
mod snapshot;
mod store;
mod trees;

pub use apply::Applied;
pub use erasing::Unerased;
pub use error::StoreError;
pub use install::{CutVersions, Install, Installment, Quarantined};
pub use meta::{Progress, Syncing};
pub use purge::{PendingErasure, PurgeSet};
pub use read::Documents;
pub use record::{Known, VersionRecord};
pub use snapshot::TreeSnapshot;
pub use store::{Store, StoreOptions};
pub use trees::TreeSettings;
