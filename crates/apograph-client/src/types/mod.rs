//! What travels, one file per resource.
//!
//! Numbers of versions and commit timestamps (microseconds since 1970) are JSON numbers; times of authors are
//! RFC 3339; hashes and keys are lower-case hex; a member that is not known is absent, never zero or empty.

pub mod backup;
pub mod content;
pub mod cursor;
pub mod document;
pub mod durability;
pub mod handshake;
pub mod health;
pub mod history;
pub mod import;
pub mod lag_limit;
pub mod leaf;
pub mod link;
pub mod list;
pub mod orphan;
pub mod problem;
pub mod role;
pub mod rollback;
pub mod status;
pub mod sync;
pub mod time;
pub mod transaction;
pub mod why;

pub use backup::{BackupMade, BackupOrder, BackupState, BackupStatus};
pub use content::{ContentQuery, ReadQuery, ReadState};
pub use cursor::CursorAnswer;
pub use document::{ContentView, DocumentAnswer, DocumentRequest, DocumentView, LockView, OriginView};
pub use durability::{
    AcknowledgedPartition, Acknowledgement, AcknowledgementAnswer, DurabilityAnswer, DurabilityMissed,
};
pub use handshake::{Handshake, SignedServers};
pub use health::Health;
pub use history::{HistoryItem, HistoryPage};
pub use import::{ImportAnswer, ImportDone, ImportProgress, ImportQuery};
pub use lag_limit::{GateView, LagLimit, LagLimitView, LagReaction};
pub use leaf::LeafLine;
pub use link::{
    LinkDirection, LinkLag, LinkPartition, LinkPeer, LinkProof, LinkReport, LinkState, LinkStatus,
    ReportAnswer, ReportDigest, ReportPartition,
};
pub use list::{ListItem, ListPage};
pub use orphan::{
    ChangeOutcome, OrphanChange, OrphanRestored, OrphanVersionView, OrphanView, OrphansGone, RestoreAnswer,
    RestoreDone, RestoreOutcome, RestoreRequest, RestoredChange,
};
pub use problem::Problem;
pub use role::{
    CutTransaction, EpochAnswer, EpochNotice, EpochView, FollowRequest, HandoverAnswer, HandoverRequest,
    HandoverState, HandoverView, PromoteRequest, PromotionAnswer, PromotionBlock, PromotionOther,
    PromotionPartition, SwitchoverAnswer, SwitchoverRequest,
};
pub use rollback::{
    RollbackAnswer, RollbackDocument, RollbackDone, RollbackOutcome, RollbackProgress, RollbackQuery,
    RollbackRequest, RollbackStanding, RollbackStatus,
};
pub use status::{DatabaseStatus, PartitionStatus, Role, ServerIdentity, Status, ViewStatus};
pub use sync::{
    DropHeld, HeldDocument, LinkForecast, LinkProgress, RepairedDocument, SnapshotRequest, SyncEnd,
    SyncMeasure, SyncRemark, SyncReport, SyncRequest, ThrottleRequest,
};
pub use time::AuthorTime;
pub use transaction::{
    BulkAnswer, CursorMove, Lock, Move, Operation, OperationResult, Precondition, Publish, Put, Target,
    TransactionAnswer, TransactionRequest,
};
pub use why::{
    Asked, BytesView, Cause, ChangeView, CutView, Evidence, HeadView, Held, QuarantineView, Reason,
    SearchView, Standing, WhyAnswer, WhyQuery,
};
