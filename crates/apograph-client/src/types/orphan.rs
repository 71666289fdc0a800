//! Orphans: what a later epoch cut off, and a former primary kept.

use apograph_format::{Hash, PartitionId, Token, Uri, VersionRef};
use serde::{Deserialize, Serialize};

/// A transaction that a later epoch cut off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OrphanView {
    /// What its author was answered.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub token: Token,
    /// Whose.
    pub author: String,
    /// Why.
    pub comment: String,
    /// When, RFC 3339.
    pub time: String,
    /// What it did; at most a thousand.
    pub documents: Vec<OrphanChange>,
    /// Partitions whose part is here.
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<u16>))]
    pub partitions: Vec<PartitionId>,
    /// All parts of it are here.
    pub is_whole: bool,
}

/// What an orphan did to a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OrphanChange {
    /// Which document.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub uri: Uri,
    /// What was done.
    pub operation: String,
    /// Versions that were added.
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<Object>))]
    pub versions: Vec<VersionRef>,
}

/// A version that an orphan added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OrphanVersionView {
    /// Of which document.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub uri: Uri,
    /// Its number in the history that was cut off.
    pub version: u64,
    /// Its id.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub id: Hash,
    /// What the application knew of it; absent, as all that follows, if its bytes were erased.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Object>))]
    pub properties: Option<serde_json::Value>,
    /// Its type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub r#type: Option<String>,
    /// Who wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// What its content is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// How long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_bytes: Option<u64>,
    /// BLAKE3 of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub content_hash: Option<Hash>,
    /// The content, if it is text of at most a MiB and still here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
}

/// Orphans were discarded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OrphansGone {
    /// How many.
    pub discarded: u64,
}
