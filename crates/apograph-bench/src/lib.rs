//! Runs of Apograph with real processes: servers that are killed and started again, a line between them that counts or
//! lies, documents of real text in any number, and measurements. The tests of the command line and the command
//! `apograph-bench` (by way of `cargo xtask sync-runs`, `cargo xtask failover-runs`, `cargo xtask documents` and
//! `cargo xtask speed`) share it. Nothing of it ships.
//!
//! A run that meets something impossible panics, as a test does; a run that measures more than it should says so in
//! its [`figures::Report`].
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a run fails by panicking, and tells what it measured"
)]

pub mod appends;
pub mod collection;
pub mod documents;
pub mod exact;
pub mod failover;
pub mod figures;
pub mod load;
pub mod namespace;
pub mod network;
pub mod port;
pub mod process;
pub mod proxy;
pub mod random;
pub mod runs;
pub mod small_disk;
pub mod speed;
pub mod writer;
