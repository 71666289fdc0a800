//! Waiting as long as something moves.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Counts what moves, so that a wait can tell slow from stuck. Clones count together.
#[derive(Debug, Clone, Default)]
pub(super) struct Progress {
    moved: Arc<AtomicU64>,
    owed: Arc<AtomicU64>,
}

/// Nothing moved for too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stuck;

impl Progress {
    /// Something moved.
    pub(super) fn moved(&self) {
        self.moved.fetch_add(1, Ordering::Relaxed);
    }

    /// The other side owes one more answer.
    pub(super) fn owe(&self) {
        self.owed.fetch_add(1, Ordering::Relaxed);
    }

    /// The other side gave an answer.
    pub(super) fn settle(&self) {
        self.owed.fetch_sub(1, Ordering::Relaxed);
    }

    /// Waits for `work`, and gives up after `idle` without a move, if something is owed.
    pub(super) async fn wait<T>(&self, idle: Duration, work: impl Future<Output = T>) -> Result<T, Stuck> {
        let mut work = pin!(work);
        loop {
            let before = self.moved.load(Ordering::Relaxed);
            match tokio::time::timeout(idle, &mut work).await {
                Ok(done) => return Ok(done),
                Err(_) => {
                    let owed = self.owed.load(Ordering::Relaxed) > 0;
                    if owed && self.moved.load(Ordering::Relaxed) == before {
                        return Err(Stuck);
                    }
                }
            }
        }
    }
}
