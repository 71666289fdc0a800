//! `/v1/databases/{db}/documents/{uri…}` and `/v1/databases/{db}/contents/{uri…}`.

use apograph_format::{Hash, Kind, Properties, State, Timestamp, Token, Uri, VersionRef};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::DurabilityAnswer;

/// `PUT documents`: a new version. What is absent stays as it was in the version before.
///
/// Preconditions travel as `If-Match: "NUMBER"` or `If-Match: "ID"`, and `If-None-Match: *`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DocumentRequest {
    /// What the document is: `document` or `node`, or a system kind below `/_system/`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub kind: Option<Kind>,
    /// What the application calls this sort of document.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub r#type: Option<String>,
    /// What the application knows of it: a JSON object without duplicate keys, at most 32 levels, 256 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Object>))]
    pub properties: Option<Box<RawValue>>,
    /// The content, as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// The content, as bytes in Base64 (standard alphabet, padded). Not together with `body`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_base64: Option<String>,
    /// What the content is; `text/plain; charset=utf-8` for a `body`, `application/octet-stream` for bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// Why this version was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

/// What a write of one document answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DocumentAnswer {
    /// The document.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub uri: Uri,
    /// Number of its newest version, if it has one left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// Id of that version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub id: Option<Hash>,
    /// Commit time, microseconds since 1970.
    #[cfg_attr(feature = "openapi", schema(value_type = u64))]
    pub timestamp: Timestamp,
    /// Reading with `at_least` and this token shows at least this write.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub token: Token,
    /// Where the document stands now.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub state: State,
    /// How durable it is, if more than `local` was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub durability: Option<DurabilityAnswer>,
}

/// `GET documents`: a document as a reader sees it, in one version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DocumentView {
    /// The document.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub uri: Uri,
    /// What it is.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub kind: Kind,
    /// Where it stands.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub state: State,
    /// Type of this version.
    #[serde(rename = "type")]
    pub r#type: String,
    /// Number of this version.
    pub version: u64,
    /// Id of this version: the BLAKE3 of its stored bytes.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub id: Hash,
    /// Versions it was made from.
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>))]
    pub parents: Vec<Hash>,
    /// Properties of this version.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub properties: Properties,
    /// Content of this version, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<ContentView>,
    /// The content itself, if it is UTF-8 text of at most 1 MiB. Everything else: `GET contents`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// Who wrote this version.
    pub author: String,
    /// When, RFC 3339.
    pub time: String,
    /// Why.
    pub comment: String,
    /// Where this version came from, if not written here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<OriginView>,
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
    /// Commit timestamp of its last change.
    #[cfg_attr(feature = "openapi", schema(value_type = u64))]
    pub changed: Timestamp,
    /// Where it went, if it was moved away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub moved_to: Option<Uri>,
    /// The timestamp this answer is of.
    #[cfg_attr(feature = "openapi", schema(value_type = u64))]
    pub as_of: Timestamp,
}

/// A content, as a version names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ContentView {
    /// BLAKE3 of its bytes.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub hash: Hash,
    /// How many.
    pub bytes: u64,
    /// What they are.
    pub media_type: String,
}

/// Where a version came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OriginView {
    /// The document it was moved or made from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub uri: Option<Uri>,
    /// That document's version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub version: Option<Hash>,
    /// The server it was written on, for peers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// Its name in the system it was imported from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<String>,
}

/// Somebody works on the document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LockView {
    /// Who.
    pub owner: String,
    /// Since when, RFC 3339.
    pub since: String,
    /// Until when, RFC 3339.
    pub expires: String,
}
