//! One database on this server.
//!
//! A worker owns the journals and is the only one that appends ([`worker`]), on a thread of its own ([`drive`]). What arrives there, an edit
//! ([`committer`]) or entries of a source ([`copy`]), is appended and synced, and then applied in timestamp order by the
//! same [`applier`]. Everybody else reads: stores at the visible timestamp, journals up to their synced end.

mod applier;
mod backup;
mod committer;
mod copy;
mod drive;
mod durable;
mod evidence;
mod export;
mod feed;
mod file;
mod gate;
mod handshake;
mod import;
mod leaves;
mod meaning;
pub(crate) mod open;
pub mod part;
mod plan;
mod reads;
pub mod roles;
pub mod rollback;
mod side_files;
pub mod stages;
mod state;
mod status;
pub mod synchronize;
mod upkeep;
mod wait;
mod worker;

use std::sync::{Arc, mpsc};

use tokio::sync::{oneshot, watch};

use apograph_format::{DatabaseId, Epoch, Partitioning, Timestamp, View};

use crate::Role;
use crate::error::CommitError;
use crate::spool::Spool;
use crate::transaction::{Committed, Transaction};

pub(crate) use applier::Applier;
pub(crate) use drive::Drive;
use drive::Driven;
pub use durable::{Durable, Fate};
pub use export::Export;
pub(crate) use export::FORMAT;
pub use feed::Feed;
pub use file::DatabaseFile;
pub use gate::{Gate, GateMode};
pub use handshake::Handshake;
pub use import::{Import, ImportProgress, ImportRequest, Imported};
pub use leaves::{Leaves, LeavesQuery, ListedLeaf};
pub(crate) use open::{open_journal, open_stores};
pub use reads::ContentReader;
pub(crate) use state::{Shared, now_us};
pub(crate) use status::view_status;
pub(crate) use synchronize::partition_home;
pub use wait::PendingCommit;
pub(crate) use worker::chain;
use worker::{Asked, Command};

/// Transactions and batches that may wait for the worker.
const QUEUE_MAX: usize = 1_024;

/// One database on this server. Clones share it; it is closed by [`Database::shutdown`] or when the last one goes.
#[derive(Clone)]
pub struct Database {
    shared: Arc<Shared>,
    driven: Arc<Driven>,
}

impl Database {
    /// Its name on this server.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// Its identity everywhere.
    pub fn id(&self) -> DatabaseId {
        self.shared.id()
    }

    /// What this server is for it.
    pub fn role(&self) -> Role {
        self.shared.role()
    }

    /// What this server holds of it.
    pub fn view(&self) -> View {
        self.shared.view()
    }

    /// How it is cut.
    pub fn partitioning(&self) -> Partitioning {
        self.shared.partitioning
    }

    /// Epoch of its history.
    pub fn epoch(&self) -> Epoch {
        self.shared.epoch()
    }

    /// Everything up to here can be read.
    pub fn visible(&self) -> Timestamp {
        self.shared.visible()
    }

    /// Where edits go.
    pub fn primary_url(&self) -> Option<String> {
        self.shared.primary_url()
    }

    /// Tells of every new visible timestamp.
    pub fn watch_visible(&self) -> watch::Receiver<Timestamp> {
        self.shared.visible.subscribe()
    }

    /// Why the database does not take writes or entries, when it does not.
    pub fn stopped(&self) -> Option<String> {
        self.shared.stopped()
    }

    /// Things somebody should look at, each with its reason.
    pub fn alarms(&self) -> Vec<String> {
        let unseen = self.shared.sync_outcome().and_then(|outcome| outcome.alarm());
        let fenced =
            self.fenced().map(|fenced| format!("this server is no primary any more: {}", fenced.reason));
        let mut alarms = self.shared.health().alarms.clone();
        alarms.extend(unseen.into_iter().chain(fenced).chain(self.unfinished_rollback()));
        alarms.extend(self.shared.side_files.alarms());
        alarms
    }

    /// Takes a content in, piece by piece.
    pub fn spool(&self) -> Spool {
        Spool::new(&self.shared.spool)
    }

    /// Hands a transaction to the committer. Transactions commit in the order of these calls. The answer comes when the
    /// transaction is durable, applied and visible, or refused.
    pub fn submit(&self, transaction: Transaction) -> Result<PendingCommit, CommitError> {
        self.check_writable()?;
        self.check_gate(&transaction)?;
        let (asked, pending) = Asked::new(transaction);
        let command = Command::Commit(Box::new(asked));
        match self.driven.queue.try_send(command) {
            Ok(()) => Ok(PendingCommit::new(pending)),
            Err(mpsc::TrySendError::Full(_)) => Err(CommitError::Busy),
            Err(mpsc::TrySendError::Disconnected(_)) => Err(self.shared.stopped_error()),
        }
    }

    /// Commits a transaction and waits for it. Not to be called on an async thread.
    pub fn commit(&self, transaction: Transaction) -> Result<Committed, CommitError> {
        self.hand_over(transaction)?.wait()
    }

    /// Like [`Database::submit`], but waits for a place in the queue. Not to be called on an async thread.
    fn hand_over(&self, transaction: Transaction) -> Result<PendingCommit, CommitError> {
        self.check_writable()?;
        let (asked, pending) = Asked::new(transaction);
        let command = Command::Commit(Box::new(asked));
        self.driven.send_and_go_on(command).map_err(|_| self.shared.stopped_error())?;
        Ok(PendingCommit::new(pending))
    }

    /// Has the worker do something, and waits for it. Not to be called on an async thread.
    fn on_worker<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut worker::Worker) -> T + Send + 'static,
    ) -> Result<T, synchronize::SyncError> {
        let stopped = || synchronize::SyncError::Stopped {
            reason: self.shared.stopped().unwrap_or_else(|| "the server is shutting down".into()),
        };
        let (answer, done) = oneshot::channel();
        let work = move |worker: &mut worker::Worker| drop(answer.send(work(worker)));
        self.driven.send_and_go_on(Command::Do(Box::new(work))).map_err(|_| stopped())?;
        done.blocking_recv().map_err(|_| stopped())
    }

    /// Finishes what is in hand, makes it durable, and stops. Idempotent; blocks until all is still.
    pub fn shutdown(&self) {
        self.driven.stop();
    }
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Database")
            .field("name", &self.name())
            .field("role", &self.role())
            .finish_non_exhaustive()
    }
}
