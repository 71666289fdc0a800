//! Backups: what is asked for (`POST /v1/databases/{db}/backup`), and how far the last one is.

use apograph_format::{Epoch, Hash, Timestamp};
use serde::{Deserialize, Serialize};

use super::Problem;

/// A backup to be made below the backup folder of the server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BackupOrder {
    /// Its folder: a path relative to the backup folder of the server, or an absolute one inside of it. New, empty, or
    /// with a backup that was interrupted.
    pub dir: String,
    /// An earlier backup there: what did not change is linked to it, not copied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<String>,
}

/// How far the last backup is that this server was asked for since it was started.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BackupStatus {
    /// `none`, `running`, `done` or `failed`.
    pub state: BackupState,
    /// Its folder, on the server's machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dir: Option<String>,
    /// When it was asked for, microseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub began: Option<i64>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<i64>,
    /// Files that are done.
    pub files: u64,
    /// Bytes that are done.
    pub bytes: u64,
    /// Bytes in all, as far as they are known.
    pub bytes_total: u64,
    /// What was made, when it is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made: Option<BackupMade>,
    /// Why there is none, when it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Box<Problem>>,
}

/// How a backup stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum BackupState {
    /// Nobody asked for one.
    None,
    /// It is being made.
    Running,
    /// It is whole and durable.
    Done,
    /// There is none.
    Failed,
}

/// A backup that is whole and durable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BackupMade {
    /// Everything up to here is in it, and nothing later.
    #[cfg_attr(feature = "openapi", schema(value_type = u64))]
    pub at: Timestamp,
    /// The same for people.
    pub time: String,
    /// Epoch of its history.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub epoch: Epoch,
    /// Hash of its manifest.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub hash: Hash,
    /// Files in it.
    pub files: u64,
    /// Bytes of these files.
    pub bytes: u64,
    /// Of them, bytes that are linked to the previous backup.
    pub bytes_linked: u64,
    /// How long writers waited while the moment was pinned, in microseconds.
    pub pause_us: u64,
}
