//! Orphans: what a later epoch cut off, and a former primary kept.

use apograph_format::{Hash, PartitionId, Token, Uri, VersionRef};
use serde::{Deserialize, Serialize};

use super::Problem;

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
    /// Token of the transaction that brought it back, if that was done from here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub restored: Option<Token>,
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

/// `POST /v1/databases/{db}/orphans/restore`: bring orphans back to the primary.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RestoreRequest {
    /// Which, as `orphans` names them; all, if there are none.
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>))]
    pub tokens: Vec<Token>,
    /// Where the primary answers; what this server knows, if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub primary_url: Option<String>,
    /// A token of the primary of the role admin. Not needed at the primary itself; not kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub primary_token: Option<String>,
}

impl std::fmt::Debug for RestoreRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The token stays out of logs.
        f.debug_struct("RestoreRequest").field("tokens", &self.tokens).finish_non_exhaustive()
    }
}

/// One line of the answer to a restoration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum RestoreAnswer {
    /// What became of one orphan: durable and to be seen at the primary.
    Orphan(OrphanRestored),
    /// All were asked for. The last line.
    Done(RestoreDone),
    /// It cannot go on. The last line; what came back stays.
    Refused(Box<Problem>),
}

/// What became of one orphan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OrphanRestored {
    /// Which.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub token: Token,
    /// What became of it.
    pub outcome: RestoreOutcome,
    /// Token of the transaction that brought it back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub restored: Option<Token>,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What became of its changes, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub documents: Vec<RestoredChange>,
}

/// What became of an orphan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum RestoreOutcome {
    /// It came back now.
    Restored,
    /// It had come back before.
    Already,
    /// It did not come back; nothing of it was done.
    Refused,
}

/// What became of a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RestoredChange {
    /// Of which document.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub uri: Uri,
    /// What had been done.
    pub operation: String,
    /// What became of it.
    pub outcome: ChangeOutcome,
    /// The version that has the text, where it is not the working one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// Why it was left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What became of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum ChangeOutcome {
    /// The document stands as this change had left it.
    Current,
    /// The document was changed since: the text is a version beside what stands.
    Beside,
    /// The same text had been saved again.
    There,
    /// Nothing was done.
    Left,
}

/// All orphans that were asked for are done with.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RestoreDone {
    /// Came back now.
    pub restored: u64,
    /// Had come back before.
    pub already: u64,
    /// Did not come back.
    pub refused: u64,
    /// Of the changes that came back now: stand beside a text that was saved since.
    pub beside: u64,
    /// Of the changes that came back now: were left out.
    pub left: u64,
}
