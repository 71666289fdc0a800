//! What this server has on disk, as it may say to others, and what became of a write when roles changed.

use std::sync::atomic::Ordering;

use apograph_format::{Epoch, PartitionId, Position, ServerKey, Timestamp, Token, View};

use super::Database;
use super::roles::EpochStart;
use crate::Role;
use crate::status::ServerIdentity;

/// What a server has on disk. Everything here was synced before it could be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Durable {
    /// Epoch of the history.
    pub epoch: Epoch,
    /// Everything that was committed up to here is complete in all partitions.
    pub up_to: Timestamp,
    /// Where every journal ends, and how many entry bytes were ever appended to it.
    pub partitions: Vec<(PartitionId, Position, u64)>,
}

/// What became of a write that was committed here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It is part of the history, as far as this server knows. These servers became primary later and began with it.
    Kept {
        /// Who has it for certain.
        by: Vec<ServerIdentity>,
    },
    /// A later epoch began without it: it is an orphan.
    CutOff {
        /// Which epoch.
        epoch: Epoch,
        /// Who began it.
        primary: ServerIdentity,
    },
}

impl Database {
    /// What this server has on disk.
    pub fn durable(&self) -> Durable {
        // In this order: an epoch that is too low claims too little, never too much.
        let epoch = self.epoch();
        let up_to = self.visible();
        let partition = |partition: PartitionId| {
            let end = self.shared.journal(partition).map(|journal| journal.end());
            let appended = self.shared.slot(partition).and_then(|slot| self.shared.appended.get(slot));
            let appended = appended.map_or(0, |appended| appended.load(Ordering::Acquire));
            (partition, end.expect("there is a journal for every partition held"), appended)
        };
        Durable { epoch, up_to, partitions: self.held_partitions().iter().map(partition).collect() }
    }

    /// Could this copy take the place of its primary? One that holds a part only, synchronizes, differs, is damaged or
    /// stopped could not, whatever its journals hold: what it has on disk helps nobody then.
    pub fn may_acknowledge(&self) -> bool {
        let shared = &self.shared;
        let is_sound = {
            let health = shared.health();
            health.difference.is_none() && health.suspects.is_empty()
        };
        self.role() == Role::Replica
            && self.view() == View::Full
            && !self.is_part()
            && is_sound
            && shared.stopped().is_none()
            && shared.sync_marker().is_none()
            && !shared.stores.iter().any(|store| store.is_syncing())
            && shared.sync_outcome().is_none_or(|outcome| outcome.is_whole())
    }

    /// Is this the key of a server that a document of the database names? Others cannot become primary. Reads the
    /// store.
    pub fn knows_server(&self, key: &ServerKey) -> bool {
        self.shared.knows(key)
    }

    /// What became of a write of this server, as far as it knows of other epochs.
    pub fn fate(&self, token: Token) -> Fate {
        let file = self.shared.file();
        let cut_by = file.cut_by(token.epoch, token.timestamp);
        if let Some(start) = cut_by.and_then(|epoch| file.epochs.iter().find(|start| start.epoch == epoch)) {
            return Fate::CutOff { epoch: start.epoch, primary: start.primary.clone() };
        }
        let is_later = |start: &&EpochStart| start.epoch > token.epoch && start.base >= token.timestamp;
        let mut by: Vec<ServerIdentity> = Vec::new();
        for EpochStart { primary, epoch, base, .. } in file.epochs.iter().filter(is_later) {
            // One beside the history that counts may have it, and does not help.
            let is_part = file.cut_by(*epoch, *base).is_none();
            let is_other = primary.key != self.shared.server.key;
            if is_part && is_other && !by.iter().any(|known| known.key == primary.key) {
                by.push(primary.clone());
            }
        }
        Fate::Kept { by }
    }
}
