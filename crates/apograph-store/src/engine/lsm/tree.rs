//! One LSM tree: versions in, versions out, and the library's errors turned into ours.

use std::{
    any::Any,
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use lsm_tree::{
    AbstractTree, AnyTree, Cache, CompressionType, Config, DescriptorTable, Guard, Memtable, Slice,
    compaction::Leveled,
    config::{BlockSizePolicy, CompressionPolicy, FilterPolicy, PartitioningPolicy},
};

use super::{
    Compression, LsmOptions,
    collect::Collectors,
    folder::{io_error, sync_folder},
    lock, manifest,
    pace::Pace,
    reading::{BoxedItems, Scan, guarded},
    smooth::Smoothing,
    try_lock,
};
use crate::engine::{EngineError, Erased, KeyRange, PinnedBytes, PinnedFile, VERSION_MAX};

/// The library numbers its file sets from 0 and hides those above a reader's number; ours start far above.
const NUMBER_BASE: u64 = 1 << 32;

/// The library's own watermark: above its file sets, so that old ones go, and below every entry, so that it never
/// drops one.
const WATERMARK: u64 = NUMBER_BASE;

/// Tables of this size, after compression. A merge takes at most some fifty of them.
const TABLE_BYTES: u64 = 32 << 20;

/// What a tree holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// [`Space::Documents`](crate::engine::Space): history down to the horizon.
    Documents,
    /// Keys of bodies: reads ignore versions.
    Index,
    /// Large bodies, in the order of their writing.
    Values,
}

pub(super) struct Tree {
    kind: Kind,
    path: PathBuf,
    tree: AnyTree,
    merges: Arc<Leveled>,
    /// Memtables that are to be written, oldest first.
    sealed: Mutex<Vec<Arc<Memtable>>>,
    /// Held during a merge: one at a time, so that none runs beside an erasure.
    merging: Mutex<()>,
    /// Somebody waits for the end of a merge.
    awaited: Arc<AtomicBool>,
    collectors: Arc<Collectors>,
}

/// How a tree is opened.
pub(super) struct Opening<'a> {
    pub(super) kind: Kind,
    pub(super) path: PathBuf,
    pub(super) may_create: bool,
    pub(super) horizon: &'a Arc<AtomicU64>,
    pub(super) cache: &'a Arc<Cache>,
    pub(super) files: &'a Arc<DescriptorTable>,
    pub(super) options: &'a LsmOptions,
}

impl Tree {
    pub(super) fn open(opening: Opening<'_>) -> Result<Self, EngineError> {
        let Opening { kind, path, may_create, horizon, cache, files, options } = opening;
        manifest::check(&path, may_create)?;
        let compression = match options.compression {
            Compression::None => CompressionType::None,
            Compression::Lz4 => CompressionType::Lz4,
        };
        let collectors = Arc::new(Collectors::new(kind, path.join("tables"), Arc::clone(horizon)));
        let mut config = Config::new(&path, Default::default(), Default::default())
            .use_cache(Arc::clone(cache))
            .use_descriptor_table(Some(Arc::clone(files)))
            .data_block_compression_policy(CompressionPolicy::all(compression))
            .data_block_size_policy(BlockSizePolicy::all(options.block_bytes))
            // An index of one block is hundreds of kilobytes of a large table, read as a whole for one key.
            .index_block_partitioning_policy(PartitioningPolicy::all(true))
            .with_compaction_filter_factory(Some(collectors.clone()));
        if kind == Kind::Values {
            // Whoever looks for a value knows that it is there, and its tables do not overlap.
            config = config.filter_policy(FilterPolicy::disabled());
        }
        let tree = guarded(&path, || config.open())?;
        let merges = Arc::new(Leveled::default().with_table_target_size(TABLE_BYTES));
        Ok(Self {
            kind,
            path,
            tree,
            merges,
            sealed: Mutex::default(),
            merging: Mutex::new(()),
            awaited: Arc::default(),
            collectors,
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Number and checksum of each table of this moment; none goes meanwhile.
    pub(super) fn each_table(
        &self,
        mut visit: impl FnMut(u64, u128) -> Result<(), EngineError>,
    ) -> Result<(), EngineError> {
        let tables = self.tree.current_version();
        tables.iter_tables().try_for_each(|table| visit(table.id(), table.checksum().into_u128()))
    }

    /// The file of a table.
    pub(super) fn table_path(&self, table: u64) -> PathBuf {
        self.path.join("tables").join(table.to_string())
    }

    /// Inserts an entry in its stored form.
    pub(super) fn insert(&self, key: &Bytes, stored: Bytes, at: u64) {
        self.tree.insert(Slice::new(key), Slice::from(stored), NUMBER_BASE + at);
    }

    /// The newest entry with version ≤ `at`, in its stored form.
    pub(super) fn get(&self, key: &[u8], at: u64) -> Result<Option<Bytes>, EngineError> {
        let number = self.read_number(at);
        Ok(guarded(&self.path, || self.tree.get(key, number))?.map(Bytes::from))
    }

    /// The same for all keys of a range.
    pub(super) fn range(&self, keys: &KeyRange, at: u64) -> Scan {
        if keys.is_empty() {
            return Scan::empty(self.path.clone());
        }
        let number = self.read_number(at);
        let items: BoxedItems = match &keys.upper {
            Some(upper) => Box::new(self.tree.range(&keys.lower[..]..&upper[..], number, None)),
            None => Box::new(self.tree.range(&keys.lower[..].., number, None)),
        };
        Scan::new(items, self.path.clone())
    }

    /// The highest key.
    pub(super) fn last_key(&self) -> Result<Option<Bytes>, EngineError> {
        let number = self.read_number(u64::MAX);
        let last =
            guarded(&self.path, || self.tree.last_key_value(number, None).map(Guard::key).transpose())?;
        Ok(last.map(Bytes::from))
    }

    /// The highest version in a table. The flush wrote everything before it, see the module of the engine.
    pub(super) fn persisted(&self) -> Option<u64> {
        self.tree.get_highest_persisted_seqno().map(|number| number.saturating_sub(NUMBER_BASE))
    }

    pub(super) fn seal(&self) {
        lock(&self.sealed).extend(self.tree.rotate_memtable());
    }

    /// Writes sealed memtables to tables; files and folders are synced on return.
    ///
    /// What the library's own flush does, with a pace. That one looks for entries below its watermark; there are none.
    pub(super) fn flush(&self, mut pace: Option<&mut Pace>) -> Result<(), EngineError> {
        let _smoothing = Smoothing::of(&self.path.join("tables"));
        guarded(&self.path, || {
            let _flushing = self.tree.get_flush_lock();
            loop {
                let Some(sealed) = lock(&self.sealed).first().cloned() else { return Ok(()) };
                let entries = sealed.iter().inspect(|entry| {
                    if let Some(pace) = pace.as_deref_mut() {
                        pace.took(entry.key.user_key.len() + entry.value.len());
                    }
                });
                if let Some((tables, _)) = self.tree.flush_to_tables(entries.map(Ok))? {
                    self.tree.register_tables(&tables, None, None, &[sealed.id], WATERMARK)?;
                }
                lock(&self.sealed).remove(0);
            }
        })
    }

    /// Merges once where the levels ask for it; `false` if they do not, or another thread is at it.
    pub(super) fn merge_step(&self, pace: Option<Pace>) -> Result<bool, EngineError> {
        let Some(_merging) = try_lock(&self.merging) else { return Ok(false) };
        self.collectors.set_pace(pace.map(|pace| pace.unless(&self.awaited)));
        let before = self.tree.current_version().id();
        let merged = guarded(&self.path, || self.tree.compact(self.merges.clone(), WATERMARK));
        self.collectors.set_pace(None);
        merged?;
        Ok(self.tree.current_version().id() != before)
    }

    /// Keeps merges away. One that goes on takes its time no more.
    fn stop_merging(&self) -> MutexGuard<'_, ()> {
        self.awaited.store(true, Ordering::Relaxed);
        let merging = lock(&self.merging);
        self.awaited.store(false, Ordering::Relaxed);
        merging
    }

    /// Rewrites the whole tree without some keys. The caller has flushed, and nobody writes these keys meanwhile: what is
    /// flushed from now on may be rewritten, too.
    ///
    /// Values are not looked for, they belong to keys of the index: the caller asks for what is there.
    pub(super) fn erase(
        &self,
        keys: HashSet<Vec<u8>>,
        pace: &dyn Fn() -> Option<Pace>,
    ) -> Result<Erased, EngineError> {
        let _merging = self.stop_merging();
        if self.kind == Kind::Values || self.holds_any(&keys)? {
            self.collectors.set_erasing(keys);
            self.collectors.set_pace(pace().map(|pace| pace.unless(&self.awaited)));
            let merged = guarded(&self.path, || self.tree.major_compact(TABLE_BYTES, WATERMARK));
            self.collectors.set_erasing(HashSet::new());
            self.collectors.set_pace(None);
            merged?;
        }
        self.without_old_files()
    }

    /// Rewrites the whole tree without what was written above a version.
    pub(super) fn rewind(&self, to: u64) -> Result<(), EngineError> {
        let _merging = self.stop_merging();
        if self.persisted().is_none_or(|persisted| persisted <= to) {
            return Ok(());
        }
        self.collectors.set_newest(to);
        let merged = guarded(&self.path, || self.tree.major_compact(TABLE_BYTES, WATERMARK));
        self.collectors.set_newest(u64::MAX);
        merged
    }

    /// The files of this moment, and what keeps the tables among them in place.
    pub(super) fn pin(&self) -> Result<(Vec<PinnedFile>, Box<dyn Any + Send>), EngineError> {
        loop {
            let tables = self.tree.current_version();
            // A merge that ends meanwhile names another manifest: then its tables are the ones to pin.
            let Some(manifest) = manifest::read_whole(&self.path)? else { continue };
            if manifest.number != tables.id() {
                continue;
            }
            let small =
                |name: String, bytes| PinnedFile { name: name.into(), bytes: PinnedBytes::Here(bytes) };
            let mut files = vec![
                small("current".into(), manifest.current),
                small(format!("v{}", manifest.number), manifest.bytes),
            ];
            files.extend(tables.iter_tables().map(|table| {
                let name = PathBuf::from("tables").join(table.id().to_string());
                let path = self.table_path(table.id());
                PinnedFile { name, bytes: PinnedBytes::File(path) }
            }));
            return Ok((files, Box::new(tables)));
        }
    }

    /// Whether any version of one of the keys is stored; deletions are entries too.
    pub(super) fn holds_any(&self, keys: &HashSet<Vec<u8>>) -> Result<bool, EngineError> {
        let number = NUMBER_BASE + VERSION_MAX + 1;
        for key in keys {
            if guarded(&self.path, || self.tree.get(key, number))?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Old tables are removed when their last reader is done with them.
    pub(super) fn without_old_files(&self) -> Result<Erased, EngineError> {
        let tables = self.path.join("tables");
        let read = || -> std::io::Result<usize> {
            sync_folder(&tables)?;
            Ok(fs::read_dir(&tables)?.count())
        };
        let on_disk = read().map_err(|source| io_error(&tables, source))?;
        Ok(if on_disk > self.tree.table_count() { Erased::PinnedByReaders } else { Erased::Done })
    }

    pub(super) fn memtable_bytes(&self) -> u64 {
        self.tree.active_memtable().size()
    }

    pub(super) fn l0_runs(&self) -> usize {
        self.tree.l0_run_count()
    }

    pub(super) fn disk_bytes(&self) -> u64 {
        self.tree.disk_space()
    }

    /// The library's reads see what is strictly below their number.
    fn read_number(&self, at: u64) -> u64 {
        let at = match self.kind {
            Kind::Documents => at.min(VERSION_MAX),
            Kind::Index | Kind::Values => VERSION_MAX,
        };
        NUMBER_BASE + at + 1
    }
}
