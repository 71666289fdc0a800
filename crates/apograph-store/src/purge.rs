//! What a purge takes, and taking it out of every file.

use std::collections::BTreeSet;

use apograph_format::{Hash, Timestamp, Uri};

use crate::engine::{Batch, Erased, Space};
use crate::error::StoreError;
use crate::keys;
use crate::store::Store;

/// What belongs to one document.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PurgeSet {
    /// Its versions: number and id.
    pub versions: Vec<(u64, Hash)>,
    /// The contents they name.
    pub contents: BTreeSet<Hash>,
    /// Payloads (version bodies, contents, chunks) that no other document of the partition names.
    pub erased: Vec<Hash>,
}

/// Payloads whose bytes are still in files, by the purge that takes them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingErasure {
    /// Sequence of the purge in the partition's journal.
    pub sequence: u64,
    /// What is to be erased.
    pub payloads: Vec<Hash>,
}

impl Store {
    /// What a purge of `uri` takes, as of `at`.
    pub fn purge_set(&self, uri: &Uri, at: Timestamp) -> Result<PurgeSet, StoreError> {
        let mut set = PurgeSet::default();
        let mut payloads = BTreeSet::new();
        for version in self.versions(uri, 0, u64::MAX, at) {
            let (number, record) = version?;
            set.versions.push((number, record.id));
            payloads.insert(record.id);
            set.contents.extend(record.content);
        }
        payloads.extend(&set.contents);
        let place = keys::reference_place(uri);
        for payload in payloads {
            if self.is_named_by_others(&payload, &place, at)? {
                continue;
            }
            set.erased.push(payload);
            if let Some(content) = self.content(&payload)? {
                set.erased.extend(content.chunks.iter().filter(|chunk| **chunk != payload));
            }
        }
        Ok(set)
    }

    fn is_named_by_others(
        &self,
        payload: &Hash,
        place: &[u8; 16],
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        for item in self.engine.range(Space::Documents, &keys::references(payload), at.0) {
            let (key, _) = item?;
            if !key.ends_with(place) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Purges whose bytes may still be in files: those of this store and, says the caller, of the journal.
    pub fn pending_erasures(&self) -> Result<Vec<PendingErasure>, StoreError> {
        let at = self.progress().timestamp;
        let read = |item: Result<(bytes::Bytes, bytes::Bytes), _>| {
            let (key, value) = item?;
            let sequence = key.last_chunk::<8>().copied().map(u64::from_be_bytes);
            let (hashes, rest) = value.as_chunks::<32>();
            match (sequence, rest) {
                (Some(sequence), []) => {
                    Ok(PendingErasure { sequence, payloads: hashes.iter().map(|hash| Hash(*hash)).collect() })
                }
                _ => Err(StoreError::damaged("a pending erasure")),
            }
        };
        self.engine.range(Space::Documents, &keys::erasures(), at.0).map(read).collect()
    }

    /// Takes the payloads out of every file of this store. Answers whether all bytes are gone; if not, a reader still
    /// holds a file open, and calling again later finishes it. Idempotent.
    pub fn erase(&self, pending: &PendingErasure) -> Result<bool, StoreError> {
        let keys: Vec<Vec<u8>> = pending.payloads.iter().map(keys::body).collect();
        let keys: Vec<(Space, &[u8])> = keys.iter().map(|key| (Space::Bodies, key.as_slice())).collect();
        for hash in &pending.payloads {
            self.chunks.erase(hash)?;
        }
        Ok(self.engine.erase(&keys)? == Erased::Done)
    }

    /// Forgets pending erasures that are finished, here and in the journal. Written at the store's present timestamp,
    /// so replay may show them again; finishing twice is harmless.
    pub fn finish_erasures(&self, finished: &[u64]) -> Result<(), StoreError> {
        let state = self.state_mut();
        let mut batch = Batch::new();
        for sequence in finished {
            batch.delete(keys::erasure(*sequence));
        }
        Ok(self.engine.write(&batch, state.progress.timestamp.0)?)
    }
}
