//! Media types of requests and answers.

/// JSON.
pub const JSON: &str = "application/json";
/// One JSON value per line: bulk transactions and exports.
pub const NDJSON: &str = "application/x-ndjson";
/// Errors, RFC 9457.
pub const PROBLEM: &str = "application/problem+json";
/// Journal entries, as they stand on disk, and heartbeats between them.
pub const JOURNAL: &str = "application/vnd.apograph.journal";
/// What a copy and its source say to each other while the copy synchronizes.
pub const SYNCHRONIZE: &str = "application/vnd.apograph.synchronize";
/// A transaction that a failover cut off: a line of JSON, then its entries as they stood in a journal.
pub const ORPHAN: &str = "application/vnd.apograph.orphan";
/// Bytes of which nothing is known.
pub const BYTES: &str = "application/octet-stream";
