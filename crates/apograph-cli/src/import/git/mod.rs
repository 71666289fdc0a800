//! Reads the history of a git repository as a sequence of planned transactions.
//!
//! ```text
//! git fast-export --no-data ─► fast_export ─► order ─► changes ─► plan ─► PlannedTransaction
//!                              (parser)      (main    (net effect (operations
//! git rev-list --first-parent ──────────────► line)    of a commit) on documents)
//! git cat-file --batch-command ─► objects ─► contents, and the trees that `changes` asks for
//! ```
//!
//! Nothing here knows how a transaction is written: the caller takes [`PlannedTransaction`]s from
//! [`Import::next`], asks [`Import::blob`] for the contents that they name, and stores both.
//!
//! Absences: no state outside the repository and the commit last imported; no document published that the
//! main line does not hold; no path left out without a [`plan::Skipped`] entry; no end of the history that
//! git did not confirm.

pub(crate) mod changes;
pub(crate) mod error;
pub(crate) mod fast_export;
pub(crate) mod limits;
pub(crate) mod objects;
pub(crate) mod oid;
pub(crate) mod order;
pub(crate) mod path;
pub(crate) mod plan;
pub(crate) mod process;
pub(crate) mod repository;
pub(crate) mod stream;

#[cfg(test)]
mod tests;

pub(crate) use error::{GitError, ImportError};
pub(crate) use oid::Oid;
#[cfg(test)]
pub(crate) use plan::SkippedReason;
pub(crate) use plan::{Mode, PlannedOperation, PlannedTransaction, Skipped};
pub(crate) use repository::{MainLine, Repository};
pub(crate) use stream::Import;
