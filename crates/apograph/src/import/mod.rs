//! Exports, read back: line by line into versions and heads, every one of them checked.
//!
//! - [`Reader`] takes lines and gives what each completes; it holds one line, and what a document adds up to;
//! - what is wrong is said with the number of its line ([`LineError`]);
//! - [`Database::import`](crate::Database::import) puts what it gives into an empty primary, and remembers where it
//!   stands ([`ImportPosition`]) in the same transactions.
//!
//! Form of the lines: `docs/formats/export.md`.

mod error;
mod line;
mod lineage;
mod position;
mod reader;

pub use error::{LineError, LineFault};
pub use line::{End, is_of_this_format, read_end};
pub use position::{ImportPosition, OpenDocument, PositionError};
pub use reader::{Item, Reader};

pub(crate) use lineage::{Lineage, check_head, check_version};

/// Longest line: a content of 1 MiB that is all control characters, and the largest properties and comment.
pub const LINE_BYTES_MAX: usize = 8 << 20;
