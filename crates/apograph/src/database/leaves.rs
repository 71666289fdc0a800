//! The leaves of a view: what two servers compare to find the documents that differ, without moving any.

use std::sync::Arc;

use apograph_format::{Hash, Head, PartitionId, Timestamp, Uri, View};
use apograph_store::Store;

use super::Database;
use super::reads::Merged;
use crate::error::ReadError;
use crate::read::Scope;

/// Which leaves to list.
#[derive(Debug, Clone)]
pub struct LeavesQuery {
    /// Of which view.
    pub view: View,
    /// Of which documents.
    pub scope: Scope,
    /// Only those of these partitions; of all that are held, if there are none.
    pub partitions: Vec<PartitionId>,
    /// As of when; none means now.
    pub as_of: Option<Timestamp>,
}

/// A document of a view, and a hash of all that the view's digest covers of it. Not the leaf of the hash tree: that one
/// is keyed, and the key stays with the servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedLeaf {
    /// The document.
    pub uri: Uri,
    /// Equal hashes mean equal heads, histories, versions.
    pub hash: Hash,
}

/// Leaves in the order of their URIs, read when they are asked for.
pub struct Leaves {
    view: View,
    scope: Scope,
    documents: Merged,
}

impl Database {
    /// Lists the leaves of a part of a view.
    pub fn leaves(&self, query: LeavesQuery) -> Result<Leaves, ReadError> {
        let LeavesQuery { view, scope, partitions, as_of } = query;
        if view == View::Full && self.view() == View::Published {
            return Err(ReadError::NoSuchView { view });
        }
        let at = self.read_at(as_of)?;
        let of = |partition: PartitionId| {
            let store = self.shared.store(partition).map(Arc::clone);
            store.ok_or_else(|| self.shared.elsewhere(partition))
        };
        let stores: Vec<Arc<Store>> = match partitions.is_empty() {
            true => self.shared.stores.clone(),
            false => partitions.into_iter().map(of).collect::<Result<_, _>>()?,
        };
        let documents = Merged::new(&stores, scope.prefix(), None, at);
        Ok(Leaves { view, scope, documents })
    }
}

impl Iterator for Leaves {
    type Item = Result<ListedLeaf, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (uri, head) = match self.documents.next()? {
                Ok(document) => document,
                Err(error) => return Some(Err(error.into())),
            };
            if self.scope.ends_before(&uri) {
                return None;
            }
            if let Some(hash) = hash(self.view, &head) {
                return Some(Ok(ListedLeaf { uri, hash }));
            }
        }
    }
}

fn hash(view: View, head: &Head) -> Option<Hash> {
    match view {
        View::Full => Some(Hash::derive("apograph 2026 listed leaf, full", &[&head.digest_bytes()])),
        View::Published => head.live.map(|live| {
            let pieces: [&[u8]; 3] = [&live.number.to_le_bytes(), &live.id.0, head.kind.as_str().as_bytes()];
            Hash::derive("apograph 2026 listed leaf, published", &pieces)
        }),
    }
}
