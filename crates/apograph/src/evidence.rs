//! What this server knows of one document: the evidence from which `apograph why` answers.

use apograph_format::{
    Head, Operation, PartitionId, Position, SourcePoint, Timestamp, Uri, VersionRef, View,
};

pub use apograph_store::CutVersions;

use crate::database::synchronize::HeldDocument;

use crate::read::Which;

/// What to gather.
#[derive(Debug, Clone)]
pub struct Inquiry {
    /// Of which document.
    pub uri: Uri,
    /// Which of its versions somebody misses.
    pub which: Which,
    /// Also look for its first change after this time that shows in this view: what a copy of that view, which stands
    /// there, lacks.
    pub after: Option<(Timestamp, View)>,
    /// At most so many bytes of the journal are searched.
    pub search_bytes_max: u64,
    /// At most so many bytes of the content are read.
    pub content_bytes_max: u64,
}

/// What this server knows of one document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// The time of what is said here: everything up to it can be read.
    pub at: Timestamp,
    /// The partition that the document belongs to.
    pub partition: PartitionId,
    /// End of the partition's durable journal.
    pub durable: Position,
    /// Last entry applied to its store.
    pub applied: Position,
    /// In a derived journal: the place in the source's journal that the durable end stands for.
    pub source: Option<SourcePoint>,
    /// Everything later than this is in the journal.
    pub journal_since: Timestamp,
    /// The document's head; none if nothing was ever at this URI, as far as this server was told.
    pub head: Option<Head>,
    /// The version that was asked for, if it is here.
    pub version: Option<VersionRef>,
    /// Whether its bytes can be read.
    pub bytes: Option<VersionBytes>,
    /// The change that left the head as it is.
    pub last_change: Search,
    /// A change of the document that is durable here and cannot be seen yet.
    pub pending: Option<Recorded>,
    /// The first change after the time asked about.
    pub missing: Search,
    /// Why the document is held back here.
    pub quarantined: Option<HeldDocument>,
    /// What no synchronization brought of its history.
    pub cut: Option<CutVersions>,
}

/// Whether the bytes of a version can be read: its body and its content, checked against their names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VersionBytes {
    /// All of them.
    Whole {
        /// Length of the content.
        content_bytes: u64,
    },
    /// So far as it was read.
    Sampled {
        /// Length of the content.
        content_bytes: u64,
        /// How much of it was read.
        checked_bytes: u64,
    },
    /// Some are not here.
    Missing {
        /// Which.
        what: &'static str,
    },
    /// Some are not what they were.
    Damaged {
        /// Which, and how it shows.
        reason: String,
    },
}

/// A change of a document, as the journal has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// What was done.
    pub operation: Operation,
    /// The entry that says so.
    pub position: Position,
    /// Commit time.
    pub timestamp: Timestamp,
    /// Who asked for it; empty in the published view.
    pub author: String,
    /// When the author did it, microseconds since 1970.
    pub time: i64,
    /// Why; empty in the published view.
    pub comment: String,
    /// Of a move: the other URI.
    pub counterpart: Option<Uri>,
    /// Entries directly before it that carry contents of its transaction.
    pub contents_entries: u64,
}

/// The outcome of a search in the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Search {
    /// Nobody asked.
    NotAsked,
    /// Found.
    Found {
        /// The first change.
        change: Recorded,
        /// Transactions before it, since the time asked about, that show in the view.
        transactions_before: u64,
    },
    /// All of the journal in question was searched: there is none.
    Nothing,
    /// The journal could not be searched.
    Unknown {
        /// Why not.
        reason: String,
    },
}
