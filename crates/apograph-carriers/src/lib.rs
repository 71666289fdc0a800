//! Ways to move journals between servers: memory and stream, and one conformance suite for all.
//!
//! The contract is [`apograph_replication::carrier`]. A carrier moves bytes and decides nothing.

pub mod conformance;
pub mod memory;
pub mod stream;
