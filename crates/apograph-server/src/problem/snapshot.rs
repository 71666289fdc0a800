//! Why a source cannot answer a copy that synchronizes.

use apograph::error::Cause;
use apograph::synchronize::SnapshotError;

use super::{Code, Refused};

impl From<SnapshotError> for Refused {
    fn from(error: SnapshotError) -> Refused {
        let detail = error.to_string();
        match error {
            SnapshotError::NotNewer { visible, .. } | SnapshotError::NotReached { visible, .. } => {
                Code::NothingNewer.because(detail).with("visible", visible.0)
            }
            SnapshotError::Expired { horizon, .. } => {
                Code::SnapshotExpired.because(detail).with("horizon", horizon.0)
            }
            SnapshotError::Synchronizing => Code::Synchronizing.because(detail),
            SnapshotError::NoSuchView { .. } => Code::NoSuchView.because(detail),
            SnapshotError::NoSuchPartition { .. } => Code::NoSuchPartition.because(detail),
            SnapshotError::Stopped { .. } => Code::NotReady.because(detail),
            SnapshotError::Store(error) => super::failed_by(Cause::of_store(&error), &error),
            SnapshotError::Read(error) => error.into(),
        }
    }
}
