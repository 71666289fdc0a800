//! `GET /v1/databases/{db}/documents?prefix=&kind=&type=&state=&limit=&after=`.

use apograph_format::{Kind, PartitionId, State, Timestamp, Uri, VersionRef};
use serde::{Deserialize, Serialize};

use super::LockView;

/// Some documents, in the order of their URIs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ListPage {
    /// The documents.
    pub documents: Vec<ListItem>,
    /// The value of `after` for the next page, if there may be one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub next_after: Option<Uri>,
    /// The timestamp this page is of. Give it as `as_of` for the next ones, to see one state.
    #[cfg_attr(feature = "openapi", schema(value_type = u64))]
    pub as_of: Timestamp,
    /// The partitions that it is of, if the server does not hold all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Vec<u16>>))]
    pub partitions: Option<Vec<PartitionId>>,
}

/// A document of a list: its head, without a version's content.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ListItem {
    /// The document.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub uri: Uri,
    /// What it is.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub kind: Kind,
    /// Type of its newest version.
    #[serde(rename = "type")]
    pub r#type: String,
    /// Where it stands.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub state: State,
    /// The newest version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Object>))]
    pub working: Option<VersionRef>,
    /// The published version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Object>))]
    pub live: Option<VersionRef>,
    /// Who works on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock: Option<LockView>,
    /// Where it went, if it was moved away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub moved_to: Option<Uri>,
    /// Commit timestamp of its last change.
    #[cfg_attr(feature = "openapi", schema(value_type = u64))]
    pub changed: Timestamp,
}
