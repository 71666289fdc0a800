//! `GET /v1/databases/{db}/handshake?view=`: what a copy must know before it follows.

use apograph_format::{DatabaseId, Epoch, PartitionId, Timestamp, View};
use serde::{Deserialize, Serialize};

use super::{EpochView, HandoverView, ServerIdentity};

/// What a source says to a copy at the beginning of every contact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Handshake {
    /// Version of the protocol of links.
    pub protocol: u32,
    /// Version of the source's software.
    pub software: String,
    /// Format of the source's journals.
    #[serde(default = "first")]
    pub format: u16,
    /// Identity of the database.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub database: DatabaseId,
    /// Name of the database at the source.
    pub name: String,
    /// How many partitions it has.
    pub partitions: u16,
    /// Epoch of its history.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub epoch: Epoch,
    /// The view that will be given.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub view: View,
    /// Keys of the digests that this view lets a copy compute: pairs of view and hex.
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<Vec<String>>))]
    pub digest_keys: Vec<(View, String)>,
    /// Who signs checkpoints, if the source knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub primary: Option<ServerIdentity>,
    /// Who answers.
    pub server: ServerIdentity,
    /// Everything up to here can be read at the source.
    #[cfg_attr(feature = "openapi", schema(value_type = u64))]
    pub visible: Timestamp,
    /// Who began which epoch, as far as the source knows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub epochs: Vec<EpochView>,
    /// The partitions that the source holds, if it does not hold all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Vec<u16>>))]
    pub held: Option<Vec<PartitionId>>,
    /// The servers that documents of the database name, for copies that do not hold these documents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub servers: Option<SignedServers>,
    /// The source stepped down for this server, which has not been heard of as primary yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handover: Option<HandoverView>,
}

/// Servers that documents of a database name, signed by the server that read them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SignedServers {
    /// JSON: a list of name, key and URL.
    pub servers: String,
    /// Of the database's identity and that text, in hex.
    pub signature: String,
}

/// The format of sources that do not say it.
fn first() -> u16 {
    1
}
