//! Which entries a merge may drop: history that nobody can see, and keys that are being erased.

use std::{
    collections::HashSet,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

use lsm_tree::compaction::filter::{CompactionFilter, Context, Factory, ItemAccessor, Verdict};

use super::{bodies::owner, entry::decode_header, lock, pace::Pace, smooth::Smoothing, tree::Kind};
use crate::engine::RESERVED_KEY;

/// Makes a [`Collector`] for every merge of one tree.
pub(super) struct Collectors {
    kind: Kind,
    /// The folder of the tree's tables.
    tables: PathBuf,
    horizon: Arc<AtomicU64>,
    /// Keys of documents or bodies that are being erased; empty but during `erase`, when no other merge of the tree runs.
    erasing: RwLock<Arc<HashSet<Vec<u8>>>>,
    /// Entries above this version are forgotten; the highest number but during `rewind`.
    newest: AtomicU64,
    /// Of the next merge.
    pace: Mutex<Option<Pace>>,
}

impl Collectors {
    pub(super) fn new(kind: Kind, tables: PathBuf, horizon: Arc<AtomicU64>) -> Self {
        Self {
            kind,
            tables,
            horizon,
            erasing: RwLock::default(),
            newest: AtomicU64::new(u64::MAX),
            pace: Mutex::default(),
        }
    }

    pub(super) fn set_erasing(&self, keys: HashSet<Vec<u8>>) {
        *self.erasing.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
    }

    pub(super) fn set_pace(&self, pace: Option<Pace>) {
        *lock(&self.pace) = pace;
    }

    pub(super) fn set_newest(&self, version: u64) {
        self.newest.store(version, Ordering::Release);
    }
}

impl Factory for Collectors {
    fn name(&self) -> &str {
        "apograph history"
    }

    fn make_filter(&self, context: &Context) -> Box<dyn CompactionFilter> {
        Box::new(Collector {
            horizon: match self.kind {
                Kind::Documents => self.horizon.load(Ordering::Acquire),
                Kind::Index | Kind::Values => u64::MAX,
            },
            erasing: Arc::clone(&self.erasing.read().unwrap_or_else(PoisonError::into_inner)),
            newest: self.newest.load(Ordering::Acquire),
            is_last_level: context.is_last_level,
            kind: self.kind,
            key: Vec::new(),
            shadowed: false,
            pace: lock(&self.pace).take(),
            _smoothing: Smoothing::of(&self.tables),
        })
    }
}

/// Sees all entries of a merge, by key, and for one key the newest first.
struct Collector {
    horizon: u64,
    erasing: Arc<HashSet<Vec<u8>>>,
    newest: u64,
    is_last_level: bool,
    kind: Kind,
    /// The key of the entry before.
    key: Vec<u8>,
    /// Whether a newer entry of `key` at or below the horizon was seen.
    shadowed: bool,
    pace: Option<Pace>,
    /// What the merge writes goes to the disk meanwhile.
    _smoothing: Smoothing,
}

impl Collector {
    fn keeps(&mut self, key: &[u8], value: &[u8]) -> bool {
        if self.key != key {
            self.key.clear();
            self.key.extend_from_slice(key);
            self.shadowed = false;
        }
        let body = if self.kind == Kind::Values { owner(key) } else { key };
        if !self.erasing.is_empty() && self.erasing.contains(body) {
            return false;
        }
        // An entry that is too short is damage: kept, so that reading it says so.
        let Some((version, bit)) = decode_header(value) else { return true };
        let deleted = bit && self.kind == Kind::Documents;
        if self.shadowed || version > self.newest {
            return false;
        }
        // Of the marker only the newest counts, whatever the horizon.
        let is_marker = self.kind == Kind::Documents && key == RESERVED_KEY;
        self.shadowed = version <= self.horizon || is_marker;
        // In the last level there is nothing older that a deletion would have to hide.
        !(deleted && self.shadowed && self.is_last_level)
    }
}

impl CompactionFilter for Collector {
    fn filter_item(&mut self, item: ItemAccessor<'_>, _: &Context) -> lsm_tree::Result<Verdict> {
        let value = item.value()?;
        let keeps = self.keeps(item.key(), &value);
        if let Some(pace) = &mut self.pace {
            pace.took(item.key().len() + value.len());
        }
        // `Destroy` leaves nothing behind. That is right here: an older version is either in this merge, and dropped
        // too, or hidden by the newer one that is kept.
        Ok(if keeps { Verdict::Keep } else { Verdict::Destroy })
    }
}
