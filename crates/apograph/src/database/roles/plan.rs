//! What a promotion of this copy would mean, before anybody decides it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use apograph_format::{Epoch, Facts, Participants, PartitionId, Position, ServerKey, Timestamp, Uri, View};
use apograph_journal::Journal;

use super::super::worker::{Worker, chain};
use super::{Database, RoleError};
use crate::Role;
use crate::status::ServerIdentity;

/// Transactions that a plan lists by name, and documents of one of them.
const LISTED_MAX: usize = 100;

/// What a promotion of this copy would mean.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PromotionPlan {
    /// What this server is now.
    pub role: Role,
    /// Epoch of its history.
    pub epoch: Epoch,
    /// The epoch that would begin.
    pub next_epoch: Epoch,
    /// The primary that it would replace.
    pub primary: ServerIdentity,
    /// The new history would begin here: everything up to this timestamp is complete in all partitions.
    pub base: Timestamp,
    /// What this copy has.
    pub partitions: Vec<PlannedPartition>,
    /// What would be cut, oldest first: parts of transactions that are not complete here, and were never visible here.
    pub cut: Vec<CutTransaction>,
    /// How many there are; the list is bounded.
    pub cut_total: u64,
    /// What stands against it.
    pub blocks: Vec<Block>,
}

/// What this copy has of a partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedPartition {
    /// Which.
    pub partition: PartitionId,
    /// The last entry that is complete with its transaction.
    pub applied: Position,
    /// The last entry that is durable here.
    pub durable: Position,
    /// The last one that this server ever acknowledged.
    pub acknowledged: Position,
}

/// A transaction of which parts are here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CutTransaction {
    /// When it was committed.
    pub timestamp: Timestamp,
    /// Parts of it that are here.
    pub partitions: BTreeSet<PartitionId>,
    /// Whose.
    pub author: String,
    /// Why.
    pub comment: String,
    /// Documents that it changed in these partitions; at most a hundred.
    pub documents: Vec<Uri>,
}

/// Something that stands against a promotion.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "code", rename_all = "kebab-case")]
pub enum Block {
    /// Staging servers hold less than everything.
    #[error("it holds the {view} view only")]
    PartOfTheDatabase {
        /// What it holds.
        view: View,
    },
    /// A copy of some partitions has no history to go on with.
    #[error("it holds partitions {held} only, and not {missing}")]
    PartitionsElsewhere {
        /// What it holds.
        held: Participants,
        /// What it lacks.
        missing: Participants,
    },
    /// It is one already.
    #[error("it is the primary of epoch {epoch} already")]
    Primary {
        /// Of which epoch.
        epoch: Epoch,
    },
    /// The database stopped.
    #[error("the database stopped: {reason}")]
    Stopped {
        /// Why.
        reason: String,
    },
    /// A synchronization is not over.
    #[error("a synchronization is not over")]
    Synchronizing,
    /// A checkpoint found another digest.
    #[error("it differs from the primary: {reason}")]
    Differs {
        /// What was found.
        reason: String,
    },
    /// Something is known to be damaged.
    #[error("{documents} documents are damaged here")]
    Damaged {
        /// How many are known.
        documents: u64,
    },
    /// Documents came without what a purge had erased, and the purge was not there yet.
    #[error(
        "{documents} documents, {first} first, came here without what a purge had erased, and that purge did not come: without it they would \
         lack that for good, also where another copy has it"
    )]
    ErasedAhead {
        /// How many.
        documents: u64,
        /// One of them.
        first: Uri,
    },
    /// The last synchronization left something out, or holds something back.
    #[error("the last synchronization did not bring everything")]
    Incomplete,
    /// Shorter than what was acknowledged.
    #[error(
        "the journal of partition {partition} ends at entry {found}, and entry {acknowledged} was acknowledged"
    )]
    Shorter {
        /// Which partition.
        partition: PartitionId,
        /// Sequence of the last entry acknowledged.
        acknowledged: u64,
        /// Sequence of its end.
        found: u64,
    },
    /// No server document here names this server: other servers would not believe it.
    #[error(
        "no server document here names {name} ({key}), so other servers would not believe it: let it follow until its primary has named it"
    )]
    Unnamed {
        /// Its name.
        name: String,
        /// Its key.
        key: ServerKey,
    },
    /// A later epoch began elsewhere, and this copy has nothing of it.
    #[error(
        "{primary} began epoch {seen}, and this copy is of epoch {epoch}: what was written since then would be lost"
    )]
    LaterEpoch {
        /// The highest epoch known.
        seen: Epoch,
        /// Epoch of the journals here.
        epoch: Epoch,
        /// Who began it.
        primary: String,
    },
}

impl Block {
    /// Its stable name.
    pub fn code(&self) -> &'static str {
        match self {
            Block::PartOfTheDatabase { .. } => "part-of-the-database",
            Block::PartitionsElsewhere { .. } => "partitions-elsewhere",
            Block::Primary { .. } => "primary",
            Block::Stopped { .. } => "stopped",
            Block::Synchronizing => "synchronizing",
            Block::Differs { .. } => "differs",
            Block::Damaged { .. } => "damaged",
            Block::ErasedAhead { .. } => "erased-ahead",
            Block::Incomplete => "incomplete",
            Block::Shorter { .. } => "shorter",
            Block::Unnamed { .. } => "unnamed",
            Block::LaterEpoch { .. } => "later-epoch",
        }
    }

    /// May an administrator decide against it?
    pub fn may_be_forced(&self) -> bool {
        matches!(self, Block::LaterEpoch { .. } | Block::Unnamed { .. } | Block::ErasedAhead { .. })
    }
}

impl Database {
    /// What a promotion of this copy would mean. Changes nothing. Blocks.
    pub fn plan_promotion(&self) -> Result<PromotionPlan, RoleError> {
        self.on_worker(|worker| worker.plan_promotion())?
    }
}

impl Worker {
    pub(super) fn plan_promotion(&self) -> Result<PromotionPlan, RoleError> {
        let (cut, cut_total) = self.incomplete().map_err(|reason| RoleError::Stopped { reason })?;
        let file = self.shared.file().clone();
        let partition = |(partition, journal): (PartitionId, &Journal)| PlannedPartition {
            partition,
            applied: self.applier.position(partition).unwrap_or(journal.start()),
            durable: journal.end(),
            acknowledged: journal.acknowledged(),
        };
        let partitions = self.shared.held.iter().zip(&self.journals).map(partition).collect::<Vec<_>>();
        let mut blocks = self.blocks();
        let ahead =
            self.shared.erased_ahead().map_err(|error| RoleError::Stopped { reason: chain(&error) })?;
        blocks.extend(ahead.map(|(documents, first)| Block::ErasedAhead { documents, first }));
        let is_shorter = |of: &&PlannedPartition| of.durable.sequence < of.acknowledged.sequence;
        blocks.extend(partitions.iter().filter(is_shorter).map(|of| Block::Shorter {
            partition: of.partition,
            acknowledged: of.acknowledged.sequence,
            found: of.durable.sequence,
        }));
        Ok(PromotionPlan {
            role: file.role,
            epoch: self.shared.epoch(),
            next_epoch: self.next_epoch(Epoch::NONE)?,
            primary: file.primary,
            base: self.applier.applied(),
            partitions,
            cut,
            cut_total,
            blocks,
        })
    }

    fn blocks(&self) -> Vec<Block> {
        let shared = &self.shared;
        let file = shared.file().clone();
        let epoch = shared.epoch();
        let mut blocks = Vec::new();
        match file.role {
            Role::Staging => blocks.push(Block::PartOfTheDatabase { view: shared.view() }),
            Role::Primary if file.rival.is_none() && file.epoch <= epoch => {
                blocks.push(Block::Primary { epoch });
            }
            Role::Primary | Role::Replica => {}
        }
        if shared.is_part() {
            let missing = shared.partitioning.everyone().without(shared.held);
            blocks.push(Block::PartitionsElsewhere { held: shared.held, missing });
        }
        blocks.extend(shared.stopped().map(|reason| Block::Stopped { reason }));
        if shared.sync_marker().is_some() || shared.stores.iter().any(|store| store.is_syncing()) {
            blocks.push(Block::Synchronizing);
        }
        let (difference, suspects) = {
            let health = shared.health();
            (health.difference.clone(), health.suspects.len() as u64)
        };
        blocks.extend(difference.map(|differs| Block::Differs { reason: differs.to_string() }));
        if suspects > 0 {
            blocks.push(Block::Damaged { documents: suspects });
        }
        if shared.sync_outcome().is_some_and(|outcome| !outcome.is_whole()) {
            blocks.push(Block::Incomplete);
        }
        let me = &shared.server;
        if file.role != Role::Staging && !shared.knows(&me.key) {
            blocks.push(Block::Unnamed { name: me.name.clone(), key: me.key });
        }
        // Who handed over has everything that was written in its epoch; so has whom it was handed to, at its base.
        let is_mine = file.epochs.last().is_some_and(|start| {
            start.primary.key == shared.server.key && start.base <= self.applier.applied()
        });
        if file.epoch > epoch && file.handover.is_none() && !is_mine {
            blocks.push(Block::LaterEpoch { seen: file.epoch, epoch, primary: file.primary.name });
        }
        blocks
    }

    /// Transactions of which parts are durable here, and not all.
    pub(super) fn incomplete(&self) -> Result<(Vec<CutTransaction>, u64), String> {
        let mut found: BTreeMap<Timestamp, CutTransaction> = BTreeMap::new();
        let mut unlisted: BTreeSet<Timestamp> = BTreeSet::new();
        for (partition, journal) in self.shared.held.iter().zip(&self.journals) {
            let Some(position) = self.applier.position(partition) else { continue };
            if position.sequence >= journal.end().sequence {
                continue;
            }
            let mut entries = journal.reader().entries(&position).map_err(|error| chain(&error))?;
            while let Some(entry) = entries.next().map_err(|error| chain(&error))? {
                let Facts::Transaction(facts) = entry.facts().map_err(|error| chain(&error))? else {
                    continue;
                };
                let timestamp = entry.header().timestamp;
                if !found.contains_key(&timestamp) && found.len() >= LISTED_MAX {
                    unlisted.insert(timestamp);
                    continue;
                }
                let cut = found.entry(timestamp).or_insert_with(|| CutTransaction {
                    timestamp,
                    partitions: BTreeSet::new(),
                    author: facts.author.clone(),
                    comment: facts.comment.clone(),
                    documents: Vec::new(),
                });
                cut.partitions.insert(partition);
                let room = LISTED_MAX.saturating_sub(cut.documents.len());
                cut.documents.extend(facts.changes.iter().map(|change| change.uri.clone()).take(room));
            }
        }
        let total = found.len() as u64 + unlisted.len() as u64;
        Ok((found.into_values().collect(), total))
    }
}
