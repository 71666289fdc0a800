//! What comes back from the library: its errors and panics as ours, its stored bytes as values.

use std::{
    io::ErrorKind,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

use bytes::Bytes;
use lsm_tree::{Guard, IterGuardImpl};

use super::{entry, folder::io_error};
use crate::engine::{EngineError, RESERVED_KEY};

/// What the library gives for a range.
pub(super) type BoxedItems = Box<dyn Iterator<Item = IterGuardImpl> + Send>;

/// The entries of a range in their stored form.
pub(super) struct Scan {
    /// `None` after an error.
    items: Option<BoxedItems>,
    path: PathBuf,
}

impl Scan {
    pub(super) fn new(items: BoxedItems, path: PathBuf) -> Self {
        Self { items: Some(items), path }
    }

    pub(super) fn empty(path: PathBuf) -> Self {
        Self { items: None, path }
    }

    /// As documents: those that are not deleted, and not the engine's own.
    pub(super) fn documents(self) -> impl Iterator<Item = Result<(Bytes, Bytes), EngineError>> + Send {
        let path = self.path.clone();
        let mut is_over = false;
        self.filter_map(move |item| {
            if is_over {
                return None;
            }
            let read = item.and_then(|(key, stored)| Ok((key, decode(&path, stored)?)));
            is_over = read.is_err();
            match read {
                Ok((_, None)) => None,
                Ok((key, Some(_))) if *key == *RESERVED_KEY => None,
                Ok((key, Some(value))) => Some(Ok((key, value))),
                Err(error) => Some(Err(error)),
            }
        })
    }
}

impl Iterator for Scan {
    type Item = Result<(Bytes, Bytes), EngineError>;

    fn next(&mut self) -> Option<Self::Item> {
        let items = self.items.as_mut()?;
        let item = guarded(&self.path, || items.next().map(Guard::into_inner).transpose());
        match item {
            Ok(None) => None,
            Ok(Some((key, stored))) => Some(Ok((Bytes::from(key), Bytes::from(stored)))),
            Err(error) => {
                self.items = None;
                Some(Err(error))
            }
        }
    }
}

/// The value of a document's entry, or `None` for a deletion.
pub(super) fn decode(path: &Path, stored: Bytes) -> Result<Option<Bytes>, EngineError> {
    entry::decode(stored).ok_or_else(|| damaged(path, "an entry without its header"))
}

/// Calls the library. Some of its decoders panic on bytes that are not theirs: that is damage as well.
pub(super) fn guarded<T>(path: &Path, call: impl FnOnce() -> lsm_tree::Result<T>) -> Result<T, EngineError> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(ours(path, error)),
        Err(_) => Err(damaged(path, "the decoder panicked")),
    }
}

fn ours(path: &Path, error: lsm_tree::Error) -> EngineError {
    use lsm_tree::Error;
    // What the system answers when a damaged offset or length is followed.
    let is_content = |kind| {
        use ErrorKind::{InvalidData, InvalidInput, NotFound, UnexpectedEof};
        matches!(kind, InvalidData | InvalidInput | NotFound | UnexpectedEof)
    };
    match error {
        Error::Io(source) if !is_content(source.kind()) => io_error(path, source),
        Error::InvalidVersion(found) => {
            EngineError::Format { path: path.to_path_buf(), found: format!("lsm-tree {found}"), supported: 1 }
        }
        other => damaged(path, &other.to_string()),
    }
}

pub(super) fn damaged(path: &Path, detail: &str) -> EngineError {
    EngineError::Damaged { path: path.to_path_buf(), detail: detail.to_owned() }
}
