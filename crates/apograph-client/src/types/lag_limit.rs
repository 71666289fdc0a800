//! `/v1/databases/{db}/lag-limits`: how far copies may be behind before writes wait for them.

use serde::{Deserialize, Serialize};

/// What happens to writes while a copy is behind its limit, or lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum LagReaction {
    /// They go on; the status says what is wrong.
    Warn,
    /// They wait, a bounded time, and are refused then.
    Stall,
    /// They are refused at once.
    Reject,
}

/// How far a copy may be behind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LagLimit {
    /// Age of the oldest transaction that the copy does not have on disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u64>,
    /// Entries that it does not have on disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entries: Option<u64>,
    /// Their bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// What happens to writes beyond one of these.
    pub action: LagReaction,
    /// What happens to writes when the copy is not heard of.
    pub on_lost_contact: LagReaction,
    /// After so many seconds without a word contact is lost. 10 when absent.
    #[serde(default = "ten")]
    pub contact_seconds: u64,
    /// A write waits at most so long until it is refused. 5 when absent.
    #[serde(default = "five")]
    pub stall_seconds: u64,
    /// Writes are refused at once whenever the copy does not follow, whatever the reason.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub crucial: bool,
}

fn ten() -> u64 {
    10
}

fn five() -> u64 {
    5
}

/// The limit of one copy, and how the copy stands to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LagLimitView {
    /// Name of the copy's server.
    pub server: String,
    /// Its limit.
    pub limit: LagLimit,
    /// What happens to writes because of it now; absent while the copy keeps to it, and on a server that is not the
    /// primary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub now: Option<LagReaction>,
    /// What is wrong with the copy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Writes are kept back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct GateView {
    /// The copy that they are kept back for.
    pub link: String,
    /// What is wrong with it.
    pub reason: String,
    /// `stall` or `reject`.
    pub action: LagReaction,
    /// Transactions that wait now.
    pub waiting: u64,
}
