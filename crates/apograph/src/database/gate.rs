//! The gate before the committer: transactions wait here, or are refused, before anything of them is decided.
//!
//! Three close it. A handover holds all writes for a moment ([`super::roles`]), a rollback as long as it takes
//! ([`super::rollback`]). A **gate** is closed by whoever watches
//! copies: they lag, or are lost, and writes wait a bounded time or are refused until it opens. What waits, waits in the
//! order in which it came, and is bounded in number and time; what is refused has left no trace.

use std::collections::VecDeque;
use std::time::Duration;

use super::roles::{Hold, Holder};
use super::worker::{Asked, Command, Worker};
use super::{Database, Shared};
use crate::error::CommitError;
use crate::transaction::Transaction;

/// Transactions that wait at once; whoever comes then is refused.
const WAITING_MAX: usize = 1_024;

/// Why writes are kept back, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gate {
    /// The copy that they are kept back for.
    pub link: String,
    /// What is wrong with it, for people.
    pub reason: String,
    /// What becomes of writes.
    pub mode: GateMode,
}

/// What becomes of writes while a gate is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GateMode {
    /// They wait; each at most so long, then it is refused.
    Stall {
        /// How long.
        at_most: Duration,
    },
    /// They are refused at once.
    Reject,
}

/// What the worker keeps back.
#[derive(Default)]
pub(super) struct Kept(VecDeque<Asked>);

impl Kept {
    /// Refuses those that waited for so long.
    fn refuse_after(&mut self, at_most: Duration, refusal: impl Fn() -> CommitError) {
        let waits = |waiting: &Asked| waiting.since.elapsed() < at_most;
        let over = self.0.iter().position(waits).unwrap_or(self.0.len());
        for waiting in self.0.drain(..over) {
            let _ = waiting.answer.send(Err(refusal()));
        }
    }
}

impl Gate {
    /// The answer to a write that it keeps back.
    pub(super) fn refusal(&self) -> CommitError {
        CommitError::Lagging { link: self.link.clone(), reason: self.reason.clone() }
    }
}

impl Database {
    /// Closes the gate, changes why it is closed, or opens it. What waits is looked at anew at once, by another thread.
    pub fn set_gate(&self, gate: Option<Gate>) {
        *self.shared.gate() = gate;
        let look = Command::Do(Box::new(Worker::release));
        // With a full queue the worker comes by soon enough: it looks after each group.
        let _ = self.driven.queue.try_send(look);
    }

    /// Why writes are kept back, if they are.
    pub fn gate(&self) -> Option<Gate> {
        self.shared.gate().clone()
    }

    /// How many transactions wait at the gate now.
    pub fn waiting_writes(&self) -> usize {
        self.shared.waiting.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// Refuses what need not be handed over to be refused.
    pub(super) fn check_gate(&self, transaction: &Transaction) -> Result<(), CommitError> {
        match &*self.shared.gate() {
            Some(gate) if gate.mode == GateMode::Reject && !passes(transaction) => Err(gate.refusal()),
            _ => Ok(()),
        }
    }
}

impl Shared {
    pub(super) fn gate(&self) -> std::sync::MutexGuard<'_, Option<Gate>> {
        self.gate.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Worker {
    /// Keeps transactions back if they must be; gives back those that need not.
    pub(super) fn keep_back(&mut self, group: Vec<Asked>) -> Vec<Asked> {
        let gate = self.shared.gate().clone();
        // Who waits goes first.
        let is_open = self.hold.is_none() && gate.is_none() && self.kept.0.is_empty();
        if is_open || !self.is_primary() {
            return group;
        }
        let mut passing = Vec::new();
        for asked in group {
            let is_held = self.hold.is_some();
            if !is_held && passes(&asked.transaction) {
                passing.push(asked);
                continue;
            }
            let refusal = match &gate {
                Some(gate) if !is_held && gate.mode == GateMode::Reject => Some(gate.refusal()),
                _ if self.kept.0.len() < WAITING_MAX => None,
                Some(gate) if !is_held => Some(gate.refusal()),
                _ => self.hold.as_ref().map(Hold::refusal),
            };
            match refusal {
                Some(refusal) => drop(asked.answer.send(Err(refusal))),
                None => self.kept.0.push_back(asked),
            }
        }
        self.count_kept();
        passing
    }

    /// Lets go what needs to wait no longer: to be committed if the gate is open, to be refused if it waited for too long.
    pub(super) fn release(&mut self) {
        if let Some(hold) = &self.hold {
            if let Holder::Rollback { at_most } = hold.by {
                let refusal = || hold.refusal();
                self.kept.refuse_after(at_most, refusal);
                self.count_kept();
            }
            return;
        }
        if self.kept.0.is_empty() {
            return;
        }
        let gate = self.shared.gate().clone().filter(|_| self.is_primary());
        let Some(gate) = gate else {
            let kept = std::mem::take(&mut self.kept.0);
            self.count_kept();
            return self.commit_kept(kept);
        };
        let at_most = match gate.mode {
            GateMode::Stall { at_most } => at_most,
            GateMode::Reject => Duration::ZERO,
        };
        self.kept.refuse_after(at_most, || gate.refusal());
        self.count_kept();
    }

    /// Refuses all that waits: the role is gone, or the server stops.
    pub(super) fn refuse_kept(&mut self, refusal: impl Fn() -> CommitError) {
        for waiting in self.kept.0.drain(..) {
            let _ = waiting.answer.send(Err(refusal()));
        }
        self.count_kept();
    }

    fn commit_kept(&mut self, kept: VecDeque<Asked>) {
        let mut group = Vec::new();
        for asked in kept {
            // As everywhere: a purge stands alone.
            let is_alone = asked.transaction.purges();
            if is_alone {
                self.commit_group(std::mem::take(&mut group));
            }
            group.push(asked);
            if is_alone {
                self.commit_group(std::mem::take(&mut group));
            }
        }
        self.commit_group(group);
    }

    fn count_kept(&self) {
        self.shared.waiting.store(self.kept.0.len(), std::sync::atomic::Ordering::Relaxed);
    }
}

/// Documents that name servers pass: a copy that nobody knows could never end what it is waited for.
fn passes(transaction: &Transaction) -> bool {
    let operations = &transaction.operations;
    !operations.is_empty() && operations.iter().all(|operation| operation.uri.is_server())
}
