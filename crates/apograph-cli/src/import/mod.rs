//! Bringing documents in from elsewhere.

pub(crate) mod content;
pub(crate) mod git;
pub(crate) mod ndjson;
pub(crate) mod run;
pub(crate) mod transaction;

use tokio::task::JoinError;

use crate::failure::Failure;

/// What a thread of an import came to.
fn joined<T>(outcome: Result<T, JoinError>) -> Result<T, Failure> {
    outcome.map_err(|error| Failure::local("a thread of this program failed", error))
}
