//! Why a transaction was refused.

use apograph::error::{Cause, CommitError, LoadRefusal, ReadOnly, Refusal, TransactionRefusal};
use apograph::spool::SpoolError;
use apograph_format::Uri;

use super::{Code, Refused};

impl From<CommitError> for Refused {
    fn from(error: CommitError) -> Refused {
        let cause = error.comes_from();
        match error {
            CommitError::ReadOnly(read_only) => read_only.into(),
            CommitError::Fenced(fenced) => fenced.into(),
            CommitError::Held { .. } => Code::HandingOver.because(error.to_string()),
            CommitError::RollingBack { .. } => Code::RollingBack.because(error.to_string()),
            CommitError::Lagging { ref link, ref reason } => Code::Lagging
                .because(error.to_string())
                .with("link", link.as_str())
                .with("reason", reason.as_str()),
            CommitError::Refused { index, uri, refusal } => refused(&uri, &refusal).with("operation", index),
            CommitError::Transaction(refusal) => refusal.into(),
            CommitError::Spool(error) => error.into(),
            CommitError::Stopped { .. } => match cause {
                Cause::Other => Code::Stopped.because(error.to_string()),
                cause => super::failed_by(cause, &error),
            },
            CommitError::Stalled { .. } => match cause {
                Cause::Other => Code::Stalled.because(error.to_string()),
                cause => super::failed_by(cause, &error),
            },
            CommitError::Unshown { token, .. } => {
                Code::NotShown.because(error.to_string()).with("token", token.to_string())
            }
            CommitError::Busy => Code::Busy.because(error.to_string()),
            CommitError::Store(error) => super::failed_by(cause, &error),
        }
    }
}

impl From<ReadOnly> for Refused {
    fn from(read_only: ReadOnly) -> Refused {
        Code::ReadOnly.because(read_only.to_string()).with_some("primary_url", read_only.primary_url)
    }
}

impl From<TransactionRefusal> for Refused {
    fn from(refusal: TransactionRefusal) -> Refused {
        let detail = refusal.to_string();
        match refusal {
            TransactionRefusal::Empty => Code::TransactionEmpty.because(detail),
            TransactionRefusal::TooLarge { .. } => Code::TooLarge.because(detail),
            TransactionRefusal::Cursor { found, .. } => {
                Code::Cursor.because(detail).with_some("position", found)
            }
            TransactionRefusal::PurgeNotAlone => Code::PurgeNotAlone.because(detail),
        }
    }
}

impl From<SpoolError> for Refused {
    fn from(error: SpoolError) -> Refused {
        match error {
            SpoolError::TooLarge => Code::TooLarge.because(error.to_string()),
            SpoolError::Disk(_) => Code::DiskFull.because(error.to_string()),
        }
    }
}

/// Why one operation, or the read of one document, is refused.
pub(super) fn refused(uri: &Uri, refusal: &Refusal) -> Refused {
    let code = match refusal {
        Refusal::NotFound => Code::NotFound,
        Refusal::Trashed { .. } => Code::Trashed,
        Refusal::Exists => Code::Exists,
        Refusal::VersionMismatch { .. } => Code::VersionMismatch,
        Refusal::Locked { .. } => Code::Locked,
        Refusal::NoSuchVersion { .. } => Code::NoSuchVersion,
        Refusal::NotPublished => Code::NotPublished,
        Refusal::NotTrashed => Code::NotTrashed,
        Refusal::NotLocked => Code::NotLocked,
        Refusal::Kind { .. } => Code::Kind,
        Refusal::TooLong { .. } => Code::TooLarge,
        Refusal::Privileged { .. } => Code::Forbidden,
        Refusal::Load(LoadRefusal::Occupied { .. }) => Code::Exists,
        Refusal::Load(LoadRefusal::Changed) => Code::VersionMismatch,
        Refusal::Load(_) => Code::Inconsistent,
        Refusal::ContentMissing { .. } => Code::ContentMissing,
    };
    let problem = code.because(format!("{uri}: {refusal}")).with("uri", uri.as_str());
    match refusal {
        Refusal::VersionMismatch { found } => problem.with_some("version", *found),
        Refusal::Locked { owner, expires } => {
            let expires = apograph_format::timestamp::rfc3339(*expires);
            problem.with("owner", owner.as_str()).with("expires", expires)
        }
        Refusal::Trashed { moved_to } => problem.moved_to(moved_to.as_ref()),
        Refusal::ContentMissing { hash } => problem.with("content", hash.to_string()),
        _ => problem,
    }
}
