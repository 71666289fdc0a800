//! What somebody asks for: one atomic, attributed change of any number of documents.

use std::collections::BTreeMap;

use bytes::Bytes;

use apograph_format::{
    Change, Cursor, Hash, Head, Kind, Properties, State, Timestamp, Token, Uri, Version, VersionRef,
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
    /// Bring back a transaction that a failover cut off. Administrators only.
    Recover(Recover),
    /// Have documents stand again as they stood. Administrators only; answers no results.
    RollBack(RollBack),
}

/// Documents that shall stand as they stood at a time: text, kind, state, what is live. What cannot is left as it is, and
/// documents of servers always are; [`crate::Database::rollback_preview`] says what that is.
#[derive(Debug, Clone)]
pub struct RollBack {
    /// When.
    pub to: Timestamp,
    /// Which documents.
    pub documents: Vec<Uri>,
}

/// A transaction that a failover cut off, to be brought back without overwriting anything: every change says in
/// [`OperationResult::recovery`] what became of it.
#[derive(Debug, Clone)]
pub struct Recover {
    /// The last timestamp of the history that it shares with this one.
    pub base: Timestamp,
    /// The server that kept it.
    pub from: String,
    /// What it did, in order.
    pub changes: Vec<RecoveredChange>,
    /// Contents that came with it.
    pub contents: BTreeMap<Hash, ContentBytes>,
}

/// What a transaction that was cut off did to one document.
#[derive(Debug, Clone)]
pub struct RecoveredChange {
    /// As its journal says it.
    pub change: Change,
    /// The essence ([`Head::essence`]) of the head that an earlier transaction of the same lost history had left; none if
    /// this was the first one to change the document behind the base.
    pub before: Option<Hash>,
    /// The versions that it added, in order; none in place of one whose bytes were erased.
    pub versions: Vec<Option<Version>>,
}

/// What became of a change that was brought back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recovery {
    /// The document stands as the lost history had left it.
    Current,
    /// The document was changed since: the text is kept as this version, and what stood still stands.
    Beside {
        /// Its number.
        version: u64,
    },
    /// Somebody saved the same text again: it is this version.
    There {
        /// Its number.
        version: u64,
    },
    /// Nothing was done.
    Left(LeftOut),
}

/// Why a change was not brought back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LeftOut {
    /// Locks are not brought back.
    #[error("a lock is of its moment, and that is over")]
    Lock,
    /// Servers say by themselves who they are.
    #[error("server documents are written by the primary")]
    Server,
    /// A purge in the new history.
    #[error("the document was purged since: nothing brings it back")]
    Purged,
    /// The bytes are gone.
    #[error("its bytes were erased")]
    Erased,
    /// A publication, a withdrawal and the like, of a document that has another state by now.
    #[error("the document was changed since, and this change adds no text")]
    Changed,
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
    /// What became of a change that was to be brought back.
    pub recovery: Option<Recovery>,
}

impl Transaction {
    /// Does it erase a document?
    pub(crate) fn purges(&self) -> bool {
        self.operations.iter().any(|operation| match &operation.action {
            Action::Purge => true,
            Action::Recover(recover) => {
                recover.changes.iter().any(|of| of.change.operation == apograph_format::Operation::Purge)
            }
            _ => false,
        })
    }
}

impl CursorMove {
    pub(crate) fn to_fact(&self) -> Cursor {
        Cursor { name: self.name.clone(), position: self.position.clone() }
    }
}
