//! `GET /v1/databases/{db}/why/{uri…}?state=&version=&after=&view=`: why a document is, or is not, on a server.
//!
//! A server answers from its own [`Evidence`] alone, and says no more than it knows. Whoever may ask its source as well
//! puts both together with [`crate::why::decide`].

use apograph_format::{
    DatabaseId, Epoch, Kind, PartitionId, Position, State, Timestamp, Uri, VersionRef, View,
};
use serde::{Deserialize, Serialize};

use super::{LinkStatus, LockView, ReadState, Role, ServerIdentity};

/// What is asked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WhyQuery {
    /// The version that is missed: `live` or `working`; what the server serves by default, if neither this nor
    /// `version` is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<ReadState>,
    /// The version of this number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// Also find the first change of the document after this commit timestamp …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Timestamp>,
    /// … that shows in this view: `full`, if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub view: Option<View>,
}

/// Why a document is, or is not, on a server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WhyAnswer {
    /// The document.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub uri: Uri,
    /// The version that was asked about.
    pub asked: Asked,
    /// Whether it is there.
    pub standing: Standing,
    /// Why: the first one is the answer, the others stand beside it.
    pub causes: Vec<Reason>,
    /// What the server in question says; absent when it could not be asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub here: Option<Evidence>,
    /// What its source says, if it was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Evidence>,
}

/// The version that was asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Asked {
    /// The newest one.
    Working,
    /// The published one.
    Live,
    /// The one of this number.
    Version(u64),
}

/// Whether a document is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Standing {
    /// It is here as asked; if the source was asked: as it is there.
    Here,
    /// It is here as it was; its source has newer.
    Outdated,
    /// It is here, but not as it should be.
    Different,
    /// It is not here.
    Absent,
    /// The server could not be asked.
    Unknown,
}

/// One reason: a cause with its facts, in words, and what to do next.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Reason {
    /// The cause and its facts.
    #[serde(flatten)]
    pub cause: Cause,
    /// The same in a sentence.
    pub text: String,
    /// What a person could do about it, if anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Why a document is (not) on a server. `code` is stable; `docs/operate/why.md` lists all.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "kebab-case", rename_all_fields = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Cause {
    /// It is here as asked.
    Here {
        /// The version.
        #[cfg_attr(feature = "openapi", schema(value_type = Object))]
        version: VersionRef,
        /// The same was found at the source.
        compared: bool,
    },
    /// A change has not come from the source yet.
    NotArrived {
        /// The change, if the source's journal still tells.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        change: Option<ChangeView>,
        /// The document's last change at the source.
        #[cfg_attr(feature = "openapi", schema(value_type = u64))]
        changed: Timestamp,
        /// Everything up to here can be read on the server in question.
        #[cfg_attr(feature = "openapi", schema(value_type = u64))]
        visible: Timestamp,
        /// Entries of the source's journal from where the copy is up to the change.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        entries_to_go: Option<u64>,
    },
    /// The change is on its way: its contents come first, and some of them are here.
    WaitingForContent {
        /// The change.
        change: ChangeView,
        /// Entries with contents that are here.
        entries_arrived: u64,
        /// How many there are, if the copy's journal is the source's.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        entries: Option<u64>,
    },
    /// The change is durable here, and cannot be seen yet: parts of its transaction, or of one before it, are missing.
    NotAppliedYet {
        /// The change.
        change: ChangeView,
        /// Everything up to here can be read.
        #[cfg_attr(feature = "openapi", schema(value_type = u64))]
        visible: Timestamp,
    },
    /// Nothing was ever at this URI, up to a time.
    NeverExisted {
        /// The time.
        #[cfg_attr(feature = "openapi", schema(value_type = u64))]
        up_to: Timestamp,
    },
    /// This server holds what is published, and nothing of this document ever was; whether it exists it is not told.
    NothingKnown {
        /// Up to when.
        #[cfg_attr(feature = "openapi", schema(value_type = u64))]
        up_to: Timestamp,
    },
    /// It exists and was never published.
    NeverPublished {
        /// Its newest version.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "openapi", schema(value_type = Option<Object>))]
        working: Option<VersionRef>,
    },
    /// It was published, and is no longer.
    Withdrawn {
        /// By whom, if that was its last change.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        change: Option<ChangeView>,
    },
    /// It was published, and is no longer; a server of published documents is not told why.
    Retracted {
        /// When.
        #[cfg_attr(feature = "openapi", schema(value_type = u64))]
        at: Timestamp,
    },
    /// It is in the trash.
    Trashed {
        /// By whom, if that was its last change.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        change: Option<ChangeView>,
    },
    /// It was moved away.
    Moved {
        /// Where to.
        #[cfg_attr(feature = "openapi", schema(value_type = String))]
        to: Uri,
        /// By whom, if that was its last change.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        change: Option<ChangeView>,
    },
    /// It was erased with its history.
    Purged {
        /// When.
        #[cfg_attr(feature = "openapi", schema(value_type = u64))]
        at: Timestamp,
        /// By whom, if the journal still tells.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        change: Option<ChangeView>,
        /// Why the journal does not tell.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        unknown: Option<String>,
    },
    /// What is here is published; the newer version is not.
    ChangesNotPublished {
        /// The published version.
        #[cfg_attr(feature = "openapi", schema(value_type = Object))]
        live: VersionRef,
        /// The newest version.
        #[cfg_attr(feature = "openapi", schema(value_type = Object))]
        working: VersionRef,
    },
    /// There is no version of this number: it never was, or a purge or a move left the number out.
    NoSuchVersion {
        /// Number of the newest version.
        newest: u64,
    },
    /// This server holds live versions only, and this one is not live.
    VersionNotInView {
        /// The live version.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "openapi", schema(value_type = Option<Object>))]
        live: Option<VersionRef>,
    },
    /// A synchronization did not bring this version: it brought the newest ones.
    Cut {
        /// What it left out.
        cut: CutView,
    },
    /// This server could not take the document and holds it back.
    Quarantined {
        /// Why.
        quarantined: QuarantineView,
    },
    /// Bytes of the version are not here.
    ContentMissing {
        /// Which bytes.
        what: String,
    },
    /// Bytes of the version are not what they were: they are not served.
    Damaged {
        /// Which, and how it shows.
        detail: String,
    },
    /// The server has what its source had not, or has not what its source had, at the same time: it is no exact copy.
    Differs {
        /// What the server shows of the document.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        here: Option<Box<HeadView>>,
        /// What the source shows of it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        source: Option<Box<HeadView>>,
    },
    /// The server's link does not follow its source.
    NotFollowing {
        /// What it does.
        #[cfg_attr(feature = "openapi", schema(value_type = String))]
        state: super::LinkState,
        /// Why.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
        /// For how long.
        for_ms: u64,
        /// Since the source was heard of.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        last_contact_age_ms: Option<u64>,
    },
    /// The server follows its source, and has not applied all that it was told of.
    Behind {
        /// Entries that it has not applied.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        entries: Option<u64>,
        /// Their bytes.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bytes: Option<u64>,
        /// Age of the oldest of them.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        oldest_unapplied_age_ms: Option<u64>,
    },
    /// The database on that server takes nothing.
    Stopped {
        /// Why.
        detail: String,
    },
    /// The server is a copy that has not met its source yet.
    NoCopyYet,
    /// The server does not answer.
    Unreachable {
        /// How it shows.
        detail: String,
        /// How its link stood when its source last heard of it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        last_report: Option<Box<LinkStatus>>,
    },
    /// The server that was asked for comparison is itself behind.
    SourceBehind {
        /// Everything up to here can be read there.
        #[cfg_attr(feature = "openapi", schema(value_type = u64))]
        visible: Timestamp,
        /// Everything up to here can be read on the server in question.
        #[cfg_attr(feature = "openapi", schema(value_type = u64))]
        here_visible: Timestamp,
    },
    /// The source could not be asked, so that this is only what the server itself knows.
    SourceNotAsked {
        /// Why not.
        detail: String,
    },
}

impl Cause {
    /// All stable names.
    pub const CODES: [&str; 27] = [
        "here",
        "not-arrived",
        "waiting-for-content",
        "not-applied-yet",
        "never-existed",
        "nothing-known",
        "never-published",
        "withdrawn",
        "retracted",
        "trashed",
        "moved",
        "purged",
        "changes-not-published",
        "no-such-version",
        "version-not-in-view",
        "cut",
        "quarantined",
        "content-missing",
        "damaged",
        "differs",
        "not-following",
        "behind",
        "stopped",
        "no-copy-yet",
        "unreachable",
        "source-behind",
        "source-not-asked",
    ];

    /// The stable name.
    pub fn code(&self) -> &'static str {
        match self {
            Cause::Here { .. } => "here",
            Cause::NotArrived { .. } => "not-arrived",
            Cause::WaitingForContent { .. } => "waiting-for-content",
            Cause::NotAppliedYet { .. } => "not-applied-yet",
            Cause::NeverExisted { .. } => "never-existed",
            Cause::NothingKnown { .. } => "nothing-known",
            Cause::NeverPublished { .. } => "never-published",
            Cause::Withdrawn { .. } => "withdrawn",
            Cause::Retracted { .. } => "retracted",
            Cause::Trashed { .. } => "trashed",
            Cause::Moved { .. } => "moved",
            Cause::Purged { .. } => "purged",
            Cause::ChangesNotPublished { .. } => "changes-not-published",
            Cause::NoSuchVersion { .. } => "no-such-version",
            Cause::VersionNotInView { .. } => "version-not-in-view",
            Cause::Cut { .. } => "cut",
            Cause::Quarantined { .. } => "quarantined",
            Cause::ContentMissing { .. } => "content-missing",
            Cause::Damaged { .. } => "damaged",
            Cause::Differs { .. } => "differs",
            Cause::NotFollowing { .. } => "not-following",
            Cause::Behind { .. } => "behind",
            Cause::Stopped { .. } => "stopped",
            Cause::NoCopyYet => "no-copy-yet",
            Cause::Unreachable { .. } => "unreachable",
            Cause::SourceBehind { .. } => "source-behind",
            Cause::SourceNotAsked { .. } => "source-not-asked",
        }
    }
}

/// What one server knows of a document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Evidence {
    /// Who says so.
    pub server: ServerIdentity,
    /// Name of the database there.
    pub database: String,
    /// The server's clock, microseconds since 1970.
    pub now: i64,
    /// The server's link to its source, if it is a copy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<LinkStatus>,
    /// What it holds; absent for a copy that has not met its source yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<Held>,
}

/// What a server holds of a database, as far as one document is concerned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Held {
    /// Identity of the database.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub id: DatabaseId,
    /// What the server is for it.
    pub role: Role,
    /// What it holds of it.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub view: View,
    /// Epoch of its history.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub epoch: Epoch,
    /// Everything up to here can be read; all that follows is as of this time.
    #[cfg_attr(feature = "openapi", schema(value_type = u64))]
    pub visible: Timestamp,
    /// Where edits go, when not here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub primary_url: Option<String>,
    /// Why it does not take writes or entries, if it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<String>,
    /// Things somebody should look at.
    #[serde(default)]
    pub alarms: Vec<String>,
    /// The partition that the document belongs to.
    #[cfg_attr(feature = "openapi", schema(value_type = u16))]
    pub partition: PartitionId,
    /// End of its durable journal.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub durable: Position,
    /// The last entry applied.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub applied: Position,
    /// In a derived journal: the source entry that its durable end stands for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub source: Option<Position>,
    /// In a derived journal: entries behind that, which are part of what comes next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_entries: Option<u32>,
    /// Everything later than this is in its journal.
    #[cfg_attr(feature = "openapi", schema(value_type = u64))]
    pub journal_since: Timestamp,
    /// The document's head.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<HeadView>,
    /// The version asked about, if it is here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Object>))]
    pub version: Option<VersionRef>,
    /// Whether its bytes can be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<BytesView>,
    /// The change that left the head as it is.
    pub last_change: SearchView,
    /// A change that is durable and cannot be seen yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<ChangeView>,
    /// The first change after the time asked about.
    pub missing: SearchView,
    /// Why the document is held back here, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quarantined: Option<QuarantineView>,
    /// What a synchronization left out of its history, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut: Option<CutView>,
}

/// A document's head.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HeadView {
    /// What the document is.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub kind: Kind,
    /// Where it stands.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub state: State,
    /// Type of its newest version.
    #[serde(rename = "type")]
    pub r#type: String,
    /// Its newest version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Object>))]
    pub working: Option<VersionRef>,
    /// Its published version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Object>))]
    pub live: Option<VersionRef>,
    /// Who works on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock: Option<LockView>,
    /// Chained hash over the ids of all its versions.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub history: apograph_format::Hash,
    /// How many versions it ever had.
    pub versions: u64,
    /// Where it went.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub moved_to: Option<Uri>,
    /// Commit timestamp of its last change.
    #[cfg_attr(feature = "openapi", schema(value_type = u64))]
    pub changed: Timestamp,
    /// Something of it was published once.
    pub ever_live: bool,
}

/// A change of a document, as a journal has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ChangeView {
    /// What was done: `put`, `publish`, `withdraw`, `trash`, `restore`, `purge`, `move-away`, `move-here`, `lock`,
    /// `unlock`, and `retract` in the published view.
    pub operation: String,
    /// The entry that says so.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub position: Position,
    /// Commit time.
    #[cfg_attr(feature = "openapi", schema(value_type = u64))]
    pub timestamp: Timestamp,
    /// Who asked for it; absent in the published view.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub author: String,
    /// When the author did it, RFC 3339.
    pub time: String,
    /// Why; absent in the published view.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub comment: String,
    /// Of a move: the other URI.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub counterpart: Option<Uri>,
    /// Entries directly before it that carry contents of its transaction.
    pub contents_entries: u64,
}

/// The outcome of a search in a journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "kebab-case", rename_all_fields = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum SearchView {
    /// There was nothing to search for.
    NotAsked,
    /// Found.
    Found {
        /// The change.
        change: ChangeView,
        /// Transactions before it, since the time asked about, that show in the view asked about.
        transactions_before: u64,
    },
    /// All of the journal in question was searched: there is none.
    Nothing,
    /// The journal could not be searched.
    Unknown {
        /// Why not.
        detail: String,
    },
}

/// Whether the bytes of a version can be read: its body and its content, checked against their names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case", rename_all_fields = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum BytesView {
    /// All of them.
    Whole {
        /// Length of the content.
        content_bytes: u64,
    },
    /// So far as the content was read.
    Sampled {
        /// Length of the content.
        content_bytes: u64,
        /// How much of it was read.
        checked_bytes: u64,
    },
    /// Some are not here.
    Missing {
        /// Which.
        what: String,
    },
    /// Some are not what they were.
    Damaged {
        /// Which, and how it shows.
        detail: String,
    },
}

/// Why a document is held back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct QuarantineView {
    /// Why.
    pub reason: String,
    /// The snapshot it was part of.
    #[cfg_attr(feature = "openapi", schema(value_type = u64))]
    pub at: Timestamp,
    /// Somebody looked at it and lets it be, for this reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dropped: Option<String>,
}

/// What no synchronization brought of a document's history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CutView {
    /// The oldest version that was brought whole: of those below, only numbers and ids are here.
    pub kept_from: u64,
    /// The snapshot of that synchronization.
    #[cfg_attr(feature = "openapi", schema(value_type = u64))]
    pub at: Timestamp,
}
