//! Copies of a store's files: taking them while it is written, checking them, and taking a copy back to an earlier time.

use std::fs;
use std::path::{Path, PathBuf};

use apograph_format::{Digest, DigestTree, Hash, Timestamp, View};

use crate::engine::{Engine, KeyRange, Lsm, LsmOptions, Pinned, Space};
use crate::error::StoreError;
use crate::keys;
use crate::store::Store;

/// Keys that are erased together; each round rewrites the tables.
const ERASED_TOGETHER_MAX: usize = 1 << 20;

impl Store {
    /// Makes everything applied so far durable and answers the files that hold it, relative to `engine/` in the store's
    /// folder. [`Store::chunk_files`] are the rest. `None` in memory.
    ///
    /// # Errors
    /// [`StoreError::Syncing`] while a synchronization goes on: what it brought is seen by nobody yet.
    pub fn pin(&self) -> Result<Option<Pinned>, StoreError> {
        if self.state().progress.sync.is_some() {
            return Err(StoreError::Syncing);
        }
        self.heeding(self.chunks.sync().and_then(|()| Ok(self.engine.pin()?)))
    }

    /// The files of large payloads that something names as of `at`, in the order of their names.
    pub fn chunk_files(
        &self,
        at: Timestamp,
    ) -> Result<impl Iterator<Item = Result<(Hash, PathBuf), StoreError>> + '_, StoreError> {
        let is_named = move |file: &Result<(Hash, PathBuf), StoreError>| match file {
            Ok((hash, _)) => names(&*self.engine, hash, at).unwrap_or(true),
            Err(_) => true,
        };
        Ok(self.chunks.files()?.filter(is_named))
    }

    /// Digest and number of documents of a view as of `at`, from the documents themselves and not from its tree: reads
    /// every head. `None` if the store does not keep that view.
    pub fn recount(&self, view: View, at: Timestamp) -> Result<Option<(Digest, u64)>, StoreError> {
        if !self.holds(view) {
            return Ok(None);
        }
        let mut tree = DigestTree::new(self.tree_settings.shape);
        let mut documents = 0;
        for document in self.documents("", None, at) {
            let (uri, head) = document?;
            if let Some(leaf) = self.leaf_of(view, &uri, &head) {
                tree.replace(None, Some(&leaf));
                documents += 1;
            }
        }
        Ok(Some((tree.digest(), documents)))
    }

    /// Reads every small payload and compares it with its name; `monitor` learns how many were read. Large ones are
    /// files: their names are their hashes.
    pub fn check_payloads(&self, monitor: &mut dyn FnMut(u64)) -> Result<u64, StoreError> {
        let mut payloads = 0;
        for item in self.engine.range(Space::Bodies, &all_bodies(), u64::MAX >> 1) {
            let (key, bytes) = item?;
            let name = key.get(1..).and_then(Hash::from_slice);
            let name = name.ok_or_else(|| StoreError::damaged("the name of a payload"))?;
            if Hash::of(&bytes) != name {
                return Err(StoreError::Payload { hash: name });
            }
            payloads += 1;
            if u64::is_multiple_of(payloads, 1_024) {
                monitor(payloads);
            }
        }
        monitor(payloads);
        Ok(payloads)
    }

    /// Takes the store in `folder`, which nobody has open, back to a time: later history is forgotten, and so are
    /// payloads that nothing names then. Durable on return; interrupted, it may be repeated.
    ///
    /// # Errors
    /// [`StoreError::BelowHorizon`] if history does not reach back so far; nothing is changed then.
    pub fn rewind(folder: &Path, options: &LsmOptions, to: Timestamp) -> Result<(), StoreError> {
        let path = folder.join("engine");
        let horizon = Timestamp(Lsm::open(&path, options)?.horizon());
        if to < horizon {
            return Err(StoreError::BelowHorizon { horizon, asked: to });
        }
        Lsm::rewind(&path, options, to.0)?;
        let engine = Lsm::open(&path, options)?;
        erase_unnamed(&engine, to)?;
        let chunks = crate::chunks::ChunkFiles::open(folder.join("chunks"))?;
        for file in chunks.files()? {
            let (hash, _) = file?;
            if !names(&engine, &hash, to)? {
                chunks.erase(&hash)?;
            }
        }
        Ok(())
    }
}

fn erase_unnamed(engine: &Lsm, at: Timestamp) -> Result<(), StoreError> {
    loop {
        let mut unnamed = Vec::new();
        for item in engine.range(Space::Bodies, &KeyRange::all(), u64::MAX >> 1) {
            let (key, _) = item?;
            let name = key.get(1..).and_then(Hash::from_slice);
            let name = name.ok_or_else(|| StoreError::damaged("the name of a payload"))?;
            if !names(engine, &name, at)? {
                unnamed.push(key);
            }
            if unnamed.len() == ERASED_TOGETHER_MAX {
                break;
            }
        }
        let keys: Vec<(Space, &[u8])> = unnamed.iter().map(|key| (Space::Bodies, &key[..])).collect();
        if !keys.is_empty() {
            engine.erase(&keys)?;
        }
        if keys.len() < ERASED_TOGETHER_MAX {
            return Ok(());
        }
    }
}

fn names(engine: &dyn Engine, payload: &Hash, at: Timestamp) -> Result<bool, StoreError> {
    let mut references = engine.range(Space::Documents, &keys::references(payload), at.0);
    Ok(references.next().transpose()?.is_some())
}

fn all_bodies() -> KeyRange {
    KeyRange { lower: b"b".as_slice().into(), upper: Some(b"c".as_slice().into()) }
}

impl crate::chunks::ChunkFiles {
    /// All files with the name of a payload, folder by folder, in the order of their names.
    pub(crate) fn files(
        &self,
    ) -> Result<impl Iterator<Item = Result<(Hash, PathBuf), StoreError>> + use<>, StoreError> {
        let folders = sorted(self.root())?;
        Ok(folders.into_iter().flat_map(|folder| match sorted(&folder) {
            Ok(files) => files.into_iter().filter_map(named).map(Ok).collect(),
            Err(error) => vec![Err(error)],
        }))
    }
}

fn named(path: PathBuf) -> Option<(Hash, PathBuf)> {
    let hash = path.file_name()?.to_str()?.parse().ok()?;
    Some((hash, path))
}

fn sorted(folder: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let failed = |error| StoreError::Chunk { path: folder.to_owned(), error };
    let entries = fs::read_dir(folder).map_err(failed)?;
    let paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>();
    let mut paths = paths.map_err(failed)?;
    paths.sort();
    Ok(paths)
}
