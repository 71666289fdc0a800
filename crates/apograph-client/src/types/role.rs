//! Roles: who is primary, since when, and how that changes.

use apograph_format::{Epoch, PartitionId, Position, Timestamp, Uri};
use serde::{Deserialize, Serialize};

use super::{Role, ServerIdentity};

/// The beginning of an epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EpochView {
    /// Which epoch.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub epoch: Epoch,
    /// The one whose history it goes on with; absent for the first one, and where it was not noted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub previous: Option<Epoch>,
    /// The last commit timestamp of the history that it goes on with.
    #[cfg_attr(feature = "openapi", schema(value_type = u64))]
    pub base: Timestamp,
    /// The primary that began it.
    pub primary: ServerIdentity,
}

/// The right to begin an epoch, which a primary gave to one server when it stepped down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HandoverView {
    /// Who may begin it.
    pub to: ServerIdentity,
    /// Which epoch.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub epoch: Epoch,
    /// The last commit timestamp before it.
    #[cfg_attr(feature = "openapi", schema(value_type = u64))]
    pub base: Timestamp,
    /// Where every partition ends before it.
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>))]
    pub positions: Vec<Position>,
}

/// `POST /v1/databases/{db}/promote`: make this copy the primary, or say what that would mean.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PromoteRequest {
    /// Only say what it would mean.
    pub plan: bool,
    /// Also while the primary is heard, or when a later epoch is known: what was written there is lost.
    pub force: bool,
    /// Why, for the journal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What a promotion means, and whether it happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PromotionAnswer {
    /// It happened: this server is the primary of `next_epoch`.
    pub promoted: bool,
    /// What this server was before.
    pub role: Role,
    /// Epoch of its history before.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub epoch: Epoch,
    /// The epoch that begins.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub next_epoch: Epoch,
    /// The primary that is replaced.
    pub primary: ServerIdentity,
    /// Microseconds since 1970 when its source was last heard; absent if never since the server began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_contact: Option<i64>,
    /// The new history begins here: up to this timestamp everything is complete.
    #[cfg_attr(feature = "openapi", schema(value_type = u64))]
    pub base: Timestamp,
    /// What this copy has.
    pub partitions: Vec<PromotionPartition>,
    /// Transactions of which only parts are here, oldest first: they are cut.
    pub cut: Vec<CutTransaction>,
    /// How many there are; the list is bounded.
    pub cut_total: u64,
    /// Other copies that this one knows, with what they reported.
    pub others: Vec<PromotionOther>,
    /// What stands against it; empty when it happened.
    pub blocks: Vec<PromotionBlock>,
}

/// What a copy has of a partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PromotionPartition {
    /// Which.
    #[cfg_attr(feature = "openapi", schema(value_type = u16))]
    pub partition: PartitionId,
    /// The last entry that is complete with its transaction.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub applied: Position,
    /// The last entry that is durable.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub durable: Position,
    /// The last entry that was ever acknowledged.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub acknowledged: Position,
}

/// A transaction of which only parts are here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CutTransaction {
    /// When it was committed.
    #[cfg_attr(feature = "openapi", schema(value_type = u64))]
    pub timestamp: Timestamp,
    /// Partitions whose part is here.
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<u16>))]
    pub partitions: Vec<PartitionId>,
    /// Whose.
    pub author: String,
    /// Why.
    pub comment: String,
    /// Documents that it changed there; at most a hundred.
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>))]
    pub documents: Vec<Uri>,
}

/// Another copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PromotionOther {
    /// Its name.
    pub name: String,
    /// Everything up to here could be read there when it last reported.
    #[cfg_attr(feature = "openapi", schema(value_type = u64))]
    pub visible: Timestamp,
    /// It has more than this one.
    pub has_more: bool,
}

/// Something that stands against a promotion.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PromotionBlock {
    /// Its stable name.
    pub code: String,
    /// In a sentence.
    pub detail: String,
    /// `force` decides against it.
    pub may_be_forced: bool,
}

/// `POST /v1/databases/{db}/switchover`: the primary gives its role to one of its copies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SwitchoverRequest {
    /// Name or URL of the server that becomes primary.
    pub to: String,
    /// Given up after so long; 30 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_s: Option<u64>,
}

/// A switchover that is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SwitchoverAnswer {
    /// The primary now.
    pub primary: ServerIdentity,
    /// The epoch that it began.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub epoch: Epoch,
    /// The last commit timestamp before it.
    #[cfg_attr(feature = "openapi", schema(value_type = u64))]
    pub base: Timestamp,
    /// So long nobody took writes, in milliseconds, as the old primary saw it.
    pub paused_ms: u64,
    /// The new primary said that it is one. If not, it had the right to, and did not answer in time.
    pub confirmed: bool,
}

/// `POST /v1/databases/{db}/handover`: a copy that is to become primary asks for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HandoverRequest {
    /// Who asks.
    pub server: ServerIdentity,
    /// Where its partitions end, with everything applied.
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>))]
    pub positions: Vec<Position>,
    /// A token of the role `link:replica` of that server, with which this one follows it afterwards.
    pub token: String,
}

/// How far a handover is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum HandoverState {
    /// Nobody wants this copy to become primary.
    None,
    /// It is too far behind for writes to be held.
    Behind,
    /// Writes are held: reach `positions`, and ask again.
    Held,
    /// The role is yours: begin the epoch.
    Given,
}

/// What the primary answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HandoverAnswer {
    /// How far it is.
    pub state: HandoverState,
    /// Where every partition of the primary ends.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>))]
    pub positions: Vec<Position>,
    /// With `given`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handover: Option<HandoverView>,
    /// Who began which epoch.
    #[serde(default)]
    pub epochs: Vec<EpochView>,
}

/// `POST /v1/databases/{db}/epoch`: a primary says that it is one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EpochNotice {
    /// Who says so.
    pub server: ServerIdentity,
    /// Who began which epoch.
    pub epochs: Vec<EpochView>,
    /// A token of the role `link:replica` of that server, with which a former primary follows it.
    pub token: String,
}

/// `PUT /v1/databases/{db}/source`: have a copy follow another server.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FollowRequest {
    /// Where the new source answers.
    pub url: String,
    /// A link token of the new source.
    pub token: String,
}

impl std::fmt::Debug for FollowRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FollowRequest").field("url", &self.url).finish_non_exhaustive()
    }
}

/// What the server that was told makes of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EpochAnswer {
    /// What it is now.
    pub role: Role,
    /// The highest epoch that it knows.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub epoch: Epoch,
    /// Who began which epoch, as far as it knows: whoever told it of a lower one hears of the higher one.
    #[serde(default)]
    pub epochs: Vec<EpochView>,
}
