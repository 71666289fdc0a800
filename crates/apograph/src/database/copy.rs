//! The way into a copy: entries of a source, appended and applied by the worker as an edit would be.

use std::sync::mpsc;

use apograph_store::StoreError;
use tokio::sync::oneshot;

use apograph_format::{
    Entry, EntryKind, Epoch, EpochFacts, Facts, Heartbeat, PartitionId, Position, Scope, ServerKey,
    SignedDigest, SourcePoint, Timestamp,
};

use super::Database;
use super::worker::{Command, JournalFailure, Worker, chain};
use crate::Role;
use crate::error::TakeError;

impl Database {
    /// Where each partition of this copy is: its position, and in a derived view its place in the source's journal.
    pub fn resume(&self) -> Vec<(PartitionId, Position, Option<SourcePoint>)> {
        let partition = |partition: PartitionId| {
            let end = self.shared.journal(partition).map(|journal| journal.end());
            let end = end.expect("there is a journal for every partition held");
            (partition, end, self.shared.source_of(partition))
        };
        self.held_partitions().iter().map(partition).collect()
    }

    /// Takes the next entries of a partition from a source: verified, appended, synced, and applied as far as all
    /// partitions allow. Everything that was taken is durable when this resolves.
    pub async fn take(&self, partition: PartitionId, entries: Vec<Entry>) -> Result<(), TakeError> {
        let stopped = || TakeError::Stopped {
            reason: self.stopped().unwrap_or_else(|| "the server is shutting down".into()),
        };
        if self.role() == Role::Primary || self.stopped().is_some() {
            return Err(stopped());
        }
        let (answer, taken) = oneshot::channel();
        match self.driven.queue.try_send(Command::Take(partition, entries, answer)) {
            Ok(()) => {}
            // One batch of each partition is on its way at a time, so the queue is never full of them.
            Err(mpsc::TrySendError::Full(_) | mpsc::TrySendError::Disconnected(_)) => return Err(stopped()),
        }
        taken.await.unwrap_or_else(|_| Err(stopped()))
    }

    /// Is this heartbeat the word of the server we follow, about our database? What it had done when it sent what came is here.
    pub fn note_heartbeat(
        &self,
        partition: PartitionId,
        heartbeat: &Heartbeat,
        source: &ServerKey,
    ) -> Result<(), TakeError> {
        heartbeat
            .verify(source, self.id(), partition)
            .map_err(|error| TakeError::Signature { reason: error.to_string() })?;
        let here = self.shared.journal(partition).map(|journal| journal.end().sequence);
        if let (Some(sent), Some(here)) = (heartbeat.sent, here)
            && here < sent
        {
            let reason = format!("the source has sent entry {sent}, and {here} is the last that came");
            return Err(TakeError::Refused { reason });
        }
        let looked = self.look_for_purges_cut_off(partition);
        looked.map_err(|error| TakeError::Stopped { reason: chain(&error) })
    }

    /// What awaits a purge although everything came since waits in vain. If it came before the present history began, the
    /// purge was cut off: the document is brought anew, like a damaged one. If it came since, the source lacks it for good, too.
    fn look_for_purges_cut_off(&self, partition: PartitionId) -> Result<(), StoreError> {
        let (Some(store), Some(journal)) = (self.shared.store(partition), self.shared.journal(partition))
        else {
            return Ok(());
        };
        let progress = store.progress();
        if store.is_syncing() || progress.position != journal.end() {
            return Ok(());
        }
        self.shared.note_caught_up(partition, progress.timestamp);
        let base = self.shared.file().base_of(progress.position.epoch);
        // Where nobody was promoted yet nothing was cut off.
        let Some(base) = base.filter(|base| *base > Timestamp::ZERO) else { return Ok(()) };
        for awaiting in store.awaiting_purges(progress.timestamp) {
            let (uri, since) = awaiting?;
            if since <= base {
                self.shared.suspect_erased(&uri);
            }
        }
        Ok(())
    }
}

impl Worker {
    /// Appends what came from a source. Nothing of the batch is kept if something in it is refused.
    pub(super) fn take(&mut self, partition: PartitionId, entries: &[Entry]) -> Result<(), TakeError> {
        if let Some(reason) = self.shared.stopped() {
            return Err(TakeError::Stopped { reason });
        }
        if self.shared.sync_marker().is_some() {
            return Err(TakeError::Stopped { reason: "a synchronization is going on".to_owned() });
        }
        if self.shared.role() == Role::Primary {
            return Err(TakeError::Stopped { reason: "this server is the primary".to_owned() });
        }
        // Who may begin an epoch is known when everything before is applied, and whose signatures count in it when it
        // has begun: such an entry is a batch of its own.
        let is_epoch = |entry: &Entry| entry.header().kind == EntryKind::Epoch;
        for batch in entries.chunk_by(|one, next| !is_epoch(one) && !is_epoch(next)) {
            self.take_batch(partition, batch)?;
        }
        self.shared.health().difference.clone().map_or(Ok(()), Err)
    }

    fn take_batch(&mut self, partition: PartitionId, entries: &[Entry]) -> Result<(), TakeError> {
        let mut verified = Vec::with_capacity(entries.len());
        for entry in entries {
            verified.push(self.verify(partition, entry)?);
        }
        let epochs: Vec<(Epoch, EpochFacts)> = entries
            .iter()
            .zip(&verified)
            .filter_map(|(entry, facts)| match facts {
                Facts::Epoch(facts) => Some((entry.header().epoch, facts.clone())),
                _ => None,
            })
            .collect();
        for (epoch, facts) in &epochs {
            let capped = self.cap_words(Some(partition), facts.base);
            capped.map_err(|error| TakeError::Stopped { reason: format!("epoch {epoch}: {error}") })?;
        }
        // Known before it is durable: a primary that lost its role must not find itself without knowing.
        let note = |worker: &mut Worker| {
            epochs.iter().try_for_each(|(epoch, facts)| worker.note_epoch(*epoch, facts))
        };
        let appended = self
            .append_all(entries, verified)
            .and_then(|()| note(self).map_err(JournalFailure::Write))
            .and_then(|()| self.sync(&[partition]));
        if let Err(failure) = appended {
            let undone = self.discard(&[partition]);
            if let JournalFailure::Fatal(reason) = &failure {
                self.shared.stop(reason.clone());
            } else if let Err(error) = undone {
                self.shared.stop(error.to_string());
            }
            let reason = failure.to_string();
            return Err(match failure {
                JournalFailure::Refused(_) => TakeError::Refused { reason },
                JournalFailure::Write(_) | JournalFailure::Fatal(_) => TakeError::Stopped { reason },
            });
        }
        self.shared.advance_source(partition, entries);
        self.apply().map_err(|reason| {
            self.shared.stall(reason.clone());
            TakeError::Stopped { reason }
        })
    }

    fn append_all(&mut self, entries: &[Entry], facts: Vec<Facts>) -> Result<(), JournalFailure> {
        for (entry, facts) in entries.iter().zip(facts) {
            self.append(entry)?;
            self.applier.offer(entry.clone(), facts);
        }
        Ok(())
    }

    /// Everything that can be checked of an entry before it is ours: partition, payloads, the primary's signature.
    fn verify(&self, partition: PartitionId, entry: &Entry) -> Result<Facts, TakeError> {
        let refused = |reason: String| TakeError::Refused { reason };
        if entry.header().partition != partition {
            return Err(refused(format!("an entry of partition {}", entry.header().partition)));
        }
        // Its bytes are those of its hash.
        let facts = entry.facts().map_err(|error| TakeError::NotUnderstood { reason: error.to_string() })?;
        entry.verify_payloads(&facts).map_err(|error| refused(error.to_string()))?;
        let epoch = entry.header().epoch;
        {
            let file = self.shared.file();
            if file.is_cut(epoch, entry.header().timestamp) {
                return Err(TakeError::LowerEpoch { found: epoch, seen: file.epoch });
            }
        }
        if let Facts::Epoch(facts) = &facts {
            self.verify_epoch(epoch, facts)?;
            // A partition in which the old history wrote nothing after the base would go on, and what is shown would be
            // of two histories.
            let visible = self.applier.applied();
            if visible > facts.base {
                return Err(TakeError::Forked { epoch, base: facts.base, visible });
            }
        }
        if let Facts::Checkpoint(checkpoint) = &facts {
            // Each epoch's checkpoints are signed by its own primary.
            let primary = self.shared.file().primary_of(epoch).map(|primary| primary.key);
            let primary = primary.ok_or_else(|| refused(format!("no primary of epoch {epoch} is known")))?;
            let scope = Scope { database: self.shared.id(), partition, at: checkpoint.at };
            let is_signed = |digest: &SignedDigest| digest.verify(&primary, &scope);
            checkpoint
                .digests
                .iter()
                .try_for_each(is_signed)
                .map_err(|error| TakeError::Signature { reason: error.to_string() })?;
        }
        Ok(facts)
    }
}
