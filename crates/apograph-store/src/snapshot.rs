//! What a source reads of its own past for a copy that synchronizes, and what the copy reads of itself to compare.

use apograph_format::{Digest, DigestTree, Hash, Head, Leaf, Timestamp, Uri, View};

use crate::engine::{EngineError, Space};
use crate::error::StoreError;
use crate::keys;
use crate::meta::Progress;
use crate::store::Store;
use crate::trees::Trees;

/// The hash tree of one view at one timestamp, in memory: at most 4 MiB.
pub struct TreeSnapshot {
    tree: DigestTree,
}

impl TreeSnapshot {
    /// Digest of the view, and its number of documents.
    pub fn digest(&mut self) -> (Digest, u64) {
        (self.tree.digest(), self.tree.documents())
    }

    /// The sixteen children of a node; level 0 lies just above the buckets. Empty if there is no such node.
    pub fn children(&mut self, level: usize, node: usize) -> Vec<Hash> {
        self.tree.children(level, node)
    }
}

impl Store {
    /// How far the store was at `at`; `None` when nothing had been applied by then.
    pub fn progress_at(&self, at: Timestamp) -> Result<Option<Progress>, StoreError> {
        let progress = self.engine.get(Space::Documents, keys::META, at.0)?;
        progress.map(|bytes| Progress::decode(&bytes)).transpose()
    }

    /// The tree of a view as of `at`; `None` if the store does not keep one. Reads all buckets: tens of milliseconds.
    pub fn tree_at(&self, view: View, at: Timestamp) -> Result<Option<TreeSnapshot>, StoreError> {
        let beginning = || Progress::beginning(self.progress().position, Timestamp::ZERO);
        let progress = self.progress_at(at)?.unwrap_or_else(beginning);
        let trees = Trees::load(&*self.engine, &self.tree_settings, &progress, at)?;
        Ok(trees.into_tree(view).map(|tree| TreeSnapshot { tree }))
    }

    /// The children of a node in the tree of what is here now, what a synchronization brought included.
    pub fn own_children(&self, view: View, level: usize, node: usize) -> Option<Vec<Hash>> {
        self.state_mut().trees.children(view, level, node)
    }

    /// Leaves of a bucket as of `at`, in the order of their places, with the URIs they stand for.
    pub fn leaves(
        &self,
        view: View,
        bucket: usize,
        at: Timestamp,
    ) -> impl Iterator<Item = Result<(Leaf, Uri), StoreError>> + use<> {
        let range = keys::leaves(view, bucket, self.tree_settings.shape.bits());
        self.engine.range(Space::Documents, &range, at.0).map(|item| {
            let (key, value) = item?;
            let place = key.get(1..).and_then(|place| place.try_into().ok());
            let leaf = place.zip(decode_leaf(&value));
            let (place, (hash, uri)) = leaf.ok_or_else(|| StoreError::damaged("a leaf of a hash tree"))?;
            Ok((Leaf { place, hash }, uri))
        })
    }

    /// The document at a place of the tree as of `at`, and its leaf's hash.
    pub fn leaf(
        &self,
        view: View,
        place: &[u8; 16],
        at: Timestamp,
    ) -> Result<Option<(Hash, Uri)>, StoreError> {
        let Some(value) = self.engine.get(Space::Documents, &keys::leaf(view, place), at.0)? else {
            return Ok(None);
        };
        decode_leaf(&value).map(Some).ok_or_else(|| StoreError::damaged("a leaf of a hash tree"))
    }

    /// The leaf that a document has by what is stored of it, not by what the tree says.
    pub fn true_leaf(&self, view: View, uri: &Uri, at: Timestamp) -> Result<Option<Leaf>, StoreError> {
        let head = self.head(uri, at)?;
        Ok(head.and_then(|head| self.leaf_of(view, uri, &head)))
    }

    /// The leaf of a document with this head.
    pub fn leaf_of(&self, view: View, uri: &Uri, head: &Head) -> Option<Leaf> {
        let (_, key) = self.tree_settings.keys.iter().find(|(held, _)| *held == view)?;
        match view {
            View::Full => Some(key.full_leaf(uri, head)),
            View::Published => key.published_leaf(uri, head),
        }
    }

    /// Where a document stands in the tree of a view.
    pub fn place_of(&self, view: View, uri: &Uri) -> [u8; 16] {
        let key = self.tree_settings.keys.iter().find(|(held, _)| *held == view);
        key.map_or([0; 16], |(_, key)| key.place(uri))
    }

    /// The head of a document as of `at`, checked against the tree of the widest view, whose leaves cover all of a head.
    ///
    /// # Errors
    /// [`StoreError::Head`] if it is not what the tree says; that there is none is checked as well.
    pub fn checked_head(&self, uri: &Uri, at: Timestamp) -> Result<Option<Head>, StoreError> {
        let head = match self.head(uri, at) {
            Err(StoreError::Damaged { .. } | StoreError::Engine(EngineError::Damaged { .. })) => {
                return Err(StoreError::Head { uri: uri.clone() });
            }
            read => read?,
        };
        let Some((view, key)) = self.tree_settings.keys.iter().min_by_key(|(view, _)| *view != View::Full)
        else {
            return Ok(head);
        };
        let stored = self.leaf(*view, &key.place(uri), at)?.map(|(hash, _)| hash);
        let found = head.as_ref().and_then(|head| self.leaf_of(*view, uri, head));
        if stored == found.map(|leaf| leaf.hash) {
            Ok(head)
        } else {
            Err(StoreError::Head { uri: uri.clone() })
        }
    }

    /// Is the head of a document, or that there is none, what the trees of all views say?
    fn is_head_sound(&self, uri: &Uri, at: Timestamp) -> Result<bool, StoreError> {
        for (view, key) in &self.tree_settings.keys {
            let Ok(found) = self.true_leaf(*view, uri, at) else { return Ok(false) };
            let stored = self.leaf(*view, &key.place(uri), at)?.map(|(hash, _)| hash);
            if stored != found.map(|leaf| leaf.hash) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Is everything of a document what it was: its head by the trees, its bodies and contents by their names?
    pub fn is_sound(&self, uri: &Uri, at: Timestamp) -> Result<bool, StoreError> {
        if !self.is_head_sound(uri, at)? {
            return Ok(false);
        }
        let first = self.cut_versions(uri, at)?.map_or(0, |cut| cut.kept_from);
        for version in self.versions(uri, first, u64::MAX, at) {
            let (_, record) = version?;
            let content = record.content.map(|content| self.content(&content)).transpose()?.flatten();
            let chunks = content.iter().flat_map(|content| &content.chunks);
            for payload in chunks.chain([&record.id]) {
                match self.payload(payload) {
                    Ok(Some(_)) => {}
                    Ok(None) | Err(StoreError::Payload { .. }) => return Ok(false),
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(true)
    }

    /// How large the trees are.
    pub fn tree_shape(&self) -> apograph_format::TreeShape {
        self.tree_settings.shape
    }

    /// Cursors of importers as of `at`: name, position, commit time.
    pub fn cursors(
        &self,
        at: Timestamp,
    ) -> impl Iterator<Item = Result<(String, String, Timestamp), StoreError>> + use<> {
        self.engine.range(Space::Documents, &keys::cursors(), at.0).map(|item| {
            let (key, value) = item?;
            let read = || {
                let name = std::str::from_utf8(key.get(1..)?).ok()?;
                let (since, position) = value.split_first_chunk::<8>()?;
                let position = std::str::from_utf8(position).ok()?;
                Some((name.to_owned(), position.to_owned(), Timestamp(u64::from_le_bytes(*since))))
            };
            read().ok_or_else(|| StoreError::damaged("a cursor"))
        })
    }
}

fn decode_leaf(value: &[u8]) -> Option<(Hash, Uri)> {
    let (hash, uri) = value.split_first_chunk::<32>()?;
    Some((Hash(*hash), Uri::parse(std::str::from_utf8(uri).ok()?).ok()?))
}
