//! Why a backup was not made.

use apograph::backup::BackupError;
use apograph::error::Cause;
use apograph::folder::FolderError;

use super::{Code, Refused, failed, failed_by};

impl From<BackupError> for Refused {
    fn from(error: BackupError) -> Refused {
        let detail = error.to_string();
        match error {
            BackupError::Part { .. } => Code::PartitionElsewhere.because(detail),
            BackupError::Running => Code::BackupRunning.because(detail),
            BackupError::Exists { .. } | BackupError::NotEmpty { .. } => Code::BackupExists.because(detail),
            BackupError::NotABackup { .. }
            | BackupError::Incomplete { .. }
            | BackupError::Format { .. }
            | BackupError::Foreign { .. } => Code::BackupPrevious.because(detail),
            BackupError::Synchronizing => Code::Synchronizing.because(detail),
            BackupError::Stopped { .. } => Code::Stopped.because(detail),
            BackupError::Cancelled => Code::ShuttingDown.because("the server stopped before it was done"),
            BackupError::Damaged { .. } => {
                failed_by(Cause::Damage, &error);
                // Only administrators ask, and they need to know which file.
                Code::Damaged.because(detail)
            }
            BackupError::Disk { ref path, error: ref cause } => match Cause::of_io(cause) {
                Cause::DiskFull => Code::DiskFull.because(detail),
                _ => Code::BackupFolder.because(format!("{}: {cause}", path.display())),
            },
            BackupError::Folder(FolderError::Disk { ref error, .. }) => failed_by(Cause::of_io(error), error),
            BackupError::Store(ref error) => failed_by(Cause::of_store(error), error),
            // Those of a restore.
            BackupError::Folder(_)
            | BackupError::Occupied { .. }
            | BackupError::View { .. }
            | BackupError::NotWhole
            | BackupError::Unknown { .. }
            | BackupError::BelowHorizon { .. }
            | BackupError::Ahead { .. }
            | BackupError::Archive { .. }
            | BackupError::Unequal { .. }
            | BackupError::Open(_) => failed(&error),
        }
    }
}
