//! Bringing documents in from elsewhere.

pub(crate) mod content;
pub(crate) mod git;
pub(crate) mod run;
pub(crate) mod transaction;
