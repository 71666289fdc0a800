//! What owns the journals of a database: the only place that appends. A thread drives it, or [`super::drive`] says who.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use apograph_format::{Entry, PartitionId, Timestamp};
use apograph_journal::{AppendError, Journal, SyncError};

use super::Shared;
use super::applier::{Applier, Compared};
use super::committer::Committer;
use super::gate::Kept;
use super::part::{Heard, Word};
use super::roles::Hold;
use super::stages::{Stage, Stopwatch};
use super::synchronize::Installing;
use crate::Role;
use crate::error::{CommitError, TakeError};
use crate::transaction::{Committed, Transaction};

/// Transactions that share a sync.
const GROUP_MAX: usize = 512;
/// After this much silence the worker writes a checkpoint and does its housekeeping.
const IDLE: Duration = Duration::from_millis(250);
/// Housekeeping happens at least this often, also under load.
const UPKEEP: Duration = Duration::from_secs(5);
/// Erasing rewrites tables: while a reader holds an old one open, it is tried again only after this long.
const ERASE_PAUSE: Duration = Duration::from_secs(3);

/// A transaction that somebody waits for.
pub(super) struct Asked {
    pub(super) transaction: Transaction,
    pub(super) answer: oneshot::Sender<Result<Committed, CommitError>>,
    pub(super) since: Instant,
}

impl Asked {
    pub(super) fn new(
        transaction: Transaction,
    ) -> (Asked, oneshot::Receiver<Result<Committed, CommitError>>) {
        let (answer, pending) = oneshot::channel();
        (Asked { transaction, answer, since: Instant::now() }, pending)
    }
}

/// What the worker is asked.
pub(super) enum Command {
    Commit(Box<Asked>),
    Take(PartitionId, Vec<Entry>, oneshot::Sender<Result<(), TakeError>>),
    /// What the source says of a partition that is held.
    Heard(Word),
    /// Work that only the owner of journals and stores may do.
    Do(Box<dyn FnOnce(&mut Worker) + Send>),
    Stop,
}

/// What owns the journals of a database.
pub(super) struct Worker {
    pub(super) shared: Arc<Shared>,
    pub(super) journals: Vec<Journal>,
    pub(super) applier: Applier,
    pub(super) committer: Committer,
    pub(super) installing: Installing,
    /// What the source said and does not count yet.
    pub(super) heard: Heard,
    /// Writes wait.
    pub(super) hold: Option<Hold>,
    /// What waits at the gate.
    pub(super) kept: Kept,
    pub(super) stopwatch: Stopwatch,
    last_upkeep: Instant,
    /// When purged bytes were last found in a file that a reader holds open.
    last_erase: Option<Instant>,
    last_attempt: Instant,
}

/// Why journals could not take what the worker has for them.
#[derive(Debug, thiserror::Error)]
pub(super) enum JournalFailure {
    /// The disk refused a write, it is full perhaps. What was not synced can be taken back.
    #[error("the journal cannot be written: {0}")]
    Write(String),
    /// A sync failed, or worse: the process must stop.
    #[error("{0}")]
    Fatal(String),
    /// What arrived is not the next entry.
    #[error("{0}")]
    Refused(String),
}

impl Worker {
    pub(super) fn new(shared: Arc<Shared>, journals: Vec<Journal>, applier: Applier) -> Worker {
        let committer = Committer::new(&shared, &applier, &journals);
        let now = Instant::now();
        let installing = Installing::default();
        Worker {
            shared,
            journals,
            applier,
            committer,
            installing,
            heard: Heard::default(),
            hold: None,
            kept: Kept::default(),
            stopwatch: Stopwatch::new(),
            last_upkeep: now,
            last_attempt: now,
            last_erase: None,
        }
    }

    /// Works until it is told to stop or nobody can ask any more.
    pub(super) fn run(mut self, queue: &Receiver<Command>) {
        while self.turn(queue.recv_timeout(IDLE), queue).is_continue() {}
        self.finish();
    }

    /// One turn: a command and what waits behind it, or what is done when none came for [`IDLE`]. Breaks when there is to
    /// be no other.
    pub(super) fn turn(
        &mut self,
        came: Result<Command, RecvTimeoutError>,
        queue: &Receiver<Command>,
    ) -> ControlFlow<()> {
        match came {
            Ok(Command::Stop) | Err(RecvTimeoutError::Disconnected) => return ControlFlow::Break(()),
            Ok(command) => {
                if self.work(command, queue) {
                    return ControlFlow::Break(());
                }
            }
            Err(RecvTimeoutError::Timeout) => {
                if self.shared.stopped().is_none() {
                    self.believe();
                    self.write_checkpoint_if_due(true);
                    self.upkeep();
                }
            }
        }
        self.heed_stores();
        self.release_if_over();
        self.try_again_if_stalled();
        if self.shared.stopped().is_none() {
            self.write_checkpoint_if_due(false);
            if self.last_upkeep.elapsed() > UPKEEP {
                self.upkeep();
            }
        }
        ControlFlow::Continue(())
    }

    /// A store whose write or sync failed is not gone on with, like a journal: the next start finds out what is on the disk.
    fn heed_stores(&self) {
        let failed = self.shared.stores.iter().find_map(|store| store.failed());
        if let Some(reason) = failed
            && self.shared.health().stopped.is_none()
        {
            self.shared.stop(format!("a store failed: {reason}"));
        }
    }

    /// Does a command and what waits behind it; answers whether it was told to stop.
    fn work(&mut self, command: Command, queue: &Receiver<Command>) -> bool {
        let mut group = Vec::new();
        let mut next = Some(command);
        while let Some(command) = next.take() {
            match command {
                Command::Stop => {
                    self.commit_group(group);
                    return true;
                }
                Command::Commit(asked) => {
                    // What a purge takes, and what it leaves, is known when everything before it is applied.
                    let is_alone = asked.transaction.purges();
                    if is_alone {
                        self.commit_group(std::mem::take(&mut group));
                    }
                    group.push(*asked);
                    if group.len() < GROUP_MAX && !is_alone {
                        next = queue.try_recv().ok();
                    }
                }
                Command::Do(work) => {
                    self.commit_group(std::mem::take(&mut group));
                    self.believe();
                    self.stopwatch.begin();
                    work(self);
                    self.stopwatch.other(&self.shared.stages, Stage::Request);
                    next = queue.try_recv().ok();
                }
                Command::Heard(word) => {
                    self.hear(word);
                    next = queue.try_recv().ok();
                }
                Command::Take(partition, entries, answer) => {
                    let outcome = self.take(partition, &entries);
                    let _ = answer.send(outcome);
                    next = queue.try_recv().ok();
                }
            }
        }
        self.commit_group(group);
        self.believe();
        false
    }

    fn journal_mut(&mut self, partition: PartitionId) -> Option<&mut Journal> {
        self.journals.get_mut(self.shared.slot(partition)?)
    }

    /// Begins to apply anew, from what the stores have.
    pub(super) fn renew_applier(&mut self) {
        let readers = self.journals.iter().map(Journal::reader).collect();
        self.applier = Applier::new(&self.shared.stores, readers, self.applier.held().clone());
    }

    /// Appends an entry to its partition's journal; not durable yet.
    pub(super) fn append(&mut self, entry: &Entry) -> Result<(), JournalFailure> {
        let journal = self.journal_mut(entry.header().partition);
        let journal = journal.ok_or_else(|| JournalFailure::Refused("no such partition".into()))?;
        journal.append(entry).map_err(|error| match error {
            AppendError::Refused { reason } => JournalFailure::Refused(reason.to_string()),
            AppendError::Write(failure) => JournalFailure::Write(chain(&failure)),
            AppendError::Poisoned(failure) => JournalFailure::Fatal(chain(&failure)),
        })
    }

    /// Makes durable what was appended to these partitions: in all of them, or in none unless the database stops.
    pub(super) fn sync(&mut self, touched: &[PartitionId]) -> Result<(), JournalFailure> {
        let failed = |error| match error {
            SyncError::Write(failure) => JournalFailure::Write(chain(&failure)),
            SyncError::Poisoned(failure) => JournalFailure::Fatal(chain(&failure)),
        };
        for partition in touched {
            let Some(journal) = self.journal_mut(*partition) else { continue };
            journal.write_out().map_err(failed)?;
        }
        for partition in touched {
            let Some(journal) = self.journal_mut(*partition) else { continue };
            journal.sync().map_err(failed)?;
        }
        Ok(())
    }

    /// Something durable could not be applied, because the disk is full, say. Starts over from what the stores have, as
    /// an opening would, until it works.
    fn try_again_if_stalled(&mut self) {
        if !self.shared.is_stalled() || self.last_attempt.elapsed() < IDLE {
            return;
        }
        self.renew_applier();
        match self.apply() {
            Ok(()) => self.shared.go_on(),
            Err(reason) => self.shared.stall(reason),
        }
        self.last_attempt = Instant::now();
    }

    /// Takes back what was appended and not synced.
    pub(super) fn discard(&mut self, touched: &[PartitionId]) -> Result<(), JournalFailure> {
        self.applier.forget_offers();
        for partition in touched {
            let Some(journal) = self.journal_mut(*partition) else { continue };
            journal.discard_unsynced().map_err(|error| JournalFailure::Fatal(chain(&error)))?;
        }
        Ok(())
    }

    /// Applies what is durable, shows it, remembers it as acknowledged.
    pub(super) fn apply(&mut self) -> Result<(), String> {
        let shared = &self.shared;
        self.applier.run(|compared| compare(shared, &compared)).map_err(|error| chain(&error))?;
        let applied = self.applier.applied();
        let partitions = self.shared.held.iter().enumerate();
        for ((index, partition), journal) in partitions.zip(&mut self.journals) {
            if let Some(appended) = self.shared.appended.get(index) {
                appended.store(journal.bytes_appended(), Ordering::Release);
            }
            let position =
                self.applier.position(partition).filter(|at| at.sequence > journal.acknowledged().sequence);
            if let Some(position) = position {
                journal.acknowledge(&position).map_err(|error| chain(&error))?;
                self.shared.entered(position.epoch);
            }
        }
        if applied > self.shared.visible() {
            self.shared.visible.send_replace(applied);
        }
        Ok(())
    }

    pub(super) fn is_primary(&self) -> bool {
        self.shared.role() == Role::Primary && self.shared.fenced().is_none()
    }

    /// Retention, erasures, and what else the owner of the journals must do from time to time.
    fn upkeep(&mut self) {
        self.stopwatch.begin();
        self.last_upkeep = Instant::now();
        if let Err(error) = self.keep_house() {
            self.shared.alarm(error);
        }
        self.stopwatch.other(&self.shared.stages, Stage::Housekeeping);
    }

    fn keep_house(&mut self) -> Result<(), String> {
        let now = Timestamp(super::state::now_us());
        let count = self.shared.held.count();
        let is_backed_up = self.shared.backing_up.load(Ordering::Acquire);
        for store in &self.shared.stores {
            let Some(left) = store.left_unerased() else { continue };
            self.last_erase = Some(Instant::now());
            if let Some(failure) = left.failure {
                self.shared.alarm(chain(&failure));
            }
        }
        let erase = self.last_erase.is_none_or(|at| at.elapsed() > ERASE_PAUSE) && !is_backed_up;
        for (store, journal) in self.shared.stores.iter().zip(&mut self.journals) {
            let persisted = store.persisted().map_err(|error| chain(&error))?;
            let needed = persisted.map_or(0, |progress| progress.position.sequence);
            let retention = self.shared.settings.retention(now, needed);
            let retention = apograph_journal::Retention {
                bytes_max: retention.bytes_max / u64::from(count),
                ..retention
            };
            let gone = if is_backed_up {
                Vec::new()
            } else {
                journal.retire(&retention).map_err(|error| chain(&error))?
            };
            for gone in gone {
                tracing::info!(database = %self.shared.name, segment = %gone.path.display(), "retired a segment");
            }
            if journal.is_held_back(&retention) {
                store.ask_flush();
            }
            if erase {
                super::upkeep::begin_erasing(store, journal)?;
            }
            if let Some(horizon) = self.shared.settings.horizon(now, store.horizon()) {
                // A copy that reads a snapshot needs what was then.
                let horizon = self.shared.pins.oldest().map_or(horizon, |oldest| oldest.min(horizon));
                store.raise_horizon(horizon.min(self.applier.applied())).map_err(|error| chain(&error))?;
            }
        }
        Ok(())
    }

    /// The last thing it does.
    pub(super) fn finish(&mut self) {
        self.release_writes();
        self.refuse_kept(|| CommitError::Stopped { reason: "the server is shutting down".into() });
        if self.shared.stopped().is_none() {
            self.write_checkpoint_if_due(true);
        }
        for journal in self.journals.drain(..) {
            if let Err(error) = journal.close() {
                tracing::warn!(error = %chain(&error), "a journal was not closed; the next start repairs it");
            }
        }
        for store in &self.shared.stores {
            if store.failed().is_some() {
                tracing::warn!("a store that failed is not flushed; the next start replays more");
            } else if let Err(error) = store.flush() {
                tracing::warn!(%error, "the store was not flushed; the next start replays more");
            }
        }
    }
}

/// A checkpoint was passed: does this server have what the primary says?
pub(super) fn compare(shared: &Shared, compared: &Compared) {
    let view = shared.view();
    let expected = compared.checkpoint.digest(view);
    let found = compared.found.iter().find(|(held, _, _)| *held == view);
    if let (Some(expected), Some((_, found, documents))) = (expected, found) {
        if expected.digest == *found && expected.documents == *documents {
            shared.set_proof(compared.partition, compared.at);
            let mut health = shared.health();
            let is_healed = |difference: &mut TakeError| matches!(difference, TakeError::Diverged { partition, .. } if *partition == compared.partition.0);
            health.difference.take_if(is_healed);
        } else if shared.sync_outcome().is_none_or(|outcome| outcome.is_whole()) {
            shared.health().difference = Some(TakeError::Diverged {
                partition: compared.partition.0,
                at: compared.at,
                expected: expected.digest,
                found: *found,
            });
            shared.alarm(format!(
                "partition {} differs from the primary at checkpoint {}: digest {found} of {documents} documents, expected {} of {}",
                compared.partition, compared.at, expected.digest, expected.documents
            ));
        }
    }
}

/// An error with all its causes on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
