//! How durable a write is: what a request asks for in its headers, what the answer says, and what copies acknowledge
//! (`POST /v1/databases/{db}/acknowledge`).
//!
//! A write asks with [`header::DURABILITY`](crate::header::DURABILITY) and [`header::WITHIN`](crate::header::WITHIN).

use apograph_format::{Durability, Epoch, PartitionId, Position, Timestamp};
use serde::{Deserialize, Serialize};

use super::ServerIdentity;

/// How durable a write is, in the answer to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DurabilityAnswer {
    /// What was asked for, by the request or by the database's settings.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub asked: Durability,
    /// What was reached when this was answered. `local` at least: the write is committed.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub reached: Durability,
    /// Names of the replicas that have it on disk.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replicas: Vec<String>,
    /// How long the answer waited for them.
    pub waited_ms: u64,
    /// Why no more were waited for, if less was reached than asked for. The write is committed all the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missed: Option<DurabilityMissed>,
}

/// Why an answer did not wait any longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum DurabilityMissed {
    /// The time that was given for it is over.
    Deadline,
    /// The server is not the primary any more: nobody acknowledges anything to it.
    RoleMoved,
    /// The server stops.
    ShuttingDown,
}

/// A full copy says what it has on disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Acknowledgement {
    /// The copy.
    pub server: ServerIdentity,
    /// Epoch of its history.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub epoch: Epoch,
    /// Everything that was committed up to here is complete in its journals, and synced.
    #[cfg_attr(feature = "openapi", schema(value_type = u64))]
    pub durable: Timestamp,
    /// Where its journals end.
    pub partitions: Vec<AcknowledgedPartition>,
}

/// Where a journal of a copy ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AcknowledgedPartition {
    /// Which.
    #[cfg_attr(feature = "openapi", schema(value_type = u16))]
    pub partition: PartitionId,
    /// The last entry that is synced.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub durable: Position,
    /// Entry bytes ever appended.
    pub journal_bytes_appended: u64,
}

/// What a source answers to an acknowledgement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AcknowledgementAnswer {
    /// Somebody waits for it: the next one should come at once. Otherwise it may come a little later.
    pub wanted: bool,
}

impl DurabilityAnswer {
    /// As much as was asked for.
    pub fn is_reached(&self) -> bool {
        self.missed.is_none()
    }
}

impl DurabilityMissed {
    /// For people.
    pub fn in_words(self) -> &'static str {
        match self {
            DurabilityMissed::Deadline => "the time for it is over",
            DurabilityMissed::RoleMoved => "the server is not the primary any more",
            DurabilityMissed::ShuttingDown => "the server stops",
        }
    }
}
