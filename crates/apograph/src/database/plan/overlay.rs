//! The state that a transaction is planned against, in three layers.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;

use apograph_format::{ContentFact, Hash, Head, PartitionId, Partitioning, Timestamp, Uri};
use apograph_store::{Store, StoreError};

use super::PayloadSource;

/// What transactions decided that are not in the store yet.
#[derive(Debug, Default)]
pub(crate) struct Overlay {
    heads: HashMap<Uri, Head>,
    versions: HashMap<(Uri, u64), Hash>,
    bodies: HashMap<Hash, Bytes>,
    contents: HashMap<(PartitionId, Hash), (ContentFact, Vec<PayloadSource>)>,
    payloads: HashSet<(PartitionId, Hash)>,
    cursors: HashMap<String, String>,
}

/// Store, running group, running transaction.
pub(crate) struct State<'a> {
    stores: &'a [Arc<Store>],
    partitioning: Partitioning,
    at: Timestamp,
    group: &'a mut Overlay,
    transaction: Overlay,
}

impl Overlay {
    fn absorb(&mut self, other: Overlay) {
        self.heads.extend(other.heads);
        self.versions.extend(other.versions);
        self.bodies.extend(other.bodies);
        self.contents.extend(other.contents);
        self.cursors.extend(other.cursors);
    }
}

impl<'a> State<'a> {
    /// A state for one transaction; `at` is what the store has applied.
    pub(crate) fn new(
        stores: &'a [Arc<Store>],
        partitioning: Partitioning,
        at: Timestamp,
        group: &'a mut Overlay,
    ) -> State<'a> {
        State { stores, partitioning, at, group, transaction: Overlay::default() }
    }

    /// The transaction is written: the group has its effects from now on. Dropping the state instead forgets them.
    pub(crate) fn keep(self) {
        self.group.absorb(self.transaction);
    }

    pub(crate) fn partitioning(&self) -> Partitioning {
        self.partitioning
    }

    pub(crate) fn head(&self, uri: &Uri) -> Result<Option<Head>, StoreError> {
        match self.layers().find_map(|layer| layer.heads.get(uri)) {
            Some(head) => Ok(Some(head.clone())),
            None => self.store_of(uri).head(uri, self.at),
        }
    }

    pub(crate) fn set_head(&mut self, uri: &Uri, head: &Head) {
        self.transaction.heads.insert(uri.clone(), head.clone());
    }

    pub(crate) fn version_id(&self, uri: &Uri, number: u64) -> Result<Option<Hash>, StoreError> {
        let key = (uri.clone(), number);
        match self.layers().find_map(|layer| layer.versions.get(&key)) {
            Some(id) => Ok(Some(*id)),
            None => Ok(self.store_of(uri).version(uri, number, self.at)?.map(|record| record.id)),
        }
    }

    pub(crate) fn add_version(&mut self, uri: &Uri, number: u64, id: Hash, body: Bytes) {
        self.transaction.versions.insert((uri.clone(), number), id);
        self.transaction.bodies.insert(id, body);
    }

    pub(crate) fn body(&self, uri: &Uri, id: &Hash) -> Result<Option<Bytes>, StoreError> {
        match self.layers().find_map(|layer| layer.bodies.get(id)) {
            Some(body) => Ok(Some(body.clone())),
            None => self.store_of(uri).payload(id),
        }
    }

    /// How a content of this partition is cut and where its chunks are, if the partition has it.
    pub(crate) fn content(
        &self,
        partition: PartitionId,
        hash: &Hash,
    ) -> Result<Option<(ContentFact, Vec<PayloadSource>)>, StoreError> {
        let key = (partition, *hash);
        if let Some(content) = self.layers().find_map(|layer| layer.contents.get(&key)) {
            return Ok(Some(content.clone()));
        }
        let store = self.store(partition);
        // A content that no document names any more may be on its way out.
        if !store.has_content(hash, self.at)? {
            return Ok(None);
        }
        let sources =
            |fact: &ContentFact| fact.chunks.iter().map(|_| PayloadSource::Store(partition)).collect();
        Ok(store.content(hash)?.map(|fact| (fact.clone(), sources(&fact))))
    }

    pub(crate) fn add_content(
        &mut self,
        partition: PartitionId,
        content: &ContentFact,
        sources: Vec<PayloadSource>,
    ) {
        self.transaction.contents.insert((partition, content.hash), (content.clone(), sources));
    }

    /// Remembers that a payload travels to this partition; `false` if it does already in this transaction.
    pub(crate) fn add_payload(&mut self, partition: PartitionId, hash: Hash) -> bool {
        self.transaction.payloads.insert((partition, hash))
    }

    pub(crate) fn store(&self, partition: PartitionId) -> &Store {
        let store = self.stores.get(usize::from(partition.0));
        store.expect("partitions come from the partitioning, which made the stores")
    }

    pub(crate) fn store_of(&self, uri: &Uri) -> &Store {
        self.store(self.partitioning.of(uri))
    }

    pub(crate) fn cursor(&self, name: &str) -> Result<Option<String>, StoreError> {
        if let Some(position) = self.layers().find_map(|layer| layer.cursors.get(name)) {
            return Ok(Some(position.clone()));
        }
        newest_cursor(self.stores, name, self.at)
    }

    pub(crate) fn set_cursor(&mut self, name: &str, position: &str) {
        self.transaction.cursors.insert(name.to_owned(), position.to_owned());
    }

    fn layers(&self) -> impl Iterator<Item = &Overlay> {
        [&self.transaction, &*self.group].into_iter()
    }
}

/// A cursor is written wherever its transaction was, so the newest of all partitions counts.
pub(crate) fn newest_cursor(
    stores: &[Arc<Store>],
    name: &str,
    at: Timestamp,
) -> Result<Option<String>, StoreError> {
    Ok(newest_cursor_at(stores, name, at)?.map(|(_, position)| position))
}

/// The same, with the time when it was moved there.
pub(crate) fn newest_cursor_at(
    stores: &[Arc<Store>],
    name: &str,
    at: Timestamp,
) -> Result<Option<(Timestamp, String)>, StoreError> {
    let mut newest = None;
    for store in stores {
        newest = newest.max(store.cursor(name, at)?);
    }
    Ok(newest)
}
