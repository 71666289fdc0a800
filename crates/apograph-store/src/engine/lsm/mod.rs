//! The engine on disk: two LSM trees, one per [`Space`], in one folder.
//!
//! How the laws of [`Engine`] are kept, and why not in the library's own way:
//!
//! - **Both trees are flushed at the same version, bodies first.** So the documents tree alone says how far the store
//!   got, and what it points to is there. It carries a marker with that version, because merging may drop the entry
//!   that had it.
//! - **Only the flush seals memtables.** There is never more than one sealed memtable per tree, and a version is never
//!   split. Memory is bounded by [`Pressure::Stop`] at twice the memtable size.
//! - **History is collected by our own filter** (`collect`). The library's watermark drops a version below it
//!   as soon as *any* newer one exists, even one above it, and so loses values that are visible at the watermark.

mod collect;
mod entry;
mod folder;
mod manifest;
mod options;
mod reading;
mod tree;

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, TryLockError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use folder::Folder;
use lsm_tree::{Cache, DescriptorTable};
pub use options::{Compression, LsmOptions};
use tree::Tree;

use super::{
    Batch, Engine, EngineError, Entries, Erased, KeyRange, Pinned, PinnedBytes, PinnedFile, Pressure,
    RESERVED_KEY, Space, VERSION_MAX, Write,
};

/// L0 runs per tree at which the writer is slowed, then stopped: each one costs every read a look.
const L0_RUNS_SLOW: usize = 12;
const L0_RUNS_STOP: usize = 24;

/// The engine on disk. Dropping it flushes nothing.
pub struct Lsm {
    documents: Tree,
    bodies: Tree,
    writer: Mutex<Writer>,
    /// Held while memtables are sealed and written to tables.
    flushing: Mutex<()>,
    horizon: Arc<AtomicU64>,
    memtable_bytes: u64,
    opened_at: Option<u64>,
    // Last: the lock on the folder goes after the trees.
    folder: Folder,
}

struct Writer {
    last: Option<u64>,
    /// Whether anything was written since memtables were sealed.
    dirty: bool,
}

impl Lsm {
    /// Opens or creates the store in a folder.
    ///
    /// # Errors
    /// `InUse`, `Format`, `Damaged`, `Io`.
    pub fn open(path: impl Into<PathBuf>, options: &LsmOptions) -> Result<Self, EngineError> {
        let folder = Folder::lock(path.into())?;
        let is_new = folder.is_new();
        let horizon = Arc::new(AtomicU64::new(folder.horizon()));
        let cache = Arc::new(Cache::with_capacity_bytes(options.cache_bytes));
        let files = Arc::new(DescriptorTable::new(options.open_files_max));
        let open = |space, name| {
            Tree::open(space, folder.path().join(name), is_new, &horizon, &cache, &files, options)
        };
        let documents = open(Space::Documents, "documents")?;
        let bodies = open(Space::Bodies, "bodies")?;
        folder.created()?;

        let persisted = documents.persisted();
        Ok(Self {
            documents,
            bodies,
            writer: Mutex::new(Writer { last: persisted, dirty: false }),
            flushing: Mutex::new(()),
            horizon,
            memtable_bytes: options.memtable_bytes,
            opened_at: persisted,
            folder,
        })
    }

    /// Takes a store that nobody has open back to a version: later history is forgotten for good, as if it had never been
    /// written. Values of [`Space::Bodies`] stay, where they harm nobody. Durable on return; interrupted, it may be
    /// repeated.
    ///
    /// # Errors
    /// Those of [`open`](Self::open).
    pub fn rewind(
        path: impl Into<PathBuf>,
        options: &LsmOptions,
        to: u64,
    ) -> Result<Option<u64>, EngineError> {
        let engine = Lsm::open(path, options)?;
        engine.documents.rewind(to)?;
        Ok(engine.documents.persisted())
    }

    fn tree(&self, space: Space) -> &Tree {
        match space {
            Space::Documents => &self.documents,
            Space::Bodies => &self.bodies,
        }
    }

    /// The larger memtable, in hundredths of its limit.
    fn memtable_percent(&self) -> u64 {
        let bytes = self.documents.memtable_bytes().max(self.bodies.memtable_bytes());
        bytes.saturating_mul(100) / self.memtable_bytes.max(1)
    }

    /// Seals both memtables at one version, then writes them out, bodies first.
    fn flush_locked(&self, _flushing: &MutexGuard<'_, ()>) -> Result<(), EngineError> {
        self.seal();
        self.bodies.flush()?;
        self.documents.flush()
    }

    fn seal(&self) {
        let mut writer = lock(&self.writer);
        if let (true, Some(last)) = (writer.dirty, writer.last) {
            let marker = Write {
                space: Space::Documents,
                key: Bytes::from_static(RESERVED_KEY),
                value: Some(Bytes::new()),
            };
            self.documents.insert(&marker, last);
            self.bodies.seal();
            self.documents.seal();
            writer.dirty = false;
        }
    }
}

impl Engine for Lsm {
    fn write(&self, batch: &Batch, at: u64) -> Result<(), EngineError> {
        batch.check_keys()?;
        if at > VERSION_MAX {
            return Err(EngineError::VersionRange { at });
        }
        if Some(at) <= self.opened_at {
            return Ok(());
        }
        let mut writer = lock(&self.writer);
        if let Some(last) = writer.last.filter(|last| at < *last) {
            return Err(EngineError::VersionOrder { at, last });
        }
        for write in batch.writes() {
            self.tree(write.space).insert(write, at);
        }
        writer.last = Some(at);
        writer.dirty = true;
        Ok(())
    }

    fn get(&self, space: Space, key: &[u8], at: u64) -> Result<Option<Bytes>, EngineError> {
        self.tree(space).get(key, at)
    }

    fn range(&self, space: Space, keys: &KeyRange, at: u64) -> Entries {
        self.tree(space).range(keys, at)
    }

    fn persisted(&self) -> Option<u64> {
        self.documents.persisted()
    }

    fn flush(&self) -> Result<(), EngineError> {
        self.flush_locked(&lock(&self.flushing))
    }

    fn horizon(&self) -> u64 {
        self.horizon.load(Ordering::Acquire)
    }

    fn raise_horizon(&self, to: u64) -> Result<(), EngineError> {
        // On disk before any merge uses it.
        self.folder.raise_horizon(to)?;
        self.horizon.fetch_max(to, Ordering::AcqRel);
        Ok(())
    }

    fn maintain(&self) -> Result<bool, EngineError> {
        if self.memtable_percent() >= 100
            && let Some(flushing) = try_lock(&self.flushing)
        {
            self.flush_locked(&flushing)?;
            return Ok(true);
        }
        Ok(self.documents.merge_step()? || self.bodies.merge_step()?)
    }

    fn pressure(&self) -> Pressure {
        let runs = self.documents.l0_runs().max(self.bodies.l0_runs());
        let percent = self.memtable_percent();
        if percent >= 200 || runs >= L0_RUNS_STOP {
            return Pressure::Stop;
        }
        if percent >= 150 || runs >= L0_RUNS_SLOW {
            // From 0.2 ms up to about 1 ms per transaction: enough to let a merge win on two cores.
            return Pressure::Slow(Duration::from_micros(200 + 16 * percent.saturating_sub(150)));
        }
        Pressure::None
    }

    fn erase(&self, keys: &[(Space, &[u8])]) -> Result<Erased, EngineError> {
        let flushing = lock(&self.flushing);
        self.flush_locked(&flushing)?;
        let mut erased = Erased::Done;
        for space in [Space::Documents, Space::Bodies] {
            let of_space = keys.iter().filter(|(s, _)| *s == space).map(|(_, key)| key.to_vec()).collect();
            if self.tree(space).erase(of_space)? == Erased::PinnedByReaders {
                erased = Erased::PinnedByReaders;
            }
        }
        Ok(erased)
    }

    fn pin(&self) -> Result<Option<Pinned>, EngineError> {
        let flushing = lock(&self.flushing);
        self.flush_locked(&flushing)?;
        let header =
            PinnedFile { name: "header".into(), bytes: PinnedBytes::Here(self.folder.header_bytes()) };
        let mut pinned = Pinned { version: None, files: vec![header], _tables: Vec::new() };
        // Nobody flushes meanwhile, and merging changes tables, not what they say: both trees tell of one version.
        for (tree, name) in [(&self.documents, "documents"), (&self.bodies, "bodies")] {
            let (files, tables) = tree.pin()?;
            let in_folder =
                |file: PinnedFile| PinnedFile { name: PathBuf::from(name).join(file.name), ..file };
            pinned.files.extend(files.into_iter().map(in_folder));
            pinned._tables.push(tables);
        }
        pinned.version = self.documents.persisted();
        Ok(Some(pinned))
    }

    fn disk_bytes(&self) -> u64 {
        self.documents.disk_bytes() + self.bodies.disk_bytes()
    }
}

// Our locks guard no invariant that a panic could leave half done: poisoning says nothing here.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn try_lock<T>(mutex: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    match mutex.try_lock() {
        Ok(guard) => Some(guard),
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}
