//! Waiting: for a commit, and for a token.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::oneshot;

use apograph_format::{Epoch, Timestamp, Token};

use super::Database;
use crate::error::{CommitError, WaitError};
use crate::transaction::Committed;

/// A transaction on its way. Dropping it does not stop the transaction.
#[derive(Debug)]
pub struct PendingCommit {
    answer: oneshot::Receiver<Result<Committed, CommitError>>,
}

impl PendingCommit {
    pub(super) fn new(answer: oneshot::Receiver<Result<Committed, CommitError>>) -> PendingCommit {
        PendingCommit { answer }
    }

    /// Waits for its end. Not to be called on an async thread.
    pub(super) fn wait(self) -> Result<Committed, CommitError> {
        self.answer.blocking_recv().unwrap_or_else(|_| Err(gone()))
    }
}

/// The worker went away before it answered.
fn gone() -> CommitError {
    CommitError::Stopped { reason: "the server is shutting down".into() }
}

impl Future for PendingCommit {
    type Output = Result<Committed, CommitError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.answer).poll(context).map(|answer| answer.unwrap_or_else(|_| Err(gone())))
    }
}

impl Database {
    /// Waits until what `token` names can be read here; at most so long. `timer` is a future that ends then: the
    /// engine has no clock of its own.
    pub async fn wait_for(
        &self,
        token: Token,
        at_most: Duration,
        timer: impl Future<Output = ()>,
    ) -> Result<(), WaitError> {
        let other = || WaitError::OtherHistory { asked: token, epoch: self.epoch() };
        let is_cut = || self.shared.file().is_cut(token.epoch, token.timestamp);
        if token.epoch == Epoch::NONE || is_cut() {
            return Err(other());
        }
        // A server that lags behind a promotion has not heard of that epoch yet, or has not left a history that it cut off:
        // what is visible here is a time of another history then.
        let mut visible = self.watch_visible();
        let is_here = || self.shared.file().is_before(token.epoch, token.timestamp, self.epoch());
        let is_decided = |visible: &Timestamp| is_cut() || (*visible >= token.timestamp && is_here());
        let reached = visible.wait_for(is_decided);
        let mut reached = std::pin::pin!(reached);
        let mut timer = std::pin::pin!(timer);
        let is_there = std::future::poll_fn(|context| match reached.as_mut().poll(context) {
            Poll::Ready(outcome) => Poll::Ready(outcome.is_ok()),
            Poll::Pending => timer.as_mut().poll(context).map(|()| false),
        })
        .await;
        // Meanwhile this server may have learned of a promotion that cut it off.
        if is_cut() {
            return Err(other());
        }
        if is_there {
            return Ok(());
        }
        // Nobody here ever heard of it: most likely it is of another database.
        if token.epoch > self.epoch_seen() {
            return Err(other());
        }
        Err(WaitError::TimedOut { waited: at_most, visible: self.visible(), asked: token.timestamp })
    }
}
