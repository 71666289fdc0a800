//! fjall: timestamps in the key, a cursor in every batch, its own journal written but not synced.

use std::path::Path;

use fjall::{
    CompressionType, Database, Keyspace, KeyspaceCreateOptions, PersistMode, Readable as _,
    config::CompressionPolicy,
};

use crate::{
    candidate::{Candidate, unversioned, versioned},
    workload::Transaction,
};

pub struct Fjall {
    database: Database,
    documents: Keyspace,
    bodies: Keyspace,
}

const CURSOR: &[u8] = b"\0cursor";

impl Fjall {
    pub fn open(folder: &Path) -> Self {
        let database = Database::builder(folder)
            .cache_size(32 << 20)
            .manual_journal_persist(true)
            .worker_threads(2)
            .open()
            .unwrap();
        let options = || {
            KeyspaceCreateOptions::default()
                .max_memtable_size(16 << 20)
                .data_block_compression_policy(CompressionPolicy::all(CompressionType::None))
        };
        let documents = database.keyspace("documents", options).unwrap();
        let bodies = database.keyspace("bodies", options).unwrap();
        Self { database, documents, bodies }
    }
}

impl Candidate for Fjall {
    fn apply(&mut self, transaction: &Transaction<'_>) {
        let mut batch = self.database.batch().durability(None);
        batch.insert(&self.documents, versioned(&transaction.uri, transaction.at), transaction.head);
        batch.insert(&self.bodies, transaction.body_hash, transaction.body);
        batch.insert(&self.bodies, transaction.content_hash, transaction.content);
        for (key, value) in &transaction.nodes {
            batch.insert(&self.documents, versioned(key, transaction.at), *value);
        }
        batch.insert(&self.documents, CURSOR, transaction.at.to_be_bytes());
        batch.commit().unwrap();
    }

    fn persist(&mut self) {
        self.database.persist(PersistMode::SyncAll).unwrap();
    }

    fn settle(&mut self) {
        while self.database.outstanding_flushes() > 0 || self.database.active_compactions() > 0 {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }

    fn persisted(&self) -> Option<u64> {
        let cursor = self.documents.get(CURSOR).unwrap()?;
        Some(u64::from_be_bytes((*cursor).try_into().unwrap()))
    }

    fn head(&self, uri: &[u8], at: u64) -> Option<usize> {
        let (key, value) = self.documents.range(versioned(uri, at)..).next()?.into_inner().unwrap();
        (unversioned(&key).0 == uri).then_some(value.len())
    }

    fn content(&self, hash: &[u8]) -> Option<usize> {
        self.bodies.get(hash).unwrap().map(|content| content.len())
    }

    fn scan(&self, from: &[u8], count: usize, at: u64) -> usize {
        let mut last = Vec::new();
        let snapshot = self.database.snapshot();
        let mut found = 0;
        for entry in snapshot.prefix(&self.documents, from) {
            let (key, _) = entry.into_inner().unwrap();
            let (key, written) = unversioned(&key);
            if written <= at && last != key {
                last = key.to_vec();
                found += 1;
            }
            if found == count {
                break;
            }
        }
        found
    }

    fn erase(&mut self, hash: &[u8]) -> bool {
        self.bodies.remove(hash).unwrap();
        self.bodies.rotate_memtable_and_wait().unwrap();
        self.bodies.major_compact().unwrap();
        true
    }
}
