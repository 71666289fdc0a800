//! The files of an engine at one moment, kept in place while somebody copies them.

use std::any::Any;
use std::path::PathBuf;

/// Files that together are the engine at one moment. While this lives, tables that are merged meanwhile stay on disk:
/// drop it soon.
#[derive(Default)]
pub struct Pinned {
    /// The highest version in them; `None` if nothing was written yet.
    pub version: Option<u64>,
    /// The files, in no order.
    pub files: Vec<PinnedFile>,
    /// What keeps the tables.
    pub(super) _tables: Vec<Box<dyn Any + Send>>,
}

/// One file.
#[derive(Debug)]
pub struct PinnedFile {
    /// Its name, relative to the engine's folder.
    pub name: PathBuf,
    /// Where its bytes are.
    pub bytes: PinnedBytes,
}

/// Where the bytes of a pinned file are.
#[derive(Debug)]
pub enum PinnedBytes {
    /// In memory: the file is replaced from time to time, and small.
    Here(Vec<u8>),
    /// In a file that never changes.
    File(PathBuf),
}
