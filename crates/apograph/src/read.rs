//! What readers ask for, and what they get.

use apograph_format::{Head, Kind, Participants, State, Timestamp, Uri, Version, VersionRef, View};

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

/// Which part of a database.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Scope {
    /// All of it.
    #[default]
    Whole,
    /// Documents whose URIs begin with this.
    Prefix(String),
    /// One document.
    Document(Uri),
}

/// What to export.
#[derive(Debug, Clone)]
pub struct ExportQuery {
    /// As what.
    pub view: View,
    /// Which documents.
    pub scope: Scope,
    /// Only those of these partitions; none means all that the server holds.
    pub partitions: Option<Participants>,
    /// As of when; none means now.
    pub as_of: Option<Timestamp>,
    /// What cannot be read becomes a line that says so. Otherwise the export ends there, as a failure, so that nobody
    /// takes a part for the whole.
    pub lists_damage: bool,
}

impl Scope {
    /// What every URI of it begins with.
    pub(crate) fn prefix(&self) -> &str {
        match self {
            Scope::Whole => "",
            Scope::Prefix(prefix) => prefix,
            Scope::Document(uri) => uri.as_str(),
        }
    }

    /// Does it end before this URI, which begins with the prefix?
    pub(crate) fn ends_before(&self, uri: &Uri) -> bool {
        matches!(self, Scope::Document(only) if only != uri)
    }
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
