//! The store of one partition.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use apograph_format::{Digest, Hash, Payload, Position, Timestamp, View};

use crate::chunks::ChunkFiles;
use crate::engine::{Engine, EngineError, Lsm, LsmOptions, Memory, Pressure, Space};
use crate::erasing::Erasing;
use crate::error::StoreError;
use crate::keys;
use crate::meta::Progress;
use crate::trees::{TreeSettings, Trees};

/// Payloads up to this size live in the engine, larger ones in files of their own.
pub(crate) const BODY_BYTES_MAX: usize = 64 << 10;

/// Documents of one partition at a timestamp.
///
/// - It holds nothing that the journal cannot rebuild.
/// - [`Store::apply`] takes entries in the order of the journal and ignores those it has.
/// - Its progress, heads and hash trees always tell of the same moment, also after a crash.
/// - Reads are as of a timestamp. Below [`Store::horizon`] they must be refused by the caller.
///
/// One writer at a time, any number of readers.
pub struct Store {
    pub(crate) engine: Box<dyn Engine>,
    pub(crate) chunks: ChunkFiles,
    pub(crate) tree_settings: TreeSettings,
    pub(crate) state: RwLock<State>,
    pub(crate) ahead: Mutex<Ahead>,
    /// Somebody needs what is in memory on disk, and does not wait for it.
    flush_asked: AtomicBool,
    pub(crate) erasing: Erasing,
    /// Why nothing of it is relied on any more.
    failed: OnceLock<String>,
}

/// What came ahead of the transaction that names it. Forgotten by a crash: replay brings it again.
#[derive(Default)]
pub(crate) struct Ahead {
    /// Small payloads.
    pub(crate) payloads: Vec<Payload>,
    /// Names of large ones, which are in files.
    pub(crate) files: BTreeSet<Hash>,
}

/// What changes with every entry applied.
pub(crate) struct State {
    pub(crate) progress: Progress,
    pub(crate) trees: Trees,
    /// Purges whose bytes are gone, by sequence; the next entry takes them off the list of pending ones.
    pub(crate) erased: BTreeSet<u64>,
    /// While a synchronization goes on: the digests of what readers see. The trees are those of what came.
    pub(crate) serving: Option<Vec<(View, Digest, u64)>>,
}

/// How a store uses memory.
#[derive(Debug, Clone, Copy, Default)]
pub struct StoreOptions {
    /// Of the engine.
    pub engine: LsmOptions,
}

impl Store {
    /// Opens or creates the store in `folder`. A new one stands at `beginning`, the position and timestamp before the
    /// first entry it will be given. `tree_settings` names the views it keeps trees of.
    pub fn open(
        folder: &Path,
        options: &StoreOptions,
        tree_settings: TreeSettings,
        beginning: (Position, Timestamp),
    ) -> Result<Store, StoreError> {
        std::fs::create_dir_all(folder)
            .map_err(|error| StoreError::Chunk { path: folder.to_owned(), error })?;
        let engine = Lsm::open(folder.join("engine"), &options.engine)?;
        Store::with_engine(Box::new(engine), &folder.join("chunks"), tree_settings, beginning)
    }

    /// A store whose engine is in memory; only large payloads go to `chunks`. For tests and simulation.
    pub fn in_memory(
        memory: Memory,
        chunks: &Path,
        tree_settings: TreeSettings,
        beginning: (Position, Timestamp),
    ) -> Result<Store, StoreError> {
        Store::with_engine(Box::new(memory), chunks, tree_settings, beginning)
    }

    fn with_engine(
        engine: Box<dyn Engine>,
        chunks: &Path,
        tree_settings: TreeSettings,
        beginning: (Position, Timestamp),
    ) -> Result<Store, StoreError> {
        let progress = match engine.get(Space::Documents, keys::META, u64::MAX >> 1)? {
            Some(bytes) => Progress::decode(&bytes)?,
            None => Progress::beginning(beginning.0, beginning.1),
        };
        let mut trees = Trees::load(&*engine, &tree_settings, &progress, progress.latest())?;
        let mut serving = None;
        if progress.sync.is_some() {
            let seen = Trees::load(&*engine, &tree_settings, &progress, progress.timestamp)?.digests();
            trees.recount(&*engine, progress.latest())?;
            serving = Some(seen);
        }
        let chunks = ChunkFiles::open(chunks.to_owned())?;
        let state = RwLock::new(State { progress, trees, erased: BTreeSet::new(), serving });
        let flush_asked = AtomicBool::new(false);
        let failed = OnceLock::new();
        let (ahead, erasing) = (Mutex::default(), Erasing::default());
        Ok(Store { engine, chunks, tree_settings, state, ahead, flush_asked, erasing, failed })
    }

    /// How far the store is, in memory.
    pub fn progress(&self) -> Progress {
        self.state().progress.clone()
    }

    /// How far the store is on disk: replay after a crash begins after this position. `None`: nothing is on disk.
    pub fn persisted(&self) -> Result<Option<Progress>, StoreError> {
        let Some(version) = self.engine.persisted() else {
            return Ok(None);
        };
        let bytes = self.engine.get(Space::Documents, keys::META, version)?;
        bytes.map(|bytes| Progress::decode(&bytes)).transpose()
    }

    /// Digest of a view now, how many documents are in it, and the timestamp it is of.
    pub fn digest(&self, view: View) -> Option<(Digest, u64, Timestamp)> {
        let mut state = self.state_mut();
        let at = state.progress.timestamp;
        if let Some(serving) = &state.serving {
            let (_, digest, documents) = *serving.iter().find(|(held, _, _)| *held == view)?;
            return Some((digest, documents, at));
        }
        let (digest, documents) = state.trees.digest(view)?;
        Some((digest, documents, at))
    }

    /// Digest of a view as of a timestamp that is not below the horizon. Reads all buckets: tens of milliseconds.
    pub fn digest_at(&self, view: View, at: Timestamp) -> Result<Option<(Digest, u64)>, StoreError> {
        let progress = match self.engine.get(Space::Documents, keys::META, at.0)? {
            Some(bytes) => Progress::decode(&bytes)?,
            None => Progress::beginning(Position::beginning(Hash([0; 32])), Timestamp::ZERO),
        };
        let mut trees = Trees::load(&*self.engine, &self.tree_settings, &progress, at)?;
        Ok(trees.digest(view))
    }

    /// Does the store keep a tree of this view?
    pub fn holds(&self, view: View) -> bool {
        self.tree_settings.keys.iter().any(|(held, _)| *held == view)
    }

    /// Makes everything applied so far durable.
    pub fn flush(&self) -> Result<(), StoreError> {
        self.heeding(self.chunks.sync().and_then(|()| Ok(self.engine.flush()?)))
    }

    /// Why the process must stop, if it must: a write or a sync failed, and nobody knows what of it is on the disk. That
    /// a disk is full is no such failure.
    pub fn failed(&self) -> Option<&str> {
        self.failed.get().map(String::as_str)
    }

    /// Passes on what came of something that writes, and remembers if it cannot be relied on.
    pub(crate) fn heeding<T>(&self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        if let Err(error) = &result
            && let Some(refusal) = error.is_fatal()
        {
            let _ = self.failed.set(format!("{error}: {refusal}"));
        }
        result
    }

    /// Has the next [`maintain`](Self::maintain) make everything durable.
    pub fn ask_flush(&self) {
        self.flush_asked.store(true, Ordering::Release);
    }

    /// One bounded step of background work; `true` if more is due. Call it from a thread of its own.
    pub fn maintain(&self) -> Result<bool, StoreError> {
        if self.erase_as_asked(None)? {
            return Ok(true);
        }
        self.relieve()
    }

    /// What of it brings the [`pressure`](Self::pressure) down: for a writer who waits for that.
    pub fn relieve(&self) -> Result<bool, StoreError> {
        self.maintain_by(|engine| engine.maintain())
    }

    /// The same, while nobody waits for it: it takes its time until `hurry` is set, or the writer would have to wait.
    pub fn maintain_gently(&self, hurry: &Arc<AtomicBool>) -> Result<bool, StoreError> {
        if self.erase_as_asked(Some(hurry))? {
            return Ok(true);
        }
        self.maintain_by(|engine| engine.maintain_gently(hurry))
    }

    /// The part of it that the writer waits for first: makes durable what is in memory, if that is due.
    pub fn flush_gently(&self, hurry: &Arc<AtomicBool>) -> Result<bool, StoreError> {
        self.maintain_by(|engine| engine.flush_gently(hurry))
    }

    fn maintain_by(
        &self,
        step: impl FnOnce(&dyn Engine) -> Result<bool, EngineError>,
    ) -> Result<bool, StoreError> {
        if self.flush_asked.swap(false, Ordering::AcqRel) {
            self.flush()?;
            return Ok(true);
        }
        self.heeding(step(&*self.engine).map_err(StoreError::from))
    }

    /// What the writer should heed before it applies more.
    pub fn pressure(&self) -> Pressure {
        self.engine.pressure()
    }

    /// Reads before this are to be refused.
    pub fn horizon(&self) -> Timestamp {
        Timestamp(self.engine.horizon())
    }

    /// Lets history before `to` be forgotten.
    pub fn raise_horizon(&self, to: Timestamp) -> Result<(), StoreError> {
        self.heeding(self.engine.raise_horizon(to.0).map_err(StoreError::from))
    }

    pub(crate) fn ahead(&self) -> MutexGuard<'_, Ahead> {
        self.ahead.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn state_mut(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}
