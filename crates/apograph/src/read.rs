//! What readers ask for, and what they get.

use apograph_format::{Head, Kind, State, Timestamp, Uri, Version, VersionRef};

/// Which of a document's versions a reader wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Which {
    /// The newest one.
    #[default]
    Working,
    /// The published one.
    Live,
    /// The one of this number.
    Number(u64),
}

/// A document as a reader sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// Its URI.
    pub uri: Uri,
    /// Its head at that time.
    pub head: Head,
    /// Number and id of the version shown.
    pub version_ref: VersionRef,
    /// The version shown.
    pub version: Version,
}

/// Which documents to list. They come in the order of their URIs.
#[derive(Debug, Clone, Default)]
pub struct ListQuery {
    /// Only URIs that begin with this.
    pub prefix: String,
    /// Only this kind.
    pub kind: Option<Kind>,
    /// Only this type.
    pub r#type: Option<String>,
    /// Only this state; none means everything that is not trashed or purged.
    pub state: Option<State>,
    /// Only URIs after this one.
    pub after: Option<Uri>,
    /// At most this many.
    pub limit: usize,
    /// As of this time; none means now.
    pub as_of: Option<Timestamp>,
}

/// One document of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its URI.
    pub uri: Uri,
    /// Its head.
    pub head: Head,
}

/// A page of a list.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// The documents.
    pub documents: Vec<Listed>,
    /// Where the next page begins, if there may be one.
    pub next_after: Option<Uri>,
}

/// One version of a document's history.
#[derive(Debug, Clone, PartialEq)]
pub struct HistoryItem {
    /// The URI it was saved under: a moved document's older versions stand under its old URI.
    pub uri: Uri,
    /// Number and id.
    pub version_ref: VersionRef,
    /// The version.
    pub version: Version,
}
