//! `POST /v1/databases/{db}/import`.

use apograph_format::{Token, Uri};
use serde::{Deserialize, Serialize};

use super::Problem;

/// Which export is loaded, and from where on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImportQuery {
    /// The cursor that remembers where the import stands: one for each export.
    pub cursor: String,
    /// Where the cursor stands, and the lines go on; absent for the first line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Only ask whether the database would take it; no line is read.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
}

/// One line of the answer to an import.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum ImportAnswer {
    /// How far it is: all of it durable and to be seen.
    Progress(ImportProgress),
    /// Everything came. The last line.
    Done(ImportDone),
    /// It cannot go on. The last line; what is durable stays.
    Refused(Box<Problem>),
}

/// How far an import is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ImportProgress {
    /// Lines of the export.
    pub lines: u64,
    /// Bytes of the export.
    pub bytes: u64,
    /// Documents in them.
    pub documents: u64,
    /// Versions in them.
    pub versions: u64,
    /// Token of the last transaction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub token: Option<Token>,
}

/// What an import brought.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ImportDone {
    /// Transactions.
    pub transactions: u64,
    /// Documents, purged ones included.
    pub documents: u64,
    /// Versions.
    pub versions: u64,
    /// Bytes of their contents.
    pub content_bytes: u64,
    /// Token of the last transaction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub token: Option<Token>,
    /// Documents that were left out, because they name the servers of another database; the first thousand.
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>))]
    pub left_out: Vec<Uri>,
    /// How many.
    pub left_out_total: u64,
    /// Documents that were purged while the export was made, and came as purged; the first thousand.
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>))]
    pub purged_meanwhile: Vec<Uri>,
    /// How many.
    pub purged_meanwhile_total: u64,
    /// Documents of which the export lacks older versions; the first thousand.
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>))]
    pub cut: Vec<Uri>,
    /// How many.
    pub cut_total: u64,
}
