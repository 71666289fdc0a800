//! What operators ask: where a database stands, and what its copies have.

use serde::{Deserialize, Serialize};

use apograph_format::{DatabaseId, Digest, Epoch, PartitionId, Position, ServerKey, Timestamp, View};

use crate::Role;
use crate::database::stages::StageTimes;

/// Where a database stands on this server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseStatus {
    /// Its name on this server.
    pub name: String,
    /// Its identity everywhere.
    pub id: DatabaseId,
    /// What this server is for it.
    pub role: Role,
    /// What it holds.
    pub view: View,
    /// Epoch of its history.
    pub epoch: Epoch,
    /// Everything up to here can be read.
    pub visible: Timestamp,
    /// Reads before this are refused.
    pub horizon: Timestamp,
    /// How many partitions the database has.
    pub partitioning: u16,
    /// Those that are here.
    pub partitions: Vec<PartitionStatus>,
    /// Digests over all partitions, by view.
    pub digests: Vec<ViewStatus>,
    /// Where edits go, when not here.
    pub primary_url: Option<String>,
    /// Why it does not take writes or entries, if it does not.
    pub stopped: Option<String>,
    /// Things somebody should look at, each with its reason.
    pub alarms: Vec<String>,
    /// Where the time of writes went, for metrics.
    #[serde(skip)]
    pub stages: Vec<StageTimes>,
}

/// Where one partition stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionStatus {
    /// Which.
    pub partition: PartitionId,
    /// Position before the oldest entry kept.
    pub journal_start: Position,
    /// End of the durable journal.
    pub journal_end: Position,
    /// Last entry applied to the store.
    pub applied: Position,
    /// In a derived journal: the source entry the last one stands for.
    pub source: Option<Position>,
    /// Entry bytes ever appended.
    pub journal_bytes_appended: u64,
    /// Bytes on disk.
    pub journal_bytes_kept: u64,
    /// Segments on disk.
    pub segments: u64,
    /// The last checkpoint whose digest was compared (on a copy) or written (on the primary).
    pub last_checkpoint: Option<Position>,
    /// Purges whose bytes are not yet erased from every file.
    pub erasures_pending: u64,
}

/// The digest of one view of a database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewStatus {
    /// Which view.
    pub view: View,
    /// Over all partitions.
    pub digest: Digest,
    /// Timestamp it is of.
    pub at: Timestamp,
    /// Documents in it.
    pub documents: u64,
    /// Digest of each partition.
    pub partitions: Vec<Digest>,
}

/// A server, as others know it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerIdentity {
    /// For people.
    pub name: String,
    /// Its Ed25519 public key.
    pub key: ServerKey,
    /// Where it answers.
    pub url: Option<String>,
}
