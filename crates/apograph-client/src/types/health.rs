//! `/health/live` and `/health/ready`.

use serde::{Deserialize, Serialize};

/// Whether the server lives, or is ready for requests. Also told by the status: 200 or 503.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Health {
    /// Yes.
    pub ok: bool,
    /// Why not, one line each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
}
