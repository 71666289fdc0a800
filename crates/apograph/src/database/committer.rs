//! The committer: the only one who decides what enters the journal of a primary.
//!
//! A group of transactions is planned one after the other, each against what those before it leave; their entries are
//! appended, one sync makes them durable, they are applied and become visible in timestamp order, and then all answers
//! leave, refusals included: a refusal may rest on a transaction of the same group.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use bytes::Bytes;

use apograph_format::limits::FACTS_BYTES_MAX;
use apograph_format::packing::pack;
use apograph_format::seeded::{self, Seeded};
use apograph_format::{
    Checkpoint, ContentsFacts, Entry, EntryHeader, Epoch, Facts, Hash, Participants, PartitionId, Payload,
    Position, Published, Scope, ServerKey, SignedDigest, Timestamp, Token, TransactionFacts, View,
};
use apograph_journal::Journal;
use apograph_replication::published::shows;

use super::Shared;
use super::applier::Applier;
use super::plan::{Overlay, PayloadSource, Plan, PlannedPayload, State, plan};
use super::stages::Stage;
use super::state::now_us;
use super::worker::{Asked, JournalFailure, Worker, chain};
use crate::error::{CommitError, TransactionRefusal};
use crate::transaction::{Committed, Transaction};

/// A checkpoint is due after this many transactions.
const CHECKPOINT_TRANSACTIONS: u64 = 4_096;
/// What a copy is left between what it shows and a snapshot: every batch of its synchronization takes one.
const ROOM_US: u64 = 1_000_000;
/// How far ahead of this server's clock a copy may be that has to come back: two clocks that are wrong by a day each.
const AHEAD_MAX_US: u64 = 2 * 86_400 * 1_000_000;

/// What the committer remembers between transactions.
pub(super) struct Committer {
    epoch: Epoch,
    /// Commit timestamp of the last transaction or checkpoint.
    last: Timestamp,
    /// The same, of those that show in the published view.
    last_published: Timestamp,
    since_checkpoint: u64,
    /// The next checkpoint is later than this.
    beyond: Timestamp,
}

/// Where everything stood before a transaction or a group, to go back there.
#[derive(Clone, Copy)]
struct Mark {
    last: Timestamp,
    last_published: Timestamp,
    since_checkpoint: u64,
}

impl Committer {
    pub(super) fn new(shared: &Shared, applier: &Applier, journals: &[Journal]) -> Committer {
        let stores = &shared.stores;
        let unproven = |(store, journal): (&std::sync::Arc<apograph_store::Store>, &Journal)| {
            store.progress().checkpoint != Some(journal.end()) && journal.end().sequence > 0
        };
        let is_due = stores.iter().zip(journals).any(unproven);
        Committer {
            epoch: shared.epoch(),
            last: applier.applied(),
            last_published: stores
                .iter()
                .map(|store| store.progress().last_published)
                .max()
                .unwrap_or_default(),
            since_checkpoint: u64::from(is_due),
            beyond: Timestamp::ZERO,
        }
    }

    /// From now on entries are of this epoch.
    pub(super) fn begin_epoch(&mut self, epoch: Epoch) {
        self.epoch = epoch;
    }

    /// The entries that begin the epoch are durable; they show in every view, and no checkpoint covers them.
    pub(super) fn wrote(&mut self, timestamp: Timestamp) {
        self.last = timestamp;
        self.last_published = timestamp;
        self.since_checkpoint += 1;
    }

    /// Has a copy that shows `at` enough room below a snapshot as of `newest`?
    pub(super) fn is_room(at: Timestamp, newest: Timestamp) -> bool {
        at.0.saturating_add(ROOM_US) <= newest.0
    }

    /// A copy shows `at`, perhaps of a history that was cut off, and cannot go back: the next checkpoint leaves it room,
    /// though this server's clock is not that far. A clock that was wrong by more than that is left to people.
    pub(super) fn go_beyond(&mut self, at: Timestamp) {
        if at.0 <= now_us().saturating_add(AHEAD_MAX_US) {
            self.beyond = self.beyond.max(Timestamp(at.0 + ROOM_US));
        }
    }

    /// Commit timestamp of the last transaction or checkpoint.
    pub(super) fn last(&self) -> Timestamp {
        self.last
    }

    /// The same, of those that show in the published view.
    pub(super) fn last_published(&self) -> Timestamp {
        self.last_published
    }

    fn mark(&self) -> Mark {
        Mark { last: self.last, last_published: self.last_published, since_checkpoint: self.since_checkpoint }
    }

    fn go_back(&mut self, mark: Mark) {
        self.last = mark.last;
        self.last_published = mark.last_published;
        self.since_checkpoint = mark.since_checkpoint;
    }
}

impl Worker {
    /// Commits a group. Every transaction gets its answer, after everything it rests on is durable.
    pub(super) fn commit_group(&mut self, group: Vec<Asked>) {
        let group = self.keep_back(group);
        if !group.is_empty() {
            self.commit_now(group);
        }
    }

    /// The same, past the gate.
    pub(super) fn commit_now(&mut self, group: Vec<Asked>) {
        if !self.is_primary() || self.shared.stopped().is_some() {
            for asked in group {
                let refusal = self.shared.check_role().err();
                let _ = asked.answer.send(Err(refusal.unwrap_or_else(|| self.shared.stopped_error())));
            }
            return;
        }
        self.stopwatch.begin();
        let began = Instant::now();
        let waited: Vec<Duration> = group.iter().map(|asked| began.duration_since(asked.since)).collect();
        let mark = self.committer.mark();
        let mut overlay = Overlay::default();
        let mut touched = BTreeSet::new();
        let mut answers = Vec::with_capacity(group.len());
        let mut failure = None;
        for Asked { transaction, answer, .. } in group {
            let outcome = match &failure {
                None => self.write_transaction(&transaction, &mut overlay, &mut touched),
                Some(failed) => Err(WriteError::Journal(JournalFailure::Write(String::clone(failed)))),
            };
            let outcome = outcome.map_err(|error| {
                if let WriteError::Journal(journal) = &error {
                    failure.get_or_insert_with(|| journal.to_string());
                }
                error.into_commit_error()
            });
            answers.push((answer, outcome));
        }
        let touched: Vec<PartitionId> = touched.into_iter().collect();
        let written = failure.map_or(Ok(()), |failure| Err(JournalFailure::Write(failure)));
        self.stopwatch.lap(Stage::Planning);
        let synced = written.and_then(|()| self.sync(&touched));
        self.stopwatch.lap(Stage::Syncing);
        if let Err(failure) = synced {
            self.undo(mark, &touched, &failure);
            for (answer, outcome) in answers {
                // No success happened, and a refusal may rest on one of them.
                drop(outcome);
                let _ = answer.send(Err(CommitError::Stopped { reason: failure.to_string() }));
            }
            return;
        }
        let applied = self.apply().and_then(|()| match self.applier.applied() {
            applied if applied < self.committer.last => {
                Err(format!("what is durable is not whole after {applied}"))
            }
            _ => Ok(()),
        });
        if let Err(reason) = &applied {
            self.shared.stall(reason.clone());
        }
        for (answer, outcome) in answers {
            // Durable, but this server cannot show it: the fate is known, the answer says so.
            let outcome = outcome.and_then(|committed| match &applied {
                Ok(()) => Ok(committed),
                Err(reason) => Err(CommitError::Unshown { token: committed.token, reason: reason.clone() }),
            });
            let _ = answer.send(outcome);
        }
        self.stopwatch.lap(Stage::Applying);
        self.stopwatch.answered(&self.shared.stages, &self.shared.name, &waited);
    }

    /// Nothing of the group is durable: takes it back, so that the database is as if it had never been asked.
    fn undo(&mut self, mark: Mark, touched: &[PartitionId], failure: &JournalFailure) {
        self.committer.go_back(mark);
        let outcome = match failure {
            JournalFailure::Fatal(reason) => Err(reason.clone()),
            JournalFailure::Write(_) | JournalFailure::Refused(_) => {
                let touched = if seeded::is(Seeded::RefusedKept) { &[] } else { touched };
                self.discard(touched).map_err(|error| error.to_string())
            }
        };
        match outcome {
            Ok(()) => tracing::warn!(database = %self.shared.name, %failure, "transactions were taken back"),
            Err(reason) => self.shared.stop(reason),
        }
    }

    fn write_transaction(
        &mut self,
        transaction: &Transaction,
        overlay: &mut Overlay,
        touched: &mut BTreeSet<PartitionId>,
    ) -> Result<Committed, WriteError> {
        let timestamp = match seeded::is(Seeded::ClockBelieved) {
            true => Timestamp(now_us()),
            false => self.committer.last.next(now_us()),
        };
        let shared = std::sync::Arc::clone(&self.shared);
        let mut state = State::new(&shared.stores, shared.partitioning, self.applier.applied(), overlay);
        let mut planned = plan(transaction, timestamp, &mut state).map_err(WriteError::Refused)?;
        let results = std::mem::take(&mut planned.results);
        self.write_plan(planned, timestamp, touched)?;
        state.keep();
        self.committer.last = timestamp;
        self.committer.since_checkpoint += 1;
        Ok(Committed { token: Token { epoch: self.committer.epoch, timestamp }, results })
    }

    /// Appends the entries of a planned transaction, partition by partition.
    fn write_plan(
        &mut self,
        plan: Plan,
        timestamp: Timestamp,
        touched: &mut BTreeSet<PartitionId>,
    ) -> Result<(), WriteError> {
        let participants: Participants = plan.parts.keys().copied().collect();
        let shown = plan.parts.iter().filter(|(_, part)| part.changes.iter().any(shows));
        let shown: Participants = shown.map(|(partition, _)| *partition).collect();
        let published = (shown.count() > 0)
            .then_some(Published { participants: shown, previous: self.committer.last_published });
        let participants = match seeded::is(Seeded::ParticipantDropped) {
            true => plan.parts.keys().copied().take(1).collect(),
            false => participants,
        };
        let stamp = Stamp { timestamp, previous: self.committer.last, participants };
        let mut parts = Vec::with_capacity(plan.parts.len());
        for (partition, part) in plan.parts {
            let facts = Facts::Transaction(TransactionFacts {
                author: plan.author.clone(),
                comment: plan.comment.clone(),
                time: plan.time,
                changes: part.changes,
                contents: part.contents,
                source: None,
                cursor: plan.cursor.clone(),
                published,
                named: part.named,
            });
            let facts = checked(facts)?;
            parts.push((partition, facts, part.payloads));
        }
        // From here on entries are appended, so whatever fails takes the group with it.
        for (partition, facts, payloads) in parts {
            touched.insert(partition);
            self.write_part(partition, facts, payloads, stamp).map_err(WriteError::Journal)?;
        }
        if published.is_some() {
            self.committer.last_published = timestamp;
        }
        Ok(())
    }

    /// One partition's part: payloads that do not fit beside the facts go ahead, in entries of their own.
    fn write_part(
        &mut self,
        partition: PartitionId,
        facts: EncodedFacts,
        payloads: Vec<PlannedPayload>,
        stamp: Stamp,
    ) -> Result<(), JournalFailure> {
        let sized = payloads.into_iter().map(|payload| {
            let bytes = payload.bytes;
            (payload, bytes)
        });
        let mut groups = pack(sized);
        let beside = groups.pop().unwrap_or_default();
        for group in groups {
            let payloads = self.read_payloads(&group)?;
            let names: Vec<Hash> = payloads.iter().map(|payload| payload.hash).collect();
            let ahead = Facts::Contents(ContentsFacts { payloads: names, source: None });
            self.write_entry(partition, ahead, &payloads, stamp)?;
        }
        let payloads = self.read_payloads(&beside)?;
        self.write_entry(partition, facts, &payloads, stamp)
    }

    fn read_payloads(&self, group: &[PlannedPayload]) -> Result<Vec<Payload>, JournalFailure> {
        let failed = |error: &dyn std::error::Error| JournalFailure::Write(chain(error));
        let read = |planned: &PlannedPayload| {
            let bytes: Bytes = match &planned.from {
                PayloadSource::Memory(bytes) => bytes.clone(),
                PayloadSource::Spool(spooled, index) => {
                    spooled.chunk(*index).map_err(|error| failed(&error))?
                }
                PayloadSource::Store(partition) => {
                    let store = self.shared.store(*partition);
                    let bytes = store.map(|store| store.payload(&planned.hash)).transpose();
                    let missing = || JournalFailure::Write(format!("payload {} is not there", planned.hash));
                    bytes.map_err(|error| failed(&error))?.flatten().ok_or_else(missing)?
                }
            };
            Ok(Payload { hash: planned.hash, erased: false, bytes })
        };
        group.iter().map(read).collect()
    }

    pub(super) fn write_entry(
        &mut self,
        partition: PartitionId,
        facts: impl Into<EncodedFacts>,
        payloads: &[Payload],
        stamp: Stamp,
    ) -> Result<(), JournalFailure> {
        let EncodedFacts { facts, encoded } = facts.into();
        let journal = self.shared.slot(partition).and_then(|slot| self.journals.get(slot));
        let journal = journal.ok_or_else(|| JournalFailure::Refused("no such partition".into()))?;
        let end: Position = journal.end();
        let bytes = payloads.iter().map(Payload::stored_bytes).sum::<usize>() + encoded.len();
        let header = EntryHeader {
            kind: facts.kind(),
            starts_segment: journal.next_starts_segment(bytes as u64, stamp.timestamp),
            facts_bytes: 0,
            payloads: 0,
            payloads_bytes: 0,
            epoch: self.committer.epoch,
            sequence: end.sequence + 1,
            timestamp: stamp.timestamp,
            previous_timestamp: stamp.previous,
            synced: journal.synced_sequence(),
            participants: stamp.participants,
            partition,
            previous_hash: end.hash,
            hash: Hash([0; 32]),
        };
        let entry = Entry::seal(header, &encoded, payloads);
        self.append(&entry)?;
        self.applier.offer(entry, facts);
        Ok(())
    }

    /// Writes a checkpoint into every partition, after a burst or after enough transactions.
    pub(super) fn write_checkpoint_if_due(&mut self, idle: bool) {
        let since = self.committer.since_checkpoint;
        let is_due = since >= CHECKPOINT_TRANSACTIONS || (idle && since > 0);
        if is_due {
            self.write_checkpoint_now();
        }
    }

    /// Writes a checkpoint into every partition; on a primary only.
    pub(super) fn write_checkpoint_now(&mut self) {
        if !self.is_primary() || self.hold.is_some() || self.shared.stopped().is_some() {
            return;
        }
        self.stopwatch.begin();
        let mark = self.committer.mark();
        let touched: Vec<PartitionId> = self.shared.partitioning.all().collect();
        match self.write_checkpoint().and_then(|()| self.sync(&touched)) {
            Ok(()) => {
                if let Err(reason) = self.apply() {
                    self.shared.stall(reason);
                }
            }
            Err(failure) => self.undo(mark, &touched, &failure),
        }
        self.stopwatch.other(&self.shared.stages, Stage::Checkpoint);
    }

    fn write_checkpoint(&mut self) -> Result<(), JournalFailure> {
        let clock = now_us();
        let timestamp = self.committer.last.max(self.committer.beyond).next(clock);
        let partitioning = self.shared.partitioning;
        let participants = partitioning.everyone();
        let published = Published { participants, previous: self.committer.last_published };
        for partition in partitioning.all() {
            let (Some(journal), Some(store)) = (
                self.shared.slot(partition).and_then(|slot| self.journals.get(slot)),
                self.shared.store(partition),
            ) else {
                continue;
            };
            let at = journal.end();
            let scope = Scope { database: self.shared.id(), partition, at };
            let sign = |view| {
                let (digest, documents, _) = store.digest(view)?;
                Some(SignedDigest::sign(&self.shared.key, &scope, view, digest, documents))
            };
            let facts = Facts::Checkpoint(Checkpoint {
                clock: i64::try_from(clock).unwrap_or(i64::MAX),
                signer: ServerKey(self.shared.key.verifying_key().to_bytes()),
                at,
                digests: View::ALL.into_iter().filter_map(sign).collect(),
                source: None,
                published: Some(published),
            });
            let stamp = Stamp { timestamp, previous: self.committer.last, participants };
            self.write_entry(partition, facts, &[], stamp)?;
        }
        self.committer.last = timestamp;
        self.committer.last_published = timestamp;
        self.committer.since_checkpoint = 0;
        Ok(())
    }
}

/// Facts, and their stored form.
pub(super) struct EncodedFacts {
    facts: Facts,
    encoded: Vec<u8>,
}

impl From<Facts> for EncodedFacts {
    fn from(facts: Facts) -> EncodedFacts {
        EncodedFacts { encoded: facts.encode(), facts }
    }
}

/// Facts that are not too large for one entry.
fn checked(facts: Facts) -> Result<EncodedFacts, WriteError> {
    let facts = EncodedFacts::from(facts);
    let (max, found) = (FACTS_BYTES_MAX, facts.encoded.len());
    if found <= max {
        return Ok(facts);
    }
    let what = "bytes of the facts of a transaction in one partition";
    Err(WriteError::Refused(TransactionRefusal::TooLarge { what, max, found }.into()))
}

/// When an entry happens.
#[derive(Clone, Copy)]
pub(super) struct Stamp {
    pub(super) timestamp: Timestamp,
    pub(super) previous: Timestamp,
    pub(super) participants: Participants,
}

/// Why a transaction was not written.
enum WriteError {
    /// It cannot be done; nothing of it was appended.
    Refused(CommitError),
    /// Something of it may have been appended.
    Journal(JournalFailure),
}

impl WriteError {
    fn into_commit_error(self) -> CommitError {
        match self {
            WriteError::Refused(error) => error,
            WriteError::Journal(failure) => CommitError::Stopped { reason: failure.to_string() },
        }
    }
}
