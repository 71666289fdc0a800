//! Links: how each stands (part of `GET /v1/status`), and what a copy reports to its source
//! (`POST /v1/databases/{db}/report`).

use std::fmt;

use apograph_format::{Digest, PartitionId, Position, ServerKey, Timestamp, View};
use serde::{Deserialize, Serialize};

use super::{EpochView, LinkForecast, LinkProgress, Role, ServerIdentity};

/// How a link stands, seen from one of its ends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LinkStatus {
    /// Its name: the database, and the server at the other end.
    pub name: String,
    /// Name of the database on this server.
    pub database: String,
    /// From here to there, or from there to here.
    pub direction: LinkDirection,
    /// What it carries.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub view: View,
    /// The other end.
    pub peer: LinkPeer,
    /// What it does.
    pub state: LinkState,
    /// Why, in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Since when it is in this state, microseconds since 1970.
    pub since: i64,
    /// How far the copy is, partition by partition.
    pub partitions: Vec<LinkPartition>,
    /// How far the copy is behind.
    pub lag: LinkLag,
    /// The last proof of equality.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_proof: Option<LinkProof>,
    /// How far the synchronization is that is due or under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<LinkProgress>,
    /// How long the source keeps what the copy lacks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forecast: Option<LinkForecast>,
    /// Bytes per second that the copy lets in, if it bounds them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub throttle_bytes_per_second: Option<u64>,
}

/// Which way a link runs, seen from this server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum LinkDirection {
    /// This server is the copy.
    In,
    /// This server is the source.
    Out,
}

/// The server at the other end. Before the first contact only its URL is known.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LinkPeer {
    /// Where it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its public key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub key: Option<ServerKey>,
    /// Version of its software.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub software: Option<String>,
    /// The protocol that it speaks to other servers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<u32>,
}

/// What a link does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum LinkState {
    /// There is no contact yet; it tries.
    Connecting,
    /// Entries arrive as they are written.
    Following,
    /// Synchronizes: takes a snapshot at the source, and finds out what differs.
    Planning,
    /// Synchronizes: brings over what differs.
    Transferring,
    /// Synchronizes: replaces what readers see by what was brought over.
    Installing,
    /// The last attempt failed; it tries again later.
    Waiting,
    /// Somebody paused it.
    Paused,
    /// It cannot go on without a person; the reason says why.
    Stopped,
}

/// How far a copy is in one partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LinkPartition {
    /// Which.
    #[cfg_attr(feature = "openapi", schema(value_type = u16))]
    pub partition: PartitionId,
    /// The last entry that the copy applied, in the copy's journal.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub position: Position,
    /// In a derived view: the source entry it stands for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub source: Option<Position>,
}

/// How far a copy is behind. What is not known is absent, never zero.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LinkLag {
    /// Entries that the copy has not applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entries: Option<u64>,
    /// Their bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Age of the oldest of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest_unapplied_age_ms: Option<u64>,
    /// Time since the other end was heard of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_contact_age_ms: Option<u64>,
    /// Time since the last proof of equality.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_proof_age_ms: Option<u64>,
}

/// A proof that the copy equals its source up to a position: a signed digest that it computed itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LinkProof {
    /// Up to where.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub position: Position,
    /// Commit timestamp there.
    #[cfg_attr(feature = "openapi", schema(value_type = u64))]
    pub timestamp: Timestamp,
    /// When it was made, microseconds since 1970.
    pub at: i64,
}

/// What a copy reports to its source, so that health is seen end to end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LinkReport {
    /// The copy.
    pub server: ServerIdentity,
    /// What it is for the database.
    pub role: Role,
    /// The view that it holds.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub view: View,
    /// Everything up to here can be read there.
    #[cfg_attr(feature = "openapi", schema(value_type = u64))]
    pub visible: Timestamp,
    /// How far it applied.
    pub partitions: Vec<ReportPartition>,
    /// Its digests, at `visible`.
    #[serde(default)]
    pub digests: Vec<ReportDigest>,
    /// What its link does.
    pub state: LinkState,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How far its synchronization is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<LinkProgress>,
    /// Bytes per second that it lets in, if it bounds them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub throttle_bytes_per_second: Option<u64>,
    /// The newest epoch that it knows, if any but the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<EpochView>,
    /// Version of its software.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub software: Option<String>,
    /// The protocol that it speaks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<u32>,
}

/// What a source answers to a report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ReportAnswer {
    /// How long it keeps what the copy lacks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forecast: Option<LinkForecast>,
    /// The copy is to become primary: it asks for the role by `handover`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub take_over: bool,
}

/// How far a copy applied one partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ReportPartition {
    /// Which.
    #[cfg_attr(feature = "openapi", schema(value_type = u16))]
    pub partition: PartitionId,
    /// End of the copy's durable journal.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub durable: Position,
    /// The last entry that it applied.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub applied: Position,
    /// In a derived view: the source entry that one stands for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub source: Option<Position>,
    /// Entry bytes ever appended to its journal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub journal_bytes_appended: Option<u64>,
    /// The last checkpoint that it compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub last_checkpoint: Option<Position>,
}

/// The digest of a view of a copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ReportDigest {
    /// Which view.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub view: View,
    /// Over all partitions.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub digest: Digest,
    /// The timestamp it is of.
    #[cfg_attr(feature = "openapi", schema(value_type = u64))]
    pub at: Timestamp,
}

impl fmt::Display for LinkState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LinkState::Connecting => "connecting",
            LinkState::Following => "following",
            LinkState::Planning => "planning",
            LinkState::Transferring => "transferring",
            LinkState::Installing => "installing",
            LinkState::Waiting => "waiting",
            LinkState::Paused => "paused",
            LinkState::Stopped => "stopped",
        })
    }
}
