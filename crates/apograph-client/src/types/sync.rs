//! Synchronizations: what an operator asks for (`POST /v1/databases/{db}/sync`), how far one is, what it would bring;
//! and how long a source keeps what a copy lacks.

use apograph_format::{Timestamp, Uri, View};
use serde::{Deserialize, Serialize};

/// Bounds of a synchronization. What is absent is as the settings say.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SyncRequest {
    /// A date, or an RFC 3339 time: documents that were not changed since then are left out. The copy is not equal to
    /// its source then, and says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// Newest versions of every document that are brought; zero brings all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_versions: Option<u64>,
    /// Nothing that the copy has is believed: it reads every document with all its bytes, and brings what is damaged
    /// as well.
    #[serde(default)]
    pub full: bool,
    /// Only say what would be brought.
    #[serde(default)]
    pub dry_run: bool,
}

/// What a synchronization would bring.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SyncMeasure {
    /// Documents that differ.
    pub documents: u64,
    /// Bytes that would come for them.
    pub bytes: u64,
    /// Documents that the source has.
    pub of_documents: u64,
    /// Requests that finding this out took.
    pub requests: u64,
}

/// A bound on what a link lets in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ThrottleRequest {
    /// At least one; null takes the bound away. It has to be said which.
    #[serde(deserialize_with = "Option::deserialize")]
    pub bytes_per_second: Option<u64>,
}

/// How far a synchronization is. The link's state is its phase.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LinkProgress {
    /// `planning`, `transferring` or `installing`.
    pub phase: String,
    /// Why it was begun: `empty-copy-out-of-window`, `out-of-window`, `unknown-position`, `diverged`, `damaged`,
    /// `not-understood`, `requested`, `unfinished`.
    pub reason: String,
    /// Which attempt to reach equality this is, from one.
    pub round: u32,
    /// Commit timestamp of the state that it brings over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<u64>))]
    pub snapshot: Option<Timestamp>,
    /// Documents brought over.
    pub documents_done: u64,
    /// Documents to bring over, as far as they are known: it grows while planning.
    pub documents_total: u64,
    /// Bytes that came.
    pub bytes_received: u64,
    /// Bytes that have to come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_total: Option<u64>,
    /// Rate of the last seconds.
    pub documents_per_second: f64,
    /// Rate of the last seconds.
    pub bytes_per_second: f64,
    /// Seconds until everything is here at this rate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds_left: Option<u64>,
    /// Requests that were sent to the source.
    pub requests: u64,
    /// When it began, microseconds since 1970.
    pub since: i64,
}

/// How long the source keeps what a copy lacks, if the copy stood still from now on, and what catching up costs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LinkForecast {
    /// The source's journal no longer reaches back to where the copy is: it has to synchronize.
    pub is_out: bool,
    /// Seconds until that is so. Absent: never, at the rate of now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leaves_in_s: Option<u64>,
    /// Which of the source's settings sets that time: `bytes` (`retention_bytes_max`) or `age`
    /// (`retention_age_max_seconds`). Absent: it keeps everything, or nobody writes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<String>,
    /// Bytes of the source's journal that the copy lacks now.
    pub missing_bytes: u64,
    /// Bytes that it will lack when it leaves the window, which catching up then costs.
    pub cost_bytes: u64,
    /// The bytes are an estimate from the number of entries: those of the journal itself are not known, as the copy
    /// left the window, or holds a derived view.
    pub is_estimate: bool,
    /// Bytes that the source writes in a second, as a decaying average.
    pub written_bytes_per_second: f64,
}

/// What a copy asks before it synchronizes (`POST /v1/databases/{db}/snapshot`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SnapshotRequest {
    /// Which view.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub view: View,
    /// What the copy shows already: the snapshot has to be newer.
    #[cfg_attr(feature = "openapi", schema(value_type = u64))]
    pub above: Timestamp,
    /// Exactly the state of this time, instead of the newest: for a copy that stands there with other partitions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<u64>))]
    pub at: Option<Timestamp>,
}

/// How the last synchronization of a copy ended, and what it could not take (`GET /v1/databases/{db}/synchronization`).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SyncReport {
    /// Absent before the first one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<SyncEnd>,
    /// Documents that the copy could not take; the first thousand.
    pub quarantine: Vec<HeldDocument>,
}

/// How a synchronization ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SyncEnd {
    /// Why it was begun.
    pub reason: String,
    /// Commit timestamp of the state that the copy stood at afterwards.
    #[cfg_attr(feature = "openapi", schema(value_type = u64))]
    pub at: Timestamp,
    /// When it began, microseconds since 1970.
    pub began: i64,
    /// When it ended, microseconds since 1970.
    pub ended: i64,
    /// Snapshots it took.
    pub rounds: u32,
    /// Documents that came.
    pub documents: u64,
    /// Bytes they had on their way.
    pub bytes: u64,
    /// The copy had the digests of its source.
    pub equal: bool,
    /// Documents that `since` left out.
    pub left_out: u64,
    /// Documents that lack bodies of old versions, because of `max_versions`.
    pub cut_documents: u64,
    /// Documents that could not be taken.
    pub quarantined: u64,
    /// Documents that differed and should not have; the first thousand.
    pub repaired: Vec<RepairedDocument>,
    /// How many.
    pub repaired_total: u64,
    /// Somebody has seen it.
    pub seen: bool,
}

/// A document that differed from the source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RepairedDocument {
    /// Which.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub uri: Uri,
    /// What was wrong with it.
    pub what: String,
}

/// A document that a copy could not take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HeldDocument {
    /// Which.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub uri: Uri,
    /// Why.
    pub reason: String,
    /// Commit timestamp of the state it was part of.
    #[cfg_attr(feature = "openapi", schema(value_type = u64))]
    pub at: Timestamp,
    /// Somebody lets it be, for this reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dropped: Option<String>,
}

/// What a person says of it (`POST /v1/databases/{db}/synchronization`).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SyncRemark {
    /// The outcome was seen: it is no alarm any more.
    #[serde(default)]
    pub seen: bool,
    /// This held document is let be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drop: Option<DropHeld>,
}

/// A held document that is let be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DropHeld {
    /// Which.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub uri: Uri,
    /// Why.
    pub reason: String,
}
