//! A copy becomes the primary: decided durably first, then written into every journal.
//!
//! ```text
//! plan ─▶ database.json: role, epoch, `promoting` ─▶ cut ─▶ `epoch` entries, synced ─▶ applied ─▶ `promoting` taken out
//!         └── from here on only forward: the next start finishes it
//! ```

use std::sync::atomic::Ordering;

use apograph_format::seeded::{self, Seeded};
use apograph_format::{Epoch, EpochFacts, Facts, PartitionId, Position, Published, Right, Timestamp};

use super::super::committer::{Committer, Stamp};
use super::super::state::now_us;
use super::super::worker::{JournalFailure, Worker, chain};
use super::{Block, CutTransaction, Database, EpochStart, Handover, Promoting, RoleError};
use crate::Role;

/// Bytes of a reason that go into the journal.
const REASON_BYTES_MAX: usize = 1_000;

/// How a promotion is asked for.
#[derive(Debug, Clone, Default)]
pub struct Promote {
    /// Why, for the journal.
    pub reason: String,
    /// Also if a later epoch is known elsewhere, whose writes are lost then.
    pub force: bool,
    /// The primary stepped down for this server: it must have exactly what that one had.
    pub handover: Option<Handover>,
}

/// What a promotion did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Promoted {
    /// The epoch that began.
    pub epoch: Epoch,
    /// The last timestamp of the history it goes on with.
    pub base: Timestamp,
    /// What was cut, oldest first; the list is bounded.
    pub cut: Vec<CutTransaction>,
    /// How many there were.
    pub cut_total: u64,
}

impl Database {
    /// This server becomes the primary. Blocks; durable on return, and other servers can follow. A crash on the way
    /// leaves the old role, or the next start finishes it.
    pub fn promote(&self, order: Promote) -> Result<Promoted, RoleError> {
        let promoted = self.on_worker(move |worker| worker.promote(order, None))??;
        self.announce(&self.shared.server)?;
        Ok(promoted)
    }
}

impl Worker {
    /// `above`: this primary was given an epoch that it did not begin, because it had been promoted before it heard of that. It goes on
    /// in one above it, and nobody ever begins the other.
    pub(super) fn promote(&mut self, order: Promote, above: Option<Epoch>) -> Result<Promoted, RoleError> {
        let plan = self.plan_promotion()?;
        let (base, mut epoch) = (plan.base, plan.next_epoch);
        let mut blocks = plan.blocks;
        if let Some(handover) = &order.handover {
            self.check_handover(handover)?;
            epoch = handover.epoch;
            // The right was given for exactly the epoch that is said to have begun.
            blocks.retain(|block| !block.may_be_forced());
        }
        if let Some(above) = above {
            epoch = self.next_epoch(above)?;
            blocks.retain(|block| !matches!(block, Block::Primary { .. }));
        }
        blocks.retain(|block| !(order.force && block.may_be_forced()));
        if !blocks.is_empty() {
            return Err(RoleError::Blocked { blocks });
        }
        let mut reason = order.reason;
        reason.truncate(reason.floor_char_boundary(REASON_BYTES_MAX));
        let previous = self.shared.epoch();
        let promoting = Promoting { epoch, previous_epoch: previous, reason };
        let me = self.shared.server.clone();
        let decided = promoting.clone();
        self.shared.change_file(|file| {
            file.role = Role::Primary;
            file.handover = None;
            file.rival = None;
            file.promoting = Some(decided);
            file.note(EpochStart { epoch, previous: Some(previous), base, primary: me });
        })?;
        if let Err(reason) = self.finish_promotion(&promoting) {
            self.shared.stop(format!("a promotion could not be finished, the next start does: {reason}"));
            return Err(RoleError::Stopped { reason });
        }
        tracing::warn!(database = %self.shared.name, %epoch, base = %base, "this server is the primary now");
        Ok(Promoted { epoch, base, cut: plan.cut, cut_total: plan.cut_total })
    }

    /// The epoch that this server begins by itself, above all that it heard of, and above this one.
    pub(super) fn next_epoch(&self, above: Epoch) -> Result<Epoch, RoleError> {
        let seen = self.shared.file().epoch.max(self.shared.epoch()).max(above);
        seen.next(&self.shared.server.key, Right::Taken).ok_or(RoleError::NoEpochLeft { seen })
    }

    /// Was it given to this server, is it still good, and is this server where it has to be?
    fn check_handover(&self, handover: &Handover) -> Result<(), RoleError> {
        if handover.to.key != self.shared.server.key {
            return Err(RoleError::HandedToAnother { to: handover.to.name.clone() });
        }
        let (seen, own) = {
            let file = self.shared.file();
            let is_known = file
                .epochs
                .iter()
                .any(|start| start.epoch == handover.epoch && start.primary.key == self.shared.server.key);
            let seen = if is_known && file.epoch == handover.epoch { Epoch::NONE } else { file.epoch };
            (seen, self.shared.epoch())
        };
        let seen = seen.max(own);
        if seen >= handover.epoch {
            return Err(RoleError::LowerEpoch { epoch: handover.epoch, seen });
        }
        self.check_ends(&handover.positions, false)
    }

    /// Do all partitions end there, with nothing that is not applied?
    pub(super) fn check_ends(&self, positions: &[Position], here_is_expected: bool) -> Result<(), RoleError> {
        if seeded::is(Seeded::GivenTooEarly) {
            return Ok(());
        }
        for ((index, partition), journal) in self.shared.held.iter().enumerate().zip(&self.journals) {
            let applied = self.applier.position(partition).unwrap_or(journal.start());
            let end = if applied == journal.end() { applied } else { journal.end() };
            let other = positions.get(index).copied().unwrap_or(journal.start());
            if end != other || applied != end || positions.len() != self.journals.len() {
                let (expected, found) = if here_is_expected { (end, other) } else { (other, applied) };
                return Err(RoleError::NotReached { partition, expected, found });
            }
        }
        Ok(())
    }

    /// Writes into the journals what is decided, as far as it is not there. Also after a crash.
    pub(in crate::database) fn finish_promotion(&mut self, promoting: &Promoting) -> Result<(), String> {
        let is_written = self.journals.iter().all(|journal| journal.end().epoch >= promoting.epoch);
        let base = if is_written {
            // What recovery applied behind the base are the `epoch` entries, and what followed them.
            None
        } else {
            self.cut_incomplete()?;
            let base = self.applier.applied();
            self.begin_epoch(promoting, base)?;
            Some(base)
        };
        let finished = self.shared.change_file(|file| {
            if let (Some(base), Some(start)) =
                (base, file.epochs.iter_mut().find(|start| start.epoch == promoting.epoch))
            {
                start.base = base;
            }
            file.promoting = None;
        });
        finished.map_err(|error| chain(&error))?;
        self.write_checkpoint_if_due(true);
        Ok(())
    }

    /// Cuts what is durable here of transactions that are not complete: nobody ever saw it here. Answers whether
    /// anything was.
    pub(in crate::database) fn cut_incomplete(&mut self) -> Result<bool, String> {
        let mut cut = 0;
        for (partition, journal) in self.shared.held.iter().zip(&mut self.journals) {
            let Some(position) = self.applier.position(partition) else { continue };
            if position.sequence < journal.end().sequence {
                cut += journal.cut_after(&position).map_err(|error| chain(&error))?;
            }
        }
        // Whoever reads the journals may hold an entry that is not there any more.
        self.shared.generation.fetch_add(1, Ordering::AcqRel);
        self.renew_applier();
        if cut > 0 {
            tracing::warn!(database = %self.shared.name, entries = cut, "cut what was not complete");
        }
        Ok(cut > 0)
    }

    fn begin_epoch(&mut self, promoting: &Promoting, base: Timestamp) -> Result<(), String> {
        self.committer = Committer::new(&self.shared, &self.applier, &self.journals);
        self.committer.begin_epoch(promoting.epoch);
        let timestamp = self.committer.last().next(now_us());
        let participants = self.shared.partitioning.everyone();
        let published = Published { participants, previous: self.committer.last_published() };
        let stamp = Stamp { timestamp, previous: self.committer.last(), participants };
        let touched: Vec<PartitionId> = self.shared.partitioning.all().collect();
        let mut write = || -> Result<(), JournalFailure> {
            for partition in &touched {
                let facts = Facts::Epoch(EpochFacts {
                    previous_epoch: promoting.previous_epoch,
                    base,
                    primary: self.shared.server.key,
                    reason: promoting.reason.clone(),
                    source: None,
                    published: Some(published),
                });
                self.write_entry(*partition, facts, &[], stamp)?;
            }
            self.sync(&touched)
        };
        if let Err(failure) = write() {
            self.discard(&touched).map_err(|error| error.to_string())?;
            return Err(failure.to_string());
        }
        self.committer.wrote(timestamp);
        self.apply()
    }
}
