//! Tests that reach behind the public surface: a failing disk, and crashes between two writes.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation)]

mod crash;
mod failing;
pub(crate) mod faults;
#[path = "../tests/journal/support.rs"]
mod support;
