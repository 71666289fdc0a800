//! Queries of `PUT` and `GET /v1/databases/{db}/contents/{uri…}`: the body is the content's bytes, whatever their number.
//!
//! `Content-Type` of an upload is the media type; preconditions travel as for documents; the answer is a
//! [`DocumentAnswer`](super::DocumentAnswer). A download takes `Range: bytes=A-B`.

use apograph_format::Kind;
use serde::{Deserialize, Serialize};

/// The members of the new version besides its content. What is absent stays as it was in the version before.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema, utoipa::IntoParams))]
pub struct ContentQuery {
    /// What the document is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>), param(value_type = Option<String>))]
    pub kind: Option<Kind>,
    /// What the application calls this sort of document.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub r#type: Option<String>,
    /// Why this version was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

/// Which version of a document or content a reader wants, and when. For documents, contents, versions and lists.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema, utoipa::IntoParams))]
pub struct ReadQuery {
    /// `working` (the newest version, the default; on a staging server the live one) or `live`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<ReadState>,
    /// Number of a version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// As of this time: a commit timestamp or an RFC 3339 time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_of: Option<String>,
    /// Wait, bounded, until the server has reached this token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least: Option<String>,
}

/// Which of a document's versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum ReadState {
    /// The newest one.
    Working,
    /// The published one.
    Live,
}
