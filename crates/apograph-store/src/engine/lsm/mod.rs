//! The engine on disk: three LSM trees in one folder, one for [`Space::Documents`] and two for [`Space::Bodies`]
//! (`bodies` says why).
//!
//! How the laws of [`Engine`] are kept, and why not in the library's own way:
//!
//! - **All trees are flushed at the same version, bodies first.** So the documents tree alone says how far the store
//!   got, and what it points to is there. It carries a marker with that version, because merging may drop the entry
//!   that had it.
//! - **Only the flush seals memtables.** There is never more than one sealed memtable per tree, and a version is never
//!   split. Memory is bounded by [`Pressure::Stop`] at twice the memtable size.
//! - **History is collected by our own filter** (`collect`). The library's watermark drops a version below it
//!   as soon as *any* newer one exists, even one above it, and so loses values that are visible at the watermark.

mod bodies;
mod collect;
mod entry;
mod fingerprints;
mod folder;
mod manifest;
mod options;
mod pace;
mod reading;
mod smooth;
mod tree;

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, TryLockError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use bodies::Bodies;
use bytes::Bytes;
use fingerprints::Fingerprints;
use folder::Folder;
use lsm_tree::{Cache, DescriptorTable};
pub use options::{Compression, LsmOptions};
use pace::Pace;
use tree::{Kind, Opening, Tree};

use super::{
    Batch, Engine, EngineError, Entries, Erased, KeyRange, Pinned, PinnedBytes, PinnedFile, Pressure,
    RESERVED_KEY, Space, VERSION_MAX, Write,
};

/// Folders of the trees.
const DOCUMENTS: &str = "documents";
const BODIES: &str = "bodies";
const VALUES: &str = "values";

/// Folders of the trees of an [`Lsm`], below its own.
pub const LSM_TREES: [&str; 3] = [DOCUMENTS, BODIES, VALUES];

/// L0 runs per tree at which the writer is slowed, then stopped: each one costs every read a look.
const L0_RUNS_SLOW: usize = 12;
const L0_RUNS_STOP: usize = 24;

/// L0 runs at which merges no longer take their time: before the writer is slowed.
const L0_RUNS_HURRY: usize = 8;

/// Hundredths of a full memtable at which a flush no longer takes its time: before the writer is slowed.
const MEMTABLE_PERCENT_HURRY: u64 = 125;

/// The engine on disk. Dropping it flushes nothing.
pub struct Lsm {
    documents: Tree,
    bodies: Bodies,
    writer: Mutex<Writer>,
    /// Held while memtables are sealed and written to tables.
    flushing: Mutex<()>,
    /// Somebody waits for the end of a flush.
    flush_awaited: Arc<AtomicBool>,
    flush_bytes_per_second: u64,
    /// Whether memtables fill faster than they are written; as of the writer's last look.
    filling: Arc<AtomicBool>,
    horizon: Arc<AtomicU64>,
    memtable_bytes: u64,
    merge_bytes_per_second: u64,
    /// Whether the writer will have to wait soon; as of its last look.
    pressed: Arc<AtomicBool>,
    opened_at: Option<u64>,
    fingerprints: Fingerprints,
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
        let opening = |kind, name, may_create| Opening {
            kind,
            path: folder.path().join(name),
            may_create,
            horizon: &horizon,
            cache: &cache,
            files: &files,
            options,
        };
        let documents = Tree::open(opening(Kind::Documents, DOCUMENTS, is_new))?;
        let bodies = Bodies::open(
            opening(Kind::Index, BODIES, is_new),
            opening(Kind::Values, VALUES, is_new || folder.is_of_before()),
            options.apart_bytes,
        )?;
        folder.created()?;
        let trees = bodies.trees().into_iter().chain([(&documents, DOCUMENTS)]);
        let fingerprints = Fingerprints::check(folder.path(), trees)?;

        let persisted = documents.persisted();
        Ok(Self {
            documents,
            bodies,
            writer: Mutex::new(Writer { last: persisted, dirty: false }),
            flushing: Mutex::new(()),
            flush_awaited: Arc::default(),
            flush_bytes_per_second: options.flush_bytes_per_second,
            filling: Arc::default(),
            horizon,
            memtable_bytes: options.memtable_bytes,
            merge_bytes_per_second: options.merge_bytes_per_second,
            pressed: Arc::default(),
            opened_at: persisted,
            fingerprints,
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
        engine.fingerprints.note(engine.trees());
        Ok(engine.documents.persisted())
    }

    /// All trees with the names of their folders, in the order of their flushing.
    fn trees(&self) -> impl Iterator<Item = (&Tree, &'static str)> {
        self.bodies.trees().into_iter().chain([(&self.documents, DOCUMENTS)])
    }

    /// The largest memtable, in hundredths of its limit.
    fn memtable_percent(&self) -> u64 {
        let bytes = self.trees().map(|(tree, _)| tree.memtable_bytes()).max().unwrap_or_default();
        bytes.saturating_mul(100) / self.memtable_bytes.max(1)
    }

    /// One step of work; it takes its time, as long as nobody sets `hurry`, where there is one.
    fn maintain_at(&self, hurry: Option<&Arc<AtomicBool>>) -> Result<bool, EngineError> {
        if self.flush_if_due_at(hurry)? {
            return Ok(true);
        }
        let pace = |hurry| Pace::new(self.merge_bytes_per_second).unless(hurry).unless(&self.pressed);
        for (tree, _) in self.trees() {
            if tree.merge_step(hurry.map(pace))? {
                self.fingerprints.note(self.trees());
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn flush_if_due_at(&self, hurry: Option<&Arc<AtomicBool>>) -> Result<bool, EngineError> {
        if self.memtable_percent() < 100 {
            return Ok(false);
        }
        let Some(flushing) = try_lock(&self.flushing) else { return Ok(false) };
        let pace = |hurry| {
            let pace = Pace::new(self.flush_bytes_per_second).unless(hurry);
            pace.unless(&self.filling).unless(&self.flush_awaited)
        };
        self.flush_locked(&flushing, hurry.map(pace))?;
        Ok(true)
    }

    /// Keeps flushes away. One that goes on takes its time no more.
    fn stop_flushing(&self) -> MutexGuard<'_, ()> {
        self.flush_awaited.store(true, Ordering::Relaxed);
        let flushing = lock(&self.flushing);
        self.flush_awaited.store(false, Ordering::Relaxed);
        flushing
    }

    /// Seals all memtables at one version, then writes them out, bodies first.
    fn flush_locked(
        &self,
        _flushing: &MutexGuard<'_, ()>,
        mut pace: Option<Pace>,
    ) -> Result<(), EngineError> {
        self.seal();
        self.trees().try_for_each(|(tree, _)| tree.flush(pace.as_mut()))?;
        self.fingerprints.note(self.trees());
        Ok(())
    }

    /// Takes keys out of all trees. `pace` is asked for that of each.
    fn erase_at(
        &self,
        keys: &[(Space, &[u8])],
        pace: &dyn Fn() -> Option<Pace>,
    ) -> Result<Erased, EngineError> {
        // What is written from here on is flushed beside it.
        self.flush_locked(&self.stop_flushing(), None)?;
        let mut erased = Erased::Done;
        for space in [Space::Documents, Space::Bodies] {
            let of_space = keys.iter().filter(|(s, _)| *s == space).map(|(_, key)| key.to_vec()).collect();
            let outcome = match space {
                Space::Documents => self.documents.erase(of_space, pace)?,
                Space::Bodies => self.bodies.erase(of_space, pace)?,
            };
            if outcome == Erased::PinnedByReaders {
                erased = Erased::PinnedByReaders;
            }
        }
        self.fingerprints.note(self.trees());
        Ok(erased)
    }

    fn seal(&self) {
        let mut writer = lock(&self.writer);
        if let (true, Some(last)) = (writer.dirty, writer.last) {
            let marker = entry::encode(Some(&Bytes::new()), last);
            self.documents.insert(&Bytes::from_static(RESERVED_KEY), marker, last);
            self.trees().for_each(|(tree, _)| tree.seal());
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
        for Write { space, key, value } in batch.writes() {
            match (space, value) {
                (Space::Documents, value) => {
                    self.documents.insert(key, entry::encode(value.as_ref(), at), at)
                }
                (Space::Bodies, Some(value)) => self.bodies.insert(key, value, at),
                // Bodies are erased, not deleted.
                (Space::Bodies, None) => {}
            }
        }
        writer.last = Some(at);
        writer.dirty = true;
        Ok(())
    }

    fn get(&self, space: Space, key: &[u8], at: u64) -> Result<Option<Bytes>, EngineError> {
        match space {
            Space::Bodies => self.bodies.get(key),
            Space::Documents => match self.documents.get(key, at)? {
                Some(stored) => reading::decode(self.documents.path(), stored),
                None => Ok(None),
            },
        }
    }

    fn range(&self, space: Space, keys: &KeyRange, at: u64) -> Entries {
        match space {
            Space::Documents => Box::new(self.documents.range(keys, at).documents()),
            Space::Bodies => self.bodies.range(keys),
        }
    }

    fn persisted(&self) -> Option<u64> {
        self.documents.persisted()
    }

    fn flush(&self) -> Result<(), EngineError> {
        self.flush_locked(&self.stop_flushing(), None)
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
        self.maintain_at(None)
    }

    fn flush_gently(&self, hurry: &Arc<AtomicBool>) -> Result<bool, EngineError> {
        self.flush_if_due_at(Some(hurry))
    }

    fn maintain_gently(&self, hurry: &Arc<AtomicBool>) -> Result<bool, EngineError> {
        self.maintain_at(Some(hurry))
    }

    fn pressure(&self) -> Pressure {
        let runs = self.trees().map(|(tree, _)| tree.l0_runs()).max().unwrap_or_default();
        let percent = self.memtable_percent();
        // A full memtable is not helped by merges.
        self.pressed.store(runs >= L0_RUNS_HURRY, Ordering::Relaxed);
        self.filling.store(percent >= MEMTABLE_PERCENT_HURRY, Ordering::Relaxed);
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
        self.erase_at(keys, &|| None)
    }

    fn erase_gently(
        &self,
        keys: &[(Space, &[u8])],
        hurry: &[&Arc<AtomicBool>],
    ) -> Result<Erased, EngineError> {
        let pace = || {
            let pace = Pace::new(self.merge_bytes_per_second).unless(&self.pressed);
            Some(hurry.iter().fold(pace, |pace, hurry| pace.unless(hurry)))
        };
        self.erase_at(keys, &pace)
    }

    fn pin(&self) -> Result<Option<Pinned>, EngineError> {
        let flushing = self.stop_flushing();
        self.flush_locked(&flushing, None)?;
        let header =
            PinnedFile { name: "header".into(), bytes: PinnedBytes::Here(self.folder.header_bytes()) };
        let mut pinned = Pinned { version: None, files: vec![header], _tables: Vec::new() };
        // Nobody flushes meanwhile, and merging changes tables, not what they say: all trees tell of one version.
        for (tree, name) in self.trees() {
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
        self.trees().map(|(tree, _)| tree.disk_bytes()).sum()
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
