//! `GET|POST /v1/databases/{db}/rollback`.

use apograph_format::{State, Timestamp, Token, Uri};
use serde::{Deserialize, Serialize};

use super::Problem;

/// What a rollback would do: which time, which documents.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RollbackQuery {
    /// To when: a commit timestamp or an RFC 3339 time.
    pub to: String,
    /// From which state: give the `from` of the first page for the next ones; without it, from the newest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Only documents behind this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// At most so many documents; without it, all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
}

/// `POST /v1/databases/{db}/rollback`: make the state of an earlier time the current one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RollbackRequest {
    /// To when: a commit timestamp or an RFC 3339 time.
    pub to: String,
    /// Why, for the journal and the versions that are saved again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// At most so many documents in one transaction; without it, as many as fit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub documents_max: Option<usize>,
}

/// One line of an answer: what a rollback would do, or how far it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum RollbackAnswer {
    /// What would become of a document.
    Document(RollbackDocument),
    /// How far it is: all of it durable and to be seen.
    Progress(RollbackProgress),
    /// It is done, or all of it was told. The last line.
    Done(RollbackDone),
    /// It cannot go on. The last line; what is durable stays, and asking again goes on.
    Refused(Box<Problem>),
}

/// A document that does not stand as it stood.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RollbackDocument {
    /// Which.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub uri: Uri,
    /// What becomes of it.
    pub outcome: RollbackOutcome,
    /// Where it stands now.
    pub now: RollbackStanding,
    /// Where it stands then, if the rollback changes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub then: Option<RollbackStanding>,
    /// The version whose text is saved again, if another text stands now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text_of: Option<u64>,
    /// Why it cannot become what it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What becomes of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum RollbackOutcome {
    /// It stands as it stood.
    Back,
    /// It was not there: it goes to the trash.
    Trashed,
    /// It cannot become what it was.
    Lost,
}

/// Where a document stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RollbackStanding {
    /// In which state.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub state: State,
    /// Its newest version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// Its published version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live: Option<u64>,
}

/// How far a rollback is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RollbackProgress {
    /// Transactions.
    pub transactions: u64,
    /// Documents that were changed, or would be.
    pub documents: u64,
    /// Of them: whose text is saved again.
    pub saved: u64,
    /// Of them: that go to the trash.
    pub trashed: u64,
    /// Documents that cannot become what they were.
    pub lost: u64,
    /// Token of the last transaction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub token: Option<Token>,
}

/// A rollback, done or told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RollbackDone {
    /// To when.
    #[cfg_attr(feature = "openapi", schema(value_type = u64))]
    pub to: Timestamp,
    /// The last moment before it: rolling back to it takes it back.
    #[cfg_attr(feature = "openapi", schema(value_type = u64))]
    pub from: Timestamp,
    /// How much.
    pub progress: RollbackProgress,
    /// Documents that cannot become what they were, the first thousand; those of a preview are in its lines.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lost: Vec<RollbackDocument>,
    /// Of a preview: the value of `after` for the next page, if there may be one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub next_after: Option<Uri>,
}

/// The last rollback of a database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RollbackStatus {
    /// To when.
    #[cfg_attr(feature = "openapi", schema(value_type = u64))]
    pub to: Timestamp,
    /// The last moment before it: rolling back to it takes it back.
    #[cfg_attr(feature = "openapi", schema(value_type = u64))]
    pub from: Timestamp,
    /// Its last transaction so far.
    #[cfg_attr(feature = "openapi", schema(value_type = u64))]
    pub at: Timestamp,
    /// Nothing of it is left to be done.
    pub done: bool,
    /// How far it is, if this server does it now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running: Option<RollbackProgress>,
}
