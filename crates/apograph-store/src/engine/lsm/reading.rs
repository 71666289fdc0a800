//! What comes back from the library: its errors and panics as ours, its stored bytes as values.

use std::{
    io::ErrorKind,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

use bytes::Bytes;
use lsm_tree::{Guard, Slice};

use super::{entry, folder::io_error};
use crate::engine::{EngineError, RESERVED_KEY, Space};

/// The entries of a range that are not deleted, and not the engine's own.
pub(super) struct Scan<I> {
    /// `None` after an error.
    items: Option<I>,
    space: Space,
    path: PathBuf,
}

impl<I> Scan<I> {
    pub(super) fn new(items: I, space: Space, path: PathBuf) -> Self {
        Self { items: Some(items), space, path }
    }
}

impl<G: Guard, I: Iterator<Item = G>> Iterator for Scan<I> {
    type Item = Result<(Bytes, Bytes), EngineError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let items = self.items.as_mut()?;
            let item = guarded(&self.path, || items.next().map(Guard::into_inner).transpose());
            let read = item.and_then(|pair| match pair {
                Some((key, stored)) => Ok(Some((key, decode(&self.path, stored)?))),
                None => Ok(None),
            });
            match read {
                Ok(Some((_, None))) => {}
                Ok(Some((key, Some(_)))) if self.space == Space::Documents && *key == *RESERVED_KEY => {}
                Ok(Some((key, Some(value)))) => return Some(Ok((Bytes::from(key), value))),
                Ok(None) => return None,
                Err(error) => {
                    self.items = None;
                    return Some(Err(error));
                }
            }
        }
    }
}

pub(super) fn decode(path: &Path, stored: Slice) -> Result<Option<Bytes>, EngineError> {
    entry::decode(Bytes::from(stored)).ok_or_else(|| damaged(path, "an entry without its header"))
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
