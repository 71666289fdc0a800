//! Why something was not done. Small structs with the facts; codes and statuses are the server's business.

use std::io;
use std::time::Duration;

use apograph_format::{
    Epoch, Hash, Participants, PartitionId, Position, ServerKey, State, Timestamp, Token, Uri, View,
};
use apograph_journal::CreateError;
use apograph_store::StoreError;
use apograph_store::engine::EngineError;

use crate::OpenError;
use crate::folder::FolderError;
use crate::import::LineError;
use crate::spool::SpoolError;

/// This server does not take edits of this database.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this server holds a {role} of the database; edits go to its primary{}", self.primary_url.as_ref().map(|url| format!(" at {url}")).unwrap_or_default())]
pub struct ReadOnly {
    /// What it is.
    pub role: crate::Role,
    /// Where the primary is, if known.
    pub primary_url: Option<String>,
}

/// This server was the primary, and must not act as one any more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this server is fenced in epoch {epoch}: {reason}")]
pub struct Fenced {
    /// The epoch it is primary of.
    pub epoch: Epoch,
    /// The highest epoch that it knows of.
    pub seen: Epoch,
    /// Why.
    pub reason: String,
    /// Where the primary of that epoch is, if known.
    pub primary_url: Option<String>,
}

/// Why a transaction was refused. Nothing of it was done.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// Not the primary.
    #[error(transparent)]
    ReadOnly(#[from] ReadOnly),
    /// A primary that another one followed, or that has a rival: it does not know what is acknowledged elsewhere.
    #[error(transparent)]
    Fenced(#[from] Fenced),
    /// Writes are held while the role of primary moves to another server. Nothing was done.
    #[error("writes wait while another server becomes the primary; try again in {retry_after:?}")]
    Held {
        /// When to try again.
        retry_after: Duration,
    },
    /// Writes wait while the database is rolled back, and this one waited for as long as it may. Nothing was done.
    #[error(
        "writes wait while the database is rolled back to an earlier state; try again in {retry_after:?}"
    )]
    RollingBack {
        /// When to try again.
        retry_after: Duration,
    },
    /// Writes wait for a copy that lags or is lost, and this one waited for as long as it may, or may not wait. Nothing was
    /// done.
    #[error("writes are kept back for the copy {link}: {reason}")]
    Lagging {
        /// Which copy.
        link: String,
        /// What is wrong with it.
        reason: String,
    },
    /// An operation cannot be done.
    #[error("operation {index} on {uri}: {refusal}")]
    Refused {
        /// Which operation, counted from zero.
        index: usize,
        /// On which document.
        uri: Uri,
        /// Why.
        refusal: Refusal,
    },
    /// The transaction as a whole cannot be done.
    #[error(transparent)]
    Transaction(#[from] TransactionRefusal),
    /// A content could not be read back.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// The server cannot go on: disk full, sync failed, damage. The reason is in `status`.
    #[error("the database does not take writes: {reason}")]
    Stopped {
        /// Why.
        reason: String,
    },
    /// Something durable cannot be applied for now, and nothing is taken before it is. It is tried again all the time.
    #[error("the database takes no writes until it can apply what it has: {reason}")]
    Stalled {
        /// Why it could not.
        reason: String,
    },
    /// The transaction is durable and part of the history; this server cannot apply it yet, and shows it as soon as it can.
    #[error("the transaction is committed, and cannot be shown here yet: {reason}")]
    Unshown {
        /// Of the transaction.
        token: Token,
        /// Why it could not be applied.
        reason: String,
    },
    /// Too many transactions wait.
    #[error("too many transactions wait for the committer; try again")]
    Busy,
    /// The state could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why one operation cannot be done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No such document.
    #[error("there is no such document")]
    NotFound,
    /// It is in the trash.
    #[error("the document is in the trash{}; restore it first", self.moved())]
    Trashed {
        /// Where it was moved, if that is why.
        moved_to: Option<Uri>,
    },
    /// It exists already.
    #[error("the document exists")]
    Exists,
    /// Another version is the working version.
    #[error("the working version is {}, not the expected one", .found.map_or("absent".to_owned(), |number| number.to_string()))]
    VersionMismatch {
        /// Number of the working version.
        found: Option<u64>,
    },
    /// Somebody works on it.
    #[error("{owner} has locked the document until {}", apograph_format::timestamp::rfc3339(*.expires))]
    Locked {
        /// Who.
        owner: String,
        /// Until when, microseconds since 1970.
        expires: i64,
    },
    /// There is no such version.
    #[error("the document has no version {number}")]
    NoSuchVersion {
        /// Its number.
        number: u64,
    },
    /// Nothing is live.
    #[error("nothing of the document is published")]
    NotPublished,
    /// Not in the trash.
    #[error("the document is not in the trash")]
    NotTrashed,
    /// Nobody works on it.
    #[error("the document is not locked")]
    NotLocked,
    /// System kinds live under `/_system/`, others do not; and a kind does not change.
    #[error("{reason}")]
    Kind {
        /// What is wrong.
        reason: String,
    },
    /// A limit.
    #[error("{what} has at most {max} bytes, {found} were given")]
    TooLong {
        /// What.
        what: &'static str,
        /// How much is allowed.
        max: usize,
        /// How much was given.
        found: usize,
    },
    /// Only an administrator may.
    #[error("only an administrator may {what}")]
    Privileged {
        /// What.
        what: &'static str,
    },
    /// It cannot be loaded as it was elsewhere.
    #[error(transparent)]
    Load(#[from] LoadRefusal),
    /// A content that a version names, and that neither is here nor came along.
    #[error("the content {hash} is not here, and did not come along")]
    ContentMissing {
        /// Which.
        hash: Hash,
    },
}

/// Why a document cannot be loaded as it was elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadRefusal {
    /// Something is at its URI already.
    #[error("there is a {state} document at this URI already")]
    Occupied {
        /// How that stands.
        state: State,
    },
    /// Somebody changed it after its first part came.
    #[error("the document was changed by somebody else while it was loaded")]
    Changed,
    /// Numbers do not grow.
    #[error("version {found} comes after version {after}")]
    Order {
        /// The last one before.
        after: u64,
        /// The one that came.
        found: u64,
    },
    /// A version is not what its id says.
    #[error("version {number} has the id {found} by all that is said of it, not {expected}")]
    Id {
        /// The version.
        number: u64,
        /// The id it is said to have.
        expected: Hash,
        /// The id of what came.
        found: Hash,
    },
    /// A content is not the one that the version names.
    #[error("the content of version {number} is not the one that the version names")]
    Content {
        /// The version.
        number: u64,
    },
    /// A head contradicts itself or its versions.
    #[error("the head contradicts itself or its versions: {rule}")]
    Head {
        /// What would be true of a head that does not.
        rule: &'static str,
    },
}

impl Refusal {
    fn moved(&self) -> String {
        match self {
            Refusal::Trashed { moved_to: Some(uri) } => format!(" (it was moved to {uri})"),
            _ => String::new(),
        }
    }
}

/// Why a transaction as a whole cannot be done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransactionRefusal {
    /// Nothing to do.
    #[error("the transaction has no operations")]
    Empty,
    /// A limit.
    #[error("{what}: at most {max}, {found} were given")]
    TooLarge {
        /// What.
        what: &'static str,
        /// How much is allowed.
        max: usize,
        /// How much was given.
        found: usize,
    },
    /// The cursor stands elsewhere: somebody else imports, or this was done before.
    #[error("the cursor {name} stands at {}, not where the caller believes", .found.as_deref().unwrap_or("no position"))]
    Cursor {
        /// Which cursor.
        name: String,
        /// Where it stands.
        found: Option<String>,
    },
    /// A purge shares its transaction with other operations.
    #[error("a purge stands alone in its transaction")]
    PurgeNotAlone,
}

/// Why an export is not loaded, or not further. What is durable stays; the cursor says where to go on.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// Something is in the database already.
    #[error("the database is not empty: there is, or was, {uri}")]
    NotEmpty {
        /// The first document.
        uri: Uri,
    },
    /// It was loaded before.
    #[error("the export is loaded already")]
    Loaded,
    /// A line cannot be taken.
    #[error(transparent)]
    Line(#[from] LineError),
    /// A transaction was refused.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// The state could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// Why a read was not answered.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// There is no such document, or nothing of it that this reader asked for.
    #[error("{uri}: {refusal}")]
    Refused {
        /// The document.
        uri: Uri,
        /// Why.
        refusal: Refusal,
    },
    /// Below the history horizon.
    #[error("history before {horizon} is gone; {asked} was asked for")]
    BelowHorizon {
        /// The oldest time that can be read.
        horizon: Timestamp,
        /// The time asked for.
        asked: Timestamp,
    },
    /// Before the first transaction.
    #[error("nothing was there at {asked}: the database begins later")]
    NothingYet {
        /// The time asked for.
        asked: Timestamp,
    },
    /// Not reached yet.
    #[error("{asked} lies ahead of the visible timestamp {visible}")]
    Ahead {
        /// What can be read.
        visible: Timestamp,
        /// The time asked for.
        asked: Timestamp,
    },
    /// This server does not hold that view.
    #[error("this server does not hold the {view} view")]
    NoSuchView {
        /// The view.
        view: View,
    },
    /// The document lives in a partition that this server does not hold.
    #[error("it is in partition {partition}, and this server holds partitions {held} only")]
    Elsewhere {
        /// The partition.
        partition: PartitionId,
        /// What is here.
        held: Participants,
        /// Where the partition can be read, as far as this server knows.
        url: Option<String>,
    },
    /// A synchronization left the old versions of this document out.
    #[error(
        "version {number} of {uri} was not brought: the synchronization kept versions from {kept_from} on"
    )]
    NotBrought {
        /// The document.
        uri: Uri,
        /// The version.
        number: u64,
        /// The oldest one that is here.
        kept_from: u64,
    },
    /// The bytes were erased by a purge, or have not come.
    #[error("the content of {uri} is not here: it was purged")]
    Erased {
        /// The document.
        uri: Uri,
    },
    /// The store failed: damage, or the disk.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why waiting for a token ended without it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WaitError {
    /// Not reached in time.
    #[error("not reached after {waited:?}: the visible timestamp is {visible}, {asked} was asked for")]
    TimedOut {
        /// How long it waited.
        waited: Duration,
        /// What can be read.
        visible: Timestamp,
        /// What was asked for.
        asked: Timestamp,
    },
    /// A failover cut that history off, or the token is from another database.
    #[error("the history of token {asked} is not the history of this server, which is in epoch {epoch}")]
    OtherHistory {
        /// What was asked for.
        asked: Token,
        /// The epoch here.
        epoch: Epoch,
    },
}

/// Why a copy cannot be fed from where it is.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// The journal does not reach back so far: the copy has to synchronize.
    #[error("the journal begins at {start}; {asked} lies before it")]
    OutOfWindow {
        /// Where the journal begins.
        start: Position,
        /// Where the copy is.
        asked: Position,
    },
    /// The copy has a history that this server does not have.
    #[error("{asked} is not a position of this history; the last common one known is {common}")]
    UnknownPosition {
        /// Where the copy is.
        asked: Position,
        /// The last position that is surely common.
        common: Position,
    },
    /// No such view here.
    #[error("this server cannot give the {view} view")]
    NoSuchView {
        /// The view.
        view: View,
    },
    /// No such partition.
    #[error("there is no partition {partition}")]
    NoSuchPartition {
        /// The partition.
        partition: u16,
    },
    /// Another server holds it.
    #[error("partition {partition} is not held here: this server holds partitions {held} only")]
    Elsewhere {
        /// The partition.
        partition: PartitionId,
        /// What is here.
        held: Participants,
        /// Where it can be read, as far as this server knows.
        url: Option<String>,
    },
    /// The journal cannot be read.
    #[error("the journal cannot be read: {reason}")]
    Damaged {
        /// Why.
        reason: String,
    },
}

/// Why a copy did not take what arrived. The link stops with this reason; nothing of it was applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TakeError {
    /// What arrived is not the next entry: damaged or misdirected on its way.
    #[error("what arrived was refused: {reason}")]
    Refused {
        /// Why.
        reason: String,
    },
    /// The next entry is whole, and says something that this software does not know: its source's is newer.
    #[error("the next entry is not understood: {reason}")]
    NotUnderstood {
        /// What.
        reason: String,
    },
    /// A signature is not the primary's.
    #[error("{reason}")]
    Signature {
        /// Which, and whose.
        reason: String,
    },
    /// An entry of a history that a later epoch cut off, or of an epoch below the one that is known.
    #[error("an entry of epoch {found} that is no part of the history: epoch {seen} began before it")]
    LowerEpoch {
        /// Of the entry.
        found: Epoch,
        /// The highest epoch known here.
        seen: Epoch,
    },
    /// An epoch began before the end of what this copy shows: it has what is not in the history any more.
    #[error("epoch {epoch} goes on from {base}, and this copy shows what an older one wrote up to {visible}")]
    Forked {
        /// Which epoch.
        epoch: Epoch,
        /// The last commit timestamp of the history it goes on with.
        base: Timestamp,
        /// What this copy shows.
        visible: Timestamp,
    },
    /// An epoch of a primary that this server has no reason to trust.
    #[error("epoch {epoch} names a primary that no server document here knows: {key}")]
    UnknownPrimary {
        /// Which epoch.
        epoch: Epoch,
        /// Its primary's key.
        key: ServerKey,
    },
    /// The copy differs from its source.
    #[error(
        "partition {partition} differs from its source at the checkpoint {at}: digest {found}, expected {expected}"
    )]
    Diverged {
        /// The partition.
        partition: u16,
        /// Where.
        at: Position,
        /// What the source has.
        expected: apograph_format::Digest,
        /// What is here.
        found: apograph_format::Digest,
    },
    /// This server cannot go on: disk full, sync failed, damage.
    #[error("this server does not take entries: {reason}")]
    Stopped {
        /// Why.
        reason: String,
    },
}

/// What a failure of this server comes from: it decides what a person can do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Stored bytes are not what they were.
    Damage,
    /// The disk is full.
    DiskFull,
    /// Another process has it open.
    InUse,
    /// It was written by another version of this software.
    Version,
    /// Something else: the log says what.
    Other,
}

impl Cause {
    /// Of an answer of the operating system.
    pub fn of_io(error: &io::Error) -> Cause {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Cause::DiskFull,
            _ => Cause::Other,
        }
    }

    /// Of a failure of a store.
    pub fn of_store(error: &StoreError) -> Cause {
        match error {
            StoreError::Damaged { .. }
            | StoreError::Head { .. }
            | StoreError::Payload { .. }
            | StoreError::Missing { .. }
            | StoreError::Entry(_) => Cause::Damage,
            StoreError::Chunk { error, .. } => Cause::of_io(error),
            StoreError::Engine(EngineError::Damaged { .. }) => Cause::Damage,
            StoreError::Engine(EngineError::Io { source, .. }) => Cause::of_io(source),
            StoreError::Engine(EngineError::InUse { .. }) => Cause::InUse,
            StoreError::Engine(EngineError::Format { .. }) => Cause::Version,
            StoreError::Engine(_)
            | StoreError::Order { .. }
            | StoreError::Syncing
            | StoreError::BelowHorizon { .. }
            | StoreError::NoSync
            | StoreError::SnapshotTooClose { .. } => Cause::Other,
        }
    }

    /// Of a reason that is kept as text, because it outlives its error and is shown in the status.
    fn of_reason(reason: &str) -> Cause {
        let is_full = |kind: io::ErrorKind| reason.contains(&io::Error::from(kind).to_string());
        if is_full(io::ErrorKind::StorageFull) || reason.contains("(os error 28)") {
            Cause::DiskFull
        } else if reason.contains("damaged") {
            Cause::Damage
        } else {
            Cause::Other
        }
    }
}

impl CommitError {
    /// What it comes from, if this server failed. A transaction that is durable is never said to have met a full disk:
    /// whoever reads that may believe that nothing was kept.
    pub fn comes_from(&self) -> Cause {
        match self {
            CommitError::Stopped { reason } | CommitError::Stalled { reason } => Cause::of_reason(reason),
            CommitError::Store(error) => Cause::of_store(error),
            CommitError::Spool(SpoolError::Disk(error)) => Cause::of_io(error),
            _ => Cause::Other,
        }
    }
}

impl OpenError {
    /// What it comes from.
    pub fn comes_from(&self) -> Cause {
        use apograph_journal::OpenError as Journal;
        let of_journal = |error: &Journal| match error {
            Journal::Damaged(_) | Journal::Shorter { .. } | Journal::Foreign { .. } => Cause::Damage,
            Journal::Locked { .. } => Cause::InUse,
            Journal::Format { .. } => Cause::Version,
            Journal::Io(failure) => Cause::of_io(&failure.error),
            Journal::Empty { .. } => Cause::Other,
        };
        match self {
            OpenError::Journal { error, .. } => of_journal(error),
            OpenError::Create { error: CreateError::Io(failure), .. } => Cause::of_io(&failure.error),
            OpenError::Create { error: CreateError::Open(error), .. } => of_journal(error),
            OpenError::Store { error, .. } => Cause::of_store(error),
            OpenError::Folder(FolderError::Disk { error, .. }) => Cause::of_io(error),
            OpenError::DigestKey { .. }
            | OpenError::Lost { .. }
            | OpenError::LostStore { .. }
            | OpenError::Folder(FolderError::Damaged { .. }) => Cause::Damage,
            // A full disk stops recovery, too, and damages nothing.
            OpenError::Recovery { reason } => match Cause::of_reason(reason) {
                Cause::DiskFull => Cause::DiskFull,
                _ => Cause::Damage,
            },
            _ => Cause::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_of_reasons_kept_as_text() {
        let full = io::Error::from_raw_os_error(28);
        let stopped = |reason: String| CommitError::Stopped { reason }.comes_from();
        assert_eq!(stopped(format!("the journal cannot be written: {full}")), Cause::DiskFull);
        assert_eq!(stopped(format!("x: {}", io::Error::from(io::ErrorKind::StorageFull))), Cause::DiskFull);
        let token = Token { epoch: Epoch::FIRST, timestamp: Timestamp(1) };
        let unshown = CommitError::Unshown { token, reason: full.to_string() };
        assert_eq!(
            unshown.comes_from(),
            Cause::Other,
            "whoever reads of a full disk believes that nothing was kept"
        );
        assert_eq!(stopped("the store is damaged: payload".to_owned()), Cause::Damage);
        assert_eq!(Cause::of_io(&full), Cause::DiskFull);
        let recovery = |reason: String| OpenError::Recovery { reason }.comes_from();
        assert_eq!(recovery("store and journal differ".to_owned()), Cause::Damage);
        assert_eq!(recovery(full.to_string()), Cause::DiskFull);
    }
}
