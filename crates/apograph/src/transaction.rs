//! What somebody asks for: one atomic, attributed change of any number of documents.

use bytes::Bytes;

use apograph_format::{
    Cursor, Hash, Head, Kind, Properties, State, Timestamp, Token, Uri, Version, VersionRef,
};

use crate::spool::SpooledContent;

/// One atomic, attributed change of any number of documents. Operations apply in order; all or nothing.
#[derive(Debug, Clone, Default)]
pub struct Transaction {
    /// Who asks.
    pub author: String,
    /// Why.
    pub comment: String,
    /// When the author did it, microseconds since 1970; none means at commit.
    pub time: Option<i64>,
    /// What to do. May be empty only when there is a cursor.
    pub operations: Vec<Operation>,
    /// For importers: advance this cursor in the same transaction.
    pub cursor: Option<CursorMove>,
    /// May break other people's locks and write system documents.
    pub privileged: bool,
}

/// Advances a cursor, if it stands where the caller believes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CursorMove {
    /// Which cursor.
    pub name: String,
    /// Where it must stand; none means that it must not exist.
    pub previous: Option<String>,
    /// Where it stands afterwards.
    pub position: String,
}

/// One operation on one document.
#[derive(Debug, Clone)]
pub struct Operation {
    /// The document.
    pub uri: Uri,
    /// What must be true before.
    pub precondition: Precondition,
    /// What to do.
    pub action: Action,
}

/// What must be true of a document before an operation, or the transaction is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precondition {
    /// Nothing.
    #[default]
    None,
    /// The working version has this number.
    Version(u64),
    /// The working version has this id.
    Id(Hash),
    /// There is no such document (or it is trashed or purged).
    Absent,
    /// There is such a document.
    Present,
}

/// What to do to a document.
#[derive(Debug, Clone)]
pub enum Action {
    /// Save a new version.
    Put(Put),
    /// Make a version live: the working version, or the one of this number.
    Publish {
        /// Number of the version; none means the working version.
        version: Option<u64>,
    },
    /// Nothing is live any more.
    Withdraw,
    /// Into the trash, not live any more.
    Trash,
    /// Out of the trash.
    Restore,
    /// Erase it and its history everywhere.
    Purge,
    /// Continue under another URI.
    Move {
        /// The new URI.
        to: Uri,
    },
    /// Keep others from changing it.
    Lock {
        /// Who works on it; none means the author of the transaction.
        owner: Option<String>,
        /// For how long, in seconds.
        seconds: u64,
    },
    /// Let others change it again.
    Unlock,
    /// Bring versions as they were elsewhere, and leave the head that they had there. Administrators only.
    Load(Load),
}

/// A document that was somewhere else, or the next part of one: nothing of it is made up here.
///
/// - at its URI there is nothing, not even a purged document, or exactly the part that came before;
/// - every version has the id it says, and the content that it names;
/// - the head fits the versions, or the transaction is refused; only its `changed` and `type` are set here.
#[derive(Debug, Clone)]
pub struct Load {
    /// What the document is.
    pub kind: Kind,
    /// The last version of the part before this one, if the document comes in parts.
    pub after: Option<VersionRef>,
    /// Versions, oldest first. None only for a purged document.
    pub versions: Vec<LoadedVersion>,
    /// How it stood; none while more of its versions are to come. Until then it is a working document.
    pub head: Option<Head>,
}

/// A version as it was elsewhere.
#[derive(Debug, Clone)]
pub struct LoadedVersion {
    /// The id that it had.
    pub id: Hash,
    /// The version.
    pub version: Version,
    /// Its content, if it names one.
    pub content: Option<ContentBytes>,
}

/// A new version.
#[derive(Debug, Clone, Default)]
pub struct Put {
    /// What the document is; none keeps what it was, and means `document` for a new one.
    pub kind: Option<Kind>,
    /// What the application calls this sort of document; none keeps it.
    pub r#type: Option<String>,
    /// What the application knows of it; none keeps it.
    pub properties: Option<Properties>,
    /// The content; none means that this version has none, as `Keep` keeps the one before.
    pub content: ContentChange,
    /// Comment of this version; none takes that of the transaction.
    pub comment: Option<String>,
    /// Importers: the name of this version in the system it came from.
    pub external: Option<String>,
    /// The document this one was made from, when its history continues another's.
    pub made_from: Option<Uri>,
}

/// What a put does to the content.
#[derive(Debug, Clone, Default)]
pub enum ContentChange {
    /// The version has the content of the one before.
    #[default]
    Keep,
    /// The version has no content.
    None,
    /// The version has this content.
    Set {
        /// What it is.
        media_type: String,
        /// Its bytes.
        bytes: ContentBytes,
    },
}

/// Bytes of a content on their way in.
#[derive(Debug, Clone)]
pub enum ContentBytes {
    /// Small enough for memory: at most one chunk.
    Inline(Bytes),
    /// On disk, already cut and hashed.
    Spooled(SpooledContent),
}

/// What became of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// Reading with it shows at least this write.
    pub token: Token,
    /// One for every operation, in order.
    pub results: Vec<OperationResult>,
}

impl Committed {
    /// Commit time.
    pub fn timestamp(&self) -> Timestamp {
        self.token.timestamp
    }
}

/// What became of one operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperationResult {
    /// The document; after a move, its new URI.
    pub uri: Uri,
    /// Its newest version, if it has one left.
    pub version: Option<VersionRef>,
    /// Where it stands now.
    pub state: State,
}

impl Transaction {
    /// Does it erase a document?
    pub(crate) fn purges(&self) -> bool {
        self.operations.iter().any(|operation| matches!(operation.action, Action::Purge))
    }
}

impl CursorMove {
    pub(crate) fn to_fact(&self) -> Cursor {
        Cursor { name: self.name.clone(), position: self.position.clone() }
    }
}
