//! Why a read, or the wait before it, ended without an answer.

use apograph::error::{Cause, ReadError, WaitError};

use apograph_format::{Participants, PartitionId};

use super::commit::refused;
use super::{Code, Refused};

impl From<ReadError> for Refused {
    fn from(error: ReadError) -> Refused {
        let detail = error.to_string();
        match error {
            ReadError::Refused { uri, refusal } => refused(&uri, &refusal),
            ReadError::BelowHorizon { horizon, .. } => {
                Code::BelowHorizon.because(detail).with("horizon", horizon.0)
            }
            ReadError::NothingYet { .. } => Code::NothingYet.because(detail),
            ReadError::Ahead { visible, .. } => Code::Ahead.because(detail).with("visible", visible.0),
            ReadError::Elsewhere { partition, held, url } => elsewhere(detail, partition, held, url),
            ReadError::NoSuchView { .. } => Code::NoSuchView.because(detail),
            ReadError::Erased { uri } => Code::Erased.because(detail).with("uri", uri.as_str()),
            ReadError::NotBrought { uri, kept_from, .. } => {
                Code::NotBrought.because(detail).with("uri", uri.as_str()).with("kept_from", kept_from)
            }
            ReadError::Store(error) => super::failed_by(Cause::of_store(&error), &error),
        }
    }
}

/// Another server holds the partition.
pub(super) fn elsewhere(
    detail: String,
    partition: PartitionId,
    held: Participants,
    url: Option<String>,
) -> Refused {
    let refused = Code::PartitionElsewhere.because(detail).with("partition", partition.0);
    let held: Vec<u16> = held.iter().map(|partition| partition.0).collect();
    let mut refused = refused.with("held", held);
    if let Some(url) = &url {
        refused = refused.next(format!("ask {url}, which holds it"));
    }
    refused.with_some("url", url)
}

impl From<WaitError> for Refused {
    fn from(error: WaitError) -> Refused {
        let detail = error.to_string();
        match error {
            WaitError::TimedOut { visible, .. } => {
                Code::NotReached.because(detail).with("visible", visible.0)
            }
            WaitError::OtherHistory { epoch, .. } => {
                Code::TokenOtherHistory.because(detail).with("epoch", epoch.to_string())
            }
        }
    }
}
