//! Servers as separate processes, killed and started again, on a real document collection.
//!
//! `rfcs.bundle` is looked for beside the project; without it the same test runs on a small repository made here.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test fails by panicking, and tells what it measured"
)]

mod backup;
mod bad;
mod contents;
mod durability;
mod exact;
mod failover;
mod hold;
mod killed;
mod ndjson;
mod operator;
mod part;
mod rivals;
mod roles;
mod rollback;
mod synchronize;
mod upgrade;
mod verify;
mod why;

/// Servers as processes and a collection to import are shared with the runs of `cargo xtask sync-runs`.
use apograph_bench::{collection, process};
