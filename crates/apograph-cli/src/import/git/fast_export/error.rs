//! What can be wrong with an export stream.

use std::io;

/// Where a stream broke, and why. Offsets are bytes from the start of the stream, at the start of the line or
/// data concerned.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ParseError {
    /// The source failed.
    #[error("reading the export failed at byte {offset}")]
    Io {
        /// Where.
        offset: u64,
        /// Why.
        source: io::Error,
    },
    /// The stream ended in the middle of something.
    #[error("the export ends at byte {offset}, in the middle of {expected}")]
    Truncated {
        /// The end.
        offset: u64,
        /// What was being read.
        expected: &'static str,
    },
    /// The stream ended between two commands, but without `done`.
    #[error("the export ends at byte {offset} without `done`: git was interrupted")]
    MissingDone {
        /// The end.
        offset: u64,
    },
    /// A line above the limit.
    #[error("the line at byte {offset} is longer than {bytes_max} bytes")]
    LineTooLong {
        /// Its start.
        offset: u64,
        /// The limit.
        bytes_max: u64,
    },
    /// A message above the limit.
    #[error("the message at byte {offset} has {bytes} bytes, the limit is {bytes_max}")]
    MessageTooLarge {
        /// Its start.
        offset: u64,
        /// Its size.
        bytes: u64,
        /// The limit.
        bytes_max: u64,
    },
    /// A content above the limit.
    #[error("content {blob} at byte {offset} has {bytes} bytes, the limit is {bytes_max}")]
    BlobTooLarge {
        /// Its start.
        offset: u64,
        /// Object name, mark or path.
        blob: String,
        /// Its size.
        bytes: u64,
        /// The limit.
        bytes_max: u64,
    },
    /// Text that is not what the format says.
    #[error("byte {offset} of the export: expected {expected}, found {found:?}")]
    Malformed {
        /// Start of the line.
        offset: u64,
        /// What the format has there.
        expected: &'static str,
        /// The line, shortened.
        found: String,
    },
}
