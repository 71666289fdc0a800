//! Why a copy cannot be fed from where it is.

use apograph::error::FeedError;

use super::read::elsewhere;
use super::{Code, Refused};

impl From<FeedError> for Refused {
    fn from(error: FeedError) -> Refused {
        let detail = error.to_string();
        match error {
            FeedError::OutOfWindow { start, .. } => {
                Code::OutOfWindow.because(detail).with("start", start.to_string())
            }
            FeedError::UnknownPosition { common, .. } => {
                Code::UnknownPosition.because(detail).with("common", common.to_string())
            }
            FeedError::NoSuchView { .. } => Code::NoSuchView.because(detail),
            FeedError::NoSuchPartition { .. } => Code::NoSuchPartition.because(detail),
            FeedError::Elsewhere { partition, held, url } => elsewhere(detail, partition, held, url),
            FeedError::Damaged { .. } => Code::Damaged.because(detail),
        }
    }
}
