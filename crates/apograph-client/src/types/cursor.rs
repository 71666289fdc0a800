//! `GET /v1/databases/{db}/cursors/{name}`.

use serde::{Deserialize, Serialize};

/// Where a cursor of an importer stands. Of a cursor that does not exist, the position is absent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CursorAnswer {
    /// Its name.
    pub name: String,
    /// Where it stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<String>,
}
