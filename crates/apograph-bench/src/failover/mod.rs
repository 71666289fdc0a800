//! The runs of `cargo xtask failover-runs`: two servers that change their roles, planned and not, while clients write.
//! What everybody saw is recorded ([`history`]) and judged in the end ([`checker`]).

pub mod checker;
pub mod clients;
pub mod history;

mod crashes;
mod interrupted;
mod orphans;
mod pair;
mod split;
mod switchovers;

use std::path::Path;
use std::time::Duration;

use apograph_client::format::Durability;

use crate::figures::Report;

/// One of the runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum FailoverRun {
    /// The role goes to and fro under writing clients: nothing is lost, nothing doubled, nobody waits for long
    Switchovers,
    /// The primary is killed, the replica promoted, the old one comes back: what is missing is listed, and comes back
    Crashes,
    /// The network between the servers is cut, clients reach both: no two acknowledgements in one epoch
    Split,
    /// Either side is killed in the middle of a switchover: one primary in the end, nothing lost
    Interrupted,
}

/// How large a run is.
#[derive(Debug, Clone, Copy)]
pub struct FailoverScale {
    /// Clients that write.
    pub clients: u32,
    /// Role changes of each run.
    pub rounds: u32,
    /// Partitions of the database.
    pub partitions: u16,
    /// Of everything random.
    pub seed: u64,
    /// Between two writes of one client.
    pub pace: Duration,
    /// How durable every write must be before it is acknowledged.
    pub durability: Durability,
    /// How long an answer may wait for that.
    pub within: Duration,
    /// Clients write undisturbed for so long between two role changes, at least.
    pub between: Duration,
    /// Whether bounds of time count.
    pub is_measured: bool,
}

impl FailoverScale {
    /// For measurements.
    pub fn large() -> FailoverScale {
        FailoverScale {
            clients: 64,
            rounds: 50,
            partitions: 3,
            seed: 1,
            pace: Duration::from_millis(5),
            durability: Durability::Local,
            within: Duration::from_millis(1_000),
            between: Duration::from_millis(1_000),
            is_measured: true,
        }
    }

    /// For tests: a few rounds.
    pub fn small() -> FailoverScale {
        FailoverScale {
            clients: 8,
            rounds: 4,
            between: Duration::from_millis(200),
            is_measured: false,
            ..FailoverScale::large()
        }
    }
}

impl FailoverRun {
    /// Runs it with servers of its own in this folder.
    pub fn run(self, root: &Path, scale: FailoverScale) -> Report {
        match self {
            FailoverRun::Switchovers => switchovers::run(root, scale),
            FailoverRun::Crashes => crashes::run(root, scale),
            FailoverRun::Split => split::run(root, scale),
            FailoverRun::Interrupted => interrupted::run(root, scale),
        }
    }
}
