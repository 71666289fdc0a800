//! `GET /v1/status`: where a server stands with every database, and every link of it.

use std::fmt;

use apograph_format::{DatabaseId, Digest, Epoch, PartitionId, Position, ServerKey, Timestamp, View};
use serde::{Deserialize, Serialize};

use super::{GateView, LagLimitView, LinkStatus, RollbackStatus};

/// Where a server stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Status {
    /// Who answers.
    pub server: ServerIdentity,
    /// Version of its software.
    pub software: String,
    /// The protocol that it speaks to other servers.
    #[serde(default)]
    pub protocol: u32,
    /// Format of the journals that it writes.
    #[serde(default)]
    pub format: u16,
    /// The server's clock, microseconds since 1970.
    pub now: i64,
    /// Since when it runs, RFC 3339.
    pub started: String,
    /// Its databases. A copy that never reached its source is in `links` only.
    pub databases: Vec<DatabaseStatus>,
    /// Links into and out of this server.
    pub links: Vec<LinkStatus>,
}

/// A server, as others know it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ServerIdentity {
    /// For people.
    pub name: String,
    /// Its Ed25519 public key.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub key: ServerKey,
    /// Where it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

/// What a server is for one database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Role {
    /// Takes every edit.
    Primary,
    /// Holds everything, version history included.
    Replica,
    /// Holds what is published and nothing else.
    Staging,
}

/// Where a database stands on this server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DatabaseStatus {
    /// Its name on this server.
    pub name: String,
    /// Its identity everywhere.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub id: DatabaseId,
    /// What this server is for it.
    pub role: Role,
    /// What it holds.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub view: View,
    /// Epoch of its history.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub epoch: Epoch,
    /// Everything up to here can be read.
    #[cfg_attr(feature = "openapi", schema(value_type = u64))]
    pub visible: Timestamp,
    /// Reads before this are refused.
    #[cfg_attr(feature = "openapi", schema(value_type = u64))]
    pub horizon: Timestamp,
    /// How many partitions the database has; servers from before there were copies of some do not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partitioning: Option<u16>,
    /// The partitions that this server holds.
    pub partitions: Vec<PartitionStatus>,
    /// Digests over all partitions, one for every view that this server holds.
    pub digests: Vec<ViewStatus>,
    /// Where edits go, when not here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub primary_url: Option<String>,
    /// Why it does not take writes or entries, if it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<String>,
    /// Things somebody should look at, each with its reason.
    #[serde(default)]
    pub alarms: Vec<String>,
    /// Why writes wait or are refused for a copy's sake, if they do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<GateView>,
    /// The last rollback, on servers that hold everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback: Option<RollbackStatus>,
    /// Limits of copies.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lag_limits: Vec<LagLimitView>,
}

/// Where one partition stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PartitionStatus {
    /// Which.
    #[cfg_attr(feature = "openapi", schema(value_type = u16))]
    pub partition: PartitionId,
    /// Position before the oldest entry kept.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub journal_start: Position,
    /// End of the durable journal.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub journal_end: Position,
    /// Last entry applied to the store.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub applied: Position,
    /// In a derived journal: the source entry the last one stands for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub source: Option<Position>,
    /// Entry bytes ever appended.
    pub journal_bytes_appended: u64,
    /// Bytes on disk.
    pub journal_bytes_kept: u64,
    /// Segments on disk.
    pub segments: u64,
    /// The last checkpoint whose digest was compared (on a copy) or written (on the primary).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub last_checkpoint: Option<Position>,
    /// Purges whose bytes are not yet erased from every file.
    pub erasures_pending: u64,
}

/// The digest of one view of a database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ViewStatus {
    /// Which view.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub view: View,
    /// Over all partitions.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub digest: Digest,
    /// Timestamp it is of.
    #[cfg_attr(feature = "openapi", schema(value_type = u64))]
    pub at: Timestamp,
    /// Documents in it.
    pub documents: u64,
    /// Digest of each partition.
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>))]
    pub partitions: Vec<Digest>,
}

impl Status {
    /// The database of this name.
    pub fn database(&self, name: &str) -> Option<&DatabaseStatus> {
        self.databases.iter().find(|database| database.name == name)
    }
}

impl DatabaseStatus {
    /// Partitions that this server does not hold.
    pub fn elsewhere(&self) -> Vec<PartitionId> {
        let holds = |partition: &PartitionId| self.partitions.iter().any(|of| of.partition == *partition);
        (0..self.partitioning.unwrap_or(0)).map(PartitionId).filter(|partition| !holds(partition)).collect()
    }

    /// The digest of this view, if this server holds it.
    pub fn view(&self, view: View) -> Option<&ViewStatus> {
        self.digests.iter().find(|status| status.view == view)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Role::Primary => "primary",
            Role::Replica => "replica",
            Role::Staging => "staging",
        })
    }
}
