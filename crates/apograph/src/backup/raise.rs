//! A restored primary begins a new epoch: whoever followed the old history notices, for what comes after the backup there
//! is not of this history. The first entry of the epoch is a checkpoint, so that the new epoch is durable with it.

use std::sync::Arc;

use ed25519_dalek::SigningKey;

use apograph_format::{
    Checkpoint, Entry, EntryHeader, Facts, Hash, Published, Scope, ServerKey, SignedDigest, View,
};
use apograph_journal::Journal;
use apograph_store::Store;

use super::BackupError;
use crate::database::{Applier, DatabaseFile, chain, now_us};

/// What a new epoch is begun with.
pub(super) struct Raise<'a> {
    pub(super) key: &'a SigningKey,
    pub(super) file: &'a DatabaseFile,
    pub(super) epoch: u64,
}

impl Raise<'_> {
    /// Writes a checkpoint of the new epoch into every partition, and applies it.
    pub(super) fn run(
        &self,
        journals: &mut [Journal],
        stores: &[Arc<Store>],
        applier: &mut Applier,
    ) -> Result<(), BackupError> {
        let failed = |error: &dyn std::error::Error| BackupError::Stopped { reason: chain(error) };
        let (clock, previous) = (now_us(), applier.applied());
        let timestamp = previous.next(clock);
        let participants = self.file.partitions.everyone();
        let last_published = stores.iter().map(|store| store.progress().last_published).max();
        let published = Published { participants, previous: last_published.unwrap_or_default() };
        for ((partition, journal), store) in self.file.partitions.all().zip(journals.iter_mut()).zip(stores) {
            let at = journal.end();
            let scope = Scope { database: self.file.id, partition, at };
            let sign = |view| {
                let (digest, documents, _) = store.digest(view)?;
                Some(SignedDigest::sign(self.key, &scope, view, digest, documents))
            };
            let facts = Facts::Checkpoint(Checkpoint {
                clock: i64::try_from(clock).unwrap_or(i64::MAX),
                signer: ServerKey(self.key.verifying_key().to_bytes()),
                at,
                digests: View::ALL.into_iter().filter_map(sign).collect(),
                source: None,
                published: Some(published),
            });
            let encoded = facts.encode();
            let header = EntryHeader {
                kind: facts.kind(),
                starts_segment: journal.next_starts_segment(encoded.len() as u64, timestamp),
                facts_bytes: 0,
                payloads: 0,
                payloads_bytes: 0,
                epoch: self.epoch,
                sequence: at.sequence + 1,
                timestamp,
                previous_timestamp: previous,
                synced: journal.synced_sequence(),
                participants,
                partition,
                previous_hash: at.hash,
                hash: Hash([0; 32]),
            };
            journal.append(&Entry::seal(header, &encoded, &[])).map_err(|error| failed(&error))?;
        }
        for journal in journals.iter_mut() {
            journal.sync().map_err(|error| failed(&error))?;
        }
        *applier = Applier::new(stores, journals.iter().map(Journal::reader).collect());
        applier.run(|_| {}).map_err(|error| failed(&error))
    }
}
