//! `GET /v1/databases/{db}/versions/{uri…}`: the versions of a document, newest first.

use apograph_format::{Hash, Properties, Uri};
use serde::{Deserialize, Serialize};

use super::{ContentView, OriginView};

/// Some versions of a document, newest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HistoryPage {
    /// The document asked for.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub uri: Uri,
    /// Its versions; those from before a move stand under the old URI.
    pub versions: Vec<HistoryItem>,
    /// Where the next page is, if that is another URI: the one that the document was moved from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub next_uri: Option<Uri>,
    /// The value of `before` for the next page, if there may be one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_before: Option<u64>,
}

/// One version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HistoryItem {
    /// The URI it was saved under.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub uri: Uri,
    /// Its number.
    pub version: u64,
    /// Its id.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub id: Hash,
    /// Versions it was made from.
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>))]
    pub parents: Vec<Hash>,
    /// Its type.
    #[serde(rename = "type")]
    pub r#type: String,
    /// Its properties.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub properties: Properties,
    /// Its content, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<ContentView>,
    /// Who wrote it.
    pub author: String,
    /// When, RFC 3339.
    pub time: String,
    /// Why.
    pub comment: String,
    /// Where it came from, if not written here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<OriginView>,
}
