//! Who is primary: roles that change at run time, epochs, and what keeps two servers from being primary at once.
//!
//! - An **epoch** grows by one with every promotion. `database.json` remembers who began which epoch, and the highest
//!   one ever heard of ([`EpochStart`]).
//! - **Promote** ([`promote`]): decided durably first, then written as an `epoch` entry into every partition. A crash in
//!   between is finished by the next start.
//! - **Hand over** ([`handover`]): the primary holds its writes, steps down durably for one other server, and that one
//!   promotes itself: whatever crashes, there is never a moment with two primaries.
//! - **Learn** ([`learn`]): what others know of epochs. A primary that hears of a higher one is fenced.

mod handover;
mod learn;
mod orphans;
mod plan;
mod promote;
mod servers;

use serde::{Deserialize, Serialize};

use apograph_format::seeded::{self, Seeded};
use apograph_format::{Epoch, PartitionId, Position, ServerKey, Timestamp};
use apograph_replication::epochs::{self, Beginning};

use super::synchronize::SyncError;
use super::{Database, Shared};
use crate::Role;
use crate::error::{CommitError, Fenced, ReadOnly};
use crate::folder::FolderError;
use crate::status::ServerIdentity;

pub use handover::HeldWrites;
pub(super) use handover::{Hold, Holder};
pub(super) use orphans::{FORK, whole_marks};
pub use orphans::{
    KeptContent, KeptOrphan, KeptOrphans, Orphan, OrphanChange, OrphanError, OrphanIntake, OrphanLabel,
    OrphanVersion, RestoreError, RestoredOrphan,
};
pub use plan::{Block, CutTransaction, PlannedPartition, PromotionPlan};
pub use promote::{Promote, Promoted};

/// Epochs that are remembered; there is one for every promotion there ever was.
const EPOCHS_MAX: usize = 1_024;
/// What a client waits before it asks again while the role moves.
pub(super) const RETRY_AFTER: std::time::Duration = std::time::Duration::from_millis(500);

/// The beginning of an epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochStart {
    /// Which epoch.
    pub epoch: Epoch,
    /// The one whose history it goes on with; none for the first one, and where it was not noted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Epoch>,
    /// The last commit timestamp of the history it goes on with: what older epochs wrote after it is cut off.
    pub base: Timestamp,
    /// The primary that began it, whose signatures count in it.
    pub primary: ServerIdentity,
}

/// A promotion that is decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Promoting {
    /// The epoch that begins.
    pub epoch: Epoch,
    /// The one that ends.
    pub previous_epoch: Epoch,
    /// Why.
    pub reason: String,
}

/// A primary stepped down for another server: the right to begin one epoch, from one place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handover {
    /// Who may begin it.
    pub to: ServerIdentity,
    /// Which epoch.
    pub epoch: Epoch,
    /// The last commit timestamp before it.
    pub base: Timestamp,
    /// Where every partition ends before it.
    pub positions: Vec<Position>,
}

/// Why a role was not changed. Nothing was done.
#[derive(Debug, thiserror::Error)]
pub enum RoleError {
    /// Something stands against a promotion.
    #[error("this server cannot be promoted: {}", list(.blocks))]
    Blocked {
        /// What.
        blocks: Vec<Block>,
    },
    /// Only a primary can do that.
    #[error("this server is a {role} of the database, and no primary")]
    NotPrimary {
        /// What it is.
        role: Role,
    },
    /// A primary that may not act as one.
    #[error(transparent)]
    Fenced(#[from] Fenced),
    /// Writes are not held, or not any more.
    #[error("writes are not held: the time that was given for it is over")]
    NotHeld,
    /// The server that is to become primary has another end.
    #[error(
        "partition {partition} ends at {expected} here and at {found} at the server that is to become primary"
    )]
    NotReached {
        /// Which partition.
        partition: PartitionId,
        /// Its end at the primary.
        expected: Position,
        /// Its end at the other server.
        found: Position,
    },
    /// A higher epoch began elsewhere.
    #[error("epoch {epoch} cannot begin: epoch {seen} is known already")]
    LowerEpoch {
        /// The epoch.
        epoch: Epoch,
        /// The highest one known.
        seen: Epoch,
    },
    /// An epoch with another server's mark.
    #[error("epoch {epoch} cannot have been begun by {name} ({key}): it has another server's mark")]
    NotItsEpoch {
        /// The epoch.
        epoch: Epoch,
        /// Who is said to have begun it.
        name: String,
        /// Its key.
        key: ServerKey,
    },
    /// All numbers of epochs are used up.
    #[error("no epoch is left after {seen}")]
    NoEpochLeft {
        /// The highest one known.
        seen: Epoch,
    },
    /// A right that was given to another server.
    #[error("the role was handed over to {to}, not to this server")]
    HandedToAnother {
        /// To whom.
        to: String,
    },
    /// A server that no document of the database names.
    #[error(
        "no server document here names {name} with the key {key}: a primary must be known before it is one"
    )]
    UnknownServer {
        /// Its name.
        name: String,
        /// Its key.
        key: ServerKey,
    },
    /// A name that belongs to a server with another key.
    #[error("the name {name} belongs to a server with another key; give this one another name")]
    NameTaken {
        /// The name.
        name: String,
    },
    /// A server is not fenced, so nothing tells whom it should follow.
    #[error("no other primary is known here")]
    NotFenced,
    /// The database stopped.
    #[error("this server cannot go on: {reason}")]
    Stopped {
        /// Why.
        reason: String,
    },
    /// A file of the data folder.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The server documents could not be written.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

fn list(blocks: &[Block]) -> String {
    blocks.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

impl From<SyncError> for RoleError {
    fn from(error: SyncError) -> RoleError {
        RoleError::Stopped { reason: error.to_string() }
    }
}

impl EpochStart {
    /// The beginning of a new database.
    pub(super) fn first(primary: &ServerIdentity) -> EpochStart {
        EpochStart { epoch: Epoch::FIRST, previous: None, base: Timestamp::ZERO, primary: primary.clone() }
    }
}

/// Who began which epoch.
impl super::DatabaseFile {
    /// Which later epoch cut off what was written in `epoch` at `at`, if one did.
    pub(super) fn cut_by(&self, epoch: Epoch, at: Timestamp) -> Option<Epoch> {
        epochs::cut_by(self.beginnings(), epoch, at)
    }

    /// Did a later epoch cut off what was written in `epoch` at `at`?
    pub(super) fn is_cut(&self, epoch: Epoch, at: Timestamp) -> bool {
        self.cut_by(epoch, at).is_some()
    }

    /// Is this a part of the history that leads to `highest`?
    pub(super) fn is_before(&self, epoch: Epoch, at: Timestamp, highest: Epoch) -> bool {
        let way = self.beginnings().skip_while(|start| start.epoch > highest);
        epoch <= highest && epochs::cut_by(way, epoch, at).is_none()
    }

    /// The last commit timestamp before what was cut off parted from the history here.
    pub(super) fn parted_at(&self, epoch: Epoch, at: Timestamp) -> Option<Timestamp> {
        epochs::parted_at(self.beginnings(), epoch, at)
    }

    /// In which epoch something was written that is part of the history here.
    pub(super) fn epoch_at(&self, at: Timestamp) -> Epoch {
        epochs::epoch_at(self.beginnings(), at).unwrap_or(Epoch::FIRST)
    }

    /// Another beginning of the same number.
    pub(super) fn rival_of(&self, epoch: Epoch) -> Option<&EpochStart> {
        self.epochs.iter().find(|start| start.epoch.number() == epoch.number() && start.epoch != epoch)
    }

    fn beginnings(&self) -> impl Iterator<Item = Beginning> + Clone + '_ {
        self.epochs.iter().rev().map(|start| Beginning {
            epoch: start.epoch,
            previous: start.previous,
            base: start.base,
        })
    }

    /// The last commit timestamp of the history that an epoch goes on with.
    pub(super) fn base_of(&self, epoch: Epoch) -> Option<Timestamp> {
        self.epochs.iter().find(|start| start.epoch == epoch).map(|start| start.base)
    }

    /// The primary of an epoch.
    pub(super) fn primary_of(&self, epoch: Epoch) -> Option<&ServerIdentity> {
        let of = self.epochs.iter().rev().find(|start| start.epoch <= epoch).or(self.epochs.first());
        of.map(|start| &start.primary)
    }

    /// Takes in who began an epoch, in order. The newest is whose primary counts.
    pub(crate) fn note(&mut self, start: EpochStart) {
        self.epoch = self.epoch.max(start.epoch);
        match self.epochs.iter_mut().find(|known| known.epoch == start.epoch) {
            Some(known) => *known = start,
            None => self.epochs.push(start),
        }
        self.epochs.sort_by_key(|start| start.epoch);
        if self.epochs.len() > EPOCHS_MAX {
            // The first one stays: entries before all that are known are its.
            self.epochs.remove(1);
        }
        if let Some(newest) = self.epochs.last() {
            self.primary = newest.primary.clone();
        }
    }
}

impl Shared {
    /// Does this server take writes of anybody?
    pub(super) fn check_role(&self) -> Result<(), CommitError> {
        let (role, handover) = {
            let file = self.file();
            (file.role, file.handover.is_some())
        };
        if role == Role::Primary {
            return self.fenced().map_or(Ok(()), |fenced| Err(fenced.into()));
        }
        if handover {
            return Err(CommitError::Held { retry_after: RETRY_AFTER });
        }
        Err(ReadOnly { role, primary_url: self.primary_url() }.into())
    }

    /// Why this primary must not act as one, if so.
    pub(super) fn fenced(&self) -> Option<Fenced> {
        let (seen, primary, rival) = {
            let file = self.file();
            if file.role != Role::Primary || file.promoting.is_some() || seeded::is(Seeded::FenceIgnored) {
                return None;
            }
            (file.epoch, file.primary.name.clone(), file.rival.clone())
        };
        let epoch = self.epoch();
        let reason = match rival {
            Some(rival) => format!("{} is primary of the same epoch; promote one of them", rival.name),
            None if seen > epoch => format!("{primary} began epoch {seen}"),
            None => return None,
        };
        Some(Fenced { epoch, seen, reason, primary_url: self.primary_url() })
    }
}

impl Database {
    /// The primary of the newest epoch that this server knows.
    pub fn primary(&self) -> ServerIdentity {
        self.shared.file().primary.clone()
    }

    /// Who began which epoch, oldest first, as far as this server knows.
    pub fn epochs(&self) -> Vec<EpochStart> {
        self.shared.file().epochs.clone()
    }

    /// The highest epoch that this server ever heard of.
    pub fn epoch_seen(&self) -> Epoch {
        self.shared.file().epoch
    }

    /// Why this primary must not act as one, if so.
    pub fn fenced(&self) -> Option<Fenced> {
        self.shared.fenced()
    }

    /// Does this server take writes now?
    pub fn check_writable(&self) -> Result<(), CommitError> {
        self.shared.check_role()?;
        match self.shared.stopped() {
            Some(_) => Err(self.shared.stopped_error()),
            None => Ok(()),
        }
    }

    /// The right that this server gave away and that has not been used yet, as far as it knows.
    pub fn handover(&self) -> Option<Handover> {
        self.shared.file().handover.clone()
    }
}
