//! Servers as separate processes, killed and started again, on a real document collection.
//!
//! `rfcs.bundle` is looked for beside the project; without it the same test runs on a small repository made here.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test fails by panicking"
)]

mod bad;
mod collection;
mod contents;
mod exact;
mod killed;
mod process;
