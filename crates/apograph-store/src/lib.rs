//! The store of one partition: documents at a timestamp.
//!
//! Built in layers, lowest first:
//!
//! - [`engine`]: an ordered multi-version key-value engine whose version number is the commit timestamp. It has no
//!   write-ahead log; the journal of the partition is that log, and the engine says how far it got.
//!
//! This crate never knows the journal nor other servers: it is told what to apply and answers what it holds.

pub mod engine;
