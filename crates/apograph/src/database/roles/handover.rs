//! A primary gives its role away: it holds its writes, another server comes to its end, and it steps down for that one.
//!
//! The old primary has durably stepped down before the new one may begin its epoch. Who crashes in between loses
//! nothing: the right to begin the epoch is durable at the old primary, and it is given again to whoever it belongs to.

use std::time::{Duration, Instant};

use apograph_format::{Position, Right, Timestamp};

use super::super::worker::Worker;
use super::{Database, Handover, RETRY_AFTER, RoleError};
use crate::Role;
use crate::error::CommitError;
use crate::status::ServerIdentity;

/// Writes are held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldWrites {
    /// Where every partition ends.
    pub positions: Vec<Position>,
    /// The last commit timestamp.
    pub visible: Timestamp,
}

/// Writes are held; what comes meanwhile waits at the gate.
pub(in crate::database) struct Hold {
    /// Then they go on by themselves: whoever wanted the hold is gone.
    until: Instant,
    pub(in crate::database) by: Holder,
}

/// Whom writes wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::database) enum Holder {
    /// A server that is about to become primary.
    Handover,
    /// A rollback; each waits at most so long.
    Rollback { at_most: Duration },
}

impl Hold {
    pub(in crate::database) fn new(by: Holder, lasting: Duration) -> Hold {
        Hold { until: Instant::now() + lasting, by }
    }

    /// The answer to a write that waited for too long, or that there is no place for.
    pub(in crate::database) fn refusal(&self) -> CommitError {
        match self.by {
            Holder::Handover => CommitError::Held { retry_after: RETRY_AFTER },
            Holder::Rollback { .. } => CommitError::RollingBack { retry_after: RETRY_AFTER },
        }
    }
}

impl Database {
    /// Holds all writes, at most so long: callers wait. Nothing is appended until [`Database::release_writes`],
    /// [`Database::step_down`], or the end of that time. Blocks; asked again, it answers the same for longer.
    pub fn hold_writes(&self, at_most: Duration) -> Result<HeldWrites, RoleError> {
        self.on_worker(move |worker| worker.hold_writes(at_most))?
    }

    /// Writes go on. Blocks; harmless when they are not held.
    pub fn release_writes(&self) -> Result<(), RoleError> {
        Ok(self.on_worker(|worker| worker.release_writes())?)
    }

    /// This primary becomes a replica, for `to`, which may begin the next epoch then. Refused unless writes are held and
    /// `reached` is where every partition ends here. Blocks; durable on return.
    pub fn step_down(&self, to: ServerIdentity, reached: Vec<Position>) -> Result<Handover, RoleError> {
        self.on_worker(move |worker| worker.step_down(to, &reached))?
    }
}

impl Worker {
    fn hold_writes(&mut self, at_most: Duration) -> Result<HeldWrites, RoleError> {
        let role = self.shared.role();
        if role != Role::Primary {
            return Err(RoleError::NotPrimary { role });
        }
        if let Some(fenced) = self.shared.fenced() {
            return Err(fenced.into());
        }
        if let Some(hold) = self.hold.as_ref().filter(|hold| hold.by != Holder::Handover) {
            return Err(hold.refusal().into());
        }
        // The last entry proves that the other server is equal there.
        self.write_checkpoint_if_due(true);
        if let Some(reason) = self.shared.stopped() {
            return Err(RoleError::Stopped { reason });
        }
        self.hold = Some(Hold::new(Holder::Handover, at_most));
        Ok(HeldWrites {
            positions: self.journals.iter().map(|journal| journal.end()).collect(),
            visible: self.applier.applied(),
        })
    }

    fn step_down(&mut self, to: ServerIdentity, reached: &[Position]) -> Result<Handover, RoleError> {
        self.release_if_over();
        if self.hold.as_ref().is_none_or(|hold| hold.by != Holder::Handover) {
            return Err(RoleError::NotHeld);
        }
        self.check_ends(reached, true)?;
        if !self.shared.knows(&to.key) {
            return Err(RoleError::UnknownServer { name: to.name, key: to.key });
        }
        let seen = self.shared.file().epoch.max(self.shared.epoch());
        let epoch =
            seen.next(&self.shared.server.key, Right::Given).ok_or(RoleError::NoEpochLeft { seen })?;
        let previous = Some(self.shared.epoch());
        let base = self.applier.applied();
        let handover = Handover { to, epoch, base, positions: reached.to_vec() };
        let given = handover.clone();
        self.shared.change_file(|file| {
            file.role = Role::Replica;
            file.note(super::EpochStart { epoch, previous, base, primary: given.to.clone() });
            file.handover = Some(given);
        })?;
        tracing::warn!(database = %self.shared.name, to = %handover.to.name, %epoch, "stepped down");
        self.hold = None;
        self.refuse_kept(|| CommitError::Held { retry_after: RETRY_AFTER });
        Ok(handover)
    }

    pub(in crate::database) fn release_writes(&mut self) {
        self.hold.take_if(|hold| hold.by == Holder::Handover);
        self.release();
    }

    /// Nobody came for the hold in time.
    pub(in crate::database) fn release_if_over(&mut self) {
        if self.hold.as_ref().is_some_and(|hold| Instant::now() >= hold.until) {
            tracing::warn!(database = %self.shared.name, "writes were held for too long, and go on");
            self.hold = None;
        }
        self.release();
    }
}
