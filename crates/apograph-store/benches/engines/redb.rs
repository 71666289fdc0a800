//! redb: timestamps in the key, a cursor in every transaction, durable every few thousand transactions.

use std::path::Path;

use redb::{Database, Durability, ReadableDatabase as _, TableDefinition};

use crate::{
    candidate::{Candidate, unversioned, versioned},
    workload::Transaction,
};

pub struct Redb {
    database: Database,
    since_durable: u32,
    last: u64,
}

const DOCUMENTS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("documents");
const BODIES: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("bodies");
const CURSOR: TableDefinition<'_, (), u64> = TableDefinition::new("cursor");

/// About what the others hold in their write buffers.
const DURABLE_EVERY: u32 = 5_000;

impl Redb {
    pub fn open(folder: &Path) -> Self {
        std::fs::create_dir_all(folder).unwrap();
        let database =
            Database::builder().set_cache_size(64 << 20).create(folder.join("store.redb")).unwrap();
        Self { database, since_durable: 0, last: 0 }
    }

    fn commit(&self, durability: Durability, write: impl FnOnce(&redb::WriteTransaction)) {
        let mut transaction = self.database.begin_write().unwrap();
        // Without it, opening after a crash reads the whole file.
        transaction.set_quick_repair(matches!(durability, Durability::Immediate));
        transaction.set_durability(durability).unwrap();
        write(&transaction);
        transaction.commit().unwrap();
    }
}

impl Candidate for Redb {
    fn apply(&mut self, transaction: &Transaction<'_>) {
        self.since_durable += 1;
        self.last = transaction.at;
        let durability = if self.since_durable == DURABLE_EVERY {
            self.since_durable = 0;
            Durability::Immediate
        } else {
            Durability::None
        };
        self.commit(durability, |write| {
            let mut documents = write.open_table(DOCUMENTS).unwrap();
            let mut bodies = write.open_table(BODIES).unwrap();
            documents.insert(&versioned(&transaction.uri, transaction.at)[..], transaction.head).unwrap();
            bodies.insert(&transaction.body_hash[..], transaction.body).unwrap();
            bodies.insert(&transaction.content_hash[..], transaction.content).unwrap();
            for (key, value) in &transaction.nodes {
                documents.insert(&versioned(key, transaction.at)[..], *value).unwrap();
            }
            write.open_table(CURSOR).unwrap().insert((), transaction.at).unwrap();
        });
    }

    fn persist(&mut self) {
        self.commit(Durability::Immediate, |write| {
            write.open_table(CURSOR).unwrap().insert((), self.last).unwrap();
        });
    }

    fn settle(&mut self) {}

    fn persisted(&self) -> Option<u64> {
        let read = self.database.begin_read().unwrap();
        Some(read.open_table(CURSOR).unwrap().get(()).unwrap()?.value())
    }

    fn head(&self, uri: &[u8], at: u64) -> Option<usize> {
        let read = self.database.begin_read().unwrap();
        let documents = read.open_table(DOCUMENTS).unwrap();
        let (key, value) = documents.range(&versioned(uri, at)[..]..).unwrap().next()?.unwrap();
        (unversioned(key.value()).0 == uri).then_some(value.value().len())
    }

    fn content(&self, hash: &[u8]) -> Option<usize> {
        let read = self.database.begin_read().unwrap();
        let bodies = read.open_table(BODIES).unwrap();
        bodies.get(hash).unwrap().map(|content| content.value().len())
    }

    fn scan(&self, from: &[u8], count: usize, at: u64) -> usize {
        let read = self.database.begin_read().unwrap();
        let documents = read.open_table(DOCUMENTS).unwrap();
        let mut last = Vec::new();
        let mut found = 0;
        for entry in documents.range(from..).unwrap() {
            let (key, _) = entry.unwrap();
            let (key, written) = unversioned(key.value());
            if !key.starts_with(from) || found == count {
                break;
            }
            if written <= at && last != key {
                last = key.to_vec();
                found += 1;
            }
        }
        found
    }

    fn erase(&mut self, _: &[u8]) -> bool {
        // A removed value stays in its page until the page is used again; compaction moves pages only.
        false
    }
}
