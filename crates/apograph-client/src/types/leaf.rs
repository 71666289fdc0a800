//! `GET /v1/databases/{db}/leaves?view=&as_of=&prefix=&document=&partitions=`: lines of it.

use apograph_format::{Hash, Uri};
use serde::{Deserialize, Serialize};

/// A document of a view.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeafLine {
    /// The document.
    pub uri: Uri,
    /// Hash of all that the view's digest covers of it: equal hashes mean equal heads, histories and versions.
    pub hash: Hash,
}
