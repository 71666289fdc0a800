//! The two hash trees of a store, and what of them is stored with every transaction.

use apograph_format::{Digest, DigestKey, DigestTree, Hash, Head, Leaf, Timestamp, TreeShape, Uri, View};

use crate::engine::{Batch, Engine, Space};
use crate::error::StoreError;
use crate::keys;
use crate::meta::Progress;

/// Which hash trees a store keeps.
#[derive(Debug, Clone)]
pub struct TreeSettings {
    /// How large they are: a matter of the database.
    pub shape: TreeShape,
    /// The views, and the keys of their leaves.
    pub keys: Vec<(View, DigestKey)>,
}

/// The trees of the views this store holds: both, or only the published one.
pub(crate) struct Trees {
    trees: Vec<Tree>,
}

struct Tree {
    view: View,
    key: DigestKey,
    shape: TreeShape,
    tree: DigestTree,
}

impl Trees {
    /// Reads the trees as they were stored at `at`.
    pub(crate) fn load(
        engine: &dyn Engine,
        settings: &TreeSettings,
        progress: &Progress,
        at: Timestamp,
    ) -> Result<Trees, StoreError> {
        let load = |(view, key): &(View, DigestKey)| {
            let mut tree = DigestTree::new(settings.shape);
            for item in engine.range(Space::Documents, &keys::buckets(*view), at.0) {
                let (key, sum) = item?;
                let bucket = key.get(1..).and_then(|number| number.try_into().ok()).map(u16::from_be_bytes);
                let sum = sum.as_ref().try_into().ok();
                let (Some(bucket), Some(sum)) = (bucket, sum) else {
                    return Err(StoreError::damaged("a bucket of a hash tree"));
                };
                tree.restore_bucket(usize::from(bucket), sum);
            }
            tree.restore_documents(match view {
                View::Full => progress.documents,
                View::Published => progress.published,
            });
            Ok(Tree { view: *view, key: key.clone(), shape: settings.shape, tree })
        };
        Ok(Trees { trees: settings.keys.iter().map(load).collect::<Result<_, _>>()? })
    }

    /// A document's head changed: takes the old leaf out, puts the new one in, and adds what changed to `batch`.
    pub(crate) fn replace(&mut self, batch: &mut Batch, uri: &Uri, old: Option<&Head>, new: &Head) {
        for tree in &mut self.trees {
            let old = old.and_then(|head| tree.leaf(uri, head));
            let new = tree.leaf(uri, new);
            tree.replace(batch, uri, old, new);
        }
    }

    /// The same, for leaves as they are stored, and for a document that goes altogether.
    pub(crate) fn set(
        &mut self,
        batch: &mut Batch,
        uri: &Uri,
        stored: &[(View, Option<Leaf>)],
        new: Option<&Head>,
    ) {
        for tree in &mut self.trees {
            let old = stored.iter().find(|(view, _)| *view == tree.view).and_then(|(_, leaf)| *leaf);
            let new = new.and_then(|head| tree.leaf(uri, head));
            tree.replace(batch, uri, old, new);
        }
    }

    /// Makes the sum of a bucket that of these leaves; answers whether it was another.
    pub(crate) fn mend(&mut self, batch: &mut Batch, view: View, bucket: usize, leaves: &[Leaf]) -> bool {
        let Some(tree) = self.trees.iter_mut().find(|tree| tree.view == view) else { return false };
        let mut true_sum = DigestTree::new(tree.shape);
        let sum = leaves.iter().filter_map(|leaf| true_sum.replace(None, Some(leaf))).last();
        let sum = sum.map_or([0; 32], |(_, sum)| sum);
        if tree.tree.bucket(bucket) == sum {
            return false;
        }
        tree.tree.restore_bucket(bucket, sum);
        batch.put(keys::bucket(view, bucket), sum.to_vec());
        true
    }

    /// Counts the leaves, for trees of which no record tells their number.
    pub(crate) fn recount(&mut self, engine: &dyn Engine, at: Timestamp) -> Result<(), StoreError> {
        for tree in &mut self.trees {
            let leaves = engine.range(Space::Documents, &keys::all_leaves(tree.view), at.0);
            tree.tree.restore_documents(leaves.map(|item| item.map(|_| 1)).sum::<Result<u64, _>>()?);
        }
        Ok(())
    }

    /// Documents of the widest view.
    pub(crate) fn documents(&self) -> u64 {
        self.trees.iter().map(|tree| tree.tree.documents()).max().unwrap_or_default()
    }

    /// The digests of all views.
    pub(crate) fn digests(&mut self) -> Vec<(View, Digest, u64)> {
        self.trees.iter_mut().map(|tree| (tree.view, tree.tree.digest(), tree.tree.documents())).collect()
    }

    /// The tree of one view.
    pub(crate) fn into_tree(self, view: View) -> Option<DigestTree> {
        self.trees.into_iter().find(|tree| tree.view == view).map(|tree| tree.tree)
    }

    /// The children of a node of a view's tree.
    pub(crate) fn children(&mut self, view: View, level: usize, node: usize) -> Option<Vec<Hash>> {
        let tree = self.trees.iter_mut().find(|tree| tree.view == view)?;
        Some(tree.tree.children(level, node))
    }

    /// Digest and number of documents of a view, if this store holds it.
    pub(crate) fn digest(&mut self, view: View) -> Option<(Digest, u64)> {
        let tree = &mut self.trees.iter_mut().find(|tree| tree.view == view)?.tree;
        Some((tree.digest(), tree.documents()))
    }

    pub(crate) fn count_into(&self, progress: &mut Progress) {
        for tree in &self.trees {
            match tree.view {
                View::Full => progress.documents = tree.tree.documents(),
                View::Published => progress.published = tree.tree.documents(),
            }
        }
    }
}

impl Tree {
    fn replace(&mut self, batch: &mut Batch, uri: &Uri, old: Option<Leaf>, new: Option<Leaf>) {
        if old == new {
            return;
        }
        if let Some((bucket, sum)) = self.tree.replace(old.as_ref(), new.as_ref()) {
            batch.put(keys::bucket(self.view, bucket), sum.to_vec());
        }
        match (&old, &new) {
            (_, Some(leaf)) => {
                let value = [leaf.hash.0.as_slice(), uri.as_str().as_bytes()].concat();
                batch.put(keys::leaf(self.view, &leaf.place), value);
            }
            (Some(leaf), None) => batch.delete(keys::leaf(self.view, &leaf.place)),
            (None, None) => {}
        }
    }

    fn leaf(&self, uri: &Uri, head: &Head) -> Option<Leaf> {
        match self.view {
            View::Full => Some(self.key.full_leaf(uri, head)),
            View::Published => self.key.published_leaf(uri, head),
        }
    }
}
