//! Every limit of the git import, with its reason.

/// Longest line of a `git fast-export` stream. Git's own paths end at 4,096 bytes on every common system;
/// a quoted byte takes four, and a rename names two paths.
pub(crate) const LINE_BYTES_MAX: u64 = 64 * 1024;

/// Longest commit message. The longest known in public histories are below 1 MiB.
pub(crate) const MESSAGE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Largest content read unless the caller says otherwise: a content is held in memory once while it is imported.
pub(crate) const BLOB_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Largest tree object read to resolve a rename: a folder of a million entries stays below it.
pub(crate) const TREE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// What is kept of a git process's standard error, for messages.
pub(crate) const STDERR_BYTES_MAX: u64 = 16 * 1024;

/// Longest URI of a document, as the model defines it.
pub(crate) const URI_BYTES_MAX: usize = 1024;
