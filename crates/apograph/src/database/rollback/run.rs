//! A rollback is done: writes wait, what differs is found and changed, transaction by transaction.
//!
//! Up to some ten thousand documents it is one transaction, all or nothing. What does not fit into one becomes several;
//! a mark that moves with them says that it was begun, and whoever asks again goes on: what stands as it stood is passed by.

use std::time::{Duration, Instant};

use apograph_format::timestamp::rfc3339;
use apograph_format::{Timestamp, Token, Uri};

use super::super::Database;
use super::super::gate::GateMode;
use super::super::roles::{Hold, Holder};
use super::super::synchronize::SyncError;
use super::super::worker::{Asked, Worker};
use super::mark::{CURSOR, Mark};
use super::{Looked, RollbackDocument, RollbackOutcome, RollbackQuery, Weight};
use crate::error::{CommitError, ReadError};
use crate::transaction::{Action, Committed, CursorMove, Operation, Precondition, RollBack, Transaction};

/// Facts of one transaction, estimated: half of what an entry takes.
const FACTS_BYTES: usize = apograph_format::limits::FACTS_BYTES_MAX / 2;
/// Version bodies of one transaction, which are held until they are written.
const BODIES_BYTES: usize = 16 << 20;
/// A hold that nobody renews for so long ends: the rollback is gone.
const LEASE: Duration = Duration::from_secs(30);
/// So often it is renewed.
const RENEW: Duration = Duration::from_millis(500);
/// A write waits so long for a rollback, then it is told to come back.
const WRITES_WAIT: Duration = Duration::from_secs(5);
/// Once begun, a rollback waits so long for a copy that writes have to wait for.
const COPY_WAIT: Duration = Duration::from_secs(600);

/// To when, and in whose name.
#[derive(Debug, Clone)]
pub struct RollbackRequest {
    /// To when.
    pub to: Timestamp,
    /// Who asks.
    pub author: String,
    /// Why; none says to when.
    pub comment: Option<String>,
    /// At most so many documents in one transaction.
    pub documents_max: usize,
}

impl RollbackRequest {
    /// A rollback in as few transactions as possible.
    pub fn new(to: Timestamp, author: impl Into<String>) -> RollbackRequest {
        RollbackRequest { to, author: author.into(), comment: None, documents_max: usize::MAX }
    }
}

/// What a rollback did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RolledBack {
    /// To when.
    pub to: Timestamp,
    /// The last moment before it, also when it was gone on with: rolling back to it takes it back.
    pub from: Timestamp,
    /// How much.
    pub progress: RollbackProgress,
}

/// How far a rollback is: all of it durable and to be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RollbackProgress {
    /// Transactions.
    pub transactions: u64,
    /// Documents that were changed.
    pub documents: u64,
    /// Of them: whose text was saved again.
    pub saved: u64,
    /// Of them: that went to the trash, because they were not there.
    pub trashed: u64,
    /// Documents that cannot become what they were.
    pub lost: u64,
    /// Token of the last transaction; none if nothing was to be done.
    pub token: Option<Token>,
}

/// What happens on the way.
#[derive(Debug)]
pub enum RollbackEvent<'a> {
    /// This document cannot become what it was.
    Lost(&'a RollbackDocument),
    /// A transaction is durable and to be seen.
    Committed(&'a RollbackProgress),
}

/// Why a database was not rolled back, or not further: asking again goes on.
#[derive(Debug, thiserror::Error)]
pub enum RollbackError {
    /// Another one is running.
    #[error("a rollback to {} is running", .to.to_rfc3339())]
    Running {
        /// To when.
        to: Timestamp,
    },
    /// Writes went on in between.
    #[error("the rollback was interrupted, and writes went on; ask again to finish it")]
    Interrupted,
    /// That time cannot be read, or a document cannot.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A transaction was refused.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

impl From<SyncError> for RollbackError {
    fn from(error: SyncError) -> RollbackError {
        CommitError::Stopped { reason: error.to_string() }.into()
    }
}

/// The rollback that runs now.
#[derive(Debug, Clone, Copy)]
pub(in crate::database) struct Running {
    to: Timestamp,
    progress: RollbackProgress,
}

impl Database {
    /// Makes the state of an earlier time the current one. Writes wait meanwhile. Not to be called on an async thread;
    /// durable and visible on return. After an error what was committed stays: asking again goes on.
    pub fn roll_back(
        &self,
        request: RollbackRequest,
        mut tell: impl FnMut(RollbackEvent<'_>),
    ) -> Result<RolledBack, RollbackError> {
        self.check_writable()?;
        let mut run = Run::begin(self, request)?;
        let mut preview =
            self.rollback_preview(RollbackQuery { to: run.request.to, at: None, after: None })?;
        while let Some(looked) = preview.look() {
            match looked? {
                Looked::Same => {}
                Looked::Differs(document, weight) => run.take(*document, weight, &mut tell)?,
            }
            run.renew_if_due()?;
        }
        run.finish(&mut tell)
    }

    /// The rollback that this server does now: to when, and how far it is.
    pub fn running_rollback(&self) -> Option<(Timestamp, RollbackProgress)> {
        self.shared.rollback().map(|running| (running.to, running.progress))
    }

    /// A rollback that was begun and that nobody does, on a primary: for the alarms.
    pub(in crate::database) fn unfinished_rollback(&self) -> Option<String> {
        if self.role() != crate::Role::Primary || self.shared.rollback().is_some() {
            return None;
        }
        let last = self.last_rollback().ok().flatten().filter(|last| !last.is_done)?;
        Some(format!(
            "a rollback to {to} was interrupted: `apograph rollback --to {to}` finishes it, `--to {}` takes it back",
            last.from,
            to = last.to
        ))
    }
}

/// A rollback on its way. When it goes, writes go on.
struct Run<'d> {
    database: &'d Database,
    request: RollbackRequest,
    from: Timestamp,
    /// What the mark said before.
    found: Option<String>,
    was_begun: bool,
    batch: Vec<Uri>,
    weight: Weight,
    /// Of documents in the batch.
    saved: u64,
    trashed: u64,
    progress: RollbackProgress,
    renewed: Instant,
}

impl<'d> Run<'d> {
    fn begin(database: &'d Database, request: RollbackRequest) -> Result<Run<'d>, RollbackError> {
        let to = request.to;
        {
            let mut running = database.shared.rollback();
            if let Some(Running { to, .. }) = *running {
                return Err(RollbackError::Running { to });
            }
            *running = Some(Running { to, progress: RollbackProgress::default() });
        }
        // From here on dropping it ends it.
        let mut run = Run {
            database,
            request,
            from: Timestamp::ZERO,
            found: None,
            was_begun: false,
            batch: Vec::new(),
            weight: Weight::default(),
            saved: 0,
            trashed: 0,
            progress: RollbackProgress::default(),
            renewed: Instant::now(),
        };
        run.pass_the_gate()?;
        // The worker raises the horizon: behind this turn of it, that of then stays.
        database.read_at(Some(to))?;
        database.shared.pins.touch(to);
        run.from = database.on_worker(|worker| worker.hold_for_rollback(true))??;
        run.found = database.cursor(CURSOR)?;
        if let Some(last) = database.last_rollback()?.filter(|last| !last.is_done) {
            run.was_begun = true;
            if last.to == to {
                run.from = last.from;
            }
        }
        Ok(run)
    }

    fn take(
        &mut self,
        document: RollbackDocument,
        weight: Weight,
        tell: &mut impl FnMut(RollbackEvent<'_>),
    ) -> Result<(), RollbackError> {
        if let RollbackOutcome::Lost { .. } = document.outcome {
            self.progress.lost += 1;
            tell(RollbackEvent::Lost(&document));
        }
        if !document.outcome.is_change() {
            return Ok(());
        }
        let facts_bytes = self.weight.facts_bytes + weight.facts_bytes;
        let bodies_bytes = self.weight.bodies_bytes + weight.bodies_bytes;
        let is_full = self.batch.len() >= self.request.documents_max.max(1)
            || facts_bytes > FACTS_BYTES
            || bodies_bytes > BODIES_BYTES;
        if is_full && !self.batch.is_empty() {
            self.commit(false, tell)?;
        }
        self.weight.facts_bytes += weight.facts_bytes;
        self.weight.bodies_bytes += weight.bodies_bytes;
        match document.outcome {
            RollbackOutcome::Back { text_of, .. } => self.saved += u64::from(text_of.is_some()),
            RollbackOutcome::Trashed | RollbackOutcome::Lost { .. } => self.trashed += 1,
        }
        self.batch.push(document.uri);
        Ok(())
    }

    fn finish(mut self, tell: &mut impl FnMut(RollbackEvent<'_>)) -> Result<RolledBack, RollbackError> {
        if !self.batch.is_empty() || self.progress.transactions > 0 || self.was_begun {
            self.commit(true, tell)?;
        }
        Ok(RolledBack { to: self.request.to, from: self.from, progress: self.progress })
    }

    fn commit(
        &mut self,
        is_done: bool,
        tell: &mut impl FnMut(RollbackEvent<'_>),
    ) -> Result<(), RollbackError> {
        let to = self.request.to;
        if self.progress.transactions > 0 {
            self.pass_the_gate()?;
        }
        let documents = std::mem::take(&mut self.batch);
        let count = documents.len() as u64;
        let operation = documents.first().cloned().map(|uri| Operation {
            uri,
            precondition: Precondition::None,
            action: Action::RollBack(RollBack { to, documents }),
        });
        let position = Mark { is_done, to, from: self.from }.to_string();
        let previous = self.found.replace(position.clone());
        let comment = self.request.comment.clone();
        let transaction = Transaction {
            author: self.request.author.clone(),
            comment: comment.unwrap_or_else(|| format!("as it stood at {}", rfc3339(micros(to)))),
            operations: operation.into_iter().collect(),
            cursor: Some(CursorMove { name: CURSOR.to_owned(), previous, position }),
            privileged: true,
            ..Transaction::default()
        };
        let committed = self.database.on_worker(move |worker| worker.commit_rollback(transaction))??;
        self.weight = Weight::default();
        self.progress = RollbackProgress {
            transactions: self.progress.transactions + 1,
            documents: self.progress.documents + count,
            saved: self.progress.saved + std::mem::take(&mut self.saved),
            trashed: self.progress.trashed + std::mem::take(&mut self.trashed),
            token: Some(committed.token),
            ..self.progress
        };
        *self.database.shared.rollback() = Some(Running { to, progress: self.progress });
        tell(RollbackEvent::Committed(&self.progress));
        Ok(())
    }

    /// Writes wait for a copy: so does a rollback, and one that did something already for longer.
    fn pass_the_gate(&mut self) -> Result<(), RollbackError> {
        let begun = Instant::now();
        while let Some(gate) = self.database.gate() {
            let at_most = match gate.mode {
                _ if self.progress.transactions > 0 => COPY_WAIT,
                GateMode::Stall { at_most } => at_most,
                GateMode::Reject => Duration::ZERO,
            };
            if begun.elapsed() >= at_most {
                return Err(gate.refusal().into());
            }
            std::thread::sleep(Duration::from_millis(20));
            if self.progress.transactions > 0 {
                self.renew_if_due()?;
            }
        }
        Ok(())
    }

    fn renew_if_due(&mut self) -> Result<(), RollbackError> {
        if self.renewed.elapsed() > RENEW {
            self.renewed = Instant::now();
            self.database.shared.pins.touch(self.request.to);
            self.database.on_worker(|worker| worker.hold_for_rollback(false))??;
        }
        Ok(())
    }
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        let _ = self.database.on_worker(Worker::release_rollback);
        *self.database.shared.rollback() = None;
    }
}

impl Worker {
    /// Writes wait; answers the last commit timestamp. Again: for longer, if they still wait.
    fn hold_for_rollback(&mut self, is_first: bool) -> Result<Timestamp, RollbackError> {
        self.shared.check_role()?;
        if self.shared.stopped().is_some() {
            return Err(self.shared.stopped_error().into());
        }
        match &self.hold {
            Some(hold) if is_first || hold.by == Holder::Handover => return Err(hold.refusal().into()),
            None if !is_first => return Err(RollbackError::Interrupted),
            _ => {}
        }
        self.hold = Some(Hold::new(Holder::Rollback { at_most: WRITES_WAIT }, LEASE));
        Ok(self.applier.applied())
    }

    fn commit_rollback(&mut self, transaction: Transaction) -> Result<Committed, RollbackError> {
        self.hold_for_rollback(false)?;
        let (asked, mut committed) = Asked::new(transaction);
        self.commit_now(vec![asked]);
        Ok(committed.try_recv().unwrap_or_else(|_| Err(self.shared.stopped_error()))?)
    }

    fn release_rollback(&mut self) {
        self.hold.take_if(|hold| hold.by != Holder::Handover);
        self.release();
    }
}

fn micros(at: Timestamp) -> i64 {
    i64::try_from(at.0).unwrap_or(i64::MAX)
}
