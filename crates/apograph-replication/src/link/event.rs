//! What a link is told, and what it tells its worker to do.

use std::time::Duration;

use apograph_format::{DatabaseId, Epoch, Participants, PartitionId, ServerKey, View};

use super::StopReason;
use crate::carrier::RefusalKind;
use crate::sync::{Phase, SyncFailure, SyncReason};
use crate::versions::Offered;

/// What a source says of itself, as far as the link decides by it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Greeting {
    /// Its versions.
    pub offered: Offered,
    /// Which database it serves.
    pub database: DatabaseId,
    /// Which view it will give.
    pub view: View,
    /// How many partitions the database has.
    pub partitions: u16,
    /// Those that it holds.
    pub held: Participants,
    /// Key of the primary, whose signatures count.
    pub primary: Option<ServerKey>,
    /// The highest epoch that it knows of.
    pub epoch: Epoch,
}

/// What a copy holds already, and knows of epochs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Which database.
    pub database: DatabaseId,
    /// How many partitions.
    pub partitions: u16,
    /// Those that it holds.
    pub held: Participants,
    /// The key of the primary of that epoch: pinned at the first contact, or the one that followed it.
    pub primary: Option<ServerKey>,
    /// The highest epoch that this copy knows of.
    pub epoch: Epoch,
}

/// What was so when the server was stopped or killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Before {
    /// Somebody had paused the link.
    pub paused: bool,
    /// A synchronization was due, and is not over: [`SyncReason::Unfinished`] if it had begun.
    pub due: Option<SyncReason>,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The worker begins, or the wait is over.
    Due,
    /// The source greeted.
    Greeted(Greeting),
    /// What this copy knows changed: it heard of an epoch.
    Known(Held),
    /// The source did not greet, or refused a stream.
    Refused(RefusalKind),
    /// A first contact was recorded: from now on this is held.
    Adopted(Held),
    /// A frame came on a stream and was taken.
    Progress(PartitionId),
    /// A stream has bytes in hand that are not taken yet: it is not silent.
    Alive(PartitionId),
    /// A checkpoint was reached, and this copy was found equal.
    Proven,
    /// A stream ended or broke off.
    Ended(PartitionId),
    /// What arrived was refused: damaged or misdirected on its way.
    Rejected(PartitionId),
    /// What arrived is of an epoch that this copy cannot take: by itself that passes.
    Misfit(Misfit),
    /// Following cannot make this copy equal.
    Needs(SyncReason),
    /// A synchronization entered a phase.
    Synchronizing(Phase),
    /// A synchronization brought something over.
    Received,
    /// A synchronization is over: this copy shows the source's snapshot.
    Installed,
    /// A synchronization is over, and installed nothing.
    SyncFailed(SyncFailure),
    /// An operator asks for a synchronization.
    Requested,
    /// An operator pauses the link.
    Pause,
    /// An operator lets it go on.
    Resume,
    /// A signature is not the primary's, or this server cannot go on.
    Halted(StopReason),
    /// Time passed.
    Tick,
}

/// What is wrong with the epoch of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Misfit {
    /// A later epoch is known here: the source has not heard of it, or has not followed it yet.
    LowerEpoch,
    /// It names a primary that no server document here knows yet.
    UnknownPrimary,
}

impl Misfit {
    /// All of them.
    pub const ALL: [Misfit; 2] = [Misfit::LowerEpoch, Misfit::UnknownPrimary];

    /// The name, as in status.
    pub fn as_str(self) -> &'static str {
        match self {
            Misfit::LowerEpoch => "lower-epoch",
            Misfit::UnknownPrimary => "unknown-primary",
        }
    }
}

/// Something to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Ask the source who it is.
    Greet,
    /// Record the first contact, then say [`Event::Adopted`].
    Adopt,
    /// Open one stream for every partition that is held.
    Open {
        /// Which.
        partitions: Participants,
    },
    /// Begin a synchronization, or go on with the one that is not over.
    Synchronize {
        /// Why.
        reason: SyncReason,
        /// Which attempt to reach equality this is, from one.
        round: u32,
    },
    /// Close all streams; end the synchronization, which goes on later where it was.
    Close,
    /// Say [`Event::Due`] after this long.
    Wait {
        /// How long.
        after: Duration,
    },
}
