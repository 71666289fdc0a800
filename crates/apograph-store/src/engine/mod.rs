//! An ordered multi-version key-value engine for one partition, without a write-ahead log.
//!
//! The version of every write is the commit timestamp of its transaction. Laws, for every [`Engine`]:
//!
//! - **As of**: a read of [`Space::Documents`] at `at` sees the newest write with version ≤ `at`, exactly, for every
//!   `at` ≥ the horizon. Below the horizon it may see anything: refusing such reads is the caller's job.
//! - **Prefix**: after a crash everything with version ≤ [`persisted`](Engine::persisted) is there. Later writes are
//!   gone from [`Space::Documents`]; some of them may remain in [`Space::Bodies`], where they harm nobody.
//! - **Replay**: writing everything after `persisted` again, in order, gives the state before the crash. Starting the
//!   replay earlier is harmless: writes at or below `persisted` at open are ignored.
//! - **Versions** never decrease; all writes of one version are in one batch.
//! - **Damage** is an error, never an absent value.
//!
//! Threads: one writer at a time; any number of readers. Nothing runs by itself. The owner calls
//! [`maintain`](Engine::maintain) in a background thread whenever it answered `true` and after writes, and makes its
//! writer heed [`pressure`](Engine::pressure). A second thread doing the same lets flushes go on beside a long merge.

mod batch;
mod error;
mod lsm;
mod memory;
mod pinned;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use bytes::Bytes;

pub use batch::{Batch, KeyRange, Write};
pub use error::EngineError;
pub use lsm::{Compression, LSM_TREES, Lsm, LsmOptions};
pub use memory::Memory;
pub use pinned::{Pinned, PinnedBytes, PinnedFile};

/// Versions are below 2^63 with room for the engine's own numbering.
pub const VERSION_MAX: u64 = (1 << 63) - (1 << 33);

/// Longest key, in bytes.
pub const KEY_BYTES_MAX: usize = 65_535;

/// The key that an engine keeps in [`Space::Documents`] for itself.
pub(crate) const RESERVED_KEY: &[u8] = &[0];

/// Two key spaces with different rules for history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Space {
    /// Heads, indexes, hash trees: values change, and history is kept down to the horizon.
    Documents,
    /// Version bodies and small contents, named by their hash: written once (again only with the same value), removed
    /// only by [`Engine::erase`]. No history: reads ignore their timestamp.
    Bodies,
}

/// Key and value pairs in key order, as of one version, read lazily. A consistent snapshot of [`Space::Documents`]
/// for its whole life; in [`Space::Bodies`] it may show bodies that are written meanwhile. An open iterator keeps its
/// memory and files alive: drop it soon.
pub type Entries = Box<dyn Iterator<Item = Result<(Bytes, Bytes), EngineError>> + Send>;

/// What the writer should do before its next write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pressure {
    /// Go on.
    None,
    /// Wait this long before the next write: maintenance is falling behind.
    Slow(Duration),
    /// Write nothing before [`Engine::maintain`] has brought the pressure down; memory would grow without bound.
    Stop,
}

/// What [`Engine::erase`] reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Erased {
    /// No file of the engine contains the bytes.
    Done,
    /// No new read finds them, but an open iterator still pins an old file. It goes when the iterator is dropped;
    /// calling again then answers `Done`.
    PinnedByReaders,
}

/// See the [module](self) for the laws.
pub trait Engine: Send + Sync {
    /// Writes a batch at version `at`. Not durable on return, see [`flush`](Self::flush).
    ///
    /// # Errors
    /// `VersionOrder` if `at` is below the last version written, `VersionRange`, `Key`. Nothing is written then.
    fn write(&self, batch: &Batch, at: u64) -> Result<(), EngineError>;

    /// The newest value with version ≤ `at`, or `None` if there is none or it was deleted.
    ///
    /// # Errors
    /// `Damaged` or `Io`.
    fn get(&self, space: Space, key: &[u8], at: u64) -> Result<Option<Bytes>, EngineError>;

    /// Everything in a range of keys as of `at`. An iterator that answered an error is finished.
    fn range(&self, space: Space, keys: &KeyRange, at: u64) -> Entries;

    /// The highest version that is on disk with everything before it; `None` if nothing is.
    fn persisted(&self) -> Option<u64>;

    /// Makes everything written so far durable: files and folders are synced on return.
    ///
    /// # Errors
    /// `Io`, after which the state of the disk is unknown: the process must stop.
    fn flush(&self) -> Result<(), EngineError>;

    /// History below this version may be gone. 0 in a new engine.
    fn horizon(&self) -> u64;

    /// Raises the horizon, durably on return; a lower one is ignored.
    ///
    /// # Errors
    /// `Io`.
    fn raise_horizon(&self, to: u64) -> Result<(), EngineError>;

    /// One bounded step of flush or merge work, if due. `true`: call again, there may be more.
    ///
    /// # Errors
    /// `Io` (the process must stop) or `Damaged`.
    fn maintain(&self) -> Result<bool, EngineError>;

    /// The part of it that writers wait for first: writes out what is in memory, if that is due. It may take its time as long as
    /// `hurry` is not set.
    ///
    /// # Errors
    /// Those of [`maintain`](Self::maintain).
    fn flush_gently(&self, hurry: &Arc<AtomicBool>) -> Result<bool, EngineError> {
        let _ = hurry;
        Ok(false)
    }

    /// [`maintain`](Self::maintain) by a thread that nobody waits for, as long as `hurry` is not set: it may take its time.
    ///
    /// # Errors
    /// Those of [`maintain`](Self::maintain).
    fn maintain_gently(&self, hurry: &Arc<AtomicBool>) -> Result<bool, EngineError> {
        let _ = hurry;
        self.maintain()
    }

    /// How far maintenance is behind.
    fn pressure(&self) -> Pressure;

    /// Removes all versions of some keys, in memory and from every file. Everything written so far is durable then,
    /// as after [`flush`](Self::flush). Rewrites the space the keys are in, so collect keys and erase them together.
    /// Not remembered: replaying their writes brings the keys back. Whoever writes one of them meanwhile may lose it.
    ///
    /// # Errors
    /// `Io` (the process must stop) or `Damaged`.
    fn erase(&self, keys: &[(Space, &[u8])]) -> Result<Erased, EngineError>;

    /// [`erase`](Self::erase) by a thread that nobody waits for, as long as none of `hurry` is set: it may take its time.
    ///
    /// # Errors
    /// Those of [`erase`](Self::erase).
    fn erase_gently(
        &self,
        keys: &[(Space, &[u8])],
        hurry: &[&Arc<AtomicBool>],
    ) -> Result<Erased, EngineError> {
        let _ = hurry;
        self.erase(keys)
    }

    /// Makes everything written so far durable, as [`flush`](Self::flush) does, and answers the files that hold it. A copy
    /// of them is the engine of this moment. `None` in memory.
    ///
    /// # Errors
    /// `Io` (the process must stop) or `Damaged`.
    fn pin(&self) -> Result<Option<Pinned>, EngineError>;

    /// Bytes of all table files; 0 in memory.
    fn disk_bytes(&self) -> u64;
}
